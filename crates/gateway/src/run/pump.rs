//! Carrying a begun stream to the client. The ledger row is written before the last byte is handed on; a stream that
//! breaks is finished by another leg, or ends with the dialect's own error event, never with a clean end.

use super::attempt::Watched;
use super::course::How;
use super::journal::{Journal, Owed};
use super::takeover::Takeover;
use super::{Begun, Course, Run, Underway};
use crate::clock;
use crate::outbox::Outbox;
use crate::upstream::{Ask, Items, RawStream, ReplyBody};
use bytes::Bytes;
use canon::event::{Finish, Stop};
use canon::wire::{StreamEncoder, StreamTerms};
use canon::{Event, Fault, FaultKind, StopReason};
use futures_util::{StreamExt, stream};
use ledger::Mode;
use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::Poll;
use std::time::{Duration, Instant};
use tokio::time::{Sleep, sleep_until};

/// One stream on its way to the client.
pub(crate) struct Carry {
    run: Arc<Run>,
    course: Course,
    /// What watches the leg that speaks; `None`: it is over.
    watched: Option<Watched>,
    takeover: Takeover,
    pen: Pen,
    /// What passed untouched and is not read yet.
    journal: Option<Journal>,
    owed: Owed,
    outbox: Outbox,
}

impl Drop for Carry {
    /// Before its end: the client left.
    fn drop(&mut self) {
        if let Some(mut watched) = self.watched.take() {
            self.count();
            watched.hears(self.takeover.heard());
        }
    }
}

impl Carry {
    /// A begun answer and where its pieces go.
    pub(crate) fn new(underway: Underway, terms: StreamTerms, outbox: Outbox) -> (Self, ReplyBody) {
        let Underway { run, course, begun: Begun { body, watched, .. } } = underway;
        let rules = run.product().rules().takeover;
        let takeover = if rules.on { Takeover::new(rules.hold_back) } else { Takeover::never() };
        let pen = Pen { ask: Arc::clone(&run.ask), terms, encoder: None };
        let (watched, owed) = (Some(watched), Owed::default());
        let carry = Self { run, course, watched, takeover, pen, journal: None, owed, outbox };
        (carry, body)
    }

    /// Carries `body`, and whatever goes on with it, to the client.
    pub(crate) async fn carry(mut self, body: ReplyBody) {
        let mut broken = match body {
            ReplyBody::RawStream(stream) => self.raw(*stream).await,
            ReplyBody::Events(items) => self.events(*items).await,
            ReplyBody::Whole(answer) => self.events(unfolded(&answer)).await,
            ReplyBody::RawWhole { .. } => None,
        };
        while let Some(fault) = broken {
            broken = match self.take_over(fault).await {
                Ok(items) => self.events(items).await,
                Err(fault) => return self.break_off(&fault).await,
            };
        }
    }

    /// Carries a stream whose bytes pass untouched; gives the fault that it broke with.
    async fn raw(&mut self, mut stream: RawStream) -> Option<Fault> {
        // Bytes that pass are of the client's own wire.
        self.journal = canon::wire::protocol(self.run.ask.dialect.id().name()).map(Journal::new);
        let mut patience = Patience::of(self.watched.as_ref()?);
        loop {
            let Some(watched) = &mut self.watched else { return None };
            match patience.wait(stream.next()).await {
                Ok(Some(piece)) => {
                    watched.sent(piece.bytes.len());
                    if let Some(journal) = &mut self.journal {
                        journal.keep(&piece.bytes, &mut self.takeover, || self.pen.encoder());
                    }
                    if piece.last {
                        self.complete_raw(&stream);
                        self.outbox.send(piece.bytes).await;
                        stream.drain().await;
                        return None;
                    }
                    self.outbox.send(piece.bytes).await;
                }
                // After the last piece nothing is asked for.
                Ok(None) => return None,
                Err(fault) => {
                    if let Some(journal) = self.journal.take() {
                        self.owed = journal.end(&mut self.takeover, self.pen.encoder());
                    }
                    let Some(rest) = self.rest(&mut stream) else { return Some(fault) };
                    if let Some(watched) = &mut self.watched {
                        watched.sent(rest.len());
                    }
                    self.complete_raw(&stream);
                    self.outbox.send(rest).await;
                    return None;
                }
            }
        }
    }

    /// The stream that passed is complete. Its words are read only where nobody reported how many they were.
    fn complete_raw(&mut self, stream: &RawStream) {
        let usage = &stream.seen().usage;
        if usage.input.is_none() && usage.output.is_none() {
            self.count();
        }
        if let Some(watched) = self.watched.take() {
            watched.complete_raw(stream.seen(), self.takeover.heard().bytes.unwrap_or(0));
        }
    }

    /// Counts what passed and was not read.
    fn count(&mut self) {
        if let Some(journal) = self.journal.take() {
            journal.count(&mut self.takeover);
        }
    }

    /// What a stream left out that broke when its answer was complete: the wire's own end was seen, or the client was
    /// told why the answer stopped.
    fn rest(&mut self, stream: &mut RawStream) -> Option<Bytes> {
        let rest = stream.close();
        let several = self.run.ask.peek.facets.choices > 1;
        if rest.is_some() || several || !self.run.product().rules().takeover.on {
            return rest;
        }
        let finish = Finish { stops: vec![Stop::because(stream.seen().stop?)], ..Finish::default() };
        let mut out = Vec::new();
        self.pen.encoder().event(&Event::Finish(finish), &mut out);
        self.owed.unheard(out).ok().map(Bytes::from)
    }

    /// Carries a stream of events, written on the client's wire; gives the fault that it broke with.
    async fn events(&mut self, mut items: Items) -> Option<Fault> {
        let (mut model, mut stop) = (String::new(), None);
        let mut events = std::mem::take(&mut items.first);
        let mut patience = Patience::of(self.watched.as_ref()?);
        loop {
            let (mut told, mut fits) = (Vec::new(), Ok(()));
            for event in events.drain(..) {
                note(&event, &mut model, &mut stop);
                fits = fits.and_then(|()| self.takeover.event(event, &mut told));
            }
            let mut out = Vec::new();
            for event in &told {
                self.pen.encoder().event(event, &mut out);
            }
            let out = match self.owed.unheard(out) {
                Ok(out) => Bytes::from(out),
                Err(fault) => return Some(fault),
            };
            if let Some(watched) = &mut self.watched {
                watched.sent(out.len());
            }
            if self.takeover.is_finished() {
                if let Some(watched) = self.watched.take() {
                    watched.over(&model, stop, self.takeover.heard());
                }
                self.outbox.send(out).await;
                return None;
            }
            self.outbox.send(out).await;
            if let Err(fault) = fits {
                return Some(fault);
            }
            self.watched.as_ref()?;
            let cut = || Fault::provider(FaultKind::Cut, "the answer ended before it was complete");
            let next = async { items.rest.next().await.ok_or_else(cut)? };
            match patience.wait(next).await {
                Ok(event) => events.push(event),
                Err(fault) => return Some(fault),
            }
        }
    }

    /// Lets another leg go on with the answer that broke with `fault`.
    ///
    /// # Errors
    /// The fault to end the stream with: it cannot be gone on with honestly, or nobody can.
    async fn take_over(&mut self, fault: Fault) -> Result<Items, Fault> {
        let run = Arc::clone(&self.run);
        let request = run.ask.request()?;
        let shown = run.ask.dialect.shows_seals(&request);
        let heard = self.takeover.heard();
        let continuation = match self.takeover.broke(&request, shown) {
            Ok(continuation) => continuation,
            Err(why) => {
                tracing::info!(request = %run.common.id, "a broken stream is not gone on with: {why}");
                return Err(fault);
            }
        };
        let deadline = fault.kind == FaultKind::Deadline;
        let place = self.watched.take().and_then(|watched| watched.fail(&fault, heard));
        if deadline || !self.course.go_on(&run, fault).await {
            return Err(self.course.fault());
        }
        let mut how = How {
            mode: Mode::Takeover,
            ask: Arc::new(run.ask.again(continuation.told)),
            prefill: continuation.prefill.map(|request| Arc::new(run.ask.again(request))),
            prefilled: false,
        };
        let Begun { body, mut watched, .. } = Box::pin(self.course.answer(&run, &mut how)).await?;
        if how.prefilled {
            self.takeover.prefilled();
        }
        watched.placed(place);
        self.watched = Some(watched);
        match body {
            ReplyBody::Events(items) => Ok(*items),
            ReplyBody::Whole(answer) => Ok(unfolded(&answer)),
            // A request that was written anew is never answered in raw bytes.
            ReplyBody::RawWhole { .. } | ReplyBody::RawStream(_) => {
                Err(Fault::gateway(FaultKind::Internal, "the answer came in a form that nobody asked for"))
            }
        }
    }

    /// Ends a broken stream honestly.
    async fn break_off(mut self, fault: &Fault) {
        let mut out = Vec::new();
        self.pen.encoder().fault(fault, &mut out);
        if let Some(mut watched) = self.watched.take() {
            watched.sent(out.len());
            drop(watched.fail(fault, self.takeover.heard()));
        }
        self.outbox.send(out.into()).await;
    }
}

/// The client's encoder, made when the first thing is to be written: bytes that pass need none.
struct Pen {
    ask: Arc<Ask>,
    terms: StreamTerms,
    encoder: Option<Box<dyn StreamEncoder>>,
}

impl Pen {
    fn encoder(&mut self) -> &mut dyn StreamEncoder {
        let (ask, terms) = (&self.ask, &mut self.terms);
        &mut **self.encoder.get_or_insert_with(|| {
            terms.request = ask.echo().ok();
            ask.dialect.stream_encoder(terms)
        })
    }
}

/// A whole answer as a stream, for providers that do not stream.
fn unfolded(answer: &canon::Response) -> Items {
    Items { first: answer.unfold(), rest: Box::pin(stream::empty()) }
}

/// What the ledger writes of a leg.
fn note(event: &Event, model: &mut String, stop: &mut Option<StopReason>) {
    match event {
        Event::Start(head) => model.clone_from(&head.model),
        Event::Finish(finish) => *stop = finish.stops.first().map(|stop| stop.reason),
        _ => {}
    }
}

/// Waits for piece after piece as long as silence and deadline allow, with one timer for all of them: most pieces come
/// long before it fires, and then it is armed again for whatever of the silence is left.
pub(super) struct Patience {
    silence: Duration,
    deadline: Instant,
    timer: Option<Pin<Box<Sleep>>>,
}

impl Patience {
    /// For the answer that `watched` watches.
    pub(super) const fn of(watched: &Watched) -> Self {
        Self { silence: watched.silence, deadline: watched.deadline, timer: None }
    }

    /// The next piece, in time.
    pub(super) async fn wait<T>(&mut self, next: impl Future<Output = Result<T, Fault>>) -> Result<T, Fault> {
        let Self { silence, deadline, timer } = self;
        let (mut next, mut due) = (pin!(next), None);
        poll_fn(|cx| {
            if let Poll::Ready(piece) = next.as_mut().poll(cx) {
                return Poll::Ready(piece);
            }
            let due = *due.get_or_insert_with(|| (clock::now() + *silence).min(*deadline));
            let timer = timer.get_or_insert_with(|| Box::pin(sleep_until(due.into())));
            while timer.as_mut().poll(cx).is_ready() {
                if timer.deadline() >= due.into() {
                    return Poll::Ready(Err(late(due == *deadline, *silence)));
                }
                timer.as_mut().reset(due.into());
            }
            Poll::Pending
        })
        .await
    }
}

fn late(for_good: bool, silence: Duration) -> Fault {
    if for_good {
        return Fault::gateway(FaultKind::Deadline, "the answer was not complete before the request's deadline");
    }
    let message = format!("the provider's stream was silent for {} ms", silence.as_millis());
    Fault::provider(FaultKind::Stalled, message)
}
