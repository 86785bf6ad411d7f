//! A request to an endpoint of a provider's own under way: its places within the limits of its caller and of the
//! deployment, and the money set aside for it. No breaker hears of it: what such an endpoint does says nothing of the
//! model.

use super::LiveView;
use super::levels::{AtLimit, Levels, Places, Reserved, Spent};
use super::one::OneLive;
use crate::clock;
use canon::{Facets, Usage};
use policy::limit::{Full, Place};
use policy::{Counts, DeploymentIx, NanoUsd, ProductIx, Tariff, Tick, Wall};
use std::sync::Arc;

/// Why a request may not pass now.
#[derive(Debug)]
pub(crate) enum NoPassage {
    /// A limit of the product, the team or the key is reached.
    Limit(AtLimit),
    /// A limit of the deployment is reached.
    Full(Full),
    /// A budget does not cover it.
    Budget(Spent),
    /// The deployment is not there any more.
    Gone,
}

/// What a passage holds until it is over. Dropped without a word after the provider took it, it cost the worst.
pub(crate) struct Passage {
    places: Places,
    one: Arc<OneLive>,
    place: Option<Place>,
    tokens: u64,
    money: Option<Reserved>,
    tariff: Arc<Tariff>,
    asked: Wall,
    worst: NanoUsd,
    taken: bool,
}

impl LiveView {
    /// Everything that a request of `product` to an endpoint of `deployment`'s provider needs. `worst`: what it can
    /// cost at most.
    ///
    /// # Errors
    /// A limit is reached, or a budget does not cover it.
    pub(crate) fn pass(
        &self,
        (product, levels): (ProductIx, &Levels),
        (deployment, tariff): (DeploymentIx, &Arc<Tariff>),
        facets: &Facets,
        worst: NanoUsd,
        now: Tick,
    ) -> Result<Passage, NoPassage> {
        let one = Arc::clone(&self.lines.get(deployment.index()).ok_or(NoPassage::Gone)?.one);
        let places = self.enter(product, levels, facets, now).map_err(NoPassage::Limit)?;
        let tokens = super::one::tokens_of(facets);
        let place = one.gate.enter(tokens, now).map_err(NoPassage::Full)?;
        let (tariff, asked) = (Arc::clone(tariff), clock::wall());
        let mut passage = Passage { places, one, place, tokens, money: None, tariff, asked, worst, taken: false };
        // From here on a drop gives everything back.
        if worst > NanoUsd::ZERO {
            passage.money = levels.reserve(&self.book, worst, asked).map_err(NoPassage::Budget)?;
        }
        Ok(passage)
    }
}

impl Passage {
    /// The provider took it: from here on it may cost something.
    pub(crate) const fn taken(&mut self) {
        self.taken = true;
    }

    /// It is over, and the provider said what it used.
    pub(crate) fn over(mut self, usage: &Usage) {
        let Some(counts) = Counts::of(usage) else { return };
        let spent = self.tariff.cost(self.asked, &counts, usage.service_tier.as_deref());
        self.places.used(usage);
        self.settle(spent, Some(counts.input.saturating_add(counts.output)));
    }

    fn settle(&mut self, spent: NanoUsd, used: Option<u64>) {
        if let Some(money) = self.money.take() {
            money.settle(spent, clock::wall());
        }
        self.one.gate.leave(self.place.take(), used, self.tokens);
    }
}

impl Drop for Passage {
    fn drop(&mut self) {
        let (spent, used) = if self.taken { (self.worst, None) } else { (NanoUsd::ZERO, Some(0)) };
        self.settle(spent, used);
    }
}
