//! Whole answers of OpenAI Completions. The wire has words for text only: thinking is left out, a refusal is its words.

use super::echo;
use crate::Extras;
use crate::answer::{Choice, Response};
use crate::event::{Head, Stop, StopReason, TokenLogprob};
use crate::request::Part;
use crate::wire::{StreamTerms, openai_chat};
use serde_json::{Map, Value, json};

pub(super) fn encode(answer: &Response, terms: &StreamTerms) -> Value {
    let choices: Vec<Value> = answer.choices.iter().map(|choice| encode_choice(choice, echo(terms))).collect();
    let mut body = head(&answer.head, terms);
    body.insert("choices".to_owned(), choices.into());
    body.insert("usage".to_owned(), openai_chat::encode_usage(&answer.usage, false));
    Value::Object(body)
}

/// What every piece of an answer begins with.
pub(super) fn head(head: &Head, terms: &StreamTerms) -> Extras {
    let id = if head.id.is_empty() { &terms.id } else { &head.id };
    let mut body = Extras::new();
    body.insert("id".to_owned(), format!("cmpl-{}", id.trim_start_matches("chatcmpl-")).into());
    body.insert("object".to_owned(), "text_completion".into());
    body.insert("created".to_owned(), head.created.unwrap_or(terms.created).into());
    let model = if head.model.is_empty() { &terms.model } else { &head.model };
    body.insert("model".to_owned(), model.as_str().into());
    body
}

fn encode_choice(choice: &Choice, echo: &str) -> Value {
    let mut text = echo.to_owned();
    let mut probabilities: Vec<TokenLogprob> = Vec::new();
    for part in &choice.parts {
        match part {
            Part::Text { text: words, logprobs, .. } => {
                text.push_str(words);
                probabilities.extend_from_slice(logprobs);
            }
            Part::Refusal { text: words, .. } => text.push_str(words),
            _ => {}
        }
    }
    let mut offset = echo.chars().count();
    piece(choice.stop.choice, &text, logprobs(&probabilities, &mut offset), Some(stop_word(&choice.stop)))
}

/// One choice of an answer or of a chunk.
pub(super) fn piece(index: u32, text: &str, logprobs: Value, finish: Option<&str>) -> Value {
    json!({"text": text, "index": index, "logprobs": logprobs, "finish_reason": finish})
}

pub(super) fn stop_word(stop: &Stop) -> &'static str {
    match stop.reason {
        StopReason::Length | StopReason::Context => "length",
        StopReason::ContentFilter => "content_filter",
        _ => "stop",
    }
}

/// Log probabilities as this wire writes them; `offset` counts the characters said so far.
pub(super) fn logprobs(tokens: &[TokenLogprob], offset: &mut usize) -> Value {
    if tokens.is_empty() {
        return Value::Null;
    }
    let mut offsets = Vec::with_capacity(tokens.len());
    for token in tokens {
        offsets.push(*offset);
        *offset += token.token.chars().count();
    }
    let top = |token: &TokenLogprob| {
        token.top.iter().map(|top| (top.token.clone(), top.logprob.into())).collect::<Map<String, Value>>()
    };
    json!({
        "tokens": tokens.iter().map(|token| token.token.as_str()).collect::<Vec<_>>(),
        "token_logprobs": tokens.iter().map(|token| token.logprob).collect::<Vec<_>>(),
        "top_logprobs": tokens.iter().map(top).collect::<Vec<_>>(),
        "text_offset": offsets,
    })
}
