//! Where the beginnings of conversations lie in a provider's prompt cache, as far as anybody told lately. A hint: what is
//! forgotten, or wrong, costs a cache and never an answer.

use canon::Usage;
use policy::{Deployment, DeploymentIx, ProductIx, Tick, Warm};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// Providers keep a cached beginning for at least so long after it was last read.
const LIFE: Duration = Duration::from_secs(300);
/// Slots in all, and behind how many locks.
const SLOTS: usize = 4_096;
const SHARDS: usize = 64;

#[derive(Debug, Clone, Copy)]
struct Slot {
    key: u64,
    warm: Warm,
    then: Tick,
}

/// What is known of all conversations; the newest of those that fall on one slot.
#[derive(Debug)]
pub(super) struct WarmTable {
    shards: Box<[Mutex<Vec<Option<Slot>>>]>,
}

impl Default for WarmTable {
    fn default() -> Self {
        let shard = || Mutex::new(vec![None; SLOTS / SHARDS]);
        Self { shards: std::iter::repeat_with(shard).take(SHARDS).collect() }
    }
}

impl WarmTable {
    /// The key of a product's conversation that begins so.
    pub(super) fn key(product: ProductIx, beginning: u64) -> u64 {
        let mut hasher = DefaultHasher::new();
        (product, beginning).hash(&mut hasher);
        hasher.finish()
    }

    fn with<T>(&self, key: u64, with: impl FnOnce(&mut Option<Slot>) -> T) -> Option<T> {
        let at = usize::try_from(key % SLOTS as u64).ok()?;
        let mut shard = self.shards.get(at % SHARDS)?.lock().unwrap_or_else(PoisonError::into_inner);
        shard.get_mut(at / SHARDS).map(with)
    }

    /// Where the conversation's beginning is cached.
    pub(super) fn find(&self, key: u64, now: Tick) -> Option<Warm> {
        let fresh = |slot: Slot| slot.key == key && now.since(slot.then) < LIFE;
        self.with(key, |slot| slot.filter(|slot| fresh(*slot)).map(|slot| slot.warm)).flatten()
    }
}

/// Whether a prompt that is read from a cache is cheaper there.
pub(super) fn saves(one: &Deployment) -> bool {
    let price = one.price.as_ref().map(|tariff| *tariff.at(crate::clock::wall(), 0, None));
    price.is_some_and(|price| price.cache_read < price.input)
}

/// A call whose prompt may be cached from now on.
pub(crate) struct Caching {
    pub(super) table: Arc<WarmTable>,
    pub(super) key: u64,
    pub(super) at: DeploymentIx,
}

impl Caching {
    /// The answer is complete; `usage` says whether a cache took part. Whoever reports reading nothing of what should
    /// have been there keeps no cache.
    pub(super) fn told(&self, usage: &Usage, now: Tick) {
        let (Some(tokens), Some(read)) = (usage.input, usage.cache_read) else { return };
        let written = usage.cache_write.unwrap_or(0);
        self.table.with(self.key, |slot| {
            let was_here =
                slot.is_some_and(|slot| slot.key == self.key && slot.warm.at == self.at && now.since(slot.then) < LIFE);
            *slot = if was_here && read == 0 && written == 0 {
                None
            } else {
                Some(Slot { key: self.key, warm: Warm { at: self.at, tokens }, then: now })
            };
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_beginning_is_remembered_where_it_was_read_until_it_is_old() {
        let table = Arc::new(WarmTable::default());
        let key = WarmTable::key(ProductIx(0), 7);
        let call = |at| Caching { table: Arc::clone(&table), key, at: DeploymentIx(at) };
        let usage = |read| Usage { input: Some(900), cache_read: Some(read), ..Usage::default() };
        let at = Tick::from_millis;
        assert_eq!(table.find(key, at(0)), None);
        call(1).told(&Usage { cache_read: None, ..usage(0) }, at(0));
        assert_eq!(table.find(key, at(0)), None, "it says nothing of a cache");
        call(1).told(&usage(0), at(0));
        assert_eq!(table.find(key, at(299_999)), Some(Warm { at: DeploymentIx(1), tokens: 900 }));
        assert_eq!(table.find(key, at(300_000)), None);
        assert_eq!(table.find(WarmTable::key(ProductIx(1), 7), at(0)), None, "another product's");
        call(1).told(&usage(0), at(10));
        assert_eq!(table.find(key, at(10)), None, "nothing of it was read again: it keeps no cache");
        call(2).told(&usage(0), at(20));
        call(2).told(&usage(850), at(30));
        assert_eq!(table.find(key, at(40)).map(|warm| warm.at), Some(DeploymentIx(2)));
    }
}
