//! A deployment that a drill takes away: it fails as ordered. Where a fault needs no call, none is made; an answer that
//! is to break is really asked for, and broken on its way. When the drill ends, whoever still waits is asked after all.

use super::{Break, Drill, Failing};
use crate::clock;
use crate::upstream::backend::{PassRequest, PassTerms};
use crate::upstream::transport::Body;
use crate::upstream::{Ask, Backend, BoxFuture, CallTerms, Items, Reply, ReplyBody};
use canon::wire::Protocol;
use canon::{Event, Fault, FaultKind, Loss, Side};
use futures_util::{StreamExt, stream};
use http::Response;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// What a lost deployment's faults say, to whoever reads a log.
const WORDS: &str = "lost in a drill";

pub(super) struct Lost {
    inner: Arc<dyn Backend>,
    drill: Arc<Drill>,
    calls: AtomicU64,
}

impl Lost {
    pub(super) fn new(inner: Arc<dyn Backend>, drill: Arc<Drill>) -> Self {
        Self { inner, drill, calls: AtomicU64::new(0) }
    }

    /// Whether the next call fails, and how.
    fn fails(&self) -> Option<Failing> {
        let number = self.calls.fetch_add(1, Ordering::Relaxed);
        let failing = !self.drill.is_over() && self.drill.terms.times.is_none_or(|times| number < times);
        failing.then_some(self.drill.terms.failing)
    }

    async fn fail(&self, ask: &Arc<Ask>, terms: CallTerms, failing: Failing) -> Result<Reply, Fault> {
        match failing {
            Failing::Refuses { kind, status, wait } => Err(refusal(kind, status, wait)),
            Failing::Silent => {
                self.held(None, &terms).await?;
                self.inner.call(ask, terms).await
            }
            Failing::Late(late) => {
                self.held(Some(late), &terms).await?;
                let spent = CallTerms { first_token: terms.first_token.saturating_sub(late), ..terms };
                let mut reply = self.inner.call(ask, spent).await?;
                for time in [&mut reply.timing.head, &mut reply.timing.first_token].into_iter().flatten() {
                    *time += late;
                }
                Ok(reply)
            }
            Failing::Breaks { after, how } => {
                let reply = self.inner.call(&Arc::new(ask.heard_in_events()), terms.clone()).await?;
                self.broken(reply, after, how, &terms).await
            }
        }
    }

    /// Waits `late`, or for ever, but no longer than the call may; the drill's end ends it.
    async fn held(&self, late: Option<Duration>, terms: &CallTerms) -> Result<(), Fault> {
        let left = terms.deadline.saturating_duration_since(clock::now());
        let limit = terms.first_token.min(left);
        let wait = late.unwrap_or(limit).min(limit);
        tokio::select! {
            () = self.drill.over.cancelled() => return Ok(()),
            () = tokio::time::sleep(wait) => {}
        }
        match late {
            Some(late) if late < limit => Ok(()),
            _ if left <= terms.first_token => Err(Fault::provider(FaultKind::Deadline, WORDS)),
            _ => Err(Fault::provider(FaultKind::FirstTokenTimeout, WORDS)),
        }
    }

    /// Breaks an answer.
    async fn broken(&self, reply: Reply, after: usize, how: Break, terms: &CallTerms) -> Result<Reply, Fault> {
        let items = match reply.body {
            ReplyBody::Events(items) if after > 0 => items,
            // An answer that comes whole has no middle; one that breaks before its first word has not begun.
            _ if how == Break::Stall => {
                self.held(None, terms).await?;
                return Err(break_of(Break::Cut));
            }
            _ => return Err(break_of(how)),
        };
        let body = ReplyBody::Events(Box::new(self.breaking(*items, after, how)));
        Ok(Reply { body, ..reply })
    }

    fn breaking(&self, items: Items, after: usize, how: Break) -> Items {
        let mut left = after;
        let mut first = items.first;
        // What comes from the break on is heard only if the drill ends before.
        let at = first.iter().position(|event| is_the_break(event, &mut left));
        let beyond = at.map(|at| first.split_off(at)).unwrap_or_default();
        let rest = stream::iter(beyond.into_iter().map(Ok)).chain(items.rest);
        let drill = Arc::clone(&self.drill);
        let state = (Box::pin(rest), left, drill, Step::Passing);
        let rest = stream::unfold(state, move |(mut rest, mut left, drill, step)| async move {
            if step == Step::Over {
                return None;
            }
            let next = rest.next().await?;
            let breaks = matches!(&next, Ok(event) if step == Step::Passing && is_the_break(event, &mut left));
            if !breaks || drill.is_over() {
                return Some((next, (rest, left, drill, step)));
            }
            match how {
                Break::Stall => {
                    drill.over.cancelled().await;
                    Some((next, (rest, left, drill, Step::Healed)))
                }
                Break::NoEnd => None,
                how => Some((Err(break_of(how)), (rest, left, drill, Step::Over))),
            }
        });
        Items { first, rest: Box::pin(rest) }
    }
}

/// How far a breaking stream is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Step {
    Passing,
    /// The drill ended: it goes on as if nothing had been.
    Healed,
    Over,
}

/// Whether a stream breaks before `event`, of which `left` pieces of content may still pass.
fn is_the_break(event: &Event, left: &mut usize) -> bool {
    match event {
        Event::Delta { .. } if *left == 0 => true,
        Event::Delta { .. } => {
            *left -= 1;
            false
        }
        Event::Finish(_) => true,
        _ => false,
    }
}

fn break_of(how: Break) -> Fault {
    let kind = match how {
        Break::Cut | Break::NoEnd => FaultKind::Cut,
        Break::Stall => FaultKind::Stalled,
        Break::Malformed => FaultKind::Malformed,
        Break::Error => FaultKind::Server,
    };
    Fault::provider(kind, WORDS)
}

/// As the wires read a provider's refusal: what the request itself is refused for is the client's matter.
fn refusal(kind: FaultKind, status: Option<u16>, wait: Option<Duration>) -> Fault {
    let of_client = matches!(kind, FaultKind::Invalid | FaultKind::ContextLength | FaultKind::ContentFilter);
    let mut fault = Fault::new(kind, if of_client { Side::Client } else { Side::Provider }, WORDS);
    (fault.retry, fault.status, fault.retry_after) = (kind.row().2, status, wait);
    fault
}

impl Backend for Lost {
    fn protocol(&self) -> Option<&'static dyn Protocol> {
        self.inner.protocol()
    }

    fn losses(&self, ask: &Ask) -> Result<Vec<Loss>, Fault> {
        self.inner.losses(ask)
    }

    fn takes_prefill(&self) -> bool {
        self.inner.takes_prefill()
    }

    fn call<'a>(&'a self, ask: &'a Arc<Ask>, terms: CallTerms) -> BoxFuture<'a, Result<Reply, Fault>> {
        match self.fails() {
            Some(failing) => Box::pin(self.fail(ask, terms, failing)),
            None => self.inner.call(ask, terms),
        }
    }

    fn count<'a>(&'a self, ask: &'a Arc<Ask>, deadline: Instant) -> BoxFuture<'a, Result<Option<u64>, Fault>> {
        self.inner.count(ask, deadline)
    }

    /// Whoever is lost is lost for its own endpoints too; what would break in the middle breaks at once.
    fn pass<'a>(&'a self, request: PassRequest<'a>, terms: PassTerms) -> BoxFuture<'a, Result<Response<Body>, Fault>> {
        match self.fails() {
            None => self.inner.pass(request, terms),
            Some(failing) => {
                let fault = match failing {
                    Failing::Refuses { kind, status, wait } => refusal(kind, status, wait),
                    Failing::Silent | Failing::Late(_) => Fault::provider(FaultKind::FirstTokenTimeout, WORDS),
                    Failing::Breaks { how, .. } => break_of(how),
                };
                Box::pin(std::future::ready(Err(fault)))
            }
        }
    }
}
