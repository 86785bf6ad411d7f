//! What a client asked, in both forms: the bytes as they came, and the canon, read once and only when needed.

use bytes::Bytes;
use canon::wire::{Dialect, Params};
use canon::{Fault, FaultKind, Peek, Request};
use http::HeaderMap;
use std::sync::{Arc, OnceLock};

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
    canon: OnceLock<Result<Arc<Request>, Fault>>,
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
        Ok(Self { dialect, params, headers, body, peek, canon: OnceLock::new() })
    }

    /// The request in the canon; read at most once.
    ///
    /// # Errors
    /// When the body is not what the dialect allows.
    pub fn request(&self) -> Result<Arc<Request>, Fault> {
        self.canon
            .get_or_init(|| {
                let value = serde_json::from_slice(&self.body).map_err(|error| {
                    Fault::client(FaultKind::Invalid, format!("the body is not valid JSON: {error}"))
                })?;
                let request = self.dialect.decode_request(&self.params, value);
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
