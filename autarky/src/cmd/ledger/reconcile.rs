//! `autarky ledger reconcile`: a provider's statement beside the ledger.

use super::Picked;
use crate::cmd::output::{self, Format};
use crate::cmd::window::Since;
use ::ledger::{Dimension, Filter, Name, Store, Total};
use anyhow::{Context, bail};
use insurance::reconcile::{Booked, Statement, reconcile};
use insurance::{Day, render};
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::ExitCode;

/// Exit code 1 when something differs.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// What the provider says: answers of OpenAI's usage and costs API, of Anthropic's usage and cost reports (JSON,
    /// pages one after the other), or a FOCUS table (CSV). Days that it does not speak of are not compared.
    #[arg(value_name = "FILE", required = true)]
    files: Vec<PathBuf>,
    /// The provider, as in `[provider.NAME]` or the catalog.
    #[arg(long, value_name = "NAME")]
    provider: String,
    /// Which of our accounts a key of the statement is, such as `apikey_01Rj2N=main`; several may be given.
    #[arg(long = "key", value_name = "THEIRS=OURS", value_parser = named)]
    keys: Vec<(String, Name)>,
    /// The configuration. Default: ./autarky.toml, else the one in your configuration folder.
    #[arg(long, short, value_name = "FILE")]
    config: Option<PathBuf>,
    /// How to print.
    #[arg(long, value_enum, default_value_t)]
    format: Format,
}

fn named(text: &str) -> Result<(String, Name), String> {
    let (theirs, ours) = text.split_once('=').ok_or("write THEIRS=OURS, such as `apikey_01Rj2N=main`")?;
    Ok((theirs.to_owned(), ours.into()))
}

pub(super) fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let mut statement = Statement::default();
    for path in &args.files {
        let place = || format!("cannot use `{}`", path.display());
        let text = std::fs::read_to_string(path).with_context(place)?;
        statement.merge(Statement::read(&text).with_context(place)?);
    }
    let (Some(first), Some(last)) = (statement.days.first(), statement.days.last()) else {
        bail!("the statement speaks of no day; fetch a window with use");
    };
    let picked =
        Picked { since: Since(None), from: None, until: None, conditions: Vec::new(), config: args.config.clone() };
    let micros = |day: Day| day.wall().unix().saturating_mul(1_000_000);
    let filter = Filter { from: Some(micros(*first)), until: Some(micros(last.before(-1))), ..Filter::default() }
        .only(Dimension::Provider, args.provider.as_str());
    let store = picked.store()?;
    let totals = store.totals(&[Dimension::Day, Dimension::Model, Dimension::Account], &filter)?;
    if totals.is_empty() {
        let known = store.totals(&[Dimension::Provider], &Filter::default())?;
        let known: Vec<&str> = known.iter().filter_map(|total| total.group[0].as_deref()).collect();
        output::note(format!(
            "the ledger has no attempt at provider `{}` in these days; it knows: {}",
            args.provider,
            known.join(", ")
        ));
    }
    let booked = totals.iter().map(booked).collect::<anyhow::Result<Vec<Booked>>>()?;
    let mut found = reconcile(&statement, &booked, &args.keys.iter().cloned().collect::<BTreeMap<_, _>>());
    if let Some(kept) = store.kept_from()?.filter(|kept| *kept > micros(*first)) {
        found.notes.push(format!("rows of before {} are forgotten: our side lacks them", Day::of_micros(kept)));
    }
    output::line(match args.format {
        Format::Text => render::reconcile_text(&found),
        Format::Json => serde_json::to_string_pretty(&found)?,
    });
    Ok(if found.agrees() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn booked(total: &Total) -> anyhow::Result<Booked> {
    let says = |at: usize| total.group.get(at).cloned().flatten();
    Ok(Booked {
        day: says(0).as_deref().unwrap_or_default().parse()?,
        model: says(1),
        account: says(2),
        attempts: total.attempts,
        uncounted: total.uncounted,
        unpriced: total.unpriced,
        input: total.input_tokens,
        cached: total.cache_read_tokens,
        output: total.output_tokens,
        nanodollars: total.cost_nanodollars,
    })
}
