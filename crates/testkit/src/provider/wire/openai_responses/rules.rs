//! The rules between fields that OpenAI Responses enforces and no type says. Pure.

use super::shapes::{ASKED, FUNCTION, ITEMS, SAID, TOOLS};
use crate::provider::shape::{Problem, Refusal, check as shape};
use crate::provider::wire::openai_chat::closed;
use crate::provider::wire::{items, on, text};
use serde_json::Value;

type Check = Result<(), Refusal>;

/// Prefixes that the ids of items must have.
const PREFIXES: [(&str, &str); 5] = [
    ("message", "msg"),
    ("reasoning", "rs"),
    ("function_call", "fc"),
    ("custom_tool_call", "ctc"),
    ("web_search_call", "ws"),
];

/// Checks the rules on a body whose shape is already right.
pub(super) fn check(body: &Value) -> Check {
    let stored = ["previous_response_id", "conversation", "prompt"].iter().any(|key| set(body, key));
    if !set(body, "input") && !stored {
        return Err(Refusal::new("input", Problem::Missing));
    }
    if set(body, "previous_response_id") && set(body, "conversation") {
        return refuse("conversation", "Cannot specify both 'previous_response_id' and 'conversation'.");
    }
    tools(body)?;
    format(body)?;
    let list = items(body, "input");
    for (at, item) in list.iter().enumerate() {
        one(item, &format!("input[{at}]"))?;
    }
    answered(list, stored)
}

/// Encrypted thinking must be the server's own; without it, thinking is known to whoever stored it, and nobody did.
pub(super) fn seals(body: &Value, takes: impl Fn(&str) -> bool) -> Check {
    for (at, item) in items(body, "input").iter().enumerate().filter(|(_, item)| kind(item) == "reasoning") {
        let (path, id) = (format!("input[{at}]"), text(item, "id"));
        match text(item, "encrypted_content") {
            "" if set(body, "store") && !on(body, "store") => {
                let words = format!(
                    "Item with id '{id}' not found. Items are not persisted when `store` is set to false. Try again with `store` set to true, or remove this item from your input."
                );
                return Err(Refusal::rule("input", words, None));
            }
            seal if seal.is_empty() || takes(seal) => {}
            _ => {
                let words = format!(
                    "The encrypted content for item {id} could not be verified. Reason: Encrypted content organization_id did not match the target organization."
                );
                return Err(Refusal::rule(path, words, Some("invalid_encrypted_content")));
            }
        }
    }
    Ok(())
}

fn set(body: &Value, key: &str) -> bool {
    body.get(key).is_some_and(|value| !value.is_null())
}

fn refuse(path: impl Into<String>, message: impl Into<String>) -> Check {
    Err(Refusal::rule(path, message, Some("invalid_value")))
}

/// The word of an item; a message may leave it out.
pub(super) fn kind(item: &Value) -> &str {
    match text(item, "type") {
        "" if item.get("role").is_some() => "message",
        word => word,
    }
}

fn one(item: &Value, path: &str) -> Check {
    let word = kind(item);
    match (word, ITEMS.iter().find(|(known, _)| *known == word)) {
        ("message", _) if text(item, "role") == "assistant" => shape(item, &SAID, path)?,
        ("message", _) => shape(item, &ASKED, path)?,
        (_, Some((_, kind))) => shape(item, kind, path)?,
        (got, None) => {
            let known = ITEMS.iter().map(|(known, _)| *known).chain(["message"]).collect();
            return Err(Refusal::new(format!("{path}.type"), Problem::Word { got: got.to_owned(), known }));
        }
    }
    let id = text(item, "id");
    let prefix = PREFIXES.iter().find(|(known, _)| *known == word).map_or("", |(_, prefix)| prefix);
    if !id.is_empty() && !id.starts_with(prefix) {
        let words = format!("Invalid '{path}.id': '{id}'. Expected an ID that begins with '{prefix}'.");
        return refuse(format!("{path}.id"), words);
    }
    for (number, part) in items(item, "content").iter().chain(items(item, "output")).enumerate() {
        media(part, &format!("{path}.content[{number}]"))?;
    }
    Ok(())
}

/// Pictures are addresses or data, files have a name with their data.
fn media(part: &Value, path: &str) -> Check {
    match text(part, "type") {
        "input_image" => {
            let url = text(part, "image_url");
            let good = ["https://", "http://", "data:image/"].iter().any(|start| url.starts_with(start));
            if good || (url.is_empty() && set(part, "file_id")) {
                return Ok(());
            }
            refuse(format!("{path}.image_url"), "Expected a valid URL or base64-encoded image data.")
        }
        "input_file" => {
            let ways = ["file_data", "file_id", "file_url"].iter().filter(|key| set(part, key)).count();
            if ways != 1 || (set(part, "file_data") && !set(part, "filename")) {
                return refuse(path, "Expected one of 'file_id', 'file_url', or 'file_data' with 'filename'.");
            }
            Ok(())
        }
        _ => Ok(()),
    }
}

fn tools(body: &Value) -> Check {
    let list = items(body, "tools");
    for (at, tool) in list.iter().enumerate() {
        let path = format!("tools[{at}]");
        match text(tool, "type") {
            "function" => shape(tool, &FUNCTION, &path)?,
            word if TOOLS.contains(&word) => continue,
            word => {
                let problem = Problem::Word { got: word.to_owned(), known: TOOLS.to_vec() };
                return Err(Refusal::new(format!("{path}.type"), problem));
            }
        }
        if on(tool, "strict") {
            closed(tool.get("parameters").unwrap_or(&Value::Null), &format!("{path}.parameters"))?;
        }
    }
    let choice = body.get("tool_choice").unwrap_or(&Value::Null);
    if list.is_empty() && !matches!(choice.as_str(), Some("none" | "auto")) && !choice.is_null() {
        return refuse("tool_choice", "Tool choices other than 'none' and 'auto' must be specified with 'tools'.");
    }
    if text(choice, "type") == "function" && !list.iter().any(|tool| tool.get("name") == choice.get("name")) {
        return refuse(
            "tool_choice",
            format!("Tool choice '{}' not found in 'tools' parameter.", text(choice, "name")),
        );
    }
    Ok(())
}

fn format(body: &Value) -> Check {
    let Some(format) = body.pointer("/text/format") else { return Ok(()) };
    match text(format, "type") {
        "json_object" => {
            let said = format!("{}{}", body["input"], body["instructions"]).to_lowercase();
            if said.contains("json") {
                return Ok(());
            }
            refuse(
                "input",
                "Response input messages must contain the word 'json' in some form to use 'text.format' of type 'json_object'.",
            )
        }
        "json_schema" if on(format, "strict") => {
            closed(format.get("schema").unwrap_or(&Value::Null), "text.format.schema")
        }
        _ => Ok(()),
    }
}

/// Every call has its output, every output its call, unless the call is stored.
fn answered(list: &[Value], stored: bool) -> Check {
    for (call, output, words) in [
        ("function_call", "function_call_output", "function call"),
        ("custom_tool_call", "custom_tool_call_output", "custom tool call"),
    ] {
        let ids = |word: &str| -> Vec<&str> {
            list.iter().filter(|item| kind(item) == word).map(|item| text(item, "call_id")).collect()
        };
        let (calls, outputs) = (ids(call), ids(output));
        if let Some(id) = calls.iter().find(|id| !outputs.contains(id)) {
            return refuse("input", format!("No tool output found for {words} {id}."));
        }
        if let Some(id) = outputs.iter().find(|id| !stored && !calls.contains(id)) {
            return refuse("input", format!("No tool call found for {words} output with call_id {id}."));
        }
    }
    Ok(())
}
