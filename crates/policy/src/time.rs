//! Time as an argument: `Tick` for durations and timeouts (monotonic), `Wall` for calendars (windows of budgets,
//! retirements). Nothing here reads a clock.

use std::fmt;
use std::time::Duration;

/// A moment of the monotonic clock, counted from an epoch that the process chose at its start.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Tick(Duration);

impl Tick {
    /// The process's epoch.
    pub const ZERO: Self = Self(Duration::ZERO);

    /// The moment `since_epoch` after the epoch.
    #[must_use]
    pub const fn new(since_epoch: Duration) -> Self {
        Self(since_epoch)
    }

    /// The moment `ms` milliseconds after the epoch.
    #[must_use]
    pub const fn from_millis(ms: u64) -> Self {
        Self(Duration::from_millis(ms))
    }

    /// The moment `wait` later; the last moment where it does not fit.
    #[must_use]
    pub const fn after(self, wait: Duration) -> Self {
        Self(self.0.saturating_add(wait))
    }

    /// The time from `earlier` until this moment; zero where `earlier` is later.
    #[must_use]
    pub const fn since(self, earlier: Self) -> Duration {
        self.0.saturating_sub(earlier.0)
    }

    /// The time since the epoch.
    #[must_use]
    pub const fn since_epoch(self) -> Duration {
        self.0
    }

    /// Whole seconds since the epoch.
    #[must_use]
    pub const fn secs(self) -> u64 {
        self.0.as_secs()
    }
}

/// A moment of the wall clock: seconds since 1970-01-01 UTC.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Wall(i64);

const DAY: i64 = 86_400;

impl Wall {
    /// The moment `secs` seconds after 1970-01-01 UTC.
    #[must_use]
    pub const fn from_unix(secs: i64) -> Self {
        Self(secs)
    }

    /// Midnight UTC at the start of a civil date (proleptic Gregorian; `month` 1 to 12, `day` 1 to 31).
    #[must_use]
    pub const fn from_date(year: i64, month: u8, day: u8) -> Self {
        // Years begin in March here, so that the leap day is the last day of one.
        let y = if month <= 2 { year - 1 } else { year };
        let era = y.div_euclid(400);
        let year_of_era = y.rem_euclid(400);
        let from_march = (month as i64 + 9) % 12;
        let day_of_year = (153 * from_march + 2) / 5 + day as i64 - 1;
        let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
        Self((era * 146_097 + day_of_era - 719_468) * DAY)
    }

    /// Seconds since 1970-01-01 UTC.
    #[must_use]
    pub const fn unix(self) -> i64 {
        self.0
    }

    /// Year, month and day in UTC.
    #[must_use]
    pub const fn date(self) -> (i64, u8, u8) {
        let days = self.0.div_euclid(DAY) + 719_468;
        let era = days.div_euclid(146_097);
        let day_of_era = days.rem_euclid(146_097);
        let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
        let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
        let from_march = (5 * day_of_year + 2) / 153;
        let day = day_of_year - (153 * from_march + 2) / 5 + 1;
        let month = if from_march < 10 { from_march + 3 } else { from_march - 9 };
        let year = year_of_era + era * 400 + if month <= 2 { 1 } else { 0 };
        (year, month as u8, day as u8)
    }

    /// The start of this moment's minute.
    #[must_use]
    pub const fn minute(self) -> Self {
        Self(self.0.div_euclid(60) * 60)
    }

    /// Midnight UTC of this moment's day.
    #[must_use]
    pub const fn day(self) -> Self {
        Self(self.0.div_euclid(DAY) * DAY)
    }

    /// Midnight UTC of the first day of this moment's month.
    #[must_use]
    pub const fn month(self) -> Self {
        let (year, month, _) = self.date();
        Self::from_date(year, month, 1)
    }

    /// Midnight UTC of the first day of the next month.
    #[must_use]
    pub const fn next_month(self) -> Self {
        let (year, month, _) = self.date();
        if month == 12 { Self::from_date(year + 1, 1, 1) } else { Self::from_date(year, month + 1, 1) }
    }

    /// The time from now until `later`; zero where it has passed.
    #[must_use]
    pub const fn until(self, later: Self) -> Duration {
        let secs = later.0.saturating_sub(self.0);
        Duration::from_secs(if secs > 0 { secs.unsigned_abs() } else { 0 })
    }
}

impl fmt::Display for Wall {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (year, month, day) = self.date();
        write!(f, "{year:04}-{month:02}-{day:02}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn known_dates() {
        assert_eq!(Wall::from_date(1970, 1, 1).unix(), 0);
        assert_eq!(Wall::from_date(2000, 3, 1).unix(), 951_868_800);
        assert_eq!(Wall::from_date(2026, 11, 23).unix(), 1_795_392_000);
        assert_eq!(Wall::from_unix(1_795_392_000 + 86_399).date(), (2026, 11, 23));
        assert_eq!(Wall::from_date(2026, 12, 31).next_month(), Wall::from_date(2027, 1, 1));
        assert_eq!(Wall::from_date(2032, 2, 29).to_string(), "2032-02-29");
    }

    proptest! {
        #[test]
        fn dates_come_home(days in -300_000_i64..300_000) {
            let wall = Wall::from_unix(days * DAY);
            let (y, m, d) = wall.date();
            prop_assert_eq!(Wall::from_date(y, m, d), wall);
            prop_assert!(wall.month() <= wall && wall < wall.next_month());
        }
    }
}
