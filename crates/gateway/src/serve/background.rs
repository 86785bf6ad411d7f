//! Answering while nobody waits: the client hears at once under which id the answer will be kept, a task gives it.

use super::reply;
use crate::load::Place;
use crate::outbox::AnswerBody;
use crate::run::{Run, Unanswered};
use crate::turns::Scribe;
use http::{HeaderMap, Response};
use ledger::{Name, RequestId};
use policy::Plan;
use std::sync::Arc;

/// Begins to carry `plan` out, and answers with what is kept so far.
///
/// # Errors
/// When that cannot be kept.
pub(super) async fn begin(
    run: Arc<Run>,
    plan: Plan,
    (owner, id): (Name, RequestId),
    scribe: Option<Scribe>,
    place: Place,
) -> Result<Response<AnswerBody>, Unanswered> {
    let gateway = Arc::clone(&run.gateway);
    let terms = reply::terms(&run.ask, false, id);
    let given = gateway.turns.queue(&owner, &run.ask, &terms).await?;
    let queued = given.queued().to_string();
    gateway.tasks.spawn_work(given.by(async move {
        let underway = run.carry_out(&plan).await.map_err(|unanswered| unanswered.fault)?;
        // It is whole, and kept when this returns.
        drop(reply::reply(underway, (id, scribe), place).await);
        Ok(())
    }));
    Ok(reply::ready(HeaderMap::with_capacity(4), id, queued))
}
