//! Keeping back what is not whole: the last word of a text, a call until its end. So a takeover always begins at the
//! beginning of one. Pure.

use canon::Event;
use canon::event::{PartId, PartKind};

/// What is kept back of one answer.
#[derive(Debug, Default)]
pub(super) struct Hold {
    /// Words of a text whose end did not come yet.
    words: Vec<(PartId, String)>,
    /// Events of calls that are not whole.
    calls: Vec<(PartId, Vec<Event>)>,
}

impl Hold {
    /// Takes one event in and gives what may pass.
    pub(super) fn event(&mut self, event: Event, out: &mut Vec<Event>) {
        if let Some(at) = part_of(&event)
            && let Some(index) = self.calls.iter().position(|(call, _)| *call == at)
        {
            let over = matches!(event, Event::PartEnd { .. });
            self.calls[index].1.push(event);
            if over {
                out.append(&mut self.calls.remove(index).1);
            }
            return;
        }
        match event {
            Event::PartStart { at, kind: PartKind::ToolCall { .. }, .. } => self.calls.push((at, vec![event])),
            Event::PartStart { at, kind: PartKind::Text, .. } => {
                self.words.push((at, String::new()));
                out.push(event);
            }
            // Words with probabilities are told as they come: each belongs to its own token.
            Event::Delta { at, text, logprobs } if logprobs.is_empty() => match self.held(at) {
                Some(held) => {
                    held.push_str(&text);
                    let whole = held.rfind(char::is_whitespace).unwrap_or(0);
                    if whole > 0 {
                        let rest = held.split_off(whole);
                        out.push(Event::Delta { at, text: std::mem::replace(held, rest), logprobs });
                    }
                }
                None => out.push(Event::Delta { at, text, logprobs }),
            },
            Event::PartEnd { at } => {
                self.release(at, out);
                out.push(event);
            }
            Event::Finish(_) => {
                let ats: Vec<PartId> = self.words.iter().map(|(at, _)| *at).collect();
                ats.into_iter().for_each(|at| self.release(at, out));
                self.calls.drain(..).for_each(|(_, mut events)| out.append(&mut events));
                out.push(event);
            }
            other => out.push(other),
        }
    }

    fn held(&mut self, at: PartId) -> Option<&mut String> {
        self.words.iter_mut().find(|(part, _)| *part == at).map(|(_, words)| words)
    }

    fn release(&mut self, at: PartId, out: &mut Vec<Event>) {
        if let Some(index) = self.words.iter().position(|(part, _)| *part == at) {
            let (_, text) = self.words.remove(index);
            if !text.is_empty() {
                out.push(Event::Delta { at, text, logprobs: Vec::new() });
            }
        }
    }
}

/// The part that an event belongs to.
pub(super) const fn part_of(event: &Event) -> Option<PartId> {
    match event {
        Event::PartStart { at, .. }
        | Event::Delta { at, .. }
        | Event::Citation { at, .. }
        | Event::Seal { at, .. }
        | Event::PartExtras { at, .. }
        | Event::PartEnd { at } => Some(*at),
        Event::Start(_) | Event::Usage(_) | Event::Finish(_) | Event::Native { .. } => None,
    }
}
