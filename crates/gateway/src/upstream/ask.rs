//! What a client asked, in both forms: the bytes as they came, and the canon, read once and only when needed.

use super::seals::Sealed;
use bytes::Bytes;
use canon::request::State;
use canon::wire::{Dialect, Params};
use canon::{Fault, FaultKind, Peek, Recall, Request};
use http::HeaderMap;
use std::hash::{DefaultHasher, Hasher};
use std::sync::{Arc, OnceLock};

/// The shortest beginning of a body that is worth a cache, in bytes.
const CACHED: usize = 4_096;

/// One client request.
pub struct Ask {
    /// The wire it came on.
    pub dialect: &'static dyn Dialect,
    /// What its path said.
    pub params: Params,
    /// Its headers.
    pub headers: HeaderMap,
    /// Its body as it came.
    pub body: Bytes,
    /// What a look in place found.
    pub peek: Peek,
    /// What of it is kept between requests; `None`: nothing.
    pub turn: Option<Turn>,
    /// What is known of its opaque blocks.
    pub sealed: Arc<Sealed>,
    /// Whether the answer is wanted as events even on the client's own wire.
    pub in_events: bool,
    /// Whether its words are ours, so that the body as it came says something else.
    rewritten: bool,
    canon: OnceLock<Result<Arc<Request>, Fault>>,
}

/// What a request says about turns that are kept by us, once they stand in its body.
#[derive(Debug, Clone)]
pub struct Turn {
    /// The body as the client wrote it.
    pub said: Bytes,
    /// What it says about kept turns.
    pub recall: Recall,
    /// Whether its answer is to be kept.
    pub keep: bool,
}

impl std::fmt::Debug for Ask {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // Never the body: prompts do not go to logs.
        f.debug_struct("Ask")
            .field("dialect", &self.dialect.id())
            .field("bytes", &self.body.len())
            .finish_non_exhaustive()
    }
}

impl Ask {
    /// Looks into `body`.
    ///
    /// # Errors
    /// When the body is not what the dialect allows at its top level.
    pub fn read(dialect: &'static dyn Dialect, params: Params, headers: HeaderMap, body: Bytes) -> Result<Self, Fault> {
        let peek = dialect.peek(&params, &body).map_err(canon::fields::BadField::into_client_fault)?;
        Ok(Self {
            dialect,
            params,
            headers,
            body,
            peek,
            turn: None,
            sealed: Arc::default(),
            in_events: false,
            rewritten: false,
            canon: OnceLock::new(),
        })
    }

    /// The same client's request in other words, answered in events.
    #[must_use]
    pub fn again(&self, request: Request) -> Self {
        Self {
            dialect: self.dialect,
            params: self.params.clone(),
            headers: self.headers.clone(),
            body: Bytes::new(),
            peek: self.peek.clone(),
            turn: self.turn.clone(),
            sealed: Arc::clone(&self.sealed),
            in_events: true,
            rewritten: true,
            canon: OnceLock::from(Ok(Arc::new(request))),
        }
    }

    /// The same request, answered in events even on the client's own wire.
    #[must_use]
    pub(crate) fn heard_in_events(&self) -> Self {
        Self {
            dialect: self.dialect,
            params: self.params.clone(),
            headers: self.headers.clone(),
            body: self.body.clone(),
            peek: self.peek.clone(),
            turn: self.turn.clone(),
            sealed: Arc::clone(&self.sealed),
            in_events: true,
            rewritten: self.rewritten,
            canon: self.canon.clone(),
        }
    }

    /// What the body begins with, hashed: the next turn of a conversation begins with the same. `None`: it is shorter
    /// than anything that providers cache (about a thousand tokens).
    #[must_use]
    pub fn beginning(&self) -> Option<u64> {
        let mut hasher = DefaultHasher::new();
        hasher.write(self.body.get(..CACHED)?);
        Some(hasher.finish())
    }

    /// Whether the body as it came says what is asked.
    #[must_use]
    pub const fn is_as_it_came(&self) -> bool {
        !self.rewritten
    }

    /// Puts `request` in the place of what reading the body gives; `sealed` is what is known of its opaque blocks.
    #[must_use]
    pub(crate) fn read_as(mut self, request: Request, sealed: Sealed) -> Self {
        self.canon = OnceLock::from(Ok(Arc::new(request)));
        self.sealed = Arc::new(sealed);
        self
    }

    /// The request as a provider is told it: opaque blocks that were refused are marked as nobody's.
    ///
    /// # Errors
    /// When the body is not what the dialect allows.
    pub fn told(&self) -> Result<Arc<Request>, Fault> {
        let request = self.request()?;
        if !self.sealed.distrusts() {
            return Ok(request);
        }
        let mut request = Request::clone(&request);
        request.each_seal(|seal| {
            seal.signer.get_or_insert_default();
        });
        Ok(Arc::new(request))
    }

    /// Whether it was made another one than its client wrote, so that its answer must be written anew as well.
    #[must_use]
    pub fn is_remade(&self) -> bool {
        self.turn.as_ref().is_some_and(|turn| turn.recall.is_ours())
    }

    /// Whether its client does not wait for the answer.
    #[must_use]
    pub fn in_background(&self) -> bool {
        self.turn.as_ref().is_some_and(|turn| turn.recall.background)
    }

    /// The request as its client knows it, for wires that repeat it in their answers.
    ///
    /// # Errors
    /// When the body is not what the dialect allows.
    pub fn echo(&self) -> Result<Arc<Request>, Fault> {
        let request = self.request()?;
        let Some(turn) = self.turn.as_ref().filter(|_| self.is_remade()) else { return Ok(request) };
        let Recall { store, previous, conversation, background, .. } = turn.recall.clone();
        let mut echo = Request::clone(&request);
        echo.state = State { store, previous, conversation: conversation.map(Into::into) };
        if background {
            echo.extras.insert("background".to_owned(), true.into());
        }
        Ok(Arc::new(echo))
    }

    /// The request in the canon; read at most once.
    ///
    /// # Errors
    /// When the body is not what the dialect allows.
    pub fn request(&self) -> Result<Arc<Request>, Fault> {
        self.canon
            .get_or_init(|| {
                let request = self.dialect.read_request(&self.params, &self.body);
                let request = request.map_err(canon::fields::BadField::into_client_fault)?;
                if request.messages.is_empty() {
                    let empty = "the conversation is empty: send at least one message";
                    return Err(Fault::client(FaultKind::Invalid, empty));
                }
                Ok(Arc::new(request))
            })
            .clone()
    }
}
