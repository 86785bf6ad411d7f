//! A plan in words, for `why`: who is asked and why in this order, who was dropped and for which reason, and what a
//! name was understood as. Says what `plan` decided and decides nothing itself.

use crate::fleet::{DeploymentIx, Fleet};
use crate::plan::{Asked, DropReason, Leg, Plan};
use std::collections::BTreeMap;

/// Names listed behind one reason before the rest is only counted.
const NAMED: usize = 12;

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
    if plan.spare > 0 {
        lines.push(format!("{} more could answer", plan.spare));
    }
    let mut dropped: BTreeMap<DropReason, Vec<DeploymentIx>> = BTreeMap::new();
    for row in &plan.dropped {
        dropped.entry(row.reason).or_default().push(row.deployment);
    }
    for (ix, _) in fleet.iter() {
        if let Some(reason) = product.never(ix)
            && plan.why_dropped(ix).is_none()
            && !plan.legs.iter().any(|leg| leg.deployment == ix)
        {
            dropped.entry(reason).or_default().push(ix);
        }
    }
    lines.extend(dropped.iter().map(|(reason, who)| dropped_line(*reason, who, fleet)));
    if plan.unseen > 0 {
        lines.push(format!("{} were not looked at: enough had been found", plan.unseen));
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

fn dropped_line(reason: DropReason, who: &[DeploymentIx], fleet: &Fleet) -> String {
    let names: Vec<String> = who.iter().take(NAMED).map(|ix| format!("`{}`", fleet.deployment(*ix).name)).collect();
    let more = if who.len() > NAMED { format!(" and {} more", who.len() - NAMED) } else { String::new() };
    format!("dropped, {} ({}): {}{more}", reason.name(), reason.text(), names.join(", "))
}
