//! One upstream call: begun in the ledger, asked, and brought to its first real event (to its end, where a whole answer
//! is wanted), so that every fault before that can still be answered by another leg.

use super::live::{Flight, NotNow, Places};
use super::pump::Patience;
use super::{Run, Tried};
use crate::clock;
use crate::tap::Entry;
use crate::tap::entry::{Chosen, Heard};
use crate::upstream::{Ask, CallTerms, Items, Reply, ReplyBody, Timing, Trace};
use canon::answer::Fold;
use canon::wire::{Protocol, Seen};
use canon::{Event, Fault, FaultKind, Loss, Part, Peek, Response, Side, StopReason};
use futures_util::StreamExt;
use ledger::{Mode, Name};
use policy::{Degraded, Leg};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Whoever is so late itself does not blame others for being slow.
const LATE: Duration = Duration::from_millis(250);

/// An answer that has really begun.
pub struct Begun {
    /// The answer.
    pub body: ReplyBody,
    /// What watches it on its way.
    pub watched: Watched,
    /// Who answers.
    pub deployment: Name,
    /// Why the answer is less than what was asked for.
    pub degraded: Option<Degraded>,
    /// What could not be said.
    pub losses: Vec<Loss>,
}

/// What watches a call and its answer on their way: its ledger entry, and what it holds of its deployment. Each of its
/// ends tells both the same; dropped, the call was given up.
pub struct Watched {
    call: Option<(Entry, Flight)>,
    place: Option<Places>,
    /// What was heard of an answer that has begun, where that is counted on the way.
    heard: Heard,
    /// How long a stream may be silent.
    pub(super) silence: Duration,
    /// When it must be over.
    pub(super) deadline: Instant,
}

impl Watched {
    /// Counts bytes that went to the client.
    pub fn sent(&mut self, bytes: usize) {
        if let Some((entry, _)) = &mut self.call {
            entry.sent(bytes);
        }
    }

    /// The request's places within everybody's limits go along with whoever answers.
    pub(super) fn placed(&mut self, places: Option<Places>) {
        self.place = places;
    }

    /// What was heard so far, for the case that the call is given up.
    pub(super) fn hears(&mut self, heard: Heard) {
        self.heard = heard;
    }

    /// Hears an event of an answer that nobody is told before it is whole.
    fn hear(&mut self, event: &Event) {
        let bytes = self.heard.bytes.get_or_insert(0);
        match event {
            Event::Delta { text, .. } => *bytes += text.len() as u64,
            Event::Usage(usage) => self.heard.usage.merge(usage),
            _ => {}
        }
    }

    /// The answer has begun.
    fn answered(&mut self, timing: &Timing, losses: &[Loss], peek: &Peek) {
        self.heard.bytes.get_or_insert(0);
        if let Some((entry, flight)) = &mut self.call {
            entry.answered(timing, losses);
            flight.answered(timing, peek);
        }
    }

    /// A complete answer that passed untouched, on the wire of `protocol`.
    pub fn complete_whole(self, seen: &Seen, body: &[u8], protocol: Option<&dyn Protocol>) {
        // Read only where its counts must be made of its words.
        let silent = seen.usage.input.is_none() && seen.usage.output.is_none();
        let read = || protocol?.decode_response(serde_json::from_slice(body).ok()?).ok();
        let bytes = silent.then(read).flatten().map_or(0, |answer| bytes_of(&answer));
        self.complete_raw(seen, bytes);
    }

    /// A complete answer that passed untouched, with so many bytes of words.
    pub(super) fn complete_raw(self, seen: &Seen, bytes: u64) {
        let heard = Heard { usage: seen.usage.clone(), bytes: Some(bytes) };
        self.over(seen.model.as_deref().unwrap_or_default(), seen.stop, heard);
    }

    /// A complete answer in the canon.
    pub fn complete(self, answer: &Response) {
        let finish = answer.choices.first().map(|choice| choice.stop.reason);
        let heard = Heard { usage: answer.usage.clone(), bytes: Some(bytes_of(answer)) };
        self.over(&answer.head.model, finish, heard);
    }

    /// A complete answer.
    pub(super) fn over(mut self, model: &str, finish: Option<StopReason>, heard: Heard) {
        let Some((entry, flight)) = self.call.take() else { return };
        let usage = entry.complete(model, finish, heard);
        flight.complete(&usage);
        if let Some(place) = &mut self.place {
            place.used(&usage);
        }
    }

    /// No complete answer.
    pub(super) fn fail(mut self, fault: &Fault, heard: Heard) -> Option<Places> {
        if let Some((entry, flight)) = self.call.take() {
            let usage = entry.fail(fault, heard);
            flight.failed(fault, usage.as_ref());
            if let (Some(place), Some(usage)) = (&mut self.place, &usage) {
                place.used(usage);
            }
        }
        self.place.take()
    }
}

impl Drop for Watched {
    fn drop(&mut self) {
        if let Some((entry, flight)) = self.call.take() {
            let usage = entry.give_up(std::mem::take(&mut self.heard));
            flight.given_up(usage.as_ref());
        }
    }
}

/// Bytes of words, thinking and arguments in an answer.
fn bytes_of(answer: &Response) -> u64 {
    let bytes = |part: &Part| match part {
        Part::Text { text, .. } | Part::Refusal { text, .. } | Part::Reasoning { text, .. } => text.len(),
        Part::ToolCall { arguments, .. } => arguments.len(),
        Part::Media(_) | Part::ToolResult { .. } | Part::Native { .. } => 0,
    };
    answer.choices.iter().flat_map(|choice| &choice.parts).map(bytes).sum::<usize>() as u64
}

/// One attempt to make.
#[derive(Debug, Clone, Copy)]
pub(super) struct Order {
    pub(super) leg: Leg,
    /// Whether somebody else can still be asked.
    pub(super) elsewhere: bool,
    /// Its number, from 1.
    pub(super) number: u32,
    pub(super) mode: Mode,
}

/// How long one attempt may take. A whole answer takes its time, and its silence says nothing: it has until the
/// deadline, and less only while somebody else can still be asked: then nobody keeps more than half of the time left,
/// so that a short deadline leaves time for the next one.
fn terms(run: &Run, ask: &Ask, elsewhere: bool, trace: Trace) -> CallTerms {
    let timeouts = run.product().rules().timeouts;
    let first_token = match (ask.peek.stream, elsewhere) {
        (true, _) => timeouts.first_token(),
        (false, true) => timeouts.whole(),
        (false, false) => timeouts.deadline(),
    };
    let left = run.deadline.saturating_duration_since(clock::now());
    CallTerms {
        deadline: run.deadline,
        connect: timeouts.connect(),
        first_token: if elsewhere { first_token.min(left / 2) } else { first_token },
        silence: timeouts.silence(),
        trace,
    }
}

/// `fault`, which is our own where time ran out and this process, late by `late`, may have let it: then it says nothing
/// about the provider.
fn whose(mut fault: Fault, late: Duration) -> Fault {
    let timed = matches!(fault.kind, FaultKind::ConnectTimeout | FaultKind::FirstTokenTimeout | FaultKind::Stalled);
    if timed && late >= LATE {
        fault.side = Side::Gateway;
    }
    fault
}

pub(super) async fn attempt(run: &Run, ask: &Arc<Ask>, order: Order) -> Tried {
    let Order { leg, elsewhere, number, mode } = order;
    let Some(unit) = run.setup.unit(leg.deployment) else { return Tried::NotNow(NotNow::Breaker) };
    let (live, clock) = (&run.setup.live, run.gateway.clock);
    let force = leg.degraded == Some(Degraded::Unhealthy);
    let (fleet, product) = (&*run.setup.fleet, run.product());
    let mut flight = match live.begin((fleet, product, &run.levels), &leg, &ask.peek.facets, force, clock) {
        Ok(flight) => flight,
        Err(why) => return Tried::NotNow(why),
    };
    flight.caches(live.caching((fleet, leg.deployment), run.product, ask));
    let (journal, metrics) = (&run.gateway.journal, &run.gateway.metrics);
    let make = || metrics.series(&run.common.product, unit.facts.deployment());
    let Some(series) = run.setup.series.at(run.product, leg.deployment, make) else {
        return Tried::NotNow(NotNow::Breaker);
    };
    let chosen = Chosen {
        score: f64::from(leg.score),
        probability: f64::from(leg.probability),
        degraded: leg.degraded.is_some(),
        mode,
    };
    let entry = Entry::begin((journal, metrics, series), &run.common, &unit.facts, number, chosen);
    let terms = terms(run, ask, elsewhere, entry.trace().clone());
    let (silence, deadline) = (terms.silence, terms.deadline);
    let mut watched = Watched { call: Some((entry, flight)), place: None, heard: Heard::default(), silence, deadline };
    let answered = match unit.backend.call(ask, terms).await {
        Ok(reply) => whole_if_wanted(ask, reply, &mut watched).await,
        Err(fault) => Err(fault),
    };
    let answered = answered.map_err(|fault| whose(fault, run.gateway.load.late()));
    match answered {
        Ok(Reply { body, losses, timing, quota }) => {
            if let Some(quota) = quota {
                live.said(leg.deployment, quota.left, quota.reset, clock.tick());
            }
            if let Some(part) = run.common.part.as_ref().filter(|_| leg.degraded == Some(Degraded::BelowFloor)) {
                part.below_floor();
            }
            watched.answered(&timing, &losses, &ask.peek);
            let deployment = unit.facts.deployment().clone();
            Tried::Begun(Box::new(Begun { body, watched, deployment, degraded: leg.degraded, losses }))
        }
        Err(fault) => {
            tracing::warn!(
                request = %run.common.id,
                deployment = %unit.facts.deployment(),
                attempt = number,
                error.type = fault.kind.name(),
                status = fault.status,
                "an attempt failed: {fault}"
            );
            let heard = std::mem::take(&mut watched.heard);
            drop(watched.fail(&fault, heard));
            Tried::Failed(fault)
        }
    }
}

/// Collects events into a whole answer where the client wants one.
async fn whole_if_wanted(ask: &Ask, reply: Reply, watched: &mut Watched) -> Result<Reply, Fault> {
    match reply.body {
        ReplyBody::Events(items) if !ask.peek.stream => {
            let answer = collect(*items, watched).await?;
            Ok(Reply { body: ReplyBody::Whole(Box::new(answer)), ..reply })
        }
        body => Ok(Reply { body, ..reply }),
    }
}

/// Events show life, so silence bounds them here as it does in a stream. What was heard is known however it ends.
async fn collect(mut items: Items, watched: &mut Watched) -> Result<Response, Fault> {
    let mut fold = Fold::default();
    for event in &items.first {
        fold.event(event);
        watched.hear(event);
    }
    let mut patience = Patience::of(watched);
    let mut next = async || items.rest.next().await.transpose();
    while let Some(event) = patience.wait(next()).await? {
        fold.event(&event);
        watched.hear(&event);
    }
    fold.into_response().ok_or_else(|| Fault::provider(FaultKind::Cut, "the answer ended before it was complete"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whoever_is_late_itself_blames_nobody_for_being_slow() {
        let side = |kind, late| whose(Fault::provider(kind, ""), Duration::from_millis(late)).side;
        for kind in [FaultKind::ConnectTimeout, FaultKind::FirstTokenTimeout, FaultKind::Stalled] {
            assert_eq!((side(kind, 900), side(kind, 10)), (Side::Gateway, Side::Provider));
        }
        assert_eq!(side(FaultKind::Cut, 900), Side::Provider, "time has nothing to do with it");
    }
}
