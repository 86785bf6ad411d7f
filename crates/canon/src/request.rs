//! A request as the canon holds it: who speaks, what parts, which tools, how to sample.
//! Data only; every struct carries `extras` for what its origin wire said and no second wire can say.

use crate::Extras;
use crate::media::Media;
use crate::wire::WireId;
use serde_json::Value;

/// One request for a conversation's next turn.
#[derive(Debug, Clone, PartialEq)]
pub struct Request {
    /// The wire whose `extras` these are.
    pub origin: WireId,
    /// The model as the client named it (`auto`, an alias, or a name).
    pub model: String,
    /// The conversation, instructions included as `System`/`Developer` messages, oldest first.
    pub messages: Vec<Message>,
    /// Tools the model may call.
    pub tools: Vec<Tool>,
    /// What the client demands about calling them.
    pub tool_choice: Option<ToolChoice>,
    /// `Some(false)`: at most one call per turn.
    pub parallel_tool_calls: Option<bool>,
    /// How to sample.
    pub sampling: Sampling,
    /// The form the answer must have.
    pub output: OutputFormat,
    /// How much to think, and what of it to show.
    pub reasoning: Option<Reasoning>,
    /// Whether the answer is to be streamed.
    pub stream: bool,
    /// Whether a stream must report its usage where the wire makes that optional.
    pub stream_usage: bool,
    /// The provider's service tier the client asks for.
    pub service_tier: Option<String>,
    /// An opaque id of the end user.
    pub user: Option<String>,
    /// The client's own labels.
    pub metadata: Extras,
    /// State a provider (or we) keep between turns.
    pub state: State,
    /// What the origin wire said and the canon does not model.
    pub extras: Extras,
}

impl Request {
    /// An empty request of `origin` for `model`.
    #[must_use]
    pub fn new(origin: WireId, model: impl Into<String>) -> Self {
        Self {
            origin,
            model: model.into(),
            messages: Vec::new(),
            tools: Vec::new(),
            tool_choice: None,
            parallel_tool_calls: None,
            sampling: Sampling::default(),
            output: OutputFormat::Text,
            reasoning: None,
            stream: false,
            stream_usage: false,
            service_tier: None,
            user: None,
            metadata: Extras::new(),
            state: State::default(),
            extras: Extras::new(),
        }
    }
}

impl Request {
    /// Calls `see` with every opaque block of the conversation, in order.
    pub fn each_seal(&mut self, mut see: impl FnMut(&mut Seal)) {
        for message in &mut self.messages {
            each_seal(&mut message.parts, &mut see);
        }
    }
}

/// State kept between turns by whoever answers; empty for wires that send the whole conversation each time.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct State {
    /// Whether the answer is to be stored for a later turn.
    pub store: Option<bool>,
    /// The stored answer that this request continues.
    pub previous: Option<String>,
    /// The stored conversation that this request belongs to.
    pub conversation: Option<Value>,
}

/// Who speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Role {
    /// Instructions of the product.
    System,
    /// Instructions of the product, where a wire tells them from `System`.
    Developer,
    /// The end user.
    User,
    /// The model.
    Assistant,
    /// The result of a tool.
    Tool,
}

/// One message: a role and its parts.
#[derive(Debug, Clone, PartialEq)]
pub struct Message {
    /// Who speaks.
    pub role: Role,
    /// A name the client gave the speaker.
    pub name: Option<String>,
    /// What is said, in order.
    pub parts: Vec<Part>,
    /// What the origin wire said beside it.
    pub extras: Extras,
}

impl Message {
    /// A message of `role` with `parts` and nothing else.
    #[must_use]
    pub fn new(role: Role, parts: Vec<Part>) -> Self {
        Self { role, name: None, parts, extras: Extras::new() }
    }

    /// A message of `role` that says `text`.
    #[must_use]
    pub fn text(role: Role, text: impl Into<String>) -> Self {
        Self::new(role, vec![Part::text(text)])
    }
}

/// One piece of a message or of an answer.
#[derive(Debug, Clone, PartialEq)]
pub enum Part {
    /// Words.
    Text {
        /// The words.
        text: String,
        /// Sources the words lean on.
        citations: Vec<Citation>,
        /// Log probabilities of the words, where asked for.
        logprobs: Vec<crate::event::TokenLogprob>,
        /// An opaque proof that belongs to the words (Gemini's thought signature).
        seal: Option<Seal>,
        /// A prompt-cache breakpoint after this part.
        cache: Option<CacheMark>,
        /// What the origin wire said beside it.
        extras: Extras,
    },
    /// Words by which the model declines.
    Refusal {
        /// The words.
        text: String,
        /// What the origin wire said beside it.
        extras: Extras,
    },
    /// An image, a sound, a document.
    Media(Media),
    /// The model's thinking.
    Reasoning {
        /// The words shown, possibly a summary, possibly empty.
        text: String,
        /// Whether `text` is a summary of the thinking rather than the thinking.
        summary: bool,
        /// The opaque proof or ciphertext that only its signer can read.
        seal: Option<Seal>,
        /// What the origin wire said beside it.
        extras: Extras,
    },
    /// The model calls a tool.
    ToolCall {
        /// The call's id; results refer to it.
        call_id: String,
        /// The tool.
        name: String,
        /// Arguments as JSON text, exactly as the model wrote them.
        arguments: String,
        /// An opaque proof that belongs to this call (Gemini's thought signature).
        seal: Option<Seal>,
        /// A prompt-cache breakpoint after this part.
        cache: Option<CacheMark>,
        /// What the origin wire said beside it.
        extras: Extras,
    },
    /// What a tool answered.
    ToolResult {
        /// The call answered.
        call_id: String,
        /// The answer, in parts.
        content: Vec<Part>,
        /// Whether the tool failed.
        is_error: bool,
        /// A prompt-cache breakpoint after this part.
        cache: Option<CacheMark>,
        /// What the origin wire said beside it.
        extras: Extras,
    },
    /// A block we do not model, whole; only its own wire can say it.
    Native {
        /// The block as the wire wrote it.
        body: Value,
    },
}

impl Part {
    /// Plain words.
    #[must_use]
    pub fn text(text: impl Into<String>) -> Self {
        Self::Text {
            text: text.into(),
            citations: Vec::new(),
            logprobs: Vec::new(),
            seal: None,
            cache: None,
            extras: Extras::new(),
        }
    }

    /// What the origin wire said beside this part; `None` for a block that is native as a whole.
    #[must_use]
    pub fn extras(&self) -> Option<&Extras> {
        match self {
            Self::Text { extras, .. }
            | Self::Refusal { extras, .. }
            | Self::Reasoning { extras, .. }
            | Self::ToolCall { extras, .. }
            | Self::ToolResult { extras, .. } => Some(extras),
            Self::Media(media) => Some(&media.extras),
            Self::Native { .. } => None,
        }
    }

    /// As [`Part::extras`], to add to.
    pub fn extras_mut(&mut self) -> Option<&mut Extras> {
        match self {
            Self::Text { extras, .. }
            | Self::Refusal { extras, .. }
            | Self::Reasoning { extras, .. }
            | Self::ToolCall { extras, .. }
            | Self::ToolResult { extras, .. } => Some(extras),
            Self::Media(media) => Some(&mut media.extras),
            Self::Native { .. } => None,
        }
    }

    /// The words of a text part.
    #[must_use]
    pub fn as_text(&self) -> Option<&str> {
        match self {
            Self::Text { text, .. } => Some(text),
            _ => None,
        }
    }
}

/// A source that an answer's words lean on.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Citation {
    /// Address of the source.
    pub url: Option<String>,
    /// Title of the source.
    pub title: Option<String>,
    /// The words cited.
    pub quote: Option<String>,
    /// First character of the answer's text that leans on it.
    pub start: Option<u64>,
    /// One past the last such character.
    pub end: Option<u64>,
    /// What the origin wire said beside it (its own type included).
    pub extras: Extras,
}

/// A prompt-cache breakpoint.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct CacheMark {
    /// How long the entry is to live, in the wire's own word (`5m`, `1h`); `None`: its default.
    pub ttl: Option<String>,
}

/// An opaque block that only its signer can read: a thinking signature, encrypted reasoning, a thought signature.
#[derive(Debug, Clone, PartialEq)]
pub struct Seal {
    /// The bytes, in the wire's own text form.
    pub data: String,
    /// Whether `data` replaces the thinking (redacted or encrypted) instead of proving it.
    pub redacted: bool,
    /// Who can read it (`Target::signer` of the deployment that wrote it); `None`: not known.
    pub signer: Option<String>,
}

/// Calls `see` with every opaque block in `parts`, results of tools included.
pub fn each_seal(parts: &mut [Part], see: &mut dyn FnMut(&mut Seal)) {
    for part in parts {
        match part {
            Part::Text { seal: Some(seal), .. }
            | Part::Reasoning { seal: Some(seal), .. }
            | Part::ToolCall { seal: Some(seal), .. } => see(seal),
            Part::ToolResult { content, .. } => each_seal(content, see),
            _ => {}
        }
    }
}

/// A tool that the model may call.
#[derive(Debug, Clone, PartialEq)]
pub enum Tool {
    /// A function of the client.
    Function {
        /// Its name.
        name: String,
        /// What it does.
        description: Option<String>,
        /// JSON schema of its arguments; `None`: takes none.
        parameters: Option<Value>,
        /// Whether arguments must match the schema exactly.
        strict: Option<bool>,
        /// A prompt-cache breakpoint after this tool.
        cache: Option<CacheMark>,
        /// What the origin wire said beside it.
        extras: Extras,
    },
    /// A tool that the provider itself runs; only its own wire can say it.
    Native {
        /// The tool as the wire wrote it.
        body: Value,
    },
}

/// What the client demands about calling tools.
#[derive(Debug, Clone, PartialEq)]
pub enum ToolChoice {
    /// The model decides.
    Auto,
    /// No call.
    None,
    /// Some call.
    Required,
    /// This function.
    Function(String),
    /// A form only the origin wire knows.
    Native(Value),
}

/// How to sample. `None`: the provider's default.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Sampling {
    /// Most tokens of the answer, thinking included.
    pub max_output_tokens: Option<u64>,
    /// Randomness.
    pub temperature: Option<f64>,
    /// Nucleus.
    pub top_p: Option<f64>,
    /// Most candidates a token is drawn from.
    pub top_k: Option<u64>,
    /// Smallest share of the best candidate's probability.
    pub min_p: Option<f64>,
    /// Penalty per earlier occurrence.
    pub frequency_penalty: Option<f64>,
    /// Penalty for having occurred.
    pub presence_penalty: Option<f64>,
    /// Seed of the random numbers.
    pub seed: Option<i64>,
    /// Texts that end the answer.
    pub stop: Vec<String>,
    /// How many answers.
    pub n: Option<u32>,
    /// Whether log probabilities are asked for.
    pub logprobs: Option<bool>,
    /// How many alternatives per token.
    pub top_logprobs: Option<u32>,
}

/// The form an answer must have.
#[derive(Debug, Clone, PartialEq, Default)]
pub enum OutputFormat {
    /// Free text.
    #[default]
    Text,
    /// Any JSON object.
    Json,
    /// JSON that matches a schema.
    Schema {
        /// The schema's name.
        name: Option<String>,
        /// What it is for.
        description: Option<String>,
        /// The JSON schema.
        schema: Value,
        /// Whether it must match exactly.
        strict: Option<bool>,
    },
}

/// How much to think, and what of it to show.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Reasoning {
    /// On, off or the provider's choice.
    pub effort: Option<Effort>,
    /// Most tokens of thinking.
    pub budget_tokens: Option<u64>,
    /// Whether the model itself decides when and how much to think.
    pub adaptive: bool,
    /// Which summary to show (`auto`, `concise`, `detailed`).
    pub summary: Option<String>,
    /// Whether thoughts are to be shown at all.
    pub include: Option<bool>,
    /// What the origin wire said beside it.
    pub extras: Extras,
}

/// How hard to think.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Effort {
    /// Not at all.
    None,
    /// As little as there is.
    Minimal,
    /// A little.
    Low,
    /// The middle.
    Medium,
    /// Much.
    High,
    /// As much as there is.
    Max,
}
