//! Requests of Gemini: a look in place (`peek`), a full read (`decode`), and writing (`encode`).

mod contents;
mod decode;
mod encode;
mod settings;

pub(super) use contents::is_signed;
pub(super) use decode::decode;
pub(super) use encode::encode;

use crate::facets::Peek;
use crate::fields::BadField;
use crate::wire::Params;
use crate::wire::look::{self, Look};
use serde_json::Value;

/// Looks into a body in place.
pub(super) fn peek(params: &Params, body: &[u8]) -> Result<Peek, BadField> {
    // Without `alt=sse` this wire streams one list.
    let listed = params.stream && !params.query.split('&').any(|pair| pair == "alt=sse");
    let mut peek = Peek { stream: params.stream, listed, stream_usage: true, ..Peek::default() };
    peek.facets.choices = 1;
    peek.facets.input_tokens = look::estimate_tokens(body.len());
    let mut contents = false;
    look::top_level(body, |key, value| {
        contents |= matches!(key, "contents" | "generateContentRequest" | "generate_content_request");
        field(key, &value, &mut peek)
    })?;
    if params.model.is_some() {
        peek.model.clone_from(&params.model);
    }
    if peek.model.is_none() {
        return Err(look::no_model());
    }
    if !contents {
        return Err(BadField::new("contents", "is missing"));
    }
    Ok(peek)
}

fn field(key: &str, value: &Look<'_>, peek: &mut Peek) -> Result<(), BadField> {
    let facets = &mut peek.facets;
    match key {
        "model" => {
            peek.model = value.string(key)?;
            peek.model_at = Some(value.range());
        }
        "contents" => {
            if !value.raw().starts_with('[') {
                return Err(BadField::new(key, "must be a list"));
            }
            let keys = ["\"inlineData\"", "\"inline_data\"", "\"fileData\"", "\"file_data\""];
            if keys.iter().any(|key| value.mentions(key)) {
                facets.images = value.mentions("\"image/");
                facets.audio = value.mentions("\"audio/");
                facets.documents = value.mentions("\"application/") || value.mentions("\"text/");
            }
        }
        "tools" => facets.tools = value.is_filled(),
        "serviceTier" | "service_tier" => facets.service_tier = look::class(value.string(key)?),
        "cachedContent" | "cached_content" => facets.state = !value.is_null(),
        "generationConfig" | "generation_config" if !value.is_null() => {
            value.fields(|key, value| setting(key, &value, peek))?;
        }
        "generateContentRequest" | "generate_content_request" => {
            value.fields(|key, value| {
                // A place inside is no place in the body.
                field(key, &value, peek).map(|()| peek.model_at = None)
            })?;
        }
        _ => {}
    }
    Ok(())
}

fn setting(key: &str, value: &Look<'_>, peek: &mut Peek) -> Result<(), BadField> {
    let facets = &mut peek.facets;
    match key {
        "responseMimeType" | "response_mime_type" => {
            facets.structured |= value.string(key)?.is_some_and(|mime| mime != "text/plain");
        }
        "responseSchema" | "response_schema" | "responseJsonSchema" | "response_json_schema" => {
            facets.structured |= !value.is_null();
        }
        "thinkingConfig" | "thinking_config" if !value.is_null() => {
            value.fields(|key, value| {
                facets.reasoning |= match key {
                    "thinkingBudget" | "thinking_budget" => !matches!(value.raw(), "0" | "null"),
                    "thinkingLevel" | "thinking_level" => !value.is_null(),
                    _ => false,
                };
                Ok(())
            })?;
        }
        "candidateCount" | "candidate_count" => {
            facets.choices = value.whole(key)?.and_then(|n| u32::try_from(n).ok()).unwrap_or(1);
        }
        "maxOutputTokens" | "max_output_tokens" => facets.max_output_tokens = value.whole(key)?,
        "responseLogprobs" | "response_logprobs" => facets.logprobs = value.flag(key)?,
        _ => {}
    }
    Ok(())
}

/// The words of a tool's result that holds nothing else: `{"output": "…"}` or `{"error": "…"}`.
fn words(response: &Value) -> Option<&str> {
    let fields = response.as_object().filter(|fields| fields.len() == 1)?;
    fields.get("output").or_else(|| fields.get("error"))?.as_str()
}
