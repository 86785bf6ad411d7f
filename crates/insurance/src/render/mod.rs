//! The report as text, JSON, CSV and a page. What is unknown is written `unknown`, what is a lower bound `≥`, what is an
//! upper bound `≤`; every block of figures names its basis.

mod csv;
mod drill;
mod html;
mod reconcile;
mod register;
mod replay;
mod text;
mod timeline;
mod whatif;

pub use self::csv::csv;
pub use drill::{drill_html, drill_text, drills_text, plan_html, plan_text, standing};
pub use html::{end, html, note, page, prose, safe, table};
pub use reconcile::reconcile_text;
pub use register::{findings, register};
pub use replay::{replay_html, replay_text};
pub use text::text;
pub use whatif::{board_html, board_text, diff_text, whatif_html, whatif_text};

use crate::exposure::{Concentration, Exposure, Level, Row, Survival};
use crate::node::{Kind, Node};
use ledger::record::Name;
use policy::Wall;

/// The report as JSON.
///
/// # Errors
/// None that is known: every value can be said in JSON.
pub fn json(report: &Exposure) -> serde_json::Result<String> {
    serde_json::to_string_pretty(report)
}

const UNKNOWN: &str = "unknown";

/// `0.714` as `71.4 %`.
fn percent(share: Option<f64>) -> String {
    share.map_or_else(|| UNKNOWN.to_owned(), |share| format!("{:.1} %", share * 100.0))
}

/// A part of a whole as per cent.
#[expect(clippy::cast_precision_loss, reason = "for display")]
fn part(some: u64, all: u64) -> String {
    percent((all > 0).then(|| some as f64 / all as f64))
}

/// `1234567` as `1,234,567`.
#[must_use]
pub fn count(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// Billionths of a dollar as dollars, `≥` where some are unknown; unknown where all are.
#[expect(clippy::cast_precision_loss, reason = "for display")]
#[must_use]
pub fn money(nanodollars: i64, unpriced: u64) -> String {
    match (nanodollars, unpriced) {
        (0, 1..) => UNKNOWN.to_owned(),
        (known, 0) => dollars(known as f64 / 1e9),
        (known, _) => format!("≥ {}", dollars(known as f64 / 1e9)),
    }
}

/// To the cent; what is less than one, to its ten-thousandth part.
fn dollars(usd: f64) -> String {
    if usd > 0.0 && usd < 0.01 { format!("${usd:.6}") } else { format!("${usd:.2}") }
}

/// A number of tokens, `≥` where some answers were not counted; unknown where none was.
#[must_use]
pub fn tokens(known: u64, uncounted: u64) -> String {
    match (known, uncounted) {
        (0, 1..) => UNKNOWN.to_owned(),
        (known, 0) => count(known),
        (known, _) => format!("≥ {}", count(known)),
    }
}

fn name(name: Option<&Name>) -> &str {
    name.map_or(UNKNOWN, |name| name)
}

fn hhi(concentration: Option<Concentration>) -> (String, String) {
    concentration.map_or_else(
        || (UNKNOWN.to_owned(), UNKNOWN.to_owned()),
        |one| {
            let (most, least) = if one.at_most { ("≤ ", "≥ ") } else { ("", "") };
            (format!("{most}{:.0}", one.hhi), format!("{least}{:.1}", one.effective))
        },
    )
}

/// The nodes of a loss in one word each, the plainest first, cut where they are many.
fn nodes(nodes: &[Node]) -> String {
    const SHOWN: usize = 3;
    let mut text = nodes.iter().take(SHOWN).map(ToString::to_string).collect::<Vec<_>>().join(" = ");
    if nodes.len() > SHOWN {
        text.push_str(&format!(" (and {} more names of the same loss)", nodes.len() - SHOWN));
    }
    text
}

const fn left(level: Level) -> &'static str {
    match level {
        Level::Fine => "an answer",
        Level::LastResort => "last resort only",
        Level::Nothing => "no answer",
    }
}

/// What is left of the requests that a loss touches, most proven first.
fn fates(survival: &Survival) -> Vec<(&'static str, u64)> {
    [
        ("untouched", survival.untouched),
        ("covered", survival.covered),
        ("configured, no evidence", survival.configured),
        ("last resort only", survival.last_resort),
        ("nothing", survival.nothing),
        ("unknown", survival.unknown),
    ]
    .into_iter()
    .filter(|(_, count)| *count > 0)
    .collect()
}

fn survival(survival: Option<&Survival>) -> String {
    let Some(survival) = survival else { return UNKNOWN.to_owned() };
    let total = survival.total();
    if survival.unknown == total {
        return UNKNOWN.to_owned();
    }
    let parts = fates(survival);
    parts.iter().map(|(word, count)| format!("{} {word}", part(*count, total))).collect::<Vec<_>>().join(" · ")
}

/// The day of a moment in Unix microseconds.
fn day(micros: Option<i64>) -> String {
    micros.map_or_else(|| UNKNOWN.to_owned(), |micros| Wall::from_unix(micros.div_euclid(1_000_000)).to_string())
}

/// `Some(rows)` cut to `most`, with how many are left out.
fn cut<T>(rows: &[T], most: usize) -> (&[T], usize) {
    let shown = rows.len().min(most);
    (&rows[..shown], rows.len() - shown)
}

fn title(kind: Kind, row: &Row) -> String {
    format!("{kind} {}", name(row.name.as_ref()))
}

/// Rows as aligned columns; the first to the left, the rest as `right` says.
fn aligned(rows: &[Vec<String>], right: &[bool]) -> Vec<String> {
    let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
    let width = |at: usize| rows.iter().filter_map(|row| row.get(at)).map(|cell| cell.chars().count()).max();
    let widths: Vec<usize> = (0..columns).map(|at| width(at).unwrap_or(0)).collect();
    let line = |row: &Vec<String>| {
        let cells = row.iter().enumerate().map(|(at, cell)| {
            let gap = " ".repeat(widths[at].saturating_sub(cell.chars().count()));
            if right.get(at).copied().unwrap_or(false) { format!("{gap}{cell}") } else { format!("{cell}{gap}") }
        });
        cells.collect::<Vec<_>>().join("  ").trim_end().to_owned()
    };
    rows.iter().map(line).collect()
}
