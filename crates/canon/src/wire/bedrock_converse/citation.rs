//! Citations as Converse writes them. Their numbers point into the source, not into the answer, so they are no canon
//! positions; the whole citation goes home as it came.

use crate::Extras;
use crate::fields::BadField;
use crate::request::Citation;
use crate::wire::writer::put;
use serde_json::{Value, json};

/// Reads one citation.
pub(super) fn decode(value: Value, path: &str) -> Result<Citation, BadField> {
    let text = |pointer: &str| value.pointer(pointer).and_then(Value::as_str).map(str::to_owned);
    let (url, title) = (text("/location/web/url"), text("/title"));
    let pieces = value.get("sourceContent").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    let quote: String = pieces.iter().filter_map(|piece| piece.get("text")?.as_str()).collect();
    let quote = Some(quote).filter(|quote| !quote.is_empty());
    match value {
        Value::Object(extras) => Ok(Citation { url, title, quote, start: None, end: None, extras }),
        _ => Err(BadField::new(path, "must be an object")),
    }
}

/// Writes one citation; `home`: it came from this wire.
pub(super) fn encode(citation: &Citation, home: bool) -> Value {
    if home {
        return Value::Object(citation.extras.clone());
    }
    let mut body = Extras::new();
    put(&mut body, "title", citation.title.clone());
    if let Some(quote) = &citation.quote {
        body.insert("sourceContent".to_owned(), json!([{"text": quote}]));
    }
    if let Some(url) = &citation.url {
        body.insert("location".to_owned(), json!({"web": {"url": url}}));
    }
    Value::Object(body)
}
