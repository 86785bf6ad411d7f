//! Writing everything beside the conversation: limits, sampling, thinking, structured output, who asks. What the wire
//! itself has no field for stands among the model's own settings, in the words of its family.

use super::ink::Ink;
use crate::Extras;
use crate::request::{Effort, OutputFormat, Reasoning, Request, Sampling};
use crate::wire::bedrock_converse::block::Converse;
use crate::wire::bedrock_converse::model::Family;
use crate::wire::bedrock_converse::usage::TIERS;
use crate::wire::claude::{self, Thinking};
use crate::wire::turns::{self, Turn};
use crate::wire::writer::{Writer, join, put};
use crate::wire::{closed, openai};
use serde_json::{Value, json};

/// In the reasoning's extras: the client's own word for an effort.
pub(super) const EFFORT: &str = "~effort";
/// In the request's extras: the client's own spelling of its schema.
pub(super) const SCHEMA: &str = "~schema";

/// Most labels of a request, and most letters of one.
const MOST_LABELS: usize = 16;
const LONGEST_LABEL: usize = 256;

/// The effort that a word of `outputConfig` stands for.
pub(super) fn effort_of(word: &str) -> Option<Effort> {
    match word {
        "low" => Some(Effort::Low),
        "medium" => Some(Effort::Medium),
        "high" => Some(Effort::High),
        "xhigh" | "max" => Some(Effort::Max),
        _ => None,
    }
}

/// Writes limits, sampling and thinking, which hang together.
pub(super) fn inference(request: &Request, turns: &[Turn], ink: &mut Ink<'_>, body: &mut Extras) {
    let (mut config, mut more) = (Extras::new(), Extras::new());
    let thinking = think(request, turns, ink, body, &mut more);
    let sampling = &request.sampling;
    put(&mut config, "maxTokens", sampling.max_output_tokens);
    if ink.pen.home {
        put(&mut config, "temperature", sampling.temperature);
        put(&mut config, "topP", sampling.top_p);
        put(&mut more, "top_k", sampling.top_k);
    } else {
        sample(sampling, thinking, ink, &mut config, &mut more);
    }
    let stops: Vec<&String> = sampling.stop.iter().filter(|stop| ink.pen.home || !stop.trim().is_empty()).collect();
    if stops.len() < sampling.stop.len() {
        // No stop text of white space alone is taken.
        ink.pen.weaken("stop");
    }
    if !stops.is_empty() {
        config.insert("stopSequences".to_owned(), json!(stops));
    }
    ink.pen.unsaid(sampling);
    for (key, map) in [("inferenceConfig", config), ("additionalModelRequestFields", more)] {
        if !map.is_empty() {
            body.insert(key.to_owned(), Value::Object(map));
        }
    }
}

fn sample(sampling: &Sampling, thinking: Thinking, ink: &mut Ink<'_>, config: &mut Extras, more: &mut Extras) {
    let pen = &mut ink.pen;
    if ink.family == Family::Claude {
        let mut said = Extras::new();
        claude::sampling(sampling, thinking, pen, &mut said);
        put(config, "temperature", said.shift_remove("temperature"));
        put(config, "topP", said.shift_remove("top_p"));
        put(more, "top_k", said.shift_remove("top_k"));
        return;
    }
    for (key, path, value) in [("temperature", "temperature", sampling.temperature), ("topP", "top_p", sampling.top_p)]
    {
        if value.is_some_and(|value| value > 1.0) {
            pen.weaken(path);
        }
        put(config, key, value.map(|value| value.clamp(0.0, 1.0)));
    }
    let Some(top_k) = sampling.top_k else { return };
    match ink.family {
        Family::Nova => put(more, "inferenceConfig", Some(json!({"topK": top_k}))),
        Family::Mistral => put(more, "top_k", Some(top_k)),
        Family::Cohere => put(more, "k", Some(top_k)),
        Family::Claude | Family::OpenAi | Family::Other => pen.drop("top_k"),
    }
}

/// Writes the thinking that is asked for: among the model's own settings, and the effort of the answer.
fn think(request: &Request, turns: &[Turn], ink: &mut Ink<'_>, body: &mut Extras, more: &mut Extras) -> Thinking {
    let Some(reasoning) = &request.reasoning else { return Thinking::Unsaid };
    if !ink.pen.home && ink.family != Family::Claude {
        think_otherwise(reasoning, ink, more);
        ink.pen.extras(&reasoning.extras, "reasoning", body);
        return Thinking::Unsaid;
    }
    let asked = if ink.pen.home {
        match reasoning {
            Reasoning { budget_tokens: Some(budget), .. } => Thinking::Budget(*budget),
            Reasoning { adaptive: true, .. } => Thinking::Adaptive,
            Reasoning { effort: Some(Effort::None), .. } => Thinking::Off,
            _ => Thinking::Unsaid,
        }
    } else {
        claude::thinking(reasoning, request.sampling.max_output_tokens, &ink.target.quirks, &mut ink.pen)
    };
    let torn = turns::loop_without_thinking::<Converse>(turns);
    let thinking = claude::beside(asked, request, torn, &mut ink.pen);
    let mut value = claude::written(thinking);
    let shown = reasoning.include.or_else(|| reasoning.summary.is_some().then_some(true));
    let is_on = matches!(thinking, Thinking::Adaptive | Thinking::Budget(_));
    if let Some(shown) = shown.filter(|_| is_on || (ink.pen.home && !value.is_empty())) {
        value.insert("display".to_owned(), if shown { "summarized" } else { "omitted" }.into());
    }
    if reasoning.summary.as_deref().is_some_and(|summary| summary != "auto") {
        ink.pen.weaken("reasoning.summary");
    }
    if let (true, false, Some(Value::Object(rest))) = (ink.pen.home, value.is_empty(), reasoning.extras.get("thinking"))
    {
        join(&mut value, rest);
    }
    if !value.is_empty() {
        more.insert("thinking".to_owned(), Value::Object(value));
    }
    let effort = if ink.pen.home {
        reasoning.extras.get(EFFORT).and_then(Value::as_str)
    } else {
        ink.pen.extras(&reasoning.extras, "reasoning", body);
        claude::effort(reasoning, thinking, &ink.target.quirks, &mut ink.pen)
    };
    if let Some(word) = effort {
        body.insert("outputConfig".to_owned(), json!({"effort": word}));
    }
    thinking
}

/// Families that know an effort only.
fn think_otherwise(reasoning: &Reasoning, ink: &mut Ink<'_>, more: &mut Extras) {
    let pen = &mut ink.pen;
    match ink.family {
        Family::OpenAi | Family::Nova => {
            if let Some(effort) = openai::effort(reasoning, pen) {
                say_effort(effort, ink.family, pen, more);
            }
        }
        Family::Claude | Family::Mistral | Family::Cohere | Family::Other => pen.drop("reasoning"),
    }
    if reasoning.summary.is_some() {
        pen.drop("reasoning.summary");
    }
    if reasoning.include.is_some() {
        pen.drop("reasoning.include");
    }
}

fn say_effort(effort: Effort, family: Family, pen: &mut Writer, more: &mut Extras) {
    let word = match effort {
        Effort::None | Effort::Minimal | Effort::Low => "low",
        Effort::Medium => "medium",
        Effort::High | Effort::Max => "high",
    };
    let is_off = effort == Effort::None;
    if matches!(effort, Effort::Minimal | Effort::Max) || (is_off && family == Family::OpenAi) {
        pen.weaken("reasoning.effort");
    }
    let (key, value) = match family {
        Family::OpenAi => ("reasoning_effort", word.into()),
        _ if is_off => ("reasoningConfig", json!({"type": "disabled"})),
        _ => ("reasoningConfig", json!({"type": "enabled", "maxReasoningEffort": word})),
    };
    more.insert(key.to_owned(), value);
}

/// Writes a demanded schema.
pub(super) fn output(request: &Request, ink: &mut Ink<'_>, body: &mut Extras) {
    let OutputFormat::Schema { name, description, schema, strict } = &request.output else { return };
    let mut schema = schema.clone();
    if !ink.pen.home {
        if closed::close(&mut schema) {
            ink.pen.weaken("response_format.schema");
        }
        if *strict == Some(false) {
            ink.pen.weaken("response_format.strict");
        }
    }
    let spelled = request.extras.get(SCHEMA).and_then(Value::as_str).filter(|_| ink.pen.home).map(str::to_owned);
    let mut inner = Extras::new();
    inner.insert("schema".to_owned(), spelled.unwrap_or_else(|| schema.to_string()).into());
    put(&mut inner, "name", name.clone());
    put(&mut inner, "description", description.clone());
    let format = json!({"type": "json_schema", "structure": {"jsonSchema": inner}});
    let config = body.entry("outputConfig").or_insert_with(|| Value::Object(Extras::new()));
    if let Value::Object(config) = config {
        config.insert("textFormat".to_owned(), format);
    }
}

/// Writes in which tier, under which labels, and names what the wire has no place for.
pub(super) fn account(request: &Request, ink: &mut Ink<'_>, body: &mut Extras) {
    let pen = &mut ink.pen;
    let tier = match request.service_tier.as_deref() {
        // The account's own setting holds when nothing is said.
        Some("auto") if !pen.home => None,
        Some("standard" | "standard_only") if !pen.home => Some("default"),
        Some(tier) if !pen.home && !TIERS.contains(&tier) => {
            pen.drop("service_tier");
            None
        }
        tier => tier,
    };
    put(body, "serviceTier", tier.map(|tier| json!({"type": tier})));
    let mut labels = Extras::new();
    for (key, value) in &request.metadata {
        if pen.home || (labels.len() < MOST_LABELS && is_label(key) && value.as_str().is_some_and(is_label)) {
            labels.insert(key.clone(), value.clone());
        } else {
            pen.drop(format!("metadata.{key}"));
        }
    }
    if !labels.is_empty() {
        body.insert("requestMetadata".to_owned(), Value::Object(labels));
    }
    if request.user.is_some() {
        pen.drop("user");
    }
    pen.stateless(&request.state);
}

/// Whether the wire takes a text as a label.
fn is_label(text: &str) -> bool {
    let allowed = |c: char| c.is_ascii_alphanumeric() || c.is_ascii_whitespace() || ":_@$#=/+,-.".contains(c);
    !text.is_empty() && text.len() <= LONGEST_LABEL && text.chars().all(allowed)
}
