//! The log of requests, and the story of one.

use super::paper::{Html, Told, cell, choice, input};
use super::{Page, ask, said};
use crate::admin::operation::Problem;
use crate::admin::{Admin, params::Pairs};
use insurance::render::{count, safe};
use ledger::Outcome;
use ledger::named::Named;
use serde_json::Value;

pub(super) const PAGE: Page = Page { path: "/console/requests", title: "Requests", draw };
pub(super) const WHY: Page = Page { path: "/console/why", title: "", draw: why };

/// What may be asked for.
const WORDS: [&str; 4] = ["product", "deployment", "outcome", "since"];

fn draw(admin: &Admin, query: &Pairs) -> Result<Html, Problem> {
    let mut html = Html::titled("Requests");
    let value = |name: &str| said(query, name).unwrap_or_default();
    let outcomes: Vec<&str> = Outcome::MEMBERS.iter().map(|outcome| outcome.name()).collect();
    html.raw("<form method=\"get\">");
    html.raw(&input("product", "product", value("product"), ""));
    html.raw(&input("deployment", "deployment", value("deployment"), ""));
    html.raw(&choice("outcome", "outcome", &outcomes, value("outcome"), "any"));
    html.raw(&input("since", "since", value("since"), "placeholder=\"30d\" size=\"6\""));
    html.raw("<button>Search</button></form><form method=\"get\" action=\"/console/why\">");
    html.raw(&input("request", "request", "", "placeholder=\"req_…\" size=\"32\""));
    html.raw("<button>Why?</button></form>");
    let mut wanted = vec![("limit", "200")];
    wanted.extend(WORDS.iter().filter_map(|name| Some((*name, said(query, name)?))));
    let found = ask(admin, "requests", &wanted)?;
    let rows: Vec<Vec<String>> = found.list("attempts").iter().map(row).collect();
    let columns = [
        ("when (UTC)", false),
        ("request", false),
        ("product", false),
        ("asked for", false),
        ("deployment", false),
        ("what became of it", false),
        ("tokens", true),
        ("first token", true),
        ("whole", true),
    ];
    html.table("Attempts", &format!("newest first, {} shown", rows.len()), &columns, &rows);
    Ok(html)
}

/// `2026-11-25 14:03:07` of Unix microseconds.
fn moment(micros: Option<&Value>) -> String {
    let moment = micros.and_then(Value::as_i64).and_then(|micros| jiff::Timestamp::from_microsecond(micros).ok());
    moment.map(|moment| moment.strftime("%Y-%m-%d %H:%M:%S").to_string()).unwrap_or_default()
}

fn millis(micros: Option<u64>) -> String {
    micros.map(|micros| format!("{} ms", count(micros / 1_000))).unwrap_or_default()
}

fn row(attempt: &Value) -> Vec<String> {
    let id = safe(attempt.text("request_id"));
    let ran = |key: &str| cell(&millis(attempt.whole(key)));
    let tokens = match (attempt.whole("input_tokens"), attempt.whole("output_tokens")) {
        (None, None) => String::new(),
        (input, output) => {
            let known = |tokens: Option<u64>| tokens.map_or_else(|| "?".to_owned(), count);
            format!("{} + {}", known(input), known(output))
        }
    };
    vec![
        format!("<time>{}</time>", cell(&moment(attempt.get("started")))),
        format!("<a href=\"/console/why?request={id}\"><code>{id}</code></a>"),
        cell(attempt.text("product")),
        cell(attempt.text("requested_model")),
        cell(attempt.text("deployment")),
        became(attempt),
        cell(&tokens),
        ran("first_token_us"),
        ran("last_token_us"),
    ]
}

fn became(attempt: &Value) -> String {
    let (outcome, fault, mode) = (attempt.text("outcome"), attempt.text("fault"), attempt.text("mode"));
    let class = if outcome == "ok" { "good" } else { "bad" };
    let mode = if mode.is_empty() || mode == "live" {
        String::new()
    } else {
        format!(" <span class=\"basis\">{}</span>", cell(mode))
    };
    format!("<span class=\"{class}\">{}</span> {}{mode}", cell(outcome), safe(fault))
}

fn why(admin: &Admin, query: &Pairs) -> Result<Html, Problem> {
    let request = said(query, "request").ok_or_else(|| Problem::invalid("name a request: `?request=req_…`"))?;
    let story = ask(admin, "why", &[("request", request)])?;
    let mut html = Html::titled("Why this model?");
    html.raw(&format!("<p><code>{}</code></p>", safe(request)));
    let attempts = story.list("attempts");
    if let Some(planned) = attempts.iter().find(|attempt| !attempt.list("candidates").is_empty()) {
        let rows: Vec<Vec<String>> = planned.list("candidates").iter().map(candidate).collect();
        let basis = format!("rules {}", planned.text("policy_version"));
        html.table("Whom the plan looked at", &basis, &[("deployment", false), ("score", true), ("", false)], &rows);
    }
    for attempt in attempts {
        let number = attempt.whole("attempt").unwrap_or(0);
        let fields = attempt.as_object().into_iter().flatten().filter(|(name, _)| *name != "candidates");
        let rows: Vec<Vec<String>> = fields.map(|(name, value)| vec![safe(name), shown(name, value)]).collect();
        let title = format!("Attempt {number}: {}", attempt.text("deployment"));
        html.table(&safe(&title), "from the ledger", &[("field", false), ("value", false)], &rows);
    }
    Ok(html)
}

fn candidate(candidate: &Value) -> Vec<String> {
    let score = candidate.get("score").and_then(Value::as_f64).map(|score| format!("{score:.3}")).unwrap_or_default();
    let dropped = candidate.text("dropped");
    let what = if dropped.is_empty() { "planned".to_owned() } else { format!("dropped: {}", safe(dropped)) };
    vec![cell(candidate.text("deployment")), cell(&score), what]
}

fn shown(name: &str, value: &Value) -> String {
    match value {
        Value::String(text) => safe(text),
        Value::Number(_) if name == "started" => format!("{} UTC", moment(Some(value))),
        other => safe(&other.to_string()),
    }
}
