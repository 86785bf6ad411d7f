//! The one decision: which deployments answer a request, in which order. Hard needs, permission, health and capacity,
//! floor, share cap, objective, ties by headroom; then what may bend. A pure function; equal inputs, equal plan.
//! Its cost depends on how many deployments a name stands for, not on how many there are.

mod candidate;
mod order;
mod reason;
mod refuse;
mod resolve;
#[cfg(test)]
mod tests;

pub use candidate::worst_unread;
pub use reason::{Degraded, DropReason};
pub use refuse::Refusal;
pub use refuse::nearest;

use crate::fleet::{DeploymentIx, Fleet, Permit, Product, ProductIx};
use crate::money::NanoUsd;
use crate::rules::Prefer;
use crate::time::{Tick, Wall};
use crate::view::View;
use candidate::Scan;
use canon::{Facets, WireId};
use smallvec::SmallVec;

/// The most legs of one plan.
pub const MAX_LEGS: usize = 4;

/// The most deployments that one plan compares. A name that stands for more is searched in its order (from a random
/// place where the objective is latency) until this many usable ones are found.
pub const MAX_COMPARED: usize = 24;

/// All that a decision depends on.
pub struct PlanInput<'a, V: ?Sized> {
    /// What the request needs.
    pub facets: &'a Facets,
    /// The model as the client named it; empty means `auto`.
    pub model: &'a str,
    /// Whose request it is.
    pub product: &'a Product,
    /// The fleet that `product` is of.
    pub fleet: &'a Fleet,
    /// What is known now.
    pub view: &'a V,
    /// Now, for durations.
    pub now: Tick,
    /// Now, for calendars.
    pub wall: Wall,
    /// A random number.
    pub chance: u64,
    /// The API that the client speaks; deployments that speak it too win ties.
    pub dialect: Option<WireId>,
    /// What the request's key may use; `None`: all that the product may.
    pub permit: Option<&'a Permit>,
    /// Deployments that are out of the question, e.g. tried already.
    pub exclude: &'a [DeploymentIx],
    /// Where the conversation's prompt cache is warm.
    pub warm: Option<Warm>,
    /// The only deployment that can answer, because it keeps the conversation's state.
    pub bound: Option<DeploymentIx>,
}

impl<V: ?Sized> Clone for PlanInput<'_, V> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<V: ?Sized> Copy for PlanInput<'_, V> {}

/// A warm prompt cache: moving the conversation elsewhere pays for these tokens again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Warm {
    /// Where.
    pub at: DeploymentIx,
    /// How many prompt tokens are cached there.
    pub tokens: u64,
}

/// One deployment of a plan.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Leg {
    /// Which.
    pub deployment: DeploymentIx,
    /// What the objective says of it: 0 is the best that could be, 1 the worst of those compared. For
    /// `prefer = "order"` its place in the order.
    pub score: f32,
    /// The probability with which this decision puts it first.
    pub probability: f32,
    /// Why its answer is less than what was asked for.
    pub degraded: Option<Degraded>,
    /// Whether it is on probation: its breaker lets one request through, which may be this one.
    pub probe: bool,
    /// What the request probably costs here.
    pub expected: NanoUsd,
    /// What the request can cost here at most; to be reserved before it is sent.
    pub worst: NanoUsd,
}

/// A deployment that was considered and cannot answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Dropped {
    /// Which.
    pub deployment: DeploymentIx,
    /// Why.
    pub reason: DropReason,
}

/// What the client's `model` was understood as.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Asked {
    /// `auto`: any deployment.
    Auto,
    /// An alias of the product.
    Alias,
    /// A deployment or a model by name.
    Name,
}

/// The ordered choice.
#[derive(Debug, Clone, PartialEq)]
pub struct Plan {
    /// Whom to ask, in order. Empty only inside a `Refusal`.
    pub legs: SmallVec<[Leg; MAX_LEGS]>,
    /// Who was considered and dropped, in the order considered.
    pub dropped: SmallVec<[Dropped; 8]>,
    /// Who could answer too, behind the last leg, the best first.
    pub spare: SmallVec<[DeploymentIx; 4]>,
    /// Deployments that were not looked at because enough were found.
    pub unseen: u32,
    /// The version of the rules.
    pub policy_version: u64,
    /// What was preferred.
    pub objective: Prefer,
    /// Whose request it was.
    pub product: ProductIx,
    /// What `model` was understood as.
    pub asked: Asked,
}

impl Plan {
    /// The amount to reserve so that any of the legs can be paid.
    #[must_use]
    pub fn reserve(&self) -> NanoUsd {
        self.legs.iter().map(|leg| leg.worst).max().unwrap_or_default()
    }

    /// The first leg's deployment.
    #[must_use]
    pub fn first(&self) -> Option<DeploymentIx> {
        self.legs.first().map(|leg| leg.deployment)
    }

    /// Why `deployment` was dropped, where it was considered and dropped.
    #[must_use]
    pub fn why_dropped(&self, deployment: DeploymentIx) -> Option<DropReason> {
        self.dropped.iter().find(|dropped| dropped.deployment == deployment).map(|dropped| dropped.reason)
    }
}

/// Decides.
///
/// # Errors
/// A `Refusal` with the fault to answer and the plan without legs that explains it: the name is unknown
/// (`NotFound`) or not allowed (`Forbidden`), the budget is used up (`Budget`), the prompt fits nowhere
/// (`ContextLength`), every limit is reached (`RateLimited`), or nobody is left (`NoRoute`).
pub fn plan<V: View + ?Sized>(input: &PlanInput<'_, V>) -> Result<Plan, Box<Refusal>> {
    let target = resolve::target(input)?;
    let mut scan = Scan::new(input, &target);
    scan.primary();
    scan.substitutes();
    scan.last_resort();
    let Scan { candidates, mut plan, soonest, .. } = scan;
    if candidates.is_empty() {
        return Err(refuse::nobody(input, plan, soonest));
    }
    plan.spare.extend(candidates.iter().skip(MAX_LEGS).map(|candidate| candidate.ix));
    plan.legs.extend(candidates.iter().take(MAX_LEGS).map(candidate::Candidate::leg));
    Ok(plan)
}
