//! The running gateway: what lives as long as the process (`Gateway`), and what a configuration makes (`Setup`), which
//! a reload swaps as a whole. A request works with the setup that it began with.

use crate::access::Access;
use crate::clock::Clock;
use crate::drill::Drills;
use crate::load::Load;
use crate::run::live::LiveView;
use crate::tap::metrics::Series;
use crate::tap::{Facts, Metrics};
use crate::tasks::Tasks;
use crate::turns::Turns;
use crate::upstream::Backend;
use arc_swap::ArcSwap;
use ledger::{Journal, Key, Name, Store, StoreError};
use policy::shed::Rooms;
use policy::{DeploymentIx, Fleet, Permit, ProductIx};
use std::collections::HashMap;
use std::sync::{Arc, OnceLock, PoisonError, RwLock};
use std::time::Duration;

/// Bounds on what clients may send.
#[derive(Debug, Clone, Copy)]
pub struct ServeLimits {
    /// Largest request body, in bytes.
    pub body_bytes: usize,
    /// Longest time to receive a body.
    pub body_time: Duration,
    /// Requests under way that each criticality may have; more are refused early with 503.
    pub rooms: Rooms,
    /// From which lateness of the event loop on requests are refused too; zero: never.
    pub late: Duration,
}

impl Default for ServeLimits {
    fn default() -> Self {
        Self {
            body_bytes: 32 * 1024 * 1024,
            body_time: Duration::from_secs(30),
            rooms: Rooms::new(10_000, []),
            late: Duration::ZERO,
        }
    }
}

/// One deployment, ready to be asked.
pub struct Unit {
    /// Who answers.
    pub backend: Arc<dyn Backend>,
    /// What the ledger writes about it.
    pub facts: Facts,
}

/// What one configuration makes.
pub struct Setup {
    /// Deployments and products.
    pub fleet: Arc<Fleet>,
    /// By `DeploymentIx`.
    pub units: Vec<Unit>,
    /// Product names by `ProductIx`.
    pub products: Vec<Name>,
    /// Counters by product and deployment, made when first needed.
    pub series: SeriesTable,
    /// Version of the rules, as the ledger writes it.
    pub policy_version: Name,
    /// What is known of the deployments now; kept over reloads for those that stay.
    pub live: Arc<LiveView>,
    /// Bounds on what clients may send.
    pub limits: ServeLimits,
    /// Days that turns are kept for clients that go on with them; 0: not at all.
    pub turns_days: u32,
    /// What keys may use, looked up in the fleet once per key.
    pub permits: Permits,
}

/// What keys may use of one fleet, by the key's id: a key's models never change.
pub type Permits = RwLock<HashMap<Name, Arc<Permit>>>;

impl Setup {
    /// The same with other units and another view.
    pub(crate) fn with(&self, units: Vec<Unit>, live: LiveView) -> Self {
        Self {
            fleet: Arc::clone(&self.fleet),
            units,
            products: self.products.clone(),
            series: SeriesTable::new(self.products.len(), self.units.len()),
            policy_version: self.policy_version.clone(),
            live: Arc::new(live),
            limits: self.limits,
            turns_days: self.turns_days,
            permits: Permits::default(),
        }
    }

    /// The unit at `ix`.
    #[must_use]
    pub fn unit(&self, ix: DeploymentIx) -> Option<&Unit> {
        self.units.get(ix.index())
    }

    /// The deployments that `key` may use.
    pub(crate) fn permit(&self, key: &Key) -> Arc<Permit> {
        if let Some(permit) = self.permits.read().unwrap_or_else(PoisonError::into_inner).get(&key.id) {
            return Arc::clone(permit);
        }
        let models: Vec<String> = key.models.iter().map(ToString::to_string).collect();
        let permit = Arc::new(self.fleet.permit(&models));
        let mut permits = self.permits.write().unwrap_or_else(PoisonError::into_inner);
        permits.insert(key.id.clone(), Arc::clone(&permit));
        permit
    }
}

/// Counters of each product's calls to each deployment.
#[derive(Debug, Default)]
pub struct SeriesTable {
    deployments: usize,
    cells: Vec<OnceLock<Arc<Series>>>,
}

impl SeriesTable {
    /// A table for so many products and deployments.
    #[must_use]
    pub fn new(products: usize, deployments: usize) -> Self {
        let mut cells = Vec::new();
        cells.resize_with(products.saturating_mul(deployments), OnceLock::new);
        Self { deployments, cells }
    }

    /// The counters at a place; `make` makes them the first time.
    pub(crate) fn at(
        &self,
        product: ProductIx,
        deployment: DeploymentIx,
        make: impl FnOnce() -> Series,
    ) -> Option<&Arc<Series>> {
        let cell = self.cells.get(product.index() * self.deployments + deployment.index())?;
        Some(cell.get_or_init(|| Arc::new(make())))
    }
}

/// What is missing until the gateway is ready.
pub trait Readiness: Send + Sync {
    /// Each missing thing in words; empty: ready.
    fn missing(&self) -> Vec<String>;
}

/// What lives as long as the process.
pub struct Gateway {
    setup: ArcSwap<Setup>,
    /// Who may call.
    pub access: Access,
    /// The ledger's journal.
    pub journal: Arc<Journal>,
    /// Counters.
    pub metrics: Arc<Metrics>,
    /// Turns kept between requests.
    pub turns: Turns,
    /// Tracked tasks.
    pub tasks: Tasks,
    /// The process's clock.
    pub clock: Clock,
    /// The drill that runs, if one does.
    pub(crate) drills: Drills,
    /// What is under way.
    pub load: Load,
    readiness: Box<dyn Readiness>,
}

impl Gateway {
    /// A gateway that starts with `setup`.
    #[must_use]
    pub fn new(
        setup: Setup,
        access: Access,
        journal: Arc<Journal>,
        turns: Turns,
        clock: Clock,
        readiness: Box<dyn Readiness>,
    ) -> Self {
        Self {
            setup: ArcSwap::from_pointee(setup),
            access,
            journal,
            metrics: Arc::default(),
            turns,
            tasks: Tasks::default(),
            clock,
            drills: Drills::default(),
            load: Load::default(),
            readiness,
        }
    }

    /// The setup of now.
    #[must_use]
    pub fn setup(&self) -> Arc<Setup> {
        self.setup.load_full()
    }

    /// Takes a new configuration over; requests under way keep the old one.
    pub fn reload(&self, setup: Setup) {
        self.setup.store(Arc::new(setup));
    }

    /// Reads the keys anew where `store` has others, and their limits with them; how many there are, if they changed.
    /// Never on a request's path.
    ///
    /// # Errors
    /// The store refuses; the keys as last read stay good.
    pub fn refresh_keys(&self, store: &dyn Store) -> Result<Option<usize>, StoreError> {
        self.access.refresh(store, |ring| self.setup().live.keep_keys(ring))
    }

    /// What is missing until it is ready.
    #[must_use]
    pub fn missing(&self) -> Vec<String> {
        let mut missing = self.readiness.missing();
        if self.tasks.is_stopping() {
            missing.push("the process is shutting down".to_owned());
        }
        missing
    }
}
