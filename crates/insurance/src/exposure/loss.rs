//! What a loss leaves: untouched, covered, configured without evidence, last resorts only, nothing. Things whose loss
//! is the same loss stand together.

use super::demand::{Demand, Demands, Product};
use crate::Basis;
use crate::node::Node;
use crate::register::Set;
use ledger::record::Name;
use policy::rules::Criticality;
use serde::Serialize;
use std::collections::BTreeMap;

/// How good what is left is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Level {
    /// An answer within all rules.
    Fine,
    /// Only answers for which a rule bends: below the floor, or the house model standing in.
    LastResort,
    /// No answer.
    Nothing,
}

/// What becomes of requests in a loss, in requests. Their sum is all requests.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub struct Survival {
    /// The loss does not touch them.
    pub untouched: u64,
    /// Somebody who was proven able answers.
    pub covered: u64,
    /// Somebody answers who is configured to; nobody has shown how well.
    pub configured: u64,
    /// Only somebody for whom a rule bends answers.
    pub last_resort: u64,
    /// Nobody answers.
    pub nothing: u64,
    /// No rules are known for them.
    pub unknown: u64,
}

impl Survival {
    /// All requests.
    #[must_use]
    pub const fn total(&self) -> u64 {
        self.untouched + self.covered + self.configured + self.last_resort + self.nothing + self.unknown
    }

    /// Those that the loss touches.
    #[must_use]
    pub const fn touched(&self) -> u64 {
        self.total() - self.untouched
    }

    fn add(&mut self, fate: Fate, weight: u64) {
        let sum = match fate {
            Fate::Untouched => &mut self.untouched,
            Fate::Covered => &mut self.covered,
            Fate::Configured => &mut self.configured,
            Fate::LastResort => &mut self.last_resort,
            Fate::Nothing => &mut self.nothing,
            Fate::Unknown => &mut self.unknown,
        };
        *sum += weight;
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fate {
    Untouched,
    Covered,
    Configured,
    LastResort,
    Nothing,
    Unknown,
}

/// A loss; losing any one of `nodes` is this loss.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Loss {
    /// What may be lost.
    pub nodes: Vec<Node>,
    /// What becomes of all requests.
    pub survival: Survival,
    #[serde(skip)]
    place: usize,
    /// What is left to each product.
    #[serde(skip)]
    levels: Vec<Level>,
}

/// A product that has no answer, or only a last resort, when one thing is lost.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct SinglePoint {
    /// Losing any one of these does it.
    pub nodes: Vec<Node>,
    /// The product; `None`: the source does not say which.
    pub product: Option<Name>,
    /// Whether it is critical.
    pub critical: bool,
    /// What is left.
    pub left: Level,
    /// What becomes of the product's requests.
    pub survival: Survival,
    /// `ledger` where the product's traffic was recorded, `assumed` where it had none and `auto` was asked.
    pub basis: Basis,
}

/// A product that has less when two things are lost than when either is.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Pair {
    /// Losing any one of these …
    pub first: Vec<Node>,
    /// … and any one of these does it.
    pub second: Vec<Node>,
    /// The product; `None`: the source does not say which.
    pub product: Option<Name>,
    /// Whether it is critical.
    pub critical: bool,
    /// What is left.
    pub left: Level,
    /// What becomes of the product's requests.
    pub survival: Survival,
}

/// Every loss that touches anything, in the order of its first node.
pub(super) fn losses(demands: &Demands) -> Vec<Loss> {
    let mut alike: BTreeMap<(Set, Set), Vec<usize>> = BTreeMap::new();
    for place in 0..demands.graph.nodes().len() {
        let mut key = (Set::default(), Set::default());
        for (at, (demand, _)) in demands.list.iter().enumerate().filter(|(_, (demand, _))| demand.rests.has(place)) {
            debug_assert!(demand.rests.has(place));
            key.0.insert(at);
        }
        for (at, _) in demands.rests.iter().enumerate().filter(|(_, rests)| rests.has(place)) {
            key.1.insert(at);
        }
        if key != (Set::default(), Set::default()) {
            alike.entry(key).or_default().push(place);
        }
    }
    let mut losses: Vec<Loss> = alike
        .into_values()
        .map(|places| {
            let mut nodes: Vec<Node> = places.iter().map(|place| demands.graph.nodes()[*place].clone()).collect();
            nodes.sort();
            let lost = &places[..1];
            Loss { nodes, survival: total(demands, lost), place: places[0], levels: levels(demands, lost) }
        })
        .collect();
    losses.sort_by(|a, b| a.nodes.cmp(&b.nodes));
    losses
}

/// What becomes of all requests when `lost` are lost together.
pub(super) fn total(demands: &Demands, lost: &[usize]) -> Survival {
    let mut survival = Survival::default();
    for (demand, weight) in &demands.list {
        survival.add(fate(demands, demand, lost), *weight);
    }
    survival
}

/// Every product that one loss leaves less than it tolerates, critical products first, then the worst.
pub(super) fn single_points(demands: &Demands, losses: &[Loss]) -> Vec<SinglePoint> {
    let mut found = Vec::new();
    for loss in losses {
        for (product, left) in loss.levels.iter().enumerate().filter(|(_, left)| **left > Level::Fine) {
            let (about, survival) = (&demands.products[product], of_product(demands, product, &[loss.place]));
            found.push(SinglePoint {
                nodes: loss.nodes.clone(),
                product: about.name.clone(),
                critical: critical(about),
                left: *left,
                basis: if survival.total() > 0 { Basis::Ledger } else { Basis::Assumed },
                survival,
            });
        }
    }
    let rank = |one: &SinglePoint| (one.critical, one.left, one.survival.nothing, one.survival.last_resort);
    found.sort_by(|a, b| rank(b).cmp(&rank(a)).then_with(|| a.nodes.cmp(&b.nodes)));
    found
}

/// Every product that two losses leave less than either alone, critical products first, then the worst.
pub(super) fn pairs(demands: &Demands, losses: &[Loss]) -> Vec<Pair> {
    let mut found = Vec::new();
    for (at, first) in losses.iter().enumerate() {
        for second in &losses[at + 1..] {
            let lost = [first.place, second.place];
            let both = levels(demands, &lost);
            for (product, left) in both.into_iter().enumerate() {
                if left > first.levels[product].max(second.levels[product]) {
                    let about = &demands.products[product];
                    found.push(Pair {
                        first: first.nodes.clone(),
                        second: second.nodes.clone(),
                        product: about.name.clone(),
                        critical: critical(about),
                        left,
                        survival: of_product(demands, product, &lost),
                    });
                }
            }
        }
    }
    let rank = |one: &Pair| (one.critical, one.left, one.survival.nothing, one.survival.last_resort);
    found.sort_by(|a, b| rank(b).cmp(&rank(a)).then_with(|| (&a.first, &a.second).cmp(&(&b.first, &b.second))));
    found
}

fn critical(product: &Product) -> bool {
    product.criticality == Some(Criticality::Critical)
}

fn of_product(demands: &Demands, product: usize, lost: &[usize]) -> Survival {
    let mut survival = Survival::default();
    for (demand, weight) in demands.list.iter().filter(|(demand, _)| demand.product == product) {
        survival.add(fate(demands, demand, lost), *weight);
    }
    survival
}

/// What is left to each product when `lost` are lost together.
fn levels(demands: &Demands, lost: &[usize]) -> Vec<Level> {
    let mut sums = vec![(Survival::default(), Level::Fine); demands.products.len()];
    for (demand, weight) in &demands.list {
        let fate = fate(demands, demand, lost);
        let (survival, worst) = &mut sums[demand.product];
        survival.add(fate, *weight);
        *worst = (*worst).max(match fate {
            Fate::Nothing => Level::Nothing,
            Fate::LastResort => Level::LastResort,
            _ => Level::Fine,
        });
    }
    let judged = sums.iter().zip(&demands.products).map(|((survival, worst), product)| {
        if survival.total() == 0 {
            return *worst; // no traffic: what `auto` would find
        }
        if beyond(survival.nothing, survival.total(), product.tolerated) {
            Level::Nothing
        } else if beyond(survival.nothing + survival.last_resort, survival.total(), product.tolerated) {
            Level::LastResort
        } else {
            Level::Fine
        }
    });
    judged.collect()
}

/// Whether `part` of `all` is more than `tolerated`, a share.
#[expect(clippy::cast_precision_loss, reason = "counts of requests stay far below 2^52")]
fn beyond(part: u64, all: u64, tolerated: f64) -> bool {
    // a share written as 0.95 tolerates exactly 5 of 100
    part > 0 && part as f64 > tolerated * all as f64 + 1e-9 * all as f64
}

fn fate(demands: &Demands, demand: &Demand, lost: &[usize]) -> Fate {
    if demand.alive && !demand.rests.has_any(lost) {
        return Fate::Untouched;
    }
    let Some(ways) = &demand.ways else { return Fate::Unknown };
    let left = ways.iter().filter(|way| !demands.rests[way.deployment].has_any(lost));
    let mut fate = Fate::Nothing;
    for way in left {
        match (way.covered, way.level) {
            (true, _) => return Fate::Covered,
            (false, Level::Fine) => fate = Fate::Configured,
            (false, _) if fate == Fate::Nothing => fate = Fate::LastResort,
            _ => {}
        }
    }
    fate
}
