//! The wires: one folder per API, each with the same four files (`request`, `response`, `stream`, `fault`) and both
//! roles. `DIALECTS` are spoken by clients to us, `PROTOCOLS` by us to providers. A wire knows JSON layouts and
//! nothing of providers, addresses or keys. To add one: a folder, and a line per role below; every law runs over it.

mod alike;
mod calls;
mod claude;
mod closed;
mod in_turn;
mod look;
mod marks;
mod openai;
mod orphans;
mod quirks;
mod seals;
mod traits;
mod turns;
mod walk;
mod writer;

pub mod anthropic_messages;
pub mod bedrock_converse;
pub mod cohere_v2;
pub mod gemini;
pub mod openai_chat;
pub mod openai_completions;
pub mod openai_embeddings;
pub mod openai_responses;

pub use look::{Edit, splice};
pub use quirks::Quirks;
pub use traits::{
    Dialect, EncodeError, Encoded, FrameNote, Framing, Params, Protocol, Route, RouteKind, Scan, Seen, StreamDecoder,
    StreamEncoder, StreamTerms, Target, Written, decode_all, frames_in,
};

use std::fmt;

/// Name of a wire, e.g. `openai-chat`.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct WireId(&'static str);

impl WireId {
    /// The wire called `name`; only wires make these.
    #[must_use]
    pub const fn new(name: &'static str) -> Self {
        Self(name)
    }

    /// Its name.
    #[must_use]
    pub const fn name(self) -> &'static str {
        self.0
    }
}

impl fmt::Debug for WireId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

impl fmt::Display for WireId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

/// Something a request says that the target wire cannot say.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Loss {
    /// Where in the request, in the origin wire's words where known, e.g. `tools[0].strict`.
    pub path: String,
    /// What became of it.
    pub what: LossKind,
}

/// What became of something that could not be said.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum LossKind {
    /// Left out.
    Dropped,
    /// Said in another way that means less.
    Weakened,
    /// Emulated by other means.
    Emulated,
}

impl Loss {
    /// `path` was left out.
    #[must_use]
    pub fn dropped(path: impl Into<String>) -> Self {
        Self { path: path.into(), what: LossKind::Dropped }
    }

    /// `path` was said in a way that means less.
    #[must_use]
    pub fn weakened(path: impl Into<String>) -> Self {
        Self { path: path.into(), what: LossKind::Weakened }
    }

    /// `path` was emulated.
    #[must_use]
    pub fn emulated(path: impl Into<String>) -> Self {
        Self { path: path.into(), what: LossKind::Emulated }
    }
}

impl fmt::Display for Loss {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let what = match self.what {
            LossKind::Dropped => "",
            LossKind::Weakened => "~",
            LossKind::Emulated => "=",
        };
        write!(f, "{what}{}", self.path)
    }
}

/// The wires clients may speak to us.
pub static DIALECTS: &[&dyn Dialect] = &[
    &openai_chat::OpenAiChat,
    &openai_responses::OpenAiResponses,
    &anthropic_messages::AnthropicMessages,
    &gemini::Gemini,
    &bedrock_converse::BedrockConverse,
    &cohere_v2::CohereV2,
];

/// The wires we may speak to providers.
pub static PROTOCOLS: &[&dyn Protocol] = &[
    &openai_chat::OpenAiChat,
    &openai_responses::OpenAiResponses,
    &anthropic_messages::AnthropicMessages,
    &gemini::Gemini,
    &bedrock_converse::BedrockConverse,
    &cohere_v2::CohereV2,
];

/// What clients may speak besides: APIs that say less than a conversation, so that the laws of conversations do not hold
/// for them.
pub static SIDE_DIALECTS: &[&dyn Dialect] =
    &[&openai_completions::OpenAiCompletions, &openai_embeddings::OpenAiEmbeddings];

/// What we may speak to providers besides, for requests that are no conversation.
pub static SIDE_PROTOCOLS: &[&dyn Protocol] = &[&openai_embeddings::OpenAiEmbeddings];

/// Everything that clients may speak to us.
pub fn dialects() -> impl Iterator<Item = &'static dyn Dialect> + Clone {
    DIALECTS.iter().chain(SIDE_DIALECTS).copied()
}

/// Everything that we may speak to providers.
pub fn protocols() -> impl Iterator<Item = &'static dyn Protocol> + Clone {
    PROTOCOLS.iter().chain(SIDE_PROTOCOLS).copied()
}

/// The dialect called `name`.
#[must_use]
pub fn dialect(name: &str) -> Option<&'static dyn Dialect> {
    dialects().find(|wire| wire.id().name() == name)
}

/// The protocol called `name`.
#[must_use]
pub fn protocol(name: &str) -> Option<&'static dyn Protocol> {
    protocols().find(|wire| wire.id().name() == name)
}
