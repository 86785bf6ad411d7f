//! The pen of this wire: the common writer, whom it writes for, and the few cache marks that the wire allows.

use crate::Extras;
use crate::request::{CacheMark, Request};
use crate::wire::Target;
use crate::wire::anthropic_messages::{ID, block};
use crate::wire::calls::CallIds;
use crate::wire::marks::Marks;
use crate::wire::writer::{Writer, put};
use serde_json::Value;

/// Lifetimes of a cache entry that the wire knows.
const LIFETIMES: [&str; 2] = ["5m", "1h"];

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
        if let Some(mark) = cache {
            if self.marks.fits() || self.pen.home {
                let mut value = block::typed("ephemeral");
                let ttl = mark.ttl.as_deref().filter(|ttl| self.pen.home || LIFETIMES.contains(ttl));
                if ttl.is_none() && mark.ttl.is_some() {
                    self.pen.weaken(format!("{path}.cache_control.ttl"));
                }
                put(&mut value, "ttl", ttl);
                body.insert("cache_control".to_owned(), Value::Object(value));
            } else {
                self.pen.drop(format!("{path}.cache_control"));
            }
        }
        self.pen.extras(extras, path, &mut body);
        Value::Object(body)
    }
}
