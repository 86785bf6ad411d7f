//! One product with its rules checked and turned into tables: who may answer at all, in which order they stand, which
//! caps and parties each belongs to.

use super::{Deployment, DeploymentIx, Dim, ProductIx};
use crate::plan::DropReason;
use crate::rules::{LastResort, Needs, Rules};
use crate::time::Wall;
use std::collections::HashMap;

/// A deployment and its place in a list; equal ranks share the load.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ranked {
    /// The deployment.
    pub ix: DeploymentIx,
    /// Its place, the lowest first.
    pub rank: u32,
}

/// The most of a product's requests that one party may answer.
#[derive(Debug, Clone, PartialEq)]
pub struct ShareCap {
    /// In which respect.
    pub dim: Dim,
    /// The party.
    pub party: String,
    /// The share, above 0 and at most 1.
    pub share: f64,
}

/// A party, or every party of a kind, whose loss a product must survive.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Survive {
    /// In which respect.
    pub dim: Dim,
    /// The party; `None`: each one.
    pub party: Option<String>,
}

/// How a deployment stands in a product, as far as that never changes.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Standing {
    /// Which need it does not meet.
    pub(crate) unmet: Option<DropReason>,
    /// Whether the product's `models` list it. The house model may stand in unlisted, but not be asked for.
    pub(crate) listed: bool,
    /// Its weight, 0 where the product weighs nothing or not this one.
    pub(crate) weight: f32,
    /// Its place among the pinned, `u16::MAX` where it is not.
    pub(crate) pin: u16,
    /// One bit per share cap that counts it.
    pub(crate) caps: u32,
    /// Whether it was shown to meet the floor.
    pub(crate) proven: Option<Proven>,
}

/// What a comparison with the floor's `against` showed.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Proven {
    pub(crate) meets: bool,
    /// From when on it does not count any more.
    pub(crate) until: Wall,
}

/// One product, checked.
#[derive(Debug)]
pub struct Product {
    pub(super) ix: ProductIx,
    pub(super) name: String,
    pub(super) rules: Rules,
    pub(super) standing: Box<[Standing]>,
    /// All that can answer, the house model left out.
    pub(super) auto: Box<[Ranked]>,
    pub(super) aliases: HashMap<Box<str>, Box<[Ranked]>>,
    pub(super) caps: Vec<ShareCap>,
    pub(super) floor: Option<f64>,
    pub(super) survive: Vec<Survive>,
    /// Per deployment and `survive` entry: the number of its party, 0 where the entry does not speak of it.
    pub(super) parties: Box<[u32]>,
    pub(super) weighted: bool,
}

impl Product {
    /// Its place in the fleet.
    #[must_use]
    pub const fn ix(&self) -> ProductIx {
        self.ix
    }

    /// Its name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its rules as written.
    #[must_use]
    pub const fn rules(&self) -> &Rules {
        &self.rules
    }

    /// The deployments that `model = "auto"` chooses from, before anything that changes.
    #[must_use]
    pub fn auto(&self) -> &[Ranked] {
        &self.auto
    }

    /// What the alias `name` stands for.
    #[must_use]
    pub fn alias(&self, name: &str) -> Option<&[Ranked]> {
        self.aliases.get(name).map(AsRef::as_ref)
    }

    /// Its share caps; `View::share` is asked by their place in this list.
    #[must_use]
    pub fn caps(&self) -> &[ShareCap] {
        &self.caps
    }

    /// The places of the share caps that count `ix`.
    pub fn caps_of(&self, ix: DeploymentIx) -> impl Iterator<Item = usize> + use<> {
        bits(self.standing(ix).caps)
    }

    /// The least quality that an answer must have.
    #[must_use]
    pub const fn floor(&self) -> Option<f64> {
        self.floor
    }

    /// Which losses it must survive.
    #[must_use]
    pub fn survive(&self) -> &[Survive] {
        &self.survive
    }

    /// Why `ix` can never answer this product; `None` where it can.
    #[must_use]
    pub fn never(&self, ix: DeploymentIx) -> Option<DropReason> {
        let standing = self.standing(ix);
        if standing.listed { standing.unmet } else { Some(DropReason::Permission) }
    }

    /// Whether `rule` may bend when nothing else is left.
    #[must_use]
    pub fn bends(&self, rule: LastResort) -> bool {
        self.rules.last_resort.contains(&rule)
    }

    pub(crate) fn standing(&self, ix: DeploymentIx) -> Standing {
        self.standing[ix.index()]
    }

    pub(crate) const fn weighted(&self) -> bool {
        self.weighted
    }

    /// How many parties whose loss must be survived the two deployments share.
    pub(crate) fn shared_parties(&self, a: DeploymentIx, b: DeploymentIx) -> usize {
        let n = self.survive.len();
        let (a, b) = (&self.parties[a.index() * n..][..n], &self.parties[b.index() * n..][..n]);
        a.iter().zip(b).filter(|(a, b)| **a != 0 && a == b).count()
    }
}

pub(crate) fn bits(mut mask: u32) -> impl Iterator<Item = usize> {
    std::iter::from_fn(move || {
        (mask != 0).then(|| {
            let at = mask.trailing_zeros() as usize;
            mask &= mask - 1;
            at
        })
    })
}

/// Why `deployment` can never meet `needs`.
pub(super) fn unmet(needs: &Needs, deployment: &Deployment) -> Option<DropReason> {
    let missing = super::Caps::of_needs(needs).without(deployment.has);
    if let Some(cap) = missing.first() {
        return Some(DropReason::Lacks(cap));
    }
    if let Some(context) = needs.context
        && deployment.context.is_none_or(|has| has < context)
    {
        return Some(DropReason::Context);
    }
    if !(needs.makers.is_empty() || needs.makers.contains(&deployment.maker))
        || needs.makers_forbidden.contains(&deployment.maker)
    {
        return Some(DropReason::Maker);
    }
    if needs.hosts_forbidden.contains(&deployment.host) {
        return Some(DropReason::Host);
    }
    let forbidden = |party: &String| {
        Dim::parse(party).is_some_and(|(dim, name)| match dim {
            Dim::Region => lies_in(deployment.region.as_deref(), name),
            _ => dim.of(deployment) == Some(name),
        })
    };
    if needs.parties_forbidden.iter().any(forbidden) {
        return Some(DropReason::Party);
    }
    if deployment.house {
        // It runs in our own process: no other host, no border crossed, nothing given away.
        return None;
    }
    if !(needs.hosts.is_empty() || needs.hosts.contains(&deployment.host)) {
        return Some(DropReason::Host);
    }
    if !needs.regions.is_empty() && !needs.regions.iter().any(|region| lies_in(deployment.region.as_deref(), region)) {
        return Some(DropReason::Region);
    }
    needs.data.iter().any(|term| !deployment.data.contains(term)).then_some(DropReason::DataTerms)
}

/// Whether `place` is `region` or a part of it: `eu-west-1` lies in `eu`.
fn lies_in(place: Option<&str>, region: &str) -> bool {
    place.and_then(|place| place.strip_prefix(region)).is_some_and(|rest| rest.is_empty() || rest.starts_with('-'))
}
