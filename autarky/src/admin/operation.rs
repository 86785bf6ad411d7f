//! One mould for every operation: what it is called, what it takes, what it gives, what it does. Types describe both
//! the JSON and its schema, so that the document cannot say anything else than the code does.

use super::Admin;
use super::params::{self, Pairs};
use http::{Method, StatusCode};
use ledger::{KeyError, StoreError};
use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::any::TypeId;
use std::fmt::Display;

/// An operation of the admin API.
pub(crate) trait Operation: 'static {
    /// What the path and the query say: a struct whose fields are their names.
    type Params: DeserializeOwned + JsonSchema + 'static;
    /// What the body says; `Nothing`: it takes none.
    type Body: DeserializeOwned + JsonSchema + 'static;
    /// What it answers.
    type Answer: Serialize + JsonSchema + 'static;
    /// Its method. Those that read are open to keys for reading.
    const METHOD: Method;
    /// Its path, with `{name}` for what varies.
    const PATH: &'static str;
    /// Its name, unique.
    const NAME: &'static str;
    /// What it does, in one sentence.
    const SUMMARY: &'static str;
    /// The status of its answer.
    const STATUS: StatusCode = StatusCode::OK;
    /// What besides what every operation may refuse with it may refuse with: status and reason.
    const REFUSALS: &'static [(StatusCode, &'static str)] = &[];

    /// Does it.
    ///
    /// # Errors
    /// What the caller is told.
    fn run(admin: &Admin, params: Self::Params, body: Self::Body) -> Result<Self::Answer, Problem>;
}

/// No parameters, or no body.
#[derive(Debug, Clone, Copy, Default, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Nothing {}

/// Why an operation was not done.
#[derive(Debug, Clone)]
pub(crate) struct Problem {
    /// The HTTP status.
    pub(super) status: StatusCode,
    /// A stable word for machines.
    pub(super) code: &'static str,
    /// What is wrong.
    pub(super) message: String,
    /// What to do.
    pub(super) hint: Option<String>,
}

/// An error as JSON.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "Error")]
pub(super) struct Refusal {
    /// The error.
    pub(super) error: Details,
}

/// What went wrong.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "ErrorDetails")]
pub(super) struct Details {
    /// A stable word for machines.
    pub(super) code: String,
    /// What is wrong, for people.
    pub(super) message: String,
    /// What to do.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) hint: Option<String>,
}

impl Problem {
    /// A problem.
    pub(crate) fn new(status: StatusCode, code: &'static str, message: impl Display) -> Self {
        Self { status, code, message: message.to_string(), hint: None }
    }

    /// The caller said something wrong.
    pub(crate) fn invalid(message: impl Display) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "invalid_request", message)
    }

    /// There is no such thing.
    pub(crate) fn missing(code: &'static str, message: impl Display) -> Self {
        Self::new(StatusCode::NOT_FOUND, code, message)
    }

    /// It cannot be done now.
    pub(crate) fn unavailable(code: &'static str, message: impl Display) -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE, code, message)
    }

    /// With a word on what to do.
    pub(crate) fn hint(mut self, hint: impl Display) -> Self {
        self.hint = Some(hint.to_string());
        self
    }

    /// As JSON.
    pub(super) fn told(self) -> Refusal {
        let Self { code, message, hint, .. } = self;
        Refusal { error: Details { code: code.to_owned(), message, hint } }
    }
}

impl From<StoreError> for Problem {
    fn from(error: StoreError) -> Self {
        let hint = "products are answered all the same, and what they use is written down once the ledger is back; try \
                    again then";
        Self::unavailable("ledger_unavailable", error).hint(hint)
    }
}

impl From<KeyError> for Problem {
    fn from(error: KeyError) -> Self {
        match error {
            KeyError::Store(error) => error.into(),
            KeyError::Unknown | KeyError::NoSuchKey(_) => Self::missing("no_such_key", error),
            KeyError::Revoked { .. } | KeyError::Expired { .. } => {
                Self::new(StatusCode::CONFLICT, "key_is_over", error)
            }
        }
    }
}

/// An operation with its types taken away, for the list.
pub(super) struct Route {
    pub(super) method: Method,
    pub(super) path: &'static str,
    pub(super) name: &'static str,
    pub(super) summary: &'static str,
    pub(super) status: StatusCode,
    pub(super) refusals: &'static [(StatusCode, &'static str)],
    pub(super) params: fn(&mut SchemaGenerator) -> Schema,
    /// The body's schema; `None`: it takes none.
    pub(super) body: fn(&mut SchemaGenerator) -> Option<Schema>,
    pub(super) answer: fn(&mut SchemaGenerator) -> Schema,
    pub(super) run: fn(&Admin, &Pairs, &[u8]) -> Result<Value, Problem>,
}

impl Route {
    /// The route of `O`.
    pub(super) const fn of<O: Operation>() -> Self {
        Self {
            method: O::METHOD,
            path: O::PATH,
            name: O::NAME,
            summary: O::SUMMARY,
            status: O::STATUS,
            refusals: O::REFUSALS,
            params: |generator| O::Params::json_schema(generator),
            body: |generator| takes_body::<O>().then(|| O::Body::json_schema(generator)),
            answer: |generator| generator.subschema_for::<O::Answer>(),
            run: run::<O>,
        }
    }

    /// What the path's parts say, if it fits.
    pub(super) fn fits<'a>(&self, path: &'a str) -> Option<Vec<(&'static str, &'a str)>> {
        let (mut ours, mut theirs, mut said) = (self.path.split('/'), path.split('/'), Vec::new());
        loop {
            match (ours.next(), theirs.next()) {
                (None, None) => return Some(said),
                (Some(our), Some(their)) => match our.strip_prefix('{').and_then(|name| name.strip_suffix('}')) {
                    Some(name) if !their.is_empty() => said.push((name, their)),
                    None if our == their => {}
                    _ => return None,
                },
                _ => return None,
            }
        }
    }

    /// Whether it changes anything.
    pub(super) fn writes(&self) -> bool {
        self.method != Method::GET
    }
}

fn takes_body<O: Operation>() -> bool {
    TypeId::of::<O::Body>() != TypeId::of::<Nothing>()
}

fn run<O: Operation>(admin: &Admin, pairs: &Pairs, body: &[u8]) -> Result<Value, Problem> {
    let params = params::read(pairs).map_err(Problem::invalid)?;
    let body = match (takes_body::<O>(), body) {
        (false, []) => b"{}",
        (false, _) => return Err(Problem::invalid("this operation takes no body")),
        (true, body) => body,
    };
    let body = serde_json::from_slice(body).map_err(|error| Problem::invalid(format!("the body: {error}")))?;
    let answer = O::run(admin, params, body)?;
    serde_json::to_value(answer)
        .map_err(|error| Problem::new(StatusCode::INTERNAL_SERVER_ERROR, "internal_error", error))
}

#[cfg(test)]
mod tests {
    use super::super::OPERATIONS;
    use std::collections::BTreeSet;

    #[test]
    fn every_operation_has_a_name_and_a_place_of_its_own() {
        let names: BTreeSet<_> = OPERATIONS.iter().map(|route| route.name).collect();
        let places: BTreeSet<_> = OPERATIONS.iter().map(|route| (route.method.as_str(), route.path)).collect();
        assert_eq!((names.len(), places.len()), (OPERATIONS.len(), OPERATIONS.len()));
        assert!(OPERATIONS.iter().all(|route| route.path.starts_with("/admin/") && route.summary.ends_with('.')));
    }

    #[test]
    fn paths_fit_part_by_part() {
        let route = OPERATIONS.iter().find(|route| route.name == "revoke_key").expect("it is there");
        assert_eq!(route.fits("/admin/keys/key_1/revoke"), Some(vec![("id", "key_1")]));
        for path in ["/admin/keys//revoke", "/admin/keys/a/b/revoke", "/admin/keys/a/revoke/", "/admin/keys/a"] {
            assert!(route.fits(path).is_none(), "{path}");
        }
    }
}
