//! AWS's binary messages as a strict client reads them: lengths, both checksums, and the headers that say what a message
//! is. Pure.

use std::collections::BTreeMap;

/// One message.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Message {
    /// `event`, `exception` or `error`.
    pub kind: String,
    /// `:event-type`, `:exception-type` or `:error-code`.
    pub name: String,
    /// The payload.
    pub payload: Vec<u8>,
}

/// Splits a stream into its messages. What is no message is named with its place, and nothing after it is read.
#[must_use]
pub fn messages(bytes: &[u8]) -> (Vec<Message>, Vec<String>) {
    let (mut messages, mut slips, mut at) = (Vec::new(), Vec::new(), 0);
    while at < bytes.len() {
        match message(bytes.get(at..).unwrap_or_default(), &mut slips) {
            Ok((message, length)) => {
                messages.push(message);
                at += length;
            }
            Err(slip) => {
                slips.push(format!("byte {at}: {slip}"));
                break;
            }
        }
    }
    (messages, slips)
}

/// The four bytes at `at`, which are there.
fn number(bytes: &[u8], at: usize) -> usize {
    let four = bytes.get(at..at + 4).unwrap_or_default();
    four.iter().fold(0, |sum, byte| (sum << 8) | usize::from(*byte))
}

fn sum(bytes: Option<&[u8]>) -> usize {
    usize::try_from(crc32fast::hash(bytes.unwrap_or_default())).unwrap_or(usize::MAX)
}

fn message(bytes: &[u8], slips: &mut Vec<String>) -> Result<(Message, usize), String> {
    if bytes.len() < 16 {
        return Err("a message is cut off".to_owned());
    }
    let (length, headers) = (number(bytes, 0), number(bytes, 4));
    if sum(bytes.get(..8)) != number(bytes, 8) {
        return Err("the checksum of a prelude is wrong".to_owned());
    }
    if length < headers + 16 || bytes.len() < length {
        return Err("a message is cut off, or shorter than its headers".to_owned());
    }
    if sum(bytes.get(..length - 4)) != number(bytes, length - 4) {
        return Err("the checksum of a message is wrong".to_owned());
    }
    let found = read_headers(bytes.get(12..12 + headers).unwrap_or_default())?;
    let text = |name: &str| found.get(name).cloned().unwrap_or_default();
    let kind = text(":message-type");
    let key = match kind.as_str() {
        "event" => ":event-type",
        "exception" => ":exception-type",
        "error" => ":error-code",
        _ => return Err(format!("a message of the unknown type `{kind}`")),
    };
    if kind != "error" && text(":content-type") != "application/json" {
        slips.push(format!("a message of the content type `{}`", text(":content-type")));
    }
    if text(key).is_empty() {
        slips.push(format!("a message without `{key}`"));
    }
    let payload = bytes.get(12 + headers..length - 4).unwrap_or_default().to_vec();
    Ok((Message { kind, name: text(key), payload }, length))
}

/// Headers by name; these wires' have text alone.
fn read_headers(mut rest: &[u8]) -> Result<BTreeMap<String, String>, String> {
    let mut found = BTreeMap::new();
    while let Some((length, more)) = rest.split_first() {
        let name = take(more, usize::from(*length))?;
        let more = more.get(usize::from(*length)..).unwrap_or_default();
        let [7, high, low, more @ ..] = more else { return Err("a header that is no text".to_owned()) };
        let length = usize::from(*high) << 8 | usize::from(*low);
        found.insert(name, take(more, length)?);
        rest = more.get(length..).unwrap_or_default();
    }
    Ok(found)
}

fn take(bytes: &[u8], length: usize) -> Result<String, String> {
    let taken = bytes.get(..length).ok_or("a header is cut off")?;
    String::from_utf8(taken.to_vec()).map_err(|_| "a header is not UTF-8".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::provider::wire::bedrock_converse::event;
    use serde_json::json;

    #[test]
    fn messages_are_split_and_slips_named() {
        let mut bytes = event("messageStart", &json!({"role": "assistant"})).to_vec();
        let first = bytes.len();
        bytes.extend_from_slice(&event("messageStop", &json!({"stopReason": "end_turn"})));
        let (found, slips) = messages(&bytes);
        assert!(slips.is_empty(), "{slips:?}");
        let names: Vec<&str> = found.iter().map(|message| message.name.as_str()).collect();
        assert_eq!(
            (names, found[0].payload.as_slice()),
            (vec!["messageStart", "messageStop"], &br#"{"role":"assistant"}"#[..])
        );
        for cut in 1..first {
            assert_eq!(messages(&bytes[..cut]).1.len(), 1, "cut at {cut}");
        }
        for at in 0..bytes.len() {
            let mut wrong = bytes.clone();
            wrong[at] ^= 1;
            assert!(!messages(&wrong).1.is_empty(), "byte {at}");
        }
    }
}
