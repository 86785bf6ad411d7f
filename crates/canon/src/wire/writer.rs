//! The pen with which every wire writes a request: what is home goes home, what cannot be said is named.

use super::{Loss, Quirks, WireId};
use crate::Extras;
use crate::request::{Sampling, State};
use serde_json::Value;

/// First character of an extra that holds the origin wire's spelling of something the canon has taken in. Its wire
/// reads it by name; it is never written as it is.
pub(crate) const SPELLING: char = '~';

/// Objects of wires of which the canon takes some fields: what stays in the extras under such a name is the rest.
const PARTLY: [&str; 39] = [
    "additionalModelRequestFields",
    "audio",
    "cache_control",
    "citationsContent",
    "document",
    "file",
    "format",
    "function",
    "image",
    "image_url",
    "incomplete_details",
    "inferenceConfig",
    "inputSchema",
    "input_audio",
    "item",
    "jsonSchema",
    "json_schema",
    "outputConfig",
    "output_config",
    "prompt_cache_breakpoint",
    "reasoningContent",
    "reasoningText",
    "response_format",
    "s3Location",
    "serviceTier",
    "source",
    "stream_options",
    "structure",
    "text",
    "textFormat",
    "thinking",
    "toolChoice",
    "toolConfig",
    "toolResult",
    "toolSpec",
    "toolUse",
    "tool_choice",
    "url_citation",
    "video",
];

/// Keeps the losses while a request is written.
#[derive(Debug)]
pub(crate) struct Writer {
    /// Whether the request came from this very wire, so that its extras go home.
    pub(crate) home: bool,
    losses: Vec<Loss>,
}

impl Writer {
    /// A pen for a request of `origin` written on `wire`.
    pub(crate) fn new(origin: WireId, wire: WireId) -> Self {
        Self { home: origin == wire, losses: Vec::new() }
    }

    /// `path` is left out.
    pub(crate) fn drop(&mut self, path: impl Into<String>) {
        self.losses.push(Loss::dropped(path));
    }

    /// `path` is said in a way that means less.
    pub(crate) fn weaken(&mut self, path: impl Into<String>) {
        self.losses.push(Loss::weakened(path));
    }

    /// `path` is emulated.
    pub(crate) fn emulate(&mut self, path: impl Into<String>) {
        self.losses.push(Loss::emulated(path));
    }

    /// Extras at `path`: into `out` at home, objects that `out` has already joined with theirs; named abroad, where
    /// what is left of a structural object is named field by field. A key that starts with [`SPELLING`] only remembers
    /// how the origin wire spelled what the canon holds; abroad nothing is lost with it.
    pub(crate) fn extras(&mut self, extras: &Extras, path: &str, out: &mut Extras) {
        if self.home {
            return join(out, extras);
        }
        for (key, value) in extras.iter().filter(|(key, _)| !key.starts_with(SPELLING)) {
            let at = if path.is_empty() { key.clone() } else { format!("{path}.{key}") };
            match value {
                Value::Object(rest) if PARTLY.contains(&key.as_str()) && !rest.is_empty() => {
                    self.extras(rest, &at, &mut Extras::new());
                }
                _ => self.drop(at),
            }
        }
    }

    /// Names the settings of sampling that wires without choices, penalties and log probabilities cannot say.
    pub(crate) fn unsaid(&mut self, sampling: &Sampling) {
        let unsaid = [
            ("min_p", sampling.min_p.is_some_and(|share| share > 0.0)),
            ("frequency_penalty", sampling.frequency_penalty.is_some_and(|penalty| penalty != 0.0)),
            ("presence_penalty", sampling.presence_penalty.is_some_and(|penalty| penalty != 0.0)),
            ("seed", sampling.seed.is_some()),
            ("n", sampling.n.is_some_and(|n| n != 1)),
            ("logprobs", sampling.logprobs == Some(true)),
            ("top_logprobs", sampling.top_logprobs.is_some_and(|count| count > 0)),
        ];
        for (path, said) in unsaid {
            if said {
                self.drop(path);
            }
        }
    }

    /// Names the state that no provider of a wire keeps.
    pub(crate) fn stateless(&mut self, state: &State) {
        if state.store == Some(true) {
            self.drop("store");
        }
        if state.previous.is_some() {
            self.drop("previous_response_id");
        }
        if state.conversation.is_some() {
            self.drop("conversation");
        }
    }

    /// Applies what a provider refuses or names differently at the top level.
    pub(crate) fn quirks(&mut self, quirks: &Quirks, body: &mut Extras) {
        for field in &quirks.refuses {
            if body.shift_remove(field).is_some() {
                self.drop(field.clone());
            }
        }
        for (ours, theirs) in &quirks.renames {
            if let Some(value) = body.shift_remove(ours) {
                body.insert(theirs.clone(), value);
            }
        }
    }

    /// Everything that was not said.
    pub(crate) fn losses(self) -> Vec<Loss> {
        self.losses
    }
}

/// Puts `more` into `body`, spellings left out; objects on both sides are joined.
pub(crate) fn join(body: &mut Extras, more: &Extras) {
    for (key, value) in more.iter().filter(|(key, _)| !key.starts_with(SPELLING)) {
        match (body.get_mut(key), value) {
            (Some(Value::Object(mine)), Value::Object(theirs)) => join(mine, theirs),
            _ => {
                body.insert(key.clone(), value.clone());
            }
        }
    }
}

/// Keeps what is left of the object under `key`, to be joined with it again.
pub(crate) fn keep(extras: &mut Extras, key: &str, rest: Extras) {
    if !rest.is_empty() {
        extras.insert(key.to_owned(), Value::Object(rest));
    }
}

/// Puts `value` under `key` when there is one.
pub(crate) fn put<T: Into<Value>>(body: &mut Extras, key: &str, value: Option<T>) {
    if let Some(value) = value {
        body.insert(key.to_owned(), value.into());
    }
}
