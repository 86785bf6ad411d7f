//! One upstream call: begun in the ledger, asked, and brought to its first real event (to its end, where a whole answer
//! is wanted), so that every fault before that can still be answered by another leg.

use super::live::{Flight, NotNow, ProductPlace};
use super::pump::in_time;
use super::{Run, Tried};
use crate::clock;
use crate::tap::Entry;
use crate::tap::entry::Chosen;
use crate::upstream::{Ask, CallTerms, Items, Reply, ReplyBody};
use canon::answer::Fold;
use canon::wire::Seen;
use canon::{Fault, FaultKind, Loss, Response, StopReason, Usage};
use futures_util::StreamExt;
use ledger::{Mode, Name};
use policy::{Degraded, Leg};
use std::sync::Arc;
use std::time::{Duration, Instant};

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

/// What watches a begun answer on its way: its ledger entry, and what it holds of its deployment. Each of its ends
/// tells both; dropped, the call was given up.
pub struct Watched {
    entry: Entry,
    flight: Flight,
    place: Option<ProductPlace>,
    /// How long a stream may be silent.
    pub(super) silence: Duration,
    /// When it must be over.
    pub(super) deadline: Instant,
}

impl Watched {
    /// Counts bytes that went to the client.
    pub fn sent(&mut self, bytes: usize) {
        self.entry.sent(bytes);
    }

    /// The request's place within its product's limits goes along with whoever answers.
    pub(super) fn placed(&mut self, place: Option<ProductPlace>) {
        self.place = place;
    }

    /// A complete answer that passed untouched.
    pub fn complete_raw(self, seen: &Seen) {
        self.entry.complete_raw(seen);
        over(self.flight, self.place, &seen.usage);
    }

    /// A complete answer in the canon.
    pub fn complete(self, answer: &Response) {
        self.entry.complete(answer);
        over(self.flight, self.place, &answer.usage);
    }

    /// A complete stream of events.
    pub(super) fn complete_events(self, model: &str, usage: &Usage, stop: Option<StopReason>) {
        self.entry.complete_events(model, usage, stop);
        over(self.flight, self.place, usage);
    }

    /// No complete answer; `usage` is what was reported before the fault.
    pub(super) fn fail(self, fault: &Fault, usage: &Usage) -> Option<ProductPlace> {
        self.entry.fail(fault, Some(usage));
        self.flight.failed(fault, Some(usage));
        let mut place = self.place;
        if let Some(place) = &mut place {
            place.used(usage);
        }
        place
    }
}

fn over(flight: Flight, place: Option<ProductPlace>, usage: &Usage) {
    flight.complete(usage);
    if let Some(mut place) = place {
        place.used(usage);
    }
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
fn terms(run: &Run, ask: &Ask, elsewhere: bool) -> CallTerms {
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
    }
}

pub(super) async fn attempt(run: &Run, ask: &Arc<Ask>, order: Order) -> Tried {
    let Order { leg, elsewhere, number, mode } = order;
    let Some(unit) = run.setup.unit(leg.deployment) else { return Tried::NotNow(NotNow::Breaker) };
    let terms = terms(run, ask, elsewhere);
    let (live, clock) = (&run.setup.live, run.gateway.clock);
    let force = leg.degraded == Some(Degraded::Unhealthy);
    let (fleet, product) = (&*run.setup.fleet, run.product());
    let mut flight = match live.begin((fleet, product), &leg, &ask.peek.facets, force, clock) {
        Ok(flight) => flight,
        Err(why) => return Tried::NotNow(why),
    };
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
    let mut entry = Entry::begin((journal, metrics, series), &run.common, &unit.facts, number, chosen);
    let answered = match unit.backend.call(ask, terms).await {
        Ok(reply) => whole_if_wanted(ask, reply, terms).await,
        Err(fault) => Err(fault),
    };
    match answered {
        Ok(Reply { body, losses, timing, quota }) => {
            if let Some(quota) = quota {
                live.said(leg.deployment, quota.left, quota.reset, clock.tick());
            }
            entry.answered(&timing, &losses);
            flight.answered(&timing, &ask.peek.facets);
            let watched = Watched { entry, flight, place: None, silence: terms.silence, deadline: terms.deadline };
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
            flight.failed(&fault, None);
            entry.fail(&fault, None);
            Tried::Failed(fault)
        }
    }
}

/// Collects events into a whole answer where the client wants one.
async fn whole_if_wanted(ask: &Ask, reply: Reply, terms: CallTerms) -> Result<Reply, Fault> {
    match reply.body {
        ReplyBody::Events(items) if !ask.peek.stream => {
            let answer = collect(*items, terms).await?;
            Ok(Reply { body: ReplyBody::Whole(Box::new(answer)), ..reply })
        }
        body => Ok(Reply { body, ..reply }),
    }
}

/// Events show life, so silence bounds them here as it does in a stream.
async fn collect(mut items: Items, terms: CallTerms) -> Result<Response, Fault> {
    let mut fold = Fold::default();
    for event in &items.first {
        fold.event(event);
    }
    let mut next = async || items.rest.next().await.transpose();
    while let Some(event) = in_time(terms.silence, terms.deadline, next()).await? {
        fold.event(&event);
    }
    fold.into_response().ok_or_else(|| Fault::provider(FaultKind::Cut, "the answer ended before it was complete"))
}
