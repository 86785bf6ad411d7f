//! Finishing an answer that broke off: what the client has, what the next model is asked, and which of its events the
//! client is told, so that it hears one answer with one start and one end. Pure: events in, events out; no I/O, no
//! clock, no chance. What cannot be gone on with honestly is refused, and then the stream ends with an error event.

mod ask;
mod complete;
mod hold;
mod join;
mod told;

#[cfg(test)]
mod tests;

pub(crate) use ask::Continuation;

use crate::tap::entry::Heard;
use canon::event::{Finish, PartId, PartKind};
use canon::request::OutputFormat;
use canon::{Event, Fault, FaultKind, Request, Usage, WireId};
use complete::complete;
use hold::{Hold, part_of};
use join::{Joined, Joiner, Way};
use told::{Kind, Telling, Told};

/// One answer on its way to the client, whoever gives it.
#[derive(Debug, Default)]
pub(crate) struct Takeover {
    telling: Telling,
    /// Whether nothing is remembered, since nobody may take over.
    blind: bool,
    hold: Option<Hold>,
    /// Usage of the legs before this one.
    before: Usage,
    /// Usage of this leg.
    leg: Usage,
    /// Bytes of words, thinking and arguments of this leg.
    bytes: u64,
    /// The wire that the client's answer began on.
    origin: Option<WireId>,
    /// The leg that goes on; `None`: the first one still speaks.
    second: Option<Second>,
}

/// A leg that goes on.
#[derive(Debug)]
struct Second {
    way: Way,
    /// Whether the answer is JSON, which is said again whole.
    json: bool,
    /// Whether its extras mean nothing to the wire that the answer began on.
    foreign: bool,
    /// What becomes of each of its parts.
    parts: Vec<(PartId, Fate)>,
    /// What the client had of the words when it began.
    text: String,
    /// Whether the client had calls when it began.
    calls: bool,
    /// Whether its first words have met the client's.
    joined: bool,
    /// Whole calls that fit none that the client knows, while some of those are still owed.
    spare: Vec<Call>,
}

/// A call as the second leg makes it.
#[derive(Debug, Clone)]
struct Call {
    id: String,
    name: String,
    arguments: String,
}

/// What becomes of one part of the leg that goes on.
#[derive(Debug)]
enum Fate {
    /// It is told, as this part of the client's.
    Pass(PartId),
    /// Its words go on with the client's; `at`: in this part, else in a new one.
    Join { joiner: Joiner, at: Option<PartId>, kind: PartKind },
    /// JSON, which is compared when it is whole.
    Json(String),
    /// A call, which is compared when it is whole.
    Call(Call),
    /// The client has it already, or cannot be told.
    Drop,
}

impl Takeover {
    /// A new answer. `hold_back`: words and calls are told only when they are whole.
    pub(crate) fn new(hold_back: bool) -> Self {
        Self { hold: hold_back.then(Hold::default), ..Self::default() }
    }

    /// A new answer that nobody may take over.
    pub(crate) fn never() -> Self {
        Self { blind: true, ..Self::default() }
    }

    /// Whether the client has heard the answer's end.
    pub(crate) const fn is_finished(&self) -> bool {
        self.telling.finished
    }

    /// What was heard of the leg that speaks.
    pub(crate) fn heard(&self) -> Heard {
        Heard { usage: self.leg.clone(), bytes: Some(self.bytes) }
    }

    /// The leg that speaks says `event`; what the client is told is appended to `out`.
    ///
    /// # Errors
    /// When the leg says something else than what the client has: it cannot go on with this answer. What stands in
    /// `out` is told all the same.
    pub(crate) fn event(&mut self, event: Event, out: &mut Vec<Event>) -> Result<(), Fault> {
        let from = out.len();
        let event = match event {
            Event::Usage(usage) => {
                self.leg.merge(&usage);
                Event::Usage(sum(&self.before, &self.leg))
            }
            event => event,
        };
        if let Event::Delta { text, .. } = &event {
            self.bytes += text.len() as u64;
        }
        let mut fits = Ok(());
        match (&mut self.second, &mut self.hold) {
            (Some(_), _) => fits = self.go_on_with(event, out),
            (None, Some(hold)) => hold.event(event, out),
            (None, None) => out.push(event),
        }
        for event in out.iter().skip(from) {
            match event {
                Event::Start(head) => self.origin = head.origin,
                Event::Finish(_) => self.telling.finished = true,
                _ => {}
            }
            if !self.blind {
                self.telling.tell(event);
            }
        }
        fits
    }

    /// The leg that spoke broke off. What the next one is asked, in the place of `request`; `shown`: whether the client
    /// is shown the seals of thinking.
    ///
    /// # Errors
    /// Why the answer cannot be gone on with honestly.
    pub(crate) fn broke(&mut self, request: &Request, shown: bool) -> Result<Continuation, &'static str> {
        let origin = self.origin.and_then(|origin| canon::wire::protocol(origin.name()));
        let sealed = shown && origin.is_some_and(|origin| origin.seals_thinking(request));
        let telling = &mut self.telling;
        if self.blind {
            return Err("the product's rules forbid it");
        }
        if telling.choices || request.sampling.n.is_some_and(|n| n > 1) {
            return Err("several choices were asked for");
        }
        if telling.parts.iter().any(|part| part.kind == Kind::Other) {
            return Err("part of it cannot be said by another model");
        }
        let half_thought =
            |part: &Told| part.open && !part.sealed && part.kind == Kind::Reasoning && !part.words.is_empty();
        if sealed && telling.parts.iter().any(half_thought) {
            return Err("it broke off within thinking that only its maker can seal");
        }
        let calls = telling.has_calls();
        if calls && telling.parts.last().is_some_and(|last| last.open && last.kind == Kind::Text) {
            return Err("it broke off within words behind calls");
        }
        for part in &mut telling.parts {
            if let Kind::Call { owed, .. } = &mut part.kind {
                *owed = true;
            }
        }
        let text = telling.text();
        let (leg, json) = (std::mem::take(&mut self.leg), request.output != OutputFormat::Text);
        self.before = sum(&self.before, &leg);
        self.bytes = 0;
        self.hold = self.hold.as_ref().map(|_| Hold::default());
        self.second = Some(Second {
            way: Way::Instruct,
            json,
            foreign: false,
            parts: Vec::new(),
            text,
            calls,
            joined: false,
            spare: Vec::new(),
        });
        Ok(ask::continuation(request, &self.telling))
    }

    /// The next leg was asked with the words so far as its own beginning.
    pub(crate) const fn prefilled(&mut self) {
        if let Some(second) = &mut self.second {
            second.way = Way::Prefill;
        }
    }

    fn go_on_with(&mut self, event: Event, out: &mut Vec<Event>) -> Result<(), Fault> {
        match event {
            Event::Start(head) => {
                if !self.telling.started {
                    out.push(Event::Start(head));
                } else if let Some(second) = &mut self.second {
                    second.foreign = head.origin != self.origin;
                }
                Ok(())
            }
            Event::PartStart { at, choice: 0, kind } => self.part_start(at, kind, out),
            Event::PartStart { .. } => Err(parted("it gave several choices")),
            Event::Usage(_) => {
                out.push(event);
                Ok(())
            }
            Event::Finish(finish) => self.finish(finish, out),
            Event::Native { .. } => {
                if self.second.as_ref().is_some_and(|second| !second.foreign) {
                    out.push(event);
                }
                Ok(())
            }
            event => self.of_part(event, out),
        }
    }

    /// A part begins: what becomes of it.
    fn part_start(&mut self, at: PartId, kind: PartKind, out: &mut Vec<Event>) -> Result<(), Fault> {
        let Some(second) = &mut self.second else { return Ok(()) };
        let (has_calls, text) = (second.calls, second.text.clone());
        let fate = match &kind {
            PartKind::Text if has_calls => Fate::Drop,
            PartKind::Text if second.joined || text.is_empty() => {
                second.joined = true;
                match self.telling.open_last(&Kind::Text) {
                    Some(open) if text.is_empty() => Fate::Pass(open),
                    _ => self.begin(kind, out),
                }
            }
            PartKind::Text if second.json => Fate::Json(String::new()),
            PartKind::Text => {
                second.joined = true;
                Fate::Join { joiner: Joiner::new(text, second.way), at: self.telling.open_last(&Kind::Text), kind }
            }
            PartKind::Reasoning { .. } if has_calls || !text.is_empty() => Fate::Drop,
            PartKind::Reasoning { .. } => match self.telling.parts.last() {
                None => self.begin(kind, out),
                Some(last) if last.open && !last.sealed && last.kind == Kind::Reasoning => {
                    let joiner = Joiner::new(last.words.clone(), Way::Anew);
                    Fate::Join { joiner, at: Some(last.at), kind }
                }
                // It has thought to the end.
                Some(_) => Fate::Drop,
            },
            PartKind::ToolCall { call_id, name } if has_calls => {
                Fate::Call(Call { id: call_id.clone(), name: name.clone(), arguments: String::new() })
            }
            PartKind::ToolCall { call_id, name } => {
                // A call after words that were to be joined: the words are done.
                self.settle_words(out)?;
                let kind = PartKind::ToolCall { call_id: call_id.clone(), name: name.clone() };
                self.begin(kind, out)
            }
            PartKind::Refusal if self.telling.parts.iter().any(|part| !part.words.is_empty()) => {
                return Err(parted("it declined"));
            }
            PartKind::Native(_) if second.foreign => Fate::Drop,
            PartKind::Refusal | PartKind::Media(_) | PartKind::Native(_) => self.begin(kind, out),
        };
        if let Some(second) = &mut self.second {
            second.parts.push((at, fate));
        }
        Ok(())
    }

    /// Begins a part of the client's, behind everything that is still open.
    fn begin(&mut self, kind: PartKind, out: &mut Vec<Event>) -> Fate {
        self.close_open(out);
        let at = self.telling.number();
        out.push(Event::PartStart { at, choice: 0, kind });
        Fate::Pass(at)
    }

    /// Ends what the first leg left open. Calls are left alone: they end with their arguments.
    fn close_open(&mut self, out: &mut Vec<Event>) {
        let second = self.second.as_ref();
        let mine = |at: PartId| {
            second.is_some_and(|second| {
                second.parts.iter().any(|(_, fate)| matches!(fate, Fate::Pass(mine) if *mine == at))
            })
        };
        for part in &mut self.telling.parts {
            if part.open && !matches!(part.kind, Kind::Call { .. }) && !mine(part.at) {
                part.open = false;
                out.push(Event::PartEnd { at: part.at });
            }
        }
    }

    /// Something happens to a part.
    fn of_part(&mut self, event: Event, out: &mut Vec<Event>) -> Result<(), Fault> {
        let Some(second) = &mut self.second else { return Ok(()) };
        let place = part_of(&event).and_then(|at| second.parts.iter().rposition(|(part, _)| *part == at));
        let Some(index) = place else { return Ok(()) };
        let over = matches!(event, Event::PartEnd { .. });
        match (&mut second.parts[index].1, event) {
            (Fate::Pass(at), event) => {
                if let Some(event) = moved(event, *at, second.foreign) {
                    out.push(event);
                }
                Ok(())
            }
            (Fate::Join { joiner, .. }, Event::Delta { text, .. }) => {
                let joined = joiner.more(&text);
                self.join(index, joined, out)
            }
            (Fate::Join { .. }, _) if over => {
                self.end_join(index, out)?;
                // What it became ends too.
                if let Some(Fate::Pass(at)) = self.second.as_ref().map(|second| &second.parts[index].1) {
                    out.push(Event::PartEnd { at: *at });
                }
                Ok(())
            }
            (Fate::Json(words), Event::Delta { text, .. }) => {
                words.push_str(&text);
                Ok(())
            }
            (Fate::Json(_), _) if over => self.end_json(index, out),
            (Fate::Call(call), Event::Delta { text, .. }) => {
                call.arguments.push_str(&text);
                Ok(())
            }
            (Fate::Call(call), _) if over => {
                let call = call.clone();
                second.parts[index].1 = Fate::Drop;
                self.end_call(call, out);
                Ok(())
            }
            _ => Ok(()),
        }
    }

    /// The words of part `index` have met the client's, or have not.
    fn join(&mut self, index: usize, joined: Joined, out: &mut Vec<Event>) -> Result<(), Fault> {
        let Some(second) = &mut self.second else { return Ok(()) };
        let Fate::Join { joiner, at, kind } = &mut second.parts[index].1 else { return Ok(()) };
        let (at, kind) = (*at, kind.clone());
        let (at, words) = match joined {
            Joined::Wait => return Ok(()),
            Joined::Go(words) => (at, words),
            // Thinking that goes another way is another thought.
            Joined::Parts if matches!(kind, PartKind::Reasoning { .. }) => {
                (None, std::mem::replace(joiner, Joiner::new(String::new(), Way::Anew)).into_held())
            }
            Joined::Parts => return Err(parted("it says something else")),
        };
        second.parts[index].1 = Fate::Drop;
        let fate = match at {
            Some(at) => Fate::Pass(at),
            None => self.begin(kind, out),
        };
        if let Fate::Pass(at) = fate
            && !words.is_empty()
        {
            out.push(Event::Delta { at, text: words, logprobs: Vec::new() });
        }
        if let Some(second) = &mut self.second {
            second.parts[index].1 = fate;
        }
        Ok(())
    }

    fn end_join(&mut self, index: usize, out: &mut Vec<Event>) -> Result<(), Fault> {
        let Some(second) = &mut self.second else { return Ok(()) };
        let Fate::Join { joiner, at, .. } = &mut second.parts[index].1 else { return Ok(()) };
        match joiner.end() {
            // Nothing came after what the client has: no new part is needed to say so.
            Joined::Go(words) if words.is_empty() => {
                second.parts[index].1 = at.map_or(Fate::Drop, Fate::Pass);
                Ok(())
            }
            joined => self.join(index, joined, out),
        }
    }

    fn end_json(&mut self, index: usize, out: &mut Vec<Event>) -> Result<(), Fault> {
        let Some(second) = &mut self.second else { return Ok(()) };
        let Fate::Json(whole) = std::mem::replace(&mut second.parts[index].1, Fate::Drop) else { return Ok(()) };
        let rest = complete(&second.text, &whole).ok_or_else(|| parted("its JSON says something else"))?;
        second.joined = true;
        let at = match self.telling.open_last(&Kind::Text) {
            Some(at) => Some(at),
            None if rest.is_empty() => None,
            None => match self.begin(PartKind::Text, out) {
                Fate::Pass(at) => Some(at),
                _ => None,
            },
        };
        if let Some(at) = at {
            if !rest.is_empty() {
                out.push(Event::Delta { at, text: rest, logprobs: Vec::new() });
            }
            out.push(Event::PartEnd { at });
        }
        Ok(())
    }

    /// Words that are being joined end, since something else begins.
    fn settle_words(&mut self, out: &mut Vec<Event>) -> Result<(), Fault> {
        let count = self.second.as_ref().map_or(0, |second| second.parts.len());
        for index in 0..count {
            let fate = self.second.as_ref().and_then(|second| second.parts.get(index));
            match fate {
                Some((_, Fate::Join { .. })) => self.end_join(index, out)?,
                Some((_, Fate::Json(_))) => self.end_json(index, out)?,
                _ => {}
            }
        }
        Ok(())
    }

    /// A whole call: one that the client knows, whose end it is told, or a new one.
    fn end_call(&mut self, call: Call, out: &mut Vec<Event>) {
        let mut found = None;
        for part in self.telling.owed() {
            let Kind::Call { name, owed, .. } = &mut part.kind else { continue };
            if *name != call.name {
                continue;
            }
            let rest = if part.open { complete(&part.words, &call.arguments) } else { same(&part.words, &call) };
            if let Some(rest) = rest {
                *owed = false;
                found = Some((part.at, part.open, rest));
                break;
            }
        }
        match found {
            Some((at, true, rest)) => {
                if !rest.is_empty() {
                    out.push(Event::Delta { at, text: rest, logprobs: Vec::new() });
                }
                out.push(Event::PartEnd { at });
            }
            Some((_, false, _)) => {}
            None => {
                if let Some(second) = &mut self.second {
                    second.spare.push(call);
                }
            }
        }
        if self.telling.owed().next().is_none() {
            self.tell_spare(out);
        }
    }

    /// Calls that the client does not know yet.
    fn tell_spare(&mut self, out: &mut Vec<Event>) {
        let spare = self.second.as_mut().map(|second| std::mem::take(&mut second.spare)).unwrap_or_default();
        for call in spare {
            let call_id = self.own_id(call.id);
            let at = self.telling.number();
            out.push(Event::PartStart { at, choice: 0, kind: PartKind::ToolCall { call_id, name: call.name } });
            out.push(Event::Delta { at, text: call.arguments, logprobs: Vec::new() });
            out.push(Event::PartEnd { at });
        }
    }

    /// `id`, or one like it that the client does not know yet.
    fn own_id(&self, id: String) -> String {
        let known = |id: &str| {
            self.telling.parts.iter().any(|part| matches!(&part.kind, Kind::Call { id: mine, .. } if mine == id))
        };
        if !known(&id) {
            return id;
        }
        (2_u32..).map(|number| format!("{id}_{number}")).find(|other| !known(other)).unwrap_or(id)
    }

    fn finish(&mut self, mut finish: Finish, out: &mut Vec<Event>) -> Result<(), Fault> {
        self.settle_words(out)?;
        // A wire may leave the ends of parts unsaid.
        let open = self.second.as_mut().map(|second| std::mem::take(&mut second.parts)).unwrap_or_default();
        for (_, fate) in open {
            if let Fate::Call(call) = fate {
                self.end_call(call, out);
            }
        }
        if self.telling.owed().next().is_some() {
            return Err(parted("it did not make the calls that were begun"));
        }
        if self.second.as_ref().is_some_and(|second| second.json && !second.joined && !second.text.is_empty()) {
            return Err(parted("it left the JSON unfinished"));
        }
        // Everything that passed is ended, whatever its leg said.
        let mut ended: Vec<PartId> = out.iter().filter_map(ends).collect();
        for part in &self.telling.parts {
            if part.open && !ended.contains(&part.at) {
                ended.push(part.at);
                out.push(Event::PartEnd { at: part.at });
            }
        }
        if self.second.as_ref().is_some_and(|second| second.foreign) {
            finish.extras = canon::Extras::new();
        }
        out.push(Event::Finish(finish));
        Ok(())
    }
}

/// The part that an event ends.
const fn ends(event: &Event) -> Option<PartId> {
    match event {
        Event::PartEnd { at } => Some(*at),
        _ => None,
    }
}

/// `event` as one of the client's part `at`; what belongs to another wire is left out.
fn moved(event: Event, at: PartId, foreign: bool) -> Option<Event> {
    Some(match event {
        Event::Delta { text, logprobs, .. } => Event::Delta { at, text, logprobs },
        Event::Citation { citation, .. } => Event::Citation { at, citation },
        Event::PartEnd { .. } => Event::PartEnd { at },
        Event::Seal { seal, .. } if !foreign => Event::Seal { at, seal },
        Event::PartExtras { extras, .. } if !foreign => Event::PartExtras { at, extras },
        _ => return None,
    })
}

/// An empty rest where two calls have the same arguments.
fn same(words: &str, call: &Call) -> Option<String> {
    let value = |text: &str| serde_json::from_str::<serde_json::Value>(text);
    let equal = words == call.arguments
        || matches!((value(words), value(&call.arguments)), (Ok(mine), Ok(theirs)) if mine == theirs);
    equal.then(String::new)
}

/// A leg that cannot go on with this answer. It did nothing wrong by itself.
fn parted(why: &str) -> Fault {
    let message = format!("another model could not go on with the answer that broke off: {why}");
    let mut fault = Fault::gateway(FaultKind::Cut, message);
    fault.retry = canon::Retry::Elsewhere;
    fault
}

/// Two usages added field by field; what neither says stays unsaid.
fn sum(a: &Usage, b: &Usage) -> Usage {
    let add = |a: Option<u64>, b: Option<u64>| match (a, b) {
        (Some(a), Some(b)) => Some(a.saturating_add(b)),
        (a, b) => a.or(b),
    };
    let mut extras = a.extras.clone();
    extras.extend(b.extras.clone());
    Usage {
        input: add(a.input, b.input),
        cache_read: add(a.cache_read, b.cache_read),
        cache_write: add(a.cache_write, b.cache_write),
        cache_write_1h: add(a.cache_write_1h, b.cache_write_1h),
        output: add(a.output, b.output),
        reasoning: add(a.reasoning, b.reasoning),
        audio_input: add(a.audio_input, b.audio_input),
        image_input: add(a.image_input, b.image_input),
        audio_output: add(a.audio_output, b.audio_output),
        image_output: add(a.image_output, b.image_output),
        service_tier: b.service_tier.clone().or_else(|| a.service_tier.clone()),
        extras,
    }
}
