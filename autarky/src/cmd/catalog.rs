//! `autarky catalog`: what is known of models, their prices and their last days; and the command that reads it anew from
//! files that others publish.

use super::output::{self, Format};
use crate::catalog::import::{self, Files};
use crate::catalog::row::{Retirement, date};
use crate::catalog::{Catalog, Found};
use crate::config;
use anyhow::{Context, bail};
use clap::{Subcommand, ValueHint};
use jiff::Zoned;
use policy::Wall;
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// What is known of a model at every host, or at one: `gpt-5.2`, `azure/gpt-5.2`.
    Show(Show),
    /// Until when which host offers which model.
    Calendar(Calendar),
    /// Write the catalog's files from LiteLLM's price file and what `scripts/genai-prices` says.
    Import(Import),
}

#[derive(Debug, clap::Args)]
struct Show {
    /// `MODEL` or `HOST/MODEL`.
    model: String,
    /// More catalog files of your own, the later over the earlier.
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    file: Vec<PathBuf>,
    /// How to print.
    #[arg(long, value_enum, default_value_t)]
    format: Format,
}

#[derive(Debug, clap::Args)]
struct Calendar {
    /// Only what ends after this day, `YYYY-MM-DD`. Default: today.
    #[arg(long, value_name = "DATE")]
    as_of: Option<String>,
    /// Only models that are asked for this, e.g. `chat`; may be given more than once. Default: `chat` and `responses`.
    #[arg(long, value_name = "MODE")]
    mode: Vec<String>,
    /// More catalog files of your own, the later over the earlier.
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    file: Vec<PathBuf>,
    /// How to print.
    #[arg(long, value_enum, default_value_t)]
    format: Format,
}

#[derive(Debug, clap::Args)]
struct Import {
    /// LiteLLM's `model_prices_and_context_window.json`.
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    litellm: PathBuf,
    /// The version of the package or commit that it comes from.
    #[arg(long, value_name = "VERSION")]
    litellm_version: String,
    /// What `scripts/genai-prices` wrote. Without it, all prices are LiteLLM's.
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    genai_prices: Option<PathBuf>,
    /// The day on which the files were read, `YYYY-MM-DD`. Default: today.
    #[arg(long, value_name = "DATE")]
    read: Option<String>,
    /// The folder to write `models.toml`, `prices.toml` and `calendar.toml` to.
    #[arg(long, value_name = "FOLDER", default_value = "catalog", value_hint = ValueHint::DirPath)]
    out: PathBuf,
}

pub(super) fn run(args: &Args) -> anyhow::Result<ExitCode> {
    match &args.command {
        Command::Show(args) => show(args),
        Command::Calendar(args) => calendar(args),
        Command::Import(args) => import(args),
    }
}

fn show(args: &Show) -> anyhow::Result<ExitCode> {
    let catalog = Catalog::with(&args.file)?;
    let wanted = args.model.to_ascii_lowercase();
    let names = catalog.names(None);
    let keys: Vec<&String> = names
        .iter()
        .filter(|key| **key == wanted || key.split_once('/').is_some_and(|(_, name)| name == wanted))
        .collect();
    if keys.is_empty() {
        let near = policy::plan::nearest(&wanted, names.iter().map(String::as_str));
        bail!("the catalog knows no `{}`; near it: {}", args.model, near.join(", "));
    }
    let all: Vec<Value> = keys.iter().filter_map(|key| entry(&catalog, key)).collect();
    match args.format {
        Format::Json => output::line(serde_json::to_string_pretty(&all)?),
        Format::Text => output::line(toml::to_string(&json!({ "model": all }))?.trim_end()),
    }
    Ok(ExitCode::SUCCESS)
}

/// Everything that is known under one name.
fn entry(catalog: &Catalog, key: &str) -> Option<Value> {
    let (host, name) = key.split_once('/')?;
    let parties = config::catalog::parties(host);
    let model = catalog.model(host, name, None)?.row;
    let exact = |found: &Found<Retirement>| found.key == key;
    let (price, retirement) = (catalog.price(host, name, None), catalog.retirement(host, name, None).filter(exact));
    let mut entry = json!({ "name": key, "host": parties.host, "invoicer": parties.invoicer, "model": model });
    let fields = entry.as_object_mut()?;
    if let Some(price) = &price {
        fields.insert("price".to_owned(), serde_json::to_value(&price.row).ok()?);
    }
    if let Some(retirement) = &retirement {
        fields.insert("retirement".to_owned(), serde_json::to_value(&retirement.row).ok()?);
    }
    let named = [model.source, price.and_then(|price| price.row.source), retirement.and_then(|end| end.row.source)];
    let sources: BTreeSet<String> = named.into_iter().flatten().collect();
    let sources: BTreeMap<&String, _> = sources.iter().filter_map(|name| Some((name, catalog.source(name)?))).collect();
    fields.insert("source".to_owned(), serde_json::to_value(sources).ok()?);
    Some(entry)
}

/// One line of the calendar.
struct Line {
    day: Wall,
    key: String,
    row: Retirement,
}

fn calendar(args: &Calendar) -> anyhow::Result<ExitCode> {
    let catalog = Catalog::with(&args.file)?;
    let as_of = args.as_of.clone().unwrap_or_else(today);
    let Some(first) = date(&as_of) else { bail!("`{as_of}` is no date: write it like 2026-11-23") };
    let modes: Vec<&str> =
        if args.mode.is_empty() { vec!["chat", "responses"] } else { args.mode.iter().map(String::as_str).collect() };
    let mut lines: Vec<Line> = catalog
        .calendar()
        .into_iter()
        .filter(|(_, row)| row.mode.as_deref().is_none_or(|mode| modes.contains(&mode)))
        .filter_map(|(key, row)| Some(Line { day: row.day()?, key, row }))
        .filter(|line| line.day > first)
        .collect();
    lines.sort_by(|a, b| (a.day, &a.key).cmp(&(b.day, &b.key)));
    let differing = differing(&lines);
    let days = |line: &Line| first.until(line.day).as_secs() / 86_400;
    match args.format {
        Format::Json => {
            let listed: Vec<Value> = lines
                .iter()
                .map(|line| json!({ "name": line.key, "days": days(line), "retirement": line.row }))
                .collect();
            output::line(serde_json::to_string_pretty(&json!({
                "as_of": as_of, "retirements": listed, "differing": differing
            }))?);
        }
        Format::Text => {
            for line in &lines {
                let then = line.row.successor.as_ref().map(|name| format!("  then {name}")).unwrap_or_default();
                output::line(format!("{}  in {:>4} days  {}{then}", line.row.on, days(line), line.key));
            }
            for (model, dates) in &differing {
                let dates: Vec<String> = dates.iter().map(|(key, day)| format!("{day} {key}")).collect();
                output::line(format!("differs by host: {model}: {}", dates.join(", ")));
            }
            output::line(format!(
                "{} last days after {as_of}; {} models whose last day differs by host",
                lines.len(),
                differing.len()
            ));
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// Models of one name whose last days differ by host, with the day of each.
fn differing(lines: &[Line]) -> BTreeMap<&str, BTreeMap<&str, &str>> {
    let mut all: BTreeMap<&str, BTreeMap<&str, &str>> = BTreeMap::new();
    for line in lines {
        let model = line.key.rsplit('/').next().unwrap_or(&line.key);
        all.entry(model).or_default().insert(&line.key, &line.row.on);
    }
    all.retain(|_, dates| dates.values().collect::<BTreeSet<_>>().len() > 1);
    all
}

fn import(args: &Import) -> anyhow::Result<ExitCode> {
    let litellm = json_of(&args.litellm)?;
    let genai = args.genai_prices.as_deref().map(json_of).transpose()?;
    let read = args.read.clone().unwrap_or_else(today);
    let imported = import::read(&litellm, &args.litellm_version, genai.as_ref(), &read)?;
    let Files { models, prices, calendar } = imported.files()?;
    for (name, text) in [("models.toml", models), ("prices.toml", prices), ("calendar.toml", calendar)] {
        let path = args.out.join(name);
        std::fs::write(&path, text).with_context(|| format!("`{}` cannot be written", path.display()))?;
    }
    output::line(format!(
        "{} models, {} prices, {} last days in {}",
        imported.models.len(),
        imported.prices.len(),
        imported.calendar.len(),
        args.out.display()
    ));
    for (why, count) in &imported.left_out {
        output::line(format!("left out {count:>5}: {why}"));
    }
    Ok(ExitCode::SUCCESS)
}

fn json_of(path: &Path) -> anyhow::Result<Value> {
    let text = std::fs::read_to_string(path).with_context(|| format!("`{}` cannot be read", path.display()))?;
    serde_json::from_str(&text).with_context(|| format!("`{}` is no JSON", path.display()))
}

fn today() -> String {
    Zoned::now().date().to_string()
}
