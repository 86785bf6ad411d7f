//! A plan in words, for `why` and `plan`: who is asked and why in this order, who was dropped and for which reason, and
//! what a name was understood as. Says what `plan` decided and decides nothing itself: every deployment of the fleet
//! has one fate.

use crate::fleet::{DeploymentIx, Fleet};
use crate::plan::{Asked, DropReason, Leg, Plan};
use crate::rules::LastResort;
use std::collections::BTreeMap;

/// Names listed behind one reason before the rest is only counted.
const NAMED: usize = 12;

/// What became of a deployment in a plan.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Fate {
    /// It is asked, at this place from 0.
    Leg(usize),
    /// It could answer too; enough stand before it.
    Spare,
    /// It cannot answer.
    Dropped(DropReason),
    /// It was not asked for, or not looked at because enough had been found.
    Unasked,
}

/// What became of every deployment, in the fleet's order. `fleet` must be the one that the plan was made with.
#[must_use]
pub fn fates(plan: &Plan, fleet: &Fleet) -> Vec<(DeploymentIx, Fate)> {
    let product = fleet.product(plan.product);
    let fate = |ix: DeploymentIx| {
        if let Some(at) = plan.legs.iter().position(|leg| leg.deployment == ix) {
            return Fate::Leg(at);
        }
        if plan.spare.contains(&ix) {
            return Fate::Spare;
        }
        let barred = || {
            let kept_out = fleet.deployment(ix).house && !product.bends(LastResort::House);
            product.never(ix).or(kept_out.then_some(DropReason::HouseNotAllowed))
        };
        plan.why_dropped(ix).or_else(barred).map_or(Fate::Unasked, Fate::Dropped)
    };
    fleet.iter().map(|(ix, _)| (ix, fate(ix))).collect()
}

/// A plan in words, one line each. `fleet` must be the one that the plan was made with.
#[must_use]
pub fn explain(plan: &Plan, fleet: &Fleet) -> Vec<String> {
    let product = fleet.product(plan.product);
    let asked = match plan.asked {
        Asked::Auto => "any deployment",
        Asked::Alias => "an alias of the product",
        Asked::Name => "a model or deployment by name",
    };
    let mut lines = vec![format!(
        "product `{}` asked for {asked}; prefers {}; policy {:016x}",
        product.name(),
        plan.objective.name(),
        plan.policy_version
    )];
    if plan.legs.is_empty() {
        lines.push("nobody can answer".to_owned());
    }
    lines.extend(plan.legs.iter().enumerate().map(|(at, leg)| leg_line(at, leg, fleet)));
    if !plan.spare.is_empty() {
        lines.push(format!("could answer too: {}", named(&plan.spare, fleet)));
    }
    let mut dropped: BTreeMap<DropReason, Vec<DeploymentIx>> = BTreeMap::new();
    let mut unasked = Vec::new();
    for (ix, fate) in fates(plan, fleet) {
        match fate {
            Fate::Dropped(reason) => dropped.entry(reason).or_default().push(ix),
            Fate::Unasked => unasked.push(ix),
            Fate::Leg(_) | Fate::Spare => {}
        }
    }
    lines.extend(
        dropped
            .iter()
            .map(|(reason, who)| format!("dropped, {} ({}): {}", reason.name(), reason.text(), named(who, fleet))),
    );
    if !unasked.is_empty() {
        let why = if plan.unseen > 0 { "not asked for, or enough had been found" } else { "not asked for" };
        lines.push(format!("{why}: {}", named(&unasked, fleet)));
    }
    lines
}

fn leg_line(at: usize, leg: &Leg, fleet: &Fleet) -> String {
    let deployment = fleet.deployment(leg.deployment);
    let at_host = if deployment.host.is_empty() { String::new() } else { format!(" at {}", deployment.host) };
    let mut line = format!(
        "{}. `{}` ({}{at_host}): score {:.3}, first with probability {:.2}, {} expected, {} at most",
        at + 1,
        deployment.name,
        deployment.model,
        leg.score,
        leg.probability,
        leg.expected,
        leg.worst
    );
    if deployment.price.is_none() && !deployment.house {
        line.push_str(", price unknown");
    }
    if leg.probe {
        line.push_str(", on probation");
    }
    if let Some(degraded) = leg.degraded {
        line.push_str(", degraded: ");
        line.push_str(degraded.name());
    }
    line
}

fn named(who: &[DeploymentIx], fleet: &Fleet) -> String {
    let names: Vec<String> = who.iter().take(NAMED).map(|ix| format!("`{}`", fleet.deployment(*ix).name)).collect();
    let more = if who.len() > NAMED { format!(" and {} more", who.len() - NAMED) } else { String::new() };
    format!("{}{more}", names.join(", "))
}
