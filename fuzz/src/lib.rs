//! What the fuzz targets try: no bytes, wherever they come from, make a reader panic, hang or contradict itself. One target
//! per wire and one for framing; each input's first byte says which reader it is for. Beginnings come from the fixtures
//! (`cargo run --bin seed`); what is found becomes a fixture or a test of its room, so no corpus is kept here.

use bytes::Bytes;
use canon::event::Event;
use canon::frame::{EventStreamReader, Frame, SseReader};
use canon::wire::{self, Dialect, Framing, Params, Protocol, StreamTerms, Target};
use serde_json::Value;

/// Readers of one wire, by the first byte of an input.
pub const READERS: u8 = 4;

/// Tries `data` on everything that reads the wire called `name`.
pub fn wire(name: &str, data: &[u8]) {
    let Some((kind, body)) = data.split_first() else { return };
    let (dialect, protocol) = (wire::dialect(name), wire::protocol(name));
    match (kind % READERS, dialect, protocol) {
        (0, Some(dialect), _) => request(dialect, body),
        (1, _, Some(protocol)) => answer(protocol, body),
        (2, _, Some(protocol)) => stream(protocol, body),
        (3, _, Some(protocol)) => fault(protocol, body),
        _ => {}
    }
}

fn params() -> Params {
    Params { model: Some("m".to_owned()), stream: false, ..Params::default() }
}

fn target() -> Target {
    Target { model: "m".to_owned(), signer: "s".to_owned(), ..Target::default() }
}

fn terms() -> StreamTerms {
    StreamTerms { usage: true, created: 1, id: "fuzz".to_owned(), ..StreamTerms::default() }
}

/// A request: looked into, read whole, written for every protocol.
fn request(dialect: &dyn Dialect, body: &[u8]) {
    let looked = dialect.peek(&params(), body);
    let Ok(value) = serde_json::from_slice::<Value>(body) else { return };
    let Ok(request) = dialect.decode_request(&params(), value) else { return };
    if let Ok(peek) = &looked {
        assert_eq!(peek.stream, request.stream, "a look and a full read say the same of streaming");
    }
    for protocol in wire::PROTOCOLS {
        let written = protocol.encode_request(&request, &target());
        assert!(written.body.is_object(), "a request is an object");
    }
}

/// A whole answer: watched, read, written in every dialect.
fn answer(protocol: &dyn Protocol, body: &[u8]) {
    let _ = protocol.scan_response(body);
    let Ok(value) = serde_json::from_slice::<Value>(body) else { return };
    let Ok(answer) = protocol.decode_response(value) else { return };
    for dialect in wire::DIALECTS {
        let _ = dialect.encode_response(&answer, &terms());
    }
    spoken(&answer.unfold());
}

/// A stream: watched and read, frame by frame; an end comes last or not at all.
fn stream(protocol: &dyn Protocol, body: &[u8]) {
    let mut scan = protocol.scan();
    let mut decoder = protocol.stream_decoder();
    let mut events = Vec::new();
    for frame in read(protocol.framing(), body, usize::MAX) {
        let _ = scan.frame(&frame);
        if decoder.frame(&frame, &mut events).is_err() {
            return;
        }
    }
    let _ = scan.close();
    decoder.end(&mut events);
    let ends = events.iter().filter(|event| matches!(event, Event::Finish(_))).count();
    assert!(ends <= 1, "a stream ends once");
    assert!(ends == 0 || matches!(events.last(), Some(Event::Finish(_))), "nothing follows the end");
    spoken(&events);
}

/// An error answer, whatever its status.
fn fault(protocol: &dyn Protocol, body: &[u8]) {
    for status in [200, 400, 401, 404, 429, 500, 503, 529] {
        let fault = protocol.decode_fault(status, body);
        for dialect in wire::DIALECTS {
            let (status, _) = dialect.encode_fault(&fault);
            assert!((400..600).contains(&status), "an error has an error's status");
        }
    }
}

/// Events, written in every dialect.
fn spoken(events: &[Event]) {
    for dialect in wire::DIALECTS {
        let (mut encoder, mut out) = (dialect.stream_encoder(&terms()), Vec::new());
        events.iter().for_each(|event| encoder.event(event, &mut out));
    }
}

/// Bytes to frames, whichever pieces they come in.
pub fn frames(data: &[u8]) {
    let Some((size, body)) = data.split_first() else { return };
    for framing in [Framing::Sse, Framing::AwsEventStream] {
        let (whole, pieces) = (read(framing, body, usize::MAX), read(framing, body, usize::from(*size).max(1)));
        // A carriage return ends a line before it is known whether a line feed follows: blank lines between frames may
        // fall to either, or to neither, and say nothing.
        let said = |frames: &[Frame]| -> Vec<_> {
            frames
                .iter()
                .filter(|frame| !frame.is_comment())
                .map(|frame| (frame.event.clone(), frame.data.clone()))
                .collect()
        };
        assert_eq!(said(&whole), said(&pieces), "where bytes break does not matter");
        let raw: usize = whole.iter().map(|frame| frame.raw.len()).sum();
        assert!(raw <= body.len(), "no frame holds bytes that did not come");
    }
}

fn read(framing: Framing, body: &[u8], size: usize) -> Vec<Frame> {
    let mut out = Vec::new();
    let mut pieces = body.chunks(size.clamp(1, body.len().max(1))).map(Bytes::copy_from_slice);
    match framing {
        Framing::Sse => {
            let mut reader = SseReader::default();
            if pieces.all(|piece| reader.push(piece, &mut out).is_ok()) {
                reader.finish(&mut out);
            }
        }
        Framing::AwsEventStream => {
            let mut reader = EventStreamReader::default();
            // After a broken message nothing can be read.
            let _ = pieces.all(|piece| reader.push(piece, &mut out).is_ok());
        }
    }
    out
}
