//! Money per minute, day and month: the worst case is reserved before a call and settled after it, so that no number
//! of concurrent calls can overspend. `Budget` is the machine of one holder; `Book` keeps all of them behind one short
//! lock and reserves from a whole chain (product, team, key) or from none.

use crate::money::NanoUsd;
use crate::rules::{self, BudgetRules};
use crate::time::Wall;
use smallvec::SmallVec;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// A window of money.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Period {
    /// A minute of the clock.
    Minute,
    /// A day in UTC.
    Day,
    /// A calendar month in UTC.
    Month,
}

impl Period {
    /// Every one.
    pub const ALL: [Self; 3] = [Self::Minute, Self::Day, Self::Month];

    /// The stable name.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Minute => "minute",
            Self::Day => "day",
            Self::Month => "month",
        }
    }

    /// When the window that holds `wall` began.
    #[must_use]
    pub const fn start(self, wall: Wall) -> Wall {
        match self {
            Self::Minute => wall.minute(),
            Self::Day => wall.day(),
            Self::Month => wall.month(),
        }
    }

    /// When the window that holds `wall` ends.
    #[must_use]
    pub const fn end(self, wall: Wall) -> Wall {
        match self {
            Self::Minute => Wall::from_unix(wall.minute().unix() + 60),
            Self::Day => Wall::from_unix(wall.day().unix() + 86_400),
            Self::Month => wall.next_month(),
        }
    }
}

/// A budget that does not cover an amount.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the budget of this {} ({limit}) has {left} left, {asked} are needed", .period.name())]
pub struct Over {
    /// Which window.
    pub period: Period,
    /// What it may hold.
    pub limit: NanoUsd,
    /// What is left, reservations taken off.
    pub left: NanoUsd,
    /// What was asked for.
    pub asked: NanoUsd,
    /// How long until the window begins anew.
    pub resets: Duration,
}

/// One holder's money. Reservations count in whatever window is open, spending in the window in which it is settled.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Budget {
    windows: [Window; 3],
    reserved: NanoUsd,
    /// What happens to what it does not cover.
    over: rules::Over,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Window {
    period: Period,
    limit: Option<NanoUsd>,
    start: Wall,
    spent: NanoUsd,
}

impl Window {
    fn spent(&self, wall: Wall) -> NanoUsd {
        // A clock set back does not give money back.
        if self.period.start(wall) > self.start { NanoUsd::ZERO } else { self.spent }
    }
}

impl Budget {
    /// A budget of which nothing is spent.
    #[must_use]
    pub fn new(rules: &BudgetRules) -> Self {
        let window = |period, limit| Window { period, limit, start: Wall::from_unix(i64::MIN), spent: NanoUsd::ZERO };
        Self {
            windows: [
                window(Period::Minute, rules.usd_minute),
                window(Period::Day, rules.usd_day),
                window(Period::Month, rules.usd_month),
            ],
            reserved: NanoUsd::ZERO,
            over: rules.over,
        }
    }

    /// What happens to what it does not cover.
    #[must_use]
    pub const fn over(&self) -> rules::Over {
        self.over
    }

    /// What the window of `period` may hold.
    #[must_use]
    pub fn limit(&self, period: Period) -> Option<NanoUsd> {
        self.windows.iter().find(|window| window.period == period)?.limit
    }

    /// Other limits for what is spent and reserved already, after a change of rules.
    pub fn relimit(&mut self, rules: &BudgetRules) {
        for (window, fresh) in self.windows.iter_mut().zip(Self::new(rules).windows) {
            window.limit = fresh.limit;
        }
        self.over = rules.over;
    }

    /// Counts what was spent before this process began, in the windows that hold `wall`.
    pub fn restore(&mut self, period: Period, spent: NanoUsd, wall: Wall) {
        for window in self.windows.iter_mut().filter(|window| window.period == period) {
            window.start = period.start(wall);
            window.spent = spent;
        }
    }

    /// Spent in the window of `period` that holds `wall`.
    #[must_use]
    pub fn spent(&self, period: Period, wall: Wall) -> NanoUsd {
        let window = self.windows.iter().find(|window| window.period == period);
        window.map_or(NanoUsd::ZERO, |window| window.spent(wall))
    }

    /// Reserved and not settled.
    #[must_use]
    pub const fn reserved(&self) -> NanoUsd {
        self.reserved
    }

    /// What the tightest window still covers; `None`: no limit.
    #[must_use]
    pub fn left(&self, wall: Wall) -> Option<NanoUsd> {
        let left = |window: &Window| window.limit.map(|limit| limit.minus(window.spent(wall)).minus(self.reserved));
        self.windows.iter().filter_map(left).min()
    }

    /// Whether `amount` is covered.
    ///
    /// # Errors
    /// The first window that does not cover it.
    pub fn check(&self, amount: NanoUsd, wall: Wall) -> Result<(), Over> {
        for window in &self.windows {
            let Some(limit) = window.limit else { continue };
            let left = limit.minus(window.spent(wall)).minus(self.reserved);
            if amount > left {
                let resets = wall.until(window.period.end(wall));
                return Err(Over { period: window.period, limit, left, asked: amount, resets });
            }
        }
        Ok(())
    }

    /// Reserves `amount`.
    ///
    /// # Errors
    /// The first window that does not cover it; then nothing is reserved.
    pub fn reserve(&mut self, amount: NanoUsd, wall: Wall) -> Result<(), Over> {
        self.check(amount, wall)?;
        self.reserved = self.reserved.plus(amount);
        Ok(())
    }

    /// Sets `amount` aside, whatever the limits say: somebody else may spend it.
    pub fn set_aside(&mut self, amount: NanoUsd) {
        self.reserved = self.reserved.plus(amount);
    }

    /// Turns a reservation into what was really spent.
    pub fn settle(&mut self, reserved: NanoUsd, spent: NanoUsd, wall: Wall) {
        self.reserved = self.reserved.minus(reserved);
        for window in &mut self.windows {
            let start = window.period.start(wall);
            if start > window.start {
                window.start = start;
                window.spent = NanoUsd::ZERO;
            }
            window.spent = window.spent.plus(spent);
        }
    }
}

/// A holder's place in a `Book`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Holder(pub u32);

/// Money set aside for one request, from every budget of its chain. Settle it or release it: what is dropped stays
/// reserved.
#[derive(Debug, PartialEq, Eq)]
#[must_use = "a reservation must be settled or released, else its money is never free again"]
pub struct Reservation {
    chain: SmallVec<[Holder; 4]>,
    amount: NanoUsd,
    alarm: bool,
}

impl Reservation {
    /// What is set aside.
    #[must_use]
    pub const fn amount(&self) -> NanoUsd {
        self.amount
    }

    /// Whether it goes beyond a budget that only raises an alarm.
    #[must_use]
    pub const fn alarms(&self) -> bool {
        self.alarm
    }
}

/// A chain that does not cover an amount.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{over}")]
pub struct Uncovered {
    /// Whose budget.
    pub holder: Holder,
    /// Which window, and how far.
    pub over: Over,
}

/// Every holder's budget behind one lock that is held for some additions only.
#[derive(Debug, Default)]
pub struct Book {
    budgets: Mutex<Vec<Budget>>,
}

impl Book {
    /// An empty book.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a holder.
    pub fn open(&self, budget: Budget) -> Holder {
        let mut budgets = self.lock();
        budgets.push(budget);
        Holder(u32::try_from(budgets.len() - 1).unwrap_or(u32::MAX))
    }

    /// Reserves `amount` from every budget of `chain`, or from none. Budgets that only raise an alarm (`over = "alert"`)
    /// cover everything. Holders that the book does not know have no limit.
    ///
    /// # Errors
    /// The first holder whose budget does not cover it.
    pub fn reserve(&self, chain: &[Holder], amount: NanoUsd, wall: Wall) -> Result<Reservation, Uncovered> {
        let mut budgets = self.lock();
        let mut alarm = false;
        for holder in chain {
            let Some(budget) = budgets.get(holder.0 as usize) else { continue };
            match budget.check(amount, wall) {
                Err(_) if budget.over == rules::Over::Alert => alarm = true,
                checked => checked.map_err(|over| Uncovered { holder: *holder, over })?,
            }
        }
        for holder in chain {
            if let Some(budget) = budgets.get_mut(holder.0 as usize) {
                budget.reserved = budget.reserved.plus(amount);
            }
        }
        Ok(Reservation { chain: SmallVec::from_slice(chain), amount, alarm })
    }

    /// Turns a reservation into what was really spent.
    pub fn settle(&self, reservation: Reservation, spent: NanoUsd, wall: Wall) {
        let mut budgets = self.lock();
        for holder in reservation.chain {
            if let Some(budget) = budgets.get_mut(holder.0 as usize) {
                budget.settle(reservation.amount, spent, wall);
            }
        }
    }

    /// Frees a reservation of which nothing was spent.
    pub fn release(&self, reservation: Reservation, wall: Wall) {
        self.settle(reservation, NanoUsd::ZERO, wall);
    }

    /// What the tightest budget of `chain` that refuses anything still covers; `None`: no limit.
    #[must_use]
    pub fn left(&self, chain: &[Holder], wall: Wall) -> Option<NanoUsd> {
        let budgets = self.lock();
        let strict = |holder: &Holder| budgets.get(holder.0 as usize).filter(|one| one.over != rules::Over::Alert);
        chain.iter().filter_map(|holder| strict(holder)?.left(wall)).min()
    }

    /// Reads or changes one budget: its report, a restored state, other limits.
    pub fn with<T>(&self, holder: Holder, f: impl FnOnce(&mut Budget) -> T) -> Option<T> {
        self.lock().get_mut(holder.0 as usize).map(f)
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Budget>> {
        // Nothing under the lock can leave a budget half changed: what a panicking holder left is whole.
        self.budgets.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn dollars(minute: Option<u64>, day: Option<u64>, month: Option<u64>) -> BudgetRules {
        BudgetRules {
            usd_minute: minute.map(NanoUsd),
            usd_day: day.map(NanoUsd),
            usd_month: month.map(NanoUsd),
            ..BudgetRules::default()
        }
    }

    #[test]
    fn windows_begin_anew_and_say_when() {
        let mut budget = Budget::new(&dollars(Some(10), None, Some(15)));
        let noon = Wall::from_unix(Wall::from_date(2026, 11, 30).unix() + 86_400 - 90);
        budget.reserve(NanoUsd(10), noon).unwrap();
        budget.settle(NanoUsd(10), NanoUsd(10), noon);
        let over = budget.reserve(NanoUsd(1), noon).unwrap_err();
        assert_eq!((over.period, over.resets), (Period::Minute, Duration::from_secs(30)));
        let next = Wall::from_unix(noon.unix() + 60);
        let over = budget.reserve(NanoUsd(6), next).unwrap_err();
        assert_eq!((over.period, over.left, over.resets), (Period::Month, NanoUsd(5), Duration::from_secs(30)));
        assert_eq!(budget.left(next), Some(NanoUsd(5)));
        assert_eq!(budget.left(Wall::from_date(2026, 12, 1)), Some(NanoUsd(10)));
        assert_eq!(budget.left(noon), Some(NanoUsd(0)), "a clock set back gives nothing back");
    }

    #[test]
    fn a_chain_reserves_from_all_or_from_none() {
        let book = Book::new();
        let wall = Wall::from_date(2026, 11, 23);
        let product = book.open(Budget::new(&dollars(None, Some(100), None)));
        let key = book.open(Budget::new(&dollars(None, Some(10), None)));
        let refused = book.reserve(&[product, key], NanoUsd(11), wall).unwrap_err();
        assert_eq!(refused.holder, key);
        assert_eq!(book.left(&[product], wall), Some(NanoUsd(100)));
        let held = book.reserve(&[product, key], NanoUsd(10), wall).unwrap();
        assert_eq!(book.left(&[product], wall), Some(NanoUsd(90)));
        assert_eq!(book.left(&[product, key], wall), Some(NanoUsd(0)));
        book.release(held, wall);
        assert_eq!(book.left(&[product, key], wall), Some(NanoUsd(10)));
        let alarm = BudgetRules { over: rules::Over::Alert, ..dollars(None, Some(10), None) };
        book.with(key, |budget| budget.relimit(&alarm));
        let forced = book.reserve(&[key], NanoUsd(50), wall).unwrap();
        assert!(forced.alarms() && book.left(&[key], wall).is_none());
        book.settle(forced, NanoUsd(40), wall);
        assert_eq!(book.with(key, |budget| budget.spent(Period::Day, wall)), Some(NanoUsd(40)));
    }

    #[test]
    fn threads_cannot_overspend() {
        let book = Book::new();
        let wall = Wall::from_date(2026, 11, 23);
        let holder = book.open(Budget::new(&dollars(None, None, Some(1_000))));
        std::thread::scope(|scope| {
            for seed in 0..8_u64 {
                let book = &book;
                scope.spawn(move || {
                    for turn in 0..500 {
                        let Ok(held) = book.reserve(&[holder], NanoUsd(100), wall) else { continue };
                        match (seed + turn) % 3 {
                            0 => book.release(held, wall),
                            1 => book.settle(held, NanoUsd(7), wall),
                            _ => book.settle(held, NanoUsd(100), wall),
                        }
                    }
                });
            }
        });
        let (spent, reserved) =
            book.with(holder, |budget| (budget.spent(Period::Month, wall), budget.reserved())).unwrap();
        assert!(spent <= NanoUsd(1_000) && spent > NanoUsd(900), "{spent:?}");
        assert_eq!(reserved, NanoUsd::ZERO);
    }

    proptest! {
        #[test]
        fn nothing_is_ever_overspent(
            limits in (0_u64..500, 0_u64..2_000, 0_u64..5_000),
            steps in prop::collection::vec((0_u8..4, 0_u64..120, 0_i64..40_000), 1..200),
        ) {
            let rules = dollars(Some(limits.0), Some(limits.1), Some(limits.2));
            let mut budget = Budget::new(&rules);
            let mut held: Vec<u64> = Vec::new();
            let mut wall = Wall::from_date(2026, 11, 28);
            let mut spent: Vec<(Wall, u64)> = Vec::new();
            for (kind, amount, wait) in steps {
                wall = Wall::from_unix(wall.unix() + if kind == 3 { wait } else { wait % 7 });
                match kind {
                    0 | 3 => {
                        if budget.reserve(NanoUsd(amount), wall).is_ok() {
                            held.push(amount);
                        }
                    }
                    1 => {
                        if let Some(reserved) = held.pop() {
                            let fact = amount.min(reserved);
                            budget.settle(NanoUsd(reserved), NanoUsd(fact), wall);
                            spent.push((wall, fact));
                        }
                    }
                    _ => {
                        if !held.is_empty() {
                            let reserved = held.remove(0);
                            budget.settle(NanoUsd(reserved), NanoUsd::ZERO, wall);
                        }
                    }
                }
                for (period, limit) in Period::ALL.into_iter().zip([limits.0, limits.1, limits.2]) {
                    let begin = period.start(wall);
                    let sum: u64 = spent.iter().filter(|(at, _)| *at >= begin).map(|(_, fact)| fact).sum();
                    prop_assert_eq!(budget.spent(period, wall), NanoUsd(sum));
                    prop_assert!(sum <= limit, "{} of {}", sum, period.name());
                }
                prop_assert_eq!(budget.reserved(), NanoUsd(held.iter().sum()));
            }
        }
    }
}
