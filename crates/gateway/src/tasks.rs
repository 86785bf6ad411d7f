//! Tracked tasks: every task is known, so that a shutdown can wait for all of them. The only place that spawns.

use std::future::Future;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// The process's tasks and the word that it is time to stop.
#[derive(Debug, Clone, Default)]
pub struct Tasks {
    tracker: TaskTracker,
    /// Tasks that clients wait for.
    work: TaskTracker,
    stop: CancellationToken,
    cut: CancellationToken,
}

impl Tasks {
    /// Runs `future` as a tracked task.
    pub fn spawn(&self, future: impl Future<Output = ()> + Send + 'static) {
        self.tracker.spawn(future);
    }

    /// Runs `future`, which a client waits for, as a tracked task that is ended only by [`Tasks::cut`].
    pub(crate) fn spawn_work(&self, future: impl Future<Output = ()> + Send + 'static) {
        let cut = self.cut.clone();
        self.tracker.spawn(self.work.track_future(async move {
            tokio::select! {
                () = future => {}
                () = cut.cancelled() => {}
            }
        }));
    }

    /// Says that it is time to stop.
    pub fn stop(&self) {
        self.stop.cancel();
        self.tracker.close();
        self.work.close();
    }

    /// Ends what clients still wait for.
    pub(crate) fn cut(&self) {
        self.cut.cancel();
    }

    /// Resolves when nothing that clients wait for runs any more (after [`Tasks::stop`]).
    pub(crate) async fn worked(&self) {
        self.work.wait().await;
    }

    /// Whether it is time to stop.
    #[must_use]
    pub fn is_stopping(&self) -> bool {
        self.stop.is_cancelled()
    }

    /// Resolves when it is time to stop.
    pub async fn stopped(&self) {
        self.stop.cancelled().await;
    }

    /// Resolves when every task has ended (after [`Tasks::stop`]).
    pub async fn drained(&self) {
        self.tracker.wait().await;
    }
}
