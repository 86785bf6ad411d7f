//! Places: the number under which a row lies in its day's table, so that rows lie in the order in which their requests came
//! and most are added at the end. 27 bits say the millisecond of the day, 30 tell requests that came in it apart, 6 say the
//! attempt. Where two rows fall on one place the later one takes the next that is free; none ever goes, so whoever looks
//! from a row's place on finds it before a free one. Pure.

use crate::id::RequestId;
use crate::packed::Sum;
use crate::record::RowKey;
use std::hash::Hasher;

/// Places of one millisecond.
const OF_A_MILLI: i64 = 1 << 36;

/// Milliseconds of a day.
pub(super) const DAY: u64 = 86_400_000;

const ATTEMPTS: u32 = 1 << 6;

/// Where a row is looked for first.
pub(super) fn of((request, attempt): RowKey) -> i64 {
    let mut apart = Sum::default();
    apart.write(request.bytes());
    let apart = apart.finish() >> 34;
    let attempt = attempt.saturating_sub(1).min(ATTEMPTS - 1);
    first(request) + (apart << 6 | u64::from(attempt)).cast_signed()
}

/// Where it is looked for next.
pub(super) const fn next(place: i64) -> i64 {
    let milli = place / OF_A_MILLI * OF_A_MILLI;
    milli + (place + 1) % OF_A_MILLI
}

/// The first place of those for the millisecond in which `request` came.
pub(super) fn first(request: RequestId) -> i64 {
    of_milli(request.unix_millis() % DAY)
}

/// The first place after those.
pub(super) fn end(request: RequestId) -> i64 {
    first(request) + OF_A_MILLI
}

/// The first place for a millisecond of the day.
pub(super) fn of_milli(milli: u64) -> i64 {
    milli.min(DAY).cast_signed() * OF_A_MILLI
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_follow_time_and_attempts() {
        let at = |millis, random, attempt| of((RequestId::new(millis, random), attempt));
        assert!(at(5, 7, 1) < at(5, 7, 2) && at(5, 7, 64) == at(5, 7, u32::MAX) && at(5, 7, 64) < at(6, 0, 1));
        assert_eq!(at(5, 7, 0), at(5, 7, 1));
        let last = end(RequestId::new(DAY - 1, 0));
        assert!(last > 0 && last == of_milli(DAY) && last - 1 > at(DAY - 1, 1, 1));
        assert_eq!(next(last - 1), first(RequestId::new(DAY - 1, 0)), "a millisecond's places are a ring");
    }
}
