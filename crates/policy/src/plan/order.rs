//! The order of candidates that stand on the same step: pins and weights, service objectives, the objective, ties by
//! headroom; then a draw among equals, and independence of what follows.

use super::PlanInput;
use super::candidate::{Candidate, Candidates};
use crate::chance::unit;
use crate::rules::{Prefer, Weights};
use std::cmp::Ordering;
use std::time::Duration;

/// Scores closer than this are equal.
const STEPS: f32 = 1_000.0;
/// Whoever takes this many times as long as the fastest of its equals takes less of the load.
const SLOW: u32 = 4;

/// Scores and sorts.
pub(super) fn sort<V: ?Sized>(candidates: &mut Candidates, input: &PlanInput<'_, V>) {
    match input.product.rules().prefer {
        Prefer::Order => candidates.iter_mut().for_each(|candidate| candidate.score = as_score(candidate.rank)),
        Prefer::Weighted(weights) => score(candidates, weights),
    }
    if candidates.len() > 1 {
        candidates.sort_unstable_by(|a, b| before_ties(a, b).then_with(|| within_ties(a, b)));
    }
}

/// Draws the first among equals and moves independent alternatives forward. `head`: nobody stands before them.
pub(super) fn settle<V: ?Sized>(candidates: &mut Candidates, input: &PlanInput<'_, V>, head: bool) {
    weigh(candidates, input.product.weighted());
    if head {
        standby(candidates, input);
    }
    draw(candidates, input.chance);
    spread(candidates, input);
}

#[expect(clippy::cast_precision_loss, reason = "a rank is a small number")]
const fn as_score(rank: u32) -> f32 {
    rank as f32
}

/// Each measure as a share of the worst among those compared, weighed and summed: 0 is best. An unknown quality
/// counts as none; an unknown latency as the best, so that it becomes known.
#[expect(clippy::cast_possible_truncation, reason = "a score needs no more digits")]
fn score(candidates: &mut Candidates, weights: Weights) {
    let dearest = candidates.iter().map(|candidate| candidate.more.dollars()).fold(0.0, f64::max);
    let slowest = candidates.iter().filter_map(|candidate| candidate.latency).max().unwrap_or_default();
    let share = |x: f64, most: f64| if most > 0.0 { x / most } else { 0.0 };
    let sum = weights.cost + weights.quality + weights.latency;
    for candidate in candidates {
        let latency = candidate.latency.as_ref().map_or(0.0, Duration::as_secs_f64);
        let weighed = weights.cost * share(candidate.more.dollars(), dearest)
            + weights.quality * (1.0 - candidate.quality.unwrap_or(0.0))
            + weights.latency * share(latency, slowest.as_secs_f64());
        candidate.score = (weighed / sum) as f32;
    }
}

fn before_ties(a: &Candidate, b: &Candidate) -> Ordering {
    let step = |candidate: &Candidate| (candidate.score * STEPS).round();
    let key = |c: &Candidate| (c.group, c.misses_slo, c.lossy, c.softly_lacks);
    key(a)
        .cmp(&key(b))
        .then_with(|| step(a).total_cmp(&step(b)))
        .then_with(|| (a.cold, a.foreign).cmp(&(b.cold, b.foreign)))
}

fn within_ties(a: &Candidate, b: &Candidate) -> Ordering {
    let load = |candidate: &Candidate| candidate.headroom * candidate.ramp;
    b.weight
        .total_cmp(&a.weight)
        .then_with(|| load(b).total_cmp(&load(a)))
        .then_with(|| (a.rank, a.ix).cmp(&(b.rank, b.ix)))
}

/// How much of the load among equals one should take: what is free, less where it recovers, less where it is much
/// slower than its equals.
fn share_of(candidate: &Candidate, fastest: Duration) -> f32 {
    let slow = candidate.latency.filter(|latency| *latency > fastest * SLOW);
    let pace = slow.map_or(1.0, |latency| fastest.div_duration_f32(latency));
    candidate.headroom * candidate.ramp * pace
}

/// Gives every candidate its probability of being first. Equals share by headroom, so that no herd runs to
/// the one that looked idlest a moment ago; whoever is ramping up gets that share only, the rest goes to the next.
fn weigh(candidates: &mut Candidates, weighted: bool) {
    let weighted = weighted && candidates.first().is_some_and(|first| first.weight > 0.0);
    let equal = |a: &Candidate, b: &Candidate| {
        if weighted { (a.weight > 0.0) == (b.weight > 0.0) } else { before_ties(a, b) == Ordering::Equal }
    };
    let mut rest = 1.0_f32;
    let mut start = 0;
    while start < candidates.len() && rest > 0.0 {
        let head = candidates[start];
        let len = candidates[start..].iter().take_while(|candidate| equal(&head, candidate)).count();
        let group = &mut candidates[start..start + len];
        let fastest = group.iter().filter_map(|candidate| candidate.latency).min().unwrap_or_default();
        let part = |c: &Candidate| if weighted { c.weight * c.ramp } else { share_of(c, fastest) };
        let whole: f32 = group.iter().map(part).sum();
        let taken = rest * group.iter().map(|candidate| candidate.ramp).fold(0.0, f32::max).min(1.0);
        if whole > 0.0 {
            group.iter_mut().for_each(|candidate| candidate.probability = taken * part(candidate) / whole);
            rest -= taken;
        }
        start += len;
    }
    // Everyone is recovering: what nobody took is shared as the rest was.
    let taken = 1.0 - rest;
    if taken > 0.0 {
        candidates.iter_mut().for_each(|candidate| candidate.probability /= taken);
    } else if let Some(first) = candidates.first_mut() {
        first.probability = 1.0;
    }
}

/// Gives the best of those that nobody would ask a share, so that it is known to work. Whoever the conversation's
/// prompt is cached with keeps it.
fn standby<V: ?Sized>(candidates: &mut Candidates, input: &PlanInput<'_, V>) {
    let share = input.product.rules().standby;
    let Some(first) = candidates.first().copied().filter(|_| share > 0.0 && !input.product.weighted()) else { return };
    if candidates.iter().any(|candidate| candidate.probability > 0.0 && input.warm.is_some() && !candidate.cold) {
        return;
    }
    let alike = |one: &Candidate| {
        (one.group, one.misses_slo, one.lossy) == (first.group, first.misses_slo, first.lossy) && !one.probe
    };
    let idle = candidates.iter().enumerate().filter(|(_, one)| one.probability <= 0.0 && alike(one));
    let shared = |one: &Candidate| input.product.shared_parties(first.ix, one.ix);
    let Some(at) = idle.min_by_key(|(_, one)| shared(one)).map(|(at, _)| at) else { return };
    #[expect(clippy::cast_possible_truncation, reason = "a share needs no more digits")]
    let share = share as f32;
    candidates.iter_mut().for_each(|candidate| candidate.probability *= 1.0 - share);
    candidates[at].probability = share;
}

/// Draws who is first.
fn draw(candidates: &mut Candidates, chance: u64) {
    let roll = unit(chance);
    let mut sum = 0.0;
    let drawn = candidates.iter().position(|candidate| {
        sum += candidate.probability;
        candidate.probability > 0.0 && roll < sum
    });
    if let Some(at) = drawn {
        candidates[..=at].rotate_right(1);
    }
}

/// Behind the first, whoever shares the fewest parties whose loss must be survived with those before comes next.
fn spread<V: ?Sized>(candidates: &mut Candidates, input: &PlanInput<'_, V>) {
    if input.product.survive().is_empty() {
        return;
    }
    for at in 1..candidates.len().min(super::MAX_LEGS) {
        let (before, after) = candidates.split_at(at);
        let shared = |candidate: &Candidate| -> usize {
            before.iter().map(|earlier| input.product.shared_parties(earlier.ix, candidate.ix)).sum()
        };
        let same = after.iter().take_while(|candidate| candidate.group == after[0].group);
        if let Some((best, _)) = same.enumerate().min_by_key(|(_, candidate)| shared(candidate)) {
            candidates[at..=at + best].rotate_right(1);
        }
    }
}
