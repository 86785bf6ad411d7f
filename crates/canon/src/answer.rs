//! A whole answer, and the two ways between it and events: `Fold` (events → answer) and `unfold` (answer → events).
//! A stream and its unary twin are one answer: fold(decoded stream) equals the decoded unary body.

use crate::Extras;
use crate::event::{Event, Finish, Head, PartId, PartKind, Stop};
use crate::request::Part;
use crate::usage::Usage;

/// One whole answer.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Response {
    /// Id, model, time.
    pub head: Head,
    /// The answers, one unless `n > 1`.
    pub choices: Vec<Choice>,
    /// Token counts.
    pub usage: Usage,
    /// What the origin wire said about the end.
    pub finish_extras: Extras,
}

/// One of an answer's choices.
#[derive(Debug, Clone, PartialEq)]
pub struct Choice {
    /// What was said, in order.
    pub parts: Vec<Part>,
    /// How it ended.
    pub stop: Stop,
    /// What the origin wire said beside it.
    pub extras: Extras,
}

impl Response {
    /// The words of choice 0.
    #[must_use]
    pub fn text(&self) -> String {
        self.choices.first().into_iter().flat_map(|choice| &choice.parts).filter_map(Part::as_text).collect()
    }

    /// This answer as events.
    #[must_use]
    pub fn unfold(&self) -> Vec<Event> {
        let mut events = vec![Event::Start(self.head.clone())];
        let mut at: PartId = 0;
        for (choice, answer) in (0_u32..).zip(&self.choices) {
            for part in &answer.parts {
                unfold_part(at, choice, part, &mut events);
                at += 1;
            }
        }
        events.push(Event::Usage(self.usage.clone()));
        let stops = self.choices.iter().map(|choice| choice.stop.clone()).collect();
        events.push(Event::Finish(Finish { stops, extras: self.finish_extras.clone() }));
        events
    }
}

fn unfold_part(at: PartId, choice: u32, part: &Part, events: &mut Vec<Event>) {
    let (kind, text, extras) = match part {
        Part::Text { text, extras, .. } => (PartKind::Text, text.as_str(), extras.clone()),
        Part::Refusal { text, extras } => (PartKind::Refusal, text.as_str(), extras.clone()),
        Part::Reasoning { text, summary, extras, .. } => {
            (PartKind::Reasoning { summary: *summary }, text.as_str(), extras.clone())
        }
        Part::ToolCall { call_id, name, arguments, extras, .. } => {
            (PartKind::ToolCall { call_id: call_id.clone(), name: name.clone() }, arguments.as_str(), extras.clone())
        }
        Part::Media(media) => (PartKind::Media(Box::new(media.clone())), "", Extras::new()),
        Part::Native { body } => (PartKind::Native(body.clone()), "", Extras::new()),
        Part::ToolResult { .. } => return,
    };
    events.push(Event::PartStart { at, choice, kind });
    // Before the words: some wires say them where a part begins.
    if !extras.is_empty() {
        events.push(Event::PartExtras { at, extras });
    }
    let (logprobs, citations) = match part {
        Part::Text { logprobs, citations, .. } => (logprobs.clone(), citations.as_slice()),
        _ => (Vec::new(), [].as_slice()),
    };
    if !text.is_empty() || !logprobs.is_empty() {
        events.push(Event::Delta { at, text: text.to_owned(), logprobs });
    }
    for citation in citations {
        events.push(Event::Citation { at, citation: citation.clone() });
    }
    if let Part::Text { seal: Some(seal), .. }
    | Part::Reasoning { seal: Some(seal), .. }
    | Part::ToolCall { seal: Some(seal), .. } = part
    {
        events.push(Event::Seal { at, seal: seal.clone() });
    }
    events.push(Event::PartEnd { at });
}

/// Collects events into a whole answer.
#[derive(Debug, Default)]
pub struct Fold {
    head: Head,
    parts: Vec<(PartId, u32, Part)>,
    usage: Usage,
    finish: Option<Finish>,
}

impl Fold {
    /// Takes one event in.
    pub fn event(&mut self, event: &Event) {
        match event {
            Event::Start(head) => self.head = head.clone(),
            Event::PartStart { at, choice, kind } => self.parts.push((*at, *choice, empty_part(kind))),
            Event::Delta { at, text, logprobs } => {
                if let Some(part) = self.part(*at) {
                    grow(part, text, logprobs);
                }
            }
            Event::Citation { at, citation } => {
                if let Some(Part::Text { citations, .. }) = self.part(*at) {
                    citations.push(citation.clone());
                }
            }
            Event::Seal { at, seal } => {
                if let Some(
                    Part::Text { seal: mine, .. }
                    | Part::Reasoning { seal: mine, .. }
                    | Part::ToolCall { seal: mine, .. },
                ) = self.part(*at)
                {
                    *mine = Some(seal.clone());
                }
            }
            Event::PartExtras { at, extras } => {
                if let Some(mine) = self.part(*at).and_then(Part::extras_mut) {
                    mine.extend(extras.clone());
                }
            }
            Event::Usage(usage) => self.usage.merge(usage),
            Event::Finish(finish) => self.finish = Some(finish.clone()),
            Event::PartEnd { .. } | Event::Native { .. } => {}
        }
    }

    /// Whether the answer is complete.
    #[must_use]
    pub fn is_finished(&self) -> bool {
        self.finish.is_some()
    }

    /// Token counts so far.
    #[must_use]
    pub fn usage(&self) -> &Usage {
        &self.usage
    }

    /// Parts of choice 0 so far, for takeovers.
    pub fn parts_so_far(&self) -> impl Iterator<Item = &Part> {
        self.parts.iter().filter(|(_, choice, _)| *choice == 0).map(|(_, _, part)| part)
    }

    /// The whole answer; `None` when no `Finish` came: it was cut short.
    #[must_use]
    pub fn into_response(self) -> Option<Response> {
        let finish = self.finish?;
        let count = finish.stops.len().max(1);
        let mut choices: Vec<Choice> = (0..count)
            .map(|index| Choice {
                parts: Vec::new(),
                stop: finish
                    .stops
                    .get(index)
                    .cloned()
                    .unwrap_or_else(|| Stop::because(crate::event::StopReason::Other)),
                extras: Extras::new(),
            })
            .collect();
        for (_, choice, part) in self.parts {
            let index = usize::try_from(choice).unwrap_or(0);
            if let Some(choice) = choices.get_mut(index) {
                choice.parts.push(part);
            }
        }
        Some(Response { head: self.head, choices, usage: self.usage, finish_extras: finish.extras })
    }

    fn part(&mut self, at: PartId) -> Option<&mut Part> {
        self.parts.iter_mut().rev().find(|(id, _, _)| *id == at).map(|(_, _, part)| part)
    }
}

/// The answer that `events` are; `None` when they were cut short.
#[must_use]
pub fn fold(events: &[Event]) -> Option<Response> {
    let mut fold = Fold::default();
    for event in events {
        fold.event(event);
    }
    fold.into_response()
}

/// A part of `kind` of which nothing is said yet.
pub(crate) fn empty_part(kind: &PartKind) -> Part {
    match kind {
        PartKind::Text => Part::text(""),
        PartKind::Refusal => Part::Refusal { text: String::new(), extras: Extras::new() },
        PartKind::Reasoning { summary } => {
            Part::Reasoning { text: String::new(), summary: *summary, seal: None, extras: Extras::new() }
        }
        PartKind::ToolCall { call_id, name } => Part::ToolCall {
            call_id: call_id.clone(),
            name: name.clone(),
            arguments: String::new(),
            seal: None,
            cache: None,
            extras: Extras::new(),
        },
        PartKind::Media(media) => Part::Media((**media).clone()),
        PartKind::Native(body) => Part::Native { body: body.clone() },
    }
}

/// Adds a delta to a part.
pub(crate) fn grow(part: &mut Part, more: &str, more_logprobs: &[crate::event::TokenLogprob]) {
    match part {
        Part::Text { text, logprobs, .. } => {
            text.push_str(more);
            logprobs.extend_from_slice(more_logprobs);
        }
        Part::Refusal { text, .. } | Part::Reasoning { text, .. } => text.push_str(more),
        Part::ToolCall { arguments, .. } => arguments.push_str(more),
        Part::Media(_) | Part::ToolResult { .. } | Part::Native { .. } => {}
    }
}
