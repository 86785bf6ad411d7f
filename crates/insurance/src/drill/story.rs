//! The rows of a drill as requests: what became of each, who answered, whether it asked somebody lost.

use super::{Drill, Slice, Tally};
use canon::FaultKind;
use ledger::record::{Attempt, Mode, Name, Outcome};
use std::collections::BTreeMap;

/// What became of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fate {
    Served,
    Failed,
    Left,
    Unknown,
}

/// One request.
pub(super) struct Story<'a> {
    pub(super) rows: Vec<&'a Attempt>,
    pub(super) started: i64,
    pub(super) fate: Fate,
    /// The attempt whose answer was complete.
    pub(super) answer: Option<&'a Attempt>,
    /// Whether it asked somebody who was lost.
    pub(super) met: bool,
    /// Until its first token, microseconds.
    pub(super) first_token: Option<u64>,
    /// What its client was told.
    pub(super) fault: Option<FaultKind>,
}

/// The requests of `rows`, in the order in which they began.
pub(super) fn stories(rows: &[Attempt]) -> Vec<Story<'_>> {
    let mut by_request: BTreeMap<_, Vec<&Attempt>> = BTreeMap::new();
    for row in rows.iter().filter(|row| row.mode != Mode::Shadow) {
        by_request.entry(row.request_id).or_default().push(row);
    }
    let mut stories: Vec<Story<'_>> = by_request.into_values().map(Story::of).collect();
    stories.sort_by_key(|story| story.started);
    stories
}

fn end(row: &Attempt) -> i64 {
    row.started.saturating_add(i64::try_from(row.last_token_us.unwrap_or(0)).unwrap_or(i64::MAX))
}

/// Microseconds from `earlier` to `later`, not below 0.
pub(super) fn since(earlier: i64, later: i64) -> u64 {
    u64::try_from(later.saturating_sub(earlier)).unwrap_or(0)
}

impl<'a> Story<'a> {
    fn of(mut rows: Vec<&'a Attempt>) -> Self {
        rows.sort_by_key(|row| row.attempt);
        let started = rows.iter().map(|row| row.started).min().unwrap_or(0);
        let answer = rows.iter().copied().find(|row| row.outcome == Outcome::Ok);
        let last = rows.iter().copied().max_by_key(|row| (end(row), row.attempt));
        let open = rows.iter().any(|row| matches!(row.outcome, Outcome::Open | Outcome::Unknown));
        let fate = match (answer, last.map(|row| row.outcome)) {
            (Some(_), _) => Fate::Served,
            (None, _) if open => Fate::Unknown,
            (None, Some(Outcome::Cancelled)) => Fate::Left,
            _ => Fate::Failed,
        };
        let first = |row: &&Attempt| row.first_token_us.map(|first| first.saturating_add(since(started, row.started)));
        Self {
            met: rows.iter().any(|row| row.mode == Mode::Drill && row.deployment.is_some()),
            first_token: rows.iter().filter_map(first).min(),
            fault: last.and_then(|row| row.fault),
            rows,
            started,
            fate,
            answer,
        }
    }

    pub(super) fn product(&self) -> Option<&'a Name> {
        self.rows.first().and_then(|row| row.product.as_ref())
    }

    /// Whether somebody else answered who had not been lost.
    pub(super) fn switched(&self) -> bool {
        self.met && self.answer.is_some_and(|row| row.mode != Mode::Drill)
    }

    /// When the first failure of somebody lost was known, Unix microseconds.
    pub(super) fn failed_at(&self) -> Option<i64> {
        let failed =
            |row: &&&Attempt| row.mode == Mode::Drill && row.deployment.is_some() && row.outcome == Outcome::Failed;
        self.rows.iter().filter(failed).map(|row| end(row)).min()
    }

    /// Whoever was lost and would have been asked, as far as the row says.
    pub(super) fn would_have(&self, drill: &Drill) -> Option<&'a Name> {
        let row = self.answer?;
        row.candidates.iter().map(|one| &one.deployment).find(|name| drill.loses(Some(name)))
    }

    pub(super) fn count(&self, tally: &mut Tally) {
        tally.offered += 1;
        match self.fate {
            Fate::Served => tally.served += 1,
            Fate::Failed => tally.failed += 1,
            Fate::Left => tally.left += 1,
            Fate::Unknown => tally.unknown += 1,
        }
        tally.degraded += u64::from(self.answer.is_some_and(|row| row.degraded));
        tally.met += u64::from(self.met);
        tally.switched += u64::from(self.switched());
    }

    pub(super) fn draw(&self, slice: &mut Slice) {
        let degraded = self.answer.is_some_and(|row| row.degraded);
        *match self.fate {
            Fate::Served if degraded => &mut slice.degraded,
            Fate::Served if self.switched() => &mut slice.switched,
            Fate::Served => &mut slice.plain,
            Fate::Failed => &mut slice.failed,
            Fate::Left | Fate::Unknown => &mut slice.other,
        } += 1;
    }
}
