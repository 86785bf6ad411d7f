//! `autarky completions`: completions for a shell, made from the commands themselves.

use clap::CommandFactory;
use clap_complete::Shell;
use std::process::ExitCode;

/// For bash: `autarky completions bash > /etc/bash_completion.d/autarky`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The shell.
    shell: Shell,
}

pub(super) fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut super::Cli::command(), "autarky", &mut script);
    super::output::line(String::from_utf8_lossy(&script).trim_end());
    Ok(ExitCode::SUCCESS)
}
