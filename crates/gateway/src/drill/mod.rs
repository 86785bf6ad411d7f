//! A loss played on purpose: while a drill runs, its requests work with a setup of their own, in which whoever is lost
//! fails as ordered and whose breakers are the drill's. So nobody outside the drill feels it, and when it ends the
//! usual setup is as if nothing had happened. What the order is and when it must end is decided elsewhere; here it is
//! played, and every request of it is counted and leaves its flag on every row. Without a drill: one relaxed load.

mod lost;
mod part;

pub use part::Part;

use crate::setup::{Gateway, Setup, Unit};
use crate::upstream::Backend;
use arc_swap::ArcSwapOption;
use canon::FaultKind;
use ledger::Name;
use lost::Lost;
use policy::ProductIx;
use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// The header by which a request asks to be part of a drill that takes only such requests, and by which an answer says
/// of which drill it was.
pub const HEADER: &str = "x-autarky-drill";

/// What a drill is made of.
#[derive(Debug, Clone)]
pub struct Terms {
    /// Its id, as the ledger writes it.
    pub id: Name,
    /// The deployments that are lost.
    pub lost: BTreeSet<Name>,
    /// The products whose requests are part of it; empty: all.
    pub products: BTreeSet<Name>,
    /// The share of their requests that is part of it, 0 to 1.
    pub share: f64,
    /// Whether only requests that carry its id in the header are part of it.
    pub marked: bool,
    /// How the lost ones fail.
    pub failing: Failing,
    /// Only so many calls of each lost one fail, the first ones; `None`: all.
    pub times: Option<u64>,
}

/// How a lost deployment fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Failing {
    /// At once, without a call.
    Refuses {
        /// What its answer says.
        kind: FaultKind,
        /// With which status; `None`: there is no answer at all.
        status: Option<u16>,
        /// How long it asks to wait.
        wait: Option<Duration>,
    },
    /// It takes the call and never says anything.
    Silent,
    /// Its first words come so much later.
    Late(Duration),
    /// It is really asked, and its answer breaks.
    Breaks {
        /// After so many pieces of content, but always before its end.
        after: usize,
        /// In which way.
        how: Break,
    },
}

/// How an answer breaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Break {
    /// The connection is cut.
    Cut,
    /// Silence, the connection stays open.
    Stall,
    /// Something that its wire does not allow.
    Malformed,
    /// It ends without the wire's end.
    NoEnd,
    /// An error event.
    Error,
}

/// What a drill's requests came to so far, as the server itself counts them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Counts {
    /// Requests that became part of it.
    pub offered: u64,
    /// Of these, answered completely.
    pub served: u64,
    /// Of these, not.
    pub failed: u64,
    /// Of these, given up by their clients.
    pub left: u64,
    /// Of the served, with less than was asked for.
    pub degraded: u64,
    /// Of the answers begun, below the product's quality floor.
    pub below_floor: u64,
    /// What its calls cost, as far as that is known, billionths of a US dollar.
    pub nanodollars: i64,
    /// Answered calls of unknown cost.
    pub unpriced: u64,
}

#[derive(Debug, Default)]
struct Tally {
    offered: AtomicU64,
    served: AtomicU64,
    failed: AtomicU64,
    left: AtomicU64,
    degraded: AtomicU64,
    below_floor: AtomicU64,
    nanodollars: AtomicI64,
    unpriced: AtomicU64,
}

/// A running drill.
#[derive(Debug)]
pub struct Drill {
    terms: Terms,
    tally: Tally,
    over: CancellationToken,
}

impl Drill {
    /// What it is made of.
    #[must_use]
    pub const fn terms(&self) -> &Terms {
        &self.terms
    }

    /// What its requests came to so far.
    #[must_use]
    pub fn counts(&self) -> Counts {
        let Tally { offered, served, failed, left, degraded, below_floor, nanodollars, unpriced } = &self.tally;
        let get = |count: &AtomicU64| count.load(Ordering::Acquire);
        Counts {
            served: get(served),
            failed: get(failed),
            left: get(left),
            degraded: get(degraded),
            below_floor: get(below_floor),
            nanodollars: nanodollars.load(Ordering::Acquire),
            unpriced: get(unpriced),
            // Read last, so that the parts never exceed it.
            offered: get(offered),
        }
    }

    /// Whether it has ended: whoever was lost is asked as usual.
    #[must_use]
    pub fn is_over(&self) -> bool {
        self.over.is_cancelled()
    }

    fn loses(&self, deployment: &str) -> bool {
        self.terms.lost.contains(deployment)
    }

    /// Whether a request is part of it; `chance` is a random number.
    fn takes(&self, product: &Name, marked: Option<&str>, chance: impl FnOnce() -> u64) -> bool {
        let named = marked == Some(&*self.terms.id);
        if self.terms.marked {
            return named;
        }
        let of_product = self.terms.products.is_empty() || self.terms.products.contains(product);
        of_product && (self.terms.share >= 1.0 || unit(chance()) < self.terms.share)
    }
}

/// A random number as one from 0 to 1.
#[expect(clippy::cast_precision_loss, reason = "53 bits are kept")]
fn unit(chance: u64) -> f64 {
    (chance >> 11) as f64 / (1_u64 << 53) as f64
}

struct Active {
    drill: Arc<Drill>,
    /// The setup that the drill's was made from; another one in force means that the drill's is stale.
    of: Arc<Setup>,
    setup: Arc<Setup>,
}

/// The place of the one drill that may run.
#[derive(Default)]
pub struct Drills {
    on: AtomicBool,
    active: ArcSwapOption<Active>,
}

/// Why a drill cannot begin.
#[derive(Debug, thiserror::Error)]
pub enum CannotBegin {
    /// Another one runs.
    #[error("drill `{0}` is running; only one may: wait for its end, or `autarky drill abort`")]
    Running(Name),
    /// None of the deployments is there.
    #[error("no deployment of the drill is in the running configuration: {0}")]
    Nobody(String),
}

impl Gateway {
    /// Begins a drill.
    ///
    /// # Errors
    /// Another one runs, or nobody that it speaks of is there.
    pub fn begin_drill(&self, terms: Terms) -> Result<Arc<Drill>, CannotBegin> {
        if let Some(active) = &*self.drills.active.load() {
            return Err(CannotBegin::Running(active.drill.terms.id.clone()));
        }
        let of = self.setup();
        let drill = Arc::new(Drill { terms, tally: Tally::default(), over: CancellationToken::new() });
        if !of.units.iter().any(|unit| drill.loses(unit.facts.deployment())) {
            let names: Vec<&str> = drill.terms.lost.iter().map(AsRef::as_ref).collect();
            return Err(CannotBegin::Nobody(names.join(", ")));
        }
        let unit = |unit: &Unit| {
            let backend: Arc<dyn Backend> = if drill.loses(unit.facts.deployment()) {
                Arc::new(Lost::new(Arc::clone(&unit.backend), Arc::clone(&drill)))
            } else {
                Arc::clone(&unit.backend)
            };
            Unit { backend, facts: unit.facts.clone() }
        };
        let units = of.units.iter().map(unit).collect();
        let live = of.live.apart(&of.fleet, |deployment| drill.loses(&deployment.name));
        let setup = Arc::new(of.with(units, live));
        self.drills.active.store(Some(Arc::new(Active { drill: Arc::clone(&drill), of, setup })));
        self.drills.on.store(true, Ordering::Release);
        Ok(drill)
    }

    /// Ends the drill that runs, if one does: from now on everyone is asked as usual, by its requests under way too.
    pub fn end_drill(&self) {
        self.drills.on.store(false, Ordering::Release);
        if let Some(active) = self.drills.active.swap(None) {
            active.drill.over.cancel();
        }
    }

    /// The drill that runs, and whether the configuration in force is still the one that it began with.
    #[must_use]
    pub fn drill(&self) -> Option<(Arc<Drill>, bool)> {
        let active = self.drills.active.load_full()?;
        let current = Arc::ptr_eq(&active.of, &self.setup());
        Some((Arc::clone(&active.drill), current))
    }

    /// The setup that a request of `product` works with instead of `setup`, where it is part of a drill; `marked` is the
    /// drill that it asks to be part of.
    pub(crate) fn enlist(&self, setup: &Arc<Setup>, product: ProductIx, marked: Option<&str>) -> Option<Enlisted> {
        if !self.drills.on.load(Ordering::Relaxed) {
            return None;
        }
        let active = self.drills.active.load_full()?;
        let name = setup.products.get(product.index())?;
        let takes = Arc::ptr_eq(&active.of, setup) && active.drill.takes(name, marked, || fastrand::u64(..));
        takes.then(|| Enlisted { drill: Arc::clone(&active.drill), setup: Arc::clone(&active.setup) })
    }
}

/// A request that is part of a drill.
pub(crate) struct Enlisted {
    pub(crate) drill: Arc<Drill>,
    pub(crate) setup: Arc<Setup>,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn drill(products: &[&str], share: f64, marked: bool) -> Drill {
        let terms = Terms {
            id: "d".into(),
            lost: BTreeSet::from(["one".into()]),
            products: products.iter().map(|name| Name::from(*name)).collect(),
            share,
            marked,
            failing: Failing::Silent,
            times: None,
        };
        Drill { terms, tally: Tally::default(), over: CancellationToken::new() }
    }

    #[test]
    fn a_share_of_a_products_requests_takes_part() {
        let (a, b) = (Name::from("a"), Name::from("b"));
        let one = drill(&["a"], 0.25, false);
        let mut dice = fastrand::Rng::with_seed(1);
        let taken = (0..10_000).filter(|_| one.takes(&a, None, || dice.u64(..))).count();
        assert!((2_300..2_700).contains(&taken), "{taken}");
        assert!(!one.takes(&b, None, || 0));
        assert!(drill(&[], 1.0, false).takes(&b, None, || u64::MAX));
        assert!(!drill(&[], 0.0, false).takes(&b, None, || 0));
        let marked = drill(&[], 1.0, true);
        assert!(
            marked.takes(&a, Some("d"), || 0) && !marked.takes(&a, Some("e"), || 0) && !marked.takes(&a, None, || 0)
        );
    }
}
