//! The narrow waist: whatever can answer a request is a [`Backend`]. An attempt returns only with its first real
//! event in hand, so that no fault can hide in an unopened stream.

use super::Ask;
pub use super::frames::{Piece, RawStream};
use super::quota::Quota;
use super::trace::Trace;
use super::transport::Body;
use bytes::Bytes;
use canon::wire::{Protocol, Seen};
use canon::{Event, Fault, FaultKind, Loss, Response};
use futures_util::Stream;
use http::{HeaderMap, Method};
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// A future behind a pointer.
pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// Events of an answer, as they come.
pub type EventStream = Pin<Box<dyn Stream<Item = Result<Event, Fault>> + Send>>;

/// Whatever can answer a request.
pub trait Backend: Send + Sync {
    /// The wire it speaks; `None`: no wire, it answers in events.
    fn protocol(&self) -> Option<&'static dyn Protocol>;
    /// What saying `ask` there would lose; a dry run, nothing is sent.
    ///
    /// # Errors
    /// When the request cannot be read.
    fn losses(&self, ask: &Ask) -> Result<Vec<Loss>, Fault>;
    /// Asks. Returns with the first real event in hand, or with a fault.
    fn call<'a>(&'a self, ask: &'a Arc<Ask>, terms: CallTerms) -> BoxFuture<'a, Result<Reply, Fault>>;
    /// Whether it takes a conversation that ends with the model's own words, and goes on with them.
    fn takes_prefill(&self) -> bool {
        false
    }
    /// Counts the tokens of the prompt of `ask`, exactly; `None`: it cannot.
    fn count<'a>(&'a self, _ask: &'a Arc<Ask>, _deadline: Instant) -> BoxFuture<'a, Result<Option<u64>, Fault>> {
        Box::pin(std::future::ready(Ok(None)))
    }
    /// Passes a request on as it is, with our key in place of the client's; for whoever has endpoints of its own.
    fn pass<'a>(
        &'a self,
        _request: PassRequest<'a>,
        _terms: PassTerms,
    ) -> BoxFuture<'a, Result<http::Response<Body>, Fault>> {
        let fault = Fault::client(FaultKind::NotFound, "the model inside has no endpoints of its own");
        Box::pin(std::future::ready(Err(fault)))
    }
}

/// A request to an endpoint of a provider's own, passed on as it is.
#[derive(Debug)]
pub struct PassRequest<'a> {
    /// Its method.
    pub method: Method,
    /// Path below the provider's base URL, with its query.
    pub target: &'a str,
    /// The client's headers.
    pub headers: &'a HeaderMap,
    /// Its body.
    pub body: Bytes,
}

/// The clocks of a request that is passed on, and what it is known by.
#[derive(Debug, Clone)]
pub struct PassTerms {
    /// When the answer's head must be there.
    pub deadline: Instant,
    /// How long until its connection stands.
    pub connect: Duration,
    /// What it is known by.
    pub trace: Trace,
}

/// The clocks of one attempt, and what it is known by.
#[derive(Debug, Clone)]
pub struct CallTerms {
    /// When the whole request must be answered.
    pub deadline: Instant,
    /// How long until its connection stands.
    pub connect: Duration,
    /// How long until the first real event (for whole answers: until the answer).
    pub first_token: Duration,
    /// How long a stream may be silent after it.
    pub silence: Duration,
    /// What it is known by, and who is told when it leaves.
    pub trace: Trace,
}

/// When things happened in one attempt, since its start.
#[derive(Debug, Clone, Copy, Default)]
pub struct Timing {
    /// Until the answer's head was there.
    pub head: Option<Duration>,
    /// Until the first real event was there.
    pub first_token: Option<Duration>,
}

/// An answer that has really begun.
pub struct Reply {
    /// The answer.
    pub body: ReplyBody,
    /// What the request said and the provider could not be told.
    pub losses: Vec<Loss>,
    /// When things happened.
    pub timing: Timing,
    /// What the provider says is left of its limits, where it says so.
    pub quota: Option<Quota>,
}

/// The forms an answer comes in.
pub enum ReplyBody {
    /// Whole and untouched, on the client's own wire.
    RawWhole {
        /// The bytes as the provider wrote them.
        body: Bytes,
        /// What was seen in them.
        seen: Box<Seen>,
    },
    /// Whole, in the canon.
    Whole(Box<Response>),
    /// A stream of bytes on the client's own wire.
    RawStream(Box<RawStream>),
    /// A stream of events.
    Events(Box<Items>),
}

/// A stream of events whose first are already in hand.
pub struct Items {
    /// Events read while waiting for the first real one.
    pub first: Vec<Event>,
    /// The rest.
    pub rest: EventStream,
}
