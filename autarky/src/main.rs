//! autarky: one binary between your products and every language model. Here is only the door: the command line is
//! read and handed to the command's own file.

mod admin;
mod catalog;
mod cmd;
mod config;
mod drills;
mod reference;
mod weights;
mod wiring;

use clap::Parser;
use std::process::ExitCode;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    cmd::run(cmd::Cli::parse())
}
