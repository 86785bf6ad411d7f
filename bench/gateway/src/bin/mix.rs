//! A load of everything at once, at a rate of its own: `mix PLAN_FILE`. The plan is JSON: `port`, `provider` (the name
//! that `/provider/NAME/` leads to), `keys` (`main`, `cross`, `limited`, `poor`), `rate` (requests a second, whatever the
//! answers do; 0: `workers` ask again as soon as they are answered), `seconds`. One line of JSON at the end: by kind of
//! request, how often it was asked, what came back, and what came back that should not have.

use bytes::Bytes;
use gateway_bench::{Upstream, upstream};
use http_body_util::{BodyExt, Full};
use hyper::Request;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

const CHAT: &str = "/v1/chat/completions";
/// Requests that may be under way; more are counted as held back, not sent.
const MOST: u64 = 4_000;
/// Longest wait for an answer.
const PATIENCE: Duration = Duration::from_secs(60);

/// A kind of request.
struct Kind {
    name: &'static str,
    /// Its share, in thousandths.
    share: u64,
    key: &'static str,
    path: &'static str,
    /// The body, before its end.
    body: Body,
    stream: bool,
    /// Statuses that are right.
    right: &'static [u16],
    /// Tokens after which the client leaves.
    leaves: Option<usize>,
}

#[derive(Clone, Copy)]
enum Body {
    Chat,
    Refused,
    Messages,
    Responses,
    Broken,
}

const KINDS: &[Kind] = &[
    Kind { name: "whole", share: 440, key: "main", path: CHAT, body: Body::Chat, stream: false, right: &[200], leaves: None },
    Kind { name: "stream", share: 130, key: "main", path: CHAT, body: Body::Chat, stream: true, right: &[200], leaves: None },
    Kind { name: "cross whole", share: 100, key: "cross", path: CHAT, body: Body::Chat, stream: false, right: &[200], leaves: None },
    Kind { name: "cross stream", share: 60, key: "cross", path: CHAT, body: Body::Chat, stream: true, right: &[200], leaves: None },
    Kind { name: "messages", share: 50, key: "main", path: "/v1/messages", body: Body::Messages, stream: false, right: &[200], leaves: None },
    Kind { name: "messages stream", share: 30, key: "main", path: "/v1/messages", body: Body::Messages, stream: true, right: &[200], leaves: None },
    Kind { name: "responses", share: 20, key: "main", path: "/v1/responses", body: Body::Responses, stream: false, right: &[200], leaves: None },
    Kind { name: "left", share: 30, key: "main", path: CHAT, body: Body::Chat, stream: true, right: &[200], leaves: Some(10) },
    Kind { name: "left cross", share: 10, key: "cross", path: CHAT, body: Body::Chat, stream: true, right: &[200], leaves: Some(10) },
    Kind { name: "refused by the provider", share: 40, key: "main", path: CHAT, body: Body::Refused, stream: false, right: &[400], leaves: None },
    Kind { name: "broken", share: 20, key: "main", path: CHAT, body: Body::Broken, stream: false, right: &[400], leaves: None },
    Kind { name: "wrong key", share: 20, key: "wrong", path: CHAT, body: Body::Chat, stream: false, right: &[401], leaves: None },
    Kind { name: "limited", share: 20, key: "limited", path: CHAT, body: Body::Chat, stream: false, right: &[200, 429], leaves: None },
    Kind { name: "poor", share: 20, key: "poor", path: CHAT, body: Body::Chat, stream: false, right: &[200, 402, 429], leaves: None },
    Kind { name: "passed through", share: 10, key: "main", path: "/chat/completions", body: Body::Chat, stream: false, right: &[200, 429, 500, 502, 503, 529], leaves: None },
];

#[derive(Default)]
struct Told {
    asked: AtomicU64,
    complete: AtomicU64,
    left: AtomicU64,
    by_status: Mutex<BTreeMap<u16, u64>>,
    wrong: Mutex<BTreeMap<String, u64>>,
    /// Answers by the power of two of their milliseconds.
    millis: [AtomicU64; 20],
}

struct Load {
    client: Upstream<Full<Bytes>>,
    base: String,
    provider: String,
    keys: BTreeMap<String, String>,
    bodies: Vec<Bytes>,
    told: Vec<Told>,
    under_way: AtomicU64,
    held_back: AtomicU64,
}

/// Chance without a crate: xorshift.
struct Chance(u64);

impl Chance {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn kind(&mut self) -> usize {
        let mut at = self.next() % KINDS.iter().map(|kind| kind.share).sum::<u64>();
        KINDS.iter().position(|kind| at < kind.share || { at -= kind.share; false }).unwrap_or(0)
    }

    /// Time to the next request of a rate, as independent askers come.
    fn gap(&mut self, rate: f64) -> Duration {
        let even = (self.next() >> 11) as f64 / (1u64 << 53) as f64;
        Duration::from_secs_f64(-(1.0 - even).ln() / rate)
    }
}

#[tokio::main(flavor = "current_thread")]
async fn main() {
    let file = std::env::args().nth(1).expect("PLAN_FILE");
    let plan: Value = serde_json::from_slice(&std::fs::read(file).expect("the plan")).expect("JSON");
    let text = |name: &str| plan[name].as_str().unwrap_or_default().to_owned();
    let keys = plan["keys"].as_object().expect("keys").iter();
    let load = Arc::new(Load {
        client: upstream(),
        base: format!("http://127.0.0.1:{}", plan["port"]),
        provider: text("provider"),
        keys: keys.map(|(name, key)| (name.clone(), key.as_str().unwrap_or_default().to_owned())).collect(),
        bodies: KINDS.iter().map(body).collect(),
        told: KINDS.iter().map(|_| Told::default()).collect(),
        under_way: AtomicU64::new(0),
        held_back: AtomicU64::new(0),
    });
    let begun = Instant::now();
    let length = Duration::from_secs_f64(plan["seconds"].as_f64().expect("seconds"));
    let rate = plan["rate"].as_f64().unwrap_or(0.0);
    if rate > 0.0 {
        at_rate(&load, rate, length).await;
    } else {
        workers(&load, plan["workers"].as_u64().unwrap_or(64), length).await;
    }
    let asked_for = begun.elapsed();
    let end = Instant::now() + PATIENCE;
    while load.under_way.load(Ordering::Relaxed) > 0 && Instant::now() < end {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    println!("{}", report(&load, asked_for));
}

async fn at_rate(load: &Arc<Load>, rate: f64, length: Duration) {
    let (begun, mut chance, mut due) = (Instant::now(), Chance(0x9E37_79B9_7F4A_7C15), Duration::ZERO);
    while due < length {
        tokio::time::sleep_until((begun + due).into()).await;
        while due <= begun.elapsed() && due < length {
            due += chance.gap(rate);
            if load.under_way.load(Ordering::Relaxed) >= MOST {
                load.held_back.fetch_add(1, Ordering::Relaxed);
                continue;
            }
            let (load, kind) = (Arc::clone(load), chance.kind());
            tokio::spawn(async move { load.ask(kind).await });
        }
    }
}

async fn workers(load: &Arc<Load>, count: u64, length: Duration) {
    let end = Instant::now() + length;
    let tasks: Vec<_> = (0..count)
        .map(|number| {
            let load = Arc::clone(load);
            tokio::spawn(async move {
                let mut chance = Chance(0x9E37_79B9_7F4A_7C15 ^ (number + 1).wrapping_mul(0xD134_2543_DE82_EF95));
                while Instant::now() < end {
                    load.ask(chance.kind()).await;
                }
            })
        })
        .collect();
    for task in tasks {
        let _ = task.await;
    }
}

fn body(kind: &Kind) -> Bytes {
    let text = "The quick brown fox jumps over the lazy dog, and nobody asks why. ".repeat(12);
    let text = if matches!(kind.body, Body::Refused) { format!("!400 {text}") } else { text };
    let messages = json!([{"role": "user", "content": text}]);
    let value = match kind.body {
        Body::Broken => return Bytes::from_static(b"{\"model\": \"auto\", \"messages\": [{\"role\": \"user\", \"conte"),
        Body::Responses => json!({"model": "auto", "input": text, "max_output_tokens": 100, "store": true}),
        // What is passed through names the provider's own model.
        Body::Chat if kind.path != CHAT => json!({"model": "bench", "messages": messages, "max_tokens": 100}),
        Body::Chat | Body::Refused | Body::Messages => json!({"model": "auto", "messages": messages, "max_tokens": 100, "stream": kind.stream}),
    };
    Bytes::from(value.to_string())
}

impl Load {
    async fn ask(&self, at: usize) {
        let (kind, told) = (&KINDS[at], &self.told[at]);
        told.asked.fetch_add(1, Ordering::Relaxed);
        self.under_way.fetch_add(1, Ordering::Relaxed);
        let begun = Instant::now();
        let wrong = match tokio::time::timeout(PATIENCE, self.answer(at)).await {
            Ok(Ok(())) => None,
            Ok(Err(wrong)) => Some(wrong),
            Err(_) => Some("no end within a minute".to_owned()),
        };
        self.under_way.fetch_sub(1, Ordering::Relaxed);
        if let Some(wrong) = wrong {
            *told.wrong.lock().expect("no panic").entry(wrong).or_default() += 1;
        }
        if kind.leaves.is_none() {
            let power = (u64::BITS - (begun.elapsed().as_millis() as u64).leading_zeros()) as usize;
            told.millis[power.min(19)].fetch_add(1, Ordering::Relaxed);
        }
    }

    async fn answer(&self, at: usize) -> Result<(), String> {
        let (kind, told) = (&KINDS[at], &self.told[at]);
        let passed = kind.name == "passed through";
        let url = if passed { format!("{}/provider/{}{}", self.base, self.provider, kind.path) } else { format!("{}{}", self.base, kind.path) };
        let request = Request::post(url)
            .header("content-type", "application/json")
            .header("authorization", format!("Bearer {}", self.keys.get(kind.key).map_or("", String::as_str)))
            .body(Full::new(self.bodies[at].clone()))
            .expect("a request");
        let response = self.client.request(request).await.map_err(|error| format!("no answer: {error}"))?;
        let status = response.status().as_u16();
        *told.by_status.lock().expect("no panic").entry(status).or_default() += 1;
        let (mut body, mut tail, mut tokens, mut bytes) = (response.into_body(), Vec::new(), 0, 0);
        while let Some(frame) = body.frame().await {
            let frame = frame.map_err(|_| format!("{status}, broken off"))?;
            let Ok(data) = frame.into_data() else { continue };
            bytes += data.len();
            tokens += data.iter().filter(|byte| **byte == b'@').count();
            tail.extend_from_slice(&data);
            let from = tail.len().saturating_sub(256);
            tail.drain(..from);
            if kind.leaves.is_some_and(|most| tokens >= 2 * most) {
                told.left.fetch_add(1, Ordering::Relaxed);
                return Ok(());
            }
        }
        if !kind.right.contains(&status) {
            return Err(format!("{status}: {}", String::from_utf8_lossy(&tail)));
        }
        let ends = |word: &[u8]| tail.windows(word.len()).any(|seen| seen == word);
        let whole = match (status, kind.stream) {
            (200, true) => tokens >= 200 && (ends(b"[DONE]") || ends(b"message_stop")),
            (200, false) => bytes > 700 && tail.ends_with(b"}"),
            _ => bytes > 20,
        };
        if !whole {
            return Err(format!("{status}, not whole: {}", String::from_utf8_lossy(&tail)));
        }
        told.complete.fetch_add(1, Ordering::Relaxed);
        Ok(())
    }
}

fn report(load: &Load, asked_for: Duration) -> Value {
    let of = |count: &AtomicU64| count.load(Ordering::Relaxed);
    let kinds = KINDS.iter().zip(&load.told).map(|(kind, told)| {
        let by_status: BTreeMap<String, u64> = told.by_status.lock().expect("no panic").iter().map(|(status, count)| (status.to_string(), *count)).collect();
        let millis: Vec<u64> = told.millis.iter().map(of).collect();
        let wrong = told.wrong.lock().expect("no panic").clone();
        let told = json!({"asked": of(&told.asked), "complete": of(&told.complete), "left": of(&told.left), "by_status": by_status, "wrong": wrong, "millis_by_power_of_two": millis});
        (kind.name.to_owned(), told)
    });
    json!({
        "seconds": asked_for.as_secs_f64(),
        "asked": load.told.iter().map(|told| of(&told.asked)).sum::<u64>(),
        "held_back": of(&load.held_back),
        "still_under_way": of(&load.under_way),
        "kinds": kinds.collect::<serde_json::Map<_, _>>(),
    })
}
