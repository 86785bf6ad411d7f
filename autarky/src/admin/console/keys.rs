//! Keys: who has which, a new one, the end of one, its successor. A secret is on one page only, that of its making.

use super::paper::{Html, Told, cell, choice, input};
use super::{Page, ask, said, tell};
use crate::admin::operation::Problem;
use crate::admin::{Admin, params::Pairs};
use insurance::render::safe;
use serde_json::{Map, Value, json};

pub(super) const PAGE: Page = Page { path: "/console/keys", title: "Keys", draw };

fn draw(admin: &Admin, _: &Pairs) -> Result<Html, Problem> {
    let mut html = Html::titled("Keys");
    list(&mut html, admin)?;
    Ok(html)
}

fn list(html: &mut Html, admin: &Admin) -> Result<(), Problem> {
    let keys = ask(admin, "list_keys", &[])?;
    let rows: Vec<Vec<String>> = keys.list("keys").iter().map(row).collect();
    let columns = [
        ("key", false),
        ("of", false),
        ("opens", false),
        ("may use", false),
        ("made", false),
        ("until", false),
        ("", false),
    ];
    html.table("Keys", "only their hashes are kept", &columns, &rows);
    let setup = admin.gateway.setup();
    let products: Vec<&str> = setup.fleet.products().iter().map(policy::Product::name).collect();
    html.heading("A new key");
    html.raw("<form method=\"post\" action=\"/console/keys\">");
    html.raw(&choice("product", "product", &products, "", "choose"));
    html.raw(&input("name", "name", "", "required maxlength=\"200\""));
    html.raw(&input("team", "team", "", "maxlength=\"200\""));
    html.raw(&input(
        "days until it expires",
        "expires_days",
        "",
        "inputmode=\"numeric\" placeholder=\"never\" size=\"8\"",
    ));
    html.raw(&input("models (by comma)", "models", "", "placeholder=\"all\""));
    html.raw(&input("networks (by comma)", "networks", "", "placeholder=\"everywhere\""));
    html.raw(&input(
        "US dollars a month",
        "usd_month",
        "",
        "inputmode=\"decimal\" placeholder=\"no limit\" size=\"8\"",
    ));
    html.raw("<button>Make it</button></form>");
    Ok(())
}

fn row(key: &Value) -> Vec<String> {
    let names = |key: &Value, of: &str| {
        let names: Vec<&str> = key.list(of).iter().filter_map(Value::as_str).collect();
        names.join(", ")
    };
    let day = |text: &str| format!("<time>{}</time>", cell(text.get(..10).unwrap_or_default()));
    let good = key.get("good").and_then(Value::as_bool).unwrap_or(false);
    let (id, team) = (safe(key.text("id")), key.text("team"));
    let until = match (key.text("revoked"), key.text("expires")) {
        ("", "") => "–".to_owned(),
        ("", expires) => day(expires),
        (revoked, _) => format!("revoked {}", day(revoked)),
    };
    let button = |action: &str, word: &str| {
        format!(
            "<form method=\"post\" action=\"/console/keys/{action}\"><input type=\"hidden\" name=\"id\" value=\"{id}\">\
             <button>{word}</button></form>"
        )
    };
    let product = key.text("kind") == "product";
    let does = match (good, product) {
        (true, true) => format!("{}{}", button("rotate", "Rotate"), button("revoke", "Revoke")),
        (true, false) => button("revoke", "Revoke"),
        (false, _) => String::new(),
    };
    let whose =
        if team.is_empty() { key.text("product").to_owned() } else { format!("{} › {team}", key.text("product")) };
    vec![
        format!("{} <code>{}…</code>", cell(key.text("name")), safe(key.text("prefix"))),
        cell(&whose),
        cell(if product { "requests" } else { key.text("kind") }),
        cell(
            &[names(key, "models"), names(key, "networks")]
                .into_iter()
                .filter(|all| !all.is_empty())
                .collect::<Vec<_>>()
                .join("; "),
        ),
        day(key.text("created")),
        until,
        does,
    ]
}

/// The page that shows a secret, once.
fn shown(admin: &Admin, made: &Value, words: &str) -> Result<Html, Problem> {
    let mut html = Html::titled(words);
    html.raw(&format!(
        "<div class=\"secret\"><code>{}</code><p class=\"note\">Copy it now: it is not kept and not shown again.</p></div>",
        safe(made.text("secret"))
    ));
    list(&mut html, admin)?;
    Ok(html)
}

/// Makes a key.
pub(super) fn create(admin: &Admin, form: &Pairs) -> Result<Html, Problem> {
    let product = said(form, "product").ok_or_else(|| Problem::invalid("choose the key's product"))?;
    let mut new = Map::from_iter([("product".to_owned(), json!(product))]);
    for name in ["name", "team"] {
        new.extend(said(form, name).map(|text| (name.to_owned(), json!(text))));
    }
    if let Some(days) = said(form, "expires_days") {
        let days: u32 = days.parse().map_err(|_| Problem::invalid(format!("`{days}` is no number of days")))?;
        new.insert("expires_days".to_owned(), json!(days));
    }
    for name in ["models", "networks"] {
        let listed = said(form, name).into_iter().flat_map(|text| text.split(',')).map(str::trim);
        let listed: Vec<&str> = listed.filter(|one| !one.is_empty()).collect();
        new.insert(name.to_owned(), json!(listed));
    }
    if let Some(usd) = said(form, "usd_month") {
        let usd: f64 = usd.parse().map_err(|_| Problem::invalid(format!("`{usd}` is no number of dollars")))?;
        new.insert("limits".to_owned(), json!({ "usd_month": usd }));
    }
    let made = tell(admin, "create_key", &[], &Value::Object(new))?;
    shown(admin, &made, "The new key")
}

fn id(form: &Pairs) -> Result<&str, Problem> {
    said(form, "id").ok_or_else(|| Problem::invalid("name the key"))
}

/// Ends a key.
pub(super) fn revoke(admin: &Admin, form: &Pairs) -> Result<Html, Problem> {
    ask(admin, "revoke_key", &[("id", id(form)?)])?;
    let mut html = Html::titled("Keys");
    html.note("The key is refused from now on.");
    list(&mut html, admin)?;
    Ok(html)
}

/// Makes a successor; the old key stays good for a day.
pub(super) fn rotate(admin: &Admin, form: &Pairs) -> Result<Html, Problem> {
    let made = tell(admin, "rotate_key", &[("id", id(form)?)], &json!({}))?;
    shown(admin, &made, "The key's successor; the old one stays good for a day")
}
