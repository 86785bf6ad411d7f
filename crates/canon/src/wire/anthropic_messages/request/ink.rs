//! The pen of this wire: the common writer, whom it writes for, and the few cache marks that the wire allows.

use crate::Extras;
use crate::request::{CacheMark, Request};
use crate::wire::Target;
use crate::wire::anthropic_messages::{ID, block};
use crate::wire::calls::CallIds;
use crate::wire::marks::Marks;
use crate::wire::writer::{Writer, put};
use serde_json::Value;

/// Keeps what is needed while a request is written.
pub(super) struct Ink<'a> {
    /// Losses, and whether the request is at home.
    pub(super) pen: Writer,
    /// Whom it is written for.
    pub(super) target: &'a Target,
    /// Names of calls.
    pub(super) ids: CallIds,
    marks: Marks,
}

impl<'a> Ink<'a> {
    /// A pen for `request`, written for `target`.
    pub(super) fn new(request: &Request, target: &'a Target) -> Self {
        let pen = Writer::new(request.origin, ID);
        Self { pen, target, ids: CallIds::default(), marks: Marks::of(request) }
    }

    /// Ends a block: its cache mark and its extras. Too many marks from abroad lose the middle ones.
    pub(super) fn finish(&mut self, mut body: Extras, cache: Option<&CacheMark>, extras: &Extras, path: &str) -> Value {
        if let Some(mark) = cache.and_then(|mark| self.marks.next(mark, path, &mut self.pen)) {
            let mut value = block::typed("ephemeral");
            put(&mut value, "ttl", mark.ttl);
            body.insert("cache_control".to_owned(), Value::Object(value));
        }
        self.pen.extras(extras, path, &mut body);
        Value::Object(body)
    }
}
