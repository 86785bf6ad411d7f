//! The pen of this wire: the common writer, whom it writes for, and what must be unlike within one conversation.

use crate::Extras;
use crate::request::{CacheMark, Request};
use crate::wire::Target;
use crate::wire::bedrock_converse::model::{self, Family};
use crate::wire::bedrock_converse::{ID, block};
use crate::wire::calls::CallIds;
use crate::wire::marks::Marks;
use crate::wire::writer::Writer;
use serde_json::Value;
use std::collections::HashSet;

/// Most letters of a call's id.
const LONGEST_ID: usize = 64;
/// Most letters of a document's name.
const LONGEST_NAME: usize = 190;

/// Keeps what is needed while a request is written.
pub(super) struct Ink<'a> {
    /// Losses, and whether the request is at home.
    pub(super) pen: Writer,
    /// Whom it is written for.
    pub(super) target: &'a Target,
    /// The family of its model.
    pub(super) family: Family,
    ids: CallIds,
    marks: Marks,
    documents: HashSet<String>,
}

impl<'a> Ink<'a> {
    /// A pen for `request`, written for `target`.
    pub(super) fn new(request: &Request, target: &'a Target) -> Self {
        Self {
            pen: Writer::new(request.origin, ID),
            target,
            family: model::family(&target.model),
            ids: CallIds::at_most(LONGEST_ID),
            marks: Marks::of(request),
            documents: HashSet::new(),
        }
    }

    /// The id of a call; at home as it is.
    pub(super) fn call(&mut self, id: &str) -> String {
        if self.pen.home { id.to_owned() } else { self.ids.call(id) }
    }

    /// The id of the call that a result answers.
    pub(super) fn result(&mut self, id: &str) -> String {
        if self.pen.home { id.to_owned() } else { self.ids.result(id) }
    }

    /// Ends a block: its extras, and the cache point after it. Too many points from abroad lose the middle ones.
    pub(super) fn finish(
        &mut self,
        mut body: Extras,
        cache: Option<&CacheMark>,
        extras: &Extras,
        path: &str,
        out: &mut Vec<Value>,
    ) {
        self.pen.extras(extras, path, &mut body);
        out.push(Value::Object(body));
        let mark = cache.and_then(|mark| self.marks.next(mark, path, &mut self.pen));
        out.extend(mark.as_ref().map(block::write_cache_point));
    }

    /// A document's name as the wire demands one: of few letters, and no two alike in a conversation.
    pub(super) fn document_name(&mut self, name: Option<&str>, path: &str) -> String {
        if self.pen.home {
            return name.unwrap_or_default().to_owned();
        }
        let allowed = |c: char| c.is_alphanumeric() || matches!(c, '-' | '(' | ')' | '[' | ']');
        let spaced: String = name.unwrap_or("document").chars().map(|c| if allowed(c) { c } else { ' ' }).collect();
        let words: Vec<&str> = spaced.split_whitespace().collect();
        let first: String = words.join(" ").chars().take(LONGEST_NAME).collect();
        let first = if first.is_empty() { "document".to_owned() } else { first };
        let (mut unlike, mut count) = (first.clone(), 1);
        while !self.documents.insert(unlike.clone()) {
            count += 1;
            unlike = format!("{first} {count}");
        }
        if name.is_some_and(|name| name != unlike) {
            self.pen.weaken(format!("{path}.name"));
        }
        unlike
    }
}
