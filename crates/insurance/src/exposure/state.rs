//! What ties products to providers, read off the recorded requests; and what our own models do.

use super::Inputs;
use super::demand::Demands;
use crate::drill::Proof;
use crate::node::OWN;
use ledger::flow::Flow;
use ledger::record::{Name, Portability};
use serde::Serialize;
use std::collections::BTreeMap;

/// How freely a product's requests could go elsewhere, in requests.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct State {
    /// The product; `None`: the source does not say.
    pub product: Option<Name>,
    /// All.
    pub requests: u64,
    /// As they are, to anyone who speaks the wire.
    pub portable: u64,
    /// On another wire, without loss.
    pub translatable: u64,
    /// Elsewhere they mean less.
    pub degraded: u64,
    /// Nowhere else.
    pub locked: u64,
    /// Nobody noted it.
    pub unknown: u64,
    /// What locks them, the most first.
    pub locked_by: Vec<(Name, u64)>,
}

pub(super) fn states(inputs: &Inputs<'_>, demands: &Demands) -> Vec<State> {
    let mut states: Vec<State> = Vec::new();
    for product in &demands.products {
        let mine = || inputs.flows.iter().filter(|flow| flow.key.product == product.name);
        let count = |grade: Option<Portability>| {
            mine().filter(|flow| flow.key.portability == grade).map(|flow| flow.answered).sum::<u64>()
        };
        let mut by: BTreeMap<Name, u64> = BTreeMap::new();
        for flow in mine().filter(|flow| flow.key.portability == Some(Portability::Locked)) {
            let feature = flow.key.locked_by.clone().unwrap_or_else(|| crate::node::UNKNOWN.into());
            *by.entry(feature).or_default() += flow.answered;
        }
        let mut locked_by: Vec<(Name, u64)> = by.into_iter().collect();
        locked_by.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
        states.push(State {
            product: product.name.clone(),
            requests: mine().map(|flow| flow.answered).sum(),
            portable: count(Some(Portability::Portable)),
            translatable: count(Some(Portability::Translatable)),
            degraded: count(Some(Portability::Degraded)),
            locked: count(Some(Portability::Locked)),
            unknown: count(None),
            locked_by,
        });
    }
    states.retain(|state| state.requests > 0);
    states.sort_by(|a, b| b.requests.cmp(&a.requests).then(a.product.cmp(&b.product)));
    states
}

/// A part of the requests, 0 to 1, three ways.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize)]
pub struct HouseShare {
    /// Of requests; `None`: there are none.
    pub requests: Option<f64>,
    /// Of known tokens.
    pub tokens: Option<f64>,
}

/// What our own models do. Three numbers, never one.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct House {
    /// What they answer today.
    pub served: HouseShare,
    /// What they answer, by product.
    pub by_product: Vec<(Option<Name>, HouseShare)>,
    /// What they are proven able to answer, of requests; `None`: no cover names one of them.
    pub covered: Option<f64>,
    /// What they answered in live drills, of requests answered there; `None`: there were none.
    pub drilled: Option<f64>,
}

pub(super) fn house(inputs: &Inputs<'_>) -> House {
    let at_home = |flow: &Flow| {
        let entry = flow.key.deployment.as_deref().and_then(|name| inputs.register.deployment(name));
        entry.is_some_and(|entry| entry.house) || flow.key.host.as_deref() == Some(OWN)
    };
    let mut products: Vec<&Option<Name>> = inputs.flows.iter().map(|flow| &flow.key.product).collect();
    products.sort();
    products.dedup();
    let of = |product: Option<&Option<Name>>| {
        let mine = || inputs.flows.iter().filter(move |flow| product.is_none_or(|name| *name == flow.key.product));
        let share = |count: fn(&Flow) -> u64| {
            let all: u64 = mine().map(count).sum();
            part(mine().filter(|flow| at_home(flow)).map(count).sum(), all)
        };
        HouseShare { requests: share(|flow| flow.answered), tokens: share(|flow| flow.tokens) }
    };
    House {
        served: of(None),
        by_product: products.iter().map(|name| ((*name).clone(), of(Some(name)))).collect(),
        covered: covered(inputs),
        drilled: drilled(inputs),
    }
}

fn drilled(inputs: &Inputs<'_>) -> Option<f64> {
    let sum = |count: fn(&Proof) -> u64| inputs.drills.iter().map(count).sum();
    part(sum(|proof| proof.at_home), sum(|proof| proof.served))
}

fn covered(inputs: &Inputs<'_>) -> Option<f64> {
    let home = |name: &Name| inputs.register.deployment(name).is_some_and(|entry| entry.house);
    let covers: Vec<_> = inputs.covers.iter().filter(|cover| home(&cover.to)).collect();
    if covers.is_empty() {
        return None;
    }
    let proven = |flow: &&Flow| {
        let (Some(product), Some(from)) = (&flow.key.product, &flow.key.deployment) else { return false };
        covers.iter().any(|cover| {
            let class = flow.key.class.as_deref();
            let said = crate::cover::verdict(inputs.covers, product, class, from, &cover.to, inputs.day);
            said == crate::Verdict::Covered
        })
    };
    let all = inputs.flows.iter().map(|flow| flow.answered).sum();
    part(inputs.flows.iter().filter(proven).map(|flow| flow.answered).sum(), all)
}

#[expect(clippy::cast_precision_loss, reason = "a share needs no exact counts beyond 2^52")]
fn part(some: u64, all: u64) -> Option<f64> {
    (all > 0).then(|| some as f64 / all as f64)
}
