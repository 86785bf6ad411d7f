//! A provider's stream whose bytes pass untouched: cut into whole frames, watched by the wire's `Scan`, handed on.
//! Only whole frames are handed on, so a break never leaves half an event with the client.

use super::seals::SealWatch;
use super::transport::Body;
use bytes::{Bytes, BytesMut};
use canon::frame::{EventStreamReader, Frame, SseReader};
use canon::wire::{FrameNote, Framing, Protocol, Scan, Seen};
use canon::{Fault, FaultKind};
use http_body_util::BodyExt;
use std::time::Duration;

/// How long to wait for the end of the provider's body once the wire's own end was seen.
const END_OF_BODY: Duration = Duration::from_millis(50);

/// One piece of a stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Piece {
    /// Whole frames as they came.
    pub bytes: Bytes,
    /// Whether the answer is complete with these.
    pub last: bool,
}

/// A stream that passes untouched.
pub struct RawStream {
    body: FrameReader,
    scan: Box<dyn Scan>,
    /// Whether reports of usage are held back, since only we asked for them.
    strip_reports: bool,
    /// Who notes opaque blocks.
    watch: Option<SealWatch>,
    first: Option<Piece>,
    over: bool,
}

impl RawStream {
    /// Opens a stream of so many `choices`: returns with the first real event in hand.
    ///
    /// # Errors
    /// When the stream breaks, ends or reports an error before it.
    pub(super) async fn open(
        body: Body,
        protocol: &dyn Protocol,
        (choices, strip_reports): (u32, bool),
        watch: Option<SealWatch>,
    ) -> Result<Self, Fault> {
        let (body, mut scan) = (FrameReader::new(body, protocol.framing()), protocol.scan());
        scan.expects(choices);
        let mut stream = Self { body, scan, strip_reports, watch, first: None, over: false };
        let mut held = BytesMut::new();
        loop {
            let (piece, begun) = stream.read().await?;
            held.extend_from_slice(&piece.bytes);
            if begun || piece.last {
                stream.first = Some(Piece { bytes: held.freeze(), last: piece.last });
                return Ok(stream);
            }
        }
    }

    /// What was seen so far.
    #[must_use]
    pub fn seen(&self) -> &Seen {
        self.scan.seen()
    }

    /// The next piece; `None` after the last.
    ///
    /// # Errors
    /// When the stream breaks or reports an error.
    pub async fn next(&mut self) -> Result<Option<Piece>, Fault> {
        if let Some(piece) = self.first.take() {
            return Ok(Some(piece));
        }
        if self.over {
            return Ok(None);
        }
        loop {
            let (piece, _) = self.read().await?;
            if piece.last || !piece.bytes.is_empty() {
                return Ok(Some(piece));
            }
        }
    }

    /// What is missing of a complete answer after a break: `Some`, where the wire's own end was seen.
    pub fn close(&mut self) -> Option<Bytes> {
        self.over = true;
        self.scan.close().map(Bytes::from_static)
    }

    /// Reads one piece, and whether it holds a real event.
    async fn read(&mut self) -> Result<(Piece, bool), Fault> {
        let Some(frames) = self.body.next().await? else {
            self.over = true;
            let Some(rest) = self.scan.close() else { return Err(cut()) };
            return Ok((Piece { bytes: Bytes::from_static(rest), last: true }, false));
        };
        let (mut begun, mut last, mut passed) = (false, false, Passed::default());
        for frame in frames {
            match self.scan.frame(frame)? {
                FrameNote::Report if self.strip_reports => continue,
                FrameNote::Quiet | FrameNote::Report => {}
                FrameNote::Content => begun = true,
                FrameNote::End => last = true,
            }
            if let Some(watch) = &self.watch {
                watch.bytes(&frame.data);
            }
            passed.add(&frame.raw);
        }
        self.over = last;
        Ok((Piece { bytes: passed.finish(), last }, begun))
    }

    /// Reads on to the end of the body, briefly, so that the connection can be used again.
    pub async fn drain(&mut self) {
        // Too slow an end only costs the connection.
        let _ = tokio::time::timeout(END_OF_BODY, self.body.next()).await;
    }
}

/// Frames put together: one alone is not copied.
#[derive(Default)]
struct Passed {
    only: Bytes,
    more: BytesMut,
}

impl Passed {
    fn add(&mut self, raw: &Bytes) {
        if self.only.is_empty() && self.more.is_empty() {
            self.only = raw.clone();
        } else {
            self.more.extend_from_slice(&std::mem::take(&mut self.only));
            self.more.extend_from_slice(raw);
        }
    }

    fn finish(self) -> Bytes {
        if self.more.is_empty() { self.only } else { self.more.freeze() }
    }
}

fn cut() -> Fault {
    Fault::provider(FaultKind::Cut, "the provider's stream ended before the answer was complete")
}

/// Makes frames of bytes.
enum Cutter {
    Sse(SseReader),
    AwsEventStream(EventStreamReader),
}

impl Cutter {
    fn new(framing: Framing) -> Self {
        match framing {
            Framing::Sse => Self::Sse(SseReader::default()),
            Framing::AwsEventStream => Self::AwsEventStream(EventStreamReader::default()),
        }
    }

    fn push(&mut self, bytes: Bytes, out: &mut Vec<Frame>) -> Result<(), Fault> {
        let malformed = |error: &dyn std::fmt::Display| Fault::provider(FaultKind::Malformed, error.to_string());
        match self {
            Self::Sse(reader) => reader.push(bytes, out).map_err(|error| malformed(&error)),
            Self::AwsEventStream(reader) => reader.push(bytes, out).map_err(|error| malformed(&error)),
        }
    }

    /// The bytes ended. Half a binary message is none.
    fn finish(&mut self, out: &mut Vec<Frame>) {
        if let Self::Sse(reader) = self {
            reader.finish(out);
        }
    }
}

/// Reads a body as frames.
pub(super) struct FrameReader {
    body: Body,
    cutter: Cutter,
    frames: Vec<Frame>,
    over: bool,
}

impl FrameReader {
    pub(super) fn new(body: Body, framing: Framing) -> Self {
        Self { body, cutter: Cutter::new(framing), frames: Vec::new(), over: false }
    }

    /// The next frames, at least one; `None` at the end of the body.
    pub(super) async fn next(&mut self) -> Result<Option<&[Frame]>, Fault> {
        self.frames.clear();
        while self.frames.is_empty() {
            if self.over {
                return Ok(None);
            }
            match self.body.frame().await {
                None => {
                    self.over = true;
                    self.cutter.finish(&mut self.frames);
                }
                Some(Ok(frame)) => {
                    if let Ok(data) = frame.into_data() {
                        self.cutter.push(data, &mut self.frames)?;
                    }
                }
                Some(Err(error)) => {
                    return Err(Fault::provider(FaultKind::Cut, format!("the provider's stream broke: {error}")));
                }
            }
        }
        Ok(Some(&self.frames))
    }
}
