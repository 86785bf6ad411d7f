//! `autarky exposure`: who the products depend on, what would be left without each, what ends when. Reads the ledger
//! beside a running server, or a file that another tool wrote.

use super::output;
use super::register::{self, Files};
use super::window::{self, Since, Window};
use anyhow::{Context, bail};
use clap::ValueEnum;
use insurance::exposure::Inputs;
use insurance::import::{Import, import};
use insurance::{Day, Exposure, Kind, Register, exposure, render};
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// Shares are recorded; what a loss would do is found by asking the plan again without what is lost. What nobody knows
/// is said to be unknown.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// How far back: `30d`, `12h`, `90m`, or `all`.
    #[arg(long, default_value = "30d", value_name = "TIME", value_parser = window::since)]
    since: Since,
    /// Only the shares by this kind of party, all of them.
    #[arg(long, value_enum)]
    by: Option<By>,
    /// The day on which the question is asked, `YYYY-MM-DD`: what has ended by then is gone. Default: today.
    #[arg(long, value_name = "DATE")]
    as_of: Option<Day>,
    /// How to print.
    #[arg(long, value_enum, default_value_t)]
    format: Format,
    /// Read traffic that never passed autarky from a file (`-`: standard input): OpenTelemetry GenAI spans (OTLP JSON),
    /// LiteLLM spend logs, Helicone or Langfuse exports, FOCUS CSV. Needs no configuration.
    #[arg(long, value_name = "FILE", conflicts_with = "since")]
    import: Option<PathBuf>,
    #[command(flatten)]
    files: Files,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
enum Format {
    /// For a terminal.
    #[default]
    Text,
    /// Everything, for machines.
    Json,
    /// A page with pictures.
    Html,
    /// The shares as a table.
    Csv,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum By {
    /// Who trained the model.
    Maker,
    /// Whose machines run it.
    Host,
    /// Who bills.
    Invoicer,
    /// Our account.
    Account,
    /// The model's family.
    Family,
    /// Where it runs.
    Region,
    /// The deployment.
    Deployment,
}

impl By {
    const fn kind(self) -> Kind {
        match self {
            Self::Maker => Kind::Maker,
            Self::Host => Kind::Host,
            Self::Invoicer => Kind::Invoicer,
            Self::Account => Kind::Account,
            Self::Family => Kind::Family,
            Self::Region => Kind::Region,
            Self::Deployment => Kind::Deployment,
        }
    }
}

pub(super) fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let day = args.as_of.unwrap_or_else(register::today);
    let report = match &args.import {
        Some(path) => foreign(path, day)?,
        None => own(args, day)?,
    };
    let by = args.by.map(By::kind);
    output::line(match args.format {
        Format::Text => render::text(&report, by),
        Format::Json => render::json(&report)?,
        Format::Html => render::html(&report),
        Format::Csv => render::csv(&report, by)?.trim_end().to_owned(),
    });
    Ok(ExitCode::SUCCESS)
}

/// The report on what passed us.
fn own(args: &Args, day: Day) -> anyhow::Result<Exposure> {
    let mut window = Window::read(&args.files, args.since, day)?;
    let alone = "one instance of autarky is taken to serve this ledger: without it, nothing is answered";
    window.notes.push(alone.to_owned());
    Ok(exposure(&window.inputs()))
}

/// The report on what a file says.
fn foreign(path: &Path, day: Day) -> anyhow::Result<Exposure> {
    let mut text = String::new();
    if path == Path::new("-") {
        std::io::stdin().read_to_string(&mut text).context("cannot read standard input")?;
    } else {
        text = std::fs::read_to_string(path).with_context(|| format!("cannot read `{}`", path.display()))?;
    }
    let Import { flows, inferred, notes, .. } = match import(&text) {
        Ok(import) => import,
        Err(error) => bail!("cannot import `{}`: {error}", path.display()),
    };
    Ok(exposure(&Inputs {
        flows: &flows,
        register: &Register::default(),
        fleet: None,
        covers: &[],
        drills: &[],
        day,
        instances: None,
        inferred: &inferred,
        notes: &notes,
    }))
}
