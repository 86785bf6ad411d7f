//! Entries of a segment, read while it is being written. One counts once all of it is there: what a dead process left half
//! written at the end of its last segment is none.

use crate::journal::Segment;
use crate::packed::{Entry, First, first, next_whole};
use std::io;

const CHUNK: usize = 256 << 10;

/// A place in a segment.
#[derive(Debug, Default)]
pub(super) struct Tail {
    offset: u64,
    /// What was read and not yet handed out stands at its front; grows for an entry longer than a chunk.
    buffer: Vec<u8>,
    held: usize,
}

impl Tail {
    /// Hands the next whole entries to `take`, about a chunk of them, each with the place where it begins; `None`: bytes
    /// between them that are none. `false`: there are no more for now.
    pub(super) fn read(&mut self, segment: &Segment, mut take: impl FnMut(u64, Option<Entry<'_>>)) -> io::Result<bool> {
        if self.buffer.len() < self.held + CHUNK {
            self.buffer.resize(self.held + CHUNK, 0);
        }
        let held = self.held;
        let read = segment.read_at(&mut self.buffer[held..], self.offset)?;
        let place = self.offset - held as u64;
        self.offset += read as u64;
        self.held += read;
        let bytes = &self.buffer[..self.held];
        let mut at = 0;
        while at < bytes.len() {
            match first(&bytes[at..]) {
                First::Whole(entry) => {
                    take(place + at as u64, Some(entry));
                    at += entry.bytes.len();
                }
                // where nothing whole follows, the rest of it may be on its way
                First::Part | First::Noise => match next_whole(&bytes[at + 1..]) {
                    Some(next) => {
                        take(place + at as u64, None);
                        at += 1 + next;
                    }
                    None => break,
                },
            }
        }
        self.buffer.copy_within(at..self.held, 0);
        self.held -= at;
        Ok(read > 0)
    }

    /// Whether what stands behind the last entry, once nobody writes any more, is no beginning of one either.
    pub(super) fn ends_in_noise(&self) -> bool {
        self.held > 0 && first(&self.buffer[..self.held]) == First::Noise
    }
}
