//! Turns kept between requests, for the wires whose clients expect that (`Peek::recall`): a request that goes on with
//! kept turns is made one that says them all, so that whoever is asked needs to know nothing; its answer is kept before
//! the client hears its end, so that the next request finds it. And who made which opaque block, which only its maker
//! can read. May touch: the store of turns, on threads that may
//! block. Never here: who is asked; a word of what was said in a log.

mod background;
mod scribe;

use background::Waiting;
pub(crate) use scribe::Scribe;

use crate::tasks::Tasks;
use crate::upstream::ask::Turn;
use crate::upstream::{Ask, Sealed};
use crate::vault::{Vault, Witness};
use canon::wire::openai_responses::kept;
use canon::wire::splice;
use canon::{Fault, FaultKind, Recall, Request};
use ledger::Name;
use serde_json::Value;
use state::{Context, StateError, Store};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// The kept turns.
#[derive(Clone)]
pub struct Turns {
    store: Arc<dyn Store>,
    vault: Arc<Vault>,
    waiting: Arc<Waiting>,
    /// Whether another process may still be giving answers in the background.
    elsewhere: Arc<AtomicBool>,
}

impl Turns {
    /// The turns in `store`.
    #[must_use]
    pub fn new(store: Arc<dyn Store>) -> Self {
        let vault = Arc::new(Vault::new(Arc::clone(&store)));
        Self { store, vault, waiting: Arc::default(), elsewhere: Arc::default() }
    }

    /// Says whether another process, whose place this one takes, may still be giving answers in the background.
    pub fn shared(&self, shared: bool) {
        self.elsewhere.store(shared, Ordering::Relaxed);
    }

    /// Stores who made which opaque block, now and then, until it is time to stop.
    pub async fn keep_seals(&self, tasks: Tasks) {
        self.vault.keep(tasks).await;
    }

    /// Stores the last of that.
    pub async fn flush(&self) {
        self.vault.flush().await;
    }

    /// `ask` of `product` as one that needs nothing kept, with its opaque blocks known by who made them, and those of
    /// its answers watched. `answers`: it is to be answered, not only counted; `keeps`: this server keeps answers at all.
    ///
    /// # Errors
    /// When it stands on something that is not kept here, or is wrong.
    pub(crate) async fn prepared(
        &self,
        product: &Name,
        mut ask: Ask,
        (answers, keeps): (bool, bool),
    ) -> Result<Ask, Fault> {
        if ask.peek.recall.is_some() {
            ask = Box::pin(self.recall(product, ask, (answers, keeps))).await?;
        }
        let sealed = Sealed::watched(Witness::new(&self.vault, product));
        let request = if ask.dialect.mentions_seals(&ask.body) { ask.request().ok() } else { None };
        // What cannot be read is refused later, by whoever has to read it.
        let Some(request) = request else {
            ask.sealed = Arc::new(sealed);
            return Ok(ask);
        };
        Ok(Box::pin(self.unseal(product, ask, &request, sealed)).await)
    }

    async fn unseal(&self, product: &Name, ask: Ask, request: &Request, mut sealed: Sealed) -> Ask {
        let mut request = request.clone();
        let mut seals = Vec::new();
        request.each_seal(|seal| seals.push(seal.data.clone()));
        let mut signers = self.vault.signers(product, &seals).await.into_iter();
        request.each_seal(|seal| {
            let signer = signers.next().flatten();
            seal.signer = signer.as_deref().map(str::to_owned);
            sealed.brings(signer);
        });
        ask.read_as(request, sealed)
    }

    /// Does `work` with the store, where it may block.
    ///
    /// # Errors
    /// When the store refuses; the fault says no more than that.
    pub(crate) async fn with<T: Send + 'static>(
        &self,
        work: impl FnOnce(&dyn Store) -> Result<T, StateError> + Send + 'static,
    ) -> Result<T, Fault> {
        let store = Arc::clone(&self.store);
        let done = tokio::task::spawn_blocking(move || work(&*store)).await;
        let refused = |error: &dyn std::error::Error| {
            tracing::error!(%error, "the store of kept turns failed");
            Fault::gateway(FaultKind::Internal, "the kept turns cannot be reached; try again")
        };
        match done {
            Ok(Ok(value)) => Ok(value),
            Ok(Err(error)) => Err(refused(&error)),
            Err(error) => Err(refused(&error)),
        }
    }

    /// `ask` of `product` as one that needs nothing kept.
    async fn recall(&self, product: &Name, ask: Ask, (answers, keeps): (bool, bool)) -> Result<Ask, Fault> {
        let Some(recall) = ask.peek.recall.clone() else { return Ok(ask) };
        let keep = answers && keeps && recall.store != Some(false);
        if recall.background && answers {
            background::allowed(&ask, keep)?;
        }
        let said = ask.body.clone();
        let body = if recall.is_ours() {
            let mut body = parse(&said)?;
            let earlier = self.earlier(product, &recall).await?;
            let found = self.named(product, &body).await?;
            let find = |id: &str| found.iter().find(|item| kept::id(item) == id).cloned();
            body = kept::go_on(body, earlier, find).map_err(canon::fields::BadField::into_client_fault)?;
            if answers {
                kept::leave_nothing(&mut body);
            }
            Some(body.to_string().into())
        } else if keep {
            kept::ask_for_seals(&said, &ask.peek).map(|edit| splice(&said, vec![edit]).into())
        } else {
            return Ok(ask);
        };
        let mut ask = match body {
            Some(body) => Ask::read(ask.dialect, ask.params, ask.headers, body)?,
            None => ask,
        };
        ask.turn = Some(Turn { said, recall, keep });
        Ok(ask)
    }

    /// The items before a request's own.
    async fn earlier(&self, product: &Name, recall: &Recall) -> Result<Vec<Value>, Fault> {
        let (owner, previous, conversation) = (product.clone(), recall.previous.clone(), recall.conversation.clone());
        let context = self.with(move |store| {
            Ok(Ok(match (previous, conversation) {
                (Some(previous), _) => match store.answer(&owner, &previous)? {
                    Some(answer) if !background::is_complete(&answer.body) => return Ok(Err(previous)),
                    _ => store.up_to(&owner, &previous)?,
                },
                (None, Some(id)) => store.items(&owner, &id)?.map_or(Context::Missing(id), Context::Items),
                (None, None) => Context::Items(Vec::new()),
            }))
        });
        match context.await? {
            Ok(Context::Items(items)) => Ok(items),
            Err(id) => {
                let message = format!("Response with id '{id}' is not complete: go on with it when it is.");
                Err(Fault::client(FaultKind::Invalid, message).at("previous_response_id"))
            }
            Ok(Context::Missing(id)) if recall.previous.is_some() => {
                let message = format!("Previous response with id '{id}' not found.");
                Err(Fault::client(FaultKind::NotFound, message).at("previous_response_id"))
            }
            Ok(Context::Missing(id)) => {
                Err(Fault::client(FaultKind::NotFound, format!("Conversation with id '{id}' not found."))
                    .at("conversation"))
            }
        }
    }

    /// The items that a request only names.
    async fn named(&self, product: &Name, body: &Value) -> Result<Vec<Value>, Fault> {
        let ids = kept::references(body);
        if ids.is_empty() {
            return Ok(Vec::new());
        }
        let (owner, wanted) = (product.clone(), ids.clone());
        let found = self.with(move |store| store.find_items(&owner, &wanted)).await?;
        match ids.iter().find(|id| !found.iter().any(|item| kept::id(item) == id.as_str())) {
            None => Ok(found),
            Some(id) => Err(Fault::client(FaultKind::NotFound, format!("Item with id '{id}' not found.")).at("input")),
        }
    }
}

/// What makes the ids of items asked under `id` (of a request or its answer) their own.
fn mark(id: &str) -> String {
    format!("_{}i", id.split_once('_').map_or(id, |(_, own)| own))
}

/// A body as a tree.
pub(crate) fn parse(body: &[u8]) -> Result<Value, Fault> {
    serde_json::from_slice(body)
        .map_err(|error| Fault::client(FaultKind::Invalid, format!("the body is not valid JSON: {error}")))
}
