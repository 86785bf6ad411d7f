//! Writing a request: what this wire can say is said, everything else becomes a named loss.
//! At home the client's own words stand as they are, so that the provider judges them and not we.

use super::ink::Ink;
use super::{messages, settings};
use crate::Extras;
use crate::json;
use crate::request::{OutputFormat, Request, Tool, ToolChoice};
use crate::wire::anthropic_messages::VERTEX_VERSION;
use crate::wire::anthropic_messages::block::Anthropic;
use crate::wire::closed::{self, JSON_MODE};
use crate::wire::turns::{self, Turn};
use crate::wire::writer::put;
use crate::wire::{Encoded, Target, Written};
use serde_json::{Value, json};

pub(in crate::wire::anthropic_messages) fn encode(request: &Request, target: &Target) -> Encoded {
    let mut ink = Ink::new(request, target);
    let tools = encode_tools(request, &mut ink);
    let (mut system, mut turns) = messages::encode(request, &mut ink);
    if request.output == OutputFormat::Json {
        ink.pen.emulate("response_format");
        system.push(json!({"type": "text", "text": JSON_MODE}));
    }
    turns::mend::<Anthropic>(&mut turns, &mut system, target.quirks.no_prefill, &mut ink.pen);
    encode_around(request, tools, system, turns, ink)
}

/// Writes bytes: a conversation of nothing but words, however long, goes from the canon straight to the text.
pub(in crate::wire::anthropic_messages) fn write(request: &Request, target: &Target) -> Written {
    let Some(words) = messages::words_only(request) else {
        let Encoded { body, losses } = encode(request, target);
        return Written { body: json::text(&body), losses };
    };
    let mut ink = Ink::new(request, target);
    let tools = encode_tools(request, &mut ink);
    let Encoded { body, losses } = encode_around(request, tools, words.system(), Vec::new(), ink);
    let mut out = Vec::with_capacity(words.bytes() + 512);
    out.push(b'{');
    for (key, value) in body.as_object().into_iter().flatten() {
        if out.len() > 1 {
            out.push(b',');
        }
        json::string(key, &mut out);
        out.push(b':');
        if key == "messages" { words.write(&mut out) } else { json::write(value, &mut out) }
    }
    out.push(b'}');
    Written { body: out, losses }
}

/// Writes everything around the conversation, and that.
fn encode_around(
    request: &Request,
    tools: Vec<Value>,
    system: Vec<Value>,
    turns: Vec<Turn>,
    mut ink: Ink<'_>,
) -> Encoded {
    let target = ink.target;
    let limits = settings::limits(request, &turns, &mut ink);

    let mut body = Extras::new();
    body.insert("model".to_owned(), target.model.clone().into());
    put(&mut body, "max_tokens", limits.max_tokens);
    if !system.is_empty() {
        body.insert("system".to_owned(), messages::plain_or_list(system));
    }
    put_tools(request, tools, &turns, &mut ink, &mut body);
    body.insert("messages".to_owned(), turns.into_iter().map(messages::into_value).collect());
    settings::thinking(request, &limits, &mut ink, &mut body);
    settings::output(&request.output, &mut ink, &mut body);
    settings::sampling(&request.sampling, &limits, &mut ink, &mut body);
    if request.stream {
        body.insert("stream".to_owned(), true.into());
    }
    settings::account(request, &mut ink, &mut body);
    ink.pen.extras(&request.extras, "", &mut body);
    ink.pen.quirks(&target.quirks, &mut body);
    if target.quirks.model_in_path {
        body.shift_remove("model");
        body.insert("anthropic_version".to_owned(), VERTEX_VERSION.into());
    }
    Encoded { body: Value::Object(body), losses: ink.pen.losses() }
}

fn encode_tools(request: &Request, ink: &mut Ink<'_>) -> Vec<Value> {
    let mut tools = Vec::new();
    for (index, tool) in request.tools.iter().enumerate() {
        let path = format!("tools[{index}]");
        match tool {
            Tool::Function { name, description, parameters, strict, cache, extras } => {
                let mut body = Extras::new();
                body.insert("name".to_owned(), name.clone().into());
                put(&mut body, "description", description.clone());
                let schema = input_schema(parameters.as_ref(), ink.pen.home);
                let strict = closed::strictness(*strict, Some(&schema), false, &path, &mut ink.pen);
                body.insert("input_schema".to_owned(), schema);
                put(&mut body, "strict", strict.filter(|strict| ink.pen.home || *strict));
                tools.push(ink.finish(body, cache.as_ref(), extras, &path));
            }
            Tool::Native { body } if ink.pen.home => tools.push(body.clone()),
            Tool::Native { .. } => ink.pen.drop(path),
        }
    }
    tools
}

/// The wire demands a schema, and an object on top.
fn input_schema(parameters: Option<&Value>, home: bool) -> Value {
    match parameters {
        None => json!({"type": "object", "properties": {}}),
        Some(schema) if home => schema.clone(),
        Some(Value::Object(schema)) if !schema.contains_key("type") => {
            let mut schema = schema.clone();
            schema.insert("type".to_owned(), "object".into());
            Value::Object(schema)
        }
        Some(schema) => schema.clone(),
    }
}

fn put_tools(request: &Request, tools: Vec<Value>, turns: &[Turn], ink: &mut Ink<'_>, body: &mut Extras) {
    if !tools.is_empty() {
        body.insert("tools".to_owned(), Value::Array(tools));
    } else if !ink.pen.home {
        // Calls in the history want their tools declared; nobody may call them now.
        let names = turns::called::<Anthropic>(turns);
        if !names.is_empty() {
            ink.pen.emulate("tools");
            let tools = names.iter().map(|name| json!({"name": name, "input_schema": {"type": "object"}})).collect();
            body.insert("tools".to_owned(), tools);
            body.insert("tool_choice".to_owned(), json!({"type": "none"}));
        }
        if matches!(request.tool_choice, Some(ToolChoice::Required | ToolChoice::Function(_) | ToolChoice::Native(_))) {
            ink.pen.drop("tool_choice");
        }
        return;
    }
    let alone = request.parallel_tool_calls.map(|parallel| !parallel);
    let mut choice = match &request.tool_choice {
        Some(ToolChoice::Auto) => json!({"type": "auto"}),
        Some(ToolChoice::None) => json!({"type": "none"}),
        Some(ToolChoice::Required) => json!({"type": "any"}),
        Some(ToolChoice::Function(name)) => json!({"type": "tool", "name": name}),
        Some(ToolChoice::Native(value)) if ink.pen.home => value.clone(),
        Some(ToolChoice::Native(_)) => {
            ink.pen.drop("tool_choice");
            json!({"type": "auto"})
        }
        None if alone == Some(true) => json!({"type": "auto"}),
        None => return,
    };
    if let (Value::Object(choice), Some(alone)) = (&mut choice, alone)
        && choice.get("type").and_then(Value::as_str) != Some("none")
        && (alone || ink.pen.home)
    {
        choice.insert("disable_parallel_tool_use".to_owned(), alone.into());
    }
    body.insert("tool_choice".to_owned(), choice);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::{Dialect, Params, openai_chat::OpenAiChat};
    use proptest::prelude::*;

    proptest! {
        /// Bytes are read and written as trees are, whatever is said by whom.
        #[test]
        fn words_alone_go_the_same_way(
            turns in prop::collection::vec(
                (prop::sample::select(vec!["system", "developer", "user", "user", "assistant", "assistant", "tool"]),
                    prop_oneof![3 => "\\PC{1,40}", 1 => "[ \n\"\\\\]{0,3}"], 0..12_u8),
                0..7),
            no_prefill in any::<bool>(),
            json_mode in any::<bool>(),
            model_in_path in any::<bool>(),
        ) {
            let turns = turns.into_iter().map(|(role, text, more)| match more {
                0 => json!({"role": role, "content": [{"type": "text", "text": text}]}),
                1 => json!({"role": role, "content": text, "name": "a"}),
                2 => json!({"content": text, "role": role, "x": 1}),
                _ => json!({"content": text, "role": role}),
            });
            let mut body = json!({"model": "m", "messages": turns.collect::<Vec<_>>(), "max_tokens": 9});
            if json_mode {
                body["response_format"] = json!({"type": "json_object"});
            }
            let read = OpenAiChat.read_request(&Params::default(), body.to_string().as_bytes());
            prop_assert_eq!(&read, &OpenAiChat.decode_request(&Params::default(), body));
            let Ok(request) = read else { return Ok(()) };
            let mut target = Target { model: "m".to_owned(), ..Target::default() };
            (target.quirks.no_prefill, target.quirks.model_in_path) = (no_prefill, model_in_path);
            let (encoded, written) = (encode(&request, &target), write(&request, &target));
            prop_assert_eq!(encoded.body.to_string().into_bytes(), written.body);
            prop_assert_eq!(encoded.losses, written.losses);
        }
    }
}
