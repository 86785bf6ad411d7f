//! `/provider/NAME/…`: the endpoints of a provider that no dialect of ours covers, through the same door as every
//! request: a key of ours, the product's permission, a row in the ledger. Bytes pass untouched in both directions; only
//! the key is ours. What such an answer costs is not known and is recorded as unknown. Nobody else is tried, since
//! nobody else has what the provider keeps there.

use super::admit::{self, Caller};
use super::{read, reply};
use crate::clock;
use crate::outbox::{AnswerBody, Outbox};
use crate::run::live::Places;
use crate::run::{self, Unanswered};
use crate::setup::{Gateway, Setup};
use crate::tap::Entry;
use crate::tap::entry::{Chosen, Common, Heard};
use crate::upstream::backend::{PassRequest, PassTerms};
use crate::upstream::transport::Body;
use canon::wire::Dialect;
use canon::{Facets, Fault, FaultKind};
use http::header::{CONNECTION, HeaderName, SET_COOKIE, TRANSFER_ENCODING, UPGRADE};
use http::{HeaderMap, Response, StatusCode, request};
use http_body_util::BodyExt;
use hyper::body::{Body as _, Incoming};
use ledger::{Mode, Name, RequestId};
use policy::{DeploymentIx, Product};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// What the ledger calls the client's wire here.
const DIALECT: &str = "pass-through";

/// Headers that belong to a connection or to the provider's own site, not to the answer.
const OWN: [HeaderName; 4] = [CONNECTION, TRANSFER_ENCODING, UPGRADE, SET_COOKIE];

/// A request below `/provider/`.
pub(super) struct Asked<'a> {
    /// The provider.
    pub(super) provider: &'a str,
    /// The path below its base URL, with its slash.
    pub(super) path: &'a str,
    /// The request's head.
    pub(super) head: request::Parts,
    /// Its body.
    pub(super) body: Incoming,
    /// Who connects.
    pub(super) peer: SocketAddr,
}

/// Passes a request on.
pub(super) async fn pass(gateway: &Arc<Gateway>, asked: Asked<'_>, id: RequestId) -> Response<AnswerBody> {
    let setup = gateway.setup();
    let dialect = voice(&setup, asked.provider);
    let response = match carry(gateway, &setup, asked, id).await {
        Ok(response) => response,
        Err(unanswered) => reply::fault(dialect, &unanswered, id),
    };
    gateway.metrics.answer(DIALECT, response.status().as_u16());
    response
}

/// In whose shape our own errors are told: the provider's, whose client it is.
fn voice(setup: &Setup, provider: &str) -> &'static dyn Dialect {
    let spoken = setup.fleet.deployments().iter().filter(|deployment| deployment.provider == provider);
    let spoken = spoken.flat_map(|deployment| &deployment.wires).find_map(|wire| canon::wire::dialect(wire.name()));
    spoken.unwrap_or(&canon::wire::openai_chat::OpenAiChat)
}

async fn carry(
    gateway: &Arc<Gateway>,
    setup: &Arc<Setup>,
    asked: Asked<'_>,
    id: RequestId,
) -> Result<Response<AnswerBody>, Unanswered> {
    let place = gateway.enter(setup.limits.in_flight).ok_or_else(super::exchange::too_many)?;
    let Asked { provider, path, head, body, peer } = asked;
    let micros = clock::unix_micros();
    let caller = admit::admit(setup, &gateway.access, &head.headers, head.uri.query(), peer.ip(), micros)?;
    let product = setup.fleet.product(caller.product);
    let ix = permitted(setup, &caller, product, provider)?;
    let unit = setup.unit(ix).ok_or_else(|| unknown(setup, product, provider))?;
    let target = target(path, head.uri.query())?;
    let body = read::collect(body, setup.limits).await?;
    let places = within_limits(gateway, setup, &caller, body.len())?;
    let common = common(setup, &caller, id);
    let series = Arc::new(gateway.metrics.series(&common.product, unit.facts.provider()));
    let chosen = Chosen { score: 0.0, probability: 1.0, degraded: false, mode: Mode::Live };
    let facts = unit.facts.of_account();
    let mut entry = Entry::begin((&gateway.journal, &gateway.metrics, &series), &common, &facts, 1, chosen);
    let timeouts = product.rules().timeouts;
    let (deadline, trace) = (Instant::now() + timeouts.deadline(), entry.trace().clone());
    if body.is_empty() {
        // What has no body leaves unseen.
        trace.leaves(0);
    }
    let terms = PassTerms { deadline, connect: timeouts.connect(), trace };
    let request = PassRequest { method: head.method, target: &target, headers: &head.headers, body };
    let started = Instant::now();
    let answered = match unit.backend.pass(request, terms).await {
        Ok(answered) => answered,
        Err(fault) => {
            drop(entry.fail(&fault, Heard::default()));
            return Err(Unanswered { fault, attempts: 1 });
        }
    };
    let timing = crate::upstream::Timing { head: Some(started.elapsed()), first_token: None };
    entry.answered(&timing, &[]);
    let (head, body) = answered.into_parts();
    let watched = Watched { entry, status: head.status, silence: timeouts.silence() };
    let body = AnswerBody::stream(move |outbox| {
        Box::pin(async move {
            let _places = (place, places);
            pump(body, watched, outbox).await;
        })
    });
    Ok(reply::finish(head.status, answer_headers(head.headers), (id, 1), body))
}

/// The door that every request goes through: limits are kept here too. What such a call costs nobody knows, so a budget
/// with nothing left refuses it, and one with something left lets it pass.
fn within_limits(gateway: &Gateway, setup: &Setup, caller: &Caller, bytes: usize) -> Result<Places, Fault> {
    if setup.live.is_spent(&caller.levels, clock::wall()) {
        let message =
            "the budget of the product, the team or the key is spent: a provider's own endpoints wait for the next";
        return Err(Fault::gateway(FaultKind::Budget, message));
    }
    // About four bytes a token, as every other estimate of ours.
    let facets = Facets { input_tokens: bytes as u64 / 4, max_output_tokens: Some(0), ..Facets::default() };
    let entered = setup.live.enter(caller.product, &caller.levels, &facets, gateway.clock.tick());
    entered.map_err(|reached| run::at_limit(&reached))
}

/// A deployment of the provider that the caller may use: whoever may use one may use its account.
fn permitted(setup: &Setup, caller: &Caller, product: &Product, provider: &str) -> Result<DeploymentIx, Fault> {
    let mut there = setup.fleet.iter().filter(|(_, deployment)| deployment.provider == provider).peekable();
    if there.peek().is_none() {
        return Err(unknown(setup, product, provider));
    }
    let allowed = there
        .map(|(ix, _)| ix)
        .find(|ix| product.never(*ix).is_none() && caller.permit.as_ref().is_none_or(|permit| permit.allows(*ix)));
    allowed.ok_or_else(|| {
        let message = format!("product `{}` may use no deployment of provider `{provider}`", product.name());
        Fault::client(FaultKind::Forbidden, message)
    })
}

fn unknown(setup: &Setup, product: &Product, provider: &str) -> Fault {
    let usable = setup.fleet.iter().filter(|(ix, deployment)| product.never(*ix).is_none() && !deployment.house);
    let mut known: Vec<&str> = usable.map(|(_, deployment)| deployment.provider.as_str()).collect();
    known.sort_unstable();
    known.dedup();
    let message = format!("there is no provider `{provider}` with a deployment here; known: {}", known.join(", "));
    Fault::client(FaultKind::NotFound, message)
}

/// Path and query to ask for: without a way out of the provider's base URL, and without a key of ours.
fn target(path: &str, query: Option<&str>) -> Result<String, Fault> {
    let leaves = |step: &str| matches!(step.to_ascii_lowercase().replace("%2e", ".").as_str(), "." | "..");
    if path.split(['/', '\\']).any(leaves) {
        return Err(Fault::client(FaultKind::Invalid, "the path must not hold `.` or `..`"));
    }
    let kept: Vec<&str> =
        query.unwrap_or_default().split('&').filter(|pair| !pair.is_empty() && !pair.starts_with("key=")).collect();
    Ok(if kept.is_empty() { path.to_owned() } else { format!("{path}?{}", kept.join("&")) })
}

fn common(setup: &Setup, caller: &Caller, id: RequestId) -> Common {
    Common {
        id,
        product: setup.products.get(caller.product.index()).cloned().unwrap_or_default(),
        team: caller.team.clone(),
        key: caller.key.clone(),
        dialect: Name::from(DIALECT),
        model: None,
        policy: setup.policy_version.clone(),
        candidates: Vec::new(),
        stream: false,
        locked_by: Some(Name::from("provider endpoint")),
        input_tokens: None,
    }
}

fn answer_headers(mut headers: HeaderMap) -> HeaderMap {
    for name in &OWN {
        headers.remove(name);
    }
    headers
}

/// What watches an answer on its way.
struct Watched {
    entry: Entry,
    status: StatusCode,
    silence: Duration,
}

/// Carries the answer's bytes. The row is written before the last of them leaves; a break breaks the connection, so
/// that no half answer looks whole.
async fn pump(mut body: Body, mut watched: Watched, outbox: Outbox) {
    let fault = loop {
        match tokio::time::timeout(watched.silence, body.frame()).await {
            Ok(Some(Ok(frame))) => {
                let Ok(bytes) = frame.into_data() else { continue };
                watched.entry.sent(bytes.len());
                if body.is_end_stream() {
                    watched.entry.passed(watched.status.as_u16());
                    return outbox.send(bytes).await;
                }
                outbox.send(bytes).await;
            }
            Ok(None) => return watched.entry.passed(watched.status.as_u16()),
            Ok(Some(Err(error))) => {
                break Fault::provider(FaultKind::Cut, format!("the provider's answer broke: {error}"));
            }
            Err(_) => break Fault::provider(FaultKind::Stalled, "the provider's answer was silent for too long"),
        }
    };
    drop(watched.entry.fail(&fault, Heard::default()));
    outbox.break_off();
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_stays_below_the_providers_base_and_our_key_stays_here() {
        assert_eq!(target("/files", None).expect("fine"), "/files");
        assert_eq!(target("/files", Some("key=ak-secret&limit=2")).expect("fine"), "/files?limit=2");
        assert_eq!(target("/files", Some("key=ak-secret")).expect("fine"), "/files");
        assert_eq!(target("/a..b/c", Some("x=%2e")).expect("fine"), "/a..b/c?x=%2e");
        for path in ["/../admin", "/a/%2e%2E/b", "/./a", "/a\\..\\b", "/a/.."] {
            assert!(target(path, None).is_err(), "{path}");
        }
    }
}
