//! Writing everything beside the conversation: sampling, thinking, structured output, who asks.

use crate::Extras;
use crate::request::{Effort, OutputFormat, Reasoning, Request, Sampling};
use crate::wire::closed;
use crate::wire::writer::{Writer, join, put};
use serde_json::{Value, json};

/// In the request's extras: the client named the form `text`.
pub(super) const TEXT_FORMAT: &str = "~response_format";
/// In the request's extras: the schema stood under its older name.
pub(super) const SCHEMA_KEY: &str = "~schema";

/// Most stop texts the wire takes.
const MOST_STOPS: usize = 5;
/// Most candidates a token may be drawn from.
const MOST_CANDIDATES: u64 = 500;
/// The narrowest and the widest nucleus.
const NUCLEUS: (f64, f64) = (0.01, 0.99);

/// Writes how to sample.
pub(super) fn sampling(sampling: &Sampling, pen: &mut Writer, body: &mut Extras) {
    put(body, "max_tokens", sampling.max_output_tokens);
    put(body, "temperature", sampling.temperature);
    let within = |value: f64, (least, most): (f64, f64), path: &str, pen: &mut Writer| {
        if pen.home || (least..=most).contains(&value) {
            return value;
        }
        pen.weaken(path);
        value.clamp(least, most)
    };
    put(body, "p", sampling.top_p.map(|share| within(share, NUCLEUS, "top_p", pen)));
    if sampling.top_k.is_some_and(|count| count > MOST_CANDIDATES) && !pen.home {
        pen.weaken("top_k");
    }
    put(body, "k", sampling.top_k.map(|count| if pen.home { count } else { count.min(MOST_CANDIDATES) }));
    for (key, value) in
        [("frequency_penalty", sampling.frequency_penalty), ("presence_penalty", sampling.presence_penalty)]
    {
        put(body, key, value.map(|penalty| within(penalty, (0.0, 1.0), key, pen)));
    }
    let seed = sampling.seed.filter(|seed| pen.home || *seed >= 0);
    if seed != sampling.seed {
        pen.drop("seed");
    }
    put(body, "seed", seed);
    put(body, "logprobs", sampling.logprobs);
    match sampling.stop.as_slice() {
        [] => {}
        stops if pen.home || stops.len() <= MOST_STOPS => put(body, "stop_sequences", Some(stops.to_vec())),
        stops => {
            pen.weaken("stop");
            put(body, "stop_sequences", stops.get(..MOST_STOPS).map(<[String]>::to_vec));
        }
    }
    let unsaid = [
        ("min_p", sampling.min_p.is_some_and(|share| share > 0.0)),
        ("n", sampling.n.is_some_and(|n| n != 1)),
        ("top_logprobs", sampling.top_logprobs.is_some_and(|count| count > 0)),
    ];
    for (path, _) in unsaid.into_iter().filter(|(_, said)| *said) {
        pen.drop(path);
    }
}

/// Writes whether to think, and how much.
pub(super) fn thinking(reasoning: &Reasoning, pen: &mut Writer, body: &mut Extras) {
    let is_off = reasoning.effort == Some(Effort::None) || reasoning.budget_tokens == Some(0);
    let mut value = Extras::new();
    value.insert("type".to_owned(), if is_off { "disabled" } else { "enabled" }.into());
    put(&mut value, "token_budget", reasoning.budget_tokens.filter(|_| !is_off || pen.home));
    if !pen.home {
        if !is_off && reasoning.effort.is_some() && reasoning.budget_tokens.is_none() {
            pen.weaken("reasoning.effort");
        }
        if reasoning.summary.is_some() {
            pen.drop("reasoning.summary");
        }
        if reasoning.include.is_some() {
            pen.drop("reasoning.include");
        }
    }
    body.insert("thinking".to_owned(), Value::Object(value));
    if pen.home {
        join(body, &reasoning.extras);
    } else {
        pen.extras(&reasoning.extras, "reasoning", &mut Extras::new());
    }
}

/// Writes the form that the answer must have.
pub(super) fn output(request: &Request, pen: &mut Writer, body: &mut Extras) {
    let format = match &request.output {
        OutputFormat::Text if pen.home && request.extras.contains_key(TEXT_FORMAT) => json!({"type": "text"}),
        OutputFormat::Text => return,
        // The API refuses the two together.
        _ if body.contains_key("tools") && !pen.home => return pen.drop("response_format"),
        OutputFormat::Json => json!({"type": "json_object"}),
        OutputFormat::Schema { name, description, schema, strict } => {
            let mut schema = schema.clone();
            if !pen.home {
                closed::name_itself(&mut schema, name.as_deref(), description.as_deref(), pen);
                if *strict == Some(false) {
                    pen.weaken("response_format.strict");
                }
            }
            let is_older = pen.home && request.extras.contains_key(SCHEMA_KEY);
            json!({"type": "json_object", if is_older { "schema" } else { "json_schema" }: schema})
        }
    };
    body.insert("response_format".to_owned(), format);
}

/// Names what the wire has no place for: who asks, labels, tiers, state.
pub(super) fn account(request: &Request, pen: &mut Writer) {
    if request.user.is_some() {
        pen.drop("user");
    }
    if !request.metadata.is_empty() {
        pen.drop("metadata");
    }
    // The others are what happens when nothing is said.
    if request.service_tier.as_deref().is_some_and(|tier| !matches!(tier, "auto" | "default" | "standard")) {
        pen.drop("service_tier");
    }
    pen.stateless(&request.state);
}
