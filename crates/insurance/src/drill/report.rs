//! What a drill showed, as it is kept and printed. Plain data.

use super::Counts;
use crate::Basis;
use ledger::record::Name;
use serde::{Deserialize, Serialize};

/// Whether what was expected held.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Verdict {
    /// All of it that could be looked at.
    Held,
    /// Not all of it.
    Broken,
    /// There was nothing to look at.
    Unknown,
}

impl Verdict {
    /// Of findings.
    #[must_use]
    pub fn of(findings: &[Finding]) -> Self {
        let any = |held: bool| findings.iter().any(|finding| finding.held == Some(held));
        match (any(false), any(true)) {
            (true, _) => Self::Broken,
            (false, true) => Self::Held,
            (false, false) => Self::Unknown,
        }
    }

    /// In words.
    #[must_use]
    pub const fn words(self) -> &'static str {
        match self {
            Self::Held => "what was expected held",
            Self::Broken => "what was expected did not hold",
            Self::Unknown => "nothing could be judged",
        }
    }
}

/// One thing that was expected, and what was found.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Finding {
    /// Of which product; `None`: of all.
    pub product: Option<Name>,
    /// What.
    pub what: String,
    /// What was expected.
    pub expected: String,
    /// What was found.
    pub found: String,
    /// Whether it held; `None`: it could not be looked at.
    pub held: Option<bool>,
    /// What that rests on.
    pub basis: Basis,
}

/// What a drill showed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Report {
    /// Whether what was expected held.
    pub verdict: Verdict,
    /// What was expected, one by one.
    pub findings: Vec<Finding>,
    /// What became of requests that were really sent.
    pub live: Option<Live>,
    /// What the plan says on paper.
    pub paper: Option<Paper>,
    /// What recorded outcomes say.
    pub replayed: Option<Replayed>,
    /// What was not tested.
    pub not_tested: Vec<String>,
    /// What the reader should know.
    pub notes: Vec<String>,
}

/// Requests by what became of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Tally {
    /// All.
    pub offered: u64,
    /// Answered completely.
    pub served: u64,
    /// Not.
    pub failed: u64,
    /// Given up by their clients.
    pub left: u64,
    /// Not over yet, or begun by a process that died.
    pub unknown: u64,
    /// Of the served, with less than was asked for.
    pub degraded: u64,
    /// Of all, those that asked somebody who was lost.
    pub met: u64,
    /// Of these, answered by somebody else.
    pub switched: u64,
}

impl Tally {
    /// The share that was answered, of those that were not given up; `None`: there were none.
    #[must_use]
    #[expect(clippy::cast_precision_loss, reason = "counts of requests stay far below 2^52")]
    pub fn served_share(&self) -> Option<f64> {
        let all = self.offered - self.left.min(self.offered);
        (all > 0).then(|| self.served as f64 / all as f64)
    }
}

/// Moments, in microseconds since the drill began (`back`: since it ended); `None`: it did not come to that.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Mark {
    /// A call to somebody lost was known to have failed.
    pub detect_us: Option<u64>,
    /// A request that had asked somebody lost heard its first word from somebody else.
    pub switch_us: Option<u64>,
    /// From then on at most one request in twenty still asked somebody lost.
    pub settle_us: Option<u64>,
    /// Somebody who was lost began an answer again.
    pub back_us: Option<u64>,
}

/// How long first tokens took, microseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Latency {
    /// Of how many requests.
    pub n: u64,
    /// The median.
    pub p50_us: u64,
    /// The 95th percentile.
    pub p95_us: u64,
}

/// Requests that lean on something that only their provider has.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Locks {
    /// How many.
    pub requests: u64,
    /// By what, the most first.
    pub by: Vec<(Name, u64)>,
}

/// What is proven of the answers that others gave, in requests.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Quality {
    /// Shown to be no worse than the product accepts.
    pub covered: u64,
    /// Shown to be worse.
    pub below: u64,
    /// Nobody has compared enough.
    pub unproven: u64,
}

/// What our own models did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct House {
    /// Requests that they answered.
    pub answered: u64,
}

/// One piece of the timeline.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Slice {
    /// When it begins, microseconds since the drill began; negative: before.
    pub at_us: i64,
    /// Answered without asking anybody lost.
    pub plain: u64,
    /// Answered by somebody else after asking somebody lost.
    pub switched: u64,
    /// Answered with less than was asked for.
    pub degraded: u64,
    /// Not answered.
    pub failed: u64,
    /// Given up, or unknown.
    pub other: u64,
}

/// What became of requests that were really sent.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Live {
    /// All.
    pub total: Tally,
    /// By product.
    pub products: Vec<(Name, Tally)>,
    /// What the server that played the drill counted, beside the ledger.
    pub counted: Counts,
    /// Whether both say the same.
    pub agrees: bool,
    /// Who answered, the most first.
    pub by: Vec<(Name, u64)>,
    /// What clients of failed requests were told, the most first.
    pub faults: Vec<(Name, u64)>,
    /// Moments.
    pub marks: Mark,
    /// First tokens before the drill, of as long a time; `None`: there were none.
    pub first_token_before: Option<Latency>,
    /// First tokens under the drill.
    pub first_token: Option<Latency>,
    /// Of these, of requests that asked somebody lost first.
    pub first_token_met: Option<Latency>,
    /// Known tokens.
    pub tokens: u64,
    /// Answered attempts without token counts.
    pub uncounted: u64,
    /// Known cost, billionths of a US dollar.
    pub nanodollars: i64,
    /// Answered attempts of unknown cost.
    pub unpriced: u64,
    /// Known cost per answered request before the drill, billionths of a US dollar; `None`: unknown.
    pub nanodollars_each_before: Option<i64>,
    /// The same under the drill.
    pub nanodollars_each: Option<i64>,
    /// What could not be said to those who answered, in requests, the most first.
    pub losses: Vec<(Name, u64)>,
    /// Requests that lean on something of their provider's.
    pub locks: Locks,
    /// What is proven of the answers of those who stood in.
    pub quality: Quality,
    /// What our own models did.
    pub house: House,
    /// The timeline.
    pub slices: Vec<Slice>,
    /// How long a slice is, microseconds.
    pub slice_us: i64,
}

/// What the plan says on paper.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Paper {
    /// Recorded days.
    pub days: f64,
    /// Product by product.
    pub lines: Vec<PaperLine>,
}

/// What the plan says of a product.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PaperLine {
    /// The product; `None`: the source does not say.
    pub product: Option<Name>,
    /// Its recorded requests.
    pub requests: u64,
    /// Of these, answered by somebody else.
    pub moved: u64,
    /// Of these, only by bending a rule.
    pub last_resort: u64,
    /// Of these, below the floor.
    pub below_floor: u64,
    /// Without an answer.
    pub unanswered: u64,
    /// Recorded cost, US dollars; `None`: unknown.
    pub cost_before: Option<f64>,
    /// Cost then.
    pub cost: Option<f64>,
    /// Whether a part of the cost is unknown.
    pub cost_partial: bool,
    /// Mean quality of answers today, 0 to 1.
    pub quality_before: Option<f64>,
    /// Mean quality then.
    pub quality: Option<f64>,
}

/// What recorded outcomes say.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Replayed {
    /// Requests of the file.
    pub requests: u64,
    /// Of these, not touched by the loss.
    pub untouched: u64,
    /// Of these, whose both answers are recorded.
    pub replayed: u64,
    /// Of these, for whom nobody is found.
    pub unanswered: u64,
    /// Of these, whose answer by one of the two was never recorded.
    pub unrecorded: u64,
    /// Mean quality today: value, lower and upper end of the 95 % interval.
    pub before: Option<[f64; 3]>,
    /// Mean quality then.
    pub after: Option<[f64; 3]>,
    /// Mean paired difference.
    pub difference: Option<[f64; 3]>,
    /// Of the touched, the share for which somebody is configured.
    pub configured: Option<f64>,
    /// Of the touched, the share whose replacement was shown to be no worse.
    pub covered: Option<f64>,
    /// How much less quality is accepted.
    pub margin: f64,
}

/// `412000` as `412 ms`, `3400000` as `3.4 s`.
#[expect(clippy::cast_precision_loss, reason = "for display")]
#[must_use]
pub(crate) fn moment(micros: u64) -> String {
    match micros {
        0..10_000 => format!("{:.2} ms", micros as f64 / 1e3),
        10_000..1_000_000 => format!("{:.0} ms", micros as f64 / 1e3),
        _ => format!("{:.1} s", micros as f64 / 1e6),
    }
}
