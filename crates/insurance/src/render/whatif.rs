//! A scenario's outcome as text, JSON and a page.

use super::html::{end, note, page, safe, table};
use super::{UNKNOWN, aligned, count, cut, part, percent};
use crate::whatif::{Board, Figure, Line, MUCH, PartyShift, Rests, ShareOf, WhatIf};
use std::fmt::Write;

/// Lines of a list.
const LINES: usize = 20;

/// The first line: what the scenario is, and, where much is supposed, that first of all.
fn headline(report: &WhatIf) -> String {
    let assumed = report.assumed.filter(|(_, share)| *share > MUCH).map_or_else(String::new, |(what, share)| {
        format!("caution, {:.0} % of the {what} is assumed by the scenario itself · ", share * 100.0)
    });
    let about = if report.about.is_empty() { String::new() } else { format!(": {}", report.about) };
    format!("{assumed}what if {}{about}", report.name)
}

/// How a figure is printed: bare, as per cent, as dollars.
#[derive(Clone, Copy)]
enum Unit {
    Share,
    Dollars,
    Quality,
    Seconds,
}

impl Unit {
    fn text(self, value: f64) -> String {
        match self {
            Self::Share => format!("{:.1} %", value * 100.0),
            Self::Dollars => format!("${value:.2}"),
            Self::Quality => format!("{value:.3}"),
            Self::Seconds => format!("{value:.2} s"),
        }
    }

    fn figure(self, figure: &Figure) -> String {
        let Some(value) = figure.value else { return UNKNOWN.to_owned() };
        let interval = figure.low.zip(figure.high).filter(|(low, high)| high - low > 1e-9);
        let interval =
            interval.map(|(low, high)| format!(" ({} to {})", self.text(low), self.text(high))).unwrap_or_default();
        // a sum without its unknown part is a lower bound, a mean is one of the known part
        let bound = if figure.partial() && matches!(self, Self::Dollars) { "≥ " } else { "" };
        format!("{bound}{}{interval}", self.text(value))
    }
}

/// What a figure rests on, the largest part first.
fn basis(rests: &Rests) -> String {
    let mut parts = [
        ("ledger", rests.ledger),
        ("cover", rests.cover),
        ("estimate", rests.estimate),
        ("assumed", rests.assumed),
        ("unknown", rests.unknown),
    ];
    parts.sort_by(|a, b| b.1.total_cmp(&a.1));
    let known = parts.iter().filter(|(_, share)| *share > 0.0);
    let texts: Vec<String> = known
        .map(
            |(word, share)| {
                if *share > 0.9995 { (*word).to_owned() } else { format!("{word} {}", percent(Some(*share))) }
            },
        )
        .collect();
    if texts.is_empty() { UNKNOWN.to_owned() } else { texts.join(", ") }
}

fn product(line: &Line) -> &str {
    line.product.as_deref().unwrap_or("all products")
}

/// Name, before, after and basis of every figure of `line`.
fn figures(line: &Line) -> Vec<(&'static str, String, String, String)> {
    let all = Figure { value: (line.requests > 0).then_some(1.0), ..Figure::default() };
    let row = |name, unit: Unit, before: &Figure, after: &Figure| {
        (name, unit.figure(before), unit.figure(after), basis(&after.rests))
    };
    let mut rows = vec![
        row("answered", Unit::Share, &all, &line.answered),
        row("cost", Unit::Dollars, &line.cost_before, &line.cost),
        row("quality", Unit::Quality, &line.quality_before, &line.quality),
    ];
    if line.first_token_before.value.is_some() {
        rows.push(row("first token", Unit::Seconds, &line.first_token_before, &line.first_token));
    }
    rows
}

fn fate(line: &Line) -> String {
    let parts = [
        ("move", line.moved),
        ("last resort only", line.last_resort),
        ("below the floor", line.below_floor),
        ("unanswered", line.unanswered),
    ];
    let parts = parts.iter().filter(|(_, count)| *count > 0);
    let parts: Vec<String> = parts.map(|(word, count)| format!("{} {word}", part(*count, line.requests))).collect();
    if parts.is_empty() { "nothing moves".to_owned() } else { parts.join(" · ") }
}

fn largest(side: Option<&(ledger::record::Name, f64)>) -> String {
    side.map_or_else(|| UNKNOWN.to_owned(), |(name, share)| format!("{name} {}", percent(Some(*share))))
}

fn party(shift: &PartyShift) -> [String; 3] {
    [
        format!("largest {}", shift.by),
        format!("{}, HHI {:.0}", largest(shift.before.as_ref()), shift.hhi_before),
        format!("{}, HHI {:.0}", largest(shift.after.as_ref()), shift.hhi_after),
    ]
}

/// A deployment's requests, before and after.
fn share(one: &ShareOf, requests: u64) -> Vec<String> {
    let name = one.deployment.as_deref().unwrap_or("nobody known");
    vec![name.to_owned(), part(one.before, requests), "→".to_owned(), part(one.after, requests)]
}

/// What another configuration would do, for a terminal.
#[must_use]
pub fn diff_text(report: &WhatIf) -> String {
    outcome(format!("with {}: {}", report.name, report.about), report)
}

/// The outcome for a terminal.
#[must_use]
pub fn whatif_text(report: &WhatIf) -> String {
    outcome(headline(report), report)
}

fn outcome(mut text: String, report: &WhatIf) -> String {
    let _ = write!(
        text,
        "\nplayed on {} over {} recorded requests of {:.1} days",
        report.day,
        count(report.total.requests),
        report.days
    );
    if !report.gone.is_empty() {
        let (gone, left_out) = cut(&report.gone, LINES);
        let _ = write!(text, "\n\nGONE  [{} deployments]", report.gone.len());
        for (name, why) in gone {
            let _ = write!(text, "\n  {name}: {why}");
        }
        if left_out > 0 {
            let _ = write!(text, "\n  … and {left_out} more");
        }
    }
    // One product is all of them.
    let total = std::iter::once(&report.total).filter(|_| report.products.len() != 1);
    for line in total.chain(&report.products) {
        let _ = write!(text, "\n\n{}  [{} requests: {}]", product(line), count(line.requests), fate(line));
        let rows: Vec<Vec<String>> = figures(line)
            .into_iter()
            .map(|(name, before, after, basis)| {
                vec![name.to_owned(), before, "→".to_owned(), after, format!("[{basis}]")]
            })
            .collect();
        for row in aligned(&rows, &[]) {
            let _ = write!(text, "\n  {row}");
        }
    }
    text.push_str("\n\nSHARES  [ledger → estimate]");
    let (shown, left_out) = cut(&report.shares, LINES);
    for row in aligned(&shown.iter().map(|one| share(one, report.total.requests)).collect::<Vec<_>>(), &[]) {
        let _ = write!(text, "\n  {row}");
    }
    if left_out > 0 {
        let _ = write!(text, "\n  … and {left_out} more");
    }
    text.push_str("\n\nDEPENDENCE  [ledger → estimate]");
    let rows: Vec<Vec<String>> = report
        .parties
        .iter()
        .map(|shift| {
            let [name, before, after] = party(shift);
            vec![name, before, "→".to_owned(), after]
        })
        .collect();
    for row in aligned(&rows, &[]) {
        let _ = write!(text, "\n  {row}");
    }
    for line in unmeasured(report) {
        let _ = write!(text, "\nno ratio: {line}");
    }
    for note in &report.notes {
        let _ = write!(text, "\nnote: {note}");
    }
    text
}

fn unmeasured(report: &WhatIf) -> Vec<String> {
    let (shown, left_out) = cut(&report.unmeasured, LINES);
    let mut lines: Vec<String> = shown
        .iter()
        .map(|(from, to, requests)| {
            format!(
                "tokens of `{to}` per token of `{from}` were never measured; {} requests without a cost",
                count(*requests)
            )
        })
        .collect();
    if left_out > 0 {
        lines.push(format!("… and {left_out} more pairs"));
    }
    lines
}

/// The outcome as a page.
#[must_use]
pub fn whatif_html(report: &WhatIf) -> String {
    page(&format!("What if {}", report.name), |page| {
        let _ = write!(
            page,
            "<h1>{}</h1><p class=\"lead\">Played on {} over {} recorded requests of {:.1} days.</p>",
            safe(&headline(report)),
            report.day,
            count(report.total.requests),
            report.days
        );
        let columns = [("", false), ("requests", true), ("today", false), ("then", false), ("basis", false)];
        for line in std::iter::once(&report.total).chain(&report.products) {
            table(page, &safe(product(line)), &safe(&fate(line)), &columns);
            for (name, before, after, basis) in figures(line) {
                let _ = write!(
                    page,
                    "<tr><td>{name}</td><td class=\"n\">{}</td><td>{}</td><td>{}</td><td>{}</td></tr>",
                    count(line.requests),
                    safe(&before),
                    safe(&after),
                    safe(&basis)
                );
            }
            end(page, 0);
            bar(page, line);
        }
        table(page, "Dependence", "ledger, then estimate", &[("", false), ("today", false), ("then", false)]);
        for shift in &report.parties {
            let [name, before, after] = party(shift);
            let _ = write!(page, "<tr><td>{name}</td><td>{}</td><td>{}</td></tr>", safe(&before), safe(&after));
        }
        end(page, 0);
        if !report.gone.is_empty() {
            table(page, "Gone", "", &[("deployment", false), ("why", false)]);
            for (name, why) in &report.gone {
                let _ = write!(page, "<tr><td>{}</td><td>{}</td></tr>", safe(name), safe(why));
            }
            end(page, 0);
        }
        unmeasured(report).iter().chain(&report.notes).for_each(|line| note(page, line));
    })
}

/// What becomes of the requests, as one bar.
#[expect(clippy::cast_precision_loss, reason = "for display")]
fn bar(page: &mut String, line: &Line) {
    const WIDTH: f64 = 480.0;
    let plain = line.moved.saturating_sub(line.last_resort);
    let stay = line.requests.saturating_sub(line.moved + line.unanswered);
    let parts = [
        ("untouched", "stay", stay),
        ("configured", "move", plain),
        ("last", "last resort only", line.last_resort),
        ("nothing", "unanswered", line.unanswered),
    ];
    let _ = write!(
        page,
        "<svg width=\"{WIDTH}\" height=\"14\" viewBox=\"0 0 {WIDTH} 14\" role=\"img\"><title>{}</title>",
        safe(&fate(line))
    );
    let mut x = 0.0;
    for (class, _, count) in parts {
        let width = count as f64 / line.requests.max(1) as f64 * WIDTH;
        let _ = write!(
            page,
            "<rect x=\"{x:.2}\" y=\"1\" width=\"{width:.2}\" height=\"12\" style=\"fill:var(--{class})\"/>"
        );
        x += width;
    }
    page.push_str("</svg><p>");
    for (class, word, count) in parts {
        let _ = write!(
            page,
            "<span class=\"key\"><i style=\"background:var(--{class})\"></i>{word} {}</span>",
            part(count, line.requests)
        );
    }
    page.push_str("</p>");
}

fn regret(board: &Board) -> String {
    let mut parts = Vec::new();
    if board.regret_answered > 0.0005 {
        parts.push(format!("{:.1} points of requests unanswered", board.regret_answered * 100.0));
    }
    if let Some(less) = board.regret_quality.filter(|less| less.abs() > 0.0005) {
        parts.push(format!("{:.3} {} quality", less.abs(), if less > 0.0 { "less" } else { "more" }));
    }
    match board.regret_cost {
        Some(more) if more.abs() >= 0.005 => {
            parts.push(format!("${:.2} {}", more.abs(), if more > 0.0 { "more" } else { "less" }));
        }
        Some(_) => {}
        None => parts.push("cost unknown".to_owned()),
    }
    if board.best == 0 || parts.is_empty() { "none".to_owned() } else { parts.join(", ") }
}

fn cells(board: &Board) -> Vec<String> {
    let cell = |cell: &crate::whatif::Cell| {
        let cost = cell.cost.map_or_else(|| format!("cost {UNKNOWN}"), |cost| format!("${cost:.2}"));
        let quality = cell.quality.map(|quality| format!(", quality {quality:.3}")).unwrap_or_default();
        format!("{}, {cost}{quality}", percent(cell.answered))
    };
    board.cells.iter().map(cell).collect()
}

/// The board for a terminal.
#[must_use]
pub fn board_text(boards: &[Board], notes: &[String]) -> String {
    let mut rows = vec![vec!["scenario".to_owned(), "best policy".to_owned(), "regret of today's".to_owned()]];
    let policies = crate::whatif::POLICIES;
    rows[0].extend(policies.iter().map(|(name, ..)| (*name).to_owned()));
    for board in boards {
        let mut row = vec![board.scenario.clone(), policies[board.best].0.to_owned(), regret(board)];
        row.extend(cells(board));
        rows.push(row);
    }
    let mut text = "best policy per scenario, and what today's costs against it  [estimate]".to_owned();
    for line in aligned(&rows, &[]) {
        let _ = write!(text, "\n  {line}");
    }
    for (name, about, _) in policies {
        let _ = write!(text, "\n{name}: {about}");
    }
    for board in boards {
        let _ = write!(text, "\n{}: {}", board.scenario, board.about);
    }
    for note in notes {
        let _ = write!(text, "\nnote: {note}");
    }
    text
}

/// The board as a page.
#[must_use]
pub fn board_html(boards: &[Board], notes: &[String]) -> String {
    page("What if", |page| {
        page.push_str("<h1>Best policy per scenario, and the regret of today's</h1>");
        let policies = crate::whatif::POLICIES;
        let mut columns = vec![("scenario", false), ("best policy", false), ("regret of today's", false)];
        columns.extend(policies.iter().map(|(name, ..)| (*name, false)));
        table(page, "Scenarios", "estimate", &columns);
        for board in boards {
            let _ = write!(
                page,
                "<tr><td>{}<br><span class=\"basis\">{}</span></td><td>{}</td><td>{}</td>",
                safe(&board.scenario),
                safe(&board.about),
                policies[board.best].0,
                safe(&regret(board))
            );
            for cell in cells(board) {
                let _ = write!(page, "<td>{}</td>", safe(&cell));
            }
            page.push_str("</tr>");
        }
        end(page, 0);
        policies.iter().for_each(|(name, about, _)| note(page, &format!("{name}: {about}")));
        notes.iter().for_each(|line| note(page, line));
    })
}
