//! Citations as Cohere writes them: beside the content, each with its place in the answer's words and the documents or
//! tool results it leans on. The whole citation goes home as it came.

use crate::Extras;
use crate::fields::{BadField, Fields, whole};
use crate::request::Citation;
use crate::wire::writer::put;
use serde_json::{Value, json};

/// Whether a citation is of words, not of thinking or of a plan.
pub(super) fn is_of_words(citation: &Value) -> bool {
    citation.get("type").is_none_or(|kind| kind.is_null() || kind == "TEXT_CONTENT")
}

/// The place among the content of what a citation belongs to.
pub(super) fn place(citation: &Value) -> Option<u64> {
    whole(citation.get("content_index")?)
}

/// Reads one citation.
pub(super) fn decode(value: Value, path: &str) -> Result<Citation, BadField> {
    let source =
        value.pointer("/sources/0").and_then(|source| source.get("document").or_else(|| source.get("tool_output")));
    let text = |key: &str| source.and_then(|source| source.get(key)).and_then(Value::as_str).map(str::to_owned);
    let (url, title) = (text("url"), text("title"));
    let at = |key: &str| value.get(key).and_then(whole);
    let (start, end) = (at("start"), at("end"));
    Ok(Citation { url, title, quote: None, start, end, extras: Fields::of(value, path)?.rest() })
}

/// Writes one citation of the words at `place`; `home`: it came from this wire.
pub(super) fn encode(citation: &Citation, place: usize, home: bool) -> Value {
    if home {
        return Value::Object(citation.extras.clone());
    }
    let mut body = Extras::new();
    put(&mut body, "start", citation.start);
    put(&mut body, "end", citation.end);
    put(&mut body, "text", Some(citation.quote.clone().unwrap_or_default()));
    let mut document = Extras::new();
    put(&mut document, "title", citation.title.clone());
    put(&mut document, "url", citation.url.clone());
    let id = citation.url.clone().or_else(|| citation.title.clone()).unwrap_or_default();
    body.insert("sources".to_owned(), json!([{"type": "document", "id": id, "document": document}]));
    body.insert("content_index".to_owned(), place.into());
    body.insert("type".to_owned(), "TEXT_CONTENT".into());
    Value::Object(body)
}
