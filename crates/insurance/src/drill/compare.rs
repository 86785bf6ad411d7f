//! Two drills of the same loss, side by side.

use super::{Latency, Record, Report, moment};
use serde::Serialize;

/// One figure of both.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Change {
    /// What.
    pub what: &'static str,
    /// In the last drill.
    pub before: String,
    /// In this one.
    pub now: String,
}

/// What changed since the last drill of the same loss; `before`: those that are over. `None`: this is the first.
#[must_use]
pub fn compare<'a>(record: &Record, before: impl IntoIterator<Item = &'a Record>) -> Option<(&'a Record, Vec<Change>)> {
    let drill = &record.drill;
    let same = |one: &&Record| {
        let other = &one.drill;
        other.id != drill.id
            && (&other.target, other.level, &other.products) == (&drill.target, drill.level, &drill.products)
            && other.fault.kind == drill.fault.kind
            && one.report.is_some()
            && one.began.or(one.ended) < record.began.or(record.ended)
    };
    let last = before.into_iter().filter(same).max_by_key(|one| one.began.or(one.ended))?;
    let (then, now) = (last.report.as_ref()?, record.report.as_ref()?);
    let figures = figures(then).into_iter().zip(figures(now));
    let changes = figures.map(|((what, before), (_, now))| Change { what, before, now });
    Some((last, changes.filter(|change| change.before != NONE || change.now != NONE).collect()))
}

const NONE: &str = "unknown";

fn figures(report: &Report) -> Vec<(&'static str, String)> {
    let live = report.live.as_ref();
    let share = live.and_then(|live| live.total.served_share());
    let of = |count: Option<u64>| count.map_or_else(|| NONE.to_owned(), |count| count.to_string());
    let since = |micros: Option<u64>| micros.map_or_else(|| NONE.to_owned(), moment);
    let marks = live.map(|live| live.marks).unwrap_or_default();
    let first = live.and_then(|live| live.first_token);
    let unanswered = report.paper.as_ref().map(|paper| paper.lines.iter().map(|line| line.unanswered).sum());
    let after = report.replayed.as_ref().and_then(|replayed| replayed.after);
    vec![
        ("verdict", report.verdict.words().to_owned()),
        ("requests", of(live.map(|live| live.total.offered))),
        ("answered", share.map_or_else(|| NONE.to_owned(), |share| format!("{:.2} %", share * 100.0))),
        ("failed", of(live.map(|live| live.total.failed))),
        ("degraded", of(live.map(|live| live.total.degraded))),
        ("detected", since(marks.detect_us)),
        ("switched", since(marks.switch_us)),
        ("settled", since(marks.settle_us)),
        ("first token, median", since(first.map(|first: Latency| first.p50_us))),
        ("first token, 95th percentile", since(first.map(|first| first.p95_us))),
        ("unanswered on paper", of(unanswered)),
        ("quality then", after.map_or_else(|| NONE.to_owned(), |[mean, ..]| format!("{mean:.3}"))),
    ]
}
