//! What the catalog adds to a deployment: facts that the user left out. The user's own values win, what nobody knows
//! stays unknown; and what of it to warn of: last days, models that the catalog does not know, budgets without prices.

use crate::catalog::Catalog;
use crate::catalog::row::{self, Retirement, date};
use crate::config::file::ContractFile;
use policy::fleet::Cap;
use policy::rules::BudgetRules;
use policy::{Caps, Deployment, Fleet, Wall};
use std::collections::BTreeMap;
use std::sync::Arc;

/// Warnings: the place in the file, what is the matter, what to do.
pub(super) type Tell<'a> = dyn FnMut(&[&str], String, String) + 'a;

/// How long before its last day a deployment is warned of.
const AHEAD_DAYS: u64 = 180;

/// Fills what `deployment` does not say, as `catalog` knows it of the model called `model` at `host`.
pub(super) fn fill(
    catalog: &Catalog,
    deployment: &mut Deployment,
    (host, model): (&str, &str),
    now: Wall,
    tell: &mut Tell<'_>,
) {
    let name = deployment.name.clone();
    let region = deployment.region.clone();
    if let Some(found) = catalog.model(host, model, region.as_deref()) {
        let known = found.row;
        if deployment.maker.is_empty() {
            deployment.maker = known.maker.unwrap_or_default();
        }
        deployment.family = deployment.family.take().or(known.family);
        deployment.context = deployment.context.or(known.context);
        deployment.max_output = deployment.max_output.or(known.output);
        deployment.quality = deployment.quality.or(known.quality);
        let (has, lacks) = (row::caps(&known.has), row::caps(&known.lacks));
        let said = union(deployment.has, deployment.lacks);
        deployment.has = union(deployment.has, has.without(said));
        deployment.lacks = union(deployment.lacks, lacks.without(said));
    } else if catalog.knows(host) {
        let names = catalog.names(Some(host));
        let near = policy::plan::nearest(&model.to_ascii_lowercase(), names.iter().map(String::as_str));
        let near = if near.is_empty() { String::new() } else { format!("near it: {}; ", near.join(", ")) };
        let message = format!("the catalog does not know `{model}` at `{host}`, so what it can do is unknown");
        let hint = format!("{near}say `listed_as`, or write down its `context`, `has` and `price`");
        tell(&["deployment", &name, "model"], message, hint);
    }
    if deployment.price.is_none()
        && let Some(found) = catalog.price(host, model, region.as_deref())
    {
        // A file of the user's was checked when it was read, and a test checks the catalog's own.
        deployment.price = found.row.tariff(&found.key).ok().map(Arc::new);
    }
    if deployment.retires.is_none()
        && let Some(found) = catalog.retirement(host, model, region.as_deref())
        && let Some(day) = found.row.day()
    {
        deployment.retires = Some(day);
        deployment.retires_warns = true;
        warn_of_the_end(&name, &format!("`{model}` at `{host}`"), (day, &found.row), now, tell);
    }
}

fn warn_of_the_end(name: &str, what: &str, (day, said): (Wall, &Retirement), now: Wall, tell: &mut Tell<'_>) {
    let source = said.said.as_deref().or(said.source.as_deref()).unwrap_or("your catalog file");
    let successor =
        said.successor.as_ref().map(|next| format!("; its successor there is `{next}`")).unwrap_or_default();
    let days = now.until(day).as_secs() / 86_400;
    let message = match day <= now {
        true => format!("{what} was to be retired on {day}: deployment `{name}` may fail any day{successor}"),
        false if days < AHEAD_DAYS => {
            format!("{what} is retired on {day}, in {days} days: deployment `{name}` then fails{successor}")
        }
        false => return,
    };
    let hint = format!("prepare another deployment; `retires = \"…\"` says another day ({source})");
    tell(&["deployment", name, "model"], message, hint);
}

fn union(a: Caps, b: Caps) -> Caps {
    Cap::ALL.into_iter().filter(|cap| a.has(*cap) || b.has(*cap)).collect()
}

/// Warns of contracts that are over or end soon, and of budgets that are spent on deployments of unknown price.
pub(super) fn warn(fleet: &Fleet, now: Wall, tell: &mut Tell<'_>) {
    for deployment in fleet.deployments() {
        let own = deployment.retires.filter(|_| !deployment.retires_warns);
        for (day, field, what) in [
            (own, "retires", "is not asked any more"),
            (deployment.contract_ends, "contract", "has no contract any more"),
        ] {
            let Some(day) = day.filter(|day| now.until(*day).as_secs() < AHEAD_DAYS * 86_400) else { continue };
            let when = match now.until(day).as_secs().div_ceil(86_400) {
                0 => format!("since {day}"),
                days => format!("from {day} on, in {days} days"),
            };
            let message = format!("deployment `{}` {what} {when}", deployment.name);
            let hint = "prepare another deployment, or write down the new date".to_owned();
            tell(&["deployment", &deployment.name, field], message, hint);
        }
    }
    for product in fleet.products() {
        if product.rules().budget == (BudgetRules { over: product.rules().budget.over, ..BudgetRules::default() }) {
            continue;
        }
        let unpriced: Vec<String> = fleet
            .iter()
            .filter(|(ix, deployment)| deployment.price.is_none() && product.never(*ix).is_none())
            .map(|(_, deployment)| format!("`{}`", deployment.name))
            .collect();
        if !unpriced.is_empty() {
            let message = format!(
                "product `{}` has a budget, but nobody knows what {} costs: the worst case is reserved",
                product.name(),
                unpriced.join(", ")
            );
            let hint = "add `price = { input = …, output = … }` (US dollars per million tokens) to it".to_owned();
            tell(&["product", product.name(), "budget"], message, hint);
        }
    }
}

/// Warns of contracts whose notice must be given soon, or can be given no more.
pub(super) fn notices(contracts: &BTreeMap<String, ContractFile>, now: Wall, tell: &mut Tell<'_>) {
    for (name, contract) in contracts {
        let last = contract.ends.as_deref().and_then(date).filter(|last| *last >= now);
        let Some((last, notice)) = last.zip(contract.notice_days) else { continue };
        let by = Wall::from_unix(last.unix() - i64::from(notice) * 86_400);
        let days = now.until(by).as_secs().div_ceil(86_400);
        if days > AHEAD_DAYS {
            continue;
        }
        let message = match days {
            0 => format!("notice of contract `{name}` could last be given on {by}; it ends on {last}"),
            days => format!("notice of contract `{name}` can last be given on {by}, in {days} days"),
        };
        let hint = "decide whether it goes on, and write down what was agreed".to_owned();
        tell(&["contract", name, "notice_days"], message, hint);
    }
}

#[cfg(test)]
mod tests;
