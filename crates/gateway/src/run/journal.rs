//! What passed untouched, kept until it is known whether anybody must go on with it: then it is read, so that takeover
//! and encoder know what the client has heard. A short stream that ends well is never read; a long one in batches.

use super::takeover::Takeover;
use canon::Fault;
use canon::frame::Frame;
use canon::wire::{Framing, Protocol, StreamDecoder, StreamEncoder, frames_in};
use serde_json::Value;
use std::collections::VecDeque;

/// Bytes that are kept unread.
const BATCH: usize = 64 * 1024;

/// What passed and is not read yet.
pub(super) struct Journal {
    decoder: Box<dyn StreamDecoder>,
    framing: Framing,
    kept: Vec<u8>,
    owed: Owed,
}

impl Journal {
    /// Nothing yet of a stream of `protocol`.
    pub(super) fn new(protocol: &dyn Protocol) -> Self {
        let framing = protocol.framing();
        let owed = Owed { framing, ..Owed::default() };
        Self { decoder: protocol.stream_decoder(), framing, kept: Vec::new(), owed }
    }

    /// Keeps whole frames that were passed on.
    pub(super) fn keep<'a>(
        &mut self,
        frames: &[u8],
        takeover: &mut Takeover,
        encoder: impl FnOnce() -> &'a mut dyn StreamEncoder,
    ) {
        self.kept.extend_from_slice(frames);
        if self.kept.len() > BATCH {
            self.read(takeover, encoder());
        }
    }

    /// Reads what was kept: afterwards `takeover` knows what the client heard, and `encoder` is where it would be had
    /// it written all of it.
    fn read(&mut self, takeover: &mut Takeover, encoder: &mut dyn StreamEncoder) {
        let frames = frames_in(self.framing, std::mem::take(&mut self.kept).into());
        let (mut events, mut told, mut out) = (Vec::new(), Vec::new(), Vec::new());
        for frame in &frames {
            self.owed.heard(frame);
            // What the wire's own watch let pass is at worst not understood here; then nobody goes on with it.
            if self.decoder.frame(frame, &mut events).is_err() {
                self.owed.lost = true;
            }
        }
        for event in events {
            self.owed.lost |= takeover.event(event, &mut told).is_err();
        }
        for event in &told {
            encoder.event(event, &mut out);
        }
        self.owed.written(out);
    }

    /// Reads the rest for what `takeover` knows of it, when nobody will write anything behind it.
    pub(super) fn count(mut self, takeover: &mut Takeover) {
        let (mut events, mut told) = (Vec::new(), Vec::new());
        for frame in &frames_in(self.framing, std::mem::take(&mut self.kept).into()) {
            if self.decoder.frame(frame, &mut events).is_err() {
                break;
            }
        }
        for event in events {
            // Words are counted whether they can be gone on with or not.
            let _ = takeover.event(event, &mut told);
        }
    }

    /// Reads the rest. What the client has heard already and the encoder has not written yet is `Owed`.
    pub(super) fn end(mut self, takeover: &mut Takeover, encoder: &mut dyn StreamEncoder) -> Owed {
        self.read(takeover, encoder);
        self.owed
    }
}

/// The frames that begin and end things, of which the client has heard and the encoder has not written yet: a wire may
/// say that a block begins before anything of it is known, an encoder waits. They are left out once they are written.
#[derive(Debug, Default)]
pub(super) struct Owed {
    framing: Framing,
    frames: VecDeque<Mark>,
    /// Ids that the encoder made for what the client knows by another one, each with that.
    renamed: Vec<(String, String)>,
    /// Whether the two do not fit, so that nothing more can be written behind what passed.
    lost: bool,
}

/// What tells such a frame from others.
#[derive(Debug)]
struct Mark {
    kind: String,
    places: [Option<u64>; 3],
    /// The kind of item or block that begins.
    inner: Option<String>,
    /// Its id, which may differ.
    id: Option<String>,
}

impl Mark {
    fn is(&self, other: &Self) -> bool {
        (&self.kind, self.places, &self.inner) == (&other.kind, other.places, &other.inner)
    }
}

impl Owed {
    fn heard(&mut self, frame: &Frame) {
        self.frames.extend(mark(frame));
    }

    fn written(&mut self, bytes: Vec<u8>) {
        for mark in frames_in(self.framing, bytes.into()).iter().filter_map(mark) {
            self.lost |= !self.frames.pop_front().is_some_and(|heard| heard.is(&mark));
        }
    }

    /// What the client is still to hear of `bytes`.
    ///
    /// # Errors
    /// When they do not follow upon what it has heard.
    pub(super) fn unheard(&mut self, bytes: Vec<u8>) -> Result<Vec<u8>, Fault> {
        if self.frames.is_empty() && self.renamed.is_empty() && !self.lost {
            return Ok(bytes);
        }
        let mut out = Vec::with_capacity(bytes.len());
        for frame in frames_in(self.framing, bytes.into()) {
            match (mark(&frame), self.frames.front()) {
                (Some(mark), Some(owed)) if mark.is(owed) => {
                    let owed = self.frames.pop_front().and_then(|owed| owed.id);
                    self.renamed.extend(mark.id.zip(owed).filter(|(ours, theirs)| ours != theirs));
                }
                (Some(_), Some(_)) => self.lost = true,
                _ => self.rename(&frame.raw, &mut out),
            }
        }
        if self.lost {
            let words = "the stream broke where no other deployment can go on with it";
            return Err(Fault::provider(canon::FaultKind::Cut, words));
        }
        Ok(out)
    }

    /// Appends `frame` with the ids that the client knows.
    fn rename(&self, frame: &[u8], out: &mut Vec<u8>) {
        match std::str::from_utf8(frame) {
            Ok(text) if !self.renamed.is_empty() => {
                let mut text = text.to_owned();
                for (ours, theirs) in &self.renamed {
                    text = text.replace(ours.as_str(), theirs);
                }
                out.extend_from_slice(text.as_bytes());
            }
            _ => out.extend_from_slice(frame),
        }
    }
}

/// Frames that begin or end something have a mark; pieces of words, and wires without types, have none.
fn mark(frame: &Frame) -> Option<Mark> {
    let value: Value = serde_json::from_slice(&frame.data).ok()?;
    let name = std::str::from_utf8(&frame.event).ok().filter(|name| !name.is_empty());
    let kind = value.get("type").and_then(Value::as_str).or(name)?;
    if kind == "ping" || ((kind.ends_with("delta") || kind.ends_with("Delta")) && kind != "message_delta") {
        return None;
    }
    let number = |key: &str| value.get(key).and_then(Value::as_u64);
    let inner = ["/content_block/type", "/item/type", "/delta/message/content/type"];
    let inner = inner.iter().find_map(|at| value.pointer(at)).and_then(Value::as_str);
    let place = ["index", "output_index", "contentBlockIndex"].into_iter().find_map(number);
    let places = [place, number("content_index"), number("summary_index")];
    let id = value.pointer("/item/id").and_then(Value::as_str);
    let owned = |text: Option<&str>| text.map(str::to_owned);
    Some(Mark { kind: kind.to_owned(), places, inner: owned(inner), id: owned(id) })
}
