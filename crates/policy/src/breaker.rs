//! A circuit breaker without a clock: closed, open until a moment, one probe, ramping up. The same machine serves a
//! deployment, an account and a host. Kinds are kept apart: who refuses us, who asks us to wait, who is sick.

use crate::time::Tick;
use canon::{Fault, FaultKind, Side};
use std::time::Duration;

/// Why something is held to be down.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Cause {
    /// It refuses us: key, account, permission, model.
    Hard,
    /// It asks us to wait: rate limit or quota.
    Limit,
    /// It fails: connect, 5xx, cut, malformed, too slow.
    Sick,
    /// Others that share a party with it fail.
    Correlated,
}

/// Whether something may be asked.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Health {
    /// It may.
    Closed,
    /// It recovers: it may take this share (0 to 1) of what it would usually get.
    Ramp(f32),
    /// It may be tried once.
    Probe,
    /// It is being tried; nobody else may ask.
    Probing,
    /// It may not.
    Open {
        /// Until when.
        until: Tick,
        /// Why.
        cause: Cause,
    },
}

/// When a breaker opens, for how long, and how it closes again.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Settings {
    /// Failures in a row that open it.
    pub consecutive: u32,
    /// The share of failures in the window that opens it.
    pub share: f32,
    /// The fewest calls in the window for which the share counts.
    pub least: u32,
    /// The window.
    pub window: Duration,
    /// How long it stays open for whoever refuses us.
    pub hard: Duration,
    /// How long it stays open the first time for whoever is sick; doubles with each further time.
    pub sick: Duration,
    /// How long it stays open the first time for whoever asks us to wait without saying how long; doubles as well.
    pub limit: Duration,
    /// The longest it stays open for whoever is sick or names no time.
    pub longest: Duration,
    /// How long a probe may take before another request may be one.
    pub probe: Duration,
    /// Successes that lead from probation back to a full share.
    pub ramp: u32,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            consecutive: 3,
            share: 0.5,
            least: 10,
            window: Duration::from_secs(10),
            hard: Duration::from_secs(300),
            sick: Duration::from_secs(5),
            limit: Duration::from_secs(1),
            longest: Duration::from_secs(300),
            probe: Duration::from_secs(60),
            ramp: 10,
        }
    }
}

/// Whoever asks us to wait longer is asked again after a day: such a number is a mistake.
const LONGEST_WAIT: Duration = Duration::from_secs(86_400);

/// What a call leaves of what was known before it, where it is asked how bad it was lately.
const KEPT: f32 = 7.0 / 8.0;

/// Leave to make one call. Give it back with the call's outcome: `Breaker::settle`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use = "an admitted call must be settled, or its probe blocks others until it times out"]
pub struct Ticket {
    generation: u32,
    probe: bool,
    /// When the call began.
    at: Tick,
}

impl Ticket {
    /// Whether the call is a probe.
    #[must_use]
    pub const fn probe(self) -> bool {
        self.probe
    }
}

/// How a call ended, as far as its breaker cares.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// It was answered.
    Success,
    /// It says nothing about the other side: a client's error, a refusal of content, a call given up.
    Neutral,
    /// It failed.
    Failure {
        /// In which way.
        cause: Cause,
        /// How long the other side asks to wait.
        wait: Option<Duration>,
    },
}

/// Whose breaker a fault concerns.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Level {
    /// The deployment's.
    Deployment,
    /// The account's: every deployment that is reached with it.
    Account,
}

/// What `fault` means for breakers: whose, and how the call ended for it. Faults of the client, refusals of content
/// and prompts that are too long never count.
#[must_use]
pub const fn verdict(fault: &Fault) -> (Level, Outcome) {
    if !matches!(fault.side, Side::Provider) {
        return (Level::Deployment, Outcome::Neutral);
    }
    let (level, cause) = match fault.kind {
        FaultKind::Unauthenticated | FaultKind::Forbidden | FaultKind::Billing => (Level::Account, Cause::Hard),
        FaultKind::QuotaExhausted => (Level::Account, Cause::Limit),
        FaultKind::RateLimited => (Level::Deployment, Cause::Limit),
        FaultKind::NotFound | FaultKind::MethodNotAllowed => (Level::Deployment, Cause::Hard),
        FaultKind::Overloaded
        | FaultKind::Server
        | FaultKind::Connect
        | FaultKind::ConnectTimeout
        | FaultKind::FirstTokenTimeout
        | FaultKind::Stalled
        | FaultKind::Cut
        | FaultKind::Malformed
        | FaultKind::Internal => (Level::Deployment, Cause::Sick),
        FaultKind::Invalid
        | FaultKind::ContextLength
        | FaultKind::TooLarge
        | FaultKind::ContentFilter
        | FaultKind::Budget
        | FaultKind::Deadline
        | FaultKind::Loss
        | FaultKind::NoRoute
        | FaultKind::Cancelled => return (Level::Deployment, Outcome::Neutral),
    };
    (level, Outcome::Failure { cause, wait: fault.retry_after })
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum State {
    Closed,
    Open { until: Tick, cause: Cause },
    Probing { since: Tick, cause: Cause },
    Ramp { successes: u32 },
}

/// One circuit breaker.
#[derive(Debug, Clone)]
pub struct Breaker {
    settings: Settings,
    state: State,
    /// Counts changes of state, so that calls from before a change cannot speak about after.
    generation: u32,
    in_a_row: u32,
    /// When the first of those failures in a row was known: whoever asked before that knows nothing of them.
    since: Tick,
    /// How often it opened without being fully closed in between.
    opened: u32,
    /// Of these, for being sick, and for a wait that nobody named: each doubles its own time only.
    sick: u32,
    limits: u32,
    /// How bad it was lately, 0 to 1: the last call counts an eighth.
    failing: f32,
    window_start: Tick,
    calls: u32,
    failures: u32,
}

impl Breaker {
    /// A closed one.
    #[must_use]
    pub const fn new(settings: Settings) -> Self {
        Self {
            settings,
            state: State::Closed,
            generation: 0,
            in_a_row: 0,
            since: Tick::ZERO,
            opened: 0,
            sick: 0,
            limits: 0,
            failing: 0.0,
            window_start: Tick::ZERO,
            calls: 0,
            failures: 0,
        }
    }

    /// Whether it may be asked.
    #[must_use]
    pub fn health(&self, now: Tick) -> Health {
        match self.state {
            State::Closed => Health::Closed,
            State::Open { until, cause } if now < until => Health::Open { until, cause },
            State::Open { .. } => Health::Probe,
            State::Probing { since, .. } if now.since(since) < self.settings.probe => Health::Probing,
            State::Probing { .. } => Health::Probe,
            State::Ramp { successes } => Health::Ramp(share(successes + 1, self.settings.ramp + 1)),
        }
    }

    /// Asks for leave to make one call; `None`: not now. In probation exactly one call gets it.
    pub fn admit(&mut self, now: Tick) -> Option<Ticket> {
        match self.health(now) {
            Health::Closed | Health::Ramp(_) => Some(Ticket { generation: self.generation, probe: false, at: now }),
            Health::Probe => {
                let cause = match self.state {
                    State::Open { cause, .. } | State::Probing { cause, .. } => cause,
                    State::Closed | State::Ramp { .. } => Cause::Sick,
                };
                self.become_state(State::Probing { since: now, cause });
                Some(Ticket { generation: self.generation, probe: true, at: now })
            }
            Health::Probing | Health::Open { .. } => None,
        }
    }

    /// Leave to make a call though it is open, for the last resort when everyone is down. A success closes it as a
    /// probe's would; a failure does not hold it open any longer.
    pub const fn force(&self, now: Tick) -> Ticket {
        Ticket { generation: self.generation, probe: false, at: now }
    }

    /// Gives a ticket back with the call's outcome. `chance` spreads the time that it stays open, so that many
    /// gateways do not probe at the same moment.
    pub fn settle(&mut self, ticket: Ticket, outcome: Outcome, now: Tick, chance: u64) {
        self.failing = match outcome {
            Outcome::Success => self.failing * KEPT,
            Outcome::Failure { cause: Cause::Sick, .. } => self.failing * KEPT + (1.0 - KEPT),
            Outcome::Neutral | Outcome::Failure { .. } => self.failing,
        };
        if ticket.generation != self.generation {
            return;
        }
        match (self.state, outcome) {
            (State::Probing { cause, .. }, Outcome::Neutral) => {
                // The probe said nothing: the next request may be one.
                self.become_state(State::Open { until: now, cause });
            }
            (_, Outcome::Neutral) | (State::Open { .. }, Outcome::Failure { .. }) => {}
            (State::Closed, Outcome::Success) => {
                self.count(now, false);
                if ticket.at >= self.since {
                    self.in_a_row = 0;
                }
            }
            (State::Open { .. } | State::Probing { .. }, Outcome::Success) => {
                self.become_state(State::Ramp { successes: 0 });
                self.in_a_row = 0;
            }
            (State::Ramp { successes }, Outcome::Success) => {
                self.in_a_row = 0;
                if successes + 1 >= self.settings.ramp {
                    self.close(now);
                } else {
                    self.state = State::Ramp { successes: successes + 1 };
                }
            }
            (_, Outcome::Failure { cause, wait }) => {
                self.count(now, true);
                if self.in_a_row == 0 {
                    self.since = now;
                }
                self.in_a_row += 1;
                if self.must_open(cause) {
                    self.open(cause, wait, now, chance);
                }
            }
        }
    }

    /// Opens it from outside: a failure that a neighbour proves, or an operator's wish.
    pub fn trip(&mut self, cause: Cause, wait: Option<Duration>, now: Tick, chance: u64) {
        self.open(cause, wait, now, chance);
    }

    /// How often it opened since it was last fully closed.
    #[must_use]
    pub const fn opened(&self) -> u32 {
        self.opened
    }

    /// How bad it was lately, 0 (every call was answered) to 1 (every call failed), whatever its state: which of several
    /// that are down is the least bad.
    #[must_use]
    pub const fn failing(&self) -> f32 {
        self.failing
    }

    /// The share of failed calls in the current window; `None`: too few calls.
    #[must_use]
    pub fn error_rate(&self, now: Tick) -> Option<f32> {
        let recent = now.since(self.window_start) < self.settings.window * 2;
        (recent && self.calls >= self.settings.least).then(|| share(self.failures, self.calls))
    }

    fn must_open(&self, cause: Cause) -> bool {
        match (self.state, cause) {
            // Whoever refuses us or asks us to wait is believed at once; whoever is on probation has no credit.
            (_, Cause::Hard | Cause::Limit | Cause::Correlated) | (State::Probing { .. }, _) => true,
            (_, Cause::Sick) => {
                let many = self.calls >= self.settings.least && share(self.failures, self.calls) > self.settings.share;
                self.in_a_row >= self.settings.consecutive || many
            }
        }
    }

    fn open(&mut self, cause: Cause, wait: Option<Duration>, now: Tick, chance: u64) {
        let doubled = |first: Duration, times: u32| {
            let long = first.saturating_mul(1 << times.min(16)).min(self.settings.longest);
            // From half as long to one and a half times, so that probes of many gateways spread.
            long.mul_f32(0.5 + crate::chance::unit(chance))
        };
        let stays = match (cause, wait) {
            (Cause::Hard, _) => self.settings.hard,
            (Cause::Limit, Some(wait)) => wait.min(LONGEST_WAIT),
            (Cause::Limit, None) => doubled(self.settings.limit, self.limits),
            (Cause::Sick | Cause::Correlated, wait) => {
                doubled(self.settings.sick, self.sick).max(wait.unwrap_or_default().min(LONGEST_WAIT))
            }
        };
        match (cause, wait) {
            (Cause::Sick | Cause::Correlated, _) => self.sick = self.sick.saturating_add(1),
            (Cause::Limit, None) => self.limits = self.limits.saturating_add(1),
            (Cause::Limit, Some(_)) | (Cause::Hard, _) => {}
        }
        self.opened = self.opened.saturating_add(1);
        self.in_a_row = 0;
        self.calls = 0;
        self.failures = 0;
        self.become_state(State::Open { until: now.after(stays), cause });
    }

    fn close(&mut self, now: Tick) {
        self.become_state(State::Closed);
        (self.opened, self.sick, self.limits) = (0, 0, 0);
        self.calls = 0;
        self.failures = 0;
        self.window_start = now;
    }

    const fn become_state(&mut self, state: State) {
        self.state = state;
        self.generation = self.generation.wrapping_add(1);
    }

    fn count(&mut self, now: Tick, failed: bool) {
        if now.since(self.window_start) >= self.settings.window {
            self.window_start = now;
            self.calls = 0;
            self.failures = 0;
        }
        self.calls += 1;
        self.failures += u32::from(failed);
    }
}

#[expect(clippy::cast_precision_loss, reason = "counts of a window are small")]
fn share(part: u32, whole: u32) -> f32 {
    part as f32 / whole.max(1) as f32
}

#[cfg(test)]
mod tests;
