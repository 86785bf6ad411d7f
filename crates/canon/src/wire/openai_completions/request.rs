//! Requests of OpenAI Completions: a look in place and a full read.

use super::ID;
use crate::facets::Peek;
use crate::fields::{BadField, Fields};
use crate::request::{Message, Request, Role, Sampling};
use crate::wire::look;
use crate::wire::openai_chat;
use crate::wire::writer::keep;
use serde_json::Value;

/// Whether the prompt is to be repeated before the answer.
pub(super) const ECHO: &str = "echo";

/// The API's own bound where the client sets none.
const DEFAULT_TOKENS: u64 = 16;

/// Looks into a body in place.
pub(super) fn peek(body: &[u8]) -> Result<Peek, BadField> {
    let mut prompt = false;
    let mut peek = look::request(body, Peek::default(), |key, value, peek| {
        match key {
            "prompt" => prompt = !value.is_null(),
            "stream" => peek.stream = value.flag(key)?,
            "stream_options" => peek.stream_usage = value.mentions("\"include_usage\":true"),
            "n" => peek.facets.choices = value.whole(key)?.and_then(|n| u32::try_from(n).ok()).unwrap_or(1),
            "logprobs" => peek.facets.logprobs = value.whole(key)?.is_some(),
            "max_tokens" => peek.facets.max_output_tokens = value.whole(key)?,
            _ => {}
        }
        Ok(())
    })?;
    if !prompt {
        return Err(BadField::new("prompt", "is missing: send one text"));
    }
    peek.facets.max_output_tokens.get_or_insert(DEFAULT_TOKENS);
    Ok(peek)
}

pub(super) fn decode(body: Value) -> Result<Request, BadField> {
    let mut fields = Fields::of(body, "")?;
    let mut request = Request::new(ID, fields.need_string("model")?);
    request.messages.push(Message::text(Role::User, prompt(&mut fields)?));
    let probabilities = fields.u32("logprobs")?;
    request.sampling = Sampling {
        max_output_tokens: fields.u64("max_tokens")?.or(Some(DEFAULT_TOKENS)),
        temperature: fields.f64("temperature")?,
        top_p: fields.f64("top_p")?,
        top_k: fields.u64("top_k")?,
        min_p: fields.f64("min_p")?,
        frequency_penalty: fields.f64("frequency_penalty")?,
        presence_penalty: fields.f64("presence_penalty")?,
        seed: fields.i64("seed")?,
        stop: openai_chat::decode_stop(&mut fields)?,
        n: fields.u32("n")?,
        logprobs: probabilities.map(|_| true),
        top_logprobs: probabilities.filter(|top| *top > 0),
    };
    if fields.u32("best_of")?.is_some_and(|best| best != request.sampling.n.unwrap_or(1)) {
        return Err(BadField::new("best_of", "must be `n`: a conversation's model writes what it answers, no more"));
    }
    if fields.string("suffix")?.is_some_and(|suffix| !suffix.is_empty()) {
        let why = "is not taken here: send it to a provider that fills in, on `/provider/NAME/completions`";
        return Err(BadField::new("suffix", why));
    }
    if let Some(echo) = fields.bool(ECHO)? {
        if echo && probabilities.is_some() {
            return Err(BadField::new(ECHO, "does not go with `logprobs`: nobody tells those of a prompt"));
        }
        request.extras.insert(ECHO.to_owned(), echo.into());
    }
    request.stream = fields.bool("stream")?.unwrap_or(false);
    if let Some(mut options) = fields.object("stream_options")? {
        request.stream_usage = options.bool("include_usage")?.unwrap_or(false);
        keep(&mut request.extras, "stream_options", options.rest());
    }
    request.user = fields.string("user")?;
    request.extras.extend(fields.rest());
    Ok(request)
}

/// The one prompt.
fn prompt(fields: &mut Fields) -> Result<String, BadField> {
    let one = || BadField::new("prompt", "must be one text: send a request for each prompt, and text, not tokens");
    match fields.take("prompt") {
        None => Err(fields.missing("prompt")),
        Some(Value::String(text)) => Ok(text),
        Some(Value::Array(mut list)) if list.len() == 1 => match list.pop() {
            Some(Value::String(text)) => Ok(text),
            _ => Err(one()),
        },
        Some(_) => Err(one()),
    }
}
