//! Lines of a segment, read while it is being written. A line counts once its end is there: what a dead process left
//! half written at the end of its last segment is no line.

use crate::journal::Segment;
use crate::record::Attempt;
use std::io;

const CHUNK: usize = 256 << 10;

/// A place in a segment.
#[derive(Debug, Default)]
pub(super) struct Tail {
    offset: u64,
    /// What was read and not yet handed out; grows for a line longer than a chunk.
    buffer: Vec<u8>,
}

impl Tail {
    /// Hands the next whole lines to `take`, about a chunk of them; `false`: there are no more for now.
    pub(super) fn read(&mut self, segment: &Segment, mut take: impl FnMut(&[u8])) -> io::Result<bool> {
        let held = self.buffer.len();
        self.buffer.resize(held + CHUNK, 0);
        let read = segment.read_at(&mut self.buffer[held..], self.offset);
        self.buffer.truncate(held + *read.as_ref().unwrap_or(&0));
        let read = read?;
        self.offset += read as u64;
        let whole = self.buffer[held..].iter().rposition(|&byte| byte == b'\n').map_or(0, |at| held + at + 1);
        for line in self.buffer[..whole].split(|&byte| byte == b'\n').filter(|line| !line.is_empty()) {
            take(line);
        }
        self.buffer.drain(..whole);
        Ok(read > 0)
    }
}

/// The row in a line; `None`: nobody understands it.
pub(super) fn row(line: &[u8]) -> Option<Attempt> {
    sonic_rs::from_slice(line).ok()
}
