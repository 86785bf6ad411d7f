//! Bytes to frames and back: AWS's binary event stream (`application/vnd.amazon.eventstream`).
//!
//! | bytes | what |
//! |---|---|
//! | 4 | length of the whole message |
//! | 4 | length of its headers |
//! | 4 | CRC-32 of these eight bytes |
//! | … | headers: length of the name (1), name, kind (1), value |
//! | … | payload |
//! | 4 | CRC-32 of everything before |

use super::{Frame, FrameTooLarge, MAX_FRAME};
use bytes::{Buf, Bytes, BytesMut};

/// Bytes before the headers.
const PRELUDE: usize = 12;
/// Bytes of a checksum.
const CRC: usize = 4;
/// The kind of a header whose value is text.
const TEXT: u8 = 7;

/// The name under which a message of type `error` becomes a frame.
pub const ERROR_EVENT: &str = "error";

/// A binary message that is none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BadMessage {
    /// It is too large.
    #[error(transparent)]
    TooLarge(#[from] FrameTooLarge),
    /// It breaks the format.
    #[error("a message of the event stream is broken: {0}")]
    Malformed(&'static str),
}

/// Collects bytes until they are binary messages. A frame's `event` is the message's `:event-type` or
/// `:exception-type`; a message of type `error` is an [`ERROR_EVENT`] whose data is `{"code", "message"}`.
#[derive(Debug, Default)]
pub struct EventStreamReader {
    held: BytesMut,
}

impl EventStreamReader {
    /// Takes `chunk` in and appends every frame that is now complete to `out`.
    ///
    /// # Errors
    /// When a message is too large, or its lengths, checksums or headers are wrong; nothing after it can be read.
    pub fn push(&mut self, chunk: Bytes, out: &mut Vec<Frame>) -> Result<(), BadMessage> {
        self.held.extend_from_slice(&chunk);
        while let Some(length) = message_length(&self.held)? {
            if self.held.len() < length {
                break;
            }
            out.push(parse(self.held.split_to(length).freeze())?);
        }
        Ok(())
    }

    /// The bytes of an unfinished message; what is left here at the end of the stream was cut off.
    #[must_use]
    pub fn rest(&self) -> &[u8] {
        &self.held
    }
}

/// The length of the first message, once its prelude is there.
fn message_length(held: &[u8]) -> Result<Option<usize>, BadMessage> {
    let Some(prelude) = held.get(..PRELUDE) else { return Ok(None) };
    let (length, headers) = (number(prelude, 0), number(prelude, 4));
    if checksum(prelude.get(..8)) != number(prelude, 8) {
        return Err(BadMessage::Malformed("the checksum of its prelude is wrong"));
    }
    let least = u64::from(headers) + (PRELUDE + CRC) as u64;
    if u64::from(length) < least {
        return Err(BadMessage::Malformed("its headers are longer than itself"));
    }
    match usize::try_from(length) {
        Ok(length) if length <= MAX_FRAME => Ok(Some(length)),
        _ => Err(FrameTooLarge.into()),
    }
}

/// The four bytes at `at` as a number; 0 where they are not.
fn number(bytes: &[u8], at: usize) -> u32 {
    bytes.get(at..).and_then(<[u8]>::first_chunk).map_or(0, |four| u32::from_be_bytes(*four))
}

fn checksum(bytes: Option<&[u8]>) -> u32 {
    crc32fast::hash(bytes.unwrap_or_default())
}

/// Reads one whole message.
fn parse(raw: Bytes) -> Result<Frame, BadMessage> {
    let end = raw.len() - CRC;
    if checksum(raw.get(..end)) != number(&raw, end) {
        return Err(BadMessage::Malformed("its checksum is wrong"));
    }
    let payload = PRELUDE + usize::try_from(number(&raw, 4)).unwrap_or(usize::MAX);
    let mut headers = raw.slice(PRELUDE..payload);
    let (mut event, mut code, mut words) = (Bytes::new(), None, Bytes::new());
    while headers.has_remaining() {
        let (name, value) = header(&mut headers).ok_or(BadMessage::Malformed("a header is cut off"))?;
        match name.as_ref() {
            b":event-type" | b":exception-type" => event = value,
            b":error-code" => code = Some(value),
            b":error-message" => words = value,
            _ => {}
        }
    }
    let Some(code) = code else { return Ok(Frame { event, data: raw.slice(payload..end), raw }) };
    let said = |bytes: &Bytes| String::from_utf8_lossy(bytes).into_owned();
    let data = serde_json::json!({"code": said(&code), "message": said(&words)}).to_string();
    Ok(Frame { raw, event: Bytes::from_static(ERROR_EVENT.as_bytes()), data: Bytes::from(data) })
}

/// Takes one header off; a value that is no text is empty.
fn header(headers: &mut Bytes) -> Option<(Bytes, Bytes)> {
    let length = headers.try_get_u8().ok()?;
    let name = take(headers, usize::from(length))?;
    let kind = headers.try_get_u8().ok()?;
    let size = match kind {
        0 | 1 => 0,
        2 => 1,
        3 => 2,
        4 => 4,
        5 | 8 => 8,
        6 | TEXT => usize::from(headers.try_get_u16().ok()?),
        9 => 16,
        _ => return None,
    };
    let value = take(headers, size)?;
    Some((name, if kind == TEXT { value } else { Bytes::new() }))
}

fn take(bytes: &mut Bytes, count: usize) -> Option<Bytes> {
    (bytes.len() >= count).then(|| bytes.split_to(count))
}

/// Writes one event whose payload is JSON.
pub fn write_event(out: &mut Vec<u8>, name: &str, payload: &[u8]) {
    let headers = [(":event-type", name), (":content-type", "application/json"), (":message-type", "event")];
    write_message(out, &headers, payload);
}

/// Writes one exception whose payload is JSON; the stream ends after it.
pub fn write_exception(out: &mut Vec<u8>, name: &str, payload: &[u8]) {
    let headers = [(":exception-type", name), (":content-type", "application/json"), (":message-type", "exception")];
    write_message(out, &headers, payload);
}

/// Writes a message. A header too long for the format is left out; names and values are our own and short.
fn write_message(out: &mut Vec<u8>, headers: &[(&str, &str)], payload: &[u8]) {
    let start = out.len();
    out.extend_from_slice(&[0; PRELUDE]);
    for (name, value) in headers {
        let (Ok(short), Ok(long)) = (u8::try_from(name.len()), u16::try_from(value.len())) else { continue };
        out.push(short);
        out.extend_from_slice(name.as_bytes());
        out.push(TEXT);
        out.extend_from_slice(&long.to_be_bytes());
        out.extend_from_slice(value.as_bytes());
    }
    let headers = out.len() - start - PRELUDE;
    out.extend_from_slice(payload);
    let length = out.len() - start + CRC;
    let mut prelude = Vec::with_capacity(PRELUDE);
    for size in [length, headers] {
        prelude.extend_from_slice(&u32::try_from(size).unwrap_or(u32::MAX).to_be_bytes());
    }
    prelude.extend_from_slice(&crc32fast::hash(&prelude).to_be_bytes());
    if let Some(place) = out.get_mut(start..start + PRELUDE) {
        place.copy_from_slice(&prelude);
    }
    let all = checksum(out.get(start..));
    out.extend_from_slice(&all.to_be_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// The test vector `all_headers` in miniature: every kind of header, made by hand.
    fn every_kind() -> Vec<u8> {
        let mut headers = Vec::new();
        let values: [(&str, u8, &[u8]); 11] = [
            ("a", 0, b""),
            ("b", 1, b""),
            ("c", 2, b"\x01"),
            ("d", 3, b"\x00\x02"),
            ("e", 4, b"\0\0\0\x03"),
            ("f", 5, b"\0\0\0\0\0\0\0\x04"),
            ("g", 6, b"\0\x02hi"),
            ("h", 8, b"\0\0\0\0\0\0\0\x05"),
            ("i", 9, b"0123456789abcdef"),
            (":event-type", 7, b"\0\x04text"),
            (":content-type", 7, b"\0\x01x"),
        ];
        for (name, kind, value) in values {
            headers.push(u8::try_from(name.len()).expect("short"));
            headers.extend_from_slice(name.as_bytes());
            headers.push(kind);
            headers.extend_from_slice(value);
        }
        message(&headers, b"{}")
    }

    fn message(headers: &[u8], payload: &[u8]) -> Vec<u8> {
        let length = u32::try_from(PRELUDE + headers.len() + payload.len() + CRC).expect("small");
        let mut out = length.to_be_bytes().to_vec();
        out.extend_from_slice(&u32::try_from(headers.len()).expect("small").to_be_bytes());
        out.extend_from_slice(&crc32fast::hash(&out).to_be_bytes());
        out.extend_from_slice(headers);
        out.extend_from_slice(payload);
        out.extend_from_slice(&crc32fast::hash(&out).to_be_bytes());
        out
    }

    fn read(bytes: &[u8], size: usize) -> Result<Vec<(String, String)>, BadMessage> {
        let mut reader = EventStreamReader::default();
        let mut frames = Vec::new();
        for chunk in bytes.chunks(size.max(1)) {
            reader.push(Bytes::copy_from_slice(chunk), &mut frames)?;
        }
        let said = |bytes: &Bytes| String::from_utf8_lossy(bytes).into_owned();
        Ok(frames.iter().map(|frame| (said(&frame.event), said(&frame.data))).collect())
    }

    #[test]
    fn the_empty_message_of_the_format_is_a_frame() {
        // From the format's own test vectors: no headers, no payload.
        let bytes = [0, 0, 0, 16, 0, 0, 0, 0, 0x05, 0xc2, 0x48, 0xeb, 0x7d, 0x98, 0xc8, 0xff];
        assert_eq!(read(&bytes, 3), Ok(vec![(String::new(), String::new())]));
    }

    #[test]
    fn every_kind_of_header_is_passed() {
        assert_eq!(read(&every_kind(), 7), Ok(vec![("text".to_owned(), "{}".to_owned())]));
    }

    #[test]
    fn exceptions_and_errors_have_their_names() {
        let mut out = Vec::new();
        write_exception(&mut out, "throttlingException", b"{\"message\":\"slow\"}");
        write_message(&mut out, &[(":message-type", "error"), (":error-code", "Down"), (":error-message", "no")], b"");
        assert_eq!(
            read(&out, usize::MAX),
            Ok(vec![
                ("throttlingException".to_owned(), "{\"message\":\"slow\"}".to_owned()),
                ("error".to_owned(), "{\"code\":\"Down\",\"message\":\"no\"}".to_owned()),
            ])
        );
    }

    #[test]
    fn any_wrong_byte_is_found() {
        let mut good = Vec::new();
        write_event(&mut good, "messageStart", b"{\"role\":\"assistant\"}");
        for at in 0..good.len() {
            let mut bad = good.clone();
            bad[at] ^= 0x40;
            // A longer length waits for bytes that never come, but the prelude's checksum knows better.
            assert!(matches!(read(&bad, usize::MAX), Err(BadMessage::Malformed(_))), "byte {at}");
        }
        assert_eq!(read(&message(b"\x05ab", b""), 1), Err(BadMessage::Malformed("a header is cut off")));
        let mut huge = (u32::try_from(MAX_FRAME).expect("small") + 1).to_be_bytes().to_vec();
        huge.extend_from_slice(&[0; 4]);
        huge.extend_from_slice(&crc32fast::hash(&huge).to_be_bytes());
        assert_eq!(read(&huge, 5), Err(BadMessage::TooLarge(FrameTooLarge)));
    }

    proptest! {
        #[test]
        fn where_the_bytes_break_does_not_matter(
            items in prop::collection::vec(("[a-zA-Z]{0,20}", "[a-z{}\\\\é]{0,40}"), 1..8),
            size in 1..50_usize,
            cut in 0..60_usize,
        ) {
            let mut bytes = Vec::new();
            for (name, data) in &items {
                write_event(&mut bytes, name, data.as_bytes());
            }
            prop_assert_eq!(read(&bytes, size), Ok(items.clone()));
            let cut = cut.min(bytes.len());
            let some = read(&bytes[..bytes.len() - cut], size).expect("good so far");
            prop_assert_eq!(&items[..some.len()], some.as_slice());
            prop_assert_eq!(some.len() == items.len(), cut == 0);
        }

        #[test]
        fn no_bytes_panic(bytes in prop::collection::vec(any::<u8>(), 0..80), headers in prop::collection::vec(any::<u8>(), 0..30)) {
            let _ = read(&bytes, 11);
            let _ = read(&message(&headers, &bytes), 13);
        }
    }
}
