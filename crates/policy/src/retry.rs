//! Whether to try again, where and when. Retries live on a budget: a share of the requests of the last ten seconds and
//! a few per second, so that a failing fleet is never stormed.

use crate::rules::Retries;
use crate::time::Tick;
use crate::window::Window;
use canon::{Fault, FaultKind, Retry};
use std::time::Duration;

/// Seconds over which requests earn retries.
const SECONDS: usize = 10;
/// The longest backoff before chance shortens it.
const BACKOFF_CAP: Duration = Duration::from_secs(2);
/// The backoff after the first attempt, before chance shortens it; doubles with each further one.
const BACKOFF_BASE: Duration = Duration::from_millis(100);
/// Less time than this is not worth an attempt.
const LEAST_LEFT: Duration = Duration::from_millis(20);

/// The retries that a pool of requests may afford.
#[derive(Debug, Clone)]
pub struct RetryBudget {
    share: f64,
    floor: u32,
    window: Window<SECONDS>,
}

impl RetryBudget {
    /// A budget by the rules of a product.
    #[must_use]
    pub const fn new(rules: &Retries) -> Self {
        Self { share: rules.share, floor: rules.floor_per_second, window: Window::new(Duration::from_secs(1)) }
    }

    /// A request came in.
    pub fn deposit(&mut self, now: Tick) {
        self.window.add(now, 1, 0);
    }

    /// Takes one retry; `false`: none is left.
    pub fn withdraw(&mut self, now: Tick) -> bool {
        let (requests, spent) = self.window.sums(now);
        let affordable = spent < self.affordable(requests);
        if affordable {
            self.window.add(now, 0, 1);
        }
        affordable
    }

    /// Takes one retry even where none is left: a request's first change to a healthy deployment. What it takes is
    /// missing for others.
    pub fn take(&mut self, now: Tick) {
        self.window.add(now, 0, 1);
    }

    /// Retries left now.
    #[must_use]
    pub fn left(&self, now: Tick) -> u64 {
        let (requests, spent) = self.window.sums(now);
        self.affordable(requests).saturating_sub(spent)
    }

    #[expect(
        clippy::cast_precision_loss,
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "counts of ten seconds are small and the share is not negative"
    )]
    fn affordable(&self, requests: u64) -> u64 {
        (requests as f64 * self.share) as u64 + u64::from(self.floor) * SECONDS as u64
    }
}

/// What stands after a failed attempt.
#[derive(Debug, Clone, Copy)]
pub struct Failed<'a> {
    /// What went wrong.
    pub fault: &'a Fault,
    /// How many attempts were made, the failed one included.
    pub attempts: u32,
    /// What is left until the request's deadline.
    pub left: Duration,
    /// Whether another leg of the plan is ready: healthy and with headroom.
    pub elsewhere: bool,
}

/// What to do after a failed attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Decision {
    /// Answer with the fault.
    GiveUp(GiveUp),
    /// Ask the same deployment again after this time.
    Here {
        /// The time to wait.
        after: Duration,
    },
    /// Ask the next leg at once.
    Elsewhere,
}

/// Why not to try again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum GiveUp {
    /// It would fail again everywhere.
    Final,
    /// No other deployment is ready, and this one would fail again.
    NoOther,
    /// The request has had its attempts.
    Attempts,
    /// The time left does not allow another attempt.
    Deadline,
    /// The retry budget is used up.
    Budget,
}

impl GiveUp {
    /// The stable name.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Final => "final",
            Self::NoOther => "no-other",
            Self::Attempts => "attempts",
            Self::Deadline => "deadline",
            Self::Budget => "retry-budget",
        }
    }
}

/// Decides what to do after a failed attempt and takes the retry from `budget`. A failed attempt goes elsewhere at
/// once; waiting is only for when nobody else is ready, and never longer than the deadline. `Retry-After` is obeyed
/// to the full.
pub fn next(failed: &Failed<'_>, rules: &Retries, budget: &mut RetryBudget, now: Tick, chance: u64) -> Decision {
    let Failed { fault, attempts, left, elsewhere } = *failed;
    if fault.retry == Retry::Never {
        return Decision::GiveUp(GiveUp::Final);
    }
    if attempts >= rules.attempts {
        return Decision::GiveUp(GiveUp::Attempts);
    }
    if left < LEAST_LEFT {
        return Decision::GiveUp(GiveUp::Deadline);
    }
    let first = attempts <= 1;
    let decision = if fault.retry == Retry::Here && (first || fault.kind == FaultKind::Invalid) {
        // Nothing is wrong with the deployment itself, e.g. a kept connection had died, or what it refused was mended.
        Decision::Here { after: fault.retry_after.unwrap_or_default() }
    } else if elsewhere {
        Decision::Elsewhere
    } else if passes(fault.kind) {
        Decision::Here { after: fault.retry_after.unwrap_or_else(|| backoff(attempts, chance)) }
    } else {
        return Decision::GiveUp(GiveUp::NoOther);
    };
    if matches!(decision, Decision::Here { after } if after.saturating_add(LEAST_LEFT) > left) {
        return Decision::GiveUp(GiveUp::Deadline);
    }
    if decision == Decision::Elsewhere && first {
        budget.take(now);
    } else if !budget.withdraw(now) {
        return Decision::GiveUp(GiveUp::Budget);
    }
    decision
}

/// Whether a deployment that showed this fault may work a moment later.
const fn passes(kind: FaultKind) -> bool {
    matches!(
        kind,
        FaultKind::RateLimited
            | FaultKind::QuotaExhausted
            | FaultKind::Overloaded
            | FaultKind::Server
            | FaultKind::Connect
            | FaultKind::ConnectTimeout
            | FaultKind::FirstTokenTimeout
            | FaultKind::Stalled
            | FaultKind::Cut
            | FaultKind::Malformed
            | FaultKind::Internal
    )
}

/// Exponential backoff with full jitter: anything from 0 to 100 ms doubled per attempt, at most two seconds.
#[must_use]
pub fn backoff(attempts: u32, chance: u64) -> Duration {
    let most = BACKOFF_BASE.saturating_mul(1 << attempts.saturating_sub(1).min(8)).min(BACKOFF_CAP);
    most.mul_f32(crate::chance::unit(chance))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const HOUR: Duration = Duration::from_secs(3_600);

    fn decide(fault: &Fault, attempts: u32, left: Duration, elsewhere: bool) -> Decision {
        let rules = Retries::default();
        let mut budget = RetryBudget::new(&rules);
        next(&Failed { fault, attempts, left, elsewhere }, &rules, &mut budget, Tick::ZERO, u64::MAX)
    }

    #[test]
    fn elsewhere_at_once_and_here_only_with_time() {
        let mut fault = Fault::provider(FaultKind::RateLimited, "slow down").after(Duration::from_secs(7));
        assert_eq!(decide(&fault, 1, HOUR, true), Decision::Elsewhere);
        assert_eq!(decide(&fault, 1, HOUR, false), Decision::Here { after: Duration::from_secs(7) });
        assert_eq!(decide(&fault, 1, Duration::from_secs(7), false), Decision::GiveUp(GiveUp::Deadline));
        assert_eq!(decide(&fault, 4, HOUR, true), Decision::GiveUp(GiveUp::Attempts));
        fault.retry = Retry::Never;
        assert_eq!(decide(&fault, 1, HOUR, true), Decision::GiveUp(GiveUp::Final));
        let refused = Fault::provider(FaultKind::Unauthenticated, "no");
        assert_eq!(decide(&refused, 1, HOUR, true), Decision::Elsewhere);
        assert_eq!(decide(&refused, 1, HOUR, false), Decision::GiveUp(GiveUp::NoOther));
    }

    #[test]
    fn a_dead_connection_is_tried_again_once_at_the_same_place() {
        let mut fault = Fault::provider(FaultKind::Connect, "reset");
        fault.retry = Retry::Here;
        assert_eq!(decide(&fault, 1, HOUR, true), Decision::Here { after: Duration::ZERO });
        assert_eq!(decide(&fault, 2, HOUR, true), Decision::Elsewhere);
    }

    #[test]
    fn the_first_change_is_free_but_counted() {
        let rules = Retries { floor_per_second: 0, share: 0.0, ..Retries::default() };
        let mut budget = RetryBudget::new(&rules);
        let fault = Fault::provider(FaultKind::Server, "500");
        let mut ask = |attempts| {
            let failed = Failed { fault: &fault, attempts, left: HOUR, elsewhere: true };
            next(&failed, &rules, &mut budget, Tick::ZERO, 0)
        };
        assert_eq!(ask(1), Decision::Elsewhere);
        assert_eq!(ask(2), Decision::GiveUp(GiveUp::Budget));
    }

    proptest! {
        #[test]
        fn the_budget_is_never_passed(
            share in 0.0_f64..1.0,
            floor in 0_u32..4,
            steps in prop::collection::vec((any::<bool>(), 0_u64..800), 1..500),
        ) {
            let mut budget = RetryBudget::new(&Retries { share, floor_per_second: floor, attempts: 4 });
            let (mut now, mut requests, mut retries) = (0, Vec::new(), Vec::new());
            for (request, wait) in steps {
                now += wait;
                let tick = Tick::from_millis(now);
                // The window is one of whole seconds, the current one included.
                let lately = |all: &[u64]| all.iter().filter(|at| **at / 1_000 + 10 > now / 1_000).count() as f64;
                if request {
                    budget.deposit(tick);
                    requests.push(now);
                } else if budget.withdraw(tick) {
                    retries.push(now);
                    let most = lately(&requests) * share + f64::from(floor) * 10.0;
                    prop_assert!(lately(&retries) <= most);
                }
            }
        }

        #[test]
        fn backoff_keeps_below_its_cap(attempts in 0_u32..40, chance: u64) {
            let most = Duration::from_millis(100 << attempts.saturating_sub(1).min(5)).min(BACKOFF_CAP);
            prop_assert!(backoff(attempts, chance) <= most);
        }
    }
}
