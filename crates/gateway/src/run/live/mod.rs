//! What is known of every deployment now, shared by all requests: breakers, first-token times, limits, money, shares.
//! Reads are lock-free while nothing goes wrong and nothing is limited. The state machines themselves are `policy`'s.

mod commitment;
mod estate;
mod flight;
mod guard;
mod health;
mod levels;
mod one;
mod party;
mod passage;
mod product;
mod warm;

pub use estate::{Estate, Heir};
pub(crate) use flight::{Flight, NotNow};
pub use health::{Breaker, Breakers, LastFault, State, What};
pub(crate) use levels::Places;
pub use levels::{AtLimit, Level, Levels, Money, Rank, Spent, Standing, Used, Who};
pub(crate) use passage::{NoPassage, Passage};
pub(crate) use warm::Caching;

use crate::clock::Clock;
use crate::upstream::Ask;
use arc_swap::ArcSwap;
use canon::{Facets, Peek};
use commitment::{Commitments, Committed};
use guard::Guard;
use ledger::{KeyRing, Name, Quota};
use one::OneLive;
use party::PartyLive;
use policy::breaker::Health;
use policy::budget::{Book, Period};
use policy::retry::{self, Decision, Failed};
use policy::rules::{BudgetRules, Limits};
use policy::{
    Deployment, DeploymentIx, Dim, Fleet, Leg, Live, NanoUsd, Product, ProductIx, Share, SizeBucket, Tick, View, Wall,
    Warm,
};
use product::ProductLive;
use smallvec::SmallVec;
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;
use warm::WarmTable;

/// What is known now.
pub struct LiveView {
    lines: Vec<Line>,
    products: Vec<(Arc<ProductLive>, Teams)>,
    book: Arc<Book>,
    /// Every product and team there ever was, so that none that comes back begins anew.
    levels: HashMap<Who, Arc<Level>>,
    /// The keys that have limits of their own, by line. They come and go while the configuration stays.
    keys: Arc<ArcSwap<HashMap<Name, Arc<Level>>>>,
    /// What of each contract's commitment is used, in the same book.
    commitments: Commitments,
    warm: Arc<WarmTable>,
    /// Whether any deployment is cheaper where a prompt is cached.
    caches: bool,
}

/// The limits of a product, and of the teams inside it.
#[derive(Clone)]
struct Teams {
    whole: Arc<Level>,
    teams: HashMap<Box<str>, Arc<Level>>,
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
    /// What its contract makes us pay in any case.
    commitment: Option<Committed>,
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
            commitment: None,
        }
    }
}

impl LiveView {
    /// The view of `fleet`; what was known `before` of deployments, accounts, parties and money that stay is kept.
    #[must_use]
    pub fn new(fleet: &Fleet, before: Option<(&Fleet, &Self)>) -> Self {
        let mut kept = before.map(|(fleet, view)| Kept::of(fleet, view)).unwrap_or_default();
        let (book, mut levels, keys) = before
            .map(|(_, view)| (Arc::clone(&view.book), view.levels.clone(), Arc::clone(&view.keys)))
            .unwrap_or_default();
        let mut first_there: HashMap<&str, DeploymentIx> = HashMap::new();
        let mut commitments = before.map(|(_, view)| view.commitments.clone()).unwrap_or_default();
        let lines = fleet
            .iter()
            .map(|(ix, one)| {
                let line = kept.line((ix, one), *first_there.entry(one.host.as_str()).or_insert(ix));
                Line { commitment: one.commitment.as_ref().map(|of| commitments.of(of, &book)), ..line }
            })
            .collect();
        let mut level = |who: Who, limits: Limits, budget: &BudgetRules| {
            let level = levels.entry(who.clone()).or_insert_with(|| Arc::new(Level::new(who)));
            level.relimit(limits, budget, &book);
            Arc::clone(level)
        };
        let mut products = Vec::with_capacity(fleet.products().len());
        for product in fleet.products() {
            let (name, rules) = (product.name(), product.rules());
            let whole = level(Who::product(name), rules.limits, &rules.budget);
            let teams = rules
                .team
                .iter()
                .map(|(team, rules)| (team.as_str().into(), level(Who::team(name, team), rules.limits, &rules.budget)));
            let teams = teams.collect();
            products.push((Arc::new(ProductLive::new(product)), Teams { whole, teams }));
        }
        // Places in the fleet are what it remembers.
        let names = |fleet: &Fleet| fleet.deployments().iter().map(|one| one.name.clone()).collect::<Vec<_>>();
        let same = before.filter(|(old, _)| names(old) == names(fleet));
        let warm = same.map(|(_, view)| Arc::clone(&view.warm)).unwrap_or_default();
        let caches = fleet.deployments().iter().any(warm::saves);
        Self { lines, products, book, levels, keys, commitments, warm, caches }
    }

    /// Takes the limits of the keys in `ring` over; what each used and spent stays so.
    pub fn keep_keys(&self, ring: &KeyRing) {
        let before = self.keys.load();
        let mut keys: HashMap<Name, Arc<Level>> = HashMap::new();
        for key in ring.iter().filter(|key| !key.quota.is_empty()) {
            let level = before.get(&key.line).cloned();
            let level = level.unwrap_or_else(|| Arc::new(Level::new(Who::key(&key.product, &key.line))));
            let (limits, budget) = rules_of(&key.quota);
            level.relimit(limits, &budget, &self.book);
            keys.insert(Name::clone(&key.line), level);
        }
        self.keys.store(Arc::new(keys));
    }

    /// Within whose limits a caller of `product` is, whose key is of `team` and of `line`.
    pub(crate) fn levels(&self, product: ProductIx, team: Option<&str>, line: Option<&str>) -> Levels {
        let Some((_, teams)) = self.products.get(product.index()) else { return Levels::default() };
        let team = team.and_then(|team| teams.teams.get(team));
        let keys = self.keys.load();
        let key = line.and_then(|line| keys.get(line));
        Levels::of([key, team, Some(&teams.whole)].into_iter().flatten())
    }

    /// What every product, team and key with limits has used, in this order.
    #[must_use]
    pub fn standings(&self, now: Tick, wall: Wall) -> Vec<Standing> {
        let mut keys: Vec<_> = self.keys.load().values().cloned().collect();
        keys.sort_by(|a, b| (&a.who().product, &a.who().name).cmp(&(&b.who().product, &b.who().name)));
        let teams = self.products.iter().flat_map(|(_, teams)| {
            let mut inside: Vec<_> = teams.teams.values().cloned().collect();
            inside.sort_by(|a, b| a.who().name.cmp(&b.who().name));
            std::iter::once(Arc::clone(&teams.whole)).chain(inside)
        });
        teams.chain(keys).map(|level| level.standing(&self.book, now, wall)).collect()
    }

    /// The same view for requests that play a loss: what they see of the `lost` deployments, and of accounts and
    /// parties that these belong to, is their own and fresh, as are their second calls. Limits and money are shared.
    #[must_use]
    pub(crate) fn apart(&self, fleet: &Fleet, lost: impl Fn(&Deployment) -> bool) -> Self {
        let mut fresh = Kept::default();
        for (_, deployment) in fleet.iter().filter(|(_, deployment)| lost(deployment)) {
            fresh.accounts.entry(account_of(deployment)).or_default();
            for party in parties_of(deployment) {
                fresh.parties.entry(party).or_default();
            }
        }
        let line = |(line, (_, deployment)): (&Line, (DeploymentIx, &Deployment))| {
            let parties = parties_of(deployment).into_iter().zip(&line.parties);
            let party =
                |(key, party): ((Dim, String), &Arc<PartyLive>)| Arc::clone(fresh.parties.get(&key).unwrap_or(party));
            Line {
                one: if lost(deployment) { Arc::new(line.one.apart()) } else { Arc::clone(&line.one) },
                account: Arc::clone(fresh.accounts.get(&account_of(deployment)).unwrap_or(&line.account)),
                parties: parties.map(party).collect(),
                known_as: line.known_as.clone(),
                commitment: line.commitment.clone(),
            }
        };
        let products = fleet.products().iter().zip(&self.products);
        Self {
            lines: self.lines.iter().zip(fleet.iter()).map(line).collect(),
            products: products.map(|(product, (live, teams))| (Arc::new(live.apart(product)), teams.clone())).collect(),
            book: Arc::clone(&self.book),
            levels: self.levels.clone(),
            keys: Arc::clone(&self.keys),
            commitments: self.commitments.clone(),
            warm: Arc::clone(&self.warm),
            caches: self.caches,
        }
    }

    /// A request of `product` begins, within everybody's limits.
    ///
    /// # Errors
    /// The limit that is reached.
    pub(crate) fn enter(
        &self,
        product: ProductIx,
        levels: &Levels,
        facets: &Facets,
        now: Tick,
    ) -> Result<Places, AtLimit> {
        if let Some((live, _)) = self.products.get(product.index()) {
            live.request();
        }
        levels.enter(one::tokens_of(facets), now)
    }

    /// This view as a caller within `levels` sees it.
    pub(crate) const fn seen_by<'a>(&'a self, levels: &'a Levels) -> SeenBy<'a> {
        SeenBy { live: self, levels }
    }

    /// Everything that a call on `leg` needs. `force`: the last resort, when everyone is held to be down.
    pub(crate) fn begin(
        &self,
        (fleet, product, levels): (&Fleet, &Product, &Levels),
        leg: &Leg,
        facets: &Facets,
        force: bool,
        clock: Clock,
    ) -> Result<Flight, NotNow> {
        let line = self.lines.get(leg.deployment.index()).ok_or(NotNow::Breaker)?;
        let (live, _) = self.products.get(product.ix().index()).ok_or(NotNow::Breaker)?;
        Flight::begin(
            (line, live),
            (product, levels, &self.book),
            (leg, fleet.tariff(leg.deployment)),
            facets,
            force,
            clock,
        )
    }

    /// Where a conversation of `product` that begins like `ask` is cached.
    pub(crate) fn warm(&self, product: ProductIx, ask: &Ask, now: Tick) -> Option<Warm> {
        let beginning = if self.caches { ask.beginning()? } else { return None };
        let warm = self.warm.find(WarmTable::key(product, beginning), now)?;
        Some(Warm { tokens: warm.tokens.min(ask.peek.facets.input_tokens), ..warm })
    }

    /// A call at `at` whose prompt may be cached from now on; `None`: nothing can be saved by that there.
    pub(crate) fn caching(
        &self,
        (fleet, at): (&Fleet, DeploymentIx),
        product: ProductIx,
        ask: &Ask,
    ) -> Option<Caching> {
        if !self.caches || !warm::saves(fleet.deployment(at)) {
            return None;
        }
        Some(Caching { table: Arc::clone(&self.warm), key: WarmTable::key(product, ask.beginning()?), at })
    }

    /// What to do after a failed attempt; takes a retry from the product's budget.
    pub(crate) fn after_fault(&self, product: &Product, failed: &Failed<'_>, now: Tick) -> Decision {
        let Some((live, _)) = self.products.get(product.ix().index()) else {
            return Decision::GiveUp(retry::GiveUp::NoOther);
        };
        let chance = fastrand::u64(..);
        live.second_calls(now, |retries, _| retry::next(failed, &product.rules().retries, retries, now, chance))
    }

    /// How long to wait for the first token of `deployment` before another one is asked as well; `None`: not at all,
    /// or not learned yet.
    pub(crate) fn hedge_after(&self, product: &Product, deployment: DeploymentIx, peek: &Peek) -> Option<Duration> {
        if !product.rules().hedge.on {
            return None;
        }
        self.lines.get(deployment.index())?.one.late_after(&peek.facets, peek.stream)
    }

    /// Takes one hedge from the product's budget.
    pub(crate) fn may_hedge(&self, product: ProductIx, now: Tick) -> bool {
        let live = self.products.get(product.index());
        live.is_some_and(|(live, _)| live.second_calls(now, |_, hedges| hedges.withdraw(now)))
    }

    /// What a provider said is left of its own limits.
    pub(crate) fn said(&self, deployment: DeploymentIx, left: policy::limit::Remaining, reset: Duration, now: Tick) {
        if let Some(line) = self.lines.get(deployment.index()) {
            line.one.gate.said(left, reset, now);
        }
    }

    /// Counts what calls at each deployment cost this month before this process began, in their contracts' commitments.
    pub fn restore_commitments(&self, spent: impl IntoIterator<Item = (DeploymentIx, NanoUsd)>, wall: Wall) {
        for (deployment, spent) in spent {
            if let Some(commitment) = self.lines.get(deployment.index()).and_then(|line| line.commitment.as_ref()) {
                commitment.spend(spent, wall);
            }
        }
    }

    /// Counts what `who` spent in `period` before this process began, if it has a budget.
    pub fn restore(&self, who: &Who, period: Period, spent: NanoUsd, wall: Wall) {
        let key = if who.rank == Rank::Key { self.keys.load().get(who.name.as_str()).cloned() } else { None };
        let level = key.or_else(|| self.levels.get(who).cloned());
        if let Some(holder) = level.and_then(|level| level.holder()) {
            self.book.with(holder, |budget| budget.restore(period, spent, wall));
        }
    }
}

#[cfg(test)]
impl LiveView {
    /// Sets money aside as a call does, to be settled with `settle`.
    pub(crate) fn reserve(&self, levels: &Levels, worst: NanoUsd) -> Result<Option<levels::Reserved>, Spent> {
        levels.reserve(&self.book, worst, crate::clock::wall())
    }

    /// Settles it.
    pub(crate) fn settle(&self, money: Option<levels::Reserved>, spent: NanoUsd) {
        if let Some(money) = money {
            money.settle(spent, crate::clock::wall());
        }
    }

    /// What is held now: money, calls under way, places within limits.
    pub(crate) fn held(&self) -> (NanoUsd, u32, u32) {
        let keys = self.keys.load();
        let levels = || self.levels.values().chain(keys.values());
        let reserved = |level: &Arc<Level>| self.book.with(level.holder()?, |budget| budget.reserved());
        let money = levels().filter_map(reserved).fold(NanoUsd::ZERO, NanoUsd::plus);
        let under_way =
            self.lines.iter().map(|line| line.one.under_way.load(std::sync::atomic::Ordering::Relaxed)).sum();
        let placed = self.lines.iter().map(|line| line.one.gate.under_way()).sum::<u32>()
            + levels().map(|level| level.gate.under_way()).sum::<u32>();
        (money, under_way, placed)
    }

    /// What is spent today and set aside, of each that has a budget.
    pub(crate) fn books(&self, wall: Wall) -> Vec<(Who, NanoUsd, NanoUsd)> {
        let keys = self.keys.load();
        let told = |level: &Arc<Level>| {
            let (spent, reserved) =
                self.book.with(level.holder()?, |budget| (budget.spent(Period::Day, wall), budget.reserved()))?;
            Some((level.who().clone(), spent, reserved))
        };
        self.levels.values().chain(keys.values()).filter_map(told).collect()
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
        self.products.get(product.index()).map_or_else(Share::default, |(live, _)| live.share(cap))
    }

    fn money_left(&self, product: ProductIx, wall: Wall) -> Option<NanoUsd> {
        let (_, teams) = self.products.get(product.index())?;
        Levels::of([&teams.whole]).money_left(&self.book, wall)
    }

    fn prepaid(&self, deployment: DeploymentIx, wall: Wall) -> NanoUsd {
        let commitment = self.lines.get(deployment.index()).and_then(|line| line.commitment.as_ref());
        commitment.map_or(NanoUsd::ZERO, |one| one.left(wall))
    }
}

/// What is known now, with the money of one caller: the least that his product, his team and his key have left.
pub(crate) struct SeenBy<'a> {
    live: &'a LiveView,
    levels: &'a Levels,
}

impl View for SeenBy<'_> {
    fn live(&self, deployment: DeploymentIx, bucket: SizeBucket, now: Tick) -> Live {
        self.live.live(deployment, bucket, now)
    }

    fn share(&self, product: ProductIx, cap: usize, now: Tick) -> Share {
        self.live.share(product, cap, now)
    }

    fn money_left(&self, _product: ProductIx, wall: Wall) -> Option<NanoUsd> {
        self.levels.money_left(&self.live.book, wall)
    }

    fn prepaid(&self, deployment: DeploymentIx, wall: Wall) -> NanoUsd {
        self.live.prepaid(deployment, wall)
    }
}

/// The limits and the budget of a key. What they do not cover is refused: a key has nobody cheaper to ask.
fn rules_of(quota: &Quota) -> (Limits, BudgetRules) {
    let usd = |nano: Option<u64>| nano.map(NanoUsd);
    let budget = BudgetRules {
        usd_minute: usd(quota.nano_minute),
        usd_day: usd(quota.nano_day),
        usd_month: usd(quota.nano_month),
        ..BudgetRules::default()
    };
    (Limits { rpm: quota.rpm, tpm: quota.tpm, concurrent: quota.concurrent }, budget)
}
