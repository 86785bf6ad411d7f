//! The few statistics that evidence rests on: means, what they may be off by, and a bound that stays true however often
//! one looks. Pure arithmetic; chance is never asked.

/// The normal quantile for two-sided 95 %.
pub(crate) const Z95: f64 = 1.959_964;

/// Numbers, summed as they come.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Moments {
    n: u64,
    mean: f64,
    squares: f64,
}

impl Moments {
    /// Those of `numbers`.
    pub(crate) fn of(numbers: impl IntoIterator<Item = f64>) -> Self {
        let mut moments = Self::default();
        numbers.into_iter().for_each(|x| moments.add(x));
        moments
    }

    /// Adds one number (Welford's way: no cancellation).
    pub(crate) fn add(&mut self, x: f64) {
        self.n += 1;
        let off = x - self.mean;
        self.mean += off / self.count();
        self.squares += off * (x - self.mean);
    }

    #[expect(clippy::cast_precision_loss, reason = "counts stay far below 2^52")]
    pub(crate) const fn count(&self) -> f64 {
        self.n as f64
    }

    pub(crate) const fn n(&self) -> u64 {
        self.n
    }

    pub(crate) const fn mean(&self) -> f64 {
        self.mean
    }

    /// The variance of the mean. A sample that shows no variance at all is not believed: half of a pseudo observation
    /// at each end of `range` is added to the squares.
    pub(crate) fn variance_of_mean(&self, range: f64) -> f64 {
        if self.n < 2 {
            return range * range;
        }
        let doubt = range * range / 4.0 / (self.count() + 1.0);
        (self.squares / (self.count() - 1.0)).max(doubt) / self.count()
    }
}

/// The largest lower bound on the mean of `numbers`, each within [-1, 1], that a predictable plug-in empirical
/// Bernstein sequence gives. It holds at every moment at once with probability 1 - `alpha`, so looking again and again
/// costs nothing (Waudby-Smith and Ramdas 2023, theorem 2, one-sided).
pub(crate) fn lower_bound(numbers: &[f64], alpha: f64) -> f64 {
    // on [0, 1] the tuning is scale-free
    const MOST: f64 = 0.5;
    let log = (1.0 / alpha).ln();
    let (mut weights, mut weighted, mut penalty) = (0.0, 0.0, log);
    let (mut n, mut sum, mut squares) = (1.0_f64, 0.5_f64, 0.25_f64);
    let mut best = 0.0_f64;
    for number in numbers {
        let x = f64::midpoint(number.clamp(-1.0, 1.0), 1.0);
        let (mean, variance) = (sum / n, squares / n);
        let bet = (2.0 * log / (variance * n * (1.0 + n).ln())).sqrt().min(MOST);
        weights += bet;
        weighted += bet * x;
        penalty += (x - mean).powi(2) * (-(1.0 - bet).ln() - bet);
        best = best.max((weighted - penalty) / weights);
        n += 1.0;
        sum += x;
        squares += (x - sum / n).powi(2);
    }
    2.0f64.mul_add(best, -1.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A number in [0, 1) after `state`, well mixed.
    fn next(state: &mut u64) -> f64 {
        *state = state.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut x = *state;
        x = (x ^ (x >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        x = (x ^ (x >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        ((x ^ (x >> 31)) >> 11) as f64 / (1_u64 << 53) as f64
    }

    /// `n` differences of two right-or-wrong answers: right with `p` and `q`.
    fn differences(state: &mut u64, n: usize, p: f64, q: f64) -> Vec<f64> {
        (0..n).map(|_| f64::from(u8::from(next(state) < p)) - f64::from(u8::from(next(state) < q))).collect()
    }

    #[test]
    fn the_bound_holds_at_every_moment_and_comes_near() {
        let mut state = 7;
        let repeats = 400;
        let mut broken = 0;
        let mut slack = 0.0;
        for _ in 0..repeats {
            let numbers = differences(&mut state, 1_000, 0.7, 0.75);
            // a running maximum breaks if any moment's bound did
            broken += u32::from(lower_bound(&numbers, 0.05) > -0.05);
            slack += -0.05 - lower_bound(&numbers, 0.05);
        }
        assert!(broken <= 24, "{broken} of {repeats} at 5 %");
        assert!(slack / f64::from(repeats) < 0.1, "{}", slack / f64::from(repeats));
    }

    #[test]
    fn moments_are_those_of_the_book() {
        let moments = Moments::of([1.0, 2.0, 4.0]);
        assert!((moments.mean() - 7.0 / 3.0).abs() < 1e-12);
        assert!((moments.variance_of_mean(1.0) - 7.0 / 9.0).abs() < 1e-12);
        assert!(Moments::of([1.0; 30]).variance_of_mean(1.0) > 0.0);
    }
}
