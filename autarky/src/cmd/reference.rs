//! `autarky reference`: writes docs/reference; `make reference` calls it, and a test compares.

use super::Cli;
use crate::reference;
use anyhow::Context;
use clap::CommandFactory;
use std::path::PathBuf;
use std::process::ExitCode;

/// What to write where.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The folder; files of the same name in it are replaced.
    #[arg(value_name = "DIR")]
    folder: PathBuf,
}

pub(super) fn run(args: &Args) -> anyhow::Result<ExitCode> {
    std::fs::create_dir_all(&args.folder).with_context(|| format!("cannot make `{}`", args.folder.display()))?;
    for page in reference::pages(&Cli::command())? {
        let path = args.folder.join(page.name);
        std::fs::write(&path, page.text).with_context(|| format!("cannot write `{}`", path.display()))?;
    }
    Ok(ExitCode::SUCCESS)
}
