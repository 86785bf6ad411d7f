//! The body of an answer as it is carried out step by step, and the guard that logs how the exchange ended.

use super::fault::Step;
use super::log::{End, Log, Outcome};
use super::reply::Counts;
use super::socket::Tap;
use bytes::Bytes;
use hyper::body::{Frame, SizeHint};
use std::collections::VecDeque;
use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::Instant;
use tokio::time::Sleep;

/// One exchange until it ends; dropped, it writes the log's second line.
#[derive(Debug)]
pub(super) struct Exchange {
    pub(super) seq: u64,
    pub(super) log: Arc<Log>,
    pub(super) began: Instant,
    pub(super) tap: Arc<Tap>,
    /// Set when the connection closes after this answer.
    pub(super) closes: bool,
    pub(super) status: Option<u16>,
    pub(super) usage: Option<Counts>,
    /// The number of events with which usage is told.
    pub(super) tells_at: u64,
    pub(super) outcome: Outcome,
    pub(super) events: u64,
    pub(super) bytes: u64,
    /// Exchanges that are not over yet.
    pub(super) open: Arc<AtomicU64>,
}

impl Drop for Exchange {
    fn drop(&mut self) {
        let outcome = if self.outcome == Outcome::Open { Outcome::ClientLeft } else { self.outcome };
        self.log.end(
            self.seq,
            End {
                end_us: Some(micros(self.began)),
                status: self.status,
                events: self.events,
                bytes: self.bytes,
                usage: self.usage.filter(|_| self.events >= self.tells_at),
                outcome,
            },
        );
        if self.closes {
            self.tap.close();
        }
        self.open.fetch_sub(1, Ordering::AcqRel);
    }
}

/// Microseconds since `began`.
pub(super) fn micros(began: Instant) -> u64 {
    u64::try_from(began.elapsed().as_micros()).unwrap_or(u64::MAX)
}

/// Why an answer ends without its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Broken;

impl fmt::Display for Broken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("broken as the script says")
    }
}

impl std::error::Error for Broken {}

/// The body.
pub(super) struct Body {
    steps: VecDeque<Step>,
    exchange: Option<Exchange>,
    sleep: Option<Pin<Box<Sleep>>>,
    /// Flushes seen when the last bytes were handed over.
    handed: Option<u64>,
    /// The length said in the headers, where one is.
    length: Option<u64>,
}

impl Body {
    /// A body of `steps`; `length` is the `Content-Length`, `None` for chunked bodies.
    pub(super) fn new(steps: Vec<Step>, length: Option<u64>, exchange: Exchange) -> Self {
        Self { steps: steps.into(), exchange: Some(exchange), sleep: None, handed: None, length }
    }

    /// A whole body outside the log.
    pub(super) fn whole(bytes: Bytes) -> Self {
        let length = Some(bytes.len() as u64);
        Self { steps: VecDeque::from([Step::Event(bytes)]), exchange: None, sleep: None, handed: None, length }
    }

    fn hand(&mut self, bytes: Bytes, event: bool) -> Poll<Option<Result<Frame<Bytes>, Broken>>> {
        // With a length in the headers nothing is polled after the last byte.
        let last = self.length.is_some() && self.steps.is_empty();
        if let Some(exchange) = &mut self.exchange {
            self.handed = Some(exchange.tap.flushes());
            exchange.events += u64::from(event);
            exchange.bytes += bytes.len() as u64;
            if last {
                exchange.outcome = Outcome::Finished;
            }
        }
        Poll::Ready(Some(Ok(Frame::data(bytes))))
    }

    /// Ready when everything handed over has left the process.
    fn poll_left(&mut self, cx: &Context<'_>) -> Poll<()> {
        match (&self.exchange, self.handed) {
            (Some(exchange), Some(seen)) => exchange.tap.poll_flushed(seen, cx),
            _ => Poll::Ready(()),
        }
    }
}

impl hyper::body::Body for Body {
    type Data = Bytes;
    type Error = Broken;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Broken>>> {
        let this = self.get_mut();
        loop {
            if let Some(sleep) = &mut this.sleep {
                if sleep.as_mut().poll(cx).is_pending() {
                    return Poll::Pending;
                }
                this.sleep = None;
            }
            match this.steps.pop_front() {
                Some(Step::Event(bytes)) => return this.hand(bytes, true),
                Some(Step::Bytes(bytes)) => return this.hand(bytes, false),
                Some(Step::Wait(wait)) => this.sleep = Some(Box::pin(tokio::time::sleep(wait))),
                Some(Step::Flush) => {
                    if this.poll_left(cx).is_pending() {
                        this.steps.push_front(Step::Flush);
                        return Poll::Pending;
                    }
                }
                Some(Step::Hang) => {
                    this.steps.push_front(Step::Hang);
                    return Poll::Pending;
                }
                Some(Step::Cut { reset }) => {
                    if let Some(exchange) = &mut this.exchange {
                        exchange.outcome = Outcome::Cut;
                        if reset {
                            exchange.tap.reset();
                        }
                    }
                    return Poll::Ready(Some(Err(Broken)));
                }
                None => {
                    if this.poll_left(cx).is_pending() {
                        return Poll::Pending;
                    }
                    if let Some(mut exchange) = this.exchange.take() {
                        exchange.outcome = Outcome::Finished;
                    }
                    return Poll::Ready(None);
                }
            }
        }
    }

    fn size_hint(&self) -> SizeHint {
        self.length.map_or_else(SizeHint::new, SizeHint::with_exact)
    }
}
