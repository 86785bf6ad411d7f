//! The doors to kept turns, as OpenAI's clients know them: answers, what was asked in them, and conversations. Whatever
//! is not the caller's own is not there. Nothing is asked of any provider here.

use super::{admit, read};
use crate::clock;
use crate::load;
use crate::outbox::AnswerBody;
use crate::setup::Gateway;
use crate::turns::{Turns, parse};
use canon::fields::BadField;
use canon::wire::openai_chat::encode_error;
use canon::wire::openai_responses::kept::{self, Page};
use canon::{Fault, FaultKind};
use http::header::{CONTENT_TYPE, HeaderValue};
use http::{Method, Response, StatusCode, request};
use hyper::body::Incoming;
use ledger::Name;
use serde_json::{Value, json};
use state::Conversation;
use std::net::SocketAddr;
use std::sync::Arc;

/// One door, with the ids in its path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Door {
    /// Read an answer.
    Answer(String),
    /// Forget one.
    ForgetAnswer(String),
    /// Cancel one.
    Cancel(String),
    /// List what was asked in one.
    Asked(String),
    /// Make a conversation.
    Begin,
    /// Read one.
    Conversation(String),
    /// Label it anew.
    Label(String),
    /// Forget it.
    ForgetConversation(String),
    /// List its items.
    Items(String),
    /// Add some.
    Add(String),
    /// Read one of them.
    Item(String, String),
    /// Forget one of them.
    ForgetItem(String, String),
}

/// The door at `method path`; `Some(None)`: there is one, but not for this method.
pub(super) fn find(method: &Method, path: &str) -> Option<Option<Door>> {
    let steps: Vec<&str> = path.strip_prefix("/v1/")?.split('/').collect();
    if steps.iter().any(|step| step.is_empty()) {
        return None;
    }
    let door = |wanted: &[(&str, Door)]| {
        Some(wanted.iter().find(|(name, _)| *name == method.as_str()).map(|(_, door)| door.clone()))
    };
    let own = |id: &str| id.to_owned();
    match *steps.as_slice() {
        ["responses", id] => door(&[("GET", Door::Answer(own(id))), ("DELETE", Door::ForgetAnswer(own(id)))]),
        ["responses", id, "cancel"] => door(&[("POST", Door::Cancel(own(id)))]),
        ["responses", id, "input_items"] => door(&[("GET", Door::Asked(own(id)))]),
        ["conversations"] => door(&[("POST", Door::Begin)]),
        ["conversations", id] => door(&[
            ("GET", Door::Conversation(own(id))),
            ("POST", Door::Label(own(id))),
            ("DELETE", Door::ForgetConversation(own(id))),
        ]),
        ["conversations", id, "items"] => door(&[("GET", Door::Items(own(id))), ("POST", Door::Add(own(id)))]),
        ["conversations", id, "items", item] => {
            door(&[("GET", Door::Item(own(id), own(item))), ("DELETE", Door::ForgetItem(own(id), own(item)))])
        }
        _ => None,
    }
}

/// Opens `door`.
pub(super) async fn answer(
    gateway: &Arc<Gateway>,
    door: Door,
    head: request::Parts,
    body: Incoming,
    peer: SocketAddr,
) -> Response<AnswerBody> {
    let (status, value) = match open(gateway, door, &head, body, peer).await {
        Ok(value) => (200, value),
        Err(fault) => (fault.client_status(), encode_error(&fault)),
    };
    gateway.metrics.answer(canon::wire::openai_responses::ID.name(), status);
    let mut response = Response::new(AnswerBody::whole(value.to_string()));
    *response.status_mut() = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

async fn open(
    gateway: &Arc<Gateway>,
    door: Door,
    head: &request::Parts,
    body: Incoming,
    peer: SocketAddr,
) -> Result<Value, Fault> {
    let setup = gateway.setup();
    let micros = clock::unix_micros();
    let caller = admit::admit(&setup, &gateway.access, &head.headers, head.uri.query(), peer.ip(), micros)?;
    let _place = load::enter(gateway, &setup, caller.product)?;
    let product = setup.products.get(caller.product.index()).cloned().unwrap_or_default();
    let query = head.uri.query().unwrap_or_default();
    let visit = Visit { turns: &gateway.turns, product, now: micros / 1_000_000, query };
    match door {
        Door::Answer(_) | Door::ForgetAnswer(_) | Door::Cancel(_) | Door::Asked(_) => visit.answers(door).await,
        Door::Begin | Door::Label(_) | Door::Add(_) => {
            let body = read::collect(body, setup.limits).await?;
            let body = if body.trim_ascii().is_empty() { json!({}) } else { parse(&body)? };
            visit.writes(door, body).await
        }
        _ => visit.conversations(door).await,
    }
}

/// One caller at a door.
struct Visit<'a> {
    turns: &'a Turns,
    product: Name,
    /// Unix seconds.
    now: i64,
    query: &'a str,
}

impl Visit<'_> {
    async fn answers(self, door: Door) -> Result<Value, Fault> {
        let (Door::Answer(id) | Door::ForgetAnswer(id) | Door::Cancel(id) | Door::Asked(id)) = &door else {
            return Err(nothing("Response", ""));
        };
        let (product, wanted) = (self.product.clone(), id.clone());
        if matches!(door, Door::ForgetAnswer(_)) {
            self.turns.cancel(&product, id).await;
            let gone = self.turns.with(move |store| store.delete_answer(&product, &wanted)).await?;
            return if gone { Ok(kept::deleted("response", id)) } else { Err(nothing("Response", id)) };
        }
        if matches!(door, Door::Cancel(_)) {
            self.turns.cancel(&product, id).await;
        }
        let given = self.turns.is_given(&product, id);
        let answer = self.turns.with(move |store| store.answer(&product, &wanted)).await?;
        let answer = answer.ok_or_else(|| nothing("Response", id))?;
        let body = Turns::as_it_stands(answer.body, given);
        match door {
            Door::Asked(_) => self.page(answer.asked),
            Door::Cancel(_) if !kept::is_background(&body) => {
                let message = "Only a response that is answered in the background can be cancelled.";
                Err(Fault::client(FaultKind::Invalid, message))
            }
            Door::Cancel(_) => Ok(kept::response(body, answer.answered)),
            _ if pairs(self.query).any(|pair| pair == ("stream", "true")) => {
                let message = "A kept response is not streamed again: leave `stream` out.";
                Err(Fault::client(FaultKind::Invalid, message).at("stream"))
            }
            _ => Ok(kept::response(body, answer.answered)),
        }
    }

    async fn writes(self, door: Door, body: Value) -> Result<Value, Fault> {
        let mark = format!("_{:026x}i", fastrand::u128(..) >> 24);
        let (product, now) = (self.product.clone(), self.now);
        match door {
            Door::Begin => {
                let metadata = kept::metadata(&body).map_err(BadField::into_client_fault)?;
                let items = kept::added(&body, &mark).map_err(BadField::into_client_fault)?;
                let id = format!("conv_{:032x}", fastrand::u128(..));
                let one = Conversation { id, created: now, metadata };
                let shown = kept::conversation(&one.id, one.created, &one.metadata);
                self.turns.with(move |store| store.put_conversation(&product, &one, &items)).await?;
                Ok(shown)
            }
            Door::Label(id) => {
                let metadata = kept::metadata(&body).map_err(BadField::into_client_fault)?;
                let wanted = id.clone();
                let there = self.turns.with(move |store| store.label(&product, &wanted, &metadata)).await?;
                if there { self.conversation(&id).await } else { Err(nothing("Conversation", &id)) }
            }
            Door::Add(id) => {
                let items = kept::added(&body, &mark).map_err(BadField::into_client_fault)?;
                let (wanted, added) = (id.clone(), items.clone());
                let there = self.turns.with(move |store| store.add_items(&product, &wanted, &added, now)).await?;
                if there { Ok(kept::list(items)) } else { Err(nothing("Conversation", &id)) }
            }
            _ => Err(nothing("Conversation", "")),
        }
    }

    async fn conversations(self, door: Door) -> Result<Value, Fault> {
        let product = self.product.clone();
        match door {
            Door::Conversation(id) => self.conversation(&id).await,
            Door::ForgetConversation(id) => {
                let wanted = id.clone();
                let gone = self.turns.with(move |store| store.delete_conversation(&product, &wanted)).await?;
                if gone { Ok(kept::deleted("conversation.deleted", &id)) } else { Err(nothing("Conversation", &id)) }
            }
            Door::Items(id) => {
                let items = self.items(&id).await?;
                self.page(items)
            }
            Door::Item(id, item) => {
                let items = self.items(&id).await?;
                items.into_iter().find(|one| kept::id(one) == item).ok_or_else(|| nothing("Item", &item))
            }
            Door::ForgetItem(id, item) => {
                let (from, wanted) = (id.clone(), item.clone());
                let gone = self.turns.with(move |store| store.delete_item(&product, &from, &wanted)).await?;
                if gone { self.conversation(&id).await } else { Err(nothing("Item", &item)) }
            }
            _ => Err(nothing("Conversation", "")),
        }
    }

    async fn conversation(&self, id: &str) -> Result<Value, Fault> {
        let (product, wanted) = (self.product.clone(), id.to_owned());
        let found = self.turns.with(move |store| store.conversation(&product, &wanted)).await?;
        let one = found.ok_or_else(|| nothing("Conversation", id))?;
        Ok(kept::conversation(&one.id, one.created, &one.metadata))
    }

    async fn items(&self, id: &str) -> Result<Vec<Value>, Fault> {
        let (product, wanted) = (self.product.clone(), id.to_owned());
        let found = self.turns.with(move |store| store.items(&product, &wanted)).await?;
        found.ok_or_else(|| nothing("Conversation", id))
    }

    fn page(&self, items: Vec<Value>) -> Result<Value, Fault> {
        let page = Page::read(pairs(self.query)).and_then(|page| page.of(items));
        page.map_err(BadField::into_client_fault)
    }
}

fn pairs(query: &str) -> impl Iterator<Item = (&str, &str)> {
    query.split('&').filter_map(|pair| pair.split_once('='))
}

fn nothing(what: &str, id: &str) -> Fault {
    Fault::client(FaultKind::NotFound, format!("{what} with id '{id}' not found."))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn doors_are_found_by_method_and_path() {
        let at = |method: Method, path: &str| find(&method, path);
        assert_eq!(at(Method::GET, "/v1/responses/resp_1"), Some(Some(Door::Answer("resp_1".to_owned()))));
        assert_eq!(at(Method::PUT, "/v1/responses/resp_1"), Some(None));
        assert_eq!(at(Method::POST, "/v1/conversations"), Some(Some(Door::Begin)));
        let item = Door::ForgetItem("c".to_owned(), "i".to_owned());
        assert_eq!(at(Method::DELETE, "/v1/conversations/c/items/i"), Some(Some(item)));
        for path in ["/v1/responses/", "/v1/responses//cancel", "/v1/chat/completions", "/v1/responses/a/b", "/healthz"]
        {
            assert_eq!(at(Method::GET, path), None, "{path}");
        }
    }
}
