//! A comparison with a provider's statement, for a terminal.

use crate::reconcile::{Pair, Reconciliation, Sums, Why};

/// At most so many differences are printed one by one.
const MOST: usize = 40;

/// The comparison as text.
#[must_use]
pub fn reconcile_text(found: &Reconciliation) -> String {
    let day = |day: Option<crate::Day>| day.map_or_else(|| "?".to_owned(), |day| day.to_string());
    let mut lines = vec![format!("{} to {}, theirs beside ours", day(found.from), day(found.to))];
    lines.push(String::new());
    lines.push(head("", 30));
    lines.push(row("all", &found.total, 30));
    for (title, pairs) in [("by day", &found.days), ("by model", &found.models), ("by key", &found.keys)] {
        if !pairs.is_empty() {
            lines.push(String::new());
            lines.push(head(title, 30));
            lines.extend(pairs.iter().map(|pair| row(&name(pair), pair, 30)));
        }
    }
    lines.push(String::new());
    if found.differences.is_empty() {
        lines.push("nothing differs".to_owned());
    } else {
        lines.push(format!("{} models on days differ, the most money first", found.differences.len()));
        lines.extend(found.differences.iter().take(MOST).map(difference));
        let left = found.differences.len().saturating_sub(MOST);
        if left > 0 {
            lines.push(format!("… and {left} more; `--format json` has all"));
        }
    }
    lines.extend(found.notes.iter().map(|note| format!("note: {note}")));
    lines.join("\n")
}

fn name(pair: &Pair) -> String {
    match (pair.day, &pair.name) {
        (Some(day), None) => day.to_string(),
        (_, Some(name)) => name.to_string(),
        (None, None) => "?".to_owned(),
    }
}

fn head(title: &str, width: usize) -> String {
    format!("{title:<width$} {:>27} {:>27} {:>31}  why", "tokens in", "tokens out", "dollars")
}

fn row(name: &str, pair: &Pair, width: usize) -> String {
    let count = |of: fn(&Sums) -> Option<u64>| {
        let side =
            |sums: Option<Sums>| sums.as_ref().and_then(of).map_or_else(|| "-".to_owned(), |count| count.to_string());
        format!("{:>13} {:>13}", side(pair.theirs), side(pair.ours))
    };
    let money = |sums: Option<Sums>| sums.and_then(|sums| sums.nanodollars).map_or_else(|| "-".to_owned(), dollars);
    format!(
        "{name:<width$} {} {} {:>15} {:>15}  {}",
        count(|sums| sums.input),
        count(|sums| sums.output),
        money(pair.theirs),
        money(pair.ours),
        pair.why.name(),
    )
}

fn difference(pair: &Pair) -> String {
    let change = |of: fn(&Sums) -> Option<u64>| {
        let side = |sums: Option<Sums>| sums.as_ref().and_then(of);
        let (theirs, ours) = (side(pair.theirs), side(pair.ours));
        theirs.zip(ours).map(|(theirs, ours)| i128::from(theirs) - i128::from(ours)).filter(|change| *change != 0)
    };
    let what = match pair.why {
        Why::OnlyTheirs => "the provider saw it and we did not: it passed us by, or its rows are lost".to_owned(),
        Why::OnlyOurs => "we saw it and the provider does not say it".to_owned(),
        Why::Counts | Why::Prices | Why::Agrees => {
            let counts = [
                ("in", change(|sums| sums.input)),
                ("cached", change(|sums| sums.cached)),
                ("out", change(|sums| sums.output)),
            ];
            let counts = counts.iter().filter_map(|(name, change)| Some(format!("{:+} tokens {name}", (*change)?)));
            let counts: Vec<String> = counts.collect();
            if counts.is_empty() { "equal counts, other prices".to_owned() } else { counts.join(", ") }
        }
    };
    let money = pair.difference.map_or_else(String::new, |difference| {
        let by_counts = pair.by_counts.filter(|_| pair.why == Why::Counts);
        let parts = by_counts
            .map(|by| format!(", about {} of it by counts, {} by prices", dollars(by), dollars(difference - by)));
        format!("; theirs less ours {}{}", dollars(difference), parts.unwrap_or_default())
    });
    let lacks = if pair.uncounted > 0 { format!("; {} of ours without counts", pair.uncounted) } else { String::new() };
    let day = pair.day.map(|day| day.to_string()).unwrap_or_default();
    format!("{day} {:<30} {:<12} {what}{money}{lacks}", pair.name.as_deref().unwrap_or("?"), pair.why.name())
}

#[expect(clippy::cast_precision_loss, reason = "figures for people")]
fn dollars(nanodollars: i64) -> String {
    format!("{:.6}", nanodollars as f64 / 1e9)
}
