//! Writing everything of a request but its conversation. Answers echo these fields, so they are written apart.

use super::decode::{ENCRYPTED, LOGPROBS};
use crate::Extras;
use crate::request::{Effort, OutputFormat, Reasoning, Request, Sampling, Tool, ToolChoice};
use crate::wire::openai_responses::ID;
use crate::wire::openai_responses::items::HOME;
use crate::wire::openai_responses::usage;
use crate::wire::writer::{Writer, put};
use crate::wire::{Target, closed, openai};
use serde_json::{Value, json};

/// Fewest tokens that the wire takes as a limit.
const LEAST_OUTPUT: u64 = 16;

/// Writes the settings of `request` into `body`.
pub(in crate::wire::openai_responses) fn settings(
    request: &Request,
    target: &Target,
    pen: &mut Writer,
    body: &mut Extras,
) {
    let mut extras = request.extras.clone();
    let home = match extras.shift_remove(HOME) {
        Some(Value::Object(home)) if pen.home => home,
        _ => Extras::new(),
    };
    encode_tools(request, pen, body);
    encode_sampling(&request.sampling, target, pen, body);
    encode_text(request, pen, &mut extras, body);
    if let Some(reasoning) = &request.reasoning {
        encode_reasoning(reasoning, pen, body);
    }
    if let Some(said) = request.service_tier.as_deref() {
        match if pen.home { Some(said) } else { usage::tier(said) } {
            Some(tier) => put(body, "service_tier", Some(tier)),
            None => pen.drop("service_tier"),
        }
    }
    put(body, "user", request.user.clone());
    encode_state(request, pen, body);
    encode_include(request, &home, pen, &mut extras, body);
    for (key, value) in home.into_iter().filter(|(key, _)| key != "include") {
        body.insert(key, value);
    }
    openai::take_shared(request.origin, &mut extras, body);
    pen.extras(&extras, "", body);
}

fn encode_tools(request: &Request, pen: &mut Writer, body: &mut Extras) {
    let mut tools = Vec::new();
    for (index, tool) in request.tools.iter().enumerate() {
        let path = format!("tools[{index}]");
        match tool {
            Tool::Function { name, description, parameters, strict, cache, extras } => {
                let mut fields = Extras::new();
                fields.insert("type".to_owned(), "function".into());
                fields.insert("name".to_owned(), name.clone().into());
                put(&mut fields, "description", description.clone());
                fields.insert("parameters".to_owned(), parameters.clone().into());
                // Left out it means true here and false elsewhere.
                let strict = closed::strictness(*strict, parameters.as_ref(), true, &path, pen);
                put(&mut fields, "strict", strict.or((!pen.home).then_some(false)));
                if cache.is_some() {
                    pen.drop(format!("{path}.cache_control"));
                }
                pen.extras(extras, &path, &mut fields);
                tools.push(Value::Object(fields));
            }
            Tool::Native { body } if pen.home => tools.push(body.clone()),
            Tool::Native { .. } => pen.drop(path),
        }
    }
    let none = tools.is_empty();
    if !none {
        body.insert("tools".to_owned(), Value::Array(tools));
    }
    // Without tools a choice among them is refused.
    if none && !pen.home {
        if !matches!(request.tool_choice, None | Some(ToolChoice::Auto | ToolChoice::None)) {
            pen.drop("tool_choice");
        }
        return;
    }
    match &request.tool_choice {
        None => {}
        Some(ToolChoice::Auto) => put(body, "tool_choice", Some("auto")),
        Some(ToolChoice::None) => put(body, "tool_choice", Some("none")),
        Some(ToolChoice::Required) => put(body, "tool_choice", Some("required")),
        Some(ToolChoice::Function(name)) => {
            put(body, "tool_choice", Some(json!({"type": "function", "name": name})));
        }
        Some(ToolChoice::Native(value)) if pen.home => put(body, "tool_choice", Some(value.clone())),
        Some(ToolChoice::Native(_)) => pen.drop("tool_choice"),
    }
    put(body, "parallel_tool_calls", request.parallel_tool_calls);
}

fn encode_sampling(sampling: &Sampling, target: &Target, pen: &mut Writer, body: &mut Extras) {
    let limit = sampling.max_output_tokens.map(|limit| {
        if limit >= LEAST_OUTPUT || pen.home {
            return limit;
        }
        pen.weaken("max_output_tokens");
        LEAST_OUTPUT
    });
    put(body, "max_output_tokens", limit);
    put(body, "temperature", sampling.temperature);
    put(body, "top_p", sampling.top_p);
    if sampling.logprobs == Some(true) {
        put(body, "top_logprobs", sampling.top_logprobs);
    } else if sampling.top_logprobs.is_some() {
        pen.drop("top_logprobs");
    }
    let stop = (!sampling.stop.is_empty()).then(|| sampling.stop.clone());
    let unsaid: [(&str, Option<Value>); 7] = [
        ("top_k", sampling.top_k.map(Value::from)),
        ("min_p", sampling.min_p.map(Value::from)),
        ("frequency_penalty", sampling.frequency_penalty.map(Value::from)),
        ("presence_penalty", sampling.presence_penalty.map(Value::from)),
        ("seed", sampling.seed.map(Value::from)),
        ("stop", stop.map(Value::from)),
        // One answer is what this wire gives.
        ("n", sampling.n.filter(|n| *n > 1).map(Value::from)),
    ];
    for (key, value) in unsaid {
        match value {
            Some(value) if target.quirks.accepts(key) => put(body, key, Some(value)),
            Some(_) => pen.drop(key),
            None => {}
        }
    }
}

/// `text`: the form of the answer and how much of it.
fn encode_text(request: &Request, pen: &Writer, extras: &mut Extras, body: &mut Extras) {
    let mut format = match &request.output {
        OutputFormat::Text => Extras::new(),
        OutputFormat::Json => Extras::from_iter([("type".to_owned(), "json_object".into())]),
        OutputFormat::Schema { name, description, schema, strict } => {
            let mut format = Extras::new();
            format.insert("type".to_owned(), "json_schema".into());
            // The wire demands a name.
            format.insert("name".to_owned(), name.as_deref().unwrap_or("answer").into());
            put(&mut format, "description", description.clone());
            format.insert("schema".to_owned(), schema.clone());
            put(&mut format, "strict", *strict);
            format
        }
    };
    let mut text = Extras::new();
    if pen.home
        && let Some(Value::Object(more)) = extras.shift_remove("text")
    {
        text = more;
        if let Some(Value::Object(more)) = text.shift_remove("format") {
            format.extend(more);
        }
    }
    if !format.is_empty() {
        format.entry("type").or_insert_with(|| "text".into());
        text.insert("format".to_owned(), Value::Object(format));
    }
    if openai::is_family(request.origin)
        && let Some(verbosity) = extras.shift_remove("verbosity")
    {
        text.insert("verbosity".to_owned(), verbosity);
    }
    if !text.is_empty() {
        body.insert("text".to_owned(), Value::Object(text));
    }
}

fn encode_reasoning(reasoning: &Reasoning, pen: &mut Writer, body: &mut Extras) {
    let mut fields = Extras::new();
    let word = openai::effort(reasoning, pen).map(openai::effort_word);
    let own = reasoning.extras.get(HOME).filter(|_| pen.home && reasoning.effort == Some(Effort::Max));
    let own = own.and_then(|home| home.get("effort")).and_then(Value::as_str);
    put(&mut fields, "effort", own.or(word));
    let shown = (reasoning.include == Some(true)).then(|| "auto".to_owned());
    put(&mut fields, "summary", reasoning.summary.clone().or(shown));
    pen.extras(&reasoning.extras, "reasoning", &mut fields);
    if !fields.is_empty() || pen.home {
        body.insert("reasoning".to_owned(), Value::Object(fields));
    }
}

fn encode_state(request: &Request, pen: &mut Writer, body: &mut Extras) {
    // Left out it means true here and false elsewhere: nobody else's conversation is stored unasked.
    put(body, "store", request.state.store.or((!pen.home).then_some(false)));
    if !request.metadata.is_empty() {
        if pen.home || request.metadata.values().all(Value::is_string) {
            body.insert("metadata".to_owned(), Value::Object(request.metadata.clone()));
        } else {
            pen.drop("metadata");
        }
    }
    if pen.home {
        put(body, "previous_response_id", request.state.previous.clone());
        put(body, "conversation", request.state.conversation.clone());
        return;
    }
    for (key, said) in [
        ("previous_response_id", request.state.previous.is_some()),
        ("conversation", request.state.conversation.is_some()),
    ] {
        if said {
            pen.drop(key);
        }
    }
}

/// Whether thinking in the answer comes encrypted beside its words, to be sent back: as the client says at home, and
/// abroad for everyone who asked for thinking.
pub(in crate::wire::openai_responses) fn asks_for_seals(request: &Request) -> bool {
    if request.origin == ID {
        let include = request.extras.get(HOME).and_then(|home| home.get("include")).and_then(Value::as_array);
        return include.is_some_and(|list| list.iter().any(|word| word == ENCRYPTED));
    }
    request.reasoning.as_ref().is_some_and(|asked| asked.effort != Some(Effort::None))
}

fn encode_include(request: &Request, home: &Extras, pen: &Writer, extras: &mut Extras, body: &mut Extras) {
    let mut include = Vec::new();
    if pen.home {
        // The whole list is kept in its order; what stands in the extras is there to be named abroad.
        extras.shift_remove("include");
        include = home.get("include").and_then(Value::as_array).cloned().unwrap_or_default();
    } else if asks_for_seals(request) {
        // What is not stored must be sent back by the client, or the next turn thinks from the start.
        include.push(ENCRYPTED.into());
    }
    if request.sampling.logprobs == Some(true) && !include.iter().any(|item| item == LOGPROBS) {
        include.push(LOGPROBS.into());
    }
    if !include.is_empty() {
        body.insert("include".to_owned(), Value::Array(include));
    }
}
