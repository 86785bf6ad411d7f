//! What dead processes left: their rows go to the store, and what they had begun and not ended becomes `unknown`.

use super::tail::Tail;
use super::worker::Worker;
use super::{FeederError, FeederStatus};
use crate::journal::{Segment, foreign_segments};
use crate::packed::Moulds;
use crate::record::{Attempt, Outcome, RowKey, UsageSource};
use std::collections::HashMap;

impl Worker {
    /// Feeds and removes the segments of dead processes. Their locks fall when this returns, whatever came of it.
    pub(super) fn recover(&self, status: &mut FeederStatus) -> Result<(), FeederError> {
        for segments in foreign_segments(self.journal.dir(), self.journal.process())? {
            self.recover_process(&segments, status)?;
        }
        Ok(())
    }

    fn recover_process(&self, segments: &[Segment], status: &mut FeederStatus) -> Result<(), FeederError> {
        let mut begun: HashMap<RowKey, Attempt> = HashMap::new();
        let mut ended: Vec<Attempt> = Vec::new();
        let mut damaged = vec![0_u64; segments.len()];
        let mut moulds = Moulds::default();
        let mut found = false;
        for (segment, damaged) in segments.iter().zip(&mut damaged) {
            let mut tail = Tail::default();
            while tail.read(segment, |_, entry| match entry.and_then(|entry| entry.row(&*moulds.of(&entry)?)) {
                Some(row) if row.outcome == Outcome::Open => {
                    begun.insert(row.row_key(), row);
                }
                Some(row) => {
                    begun.remove(&row.row_key());
                    ended.push(row);
                }
                None => *damaged += 1,
            })? {
                found = true;
                if ended.len() >= self.options.batch_rows {
                    status.recovered_rows += self.store.append(&ended)?;
                    ended.clear();
                }
            }
            *damaged += u64::from(tail.ends_in_noise());
        }
        status.recovered_rows += self.store.append(&ended)?;
        // a begun entry that was written again may follow its end; the store keeps the end
        let unknown: Vec<Attempt> = begun
            .into_values()
            .map(|row| Attempt { outcome: Outcome::Unknown, usage_source: UsageSource::Unknown, ..row })
            .collect();
        for rows in unknown.chunks(self.options.batch_rows.max(1)) {
            let new = self.store.append(rows)?;
            status.recovered_rows += new;
            status.unknown_rows += new;
        }
        if found {
            self.store.persist()?;
        }
        status.damaged_entries += damaged.iter().sum::<u64>();
        for (segment, damaged) in segments.iter().zip(damaged) {
            segment.retire(damaged > 0)?;
        }
        Ok(())
    }
}
