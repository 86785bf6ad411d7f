//! What the feeder's thread does with the segments of its own process.

use super::tail::{Tail, head};
use super::{FeederError, FeederOptions, FeederStatus};
use crate::journal::{JournalError, Segment, Shared};
use crate::record::{Attempt, Lasts, RowKey};
use crate::store::Store;
use std::collections::HashMap;
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
    damaged_lines: u64,
}

/// What was read and is not yet done with.
#[derive(Default)]
struct Rows {
    /// Ended attempts for the store.
    ended: Vec<Attempt>,
    /// Lines of begun ones, with the segment that holds them; most are ended before anyone would read them.
    open: HashMap<RowKey, (u64, Box<[u8]>)>,
    /// Begun ones whose line was written again to a later segment and not read there yet; `true`: ended meanwhile.
    carried: HashMap<RowKey, bool>,
}

impl Rows {
    /// Takes a line from segment `number`; `false`: nobody understands it.
    fn take(&mut self, number: u64, line: &[u8], lasts: &mut Lasts) -> bool {
        let Some((key, begins)) = head(line) else { return false };
        if begins {
            if self.carried.remove(&key) != Some(true) {
                self.open.insert(key, (number, line.into()));
            }
            return true;
        }
        let Some(row) = Attempt::read(line, lasts) else { return false };
        self.open.remove(&key);
        if let Some(ended) = self.carried.get_mut(&key) {
            *ended = true;
        }
        self.ended.push(row);
        true
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
        // after all is read: few attempts still run whose line would have to be carried on
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
        let Reading { tail, damaged_lines } = self.tails.entry(number).or_default();
        let rows = &mut self.rows;
        let before = *damaged_lines;
        let more = tail.read(segment, |line, lasts| *damaged_lines += u64::from(!rows.take(number, line, lasts)));
        status.damaged_lines += *damaged_lines - before;
        Ok(more?)
    }

    /// Adds what was read to the store.
    fn commit(&mut self) -> Result<(), FeederError> {
        if !self.rows.ended.is_empty() {
            self.store.append(&self.rows.ended)?;
            self.fed += self.rows.ended.len() as u64;
            self.rows.ended.clear();
        }
        Ok(())
    }

    /// Removes a segment that is read whole. The lines of attempts that still run are written again first.
    fn retire(&mut self, segment: &Arc<Segment>) -> Result<(), FeederError> {
        let number = segment.number();
        let running: Vec<RowKey> =
            self.rows.open.iter().filter(|(_, (home, _))| *home == number).map(|(key, _)| *key).collect();
        for key in running {
            if let Some((home, line)) = self.rows.open.remove(&key) {
                match self.journal.again(&line) {
                    Ok(()) => self.rows.carried.insert(key, false),
                    Err(error) => {
                        self.rows.open.insert(key, (home, line));
                        // once closed, the segment stays: the next process finds these attempts in it
                        return if matches!(error, JournalError::Closed) { Ok(()) } else { Err(error.into()) };
                    }
                };
            }
        }
        self.journal.sync()?;
        self.store.persist()?;
        segment.retire(self.tails.get(&number).is_some_and(|reading| reading.damaged_lines > 0))?;
        self.journal.forget(segment);
        self.tails.remove(&number);
        Ok(())
    }
}
