//! How Claude is told to think and to sample, on whichever wire it is spoken to: limits hang together, and what does
//! not fit is refused.

use super::Quirks;
use super::writer::{Writer, put};
use crate::Extras;
use crate::request::{Effort, Reasoning, Request, Sampling, ToolChoice};

/// Fewest tokens of thinking it takes.
const LEAST_BUDGET: u64 = 1_024;

/// How the model is to think.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Thinking {
    /// Nothing is said about it.
    Unsaid,
    /// In the words of home, which stand in the extras.
    Native,
    /// Not at all.
    Off,
    /// As it sees fit.
    Adaptive,
    /// At most so many tokens.
    Budget(u64),
}

/// What a request from another wire asks for.
pub(super) fn thinking(reasoning: &Reasoning, max_tokens: Option<u64>, quirks: &Quirks, pen: &mut Writer) -> Thinking {
    if quirks.refuses("thinking") {
        pen.drop("reasoning");
        return Thinking::Unsaid;
    }
    if reasoning.effort == Some(Effort::None) || (reasoning.effort.is_none() && reasoning.budget_tokens == Some(0)) {
        if quirks.refuses("thinking.disabled") {
            pen.drop("reasoning.effort");
            return Thinking::Unsaid;
        }
        return Thinking::Off;
    }
    let (no_budget, no_adaptive) = (quirks.refuses("thinking.enabled"), quirks.refuses("thinking.adaptive"));
    let wanted = match (reasoning.budget_tokens, reasoning.effort) {
        (Some(budget), _) if !no_budget => Some(budget),
        (None, Some(effort)) if no_adaptive && !no_budget => Some(budget_of(effort)),
        _ => None,
    };
    match wanted {
        Some(wanted) => fit(wanted, max_tokens, pen),
        None if no_adaptive => {
            pen.drop("reasoning");
            Thinking::Unsaid
        }
        None => Thinking::Adaptive,
    }
}

/// `wanted` within what the wire takes; no thinking where the answer leaves no room for it.
fn fit(wanted: u64, max_tokens: Option<u64>, pen: &mut Writer) -> Thinking {
    let most = max_tokens.map_or(u64::MAX, |most| most.saturating_sub(1));
    if most < LEAST_BUDGET {
        pen.drop("reasoning");
        return Thinking::Unsaid;
    }
    let budget = wanted.clamp(LEAST_BUDGET, most);
    if budget != wanted {
        pen.weaken("reasoning.budget_tokens");
    }
    Thinking::Budget(budget)
}

const fn budget_of(effort: Effort) -> u64 {
    match effort {
        Effort::None | Effort::Minimal => LEAST_BUDGET,
        Effort::Low => 4_096,
        Effort::Medium => 8_192,
        Effort::High => 16_384,
        Effort::Max => 32_768,
    }
}

/// The effort that a budget stands for where a budget cannot be said.
const fn effort_of(budget: u64) -> Effort {
    match budget {
        0..=4_096 => Effort::Low,
        4_097..=8_192 => Effort::Medium,
        8_193..=16_384 => Effort::High,
        _ => Effort::Max,
    }
}

/// What is left of the thinking beside calls. With a budget neither a forced call nor an open loop of calls without its
/// thinking (`torn`) is taken; who forces a call at home has it judged there.
pub(super) fn beside(thinking: Thinking, request: &Request, torn: bool, pen: &mut Writer) -> Thinking {
    let forced = matches!(request.tool_choice, Some(ToolChoice::Required | ToolChoice::Function(_)));
    let refused = torn || (forced && !pen.home && !request.tools.is_empty());
    if !(matches!(thinking, Thinking::Budget(_)) && refused) {
        return thinking;
    }
    pen.drop("thinking");
    Thinking::Unsaid
}

/// The thinking as it is written; empty where nothing of it is.
pub(super) fn written(thinking: Thinking) -> Extras {
    let mut value = Extras::new();
    let kind = match thinking {
        Thinking::Unsaid | Thinking::Native => return value,
        Thinking::Off => "disabled",
        Thinking::Adaptive => "adaptive",
        Thinking::Budget(_) => "enabled",
    };
    value.insert("type".to_owned(), kind.into());
    if let Thinking::Budget(budget) = thinking {
        value.insert("budget_tokens".to_owned(), budget.into());
    }
    value
}

/// The effort beside adaptive thinking; a budget says it already.
pub(super) fn effort(
    reasoning: &Reasoning,
    thinking: Thinking,
    quirks: &Quirks,
    pen: &mut Writer,
) -> Option<&'static str> {
    if thinking == Thinking::Adaptive && reasoning.budget_tokens.is_some() {
        pen.weaken("reasoning.budget_tokens");
    }
    let effort = match thinking {
        Thinking::Off | Thinking::Budget(_) | Thinking::Native => return None,
        Thinking::Adaptive | Thinking::Unsaid => reasoning.effort.or(reasoning.budget_tokens.map(effort_of))?,
    };
    if ["thinking", "thinking.adaptive", "output_config.effort"].iter().any(|form| quirks.refuses(form)) {
        return None;
    }
    if effort == Effort::Minimal {
        pen.weaken("reasoning.effort");
    }
    word(effort)
}

/// The word for an effort.
pub(super) const fn word(effort: Effort) -> Option<&'static str> {
    match effort {
        Effort::None => None,
        Effort::Minimal | Effort::Low => Some("low"),
        Effort::Medium => Some("medium"),
        Effort::High => Some("high"),
        Effort::Max => Some("xhigh"),
    }
}

/// Writes how to sample for a request from another wire.
pub(super) fn sampling(sampling: &Sampling, thinking: Thinking, pen: &mut Writer, body: &mut Extras) {
    let thinking = matches!(thinking, Thinking::Adaptive | Thinking::Budget(_));
    if let Some(temperature) = sampling.temperature {
        if !thinking {
            if temperature > 1.0 {
                pen.weaken("temperature");
            }
            put(body, "temperature", Some(temperature.clamp(0.0, 1.0)));
        } else if temperature != 1.0 {
            // A model that thinks samples at 1.
            pen.drop("temperature");
        }
    }
    if let Some(top_p) = sampling.top_p {
        // Beside a temperature, or low beside thinking, it is refused. The whole nucleus says nothing.
        if !body.contains_key("temperature") && (!thinking || top_p >= 0.95) {
            put(body, "top_p", Some(top_p));
        } else if top_p < 1.0 {
            pen.drop("top_p");
        }
    }
    match sampling.top_k {
        None => {}
        Some(_) if thinking => pen.drop("top_k"),
        Some(top_k) => put(body, "top_k", Some(top_k)),
    }
}
