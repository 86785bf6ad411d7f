//! The parent's side: what the gateway calls. Holds no weights; one supervising task owns the child process and
//! everything that is on its way, so there are no locks and nothing to leak.

mod entry;
mod link;
mod supervisor;

use crate::protocol::{Gauge, Resume, Submit};
use crate::{HouseCommand, HouseOptions};
use canon::wire::openai_chat::OpenAiChat;
use canon::wire::{Protocol, Quirks, Target};
use canon::{Event, Fault, FaultKind, Part, Request, Retry, Tool};
use entry::{Entry, Permit, Step};
use serde_json::Value;
use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use supervisor::{Ask, Order, Reply, Supervisor};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::{Instant, timeout_at};
use tokio_util::task::TaskTracker;

/// How the house model is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum HouseState {
    /// It cannot serve.
    Unavailable {
        /// Why, and what to do.
        reason: String,
    },
    /// Nothing is loaded; the first request loads it.
    Cold,
    /// The weights are being loaded.
    Loading,
    /// It answers.
    Ready,
    /// Its process died and is being started again; requests on their way go on after it.
    Restarting,
}

/// The house model.
#[derive(Debug)]
pub struct House {
    orders: mpsc::UnboundedSender<Order>,
    state: watch::Receiver<HouseState>,
    load: Arc<Load>,
    limit: u64,
    slots: u64,
    numbers: AtomicU64,
    tasks: TaskTracker,
}

/// How much is on its way.
#[derive(Debug, Default)]
struct Load {
    /// Choices on their way.
    choices: AtomicU64,
    /// Milliseconds that an answer took lately.
    pace: AtomicU64,
}

/// Said instead of an answer by a binary without feature `llama`.
const WITHOUT: &str = "this binary was built without the house model";

impl House {
    /// The house model of `options`, in processes started by `command`. Nothing is started before the first request
    /// or [`House::preload`].
    ///
    /// # Panics
    /// Outside a tokio runtime.
    #[must_use]
    pub fn new(options: HouseOptions, command: HouseCommand) -> Self {
        let (orders, inbox) = mpsc::unbounded_channel();
        let first = if cfg!(feature = "llama") { HouseState::Cold } else { unavailable() };
        let (state, seen) = watch::channel(first);
        let load = Arc::new(Load::default());
        let tasks = TaskTracker::new();
        let (slots, limit) = (u64::from(options.slots), u64::from(options.slots) + u64::from(options.queue));
        let supervisor = Supervisor::new(options, command, inbox, state, tasks.clone());
        tasks.spawn(supervisor.run());
        Self { orders, state: seen, load, limit, slots, numbers: AtomicU64::new(1), tasks }
    }

    /// Begins to load the weights.
    pub fn preload(&self) {
        if cfg!(feature = "llama") {
            self.tell(Order::Preload);
        }
    }

    /// How it is.
    #[must_use]
    pub fn state(&self) -> HouseState {
        self.state.borrow().clone()
    }

    /// How it is, from now on.
    #[must_use]
    pub fn watch(&self) -> watch::Receiver<HouseState> {
        self.state.clone()
    }

    /// Answers `request` until `deadline`. Dropping the answer stops its computation within one step.
    ///
    /// # Errors
    /// When too much is on its way, or the model cannot read the request. Whether the prompt fits and the rest of the
    /// request can be met, the answer's first item says.
    pub fn generate(&self, request: &Request, deadline: Instant) -> Result<Answer, Fault> {
        let choices = request.sampling.n.unwrap_or(1);
        if choices == 0 {
            return Err(Fault::client(FaultKind::Invalid, "`n` must be at least 1").at("n"));
        }
        let body = self.body(request)?;
        let permit = self.permit(u64::from(choices))?;
        let id = self.numbers.fetch_add(1, Ordering::Relaxed);
        let nonce = random()?;
        let seed = request.sampling.seed.map_or(nonce, i64::cast_unsigned);
        let voices = vec![Resume::default(); choices as usize];
        let (out, steps) = mpsc::unbounded_channel();
        let entry = Entry::new(Submit { id, seed, body, voices }, nonce, out, permit);
        self.tell(Order::Submit(Box::new(entry)));
        Ok(Answer {
            id,
            steps,
            orders: self.orders.clone(),
            deadline,
            events: VecDeque::new(),
            tokens: vec![Vec::new(); choices as usize],
            over: false,
        })
    }

    /// The tokens of `request`'s prompt, template included.
    ///
    /// # Errors
    /// When the model cannot be loaded or cannot read the request.
    pub async fn count_tokens(&self, request: &Request) -> Result<u64, Fault> {
        let body = self.body(request)?;
        match self.ask(Ask::Count(body)).await? {
            Reply::Tokens(tokens) => Ok(tokens),
            Reply::Gauge(_) => Err(closed()),
        }
    }

    /// How busy the child is.
    ///
    /// # Errors
    /// When it is not running.
    pub async fn gauge(&self) -> Result<Gauge, Fault> {
        match self.ask(Ask::Gauge).await? {
            Reply::Gauge(gauge) => Ok(gauge),
            Reply::Tokens(_) => Err(closed()),
        }
    }

    /// The child's process id, while there is one.
    pub async fn pid(&self) -> Option<u32> {
        let (reply, answer) = oneshot::channel();
        self.tell(Order::Pid(reply));
        answer.await.ok().flatten()
    }

    /// Choices on their way.
    #[must_use]
    pub fn in_flight(&self) -> u64 {
        self.load.choices.load(Ordering::Relaxed)
    }

    /// Ends the child and everything on its way; returns when all is gone.
    pub async fn shutdown(&self) {
        self.tell(Order::Shutdown);
        self.tasks.close();
        self.tasks.wait().await;
    }

    /// A closed channel means that the supervisor has ended; whoever waits for it learns so from its own channel.
    fn tell(&self, order: Order) {
        let _ = self.orders.send(order);
    }

    async fn ask(&self, ask: Ask) -> Result<Reply, Fault> {
        let (reply, answer) = oneshot::channel();
        let id = self.numbers.fetch_add(1, Ordering::Relaxed);
        self.tell(Order::Ask { id, ask, reply });
        answer.await.unwrap_or_else(|_| Err(closed()))
    }

    /// A place for `choices` choices among those on their way.
    fn permit(&self, choices: u64) -> Result<Permit, Fault> {
        let before = self.load.choices.fetch_add(choices, Ordering::Relaxed);
        let permit = Permit::new(Arc::clone(&self.load), choices);
        if before + choices <= self.limit {
            return Ok(permit);
        }
        let rounds = before.div_ceil(self.slots.max(1));
        let wait = Duration::from_millis(self.load.pace.load(Ordering::Relaxed) * rounds);
        let message = format!("the house model is busy with {before} answers and takes no more; try again later");
        Err(Fault::gateway(FaultKind::Overloaded, message)
            .after(wait.clamp(Duration::from_secs(1), Duration::from_secs(30))))
    }

    /// The request as the child reads it.
    fn body(&self, request: &Request) -> Result<Value, Fault> {
        if !cfg!(feature = "llama") {
            return Err(unfit(WITHOUT));
        }
        readable(request)?;
        let quirks = Quirks { accepts: vec!["top_k".to_owned(), "min_p".to_owned()], ..Quirks::default() };
        let target = Target { model: "house".to_owned(), signer: String::new(), quirks };
        let mut body = OpenAiChat.encode_request(request, &target).body;
        // The wire takes fewer stop texts than we do.
        body["stop"] = request.sampling.stop.clone().into();
        Ok(body)
    }
}

/// What the `openai-chat` wire would leave out is refused here: nothing is dropped silently.
fn readable(request: &Request) -> Result<(), Fault> {
    let unable = |param: String, message: &str| {
        let mut fault = Fault::client(FaultKind::Invalid, message).at(param);
        // Another model may be able.
        fault.retry = Retry::Elsewhere;
        fault
    };
    fn is_media(part: &Part) -> bool {
        match part {
            Part::Media(media) => !matches!(media.source, canon::media::Source::Text { .. }),
            Part::ToolResult { content, .. } => content.iter().any(is_media),
            _ => false,
        }
    }
    for (index, message) in request.messages.iter().enumerate() {
        if message.parts.iter().any(is_media) {
            return Err(unable(format!("messages[{index}].content"), "this model reads text only"));
        }
    }
    if request.tools.iter().any(|tool| matches!(tool, Tool::Native { .. })) {
        return Err(unable("tools".to_owned(), "the house model runs no tools of its own; give it functions only"));
    }
    Ok(())
}

fn random() -> Result<u64, Fault> {
    getrandom::u64()
        .map_err(|error| Fault::gateway(FaultKind::Internal, format!("the system gives no random numbers: {error}")))
}

fn unavailable() -> HouseState {
    HouseState::Unavailable { reason: WITHOUT.to_owned() }
}

fn unfit(reason: &str) -> Fault {
    Fault::gateway(FaultKind::Internal, format!("the house model cannot serve: {reason}"))
}

fn closed() -> Fault {
    Fault::gateway(FaultKind::Internal, "the house model was shut down")
}

/// An answer on its way. After an error or `None` nothing follows.
#[derive(Debug)]
pub struct Answer {
    id: u64,
    steps: mpsc::UnboundedReceiver<Result<Step, Fault>>,
    orders: mpsc::UnboundedSender<Order>,
    deadline: Instant,
    events: VecDeque<Event>,
    tokens: Vec<Vec<i32>>,
    over: bool,
}

impl Answer {
    /// The next event; `None` after `Finish`. Safe to cancel: no event is lost.
    pub async fn next(&mut self) -> Option<Result<Event, Fault>> {
        loop {
            if let Some(event) = self.events.pop_front() {
                return Some(Ok(event));
            }
            if self.over {
                return None;
            }
            match timeout_at(self.deadline, self.steps.recv()).await {
                Ok(Some(Ok(step))) => {
                    self.events.extend(step.events);
                    if let Some(tokens) = self.tokens.get_mut(step.choice as usize) {
                        tokens.extend(step.tokens);
                    }
                    self.over = step.last;
                }
                Ok(fault) => {
                    self.over = true;
                    return Some(Err(fault.and_then(Result::err).unwrap_or_else(closed)));
                }
                Err(_) => {
                    self.over = true;
                    self.cancel();
                    return Some(Err(Fault::gateway(FaultKind::Deadline, "the request's time is over")));
                }
            }
        }
    }

    /// The tokens of choice `choice` whose events were handed out or wait to be.
    #[must_use]
    pub fn tokens(&self, choice: u32) -> &[i32] {
        self.tokens.get(choice as usize).map_or(&[], Vec::as_slice)
    }

    fn cancel(&self) {
        // Fails only when the supervisor has ended, and the child with it.
        let _ = self.orders.send(Order::Cancel(self.id));
    }
}

impl Drop for Answer {
    fn drop(&mut self) {
        if !self.over {
            self.cancel();
        }
    }
}
