//! When a drill ends: by its window, by a rule of its own, by a person, or because what it was made for is no more.
//! A state machine with the time as an argument; whoever plays the drill asks it again and again and does as it says.

use super::{Counts, Drill};
use serde::{Deserialize, Serialize};
use std::fmt;

/// Rules that stop a drill before its time.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Abort {
    /// The share of requests that may fail, 0 to 1; `None`: any.
    pub failed: Option<f64>,
    /// From how many requests on shares are looked at.
    pub least: u64,
    /// The share of answers that may be below the quality floor, 0 to 1; `None`: any.
    pub below_floor: Option<f64>,
    /// What its calls may cost, US dollars; `None`: anything.
    pub usd: Option<f64>,
}

impl Default for Abort {
    fn default() -> Self {
        Self { failed: Some(0.05), least: 20, below_floor: None, usd: None }
    }
}

/// Why a drill is over.
#[derive(Debug, Clone, PartialEq)]
pub enum End {
    /// Its window is.
    Window,
    /// Everything that it was to send was sent.
    Done,
    /// Too many requests failed.
    Failed {
        /// How many.
        failed: u64,
        /// Of how many.
        of: u64,
        /// The share that was allowed.
        most: f64,
    },
    /// Too many answers were below the floor.
    BelowFloor {
        /// How many.
        below: u64,
        /// Of how many.
        of: u64,
        /// The share that was allowed.
        most: f64,
    },
    /// It cost too much.
    Spent {
        /// What it cost, US dollars.
        usd: f64,
        /// What was allowed.
        most: f64,
    },
    /// A person stopped it.
    Person,
    /// Another configuration is in force.
    Reloaded,
    /// The server stops, or was started again.
    Stopped,
}

impl fmt::Display for End {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Window => f.write_str("its window is over"),
            Self::Done => f.write_str("all of its requests were sent"),
            Self::Failed { failed, of, most } => {
                write!(f, "{failed} of {of} requests failed, {:.1} % were allowed (`--abort-failed`)", most * 100.0)
            }
            Self::BelowFloor { below, of, most } => write!(
                f,
                "{below} of {of} answers were below the quality floor, {:.1} % were allowed (`--abort-below-floor`)",
                most * 100.0
            ),
            Self::Spent { usd, most } => write!(f, "its calls cost ${usd:.4}, ${most:.4} were allowed (`--spend`)"),
            Self::Person => f.write_str("a person stopped it"),
            Self::Reloaded => f.write_str("the configuration changed; order it again"),
            Self::Stopped => f.write_str("the server stopped or was started again; order it again"),
        }
    }
}

/// Watches one running drill.
#[derive(Debug, Clone, Copy)]
pub struct Watch<'a> {
    /// The drill.
    pub drill: &'a Drill,
    /// When it began, microseconds of any clock.
    pub began: i64,
}

/// What the watch is told beside the counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Around {
    /// A person wants it to stop.
    pub person: bool,
    /// Everything that it was to send was sent.
    pub done: bool,
    /// Another configuration is in force.
    pub reloaded: bool,
    /// The server stops.
    pub stopping: bool,
}

impl Watch<'_> {
    /// Whether it must end at `now`, of the clock by which it began.
    #[must_use]
    pub fn look(&self, now: i64, counts: &Counts, around: Around) -> Option<End> {
        if around.done {
            return Some(End::Done);
        }
        if around.person {
            return Some(End::Person);
        }
        if around.stopping {
            return Some(End::Stopped);
        }
        if around.reloaded {
            return Some(End::Reloaded);
        }
        let abort = &self.drill.abort;
        let over = counts.served + counts.failed;
        let beyond = |part: u64, all: u64, most: Option<f64>| {
            most.filter(|most| all >= abort.least.max(1) && real(part) > most * real(all))
        };
        if let Some(most) = beyond(counts.failed, over, abort.failed) {
            return Some(End::Failed { failed: counts.failed, of: over, most });
        }
        if let Some(most) = beyond(counts.below_floor, over, abort.below_floor) {
            return Some(End::BelowFloor { below: counts.below_floor, of: over, most });
        }
        let usd = dollars(counts.nanodollars);
        if let Some(most) = abort.usd.filter(|most| usd > *most) {
            return Some(End::Spent { usd, most });
        }
        let window = i64::try_from(self.drill.window_s.saturating_mul(1_000_000)).unwrap_or(i64::MAX);
        (now.saturating_sub(self.began) >= window).then_some(End::Window)
    }
}

#[expect(clippy::cast_precision_loss, reason = "counts of requests stay far below 2^52")]
const fn real(count: u64) -> f64 {
    count as f64
}

#[expect(clippy::cast_precision_loss, reason = "for a rule in dollars")]
fn dollars(nanodollars: i64) -> f64 {
    nanodollars as f64 / 1e9
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::drill::permit::tests::drill;

    const SECOND: i64 = 1_000_000;

    fn look(abort: Abort, now: i64, counts: Counts) -> Option<End> {
        let drill = Drill { abort, window_s: 60, ..drill() };
        Watch { drill: &drill, began: 5 * SECOND }.look(now, &counts, Around::default())
    }

    #[test]
    fn a_drill_ends_with_its_window_and_not_before() {
        assert_eq!(look(Abort::default(), 65 * SECOND - 1, Counts::default()), None);
        assert_eq!(look(Abort::default(), 65 * SECOND, Counts::default()), Some(End::Window));
    }

    #[test]
    fn rules_stop_it_before() {
        let counts = |failed, below_floor, nanodollars| Counts {
            offered: 100,
            served: 100 - failed,
            failed,
            below_floor,
            nanodollars,
            ..Counts::default()
        };
        let abort = Abort { failed: Some(0.05), least: 20, below_floor: Some(0.0), usd: Some(1.0) };
        let at = 6 * SECOND;
        assert_eq!(look(abort.clone(), at, counts(5, 0, 1_000_000_000)), None);
        assert!(matches!(look(abort.clone(), at, counts(6, 0, 0)), Some(End::Failed { failed: 6, of: 100, .. })));
        assert!(matches!(look(abort.clone(), at, counts(0, 1, 0)), Some(End::BelowFloor { below: 1, .. })));
        assert!(matches!(look(abort.clone(), at, counts(0, 0, 1_000_000_001)), Some(End::Spent { .. })));
        let few = Counts { offered: 3, failed: 3, ..Counts::default() };
        assert_eq!(look(abort, at, few), None, "a share of three says nothing");
        let none = Abort { failed: None, below_floor: None, usd: None, least: 0 };
        assert_eq!(look(none, at, counts(100, 100, i64::MAX)), None);
    }

    #[test]
    fn a_person_goes_before_every_rule() {
        let drill = drill();
        let watch = Watch { drill: &drill, began: 0 };
        let told = |around| watch.look(0, &Counts::default(), around);
        assert_eq!(told(Around { person: true, reloaded: true, stopping: true, done: false }), Some(End::Person));
        assert_eq!(told(Around { reloaded: true, ..Around::default() }), Some(End::Reloaded));
        assert_eq!(told(Around { stopping: true, ..Around::default() }), Some(End::Stopped));
        assert!(End::Reloaded.to_string().contains("order it again"));
    }
}
