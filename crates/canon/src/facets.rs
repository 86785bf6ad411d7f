//! What a request needs, found by looking into its bytes in place: no tree is built and nothing is copied.
//! Enough for policy, limits and the untouched path; everything else waits for a full read.

use std::ops::Range;

/// What one look into a body found.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Peek {
    /// The model as the client named it.
    pub model: Option<String>,
    /// Where in the body the model's value stands, quotes included; `None`: not in the body (Gemini: in the path).
    pub model_at: Option<Range<usize>>,
    /// Whether the answer is to be streamed.
    pub stream: bool,
    /// Whether a stream is wanted as one list instead of events.
    pub listed: bool,
    /// Whether a stream's usage report was asked for (or needs no asking on this wire).
    pub stream_usage: bool,
    /// Where an existing `stream_options` value stands, so that usage can be asked for upstream.
    pub stream_options_at: Option<Range<usize>>,
    /// It says something as only another maker's clients of the wire say it, so that its bytes will not do upstream.
    pub accent: bool,
    /// What the request says about turns kept for it; `None`: its wire sends the whole conversation each time.
    pub recall: Option<Recall>,
    /// What the request needs.
    pub facets: Facets,
}

/// What kind of answer a request wants.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub enum Purpose {
    /// The next turn of a conversation.
    #[default]
    Conversation,
    /// Vectors. Those of one model say nothing to those of another.
    Embedding,
}

/// What a request says about turns that are kept between requests.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Recall {
    /// Whether its answer is to be kept; `None`: not said.
    pub store: Option<bool>,
    /// The kept answer that it continues.
    pub previous: Option<String>,
    /// The kept conversation that it belongs to.
    pub conversation: Option<String>,
    /// Whether its input names kept items instead of saying them.
    pub names_items: bool,
    /// Whether it is to be answered while nobody waits.
    pub background: bool,
}

impl Recall {
    /// Whether it cannot be understood without what is kept.
    #[must_use]
    pub fn goes_on(&self) -> bool {
        self.previous.is_some() || self.conversation.is_some() || self.names_items
    }

    /// Whether a provider must be told something else than the client said.
    #[must_use]
    pub fn is_ours(&self) -> bool {
        self.goes_on() || self.background
    }
}

/// What a request needs of whoever answers it.
#[expect(clippy::struct_excessive_bools, reason = "each is one capability that a model has or has not")]
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Facets {
    /// What kind of answer it wants.
    pub purpose: Purpose,
    /// It brings tools.
    pub tools: bool,
    /// It brings images.
    pub images: bool,
    /// It brings sound.
    pub audio: bool,
    /// It brings documents.
    pub documents: bool,
    /// It demands JSON or a schema.
    pub structured: bool,
    /// It asks for thinking.
    pub reasoning: bool,
    /// It asks for log probabilities.
    pub logprobs: bool,
    /// It leans on state kept by a provider.
    pub state: bool,
    /// How many answers.
    pub choices: u32,
    /// Estimated tokens of the prompt (a quarter of its bytes; media by their own size).
    pub input_tokens: u64,
    /// Most tokens of the answer, where said.
    pub max_output_tokens: Option<u64>,
    /// The class of service that it asks for, where it is not the usual one.
    pub service_tier: Option<String>,
}
