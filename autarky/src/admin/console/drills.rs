//! Drills: the one that runs and how to stop it, a new one, those that were, and what each showed. A new one is shown as
//! a plan first; only from there it is run.

use super::paper::{Html, Told, cell, choice, input};
use super::{Page, ask, said, tell};
use crate::admin::drills::{problem, scene};
use crate::admin::operation::Problem;
use crate::admin::{Admin, params::Pairs};
use insurance::drill::{Fault, KINDS, Level, Record};
use insurance::render::{self, count, safe};
use serde_json::{Map, Value, json};

pub(super) const PAGE: Page = Page { path: "/console/drills", title: "Drills", draw };
pub(super) const REPORT: Page = Page { path: "/console/drills/report", title: "", draw: report };

/// The fields of an order that a form says as text; `products` and `share` are read.
const FIELDS: [&str; 7] = ["lose", "fault", "level", "window", "products", "share", "spend"];

fn draw(admin: &Admin, _: &Pairs) -> Result<Html, Problem> {
    let mut html = Html::titled("Drills");
    let drills = ask(admin, "list_drills", &[])?;
    let records: Vec<Record> =
        drills.list("drills").iter().filter_map(|one| serde_json::from_value(one.clone()).ok()).collect();
    if let Some(record) = records.iter().find(|record| !record.state.is_over()) {
        html.raw("<meta http-equiv=\"refresh\" content=\"3\">");
        running(&mut html, record);
    } else {
        form(&mut html, admin);
    }
    let rows: Vec<Vec<String>> = records.iter().filter(|record| record.state.is_over()).map(row).collect();
    let columns = [
        ("drill", false),
        ("lost", false),
        ("fault", false),
        ("level", false),
        ("offered", true),
        ("served", true),
        ("failed", true),
        ("how it ended", false),
        ("verdict", false),
    ];
    html.table("Those that were", "the newest first", &columns, &rows);
    Ok(html)
}

fn running(html: &mut Html, record: &Record) {
    let (drill, counts) = (&record.drill, record.counts);
    html.heading(&format!("Now: loss of {} ({}), {}", drill.target, drill.fault, drill.level));
    html.cards(&[
        (render::standing(&record.state), "it is"),
        (count(counts.offered), "requests offered"),
        (count(counts.served), "served"),
        (count(counts.failed), "failed"),
        (count(counts.left), "client left"),
        (count(counts.degraded), "degraded"),
    ]);
    html.note(&format!("{}: it ends by itself after {} s.", drill.id, drill.window_s));
    html.raw("<form method=\"post\" action=\"/console/drills/abort\"><button>Stop it now</button></form>");
}

fn form(html: &mut Html, admin: &Admin) {
    let setup = admin.gateway.setup();
    let products: Vec<&str> = setup.fleet.products().iter().map(policy::Product::name).collect();
    let faults: Vec<&str> = KINDS.iter().skip(1).map(|kind| kind.name).collect();
    html.heading("A new one");
    let fields = [
        input("lost", "lose", "", "required placeholder=\"maker:openai\""),
        choice("looks like", "fault", &faults, "", &Fault::default().to_string()),
        choice("level", "level", &[Level::L2, Level::L3], "", "L0"),
        choice("product", "products", &products, "", "all"),
        input("share", "share", "1", "inputmode=\"decimal\" size=\"5\""),
        input("window", "window", "60s", "size=\"6\""),
        input("costs at most, $", "spend", "", "inputmode=\"decimal\" size=\"6\""),
    ];
    html.raw(&format!(
        "<form method=\"post\" action=\"/console/drills/plan\">{}<button>Plan it</button></form>",
        fields.concat()
    ));
    html.note("L0 is on paper; L2 a part of live traffic: a product or a share; L3 all of it. A plan comes first, nothing is played by it. Captured requests (L1) are replayed by `autarky drill run --level L1`.");
}

fn row(record: &Record) -> Vec<String> {
    let (drill, counts) = (&record.drill, record.counts);
    let live = drill.level >= Level::L1 && record.began.is_some();
    let counted = |number: u64| if live { count(number) } else { cell("") };
    vec![
        format!("<a href=\"/console/drills/report?id={0}\">{0}</a>", safe(&drill.id)),
        cell(&drill.target.to_string()),
        cell(&drill.fault.to_string()),
        cell(&drill.level.to_string()),
        counted(counts.offered),
        counted(counts.served),
        counted(counts.failed),
        cell(&render::standing(&record.state)),
        record.report.as_ref().map_or_else(|| "not looked at yet".to_owned(), |report| cell(report.verdict.words())),
    ]
}

fn report(admin: &Admin, query: &Pairs) -> Result<Html, Problem> {
    let reported = scene(admin)?.report(said(query, "id")).map_err(problem)?;
    Ok(Html::report(&render::drill_html(&reported.record, reported.last())))
}

/// The order that a form says.
fn order(form: &Pairs) -> Result<Value, Problem> {
    let mut order = Map::new();
    for name in FIELDS {
        let Some(text) = said(form, name) else { continue };
        let number = || {
            let wrong = || Problem::invalid(format!("`{text}` is no number"));
            text.parse::<f64>().map(|number| json!(number)).map_err(|_| wrong())
        };
        let value = match name {
            "share" | "spend" => number()?,
            "products" => json!([text]),
            _ => json!(text),
        };
        order.insert(name.to_owned(), value);
    }
    Ok(Value::Object(order))
}

/// What a drill would do; from here it can be run.
pub(super) fn plan(admin: &Admin, form: &Pairs) -> Result<Html, Problem> {
    let planned = tell(admin, "plan_drill", &[], &order(form)?)?;
    let unread = |error| Problem::unavailable("drill_unavailable", error);
    let drill = serde_json::from_value(planned["drill"].clone()).map_err(unread)?;
    let on_paper = serde_json::from_value(planned["on_paper"].clone()).map_err(unread)?;
    let why_not = planned["why_not"].as_str();
    let mut html = Html::report(&render::plan_html(&drill, why_not, Option::as_ref(&on_paper)));
    if why_not.is_none() {
        let hidden = FIELDS.iter().filter_map(|name| Some((name, said(form, name)?)));
        let hidden =
            hidden.map(|(name, text)| format!("<input type=\"hidden\" name=\"{name}\" value=\"{}\">", safe(text)));
        let word =
            if drill.level == Level::L0 { "Keep it as a drill on paper" } else { "Run it now, for real requests" };
        html.raw(&format!(
            "<form method=\"post\" action=\"/console/drills/run\">{}<button>{word}</button></form>",
            hidden.collect::<String>()
        ));
    }
    Ok(html)
}

/// Runs a drill.
pub(super) fn run(admin: &Admin, form: &Pairs) -> Result<Html, Problem> {
    tell(admin, "run_drill", &[], &order(form)?)?;
    draw(admin, &Vec::new())
}

/// Stops the drill that runs.
pub(super) fn abort(admin: &Admin, _: &Pairs) -> Result<Html, Problem> {
    ask(admin, "abort_drill", &[])?;
    draw(admin, &Vec::new())
}
