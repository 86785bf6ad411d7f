//! Carrying a begun stream to the client. The ledger row is written before the last byte is handed on; a break ends
//! the stream with the dialect's own error event, never with a clean end.

use super::attempt::Watched;
use super::live::LiveView;
use crate::clock::Clock;
use crate::outbox::Outbox;
use crate::upstream::{Items, RawStream};
use bytes::Bytes;
use canon::wire::StreamEncoder;
use canon::{Event, Fault, FaultKind, StopReason, Usage};
use futures_util::StreamExt;
use std::future::Future;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// What a stream needs on its way, besides its source.
pub(crate) struct Carry {
    /// What watches it.
    pub(crate) watched: Watched,
    /// Where breaks are noted.
    pub(crate) live: Arc<LiveView>,
    /// The clock of notes.
    pub(crate) clock: Clock,
    /// The client's encoder.
    pub(crate) encoder: Box<dyn StreamEncoder>,
    /// Where the pieces go.
    pub(crate) outbox: Outbox,
}

impl Carry {
    /// Ends a broken stream honestly.
    async fn break_off(mut self, fault: &Fault, usage: &Usage) {
        self.live.broke(self.watched.ix, fault, self.clock.tick());
        let mut out = Vec::new();
        self.encoder.fault(fault, &mut out);
        self.watched.entry.sent(out.len());
        self.watched.entry.fail(fault, Some(usage));
        self.outbox.send(out.into()).await;
    }
}

/// Waits for the next piece as long as silence and deadline allow.
pub(super) async fn in_time<T>(
    silence: Duration,
    deadline: Instant,
    next: impl Future<Output = Result<T, Fault>>,
) -> Result<T, Fault> {
    let left = deadline.saturating_duration_since(Instant::now());
    match tokio::time::timeout(silence.min(left), next).await {
        Ok(result) => result,
        Err(_) if left <= silence => {
            Err(Fault::gateway(FaultKind::Deadline, "the answer was not complete before the request's deadline"))
        }
        Err(_) => {
            let message = format!("the provider's stream was silent for {} ms", silence.as_millis());
            Err(Fault::provider(FaultKind::Stalled, message))
        }
    }
}

/// Carries a stream whose bytes pass untouched.
pub(crate) async fn pump_raw(mut carry: Carry, mut stream: RawStream) {
    loop {
        match in_time(carry.watched.silence, carry.watched.deadline, stream.next()).await {
            Ok(Some(piece)) => {
                carry.watched.entry.sent(piece.bytes.len());
                if piece.last {
                    carry.watched.entry.complete_raw(stream.seen());
                    carry.outbox.send(piece.bytes).await;
                    stream.drain().await;
                    return;
                }
                carry.outbox.send(piece.bytes).await;
            }
            // After the last piece nothing is asked for.
            Ok(None) => return,
            Err(fault) => return carry.break_off(&fault, &stream.seen().usage).await,
        }
    }
}

/// What was seen of a stream of events.
#[derive(Default)]
struct Tally {
    model: String,
    usage: Usage,
    stop: Option<StopReason>,
    finished: bool,
}

impl Tally {
    fn event(&mut self, event: &Event) {
        match event {
            Event::Start(head) => self.model.clone_from(&head.model),
            Event::Usage(usage) => self.usage.merge(usage),
            Event::Finish(finish) => {
                self.stop = finish.stops.first().map(|stop| stop.reason);
                self.finished = true;
            }
            _ => {}
        }
    }
}

/// Carries a stream of events, written on the client's wire.
pub(crate) async fn pump_events(mut carry: Carry, mut items: Items) {
    let mut tally = Tally::default();
    let mut events = std::mem::take(&mut items.first);
    loop {
        let mut out = Vec::new();
        for event in &events {
            tally.event(event);
            carry.encoder.event(event, &mut out);
        }
        let out = Bytes::from(out);
        carry.watched.entry.sent(out.len());
        if tally.finished {
            carry.watched.entry.complete_events(&tally.model, &tally.usage, tally.stop);
            return carry.outbox.send(out).await;
        }
        carry.outbox.send(out).await;
        events.clear();
        let cut = || Fault::provider(FaultKind::Cut, "the answer ended before it was complete");
        let next = async { items.rest.next().await.ok_or_else(cut)? };
        match in_time(carry.watched.silence, carry.watched.deadline, next).await {
            Ok(event) => events.push(event),
            Err(fault) => return carry.break_off(&fault, &tally.usage).await,
        }
    }
}
