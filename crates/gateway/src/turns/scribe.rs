//! Watches an answer on its way to the client and keeps it. The client's own bytes are read, so that what is kept is
//! what was heard, whoever said it.

use super::{Turns, mark, parse};
use crate::clock;
use crate::upstream::Ask;
use bytes::Bytes;
use canon::Recall;
use canon::frame::SseReader;
use canon::wire::openai_responses::kept;
use ledger::{Name, RequestId};
use serde_json::Value;
use state::Answer;
use std::time::Duration;

/// How long an answer's end waits to be kept.
const PATIENCE: Duration = Duration::from_secs(5);

/// Keeps one answer.
pub(crate) struct Scribe {
    turns: Turns,
    product: Name,
    said: Bytes,
    recall: Recall,
    request: RequestId,
    reader: SseReader,
    done: bool,
}

impl Scribe {
    /// One for the answer to `ask`; `None`: it is not to be kept.
    pub(crate) fn of(turns: &Turns, product: &Name, ask: &Ask, request: RequestId) -> Option<Self> {
        let turn = ask.turn.as_ref().filter(|turn| turn.keep)?;
        Some(Self {
            turns: turns.clone(),
            product: product.clone(),
            said: turn.said.clone(),
            recall: turn.recall.clone(),
            request,
            reader: SseReader::default(),
            done: false,
        })
    }

    /// Sees what goes out next; returns when an answer that ends with it is kept.
    pub(crate) async fn see(&mut self, bytes: &Bytes) {
        if self.done {
            return;
        }
        let mut frames = Vec::new();
        if self.reader.push(bytes.clone(), &mut frames).is_err() {
            self.done = true;
            return tracing::error!(request = %self.request, "an answer is too large to be kept");
        }
        let Some(response) = frames.iter().find_map(|frame| kept::last_of_stream(&frame.data)) else { return };
        self.done = true;
        self.keep(response).await;
    }

    /// Keeps a whole answer.
    pub(crate) async fn whole(self, body: &[u8]) {
        match serde_json::from_slice(body) {
            Ok(response) => self.keep(response).await,
            Err(error) => tracing::error!(request = %self.request, %error, "an answer could not be kept"),
        }
    }

    /// An answer that cannot be kept is answered all the same: who goes on with it is told that it is not there.
    async fn keep(&self, mut response: Value) {
        let (said, recall, product, request) =
            (self.said.clone(), self.recall.clone(), self.product.clone(), self.request);
        let kept = self.turns.with(move |store| {
            let mark = mark(&request.text());
            let asked = parse(&said).map_err(|fault| fault.message);
            let asked = asked.and_then(|body| kept::asked(&body, &mark).map_err(|wrong| wrong.to_string()));
            let answered = kept::answered(&mut response);
            let id = kept::id(&response).to_owned();
            match asked {
                Ok(asked) if !id.is_empty() => {
                    let (previous, conversation) = (recall.previous, recall.conversation);
                    let created = clock::unix_micros() / 1_000_000;
                    let answer = Answer { id, previous, conversation, created, asked, answered, body: response };
                    store.put_answer(&product, &answer)?;
                }
                Ok(_) => tracing::error!(%request, "an answer without an id could not be kept"),
                Err(error) => tracing::error!(%request, error, "an answer could not be kept"),
            }
            Ok(())
        });
        if tokio::time::timeout(PATIENCE, kept).await.is_err() {
            tracing::error!(request = %self.request, "an answer was not kept in time");
        }
    }
}
