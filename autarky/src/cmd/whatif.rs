//! `autarky whatif`: a scenario played over the recorded ledger, with the plan that live traffic uses.

use super::output::{self, ReportFormat};
use super::register::{self, Files};
use super::window::{self, Since, Window};
use anyhow::{Context, anyhow};
use insurance::whatif::{BUILTIN, Board, Scenario, board, whatif};
use insurance::{Day, render};
use std::process::ExitCode;

/// Without a scenario: a table of those that ship, with the best policy in each and the regret of today's. Every number
/// says what it rests on: `ledger` (recorded), `cover` (measured in pairs), `estimate` or `assumed` (by the scenario).
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// A scenario file (TOML), or one that ships: incumbent-dominates, competitor-emerges, house-wins, partner-gone,
    /// price-doubles, model-retires.
    #[arg(value_name = "FILE")]
    scenario: Option<String>,
    /// Print a scenario that ships, as a beginning of your own.
    #[arg(long, requires = "scenario")]
    show: bool,
    /// How far back traffic is taken from: `30d`, `12h`, `90m`, or `all`.
    #[arg(long, default_value = "30d", value_name = "TIME", value_parser = window::since)]
    since: Since,
    /// The day on which it plays, `YYYY-MM-DD`, where the scenario names none: what has ended by then is gone.
    #[arg(long, value_name = "DATE")]
    as_of: Option<Day>,
    /// How to print.
    #[arg(long, value_enum, default_value_t)]
    format: ReportFormat,
    #[command(flatten)]
    files: Files,
}

pub(super) fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let scenario = args.scenario.as_deref().map(text).transpose()?;
    if let (true, Some((_, text))) = (args.show, &scenario) {
        output::line(text.trim_end());
        return Ok(ExitCode::SUCCESS);
    }
    let window = Window::read(&args.files, args.since, args.as_of.unwrap_or_else(register::today))?;
    let Some((name, text)) = scenario else {
        let (boards, notes) = boards(&window)?;
        output::line(match args.format {
            ReportFormat::Text => render::board_text(&boards, &notes),
            ReportFormat::Json => {
                serde_json::to_string_pretty(&serde_json::json!({ "boards": boards, "notes": notes }))?
            }
            ReportFormat::Html => render::board_html(&boards, &notes),
        });
        return Ok(ExitCode::SUCCESS);
    };
    let (inputs, fleet, evidence) = (window.inputs(), &*window.checked.fleet, &window.evidence);
    let report = whatif(&inputs, fleet, evidence, &read(&name, &text)?)?;
    output::line(match args.format {
        ReportFormat::Text => render::whatif_text(&report),
        ReportFormat::Json => serde_json::to_string_pretty(&report)?,
        ReportFormat::Html => render::whatif_html(&report),
    });
    Ok(ExitCode::SUCCESS)
}

/// Every scenario that ships and can be played here, on boards, with what cannot be said.
///
/// # Errors
/// A scenario cannot be read, or the plan cannot be made.
pub(crate) fn boards(window: &Window) -> anyhow::Result<(Vec<Board>, Vec<String>)> {
    let (inputs, fleet, evidence) = (window.inputs(), &*window.checked.fleet, &window.evidence);
    let all = BUILTIN.iter().map(|(name, text)| read(name, text)).collect::<anyhow::Result<Vec<Scenario>>>()?;
    let mut notes = window.notes.clone();
    let playable = |one: &Scenario| match whatif(&inputs, fleet, evidence, one) {
        Ok(_) => true,
        Err(error) => {
            notes.push(format!("`{}` cannot be played here: {error}", one.name));
            false
        }
    };
    let all: Vec<Scenario> = all.into_iter().filter(playable).collect();
    Ok((board(&inputs, fleet, evidence, &all)?, notes))
}

/// The text of the scenario `name`, which is a file's or one that ships.
fn text(name: &str) -> anyhow::Result<(String, String)> {
    if let Some((name, text)) = BUILTIN.iter().find(|(known, _)| *known == name) {
        return Ok(((*name).to_owned(), (*text).to_owned()));
    }
    let known = BUILTIN.map(|(known, _)| known).join(", ");
    let text = std::fs::read_to_string(name)
        .with_context(|| format!("`{name}` is no scenario that ships ({known}), and cannot be read as a file"))?;
    Ok((name.to_owned(), text))
}

fn read(name: &str, text: &str) -> anyhow::Result<Scenario> {
    let mut scenario: Scenario =
        toml::from_str(text).map_err(|error| anyhow!("`{name}` is no scenario: {}", error.to_string().trim_end()))?;
    if scenario.name.is_empty() {
        name.clone_into(&mut scenario.name);
    }
    Ok(scenario)
}
