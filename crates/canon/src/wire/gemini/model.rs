//! What the generations of the wire's own models take: the maker documents these differences per model name, and a
//! request in the wrong words is refused. A name that says nothing is taken for the middle generation.

use crate::request::Effort;

/// How a model is told how hard to think.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Thinking {
    /// It does not think.
    Never,
    /// By a number of tokens, `least` or more.
    Budget {
        /// Smallest budget; 0: thinking can be switched off.
        least: u64,
    },
    /// By a level.
    Level {
        /// Whether there is a level `MINIMAL`.
        minimal: bool,
    },
}

/// What one model takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Model {
    /// How it is told how hard to think.
    pub(super) thinking: Thinking,
    /// The third generation: demands a signature on calls, takes media in tool results and a schema beside tools.
    pub(super) third: bool,
}

/// What the model called `name` takes.
pub(super) fn of(name: &str) -> Model {
    let name = name.rsplit('/').next().unwrap_or(name);
    let Some(version) = name.strip_prefix("gemini-") else {
        return Model { thinking: Thinking::Budget { least: 0 }, third: false };
    };
    let pro = version.contains("pro");
    if version.starts_with("1.") || version.starts_with("2.0") {
        Model { thinking: Thinking::Never, third: false }
    } else if version.starts_with("2.") {
        Model { thinking: Thinking::Budget { least: if pro { 128 } else { 0 } }, third: false }
    } else {
        Model { thinking: Thinking::Level { minimal: !pro }, third: true }
    }
}

/// A level's word.
pub(super) fn level(effort: Effort) -> &'static str {
    match effort {
        Effort::None | Effort::Minimal => "MINIMAL",
        Effort::Low => "LOW",
        Effort::Medium => "MEDIUM",
        Effort::High => "HIGH",
        Effort::Max => "XHIGH",
    }
}

/// The effort that a level's word stands for.
pub(super) fn effort(word: &str) -> Option<Effort> {
    [Effort::Minimal, Effort::Low, Effort::Medium, Effort::High, Effort::Max]
        .into_iter()
        .find(|effort| level(*effort).eq_ignore_ascii_case(word))
}

/// Tokens of thinking that an effort stands for where only a budget can be said; after the maker's own table for
/// clients of OpenAI's API.
pub(super) fn budget(effort: Effort) -> u64 {
    match effort {
        Effort::None => 0,
        Effort::Minimal | Effort::Low => 1_024,
        Effort::Medium => 8_192,
        Effort::High | Effort::Max => 24_576,
    }
}
