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
