//! What requests would cost and be worth elsewhere. Another model needs other numbers of tokens for the same request, so
//! recorded tokens are never simply repriced: there is a measured ratio, or somebody's assumption, or the cost is unknown.

use super::figure::Doubt;
use super::scenario::Scenario;
use super::world::World;
use crate::cover::{Cover, Evidence, Index, Verdict};
use crate::node::Kind;
use crate::{Basis, Day};
use ledger::flow::Flow;
use ledger::record::Name;
use policy::{Counts, Deployment, DeploymentIx, Fleet, NanoUsd, Price};
use std::collections::BTreeMap;

/// Answers after which a deployment's usual number of tokens is believed.
const ENOUGH: u64 = 30;

/// A value with what it rests on; where it was measured, by which factor of which variance it is multiplied.
#[derive(Debug, Clone, Copy)]
pub(super) struct Value {
    pub(super) value: f64,
    pub(super) basis: Basis,
    /// How wrong that may be.
    pub(super) doubt: Option<Doubt>,
}

/// First tokens that were recorded: deployment, size of prompt; how many, microseconds.
type Times = BTreeMap<(Name, Option<u8>), (u64, f64)>;

/// Tokens per answer that were recorded: product, class, deployment.
type Usual = BTreeMap<(Option<Name>, Option<Name>, Name), (u64, f64, f64)>;

/// What is known of costs and qualities.
pub(super) struct Worth<'a> {
    evidence: Index<'a>,
    day: Day,
    usual: Usual,
    times: Times,
}

/// A move of requests from one deployment to another.
#[derive(Clone, Copy)]
pub(super) struct Move<'a> {
    pub(super) flow: &'a Flow,
    /// Of the flow's requests.
    pub(super) share: f64,
    pub(super) from: Option<&'a Deployment>,
    pub(super) to: DeploymentIx,
}

#[expect(clippy::cast_precision_loss, reason = "counts and nano-dollars of reports stay below 2^52, or need no more")]
impl<'a> Worth<'a> {
    pub(super) fn new(flows: &[Flow], evidence: &'a Evidence, day: Day) -> Self {
        let mut usual = Usual::new();
        for flow in flows {
            let Some(deployment) = flow.key.deployment.clone() else { continue };
            let counted = flow.answered.saturating_sub(flow.uncounted);
            let sum = usual.entry((flow.key.product.clone(), flow.key.class.clone(), deployment)).or_default();
            *sum = (sum.0 + counted, sum.1 + flow.input as f64, sum.2 + flow.output as f64);
        }
        let mut times = Times::new();
        for flow in flows.iter().filter(|flow| flow.timed > 0) {
            let Some(deployment) = flow.key.deployment.clone() else { continue };
            let sum = times.entry((deployment, flow.key.size)).or_default();
            *sum = (sum.0 + flow.timed, sum.1 + flow.first_token_us as f64);
        }
        Self { evidence: Index::of(evidence), day, usual, times }
    }

    /// How long `deployment` usually took to its first token for prompts of `size`, in seconds; `None`: nobody knows.
    pub(super) fn first_token(&self, deployment: &str, size: Option<u8>) -> Option<f64> {
        let (timed, micros) = self.times.get(&(Name::from(deployment), size))?;
        Some(micros / *timed as f64 / 1e6)
    }

    /// The cost of the same requests at the same deployment, by the price that another configuration states.
    pub(super) fn restated(&self, flow: &Flow, share: f64, (was, is): (&Deployment, &Deployment)) -> Option<Value> {
        let recorded = (flow.unpriced == 0).then_some(flow.cost_nanodollars as f64 * share);
        if was.price == is.price && was.model == is.model {
            return recorded.map(|value| Value { value, basis: Basis::Ledger, doubt: None });
        }
        let usual = flow.input.checked_div(flow.answered).unwrap_or(0);
        let price = is.price.as_ref().filter(|_| flow.uncounted == 0)?.at(self.day.wall(), usual, None);
        let counts = Counts { input: flow.input, cache_read: flow.cached, output: flow.output, ..Counts::default() };
        Some(Value { value: price.cost(&counts).0 as f64 * share, basis: Basis::Estimate, doubt: None })
    }

    /// The cost of moved requests in nano-dollars; `None`: unknown.
    pub(super) fn moved(&self, world: &'a World, scenario: &Scenario, moved: Move<'a>) -> Option<Value> {
        let flow = moved.flow;
        let fleet = world.fleet(flow.key.class.as_deref());
        let to = fleet.deployment(moved.to);
        if to.house {
            return Some(Value { value: 0.0, basis: Basis::Estimate, doubt: None });
        }
        let counted = flow.uncounted == 0 && flow.answered > 0;
        // The usual prompt's price: a flow's requests are of one size, but for how they differ within a bucket.
        let usual = flow.input.checked_div(flow.answered).unwrap_or(0);
        let tariff = to.price.as_ref().filter(|_| counted);
        let price = tariff.map(|tariff| *tariff.at(self.day.wall(), usual, None));
        let at = |input: f64, output: f64, basis| {
            let value = cost(price?, flow.input as f64 * input, flow.output as f64 * output) * moved.share;
            Some(Value { value, basis, doubt: None })
        };
        let cover = moved.from.and_then(|from| self.cover(flow, &from.name, &to.name));
        let proof = cover.and_then(|(at, cover)| Some((at, cover.proof.as_ref()?)));
        if let Some((input, output)) = proof.and_then(|(_, proof)| proof.tokens)
            && let Some(found) = at(input, output, Basis::Cover)
        {
            return Some(found);
        }
        if let Some((place, ratio)) = proof.and_then(|(at, proof)| Some((at, proof.cost?)))
            && flow.unpriced == 0
        {
            let factor = world.factors.get(moved.to.index()).copied().unwrap_or(1.0);
            let basis = if unchanged(factor) { Basis::Cover } else { Basis::Assumed };
            let base = flow.cost_nanodollars as f64 * moved.share * factor;
            let one = ratio.variance * proof.map_or(0, |(_, proof)| proof.pairs) as f64;
            let doubt = Doubt { source: (0, place), mean: ratio.variance, one, multiplies: base };
            return Some(Value { value: base * ratio.value, basis, doubt: Some(doubt) });
        }
        let same = moved.from.is_some_and(|from| from.model == to.model && from.maker == to.maker);
        if same && let Some(found) = at(1.0, 1.0, Basis::Estimate) {
            return Some(found);
        }
        self.usual(flow, &to.name, price?, moved.share).or_else(|| {
            let fits = |name: &str, wanted: &str| wanted == "*" || wanted == name;
            let from = moved.from.map_or("", |from| &from.name);
            let shift = scenario.tokens.iter().find(|one| fits(from, &one.from) && fits(&to.name, &one.to))?;
            at(shift.input, shift.output, Basis::Assumed)
        })
    }

    /// By what `to` usually needs for this product's requests of this kind.
    fn usual(&self, flow: &Flow, to: &str, price: Price, share: f64) -> Option<Value> {
        let key = (flow.key.product.clone(), flow.key.class.clone(), Name::from(to));
        let (n, input, output) = self.usual.get(&key).copied().filter(|(n, ..)| *n >= ENOUGH)?;
        let requests = flow.answered as f64 * share / n as f64;
        Some(Value { value: cost(price, input * requests, output * requests), basis: Basis::Estimate, doubt: None })
    }

    /// What is proven of `to` in the place of `from`.
    pub(super) fn verdict(&self, flow: &'a Flow, from: &'a str, to: &'a str, day: Day) -> Verdict {
        let product = flow.key.product.as_deref();
        let found = product.and_then(|product| self.evidence.cover(product, flow.key.class.as_deref(), from, to));
        found.map_or(Verdict::None, |(_, cover)| if day > cover.expires { Verdict::Stale } else { cover.verdict })
    }

    fn cover(&self, flow: &'a Flow, from: &'a str, to: &'a str) -> Option<(usize, &'a Cover)> {
        let found = self.evidence.cover(flow.key.product.as_deref()?, flow.key.class.as_deref(), from, to);
        found.filter(|(_, cover)| self.day <= cover.expires)
    }

    /// The quality of `ix` for these requests.
    pub(super) fn quality(&self, world: &'a World, flow: &'a Flow, ix: DeploymentIx) -> Option<Value> {
        let class = flow.key.class.as_deref();
        let fleet: &Fleet = world.fleet(class);
        let one = fleet.deployment(ix);
        let delta = world.delta(ix, class);
        let supposed = delta != 0.0 || world.added.contains(&ix);
        let basis = |otherwise| if supposed { Basis::Assumed } else { otherwise };
        let score = flow.key.product.as_deref().and_then(|product| self.evidence.score(product, class, &one.name));
        if let Some((at, score)) = score {
            let one = score.variance * score.n as f64;
            let doubt = Some(Doubt { source: (1, at), mean: score.variance, one, multiplies: 1.0 });
            return Some(Value { value: (score.mean + delta).clamp(0.0, 1.0), basis: basis(Basis::Cover), doubt });
        }
        Some(Value { value: one.quality?, basis: basis(Basis::Estimate), doubt: None })
    }
}

/// Whether a price factor changes nothing.
pub(super) fn unchanged(factor: f64) -> bool {
    (factor - 1.0).abs() < f64::EPSILON
}

/// Nano-dollars for so many tokens; what was cached elsewhere is cold here.
fn cost(price: Price, input: f64, output: f64) -> f64 {
    #[expect(clippy::cast_precision_loss, reason = "prices stay below 2^52")]
    let per = |amount: NanoUsd| amount.0 as f64 / 1e6;
    input.mul_add(per(price.input), output * per(price.output))
}

/// The parties whose shares a scenario is told by.
pub(super) const PARTIES: [Kind; 3] = [Kind::Maker, Kind::Host, Kind::Invoicer];
