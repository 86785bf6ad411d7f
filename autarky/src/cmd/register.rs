//! `autarky register`: who the parties are, what the contracts say, what depends on what, and what of it is unknown.

use super::output::{self, Format};
use crate::config::file::ConfigFile;
use crate::config::{self, Checked};
use crate::wiring;
use anyhow::Context;
use gateway::clock;
use insurance::register::{Contract, Declared, Severity, Sources};
use insurance::{Day, Register, render};
use policy::Wall;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// Made from the configuration and, if there is one, the file `register.toml` beside it.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, clap::Subcommand)]
enum What {
    /// Print parties, contracts, deployments and dependencies.
    Show(Common),
    /// Print what is missing, wrong or about to end. Exit code 1 when something is wrong or has ended.
    Check {
        /// The day from which ends are seen, `YYYY-MM-DD`. Default: today.
        #[arg(long, value_name = "DATE")]
        as_of: Option<Day>,
        #[command(flatten)]
        common: Common,
    },
}

#[derive(Debug, clap::Args)]
struct Common {
    #[command(flatten)]
    files: Files,
    /// How to print.
    #[arg(long, value_enum, default_value_t)]
    format: Format,
}

/// Where the register is written.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct Files {
    /// The configuration. Default: ./autarky.toml, else the one in your configuration folder.
    #[arg(long, short, value_name = "FILE")]
    pub(super) config: Option<PathBuf>,
    /// What is declared beside the configuration: owners, shared networks, retirements. Default: `register.toml`
    /// beside the configuration, if it is there.
    #[arg(long, value_name = "FILE")]
    register: Option<PathBuf>,
}

impl Files {
    /// The configuration `config`, and what is declared beside it.
    pub(crate) fn of(config: PathBuf) -> Self {
        Self { config: Some(config), register: None }
    }

    /// The same company's files with `other` for a configuration: what is declared beside this one holds for it too.
    pub(super) fn with(&self, other: &Path) -> Self {
        let config = self.config.clone().unwrap_or_else(config::paths::default_config);
        let beside = Some(config.with_file_name("register.toml")).filter(|path| path.exists());
        Self { config: Some(other.to_owned()), register: self.register.clone().or(beside) }
    }
}

pub(super) fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let (common, as_of) = match &args.what {
        What::Show(common) => (common, None),
        What::Check { as_of, common } => (common, Some(as_of.unwrap_or_else(today))),
    };
    let (_, register) = read(&common.files)?;
    let Some(day) = as_of else {
        output::line(match common.format {
            Format::Json => serde_json::to_string_pretty(&register)?,
            Format::Text => render::register(&register),
        });
        return Ok(ExitCode::SUCCESS);
    };
    let findings = register.check(day);
    output::line(match common.format {
        Format::Json => serde_json::to_string_pretty(&findings)?,
        Format::Text => render::findings(&findings),
    });
    let wrong = findings.iter().any(|finding| finding.severity == Severity::Error);
    Ok(if wrong { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

/// Today in UTC.
pub(crate) fn today() -> Day {
    Day::of(Wall::from_unix(clock::unix_micros().div_euclid(1_000_000)))
}

/// The configuration and the register made from it.
///
/// # Errors
/// A file cannot be read or has errors.
pub(super) fn read(files: &Files) -> anyhow::Result<(Checked, Register)> {
    let path = files.config.clone().unwrap_or_else(config::paths::default_config);
    let mut checked = config::load(&path)?;
    wiring::evidence::prove(&mut checked)?;
    let declared = match &files.register {
        Some(register) => declared(register)?,
        None => match path.with_file_name("register.toml") {
            beside if beside.exists() => declared(&beside)?,
            _ => Declared::default(),
        },
    };
    let (contracts, under) = contracts(&path)?;
    let sources = Sources { fleet: &checked.fleet, contracts: &contracts, under: &under, declared: &declared };
    let register = Register::build(sources);
    Ok((checked, register))
}

fn declared(path: &Path) -> anyhow::Result<Declared> {
    let text = std::fs::read_to_string(path).with_context(|| format!("cannot read `{}`", path.display()))?;
    toml::from_str(&text).with_context(|| format!("`{}` is no register", path.display()))
}

/// The contracts as written, and under which one each deployment is used.
fn contracts(path: &Path) -> anyhow::Result<(Vec<Contract>, BTreeMap<String, String>)> {
    let text = std::fs::read_to_string(path).with_context(|| format!("cannot read `{}`", path.display()))?;
    let file: ConfigFile = toml::from_str(&text)?;
    let contract = |(name, written): (String, config::file::ContractFile)| {
        let ends = written.ends.map(|day| day.parse()).transpose()?;
        let (with, notice_days, outputs_for) = (written.with, written.notice_days, written.outputs_for);
        Ok(Contract { name, with, ends, notice_days, outputs_for })
    };
    let under = file.deployment.into_iter().filter_map(|(name, written)| Some((name, written.contract?)));
    Ok((file.contract.into_iter().map(contract).collect::<anyhow::Result<_>>()?, under.collect()))
}
