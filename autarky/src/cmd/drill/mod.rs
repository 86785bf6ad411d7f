//! `autarky drill`: rehearse a loss. Planned, ordered, followed, stopped and reported here; played by the running server
//! that shares the data folder.

mod play;
mod replay;
mod scene;

use scene::Reported;
pub(crate) use scene::Scene;

use super::output::{self, Format, ReportFormat};
use super::register::Files;
use super::window::{self, Since};
use crate::drills::{Asked, Trouble};
use insurance::drill::{Abort, Fault, KINDS, Level, State, Verdict};
use insurance::{Node, render};
use ledger::Name;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

/// Nothing is called gone before it is: outside its requests and its window a drill changes nothing, and it ends by itself.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, clap::Subcommand)]
enum What {
    /// Tell what a drill would do, and whether it may begin. Nothing is played.
    Plan {
        #[command(flatten)]
        order: Order,
        /// How to print.
        #[arg(long, value_enum, default_value_t)]
        format: ReportFormat,
    },
    /// Run a drill, and report it. Exit code 1: what was expected did not hold.
    Run {
        #[command(flatten)]
        order: Order,
        #[command(flatten)]
        source: replay::Source,
        /// How to print the report.
        #[arg(long, value_enum, default_value_t)]
        format: ReportFormat,
    },
    /// Stop the drill that runs: everyone is asked as usual again within a second.
    Abort {
        #[command(flatten)]
        files: Files,
    },
    /// Report a drill.
    Report {
        /// The drill. Default: the last one.
        #[arg(value_name = "ID")]
        id: Option<String>,
        /// The last one, which is the default.
        #[arg(long, conflicts_with = "id")]
        last: bool,
        #[command(flatten)]
        files: Files,
        /// How to print.
        #[arg(long, value_enum, default_value_t)]
        format: ReportFormat,
    },
    /// List drills, the newest first.
    List {
        #[command(flatten)]
        files: Files,
        /// How to print.
        #[arg(long, value_enum, default_value_t)]
        format: Format,
    },
    /// List the faults that can be played.
    Faults {
        /// How to print.
        #[arg(long, value_enum, default_value_t)]
        format: Format,
    },
}

/// What is rehearsed.
#[derive(Debug, Clone, clap::Args)]
struct Order {
    /// What is lost, with all that rests on it: `maker:openai`, `host:azure`, `invoicer:…`, `account:…`, `region:…`,
    /// `family:…`, `provider:…`, `party:…`, `network:…`, `deployment:gpt`, `house`.
    #[arg(long, value_name = "KIND:NAME")]
    lose: Node,
    /// What that looks like from outside, with its settings: `refused`, `silent`, `cut:after=40`, `rate-limited:times=1`;
    /// `autarky drill faults` lists them.
    #[arg(long, default_value = "refused")]
    fault: Fault,
    /// How real: L0 (on paper), L1 (a replay), L2 (a part of live traffic), L3 (all of it).
    #[arg(long, default_value = "L0")]
    level: Level,
    /// A product whose requests are part of it; may be given more than once. Default: all.
    #[arg(long = "product", value_name = "PRODUCT")]
    products: Vec<String>,
    /// The share of their requests that is part of it, 0 to 1.
    #[arg(long, default_value_t = 1.0)]
    share: f64,
    /// How long it lasts: `30s`, `2m`, `1h`.
    #[arg(long, default_value = "60s", value_name = "TIME", value_parser = window_of)]
    window: Duration,
    /// Stop when this share of requests has failed, 0 to 1.
    #[arg(long, default_value_t = 0.05, value_name = "SHARE")]
    abort_failed: f64,
    /// Stop when this share of answers is below the quality floor, 0 to 1. Default: as for failures, where a product has
    /// a floor.
    #[arg(long, value_name = "SHARE")]
    abort_below_floor: Option<f64>,
    /// Stop when its calls have cost so much, US dollars.
    #[arg(long, value_name = "USD")]
    spend: Option<f64>,
    /// How far back recorded traffic is taken from on paper: `30d`, `12h`, `90m`, or `all`.
    #[arg(long, default_value = "30d", value_name = "TIME", value_parser = window::since)]
    since: Since,
    #[command(flatten)]
    files: Files,
}

/// Reads `30s`, `2m` or `1h`.
pub(crate) fn window_of(text: &str) -> Result<Duration, String> {
    let unit = match text.chars().last() {
        Some('s') => 1,
        Some('m') => 60,
        Some('h') => 3_600,
        _ => 0,
    };
    let number = text.get(..text.len().saturating_sub(1)).and_then(|number| number.parse::<u64>().ok());
    match number {
        Some(number) if unit > 0 => Ok(Duration::from_secs(number.saturating_mul(unit))),
        _ => Err("write a number of seconds, minutes or hours, such as `30s`, `2m`, `1h`".to_owned()),
    }
}

impl Order {
    fn asked(&self) -> Asked {
        Asked {
            target: self.lose.clone(),
            fault: self.fault.clone(),
            level: self.level,
            products: self.products.iter().map(|name| Name::from(name.as_str())).collect(),
            share: self.share,
            window_s: self.window.as_secs(),
            abort: Abort {
                failed: Some(self.abort_failed),
                below_floor: self.abort_below_floor,
                usd: self.spend,
                ..Abort::default()
            },
        }
    }
}

pub(super) fn run(args: &Args) -> anyhow::Result<ExitCode> {
    match &args.what {
        What::Plan { order, format } => plan(order, *format),
        What::Run { order, source, format } => play::run(order, source, *format),
        What::Abort { files } => play::abort(files),
        What::Report { id, files, format, .. } => report(id.as_deref(), files, *format),
        What::List { files, format } => list(files, *format),
        What::Faults { format } => {
            faults(*format);
            Ok(ExitCode::SUCCESS)
        }
    }
}

fn plan(order: &Order, format: ReportFormat) -> anyhow::Result<ExitCode> {
    let planned = Scene::read(&order.files)?.plan(order.asked(), order.since)?;
    let refusal = planned.refusal.as_ref().map(ToString::to_string);
    let (drill, why_not, on_paper) = (&planned.drill, refusal.as_deref(), planned.on_paper.as_ref());
    output::line(match format {
        ReportFormat::Text => render::plan_text(drill, why_not, on_paper),
        ReportFormat::Json => serde_json::to_string_pretty(&planned.json())?,
        ReportFormat::Html => render::plan_html(drill, why_not, on_paper),
    });
    Ok(if refusal.is_none() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn report(id: Option<&str>, files: &Files, format: ReportFormat) -> anyhow::Result<ExitCode> {
    told(&Scene::read(files)?.report(id)?, format)
}

/// Prints the report of a drill.
fn told(reported: &Reported, format: ReportFormat) -> anyhow::Result<ExitCode> {
    let (record, last) = (&reported.record, reported.last());
    output::line(match format {
        ReportFormat::Text => render::drill_text(record, last),
        ReportFormat::Json => serde_json::to_string_pretty(&reported.json())?,
        ReportFormat::Html => render::drill_html(record, last),
    });
    let broken = record.report.as_ref().is_some_and(|report| report.verdict == Verdict::Broken);
    let failed = broken || !matches!(record.state, State::Ended);
    Ok(if failed { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

fn list(files: &Files, format: Format) -> anyhow::Result<ExitCode> {
    let records = Scene::read(files)?.records()?;
    match format {
        Format::Json => output::line(serde_json::to_string_pretty(&records)?),
        Format::Text if records.is_empty() => {
            output::note(Trouble::NoneYet);
        }
        Format::Text => output::line(render::drills_text(&records)),
    }
    Ok(ExitCode::SUCCESS)
}

fn faults(format: Format) {
    let list = KINDS.iter().map(|kind| (kind.name, kind.about));
    output::line(match format {
        Format::Text => list.map(|(name, about)| format!("{name:<15} {about}")).collect::<Vec<_>>().join("\n"),
        Format::Json => serde_json::Value::from_iter(
            KINDS
                .iter()
                .map(|kind| serde_json::json!({"name": kind.name, "about": kind.about, "settings": kind.settings})),
        )
        .to_string(),
    });
}

/// A file's path for an error.
fn shown(path: &std::path::Path) -> String {
    PathBuf::from(path).display().to_string()
}

/// What the command asks for with `words`, for the admin API's test that it asks for the same.
#[cfg(test)]
pub(crate) fn asked(words: &[&str]) -> (Asked, Since) {
    #[derive(clap::Parser)]
    struct Line {
        #[command(flatten)]
        order: Order,
    }
    let line: Line = clap::Parser::parse_from(std::iter::once(&"drill").chain(words));
    (line.order.asked(), line.order.since)
}
