//! Writing a request: what this wire can say is said, everything else becomes a named loss.
//! At home the client's own words stand as they are, so that the provider judges them and not we.

use super::ink::Ink;
use super::{messages, settings};
use crate::Extras;
use crate::request::{OutputFormat, Request, Tool, ToolChoice};
use crate::wire::bedrock_converse::block::Converse;
use crate::wire::closed::{self, JSON_MODE};
use crate::wire::turns::{self, Blocks, Turn};
use crate::wire::writer::put;
use crate::wire::{Encoded, Target};
use serde_json::{Value, json};

pub(in crate::wire::bedrock_converse) fn encode(request: &Request, target: &Target) -> Encoded {
    let mut ink = Ink::new(request, target);
    let tools = encode_tools(request, &mut ink);
    let (mut system, mut turns) = messages::encode(request, &mut ink);
    if request.output == OutputFormat::Json {
        ink.pen.emulate("response_format");
        system.push(Converse::text(JSON_MODE));
    }
    turns::mend::<Converse>(&mut turns, &mut system, target.quirks.no_prefill, &mut ink.pen);
    if !ink.pen.home {
        messages::accompany(&mut turns, &mut ink.pen);
    }

    let mut body = Extras::new();
    if !system.is_empty() {
        body.insert("system".to_owned(), Value::Array(system));
    }
    put_tools(request, tools, &turns, &mut ink, &mut body);
    settings::inference(request, &turns, &mut ink, &mut body);
    settings::output(request, &mut ink, &mut body);
    // A prompt that the service keeps needs none.
    if !turns.is_empty() || !ink.pen.home {
        body.insert("messages".to_owned(), turns.into_iter().map(messages::into_value).collect());
    }
    settings::account(request, &mut ink, &mut body);
    ink.pen.extras(&request.extras, "", &mut body);
    ink.pen.quirks(&target.quirks, &mut body);
    Encoded { body: Value::Object(body), losses: ink.pen.losses() }
}

fn encode_tools(request: &Request, ink: &mut Ink<'_>) -> Vec<Value> {
    let mut tools = Vec::new();
    for (index, tool) in request.tools.iter().enumerate() {
        let path = format!("tools[{index}]");
        match tool {
            Tool::Function { name, description, parameters, strict, cache, extras } => {
                let mut spec = Extras::new();
                spec.insert("name".to_owned(), name.clone().into());
                put(&mut spec, "description", description.clone().filter(|text| ink.pen.home || !text.is_empty()));
                let schema = input_schema(parameters.as_ref(), ink.pen.home);
                let strict = closed::strictness(*strict, schema.as_ref(), false, &path, &mut ink.pen);
                put(&mut spec, "inputSchema", schema.map(|schema| json!({"json": schema})));
                put(&mut spec, "strict", strict.filter(|strict| ink.pen.home || *strict));
                let body = Extras::from_iter([("toolSpec".to_owned(), Value::Object(spec))]);
                ink.finish(body, cache.as_ref(), extras, &path, &mut tools);
            }
            Tool::Native { body } if ink.pen.home => tools.push(body.clone()),
            Tool::Native { .. } => ink.pen.drop(path),
        }
    }
    tools
}

/// The wire demands a schema, and an object on top.
fn input_schema(parameters: Option<&Value>, home: bool) -> Option<Value> {
    match parameters {
        None => (!home).then(|| json!({"type": "object", "properties": {}})),
        Some(Value::Object(schema)) if !home && !schema.contains_key("type") => {
            let mut schema = schema.clone();
            schema.insert("type".to_owned(), "object".into());
            Some(Value::Object(schema))
        }
        Some(schema) => Some(schema.clone()),
    }
}

fn put_tools(request: &Request, mut tools: Vec<Value>, turns: &[Turn], ink: &mut Ink<'_>, body: &mut Extras) {
    let called = turns::called::<Converse>(turns);
    let mut choice = request.tool_choice.as_ref();
    if !ink.pen.home {
        if request.parallel_tool_calls == Some(false) && !tools.is_empty() {
            ink.pen.drop("parallel_tool_calls");
        }
        if choice == Some(&ToolChoice::None) && !tools.is_empty() {
            // The wire cannot forbid a call. A model that knows no tools makes none, but calls in the history want
            // their tools declared.
            if called.is_empty() {
                ink.pen.emulate("tool_choice");
                let said = request.tools.iter().enumerate().filter(|(_, tool)| matches!(tool, Tool::Function { .. }));
                said.for_each(|(index, _)| ink.pen.emulate(format!("tools[{index}]")));
                tools.clear();
            } else {
                ink.pen.drop("tool_choice");
            }
        }
        if tools.is_empty() {
            if matches!(choice, Some(ToolChoice::Required | ToolChoice::Function(_) | ToolChoice::Native(_))) {
                ink.pen.drop("tool_choice");
            }
            choice = None;
            if !called.is_empty() {
                ink.pen.emulate("tools");
                let spec =
                    |name: &&str| json!({"toolSpec": {"name": name, "inputSchema": {"json": {"type": "object"}}}});
                tools = called.iter().map(spec).collect();
            }
        }
    }
    let mut config = Extras::new();
    if !tools.is_empty() {
        config.insert("tools".to_owned(), Value::Array(tools));
    }
    let choice = match choice {
        Some(ToolChoice::Auto) => Some(json!({"auto": {}})),
        Some(ToolChoice::Required) => Some(json!({"any": {}})),
        Some(ToolChoice::Function(name)) => Some(json!({"tool": {"name": name}})),
        Some(ToolChoice::Native(value)) if ink.pen.home => Some(value.clone()),
        Some(ToolChoice::Native(_)) => {
            ink.pen.drop("tool_choice");
            None
        }
        Some(ToolChoice::None) | None => None,
    };
    put(&mut config, "toolChoice", choice);
    if !config.is_empty() {
        body.insert("toolConfig".to_owned(), Value::Object(config));
    }
}
