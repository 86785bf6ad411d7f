//! OpenAI's embeddings, as strict as its server: the field list of the official Python SDK 3.57.0
//! (`openai/types/embedding_create_params.py`). A vector is a digest of model and text, so that equal inputs have equal
//! vectors and those of two models never agree.

use crate::provider::reply::split_tokens;
use crate::provider::shape::{Field, Kind, Refusal, TEXT, WORDS, check, may, must};
use crate::provider::wire::Demand;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

const TOKENS: Kind = Kind::List { of: &Kind::Whole { min: 0, max: i64::MAX }, min: 1, max: 2048 };
const BODY: Kind = Kind::Object(FIELDS);
const FIELDS: &[Field] = &[
    must(
        "input",
        Kind::Either(&[
            WORDS,
            Kind::List { of: &WORDS, min: 1, max: 2048 },
            TOKENS,
            Kind::List { of: &TOKENS, min: 1, max: 2048 },
        ]),
    ),
    must("model", TEXT),
    may("dimensions", Kind::Whole { min: 1, max: 3072 }),
    may("encoding_format", Kind::Word(&["float", "base64"])),
    may("user", TEXT),
];
/// Numbers in a vector where the request does not say.
const DIMENSIONS: u64 = 16;

/// Checks `body` and answers it.
pub(super) fn answer(body: &Value) -> Result<Demand, Refusal> {
    check(body, &BODY, "")?;
    let model = body.get("model").and_then(Value::as_str).unwrap_or_default();
    let dimensions = body.get("dimensions").and_then(Value::as_u64).unwrap_or(DIMENSIONS);
    let in_base64 = body.get("encoding_format").and_then(Value::as_str) == Some("base64");
    let inputs = inputs(body.get("input").unwrap_or(&Value::Null));
    let count: u64 = inputs.iter().map(|(_, tokens)| tokens).sum();
    let data: Vec<Value> = (0_u64..)
        .zip(&inputs)
        .map(|(index, (text, _))| {
            let vector = vector(model, text, dimensions);
            let said = if in_base64 {
                let bytes: Vec<u8> = vector.iter().flat_map(|number| number.to_le_bytes()).collect();
                STANDARD.encode(bytes).into()
            } else {
                json!(vector)
            };
            json!({"object": "embedding", "index": index, "embedding": said})
        })
        .collect();
    let usage = json!({"prompt_tokens": count, "total_tokens": count});
    let body = json!({"object": "list", "data": data, "model": model, "usage": usage});
    Ok(Demand::Ready { model: model.to_owned(), body, input_tokens: count })
}

/// Each input with its tokens.
fn inputs(input: &Value) -> Vec<(String, u64)> {
    let text = |text: &str| (text.to_owned(), split_tokens(text).len() as u64);
    match input {
        Value::String(words) => vec![text(words)],
        Value::Array(list) if list.iter().all(Value::is_u64) => vec![(input.to_string(), list.len() as u64)],
        Value::Array(list) => list
            .iter()
            .map(|item| match item {
                Value::String(words) => text(words),
                tokens => (tokens.to_string(), tokens.as_array().map_or(0, Vec::len) as u64),
            })
            .collect(),
        _ => Vec::new(),
    }
}

fn vector(model: &str, text: &str, dimensions: u64) -> Vec<f32> {
    (0..dimensions)
        .map(|at| {
            let digest = Sha256::digest(format!("{model}\n{text}\n{at}"));
            f32::from(i16::from_le_bytes([digest[0], digest[1]])) / 32_768.0
        })
        .collect()
}
