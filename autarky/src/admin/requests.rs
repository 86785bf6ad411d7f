//! The log of requests: attempts, newest first, as the ledger has them.

use super::params::Word;
use super::usage::default_since;
use super::{Admin, Nothing, Operation, Problem};
use crate::cmd::window;
use gateway::clock;
use http::{Method, StatusCode};
use ledger::named::Named;
use ledger::{Attempt, Dimension, Filter, Name, Outcome};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// Most attempts of one answer.
const MOST: u32 = 1_000;

/// The log of requests.
pub(super) struct Requests;

/// Which of them.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Which {
    /// Only of this product.
    product: Option<String>,
    /// Only at this deployment.
    deployment: Option<String>,
    /// Only with this outcome.
    outcome: Option<Word<Outcome>>,
    /// How far back: days, hours, minutes, or everything.
    #[serde(default = "default_since")]
    #[schemars(extend("pattern" = r"^([1-9][0-9]{0,4}[dhm]|all)$"))]
    since: String,
    /// At most so many, 1 to 1000.
    #[serde(default = "default_limit")]
    #[schemars(range(min = 1, max = 1000))]
    limit: u32,
}

const fn default_limit() -> u32 {
    50
}

/// A row as JSON, with the fields of the ledger; what is not known is left out.
pub(super) fn row(attempt: &Attempt) -> Map<String, Value> {
    match serde_json::to_value(attempt) {
        Ok(Value::Object(row)) => row,
        _ => Map::new(),
    }
}

/// Attempts.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "Requests")]
pub(super) struct Told {
    /// Newest first, with the fields of the ledger; what is not known is left out.
    attempts: Vec<Map<String, Value>>,
}

impl Operation for Requests {
    type Params = Which;
    type Body = Nothing;
    type Answer = Told;
    const METHOD: Method = Method::GET;
    const PATH: &'static str = "/admin/requests";
    const NAME: &'static str = "requests";
    const SUMMARY: &'static str = "Attempts, newest first: who asked, who was asked, what became of it.";
    const REFUSALS: &'static [(StatusCode, &'static str)] =
        &[(StatusCode::SERVICE_UNAVAILABLE, "The ledger cannot be read now.")];

    fn run(admin: &Admin, which: Which, _: Nothing) -> Result<Told, Problem> {
        if !(1..=MOST).contains(&which.limit) {
            return Err(Problem::invalid(format!("`limit` is 1 to {MOST}")));
        }
        let since = window::since(&which.since).map_err(Problem::invalid)?;
        let now = clock::unix_micros();
        let back = since.0.map(|back| i64::try_from(back.as_micros()).unwrap_or(i64::MAX));
        let is = [
            (Dimension::Product, which.product.map(Name::from)),
            (Dimension::Deployment, which.deployment.map(Name::from)),
            (Dimension::Outcome, which.outcome.map(|word| word.0.name().into())),
        ];
        let filter = Filter {
            from: back.map(|back| now.saturating_sub(back)),
            until: None,
            is: is.into_iter().filter(|(_, name)| name.is_some()).collect(),
            limit: Some(which.limit),
        };
        Ok(Told { attempts: admin.store.list(&filter)?.iter().map(row).collect() })
    }
}
