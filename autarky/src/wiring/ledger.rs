//! The ledger of a running server: its oldest days are forgotten when their time is over.

use crate::config::file::LedgerFile;
use ::ledger::Store;
use gateway::clock;
use gateway::setup::Gateway;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch::Receiver;

/// How often old days are looked for.
const EVERY: Duration = Duration::from_secs(3_600);

/// Forgets old days now and then until the gateway stops, as the configuration of the moment says: what it says new is
/// heard at once.
pub(crate) fn watch(gateway: &Arc<Gateway>, store: Arc<dyn Store>, mut keep: Receiver<LedgerFile>) {
    let watched = Arc::clone(gateway);
    gateway.tasks.spawn(async move {
        loop {
            let (store, kept) = (Arc::clone(&store), *keep.borrow_and_update());
            let now = clock::unix_micros();
            let forget = move || store.forget(before(now, kept.keep_days), before(now, kept.keep_sums_days));
            match tokio::task::spawn_blocking(forget).await {
                Ok(Ok(gone)) if gone.days == 0 => {}
                Ok(Ok(gone)) => {
                    tracing::info!(
                        days = gone.days,
                        rows = gone.rows,
                        kept = kept.keep_days,
                        "old days of the ledger were forgotten"
                    );
                }
                Ok(Err(error)) => tracing::warn!(%error, "old days of the ledger could not be forgotten"),
                Err(error) => tracing::error!(%error, "the keeper of the ledger broke"),
            }
            tokio::select! {
                () = watched.tasks.stopped() => return,
                () = tokio::time::sleep(EVERY) => {}
                changed = keep.changed() => {
                    if changed.is_err() {
                        return;
                    }
                }
            }
        }
    });
}

/// The moment that lies `days` before `now`, Unix microseconds; 0 days: the beginning of time.
fn before(now: i64, days: u32) -> i64 {
    if days == 0 { i64::MIN } else { now - i64::from(days) * 86_400_000_000 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_older_than_the_beginning_of_time() {
        assert_eq!(before(1_795_392_000_000_000, 0), i64::MIN);
        assert_eq!(before(1_795_392_000_000_000, 1), 1_795_305_600_000_000);
    }
}
