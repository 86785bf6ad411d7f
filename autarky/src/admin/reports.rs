//! What the commands tell, for machines: the story of a request, and the report on dependence.

use super::requests::row;
use super::usage::default_since;
use super::{Admin, Nothing, Operation, Problem};
use crate::cmd::register::Files;
use crate::cmd::window::{self, Window};
use http::{Method, StatusCode};
use insurance::{Day, exposure};
use ledger::RequestId;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// The story of a request.
pub(super) struct Why;

/// Which request.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Which {
    /// Its id, from the answer's header `x-autarky-request-id`.
    request: String,
}

/// The story of a request.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "Story")]
pub(super) struct Story {
    /// The request's id.
    request: String,
    /// Its attempts in order, with the fields of the ledger; what is not known is left out.
    attempts: Vec<Map<String, Value>>,
}

impl Operation for Why {
    type Params = Which;
    type Body = Nothing;
    type Answer = Story;
    const METHOD: Method = Method::GET;
    const PATH: &'static str = "/admin/why/{request}";
    const NAME: &'static str = "why";
    const SUMMARY: &'static str = "Whom the plan looked at for a request, who was asked, what became of each attempt.";
    const REFUSALS: &'static [(StatusCode, &'static str)] = &[
        (StatusCode::NOT_FOUND, "The ledger knows no attempt of it."),
        (StatusCode::SERVICE_UNAVAILABLE, "The ledger cannot be read now."),
    ];

    fn run(admin: &Admin, Which { request }: Which, _: Nothing) -> Result<Story, Problem> {
        let unknown = || {
            Problem::missing("no_such_request", format!("the ledger knows no attempt of `{request}`"))
                .hint("nobody was asked for it, it is younger than a second, or another server answered it")
        };
        let id: RequestId = request.parse().map_err(|_| unknown())?;
        let rows = admin.store.attempts(id)?;
        if rows.is_empty() {
            return Err(unknown());
        }
        Ok(Story { request, attempts: rows.iter().map(row).collect() })
    }
}

/// The report on dependence.
pub(super) struct Exposure;

/// Since when, seen from when.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Since {
    /// How far back: days, hours, minutes, or everything.
    #[serde(default = "default_since")]
    #[schemars(extend("pattern" = r"^([1-9][0-9]{0,4}[dhm]|all)$"))]
    since: String,
    /// The day on which the question is asked, `YYYY-MM-DD`: what has ended by then is gone. Left out: today.
    #[schemars(extend("format" = "date"))]
    as_of: Option<String>,
}

impl Operation for Exposure {
    type Params = Since;
    type Body = Nothing;
    type Answer = Map<String, Value>;
    const METHOD: Method = Method::GET;
    const PATH: &'static str = "/admin/exposure";
    const NAME: &'static str = "exposure";
    const SUMMARY: &'static str =
        "Who the products depend on, what would be left without each: as `autarky exposure --format json` tells it.";
    const REFUSALS: &'static [(StatusCode, &'static str)] = &[(
        StatusCode::SERVICE_UNAVAILABLE,
        "The ledger, the register or the configuration's file cannot be read now.",
    )];

    fn run(admin: &Admin, asked: Since, _: Nothing) -> Result<Map<String, Value>, Problem> {
        let since = window::since(&asked.since).map_err(Problem::invalid)?;
        let day = asked.as_of.as_deref().map(str::parse::<Day>).transpose().map_err(Problem::invalid)?;
        let files = Files::of(admin.config.clone());
        let away = |error| Problem::unavailable("report_unavailable", format!("{error:#}"));
        let window = Window::read(&files, since, day.unwrap_or_else(crate::cmd::register::today)).map_err(away)?;
        match serde_json::to_value(exposure(&window.inputs())) {
            Ok(Value::Object(report)) => Ok(report),
            _ => Err(Problem::new(StatusCode::INTERNAL_SERVER_ERROR, "internal_error", "the report is no object")),
        }
    }
}
