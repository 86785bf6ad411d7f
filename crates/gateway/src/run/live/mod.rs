//! What is known of every deployment now, shared by all requests: breakers, first-token times, limits, money, shares.
//! Reads are lock-free while nothing goes wrong and nothing is limited. The state machines themselves are `policy`'s.

mod flight;
mod guard;
mod health;
mod one;
mod party;
mod product;

pub(crate) use flight::{Flight, NotNow, ProductPlace};
pub use guard::LastFault;
pub use health::{BreakerState, What};

use crate::clock::Clock;
use canon::Facets;
use guard::Guard;
use one::OneLive;
use party::PartyLive;
use policy::breaker::Health;
use policy::budget::{Book, Budget, Holder, Period};
use policy::limit::Full;
use policy::retry::{self, Decision, Failed};
use policy::{
    Deployment, DeploymentIx, Dim, Fleet, Leg, Live, NanoUsd, Product, ProductIx, Share, SizeBucket, Tick, View, Wall,
};
use product::ProductLive;
use smallvec::SmallVec;
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

/// What is known now.
pub struct LiveView {
    lines: Vec<Line>,
    products: Vec<Arc<ProductLive>>,
    book: Arc<Book>,
    /// Whose money is where in the book, by product.
    holders: HashMap<String, Holder>,
}

/// Everything that a call to one deployment concerns.
#[derive(Clone)]
struct Line {
    one: Arc<OneLive>,
    account: Arc<Guard>,
    /// Its host and its maker, where they are others' too.
    parties: SmallVec<[Arc<PartyLive>; 2]>,
    /// Who it is to each of them. A host is suspected when several of its deployments fail; a maker, when its models
    /// fail on several hosts: to it, the deployments of one host are one.
    known_as: SmallVec<[DeploymentIx; 2]>,
}

/// By what is kept over a reload.
#[derive(Default)]
struct Kept {
    ones: HashMap<(String, String), Arc<OneLive>>,
    accounts: HashMap<(String, String), Arc<Guard>>,
    parties: HashMap<(Dim, String), Arc<PartyLive>>,
}

impl Kept {
    fn of(fleet: &Fleet, view: &LiveView) -> Self {
        let mut kept = Self::default();
        for ((_, deployment), line) in fleet.iter().zip(&view.lines) {
            kept.ones.insert((deployment.name.clone(), deployment.model.clone()), Arc::clone(&line.one));
            kept.accounts.insert(account_of(deployment), Arc::clone(&line.account));
            for (key, party) in parties_of(deployment).into_iter().zip(&line.parties) {
                kept.parties.insert(key, Arc::clone(party));
            }
        }
        kept
    }

    fn line(&mut self, (ix, deployment): (DeploymentIx, &Deployment), first_there: DeploymentIx) -> Line {
        let one = match self.ones.remove(&(deployment.name.clone(), deployment.model.clone())) {
            Some(one) => {
                one.gate.relimit(deployment.limits);
                one
            }
            None => Arc::new(OneLive::new(deployment.limits)),
        };
        Line {
            one,
            account: Arc::clone(self.accounts.entry(account_of(deployment)).or_default()),
            parties: parties_of(deployment)
                .into_iter()
                .map(|key| Arc::clone(self.parties.entry(key).or_default()))
                .collect(),
            known_as: parties_of(deployment)
                .iter()
                .map(|(dim, _)| if *dim == Dim::Maker { first_there } else { ix })
                .collect(),
        }
    }
}

impl LiveView {
    /// The view of `fleet`; what was known `before` of deployments, accounts, parties and money that stay is kept.
    #[must_use]
    pub fn new(fleet: &Fleet, before: Option<(&Fleet, &Self)>) -> Self {
        let mut kept = before.map(|(fleet, view)| Kept::of(fleet, view)).unwrap_or_default();
        let (book, mut holders) =
            before.map(|(_, view)| (Arc::clone(&view.book), view.holders.clone())).unwrap_or_default();
        let mut first_there: HashMap<&str, DeploymentIx> = HashMap::new();
        let lines = fleet
            .iter()
            .map(|(ix, one)| kept.line((ix, one), *first_there.entry(one.host.as_str()).or_insert(ix)))
            .collect();
        let mut products = Vec::with_capacity(fleet.products().len());
        for product in fleet.products() {
            let holder = match holders.get(product.name()).copied() {
                Some(holder) => {
                    let limits = Budget::new(&product.rules().budget);
                    book.with(holder, |budget| budget.relimit(&product.rules().budget));
                    limits.left(Wall::from_unix(0)).map(|_| holder)
                }
                None => product::open(product, &book),
            };
            if let Some(holder) = holder {
                holders.insert(product.name().to_owned(), holder);
            }
            products.push(Arc::new(ProductLive::new(product, &book, holder)));
        }
        Self { lines, products, book, holders }
    }

    /// A request of `product` begins, within the product's limits.
    ///
    /// # Errors
    /// The limit that is reached.
    pub(crate) fn enter(&self, product: ProductIx, facets: &Facets, now: Tick) -> Result<Option<ProductPlace>, Full> {
        self.products.get(product.index()).map(|live| ProductPlace::enter(live, facets, now)).transpose()
    }

    /// Everything that a call on `leg` needs. `force`: the last resort, when everyone is held to be down.
    pub(crate) fn begin(
        &self,
        (fleet, product): (&Fleet, &Product),
        leg: &Leg,
        facets: &Facets,
        force: bool,
        clock: Clock,
    ) -> Result<Flight, NotNow> {
        let line = self.lines.get(leg.deployment.index()).ok_or(NotNow::Breaker)?;
        let live = self.products.get(product.ix().index()).ok_or(NotNow::Breaker)?;
        Flight::begin((line, live), product, (leg, fleet.tariff(leg.deployment)), facets, force, clock)
    }

    /// What to do after a failed attempt; takes a retry from the product's budget.
    pub(crate) fn after_fault(&self, product: &Product, failed: &Failed<'_>, now: Tick) -> Decision {
        let Some(live) = self.products.get(product.ix().index()) else {
            return Decision::GiveUp(retry::GiveUp::NoOther);
        };
        let chance = fastrand::u64(..);
        live.second_calls(now, |retries, _| retry::next(failed, &product.rules().retries, retries, now, chance))
    }

    /// How long to wait for the first token of `deployment` before another one is asked as well; `None`: not at all,
    /// or not learned yet.
    pub(crate) fn hedge_after(&self, product: &Product, deployment: DeploymentIx, facets: &Facets) -> Option<Duration> {
        if !product.rules().hedge.on {
            return None;
        }
        self.lines.get(deployment.index())?.one.usual_first_token(facets)
    }

    /// Takes one hedge from the product's budget.
    pub(crate) fn may_hedge(&self, product: ProductIx, now: Tick) -> bool {
        let live = self.products.get(product.index());
        live.is_some_and(|live| live.second_calls(now, |_, hedges| hedges.withdraw(now)))
    }

    /// What a provider said is left of its own limits.
    pub(crate) fn said(&self, deployment: DeploymentIx, left: policy::limit::Remaining, reset: Duration, now: Tick) {
        if let Some(line) = self.lines.get(deployment.index()) {
            line.one.gate.said(left, reset, now);
        }
    }

    /// Counts what `product` spent in `period` before this process began.
    pub fn restore(&self, product: ProductIx, period: Period, spent: NanoUsd, wall: Wall) {
        if let Some(live) = self.products.get(product.index()) {
            live.restore(period, spent, wall);
        }
    }
}

#[cfg(test)]
impl LiveView {
    /// What is held now: money, calls under way, places within limits.
    pub(crate) fn held(&self) -> (NanoUsd, u32, u32) {
        let reserved = |holder: &Holder| self.book.with(*holder, |budget| budget.reserved()).unwrap_or_default();
        let money = self.holders.values().map(reserved).fold(NanoUsd::ZERO, NanoUsd::plus);
        let under_way =
            self.lines.iter().map(|line| line.one.under_way.load(std::sync::atomic::Ordering::Relaxed)).sum();
        let placed = self.lines.iter().map(|line| line.one.gate.under_way()).sum::<u32>()
            + self.products.iter().map(|product| product.gate.under_way()).sum::<u32>();
        (money, under_way, placed)
    }
}

fn account_of(deployment: &Deployment) -> (String, String) {
    (deployment.provider.clone(), deployment.account.clone())
}

/// The parties whose loss would take more than one deployment. The house is our own; nobody's maker is a party.
fn parties_of(deployment: &Deployment) -> SmallVec<[(Dim, String); 2]> {
    if deployment.house {
        return SmallVec::new();
    }
    let known = |name: &&str| *name != "unknown";
    let party = |dim: Dim| dim.of(deployment).filter(known).map(|name| (dim, name.to_owned()));
    [party(Dim::Host), party(Dim::Maker)].into_iter().flatten().collect()
}

impl View for LiveView {
    fn live(&self, deployment: DeploymentIx, bucket: SizeBucket, now: Tick) -> Live {
        let Some(line) = self.lines.get(deployment.index()) else { return Live::FRESH };
        let guards = [&*line.account].into_iter().chain(line.parties.iter().map(|party| &party.guard));
        let worse = guards.map(|guard| guard.health(now)).find(|health| *health != Health::Closed);
        line.one.live(worse.unwrap_or_else(|| line.one.guard.health(now)), bucket, now)
    }

    fn share(&self, product: ProductIx, cap: usize, _now: Tick) -> Share {
        self.products.get(product.index()).map_or_else(Share::default, |live| live.share(cap))
    }

    fn money_left(&self, product: ProductIx, wall: Wall) -> Option<NanoUsd> {
        self.products.get(product.index())?.money_left(wall)
    }
}
