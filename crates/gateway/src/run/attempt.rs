//! One upstream call: begun in the ledger, asked, and brought to its first real event (to its end, where a whole answer
//! is wanted), so that every fault before that can still be answered by another leg.

use super::pump::in_time;
use super::{Run, Tried};
use crate::setup::Unit;
use crate::tap::Entry;
use crate::tap::entry::Chosen;
use crate::upstream::{CallTerms, Items, Reply, ReplyBody};
use canon::answer::Fold;
use canon::{Fault, FaultKind, Loss, Response};
use futures_util::StreamExt;
use ledger::Name;
use policy::{Degraded, Leg};
use std::time::{Duration, Instant};

/// An answer that has really begun.
pub struct Begun {
    /// The answer.
    pub body: ReplyBody,
    /// What watches it on its way.
    pub watched: Watched,
    /// Who answers.
    pub deployment: Name,
    /// Number of the attempt.
    pub attempts: u32,
    /// Why the answer is less than what was asked for.
    pub degraded: Option<Degraded>,
    /// What could not be said.
    pub losses: Vec<Loss>,
}

/// What watches a begun answer on its way.
pub struct Watched {
    /// Its ledger entry, still open.
    pub entry: Entry,
    /// Where `LiveView` keeps what is known of the deployment.
    pub ix: policy::DeploymentIx,
    /// How long a stream may be silent.
    pub silence: Duration,
    /// When it must be over.
    pub deadline: Instant,
}

/// How long one attempt may take. A whole answer takes its time, and its silence says nothing: it has until the
/// deadline, and less only while somebody else can still be asked: then nobody keeps more than half of the time left,
/// so that a short deadline leaves time for the next one.
fn terms(run: &Run<'_>, elsewhere: bool) -> CallTerms {
    let timeouts = run.product.rules().timeouts;
    let first_token = match (run.ask.peek.stream, elsewhere) {
        (true, _) => timeouts.first_token(),
        (false, true) => timeouts.whole(),
        (false, false) => timeouts.deadline(),
    };
    let left = run.deadline.saturating_duration_since(Instant::now());
    CallTerms {
        deadline: run.deadline,
        connect: timeouts.connect(),
        first_token: if elsewhere { first_token.min(left / 2) } else { first_token },
        silence: timeouts.silence(),
    }
}

pub(super) async fn attempt(
    run: &Run<'_>,
    unit: &Unit,
    (leg, elsewhere): (&Leg, bool),
    number: u32,
    chosen: Chosen,
) -> Tried {
    let terms = terms(run, elsewhere);
    let live = &run.setup.live;
    let force = leg.degraded == Some(Degraded::Unhealthy);
    let Some(flight) = live.begin(run.product, leg.deployment, force, run.gateway.clock.tick()) else {
        return Tried::NotNow;
    };
    let (journal, metrics) = (&run.gateway.journal, &run.gateway.metrics);
    let make = || metrics.series(&run.common.product, unit.facts.deployment());
    let Some(series) = run.setup.series.at(run.product.ix(), leg.deployment, make) else { return Tried::NotNow };
    let mut entry = Entry::begin((journal, metrics, series), &run.common, &unit.facts, number, chosen);
    let answered = match unit.backend.call(run.ask, terms).await {
        Ok(reply) => whole_if_wanted(run, reply, terms).await,
        Err(fault) => Err(fault),
    };
    match answered {
        Ok(Reply { body, losses, timing }) => {
            entry.answered(&timing, &losses);
            flight.answered(&timing, &run.ask.peek.facets, run.gateway.clock.tick());
            Tried::Begun(Box::new(Begun {
                body,
                watched: Watched { entry, ix: leg.deployment, silence: terms.silence, deadline: terms.deadline },
                deployment: unit.facts.deployment().clone(),
                attempts: number,
                degraded: leg.degraded,
                losses,
            }))
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
            flight.failed(&fault, run.gateway.clock.tick());
            entry.fail(&fault, None);
            Tried::Failed(fault)
        }
    }
}

/// Collects events into a whole answer where the client wants one.
async fn whole_if_wanted(run: &Run<'_>, reply: Reply, terms: CallTerms) -> Result<Reply, Fault> {
    match reply.body {
        ReplyBody::Events(items) if !run.ask.peek.stream => {
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
