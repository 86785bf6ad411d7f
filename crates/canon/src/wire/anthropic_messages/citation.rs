//! Citations as Anthropic writes them. Their numbers point into the source, not into the answer, so they are no
//! canon positions and stay beside the citation.

use crate::Extras;
use crate::fields::{BadField, Fields};
use crate::request::Citation;
use crate::wire::writer::put;
use serde_json::Value;

/// Where a kind of citation keeps its address and its title.
fn keys_of(kind: &str) -> (&'static str, &'static str) {
    match kind {
        "web_search_result_location" => ("url", "title"),
        "search_result_location" => ("source", "title"),
        _ => ("url", "document_title"),
    }
}

/// Reads one citation.
pub(super) fn decode(value: Value, path: &str) -> Result<Citation, BadField> {
    let mut fields = Fields::of(value, path)?;
    let (url, title) = keys_of(fields.peek_str("type").unwrap_or_default());
    Ok(Citation {
        url: fields.string(url)?,
        title: fields.string(title)?,
        quote: fields.string("cited_text")?,
        start: None,
        end: None,
        extras: fields.rest(),
    })
}

/// Writes one citation. One from another wire becomes a web search's: the only kind with an address.
pub(super) fn encode(citation: &Citation, home: bool) -> Value {
    let own = citation.extras.get("type").and_then(Value::as_str).filter(|_| home);
    let (url, title) = keys_of(own.unwrap_or("web_search_result_location"));
    let mut body = Extras::new();
    if own.is_some() {
        body.extend(citation.extras.clone());
        put(&mut body, url, citation.url.clone());
    } else {
        body.insert("type".to_owned(), "web_search_result_location".into());
        body.insert("encrypted_index".to_owned(), "".into());
        body.insert(url.to_owned(), citation.url.clone().unwrap_or_default().into());
    }
    body.insert(title.to_owned(), citation.title.clone().into());
    body.insert("cited_text".to_owned(), citation.quote.clone().unwrap_or_default().into());
    Value::Object(body)
}
