//! One answer as events, the form in which every stream passes through us.
//!
//! | order | event | contract |
//! |---|---|---|
//! | 1 | `Start` | exactly one, first |
//! | n | `PartStart`, then `Delta`/`Citation`/`Seal`/`PartExtras`, then `PartEnd` | keyed by `PartId`; parts of different choices may interleave |
//! | any | `Usage` | reports merge field by field |
//! | any | `Native` | a frame we do not model; only its own wire writes it out again |
//! | last | `Finish` | exactly one; a stream without it was cut short and is never a success |

use crate::Extras;
use crate::request::{Citation, Seal};
use crate::usage::Usage;
use crate::wire::WireId;
use serde_json::Value;

/// Number of a part within its answer, rising in order of appearance.
pub type PartId = u32;

/// One step of an answer.
#[derive(Debug, Clone, PartialEq)]
pub enum Event {
    /// The answer begins.
    Start(Head),
    /// A part begins.
    PartStart {
        /// The part.
        at: PartId,
        /// The choice it belongs to (0 unless `n > 1`).
        choice: u32,
        /// What it is.
        kind: PartKind,
    },
    /// More of a part: words, or a tool call's arguments.
    Delta {
        /// The part.
        at: PartId,
        /// The piece.
        text: String,
        /// Log probabilities of the piece, where asked for.
        logprobs: Vec<TokenLogprob>,
    },
    /// A source for the words of a text part.
    Citation {
        /// The part.
        at: PartId,
        /// The source.
        citation: Citation,
    },
    /// The opaque proof that belongs to a part.
    Seal {
        /// The part.
        at: PartId,
        /// The proof.
        seal: Seal,
    },
    /// What the origin wire said beside a part.
    PartExtras {
        /// The part.
        at: PartId,
        /// The fields.
        extras: Extras,
    },
    /// A part ends.
    PartEnd {
        /// The part.
        at: PartId,
    },
    /// Token counts so far.
    Usage(Usage),
    /// The answer is complete. Always last.
    Finish(Finish),
    /// A frame we do not model.
    Native {
        /// The frame's body.
        body: Value,
    },
}

/// The head of an answer.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Head {
    /// The wire whose extras and native blocks this answer carries; only that wire may write them out again.
    pub origin: Option<WireId>,
    /// The provider's id of the answer.
    pub id: String,
    /// The model that answers, in the provider's own words.
    pub model: String,
    /// When the answer was made, Unix seconds, where said.
    pub created: Option<i64>,
    /// What the origin wire said beside it.
    pub extras: Extras,
}

/// What a streamed part is.
#[derive(Debug, Clone, PartialEq)]
pub enum PartKind {
    /// Words.
    Text,
    /// Words by which the model declines.
    Refusal,
    /// Thinking; `summary`: a summary of it.
    Reasoning {
        /// Whether the words are a summary.
        summary: bool,
    },
    /// A call; deltas carry its arguments.
    ToolCall {
        /// The call's id.
        call_id: String,
        /// The tool.
        name: String,
    },
    /// Media made by the model, whole.
    Media(Box<crate::media::Media>),
    /// A block we do not model, whole.
    Native(Value),
}

/// How an answer ended.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Finish {
    /// One per choice, in order of `choice`.
    pub stops: Vec<Stop>,
    /// What the origin wire said beside it.
    pub extras: Extras,
}

/// How one choice ended.
#[derive(Debug, Clone, PartialEq)]
pub struct Stop {
    /// The choice.
    pub choice: u32,
    /// Why, in our words.
    pub reason: StopReason,
    /// Why, in the provider's own word.
    pub raw: Option<String>,
    /// The stop text that was met.
    pub sequence: Option<String>,
}

impl Stop {
    /// Choice 0 ended for `reason`.
    #[must_use]
    pub fn because(reason: StopReason) -> Self {
        Self { choice: 0, reason, raw: None, sequence: None }
    }
}

/// Why an answer ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum StopReason {
    /// The model was done.
    End,
    /// A stop text was met.
    StopSequence,
    /// The limit of output tokens was met.
    Length,
    /// The context window was full.
    Context,
    /// The model called tools and waits.
    ToolCalls,
    /// A filter cut the answer.
    ContentFilter,
    /// The model declined.
    Refusal,
    /// The provider paused a long turn; the client may ask to go on.
    Pause,
    /// A word we do not know; see `Stop::raw`.
    Other,
}

/// One token with its log probability.
#[derive(Debug, Clone, PartialEq)]
pub struct TokenLogprob {
    /// The token's text (may be a piece of a character, then with replacement signs).
    pub token: String,
    /// Natural logarithm of its probability.
    pub logprob: f64,
    /// The token's bytes, where said.
    pub bytes: Option<Vec<u8>>,
    /// The likeliest candidates at its place.
    pub top: Vec<TopLogprob>,
}

/// One candidate at a token's place.
#[derive(Debug, Clone, PartialEq)]
pub struct TopLogprob {
    /// The candidate's text.
    pub token: String,
    /// Natural logarithm of its probability.
    pub logprob: f64,
    /// Its bytes, where said.
    pub bytes: Option<Vec<u8>>,
}
