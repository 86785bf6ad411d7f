//! A small load generator whose counts are its own: many tasks, whole answers and streams, some dropped on the way by
//! seed. Each answer is read by its wire's grammar and checked against what the question must lead to.

use super::client::Client;
use crate::grammar::{Asked, Ended, Grammar, Heard};
use bytes::Bytes;
use serde_json::Value;
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};
use tokio::task::JoinSet;

/// One request to send.
#[derive(Clone)]
pub struct Shot {
    /// Path.
    pub path: String,
    /// Headers, `content-type` included.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: Bytes,
    /// Whether a stream is asked for.
    pub stream: bool,
    /// The grammar that its answer is read by.
    pub grammar: &'static dyn Grammar,
    /// What the answer's words must be; `None`: anything.
    pub expect: Option<String>,
    /// Where words are expected: the calls that the answer must make, in any order, by tool and arguments.
    pub calls: Vec<(String, Value)>,
    /// What the grammar must know.
    pub asked: Asked,
    /// Leaves after so many pieces of a stream, or before a whole answer.
    pub leave_after: Option<u64>,
}

impl std::fmt::Debug for Shot {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {}", self.path, String::from_utf8_lossy(&self.body))
    }
}

impl Shot {
    /// Whether `heard` is complete, without a slip and what the question must lead to.
    #[must_use]
    pub fn is_answered_by(&self, heard: &Heard) -> bool {
        let choice = heard.choices.get(&0).cloned().unwrap_or_default();
        let arguments = |text: &str| serde_json::from_str::<Value>(text).unwrap_or_default();
        let mut calls: Vec<(String, Value)> =
            choice.calls.iter().map(|call| (call.name.clone(), arguments(&call.arguments))).collect();
        let mut wanted = self.calls.clone();
        [&mut calls, &mut wanted].into_iter().for_each(|calls| calls.sort_by(|a, b| a.0.cmp(&b.0)));
        heard.is_well() && self.expect.as_ref().is_none_or(|words| *words == choice.text && calls == wanted)
    }
}

/// A load.
pub struct Load {
    /// Whom to ask.
    pub addr: SocketAddr,
    /// Requests under way at once.
    pub tasks: usize,
    /// Requests in all.
    pub requests: u64,
    /// Time between the beginnings of two; `None`: a task begins one when its last one has ended. With it, whoever is
    /// slow to answer does not make the load smaller, as long as there are tasks enough.
    pub gap: Option<Duration>,
    /// The longest a request may take.
    pub limit: Duration,
    /// Makes request number n.
    pub shot: Arc<dyn Fn(u64) -> Shot + Send + Sync>,
}

impl std::fmt::Debug for Load {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} requests to {} by {} tasks", self.requests, self.addr, self.tasks)
    }
}

/// What became of one request, as its client saw it.
#[derive(Debug, Clone, Default)]
pub struct Told {
    /// Its number.
    pub number: u64,
    /// Whether a stream was asked for.
    pub stream: bool,
    /// HTTP status; `None`: no header came.
    pub status: Option<u16>,
    /// Headers.
    pub headers: BTreeMap<String, String>,
    /// What was heard.
    pub heard: Heard,
    /// Whether the client left on purpose.
    pub left: bool,
    /// Whether the answer is complete, without a slip and the right one.
    pub right: bool,
    /// Why it is not whole.
    pub error: Option<String>,
    /// When it was sent, microseconds since the load began.
    pub sent_us: u64,
    /// Microseconds to the first byte of the body.
    pub first_us: Option<u64>,
    /// Microseconds to the end.
    pub total_us: u64,
}

/// Counts over many.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Tally {
    /// All.
    pub sent: u64,
    /// Complete, without a slip, and right.
    pub right: u64,
    /// Complete, but another answer than expected or with a slip.
    pub wrong: u64,
    /// Ended with the wire's error, or a status of 400 and more.
    pub failed: u64,
    /// Broke off, or never came.
    pub broken: u64,
    /// Left by the client on purpose.
    pub left: u64,
    /// How many of each status.
    pub statuses: BTreeMap<u16, u64>,
}

impl Tally {
    /// Counts `told`.
    #[must_use]
    pub fn of(told: &[Told]) -> Self {
        let mut tally = Self { sent: told.len() as u64, ..Self::default() };
        for one in told {
            if let Some(status) = one.status {
                *tally.statuses.entry(status).or_default() += 1;
            }
            let refused = one.status.is_some_and(|status| status >= 400);
            let kind = match one.heard.ended {
                _ if one.left => &mut tally.left,
                _ if one.right => &mut tally.right,
                Ended::Error => &mut tally.failed,
                _ if refused => &mut tally.failed,
                Ended::Complete => &mut tally.wrong,
                Ended::Cut => &mut tally.broken,
            };
            *kind += 1;
        }
        tally
    }
}

/// How many requests per second were sent.
#[must_use]
#[expect(clippy::cast_precision_loss, reason = "a rate for people")]
pub fn rate(told: &[Told]) -> f64 {
    let last = told.iter().map(|one| one.sent_us).max().unwrap_or(0);
    told.len().saturating_sub(1) as f64 / (last.max(1) as f64 / 1e6)
}

/// Sends the load and waits for every answer; in order of number.
pub async fn run(load: Load) -> Vec<Told> {
    let load = Arc::new(load);
    let next = Arc::new(AtomicU64::new(0));
    let start = Instant::now();
    let mut tasks = JoinSet::new();
    for _ in 0..load.tasks {
        tasks.spawn(shoot_all(Arc::clone(&load), Arc::clone(&next), start));
    }
    let mut all: Vec<Told> = tasks.join_all().await.into_iter().flatten().collect();
    all.sort_by_key(|told| told.number);
    all
}

async fn shoot_all(load: Arc<Load>, next: Arc<AtomicU64>, start: Instant) -> Vec<Told> {
    let mut client = Client::new(load.addr);
    let mut out = Vec::new();
    loop {
        let number = next.fetch_add(1, Ordering::Relaxed);
        if number >= load.requests {
            return out;
        }
        if let Some(gap) = load.gap {
            let turn = gap.saturating_mul(u32::try_from(number).unwrap_or(u32::MAX));
            tokio::time::sleep_until((start + turn).into()).await;
        }
        let shot = (load.shot)(number);
        let began = Instant::now();
        let mut told = Told { number, stream: shot.stream, sent_us: micros(start), ..Told::default() };
        let whole = tokio::time::timeout(load.limit, shoot(&mut client, &shot, began, &mut told)).await;
        if whole.is_err() {
            told.error = Some(format!("no end within {:?}", load.limit));
            client = Client::new(load.addr);
        }
        told.total_us = micros(began);
        told.right = told.status == Some(200) && told.error.is_none() && shot.is_answered_by(&told.heard);
        out.push(told);
    }
}

async fn shoot(client: &mut Client, shot: &Shot, began: Instant, told: &mut Told) {
    let headers: Vec<(&str, &str)> = shot.headers.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    let mut answer = match client.send("POST", &shot.path, &headers, shot.body.clone()).await {
        Ok(answer) => answer,
        Err(error) => {
            told.error = Some(error.to_string());
            return;
        }
    };
    told.status = Some(answer.status.as_u16());
    let shown = |(name, value): (&hyper::header::HeaderName, &hyper::header::HeaderValue)| {
        (name.as_str().to_owned(), String::from_utf8_lossy(value.as_bytes()).into_owned())
    };
    told.headers = answer.headers.iter().map(shown).collect();
    let (mut bytes, mut pieces) = (Vec::new(), 0);
    loop {
        if shot.leave_after == Some(pieces) {
            told.left = true;
            return;
        }
        match answer.next().await {
            Ok(Some(piece)) => {
                told.first_us.get_or_insert_with(|| micros(began));
                bytes.extend_from_slice(&piece);
                pieces += 1;
            }
            Ok(None) => break,
            Err(error) => {
                told.error = Some(error.to_string());
                break;
            }
        }
    }
    let streamed = shot.stream && told.status == Some(200);
    told.heard = if streamed { shot.grammar.stream(&bytes, &shot.asked) } else { shot.grammar.unary(&bytes) };
    if told.error.is_none() {
        client.keep(answer);
    }
}

fn micros(began: Instant) -> u64 {
    u64::try_from(began.elapsed().as_micros()).unwrap_or(u64::MAX)
}
