//! What a product says about losses: send the rest, go elsewhere first, or refuse. Only a dry run can tell what a
//! deployment could not be told, so it is made only where the product cares and the wires differ.

use super::Run;
use canon::{Fault, FaultKind};
use policy::Leg;
use policy::rules::OnLoss;

/// The legs in the order that the product's `on_loss` wants.
pub(super) fn sort(run: &Run, legs: &[Leg]) -> Result<Vec<Leg>, Fault> {
    let rule = run.product().rules().on_loss;
    if rule == OnLoss::Send {
        return Ok(legs.to_vec());
    }
    let mut counted = Vec::with_capacity(legs.len());
    for leg in legs {
        let Some(unit) = run.setup.unit(leg.deployment) else { continue };
        counted.push((unit.backend.losses(&run.ask)?, *leg));
    }
    if rule == OnLoss::Reject {
        if let Some((losses, _)) = counted.first()
            && counted.iter().all(|(losses, _)| !losses.is_empty())
        {
            let names: Vec<String> = losses.iter().map(ToString::to_string).collect();
            let message = format!(
                "no allowed deployment can be told all of the request; lost would be: {}. Leave these out, or set \
                 `on_loss = \"send\"`",
                names.join(", ")
            );
            return Err(Fault::client(FaultKind::Loss, message));
        }
        counted.retain(|(losses, _)| losses.is_empty());
    }
    // Stable: among equals the plan's order stands.
    counted.sort_by_key(|(losses, _)| losses.len());
    Ok(counted.into_iter().map(|(_, leg)| leg).collect())
}
