//! `autarky check`: every problem of a configuration, with its line and what to do.

use super::output;
use crate::config::{self, Problems};
use std::path::PathBuf;
use std::process::ExitCode;

/// Exit code 0: usable (there may be warnings); 1: there are errors.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The configuration. Default: ./autarky.toml, else the one in your configuration folder.
    #[arg(long, short, value_name = "FILE")]
    config: Option<PathBuf>,
}

pub(super) fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let path = args.config.clone().unwrap_or_else(config::paths::default_config);
    let checked = config::load(&path)?;
    if !checked.warnings.is_empty() {
        output::note(Problems { file: path.display().to_string(), list: checked.warnings });
    }
    let (deployments, products) = (checked.fleet.deployments().len(), checked.fleet.products().len());
    output::line(format!("{}: good ({deployments} deployments, {products} products)", path.display()));
    Ok(ExitCode::SUCCESS)
}
