//! Counting a prompt's tokens without answering it: asked of who would answer. Nothing is charged and nothing is
//! generated, so no ledger row is written and nobody is tried in another's place.

use super::reply;
use crate::outbox::AnswerBody;
use crate::setup::Setup;
use crate::upstream::Ask;
use canon::{Fault, Side};
use http::{HeaderMap, HeaderName, Response};
use ledger::RequestId;
use policy::Plan;
use std::sync::Arc;
use std::time::Instant;

const COUNT: HeaderName = HeaderName::from_static("x-autarky-count");

/// Counts. Where the deployment that would answer cannot, the answer is the estimate that plans are made with, and the
/// header `x-autarky-count` says so.
///
/// # Errors
/// When the request itself is wrong.
pub(super) async fn count(
    setup: &Setup,
    ask: &Arc<Ask>,
    plan: &Plan,
    deadline: Instant,
    id: RequestId,
) -> Result<Response<AnswerBody>, Fault> {
    let unit = plan.legs.first().and_then(|leg| setup.unit(leg.deployment));
    let counted = match unit {
        Some(unit) => unit.backend.count(ask, deadline).await,
        None => Ok(None),
    };
    let (tokens, how) = match counted {
        Ok(Some(tokens)) => (tokens, "counted"),
        Err(fault) if fault.side == Side::Client => return Err(fault),
        Ok(None) | Err(_) => (ask.peek.facets.input_tokens, "estimated"),
    };
    let mut headers = HeaderMap::with_capacity(6);
    reply::put(&mut headers, COUNT, how);
    if let Some(unit) = unit {
        reply::put(&mut headers, reply::DEPLOYMENT, unit.facts.deployment());
    }
    let body = ask.dialect.encode_count(tokens).to_string();
    Ok(reply::ready(headers, id, body))
}
