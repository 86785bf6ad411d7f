//! What both OpenAI wires say alike: words of effort, and top-level fields of the same name and meaning.

use super::WireId;
use super::writer::Writer;
use crate::Extras;
use crate::fields::BadField;
use crate::media::Source;
use crate::request::{Effort, Reasoning};

/// Tokens of thinking below which an effort is `low`, and above which it is `high`, where only a budget was said.
const LOW_BUDGET: u64 = 4_096;
const HIGH_BUDGET: u64 = 16_384;

/// The wires of this family.
const FAMILY: [&str; 2] = ["openai-chat", "openai-responses"];

/// Top-level request fields that mean the same on both; Responses keeps `verbosity` below `text`.
const SHARED: [&str; 6] = [
    "prompt_cache_key",
    "prompt_cache_options",
    "prompt_cache_retention",
    "safety_identifier",
    "moderation",
    "verbosity",
];

/// Service tiers of both.
const TIERS: [&str; 6] = ["auto", "default", "flex", "scale", "priority", "fast"];

/// A service tier in the words of this family; `None`: it has none for it.
pub(super) fn tier(word: &str) -> Option<&str> {
    match word {
        "standard" | "standard_only" => Some("default"),
        _ => TIERS.contains(&word).then_some(word),
    }
}

/// Whether `origin` is one of the two.
pub(super) fn is_family(origin: WireId) -> bool {
    FAMILY.contains(&origin.name())
}

/// Moves what both say alike from the extras of a request of `origin` into `body`.
pub(super) fn take_shared(origin: WireId, extras: &mut Extras, body: &mut Extras) {
    if !is_family(origin) {
        return;
    }
    for key in SHARED {
        if let Some(value) = extras.shift_remove(key) {
            body.insert(key.to_owned(), value);
        }
    }
}

/// The word for a form of sound.
pub(super) fn sound(mime: &str) -> &str {
    match mime.rsplit('/').next().unwrap_or_default() {
        "mpeg" => "mp3",
        "x-wav" | "wave" => "wav",
        other => other,
    }
}

/// A name for a file that has none: both wires demand one beside its bytes.
pub(super) fn file_name(source: &Source) -> String {
    let mime = if let Source::Base64 { mime, .. } = source { mime.as_str() } else { "" };
    match mime {
        "text/plain" => "document.txt".to_owned(),
        _ => format!("document.{}", mime.rsplit('/').next().unwrap_or("pdf")),
    }
}

/// Reads an effort word that stands at `path`.
pub(super) fn decode_effort(word: &str, path: &str) -> Result<Effort, BadField> {
    Ok(match word {
        "none" => Effort::None,
        "minimal" => Effort::Minimal,
        "low" => Effort::Low,
        "medium" => Effort::Medium,
        "high" => Effort::High,
        "xhigh" | "max" => Effort::Max,
        _ => {
            let known = "none, minimal, low, medium, high, xhigh, max";
            return Err(BadField::new(path, format!("is unknown: `{word}`; known: {known}")));
        }
    })
}

/// An effort's word.
pub(super) fn effort_word(effort: Effort) -> &'static str {
    match effort {
        Effort::None => "none",
        Effort::Minimal => "minimal",
        Effort::Low => "low",
        Effort::Medium => "medium",
        Effort::High => "high",
        Effort::Max => "xhigh",
    }
}

/// The effort that was asked for, from a budget of tokens where only that was said.
pub(super) fn effort(reasoning: &Reasoning, pen: &mut Writer) -> Option<Effort> {
    match (reasoning.effort, reasoning.budget_tokens) {
        (Some(effort), budget) => {
            if budget.is_some() {
                pen.drop("reasoning.budget_tokens");
            }
            Some(effort)
        }
        (None, Some(budget)) => {
            pen.weaken("reasoning.budget_tokens");
            Some(match budget {
                0 => Effort::None,
                1..LOW_BUDGET => Effort::Low,
                LOW_BUDGET..HIGH_BUDGET => Effort::Medium,
                _ => Effort::High,
            })
        }
        (None, None) => None,
    }
}
