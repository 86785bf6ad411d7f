//! The clocks of the data plane, read here and handed as arguments to the pure rooms: `Tick` (monotonic, since the
//! process began) for every limit, wall time for ledger rows only.

use policy::{Tick, Wall};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// The process's clock.
#[derive(Debug, Clone, Copy)]
pub struct Clock {
    start: Instant,
}

impl Default for Clock {
    fn default() -> Self {
        Self { start: now() }
    }
}

impl Clock {
    /// A clock whose epoch was `earlier` than now: for a process that goes on with what another one counted before.
    #[must_use]
    pub fn begun(earlier: Duration) -> Self {
        let now = now();
        Self { start: now.checked_sub(earlier).unwrap_or(now) }
    }

    /// Time since the process began.
    #[must_use]
    pub fn tick(&self) -> Tick {
        self.tick_of(now())
    }

    /// `instant` as time since the process began.
    #[must_use]
    pub fn tick_of(&self, instant: Instant) -> Tick {
        Tick::new(instant.saturating_duration_since(self.start))
    }
}

/// Now, by the clock that timeouts run on (a test may hold it).
#[must_use]
pub fn now() -> Instant {
    tokio::time::Instant::now().into_std()
}

/// Now, for calendars.
#[must_use]
pub fn wall() -> Wall {
    Wall::from_unix(unix_micros() / 1_000_000)
}

/// Unix time in microseconds.
#[must_use]
pub fn unix_micros() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO);
    i64::try_from(since.as_micros()).unwrap_or(i64::MAX)
}

/// Microseconds of `duration`.
#[must_use]
pub fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}
