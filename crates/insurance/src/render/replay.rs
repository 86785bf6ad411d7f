//! A replayed loss as text and as a page.

use super::html::{end, note, page, safe, table};
use super::{UNKNOWN, aligned, count, cut, nodes, percent};
use crate::replay::{Class, Mean, Replay};
use std::fmt::Write;

/// Kinds of task shown.
const LINES: usize = 60;

fn mean(mean: Option<Mean>) -> String {
    mean.map_or_else(
        || UNKNOWN.to_owned(),
        |mean| format!("{:.3} (95 %: {:.3} to {:.3})", mean.value, mean.low, mean.high),
    )
}

/// Every figure with its name and basis.
fn figures(replay: &Replay) -> Vec<[String; 3]> {
    let row = |name: &str, value: String, basis: &str| [name.to_owned(), value, basis.to_owned()];
    let mut rows = vec![
        row(
            "requests",
            format!(
                "{} recorded, {} untouched, {} replayed, {} without an answer, {} never answered by both",
                count(replay.requests),
                count(replay.untouched),
                count(replay.replayed),
                count(replay.unanswered),
                count(replay.unrecorded)
            ),
            "ledger",
        ),
        row("quality today", mean(replay.before), "cover"),
        row("quality then", mean(replay.after), "cover"),
        row("paired difference", mean(replay.difference), "cover"),
    ];
    let cost = replay.cost.map_or_else(|| UNKNOWN.to_owned(), |(before, after)| format!("{before:.6} → {after:.6}"));
    rows.push(row("cost per request, in the file's unit", cost, "cover"));
    rows.push(row("replacement configured", percent(replay.configured), "assumed: nobody measured those"));
    let shown = format!("{} (margin {:.3})", percent(replay.covered), replay.margin);
    rows.push(row("replacement shown to be no worse", shown, "cover"));
    rows
}

fn class(class: &Class) -> Vec<String> {
    let proof = &class.proof;
    vec![
        class.class.as_deref().unwrap_or("all").to_owned(),
        format!("{} → {}", class.from, class.to),
        proof.pairs.to_string(),
        format!("{:.3} → {:.3}", class.before, class.after),
        format!("{:+.3}", proof.difference),
        format!("{:+.3}", proof.lower),
        class.verdict.name().to_owned() + if class.suspect { ", suspiciously better: look at the judging" } else { "" },
    ]
}

const HEAD: [&str; 7] = ["kind of task", "from → to", "pairs", "quality", "difference", "lower bound", "verdict"];
const RIGHT: [bool; 7] = [false, false, true, true, true, true, false];

const NOTES: [&str; 2] = [
    "the lower bound of each kind holds however often one looks, at the level that was asked for, kind by kind; it is not \
     corrected for how many kinds there are",
    "not tested: later turns (they depend on earlier answers), tools and their side effects, latency, capacity",
];

/// The replay for a terminal.
#[must_use]
pub fn replay_text(replay: &Replay) -> String {
    let mut text = format!("replayed on recorded outcomes: loss of {}", nodes(&replay.lost));
    let rows: Vec<Vec<String>> =
        figures(replay).into_iter().map(|[name, value, basis]| vec![name, value, format!("[{basis}]")]).collect();
    for row in aligned(&rows, &[]) {
        let _ = write!(text, "\n  {row}");
    }
    let (classes, left_out) = cut(&replay.classes, LINES);
    let mut rows = vec![HEAD.map(str::to_owned).to_vec()];
    rows.extend(classes.iter().map(class));
    text.push_str("\n\nBY KIND OF TASK  [cover]");
    for row in aligned(&rows, &RIGHT) {
        let _ = write!(text, "\n  {row}");
    }
    if left_out > 0 {
        let _ = write!(text, "\n  … and {left_out} more");
    }
    for note in NOTES {
        let _ = write!(text, "\nnote: {note}");
    }
    text
}

/// The replay as a page.
#[must_use]
pub fn replay_html(replay: &Replay) -> String {
    page("Replayed loss", |page| {
        let _ = write!(page, "<h1>Loss of {}, replayed on recorded outcomes</h1>", safe(&nodes(&replay.lost)));
        table(page, "What it does", "", &[("", false), ("", false), ("basis", false)]);
        for [name, value, basis] in figures(replay) {
            let _ = write!(page, "<tr><td>{name}</td><td>{}</td><td>{basis}</td></tr>", safe(&value));
        }
        end(page, 0);
        let columns: Vec<(&str, bool)> = HEAD.into_iter().zip(RIGHT).collect();
        table(page, "By kind of task", "cover", &columns);
        let (classes, left_out) = cut(&replay.classes, LINES);
        for one in classes {
            page.push_str("<tr>");
            for (cell, right) in class(one).iter().zip(RIGHT) {
                let _ = write!(page, "<td{}>{}</td>", if right { " class=\"n\"" } else { "" }, safe(cell));
            }
            page.push_str("</tr>");
        }
        end(page, left_out);
        NOTES.iter().for_each(|line| note(page, line));
    })
}
