//! One request on its way: what was already said of it, so that another child can go on, and the child's pieces as the
//! canon's events.

use super::Load;
use crate::protocol::{End, Likely, Piece, Refusal, Submit};
use canon::{
    Event, Extras, Fault, FaultKind, Finish, Head, PartId, PartKind, Retry, Stop, StopReason, TokenLogprob, TopLogprob,
    Usage,
};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use tokio::sync::mpsc::UnboundedSender;
use tokio::time::Instant;

/// Children that may die under a request before it is given up: it may be what kills them.
const MOST_DEATHS: u32 = 3;

/// What one frame of the child means to the reader.
#[derive(Debug, Default)]
pub(super) struct Step {
    pub(super) choice: u32,
    pub(super) tokens: Vec<i32>,
    pub(super) events: Vec<Event>,
    /// Nothing follows.
    pub(super) last: bool,
}

/// A place among the choices on their way, given back when dropped.
#[derive(Debug)]
pub(super) struct Permit {
    load: Arc<Load>,
    choices: u64,
    since: Instant,
}

impl Permit {
    pub(super) fn new(load: Arc<Load>, choices: u64) -> Self {
        Self { load, choices, since: Instant::now() }
    }

    /// The answer is complete: remembers how long it took.
    fn complete(self) {
        let took = u64::try_from(self.since.elapsed().as_millis()).unwrap_or(u64::MAX);
        let before = self.load.pace.load(Ordering::Relaxed);
        let now = if before == 0 { took } else { (before * 7 + took) / 8 };
        self.load.pace.store(now, Ordering::Relaxed);
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        self.load.choices.fetch_sub(self.choices, Ordering::Relaxed);
    }
}

/// One request on its way.
#[derive(Debug)]
pub(super) struct Entry {
    submit: Submit,
    nonce: u64,
    out: UnboundedSender<Result<Step, Fault>>,
    /// Given back before the last step is handed out, so that whoever has read it finds the place free.
    permit: Option<Permit>,
    started: bool,
    parts: PartId,
    open: Vec<Option<PartId>>,
    stops: Vec<Option<Stop>>,
    input: Option<u64>,
    cached: Option<u64>,
    deaths: u32,
}

impl Entry {
    pub(super) fn new(submit: Submit, nonce: u64, out: UnboundedSender<Result<Step, Fault>>, permit: Permit) -> Self {
        let choices = submit.voices.len();
        Self {
            submit,
            nonce,
            out,
            permit: Some(permit),
            started: false,
            parts: 0,
            open: vec![None; choices],
            stops: vec![None; choices],
            input: None,
            cached: None,
            deaths: 0,
        }
    }

    pub(super) fn id(&self) -> u64 {
        self.submit.id
    }

    /// What a child needs to answer it, or to go on with it.
    pub(super) fn submit(&self) -> &Submit {
        &self.submit
    }

    /// The prompt is read. A second child's counts are not the reader's: it reads what the first said as well.
    pub(super) fn began(&mut self, input: u64, cached: u64) {
        self.input.get_or_insert(input);
        self.cached.get_or_insert(cached);
    }

    /// Takes a frame in. `true`: the answer is complete.
    pub(super) fn said(
        &mut self,
        model: &str,
        choice: u32,
        tokens: Vec<i32>,
        pieces: Vec<Piece>,
        end: Option<End>,
    ) -> bool {
        let mut step = Step { choice, ..Step::default() };
        let at = choice as usize;
        let Some(voice) = self.submit.voices.get_mut(at) else { return false };
        voice.tokens.extend_from_slice(&tokens);
        voice.done = end.is_some();
        if !self.started {
            self.started = true;
            let id = format!("house-{:016x}", self.nonce);
            step.events.push(Event::Start(Head { id, model: model.to_owned(), ..Head::default() }));
        }
        for piece in pieces {
            self.piece(choice, piece, &mut step.events);
        }
        if let Some(end) = end {
            self.close(at, &mut step.events);
            self.stops[at] = Some(stop(choice, end));
        }
        step.last = self.stops.iter().all(Option::is_some);
        if step.last {
            step.events.push(Event::Usage(self.usage()));
            let stops = self.stops.iter().flatten().cloned().collect();
            step.events.push(Event::Finish(Finish { stops, extras: Extras::new() }));
            self.permit.take().into_iter().for_each(Permit::complete);
        }
        step.tokens = tokens;
        let last = step.last;
        self.hand_out(Ok(step));
        last
    }

    /// A child died. `false`: the request is given up.
    pub(super) fn survives(&mut self) -> bool {
        self.deaths += 1;
        if self.deaths < MOST_DEATHS {
            return true;
        }
        let message = format!("the house model's process died {} times under this request", self.deaths);
        self.fail(Fault::gateway(FaultKind::Internal, message));
        false
    }

    /// The child refuses it.
    pub(super) fn refused(mut self, refusal: Refusal) {
        self.fail(fault(refusal));
    }

    /// Nothing more comes.
    pub(super) fn fail(&mut self, fault: Fault) {
        self.permit = None;
        self.hand_out(Err(fault));
    }

    fn hand_out(&self, step: Result<Step, Fault>) {
        // Fails only when the reader is gone; its drop has already sent the cancellation.
        let _ = self.out.send(step);
    }

    fn usage(&self) -> Usage {
        let output = self.submit.voices.iter().map(|voice| voice.tokens.len() as u64).sum();
        Usage { input: self.input, cache_read: self.cached, output: Some(output), ..Usage::default() }
    }

    fn piece(&mut self, choice: u32, piece: Piece, events: &mut Vec<Event>) {
        let at = choice as usize;
        match piece {
            Piece::Text { text, logprobs } => {
                let part = match self.open[at] {
                    Some(part) => part,
                    None => self.open(choice, events, |_| PartKind::Text),
                };
                events.push(Event::Delta { at: part, text, logprobs: logprobs.into_iter().map(logprob).collect() });
            }
            Piece::Call { name } => {
                self.close(at, events);
                let nonce = self.nonce;
                // The reader's ids must differ between answers too: calls of a whole conversation meet in one request.
                let call_id = |part: PartId| format!("call_{nonce:016x}{part:02}");
                self.open(choice, events, |part| PartKind::ToolCall { call_id: call_id(part), name });
            }
            Piece::Arguments(text) => {
                if let Some(part) = self.open[at] {
                    events.push(Event::Delta { at: part, text, logprobs: Vec::new() });
                }
            }
            Piece::CallEnd => self.close(at, events),
        }
    }

    fn open(&mut self, choice: u32, events: &mut Vec<Event>, kind: impl FnOnce(PartId) -> PartKind) -> PartId {
        let part = self.parts;
        self.parts += 1;
        self.open[choice as usize] = Some(part);
        events.push(Event::PartStart { at: part, choice, kind: kind(part) });
        part
    }

    fn close(&mut self, at: usize, events: &mut Vec<Event>) {
        if let Some(part) = self.open[at].take() {
            events.push(Event::PartEnd { at: part });
        }
    }
}

fn stop(choice: u32, end: End) -> Stop {
    let (reason, raw, sequence) = match end {
        End::Done => (StopReason::End, "stop", None),
        End::Stop(text) => (StopReason::StopSequence, "stop", Some(text)),
        End::Length => (StopReason::Length, "length", None),
        End::Context => (StopReason::Context, "length", None),
        End::Calls => (StopReason::ToolCalls, "tool_calls", None),
    };
    Stop { choice, reason, raw: Some(raw.to_owned()), sequence }
}

fn logprob(likely: Likely) -> TokenLogprob {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let top = |one: Likely| TopLogprob { token: text(&one.bytes), logprob: one.logprob, bytes: Some(one.bytes) };
    TokenLogprob {
        token: text(&likely.bytes),
        logprob: likely.logprob,
        bytes: Some(likely.bytes),
        top: likely.top.into_iter().map(top).collect(),
    }
}

/// A refusal as the request path's fault.
pub(super) fn fault(refusal: Refusal) -> Fault {
    match refusal {
        Refusal::Invalid { param, message } => Fault::client(FaultKind::Invalid, message).at(param),
        Refusal::Unable { param, message } => {
            let mut fault = Fault::client(FaultKind::Invalid, message).at(param);
            fault.retry = Retry::Elsewhere;
            fault
        }
        Refusal::TooLong { tokens, context } => {
            let message = format!(
                "the prompt has {tokens} tokens, but the house model's context window is {context} tokens; shorten it"
            );
            let mut fault = Fault::client(FaultKind::ContextLength, message).at("messages");
            fault.retry = Retry::Elsewhere;
            fault
        }
    }
}
