//! The report for a terminal.

use super::{aligned, count, cut, day, hhi, left, money, name, nodes, part, percent, survival, title, tokens};
use crate::exposure::{End, Ending, Exposure, Table};
use crate::node::Kind;
use std::fmt::Write;

/// Rows of a table when all tables are shown.
const ROWS: usize = 5;
/// Lines of a list.
const LINES: usize = 12;

/// The report as text; of `by` all rows, or the largest of every kind.
#[must_use]
pub fn text(report: &Exposure, by: Option<Kind>) -> String {
    let mut text = String::new();
    head(&mut text, report);
    for table in report.tables.iter().filter(|table| by.is_none_or(|kind| table.by == kind)) {
        shares(&mut text, table, if by.is_some() { usize::MAX } else { ROWS });
    }
    single_points(&mut text, report);
    calendar(&mut text, report);
    state(&mut text, report);
    exits(&mut text, report);
    house(&mut text, report);
    for note in &report.notes {
        let _ = write!(text, "\nnote: {note}");
    }
    text
}

fn head(text: &mut String, report: &Exposure) {
    let window = &report.window;
    let _ = write!(
        text,
        "exposure on {}: {} to {}, {} requests in {} attempts, {} tokens, {}, {} products ({} critical)",
        report.day,
        day(window.first),
        day(window.last),
        count(window.requests),
        count(window.attempts),
        tokens(window.tokens, window.uncounted),
        money(window.cost_nanodollars, window.unpriced),
        window.products,
        window.critical,
    );
}

fn section(text: &mut String, title: &str, basis: &str, rows: &[Vec<String>], right: &[bool]) {
    let _ = write!(text, "\n\n{title}  [{basis}]");
    for line in aligned(rows, right) {
        let _ = write!(text, "\n  {line}");
    }
}

fn more(text: &mut String, left_out: usize) {
    if left_out > 0 {
        let _ = write!(text, "\n  … and {left_out} more");
    }
}

fn shares(text: &mut String, table: &Table, most: usize) {
    let (rows, left_out) = cut(&table.rows, most);
    let head = ["", "requests", "tokens", "spend", "critical", "if lost, of all requests"];
    let mut lines = vec![head.map(str::to_owned).to_vec()];
    for row in rows {
        lines.push(vec![
            title(table.by, row),
            percent(row.shares.requests),
            percent(row.shares.tokens),
            percent(row.shares.spend),
            row.critical.len().to_string(),
            survival(row.survival.as_ref()),
        ]);
    }
    let three = [table.requests, table.tokens, table.spend].map(hhi);
    let line = |word: &str, of: fn(&(String, String)) -> &String| {
        let mut line = vec![word.to_owned()];
        line.extend(three.iter().map(|one| of(one).clone()));
        line
    };
    lines.push(line("HHI", |one| &one.0));
    lines.push(line("effective number", |one| &one.1));
    let title = format!("BY {}", table.by.name().to_uppercase());
    section(text, &title, table.basis.name(), &lines, &[false, true, true, true, true, false]);
    more(text, left_out);
}

fn single_points(text: &mut String, report: &Exposure) {
    let (points, left_out) = cut(&report.single_points, LINES);
    let mut rows: Vec<Vec<String>> = points
        .iter()
        .map(|point| {
            let total = point.survival.total();
            let lost = if total == 0 { "no traffic yet".to_owned() } else { survival(Some(&point.survival)) };
            let mark = if point.critical { " (critical)" } else { "" };
            vec![
                nodes(&point.nodes),
                format!("{}{mark}", name(point.product.as_ref())),
                left(point.left).to_owned(),
                lost,
                format!("[{}]", point.basis.name()),
            ]
        })
        .collect();
    if rows.is_empty() {
        rows.push(vec!["none found".to_owned()]);
    }
    section(text, "SINGLE POINTS OF FAILURE", "each with its basis", &rows, &[]);
    more(text, left_out);
    let (pairs, left_out) = cut(&report.pairs, LINES / 2);
    if pairs.is_empty() {
        return;
    }
    let rows: Vec<Vec<String>> = pairs
        .iter()
        .map(|pair| {
            let mark = if pair.critical { " (critical)" } else { "" };
            let product = format!("{}{mark}", name(pair.product.as_ref()));
            vec![nodes(&pair.first), nodes(&pair.second), product, left(pair.left).to_owned()]
        })
        .collect();
    section(text, "WORST PAIRS", "ledger", &rows, &[]);
    more(text, left_out);
}

fn calendar(text: &mut String, report: &Exposure) {
    let (endings, left_out) = cut(&report.calendar, LINES);
    let mut rows: Vec<Vec<String>> = endings.iter().map(ending).collect();
    if !report.undated.is_empty() {
        let (shown, beyond) = cut(&report.undated, 6);
        let beyond = if beyond > 0 { format!(" and {beyond} more") } else { String::new() };
        rows.push(vec![
            "unknown date".to_owned(),
            String::new(),
            format!("{} deployments: {}{beyond}", report.undated.len(), shown.join(", ")),
        ]);
    }
    if rows.is_empty() {
        rows.push(vec!["nothing with a date is known".to_owned()]);
    }
    section(text, "CALENDAR", "assumed: as written in configuration and register", &rows, &[]);
    more(text, left_out);
}

fn ending(ending: &Ending) -> Vec<String> {
    let what = match ending.what {
        End::Model => format!("{} retires", ending.subject),
        End::Contract => format!("contract {} is over", ending.subject),
        End::Notice => format!("contract {}: last day for notice", ending.subject),
    };
    let bound = if ending.not_before { "≥ " } else { "" };
    let replacement = ending.replacement.as_ref().map(|model| format!(", replacement {model}")).unwrap_or_default();
    let then = ending.survival.as_ref().map(|left| format!(", then {}", survival(Some(left)))).unwrap_or_default();
    vec![
        ending.date.to_string(),
        format!("{bound}{} d", ending.days),
        format!("{what}: {} of requests{replacement}{then}", percent(ending.share)),
    ]
}

fn state(text: &mut String, report: &Exposure) {
    let rows: Vec<Vec<String>> = report
        .state
        .iter()
        .map(|state| {
            let grades = [
                ("portable", state.portable),
                ("translatable", state.translatable),
                ("degraded", state.degraded),
                ("locked", state.locked),
                ("unknown", state.unknown),
            ];
            let grades = grades.iter().filter(|(_, count)| *count > 0);
            let grades: Vec<String> =
                grades.map(|(word, count)| format!("{} {word}", part(*count, state.requests))).collect();
            let locks = state.locked_by.iter().map(|(by, count)| format!("{by} {}", part(*count, state.requests)));
            let locks = locks.collect::<Vec<_>>().join(", ");
            let locks = if locks.is_empty() { locks } else { format!("locked by: {locks}") };
            vec![name(state.product.as_ref()).to_owned(), grades.join(" · "), locks]
        })
        .collect();
    if !rows.is_empty() {
        section(text, "STICKY STATE", "ledger", &rows, &[]);
    }
}

fn exits(text: &mut String, report: &Exposure) {
    let (exits, left_out) = cut(&report.exits, LINES);
    let rows: Vec<Vec<String>> = exits
        .iter()
        .map(|exit| {
            let bound = if exit.at_least { "≥ " } else { "" };
            let total = exit.days.map_or_else(|| "unknown".to_owned(), |days| format!("{bound}{days:.1} d"));
            let parts = exit.parts.iter().map(|part| match part.days {
                Some(days) => format!("{} {days:.1} d ({})", part.name, part.basis.name()),
                None => format!("{} unknown", part.name),
            });
            vec![exit.node.to_string(), total, parts.collect::<Vec<_>>().join(" · ")]
        })
        .collect();
    if !rows.is_empty() {
        section(text, "EXIT CLOCK", "each part with its basis", &rows, &[false, true]);
        more(text, left_out);
    }
}

fn house(text: &mut String, report: &Exposure) {
    let house = &report.house;
    let or = |share: Option<f64>, none: &str| share.map_or_else(|| none.to_owned(), |share| percent(Some(share)));
    let line = format!(
        "served {} of requests, {} of tokens · covered {} · drilled {}",
        percent(house.served.requests),
        percent(house.served.tokens),
        or(house.covered, "none proven"),
        or(house.drilled, "never"),
    );
    section(text, "SELF-SUFFICIENCY", "ledger, cover", &[vec![line]], &[]);
}
