//! Who can read which opaque block. Signatures of thinking and encrypted thinking can be read only by whoever made
//! them, and a foreign one is refused; clients send them back without saying whose they are. So every block that passes
//! is remembered by its digest: in memory at once, in the store of turns soon after, product by product. The blocks
//! themselves are not kept. May touch: the store, on threads that may block.

use crate::clock;
use crate::tasks::Tasks;
use sha2::{Digest as _, Sha256};
use state::{Digest, Store};
use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::Notify;

/// Blocks remembered in memory in each of two generations.
const GENERATION: usize = 50_000;

/// How long new ones are gathered before they are stored.
const GATHER: Duration = Duration::from_millis(100);

/// The memory of opaque blocks.
pub struct Vault {
    store: Arc<dyn Store>,
    memory: Mutex<Memory>,
    changed: Notify,
}

#[derive(Default)]
struct Memory {
    young: HashMap<Digest, Arc<str>>,
    old: HashMap<Digest, Arc<str>>,
    /// Not stored yet, by product.
    fresh: BTreeMap<Arc<str>, Vec<(Digest, Arc<str>)>>,
}

impl Memory {
    fn find(&self, digest: &Digest) -> Option<&Arc<str>> {
        self.young.get(digest).or_else(|| self.old.get(digest))
    }

    /// The oldest generation goes when the youngest is full.
    fn put(&mut self, digest: Digest, signer: Arc<str>) {
        if self.young.len() >= GENERATION {
            self.old = std::mem::take(&mut self.young);
        }
        self.young.insert(digest, signer);
    }
}

impl Vault {
    pub(crate) fn new(store: Arc<dyn Store>) -> Self {
        Self { store, memory: Mutex::default(), changed: Notify::new() }
    }

    fn memory(&self) -> MutexGuard<'_, Memory> {
        self.memory.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Remembers that `signer` made `seal` in an answer to `product`.
    fn note(&self, product: &Arc<str>, seal: &str, signer: &Arc<str>) {
        let digest = digest(product, seal);
        let mut memory = self.memory();
        if memory.find(&digest) == Some(signer) {
            return;
        }
        memory.put(digest, Arc::clone(signer));
        memory.fresh.entry(Arc::clone(product)).or_default().push((digest, Arc::clone(signer)));
        drop(memory);
        self.changed.notify_one();
    }

    /// Who made each of `seals`, where that is remembered.
    pub(crate) async fn signers(&self, product: &Arc<str>, seals: &[String]) -> Vec<Option<Arc<str>>> {
        let digests: Vec<Digest> = seals.iter().map(|seal| digest(product, seal)).collect();
        let mut known: Vec<Option<Arc<str>>> = {
            let memory = self.memory();
            digests.iter().map(|digest| memory.find(digest).cloned()).collect()
        };
        let missing: Vec<Digest> =
            digests.iter().zip(&known).filter(|(_, known)| known.is_none()).map(|(digest, _)| *digest).collect();
        if missing.is_empty() {
            return known;
        }
        let (store, owner) = (Arc::clone(&self.store), Arc::clone(product));
        let looked = tokio::task::spawn_blocking(move || store.seals(&owner, &missing)).await;
        let found = match looked {
            Ok(Ok(found)) => found,
            // Unknown ones are handled with care anyway.
            Ok(Err(error)) => {
                tracing::warn!(%error, "it could not be read who sealed what");
                return known;
            }
            Err(error) => {
                tracing::error!(%error, "the reader of seals broke");
                return known;
            }
        };
        let mut memory = self.memory();
        for (digest, signer) in found {
            let signer = Arc::from(signer);
            for (_, place) in digests.iter().zip(&mut known).filter(|(one, _)| **one == digest) {
                *place = Some(Arc::clone(&signer));
            }
            memory.put(digest, signer);
        }
        known
    }

    /// Stores what is new, now and then, until it is time to stop.
    pub(crate) async fn keep(&self, tasks: Tasks) {
        loop {
            tokio::select! {
                () = tasks.stopped() => return,
                () = self.changed.notified() => {}
            }
            tokio::time::sleep(GATHER).await;
            self.flush().await;
        }
    }

    /// Stores what is new.
    pub(crate) async fn flush(&self) {
        let fresh = std::mem::take(&mut self.memory().fresh);
        if fresh.is_empty() {
            return;
        }
        let (store, now) = (Arc::clone(&self.store), clock::unix_micros() / 1_000_000);
        let stored = tokio::task::spawn_blocking(move || {
            fresh.into_iter().try_for_each(|(product, seals)| {
                let seals: Vec<_> = seals.into_iter().map(|(digest, signer)| (digest, signer.to_string())).collect();
                store.put_seals(&product, &seals, now)
            })
        });
        match stored.await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::warn!(%error, "it could not be stored who sealed what"),
            Err(error) => tracing::error!(%error, "the keeper of seals broke"),
        }
    }
}

fn digest(product: &str, seal: &str) -> Digest {
    let mut hash = Sha256::new();
    hash.update(product.as_bytes());
    hash.update([0]);
    hash.update(seal.as_bytes());
    let whole = hash.finalize();
    std::array::from_fn(|at| whole[at])
}

/// Watches the answers to one product.
#[derive(Clone)]
pub struct Witness {
    vault: Arc<Vault>,
    product: Arc<str>,
}

impl Witness {
    pub(crate) fn new(vault: &Arc<Vault>, product: &Arc<str>) -> Self {
        Self { vault: Arc::clone(vault), product: Arc::clone(product) }
    }

    /// `signer` made `seal`.
    pub(crate) fn note(&self, seal: &str, signer: &Arc<str>) {
        self.vault.note(&self.product, seal, signer);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use state::Sqlite;

    fn names(signers: &[Option<Arc<str>>]) -> Vec<&str> {
        signers.iter().map(|signer| signer.as_deref().unwrap_or("?")).collect()
    }

    #[tokio::test]
    async fn a_seal_is_known_at_once_and_after_a_restart_to_its_product_only() {
        let dir = tempfile::tempdir().unwrap();
        let store: Arc<dyn Store> = Arc::new(Sqlite::open(&dir.path().join("state.db")).unwrap());
        let (copilot, office): (Arc<str>, Arc<str>) = (Arc::from("copilot"), Arc::from("office"));
        let vault = Arc::new(Vault::new(Arc::clone(&store)));
        let witness = Witness::new(&vault, &copilot);
        witness.note("s1", &Arc::from("anthropic"));
        witness.note("s2", &Arc::from("azure"));
        let seals = ["s2", "s3", "s1"].map(str::to_owned);
        assert_eq!(names(&vault.signers(&copilot, &seals).await), ["azure", "?", "anthropic"]);
        assert_eq!(names(&vault.signers(&office, &seals).await), ["?", "?", "?"]);
        vault.flush().await;
        let again = Vault::new(store);
        assert_eq!(names(&again.signers(&copilot, &seals).await), ["azure", "?", "anthropic"]);
        assert_eq!(names(&again.signers(&office, &seals).await), ["?", "?", "?"]);
    }

    #[tokio::test]
    async fn memory_is_bounded_and_what_it_lost_is_in_the_store() {
        let dir = tempfile::tempdir().unwrap();
        let vault = Arc::new(Vault::new(Arc::new(Sqlite::open(&dir.path().join("state.db")).unwrap())));
        let (product, signer): (Arc<str>, Arc<str>) = (Arc::from("p"), Arc::from("a"));
        let witness = Witness::new(&vault, &product);
        (0..GENERATION * 2 + 10).for_each(|number| witness.note(&number.to_string(), &signer));
        vault.flush().await;
        let lost = {
            let memory = vault.memory();
            assert!(memory.young.len() + memory.old.len() <= GENERATION * 2);
            memory.find(&digest("p", "0")).is_none()
        };
        assert!(lost);
        assert_eq!(names(&vault.signers(&product, &["0".to_owned()]).await), ["a"]);
    }
}
