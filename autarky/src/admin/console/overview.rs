//! How it stands: the last day in a picture, breakers that are not closed, how far the ledger is.

use super::paper::{Html, Sum, Told, cell};
use super::{Page, ask};
use crate::admin::operation::Problem;
use crate::admin::{Admin, params::Pairs};
use insurance::render::count;
use serde_json::Value;

pub(super) const PAGE: Page = Page { path: "/console", title: "Overview", draw };

/// What the parts of a bar are.
const CLASSES: [(&str, &str); 3] = [("covered", "answered"), ("nothing", "failed"), ("untouched", "given up, unknown")];

fn draw(admin: &Admin, _: &Pairs) -> Result<Html, Problem> {
    let mut html = Html::titled("Overview");
    html.raw("<meta http-equiv=\"refresh\" content=\"20\">");
    match ask(admin, "usage", &[("since", "24h"), ("step", "hour")]) {
        Ok(usage) => day(&mut html, &usage),
        Err(problem) => html.note(&problem.message),
    }
    health(&mut html, &ask(admin, "health", &[])?);
    Ok(html)
}

/// The last 24 hours.
fn day(html: &mut Html, usage: &Value) {
    let windows = usage.list("windows");
    let of = |window: &Value| window.list("totals").iter().fold(Sum::default(), Sum::with);
    let all = windows.iter().flat_map(|window| window.list("totals")).fold(Sum::default(), Sum::with);
    html.cards(&[
        (count(all.requests), "requests in 24 hours"),
        (count(all.failed), "attempts that failed"),
        (all.tokens(), "tokens"),
        (all.cost(), "spend"),
    ]);
    let bars: Vec<(String, Vec<u64>)> = windows
        .iter()
        .map(|window| {
            let (sum, hour) = (of(window), window.text("from").get(11..13).unwrap_or_default());
            let words =
                format!("{hour} h: {} answered, {} failed, {} given up or unknown", sum.ok, sum.failed, sum.other);
            (words, vec![sum.ok, sum.failed, sum.other])
        })
        .collect();
    html.heading("Attempts by the hour (UTC)");
    html.bars("attempts of the last 24 hours", &bars, &CLASSES);
}

fn health(html: &mut Html, health: &Value) {
    for missing in health.list("missing") {
        html.raw(&format!("<p class=\"bad\">{}</p>", cell(missing.as_str().unwrap_or_default())));
    }
    let breakers = health.list("breakers");
    let open: Vec<&Value> = breakers.iter().filter(|breaker| breaker.text("state") != "closed").collect();
    if open.is_empty() {
        html.heading("Breakers");
        html.raw(&format!("<p class=\"good\">All {} are closed: everybody may be asked.</p>", breakers.len()));
    } else {
        let rows: Vec<Vec<String>> = open.into_iter().map(breaker).collect();
        let columns = [("of", false), ("state", false), ("for", true), ("last fault", false)];
        html.table("Breakers that are not closed", &format!("of {}", breakers.len()), &columns, &rows);
    }
    let ledger = health.get("ledger").unwrap_or(&Value::Null);
    let (behind, failed) = (ledger.whole("behind").unwrap_or(0), ledger.whole("journal_failures").unwrap_or(0));
    html.heading("Ledger");
    html.note(&format!("{} attempts wait in the journal for the database.", count(behind)));
    if let Some(error) = ledger.get("last_error").and_then(Value::as_str) {
        html.raw(&format!("<p class=\"bad\">{}</p>", cell(error)));
    }
    if failed > 0 {
        html.raw(&format!("<p class=\"bad\">{} lines of the journal could not be written.</p>", count(failed)));
    }
}

fn breaker(breaker: &Value) -> Vec<String> {
    let wait = breaker.whole("wait_ms").map(|ms| format!("{} s", ms.div_ceil(1_000))).unwrap_or_default();
    let cause = breaker.text("cause");
    let state = breaker.text("state");
    let fault = breaker.get("last_fault").unwrap_or(&Value::Null);
    vec![
        format!("{} <b>{}</b>", cell(breaker.text("of")), cell(breaker.text("name"))),
        cell(&if cause.is_empty() { state.to_owned() } else { format!("{state} ({cause})") }),
        cell(&wait),
        cell(format!("{} {}", fault.text("kind"), fault.text("message")).trim()),
    ]
}
