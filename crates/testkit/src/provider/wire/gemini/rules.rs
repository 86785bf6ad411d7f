//! The rules between fields that Gemini enforces and no type says. Pure.

use crate::provider::shape::Refusal;
use crate::provider::wire::{items, on, text};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE};
use serde_json::Value;

type Check = Result<(), Refusal>;

/// What a part may hold; exactly one of these.
const DATA: [&str; 7] =
    ["text", "inlineData", "fileData", "functionCall", "functionResponse", "executableCode", "codeExecutionResult"];

/// What may stand in the place of a signature.
const UNSIGNED: &str = "skip_thought_signature_validator";

fn refuse(path: impl Into<String>, message: impl Into<String>) -> Check {
    Err(Refusal::rule(path, message, None))
}

/// Checks the rules on a body whose shape is already right, for `model`.
pub(super) fn check(body: &Value, model: &str) -> Check {
    config(body.get("generationConfig").unwrap_or(&Value::Null), model)?;
    tools(body)?;
    conversation(items(body, "contents"), model.starts_with("gemini-3"))
}

fn config(config: &Value, model: &str) -> Check {
    let has = |key: &str| config.get(key).is_some();
    if has("logprobs") && !on(config, "responseLogprobs") {
        return refuse("generation_config.logprobs", "logprobs is only supported when response_logprobs is true.");
    }
    let thinking = config.get("thinkingConfig").cloned().unwrap_or_default();
    if thinking.get("thinkingBudget").is_some() && thinking.get("thinkingLevel").is_some() {
        return refuse(
            "generation_config.thinking_config",
            "You can only set only one of thinking budget and thinking level.",
        );
    }
    if thinking.get("thinkingLevel").is_some() && model.starts_with("gemini-2") {
        return refuse("generation_config.thinking_config", "Thinking level is not supported for this model.");
    }
    let form = has("responseSchema") || has("responseJsonSchema");
    if has("responseSchema") && has("responseJsonSchema") {
        return refuse("generation_config", "response_schema and response_json_schema cannot both be set.");
    }
    if form && !matches!(text(config, "responseMimeType"), "application/json" | "text/x.enum") {
        return refuse("generation_config.response_schema", "only allowed with a response_mime_type of JSON or enum.");
    }
    Ok(())
}

fn tools(body: &Value) -> Check {
    let declared: Vec<&Value> =
        items(body, "tools").iter().flat_map(|tool| items(tool, "functionDeclarations")).collect();
    let mut names = Vec::new();
    for declaration in declared {
        let name = text(declaration, "name");
        let starts = name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_');
        if !starts || !name.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | '-' | ':')) {
            return refuse("tools.function_declarations.name", "Invalid function name.");
        }
        if names.contains(&name) {
            return refuse("tools.function_declarations", format!("Duplicate function declaration found: {name}"));
        }
        if declaration.get("parameters").is_some() && declaration.get("parametersJsonSchema").is_some() {
            return refuse("tools.function_declarations", "parameters and parameters_json_schema cannot both be set.");
        }
        names.push(name);
    }
    let Some(calling) = body.pointer("/toolConfig/functionCallingConfig") else { return Ok(()) };
    let (mode, allowed) = (text(calling, "mode"), items(calling, "allowedFunctionNames"));
    if !allowed.is_empty() && !matches!(mode, "ANY" | "VALIDATED") {
        return refuse("tool_config", "allowed_function_names should be set only when the mode is ANY or VALIDATED.");
    }
    if let Some(name) = allowed.iter().find(|name| !names.contains(&name.as_str().unwrap_or_default())) {
        return refuse("tool_config", format!("allowed_function_names has {name}, which is not declared."));
    }
    if mode == "ANY" && names.is_empty() {
        return refuse("tool_config", "Function calling mode ANY needs function declarations.");
    }
    Ok(())
}

fn count(content: &Value, key: &str) -> usize {
    items(content, "parts").iter().filter(|part| part.get(key).is_some()).count()
}

fn conversation(contents: &[Value], third: bool) -> Check {
    let mut calls = 0;
    for (at, content) in contents.iter().enumerate() {
        let path = format!("contents[{at}]");
        for (number, part) in items(content, "parts").iter().enumerate() {
            one(part, &format!("{path}.parts[{number}]"))?;
        }
        let results = count(content, "functionResponse");
        // A turn of the model that ends with a call is answered at once and completely.
        if results != calls {
            return refuse(
                path,
                "Please ensure that the number of function response parts is equal to the number of function call parts of the function call turn.",
            );
        }
        calls = count(content, "functionCall");
        if calls > 0 && text(content, "role") != "model" {
            return refuse(path, "Function calls are the model's.");
        }
        let first = items(content, "parts").iter().find(|part| part.get("functionCall").is_some());
        if third && first.is_some_and(|call| call.get("thoughtSignature").is_none()) {
            return refuse(path, "Function call is missing a thought_signature in functionCall parts.");
        }
        if calls > 0 && at == 0 {
            return refuse(
                path,
                "Please ensure that function call turn comes immediately after a user turn or after a function response turn.",
            );
        }
    }
    Ok(())
}

/// Signatures of thought must be the server's own, or the word that stands for none.
pub(super) fn seals(body: &Value, takes: impl Fn(&str) -> bool) -> Check {
    for (at, content) in items(body, "contents").iter().enumerate() {
        for part in items(content, "parts") {
            let seal = text(part, "thoughtSignature");
            if !seal.is_empty() && seal != UNSIGNED && !takes(seal) {
                return refuse(format!("contents[{at}]"), "Corrupted thought signature.");
            }
        }
    }
    Ok(())
}

fn one(part: &Value, path: &str) -> Check {
    if DATA.iter().filter(|key| part.get(**key).is_some()).count() != 1 {
        return refuse(path, "required oneof field 'data' must have one initialized field");
    }
    let bytes = |text: &str| STANDARD.decode(text).is_ok() || URL_SAFE.decode(text).is_ok();
    for (pointer, free) in [("/inlineData/data", ""), ("/thoughtSignature", UNSIGNED)] {
        let data = part.pointer(pointer).and_then(Value::as_str);
        if data.is_some_and(|data| data != free && !bytes(data)) {
            return refuse(format!("{path}{}", pointer.replace('/', ".")), "Base64 decoding failed.");
        }
    }
    Ok(())
}
