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
mod tests {
    use super::*;
    use proptest::prelude::*;

    const SICK: Outcome = Outcome::Failure { cause: Cause::Sick, wait: None };
    const HALF: u64 = 1 << 63;

    fn at(ms: u64) -> Tick {
        Tick::from_millis(ms)
    }

    fn call(breaker: &mut Breaker, now: Tick, outcome: Outcome) -> bool {
        let ticket = breaker.admit(now);
        if let Some(ticket) = ticket {
            breaker.settle(ticket, outcome, now, HALF);
        }
        ticket.is_some()
    }

    fn tripped() -> Breaker {
        let mut breaker = Breaker::new(Settings::default());
        (0..3).for_each(|_| assert!(call(&mut breaker, at(0), SICK)));
        breaker
    }

    #[test]
    fn three_in_a_row_open_it_and_a_success_between_does_not() {
        let mut breaker = Breaker::new(Settings::default());
        for _ in 0..4 {
            call(&mut breaker, at(0), SICK);
            call(&mut breaker, at(0), SICK);
            call(&mut breaker, at(0), Outcome::Success);
        }
        assert!(matches!(breaker.health(at(0)), Health::Open { .. }), "two thirds of twelve are more than half");
        let mut breaker = tripped();
        assert_eq!(breaker.health(at(0)), Health::Open { until: at(5_000), cause: Cause::Sick });
        assert!(!call(&mut breaker, at(4_999), Outcome::Success));
    }

    #[test]
    fn a_refusal_opens_at_once_and_a_wait_is_obeyed() {
        let mut breaker = Breaker::new(Settings::default());
        call(&mut breaker, at(0), Outcome::Failure { cause: Cause::Hard, wait: None });
        assert_eq!(breaker.health(at(1)), Health::Open { until: at(300_000), cause: Cause::Hard });
        let mut breaker = Breaker::new(Settings::default());
        let wait = Some(Duration::from_secs(17));
        call(&mut breaker, at(0), Outcome::Failure { cause: Cause::Limit, wait });
        assert_eq!(breaker.health(at(1)), Health::Open { until: at(17_000), cause: Cause::Limit });
    }

    #[test]
    fn one_probe_then_a_slow_start() {
        let mut breaker = tripped();
        assert_eq!(breaker.health(at(5_000)), Health::Probe);
        let probe = breaker.admit(at(5_000)).unwrap();
        assert!(probe.probe());
        assert_eq!(breaker.health(at(5_001)), Health::Probing);
        assert!(breaker.admit(at(5_001)).is_none());
        breaker.settle(probe, Outcome::Success, at(5_100), HALF);
        let mut last = 0.0;
        for _ in 0..10 {
            let Health::Ramp(share) = breaker.health(at(5_100)) else { panic!("{:?}", breaker.health(at(5_100))) };
            assert!(share > last && share < 1.0);
            last = share;
            call(&mut breaker, at(5_100), Outcome::Success);
        }
        assert_eq!(breaker.health(at(5_100)), Health::Closed);
        assert_eq!(breaker.opened(), 0);
    }

    #[test]
    fn a_failed_probe_doubles_the_time_and_a_lost_one_is_replaced() {
        let mut breaker = tripped();
        call(&mut breaker, at(5_000), SICK);
        assert_eq!(breaker.health(at(5_000)), Health::Open { until: at(15_000), cause: Cause::Sick });
        let lost = breaker.admit(at(15_000)).unwrap();
        assert_eq!(breaker.health(at(75_000)), Health::Probe);
        let second = breaker.admit(at(75_000)).unwrap();
        breaker.settle(lost, SICK, at(75_001), HALF);
        assert_eq!(breaker.health(at(75_001)), Health::Probing, "a probe that was given up has no say");
        breaker.settle(second, Outcome::Neutral, at(75_002), HALF);
        assert_eq!(breaker.health(at(75_002)), Health::Probe, "a probe that says nothing makes room for another");
    }

    #[test]
    fn what_began_before_the_failures_does_not_speak_against_them() {
        let mut breaker = Breaker::new(Settings::default());
        let long = breaker.admit(at(0)).unwrap();
        (0..2).for_each(|_| assert!(call(&mut breaker, at(1_000), SICK)));
        breaker.settle(long, Outcome::Success, at(1_001), HALF);
        call(&mut breaker, at(1_002), SICK);
        assert!(matches!(breaker.health(at(1_002)), Health::Open { .. }));
    }

    #[test]
    fn it_is_known_how_bad_it_was_whatever_its_state() {
        let (mut breaker, mut dead) = (tripped(), tripped());
        assert!(breaker.failing() > 0.3);
        for _ in 0..20 {
            let (forced, hopeless) = (breaker.force(at(1)), dead.force(at(1)));
            breaker.settle(forced, Outcome::Success, at(1), HALF);
            dead.settle(hopeless, SICK, at(1), HALF);
        }
        assert!(breaker.failing() < 0.05 && dead.failing() > 0.9);
    }

    #[test]
    fn a_limit_does_not_make_the_next_sickness_longer() {
        let mut breaker = Breaker::new(Settings::default());
        let wait = Some(Duration::from_secs(1));
        call(&mut breaker, at(0), Outcome::Failure { cause: Cause::Limit, wait });
        call(&mut breaker, at(1_000), SICK);
        assert_eq!(breaker.health(at(1_000)), Health::Open { until: at(6_000), cause: Cause::Sick });
    }

    #[test]
    fn calls_from_before_it_opened_have_no_say() {
        let mut breaker = Breaker::new(Settings::default());
        let early = breaker.admit(at(0)).unwrap();
        let also = breaker.admit(at(0)).unwrap();
        (0..3).for_each(|_| assert!(call(&mut breaker, at(1), SICK)));
        let before = breaker.health(at(1));
        breaker.settle(early, SICK, at(2), HALF);
        breaker.settle(also, Outcome::Success, at(2), HALF);
        assert_eq!(breaker.health(at(2)), before);
    }

    #[test]
    fn the_last_resort_can_prove_it_alive_and_does_not_hold_it_down() {
        let mut breaker = tripped();
        let before = breaker.health(at(1));
        let forced = breaker.force(at(1));
        breaker.settle(forced, SICK, at(1), HALF);
        assert_eq!(breaker.health(at(1)), before);
        let forced = breaker.force(at(1));
        breaker.settle(forced, Outcome::Success, at(1), HALF);
        assert!(matches!(breaker.health(at(1)), Health::Ramp(_)));
    }

    #[test]
    fn every_fault_has_a_verdict() {
        let of = |kind, side| verdict(&Fault::new(kind, side, "x"));
        for kind in FaultKind::ALL {
            assert_eq!(of(kind, Side::Client).1, Outcome::Neutral, "{kind:?}");
        }
        let hard = Outcome::Failure { cause: Cause::Hard, wait: None };
        assert_eq!(of(FaultKind::Unauthenticated, Side::Provider), (Level::Account, hard));
        assert_eq!(of(FaultKind::NotFound, Side::Provider), (Level::Deployment, hard));
        assert_eq!(of(FaultKind::Cut, Side::Provider), (Level::Deployment, SICK));
        assert_eq!(of(FaultKind::ContentFilter, Side::Provider).1, Outcome::Neutral);
    }

    fn outcome() -> impl Strategy<Value = Outcome> {
        prop_oneof![
            3 => Just(Outcome::Success),
            1 => Just(Outcome::Neutral),
            3 => Just(SICK),
            1 => Just(Outcome::Failure { cause: Cause::Limit, wait: None }),
            1 => (0_u64..30).prop_map(|s| Outcome::Failure {
                cause: Cause::Limit,
                wait: Some(Duration::from_secs(s)),
            }),
            1 => Just(Outcome::Failure { cause: Cause::Hard, wait: None }),
        ]
    }

    proptest! {
        /// Against a plain account of what happened: it opens only for a cause, lets exactly one probe through, and
        /// never stays open for ever.
        #[test]
        fn it_opens_for_a_cause_and_probes_once(
            steps in prop::collection::vec((0_u64..4_000, any::<bool>(), outcome(), any::<u64>()), 1..300),
        ) {
            let settings = Settings::default();
            let mut breaker = Breaker::new(settings);
            let (mut now, mut out) = (0, Vec::new());
            for (wait, begin, outcome, chance) in steps {
                now += wait;
                let tick = at(now);
                let before = breaker.health(tick);
                if begin {
                    let ticket = breaker.admit(tick);
                    prop_assert_eq!(ticket.is_some(), !matches!(before, Health::Open { .. } | Health::Probing));
                    if let Some(ticket) = ticket {
                        prop_assert_eq!(ticket.probe(), before == Health::Probe);
                        if ticket.probe() {
                            prop_assert!(breaker.admit(tick).is_none());
                        }
                        out.push(ticket);
                    }
                } else if !out.is_empty() {
                    let ticket = out.remove((chance % out.len() as u64) as usize);
                    breaker.settle(ticket, outcome, tick, chance);
                    let opened = matches!(breaker.health(tick), Health::Open { .. })
                        && !matches!(before, Health::Open { .. });
                    let caused = matches!(outcome, Outcome::Failure { .. });
                    prop_assert!(!opened || caused);
                    if let (true, Health::Open { until, .. }) = (opened, breaker.health(tick)) {
                        prop_assert!(until.since(tick) <= settings.longest.mul_f32(1.5));
                    }
                }
            }
        }

        #[test]
        fn no_failure_no_ejection(calls in prop::collection::vec((0_u64..3_000, any::<bool>()), 1..200)) {
            let mut breaker = Breaker::new(Settings::default());
            let mut now = 0;
            for (wait, neutral) in calls {
                now += wait;
                let outcome = if neutral { Outcome::Neutral } else { Outcome::Success };
                prop_assert!(call(&mut breaker, at(now), outcome));
                prop_assert_eq!(breaker.health(at(now)), Health::Closed);
            }
        }
    }
}
