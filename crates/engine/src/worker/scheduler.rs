//! Many conversations in one model: every step computes one token of each running answer and a piece of the prompts
//! that wait, in one call of llama.cpp. A step is the unit of everything: admission, cancellation, frames.

use super::Outbox;
use super::model::{BATCH, Cells, Model};
use super::prepare::{Job, Voice};
use super::sampler::{Rules, likely};
use super::slots::{Slots, WORTH_SHARING, beginning};
use crate::HouseOptions;
use crate::protocol::{End, FromWorker, Gauge};
use llama_cpp_2::DecodeError;
use llama_cpp_2::context::LlamaContext;
use llama_cpp_2::context::session::SeqState;
use llama_cpp_2::llama_batch::LlamaBatch;
use llama_cpp_2::token::LlamaToken;
use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, TryRecvError};

/// Tokens of prompts in a step that also feeds running answers: these must not stand still for a long prompt.
const PROMPT_BESIDE_ANSWERS: usize = 128;

/// Tokens of an answer that are read again at once. llama.cpp's attention computes 64 and more in another way than a
/// few, and the last bits differ: what was said token by token is read again the same way, so that it goes on the same.
const SAID_AT_ONCE: usize = 32;

/// Cells that must be free beyond a prompt before it is admitted beside others, so that it can also speak.
const HEADROOM: usize = 64;

/// What the scheduler is told.
#[derive(Debug)]
pub(crate) enum Order {
    /// Answer this.
    Job(Job),
    /// Forget this request.
    Cancel(u64),
    /// Say how busy you are.
    Gauge(u64),
}

/// Why the scheduler stopped; the process ends with it and the parent starts another.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Broken {
    #[error("llama.cpp failed to decode: {0}")]
    Decode(#[from] DecodeError),
    #[error("a batch took no more tokens")]
    Batch(#[from] llama_cpp_2::llama_batch::BatchAddError),
    #[error("the gateway does not listen any more: {0}")]
    Deaf(#[from] std::io::Error),
    #[error("a frame cannot be written: {0}")]
    Frame(#[from] crate::protocol::FrameError),
}

/// One choice on its way.
#[derive(Debug)]
struct Talk {
    id: u64,
    /// Everything that is to lie in the cache: the prompt, then the answer so far.
    tokens: Vec<i32>,
    prompt: Arc<[i32]>,
    voice: Voice,
    /// Tokens found in the cache at first admission.
    cached: Option<usize>,
}

impl Talk {
    /// The answer begins: nothing of it was said by this process.
    fn is_fresh(&self) -> bool {
        self.tokens.len() == self.prompt.len()
    }
}

/// A talk in its slot.
#[derive(Debug)]
struct Active {
    slot: usize,
    talk: Talk,
}

/// Tokens of one talk in a step's batch.
struct Fed {
    at: usize,
    from: usize,
    to: usize,
    /// Where in the batch its logits are, when its last token is in it.
    logits: Option<i32>,
}

/// The scheduler.
pub(crate) struct Scheduler<'a> {
    model: &'a Model,
    cells: Cells<'a>,
    /// Cells of all slots together.
    room: usize,
    /// Tokens of the longest conversation.
    longest: usize,
    batch: LlamaBatch<'static>,
    slots: Slots<SeqState>,
    active: Vec<Active>,
    waiting: VecDeque<Talk>,
    frames: Vec<u8>,
    outbox: &'a Outbox,
}

impl<'a> Scheduler<'a> {
    pub(crate) fn new(model: &'a Model, context: LlamaContext<'a>, options: &HouseOptions, outbox: &'a Outbox) -> Self {
        let room = context.n_ctx() as usize;
        Self {
            model,
            cells: Cells::new(context, options),
            room,
            longest: room.min(options.longest() as usize),
            batch: LlamaBatch::new(BATCH as usize, 1),
            slots: Slots::new(options.slots.max(1) as usize, room / 2, model.forgets_parts()),
            active: Vec::new(),
            waiting: VecDeque::new(),
            frames: Vec::new(),
            outbox,
        }
    }

    /// Works until the parent is gone.
    ///
    /// # Errors
    /// When llama.cpp or the socket fails.
    pub(crate) fn run(mut self, orders: &Receiver<Order>) -> Result<(), Broken> {
        loop {
            if self.active.is_empty() && self.waiting.is_empty() {
                match orders.recv() {
                    Ok(order) => self.take(order)?,
                    Err(_) => return Ok(()),
                }
            }
            loop {
                match orders.try_recv() {
                    Ok(order) => self.take(order)?,
                    Err(TryRecvError::Empty) => break,
                    Err(TryRecvError::Disconnected) => return Ok(()),
                }
            }
            self.admit();
            self.step()?;
            if !self.frames.is_empty() {
                self.outbox.send_bytes(&self.frames)?;
                self.frames.clear();
            }
        }
    }

    fn take(&mut self, order: Order) -> Result<(), Broken> {
        match order {
            Order::Job(job) => {
                for voice in job.voices {
                    let mut tokens = job.prompt.to_vec();
                    tokens.extend_from_slice(&voice.made);
                    let talk = Talk { id: job.id, tokens, prompt: Arc::clone(&job.prompt), voice, cached: None };
                    self.waiting.push_back(talk);
                }
            }
            Order::Cancel(id) => {
                self.waiting.retain(|talk| talk.id != id);
                for at in (0..self.active.len()).rev().filter(|at| self.active[*at].talk.id == id).collect::<Vec<_>>() {
                    self.leave(at);
                }
            }
            Order::Gauge(id) => {
                let count = |number: usize| u32::try_from(number).unwrap_or(u32::MAX);
                let gauge = Gauge {
                    busy: count(self.active.len()),
                    waiting: count(self.waiting.len()),
                    kept: count(self.slots.kept()),
                };
                self.say(&FromWorker::Gauged { id, gauge })?;
                self.outbox.send_bytes(&std::mem::take(&mut self.frames))?;
            }
        }
        Ok(())
    }

    fn say(&mut self, frame: &FromWorker) -> Result<(), Broken> {
        Ok(crate::protocol::write(frame, &mut self.frames)?)
    }

    /// The talk at `at` leaves its slot.
    fn leave(&mut self, at: usize) -> Talk {
        let active = self.active.remove(at);
        self.slots.free(active.slot);
        active.talk
    }

    /// Gives free slots to those who wait, first come first served.
    fn admit(&mut self) {
        let mut at = 0;
        while at < self.waiting.len() && self.slots.any_free() {
            let tokens = &self.waiting[at].tokens;
            let here = self.slots.common(tokens);
            // Someone reads the same beginning right now: wait for it rather than read it twice.
            let soon = self.active.iter().filter(|active| !self.is_running(active));
            let soon = soon.map(|active| beginning(&active.talk.tokens, tokens)).max().unwrap_or(0);
            if soon >= here + WORTH_SHARING {
                at += 1;
                continue;
            }
            let promised: usize =
                self.active.iter().map(|active| active.talk.tokens.len() - self.slots.held(active.slot)).sum();
            let wanted = self.slots.busy_cells() + promised + tokens.len() - here + HEADROOM;
            if wanted > self.room && !self.active.is_empty() {
                return;
            }
            let Some(mut talk) = self.waiting.remove(at) else { return };
            let Some(slot) = self.slots.take(&talk.tokens, &mut self.cells) else { return };
            talk.cached.get_or_insert(self.slots.held(slot));
            self.active.push(Active { slot, talk });
        }
    }

    /// Whether the talk waits for its next token only.
    fn is_running(&self, active: &Active) -> bool {
        active.talk.tokens.len() - self.slots.held(active.slot) == 1
    }

    /// Computes one batch and says what comes of it.
    fn step(&mut self) -> Result<(), Broken> {
        let fed = self.fill()?;
        if fed.is_empty() {
            return Ok(());
        }
        match self.cells.context.decode(&mut self.batch) {
            Ok(()) => {}
            Err(DecodeError::NoKvCacheSlot) => return self.make_room(),
            Err(error) => return Err(error.into()),
        }
        for part in &fed {
            let active = &self.active[part.at];
            self.slots.extend(active.slot, &active.talk.tokens[part.from..part.to]);
        }
        // From the back, since those who are done leave.
        for part in fed.iter().rev() {
            if let Some(row) = part.logits {
                self.speak(part.at, row)?;
            }
        }
        Ok(())
    }

    /// Fills the batch: the next token of every running answer, then prompts in order of admission.
    fn fill(&mut self) -> Result<Vec<Fed>, Broken> {
        self.batch.clear();
        let mut fed: Vec<Fed> = Vec::new();
        let (running, reading): (Vec<usize>, Vec<usize>) =
            (0..self.active.len()).partition(|at| self.is_running(&self.active[*at]));
        let room = if running.is_empty() { BATCH as usize } else { PROMPT_BESIDE_ANSWERS };
        let mut left = room.min(BATCH as usize - running.len().min(BATCH as usize));
        for at in running {
            self.feed(at, 1, &mut fed)?;
        }
        for at in reading {
            let (talk, held) = (&self.active[at].talk, self.slots.held(self.active[at].slot));
            let rest = match talk.prompt.len().checked_sub(held) {
                None | Some(0) => (talk.tokens.len() - held).min(SAID_AT_ONCE),
                Some(prompt) => prompt,
            };
            let count = rest.min(left);
            if count == 0 {
                break;
            }
            self.feed(at, count, &mut fed)?;
            left -= count;
        }
        // In order of place, so that leaving from the back moves nobody who is still to speak.
        fed.sort_by_key(|part| part.at);
        Ok(fed)
    }

    fn feed(&mut self, at: usize, count: usize, fed: &mut Vec<Fed>) -> Result<(), Broken> {
        let active = &self.active[at];
        let from = self.slots.held(active.slot);
        let to = from + count;
        let whole = to == active.talk.tokens.len();
        // Slots, positions and batches are far below i32's end: they are bounded by the context.
        let small = |number: usize| i32::try_from(number).unwrap_or(i32::MAX);
        for (position, token) in (from..to).zip(&active.talk.tokens[from..to]) {
            let last = whole && position + 1 == to;
            self.batch.add(LlamaToken(*token), small(position), &[small(active.slot)], last)?;
        }
        let logits = whole.then(|| self.batch.n_tokens() - 1);
        fed.push(Fed { at, from, to, logits });
        Ok(())
    }

    /// The cache is full: idle slots leave it first, then the last to come waits once more.
    fn make_room(&mut self) -> Result<(), Broken> {
        if self.slots.park_idle(&mut self.cells) {
            return Ok(());
        }
        let Some(last) = self.active.len().checked_sub(1) else { return Ok(()) };
        let mut talk = self.leave(last);
        self.slots.park_idle(&mut self.cells);
        if last > 0 {
            self.waiting.push_front(talk);
            return Ok(());
        }
        let mut pieces = Vec::new();
        talk.voice.speech.end(&mut pieces);
        let (id, choice, end) = (talk.id, talk.voice.choice, Some(End::Context));
        self.say(&FromWorker::Said { id, choice, tokens: Vec::new(), pieces, end })
    }

    /// Chooses the next token of the talk at `at` from the logits at `row`.
    fn speak(&mut self, at: usize, row: i32) -> Result<(), Broken> {
        let logits = self.cells.context.get_logits_ith(row);
        let talk = &mut self.active[at].talk;
        let began = talk.is_fresh() && talk.voice.choice == 0;
        let voice = &mut talk.voice;
        let rules = voice.grammar.as_mut().map(|grammar| grammar as &mut dyn Rules);
        let token = voice.sampler.pick(logits, voice.made.len(), rules);
        let mut pieces = Vec::new();
        let mut tokens = Vec::new();
        let end = if self.model.ends(token) {
            Some(if voice.speech.calls() > 0 { End::Calls } else { End::Done })
        } else {
            let bytes = |token: i32| self.model.piece(token).to_vec();
            let chance = voice.logprobs.map(|count| likely(logits, token, count, bytes));
            let stop = voice.hear(token, self.model.piece(token), chance, &mut pieces);
            tokens.push(token);
            talk.tokens.push(token);
            match stop {
                Some(stop) => Some(End::Stop(stop)),
                None if voice.made.len() >= voice.limit => Some(End::Length),
                None if talk.tokens.len() >= self.longest => Some(End::Context),
                None => None,
            }
        };
        if end.as_ref().is_some_and(|end| !matches!(end, End::Stop(_))) {
            talk.voice.speech.end(&mut pieces);
        }
        if began {
            let (input, cached) = (talk.prompt.len() as u64, talk.cached.unwrap_or(0) as u64);
            crate::protocol::write(&FromWorker::Began { id: talk.id, input, cached }, &mut self.frames)?;
        }
        let (id, choice) = (talk.id, talk.voice.choice);
        if end.is_some() {
            self.leave(at);
        }
        self.say(&FromWorker::Said { id, choice, tokens, pieces, end })
    }
}
