//! The pen of this wire: the common writer, whom it writes for, and the few cache marks that the wire allows.

use crate::Extras;
use crate::request::{CacheMark, Part, Request, Tool};
use crate::wire::anthropic_messages::{ID, block};
use crate::wire::writer::{Writer, put};
use crate::wire::Target;
use serde_json::Value;
use std::borrow::Cow;

/// Most cache marks the wire takes.
const MOST_MARKS: usize = 4;

/// Keeps what is needed while a request is written.
pub(super) struct Ink<'a> {
    /// Losses, and whether the request is at home.
    pub(super) pen: Writer,
    /// Whom it is written for.
    pub(super) target: &'a Target,
    marks: usize,
    mark: usize,
}

impl<'a> Ink<'a> {
    /// A pen for `request`, written for `target`.
    pub(super) fn new(request: &Request, target: &'a Target) -> Self {
        Self { pen: Writer::new(request.origin, ID), target, marks: count_marks(request), mark: 0 }
    }

    /// Whether the target refuses a form of this wire, e.g. `thinking.adaptive`.
    pub(super) fn refuses(&self, form: &str) -> bool {
        self.target.quirks.refuses.iter().any(|refused| refused == form)
    }

    /// Ends a block: its cache mark and its extras. Too many marks from abroad lose the middle ones: the first two
    /// hold what every request shares, the last two the growing end.
    pub(super) fn finish(
        &mut self,
        mut body: Extras,
        cache: Option<&CacheMark>,
        extras: &Extras,
        path: &str,
    ) -> Value {
        if let Some(mark) = cache {
            let place = self.mark;
            self.mark += 1;
            if self.pen.home || place < MOST_MARKS / 2 || place + MOST_MARKS / 2 >= self.marks {
                let mut value = block::typed("ephemeral");
                put(&mut value, "ttl", mark.ttl.clone());
                body.insert("cache_control".to_owned(), Value::Object(value));
            } else {
                self.pen.drop(format!("{path}.cache_control"));
            }
        }
        self.extras(extras, path, &mut body);
        Value::Object(body)
    }

    /// Extras: home into `body`, those of an object that the body has into that object; named abroad.
    pub(super) fn extras(&mut self, extras: &Extras, path: &str, body: &mut Extras) {
        if !self.pen.home {
            self.pen.extras(extras, path, body);
            return;
        }
        join(body, extras);
    }
}

/// Puts `more` into `body`; objects on both sides are joined.
fn join(body: &mut Extras, more: &Extras) {
    for (key, value) in more {
        match (body.get_mut(key), value) {
            (Some(Value::Object(mine)), Value::Object(theirs)) => join(mine, theirs),
            _ => {
                body.insert(key.clone(), value.clone());
            }
        }
    }
}

fn count_marks(request: &Request) -> usize {
    let tools = request.tools.iter().filter(|tool| matches!(tool, Tool::Function { cache: Some(_), .. })).count();
    let parts = request.messages.iter().flat_map(|message| &message.parts);
    tools + parts.map(count_in_part).sum::<usize>()
}

fn count_in_part(part: &Part) -> usize {
    match part {
        Part::Text { cache, .. } | Part::ToolCall { cache, .. } => usize::from(cache.is_some()),
        Part::Media(media) => usize::from(media.cache.is_some()),
        Part::ToolResult { cache, content, .. } => {
            usize::from(cache.is_some()) + content.iter().map(count_in_part).sum::<usize>()
        }
        Part::Refusal { .. } | Part::Reasoning { .. } | Part::Native { .. } => 0,
    }
}

/// `id` as the wire allows it: `[a-zA-Z0-9_-]+`. The same id gives the same name on every turn, two ids give two.
pub(super) fn safe_id(id: &str) -> Cow<'_, str> {
    let allowed = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
    if !id.is_empty() && id.chars().all(allowed) {
        return Cow::Borrowed(id);
    }
    let mut name: String = id.chars().map(|c| if allowed(c) { c } else { '_' }).collect();
    // FNV-1a keeps apart what the replacement makes equal.
    let hash = id.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    });
    name.push_str(&format!("_{hash:016x}"));
    Cow::Owned(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_fit_the_wire_and_stay_apart() {
        assert_eq!(safe_id("toolu_01-A"), "toolu_01-A");
        for id in ["call:1.2", "call.1:2", "", "ä", "a b"] {
            let name = safe_id(id);
            assert!(name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_' || c == '-'), "{name}");
            assert_eq!(name, safe_id(id));
        }
        assert_ne!(safe_id("call:1.2"), safe_id("call.1:2"));
    }
}
