//! Kept turns of a running server: opened beside the ledger, and forgotten when their time is over.

use gateway::setup::Gateway;
use state::{Sqlite, Store};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

/// How often old turns are looked for.
const EVERY: Duration = Duration::from_secs(3_600);

/// The database of kept turns.
pub(crate) fn database(data: &Path) -> PathBuf {
    data.join("state.db")
}

/// Forgets old turns now and then until the gateway stops, as the configuration of the moment says.
pub(crate) fn watch(gateway: &Arc<Gateway>, store: Arc<Sqlite>) {
    let keeper = Arc::clone(gateway);
    gateway.tasks.spawn(async move { keeper.turns.keep_seals(keeper.tasks.clone()).await });
    let watched = Arc::clone(gateway);
    gateway.tasks.spawn(async move {
        loop {
            let (store, days) = (Arc::clone(&store), watched.setup().turns_days);
            let before = jiff::Timestamp::now().as_second() - i64::from(days) * 86_400;
            match tokio::task::spawn_blocking(move || store.purge(before)).await {
                Ok(Ok(0)) => {}
                Ok(Ok(gone)) => tracing::info!(gone, days, "kept turns were forgotten, their time was over"),
                Ok(Err(error)) => tracing::warn!(%error, "old turns could not be forgotten"),
                Err(error) => tracing::error!(%error, "the keeper of turns broke"),
            }
            tokio::select! {
                () = watched.tasks.stopped() => return,
                () = tokio::time::sleep(EVERY) => {}
            }
        }
    });
}
