//! What one process leaves to the next that takes its place while it still runs: what is spent and may still be spent of
//! every budget, and what is counted within every limit. Both together never spend more than one alone may: the old one
//! keeps what it has set aside and a small allowance, the new one sets just that aside until it hears what became of it.

use super::LiveView;
use super::levels::{Level, Rank, Who};
use super::one::Gate;
use policy::budget::{Holder, Period};
use policy::limit::Counted;
use policy::{Fleet, NanoUsd, Tick, Wall};
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// Of what is left of a budget, the old process keeps one part in so many for requests on connections that it still has.
const ALLOWANCE: u64 = 10;

/// All of it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Estate {
    /// When it was written down, Unix seconds.
    pub at: i64,
    /// Of products, teams and keys that anything limits.
    pub levels: Vec<Share>,
    /// Of deployments that anything limits: name, model, what is counted.
    pub deployments: Vec<(String, String, Tally)>,
}

/// What one of those who share limits and money has used.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Share {
    /// `product`, `team` or `key`.
    pub rank: String,
    /// The product.
    pub product: String,
    /// The team's or the key's name.
    pub name: String,
    /// Its money, if it has a budget.
    pub purse: Option<Purse>,
    /// What is counted, if it has limits.
    pub tally: Option<Tally>,
}

/// Money, in billionths of a US dollar.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Purse {
    /// Spent in the minute, day and month of `at`.
    pub spent: [u64; 3],
    /// Paid since the process began; only ever grows.
    pub paid: u64,
    /// What the process may still spend.
    pub may: u64,
}

/// What is counted within limits.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tally {
    /// Requests under way.
    pub under_way: u32,
    /// By whole seconds ago: requests and tokens.
    pub lately: Vec<(u64, u64, u64)>,
}

impl From<Counted> for Tally {
    fn from(counted: Counted) -> Self {
        Self { under_way: counted.under_way, lately: counted.lately }
    }
}

const fn word(rank: Rank) -> &'static str {
    match rank {
        Rank::Product => "product",
        Rank::Team => "team",
        Rank::Key => "key",
    }
}

impl Share {
    fn is_of(&self, who: &Who) -> bool {
        // A key's line is its own wherever it belongs.
        let same = self.rank == "key" || self.product == who.product;
        same && self.rank == word(who.rank) && self.name == who.name
    }
}

impl LiveView {
    fn everybody(&self) -> Vec<Arc<Level>> {
        self.levels.values().chain(self.keys.load().values()).cloned().collect()
    }

    fn level_of(&self, share: &Share) -> Option<Arc<Level>> {
        self.everybody().into_iter().find(|level| share.is_of(level.who()))
    }

    /// Keeps only an allowance of every budget for this process, and says what there is.
    #[must_use]
    pub fn bequeath(&self, fleet: &Fleet, wall: Wall, now: Tick) -> Estate {
        for level in self.everybody() {
            level.keep_only(ALLOWANCE, &self.book, wall);
        }
        self.estate(fleet, wall, now)
    }

    /// Nobody took it: everything is this process's again.
    pub fn reclaim(&self) {
        self.everybody().iter().for_each(|level| level.keep_all());
    }

    /// What there is.
    #[must_use]
    pub fn estate(&self, fleet: &Fleet, wall: Wall, now: Tick) -> Estate {
        let share = |level: Arc<Level>| {
            let (purse, tally) = (level.purse(&self.book, wall), level.gate.counted(now).map(Tally::from));
            let who = level.who();
            (purse.is_some() || tally.is_some()).then(|| Share {
                rank: word(who.rank).to_owned(),
                product: who.product.clone(),
                name: who.name.clone(),
                purse,
                tally,
            })
        };
        let deployments = fleet.deployments().iter().zip(&self.lines).filter_map(|(deployment, line)| {
            let tally = line.one.gate.counted(now)?;
            Some((deployment.name.clone(), deployment.model.clone(), tally.into()))
        });
        Estate {
            at: wall.unix(),
            levels: self.everybody().into_iter().filter_map(share).collect(),
            deployments: deployments.collect(),
        }
    }

    fn each_tally(&self, fleet: &Fleet, estate: &Estate, mut with: impl FnMut(&Gate, &Tally)) {
        for share in &estate.levels {
            if let (Some(tally), Some(level)) = (&share.tally, self.level_of(share)) {
                with(&level.gate, tally);
            }
        }
        for (deployment, line) in fleet.deployments().iter().zip(&self.lines) {
            let same =
                |(name, model, _): &&(String, String, Tally)| *name == deployment.name && *model == deployment.model;
            if let Some((_, _, tally)) = estate.deployments.iter().find(same) {
                with(&line.one.gate, tally);
            }
        }
    }
}

/// What the next process has set aside for the one before.
#[derive(Debug, Default)]
pub struct Heir {
    aside: Vec<Aside>,
}

#[derive(Debug)]
struct Aside {
    of: Share,
    holder: Holder,
    amount: NanoUsd,
    paid: u64,
}

impl Heir {
    /// Goes on in `live` with what `estate` says, before anything is spent there. `now` must be a minute after the
    /// process's epoch for what was counted to be forgotten in time.
    #[must_use]
    pub fn new(live: &LiveView, fleet: &Fleet, estate: &Estate, now: Tick) -> Self {
        let wall = Wall::from_unix(estate.at);
        let mut heir = Self::default();
        for share in &estate.levels {
            let (Some(purse), Some(level)) = (&share.purse, live.level_of(share)) else { continue };
            let Some(holder) = level.holder() else { continue };
            let amount = NanoUsd(purse.may);
            live.book.with(holder, |budget| {
                for (period, spent) in Period::ALL.into_iter().zip(purse.spent) {
                    budget.restore(period, NanoUsd(spent), wall);
                }
                budget.set_aside(amount);
            });
            heir.aside.push(Aside { of: share.clone(), holder, amount, paid: purse.paid });
        }
        live.each_tally(fleet, estate, |gate, tally| {
            gate.resume(&Counted { under_way: tally.under_way, lately: tally.lately.clone() }, now);
        });
        heir
    }

    /// What the process before says now.
    pub fn heard(&mut self, live: &LiveView, fleet: &Fleet, estate: &Estate, wall: Wall) {
        for aside in &mut self.aside {
            let same = |share: &&Share| {
                (&share.rank, &share.product, &share.name) == (&aside.of.rank, &aside.of.product, &aside.of.name)
            };
            let Some(purse) = estate.levels.iter().find(same).and_then(|share| share.purse.as_ref()) else { continue };
            let (may, paid) = (NanoUsd(purse.may), NanoUsd(purse.paid.saturating_sub(aside.paid)));
            live.book.with(aside.holder, |budget| {
                budget.set_aside(may);
                budget.settle(aside.amount, paid, wall);
            });
            (aside.amount, aside.paid) = (may, purse.paid);
        }
        live.each_tally(fleet, estate, |gate, tally| gate.elsewhere(tally.under_way));
    }

    /// It has ended. `said`: it took leave, so that what it might have spent is free; else that counts as spent.
    pub fn over(self, live: &LiveView, wall: Wall, said: bool) {
        for aside in self.aside {
            let spent = if said { NanoUsd::ZERO } else { aside.amount };
            live.book.with(aside.holder, |budget| budget.settle(aside.amount, spent, wall));
        }
        live.everybody().iter().for_each(|level| level.gate.elsewhere(0));
        live.lines.iter().for_each(|line| line.one.gate.elsewhere(0));
    }
}

#[cfg(test)]
mod tests {
    use super::super::levels::Reserved;
    use super::*;
    use policy::rules::BudgetRules;
    use policy::{Fleet, FleetSpec, Price, ProductIx, Rules};
    use proptest::prelude::*;

    const LIMIT: u64 = 1_000;
    const WALL: Wall = Wall::from_unix(1_795_600_000);

    fn fleet() -> Fleet {
        let budget = BudgetRules { usd_day: Some(NanoUsd(LIMIT)), ..BudgetRules::default() };
        let products = vec![("one".to_owned(), Rules { budget, ..Rules::default() })];
        let spec = FleetSpec { version: 1, deployments: Vec::new(), products, unknown_price: Price::FREE };
        Fleet::build(spec).expect("a sound fleet")
    }

    /// One process: its view, and what it holds.
    struct Process {
        live: LiveView,
        held: Vec<(u64, Reserved)>,
        spent: u64,
    }

    impl Process {
        fn new(fleet: &Fleet) -> Self {
            Self { live: LiveView::new(fleet, None), held: Vec::new(), spent: 0 }
        }

        /// Sets `amount` aside, or settles the oldest call with a part of what it set aside.
        fn step(&mut self, reserve: bool, amount: u64) {
            if reserve {
                let levels = self.live.levels(ProductIx(0), None, None);
                if let Ok(Some(reserved)) = levels.reserve(&self.live.book, NanoUsd(amount), WALL) {
                    self.held.push((amount, reserved));
                }
            } else if !self.held.is_empty() {
                let (worst, reserved) = self.held.remove(0);
                let spent = amount.min(worst);
                self.spent += spent;
                reserved.settle(NanoUsd(spent), WALL);
            }
        }

        fn settle_all(&mut self) {
            while !self.held.is_empty() {
                self.step(false, u64::MAX);
            }
        }
    }

    proptest! {
        #[test]
        fn two_processes_never_spend_more_than_one_may(
            before in prop::collection::vec((any::<bool>(), 0_u64..400), 0..20),
            after in prop::collection::vec((0_u8..5, 0_u64..400), 0..60),
            (dies, taken) in (any::<bool>(), any::<bool>()),
        ) {
            let fleet = fleet();
            let mut old = Process::new(&fleet);
            for (reserve, amount) in before {
                old.step(reserve, amount);
            }
            let estate = old.live.bequeath(&fleet, WALL, Tick::ZERO);
            if !taken {
                // Nobody takes it: everything is its own again.
                old.live.reclaim();
                let left = old.live.levels(ProductIx(0), None, None).money_left(&old.live.book, WALL);
                let before = old.held.len();
                old.step(true, left.unwrap_or_default().0);
                prop_assert_eq!(old.held.len(), before + 1);
                return Ok(());
            }
            let mut new = Process::new(&fleet);
            let mut heir = Heir::new(&new.live, &fleet, &estate, Tick::ZERO);
            for (what, amount) in after {
                match what {
                    0 | 1 => old.step(what == 0, amount),
                    2 | 3 => new.step(what == 2, amount),
                    _ => heir.heard(&new.live, &fleet, &old.live.estate(&fleet, WALL, Tick::ZERO), WALL),
                }
                let held: u64 = old.held.iter().chain(&new.held).map(|(worst, _)| worst).sum();
                prop_assert!(old.spent + new.spent + held <= LIMIT, "{} {} {held}", old.spent, new.spent);
            }
            if dies {
                old.settle_all();
                heir.over(&new.live, WALL, false);
            } else {
                old.settle_all();
                heir.heard(&new.live, &fleet, &old.live.estate(&fleet, WALL, Tick::ZERO), WALL);
                heir.over(&new.live, WALL, true);
            }
            // Whatever is left is spent by the new one alone.
            let left = new.live.levels(ProductIx(0), None, None).money_left(&new.live.book, WALL);
            new.step(true, left.unwrap_or_default().0);
            new.settle_all();
            prop_assert!(old.spent + new.spent <= LIMIT, "{} {}", old.spent, new.spent);
            if !dies {
                prop_assert_eq!(old.spent + new.spent, LIMIT, "nothing is lost either");
            }
        }
    }
}
