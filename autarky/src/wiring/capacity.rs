//! How much this machine carries: read from the system, never measured.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use std::path::Path;

/// The most requests under way where nobody says.
const MOST: usize = 10_000;
/// The least, however small the machine is.
const LEAST: usize = 64;
/// Memory that a request under way is taken to need on the average, of the half that requests may have, in bytes.
const REQUEST_BYTES: u64 = 256 * 1024;
/// File handles of a request: its client's connection and the provider's.
const REQUEST_HANDLES: u64 = 2;
/// File handles for everything else.
const OTHER_HANDLES: u64 = 128;

/// Requests that may be under way here at the same time.
pub(crate) fn requests() -> usize {
    let memory = memory().map_or(u64::MAX, |bytes| bytes / 2 / REQUEST_BYTES);
    let handles = getrlimit(Resource::Nofile)
        .current
        .map_or(u64::MAX, |handles| handles.saturating_sub(OTHER_HANDLES) / REQUEST_HANDLES);
    usize::try_from(memory.min(handles)).unwrap_or(MOST).clamp(LEAST, MOST)
}

/// Takes as many file handles as the system lets a process have: the usual first limit is made for programs that open
/// some files.
pub(crate) fn take_handles() {
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    if current != maximum
        && let Err(error) = setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum })
    {
        tracing::warn!(%error, ?current, "the limit of file handles could not be raised");
    }
}

/// Memory of this machine, or of this process's group where that has less, in bytes; `None`: nobody says.
fn memory() -> Option<u64> {
    let number = |path: &str| std::fs::read_to_string(Path::new(path)).ok()?.trim().parse::<u64>().ok();
    let groups = ["/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"];
    let machine = std::fs::read_to_string("/proc/meminfo").ok().and_then(|text| {
        let line = text.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
        line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()?.checked_mul(1024)
    });
    groups.into_iter().filter_map(number).chain(machine).min()
}
