//! The journal: what is durable. Two entries per attempt, one before the upstream is asked and one when it is over, each
//! one `write` to a file opened for appending: no lock and no sync on the caller, and a killed process loses
//! nothing it has written. A thread of its own syncs the files in groups (against power loss) and begins new ones.
//! Entries that a full disk refuses are held in memory until it takes them.
//! Several processes may share a folder: each writes files of its own and holds a lock on them while it lives.
//! Never here: the store. The journal neither knows nor waits for it.

mod held;
mod segment;
mod thread;

pub use segment::SegmentName;
pub(crate) use segment::{Segment, foreign_segments};

use crate::id::RequestId;
use crate::packed;
use crate::record::{Attempt, Outcome};
use arc_swap::ArcSwapOption;
use held::Held;
use segment::Tap;
use std::cell::RefCell;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

/// How the journal keeps its files.
#[derive(Debug, Clone)]
pub struct JournalOptions {
    /// Time between group syncs; zero: every write is left to the operating system.
    pub sync_every: Duration,
    /// Bytes after which a new segment begins.
    pub segment_bytes: u64,
    /// Age after which a new segment begins, if the old one holds anything.
    pub segment_age: Duration,
    /// Whether rows are written at all. Only benches say no, to tell what they cost.
    pub rows: bool,
}

impl Default for JournalOptions {
    fn default() -> Self {
        Self {
            sync_every: Duration::from_millis(50),
            segment_bytes: 32 << 20,
            segment_age: Duration::from_secs(60),
            rows: true,
        }
    }
}

/// Where a row is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kept {
    /// In a file.
    OnDisk,
    /// In memory, because the disk refused it: the journal writes it as soon as the disk takes it.
    InMemory,
}

/// Why the journal could not do its part.
#[derive(Debug, thiserror::Error)]
pub enum JournalError {
    /// The folder cannot be used.
    #[error("cannot keep the journal in `{}`: {source}; make the folder writable or name another", path.display())]
    Folder {
        /// The folder.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// An entry could not be written.
    #[error("cannot write to the journal `{}`: {source}; free space on its disk", path.display())]
    Write {
        /// The segment.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The journal was closed before.
    #[error("the journal is closed: the process is shutting down")]
    Closed,
    /// `end` was called with an attempt that still runs.
    #[error("attempt {attempt} of `{request}` is still `open`: set its outcome before ending it")]
    StillOpen {
        /// The request.
        request: RequestId,
        /// The attempt.
        attempt: u32,
    },
}

/// What the journal did so far.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct JournalStatus {
    /// Attempts begun.
    pub begun: u64,
    /// Attempts ended.
    pub ended: u64,
    /// Entries that could not be written when they came.
    pub failed: u64,
    /// Rows of ended attempts that the disk did not take yet: in memory, gone with the process.
    pub held: u64,
    /// Rows of ended attempts that are lost, because there was no memory left to hold them.
    pub lost: u64,
    /// Group syncs that failed.
    pub sync_failures: u64,
    /// New segments that could not be begun.
    pub rotation_failures: u64,
    /// Segments not yet fed and removed.
    pub segments: usize,
    /// Attempts ended that the store does not have yet.
    pub behind: u64,
}

/// The journal of one process. Shared by all who write.
#[derive(Debug)]
pub struct Journal {
    shared: Arc<Shared>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

/// What the writers, the journal's thread and the feeder share.
#[derive(Debug)]
pub(crate) struct Shared {
    dir: PathBuf,
    options: JournalOptions,
    process: String,
    current: ArcSwapOption<Tap>,
    /// Segments of this process that are not yet removed, oldest first.
    own: Mutex<Vec<Arc<Segment>>>,
    /// Number of the next segment; held while one is begun, so that `close` comes before or after and not between.
    next: Mutex<u64>,
    begun: AtomicU64,
    ended: AtomicU64,
    failed: AtomicU64,
    held: Held,
    sync_failures: AtomicU64,
    rotation_failures: AtomicU64,
    behind: AtomicU64,
    stop: Mutex<bool>,
    stopped: Condvar,
}

thread_local! {
    static ENTRY: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

impl Journal {
    /// Opens a journal in `dir`, which is made if missing. `unix_millis` and `random` name this process's files.
    ///
    /// # Errors
    /// The folder or a file in it cannot be made.
    pub fn open(dir: &Path, options: JournalOptions, unix_millis: u64, random: u64) -> Result<Self, JournalError> {
        let shared = Arc::new(Shared {
            dir: dir.to_owned(),
            options,
            process: segment::process_name(unix_millis, random),
            current: ArcSwapOption::empty(),
            own: Mutex::new(Vec::new()),
            next: Mutex::new(0),
            begun: AtomicU64::new(0),
            ended: AtomicU64::new(0),
            failed: AtomicU64::new(0),
            held: Held::default(),
            sync_failures: AtomicU64::new(0),
            rotation_failures: AtomicU64::new(0),
            behind: AtomicU64::new(0),
            stop: Mutex::new(false),
            stopped: Condvar::new(),
        });
        let folder = |source| JournalError::Folder { path: dir.to_owned(), source };
        std::fs::create_dir_all(dir).map_err(folder)?;
        shared.rotate(&mut lock(&shared.next)).map_err(folder)?;
        let thread = thread::start(Arc::clone(&shared)).map_err(folder)?;
        Ok(Self { shared, thread: Mutex::new(Some(thread)) })
    }

    /// Writes that `attempt` begins; call it before the upstream is asked.
    ///
    /// # Errors
    /// The entry could not be written; the caller may go on, at the price that a crash forgets the attempt.
    pub fn begin(&self, attempt: &Attempt) -> Result<(), JournalError> {
        if attempt.outcome != Outcome::Open {
            let open = Attempt { outcome: Outcome::Open, ..attempt.clone() };
            return self.begin(&open);
        }
        if !self.shared.options.rows {
            return Ok(());
        }
        self.shared.write(attempt, false)?;
        self.shared.begun.fetch_add(1, Ordering::Relaxed);
        Ok(())
    }

    /// Writes the whole row; call it before the answer's last byte leaves. What the disk refuses is held in memory.
    ///
    /// # Errors
    /// The attempt is still open, or the row is lost: nothing takes it.
    pub fn end(&self, attempt: &Attempt) -> Result<Kept, JournalError> {
        if attempt.outcome == Outcome::Open {
            return Err(JournalError::StillOpen { request: attempt.request_id, attempt: attempt.attempt });
        }
        if !self.shared.options.rows {
            return Ok(Kept::OnDisk);
        }
        let kept = self.shared.write(attempt, true)?;
        self.shared.ended.fetch_add(1, Ordering::Relaxed);
        Ok(kept)
    }

    /// Syncs everything written so far to disk.
    ///
    /// # Errors
    /// The disk refuses.
    pub fn sync(&self) -> Result<(), JournalError> {
        self.shared.sync()
    }

    /// Takes no more entries: the last segment is sealed, so that the feeder can remove it. Idempotent.
    pub fn close(&self) {
        self.shared.close();
    }

    /// What it did so far.
    #[must_use]
    pub fn status(&self) -> JournalStatus {
        self.shared.status()
    }

    pub(crate) fn shared(&self) -> &Arc<Shared> {
        &self.shared
    }
}

impl Drop for Journal {
    fn drop(&mut self) {
        self.close();
        *lock(&self.shared.stop) = true;
        self.shared.stopped.notify_all();
        if let Some(thread) = lock(&self.thread).take() {
            // a panic of the thread has been reported by the panic hook already
            let _ = thread.join();
        }
    }
}

impl Shared {
    /// Encodes and writes one row as it is; `hold` it where the disk refuses.
    fn write(&self, attempt: &Attempt, hold: bool) -> Result<Kept, JournalError> {
        ENTRY.with_borrow_mut(|entry| {
            entry.clear();
            packed::write(attempt, entry);
            let Err(error) = self.append(entry) else { return Ok(Kept::OnDisk) };
            self.failed.fetch_add(1, Ordering::Relaxed);
            if !hold || !matches!(error, JournalError::Write { .. }) {
                return Err(error);
            }
            self.held.hold(entry, error).map(|()| Kept::InMemory)
        })
    }

    /// Writes what is held, as far as the disk takes it.
    fn write_held(&self) {
        self.held.write(|entry| self.append(entry));
    }

    /// Appends an entry; also one again that stands in an older segment.
    pub(crate) fn append(&self, entry: &[u8]) -> Result<(), JournalError> {
        let tap = self.current.load();
        let tap = tap.as_ref().ok_or(JournalError::Closed)?;
        tap.segment().append(entry).map_err(|source| JournalError::Write { path: tap.segment().path(), source })
    }

    /// Segments of this process, oldest first.
    pub(crate) fn segments(&self) -> Vec<Arc<Segment>> {
        lock(&self.own).clone()
    }

    /// Lets go of a segment whose rows are in the store.
    pub(crate) fn forget(&self, segment: &Arc<Segment>) {
        lock(&self.own).retain(|own| !Arc::ptr_eq(own, segment));
    }

    pub(crate) fn dir(&self) -> &Path {
        &self.dir
    }

    pub(crate) fn process(&self) -> &str {
        &self.process
    }

    /// Takes down how far behind the store is.
    pub(crate) fn is_behind(&self, rows: u64) {
        self.behind.store(rows, Ordering::Relaxed);
    }

    /// Rows ended so far, by all threads.
    pub(crate) fn ended(&self) -> u64 {
        self.ended.load(Ordering::Relaxed)
    }

    /// Begins a new segment; the old one seals itself when its last writer lets go.
    fn rotate(&self, next: &mut u64) -> io::Result<()> {
        let segment = Arc::new(Segment::create(&self.dir, &self.process, *next)?);
        *next += 1;
        lock(&self.own).push(Arc::clone(&segment));
        self.current.store(Some(Arc::new(Tap::new(segment))));
        Ok(())
    }

    /// Begins a new segment where the old one is large or old enough. Does nothing once closed.
    fn rotate_when_due(&self) -> io::Result<()> {
        let mut next = lock(&self.next);
        let JournalOptions { segment_bytes, segment_age, .. } = self.options;
        let due = self.current.load().as_ref().is_some_and(|tap| tap.segment().is_due(segment_bytes, segment_age));
        if due { self.rotate(&mut next) } else { Ok(()) }
    }

    fn close(&self) {
        let _next = lock(&self.next);
        self.write_held();
        if self.held.count() > 0 && self.current.load().is_some() {
            tracing::error!(rows = self.held.count(), "the journal's disk takes nothing: these rows are lost");
        }
        self.current.store(None);
    }

    pub(crate) fn sync(&self) -> Result<(), JournalError> {
        for segment in self.segments() {
            segment.sync().map_err(|source| {
                self.sync_failures.fetch_add(1, Ordering::Relaxed);
                JournalError::Write { path: segment.path(), source }
            })?;
        }
        Ok(())
    }

    fn status(&self) -> JournalStatus {
        JournalStatus {
            begun: self.begun.load(Ordering::Relaxed),
            ended: self.ended.load(Ordering::Relaxed),
            failed: self.failed.load(Ordering::Relaxed),
            held: self.held.count(),
            lost: self.held.lost(),
            sync_failures: self.sync_failures.load(Ordering::Relaxed),
            rotation_failures: self.rotation_failures.load(Ordering::Relaxed),
            segments: lock(&self.own).len(),
            behind: self.behind.load(Ordering::Relaxed),
        }
    }
}

/// The lock, also after a panic elsewhere: what it guards is whole after every statement.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
