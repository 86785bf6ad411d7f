//! What the client's `model` stands for.

use super::refuse::{self, Refusal};
use super::{Asked, PlanInput};
use crate::fleet::{AUTO, Ranked};
use crate::rules::Substitute;

/// The lists to search.
pub(super) struct Target<'a> {
    pub(super) asked: Asked,
    /// Those asked for.
    pub(super) primary: &'a [Ranked],
    /// Those that may stand in behind them.
    pub(super) substitutes: &'a [Ranked],
    /// Under `substitute = "free"`: the named ones, which set the measure of quality and may be outside `primary`.
    pub(super) reference: &'a [Ranked],
}

/// Understands the name.
///
/// # Errors
/// `NotFound` for an unknown name, `Forbidden` for a name that the product or the key may not use.
pub(super) fn target<'a, V: ?Sized>(input: &PlanInput<'a, V>) -> Result<Target<'a>, Box<Refusal>> {
    let product = input.product;
    let auto = product.auto();
    if input.model.is_empty() || input.model == AUTO {
        return Ok(Target { asked: Asked::Auto, primary: auto, substitutes: &[], reference: &[] });
    }
    let (asked, list) = if let Some(list) = product.alias(input.model) {
        (Asked::Alias, list)
    } else if let Some(list) = input.fleet.named(input.model) {
        (Asked::Name, list)
    } else {
        return Err(refuse::unknown(input));
    };
    if list.iter().all(|ranked| input.forbidden(ranked.ix)) {
        return Err(refuse::forbidden(input, asked));
    }
    Ok(match product.rules().substitute {
        Substitute::Never => Target { asked, primary: list, substitutes: &[], reference: &[] },
        Substitute::OnLoss => Target { asked, primary: list, substitutes: auto, reference: &[] },
        Substitute::Free => Target { asked, primary: auto, substitutes: &[], reference: list },
    })
}

impl<V: ?Sized> PlanInput<'_, V> {
    /// Whether the product's or the key's list of models leaves it out.
    fn forbidden(&self, ix: crate::DeploymentIx) -> bool {
        self.product.never(ix) == Some(super::DropReason::Permission)
            || self.permit.is_some_and(|permit| !permit.allows(ix))
    }
}
