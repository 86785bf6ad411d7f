//! What is known of one product besides its limits and money: its retries and hedges, how much of its share caps is used.

use policy::hedge::HedgeBudget;
use policy::retry::RetryBudget;
use policy::{Product, Share, Tick};
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

/// Answers after which the counts of a share cap are halved: older ones weigh less and less.
const SHARE_WINDOW: u64 = 1_000;
/// Most requests whose retries and hedges are earned at once.
const DEPOSITS: u32 = 10_000;

/// One product.
pub(super) struct ProductLive {
    /// Requests whose retries and hedges are not earned yet.
    requests: AtomicU32,
    /// Calls that were answered and have not earned their retry yet.
    answered: AtomicU32,
    second_calls: Mutex<SecondCalls>,
    /// Answers within each share cap, and all answers.
    used: Vec<AtomicU64>,
    answers: AtomicU64,
}

/// The second calls that a product's requests have earned.
struct SecondCalls {
    retries: RetryBudget,
    hedges: HedgeBudget,
}

impl ProductLive {
    /// `product`, of which nothing is known yet.
    pub(super) fn new(product: &Product) -> Self {
        let rules = product.rules();
        Self {
            requests: AtomicU32::new(0),
            answered: AtomicU32::new(0),
            second_calls: Mutex::new(SecondCalls {
                retries: RetryBudget::new(&rules.retries),
                hedges: HedgeBudget::new(&rules.hedge),
            }),
            used: product.caps().iter().map(|_| AtomicU64::new(0)).collect(),
            answers: AtomicU64::new(0),
        }
    }

    /// The same product for requests that must not spend the others' second calls.
    pub(super) fn apart(&self, product: &Product) -> Self {
        let copy = |count: &AtomicU64| AtomicU64::new(count.load(Ordering::Relaxed));
        Self { used: self.used.iter().map(copy).collect(), answers: copy(&self.answers), ..Self::new(product) }
    }

    /// A request begins; it earns a share of a retry and of a hedge.
    pub(super) fn request(&self) {
        self.requests.fetch_add(1, Ordering::Relaxed);
    }

    /// A call was answered to its end.
    pub(super) fn answered(&self) {
        self.answered.fetch_add(1, Ordering::Relaxed);
    }

    /// With the budgets of second calls, up to date.
    pub(super) fn second_calls<T>(&self, now: Tick, with: impl FnOnce(&mut RetryBudget, &mut HedgeBudget) -> T) -> T {
        let earned = self.requests.swap(0, Ordering::Relaxed).min(DEPOSITS);
        let mut budgets = self.second_calls.lock().unwrap_or_else(PoisonError::into_inner);
        for _ in 0..earned {
            budgets.retries.deposit(now);
            budgets.hedges.deposit(now);
        }
        let SecondCalls { retries, hedges } = &mut *budgets;
        retries.earn(u64::from(self.answered.swap(0, Ordering::Relaxed)), now);
        with(retries, hedges)
    }

    pub(super) fn share(&self, cap: usize) -> Share {
        Share {
            used: self.used.get(cap).map_or(0, |used| used.load(Ordering::Relaxed)),
            total: self.answers.load(Ordering::Relaxed),
        }
    }

    /// An answer within `caps` has begun.
    pub(super) fn count_share(&self, caps: &[usize]) {
        if self.used.is_empty() {
            return;
        }
        for used in caps.iter().filter_map(|cap| self.used.get(*cap)) {
            used.fetch_add(1, Ordering::Relaxed);
        }
        if self.answers.fetch_add(1, Ordering::Relaxed) + 1 >= SHARE_WINDOW {
            for count in self.used.iter().chain([&self.answers]) {
                let half = count.load(Ordering::Relaxed) / 2;
                count.store(half, Ordering::Relaxed);
            }
        }
    }
}
