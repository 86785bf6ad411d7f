//! The journal's own thread: syncs in groups and begins new segments, so that no caller waits for either.

use super::{Shared, lock};
use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread::{Builder, JoinHandle};
use std::time::Duration;

/// How often it looks whether a new segment is due where it never syncs.
const LOOK_EVERY: Duration = Duration::from_millis(50);

pub(super) fn start(shared: Arc<Shared>) -> io::Result<JoinHandle<()>> {
    Builder::new().name("ledger-journal".into()).spawn(move || run(&shared))
}

fn run(shared: &Shared) {
    let syncs = !shared.options.sync_every.is_zero();
    let every = if syncs { shared.options.sync_every } else { LOOK_EVERY };
    let (mut syncing, mut rotating) = (Told::default(), Told::default());
    loop {
        let stop = lock(&shared.stop);
        let stop = match shared.stopped.wait_timeout_while(stop, every, |stop| !*stop) {
            Ok((stop, _)) => *stop,
            Err(_) => true,
        };
        shared.write_held();
        if syncs || stop {
            let synced = shared.sync();
            if let Some(error) = syncing.news(synced.err()) {
                tracing::error!(%error, "the journal is not synced: a loss of power could take the last rows");
            }
        }
        if stop {
            return;
        }
        let rotated = shared.rotate_when_due();
        if rotated.is_err() {
            shared.rotation_failures.fetch_add(1, Ordering::Relaxed);
        }
        if let Some(error) = rotating.news(rotated.err()) {
            tracing::error!(%error, "no new journal segment; the old one grows on");
        }
    }
}

/// Whether a trouble that lasts was told already.
#[derive(Default)]
struct Told(bool);

impl Told {
    /// The trouble, if it is new.
    fn news<E>(&mut self, trouble: Option<E>) -> Option<E> {
        let known = std::mem::replace(&mut self.0, trouble.is_some());
        trouble.filter(|_| !known)
    }
}
