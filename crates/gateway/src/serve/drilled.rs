//! A request that is part of a drill, as far as its client and the ledger see that: the header of its answer, and the
//! row of a request that no attempt is made for.

use super::admit::Caller;
use super::reply::put;
use crate::drill::{HEADER, Part};
use crate::outbox::AnswerBody;
use crate::run::Unanswered;
use crate::setup::Setup;
use http::{HeaderMap, HeaderName, Response};
use ledger::{Attempt, Name, RequestId};

const MARK: HeaderName = HeaderName::from_static(HEADER);

/// The drill that a request asks to be part of.
pub(super) fn marked(headers: &HeaderMap) -> Option<&str> {
    headers.get(MARK)?.to_str().ok()
}

/// Whose request it is.
pub(super) fn row(setup: &Setup, caller: &Caller, dialect: &str, id: RequestId, micros: i64) -> Attempt {
    Attempt {
        product: setup.products.get(caller.product.index()).cloned(),
        team: caller.team.clone(),
        key: caller.key.clone(),
        dialect: Some(Name::from(dialect)),
        policy_version: Some(setup.policy_version.clone()),
        ..Attempt::new(id, 1, micros)
    }
}

/// The answer with its header; `told` writes a fault for the client.
pub(super) fn answer(
    part: &Part,
    answered: Result<Response<AnswerBody>, Unanswered>,
    told: impl FnOnce(&Unanswered) -> Response<AnswerBody>,
) -> Response<AnswerBody> {
    let mut response = answered.unwrap_or_else(|unanswered| {
        part.refused(unanswered.fault.kind);
        told(&unanswered)
    });
    put(response.headers_mut(), MARK, part.id());
    response
}
