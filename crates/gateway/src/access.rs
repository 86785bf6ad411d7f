//! The keys of now, in memory: a request is admitted without asking the store, whether that is well or not.

use arc_swap::ArcSwap;
use ledger::KeyRing;
use std::sync::Arc;

/// Who may call: the keys as last read from the store.
pub struct Access {
    ring: ArcSwap<KeyRing>,
}

impl Access {
    /// The keys of `ring`.
    #[must_use]
    pub fn new(ring: Arc<KeyRing>) -> Self {
        Self { ring: ArcSwap::new(ring) }
    }

    /// The keys of now.
    pub(crate) fn ring(&self) -> arc_swap::Guard<Arc<KeyRing>> {
        self.ring.load()
    }

    /// Takes newly read keys over.
    pub fn renew(&self, ring: Arc<KeyRing>) {
        self.ring.store(ring);
    }
}
