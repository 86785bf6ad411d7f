//! A request's phases, in order, on one page: accept, admit, read, plan, run, reply. Each is a call into another
//! room; nothing is decided here.

use super::admit::{self, Caller};
use super::reply;
use super::route::{self, Place};
use super::{aws, background, count, drilled, kept, pass, read, system};
use crate::clock;
use crate::drill::Part;
use crate::load::{self, Place as InFlight};
use crate::outbox::AnswerBody;
use crate::run::{Choice, Run, Unanswered};
use crate::setup::{Gateway, Setup};
use crate::tap::entry::Common;
use crate::turns::Scribe;
use crate::upstream::Ask;
use bytes::Bytes;
use canon::wire::{Dialect, Params, RouteKind};
use http::{HeaderMap, Request, Response, request};
use hyper::body::Incoming;
use ledger::{Candidate, Name, RequestId};
use policy::Plan;
use std::net::SocketAddr;
use std::sync::Arc;

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
    // admit
    let micros = clock::unix_micros();
    let (caller, body, place) = if aws::is_signed(&head.headers) {
        // A signature covers the body, so it is there first.
        let body = read::collect(body, setup.limits).await?;
        let caller = aws::admit(&setup, &gateway.access, &head, &body, (peer.ip(), micros))?;
        let place = load::enter(gateway, &setup, caller.product)?;
        (caller, body, place)
    } else {
        let caller = admit::admit(&setup, &gateway.access, &head.headers, head.uri.query(), peer.ip(), micros)?;
        let place = load::enter(gateway, &setup, caller.product)?;
        (caller, read::collect(body, setup.limits).await?, place)
    };
    let enlisted = match kind {
        RouteKind::CountTokens => None,
        _ => gateway.enlist(&setup, caller.product, drilled::marked(&head.headers)),
    };
    let (setup, part) = match enlisted {
        None => (setup, None),
        Some(enlisted) => {
            let row = drilled::row(&enlisted.setup, &caller, dialect.id().name(), id, micros);
            (enlisted.setup, Some(Part::begin(gateway, enlisted.drill, row)))
        }
    };
    let admitted = Admitted { setup, caller, place, part: part.clone() };
    // Apart from what admits: neither is moved about with the other.
    let answered = Box::pin(carry(gateway, admitted, (dialect, kind, params), (head.headers, body), id)).await;
    match part {
        None => answered,
        Some(part) => Ok(drilled::answer(&part, answered, |unanswered| reply::fault(dialect, unanswered, id))),
    }
}

/// A request that was let in.
struct Admitted {
    setup: Arc<Setup>,
    caller: Caller,
    place: InFlight,
    part: Option<Arc<Part>>,
}

async fn carry(
    gateway: &Arc<Gateway>,
    admitted: Admitted,
    (dialect, kind, params): (&'static dyn Dialect, RouteKind, Params),
    (headers, body): (HeaderMap, Bytes),
    id: RequestId,
) -> Result<Response<AnswerBody>, Unanswered> {
    let Admitted { setup, caller, place, part } = admitted;
    // read
    let ask = Ask::read(dialect, params, headers, body)?;
    let owner = setup.products.get(caller.product.index()).cloned().unwrap_or_default();
    let purpose = (kind != RouteKind::CountTokens, setup.turns_days > 0);
    let mut ask = gateway.turns.prepared(&owner, ask, purpose).await?;
    // plan
    let rules = setup.fleet.product(caller.product).rules();
    ask.in_events = ask.peek.listed || (rules.takeover.on && rules.takeover.hold_back);
    let ask = Arc::new(ask);
    let deadline = clock::now() + rules.timeouts.deadline();
    let (product, levels, permit) = (caller.product, &caller.levels, caller.permit.as_deref());
    let plan = Choice { gateway, setup: &setup, product, levels, permit, ask: &ask, deadline }.plan(&[]).await?;
    if kind == RouteKind::CountTokens {
        return Ok(Box::pin(count::count(&setup, &ask, &plan, deadline, id)).await?);
    }
    // run
    let scribe = Scribe::of(&gateway.turns, &owner, &ask, id);
    let run = Run {
        common: Common { part, ..common(&setup, &caller, &ask, &plan, id) },
        gateway: Arc::clone(gateway),
        product: caller.product,
        levels: caller.levels,
        permit: caller.permit,
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

/// What all ledger rows of a request share.
fn common(setup: &Setup, caller: &Caller, ask: &Ask, plan: &Plan, id: RequestId) -> Common {
    let name =
        |ix: policy::DeploymentIx| setup.unit(ix).map(|unit| unit.facts.deployment().clone()).unwrap_or_default();
    let legs = plan.legs.iter().map(|leg| Candidate {
        deployment: name(leg.deployment),
        dropped: None,
        score: Some(f64::from(leg.score)),
    });
    // Neither dropped nor scored: it could answer too.
    let spare = plan.spare.iter().map(|ix| Candidate { deployment: name(*ix), dropped: None, score: None });
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
        candidates: legs.chain(spare).chain(dropped).collect(),
        stream: ask.peek.stream,
        locked_by: ask.peek.facets.state.then(|| Name::from("stored state")),
        input_tokens: Some(ask.peek.facets.input_tokens),
        part: None,
    }
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
