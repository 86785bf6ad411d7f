//! What a process uses, as the kernel counts it: memory, processor time, threads, open files. Linux only.

use std::io;
use std::time::Duration;

/// What a process uses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Usage {
    /// Memory in use (RSS), bytes.
    pub memory: u64,
    /// Most memory ever in use, bytes.
    pub peak: u64,
    /// Processor time spent so far.
    pub cpu: Duration,
    /// Threads.
    pub threads: u64,
    /// Open files and sockets.
    pub files: u64,
}

/// What process `id` uses now.
///
/// # Errors
/// When there is no such process.
pub fn usage(id: u32) -> io::Result<Usage> {
    let status = std::fs::read_to_string(format!("/proc/{id}/status"))?;
    let row = |name: &str| {
        let line = status.lines().find(|line| line.starts_with(name)).unwrap_or_default();
        line.split_whitespace().nth(1).and_then(|word| word.parse::<u64>().ok()).unwrap_or(0)
    };
    let stat = std::fs::read_to_string(format!("/proc/{id}/stat"))?;
    // The name may hold blanks; fields are counted from behind its bracket. User and system time in 1/100 s.
    let fields: Vec<u64> = stat
        .rsplit_once(')')
        .map(|(_, rest)| rest.split_whitespace().map(|word| word.parse().unwrap_or(0)).collect())
        .unwrap_or_default();
    let ticks = fields.get(11).unwrap_or(&0) + fields.get(12).unwrap_or(&0);
    Ok(Usage {
        memory: row("VmRSS:") * 1024,
        peak: row("VmHWM:") * 1024,
        cpu: Duration::from_millis(ticks * 10),
        threads: row("Threads:"),
        files: std::fs::read_dir(format!("/proc/{id}/fd"))?.count() as u64,
    })
}
