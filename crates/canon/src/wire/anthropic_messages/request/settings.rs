//! Writing everything beside the conversation: limits, thinking, structured output, sampling, who asks.

use super::ink::Ink;
use crate::Extras;
use crate::request::{Effort, OutputFormat, Reasoning, Request, Sampling};
use crate::wire::anthropic_messages::block::Anthropic;
use crate::wire::claude::{self, Thinking};
use crate::wire::closed;
use crate::wire::turns::{self, Turn};
use crate::wire::writer::put;
use serde_json::{Value, json};

/// Most tokens of an answer where nobody said: the wire demands a number.
const ANSWER_TOKENS: u64 = 4_096;
/// The same where thinking is on and counts against the limit.
const THINKING_TOKENS: u64 = 32_000;

/// What the limits and the thinking come to.
pub(super) struct Limits {
    /// Most tokens of the answer; `None` only at home, where the client left it out.
    pub(super) max_tokens: Option<u64>,
    thinking: Thinking,
}

/// Decides limits and thinking, which hang together.
pub(super) fn limits(request: &Request, turns: &[Turn], ink: &mut Ink<'_>) -> Limits {
    let said = request.sampling.max_output_tokens;
    let asked = match &request.reasoning {
        None => Thinking::Unsaid,
        Some(reasoning) if ink.pen.home => at_home(reasoning),
        Some(reasoning) => claude::thinking(reasoning, said, &ink.target.quirks, &mut ink.pen),
    };
    let thinking = claude::beside(asked, request, turns::loop_without_thinking::<Anthropic>(turns), &mut ink.pen);
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

/// Writes `thinking` and the effort.
pub(super) fn thinking(request: &Request, limits: &Limits, ink: &mut Ink<'_>, body: &mut Extras) {
    let Some(reasoning) = &request.reasoning else { return };
    let mut value = match limits.thinking {
        Thinking::Native => match reasoning.extras.get("thinking") {
            Some(Value::Object(native)) => native.clone(),
            _ => Extras::new(),
        },
        said => claude::written(said),
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
        claude::effort(reasoning, limits.thinking, &ink.target.quirks, &mut ink.pen).map(str::to_owned)
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
    reasoning.effort.and_then(claude::word).map(str::to_owned)
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
        closed::name_itself(&mut schema, name.as_deref(), description.as_deref(), &mut ink.pen);
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
        claude::sampling(sampling, limits.thinking, &mut ink.pen, body);
    }
    let stops: Vec<&String> = sampling.stop.iter().filter(|stop| ink.pen.home || !stop.trim().is_empty()).collect();
    if stops.len() < sampling.stop.len() {
        // The wire takes no stop text of white space alone.
        ink.pen.weaken("stop");
    }
    if !stops.is_empty() {
        put(body, "stop_sequences", Some(json!(stops)));
    }
    ink.pen.unsaid(sampling);
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
    ink.pen.stateless(&request.state);
}
