//! What is known of one product: its retries and hedges, how much of its limits and share caps is used, its money.

use super::one::Gate;
use policy::budget::{Book, Budget, Holder, Period, Reservation};
use policy::hedge::HedgeBudget;
use policy::retry::RetryBudget;
use policy::rules::Over;
use policy::{NanoUsd, Product, Share, Tick, Wall};
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

/// Answers after which the counts of a share cap are halved: older ones weigh less and less.
const SHARE_WINDOW: u64 = 1_000;
/// Most requests whose retries and hedges are earned at once.
const DEPOSITS: u32 = 10_000;

/// One product.
pub(super) struct ProductLive {
    /// Requests whose retries and hedges are not earned yet.
    requests: AtomicU32,
    second_calls: Mutex<SecondCalls>,
    pub(super) gate: Gate,
    money: Option<Money>,
    /// Answers within each share cap, and all answers.
    used: Vec<AtomicU64>,
    answers: AtomicU64,
}

/// The second calls that a product's requests have earned.
struct SecondCalls {
    retries: RetryBudget,
    hedges: HedgeBudget,
}

/// A product's budget.
struct Money {
    book: Arc<Book>,
    holder: Holder,
    over: Over,
}

impl ProductLive {
    /// `product` with `holder`, which keeps its money where it has a budget.
    pub(super) fn new(product: &Product, book: &Arc<Book>, holder: Option<Holder>) -> Self {
        let rules = product.rules();
        Self {
            requests: AtomicU32::new(0),
            second_calls: Mutex::new(SecondCalls {
                retries: RetryBudget::new(&rules.retries),
                hedges: HedgeBudget::new(&rules.hedge),
            }),
            gate: Gate::new(rules.limits),
            money: holder.map(|holder| Money { book: Arc::clone(book), holder, over: rules.budget.over }),
            used: product.caps().iter().map(|_| AtomicU64::new(0)).collect(),
            answers: AtomicU64::new(0),
        }
    }

    /// A request begins; it earns a share of a retry and of a hedge.
    pub(super) fn request(&self) {
        self.requests.fetch_add(1, Ordering::Relaxed);
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
        with(retries, hedges)
    }

    /// Sets `worst` aside for one call. `Ok(None)`: the product has no budget.
    ///
    /// # Errors
    /// When the budget does not cover it.
    pub(super) fn reserve(&self, worst: NanoUsd, wall: Wall) -> Result<Option<Reserved>, policy::budget::Over> {
        let Some(money) = &self.money else { return Ok(None) };
        let force = money.over == Over::Alert;
        if force && money.book.left(&[money.holder], wall).is_some_and(|left| left < worst) {
            tracing::warn!("a budget is passed: its rule `over` is `alert`, so the request is answered all the same");
        }
        let reservation =
            money.book.reserve(&[money.holder], worst, wall, force).map_err(|uncovered| uncovered.over)?;
        Ok(Some(Reserved { book: Arc::clone(&money.book), reservation: Some(reservation) }))
    }

    /// What is left of the budget; `None`: without limit.
    pub(super) fn money_left(&self, wall: Wall) -> Option<NanoUsd> {
        let money = self.money.as_ref()?;
        money.book.left(&[money.holder], wall)
    }

    /// Counts what was spent in `period` before this process began.
    pub(super) fn restore(&self, period: Period, spent: NanoUsd, wall: Wall) {
        if let Some(money) = &self.money {
            money.book.with(money.holder, |budget| budget.restore(period, spent, wall));
        }
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

/// Opens a budget for `product`, where its rules have one.
pub(super) fn open(product: &Product, book: &Book) -> Option<Holder> {
    let rules = &product.rules().budget;
    let limited = rules.usd_minute.is_some() || rules.usd_day.is_some() || rules.usd_month.is_some();
    limited.then(|| book.open(Budget::new(rules)))
}

/// Money set aside for one call; dropped unsettled, all of it is free again.
pub(super) struct Reserved {
    book: Arc<Book>,
    reservation: Option<Reservation>,
}

impl Reserved {
    /// Turns it into what was really spent.
    pub(super) fn settle(mut self, spent: NanoUsd, wall: Wall) {
        if let Some(reservation) = self.reservation.take() {
            self.book.settle(reservation, spent, wall);
        }
    }
}

impl Drop for Reserved {
    fn drop(&mut self) {
        if let Some(reservation) = self.reservation.take() {
            self.book.release(reservation, Wall::from_unix(0));
        }
    }
}
