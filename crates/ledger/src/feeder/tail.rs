//! Lines of a segment, read while it is being written. A line counts once its end is there: what a dead process left
//! half written at the end of its last segment is no line.

use crate::journal::Segment;
use crate::line::Cursor;
use crate::named::Named;
use crate::record::{Lasts, Outcome, RowKey};
use sonic_rs::JsonValueTrait;
use std::io;

const CHUNK: usize = 256 << 10;

/// A place in a segment.
#[derive(Debug, Default)]
pub(super) struct Tail {
    offset: u64,
    /// What was read and not yet handed out stands at its front; grows for a line longer than a chunk.
    buffer: Vec<u8>,
    held: usize,
    lasts: Lasts,
}

impl Tail {
    /// Hands the next whole lines to `take`, about a chunk of them; `false`: there are no more for now.
    pub(super) fn read(&mut self, segment: &Segment, mut take: impl FnMut(&[u8], &mut Lasts)) -> io::Result<bool> {
        if self.buffer.len() < self.held + CHUNK {
            self.buffer.resize(self.held + CHUNK, 0);
        }
        let held = self.held;
        let read = segment.read_at(&mut self.buffer[held..], self.offset)?;
        self.offset += read as u64;
        self.held += read;
        let whole = self.buffer[held..self.held].iter().rposition(|&byte| byte == b'\n').map_or(0, |at| held + at + 1);
        for line in self.buffer[..whole].split(|&byte| byte == b'\n').filter(|line| !line.is_empty()) {
            take(line, &mut self.lasts);
        }
        self.buffer.copy_within(whole..self.held, 0);
        self.held -= whole;
        Ok(read > 0)
    }
}

/// Whose line it is, and whether it says that an attempt begins: looked up at the line's beginning, where every row has
/// these. `None`: nobody understands it.
pub(super) fn head(line: &[u8]) -> Option<(RowKey, bool)> {
    head_by_hand(line).or_else(|| head_by_serde(line))
}

fn head_by_hand(line: &[u8]) -> Option<(RowKey, bool)> {
    let mut line = Cursor::of(line)?;
    let request = line.field(b"\"request_id\":", &mut None)??;
    let attempt = line.field(b"\"attempt\":", &mut None)??;
    let outcome: Outcome = line.field(b"\"outcome\":", &mut None)??;
    Some(((request, attempt), outcome == Outcome::Open))
}

fn head_by_serde(line: &[u8]) -> Option<(RowKey, bool)> {
    let (mut request, mut attempt, mut outcome) = (None, None, None);
    for field in sonic_rs::to_object_iter(line).take(3) {
        let (name, value) = field.ok()?;
        match name.as_ref() {
            "request_id" => request = value.as_str()?.parse().ok(),
            "attempt" => attempt = value.as_u64().and_then(|number| u32::try_from(number).ok()),
            "outcome" => outcome = value.as_str().map(|word| word == Outcome::Open.name()),
            _ => {}
        }
    }
    Some(((request?, attempt?), outcome?))
}
