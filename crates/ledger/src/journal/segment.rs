//! One file of the journal. Its name is `<millis>-<random>.<number>.jnl`: the first part names the process that writes
//! it, and all files of a process sort in the order they were begun. While the process lives it holds the file's lock.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Write};
use std::os::unix::fs::{FileExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

const SUFFIX: &str = ".jnl";

/// The name by which a process's files are told from others'.
pub(super) fn process_name(unix_millis: u64, random: u64) -> String {
    format!("{unix_millis:013}-{random:016x}")
}

/// A segment's name, taken apart.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct SegmentName {
    /// The process that writes it.
    pub process: String,
    /// Its place among the process's segments.
    pub number: u64,
}

impl SegmentName {
    /// The parts of `file`; `None`: no segment.
    #[must_use]
    pub fn parse(file: &str) -> Option<Self> {
        let (process, number) = file.strip_suffix(SUFFIX)?.rsplit_once('.')?;
        Some(Self { process: process.to_owned(), number: number.parse().ok()? })
    }

    fn file(&self) -> String {
        format!("{}.{:06}{SUFFIX}", self.process, self.number)
    }
}

/// One file, locked by us.
#[derive(Debug)]
pub(crate) struct Segment {
    file: File,
    dir: PathBuf,
    name: SegmentName,
    written: AtomicU64,
    synced: AtomicU64,
    sealed: AtomicBool,
    born: Instant,
}

impl Segment {
    /// A new, locked, empty file.
    pub(super) fn create(dir: &Path, process: &str, number: u64) -> io::Result<Self> {
        let name = SegmentName { process: process.to_owned(), number };
        loop {
            let file =
                OpenOptions::new().read(true).append(true).create(true).mode(0o600).open(dir.join(name.file()))?;
            file.lock()?;
            // between its birth and our lock another process may have taken it for a dead one's and removed it
            if file.metadata()?.nlink() > 0 {
                return Ok(Self::of(file, dir, name, false));
            }
        }
    }

    /// A dead process's file, locked; `Ok(None)`: somebody else has it or has removed it.
    fn adopt(dir: &Path, name: SegmentName) -> io::Result<Option<Self>> {
        let file = match OpenOptions::new().read(true).append(true).open(dir.join(name.file())) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error),
        };
        match file.try_lock() {
            Ok(()) if file.metadata()?.nlink() > 0 => Ok(Some(Self::of(file, dir, name, true))),
            Ok(()) | Err(TryLockError::WouldBlock) => Ok(None),
            Err(TryLockError::Error(error)) => Err(error),
        }
    }

    fn of(file: File, dir: &Path, name: SegmentName, sealed: bool) -> Self {
        Self {
            file,
            dir: dir.to_owned(),
            name,
            written: AtomicU64::new(0),
            synced: AtomicU64::new(0),
            sealed: AtomicBool::new(sealed),
            born: Instant::now(),
        }
    }

    /// Appends an entry in one write. Where the disk took only a part of it, the whole is written behind that: readers
    /// pass over the part.
    pub(super) fn append(&self, entry: &[u8]) -> io::Result<()> {
        for _ in 0..2 {
            let taken = (&self.file).write(entry)?;
            self.written.fetch_add(taken as u64, Ordering::Release);
            if taken == entry.len() {
                return Ok(());
            }
        }
        Err(io::ErrorKind::StorageFull.into())
    }

    /// Reads at `offset`; 0 at the end.
    pub(crate) fn read_at(&self, into: &mut [u8], offset: u64) -> io::Result<usize> {
        loop {
            match self.file.read_at(into, offset) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                read => return read,
            }
        }
    }

    /// Reads all of `into` at `offset`.
    pub(crate) fn read_exact_at(&self, into: &mut [u8], offset: u64) -> io::Result<()> {
        self.file.read_exact_at(into, offset)
    }

    /// Whether nobody writes to it any more.
    pub(crate) fn is_sealed(&self) -> bool {
        self.sealed.load(Ordering::Acquire)
    }

    pub(super) fn is_due(&self, bytes: u64, age: Duration) -> bool {
        let written = self.written.load(Ordering::Relaxed);
        written >= bytes || (written > 0 && self.born.elapsed() >= age)
    }

    /// Syncs what is not yet synced.
    pub(super) fn sync(&self) -> io::Result<()> {
        let written = self.written.load(Ordering::Acquire);
        if written > self.synced.load(Ordering::Relaxed) {
            self.file.sync_data()?;
            self.synced.store(written, Ordering::Relaxed);
        }
        Ok(())
    }

    /// Removes the file; where it is `damaged`, it is kept under another name for a person to look at. The lock falls
    /// with the last holder of the segment.
    pub(crate) fn retire(&self, damaged: bool) -> io::Result<()> {
        let path = self.path();
        let done = if damaged { fs::rename(&path, path.with_extension("jnl-damaged")) } else { fs::remove_file(&path) };
        match done {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    }

    pub(crate) fn path(&self) -> PathBuf {
        self.dir.join(self.name.file())
    }

    pub(crate) fn number(&self) -> u64 {
        self.name.number
    }
}

/// What writers hold while they write. When the last one lets go, nobody can write to the segment any more.
#[derive(Debug)]
pub(super) struct Tap(Arc<Segment>);

impl Tap {
    pub(super) fn new(segment: Arc<Segment>) -> Self {
        Self(segment)
    }

    pub(super) fn segment(&self) -> &Segment {
        &self.0
    }
}

impl Drop for Tap {
    fn drop(&mut self) {
        self.0.sealed.store(true, Ordering::Release);
    }
}

/// Segments in `dir` of processes that are dead, locked by us, one list per process, oldest first. A process of which
/// any segment is locked by another lives or is being recovered by another: it is left out.
pub(crate) fn foreign_segments(dir: &Path, own_process: &str) -> io::Result<Vec<Vec<Segment>>> {
    let mut names: Vec<SegmentName> = Vec::new();
    for entry in fs::read_dir(dir)? {
        let name = entry?.file_name();
        names.extend(name.to_str().and_then(SegmentName::parse).filter(|name| name.process != own_process));
    }
    names.sort();
    let mut groups = Vec::new();
    for group in names.chunk_by(|a, b| a.process == b.process) {
        let adopted: Option<Vec<Segment>> =
            group.iter().map(|name| Segment::adopt(dir, name.clone())).collect::<io::Result<_>>()?;
        groups.extend(adopted);
    }
    Ok(groups)
}
