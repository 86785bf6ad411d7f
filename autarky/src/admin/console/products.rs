//! What products use of whom, and how much of their limits and budgets is left.

use super::paper::{Html, Sum, Told, cell, gauge};
use super::{Page, ask};
use crate::admin::operation::Problem;
use crate::admin::{Admin, params::Pairs};
use insurance::render::{count, safe};
use serde_json::Value;

pub(super) const PAGE: Page = Page { path: "/console/products", title: "Products", draw };

fn draw(admin: &Admin, _: &Pairs) -> Result<Html, Problem> {
    let mut html = Html::titled("Products");
    for (by, title) in [("product", "By product"), ("deployment", "By deployment"), ("maker", "By maker")] {
        let usage = ask(admin, "usage", &[("by", by)])?;
        let totals = usage.list("windows").iter().flat_map(|window| window.list("totals"));
        let rows: Vec<Vec<String>> = totals.map(|total| used(by, total)).collect();
        let columns =
            [(by, false), ("requests", true), ("attempts", true), ("failed", true), ("tokens", true), ("spend", true)];
        html.table(title, "30 days, from the ledger", &columns, &rows);
    }
    let budgets = ask(admin, "budgets", &[])?;
    let rows: Vec<Vec<String>> = budgets.list("levels").iter().map(level).collect();
    let columns =
        [("who", false), ("requests / min", false), ("tokens / min", false), ("under way", false), ("money", false)];
    html.table("Limits and budgets", "now, from memory", &columns, &rows);
    Ok(html)
}

fn used(by: &str, total: &Value) -> Vec<String> {
    let (sum, group) = (Sum::default().with(total), total.text("group"));
    let name = if by == "maker" || group.is_empty() {
        cell(group)
    } else {
        format!("<a href=\"/console/requests?{by}={0}\">{0}</a>", safe(group))
    };
    vec![name, count(sum.requests), count(sum.attempts), count(sum.failed), sum.tokens(), sum.cost()]
}

fn level(level: &Value) -> Vec<String> {
    let name = level.text("name");
    let who = if name.is_empty() {
        format!("<b>{}</b>", cell(level.text("product")))
    } else {
        format!("{} › {} {}", cell(level.text("product")), cell(level.text("of")), cell(name))
    };
    let money: Vec<String> = level.list("money").iter().map(purse).collect();
    vec![
        who,
        limit(level.get("requests")),
        limit(level.get("tokens")),
        limit(level.get("concurrent")),
        if money.is_empty() { "no budget".to_owned() } else { money.join("<br>") },
    ]
}

#[expect(clippy::cast_precision_loss, reason = "for display")]
fn limit(used: Option<&Value>) -> String {
    let (limit, used) = (used.and_then(|used| used.whole("limit")), used.and_then(|used| used.whole("used")));
    match (limit, used) {
        (Some(limit), used) => {
            let used = used.unwrap_or(0);
            gauge(used as f64 / limit.max(1) as f64, &format!("{} of {}", count(used), count(limit)))
        }
        (None, Some(used)) => count(used),
        (None, None) => "no limit".to_owned(),
    }
}

fn purse(money: &Value) -> String {
    let usd = |key: &str| money.get(key).and_then(Value::as_f64);
    let (period, spent) = (money.text("period"), usd("spent_usd").unwrap_or(0.0));
    match usd("limit_usd") {
        Some(limit) => gauge(spent / limit.max(1e-9), &format!("${spent:.2} of ${limit:.2} this {period}")),
        None => format!("${spent:.2} this {}", cell(period)),
    }
}
