//! Load shedding: when there is too much to do, whose requests are refused first. Two signs of too much: as many
//! requests under way as there may be, and an event loop that is late without a break. Each criticality has less room
//! than the next higher one, and while the loop is late the least critical are refused first, all of them before any of
//! the next.

use crate::rules::Criticality;
use crate::time::Tick;
use std::time::Duration;

/// By how much less of the limit each criticality may use than the next higher one that some product has, in percent.
const STEP: usize = 15;
/// How long the loop is watched before it is judged: what is late only now and then is not overloaded.
const INTERVAL: Duration = Duration::from_secs(1);
/// By how much the pressure rises with every interval that was just late, and falls with every one that was not. The
/// later, the faster it rises.
const RISE: f64 = 0.2;
const MOST_RISE: f64 = 1.0;
const FALL: f64 = 0.1;
/// The most of them that is refused for being late where there is only one criticality: whoever serves nobody never
/// learns that it could.
const MOST_OF_THE_ONLY: f64 = 0.9;

/// Which criticalities there are among the products, and how much room each has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rooms {
    most: usize,
    present: [bool; 4],
}

/// Why a request is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Crowded {
    /// There are as many requests under way as its criticality may have.
    Full,
    /// The event loop is late.
    Late,
}

impl Rooms {
    /// Room for `most` requests, shared by products of these criticalities.
    #[must_use]
    pub fn new(most: usize, products: impl IntoIterator<Item = Criticality>) -> Self {
        let mut present = [false; 4];
        for criticality in products {
            present[criticality as usize] = true;
        }
        Self { most, present }
    }

    /// Requests under way up to which one of `criticality` is taken: all of them for the highest that there is.
    #[must_use]
    pub fn room(&self, criticality: Criticality) -> usize {
        let above = self.present.iter().skip(criticality as usize + 1).filter(|present| **present).count();
        let less = self.most.saturating_mul(STEP * above) / 100;
        self.most.saturating_sub(less).max(usize::from(self.most > 0))
    }

    /// The most requests under way.
    #[must_use]
    pub const fn most(&self) -> usize {
        self.most
    }

    /// How many criticalities there are.
    #[must_use]
    pub fn ranks(&self) -> u32 {
        self.present.iter().map(|present| u32::from(*present)).sum()
    }

    /// How many criticalities are refused before this one.
    fn below(&self, criticality: Criticality) -> usize {
        self.present.iter().take(criticality as usize).filter(|present| **present).count()
    }

    /// The share of the requests of `criticality` that is refused under `pressure`. The highest of several only gives
    /// way to the limit: what is still late once all others are refused is not for those to bear.
    #[must_use]
    pub fn refused(&self, criticality: Criticality, pressure: f64) -> f64 {
        let below = self.below(criticality);
        let last = self.present.iter().skip(criticality as usize + 1).all(|present| !present);
        let most = match (last, self.ranks()) {
            (true, 2..) => 0.0,
            (true, _) => MOST_OF_THE_ONLY,
            (false, _) => 1.0,
        };
        #[expect(clippy::cast_precision_loss, reason = "at most 4")]
        (pressure - below as f64).clamp(0.0, most)
    }

    /// Whether a request of `criticality` is taken beside `under_way` others; `chance` is any number.
    ///
    /// # Errors
    /// Why it is not.
    pub fn admit(&self, criticality: Criticality, under_way: usize, pressure: f64, chance: u64) -> Result<(), Crowded> {
        if under_way >= self.room(criticality) {
            return Err(Crowded::Full);
        }
        if pressure > 0.0 && f64::from(crate::chance::unit(chance)) < self.refused(criticality, pressure) {
            return Err(Crowded::Late);
        }
        Ok(())
    }

    /// How long a client of `criticality` should wait before it asks again: the less critical, the longer, and not all
    /// at the same moment.
    #[must_use]
    pub fn wait(&self, criticality: Criticality, chance: u64) -> Duration {
        let above = self.present.iter().skip(criticality as usize + 1).filter(|present| **present).count();
        Duration::from_secs(1_u64 << above.min(3)).mul_f64(1.0 + f64::from(crate::chance::unit(chance)))
    }
}

/// Watches the event loop: how much pressure there is, from 0 (none) to the number of criticalities that may be refused
/// for it.
#[derive(Debug, Clone)]
pub struct Pressure {
    late: Duration,
    began: Tick,
    least: Duration,
    last_was_late: bool,
    pressure: f64,
}

impl Pressure {
    /// None yet. `late`: from which lateness on the loop counts as late; zero: never.
    #[must_use]
    pub const fn new(late: Duration) -> Self {
        Self { late, began: Tick::ZERO, least: Duration::MAX, last_was_late: false, pressure: 0.0 }
    }

    /// From which lateness on the loop counts as late, after a change of rules.
    pub const fn relimit(&mut self, late: Duration) {
        self.late = late;
    }

    /// The loop was `late` by so much at `now`; how much pressure there is where there are `ranks` criticalities. It
    /// counts only what it never fell below during a whole interval, and only when the interval before was late too: a
    /// burst is no overload.
    pub fn look(&mut self, now: Tick, late: Duration, ranks: u32) -> f64 {
        self.least = self.least.min(late);
        if now.since(self.began) < INTERVAL {
            return self.pressure;
        }
        let is_late = !self.late.is_zero() && self.least >= self.late;
        let change = match (is_late, self.last_was_late) {
            (true, true) => (RISE * self.least.as_secs_f64() / self.late.as_secs_f64()).min(MOST_RISE),
            (true, false) => 0.0,
            (false, _) => -FALL,
        };
        self.pressure = (self.pressure + change).clamp(0.0, f64::from(ranks.saturating_sub(1).max(1)));
        (self.last_was_late, self.began, self.least) = (is_late, now, Duration::MAX);
        self.pressure
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use Criticality::{Critical, Important, Low, Normal};
    use proptest::prelude::*;

    const ALL: [Criticality; 4] = [Low, Normal, Important, Critical];

    #[test]
    fn one_criticality_has_all_the_room_and_others_leave_some() {
        let rooms = Rooms::new(100, [Normal]);
        assert_eq!(rooms.room(Normal), 100);
        let rooms = Rooms::new(100, [Low, Normal, Critical]);
        assert_eq!(ALL.map(|one| rooms.room(one)), [70, 85, 85, 100]);
        assert_eq!(Rooms::new(1, ALL).room(Low), 1);
        assert_eq!(Rooms::new(0, ALL).admit(Critical, 0, 0.0, 0), Err(Crowded::Full));
    }

    #[test]
    fn a_burst_is_no_overload_and_lateness_without_a_break_is() {
        let mut pressure = Pressure::new(Duration::from_millis(100));
        let mut at = 0;
        let mut seconds = |pressure: &mut Pressure, count: u64, late: &[u64]| {
            let mut last = 0.0;
            for _ in 0..count * 10 {
                at += 100;
                let late = late[usize::try_from(at / 100).unwrap() % late.len()];
                last = pressure.look(Tick::from_millis(at), Duration::from_millis(late), 4);
            }
            last
        };
        assert!(seconds(&mut pressure, 60, &[900, 900, 900, 0]) <= 0.0);
        assert!(seconds(&mut pressure, 2, &[200]) < 0.5);
        assert!(seconds(&mut pressure, 6, &[200]) >= 1.0);
        assert!(seconds(&mut pressure, 1, &[5_000]) >= 2.0, "the later, the faster");
        assert!(seconds(&mut pressure, 30, &[200]) >= 3.0);
        assert!(seconds(&mut pressure, 41, &[10]) <= 0.0);
        pressure.relimit(Duration::ZERO);
        assert!(seconds(&mut pressure, 30, &[9_000]) <= 0.0);
    }

    proptest! {
        #[test]
        fn the_less_critical_are_refused_first(
            most in 1_usize..20_000,
            present in prop::collection::vec(0_usize..4, 1..8),
            under_way in 0_usize..20_000,
            pressure in 0.0_f64..4.0,
            chance in any::<u64>(),
        ) {
            let rooms = Rooms::new(most, present.iter().map(|at| ALL[*at]));
            for pair in ALL.windows(2) {
                let (less, more) = (pair[0], pair[1]);
                prop_assert!(rooms.room(less) <= rooms.room(more));
                prop_assert!(rooms.refused(less, pressure) >= rooms.refused(more, pressure));
                // Whoever is taken, whoever is more critical is taken too; and whoever is to wait, the less critical waits at least as long.
                if rooms.admit(less, under_way, pressure, chance).is_ok() {
                    prop_assert!(rooms.admit(more, under_way, pressure, chance).is_ok());
                }
                prop_assert!(rooms.wait(less, chance) >= rooms.wait(more, chance));
            }
            let top = ALL[*present.iter().max().unwrap()];
            prop_assert_eq!(rooms.room(top), most);
            prop_assert!(rooms.refused(top, pressure) < 1.0);
            // While any of the next are refused for lateness, all of those before are.
            let mut below = None;
            for one in ALL.into_iter().filter(|one| present.contains(&(*one as usize))) {
                if let Some(below) = below && rooms.refused(one, pressure) > 0.0 {
                    prop_assert!(rooms.refused(below, pressure) >= 1.0);
                }
                below = Some(one);
            }
            let wait = rooms.wait(top, chance);
            prop_assert!(wait >= Duration::from_secs(1) && wait <= Duration::from_secs(2));
        }
    }
}
