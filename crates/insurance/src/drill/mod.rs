//! Drills: a loss rehearsed, on paper, on recorded outcomes, on a share of live traffic or on all of it. What is lost,
//! how it fails, for whom and for how long; what is expected to hold; when it must stop. Whether one may begin
//! (`may_begin`), when it ends (`Watch`), and what it showed (`judge`), all with the time as an argument.

mod compare;
mod fault;
mod judge;
mod paper;
mod permit;
mod report;
mod story;
mod watch;

pub use compare::{Change, compare};
pub use fault::{Break, Fault, KINDS, Kind as FaultKind, NoFault, Played};
pub use judge::{Evidence, judge};
pub use paper::{paper, replayed};
pub use permit::{Past, Refusal, may_begin};
pub(crate) use report::moment;
pub use report::{
    Finding, House, Latency, Live, Locks, Mark, Paper, PaperLine, Quality, Replayed, Report, Slice, Tally, Verdict,
};
pub use watch::{Abort, Around, End, Watch};

use crate::Day;
use crate::node::Node;
use ledger::record::Name;
use policy::Wall;
use policy::rules::Rules;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;

/// The share of requests that must be answered where a product names no error rate.
const SERVED: f64 = 0.99;

/// How real a drill is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Level {
    /// On paper: the plan is asked again for recorded traffic. Nothing is sent.
    L0,
    /// A replay: of captured requests, really sent within a cost cap, or of recorded outcomes.
    L1,
    /// A share of live traffic, or one product.
    L2,
    /// All live traffic, for a window.
    L3,
}

impl Level {
    /// Every one, the least real first.
    pub const ALL: [Self; 4] = [Self::L0, Self::L1, Self::L2, Self::L3];

    /// What it is, in words.
    #[must_use]
    pub const fn about(self) -> &'static str {
        match self {
            Self::L0 => "on paper",
            Self::L1 => "a replay",
            Self::L2 => "a part of live traffic",
            Self::L3 => "all live traffic",
        }
    }
}

impl fmt::Display for Level {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self, f)
    }
}

/// A text that is no level.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is no level; write L0 (on paper), L1 (a replay), L2 (a part of live traffic) or L3 (all of it)")]
pub struct NoLevel(pub String);

impl FromStr for Level {
    type Err = NoLevel;

    fn from_str(text: &str) -> Result<Self, NoLevel> {
        let found = Self::ALL.into_iter().find(|level| text.eq_ignore_ascii_case(&level.to_string()));
        found.ok_or_else(|| NoLevel(text.to_owned()))
    }
}

/// A drill as it is ordered.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Drill {
    /// Its id.
    pub id: Name,
    /// What is lost.
    pub target: Node,
    /// What that looks like from outside.
    pub fault: Fault,
    /// How real it is.
    pub level: Level,
    /// The products whose requests are part of it; empty: all.
    pub products: Vec<Name>,
    /// The share of their requests that is part of it, 0 to 1.
    pub share: f64,
    /// How long it lasts, seconds.
    pub window_s: u64,
    /// The deployments that rest on the target.
    pub lost: Vec<Name>,
    /// What is expected to hold, product by product.
    pub hopes: Vec<Hope>,
    /// When it stops before its time.
    pub abort: Abort,
    /// When it was ordered, Unix microseconds.
    pub ordered: i64,
}

impl Drill {
    /// Whether it touches `product`.
    #[must_use]
    pub fn touches(&self, product: &str) -> bool {
        self.products.is_empty() || self.products.iter().any(|name| &**name == product)
    }

    /// Whether a deployment is lost.
    #[must_use]
    pub fn loses(&self, deployment: Option<&str>) -> bool {
        deployment.is_some_and(|name| self.lost.iter().any(|lost| &**lost == name))
    }
}

/// What a product is expected to show under a drill.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Hope {
    /// The product.
    pub product: Name,
    /// The least share of its requests that is answered, 0 to 1.
    pub served: f64,
    /// The longest 95th percentile of its first tokens, milliseconds; `None`: the product names none.
    pub first_token_ms_p95: Option<u64>,
    /// Whether no answer may be below its quality floor.
    pub floor: bool,
}

impl Hope {
    /// What the rules of `product` promise.
    #[must_use]
    pub fn of(product: &str, rules: &Rules) -> Self {
        Self {
            product: product.into(),
            served: rules.slo.error_rate.map_or(SERVED, |rate| 1.0 - rate),
            first_token_ms_p95: rules.slo.first_token_ms_p95,
            floor: rules.floor.is_some(),
        }
    }
}

/// What a drill's requests came to, as the server that plays it counts them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Counts {
    /// Requests that became part of it.
    pub offered: u64,
    /// Of these, answered completely.
    pub served: u64,
    /// Of these, not.
    pub failed: u64,
    /// Of these, given up by their clients.
    pub left: u64,
    /// Of the served, with less than was asked for.
    pub degraded: u64,
    /// Of the answers begun, below the product's quality floor.
    pub below_floor: u64,
    /// Known cost of its calls, billionths of a US dollar.
    pub nanodollars: i64,
    /// Answered calls of unknown cost.
    pub unpriced: u64,
}

/// What a live drill proved.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Proof {
    /// What was lost.
    pub target: Node,
    /// When.
    pub day: Day,
    /// How long it took until asking the lost was rare, microseconds; `None`: it never became so.
    pub settled_us: Option<u64>,
    /// Requests answered.
    pub served: u64,
    /// Of these, by our own models.
    pub at_home: u64,
}

/// Where a drill stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "state", content = "why")]
pub enum State {
    /// Ordered; no server has taken it up yet.
    Ordered,
    /// It runs.
    Running,
    /// Its window is over.
    Ended,
    /// It was stopped before.
    Aborted(String),
    /// A server could not begin it.
    Refused(String),
}

impl State {
    /// Whether nothing more will happen.
    #[must_use]
    pub const fn is_over(&self) -> bool {
        matches!(self, Self::Ended | Self::Aborted(_) | Self::Refused(_))
    }
}

/// A drill with all that is kept of it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Record {
    /// As it was ordered.
    pub drill: Drill,
    /// Where it stands.
    #[serde(flatten)]
    pub state: State,
    /// When it began, Unix microseconds; `None`: it never did.
    pub began: Option<i64>,
    /// When it ended.
    pub ended: Option<i64>,
    /// What its server counted.
    pub counts: Counts,
    /// What it showed; `None`: nobody has looked yet.
    pub report: Option<Report>,
}

impl Record {
    /// The record of a drill that was just ordered.
    #[must_use]
    pub fn ordered(drill: Drill) -> Self {
        Self { drill, state: State::Ordered, began: None, ended: None, counts: Counts::default(), report: None }
    }

    /// What it proved of a live switch; `None`: it was not live, or nobody has looked at it yet.
    #[must_use]
    pub fn proof(&self) -> Option<Proof> {
        let live = self.report.as_ref()?.live.as_ref().filter(|_| self.drill.level >= Level::L2)?;
        Some(Proof {
            target: self.drill.target.clone(),
            day: Day::of(Wall::from_unix(self.ended?.div_euclid(1_000_000))),
            settled_us: live.marks.settle_us,
            served: live.total.served,
            at_home: live.house.answered,
        })
    }

    /// As evidence for others.
    #[must_use]
    pub fn past(&self) -> Past<'_> {
        let held =
            self.state == State::Ended && self.report.as_ref().is_some_and(|report| report.verdict == Verdict::Held);
        Past { drill: &self.drill, ended: self.ended, held }
    }
}
