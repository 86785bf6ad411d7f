//! The grammar of each wire's streams, written from the official SDKs' side: what a client received is read the way
//! the strictest client reads it, and every slip is named. Pure. Shares no code with the canon's frames and wires.
//! To add one: a file and a line in `GRAMMARS`.

mod anthropic_messages;
mod bedrock_converse;
mod cohere_v2;
pub mod event_stream;
mod gemini;
mod openai_chat;
mod openai_responses;
pub mod sse;

use crate::provider::Counts;
use std::collections::BTreeMap;

/// Every grammar.
pub static GRAMMARS: &[&dyn Grammar] = &[
    &openai_chat::OpenAiChat,
    &openai_responses::OpenAiResponses,
    &anthropic_messages::AnthropicMessages,
    &gemini::Gemini,
    &bedrock_converse::BedrockConverse,
    &cohere_v2::CohereV2,
];

/// The grammar of the wire called `name`.
#[must_use]
pub fn grammar(name: &str) -> Option<&'static dyn Grammar> {
    GRAMMARS.iter().copied().find(|grammar| grammar.id() == name)
}

/// One wire's grammar.
pub trait Grammar: Sync {
    /// The wire's name.
    fn id(&self) -> &'static str;
    /// Reads the bytes of a stream, from its first to its last.
    fn stream(&self, bytes: &[u8], asked: &Asked) -> Heard;
    /// Reads a whole answer.
    fn unary(&self, body: &[u8]) -> Heard;
}

/// What the request asked for, as far as the stream's grammar depends on it.
#[derive(Debug, Clone, Default)]
pub struct Asked {
    /// Whether usage was asked for; `None`: either is right.
    pub usage: Option<bool>,
    /// How many choices; `None`: as many as come.
    pub n: Option<usize>,
}

/// What a client made of an answer.
#[derive(Debug, Clone, Default)]
pub struct Heard {
    /// Slips against the grammar, each with its frame; empty: none.
    pub violations: Vec<String>,
    /// How it ended.
    pub ended: Ended,
    /// The model that answered.
    pub model: String,
    /// The choices by number.
    pub choices: BTreeMap<u64, HeardChoice>,
    /// Token counts, where reported.
    pub usage: Option<Counts>,
    /// The error's message, where it ended with one.
    pub error: Option<String>,
}

/// One choice.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct HeardChoice {
    /// Words.
    pub text: String,
    /// Thinking.
    pub reasoning: String,
    /// Words that decline.
    pub refusal: String,
    /// Calls in order.
    pub calls: Vec<HeardCall>,
    /// Why it ended, in the wire's word.
    pub finish: Option<String>,
}

/// One call.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct HeardCall {
    /// Its id.
    pub id: String,
    /// The tool.
    pub name: String,
    /// Arguments as JSON text.
    pub arguments: String,
}

/// How an answer ended.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Ended {
    /// Without its end: whoever listened must take it for broken.
    #[default]
    Cut,
    /// With the wire's own end.
    Complete,
    /// With the wire's error event.
    Error,
}

impl Heard {
    /// The words of choice 0.
    #[must_use]
    pub fn text(&self) -> &str {
        self.choices.get(&0).map_or("", |choice| &choice.text)
    }

    /// Whether it is one complete answer without a slip.
    #[must_use]
    pub fn is_well(&self) -> bool {
        self.violations.is_empty() && self.ended == Ended::Complete
    }

    /// Names a slip.
    fn slip(&mut self, frame: usize, what: impl AsRef<str>) {
        self.violations.push(format!("frame {frame}: {}", what.as_ref()));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_wire_of_the_provider_has_a_grammar() {
        for wire in crate::provider::WIRES {
            assert!(grammar(wire.id()).is_some(), "no grammar for `{}`: add a file and a line to GRAMMARS", wire.id());
        }
    }
}
