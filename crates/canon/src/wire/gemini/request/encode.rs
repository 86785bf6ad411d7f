//! Writing a request: what this wire can say is said, everything else becomes a named loss.

use super::{contents, settings};
use crate::Extras;
use crate::request::{Request, Tool, ToolChoice};
use crate::wire::gemini::ID;
use crate::wire::writer::{Writer, put};
use crate::wire::{Encoded, Target, orphans};
use serde_json::{Value, json};

pub(in crate::wire::gemini) fn encode(request: &Request, target: &Target) -> Encoded {
    let mut pen = Writer::new(request.origin, ID);
    let request = &*orphans::mend(request, &mut pen);
    let mut body = Extras::new();
    let (mut system, contents) = contents::encode(request, target, &mut pen);
    if settings::refuses_form(request, target, pen.home)
        && let Some(words) = settings::form_in_words(&request.output)
    {
        let text = json!({"text": words});
        match system.as_mut().and_then(|system| system.get_mut("parts")).and_then(Value::as_array_mut) {
            Some(parts) => parts.push(text),
            None => system = Some(json!({"parts": [text]})),
        }
    }
    body.insert("contents".to_owned(), Value::Array(contents));
    put(&mut body, "systemInstruction", system);
    encode_tools(request, &mut pen, &mut body);
    let config = settings::encode(request, target, &mut pen);
    if !config.is_empty() {
        body.insert("generationConfig".to_owned(), Value::Object(config));
    }
    encode_state(request, &mut pen, &mut body);
    encode_extras(&request.extras, &mut pen, &mut body);
    pen.quirks(&target.quirks, &mut body);
    Encoded { body: Value::Object(body), losses: pen.losses() }
}

/// Extras that belong into an object carry its path in their name.
fn encode_extras(extras: &Extras, pen: &mut Writer, body: &mut Extras) {
    let mut flat = Extras::new();
    pen.extras(extras, "", &mut flat);
    for (key, value) in flat {
        let place = ["generationConfig", "toolConfig.functionCallingConfig", "toolConfig"]
            .into_iter()
            .find_map(|path| Some((path, key.strip_prefix(path)?.strip_prefix('.')?)));
        match place {
            Some((path, name)) => {
                let inner = path.split('.').try_fold(&mut *body, |body, key| {
                    body.entry(key).or_insert_with(|| Value::Object(Extras::new())).as_object_mut()
                });
                if let Some(inner) = inner {
                    inner.insert(name.to_owned(), value);
                }
            }
            None => {
                body.insert(key, value);
            }
        }
    }
}

fn encode_state(request: &Request, pen: &mut Writer, body: &mut Extras) {
    match request.service_tier.as_deref() {
        Some("auto") if !pen.home => {}
        Some("default") if !pen.home => put(body, "serviceTier", Some("standard")),
        Some(tier @ ("flex" | "priority" | "standard")) => put(body, "serviceTier", Some(tier)),
        Some(tier) if pen.home => put(body, "serviceTier", Some(tier)),
        Some(_) => pen.drop("service_tier"),
        None => {}
    }
    if pen.home {
        put(body, "store", request.state.store);
    } else if request.state.store == Some(true) {
        pen.drop("store");
    }
    if request.user.is_some() {
        pen.drop("user");
    }
    if !request.metadata.is_empty() {
        pen.drop("metadata");
    }
    if request.state.previous.is_some() {
        pen.drop("previous_response_id");
    }
    if request.state.conversation.is_some() {
        pen.drop("conversation");
    }
    if request.parallel_tool_calls == Some(false) && !request.tools.is_empty() {
        pen.drop("parallel_tool_calls");
    }
}

fn encode_tools(request: &Request, pen: &mut Writer, body: &mut Extras) {
    // Entries with the group they were read from.
    let mut entries: Vec<(Option<u64>, Extras)> = Vec::new();
    for (index, tool) in request.tools.iter().enumerate() {
        let path = format!("tools[{index}]");
        match tool {
            Tool::Function { extras, .. } => {
                let group = extras.get("~group").filter(|_| pen.home).and_then(Value::as_u64).unwrap_or(0);
                let declaration = encode_function(tool, &path, pen);
                let entry = entry(&mut entries, group);
                let list = entry.entry("functionDeclarations").or_insert_with(|| Value::Array(Vec::new()));
                if let Some(list) = list.as_array_mut() {
                    list.push(declaration);
                }
            }
            Tool::Native { body } if pen.home => {
                let mut fields = body.as_object().cloned().unwrap_or_default();
                match fields.shift_remove("~group").and_then(|group| group.as_u64()) {
                    Some(group) => entry(&mut entries, group).extend(fields),
                    None => entries.push((None, fields)),
                }
            }
            Tool::Native { .. } => pen.drop(path),
        }
    }
    if !entries.is_empty() {
        let tools = entries.into_iter().map(|(_, fields)| Value::Object(fields)).collect();
        body.insert("tools".to_owned(), Value::Array(tools));
    }
    if let Some(choice) = &request.tool_choice {
        encode_choice(choice, pen, body);
    }
}

fn entry(entries: &mut Vec<(Option<u64>, Extras)>, group: u64) -> &mut Extras {
    let at = entries.iter().position(|(theirs, _)| *theirs == Some(group)).unwrap_or_else(|| {
        entries.push((Some(group), Extras::new()));
        entries.len() - 1
    });
    &mut entries[at].1
}

fn encode_function(tool: &Tool, path: &str, pen: &mut Writer) -> Value {
    let mut fields = Extras::new();
    let Tool::Function { name, description, parameters, strict, cache, extras } = tool else {
        return Value::Object(fields);
    };
    fields.insert("name".to_owned(), name.clone().into());
    put(&mut fields, "description", description.clone());
    match extras.get("~parameters").filter(|_| pen.home) {
        Some(theirs) => put(&mut fields, "parameters", Some(theirs.clone())),
        None => put(&mut fields, "parametersJsonSchema", parameters.clone()),
    }
    if *strict == Some(true) {
        pen.drop(format!("{path}.strict"));
    }
    if cache.is_some() {
        pen.drop(format!("{path}.cache_control"));
    }
    pen.extras(extras, path, &mut fields);
    Value::Object(fields)
}

fn encode_choice(choice: &ToolChoice, pen: &mut Writer, body: &mut Extras) {
    let config = match choice {
        // Abroad, a demand on tools that were all dropped is refused.
        _ if !pen.home && !body.contains_key("tools") => return,
        ToolChoice::Auto => json!({"mode": "AUTO"}),
        ToolChoice::None => json!({"mode": "NONE"}),
        ToolChoice::Required => json!({"mode": "ANY"}),
        ToolChoice::Function(name) => json!({"mode": "ANY", "allowedFunctionNames": [name]}),
        ToolChoice::Native(config) if pen.home => config.clone(),
        ToolChoice::Native(_) => {
            pen.drop("tool_choice");
            return;
        }
    };
    body.insert("toolConfig".to_owned(), json!({"functionCallingConfig": config}));
}
