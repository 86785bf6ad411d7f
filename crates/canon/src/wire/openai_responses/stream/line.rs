//! One event of the wire, written field by field without building a tree: deltas are many and small.

use serde::Serialize;

/// An event being written.
pub(super) struct Line<'a> {
    out: &'a mut Vec<u8>,
}

impl<'a> Line<'a> {
    /// Begins event `name`, the `sequence`-th of its stream.
    pub(super) fn new(out: &'a mut Vec<u8>, name: &str, sequence: u64) -> Self {
        out.extend_from_slice(b"event: ");
        out.extend_from_slice(name.as_bytes());
        out.extend_from_slice(b"\ndata: {\"type\":\"");
        out.extend_from_slice(name.as_bytes());
        out.push(b'"');
        Self { out }.say("sequence_number", &sequence)
    }

    /// Adds a field.
    pub(super) fn say<T: Serialize + ?Sized>(self, key: &str, value: &T) -> Self {
        self.out.extend_from_slice(b",\"");
        self.out.extend_from_slice(key.as_bytes());
        self.out.extend_from_slice(b"\":");
        let start = self.out.len();
        // Strings, numbers and trees cannot fail to be written into memory.
        if serde_json::to_writer(&mut *self.out, value).is_err() {
            self.out.truncate(start);
            self.out.extend_from_slice(b"null");
        }
        self
    }

    /// Ends the event.
    pub(super) fn end(self) {
        self.out.extend_from_slice(b"}\n\n");
    }
}
