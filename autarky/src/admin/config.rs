//! The configuration: what its file says now, and taking it over.

use super::{Admin, Nothing, Operation, Problem};
use crate::config::{self, Problems, Severity};
use http::{Method, StatusCode};
use schemars::JsonSchema;
use serde::Serialize;

/// What the file says.
pub(super) struct Check;

/// What a configuration's file says.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct Checked {
    /// The file.
    file: String,
    /// Whether it can be used; it may have warnings all the same.
    good: bool,
    /// The version that its text has; null: it has errors.
    version: Option<String>,
    /// The version that the server goes by.
    running: String,
    /// What is wrong, or probably not meant.
    problems: Vec<Found>,
}

/// One problem.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "ConfigProblem")]
struct Found {
    /// Whether it is an error or a warning.
    severity: &'static str,
    /// What is wrong.
    message: String,
    /// The line, from 1, where it is known.
    line: Option<u64>,
    /// The column, from 1.
    column: Option<u64>,
    /// What to do.
    hint: Option<String>,
}

fn found(problem: config::Problem) -> Found {
    Found {
        severity: match problem.severity {
            Severity::Error => "error",
            Severity::Warning => "warning",
        },
        message: problem.message,
        line: problem.at.map(|(line, _)| line as u64),
        column: problem.at.map(|(_, column)| column as u64),
        hint: problem.hint,
    }
}

impl Operation for Check {
    type Params = Nothing;
    type Body = Nothing;
    type Answer = Checked;
    const METHOD: Method = Method::GET;
    const PATH: &'static str = "/admin/config/check";
    const NAME: &'static str = "check_config";
    const SUMMARY: &'static str =
        "Every problem of the configuration's file as it lies there now, with its line and what to do.";

    fn run(admin: &Admin, _: Nothing, _: Nothing) -> Result<Checked, Problem> {
        let (version, problems) = match config::load(&admin.config) {
            Ok(checked) => (Some(checked.version), checked.warnings),
            Err(problems) => (None, problems.list),
        };
        Ok(Checked {
            file: admin.config.display().to_string(),
            good: version.is_some(),
            version,
            running: admin.gateway.setup().policy_version.to_string(),
            problems: problems.into_iter().map(found).collect(),
        })
    }
}

/// Taking the file over.
pub(super) struct Reload;

/// What the server goes by now.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct Taken {
    /// The version of the rules.
    version: String,
}

impl Operation for Reload {
    type Params = Nothing;
    type Body = Nothing;
    type Answer = Taken;
    const METHOD: Method = Method::POST;
    const PATH: &'static str = "/admin/reload";
    const NAME: &'static str = "reload";
    const SUMMARY: &'static str =
        "Take the configuration's file over now; one with errors is refused, and the running configuration stays.";
    const REFUSALS: &'static [(StatusCode, &'static str)] =
        &[(StatusCode::UNPROCESSABLE_ENTITY, "The file has errors; `GET /admin/config/check` lists them.")];

    fn run(admin: &Admin, _: Nothing, _: Nothing) -> Result<Taken, Problem> {
        let refused = |problems: Problems| {
            Problem::new(StatusCode::UNPROCESSABLE_ENTITY, "configuration_refused", problems)
                .hint("`GET /admin/config/check` lists what is wrong; the running configuration stays")
        };
        Ok(Taken { version: admin.reloader.reload().map_err(refused)? })
    }
}
