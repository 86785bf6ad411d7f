//! How a fetch tells what it does: a bar on a terminal, plain lines elsewhere, or whatever the caller makes of it.
//! Writes to standard error only, so that a command's standard output stays its answer.

use indicatif::{ProgressBar, ProgressStyle};
use std::io::{self, IsTerminal, Write};
use std::sync::atomic::{AtomicU64, Ordering};

/// Somebody who watches a fetch. Called from the fetching thread, several times a second.
pub(crate) trait Watch {
    /// A step begins, or something is worth knowing.
    fn say(&self, line: &str);
    /// `done` of `total` bytes are here.
    fn bytes(&self, done: u64, total: u64);
    /// Whether the fetch should go on; asked between chunks.
    fn go_on(&self) -> bool {
        true
    }
}

/// Watches on behalf of a person at a terminal, or of a log.
#[derive(Debug)]
pub(crate) struct Console {
    /// The bar; `None` where standard error is no terminal.
    bar: Option<ProgressBar>,
    /// Tenths of the whole already told in plain lines.
    told: AtomicU64,
}

impl Default for Console {
    /// A watcher that draws a bar if standard error is a terminal.
    fn default() -> Self {
        let bar = io::stderr().is_terminal().then(|| {
            let bar = ProgressBar::no_length();
            let style = ProgressStyle::with_template("{bar:32} {bytes:>10} of {total_bytes}  {bytes_per_sec}  {eta}");
            style.map_or(bar.clone(), |style| bar.with_style(style))
        });
        Self { bar, told: AtomicU64::new(0) }
    }
}

impl Watch for Console {
    fn say(&self, line: &str) {
        self.told.store(0, Ordering::Relaxed);
        let line = format!("weights: {line}\n");
        // a closed standard error must not end a download
        let _ = match &self.bar {
            Some(bar) => bar.suspend(|| io::stderr().write_all(line.as_bytes())),
            None => io::stderr().write_all(line.as_bytes()),
        };
    }

    fn bytes(&self, done: u64, total: u64) {
        if let Some(bar) = &self.bar {
            bar.set_length(total);
            bar.set_position(done);
            if done >= total {
                bar.finish_and_clear();
            }
            return;
        }
        let tenth = done.saturating_mul(10).checked_div(total).unwrap_or(0);
        if self.told.fetch_max(tenth, Ordering::Relaxed) < tenth {
            let _ = writeln!(io::stderr(), "weights: {:3} % of {} MB", tenth * 10, total / 1_000_000);
        }
    }
}
