//! What is known of every deployment now, shared by all requests: breakers, first-token times, calls under way, shares.
//! Reads are lock-free while nothing goes wrong; after a fault a deployment's breaker is asked under its own short lock
//! until it has been quiet for a while. The state machines themselves are `policy`'s.

use crate::upstream::Timing;
use canon::{Facets, Fault};
use policy::breaker::{Breaker, Health, Level, Outcome, Settings, Ticket, verdict};
use policy::retry::{self, Decision, Failed, RetryBudget};
use policy::{DeploymentIx, Fleet, Live, NanoUsd, Product, ProductIx, Share, SizeBucket, Tick, View, Wall};
use std::collections::HashMap;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// How long after the last fault a closed breaker keeps counting successes too.
const NOISE: Duration = Duration::from_secs(20);
/// Answers after which the counts of a share cap are halved: older ones weigh less and less.
const SHARE_WINDOW: u64 = 1_000;
/// Most requests whose retries are earned at once.
const DEPOSITS: u32 = 10_000;

/// What is known now.
pub struct LiveView {
    deployments: Vec<Arc<OneLive>>,
    accounts: Vec<Arc<Guard>>,
    products: Vec<ProductLive>,
}

/// One deployment.
#[derive(Default)]
struct OneLive {
    guard: Guard,
    /// Moving averages of the time to the first token, microseconds, by size of prompt; 0: not measured.
    first_token: [AtomicU64; SizeBucket::COUNT],
    under_way: AtomicU32,
}

/// One product.
struct ProductLive {
    requests: AtomicU32,
    retries: Mutex<RetryBudget>,
    /// Answers within each share cap, and all answers.
    used: Vec<AtomicU64>,
    answers: AtomicU64,
}

/// A breaker that costs nothing while nothing goes wrong.
struct Guard {
    breaker: Mutex<Breaker>,
    /// Microseconds since the process began until which the breaker must be asked.
    noisy_until: AtomicU64,
}

impl Default for Guard {
    fn default() -> Self {
        Self { breaker: Mutex::new(Breaker::new(Settings::default())), noisy_until: AtomicU64::new(0) }
    }
}

impl Guard {
    fn is_calm(&self, now: Tick) -> bool {
        crate::clock::micros(now.since_epoch()) >= self.noisy_until.load(Ordering::Acquire)
    }

    fn lock(&self) -> MutexGuard<'_, Breaker> {
        self.breaker.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn health(&self, now: Tick) -> Health {
        if self.is_calm(now) { Health::Closed } else { self.lock().health(now) }
    }

    fn error_rate(&self, now: Tick) -> Option<f32> {
        if self.is_calm(now) { None } else { self.lock().error_rate(now) }
    }

    /// Leave to call. `None`: not now; `Some(None)`: calm, nothing to give back.
    fn admit(&self, now: Tick, force: bool) -> Option<Option<Ticket>> {
        if self.is_calm(now) {
            return Some(None);
        }
        let mut breaker = self.lock();
        match breaker.admit(now) {
            None if force => Some(Some(breaker.force())),
            None => None,
            ticket => Some(ticket),
        }
    }

    fn settle(&self, ticket: Option<Ticket>, outcome: Outcome, now: Tick) {
        if ticket.is_none() && !matches!(outcome, Outcome::Failure { .. }) {
            return;
        }
        let mut breaker = self.lock();
        let ticket = ticket.unwrap_or_else(|| breaker.force());
        breaker.settle(ticket, outcome, now, fastrand::u64(..));
        // A failure makes noise, and so does everything until it is closed again.
        let noisy_until = match (breaker.health(now), outcome) {
            (Health::Closed, Outcome::Failure { .. }) => crate::clock::micros(now.after(NOISE).since_epoch()),
            (Health::Closed, _) => return,
            _ => u64::MAX,
        };
        drop(breaker);
        self.noisy_until.store(noisy_until, Ordering::Release);
    }
}

impl LiveView {
    /// The view of `fleet`; what was known `before` of deployments and accounts that stay is kept.
    #[must_use]
    pub fn new(fleet: &Fleet, before: Option<(&Fleet, &Self)>) -> Self {
        let (mut known, mut known_accounts) = (HashMap::new(), HashMap::new());
        if let Some((fleet, view)) = before {
            for ((ix, deployment), account) in fleet.iter().zip(&view.accounts) {
                known_accounts.insert(account_of(deployment), Arc::clone(account));
                if let Some(one) = view.deployments.get(ix.index()) {
                    known.insert((deployment.name.clone(), deployment.model.clone()), Arc::clone(one));
                }
            }
        }
        let deployments = fleet
            .deployments()
            .iter()
            .map(|deployment| known.remove(&(deployment.name.clone(), deployment.model.clone())).unwrap_or_default())
            .collect();
        let accounts = fleet
            .deployments()
            .iter()
            .map(|deployment| Arc::clone(known_accounts.entry(account_of(deployment)).or_default()))
            .collect();
        let products = fleet
            .products()
            .iter()
            .map(|product| ProductLive {
                requests: AtomicU32::new(0),
                retries: Mutex::new(RetryBudget::new(&product.rules().retries)),
                used: product.caps().iter().map(|_| AtomicU64::new(0)).collect(),
                answers: AtomicU64::new(0),
            })
            .collect();
        Self { deployments, accounts, products }
    }

    /// A request of `product` begins; it earns a share of a retry.
    pub fn request(&self, product: ProductIx) {
        if let Some(live) = self.products.get(product.index()) {
            live.requests.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Leave to call a deployment; `None`: its breaker allows no call now. `force`: the last resort, when everyone is
    /// held to be down.
    pub(crate) fn begin(&self, product: &Product, ix: DeploymentIx, force: bool, now: Tick) -> Option<Flight<'_>> {
        let one = self.deployments.get(ix.index())?;
        let account = self.accounts.get(ix.index())?;
        let ticket = one.guard.admit(now, force)?;
        let Some(account_ticket) = account.admit(now, force) else {
            one.guard.settle(ticket, Outcome::Neutral, now);
            return None;
        };
        one.under_way.fetch_add(1, Ordering::Relaxed);
        let (caps, product) = (product.caps_of(ix).collect(), self.products.get(product.ix().index()));
        Some(Flight { one, account, product, caps, ticket, account_ticket, begun: now, over: false })
    }

    /// A stream of a deployment broke after it had begun.
    pub(crate) fn broke(&self, ix: DeploymentIx, fault: &Fault, now: Tick) {
        let (level, outcome) = verdict(fault);
        let guard = match level {
            Level::Deployment => self.deployments.get(ix.index()).map(|one| &one.guard),
            Level::Account => self.accounts.get(ix.index()).map(|account| &**account),
        };
        if let Some(guard) = guard {
            guard.settle(None, outcome, now);
        }
    }

    /// What to do after a failed attempt; takes a retry from the product's budget.
    pub(crate) fn after_fault(&self, product: &Product, failed: &Failed<'_>, now: Tick) -> Decision {
        let Some(live) = self.products.get(product.ix().index()) else {
            return Decision::GiveUp(retry::GiveUp::NoOther);
        };
        let earned = live.requests.swap(0, Ordering::Relaxed).min(DEPOSITS);
        let mut budget = live.retries.lock().unwrap_or_else(PoisonError::into_inner);
        for _ in 0..earned {
            budget.deposit(now);
        }
        retry::next(failed, &product.rules().retries, &mut budget, now, fastrand::u64(..))
    }
}

fn account_of(deployment: &policy::Deployment) -> (String, String) {
    (deployment.provider.clone(), deployment.account.clone())
}

impl View for LiveView {
    fn live(&self, deployment: DeploymentIx, bucket: SizeBucket, now: Tick) -> Live {
        let (Some(one), Some(account)) =
            (self.deployments.get(deployment.index()), self.accounts.get(deployment.index()))
        else {
            return Live::FRESH;
        };
        let health = match account.health(now) {
            Health::Closed => one.guard.health(now),
            worse => worse,
        };
        let first = one.first_token.get(bucket.index()).map_or(0, |average| average.load(Ordering::Relaxed));
        #[expect(clippy::cast_precision_loss, reason = "a share needs no more than 23 bits")]
        let headroom = 1.0 / (1.0 + one.under_way.load(Ordering::Relaxed) as f32);
        Live {
            health,
            headroom,
            first_token: (first > 0).then(|| Duration::from_micros(first)),
            first_token_p95: None,
            error_rate: one.guard.error_rate(now),
        }
    }

    fn share(&self, product: ProductIx, cap: usize, _now: Tick) -> Share {
        self.products.get(product.index()).map_or_else(Share::default, |live| Share {
            used: live.used.get(cap).map_or(0, |used| used.load(Ordering::Relaxed)),
            total: live.answers.load(Ordering::Relaxed),
        })
    }

    fn money_left(&self, _product: ProductIx, _wall: Wall) -> Option<NanoUsd> {
        None
    }
}

/// One call under way. Dropped without a word it says nothing about the deployment.
pub(crate) struct Flight<'a> {
    one: &'a OneLive,
    account: &'a Guard,
    product: Option<&'a ProductLive>,
    caps: Vec<usize>,
    ticket: Option<Ticket>,
    account_ticket: Option<Ticket>,
    begun: Tick,
    over: bool,
}

impl Flight<'_> {
    /// The answer has begun.
    pub(crate) fn answered(mut self, timing: &Timing, facets: &Facets, now: Tick) {
        self.end((Outcome::Success, Outcome::Success), now);
        let first = crate::clock::micros(timing.first_token.unwrap_or_else(|| now.since(self.begun)));
        if let Some(average) = self.one.first_token.get(SizeBucket::of(facets.input_tokens).index()) {
            // A lost update between two threads costs nothing.
            let old = average.load(Ordering::Relaxed);
            let new = if old == 0 { first } else { old - old / 8 + first / 8 };
            average.store(new.max(1), Ordering::Relaxed);
        }
        if let Some(product) = self.product.filter(|product| !product.used.is_empty()) {
            count_share(product, &self.caps);
        }
    }

    /// The call failed.
    pub(crate) fn failed(mut self, fault: &Fault, now: Tick) {
        let outcomes = match verdict(fault) {
            (Level::Deployment, outcome) => (outcome, Outcome::Neutral),
            (Level::Account, outcome) => (Outcome::Neutral, outcome),
        };
        self.end(outcomes, now);
    }

    fn end(&mut self, (deployment, account): (Outcome, Outcome), now: Tick) {
        self.over = true;
        self.one.under_way.fetch_sub(1, Ordering::Relaxed);
        self.one.guard.settle(self.ticket, deployment, now);
        self.account.settle(self.account_ticket, account, now);
    }
}

impl Drop for Flight<'_> {
    fn drop(&mut self) {
        if !self.over {
            self.end((Outcome::Neutral, Outcome::Neutral), self.begun);
        }
    }
}

fn count_share(product: &ProductLive, caps: &[usize]) {
    for used in caps.iter().filter_map(|cap| product.used.get(*cap)) {
        used.fetch_add(1, Ordering::Relaxed);
    }
    if product.answers.fetch_add(1, Ordering::Relaxed) + 1 >= SHARE_WINDOW {
        for count in product.used.iter().chain([&product.answers]) {
            let half = count.load(Ordering::Relaxed) / 2;
            count.store(half, Ordering::Relaxed);
        }
    }
}
