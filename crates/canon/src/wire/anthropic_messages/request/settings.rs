//! Writing everything beside the conversation: limits, thinking, structured output, sampling, who asks.

use super::ink::Ink;
use crate::Extras;
use crate::request::{Effort, OutputFormat, Reasoning, Request, Sampling, ToolChoice};
use crate::wire::anthropic_messages::block::{self, Anthropic};
use crate::wire::closed;
use crate::wire::turns::{self, Turn};
use crate::wire::writer::put;
use serde_json::{Value, json};

/// Most tokens of an answer where nobody said: the wire demands a number.
const ANSWER_TOKENS: u64 = 4_096;
/// The same where thinking is on and counts against the limit.
const THINKING_TOKENS: u64 = 32_000;
/// Fewest tokens of thinking the wire takes.
const LEAST_BUDGET: u64 = 1_024;

/// What the limits and the thinking come to.
pub(super) struct Limits {
    /// Most tokens of the answer; `None` only at home, where the client left it out.
    pub(super) max_tokens: Option<u64>,
    thinking: Thinking,
}

/// How the model is to think.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Thinking {
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

/// Decides limits and thinking, which hang together.
pub(super) fn limits(request: &Request, turns: &[Turn], ink: &mut Ink<'_>) -> Limits {
    let said = request.sampling.max_output_tokens;
    let mut thinking = match &request.reasoning {
        None => Thinking::Unsaid,
        Some(reasoning) if ink.pen.home => at_home(reasoning),
        Some(reasoning) => abroad(reasoning, said, ink),
    };
    if matches!(thinking, Thinking::Budget(_)) {
        let forced = matches!(request.tool_choice, Some(ToolChoice::Required | ToolChoice::Function(_)));
        // Both are refused with a budget. Who forces a call at home has it judged there.
        if turns::loop_without_thinking::<Anthropic>(turns) || (forced && !ink.pen.home && !request.tools.is_empty()) {
            ink.pen.drop("thinking");
            thinking = Thinking::Unsaid;
        }
    }
    let default = match thinking {
        Thinking::Budget(budget) => budget.saturating_add(ANSWER_TOKENS),
        Thinking::Adaptive | Thinking::Native => THINKING_TOKENS,
        Thinking::Unsaid | Thinking::Off => ANSWER_TOKENS,
    };
    Limits { max_tokens: said.or((!ink.pen.home).then_some(default)), thinking }
}

fn at_home(reasoning: &Reasoning) -> Thinking {
    let native = reasoning.extras.get("thinking").and_then(|thinking| thinking.get("type")).is_some();
    match reasoning {
        _ if native => Thinking::Native,
        Reasoning { budget_tokens: Some(budget), .. } => Thinking::Budget(*budget),
        Reasoning { adaptive: true, .. } => Thinking::Adaptive,
        Reasoning { effort: Some(Effort::None), .. } => Thinking::Off,
        _ => Thinking::Unsaid,
    }
}

fn abroad(reasoning: &Reasoning, max_tokens: Option<u64>, ink: &mut Ink<'_>) -> Thinking {
    if ink.refuses("thinking") {
        ink.pen.drop("reasoning");
        return Thinking::Unsaid;
    }
    if reasoning.effort == Some(Effort::None) || (reasoning.effort.is_none() && reasoning.budget_tokens == Some(0)) {
        if ink.refuses("thinking.disabled") {
            ink.pen.drop("reasoning.effort");
            return Thinking::Unsaid;
        }
        return Thinking::Off;
    }
    let (no_budget, no_adaptive) = (ink.refuses("thinking.enabled"), ink.refuses("thinking.adaptive"));
    let wanted = match (reasoning.budget_tokens, reasoning.effort) {
        (Some(budget), _) if !no_budget => Some(budget),
        (None, Some(effort)) if no_adaptive && !no_budget => Some(budget_of(effort)),
        _ => None,
    };
    match wanted {
        Some(wanted) => fit(wanted, max_tokens, ink),
        None if no_adaptive => {
            ink.pen.drop("reasoning");
            Thinking::Unsaid
        }
        None => Thinking::Adaptive,
    }
}

/// `wanted` within what the wire takes; no thinking where the answer leaves no room for it.
fn fit(wanted: u64, max_tokens: Option<u64>, ink: &mut Ink<'_>) -> Thinking {
    let most = max_tokens.map_or(u64::MAX, |most| most.saturating_sub(1));
    if most < LEAST_BUDGET {
        ink.pen.drop("reasoning");
        return Thinking::Unsaid;
    }
    let budget = wanted.clamp(LEAST_BUDGET, most);
    if budget != wanted {
        ink.pen.weaken("reasoning.budget_tokens");
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

/// Writes `thinking` and the effort.
pub(super) fn thinking(request: &Request, limits: &Limits, ink: &mut Ink<'_>, body: &mut Extras) {
    let Some(reasoning) = &request.reasoning else { return };
    let mut value = match limits.thinking {
        Thinking::Unsaid => Extras::new(),
        Thinking::Native => match reasoning.extras.get("thinking") {
            Some(Value::Object(native)) => native.clone(),
            _ => Extras::new(),
        },
        Thinking::Off => block::typed("disabled"),
        Thinking::Adaptive => block::typed("adaptive"),
        Thinking::Budget(budget) => {
            let mut value = block::typed("enabled");
            value.insert("budget_tokens".to_owned(), budget.into());
            value
        }
    };
    let on = matches!(limits.thinking, Thinking::Adaptive | Thinking::Budget(_));
    let shown = reasoning.include.or_else(|| reasoning.summary.is_some().then_some(true));
    if let Some(shown) = shown.filter(|_| on || (ink.pen.home && !value.is_empty())) {
        value.insert("display".to_owned(), if shown { "summarized" } else { "omitted" }.into());
    }
    if reasoning.summary.as_deref().is_some_and(|summary| summary != "auto") {
        ink.pen.weaken("reasoning.summary");
    }
    let mut extras = reasoning.extras.clone();
    let (home_thinking, home_effort) = (extras.shift_remove("thinking"), extras.shift_remove("effort"));
    if let (true, false, Some(Value::Object(more))) = (ink.pen.home, value.is_empty(), &home_thinking) {
        value.extend(more.clone());
    }
    if !value.is_empty() {
        body.insert("thinking".to_owned(), Value::Object(value));
    }
    let effort = if ink.pen.home {
        home_effort.and_then(|word| word.as_str().map(str::to_owned)).or_else(|| home_word(reasoning))
    } else {
        effort_word(reasoning, limits.thinking, ink)
    };
    if let Some(word) = effort {
        body.insert("output_config".to_owned(), json!({"effort": word}));
    }
    if ink.pen.home {
        ink.pen.extras(&extras, "", body);
    } else {
        ink.pen.extras(&reasoning.extras, "reasoning", body);
    }
}

fn home_word(reasoning: &Reasoning) -> Option<String> {
    reasoning.effort.and_then(word).map(str::to_owned)
}

/// The effort beside adaptive thinking; a budget says it already.
fn effort_word(reasoning: &Reasoning, thinking: Thinking, ink: &mut Ink<'_>) -> Option<String> {
    if thinking == Thinking::Adaptive && reasoning.budget_tokens.is_some() {
        ink.pen.weaken("reasoning.budget_tokens");
    }
    let effort = match thinking {
        Thinking::Off | Thinking::Budget(_) | Thinking::Native => return None,
        Thinking::Adaptive | Thinking::Unsaid => reasoning.effort.or(reasoning.budget_tokens.map(effort_of))?,
    };
    if ["thinking", "thinking.adaptive", "output_config.effort"].iter().any(|form| ink.refuses(form)) {
        return None;
    }
    if effort == Effort::Minimal {
        ink.pen.weaken("reasoning.effort");
    }
    word(effort).map(str::to_owned)
}

const fn word(effort: Effort) -> Option<&'static str> {
    match effort {
        Effort::None => None,
        Effort::Minimal | Effort::Low => Some("low"),
        Effort::Medium => Some("medium"),
        Effort::High => Some("high"),
        Effort::Max => Some("xhigh"),
    }
}

/// Writes a demanded schema.
pub(super) fn output(output: &OutputFormat, ink: &mut Ink<'_>, body: &mut Extras) {
    let OutputFormat::Schema { name, description, schema, strict } = output else { return };
    let mut schema = schema.clone();
    if !ink.pen.home {
        if closed::close(&mut schema) {
            ink.pen.weaken("response_format.schema");
        }
        if *strict == Some(false) {
            ink.pen.weaken("response_format.strict");
        }
        // The wire names no schema, but a schema may name itself.
        for (key, words) in [("title", name), ("description", description)] {
            let (Some(words), Value::Object(map)) = (words, &mut schema) else { continue };
            match map.get(key) {
                None => {
                    map.insert(key.to_owned(), words.clone().into());
                }
                Some(own) if own == words.as_str() => {}
                Some(_) => ink.pen.drop(format!("response_format.{}", if key == "title" { "name" } else { key })),
            }
        }
    }
    let format = json!({"type": "json_schema", "schema": schema});
    let config = body.entry("output_config").or_insert_with(|| Value::Object(Extras::new()));
    if let Value::Object(config) = config {
        config.insert("format".to_owned(), format);
    }
}

/// Writes how to sample.
pub(super) fn sampling(sampling: &Sampling, limits: &Limits, ink: &mut Ink<'_>, body: &mut Extras) {
    if ink.pen.home {
        put(body, "temperature", sampling.temperature);
        put(body, "top_p", sampling.top_p);
        put(body, "top_k", sampling.top_k);
    } else {
        sampling_abroad(sampling, limits, ink, body);
    }
    let stops: Vec<&String> = sampling.stop.iter().filter(|stop| ink.pen.home || !stop.trim().is_empty()).collect();
    if stops.len() < sampling.stop.len() {
        // The wire takes no stop text of white space alone.
        ink.pen.weaken("stop");
    }
    if !stops.is_empty() {
        put(body, "stop_sequences", Some(json!(stops)));
    }
    let unsaid = [
        ("min_p", sampling.min_p.is_some_and(|share| share > 0.0)),
        ("frequency_penalty", sampling.frequency_penalty.is_some_and(|penalty| penalty != 0.0)),
        ("presence_penalty", sampling.presence_penalty.is_some_and(|penalty| penalty != 0.0)),
        ("seed", sampling.seed.is_some()),
        ("n", sampling.n.is_some_and(|n| n != 1)),
        ("logprobs", sampling.logprobs == Some(true)),
        ("top_logprobs", sampling.top_logprobs.is_some_and(|count| count > 0)),
    ];
    for (path, said) in unsaid {
        if said {
            ink.pen.drop(path);
        }
    }
}

fn sampling_abroad(sampling: &Sampling, limits: &Limits, ink: &mut Ink<'_>, body: &mut Extras) {
    let thinking = matches!(limits.thinking, Thinking::Adaptive | Thinking::Budget(_));
    if let Some(temperature) = sampling.temperature {
        if !thinking {
            if temperature > 1.0 {
                ink.pen.weaken("temperature");
            }
            put(body, "temperature", Some(temperature.clamp(0.0, 1.0)));
        } else if temperature != 1.0 {
            // A model that thinks samples at 1.
            ink.pen.drop("temperature");
        }
    }
    if let Some(top_p) = sampling.top_p {
        // Beside a temperature, or low beside thinking, it is refused. The whole nucleus says nothing.
        if !body.contains_key("temperature") && (!thinking || top_p >= 0.95) {
            put(body, "top_p", Some(top_p));
        } else if top_p < 1.0 {
            ink.pen.drop("top_p");
        }
    }
    match sampling.top_k {
        None => {}
        Some(_) if thinking => ink.pen.drop("top_k"),
        Some(top_k) => put(body, "top_k", Some(top_k)),
    }
}

/// Writes who asks and in which tier, and names the state that no provider of this wire keeps.
pub(super) fn account(request: &Request, ink: &mut Ink<'_>, body: &mut Extras) {
    let mut metadata = Extras::new();
    put(&mut metadata, "user_id", request.user.clone());
    if ink.pen.home {
        metadata.extend(request.metadata.clone());
    } else if !request.metadata.is_empty() {
        ink.pen.drop("metadata");
    }
    if !metadata.is_empty() {
        body.insert("metadata".to_owned(), Value::Object(metadata));
    }
    match request.service_tier.as_deref() {
        None => {}
        Some(tier @ ("auto" | "standard_only")) => put(body, "service_tier", Some(tier)),
        Some(tier) if ink.pen.home => put(body, "service_tier", Some(tier)),
        Some("default") => put(body, "service_tier", Some("standard_only")),
        Some(_) => ink.pen.drop("service_tier"),
    }
    if request.state.store == Some(true) {
        ink.pen.drop("store");
    }
    if request.state.previous.is_some() {
        ink.pen.drop("previous_response_id");
    }
    if request.state.conversation.is_some() {
        ink.pen.drop("conversation");
    }
}
