//! How much is under way in this process, and whose requests it refuses when that is too much. Decided by
//! `policy::shed`; here it is counted, and the event loop is watched. Nothing is queued: whoever is not taken is told so
//! at once, before its body is read.

use crate::clock;
use crate::setup::{Gateway, Setup};
use canon::{Fault, FaultKind};
use policy::ProductIx;
use policy::rules::Criticality;
use policy::shed::{Crowded, Pressure};
use schemars::JsonSchema;
use serde::Serialize;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

/// How often the event loop is looked at.
const LOOK: Duration = Duration::from_millis(50);

/// What is under way.
#[derive(Debug, Default)]
pub struct Load {
    in_flight: AtomicUsize,
    /// The bits of the pressure.
    pressure: AtomicU64,
    late_us: AtomicU64,
}

impl Load {
    /// Requests under way.
    #[must_use]
    pub fn in_flight(&self) -> usize {
        self.in_flight.load(Ordering::Relaxed)
    }

    /// How much pressure there is: 0, none, to the number of criticalities among the products.
    #[must_use]
    pub fn pressure(&self) -> f64 {
        f64::from_bits(self.pressure.load(Ordering::Relaxed))
    }

    /// By how much the event loop was late when it was last looked at.
    #[must_use]
    pub fn late(&self) -> Duration {
        Duration::from_micros(self.late_us.load(Ordering::Relaxed))
    }
}

/// A place among the requests under way, given back when dropped.
pub(crate) struct Place {
    gateway: Arc<Gateway>,
}

impl Drop for Place {
    fn drop(&mut self) {
        self.gateway.load.in_flight.fetch_sub(1, Ordering::Relaxed);
        self.gateway.metrics.in_flight().dec();
    }
}

/// Takes a place for a request of `product`.
///
/// # Errors
/// There is too much to do for a product of its criticality; the fault says when to ask again.
pub(crate) fn enter(gateway: &Arc<Gateway>, setup: &Setup, product: ProductIx) -> Result<Place, Fault> {
    let product = setup.fleet.product(product);
    let criticality = product.rules().criticality;
    let (load, rooms, chance) = (&gateway.load, setup.limits.rooms, fastrand::u64(..));
    let others = load.in_flight.fetch_add(1, Ordering::Relaxed);
    let Err(crowded) = rooms.admit(criticality, others, load.pressure(), chance) else {
        gateway.metrics.in_flight().inc();
        return Ok(Place { gateway: Arc::clone(gateway) });
    };
    load.in_flight.fetch_sub(1, Ordering::Relaxed);
    gateway.metrics.shed(product.name(), name(criticality));
    let why = match crowded {
        Crowded::Full => "too many requests are under way",
        Crowded::Late => "this server has more to do than it can",
    };
    let first = if rooms.ranks() > 1 { ", and those of less critical products are refused first" } else { "" };
    let message = format!(
        "{why}{first} (product `{}` is `{}`): try again when `Retry-After` says",
        product.name(),
        name(criticality)
    );
    Err(Fault::gateway(FaultKind::Overloaded, message).after(rooms.wait(criticality, chance)))
}

/// How much is under way, and whose requests are refused for that.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct LoadReport {
    /// Requests under way.
    pub under_way: usize,
    /// The most that may be.
    pub most: usize,
    /// By how many milliseconds the event loop was late when it was last looked at.
    pub late_ms: u64,
    /// 0: there is no pressure; below 1: so much of the least critical requests is refused; and so on upwards.
    pub pressure: f64,
    /// Product by product.
    pub products: Vec<ProductLoad>,
}

/// What is refused of one product for there being too much to do.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct ProductLoad {
    /// The product.
    pub product: String,
    /// Its criticality.
    pub criticality: &'static str,
    /// Up to how many requests under way one of its own is taken.
    pub room: usize,
    /// The share of its requests that is refused now, 0 to 1.
    pub refused_share: f64,
    /// Requests refused since the process began.
    pub refused: u64,
}

impl LoadReport {
    /// How it is now.
    #[must_use]
    pub fn of(gateway: &Gateway) -> Self {
        let setup = gateway.setup();
        let (load, rooms) = (&gateway.load, setup.limits.rooms);
        let product = |product: &policy::Product| {
            let criticality = product.rules().criticality;
            let (room, word) = (rooms.room(criticality), name(criticality));
            let full = load.in_flight() >= room;
            ProductLoad {
                product: product.name().to_owned(),
                criticality: word,
                room,
                refused_share: if full { 1.0 } else { rooms.refused(criticality, load.pressure()) },
                refused: gateway.metrics.shed_so_far(product.name(), word),
            }
        };
        Self {
            under_way: load.in_flight(),
            most: rooms.most(),
            late_ms: clock::micros(load.late()) / 1_000,
            pressure: load.pressure(),
            products: setup.fleet.products().iter().map(product).collect(),
        }
    }
}

/// The word of the configuration.
pub(crate) const fn name(criticality: Criticality) -> &'static str {
    match criticality {
        Criticality::Low => "low",
        Criticality::Normal => "normal",
        Criticality::Important => "important",
        Criticality::Critical => "critical",
    }
}

/// Watches the event loop until the gateway stops.
pub(crate) async fn watch(gateway: Arc<Gateway>) {
    let mut pressure = Pressure::new(Duration::ZERO);
    let mut told = 0.0;
    loop {
        let asleep = clock::now();
        tokio::select! {
            () = gateway.tasks.stopped() => return,
            () = tokio::time::sleep(LOOK) => {}
        }
        // What a timer wakes is run first; behind all that waits stands only who has given way.
        tokio::task::yield_now().await;
        let late = clock::now().saturating_duration_since(asleep).saturating_sub(LOOK);
        let limits = gateway.setup().limits;
        pressure.relimit(limits.late);
        let now = pressure.look(gateway.clock.tick(), late, limits.rooms.ranks());
        gateway.load.pressure.store(now.to_bits(), Ordering::Relaxed);
        gateway.load.late_us.store(clock::micros(late), Ordering::Relaxed);
        gateway.metrics.pressure(now, late);
        if now > 0.0 && told <= 0.0 {
            tracing::warn!(
                late_ms = late.as_millis(),
                "overloaded: requests of the least critical products are refused"
            );
        } else if now <= 0.0 && told > 0.0 {
            tracing::info!("no longer overloaded");
        }
        told = now;
    }
}
