//! Losses that products say they survive, tried on paper: without a party, is anybody left who may answer? What is left
//! on paper is no proof; `autarky check` says that too.

use super::known::Tell;
use canon::Facets;
use policy::rules::Substitute;
use policy::{Degraded, DeploymentIx, Dim, Fleet, Leg, PlanInput, Product, Snapshot, Tick, Wall};
use std::collections::BTreeSet;

/// A loss that a product says it survives.
pub(crate) struct Loss {
    /// Who is lost, `maker:openai`.
    pub(crate) party: String,
    /// Who answers today.
    pub(crate) today: DeploymentIx,
    /// Who answers then; `None`: nobody.
    pub(crate) then: Option<Leg>,
}

/// The losses of `product`, each with who would answer `auto`.
pub(crate) fn losses(fleet: &Fleet, product: &Product, now: Wall) -> Vec<Loss> {
    let Some(today) = first(fleet, product, now, &[]) else { return Vec::new() };
    let mut losses = Vec::new();
    for entry in product.survive() {
        let party = |ix: DeploymentIx| entry.dim.of(fleet.deployment(ix));
        let able = product.auto().iter().filter_map(|ranked| party(ranked.ix));
        let lost: BTreeSet<&str> = able.filter(|name| entry.party.as_deref().is_none_or(|one| one == *name)).collect();
        for name in lost {
            let gone = |one: &policy::Deployment| entry.dim.of(one) == Some(name);
            let gone: Vec<DeploymentIx> = fleet.iter().filter(|(_, one)| gone(one)).map(|(ix, _)| ix).collect();
            let party = format!("{}:{name}", Dim::name(entry.dim));
            losses.push(Loss { party, today: today.deployment, then: first(fleet, product, now, &gone) });
        }
    }
    losses
}

/// Whom the plan asks first for `auto`, everyone but `gone` being well.
fn first(fleet: &Fleet, product: &Product, now: Wall, gone: &[DeploymentIx]) -> Option<Leg> {
    let plan = policy::plan(&PlanInput {
        facets: &Facets { choices: 1, ..Facets::default() },
        model: "",
        product,
        fleet,
        view: &Snapshot::default(),
        now: Tick::ZERO,
        wall: now,
        chance: 0,
        dialect: None,
        permit: None,
        exclude: gone,
        warm: None,
        bound: None,
    });
    plan.ok()?.legs.first().copied()
}

/// Warns of every loss that a product says it survives and would not.
pub(super) fn warn(fleet: &Fleet, now: Wall, tell: &mut Tell<'_>) {
    for product in fleet.products() {
        let path = ["product", product.name(), "cover", "survive"];
        if !product.survive().is_empty() && product.rules().substitute == Substitute::Never {
            let message = format!(
                "product `{}` wants to survive losses, but `substitute = \"never\"` lets nobody answer for a model that is named",
                product.name()
            );
            tell(&path, message, "write `substitute = \"on-loss\"`, or take `cover` out".to_owned());
        }
        for loss in losses(fleet, product, now) {
            let left = match &loss.then {
                None => "nobody could answer".to_owned(),
                Some(leg) => match leg.degraded {
                    Some(Degraded::House | Degraded::BelowFloor | Degraded::OverCap | Degraded::Unhealthy) => {
                        let name = &fleet.deployment(leg.deployment).name;
                        let why = leg.degraded.map_or("", Degraded::name);
                        format!("only `{name}` could answer, as a last resort ({why})")
                    }
                    Some(Degraded::Substitute | Degraded::Budget) | None => continue,
                },
            };
            let message = format!("product `{}` does not survive the loss of `{}`: {left}", product.name(), loss.party);
            let hint = "add a deployment that does not rest on it and meets the product's needs and floor".to_owned();
            tell(&path, message, hint);
        }
    }
}
