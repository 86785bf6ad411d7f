//! When to ask a second deployment because the first token is slow to come: later than all but two in a hundred, or than
//! three times the usual one, and never for more than a fixed share of requests.

use crate::latency::Quantiles;
use crate::rules::Hedging;
use crate::time::Tick;
use crate::window::Window;
use std::time::Duration;

/// Seconds over which requests earn hedges.
const SECONDS: usize = 60;
/// A shorter wait than this is not worth a second call.
const LEAST_DELAY: Duration = Duration::from_millis(20);
/// The share of first tokens that come before a hedge is worth it.
const QUANTILE: f64 = 0.98;
/// So many times the usual wait is too long, however often it happens: who is slow for one request in twenty would else
/// be taken to be that slow by nature.
const TIMES: u32 = 3;

/// How long to wait for a first token before a hedge, learned from the `first_tokens` of a deployment; `None`: not
/// learned yet, so no hedge.
#[must_use]
pub fn delay(first_tokens: &Quantiles) -> Option<Duration> {
    let (late, usual) = (first_tokens.at(QUANTILE)?, first_tokens.at(0.5)?);
    Some(late.min(usual * TIMES).max(LEAST_DELAY))
}

/// The hedges that a pool of requests may afford.
#[derive(Debug, Clone)]
pub struct HedgeBudget {
    on: bool,
    share: f64,
    window: Window<SECONDS>,
}

impl HedgeBudget {
    /// A budget by the rules of a product.
    #[must_use]
    pub const fn new(rules: &Hedging) -> Self {
        Self { on: rules.on, share: rules.share, window: Window::new(Duration::from_secs(1)) }
    }

    /// A request was sent.
    pub fn deposit(&mut self, now: Tick) {
        self.window.add(now, 1, 0);
    }

    /// Takes one hedge; `false`: hedging is off, or it would pass the share of the last minute's requests.
    #[expect(clippy::cast_precision_loss, reason = "counts of a minute stay far below 2^52")]
    pub fn withdraw(&mut self, now: Tick) -> bool {
        let (requests, spent) = self.window.sums(now);
        let affordable = self.on && (spent + 1) as f64 <= requests as f64 * self.share;
        if affordable {
            self.window.add(now, 0, 1);
        }
        affordable
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn off_means_never() {
        let mut budget = HedgeBudget::new(&Hedging::default());
        (0..1_000).for_each(|_| budget.deposit(Tick::ZERO));
        assert!(!budget.withdraw(Tick::ZERO));
    }

    #[test]
    fn the_delay_is_learned() {
        let mut seen = Quantiles::new();
        assert_eq!(delay(&seen), None);
        (0..200).for_each(|_| seen.add(Duration::from_millis(200)));
        (0..3).for_each(|_| seen.add(Duration::from_secs(9)));
        let learned = delay(&seen).unwrap();
        assert!(learned >= Duration::from_millis(200) && learned < Duration::from_millis(250), "{learned:?}");
        // Slow for one request in ten: that is no reason to wait as long for all.
        (0..20).for_each(|_| seen.add(Duration::from_secs(9)));
        let learned = delay(&seen).unwrap();
        assert!(learned >= Duration::from_millis(600) && learned < Duration::from_millis(750), "{learned:?}");
    }

    proptest! {
        #[test]
        fn the_share_is_never_passed(
            share in 0.0_f64..0.5,
            steps in prop::collection::vec((any::<bool>(), 0_u64..2_000), 1..600),
        ) {
            let mut budget = HedgeBudget::new(&Hedging { on: true, share });
            let (mut now, mut sent, mut hedged) = (0, Vec::new(), Vec::new());
            for (send, wait) in steps {
                now += wait;
                let tick = Tick::from_millis(now);
                if send {
                    budget.deposit(tick);
                    sent.push(now);
                } else if budget.withdraw(tick) {
                    hedged.push(now);
                }
                // The window is one of whole seconds, the current one included.
                let lately = |all: &[u64]| all.iter().filter(|at| **at / 1_000 + 60 > now / 1_000).count() as f64;
                prop_assert!(!hedged.ends_with(&[now]) || lately(&hedged) <= lately(&sent) * share);
            }
        }
    }
}
