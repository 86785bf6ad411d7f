//! Whole answers of Gemini. One body is one chunk of a stream that has only this one, and is read as such, so a
//! stream and its unary twin cannot differ.

use super::stream::Decoder;
use super::{ID, grounding, logprobs, part, seal, usage};
use crate::Extras;
use crate::answer::{Choice, Fold, Response};
use crate::event::{Finish, Head, Stop, StopReason};
use crate::fields::BadField;
use crate::media::Media;
use crate::request::{Citation, Part, Seal};
use crate::wire::StreamTerms;
use crate::wire::writer::put;
use serde_json::{Value, json};

/// Key of the finish extras for what is said beside each candidate: a stream's end is where all of it is known.
const CANDIDATES: &str = "candidates";

/// Reads a whole answer.
pub(super) fn decode(body: Value) -> Result<Response, BadField> {
    let mut decoder = Decoder::default();
    let mut events = Vec::new();
    decoder.chunk(body, &mut events)?;
    decoder.close(&mut events);
    let mut fold = Fold::default();
    for event in &events {
        fold.event(event);
    }
    fold.into_response().ok_or_else(|| BadField::new("candidates", "hold no answer that says why it ended"))
}

/// A finish word in our words; `None`: the candidate goes on.
pub(super) fn stop_reason(word: &str, has_calls: bool) -> Option<StopReason> {
    Some(match word {
        "" | "FINISH_REASON_UNSPECIFIED" => return None,
        "STOP" if has_calls => StopReason::ToolCalls,
        "STOP" => StopReason::End,
        "MAX_TOKENS" => StopReason::Length,
        "SAFETY"
        | "RECITATION"
        | "BLOCKLIST"
        | "PROHIBITED_CONTENT"
        | "SPII"
        | "MODEL_ARMOR"
        | "JAILBREAK"
        | "IMAGE_SAFETY"
        | "IMAGE_PROHIBITED_CONTENT"
        | "IMAGE_RECITATION" => StopReason::ContentFilter,
        "CONTINUATION" => StopReason::Pause,
        _ => StopReason::Other,
    })
}

/// Words that a client of this wire may see although the canon has no reason of its own for them.
const ELSE: &[&str] = &[
    "LANGUAGE",
    "MALFORMED_FUNCTION_CALL",
    "IMAGE_OTHER",
    "NO_IMAGE",
    "UNEXPECTED_TOOL_CALL",
    "TOO_MANY_TOOL_CALLS",
    "MISSING_THOUGHT_SIGNATURE",
    "MALFORMED_RESPONSE",
    "ESCALATION",
    "PUP_LIMITED_DISABLED",
];

/// A finish word of this wire.
pub(super) fn stop_word(stop: &Stop) -> &str {
    let own = |word: &&str| {
        stop_reason(word, stop.reason == StopReason::ToolCalls) == Some(stop.reason)
            && (stop.reason != StopReason::Other || ELSE.contains(word))
    };
    if let Some(word) = stop.raw.as_deref().filter(own) {
        return word;
    }
    match stop.reason {
        StopReason::End | StopReason::StopSequence | StopReason::ToolCalls => "STOP",
        StopReason::Length | StopReason::Context => "MAX_TOKENS",
        StopReason::ContentFilter | StopReason::Refusal => "SAFETY",
        StopReason::Pause | StopReason::Other => "OTHER",
    }
}

/// What this wire said beside candidate `index`, in the finish extras of an answer that came from it.
pub(super) fn candidate_extras(own: &Extras, index: usize) -> Extras {
    own.get(CANDIDATES).and_then(|list| list.get(index)?.as_object().cloned()).unwrap_or_default()
}

/// What this wire said beside the candidates.
pub(super) fn answer_extras(own: &Extras) -> Extras {
    let mut own = own.clone();
    own.shift_remove(CANDIDATES);
    own
}

/// Whether the prompt itself was refused, which this wire says by giving no candidate.
pub(super) fn is_blocked(extras: &Extras) -> bool {
    extras.get("promptFeedback").is_some_and(|feedback| feedback.get("blockReason").is_some())
}

/// The answer's id and model as this wire shows them.
pub(super) fn put_head(head: &Head, terms: &StreamTerms, body: &mut Extras) {
    let model = if head.model.is_empty() { &terms.model } else { &head.model };
    let id = if head.id.is_empty() { &terms.id } else { &head.id };
    body.insert("modelVersion".to_owned(), model.clone().into());
    body.insert("responseId".to_owned(), id.clone().into());
}

/// Writes a whole answer.
pub(super) fn encode(answer: &Response, terms: &StreamTerms) -> Value {
    let home = answer.head.origin == Some(ID);
    let own = if home { answer.finish_extras.clone() } else { Extras::new() };
    let mut body = Extras::new();
    if !is_blocked(&own) {
        let candidates = answer.choices.iter().enumerate();
        let candidates = candidates.map(|(at, choice)| encode_choice(choice, candidate_extras(&own, at), home));
        body.insert("candidates".to_owned(), Value::Array(candidates.collect()));
    }
    body.insert("usageMetadata".to_owned(), usage::encode(&answer.usage, home));
    put_head(&answer.head, terms, &mut body);
    body.extend(answer_extras(&own));
    Value::Object(body)
}

fn encode_choice(choice: &Choice, own: Extras, home: bool) -> Value {
    let mut parts: Vec<Value> = choice.parts.iter().filter_map(|part| encode_part(part, home)).collect();
    let (mut text, mut citations, mut tokens) = (String::new(), Vec::new(), Vec::new());
    for part in &choice.parts {
        if let Part::Text { text: words, citations: more, logprobs, .. } = part {
            let before = text.chars().count() as u64;
            text.push_str(words);
            citations.extend(more.iter().map(|citation| moved(citation, before)));
            tokens.extend_from_slice(logprobs);
        }
    }
    if parts.is_empty() {
        // A content without parts makes the SDK's chats forget the turn.
        parts.push(json!({"text": ""}));
    }
    encode_candidate(&choice.stop, parts, (&citations, &text), &tokens, own)
}

/// `citation` of a text that stands `by` characters further on.
pub(super) fn moved(citation: &Citation, by: u64) -> Citation {
    Citation { start: citation.start.map(|at| at + by), end: citation.end.map(|at| at + by), ..citation.clone() }
}

/// A candidate that has ended.
pub(super) fn encode_candidate(
    stop: &Stop,
    parts: Vec<Value>,
    (citations, text): (&[Citation], &str),
    tokens: &[crate::event::TokenLogprob],
    mut own: Extras,
) -> Value {
    let mut body = Extras::new();
    let mut content = part::object(json!({"parts": parts, "role": "model"}));
    if let Some(Value::Object(more)) = own.shift_remove("content") {
        content.extend(more);
    }
    body.insert("content".to_owned(), Value::Object(content));
    body.insert("finishReason".to_owned(), stop_word(stop).into());
    body.insert("index".to_owned(), stop.choice.into());
    let is_said = own.contains_key("groundingMetadata") || own.contains_key("citationMetadata");
    if !citations.is_empty() && !is_said {
        body.insert("groundingMetadata".to_owned(), grounding::encode(citations, text));
    }
    put(&mut body, "logprobsResult", (!tokens.is_empty()).then(|| logprobs::encode(tokens)));
    body.extend(own);
    Value::Object(body)
}

fn encode_part(part: &Part, home: bool) -> Option<Value> {
    let extras = |extras: &Extras| if home { extras.clone() } else { Extras::new() };
    let is_nothing = |text: &str, more: &Extras| text.is_empty() && (more.is_empty() || !home);
    let fields = match part {
        Part::Text { text, seal: None, extras: more, .. } | Part::Reasoning { text, seal: None, extras: more, .. }
            if is_nothing(text, more) =>
        {
            return None;
        }
        Part::Text { text, seal, extras: more, .. } => words(text, false, seal.as_ref(), extras(more)),
        Part::Refusal { text, .. } => words(text, false, None, Extras::new()),
        Part::Reasoning { text, seal, extras: more, .. } => words(text, true, seal.as_ref(), extras(more)),
        Part::ToolCall { call_id, name, arguments, seal, extras: more, .. } => {
            call((call_id, name), arguments, seal.as_ref(), extras(more))
        }
        Part::Media(media) => medium(media, home)?,
        Part::Native { body } if home => return Some(body.clone()),
        Part::ToolResult { .. } | Part::Native { .. } => return None,
    };
    Some(Value::Object(fields))
}

/// A part of words.
pub(super) fn words(text: &str, thought: bool, seal: Option<&Seal>, extras: Extras) -> Extras {
    let mut fields = Extras::new();
    fields.insert("text".to_owned(), text.into());
    put(&mut fields, "thought", thought.then_some(true));
    put(&mut fields, "thoughtSignature", seal.map(seal::for_client));
    fields.extend(extras);
    fields
}

/// A part with a call.
pub(super) fn call((call_id, name): (&str, &str), arguments: &str, seal: Option<&Seal>, extras: Extras) -> Extras {
    let mut inner = Extras::new();
    put(&mut inner, "id", part::wire_id(call_id));
    inner.insert("name".to_owned(), name.into());
    inner.insert("args".to_owned(), part::arguments(arguments).0);
    let mut fields = part::wrap("functionCall", inner, extras);
    put(&mut fields, "thoughtSignature", seal.map(seal::for_client));
    fields
}

/// A part with a medium; `None` where this wire cannot say it.
pub(super) fn medium(media: &Media, home: bool) -> Option<Extras> {
    let (key, mut inner) = part::encode_source(media, home)?;
    if !home {
        return Some(part::wrap(key, inner, Extras::new()));
    }
    put(&mut inner, "displayName", media.name.clone());
    Some(part::wrap(key, inner, media.extras.clone()))
}

/// The end of an answer as this wire's decoder gives it.
pub(super) fn finish(stops: Vec<Stop>, candidates: Vec<Extras>, mut own: Extras) -> Finish {
    if candidates.iter().any(|candidate| !candidate.is_empty()) {
        own.insert(CANDIDATES.to_owned(), candidates.into_iter().map(Value::Object).collect());
    }
    Finish { stops, extras: own }
}
