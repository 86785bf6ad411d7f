//! What was used: attempts, tokens and cost from the ledger, by whatever its rows say, in windows of time.

use super::params::Word;
use super::{Admin, Nothing, Operation, Problem};
use crate::cmd::window;
use gateway::clock;
use http::{Method, StatusCode};
use jiff::Timestamp;
use ledger::named::Named;
use ledger::{Dimension, Filter, Name, Total};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Most windows of one answer.
const MOST: i64 = 400;

/// What was used.
pub(super) struct Usage;

/// Of what, since when, told how.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Which {
    /// Only of this product.
    product: Option<String>,
    /// By what the totals are grouped.
    #[serde(default = "by_product")]
    by: Word<Dimension>,
    /// How far back: days, hours, minutes, or everything.
    #[serde(default = "default_since")]
    #[schemars(extend("pattern" = r"^([1-9][0-9]{0,4}[dhm]|all)$"))]
    since: String,
    /// The windows that it is told in. Left out: one.
    step: Option<Step>,
}

pub(super) fn default_since() -> String {
    "30d".to_owned()
}

const fn by_product() -> Word<Dimension> {
    Word(Dimension::Product)
}

/// A window's length.
#[derive(Debug, Clone, Copy, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
#[schemars(inline)]
enum Step {
    /// Hours.
    Hour,
    /// Days in UTC.
    Day,
}

impl Step {
    const fn micros(self) -> i64 {
        match self {
            Self::Hour => 3_600_000_000,
            Self::Day => 86_400_000_000,
        }
    }
}

/// What was used.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "Usage")]
pub(super) struct Told {
    /// By what the totals are grouped.
    by: &'static str,
    /// Oldest first.
    windows: Vec<Window>,
}

/// A window of time.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "UsageWindow")]
struct Window {
    /// Its beginning; null: that of the ledger.
    from: Option<String>,
    /// Its end, which is not in it.
    until: String,
    /// Most attempts first.
    totals: Vec<Sum>,
}

/// What the attempts of one group add up to. A sum counts what is known; `uncounted` and `unpriced` say what it leaves out.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "UsageTotal")]
struct Sum {
    /// The group; null: rows that do not say.
    group: Option<String>,
    /// Requests with an attempt in the group.
    requests: u64,
    /// Attempts, those of retries, hedges and takeovers included.
    attempts: u64,
    /// Of these, answered.
    ok: u64,
    /// Of these, failed.
    failed: u64,
    /// Of these, given up.
    cancelled: u64,
    /// Of these, begun by a process that died.
    unknown: u64,
    /// Attempts without token counts.
    uncounted: u64,
    /// Tokens of prompts, cached ones included.
    input_tokens: u64,
    /// Of these, read from a cache.
    cache_read_tokens: u64,
    /// Of `input_tokens`, written to a cache.
    cache_write_tokens: u64,
    /// Tokens of answers, thinking included.
    output_tokens: u64,
    /// Of these, thinking.
    reasoning_tokens: u64,
    /// Attempts whose cost is unknown.
    unpriced: u64,
    /// The known costs, billionths of a US dollar.
    cost_nanodollars: i64,
}

fn sum(total: Total) -> Sum {
    Sum {
        group: total.group.first().and_then(Option::as_deref).map(str::to_owned),
        requests: total.requests,
        attempts: total.attempts,
        ok: total.ok,
        failed: total.failed,
        cancelled: total.cancelled,
        unknown: total.unknown,
        uncounted: total.uncounted,
        input_tokens: total.input_tokens,
        cache_read_tokens: total.cache_read_tokens,
        cache_write_tokens: total.cache_write_tokens,
        output_tokens: total.output_tokens,
        reasoning_tokens: total.reasoning_tokens,
        unpriced: total.unpriced,
        cost_nanodollars: total.cost_nanodollars,
    }
}

impl Operation for Usage {
    type Params = Which;
    type Body = Nothing;
    type Answer = Told;
    const METHOD: Method = Method::GET;
    const PATH: &'static str = "/admin/usage";
    const NAME: &'static str = "usage";
    const SUMMARY: &'static str =
        "Attempts, tokens and cost from the ledger, by product or whatever else its rows say.";
    const REFUSALS: &'static [(StatusCode, &'static str)] = &[
        (StatusCode::UNPROCESSABLE_ENTITY, "So many windows are too many for one answer."),
        (StatusCode::SERVICE_UNAVAILABLE, "The ledger cannot be read now."),
    ];

    fn run(admin: &Admin, which: Which, _: Nothing) -> Result<Told, Problem> {
        let now = clock::unix_micros();
        let since = window::since(&which.since).map_err(Problem::invalid)?;
        let from = since.0.map(|back| now.saturating_sub(i64::try_from(back.as_micros()).unwrap_or(i64::MAX)));
        let mut windows = Vec::new();
        for (from, until) in cut(from, now, which.step)? {
            let of_product = which.product.as_deref().map(|name| (Dimension::Product, Some(Name::from(name))));
            let is = of_product.into_iter().collect();
            let filter = Filter { from, until: Some(until), is, limit: None };
            let totals = admin.store.totals(&[which.by.0], &filter)?;
            let text = |micros| Timestamp::from_microsecond(micros).unwrap_or_default().to_string();
            windows.push(Window {
                from: from.map(text),
                until: text(until),
                totals: totals.into_iter().map(sum).collect(),
            });
        }
        Ok(Told { by: which.by.0.name(), windows })
    }
}

/// The windows from `from` to `until`, whole but for the first and the last.
fn cut(from: Option<i64>, until: i64, step: Option<Step>) -> Result<Vec<(Option<i64>, i64)>, Problem> {
    let Some(step) = step.map(Step::micros) else { return Ok(vec![(from, until)]) };
    let count = from.map(|from| until.div_euclid(step) - from.div_euclid(step) + 1);
    let (Some(mut begin), Some(0..=MOST)) = (from, count) else {
        let message = format!("these are more than {MOST} windows: ask for less time, or for longer windows");
        return Err(Problem::new(StatusCode::UNPROCESSABLE_ENTITY, "too_many_windows", message));
    };
    let mut windows = Vec::new();
    while begin < until {
        let end = ((begin.div_euclid(step) + 1) * step).min(until);
        windows.push((Some(begin), end));
        begin = end;
    }
    Ok(windows)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn windows_meet_and_end_at_whole_steps() {
        let hour = Step::Hour.micros();
        let windows = cut(Some(hour / 2), hour * 3 - 1, Some(Step::Hour)).expect("few");
        assert_eq!(windows, [(Some(hour / 2), hour), (Some(hour), hour * 2), (Some(hour * 2), hour * 3 - 1),]);
        assert_eq!(cut(None, 7, None).expect("one"), [(None, 7)]);
        assert!(cut(None, 7, Some(Step::Day)).is_err() && cut(Some(0), hour * 1_000, Some(Step::Hour)).is_err());
    }
}
