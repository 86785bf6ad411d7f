//! Hot reload: on a change of the file and on SIGHUP the configuration is read again. A good one replaces the running
//! setup in one step, a bad one is refused and the running one stays.

use super::Parts;
use crate::config::{self, Problem, Problems, Severity};
use gateway::setup::Gateway;
use notify::{EventKind, RecursiveMode, Watcher};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc;

/// Editors write a file in several steps: wait until none came for this long, but no longer than `LONGEST` in all, for
/// other files of the folder may change all the time.
const SETTLE: Duration = Duration::from_millis(100);
const LONGEST: Duration = Duration::from_secs(1);

/// What takes a new configuration over.
pub(crate) struct Reloader {
    gateway: Arc<Gateway>,
    parts: Parts,
    path: PathBuf,
    /// Held while one is taken over, so that an older file never replaces a newer one.
    one_by_one: Mutex<()>,
}

impl Reloader {
    /// Takes the file at `path` over into `gateway`.
    pub(crate) fn new(gateway: &Arc<Gateway>, parts: Parts, path: PathBuf) -> Self {
        Self { gateway: Arc::clone(gateway), parts, path, one_by_one: Mutex::default() }
    }

    /// Whether the file says something else than what is in force.
    fn is_behind(&self) -> bool {
        config::load(&self.path).is_ok_and(|new| *new.version != *self.gateway.setup().policy_version)
    }

    /// Reads the file again; the version that is now in force.
    ///
    /// # Errors
    /// The file has errors; the running configuration stays.
    pub(crate) fn reload(&self) -> Result<String, Problems> {
        let _alone = self.one_by_one.lock().unwrap_or_else(PoisonError::into_inner);
        let checked = config::load(&self.path).inspect_err(|problems| {
            tracing::error!(file = %self.path.display(), "the new configuration is refused, the running one stays\n{problems}");
        })?;
        let version = checked.version.clone();
        let setup = super::setup(checked, &self.parts, Some(&self.gateway.setup())).map_err(|error| {
            tracing::error!(%error, "the new configuration is refused, the running one stays");
            let (severity, message) = (Severity::Error, error.to_string());
            Problems {
                file: self.path.display().to_string(),
                list: vec![Problem { severity, message, at: None, hint: None }],
            }
        })?;
        self.gateway.reload(setup);
        tracing::info!(file = %self.path.display(), version, "the new configuration is in force");
        Ok(version)
    }
}

/// Reloads until the gateway stops.
///
/// # Errors
/// When the system can tell neither signals nor changes of files.
pub(crate) fn watch(reloader: &Arc<Reloader>) -> anyhow::Result<()> {
    let (tell, mut told) = mpsc::channel::<()>(1);
    let watcher = file_watcher(&reloader.path, tell);
    let mut hangup = signal(SignalKind::hangup())?;
    let reloader = Arc::clone(reloader);
    let watched = Arc::clone(&reloader.gateway);
    reloader.gateway.tasks.clone().spawn(async move {
        let path = &reloader.path;
        // Dropped with the task; until then it tells of changes.
        let _watcher = watcher;
        let mut seen = std::fs::read(path).unwrap_or_default();
        // It may have changed after it was read and before it was watched.
        if reloader.is_behind() {
            let _ = reloader.reload();
        }
        loop {
            let forced = tokio::select! {
                () = watched.tasks.stopped() => return,
                _ = hangup.recv() => true,
                Some(()) = told.recv() => {
                    let quiet = async {
                        while tokio::time::timeout(SETTLE, told.recv()).await.is_ok_and(|more| more.is_some()) {}
                    };
                    // Not quiet for so long: read all the same.
                    let _ = tokio::time::timeout(LONGEST, quiet).await;
                    false
                }
            };
            let now = std::fs::read(path).unwrap_or_default();
            if forced || now != seen {
                // What is wrong has been logged.
                let _ = reloader.reload();
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
