//! The feeder: a thread of its own that reads the journal and adds its rows to a store, some of them at a time. The
//! journal is the queue: a store that is locked, full or away costs nothing but lag, and a segment is removed only when
//! the store has its rows for good. What dead processes left in the folder is fed too, and what they had begun and not
//! ended becomes `unknown`. Never here: a call on a request's path.

mod recover;
mod tail;
#[cfg(test)]
mod tests;
mod worker;

use crate::journal::{Journal, JournalError, lock};
use crate::store::{Store, StoreError};
use std::io;
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread::{Builder, JoinHandle};
use std::time::{Duration, Instant};

/// How the feeder feeds.
#[derive(Debug, Clone)]
pub struct FeederOptions {
    /// Time between looks into the journal.
    pub every: Duration,
    /// Rows per transaction, about.
    pub batch_rows: usize,
    /// Longest wait after failures; waits double from `every` up to it.
    pub longest_wait: Duration,
    /// Time between looks for dead processes' segments.
    pub recover_every: Duration,
}

impl Default for FeederOptions {
    fn default() -> Self {
        Self {
            every: Duration::from_millis(200),
            batch_rows: 1_000,
            longest_wait: Duration::from_secs(5),
            recover_every: Duration::from_secs(10),
        }
    }
}

/// Why rows are not in the store.
#[derive(Debug, thiserror::Error)]
pub enum FeederError {
    /// The store refuses.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The journal refuses.
    #[error(transparent)]
    Journal(#[from] JournalError),
    /// A segment cannot be read or removed.
    #[error("cannot read the journal: {0}")]
    Read(#[from] io::Error),
    /// The time given to `flush` is over.
    #[error(
        "{lag_rows} rows are not yet in the store ({reason}); they are safe in the journal and follow by themselves"
    )]
    Behind {
        /// Rows of this process that the store lacks.
        lag_rows: u64,
        /// The last failure, or that there was none.
        reason: String,
    },
}

/// How the feeding goes.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct FeederStatus {
    /// Rows of this process that are in the journal and not yet in the store.
    pub lag_rows: u64,
    /// Rows of this process that are in the store.
    pub fed_rows: u64,
    /// Attempts of this process begun and not ended, as far as read.
    pub open: u64,
    /// Rows of dead processes that the store did not have.
    pub recovered_rows: u64,
    /// Of these, attempts without an end.
    pub unknown_rows: u64,
    /// Stretches of the journal that nobody understands; their segments are kept as `*.jnl-damaged`.
    pub damaged_entries: u64,
    /// Failures since the last success.
    pub failures: u32,
    /// The last of these.
    pub last_error: Option<String>,
}

/// The feeder of one process. Dropping it feeds once more and stops.
#[derive(Debug)]
pub struct Feeder {
    control: Arc<Control>,
    thread: Option<JoinHandle<()>>,
}

/// What the feeder's thread and its owner share.
#[derive(Debug, Default)]
struct Control {
    state: Mutex<State>,
    wake: Condvar,
    passed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    /// Number of the last flush asked for, and of the last done.
    asked: u64,
    done: u64,
    stop: bool,
    status: FeederStatus,
}

impl Feeder {
    /// Starts feeding `store` from `journal`.
    ///
    /// # Errors
    /// The thread cannot be started.
    pub fn start(journal: &Journal, store: Arc<dyn Store>, options: FeederOptions) -> Result<Self, FeederError> {
        let control = Arc::new(Control::default());
        let worker = worker::Worker::new(Arc::clone(journal.shared()), store, options);
        let theirs = Arc::clone(&control);
        let thread = Builder::new().name("ledger-feeder".into()).spawn(move || run(worker, &theirs))?;
        Ok(Self { control, thread: Some(thread) })
    }

    /// Waits until the store has every row that was ended before the call, and what dead processes left.
    ///
    /// # Errors
    /// `within` is over before that; feeding goes on.
    pub fn flush(&self, within: Duration) -> Result<(), FeederError> {
        let mut state = lock(&self.control.state);
        state.asked += 1;
        let mine = state.asked;
        self.control.wake.notify_one();
        let waited = self.control.passed.wait_timeout_while(state, within, |state| state.done < mine);
        let (state, _) = waited.unwrap_or_else(PoisonError::into_inner);
        if state.done >= mine {
            return Ok(());
        }
        let reason = state.status.last_error.clone().unwrap_or_else(|| "no failure, more time is needed".to_owned());
        Err(FeederError::Behind { lag_rows: state.status.lag_rows, reason })
    }

    /// How the feeding goes.
    #[must_use]
    pub fn status(&self) -> FeederStatus {
        lock(&self.control.state).status.clone()
    }
}

impl Drop for Feeder {
    fn drop(&mut self) {
        lock(&self.control.state).stop = true;
        self.control.wake.notify_one();
        if let Some(thread) = self.thread.take() {
            // a panic of the thread has been reported by the panic hook already
            let _ = thread.join();
        }
    }
}

fn run(mut worker: worker::Worker, control: &Control) {
    let mut status = FeederStatus::default();
    let mut recovered: Option<Instant> = None;
    loop {
        let wait = worker.options.every.saturating_mul(1 << status.failures.min(16)).min(worker.options.longest_wait);
        let (asked, flush, stop) = control.wait(wait);
        let due = recovered.is_none_or(|at| at.elapsed() >= worker.options.recover_every);
        let result = worker.feed(&mut status).and_then(|()| {
            if due || flush {
                worker.recover(&mut status)?;
                recovered = Some(Instant::now());
            }
            Ok(())
        });
        worker.count(&mut status);
        match &result {
            Ok(()) => (status.failures, status.last_error) = (0, None),
            Err(error) => {
                if status.failures == 0 {
                    tracing::error!(%error, "ledger not fed; rows stay in the journal");
                }
                status.failures = status.failures.saturating_add(1);
                status.last_error = Some(error.to_string());
            }
        }
        control.report(&status, result.is_ok().then_some(asked));
        if stop {
            return;
        }
    }
}

impl Control {
    /// Waits for the time, a flush or the stop: the flush asked for last, whether it is new, and whether to stop.
    fn wait(&self, time: Duration) -> (u64, bool, bool) {
        let state = lock(&self.state);
        let known = state.asked;
        let pending = |state: &State| state.asked > state.done;
        // a flush that waits for a failing store is tried again after the wait, a new one at once
        let sleep =
            |state: &mut State| !state.stop && state.asked == known && (state.status.failures > 0 || !pending(state));
        let (state, _) = self.wake.wait_timeout_while(state, time, sleep).unwrap_or_else(PoisonError::into_inner);
        (state.asked, pending(&state), state.stop)
    }

    fn report(&self, status: &FeederStatus, done: Option<u64>) {
        let mut state = lock(&self.state);
        state.status.clone_from(status);
        if let Some(done) = done {
            state.done = done;
        }
        self.passed.notify_all();
    }
}
