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
    loop {
        let stop = lock(&shared.stop);
        let stop = match shared.stopped.wait_timeout_while(stop, every, |stop| !*stop) {
            Ok((stop, _)) => *stop,
            Err(_) => true,
        };
        if (syncs || stop)
            && let Err(error) = shared.sync()
        {
            tracing::error!(%error, "journal not synced");
        }
        if stop {
            return;
        }
        if let Err(error) = shared.rotate_when_due() {
            shared.rotation_failures.fetch_add(1, Ordering::Relaxed);
            tracing::error!(%error, "no new journal segment; the old one grows on");
        }
    }
}
