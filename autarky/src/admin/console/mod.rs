//! The console: what the operations answer, for people who would rather look than read. Server-rendered, without a
//! script, without anything from elsewhere. A page asks operations by name and draws what they say: it knows nothing
//! that the API does not tell. One file per page, and a line in `PAGES`; what changes something is a line in `FORMS`.

mod drills;
mod keys;
mod overview;
mod paper;
mod products;
mod reports;
mod requests;

use super::operation::Problem;
use super::params::Pairs;
use super::{Admin, OPERATIONS, access};
use http::header::{HOST, HeaderMap, ORIGIN};
use http::{Method, StatusCode};
use paper::Html;
use serde_json::Value;

/// What a browser may load: nothing but the page itself.
pub(super) const POLICY: &str =
    "default-src 'none'; style-src 'unsafe-inline'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'";

/// What makes a page of what a query or a form says.
type Draw = fn(&Admin, &Pairs) -> Result<Html, Problem>;

/// A page.
struct Page {
    /// Its path.
    path: &'static str,
    /// What it is called in the line of pages; empty: it is reached from another.
    title: &'static str,
    /// Draws it from what the query says.
    draw: Draw,
}

/// Every page, in the order of the line.
const PAGES: &[Page] = &[
    overview::PAGE,
    products::PAGE,
    requests::PAGE,
    requests::WHY,
    keys::PAGE,
    drills::PAGE,
    drills::REPORT,
    reports::EXPOSURE,
    reports::SCENARIOS,
];

/// What a form does, by its path.
const FORMS: &[(&str, Draw)] = &[
    ("/console/keys", keys::create),
    ("/console/keys/revoke", keys::revoke),
    ("/console/keys/rotate", keys::rotate),
    ("/console/drills/plan", drills::plan),
    ("/console/drills/run", drills::run),
    ("/console/drills/abort", drills::abort),
];

/// Whether the console has something to say about `path`.
pub(super) fn has(path: &str) -> bool {
    path == "/" || path == "/console" || path.starts_with("/console/")
}

/// Where `path` really is; the console's root is its first page.
fn place(path: &str) -> &str {
    if path == "/" { overview::PAGE.path } else { path.strip_suffix('/').unwrap_or(path) }
}

/// Whether a request may come from where it says it comes from: a form of ours, or a person who typed the address.
///
/// # Errors
/// Another site's page sent it.
pub(super) fn check_origin(headers: &HeaderMap) -> Result<(), Problem> {
    let text = |name: &http::HeaderName| headers.get(name).and_then(|value| value.to_str().ok());
    let site = headers.get("sec-fetch-site").and_then(|value| value.to_str().ok());
    let same = match (site, text(&ORIGIN)) {
        (Some(site), _) => site == "same-origin" || site == "none",
        (None, Some(origin)) => origin.split_once("://").map(|(_, host)| host) == text(&HOST),
        (None, None) => false,
    };
    if same {
        return Ok(());
    }
    Err(access::forbidden("a form of the console is sent from the console only")
        .hint("open the page anew and try again"))
}

/// The page that answers, whole.
pub(super) fn answer(admin: &Admin, method: &Method, path: &str, said: &Pairs) -> (StatusCode, String) {
    let at = place(path);
    let drawn = match *method {
        Method::POST => match FORMS.iter().find(|(form, _)| *form == at) {
            Some((_, run)) => run(admin, said),
            None => Err(nothing(path)),
        },
        _ => match PAGES.iter().find(|page| page.path == at) {
            Some(page) => (page.draw)(admin, said),
            None => Err(nothing(path)),
        },
    };
    match drawn {
        Ok(html) => (StatusCode::OK, html.page(at)),
        Err(problem) => (problem.status, refusal(&problem, at)),
    }
}

fn nothing(path: &str) -> Problem {
    Problem::missing("no_such_page", format!("the console has no page `{path}`"))
}

/// A problem as a page.
pub(super) fn refusal(problem: &Problem, at: &str) -> String {
    let mut html = Html::titled("It was not done");
    html.note(&problem.message);
    if let Some(hint) = &problem.hint {
        html.note(hint);
    }
    html.page(at)
}

/// What the operation called `name` answers.
fn ask(admin: &Admin, name: &str, said: &[(&str, &str)]) -> Result<Value, Problem> {
    tell(admin, name, said, &Value::Null)
}

/// What the operation called `name` answers to `body`.
fn tell(admin: &Admin, name: &str, said: &[(&str, &str)], body: &Value) -> Result<Value, Problem> {
    let route = OPERATIONS.iter().find(|route| route.name == name);
    let route =
        route.ok_or_else(|| Problem::missing("no_such_operation", format!("there is no operation `{name}`")))?;
    let pairs: Pairs = said.iter().map(|(name, text)| ((*name).to_owned(), (*text).to_owned())).collect();
    let body = if body.is_null() { String::new() } else { body.to_string() };
    (route.run)(admin, &pairs, body.as_bytes())
}

/// What `said` says of `name`, if anything.
fn said<'a>(said: &'a Pairs, name: &str) -> Option<&'a str> {
    said.iter().find(|(known, _)| known == name).map(|(_, text)| text.trim()).filter(|text| !text.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderValue;

    #[test]
    fn only_our_own_pages_send_forms() {
        let from = |pairs: &[(&'static str, &'static str)]| {
            let mut headers = HeaderMap::new();
            pairs.iter().for_each(|(name, value)| {
                headers.insert(*name, HeaderValue::from_static(value));
            });
            check_origin(&headers).is_ok()
        };
        assert!(from(&[("sec-fetch-site", "same-origin")]));
        assert!(from(&[("origin", "http://127.0.0.1:8081"), ("host", "127.0.0.1:8081")]));
        assert!(!from(&[("origin", "https://evil.example"), ("host", "127.0.0.1:8081")]));
        assert!(!from(&[("sec-fetch-site", "cross-site"), ("origin", "null")]));
        assert!(!from(&[]), "a browser says where a form comes from");
    }

    #[test]
    fn every_page_has_a_place_of_its_own_and_every_form_stands_on_a_page() {
        let places: std::collections::BTreeSet<_> = PAGES.iter().map(|page| page.path).collect();
        assert_eq!(places.len(), PAGES.len());
        assert!(places.iter().all(|place| has(place)));
        assert!(
            FORMS
                .iter()
                .all(|(form, _)| PAGES.iter().any(|page| form.starts_with(page.path) && page.path != "/console"))
        );
        assert_eq!((place("/"), place("/console/"), place("/console/keys")), ("/console", "/console", "/console/keys"));
    }
}
