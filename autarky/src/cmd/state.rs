//! `autarky state`: what is kept of clients' conversations, and its erasure.

use super::output::{self, Format};
use crate::config;
use crate::wiring;
use anyhow::bail;
use jiff::Timestamp;
use serde_json::{Value, json};
use state::{Held, Sqlite, Store};
use std::path::PathBuf;
use std::process::ExitCode;

/// Works beside a running server.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    action: Action,
    /// The configuration. Default: ./autarky.toml, else the one in your configuration folder.
    #[arg(long, short, value_name = "FILE", global = true)]
    config: Option<PathBuf>,
    /// How to print.
    #[arg(long, value_enum, default_value_t, global = true)]
    format: Format,
}

#[derive(Debug, clap::Subcommand)]
enum Action {
    /// Count the kept answers and conversations of each product.
    Show,
    /// Forget every answer and conversation of a product, for good.
    Erase {
        /// The product, as in `[product.NAME]`; one that is no longer configured is found as well.
        product: String,
    },
}

pub(super) fn run(args: Args) -> anyhow::Result<ExitCode> {
    let path = args.config.unwrap_or_else(config::paths::default_config);
    let checked = config::load(&path)?;
    let database = wiring::state::database(&wiring::data_folder(&checked.server));
    if !database.exists() {
        output::note(format!("nothing is kept yet: there is no `{}`", database.display()));
        return Ok(ExitCode::SUCCESS);
    }
    let store = Sqlite::open(&database)?;
    match args.action {
        Action::Show => show(&store.held()?, args.format),
        Action::Erase { product } => {
            let held = store.held()?;
            if !held.iter().any(|held| held.product == product) && checked.fleet.product_named(&product).is_none() {
                let known: Vec<&str> = held.iter().map(|held| held.product.as_str()).collect();
                bail!("nothing is kept of a product `{product}`; kept are: {}", known.join(", "));
            }
            let gone = store.erase(&product)?;
            match args.format {
                Format::Json => output::line(json!({"product": product, "erased": gone})),
                Format::Text => {
                    output::line(format!("{gone} answers and conversations of product `{product}` are forgotten"));
                }
            }
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn show(held: &[Held], format: Format) {
    let day = |held: &Held| {
        let oldest = held.oldest.and_then(|seconds| Timestamp::from_second(seconds).ok());
        oldest.map(|oldest| oldest.to_string().chars().take(10).collect::<String>())
    };
    if format == Format::Json {
        let one = |held: &Held| {
            json!({
                "product": held.product, "answers": held.answers, "conversations": held.conversations,
                "items": held.items, "bytes": held.bytes, "oldest": day(held),
            })
        };
        return output::line(Value::Array(held.iter().map(one).collect()));
    }
    if held.is_empty() {
        return output::note("nothing is kept");
    }
    for held in held {
        let Held { product, answers, conversations, items, bytes, .. } = held;
        let since = day(held).map(|day| format!(", since {day}")).unwrap_or_default();
        output::line(format!(
            "{product:<16} {answers} answers, {conversations} conversations, {items} items, {bytes} bytes{since}"
        ));
    }
}
