//! Bytes to frames: server-sent events here, AWS's binary messages in `event_stream`. A frame is complete or it is not
//! there; where the bytes break does not matter. Lines end only at `\n`, `\r\n` or `\r`, never at other Unicode breaks,
//! which are legal inside JSON.

mod event_stream;

pub use event_stream::{BadMessage, ERROR_EVENT, EventStreamReader, write_event, write_exception};

use bytes::{Bytes, BytesMut};

/// One complete event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Frame {
    /// The bytes as they came, a server-sent event's closing blank line included.
    pub raw: Bytes,
    /// The `event:` name, or a message's `:event-type` or `:exception-type`; empty when absent.
    pub event: Bytes,
    /// The `data:` lines joined by `\n`, or a message's payload; empty for comments.
    pub data: Bytes,
}

impl Frame {
    /// Whether the frame carries nothing but comments.
    #[must_use]
    pub fn is_comment(&self) -> bool {
        self.data.is_empty() && self.event.is_empty()
    }
}

/// Collects bytes until they are frames.
#[derive(Debug, Default)]
pub struct SseReader {
    held: BytesMut,
    /// Bytes of `held` already searched for an end.
    seen: usize,
}

/// Largest frame accepted, in bytes.
pub const MAX_FRAME: usize = 8 * 1024 * 1024;

/// A frame larger than [`MAX_FRAME`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("an event of the stream is larger than {MAX_FRAME} bytes")]
pub struct FrameTooLarge;

impl SseReader {
    /// Takes `chunk` in and appends every frame that is now complete to `out`.
    ///
    /// # Errors
    /// When a frame grows beyond [`MAX_FRAME`].
    pub fn push(&mut self, chunk: Bytes, out: &mut Vec<Frame>) -> Result<(), FrameTooLarge> {
        if self.held.is_empty() {
            let rest = split_frames(chunk, 0, out);
            self.seen = rest.len().saturating_sub(3);
            self.held.extend_from_slice(&rest);
        } else {
            self.held.extend_from_slice(&chunk);
            if end_of_frame(&self.held, self.seen).is_none() {
                self.seen = self.held.len().saturating_sub(3);
            } else {
                let whole = self.held.split().freeze();
                let rest = split_frames(whole, self.seen, out);
                self.seen = rest.len().saturating_sub(3);
                self.held.extend_from_slice(&rest);
            }
        }
        if self.held.len() > MAX_FRAME { Err(FrameTooLarge) } else { Ok(()) }
    }

    /// The bytes of an unfinished frame.
    #[must_use]
    pub fn rest(&self) -> &[u8] {
        &self.held
    }

    /// Ends the stream: a last event without its blank line still counts when its line is complete JSON to the eye
    /// of the caller; it is handed out as a frame. Empty remains give nothing.
    pub fn finish(&mut self, out: &mut Vec<Frame>) {
        let rest = self.held.split().freeze();
        self.seen = 0;
        if !rest.iter().all(u8::is_ascii_whitespace) {
            out.push(parse(rest));
        }
    }
}

fn split_frames(mut bytes: Bytes, mut from: usize, out: &mut Vec<Frame>) -> Bytes {
    while let Some(end) = end_of_frame(&bytes, from) {
        let raw = bytes.split_to(end);
        from = 0;
        if !raw.iter().all(u8::is_ascii_whitespace) {
            out.push(parse(raw));
        }
    }
    bytes
}

/// One past the blank line that ends the first frame, searching from `from`.
fn end_of_frame(bytes: &[u8], from: usize) -> Option<usize> {
    let mut at = from;
    loop {
        let found = at + memchr::memchr2(b'\n', b'\r', bytes.get(at..)?)?;
        let first = newline_at(bytes, found)?;
        match newline_at(bytes, first) {
            Some(second) => return Some(second),
            None if first >= bytes.len() => return None,
            None => at = first,
        }
    }
}

/// One past the line end that starts at `at`. A `\r` that is the last byte counts only when more may not follow:
/// it is taken as an end (the `\n` that may come later makes an empty frame, which is dropped).
fn newline_at(bytes: &[u8], at: usize) -> Option<usize> {
    match bytes.get(at)? {
        b'\n' => Some(at + 1),
        b'\r' if bytes.get(at + 1) == Some(&b'\n') => Some(at + 2),
        b'\r' => Some(at + 1),
        _ => None,
    }
}

/// Reads the fields of one event.
fn parse(raw: Bytes) -> Frame {
    let mut event = Bytes::new();
    let mut data: Option<Bytes> = None;
    let mut joined = Vec::new();
    let mut start = 0;
    while start < raw.len() {
        let end = memchr::memchr2(b'\n', b'\r', &raw[start..]).map_or(raw.len(), |found| start + found);
        let line = raw.slice(start..end);
        start = newline_at(&raw, end).unwrap_or(raw.len());
        let (field, value) = split_field(&line);
        match field {
            b"event" => event = value,
            b"data" if data.is_none() => data = Some(value),
            b"data" => {
                if joined.is_empty() {
                    joined.extend_from_slice(data.as_deref().unwrap_or_default());
                }
                joined.push(b'\n');
                joined.extend_from_slice(&value);
            }
            _ => {}
        }
    }
    let data = if joined.is_empty() { data.unwrap_or_default() } else { Bytes::from(joined) };
    Frame { raw, event, data }
}

fn split_field(line: &Bytes) -> (&[u8], Bytes) {
    let Some(colon) = memchr::memchr(b':', line) else { return (line, Bytes::new()) };
    let mut value = colon + 1;
    if line.get(value) == Some(&b' ') {
        value += 1;
    }
    (&line[..colon], line.slice(value..))
}

/// Writes one event: `event:` line when `name` is not empty, one `data:` line, a blank line.
pub fn write_sse(out: &mut Vec<u8>, name: &str, data: &[u8]) {
    if !name.is_empty() {
        out.extend_from_slice(b"event: ");
        out.extend_from_slice(name.as_bytes());
        out.push(b'\n');
    }
    out.extend_from_slice(b"data: ");
    out.extend_from_slice(data);
    out.extend_from_slice(b"\n\n");
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn read(chunks: &[&[u8]]) -> Vec<(String, String)> {
        let mut reader = SseReader::default();
        let mut frames = Vec::new();
        for chunk in chunks {
            reader.push(Bytes::copy_from_slice(chunk), &mut frames).expect("small");
        }
        reader.finish(&mut frames);
        frames
            .iter()
            .map(|f| (String::from_utf8_lossy(&f.event).into_owned(), String::from_utf8_lossy(&f.data).into_owned()))
            .filter(|(event, data)| !(event.is_empty() && data.is_empty()))
            .collect()
    }

    #[test]
    fn unicode_breaks_do_not_break_lines() {
        let text = "data: {\"a\":\"x\u{2028}y\u{85}z\"}\n\n";
        assert_eq!(read(&[text.as_bytes()]), [(String::new(), "{\"a\":\"x\u{2028}y\u{85}z\"}".to_owned())]);
    }

    #[test]
    fn comments_names_crlf_and_several_data_lines() {
        let text = b": keep-alive\r\n\r\nevent: ping\r\ndata: 1\r\ndata: 2\r\n\r\ndata:3\r\r";
        assert_eq!(read(&[text]), [("ping".to_owned(), "1\n2".to_owned()), (String::new(), "3".to_owned())]);
    }

    #[test]
    fn raw_bytes_add_up() {
        let text = b"event: a\ndata: 1\n\ndata: 2\n\n";
        let mut reader = SseReader::default();
        let mut frames = Vec::new();
        reader.push(Bytes::from_static(text), &mut frames).expect("small");
        let raw: Vec<u8> = frames.iter().flat_map(|frame| frame.raw.to_vec()).collect();
        assert_eq!(raw, text);
    }

    proptest! {
        #[test]
        fn where_the_bytes_break_does_not_matter(
            items in prop::collection::vec(("[a-z]{0,3}", "[a-z{}\\\\é\u{2028}]{1,12}", 0..3_u8), 1..8),
            cuts in prop::collection::vec(1..9_usize, 1..64),
        ) {
            let mut text = Vec::new();
            for (name, data, ending) in &items {
                let end: &str = ["\n", "\r\n", "\r"][usize::from(*ending)];
                if !name.is_empty() {
                    text.extend_from_slice(format!("event: {name}{end}").as_bytes());
                }
                text.extend_from_slice(format!("data: {data}{end}{end}").as_bytes());
            }
            let whole = read(&[&text]);
            let mut pieces = Vec::new();
            let mut rest = text.as_slice();
            let mut sizes = cuts.iter().cycle();
            while !rest.is_empty() {
                let size = (*sizes.next().expect("cycle")).min(rest.len());
                let (head, tail) = rest.split_at(size);
                pieces.push(head);
                rest = tail;
            }
            prop_assert_eq!(&whole, &read(&pieces));
            prop_assert_eq!(whole.len(), items.len());
        }
    }
}
