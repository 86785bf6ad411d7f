//! Keys of a running server: read from the store by a thread of its own, so that no request ever waits for it. A store
//! that is down changes nothing: the keys as last read stay good.

use gateway::setup::Gateway;
use ledger::Sqlite;
use policy::{Fleet, Product};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

/// How often the store is asked whether keys changed.
const EVERY: Duration = Duration::from_millis(500);

/// Keeps the gateway's keys fresh until it stops.
pub(crate) fn watch(gateway: &Arc<Gateway>, database: PathBuf) {
    let watched = Arc::clone(gateway);
    gateway.tasks.spawn(async move {
        let mut store: Option<Sqlite> = None;
        let mut away = false;
        loop {
            tokio::select! {
                () = watched.tasks.stopped() => return,
                () = tokio::time::sleep(EVERY) => {}
            }
            let (path, gateway, opened) = (database.clone(), Arc::clone(&watched), store.take());
            let look = tokio::task::spawn_blocking(move || {
                let store = opened.map_or_else(|| Sqlite::open_read_only(&path), Ok)?;
                let changed = gateway.refresh_keys(&store)?;
                Ok::<_, ledger::StoreError>((store, changed))
            });
            match look.await {
                Ok(Ok((opened, changed))) => {
                    store = Some(opened);
                    if std::mem::take(&mut away) {
                        tracing::info!("keys can be read again");
                    }
                    if let Some(keys) = changed {
                        tracing::info!(keys, "keys changed");
                    }
                }
                Ok(Err(error)) if !std::mem::replace(&mut away, true) => {
                    tracing::warn!(%error, "keys could not be read; those last read stay good");
                }
                Ok(Err(_)) => {}
                Err(error) => tracing::error!(%error, "the reader of keys broke"),
            }
        }
    });
}

/// Whether a key may be made for `team` of `product`.
///
/// # Errors
/// There is no such product, or it has teams and this is none of them; the words name those there are.
pub(crate) fn belongs(fleet: &Fleet, product: &str, team: Option<&str>) -> Result<(), String> {
    let Some(found) = fleet.product_named(product) else {
        let known: Vec<&str> = fleet.products().iter().map(Product::name).collect();
        return Err(format!("there is no product `{product}`; known: {}", known.join(", ")));
    };
    let teams = &fleet.product(found).rules().team;
    match team {
        Some(team) if !teams.is_empty() && !teams.contains_key(team) => {
            let known: Vec<&str> = teams.keys().map(String::as_str).collect();
            Err(format!(
                "product `{product}` has no team `{team}`, so the key would be within no team's limits; known: {}; or write \
                 `[product.{product}.team.{team}]`",
                known.join(", ")
            ))
        }
        _ => Ok(()),
    }
}

/// 32 random bytes for a new secret.
///
/// # Errors
/// The system gives none.
pub(crate) fn random() -> Result<[u8; 32], String> {
    let mut bytes = [0; 32];
    getrandom::fill(&mut bytes).map_err(|error| format!("the system gave no random numbers: {error}"))?;
    Ok(bytes)
}
