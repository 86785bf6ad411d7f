//! Who shares limits and money: a product, a team inside it, a key of either. A request takes a place within the limits
//! of each, and its worst case from the budget of each, or nothing of any. Those without limits are not there at all.

use super::estate::Purse;
use super::one::Gate;
use canon::Usage;
use policy::budget::{Book, Budget, Holder, Over, Period, Reservation, Uncovered};
use policy::limit::{Full, Place};
use policy::rules::{self, BudgetRules, Limits};
use policy::{NanoUsd, Tick, Wall};
use schemars::JsonSchema;
use serde::Serialize;
use smallvec::SmallVec;
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

/// What somebody is who shares limits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Rank {
    /// A product.
    #[default]
    Product,
    /// A team inside a product.
    Team,
    /// A key, with its successors.
    Key,
}

/// Who shares limits and money.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub struct Who {
    /// What it is.
    pub rank: Rank,
    /// The product.
    pub product: String,
    /// The team's name or the id of the key's line; empty: the product itself.
    pub name: String,
}

impl Who {
    /// A product.
    #[must_use]
    pub fn product(product: &str) -> Self {
        Self { rank: Rank::Product, product: product.to_owned(), name: String::new() }
    }

    /// A team inside `product`.
    #[must_use]
    pub fn team(product: &str, team: &str) -> Self {
        Self { rank: Rank::Team, product: product.to_owned(), name: team.to_owned() }
    }

    /// The keys of `line`.
    #[must_use]
    pub fn key(product: &str, line: &str) -> Self {
        Self { rank: Rank::Key, product: product.to_owned(), name: line.to_owned() }
    }
}

impl fmt::Display for Who {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.rank {
            Rank::Product => write!(f, "product `{}`", self.product),
            Rank::Team => write!(f, "team `{}` of product `{}`", self.name, self.product),
            Rank::Key => write!(f, "key `{}` of product `{}`", self.name, self.product),
        }
    }
}

/// One of those who share limits and money.
#[derive(Debug)]
pub struct Level {
    who: Who,
    pub(super) gate: Gate,
    holder: OnceLock<Holder>,
    /// Paid since the process began, in billionths of a US dollar.
    paid: AtomicU64,
    /// What may be set aside now that another process has taken this one's place; `ALL`: none has.
    allowance: AtomicU64,
}

/// No allowance: all that is left.
const ALL: u64 = u64::MAX;

/// A limit that is reached, and whose it is.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{who} is at its limits: {full}")]
pub struct AtLimit {
    /// Whose.
    pub who: Who,
    /// Which, and for how long.
    pub full: Full,
}

/// A budget that does not cover an amount, and whose it is.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{who}: {over}")]
pub struct Spent {
    /// Whose.
    pub who: Who,
    /// Which, and how far.
    pub over: Over,
}

/// How much one of those who share limits has used.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct Standing {
    /// What it is.
    pub of: Rank,
    /// The product.
    pub product: String,
    /// The team's name or the id of the key's line; null: the product itself.
    pub name: Option<String>,
    /// What is limited per minute, and how much of it was used in the last 60 seconds.
    pub requests: Used,
    /// Tokens, in and out.
    pub tokens: Used,
    /// Requests under way.
    pub concurrent: Used,
    /// Money by window; empty: no budget.
    pub money: Vec<Money>,
    /// US dollars set aside for calls under way.
    pub reserved_usd: NanoUsd,
    /// What happens to a request that the budget does not cover.
    pub over: Option<rules::Over>,
}

/// How much of a limit is used.
#[derive(Debug, Clone, Copy, Serialize, JsonSchema)]
pub struct Used {
    /// The limit; null: there is none.
    pub limit: Option<u64>,
    /// How much is used; null: nobody counts what nobody limits.
    pub used: Option<u64>,
}

/// Money of one window.
#[derive(Debug, Clone, Copy, Serialize, JsonSchema)]
pub struct Money {
    /// `minute`, `day` or `month`.
    pub period: &'static str,
    /// What it may hold; null: no limit.
    pub limit_usd: Option<NanoUsd>,
    /// What was spent in it.
    pub spent_usd: NanoUsd,
}

impl Level {
    /// Nobody yet whom anything limits.
    pub(super) fn new(who: Who) -> Self {
        Self {
            who,
            gate: Gate::new(Limits::default()),
            holder: OnceLock::new(),
            paid: AtomicU64::new(0),
            allowance: AtomicU64::new(ALL),
        }
    }

    /// Within other limits from now on; what is used and spent stays so.
    pub(super) fn relimit(&self, limits: Limits, budget: &BudgetRules, book: &Book) {
        self.gate.relimit(limits);
        let limited = budget.usd_minute.is_some() || budget.usd_day.is_some() || budget.usd_month.is_some();
        match self.holder.get() {
            Some(holder) => {
                book.with(*holder, |kept| kept.relimit(budget));
            }
            None if limited => {
                self.holder.get_or_init(|| book.open(Budget::new(budget)));
            }
            None => {}
        }
    }

    /// Who it is.
    #[must_use]
    pub const fn who(&self) -> &Who {
        &self.who
    }

    /// Where its money is, if it has a budget.
    pub(super) fn holder(&self) -> Option<Holder> {
        self.holder.get().copied()
    }

    /// Whether nothing of it is limited.
    pub(super) fn is_free(&self) -> bool {
        self.holder.get().is_none() && self.gate.is_free()
    }

    /// From now on only one part in `parts` of what is left may be set aside, where the budget refuses anything at all.
    pub(super) fn keep_only(&self, parts: u64, book: &Book, wall: Wall) {
        let left = self.holder().and_then(|holder| book.left(&[holder], wall));
        if let Some(left) = left {
            self.allowance.store(left.0 / parts.max(1), Ordering::Relaxed);
        }
    }

    /// From now on all that is left may be set aside.
    pub(super) fn keep_all(&self) {
        self.allowance.store(ALL, Ordering::Relaxed);
    }

    /// Takes `worst` from the allowance; `false`: that has not so much.
    fn allows(&self, worst: NanoUsd) -> bool {
        let take = |left: u64| if left == ALL { Some(ALL) } else { left.checked_sub(worst.0) };
        self.allowance.fetch_update(Ordering::Relaxed, Ordering::Relaxed, take).is_ok()
    }

    /// What is spent and may still be spent; `None`: there is no budget.
    pub(super) fn purse(&self, book: &Book, wall: Wall) -> Option<Purse> {
        let holder = self.holder()?;
        // What may be spent is read first: what is settled meanwhile counts twice for a moment, never not at all.
        let kept = self.allowance.load(Ordering::Relaxed);
        let left = || book.left(&[holder], wall).unwrap_or_default().0;
        let kept = if kept == ALL { left() } else { kept };
        let reserved = book.with(holder, |budget| budget.reserved()).unwrap_or_default();
        let paid = self.paid.load(Ordering::Relaxed);
        let spent = |period| book.with(holder, |budget| budget.spent(period, wall)).unwrap_or_default().0;
        Some(Purse { spent: Period::ALL.map(spent), paid, may: reserved.0.saturating_add(kept) })
    }

    /// How much it has used.
    pub(super) fn standing(&self, book: &Book, now: Tick, wall: Wall) -> Standing {
        let (limits, (requests, tokens), under_way) = self.gate.used(now);
        let used = |limit: Option<u64>, used| Used { limit, used: (!limits.is_empty()).then_some(used) };
        let money = self.holder().and_then(|holder| {
            book.with(holder, |budget| {
                let window = |period| Money {
                    period: Period::name(period),
                    limit_usd: budget.limit(period),
                    spent_usd: budget.spent(period, wall),
                };
                (Period::ALL.map(window).to_vec(), budget.reserved(), budget.over())
            })
        });
        let over = money.as_ref().map(|(_, _, over)| *over);
        let (money, reserved_usd) = money.map_or_else(Default::default, |(money, reserved, _)| (money, reserved));
        Standing {
            of: self.who.rank,
            product: self.who.product.clone(),
            name: (self.who.rank != Rank::Product).then(|| self.who.name.clone()),
            requests: used(limits.rpm.map(u64::from), requests),
            tokens: used(limits.tpm, tokens),
            concurrent: used(limits.concurrent.map(u64::from), u64::from(under_way)),
            money,
            reserved_usd,
            over,
        }
    }
}

/// Everybody whose limits one caller is within: the key, the team, the product. Of several limits that are reached, the
/// nearest is told.
#[derive(Debug, Clone, Default)]
pub struct Levels(SmallVec<[Arc<Level>; 3]>);

impl Levels {
    /// Those of `levels` that limit anything.
    pub(super) fn of<'a>(levels: impl IntoIterator<Item = &'a Arc<Level>>) -> Self {
        Self(levels.into_iter().filter(|level| !level.is_free()).cloned().collect())
    }

    /// What is left of the tightest budget; `None`: without limit.
    pub(super) fn money_left(&self, book: &Book, wall: Wall) -> Option<NanoUsd> {
        let chain = self.holders();
        if chain.is_empty() { None } else { book.left(&chain, wall) }
    }

    fn holders(&self) -> SmallVec<[Holder; 4]> {
        self.0.iter().filter_map(|level| level.holder()).collect()
    }

    /// Takes a place within everybody's limits for a request of at most `tokens`.
    pub(super) fn enter(&self, tokens: u64, now: Tick) -> Result<Places, AtLimit> {
        let mut places = Places { held: SmallVec::new(), asked: tokens, used: None, made: false };
        for level in &self.0 {
            let place = level.gate.enter(tokens, now);
            let place = place.map_err(|full| AtLimit { who: level.who.clone(), full })?;
            places.held.push((Arc::clone(level), place));
        }
        places.made = true;
        Ok(places)
    }

    /// Sets `worst` aside for one call. `Ok(None)`: nobody has a budget.
    pub(super) fn reserve(&self, book: &Arc<Book>, worst: NanoUsd, wall: Wall) -> Result<Option<Reserved>, Spent> {
        let chain = self.holders();
        if chain.is_empty() {
            return Ok(None);
        }
        let reservation = book.reserve(&chain, worst, wall).map_err(|Uncovered { holder, over }| {
            let level = self.0.iter().find(|level| level.holder() == Some(holder));
            Spent { who: level.map(|level| level.who.clone()).unwrap_or_default(), over }
        })?;
        if reservation.alarms() {
            tracing::warn!("a budget is passed: its rule `over` is `alert`, so the request is answered all the same");
        }
        let mut reserved = Reserved { book: Arc::clone(book), levels: SmallVec::new(), reservation: Some(reservation) };
        for level in self.0.iter().filter(|level| level.holder().is_some()) {
            if !level.allows(worst) {
                // Dropped, all of it is free again; the process that has the rest may cover it.
                let left = NanoUsd(level.allowance.load(Ordering::Relaxed));
                let resets = Duration::from_secs(1);
                let over = Over { period: Period::Minute, limit: left, left, asked: worst, resets };
                return Err(Spent { who: level.who.clone(), over });
            }
            reserved.levels.push(Arc::clone(level));
        }
        Ok(Some(reserved))
    }
}

/// A request's places within the limits of everybody concerned, given back when dropped.
#[derive(Debug)]
pub(crate) struct Places {
    held: SmallVec<[(Arc<Level>, Option<Place>); 3]>,
    asked: u64,
    used: Option<u64>,
    /// Whether all were had; else the request is not made, and none counts.
    made: bool,
}

impl Places {
    /// Tokens that one of the request's calls needed.
    pub(crate) fn used(&mut self, usage: &Usage) {
        if let Some(tokens) = usage.total() {
            self.used = Some(self.used.unwrap_or(0).saturating_add(tokens));
        }
    }
}

impl Drop for Places {
    fn drop(&mut self) {
        for (level, place) in self.held.drain(..) {
            if self.made {
                level.gate.leave(place, self.used, self.asked);
            } else {
                level.gate.cancel(place);
            }
        }
    }
}

/// Money set aside for one call; dropped unsettled, all of it is free again.
pub(crate) struct Reserved {
    book: Arc<Book>,
    levels: SmallVec<[Arc<Level>; 3]>,
    reservation: Option<Reservation>,
}

impl Reserved {
    /// Turns it into what was really spent.
    pub(super) fn settle(mut self, spent: NanoUsd, wall: Wall) {
        if let Some(reservation) = self.reservation.take() {
            // First paid, then free: whoever looks in between sees too much spent, never too little.
            for level in &self.levels {
                level.paid.fetch_add(spent.0, Ordering::Relaxed);
            }
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
