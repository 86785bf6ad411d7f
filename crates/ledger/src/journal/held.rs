//! Entries that the disk did not take: kept in memory until it does, so that a full disk costs no row while the process
//! lives. Bounded; what does not fit any more is lost and counted. Told when it begins and when it is over, not each time.

use super::{JournalError, lock};
use std::collections::VecDeque;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

/// Most bytes that are held: about 50,000 rows.
const MOST: usize = 64 << 20;

/// The lines.
#[derive(Debug, Default)]
pub(super) struct Held {
    lines: Mutex<Lines>,
    /// How many, for a look without a lock.
    count: AtomicU64,
    lost: AtomicU64,
    /// Held while lines are written, so that each is written once.
    writing: Mutex<()>,
}

#[derive(Debug, Default)]
struct Lines {
    queue: VecDeque<Box<[u8]>>,
    bytes: usize,
}

impl Held {
    /// Holds `line`, which the disk refused for `error`.
    ///
    /// # Errors
    /// Too much is held already: the line is lost, and `error` says why.
    pub(super) fn hold(&self, line: &[u8], error: JournalError) -> Result<(), JournalError> {
        let mut lines = lock(&self.lines);
        if lines.bytes.saturating_add(line.len()) > MOST {
            drop(lines);
            if self.lost.fetch_add(1, Ordering::Relaxed) == 0 {
                tracing::error!(%error, "the journal's disk takes nothing and memory for rows is used up: rows are lost from now on");
            }
            return Err(error);
        }
        lines.bytes += line.len();
        lines.queue.push_back(line.into());
        if self.count.fetch_add(1, Ordering::Release) == 0 {
            tracing::error!(%error, "the journal's disk takes nothing: rows are held in memory until it does, and are lost if the process dies before");
        }
        Ok(())
    }

    /// Writes what is held by `write`, oldest first, until that fails.
    pub(super) fn write(&self, write: impl Fn(&[u8]) -> Result<(), JournalError>) {
        if self.count() == 0 {
            return;
        }
        let _writing = lock(&self.writing);
        loop {
            let Some(line) = lock(&self.lines).queue.front().cloned() else { break };
            if write(&line).is_err() {
                return;
            }
            let mut lines = lock(&self.lines);
            lines.queue.pop_front();
            lines.bytes -= line.len();
            self.count.fetch_sub(1, Ordering::Release);
        }
        tracing::info!("the journal's disk takes rows again: all that were held are written");
    }

    /// How many lines are held.
    pub(super) fn count(&self) -> u64 {
        self.count.load(Ordering::Acquire)
    }

    /// How many were lost.
    pub(super) fn lost(&self) -> u64 {
        self.lost.load(Ordering::Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_held_is_bounded_and_written_in_order() {
        let held = Held::default();
        let line = vec![b'x'; MOST / 4];
        for number in 0..5 {
            let kept = held.hold(&[&[number][..], &line[1..]].concat(), JournalError::Closed);
            assert_eq!(kept.is_ok(), number < 4);
        }
        assert_eq!((held.count(), held.lost()), (4, 1));
        let left = AtomicU64::new(2);
        let take = |line: &[u8]| {
            assert_eq!(u64::from(line[0]), 2 - left.load(Ordering::Relaxed));
            if left.fetch_sub(1, Ordering::Relaxed) == 0 { Err(JournalError::Closed) } else { Ok(()) }
        };
        held.write(take);
        assert_eq!(held.count(), 2);
        let seen = Mutex::new(Vec::new());
        held.write(|line| {
            lock(&seen).push(line[0]);
            Ok(())
        });
        assert_eq!((held.count(), lock(&seen).clone()), (0, vec![2, 3]));
    }
}
