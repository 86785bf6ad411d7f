//! `/provider/NAME/…`: the endpoints of a provider that no dialect of ours covers, through the same door as every
//! request: a key of ours, the product's permission, its limits and budget, a row in the ledger. Bytes pass untouched in
//! both directions; only the key is ours. What such an answer used is read where it says so as the deployment's own wire
//! does; else it is recorded as unknown, and the budget is charged the worst. Nobody else is tried, since nobody else has
//! what the provider keeps there.

use super::admit::{self, Caller};
use super::{drilled, read, reply};
use crate::clock;
use crate::drill::Part;
use crate::load::{self, Place};
use crate::outbox::{AnswerBody, Outbox};
use crate::run::live::{NoPassage, Passage};
use crate::run::{Unanswered, at_limit};
use crate::setup::{Gateway, Setup};
use crate::tap::entry::{Chosen, Common, Heard};
use crate::tap::{Entry, Facts};
use crate::upstream::backend::{PassRequest, PassTerms};
use crate::upstream::transport::Body;
use bytes::Bytes;
use canon::wire::{Dialect, Protocol};
use canon::{Facets, Fault, FaultKind};
use http::header::{CONNECTION, CONTENT_TYPE, HeaderName, SET_COOKIE, TRANSFER_ENCODING, UPGRADE};
use http::{HeaderMap, Method, Response, StatusCode, request};
use http_body_util::BodyExt;
use hyper::body::{Body as _, Incoming};
use ledger::{Mode, Name, RequestId};
use policy::{DeploymentIx, NanoUsd, Product};
use serde::Deserialize;
use std::borrow::Cow;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// What the ledger calls the client's wire here.
const DIALECT: &str = "pass-through";

/// Headers that belong to a connection or to the provider's own site, not to the answer.
const OWN: [HeaderName; 4] = [CONNECTION, TRANSFER_ENCODING, UPGRADE, SET_COOKIE];

/// How long a client should wait when nobody can tell.
const LATER: Duration = Duration::from_secs(1);
/// The longest answer that is read for what it used.
const READ_BYTES: usize = 1 << 20;

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
    let Asked { provider, path, head, body, peer } = asked;
    let micros = clock::unix_micros();
    let caller = admit::admit(setup, &gateway.access, &head.headers, head.uri.query(), peer.ip(), micros)?;
    let place = load::enter(gateway, setup, caller.product)?;
    let body = read::collect(body, setup.limits).await?;
    let enlisted = gateway.enlist(setup, caller.product, drilled::marked(&head.headers));
    let Some(enlisted) = enlisted else {
        return ask(gateway, setup, (caller, None), (provider, path), (head, body), (id, place)).await;
    };
    let part = Part::begin(gateway, enlisted.drill, drilled::row(&enlisted.setup, &caller, DIALECT, id, micros));
    let caller = (caller, Some(Arc::clone(&part)));
    let answered = ask(gateway, &enlisted.setup, caller, (provider, path), (head, body), (id, place)).await;
    Ok(drilled::answer(&part, answered, |unanswered| reply::fault(voice(setup, provider), unanswered, id)))
}

async fn ask(
    gateway: &Arc<Gateway>,
    setup: &Arc<Setup>,
    (caller, part): (Caller, Option<Arc<Part>>),
    (provider, path): (&str, &str),
    (head, body): (request::Parts, Bytes),
    (id, place): (RequestId, Place),
) -> Result<Response<AnswerBody>, Unanswered> {
    let product = setup.fleet.product(caller.product);
    let allowed = permitted(setup, &caller, product, provider)?;
    let target = target(path, head.uri.query())?;
    let (ix, mut passage) = book(gateway, setup, &caller, &allowed, (&head.method, &body))?;
    let unit = setup.unit(ix).ok_or_else(|| unknown(setup, product, provider))?;
    let mode = part.as_ref().map_or(Mode::Live, |part| part.mode(Mode::Live, unit.facts.deployment()));
    let common = Common { part, ..common(setup, &caller, id) };
    let series = Arc::new(gateway.metrics.series(&common.product, unit.facts.provider()));
    let chosen = Chosen { score: 0.0, probability: 1.0, degraded: false, mode };
    let facts = unit.facts.of_account();
    let priced = unit.facts.clone();
    let protocol = unit.backend.protocol();
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
    if head.status.is_success() {
        passage.taken();
    }
    let json = head.headers.get(CONTENT_TYPE).is_some_and(|mime| mime.as_bytes().starts_with(b"application/json"));
    let reader = protocol.filter(|_| json && head.status.is_success()).map(|protocol| (protocol, Vec::new(), priced));
    let watched = Watched { entry, passage, reader, status: head.status, silence: timeouts.silence() };
    let body = AnswerBody::stream(move |outbox| {
        Box::pin(async move {
            let _place = place;
            pump(body, watched, outbox).await;
        })
    });
    Ok(reply::finish(head.status, answer_headers(head.headers), (id, 1), body))
}

/// What a body says of its size, as most APIs do.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Said<'a> {
    #[serde(borrow)]
    model: Option<Cow<'a, str>>,
    #[serde(alias = "max_completion_tokens", alias = "max_output_tokens")]
    max_tokens: Option<u64>,
}

/// Takes places within the limits and sets the worst aside, at the deployment whose model the body names, else at the
/// dearest one that is allowed. What sends nothing (`GET` and the like) costs nothing.
fn book(
    gateway: &Gateway,
    setup: &Setup,
    caller: &Caller,
    allowed: &[DeploymentIx],
    (method, body): (&Method, &Bytes),
) -> Result<(DeploymentIx, Passage), Fault> {
    let (fleet, wall) = (&setup.fleet, policy::Wall::from_unix(clock::unix_micros() / 1_000_000));
    let free = matches!(*method, Method::GET | Method::HEAD | Method::OPTIONS | Method::DELETE);
    let said: Said<'_> = serde_json::from_slice(body).unwrap_or_default();
    let bytes = body.len() as u64;
    let worst = |ix: DeploymentIx| {
        if free { NanoUsd::ZERO } else { policy::plan::worst_unread(fleet, ix, (bytes, said.max_tokens), wall) }
    };
    let named = allowed.iter().copied().find(|ix| said.model.as_deref() == Some(fleet.deployment(*ix).model.as_str()));
    let ix = named.or_else(|| allowed.iter().copied().max_by_key(|ix| worst(*ix)));
    let ix = ix.ok_or_else(|| Fault::gateway(FaultKind::NoRoute, "no deployment of the provider may be used"))?;
    let most = if free { Some(0) } else { said.max_tokens };
    let facets = Facets { input_tokens: bytes / 4, max_output_tokens: most, ..Facets::default() };
    let who = (caller.product, &caller.levels);
    let booked = setup.live.pass(who, (ix, fleet.tariff(ix)), &facets, worst(ix), gateway.clock.tick());
    booked.map(|passage| (ix, passage)).map_err(|why| match why {
        NoPassage::Limit(reached) => at_limit(&reached),
        NoPassage::Full(full) => {
            let message = format!("deployment `{}` is at its limits: {full}", fleet.deployment(ix).name);
            Fault::gateway(FaultKind::RateLimited, message).after(full.wait.unwrap_or(LATER))
        }
        NoPassage::Budget(spent) => Fault::gateway(FaultKind::Budget, spent.to_string()).after(spent.over.resets),
        NoPassage::Gone => Fault::gateway(FaultKind::NoRoute, "the provider's deployment is no longer configured"),
    })
}

/// The deployments of the provider that the caller may use: whoever may use one may use its account.
fn permitted(setup: &Setup, caller: &Caller, product: &Product, provider: &str) -> Result<Vec<DeploymentIx>, Fault> {
    let mut there = setup.fleet.iter().filter(|(_, deployment)| deployment.provider == provider).peekable();
    if there.peek().is_none() {
        return Err(unknown(setup, product, provider));
    }
    let allowed: Vec<DeploymentIx> = there
        .map(|(ix, _)| ix)
        .filter(|ix| product.never(*ix).is_none() && caller.permit.as_ref().is_none_or(|permit| permit.allows(*ix)))
        .collect();
    if allowed.is_empty() {
        let message = format!("product `{}` may use no deployment of provider `{provider}`", product.name());
        return Err(Fault::client(FaultKind::Forbidden, message));
    }
    Ok(allowed)
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
        part: None,
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
    passage: Passage,
    /// Who can read what the answer used, what there is of it so far, and of what it is the answer.
    reader: Option<(&'static dyn Protocol, Vec<u8>, Facts)>,
    status: StatusCode,
    silence: Duration,
}

impl Watched {
    fn heard(&mut self, bytes: &[u8]) {
        self.entry.sent(bytes.len());
        if let Some((_, read, _)) = &mut self.reader {
            read.extend_from_slice(bytes);
            if read.len() > READ_BYTES {
                self.reader = None;
            }
        }
    }

    fn over(self) {
        let seen = self.reader.and_then(|(protocol, read, facts)| Some((protocol.scan_response(&read).ok()?, facts)));
        self.entry.passed(self.status.as_u16(), seen.as_ref().map(|(seen, facts)| (seen, facts)));
        if let Some((seen, _)) = seen {
            self.passage.over(&seen.usage);
        }
    }
}

/// Carries the answer's bytes. The row is written before the last of them leaves; a break breaks the connection, so
/// that no half answer looks whole.
async fn pump(mut body: Body, mut watched: Watched, outbox: Outbox) {
    let fault = loop {
        match tokio::time::timeout(watched.silence, body.frame()).await {
            Ok(Some(Ok(frame))) => {
                let Ok(bytes) = frame.into_data() else { continue };
                watched.heard(&bytes);
                if body.is_end_stream() {
                    watched.over();
                    return outbox.send(bytes).await;
                }
                outbox.send(bytes).await;
            }
            Ok(None) => return watched.over(),
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
