//! Alternatives that no rule can reach: a deployment that looks like a way out and is none. Found on paper, so that
//! nobody finds out during an outage.

use super::known::Tell;
use policy::rules::LastResort;
use policy::{Deployment, DeploymentIx, DropReason, Fleet, Product};
use std::collections::BTreeMap;

/// Tells every such alternative: its place in the file, what is wrong, and what to do.
pub(super) fn warn(fleet: &Fleet, tell: &mut Tell<'_>) {
    for (ix, deployment) in fleet.iter() {
        let reasons: Vec<Option<DropReason>> =
            fleet.products().iter().map(|product| barred(product, ix, deployment)).collect();
        if let Some(Some(reason)) = reasons.first()
            && reasons.iter().all(Option::is_some)
        {
            let message = format!("deployment `{}` can answer for no product ({})", deployment.name, reason.name());
            let hint = "name it in a product's `models`, loosen the need that it misses, or take it out".to_owned();
            tell(&["deployment", &deployment.name], message, hint);
        }
    }
    for product in fleet.products() {
        abandoned(fleet, product, tell);
        let rules = product.rules();
        let aliases = rules.aliases.iter().map(|(alias, names)| (["aliases", alias.as_str()], names.as_slice()));
        for (path, names) in aliases.chain([(["pin", ""], rules.pin.as_slice())]) {
            for name in names {
                unreachable(fleet, product, (&path, name), tell);
            }
        }
    }
}

/// Tells of a product that no deployment but the house model may answer, though there are others.
fn abandoned(fleet: &Fleet, product: &Product, tell: &mut Tell<'_>) {
    let others = fleet.iter().filter(|(_, one)| !one.house);
    let reasons: Vec<Option<DropReason>> = others.map(|(ix, _)| product.never(ix)).collect();
    let ruled_out: Vec<DropReason> = reasons.iter().flatten().copied().collect();
    if reasons.is_empty() || ruled_out.len() < reasons.len() || !product.auto().is_empty() {
        return;
    }
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    for reason in ruled_out {
        *counts.entry(reason.name()).or_default() += 1;
    }
    let words: Vec<String> = counts.iter().map(|(name, count)| format!("{count} × {name}")).collect();
    let stands_in = fleet.iter().any(|(_, one)| one.house) && product.bends(LastResort::House);
    let who = if stands_in { "only the house model" } else { "nobody" };
    let message = format!("{who} may answer product `{}` ({})", product.name(), words.join(", "));
    let hint = "loosen the need that all miss, list them in `models`, or add a deployment".to_owned();
    tell(&["product", product.name(), "needs"], message, hint);
}

/// Tells of `name`, which the rules at `path` list, where nothing that it stands for may answer the product.
fn unreachable(fleet: &Fleet, product: &Product, (path, name): (&[&str; 2], &str), tell: &mut Tell<'_>) {
    let meant = fleet.iter().filter(|(_, deployment)| deployment.answers_to(name));
    let reasons: Vec<Option<DropReason>> = meant.map(|(ix, _)| product.never(ix)).collect();
    if let Some(Some(reason)) = reasons.first()
        && reasons.iter().all(Option::is_some)
    {
        let message = format!(
            "`{name}` is listed in `{}` of product `{}`, but may never answer it ({})",
            path[0],
            product.name(),
            reason.name()
        );
        let hint = "it is no way out in an outage: add it to the product's `models`, or loosen the need that it misses";
        let path: Vec<&str> = ["product", product.name()]
            .into_iter()
            .chain(path.iter().copied())
            .filter(|step| !step.is_empty())
            .collect();
        tell(&path, message, hint.to_owned());
    }
}

/// Why `ix` can never answer `product`, as a last resort neither.
fn barred(product: &Product, ix: DeploymentIx, deployment: &Deployment) -> Option<DropReason> {
    let reason = product.never(ix)?;
    let stands_in = deployment.house && reason == DropReason::Permission && product.bends(LastResort::House);
    (!stands_in).then_some(reason)
}
