//! Sources: `groundingMetadata` (searches) and `citationMetadata` (recited works). Both count in bytes of the text,
//! the canon in characters.

use crate::Extras;
use crate::fields::whole;
use crate::request::Citation;
use serde_json::{Value, json};

/// The citations that a candidate's metadata makes for `text`. The metadata itself stays with the candidate.
pub(super) fn decode(candidate: &Extras, text: &str) -> Vec<Citation> {
    let mut citations = Vec::new();
    if let Some(grounding) = candidate.get("groundingMetadata") {
        let chunks = list(grounding, "groundingChunks");
        for support in list(grounding, "groundingSupports") {
            let segment = support.get("segment").unwrap_or(&Value::Null);
            for index in list(support, "groundingChunkIndices") {
                let Some(chunk) = whole(index).and_then(|at| chunks.get(usize::try_from(at).ok()?)) else { continue };
                let source = ["web", "retrievedContext", "maps"].into_iter().find_map(|kind| chunk.get(kind));
                citations.push(citation(source.unwrap_or(&Value::Null), segment, text, string(segment, "text")));
            }
        }
    }
    if let Some(recited) = candidate.get("citationMetadata") {
        for source in list(recited, "citations") {
            citations.push(citation(source, source, text, None));
        }
    }
    citations
}

fn citation(source: &Value, place: &Value, text: &str, quote: Option<String>) -> Citation {
    let at = |key| place.get(key).and_then(whole).map(|bytes| chars(text, bytes));
    // A start of 0 is left out by protobuf JSON.
    let end = at("endIndex");
    let start = at("startIndex").or(end.map(|_| 0));
    Citation { url: string(source, "uri"), title: string(source, "title"), quote, start, end, extras: Extras::new() }
}

fn list<'a>(value: &'a Value, key: &str) -> &'a [Value] {
    value.get(key).and_then(Value::as_array).map_or(&[], Vec::as_slice)
}

fn string(value: &Value, key: &str) -> Option<String> {
    value.get(key).and_then(Value::as_str).map(str::to_owned)
}

/// How many characters of `text` begin before byte `bytes`.
fn chars(text: &str, bytes: u64) -> u64 {
    let bytes = usize::try_from(bytes).unwrap_or(usize::MAX);
    text.char_indices().take_while(|(at, _)| *at < bytes).count() as u64
}

/// Where character `count` of `text` begins, in bytes.
fn bytes(text: &str, count: u64) -> usize {
    let count = usize::try_from(count).unwrap_or(usize::MAX);
    text.char_indices().nth(count).map_or(text.len(), |(at, _)| at)
}

/// Writes citations of `text` as `groundingMetadata`.
pub(super) fn encode(citations: &[Citation], text: &str) -> Value {
    let chunks: Vec<Value> = citations
        .iter()
        .map(|citation| json!({"web": {"uri": citation.url.as_deref().unwrap_or_default(), "title": citation.title}}))
        .collect();
    let supports: Vec<Value> = citations
        .iter()
        .enumerate()
        .filter_map(|(index, citation)| {
            let (start, end) = (bytes(text, citation.start?), bytes(text, citation.end?));
            let words = citation.quote.as_deref().or_else(|| text.get(start..end)).unwrap_or_default();
            Some(json!({
                "segment": {"startIndex": start, "endIndex": end, "text": words},
                "groundingChunkIndices": [index],
            }))
        })
        .collect();
    json!({"groundingChunks": chunks, "groundingSupports": supports})
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_become_characters_and_back() {
        let text = "Größe: 12 m";
        let theirs = json!({
            "groundingChunks": [{"web": {"uri": "https://a.example", "title": "a"}}],
            "groundingSupports": [
                {"segment": {"startIndex": 9, "endIndex": 13, "text": "12 m"}, "groundingChunkIndices": [0]},
            ],
        });
        let mut candidate = Extras::new();
        candidate.insert("groundingMetadata".to_owned(), theirs.clone());
        let citations = decode(&candidate, text);
        assert_eq!((citations[0].start, citations[0].end), (Some(7), Some(11)));
        assert_eq!(encode(&citations, text), theirs);
    }
}
