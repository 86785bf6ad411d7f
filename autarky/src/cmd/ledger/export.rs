//! `autarky ledger export`: every attempt for other tools, or the charges of a FOCUS table. Rows go out as they are read:
//! memory does not grow with the ledger.

use super::query::text;
use super::{Picked, focus, parquet};
use crate::cmd::output;
use ::ledger::record::COLUMNS;
use ::ledger::{Attempt, Filter, Sqlite, Store};
use anyhow::Context;
use clap::ValueEnum;
use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The file to write (`-`: standard output).
    #[arg(value_name = "FILE")]
    to: PathBuf,
    /// What to write. Default: by the end of the file's name, else CSV.
    #[arg(long = "as", value_enum, value_name = "FORMAT")]
    kind: Option<Kind>,
    #[command(flatten)]
    picked: Picked,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Kind {
    /// A line per attempt: CSV with a head.
    Csv,
    /// A line per attempt: JSON; what an attempt does not say is left out.
    Jsonl,
    /// A row per attempt: Parquet, compressed.
    Parquet,
    /// Charges by day, product, key, model and parties: CSV with the columns of FOCUS 1.2, those of 1.3 beside them.
    Focus,
}

impl Args {
    fn kind(&self) -> Kind {
        let by_name = || match self.to.extension().and_then(|end| end.to_str()) {
            Some("parquet") => Kind::Parquet,
            Some("jsonl" | "ndjson") => Kind::Jsonl,
            _ => Kind::Csv,
        };
        self.kind.unwrap_or_else(by_name)
    }
}

pub(super) fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let store = args.picked.store()?;
    let filter = args.picked.filter();
    let rows = if args.to == Path::new("-") {
        write(args.kind(), std::io::stdout(), &store, &filter)?
    } else {
        // beside the file and moved over it when it is whole: a reader sees the old one or the new one
        let mut beside = args.to.clone().into_os_string();
        beside.push(".new");
        let place = || format!("cannot write `{}`", args.to.display());
        let file = File::create(&beside).with_context(place)?;
        let rows = write(args.kind(), BufWriter::new(file), &store, &filter).with_context(place)?;
        std::fs::rename(&beside, &args.to).with_context(place)?;
        rows
    };
    output::note(format!("{rows} {} written", if args.kind() == Kind::Focus { "charges" } else { "attempts" }));
    Ok(ExitCode::SUCCESS)
}

fn write(kind: Kind, to: impl Write + Send, store: &Sqlite, filter: &Filter) -> anyhow::Result<u64> {
    match kind {
        Kind::Focus => focus::write(to, store, filter),
        Kind::Parquet => {
            let mut table = parquet::Table::new(to)?;
            let rows = each(store, filter, |row| table.add(&row))?;
            table.end()?;
            Ok(rows)
        }
        Kind::Csv => {
            let mut out = csv::Writer::from_writer(to);
            out.write_record(COLUMNS.iter().map(|column| column.name))?;
            let rows = each(store, filter, |row| Ok(out.write_record(row.cells().map(text))?))?;
            out.flush()?;
            Ok(rows)
        }
        Kind::Jsonl => {
            let mut to = BufWriter::new(to);
            let rows = each(store, filter, |row| {
                serde_json::to_writer(&mut to, &row)?;
                Ok(to.write_all(b"\n")?)
            })?;
            to.flush()?;
            Ok(rows)
        }
    }
}

/// Hands every row to `take` and counts them; stops at its first failure.
fn each(store: &Sqlite, filter: &Filter, mut take: impl FnMut(Attempt) -> anyhow::Result<()>) -> anyhow::Result<u64> {
    let (mut rows, mut result) = (0, Ok(()));
    store.each(filter, &mut |row| {
        result = take(row);
        rows += u64::from(result.is_ok());
        result.is_ok()
    })?;
    result.map(|()| rows)
}
