//! Whether to try again, where and when. Retries live on a budget: a share of the requests of the last ten seconds and
//! a few per second, and one for each call that was answered: while more calls succeed than fail a retry is worth it, and
//! a fleet that only fails is never stormed.

use crate::rules::Retries;
use crate::time::Tick;
use crate::window::Window;
use canon::{Fault, FaultKind, Retry, Side};
use std::time::Duration;

/// Seconds over which requests earn retries.
const SECONDS: usize = 10;
/// Over four such times answered calls earn retries: short, so that a fleet that has just died is not stormed on credit.
const EARNING: Duration = Duration::from_millis(500);
const EARNING_SLOTS: usize = 4;
/// The longest backoff before chance shortens it.
const BACKOFF_CAP: Duration = Duration::from_secs(2);
/// The backoff after the first round, before chance shortens it; doubles with each further one.
const BACKOFF_BASE: Duration = Duration::from_millis(100);
/// Answered calls that earn a retry for a request that waits for one: whoever was down for a while has many waiting for
/// it, and hears them one after the other.
const WAITING: u64 = 4;
/// Less time than this is not worth an attempt.
const LEAST_LEFT: Duration = Duration::from_millis(20);

/// The retries that a pool of requests may afford.
#[derive(Debug, Clone)]
pub struct RetryBudget {
    share: f64,
    floor: u32,
    window: Window<SECONDS>,
    /// Calls that were answered, and retries.
    earned: Window<EARNING_SLOTS>,
}

impl RetryBudget {
    /// A budget by the rules of a product.
    #[must_use]
    pub const fn new(rules: &Retries) -> Self {
        const SECOND: Duration = Duration::from_secs(1);
        let (window, earned) = (Window::new(SECOND), Window::new(EARNING));
        Self { share: rules.share, floor: rules.floor_per_second, window, earned }
    }

    /// So many calls were answered.
    pub fn earn(&mut self, answers: u64, now: Tick) {
        self.earned.add(now, answers, 0);
    }

    /// A request came in.
    pub fn deposit(&mut self, now: Tick) {
        self.window.add(now, 1, 0);
    }

    /// Takes one retry; `false`: none is left.
    pub fn withdraw(&mut self, now: Tick) -> bool {
        let (requests, spent) = self.window.sums(now);
        let affordable = self.left_earned(now) > 0 || spent < self.affordable(requests);
        if affordable {
            self.take(now);
        }
        affordable
    }

    /// Takes one retry that `answers` answered calls have earned; `false`: too few were answered lately, or too many
    /// failed.
    pub fn withdraw_earned(&mut self, answers: u64, now: Tick) -> bool {
        let earned = self.left_earned(now) >= answers;
        if earned {
            self.earned.add(now, 0, answers);
        }
        earned
    }

    fn left_earned(&self, now: Tick) -> u64 {
        let (answers, spent) = self.earned.sums(now);
        answers.saturating_sub(spent)
    }

    /// Takes one retry even where none is left: a request's first change to a healthy deployment. What it takes is
    /// missing for others.
    pub fn take(&mut self, now: Tick) {
        if self.left_earned(now) > 0 {
            self.earned.add(now, 0, 1);
        } else {
            self.window.add(now, 0, 1);
        }
    }

    /// Retries left now.
    #[must_use]
    pub fn left(&self, now: Tick) -> u64 {
        let (requests, spent) = self.window.sums(now);
        self.affordable(requests).saturating_sub(spent) + self.left_earned(now)
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
    /// How often everybody who was ready has been asked.
    pub rounds: u32,
    /// The least time until somebody who was asked already may be asked again; `None`: they would all fail again.
    pub again: Option<Duration>,
    /// Whether a second round is worth it only while others are answered: whoever failed was the last resort, or the
    /// house stands by.
    pub earned: bool,
    /// Whether it has waited for a retry to be earned.
    pub waited: bool,
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
    /// Nobody else is ready: look again, after this time, who is.
    Again {
        /// The time to wait.
        after: Duration,
    },
}

/// Why not to try again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum GiveUp {
    /// It would fail again everywhere.
    Final,
    /// No other deployment is ready, and those that were asked would fail again.
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
    let Failed { fault, attempts, left, elsewhere, rounds, again, earned, waited } = *failed;
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
    } else if let Some(wait) = again {
        Decision::Again { after: wait.max(backoff(rounds, chance)) }
    } else {
        return Decision::GiveUp(GiveUp::NoOther);
    };
    if let Decision::Here { after } | Decision::Again { after } = decision
        && after.saturating_add(LEAST_LEFT) > left
    {
        return Decision::GiveUp(GiveUp::Deadline);
    }
    let paid = match decision {
        _ if waited => budget.withdraw_earned(WAITING, now),
        Decision::Elsewhere if first => {
            budget.take(now);
            true
        }
        Decision::Again { .. } if earned => budget.withdraw_earned(1, now),
        _ => budget.withdraw(now),
    };
    if paid { decision } else { Decision::GiveUp(GiveUp::Budget) }
}

/// Whether a deployment that showed this fault may work a moment later. One of our own that has no place left is not
/// asked again: its places to wait are taken, and another wait before them would make them endless.
#[must_use]
pub const fn passes(fault: &Fault) -> bool {
    if matches!((fault.kind, fault.side), (FaultKind::Overloaded, Side::Gateway)) {
        return false;
    }
    matches!(
        fault.kind,
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

/// Exponential backoff with full jitter: anything from 0 to 100 ms, doubled per round before, at most two seconds.
#[must_use]
pub fn backoff(rounds: u32, chance: u64) -> Duration {
    let most = BACKOFF_BASE.saturating_mul(1 << rounds.min(8)).min(BACKOFF_CAP);
    most.mul_f32(crate::chance::unit(chance))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const HOUR: Duration = Duration::from_secs(3_600);

    /// After the first round, when whoever failed is the only one.
    fn failed(fault: &Fault, attempts: u32, left: Duration, elsewhere: bool) -> Failed<'_> {
        let again = passes(fault).then(|| fault.retry_after.unwrap_or_default());
        Failed { fault, attempts, left, elsewhere, rounds: 0, again, earned: false, waited: false }
    }

    fn decide(fault: &Fault, attempts: u32, left: Duration, elsewhere: bool) -> Decision {
        let rules = Retries { attempts: 4, ..Retries::default() };
        let mut budget = RetryBudget::new(&rules);
        next(&failed(fault, attempts, left, elsewhere), &rules, &mut budget, Tick::ZERO, u64::MAX)
    }

    #[test]
    fn those_who_wait_come_one_after_the_other() {
        let rules = Retries { share: 1.0, floor_per_second: 100, ..Retries::default() };
        let mut budget = RetryBudget::new(&rules);
        let fault = Fault::provider(FaultKind::Server, "broken");
        let waits = Failed { waited: true, ..failed(&fault, 2, HOUR, true) };
        let ask = |budget: &mut RetryBudget| next(&waits, &rules, budget, Tick::ZERO, 0);
        assert_eq!(ask(&mut budget), Decision::GiveUp(GiveUp::Budget), "whatever else is left");
        budget.earn(2 * WAITING + 1, Tick::ZERO);
        assert_eq!(ask(&mut budget), Decision::Elsewhere);
        assert_eq!(ask(&mut budget), Decision::Elsewhere);
        assert_eq!(ask(&mut budget), Decision::GiveUp(GiveUp::Budget));
    }

    #[test]
    fn elsewhere_at_once_and_here_only_with_time() {
        let mut fault = Fault::provider(FaultKind::RateLimited, "slow down").after(Duration::from_secs(7));
        assert_eq!(decide(&fault, 1, HOUR, true), Decision::Elsewhere);
        assert_eq!(decide(&fault, 1, HOUR, false), Decision::Again { after: Duration::from_secs(7) });
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
        let mut ask = |attempts| next(&failed(&fault, attempts, HOUR, true), &rules, &mut budget, Tick::ZERO, 0);
        assert_eq!(ask(1), Decision::Elsewhere);
        assert_eq!(ask(2), Decision::GiveUp(GiveUp::Budget));
    }

    #[test]
    fn what_is_answered_earns_retries_and_what_only_fails_earns_none() {
        let rules = Retries { floor_per_second: 0, share: 0.0, ..Retries::default() };
        let fault = Fault::provider(FaultKind::Server, "500");
        let mut budget = RetryBudget::new(&rules);
        let again = |budget: &mut RetryBudget, earned| {
            let failed = Failed { rounds: 1, earned, ..failed(&fault, 3, HOUR, false) };
            next(&failed, &rules, budget, Tick::ZERO, 0)
        };
        assert_eq!(again(&mut budget, false), Decision::GiveUp(GiveUp::Budget));
        budget.earn(2, Tick::ZERO);
        assert_eq!(budget.left(Tick::ZERO), 2);
        let after = Duration::ZERO;
        assert_eq!([again(&mut budget, false), again(&mut budget, true)], [Decision::Again { after }; 2]);
        assert_eq!(again(&mut budget, true), Decision::GiveUp(GiveUp::Budget));
        // What every product has for nothing is not for the last resort.
        let mut budget = RetryBudget::new(&Retries::default());
        assert_eq!(again(&mut budget, true), Decision::GiveUp(GiveUp::Budget));
        assert_eq!(again(&mut budget, false), Decision::Again { after });
    }

    proptest! {
        #[test]
        fn the_budget_is_never_passed(
            share in 0.0_f64..1.0,
            floor in 0_u32..4,
            steps in prop::collection::vec((any::<bool>(), any::<bool>(), 0_u64..800), 1..500),
        ) {
            let mut budget = RetryBudget::new(&Retries { share, floor_per_second: floor, attempts: 4 });
            let (mut now, mut requests, mut retries, mut answers) = (0, Vec::new(), Vec::new(), Vec::new());
            for (request, answered, wait) in steps {
                now += wait;
                let tick = Tick::from_millis(now);
                // The window is one of whole seconds, the current one included.
                let lately = |all: &[u64]| all.iter().filter(|at| **at / 1_000 + 10 > now / 1_000).count() as f64;
                if request {
                    budget.deposit(tick);
                    requests.push(now);
                } else if answered {
                    budget.earn(1, tick);
                    answers.push(now);
                } else if budget.withdraw(tick) {
                    retries.push(now);
                    let most = lately(&requests) * share + f64::from(floor) * 10.0;
                    let earned = answers.iter().filter(|at| **at / 1_000 + 12 > now / 1_000).count() as f64;
                    // The two seconds of an answer may count for those before it and for those behind it.
                    prop_assert!(lately(&retries) <= most + 2.0 * earned);
                }
            }
        }

        #[test]
        fn backoff_keeps_below_its_cap(rounds in 0_u32..40, chance: u64) {
            let most = Duration::from_millis(100 << rounds.min(5)).min(BACKOFF_CAP);
            prop_assert!(backoff(rounds, chance) <= most);
        }
    }
}
