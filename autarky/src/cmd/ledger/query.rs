//! `autarky ledger query`: attempts one by one, or their totals by whatever they say.

use super::{Picked, dimension};
use crate::cmd::output;
use ::ledger::named::Named;
use ::ledger::record::COLUMNS;
use ::ledger::{Attempt, Cell, Dimension, Filter, Outcome, Store, Total};
use clap::ValueEnum;
use jiff::Timestamp;
use serde_json::{Map, Value, json};
use std::process::ExitCode;

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Print totals by this, several joined by commas: `product,day`. Known: product, team, key, class,
    /// requested_model, resolved_model (or model), deployment, provider, maker, host, invoicer, account, region, family,
    /// outcome, mode, fault, portability, month, day, hour.
    #[arg(long, value_name = "NAMES", value_delimiter = ',', value_parser = dimension)]
    by: Vec<Dimension>,
    /// One line with the totals of all that is meant.
    #[arg(long, conflicts_with = "by")]
    total: bool,
    /// Print at most so many lines.
    #[arg(long, default_value_t = 50)]
    limit: u32,
    /// How to print.
    #[arg(long, value_enum, default_value_t)]
    format: Format,
    #[command(flatten)]
    picked: Picked,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
enum Format {
    /// For a terminal.
    #[default]
    Text,
    /// For machines.
    Json,
    /// A table.
    Csv,
}

pub(super) fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let store = args.picked.store()?;
    let filter = args.picked.filter();
    if args.by.is_empty() && !args.total {
        let rows = store.list(&Filter { limit: Some(args.limit), ..filter })?;
        output::line(match args.format {
            Format::Text => rows.iter().map(told).collect::<Vec<_>>().join("\n"),
            Format::Json => serde_json::to_string_pretty(&rows)?,
            Format::Csv => csv_of_rows(&rows)?,
        });
        return Ok(ExitCode::SUCCESS);
    }
    let mut totals = store.totals(&args.by, &filter)?;
    let by_time = |by: &Dimension| matches!(by, Dimension::Month | Dimension::Day | Dimension::Hour);
    if args.by.first().is_some_and(by_time) {
        totals.sort_by(|a, b| a.group.cmp(&b.group));
    }
    let left_out = totals.len().saturating_sub(args.limit as usize);
    totals.truncate(args.limit as usize);
    output::line(match args.format {
        Format::Text => table(&args.by, &totals),
        Format::Json => {
            serde_json::to_string_pretty(&totals.iter().map(|one| object(&args.by, one)).collect::<Vec<_>>())?
        }
        Format::Csv => csv_of_totals(&args.by, &totals)?,
    });
    if left_out > 0 {
        output::note(format!("{left_out} more lines; `--limit` prints them"));
    }
    Ok(ExitCode::SUCCESS)
}

/// An attempt in a line.
fn told(row: &Attempt) -> String {
    let word = |word: Option<&str>| word.unwrap_or("?").to_owned();
    let what = match row.outcome {
        Outcome::Failed => row.fault.map_or("failed", canon::FaultKind::name),
        other => other.name(),
    };
    let tokens = |count: Option<u64>| count.map_or_else(|| "?".to_owned(), |count| count.to_string());
    format!(
        "{} {}#{} {:<14} {:<16} {:<8} {:<16} {:>8} in {:>7} out {:>12} {:>9}",
        Timestamp::from_microsecond(row.started).unwrap_or_default().strftime("%Y-%m-%dT%H:%M:%SZ"),
        row.request_id,
        row.attempt,
        word(row.product.as_deref()),
        word(row.deployment.as_deref()),
        row.mode.name(),
        what,
        tokens(row.input_tokens),
        tokens(row.output_tokens),
        row.cost_nanodollars.map_or_else(|| "$?".to_owned(), dollars),
        row.last_token_us.map_or_else(|| "? ms".to_owned(), |micros| format!("{} ms", micros / 1_000)),
    )
}

/// Nano-dollars as dollars, to a millionth.
#[expect(clippy::cast_precision_loss, reason = "figures for people")]
pub(super) fn dollars(nanodollars: i64) -> String {
    format!("${:.6}", nanodollars as f64 / 1e9)
}

/// The columns of totals after the groups.
const SUMS: [&str; 14] = [
    "requests",
    "attempts",
    "ok",
    "failed",
    "cancelled",
    "unknown",
    "uncounted",
    "input_tokens",
    "cache_read_tokens",
    "cache_write_tokens",
    "output_tokens",
    "reasoning_tokens",
    "unpriced",
    "cost_nanodollars",
];

fn sums(total: &Total) -> [i128; 14] {
    [
        total.requests.into(),
        total.attempts.into(),
        total.ok.into(),
        total.failed.into(),
        total.cancelled.into(),
        total.unknown.into(),
        total.uncounted.into(),
        total.input_tokens.into(),
        total.cache_read_tokens.into(),
        total.cache_write_tokens.into(),
        total.output_tokens.into(),
        total.reasoning_tokens.into(),
        total.unpriced.into(),
        total.cost_nanodollars.into(),
    ]
}

fn object(by: &[Dimension], total: &Total) -> Value {
    let groups = by.iter().zip(&total.group).map(|(by, name)| (by.name().to_owned(), json!(name.as_deref())));
    let numbers = SUMS.iter().zip(sums(total)).map(|(name, sum)| {
        let sum = i64::try_from(sum).map_or_else(|_| json!(i64::MAX), |sum| json!(sum));
        ((*name).to_owned(), sum)
    });
    Value::Object(groups.chain(numbers).collect::<Map<_, _>>())
}

fn table(by: &[Dimension], totals: &[Total]) -> String {
    let mut all = Total::default();
    totals.iter().for_each(|total| all.add(total));
    let cells = |groups: Vec<String>, total: &Total| -> Vec<String> {
        let lacks = |count: u64, of: &str| if count > 0 { format!("{count} {of}") } else { String::new() };
        let unknown = [lacks(total.uncounted, "without counts"), lacks(total.unpriced, "without price")];
        let unknown: Vec<String> = unknown.into_iter().filter(|text| !text.is_empty()).collect();
        let numbers = [
            total.requests.to_string(),
            total.attempts.to_string(),
            total.failed.to_string(),
            total.input_tokens.to_string(),
            total.cache_read_tokens.to_string(),
            total.output_tokens.to_string(),
            dollars(total.cost_nanodollars),
            unknown.join(", "),
        ];
        groups.into_iter().chain(numbers).collect()
    };
    let head = by.iter().map(|by| by.name().to_owned());
    let names = ["requests", "attempts", "failed", "tokens in", "cached", "tokens out", "cost", "unknown"];
    let mut lines = vec![head.chain(names.map(str::to_owned)).collect::<Vec<_>>()];
    lines.extend(totals.iter().map(|total| {
        let group = |name: &Option<::ledger::Name>| name.as_deref().unwrap_or("?").to_owned();
        cells(total.group.iter().map(group).collect(), total)
    }));
    if totals.len() != 1 {
        // requests with attempts in several groups count once in each: no sum of them is said
        let mut groups = vec![String::new(); by.len()];
        if let Some(first) = groups.first_mut() {
            "all".clone_into(first);
        }
        let mut last = cells(groups, &all);
        last[by.len()] = String::new();
        lines.push(last);
    }
    aligned(&lines, by.len())
}

/// Lines of cells in columns; the first `left` of them and the last are aligned to the left.
pub(super) fn aligned(lines: &[Vec<String>], left: usize) -> String {
    let columns = lines.first().map_or(0, Vec::len);
    let width = |at: usize| lines.iter().map(|line| line[at].chars().count()).max().unwrap_or(0);
    let widths: Vec<usize> = (0..columns).map(width).collect();
    let line = |cells: &Vec<String>| {
        let cell = |(at, text): (usize, &String)| {
            if at < left || at + 1 == columns {
                format!("{text:<0$}", widths[at])
            } else {
                format!("{text:>0$}", widths[at])
            }
        };
        cells.iter().enumerate().map(cell).collect::<Vec<_>>().join("  ").trim_end().to_owned()
    };
    lines.iter().map(line).collect::<Vec<_>>().join("\n")
}

fn csv_of_totals(by: &[Dimension], totals: &[Total]) -> anyhow::Result<String> {
    let mut out = csv::Writer::from_writer(Vec::new());
    out.write_record(by.iter().map(|by| by.name()).chain(SUMS))?;
    for total in totals {
        let groups = total.group.iter().map(|name| name.as_deref().unwrap_or_default().to_owned());
        out.write_record(groups.chain(sums(total).map(|sum| sum.to_string())))?;
    }
    Ok(String::from_utf8(out.into_inner()?)?.trim_end().to_owned())
}

fn csv_of_rows(rows: &[Attempt]) -> anyhow::Result<String> {
    let mut out = csv::Writer::from_writer(Vec::new());
    out.write_record(COLUMNS.iter().map(|column| column.name))?;
    for row in rows {
        out.write_record(row.cells().map(text))?;
    }
    Ok(String::from_utf8(out.into_inner()?)?.trim_end().to_owned())
}

/// A cell of a table; nothing is empty.
pub(super) fn text(cell: Cell<'_>) -> String {
    match cell {
        Cell::Null => String::new(),
        Cell::Integer(number) => number.to_string(),
        Cell::Real(number) => number.to_string(),
        Cell::Text(text) => text.into_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tables_are_aligned_and_say_what_they_leave_out() {
        let one = Total {
            group: vec![Some("copilot".into()), None],
            requests: 2,
            attempts: 3,
            failed: 1,
            input_tokens: 1_000,
            unpriced: 1,
            cost_nanodollars: 1_500_000,
            ..Total::default()
        };
        let two = Total { group: vec![Some("a".into()), Some("eu".into())], attempts: 10, ..Total::default() };
        let said = table(&[Dimension::Product, Dimension::Region], &[two, one]);
        let wanted = "\
product  region  requests  attempts  failed  tokens in  cached  tokens out       cost  unknown
a        eu             0        10       0          0       0           0  $0.000000
copilot  ?              2         3       1       1000       0           0  $0.001500  1 without price
all                              13       1       1000       0           0  $0.001500  1 without price";
        assert_eq!(said, wanted);
    }
}
