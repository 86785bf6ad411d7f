//! Measures of time that forget: a moving average and a small histogram with quantiles. Filled by whoever watches
//! calls, read by plans and hedges.

use crate::time::Tick;
use std::time::Duration;

/// An average in which what is `half_life` old counts half.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Ewma {
    half_life: Duration,
    value: Option<(f64, Tick)>,
}

impl Ewma {
    /// An average of nothing yet.
    #[must_use]
    pub const fn new(half_life: Duration) -> Self {
        Self { half_life, value: None }
    }

    /// Adds a sample. Samples that come close together count less each, so that a burst is not the whole truth.
    pub fn add(&mut self, sample: f64, now: Tick) {
        let value = match self.value {
            None => sample,
            Some((old, then)) => {
                let age = now.since(then).as_secs_f64() / self.half_life.as_secs_f64().max(1e-9);
                let kept = 0.5_f64.powf(age).min(MOST_KEPT);
                old * kept + sample * (1.0 - kept)
            }
        };
        self.value = Some((value, now));
    }

    /// The average; `None` without a sample in the last ten half-lives.
    #[must_use]
    pub fn value(&self, now: Tick) -> Option<f64> {
        self.value.filter(|(_, then)| now.since(*then) <= self.half_life * 10).map(|(value, _)| value)
    }
}

/// Even among samples of the same moment a new one counts a tenth.
const MOST_KEPT: f64 = 0.9;

/// Four buckets for each doubling, from 1 ms to over two minutes.
const BUCKETS: usize = 70;
const PER_DOUBLING: f64 = 4.0;
/// From this many samples on all counts are halved: the past fades.
const FULL: u32 = 2_048;
/// Fewer samples tell nothing about a 95th percentile.
const LEAST: u32 = 20;

/// A histogram of durations whose quantiles are exact to a fifth.
#[derive(Debug, Clone)]
pub struct Quantiles {
    counts: [u32; BUCKETS],
    total: u32,
}

impl Default for Quantiles {
    fn default() -> Self {
        Self::new()
    }
}

impl Quantiles {
    /// An empty one.
    #[must_use]
    pub const fn new() -> Self {
        Self { counts: [0; BUCKETS], total: 0 }
    }

    /// Adds a sample.
    pub fn add(&mut self, sample: Duration) {
        if self.total >= FULL {
            self.counts.iter_mut().for_each(|count| *count /= 2);
            self.total = self.counts.iter().sum();
        }
        self.counts[bucket(sample)] += 1;
        self.total += 1;
    }

    /// The duration that the share `q` (0 to 1) of samples does not pass; `None` while there are too few samples.
    #[must_use]
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a share of a 32-bit count is one, and not negative"
    )]
    pub fn at(&self, q: f64) -> Option<Duration> {
        if self.total < LEAST {
            return None;
        }
        let wanted = ((f64::from(self.total) * q.clamp(0.0, 1.0)).ceil() as u32).max(1);
        let mut sum = 0;
        let at = self.counts.iter().position(|count| {
            sum += count;
            sum >= wanted
        });
        at.map(upper)
    }

    /// How many samples it remembers.
    #[must_use]
    pub const fn len(&self) -> u32 {
        self.total
    }

    /// Whether it remembers none.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.total == 0
    }
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "the logarithm of a duration is small, and negative ones are cut off"
)]
fn bucket(sample: Duration) -> usize {
    let steps = (sample.as_secs_f64() * 1_000.0).log2() * PER_DOUBLING;
    (steps.max(0.0).ceil() as usize).min(BUCKETS - 1)
}

#[expect(clippy::cast_precision_loss, reason = "a bucket's number is small")]
fn upper(bucket: usize) -> Duration {
    Duration::from_secs_f64((bucket as f64 / PER_DOUBLING).exp2() / 1_000.0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn averages_forget_and_fall_silent() {
        let mut ewma = Ewma::new(Duration::from_secs(10));
        assert_eq!(ewma.value(Tick::ZERO), None);
        ewma.add(100.0, Tick::ZERO);
        ewma.add(200.0, Tick::from_millis(10_000));
        assert!((ewma.value(Tick::from_millis(10_000)).unwrap() - 150.0).abs() < 1e-9);
        assert_eq!(ewma.value(Tick::from_millis(120_000)), None);
    }

    #[test]
    fn too_few_samples_tell_nothing() {
        let mut quantiles = Quantiles::new();
        assert!(quantiles.is_empty());
        (0..LEAST - 1).for_each(|_| quantiles.add(Duration::from_millis(5)));
        assert_eq!(quantiles.at(0.95), None);
        quantiles.add(Duration::from_millis(5));
        assert!(quantiles.at(0.95).is_some());
    }

    proptest! {
        #[test]
        fn quantiles_are_near_the_exact_ones(mut ms in prop::collection::vec(1_u64..100_000, 20..500)) {
            let mut quantiles = Quantiles::new();
            ms.iter().for_each(|ms| quantiles.add(Duration::from_millis(*ms)));
            ms.sort_unstable();
            let exact = ms[(ms.len() * 95).div_ceil(100) - 1];
            let said = quantiles.at(0.95).unwrap().as_secs_f64() * 1_000.0;
            prop_assert!(said >= exact as f64 * 0.999 && said <= exact as f64 * 1.2, "{said} for {exact}");
        }
    }
}
