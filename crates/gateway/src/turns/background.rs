//! Answers given while nobody waits: asked for with `background`, kept as `queued` at once, read when they are complete.
//! They live in this process; one that did not outlive it reads as failed, and is never silent.

use super::Turns;
use crate::upstream::Ask;
use canon::wire::StreamTerms;
use canon::wire::openai_responses::kept;
use canon::{Fault, FaultKind};
use ledger::Name;
use serde_json::Value;
use state::Answer;
use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use tokio_util::sync::CancellationToken;

/// Those under way, by product and id.
#[derive(Default)]
pub(crate) struct Waiting {
    running: Mutex<HashMap<(Name, String), Signals>>,
}

impl Waiting {
    fn running(&self) -> MutexGuard<'_, HashMap<(Name, String), Signals>> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[derive(Clone, Default)]
struct Signals {
    stop: CancellationToken,
    done: CancellationToken,
}

/// Whether `ask` can be answered in the background.
pub(super) fn allowed(ask: &Ask, keep: bool) -> Result<(), Fault> {
    let wrong = |message: &str, field: &str| Err(Fault::client(FaultKind::Invalid, message).at(field));
    if !keep {
        return wrong(
            "an answer in the background must be kept: leave `store` out, or leave `background` out",
            "store",
        );
    }
    if ask.peek.stream {
        let message = "an answer in the background is not streamed: leave `stream` out and ask for the response later";
        return wrong(message, "stream");
    }
    Ok(())
}

/// Whether a kept answer can be gone on with.
pub(super) fn is_complete(body: &Value) -> bool {
    matches!(kept::status(body), "completed" | "incomplete")
}

/// One answer that is being given.
pub(crate) struct Given {
    turns: Turns,
    product: Name,
    /// As it stands until it is complete.
    queued: Answer,
    signals: Signals,
}

impl Turns {
    /// Keeps that `ask` of `product` is to be answered under the id in `terms`.
    ///
    /// # Errors
    /// When it cannot be kept, or is wrong.
    pub(crate) async fn queue(&self, product: &Name, ask: &Ask, terms: &StreamTerms) -> Result<Given, Fault> {
        let body = kept::standing(terms, "queued", None);
        let turn = ask.turn.as_ref();
        let said = turn.map(|turn| super::parse(&turn.said)).transpose()?.unwrap_or_default();
        let asked = kept::asked(&said, &super::mark(&terms.id)).map_err(canon::fields::BadField::into_client_fault)?;
        let queued = Answer {
            id: terms.id.clone(),
            previous: turn.and_then(|turn| turn.recall.previous.clone()),
            // Its conversation hears of it when it is complete.
            conversation: None,
            created: terms.created,
            asked,
            answered: Vec::new(),
            body,
        };
        let signals = Signals::default();
        let given = Given { turns: self.clone(), product: product.clone(), queued, signals };
        // Known before it is kept, for the same reason.
        self.waiting.running().insert(given.key(), given.signals.clone());
        given.stands(|body| body).await?;
        Ok(given)
    }

    /// Ends the answer in the background; returns when it has ended, one way or another. `false`: none is being given.
    pub(crate) async fn cancel(&self, product: &Name, id: &str) -> bool {
        let found = self.waiting.running().get(&(product.clone(), id.to_owned())).cloned();
        let Some(signals) = found else { return false };
        signals.stop.cancel();
        signals.done.cancelled().await;
        true
    }

    /// Whether an answer is being given. To be asked before what is kept is read: an answer is kept before it is given no
    /// more, so whoever reads first may find neither.
    pub(crate) fn is_given(&self, product: &Name, id: &str) -> bool {
        self.elsewhere.load(std::sync::atomic::Ordering::Relaxed)
            || self.waiting.running().contains_key(&(product.clone(), id.to_owned()))
    }

    /// The kept `body` as its client may read it; `given`: whether it was being given when it was read.
    pub(crate) fn as_it_stands(body: Value, given: bool) -> Value {
        if kept::status(&body) != "queued" {
            return body;
        }
        if given {
            return kept::restated(body, "in_progress", None);
        }
        let fault = Fault::gateway(FaultKind::Cut, "the server stopped before the answer was complete; ask again");
        kept::restated(body, "failed", Some(&fault))
    }
}

impl Given {
    /// What its client is told at first.
    pub(crate) const fn queued(&self) -> &Value {
        &self.queued.body
    }

    /// Has `answer` give it, which also keeps it; its client may cancel it meanwhile.
    pub(crate) async fn by(self, answer: impl Future<Output = Result<(), Fault>>) {
        let ended = tokio::select! {
            () = self.signals.stop.cancelled() => self.stands(|body| kept::restated(body, "cancelled", None)).await,
            answered = answer => match answered {
                Ok(()) => Ok(()),
                Err(fault) => self.stands(|body| kept::restated(body, "failed", Some(&fault))).await,
            },
        };
        if let Err(fault) = ended {
            tracing::error!(%fault, "how an answer in the background ended could not be kept");
        }
    }

    async fn stands(&self, how: impl FnOnce(Value) -> Value) -> Result<(), Fault> {
        let (product, mut answer) = (self.product.clone(), self.queued.clone());
        answer.body = how(answer.body);
        self.turns.with(move |store| store.put_answer(&product, &answer)).await
    }

    fn key(&self) -> (Name, String) {
        (self.product.clone(), self.queued.id.clone())
    }
}

impl Drop for Given {
    fn drop(&mut self) {
        self.turns.waiting.running().remove(&self.key());
        self.signals.done.cancel();
    }
}
