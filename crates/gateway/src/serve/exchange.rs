//! A request's phases, in order, on one page: accept, admit, read, plan, run, reply. Each is a call into another
//! room; nothing is decided here.

use super::admit::{self, Caller};
use super::reply;
use super::route::{self, Place};
use super::{aws, background, count, kept, pass, read, system};
use crate::clock;
use crate::outbox::AnswerBody;
use crate::run::{Run, Unanswered};
use crate::setup::{Gateway, Setup};
use crate::tap::entry::Common;
use crate::turns::Scribe;
use crate::upstream::Ask;
use canon::wire::{Dialect, Params, RouteKind};
use canon::{Fault, FaultKind};
use http::{Request, Response, request};
use hyper::body::Incoming;
use ledger::{Candidate, Name, RequestId};
use policy::{Plan, PlanInput, Wall};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

/// Answers one request, whatever it is.
pub(super) async fn exchange(
    gateway: Arc<Gateway>,
    request: Request<Incoming>,
    peer: SocketAddr,
) -> Response<AnswerBody> {
    let (head, body) = request.into_parts();
    match route::find(&head.method, head.uri.path(), head.uri.query().unwrap_or_default()) {
        Place::Answer { dialect, kind, params } => {
            let id = RequestId::new(millis(clock::unix_micros()), fastrand::u128(..));
            let answer = answer(&gateway, (dialect, kind, params), head, body, peer, id).await;
            let response = answer.unwrap_or_else(|unanswered| reply::fault(dialect, &unanswered, id));
            gateway.metrics.answer(dialect.id().name(), response.status().as_u16());
            response
        }
        Place::Provider { name, path } => {
            let id = RequestId::new(millis(clock::unix_micros()), fastrand::u128(..));
            let asked = pass::Asked { provider: &name, path: &path, head, body, peer };
            Box::pin(pass::pass(&gateway, asked, id)).await
        }
        Place::Kept(door) => Box::pin(kept::answer(&gateway, door, head, body, peer)).await,
        place => system::answer(&gateway, &place, &head, peer),
    }
}

async fn answer(
    gateway: &Arc<Gateway>,
    (dialect, kind, params): (&'static dyn Dialect, RouteKind, Params),
    head: request::Parts,
    body: Incoming,
    peer: SocketAddr,
    id: RequestId,
) -> Result<Response<AnswerBody>, Unanswered> {
    // accept
    let setup = gateway.setup();
    let place = gateway.enter(setup.limits.in_flight).ok_or_else(too_many)?;
    // admit
    let micros = clock::unix_micros();
    let (caller, body) = if aws::is_signed(&head.headers) {
        // A signature covers the body, so it is there first.
        let body = read::collect(body, setup.limits).await?;
        (aws::admit(&setup, &gateway.access, &head, &body, (peer.ip(), micros))?, body)
    } else {
        let caller = admit::admit(&setup, &gateway.access, &head.headers, head.uri.query(), peer.ip(), micros)?;
        (caller, read::collect(body, setup.limits).await?)
    };
    // read
    let ask = Ask::read(dialect, params, head.headers, body)?;
    let owner = setup.products.get(caller.product.index()).cloned().unwrap_or_default();
    let purpose = (kind != RouteKind::CountTokens, setup.turns_days > 0);
    let mut ask = gateway.turns.prepared(&owner, ask, purpose).await?;
    // plan
    let rules = setup.fleet.product(caller.product).rules();
    ask.in_events = ask.peek.listed || (rules.takeover.on && rules.takeover.hold_back);
    let ask = Arc::new(ask);
    let plan = choose(gateway, &setup, &caller, &ask, Wall::from_unix(micros / 1_000_000))?;
    let deadline = clock::now() + rules.timeouts.deadline();
    if kind == RouteKind::CountTokens {
        return Ok(Box::pin(count::count(&setup, &ask, &plan, deadline, id)).await?);
    }
    // run
    let scribe = Scribe::of(&gateway.turns, &owner, &ask, id);
    let run = Run {
        common: common(&setup, &caller, &ask, &plan, id),
        gateway: Arc::clone(gateway),
        product: caller.product,
        levels: caller.levels,
        setup,
        ask,
        deadline,
    };
    let run = Arc::new(run);
    if run.ask.in_background() {
        return Box::pin(background::begin(run, plan, (owner, id), scribe, place)).await;
    }
    let underway = run.carry_out(&plan).await?;
    // reply (and tap, which goes along with the answer)
    Ok(reply::reply(underway, (id, scribe), place).await)
}

fn choose(gateway: &Gateway, setup: &Setup, caller: &Caller, ask: &Ask, wall: Wall) -> Result<Plan, Fault> {
    let input = PlanInput {
        facets: &ask.peek.facets,
        model: ask.peek.model.as_deref().unwrap_or_default(),
        product: setup.fleet.product(caller.product),
        fleet: &setup.fleet,
        view: &setup.live.seen_by(&caller.levels),
        now: gateway.clock.tick(),
        wall,
        chance: fastrand::u64(..),
        dialect: Some(ask.dialect.id()),
        permit: caller.permit.as_deref(),
        exclude: &[],
        warm: None,
        bound: None,
    };
    policy::plan(&input).map_err(|refusal| refusal.fault)
}

/// What all ledger rows of a request share.
fn common(setup: &Setup, caller: &Caller, ask: &Ask, plan: &Plan, id: RequestId) -> Common {
    let name =
        |ix: policy::DeploymentIx| setup.unit(ix).map(|unit| unit.facts.deployment().clone()).unwrap_or_default();
    let legs = plan.legs.iter().map(|leg| Candidate {
        deployment: name(leg.deployment),
        dropped: None,
        score: Some(f64::from(leg.score)),
    });
    let dropped = plan.dropped.iter().map(|dropped| Candidate {
        deployment: name(dropped.deployment),
        dropped: Some(Name::from(dropped.reason.name())),
        score: None,
    });
    Common {
        id,
        product: setup.products.get(caller.product.index()).cloned().unwrap_or_default(),
        team: caller.team.clone(),
        key: caller.key.clone(),
        dialect: Name::from(ask.dialect.id().name()),
        model: ask.peek.model.as_deref().map(Name::from),
        policy: setup.policy_version.clone(),
        candidates: legs.chain(dropped).collect(),
        stream: ask.peek.stream,
        locked_by: ask.peek.facets.state.then(|| Name::from("stored state")),
        input_tokens: Some(ask.peek.facets.input_tokens),
    }
}

pub(super) fn too_many() -> Fault {
    Fault::gateway(FaultKind::Overloaded, "too many requests are under way").after(Duration::from_secs(1))
}

fn millis(micros: i64) -> u64 {
    u64::try_from(micros / 1_000).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn size<A, B, C, F: Future>(_: impl Fn(A, B, C) -> F) -> usize {
        std::mem::size_of::<F>()
    }

    /// What is rare or large stands behind a pointer: a request's future is written and moved for every request.
    #[test]
    fn a_requests_future_is_small() {
        assert!(size(exchange) < 6 * 1024, "{} bytes", size(exchange));
    }
}
