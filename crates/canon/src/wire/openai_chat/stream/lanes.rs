//! The parts of one choice, told one after the other. Some engines write the arguments of parallel calls in turns: a
//! call is over only when its arguments are whole, and what comes for later parts until then waits.

use crate::Extras;
use crate::event::{Event, PartId, PartKind};
use serde_json::Value;
use std::collections::VecDeque;

/// What a run of deltas is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Lane {
    Text,
    Refusal,
    Reasoning,
    /// A call, by the wire's own index.
    Call(u32),
}

/// The parts of one choice that are not over.
#[derive(Debug)]
pub(super) struct Lanes {
    choice: u32,
    /// In order of appearance; only the first is told, the others wait.
    open: VecDeque<Part>,
    /// Indices of calls so far.
    pub(super) calls: u32,
}

/// One part.
#[derive(Debug)]
struct Part {
    lane: Lane,
    body: Body,
    /// The part's number, once it is told.
    at: Option<PartId>,
    held: Vec<Piece>,
    braces: Braces,
}

#[derive(Debug)]
enum Body {
    Kind(PartKind),
    /// A call of a kind that only this wire knows, collected until it is whole.
    Native(Extras),
}

/// What is said of a part.
#[derive(Debug)]
pub(super) enum Piece {
    Delta(String, Vec<crate::event::TokenLogprob>),
    Citation(crate::request::Citation),
    Extras(Extras),
    /// More of a call that only this wire knows.
    Native(Extras),
}

impl Lanes {
    pub(super) fn new(choice: u32) -> Self {
        Self { choice, open: VecDeque::new(), calls: 0 }
    }

    /// Says `piece` of the part of `lane`, which is begun as `kind` when it is not the last one.
    pub(super) fn say(&mut self, lane: Lane, kind: &PartKind, piece: Piece, next: &mut PartId, out: &mut Vec<Event>) {
        if self.open.back().is_none_or(|part| part.lane != lane) {
            self.begin(lane, Body::Kind(kind.clone()), next, out);
        }
        if let Some(index) = self.open.len().checked_sub(1) {
            self.put(index, piece, next, out);
        }
    }

    /// Begins a call.
    pub(super) fn call(&mut self, index: u32, kind: PartKind, next: &mut PartId, out: &mut Vec<Event>) {
        self.calls += 1;
        self.begin(Lane::Call(index), Body::Kind(kind), next, out);
    }

    /// Begins a call of a kind that only this wire knows.
    pub(super) fn native(&mut self, index: u32, body: Extras, next: &mut PartId, out: &mut Vec<Event>) {
        self.calls += 1;
        self.begin(Lane::Call(index), Body::Native(body), next, out);
    }

    /// Whether call `index` is open, and if so whether it is one that only this wire knows, with its id.
    pub(super) fn known(&self, index: u32) -> Option<(bool, &str)> {
        let part = self.open.iter().rev().find(|part| part.lane == Lane::Call(index))?;
        Some(match &part.body {
            Body::Native(body) => (true, body.get("id").and_then(Value::as_str).unwrap_or_default()),
            Body::Kind(PartKind::ToolCall { call_id, .. }) => (false, call_id),
            Body::Kind(_) => (false, ""),
        })
    }

    /// Says `piece` of call `index`; false: no such call is open.
    pub(super) fn more(&mut self, index: u32, piece: Piece, next: &mut PartId, out: &mut Vec<Event>) -> bool {
        let place = self.open.iter().rposition(|part| part.lane == Lane::Call(index));
        if let Some(place) = place {
            self.put(place, piece, next, out);
        }
        place.is_some()
    }

    /// Tells everything that waits and ends every part.
    pub(super) fn close(&mut self, next: &mut PartId, out: &mut Vec<Event>) {
        while !self.open.is_empty() {
            self.advance(next, out);
        }
    }

    fn begin(&mut self, lane: Lane, body: Body, next: &mut PartId, out: &mut Vec<Event>) {
        self.open.push_back(Part { lane, body, at: None, held: Vec::new(), braces: Braces::default() });
        self.settle(next, out);
        if self.open.len() == 1 {
            self.tell(next, out);
        }
    }

    fn put(&mut self, place: usize, piece: Piece, next: &mut PartId, out: &mut Vec<Event>) {
        let Some(part) = self.open.get_mut(place) else { return };
        if let Piece::Delta(text, _) = &piece {
            part.braces.read(text);
        }
        part.held.push(piece);
        if place == 0 {
            self.tell(next, out);
            self.settle(next, out);
        }
    }

    /// Ends first parts that are over while others wait.
    fn settle(&mut self, next: &mut PartId, out: &mut Vec<Event>) {
        while self.open.len() > 1 && self.open.front().is_some_and(Part::is_over) {
            self.advance(next, out);
        }
    }

    /// Ends the first part and tells the next one.
    fn advance(&mut self, next: &mut PartId, out: &mut Vec<Event>) {
        let Some(part) = self.open.pop_front() else { return };
        if let Body::Native(body) = part.body {
            let at = number(next);
            let kind = PartKind::Native(Value::Object(body));
            out.extend([Event::PartStart { at, choice: self.choice, kind }, Event::PartEnd { at }]);
        } else if let Some(at) = part.at {
            out.push(Event::PartEnd { at });
        }
        self.tell(next, out);
    }

    /// Tells what the first part has.
    fn tell(&mut self, next: &mut PartId, out: &mut Vec<Event>) {
        let Some(part) = self.open.front_mut() else { return };
        let held = std::mem::take(&mut part.held);
        let kind = match &mut part.body {
            Body::Native(body) => {
                for piece in held {
                    if let Piece::Native(more) = piece {
                        grow(body, more);
                    }
                }
                return;
            }
            Body::Kind(kind) => kind,
        };
        let at = *part.at.get_or_insert_with(|| {
            let at = number(next);
            out.push(Event::PartStart { at, choice: self.choice, kind: kind.clone() });
            at
        });
        out.extend(held.into_iter().filter_map(|piece| match piece {
            Piece::Delta(text, logprobs) => Some(Event::Delta { at, text, logprobs }),
            Piece::Citation(citation) => Some(Event::Citation { at, citation }),
            Piece::Extras(extras) => Some(Event::PartExtras { at, extras }),
            Piece::Native(_) => None,
        }));
    }
}

impl Part {
    /// Whether nothing more can come: words are over when something else begins, calls when their arguments are whole.
    fn is_over(&self) -> bool {
        match (&self.body, self.lane) {
            (Body::Kind(_), Lane::Call(_)) => self.braces.is_whole(),
            (Body::Native(_), _) => false,
            _ => true,
        }
    }
}

fn number(next: &mut PartId) -> PartId {
    let at = *next;
    *next += 1;
    at
}

/// Adds `more` to `body`: text to text, objects joined, everything else set.
fn grow(body: &mut Extras, more: Extras) {
    for (key, value) in more {
        match (body.get_mut(&key), value) {
            (Some(Value::String(mine)), Value::String(more)) => mine.push_str(&more),
            (Some(Value::Object(mine)), Value::Object(more)) => grow(mine, more),
            (_, value) => {
                body.insert(key, value);
            }
        }
    }
}

/// Follows JSON text piece by piece to see where its object closes.
#[derive(Debug, Default)]
struct Braces {
    depth: u32,
    begun: bool,
    in_text: bool,
    escaped: bool,
}

impl Braces {
    fn read(&mut self, text: &str) {
        for byte in text.bytes() {
            if self.in_text {
                match byte {
                    _ if self.escaped => self.escaped = false,
                    b'\\' => self.escaped = true,
                    b'"' => self.in_text = false,
                    _ => {}
                }
                continue;
            }
            match byte {
                b'"' => self.in_text = true,
                b'{' | b'[' => {
                    self.depth += 1;
                    self.begun = true;
                }
                b'}' | b']' => self.depth = self.depth.saturating_sub(1),
                _ => {}
            }
        }
    }

    fn is_whole(&self) -> bool {
        self.begun && self.depth == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_object_is_whole_when_it_closes() {
        for (pieces, whole) in [
            (vec!["{\"a\"", ":\"}\\\"", "\"", "}"], true),
            (vec!["{\"a\":{\"b\":[1,2]}"], false),
            (vec!["{}"], true),
            (vec![""], false),
            (vec!["{\"a\":\"}"], false),
        ] {
            let mut braces = Braces::default();
            pieces.iter().for_each(|piece| braces.read(piece));
            assert_eq!(braces.is_whole(), whole, "{pieces:?}");
        }
    }
}
