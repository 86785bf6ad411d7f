//! What the client was told of an answer: its parts in order, each with its words so far. Pure.

use canon::Event;
use canon::event::{PartId, PartKind};

/// One part as the client knows it.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Told {
    /// Its number in the client's answer.
    pub(super) at: PartId,
    /// What it is.
    pub(super) kind: Kind,
    /// Its words, or a call's arguments.
    pub(super) words: String,
    /// Whether it has not ended.
    pub(super) open: bool,
    /// Whether the client has its seal: it is whole, whatever its end says.
    pub(super) sealed: bool,
}

/// What a part is, as far as a takeover cares.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Kind {
    Text,
    Reasoning,
    Call {
        id: String,
        name: String,
        /// Whether the model that goes on still owes it.
        owed: bool,
    },
    /// What no second model can go on with: a refusal, media, a block of one provider.
    Other,
}

/// Everything that the client was told.
#[derive(Debug, Default)]
pub(super) struct Telling {
    pub(super) parts: Vec<Told>,
    /// Whether it heard of more than one choice.
    pub(super) choices: bool,
    /// Whether the answer has begun.
    pub(super) started: bool,
    /// Whether the answer has ended.
    pub(super) finished: bool,
    next: PartId,
}

impl Telling {
    /// A number for the next part.
    pub(super) const fn number(&mut self) -> PartId {
        self.next += 1;
        self.next - 1
    }

    /// The client is told `event`, whose parts have the client's numbers.
    pub(super) fn tell(&mut self, event: &Event) {
        match event {
            Event::PartStart { at, choice, kind } => {
                self.choices |= *choice > 0;
                self.next = self.next.max(at.saturating_add(1));
                let kind = match kind {
                    PartKind::Text => Kind::Text,
                    PartKind::Reasoning { .. } => Kind::Reasoning,
                    PartKind::ToolCall { call_id, name } => {
                        Kind::Call { id: call_id.clone(), name: name.clone(), owed: false }
                    }
                    PartKind::Refusal | PartKind::Media(_) | PartKind::Native(_) => Kind::Other,
                };
                self.parts.push(Told { at: *at, kind, words: String::new(), open: true, sealed: false });
            }
            Event::Delta { at, text, .. } => {
                if let Some(part) = self.part(*at) {
                    part.words.push_str(text);
                }
            }
            Event::PartEnd { at } => {
                if let Some(part) = self.part(*at) {
                    part.open = false;
                }
            }
            Event::Seal { at, .. } => {
                if let Some(part) = self.part(*at) {
                    part.sealed = true;
                }
            }
            Event::Finish(_) => self.finished = true,
            Event::Start(_) => self.started = true,
            Event::Usage(_) | Event::Citation { .. } | Event::PartExtras { .. } | Event::Native { .. } => {}
        }
    }

    fn part(&mut self, at: PartId) -> Option<&mut Told> {
        self.parts.iter_mut().rev().find(|part| part.at == at)
    }

    /// All words of the answer itself.
    pub(super) fn text(&self) -> String {
        self.parts.iter().filter(|part| part.kind == Kind::Text).map(|part| part.words.as_str()).collect()
    }

    /// Whether the client knows of a call.
    pub(super) fn has_calls(&self) -> bool {
        self.parts.iter().any(|part| matches!(part.kind, Kind::Call { .. }))
    }

    /// Calls that the model which goes on has not made yet.
    pub(super) fn owed(&mut self) -> impl Iterator<Item = &mut Told> {
        self.parts.iter_mut().filter(|part| matches!(part.kind, Kind::Call { owed: true, .. }))
    }

    /// The part that can be gone on with, if it is the last one and of `kind`: a seal speaks for its own words only.
    pub(super) fn open_last(&self, kind: &Kind) -> Option<PartId> {
        self.parts.last().filter(|part| part.open && !part.sealed && part.kind == *kind).map(|part| part.at)
    }
}
