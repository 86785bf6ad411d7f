//! Keys of a running server: read from the store by a thread of its own, so that no request ever waits for it. A store
//! that is down changes nothing: the keys as last read stay good.

use gateway::setup::Gateway;
use ledger::{KeyRing, Sqlite};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

/// How often the store is asked whether keys changed.
const EVERY: Duration = Duration::from_millis(500);

/// Keeps the gateway's keys fresh until it stops.
pub(crate) fn watch(gateway: &Arc<Gateway>, database: PathBuf, first: Arc<KeyRing>) {
    let watched = Arc::clone(gateway);
    gateway.tasks.spawn(async move {
        let mut ring = first;
        let mut store: Option<Arc<Sqlite>> = None;
        loop {
            tokio::select! {
                () = watched.tasks.stopped() => return,
                () = tokio::time::sleep(EVERY) => {}
            }
            let (path, known, opened) = (database.clone(), Arc::clone(&ring), store.take());
            let look = tokio::task::spawn_blocking(move || {
                let store = match opened {
                    Some(store) => store,
                    None => Arc::new(Sqlite::open_read_only(&path)?),
                };
                let newer = known.reload(&*store)?;
                Ok::<_, ledger::StoreError>((store, newer))
            });
            match look.await {
                Ok(Ok((opened, newer))) => {
                    store = Some(opened);
                    if let Some(newer) = newer {
                        let newer = Arc::new(newer);
                        watched.access.renew(Arc::clone(&newer));
                        tracing::info!(keys = newer.len(), "keys changed");
                        ring = newer;
                    }
                }
                Ok(Err(error)) => tracing::warn!(%error, "keys could not be read; those last read stay good"),
                Err(error) => tracing::error!(%error, "the reader of keys broke"),
            }
        }
    });
}
