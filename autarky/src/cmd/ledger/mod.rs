//! `autarky ledger`: asks the ledger beside a running server, takes it out for other tools, and compares it with what
//! providers bill.

mod export;
mod focus;
mod parquet;
mod query;
mod reconcile;

use crate::cmd::window::{self, Since};
use crate::config;
use crate::wiring;
use ::ledger::named::Named;
use ::ledger::{Dimension, Filter, Name, Sqlite};
use anyhow::bail;
use gateway::clock;
use std::path::PathBuf;
use std::process::ExitCode;

/// One row per upstream attempt; no word of a request or an answer is in it.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, clap::Subcommand)]
enum What {
    /// Print attempts, the newest first, or what they add up to by product, model, day and so on.
    Query(query::Args),
    /// Write every attempt to a file, or the charges of a FOCUS table.
    Export(export::Args),
    /// Compare what a provider says it was used for with the ledger: by day, model and account, in counts and in prices.
    Reconcile(reconcile::Args),
}

pub(super) fn run(args: &Args) -> anyhow::Result<ExitCode> {
    match &args.what {
        What::Query(args) => query::run(args),
        What::Export(args) => export::run(args),
        What::Reconcile(args) => reconcile::run(args),
    }
}

/// Which attempts are meant.
#[derive(Debug, Clone, clap::Args)]
struct Picked {
    /// How far back: `30d`, `12h`, `90m`, or `all`.
    #[arg(long, default_value = "30d", value_name = "TIME", value_parser = window::since, conflicts_with = "from")]
    since: Since,
    /// Begun at this moment or after: a day `YYYY-MM-DD` (UTC) or RFC 3339.
    #[arg(long, value_name = "MOMENT", value_parser = window::moment)]
    from: Option<i64>,
    /// Begun before this moment.
    #[arg(long, value_name = "MOMENT", value_parser = window::moment)]
    until: Option<i64>,
    /// Only attempts that say so, such as `product=copilot`; `region=` means those that do not say. Several must all
    /// be true. What can be asked for is what `query --by` can group by.
    #[arg(long = "where", value_name = "NAME=VALUE", value_parser = condition)]
    conditions: Vec<(Dimension, Option<Name>)>,
    /// The configuration. Default: ./autarky.toml, else the one in your configuration folder.
    #[arg(long, short, value_name = "FILE")]
    config: Option<PathBuf>,
}

impl Picked {
    /// As the ledger's filter.
    fn filter(&self) -> Filter {
        let back = |since: Since| Some(clock::unix_micros().saturating_sub(micros(since.0?)));
        let from = self.from.or_else(|| back(self.since));
        Filter { from, until: self.until, is: self.conditions.clone(), limit: None }
    }

    /// The ledger.
    ///
    /// # Errors
    /// The configuration has errors, or there is no ledger yet.
    fn store(&self) -> anyhow::Result<Sqlite> {
        let path = self.config.clone().unwrap_or_else(config::paths::default_config);
        let checked = config::load(&path)?;
        let database = wiring::database(&wiring::data_folder(&checked.server));
        if !database.exists() {
            bail!("there is no ledger at `{}` yet: `autarky serve` makes it", database.display());
        }
        Ok(Sqlite::open_read_only(&database)?)
    }
}

fn micros(back: std::time::Duration) -> i64 {
    i64::try_from(back.as_micros()).unwrap_or(i64::MAX)
}

/// Reads `product=copilot`.
fn condition(text: &str) -> Result<(Dimension, Option<Name>), String> {
    let (name, value) = text.split_once('=').ok_or("write NAME=VALUE, such as `product=copilot`")?;
    Ok((dimension(name)?, Some(value).filter(|value| !value.is_empty()).map(Name::from)))
}

/// Reads the name of what can be grouped by; `model` is the model that answered.
fn dimension(text: &str) -> Result<Dimension, String> {
    let name = if text == "model" { Dimension::Model.name() } else { text };
    let known = || Dimension::MEMBERS.iter().map(|one| one.name()).collect::<Vec<_>>().join(", ");
    Dimension::named(name).ok_or_else(|| format!("attempts say nothing of `{text}`; known: {}", known()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn conditions_are_read() {
        assert_eq!(condition("product=a=b"), Ok((Dimension::Product, Some("a=b".into()))));
        assert_eq!(condition("region="), Ok((Dimension::Region, None)));
        assert_eq!(condition("model=gpt"), Ok((Dimension::Model, Some("gpt".into()))));
        assert!(condition("produkt=x").is_err_and(|error| error.contains("`produkt`") && error.contains("product")));
        assert!(condition("product").is_err());
    }
}
