//! From a row of logits to one token. Pure: chance is a function of (seed, choice, place, draw), so that a second child
//! that is given the same tokens draws the same ones after them.

use crate::protocol::Likely;
use std::collections::HashMap;

/// How one choice is sampled. Order: penalties, temperature, top-k, top-p, min-p, draw.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Taste {
    /// 0: the likeliest token, always.
    pub(crate) temperature: f32,
    /// Nucleus; 1: off.
    pub(crate) top_p: f32,
    /// Most candidates; 0: off.
    pub(crate) top_k: usize,
    /// Smallest share of the best candidate's probability; 0: off.
    pub(crate) min_p: f32,
    /// Penalty per earlier occurrence in the answer.
    pub(crate) frequency: f32,
    /// Penalty for having occurred in the answer.
    pub(crate) presence: f32,
    /// Seed of the random numbers.
    pub(crate) seed: u64,
}

/// What may follow, where the answer's form is fixed. The grammar is llama.cpp's; a test has its own.
pub(crate) trait Rules {
    /// Whether `token` may come next.
    fn allows(&mut self, token: i32) -> bool;
    /// Takes out of `logits` (sets to minus infinity) what may not come next.
    fn forbid(&mut self, logits: &mut [f32]);
    /// `token` came.
    fn accept(&mut self, token: i32);
}

/// The sampler of one choice.
#[derive(Debug)]
pub(crate) struct Sampler {
    taste: Taste,
    choice: u32,
    seen: HashMap<i32, u16>,
    scratch: Vec<f32>,
    candidates: Vec<(f32, i32)>,
}

impl Sampler {
    pub(crate) fn new(taste: Taste, choice: u32) -> Self {
        Self { taste, choice, seen: HashMap::new(), scratch: Vec::new(), candidates: Vec::new() }
    }

    /// The token at `place` of the answer.
    pub(crate) fn pick(&mut self, logits: &[f32], place: usize, rules: Option<&mut dyn Rules>) -> i32 {
        let penal = !self.seen.is_empty() && (self.taste.frequency != 0.0 || self.taste.presence != 0.0);
        let mut scratch = std::mem::take(&mut self.scratch);
        if penal {
            scratch.clear();
            scratch.extend_from_slice(logits);
            for (token, count) in &self.seen {
                if let Some(logit) = usize::try_from(*token).ok().and_then(|at| scratch.get_mut(at)) {
                    *logit -= f32::from(*count) * self.taste.frequency + self.taste.presence;
                }
            }
        }
        let mut token = self.draw(if penal { &scratch } else { logits }, place, 0);
        // Most free picks fit the rules; forbidding over the whole vocabulary costs milliseconds, so it comes second.
        // Drawing again among what is allowed gives the same distribution as drawing there at once.
        if let Some(rules) = rules
            && !rules.allows(token)
        {
            if !penal {
                scratch.clear();
                scratch.extend_from_slice(logits);
            }
            rules.forbid(&mut scratch);
            token = self.draw(&scratch, place, 1);
        }
        self.scratch = scratch;
        token
    }

    /// `token` became part of the answer.
    pub(crate) fn accept(&mut self, token: i32) {
        if self.taste.frequency != 0.0 || self.taste.presence != 0.0 {
            let count = self.seen.entry(token).or_default();
            *count = count.saturating_add(1);
        }
    }

    fn draw(&mut self, logits: &[f32], place: usize, draw: u64) -> i32 {
        let (best, top) = best(logits);
        if self.taste.temperature <= 0.0 {
            return best;
        }
        let warm = 1.0 / self.taste.temperature;
        // Beyond 30 nats below the best, all of a vocabulary together weighs less than one in a million.
        let mut floor = top - 30.0 * self.taste.temperature;
        if self.taste.min_p > 0.0 {
            floor = floor.max(top + self.taste.min_p.ln() * self.taste.temperature);
        }
        let mut list = std::mem::take(&mut self.candidates);
        list.clear();
        list.extend((0_i32..).zip(logits).filter(|(_, logit)| **logit >= floor).map(|(id, logit)| (*logit, id)));
        let down = |a: &(f32, i32), b: &(f32, i32)| b.0.total_cmp(&a.0).then(a.1.cmp(&b.1));
        if self.taste.top_k > 0 && self.taste.top_k < list.len() {
            list.select_nth_unstable_by(self.taste.top_k - 1, down);
            list.truncate(self.taste.top_k);
        }
        if self.taste.top_p < 1.0 {
            list.sort_unstable_by(down);
        } else if self.taste.top_k > 0 {
            list.sort_unstable_by_key(|(_, id)| *id);
        }
        let mut total = 0.0_f64;
        for (logit, _) in &mut list {
            *logit = ((*logit - top) * warm).exp();
            total += f64::from(*logit);
        }
        if self.taste.top_p < 1.0 {
            let enough = total * f64::from(self.taste.top_p);
            let mut kept = 0.0;
            let cut = list.iter().position(|(weight, _)| {
                kept += f64::from(*weight);
                kept >= enough
            });
            list.truncate(cut.map_or(list.len(), |at| at + 1));
            total = kept;
        }
        let mut left = chance(self.taste.seed, self.choice, place, draw) * total;
        let token = list
            .iter()
            .find(|(weight, _)| {
                left -= f64::from(*weight);
                left < 0.0
            })
            .or(list.last())
            .map_or(best, |(_, id)| *id);
        self.candidates = list;
        token
    }
}

/// The likeliest token (the first of equals, as llama.cpp has it) and its logit.
pub(crate) fn best(logits: &[f32]) -> (i32, f32) {
    // In lanes, so that the compiler uses the processor's: this runs over the whole vocabulary for every token.
    let mut lanes = [f32::NEG_INFINITY; 16];
    let mut chunks = logits.chunks_exact(lanes.len());
    for chunk in &mut chunks {
        for (lane, logit) in lanes.iter_mut().zip(chunk) {
            *lane = if *logit > *lane { *logit } else { *lane };
        }
    }
    let top = lanes.iter().chain(chunks.remainder()).copied().fold(f32::NEG_INFINITY, f32::max);
    let at = logits.iter().position(|logit| *logit == top).unwrap_or(0);
    (i32::try_from(at).unwrap_or(0), top)
}

/// Log probabilities at one place: of `token`, and of the `count` likeliest. `bytes` gives a token's bytes.
pub(crate) fn likely(logits: &[f32], token: i32, count: usize, bytes: impl Fn(i32) -> Vec<u8>) -> Likely {
    let (_, top) = best(logits);
    let sum: f64 = logits.iter().map(|logit| f64::from((logit - top).exp())).sum();
    let base = f64::from(top) + sum.ln();
    let of = |id: i32| {
        usize::try_from(id).ok().and_then(|at| logits.get(at)).map_or(f64::NEG_INFINITY, |l| f64::from(*l) - base)
    };
    let mut order: Vec<(f32, i32)> = Vec::new();
    if count > 0 {
        order.extend(logits.iter().copied().zip(0_i32..));
        let down = |a: &(f32, i32), b: &(f32, i32)| b.0.total_cmp(&a.0).then(a.1.cmp(&b.1));
        let count = count.min(order.len());
        order.select_nth_unstable_by(count - 1, down);
        order.truncate(count);
        order.sort_unstable_by(down);
    }
    let top = order.iter().map(|(_, id)| Likely { bytes: bytes(*id), logprob: of(*id), top: Vec::new() }).collect();
    Likely { bytes: bytes(token), logprob: of(token), top }
}

/// A number in [0, 1) that depends on nothing but its arguments (splitmix64's finaliser over their mix).
fn chance(seed: u64, choice: u32, place: usize, draw: u64) -> f64 {
    let mut mixed = seed;
    for part in [u64::from(choice), place as u64, draw] {
        mixed = (mixed ^ part).wrapping_add(0x9e37_79b9_7f4a_7c15);
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^= mixed >> 31;
    }
    (mixed >> 11) as f64 / (1_u64 << 53) as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    fn taste() -> Taste {
        Taste { temperature: 1.0, top_p: 1.0, top_k: 0, min_p: 0.0, frequency: 0.0, presence: 0.0, seed: 1 }
    }

    fn shares(taste: &Taste, logits: &[f32]) -> Vec<f64> {
        let mut sampler = Sampler::new(taste.clone(), 0);
        let mut counts = vec![0_u32; logits.len()];
        for place in 0..20_000 {
            counts[usize::try_from(sampler.pick(logits, place, None)).unwrap()] += 1;
        }
        counts.iter().map(|count| f64::from(*count) / 20_000.0).collect()
    }

    fn near(shares: &[f64], expected: &[f64]) {
        for (share, expected) in shares.iter().zip(expected) {
            assert!((share - expected).abs() < 0.015, "{shares:?} is not {expected:?}");
        }
    }

    #[test]
    fn draws_follow_the_distribution_and_each_knob_cuts_it() {
        let logits: Vec<f32> = [0.5_f32, 0.3, 0.15, 0.05].iter().map(|p| p.ln()).collect();
        near(&shares(&taste(), &logits), &[0.5, 0.3, 0.15, 0.05]);
        near(&shares(&Taste { top_k: 2, ..taste() }, &logits), &[0.625, 0.375, 0.0, 0.0]);
        near(&shares(&Taste { top_p: 0.6, ..taste() }, &logits), &[0.625, 0.375, 0.0, 0.0]);
        near(&shares(&Taste { min_p: 0.25, ..taste() }, &logits), &[0.526, 0.316, 0.158, 0.0]);
        near(&shares(&Taste { temperature: 0.5, ..taste() }, &logits), &[0.685, 0.247, 0.062, 0.007]);
        near(&shares(&Taste { temperature: 0.0, ..taste() }, &logits), &[1.0, 0.0, 0.0, 0.0]);
    }

    #[test]
    fn the_same_seed_draws_the_same_and_another_does_not() {
        let logits = vec![0.0; 1000];
        let run = |seed, choice| {
            let mut sampler = Sampler::new(Taste { seed, ..taste() }, choice);
            (0..20).map(|place| sampler.pick(&logits, place, None)).collect::<Vec<_>>()
        };
        assert_eq!(run(5, 0), run(5, 0));
        assert_ne!(run(5, 0), run(6, 0));
        assert_ne!(run(5, 0), run(5, 1));
    }

    #[test]
    fn penalties_count_what_was_said() {
        let mut sampler = Sampler::new(Taste { temperature: 0.0, frequency: 0.4, presence: 0.3, ..taste() }, 0);
        let logits = [2.0, 1.5, 1.0];
        let said: Vec<i32> = (0..4)
            .map(|place| {
                let token = sampler.pick(&logits, place, None);
                sampler.accept(token);
                token
            })
            .collect();
        assert_eq!(said, [0, 1, 0, 2]);
    }

    #[test]
    fn rules_hold_for_greedy_and_for_drawn_tokens() {
        struct Odd;
        impl Rules for Odd {
            fn allows(&mut self, token: i32) -> bool {
                token % 2 == 1
            }
            fn forbid(&mut self, logits: &mut [f32]) {
                for logit in logits.iter_mut().step_by(2) {
                    *logit = f32::NEG_INFINITY;
                }
            }
            fn accept(&mut self, _: i32) {}
        }
        let logits = [3.0, 2.0, 1.0, 0.0];
        for temperature in [0.0, 1.0] {
            let mut sampler = Sampler::new(Taste { temperature, ..taste() }, 0);
            assert!((0..100).all(|place| sampler.pick(&logits, place, Some(&mut Odd)) % 2 == 1));
        }
    }

    #[test]
    fn log_probabilities_sum_to_one() {
        let logits = [1.0, 2.0, 3.0, -1.0];
        let all = likely(&logits, 1, 4, |id| vec![u8::try_from(id).unwrap()]);
        let sum: f64 = all.top.iter().map(|one| one.logprob.exp()).sum();
        assert!((sum - 1.0).abs() < 1e-6, "{sum}");
        assert_eq!(all.top[0].bytes, [2]);
        assert_eq!(all.top[1].logprob, all.logprob);
    }
}
