//! What an assistant's message holds, in requests as in answers: content, a plan, calls, citations.

use super::citation;
use crate::Extras;
use crate::fields::{BadField, Fields};
use crate::request::{Citation, Part};
use crate::wire::openai_chat::pieces;
use serde_json::Value;

/// In a thought's extras: it is the plan of the calls.
pub(super) const PLAN: &str = "~plan";
/// In a message's extras: its content was a list, though one text alone can be a string.
pub(super) const LIST: &str = "~list";

/// Takes content, plan, calls and citations out of a message. What cites no words stays with the message.
pub(super) fn decode_assistant(fields: &mut Fields) -> Result<Vec<Part>, BadField> {
    let mut parts = decode_content(fields)?;
    let path = fields.path_of("citations");
    let mut others = Vec::new();
    for value in fields.list("citations")? {
        let index = citation::place(&value);
        match slot(&mut parts, index).filter(|_| citation::is_of_words(&value)) {
            Some(citations) => citations.push(citation::decode(value, &path)?),
            None => others.push(value),
        }
    }
    if let Some(text) = fields.string("tool_plan")? {
        parts.push(Part::Reasoning { text, summary: false, seal: None, extras: plan() });
    }
    let path = fields.path_of("tool_calls");
    for (index, call) in fields.list("tool_calls")?.into_iter().enumerate() {
        parts.push(pieces::decode_tool_call(call, &format!("{path}[{index}]"))?);
    }
    if !others.is_empty() {
        fields.put("citations", Value::Array(others));
    }
    Ok(parts)
}

/// The extras of a plan.
pub(super) fn plan() -> Extras {
    Extras::from_iter([(PLAN.to_owned(), true.into())])
}

/// The citations of the words at `index`, or of the first words.
fn slot(parts: &mut [Part], index: Option<u64>) -> Option<&mut Vec<Citation>> {
    let named = index.and_then(|index| usize::try_from(index).ok());
    let is_text = |part: &Part| matches!(part, Part::Text { .. });
    let at = named.filter(|at| parts.get(*at).is_some_and(is_text)).or_else(|| parts.iter().position(is_text))?;
    match parts.get_mut(at) {
        Some(Part::Text { citations, .. }) => Some(citations),
        _ => None,
    }
}

/// Takes content: a string, or a list.
pub(super) fn decode_content(fields: &mut Fields) -> Result<Vec<Part>, BadField> {
    match fields.take("content") {
        None => Ok(Vec::new()),
        Some(Value::String(text)) => Ok(if text.is_empty() { Vec::new() } else { vec![Part::text(text)] }),
        Some(Value::Array(items)) => {
            let path = fields.path_of("content");
            items.into_iter().enumerate().map(|(index, item)| decode(item, &format!("{path}[{index}]"))).collect()
        }
        Some(_) => Err(BadField::new(fields.path_of("content"), "must be a string or a list of parts")),
    }
}

fn decode(value: Value, path: &str) -> Result<Part, BadField> {
    match value.get("type").and_then(Value::as_str) {
        Some("text" | "image_url") => pieces::decode_part(value, path),
        Some("thinking") => {
            let mut fields = Fields::of(value, path)?;
            fields.take("type");
            let text = fields.need_string("thinking")?;
            Ok(Part::Reasoning { text, summary: false, seal: None, extras: fields.rest() })
        }
        Some("document") => decode_document(Fields::of(value, path)?),
        Some(_) => Ok(Part::Native { body: value }),
        None => Err(BadField::new(format!("{path}.type"), "is missing")),
    }
}

/// In a text's extras: the data of the document that it was.
const DATA: &str = "~data";

/// A document is its data, which other wires say as words.
fn decode_document(mut fields: Fields) -> Result<Part, BadField> {
    fields.take("type");
    let mut inner = fields.object("document")?.ok_or_else(|| fields.missing("document"))?;
    let data = inner.take("data").ok_or_else(|| inner.missing("data"))?;
    let text = data.as_str().map_or_else(|| data.to_string(), str::to_owned);
    let mut extras = fields.rest();
    crate::wire::writer::keep(&mut extras, "document", inner.rest());
    extras.insert(DATA.to_owned(), data);
    Ok(Part::Text { text, citations: Vec::new(), logprobs: Vec::new(), seal: None, cache: None, extras })
}

/// Writes words; at home those of a document become one again.
pub(super) fn text(text: &str, extras: &Extras, home: bool) -> Extras {
    if let Some(data) = extras.get(DATA).filter(|_| home) {
        return pieces::object(serde_json::json!({"type": "document", "document": {"data": data}}));
    }
    pieces::object(serde_json::json!({"type": "text", "text": text}))
}

/// Writes thinking.
pub(super) fn thinking(text: &str) -> Extras {
    pieces::object(serde_json::json!({"type": "thinking", "thinking": text}))
}
