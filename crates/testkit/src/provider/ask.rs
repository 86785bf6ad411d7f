//! What a client asks for, in one form for every wire: a wire reads its checked body into an `Ask`, the provider
//! composes a `Reply` from it. Data only. Kept apart from the canon on purpose: the canon is what is under test.

use serde_json::Value;

/// A checked request for an answer.
#[derive(Debug, Clone, Default)]
pub struct Ask {
    /// The model asked for.
    pub model: String,
    /// Whether to stream.
    pub stream: bool,
    /// Whether the stream must report its usage where the wire makes that optional.
    pub stream_usage: bool,
    /// The conversation, oldest first.
    pub turns: Vec<Turn>,
    /// The tools offered.
    pub tools: Vec<Offered>,
    /// What the client demands about calling them.
    pub choice: Choice,
    /// Whether more than one call per turn is allowed.
    pub parallel: bool,
    /// The form the answer must have.
    pub form: Form,
    /// How many answers.
    pub n: usize,
    /// How many alternatives per token, where log probabilities are asked for.
    pub logprobs: Option<usize>,
    /// Whether thinking is to come with what only its maker can read.
    pub seals: bool,
    /// Most tokens of the answer.
    pub max_tokens: Option<usize>,
    /// Texts that end the answer.
    pub stop: Vec<String>,
}

/// One message.
#[derive(Debug, Clone)]
pub struct Turn {
    /// Who speaks.
    pub speaker: Speaker,
    /// The words; other parts are left out.
    pub text: String,
}

/// Who speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Speaker {
    /// Instructions.
    System,
    /// The end user.
    User,
    /// The model.
    Assistant,
    /// A tool's result.
    Tool,
}

/// A tool offered.
#[derive(Debug, Clone)]
pub struct Offered {
    /// Its name.
    pub name: String,
    /// JSON schema of its arguments.
    pub schema: Value,
}

/// What the client demands about calling tools.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Choice {
    /// The model decides.
    #[default]
    Auto,
    /// No call.
    None,
    /// Some call.
    Required,
    /// This one.
    Named(String),
}

/// The form the answer must have.
#[derive(Debug, Clone, Default)]
pub enum Form {
    /// Free text.
    #[default]
    Text,
    /// Any JSON object.
    Json,
    /// JSON of this schema.
    Schema(Value),
}

impl Ask {
    /// The tokens of the prompt as this provider counts: words of every message and three for each.
    #[must_use]
    pub fn input_tokens(&self) -> u64 {
        self.turns.iter().map(|turn| turn.text.split_whitespace().count() as u64 + 3).sum()
    }
}
