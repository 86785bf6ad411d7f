//! The task that owns the child: starts it, hands requests to it, starts another when it dies and lets that one go on
//! where the first stopped, sends it away when nobody asks for long.

use super::entry::{Entry, fault};
use super::link::Link;
use super::{HouseState, closed, unfit};
use crate::protocol::{FromWorker, Gauge, ToWorker};
use crate::{HouseCommand, HouseOptions};
use canon::Fault;
use serde_json::Value;
use std::collections::{BTreeMap, HashMap};
use std::time::Duration;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::{Instant, sleep_until};
use tokio_util::task::TaskTracker;

/// Wait before the second start in a row that fails; each further one waits twice as long.
const FIRST_WAIT: Duration = Duration::from_millis(100);
/// Longest wait between starts.
const LONGEST_WAIT: Duration = Duration::from_secs(10);

/// A question that is no request.
#[derive(Debug)]
pub(super) enum Ask {
    /// Count the tokens of this prompt.
    Count(Value),
    /// Say how busy you are.
    Gauge,
}

/// Its answer.
#[derive(Debug)]
pub(super) enum Reply {
    /// Tokens of the prompt.
    Tokens(u64),
    /// How busy.
    Gauge(Gauge),
}

/// What the supervisor is told.
#[derive(Debug)]
pub(super) enum Order {
    /// Answer this.
    Submit(Box<Entry>),
    /// The reader of this answer is gone.
    Cancel(u64),
    /// Answer a question.
    Ask {
        /// Its number.
        id: u64,
        /// The question.
        ask: Ask,
        /// Where the answer goes.
        reply: oneshot::Sender<Result<Reply, Fault>>,
    },
    /// Say the child's process id.
    Pid(oneshot::Sender<Option<u32>>),
    /// Load the weights.
    Preload,
    /// End everything.
    Shutdown,
}

/// A question on its way.
#[derive(Debug)]
struct Asked {
    ask: Ask,
    reply: oneshot::Sender<Result<Reply, Fault>>,
}

/// The supervisor.
#[derive(Debug)]
pub(super) struct Supervisor {
    options: HouseOptions,
    command: HouseCommand,
    orders: mpsc::UnboundedReceiver<Order>,
    state: watch::Sender<HouseState>,
    tasks: TaskTracker,
    link: Option<Link>,
    /// When a child is to be started, where one is wanted.
    start_at: Option<Instant>,
    /// No start before this.
    not_before: Instant,
    /// Starts in a row that came to nothing.
    failures: u32,
    /// Requests on their way, oldest first.
    entries: BTreeMap<u64, Entry>,
    asked: HashMap<u64, Asked>,
    last_used: Instant,
}

impl Supervisor {
    pub(super) fn new(
        options: HouseOptions,
        command: HouseCommand,
        orders: mpsc::UnboundedReceiver<Order>,
        state: watch::Sender<HouseState>,
        tasks: TaskTracker,
    ) -> Self {
        let now = Instant::now();
        Self {
            options,
            command,
            orders,
            state,
            tasks,
            link: None,
            start_at: None,
            not_before: now,
            failures: 0,
            entries: BTreeMap::new(),
            asked: HashMap::new(),
            last_used: now,
        }
    }

    /// Works until told to stop, or until nobody is left to tell.
    pub(super) async fn run(mut self) {
        loop {
            let (start_at, unload_at) = (self.start_at, self.unload_at());
            tokio::select! {
                order = self.orders.recv() => match order {
                    None | Some(Order::Shutdown) => break,
                    Some(order) => self.order(order),
                },
                frame = next(&mut self.link) => match frame {
                    Some(frame) => self.frame(frame).await,
                    None => self.died().await,
                },
                () = at(start_at) => self.start(),
                () = at(unload_at) => self.unload().await,
            }
        }
        self.orders.close();
        self.fail_all(&closed());
        if let Some(link) = self.link.take() {
            link.end().await;
        }
    }

    fn order(&mut self, order: Order) {
        self.last_used = Instant::now();
        match order {
            Order::Submit(mut entry) => {
                if let Some(reason) = self.hopeless() {
                    entry.fail(unfit(&reason));
                    return;
                }
                match self.ready() {
                    Some(link) => link.send(&ToWorker::Submit(entry.submit().clone())),
                    None => self.want(),
                }
                self.entries.insert(entry.id(), *entry);
            }
            Order::Cancel(id) => {
                if self.entries.remove(&id).is_some()
                    && let Some(link) = self.ready()
                {
                    link.send(&ToWorker::Cancel { id });
                }
            }
            Order::Ask { id, ask, reply } => self.ask(id, Asked { ask, reply }),
            // Whoever asked may be gone.
            Order::Pid(reply) => drop(reply.send(self.link.as_ref().and_then(Link::pid))),
            Order::Preload => self.want(),
            Order::Shutdown => {}
        }
    }

    fn ask(&mut self, id: u64, asked: Asked) {
        if let Some(reason) = self.hopeless() {
            drop(asked.reply.send(Err(unfit(&reason))));
            return;
        }
        match self.ready() {
            Some(link) => link.send(&question(id, &asked.ask)),
            // Looking at it is no reason to load it.
            None if matches!(asked.ask, Ask::Gauge) => {
                drop(asked.reply.send(Err(unfit("its weights are not loaded"))));
                return;
            }
            None => self.want(),
        }
        self.asked.insert(id, asked);
    }

    /// Why there is no point in waiting for the weights right now.
    fn hopeless(&self) -> Option<String> {
        match &*self.state.borrow() {
            HouseState::Unavailable { reason } if Instant::now() < self.not_before => Some(reason.clone()),
            _ => None,
        }
    }

    /// The child, when its weights are loaded.
    fn ready(&self) -> Option<&Link> {
        self.link.as_ref().filter(|link| link.model.is_some())
    }

    /// A child is wanted.
    fn want(&mut self) {
        if self.link.is_none() && self.start_at.is_none() {
            self.start_at = Some(self.not_before);
        }
    }

    fn start(&mut self) {
        self.start_at = None;
        match Link::start(&self.command, &self.tasks) {
            Ok(link) => {
                link.send(&ToWorker::Load(self.options.clone()));
                self.link = Some(link);
                if *self.state.borrow() != HouseState::Restarting {
                    self.state.send_replace(HouseState::Loading);
                }
            }
            Err(error) => self.unfit(format!("`{}` cannot be started: {error}", self.command.program.display())),
        }
    }

    async fn frame(&mut self, frame: FromWorker) {
        match frame {
            FromWorker::Ready { model, context } => {
                tracing::info!(model, context, "the house model is loaded");
                if let Some(link) = &mut self.link {
                    link.model = Some(model);
                    self.entries.values().for_each(|entry| link.send(&ToWorker::Submit(entry.submit().clone())));
                    self.asked.iter().for_each(|(id, asked)| link.send(&question(*id, &asked.ask)));
                }
                self.last_used = Instant::now();
                self.state.send_replace(HouseState::Ready);
            }
            FromWorker::Unfit { reason } => {
                if let Some(link) = self.link.take() {
                    let words = link.end().await;
                    tracing::error!(reason, words, "the house model cannot be loaded");
                }
                self.unfit(reason);
            }
            FromWorker::Began { id, input, cached } => {
                if let Some(entry) = self.entries.get_mut(&id) {
                    entry.began(input, cached);
                }
            }
            FromWorker::Said { id, choice, tokens, pieces, end } => {
                let model = self.link.as_ref().and_then(|link| link.model.as_deref()).unwrap_or_default();
                let complete =
                    self.entries.get_mut(&id).is_some_and(|entry| entry.said(model, choice, tokens, pieces, end));
                if complete {
                    self.entries.remove(&id);
                    self.failures = 0;
                    self.last_used = Instant::now();
                }
            }
            FromWorker::Refused { id, refusal } => {
                if let Some(entry) = self.entries.remove(&id) {
                    entry.refused(refusal);
                } else if let Some(asked) = self.asked.remove(&id) {
                    drop(asked.reply.send(Err(fault(refusal))));
                }
            }
            FromWorker::Counted { id, tokens } => self.answer(id, Reply::Tokens(tokens)),
            FromWorker::Gauged { id, gauge } => self.answer(id, Reply::Gauge(gauge)),
        }
    }

    fn answer(&mut self, id: u64, reply: Reply) {
        if let Some(asked) = self.asked.remove(&id) {
            drop(asked.reply.send(Ok(reply)));
        }
    }

    /// The child is gone without being told to go.
    async fn died(&mut self) {
        let Some(link) = self.link.take() else { return };
        let words = link.end().await;
        tracing::error!(words, on_their_way = self.entries.len(), "the house model's process died");
        self.back_off();
        self.entries.retain(|_, entry| entry.survives());
        self.state.send_replace(HouseState::Restarting);
        self.want();
    }

    /// The weights cannot be loaded: whoever waits for them learns so, whoever comes later tries again.
    fn unfit(&mut self, reason: String) {
        self.back_off();
        let fault = unfit(&reason);
        self.state.send_replace(HouseState::Unavailable { reason });
        self.fail_all(&fault);
    }

    /// The first start after a death is at once; the more come to nothing in a row, the longer the wait.
    fn back_off(&mut self) {
        let wait = match self.failures.checked_sub(1) {
            None => Duration::ZERO,
            Some(before) => (FIRST_WAIT * 2_u32.saturating_pow(before)).min(LONGEST_WAIT),
        };
        self.failures += 1;
        self.not_before = Instant::now() + wait;
    }

    fn fail_all(&mut self, fault: &Fault) {
        for mut entry in std::mem::take(&mut self.entries).into_values() {
            entry.fail(fault.clone());
        }
        for (_, asked) in self.asked.drain() {
            drop(asked.reply.send(Err(fault.clone())));
        }
    }

    fn unload_at(&self) -> Option<Instant> {
        let idle = self.entries.is_empty() && self.asked.is_empty() && self.ready().is_some();
        let after = self.options.idle_unload.filter(|_| idle)?;
        Some(self.last_used + Duration::from_secs(after))
    }

    async fn unload(&mut self) {
        if let Some(link) = self.link.take() {
            link.end().await;
            tracing::info!("the house model has left memory: nobody asked for long");
            self.state.send_replace(HouseState::Cold);
        }
    }
}

fn question(id: u64, ask: &Ask) -> ToWorker {
    match ask {
        Ask::Count(body) => ToWorker::Count { id, body: body.clone() },
        Ask::Gauge => ToWorker::Gauge { id },
    }
}

async fn next(link: &mut Option<Link>) -> Option<FromWorker> {
    match link {
        Some(link) => link.next().await,
        None => std::future::pending().await,
    }
}

async fn at(time: Option<Instant>) {
    match time {
        Some(time) => sleep_until(time).await,
        None => std::future::pending().await,
    }
}
