//! Hot reload: on a change of the file and on SIGHUP the configuration is read again. A good one replaces the running
//! setup in one step, a bad one is refused and the running one stays.

use super::Parts;
use crate::config;
use gateway::setup::Gateway;
use notify::{EventKind, RecursiveMode, Watcher};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc;

/// Editors write a file in several steps: wait until none came for this long.
const SETTLE: Duration = Duration::from_millis(100);

/// Reloads until the gateway stops.
///
/// # Errors
/// When the system can tell neither signals nor changes of files.
pub(crate) fn watch(gateway: &Arc<Gateway>, parts: Parts, path: PathBuf) -> anyhow::Result<()> {
    let (tell, mut told) = mpsc::channel::<()>(1);
    let watcher = file_watcher(&path, tell);
    let mut hangup = signal(SignalKind::hangup())?;
    let watched = Arc::clone(gateway);
    gateway.tasks.spawn(async move {
        // Dropped with the task; until then it tells of changes.
        let _watcher = watcher;
        let mut seen = std::fs::read(&path).unwrap_or_default();
        loop {
            let forced = tokio::select! {
                () = watched.tasks.stopped() => return,
                _ = hangup.recv() => true,
                Some(()) = told.recv() => {
                    while tokio::time::timeout(SETTLE, told.recv()).await.is_ok_and(|more| more.is_some()) {}
                    false
                }
            };
            let now = std::fs::read(&path).unwrap_or_default();
            if forced || now != seen {
                reload(&watched, &parts, &path);
            }
            seen = now;
        }
    });
    Ok(())
}

/// Watches the file's folder, since editors replace files. Without it SIGHUP still works.
fn file_watcher(path: &Path, tell: mpsc::Sender<()>) -> Option<notify::RecommendedWatcher> {
    let watcher = notify::recommended_watcher(move |event: notify::Result<notify::Event>| {
        if event.is_ok_and(|event| !matches!(event.kind, EventKind::Access(_))) {
            // A full channel has told already.
            let _ = tell.try_send(());
        }
    });
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let watched = watcher.and_then(|mut watcher| watcher.watch(folder, RecursiveMode::NonRecursive).map(|()| watcher));
    watched.inspect_err(|error| tracing::warn!(%error, "changes of the configuration are not seen; send SIGHUP")).ok()
}

fn reload(gateway: &Gateway, parts: &Parts, path: &Path) {
    let checked = match config::load(path) {
        Ok(checked) => checked,
        Err(problems) => {
            return tracing::error!(file = %path.display(), "the new configuration is refused, the running one stays\n{problems}");
        }
    };
    let version = checked.version.clone();
    match super::setup(checked, parts, Some(&gateway.setup())) {
        Ok(setup) => {
            gateway.reload(setup);
            tracing::info!(file = %path.display(), version, "the new configuration is in force");
        }
        Err(error) => tracing::error!(%error, "the new configuration is refused, the running one stays"),
    }
}
