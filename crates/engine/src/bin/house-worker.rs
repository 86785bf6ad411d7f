//! The child process for this crate's own tests and bench; the product starts `autarky house-worker` instead.

use std::process::ExitCode;

fn main() -> ExitCode {
    match engine::worker::run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // Standard error is read by the parent.
            let _ = std::io::Write::write_all(&mut std::io::stderr(), format!("{error}\n").as_bytes());
            ExitCode::FAILURE
        }
    }
}
