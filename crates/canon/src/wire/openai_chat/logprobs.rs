//! Log probabilities as both OpenAI wires write them.

use crate::event::{TokenLogprob, TopLogprob};
use crate::fields::{BadField, Fields};
use serde_json::{Value, json};

/// Reads the `content` list of a `logprobs` object.
pub(super) fn decode(value: Option<Value>) -> Result<Vec<TokenLogprob>, BadField> {
    let Some(value) = value else { return Ok(Vec::new()) };
    let mut fields = Fields::of(value, "logprobs")?;
    decode_tokens(fields.list("content")?)
}

/// Reads a list of tokens.
pub(in crate::wire) fn decode_tokens(list: Vec<Value>) -> Result<Vec<TokenLogprob>, BadField> {
    list.into_iter().map(token).collect()
}

fn token(value: Value) -> Result<TokenLogprob, BadField> {
    let mut fields = Fields::of(value, "logprobs.content")?;
    let top = fields.list("top_logprobs")?.into_iter().map(candidate).collect::<Result<_, _>>()?;
    Ok(TokenLogprob {
        token: fields.need_string("token")?,
        logprob: fields.f64("logprob")?.unwrap_or(f64::MIN),
        bytes: bytes(&mut fields)?,
        top,
    })
}

fn candidate(value: Value) -> Result<TopLogprob, BadField> {
    let mut fields = Fields::of(value, "logprobs.content.top_logprobs")?;
    Ok(TopLogprob {
        token: fields.need_string("token")?,
        logprob: fields.f64("logprob")?.unwrap_or(f64::MIN),
        bytes: bytes(&mut fields)?,
    })
}

fn bytes(fields: &mut Fields) -> Result<Option<Vec<u8>>, BadField> {
    if !fields.has("bytes") {
        return Ok(None);
    }
    let list = fields.list("bytes")?;
    let bytes = list.iter().map(|byte| byte.as_u64().and_then(|byte| u8::try_from(byte).ok())).collect();
    Option::<Vec<u8>>::map(bytes, Some).ok_or_else(|| BadField::new(fields.path_of("bytes"), "must be a list of bytes"))
}

/// Writes a `logprobs` object.
pub(super) fn encode(tokens: &[TokenLogprob]) -> Value {
    json!({"content": encode_tokens(tokens), "refusal": null})
}

/// Writes a list of tokens.
pub(in crate::wire) fn encode_tokens(tokens: &[TokenLogprob]) -> Vec<Value> {
    tokens
        .iter()
        .map(|token| {
            let top: Vec<Value> = token
                .top
                .iter()
                .map(|top| json!({"token": top.token, "logprob": top.logprob, "bytes": top.bytes}))
                .collect();
            json!({"token": token.token, "logprob": token.logprob, "bytes": token.bytes, "top_logprobs": top})
        })
        .collect()
}
