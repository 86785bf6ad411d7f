//! What can go wrong, and how a wrong answer is made of a right one: faults edit the steps of an answer's body.
//! Pure: steps are data that the body carries out.

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// What goes wrong with one request. `after` counts the stream's events sent before, at most all but the last; a
/// unary body counts as two events, its halves.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum Fault {
    /// An error status with the wire's own error body.
    Status {
        /// 400 to 599.
        status: u16,
        /// `Retry-After`, seconds.
        #[serde(default)]
        retry_after: Option<f64>,
        /// What the error says it is; left out: what the status means.
        #[serde(default)]
        trouble: Option<Trouble>,
    },
    /// The connection is reset after the request was read, before any header.
    Reset,
    /// The connection is closed after the request was read, before any header.
    Close,
    /// The request is read and nothing ever comes.
    Silent,
    /// The first event comes late; the headers too when `headers`.
    SlowFirst {
        /// How late, milliseconds.
        ms: u64,
        /// Whether the headers wait as well.
        #[serde(default)]
        headers: bool,
    },
    /// The connection breaks in mid-answer.
    Cut {
        /// Events sent before.
        after: usize,
        /// Closed (FIN in mid-body) instead of reset (RST).
        #[serde(default)]
        close: bool,
    },
    /// Silence in mid-answer, the connection stays open.
    Stall {
        /// Events sent before.
        after: usize,
        /// Milliseconds until the answer goes on; left out: for ever.
        #[serde(default)]
        ms: Option<u64>,
    },
    /// One event is not what the wire allows; then the answer goes on.
    Malformed {
        /// Events sent before.
        after: usize,
    },
    /// The answer ends without the wire's own end, but well by HTTP.
    NoTerminator {
        /// Events sent before; left out: all but the end.
        #[serde(default)]
        after: Option<usize>,
    },
    /// The wire's error event inside a stream with status 200; the stream ends after it.
    ErrorEvent {
        /// Events sent before.
        after: usize,
        /// What the error says it is.
        #[serde(default = "server_trouble")]
        trouble: Trouble,
    },
    /// A web page with status 200.
    Html,
    /// Status 200 and an empty body.
    Empty,
    /// Status 200 and half of the JSON (unary), or a stream that ends within an event.
    TruncatedJson,
    /// A right body with a wrong type.
    WrongType {
        /// The MIME type sent.
        #[serde(default = "plain")]
        content_type: String,
    },
    /// The body comes in writes of one byte.
    Drip {
        /// Milliseconds between bytes.
        #[serde(default)]
        ms: u64,
    },
}

/// What an error says it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Trouble {
    /// The request is wrong.
    Invalid,
    /// Too many requests.
    RateLimited,
    /// The quota is used up.
    Quota,
    /// The server failed.
    Server,
    /// The server is overloaded.
    Overloaded,
    /// The key is wrong.
    Unauthenticated,
    /// The key may not.
    Forbidden,
    /// No such model.
    NotFound,
    /// The prompt is too long.
    ContextLength,
    /// A filter refused the prompt.
    ContentFilter,
    /// The body is too large.
    TooLarge,
}

fn server_trouble() -> Trouble {
    Trouble::Server
}

fn plain() -> String {
    "text/plain".to_owned()
}

impl Trouble {
    /// What `status` means when nothing more is said.
    #[must_use]
    pub const fn of(status: u16) -> Self {
        match status {
            401 => Self::Unauthenticated,
            403 => Self::Forbidden,
            404 => Self::NotFound,
            413 => Self::TooLarge,
            429 => Self::RateLimited,
            503 | 529 => Self::Overloaded,
            400..=499 => Self::Invalid,
            _ => Self::Server,
        }
    }
}

impl Fault {
    /// Its name in the log.
    #[must_use]
    pub fn name(&self) -> String {
        match self {
            Self::Status { status, trouble: Some(trouble), .. } => {
                format!("status {status} {trouble:?}").to_lowercase()
            }
            Self::Status { status, .. } => format!("status {status}"),
            other => match serde_json::to_value(other) {
                Ok(value) => value.get("kind").and_then(|kind| kind.as_str()).unwrap_or_default().to_owned(),
                Err(_) => String::new(),
            },
        }
    }
}

/// One step of an answer's body.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Step {
    /// Sends an event.
    Event(Bytes),
    /// Sends bytes that are no event of their own.
    Bytes(Bytes),
    /// Waits until what was sent has left the process.
    Flush,
    /// Waits.
    Wait(Duration),
    /// Waits until the client leaves.
    Hang,
    /// Breaks the connection: by a reset, or by closing it.
    Cut {
        /// RST instead of FIN.
        reset: bool,
    },
}

/// What a wire lends for faulty bodies.
#[derive(Debug, Clone, Default)]
pub(super) struct Spoiled {
    /// An event that the wire does not allow.
    pub(super) malformed: Bytes,
    /// The wire's error event.
    pub(super) error: Bytes,
    /// How many events at the end of a stream are its end.
    pub(super) terminators: usize,
}

/// Makes the steps of a body of `events`, spoiled by `fault`.
#[must_use]
pub(super) fn steps(mut events: Vec<Bytes>, fault: Option<&Fault>, spoiled: &Spoiled) -> Vec<Step> {
    let total = events.len();
    // Whatever the script says, a broken answer lacks at least its last event.
    let before = |after: usize| after.min(total.saturating_sub(1));
    match fault {
        Some(Fault::Cut { after, close }) => {
            events.truncate(before(*after));
            let mut out = sent(events);
            out.extend([Step::Flush, Step::Cut { reset: !close }]);
            out
        }
        Some(Fault::Stall { after, ms }) => {
            let rest = events.split_off(before(*after));
            let mut out = sent(events);
            out.push(Step::Flush);
            out.push(ms.map_or(Step::Hang, |ms| Step::Wait(Duration::from_millis(ms))));
            out.extend(sent(rest));
            out
        }
        Some(Fault::Malformed { after }) => {
            events.insert(before(*after), spoiled.malformed.clone());
            sent(events)
        }
        Some(Fault::NoTerminator { after }) => {
            events.truncate(after.map_or(total.saturating_sub(spoiled.terminators), before));
            sent(events)
        }
        Some(Fault::ErrorEvent { after, .. }) => {
            events.truncate(before(*after));
            events.push(spoiled.error.clone());
            sent(events)
        }
        Some(Fault::TruncatedJson) => {
            let half = events.split_off(total / 2).into_iter().next().unwrap_or_default();
            let mut out = sent(events);
            out.push(Step::Bytes(half.slice(..half.len() / 2)));
            out
        }
        Some(Fault::Drip { ms }) => drip(&events, Duration::from_millis(*ms)),
        _ => sent(events),
    }
}

/// Puts `first` before the first event and `between` before every other.
#[must_use]
pub(super) fn paced(steps: Vec<Step>, first: Duration, between: Duration) -> Vec<Step> {
    if first.is_zero() && between.is_zero() {
        return steps;
    }
    let mut out = Vec::with_capacity(steps.len() * 2);
    let mut wait = first;
    for step in steps {
        if matches!(step, Step::Event(_)) {
            if !wait.is_zero() {
                out.push(Step::Wait(wait));
            }
            wait = between;
        }
        out.push(step);
    }
    out
}

fn sent(events: Vec<Bytes>) -> Vec<Step> {
    events.into_iter().map(Step::Event).collect()
}

fn drip(events: &[Bytes], pause: Duration) -> Vec<Step> {
    let mut out = Vec::new();
    for event in events {
        let last = event.len().saturating_sub(1);
        for at in 0..event.len() {
            let byte = event.slice(at..=at);
            out.push(if at == last { Step::Event(byte) } else { Step::Bytes(byte) });
            out.push(Step::Flush);
            if !pause.is_zero() {
                out.push(Step::Wait(pause));
            }
        }
    }
    out
}
