//! What the feeder's thread does with the segments of its own process.

use super::tail::Tail;
use super::{FeederError, FeederOptions, FeederStatus};
use crate::journal::{JournalError, Segment, Shared};
use crate::packed::{Entries, Entry, Moulds, Sum};
use crate::record::{Outcome, RowKey};
use crate::store::Store;
use std::collections::HashMap;
use std::hash::BuildHasherDefault;
use std::sync::Arc;

pub(super) struct Worker {
    pub(super) journal: Arc<Shared>,
    pub(super) store: Arc<dyn Store>,
    pub(super) options: FeederOptions,
    /// How far each segment is read, by its number.
    tails: HashMap<u64, Reading>,
    rows: Rows,
    fed: u64,
}

/// How far a segment is read.
#[derive(Default)]
struct Reading {
    tail: Tail,
    damaged: u64,
}

/// Where an entry stands.
#[derive(Clone, Copy)]
struct Place {
    segment: u64,
    offset: u64,
    length: usize,
}

type ByRow<V> = HashMap<RowKey, V, BuildHasherDefault<Sum>>;

/// What was read and is not yet done with.
#[derive(Default)]
struct Rows {
    moulds: Moulds,
    /// Ended attempts for the store.
    ended: Entries,
    /// Where the entries of begun ones stand; most are ended before anyone would read them.
    open: ByRow<Place>,
    /// Begun ones whose entry was written again to a later segment and not read there yet; `true`: ended meanwhile.
    carried: ByRow<bool>,
}

impl Rows {
    /// Takes an entry from segment `segment`; `None`: nobody understands it.
    fn take(&mut self, segment: u64, offset: u64, entry: &Entry<'_>) -> Option<()> {
        let key = entry.row_key()?;
        let mould = self.moulds.of(entry)?;
        if mould.outcome == Outcome::Open {
            if self.carried.is_empty() || self.carried.remove(&key) != Some(true) {
                self.open.insert(key, Place { segment, offset, length: entry.bytes.len() });
            }
            return Some(());
        }
        self.ended.push(key, entry);
        self.open.remove(&key);
        if let Some(ended) = self.carried.get_mut(&key) {
            *ended = true;
        }
        Some(())
    }
}

impl Worker {
    pub(super) fn new(journal: Arc<Shared>, store: Arc<dyn Store>, options: FeederOptions) -> Self {
        Self { journal, store, options, tails: HashMap::new(), rows: Rows::default(), fed: 0 }
    }

    /// Reads what is new and adds it to the store. After a failure what was read waits here and nothing more
    /// is read, so that memory stays small however long the store is away.
    pub(super) fn feed(&mut self, status: &mut FeederStatus) -> Result<(), FeederError> {
        self.commit()?;
        let mut whole = Vec::new();
        for segment in self.journal.segments() {
            // asked before reading: what is sealed now is read whole below
            let sealed = segment.is_sealed();
            while self.read(&segment, status)? {
                if self.rows.ended.len() >= self.options.batch_rows {
                    self.commit()?;
                }
            }
            if sealed {
                whole.push(segment);
            }
        }
        self.commit()?;
        // after all is read: few attempts still run whose entry would have to be carried on
        whole.iter().try_for_each(|segment| self.retire(segment))
    }

    /// What the counters say now.
    pub(super) fn count(&self, status: &mut FeederStatus) {
        status.fed_rows = self.fed;
        status.lag_rows = self.journal.ended().saturating_sub(self.fed);
        self.journal.is_behind(status.lag_rows);
        status.open = (self.rows.open.len() + self.rows.carried.values().filter(|ended| !**ended).count()) as u64;
    }

    fn read(&mut self, segment: &Segment, status: &mut FeederStatus) -> Result<bool, FeederError> {
        let number = segment.number();
        let Reading { tail, damaged } = self.tails.entry(number).or_default();
        let (rows, before) = (&mut self.rows, *damaged);
        let more = tail.read(segment, |offset, entry| {
            let taken = entry.and_then(|entry| rows.take(number, offset, &entry));
            *damaged += u64::from(taken.is_none());
        });
        status.damaged_entries += *damaged - before;
        Ok(more?)
    }

    /// Adds what was read to the store.
    fn commit(&mut self) -> Result<(), FeederError> {
        if !self.rows.ended.is_empty() {
            self.store.feed(&self.rows.ended)?;
            self.fed += self.rows.ended.len() as u64;
            self.rows.ended.clear();
        }
        Ok(())
    }

    /// Removes a segment that is read whole. The entries of attempts that still run are written again first.
    fn retire(&mut self, segment: &Arc<Segment>) -> Result<(), FeederError> {
        let number = segment.number();
        let of_it = |(key, place): (&RowKey, &Place)| (place.segment == number).then_some((*key, *place));
        let running: Vec<(RowKey, Place)> = self.rows.open.iter().filter_map(of_it).collect();
        for (key, place) in running {
            let mut entry = vec![0; place.length];
            segment.read_exact_at(&mut entry, place.offset)?;
            self.rows.open.remove(&key);
            self.rows.carried.insert(key, false);
            if let Err(error) = self.journal.append(&entry) {
                self.rows.carried.remove(&key);
                self.rows.open.insert(key, place);
                // once closed, the segment stays: the next process finds these attempts in it
                return if matches!(error, JournalError::Closed) { Ok(()) } else { Err(error.into()) };
            }
        }
        self.journal.sync()?;
        self.store.persist()?;
        let damaged = self.tails.get(&number).is_some_and(|read| read.damaged > 0 || read.tail.ends_in_noise());
        segment.retire(damaged)?;
        self.journal.forget(segment);
        self.tails.remove(&number);
        Ok(())
    }
}
