//! How a plan is run: limits, timeouts, retries and hedging of one product.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// The most of something per time. `None`: no limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Limits {
    /// Requests in any 60 seconds.
    pub rpm: Option<u32>,
    /// Tokens, in and out, in any 60 seconds.
    pub tpm: Option<u64>,
    /// Requests under way at the same time.
    pub concurrent: Option<u32>,
}

impl Limits {
    /// Whether nothing is limited.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// How long to wait for what, in milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Timeouts {
    /// The whole request, retries and takeovers included. While another deployment waits, no attempt
    /// keeps more than half of what is left of it.
    pub deadline_ms: u64,
    /// One attempt until its connection stands, names and TLS included; at most 10000.
    pub connect_ms: u64,
    /// One attempt until its first token, where the answer is streamed.
    pub first_token_ms: u64,
    /// One attempt until its answer is there, where that is not streamed and another deployment can still be asked; the
    /// last one has until the deadline.
    pub whole_ms: u64,
    /// Silence between two tokens.
    pub silence_ms: u64,
}

impl Default for Timeouts {
    fn default() -> Self {
        Self { deadline_ms: 600_000, connect_ms: 2_000, first_token_ms: 30_000, whole_ms: 120_000, silence_ms: 30_000 }
    }
}

impl Timeouts {
    /// The longest that a connection may take, whatever a product allows.
    pub const MOST_CONNECT: Duration = Duration::from_secs(10);

    /// The whole request.
    #[must_use]
    pub const fn deadline(&self) -> Duration {
        Duration::from_millis(self.deadline_ms)
    }

    /// One attempt until its connection stands.
    #[must_use]
    pub const fn connect(&self) -> Duration {
        Duration::from_millis(self.connect_ms)
    }

    /// One attempt until its first token.
    #[must_use]
    pub const fn first_token(&self) -> Duration {
        Duration::from_millis(self.first_token_ms)
    }

    /// One attempt until its answer is there, where another deployment can still be asked.
    #[must_use]
    pub const fn whole(&self) -> Duration {
        Duration::from_millis(self.whole_ms)
    }

    /// Silence between two tokens.
    #[must_use]
    pub const fn silence(&self) -> Duration {
        Duration::from_millis(self.silence_ms)
    }
}

/// How often to try again.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Retries {
    /// The most calls upstream for one request, the first one included.
    pub attempts: u32,
    /// Retries as a share of the requests of the last ten seconds. A request's first change to a healthy
    /// deployment is always allowed, and so is every retry while fewer calls fail than are answered.
    pub share: f64,
    /// Retries per second that are allowed however few requests there are.
    pub floor_per_second: u32,
}

impl Default for Retries {
    fn default() -> Self {
        Self { attempts: 10, share: 0.2, floor_per_second: 3 }
    }
}

/// Whether a second deployment is asked when the first token is slow to come.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Hedging {
    /// Whether to hedge at all: it buys short waits with a few calls more.
    pub on: bool,
    /// The most hedges as a share of the requests of the last minute, 0 to 0.5: what short waits may cost.
    pub share: f64,
}

impl Default for Hedging {
    fn default() -> Self {
        Self { on: false, share: 0.03 }
    }
}

/// Whether another deployment finishes an answer that broke in mid-stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Takeovers {
    /// Whether to do so at all. Off: a broken stream ends with an error event.
    pub on: bool,
    /// Whether words and calls are kept back until they are whole, so that a takeover always begins at the beginning
    /// of one. It costs the time of one word or one call, and that no stream passes untouched.
    pub hold_back: bool,
}

impl Default for Takeovers {
    fn default() -> Self {
        Self { on: true, hold_back: false }
    }
}
