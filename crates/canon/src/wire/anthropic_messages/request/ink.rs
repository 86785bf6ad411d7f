//! The pen of this wire: the common writer, whom it writes for, and the few cache marks that the wire allows.

use crate::Extras;
use crate::request::{CacheMark, Part, Request, Tool};
use crate::wire::Target;
use crate::wire::anthropic_messages::{ID, block};
use crate::wire::writer::{Writer, put};
use serde_json::Value;
use std::collections::{HashMap, HashSet, VecDeque};

/// Most cache marks the wire takes.
const MOST_MARKS: usize = 4;

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
    marks: usize,
    mark: usize,
}

impl<'a> Ink<'a> {
    /// A pen for `request`, written for `target`.
    pub(super) fn new(request: &Request, target: &'a Target) -> Self {
        let pen = Writer::new(request.origin, ID);
        Self { pen, target, ids: CallIds::default(), marks: count_marks(request), mark: 0 }
    }

    /// Whether the target refuses a form of this wire, e.g. `thinking.adaptive`.
    pub(super) fn refuses(&self, form: &str) -> bool {
        self.target.quirks.refuses.iter().any(|refused| refused == form)
    }

    /// Ends a block: its cache mark and its extras. Too many marks from abroad lose the middle ones: the first two
    /// hold what every request shares, the last two the growing end.
    pub(super) fn finish(&mut self, mut body: Extras, cache: Option<&CacheMark>, extras: &Extras, path: &str) -> Value {
        if let Some(mark) = cache {
            let place = self.mark;
            self.mark += 1;
            if self.pen.home || place < MOST_MARKS / 2 || place + MOST_MARKS / 2 >= self.marks {
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

/// The ids of calls as the wire allows them: `[a-zA-Z0-9_-]+`, and no two alike in a conversation, as some engines
/// give them. The same conversation gives the same names on every turn.
#[derive(Debug, Default)]
pub(super) struct CallIds {
    /// Names given so far.
    used: HashSet<String>,
    /// Names of calls that wait for their results, by the id that the conversation has for them.
    waiting: HashMap<String, VecDeque<String>>,
}

impl CallIds {
    /// The name of a call.
    pub(super) fn call(&mut self, id: &str) -> String {
        let first = safe_id(id);
        let mut name = first.clone();
        let mut count = 1;
        while self.used.contains(&name) {
            count += 1;
            name = format!("{first}-{count}");
        }
        self.used.insert(name.clone());
        self.waiting.entry(id.to_owned()).or_default().push_back(name.clone());
        name
    }

    /// The name of the call that a result answers.
    pub(super) fn result(&mut self, id: &str) -> String {
        self.waiting.get_mut(id).and_then(VecDeque::pop_front).unwrap_or_else(|| safe_id(id))
    }
}

fn safe_id(id: &str) -> String {
    let allowed = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
    if !id.is_empty() && id.chars().all(allowed) {
        return id.to_owned();
    }
    // FNV-1a keeps apart what the replacement makes equal.
    let hash = id
        .bytes()
        .fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3));
    let name: String = id.chars().map(|c| if allowed(c) { c } else { '_' }).collect();
    format!("{name}_{hash:016x}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_fit_the_wire_and_stay_apart() {
        let ids = ["toolu_01-A", "call:1.2", "call.1:2", "", "ä", "a b"];
        let mut names = CallIds::default();
        let calls: Vec<String> = ids.iter().map(|id| names.call(id)).collect();
        assert_eq!(calls[0], "toolu_01-A");
        assert!(calls.iter().flat_map(|name| name.chars()).all(|c| c.is_ascii_alphanumeric() || c == '_' || c == '-'));
        assert_eq!(calls.iter().collect::<HashSet<_>>().len(), ids.len());
        assert_eq!(ids.iter().map(|id| names.result(id)).collect::<Vec<_>>(), calls);
    }

    #[test]
    fn an_id_that_comes_again_is_another_call() {
        let mut names = CallIds::default();
        assert_eq!([names.call("c"), names.call("c"), names.call("c-2")], ["c", "c-2", "c-2-2"]);
        assert_eq!([names.result("c"), names.result("c"), names.result("c-2")], ["c", "c-2", "c-2-2"]);
        assert_eq!(
            (names.call("c"), names.result("c"), names.result("gone")),
            ("c-3".into(), "c-3".into(), "gone".into())
        );
    }
}
