//! What one call is known by on both sides of the wire, and whether it ever left: the id that goes out with it, and a
//! body that says when a connection has taken it. Nothing here waits, and nothing is decided.

use bytes::Bytes;
use http::{HeaderName, HeaderValue};
use hyper::body::{Body, Frame, SizeHint};
use ledger::RequestId;
use std::convert::Infallible;
use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};

/// The header that tells a provider our id of a call: what its log and our ledger have in common.
pub const CALL_ID: HeaderName = HeaderName::from_static("x-client-request-id");
/// Nothing has left.
const NOTHING: u64 = u64::MAX;

/// One call's id, and how much of it has left.
#[derive(Debug, Clone)]
pub struct Trace(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    id: HeaderValue,
    sent: AtomicU64,
}

impl Trace {
    /// Attempt `number` of a request, of which nothing has left: known by the request's id, a dash and the number.
    #[must_use]
    pub fn new(request: RequestId, number: u32) -> Self {
        let mut id = Vec::with_capacity(32);
        id.extend_from_slice(&request.signs());
        id.push(b'-');
        match u8::try_from(number) {
            Ok(digit @ ..=9) => id.push(b'0' + digit),
            _ => id.extend_from_slice(number.to_string().as_bytes()),
        }
        let id = HeaderValue::from_maybe_shared(Bytes::from(id)).unwrap_or_else(|_| HeaderValue::from_static("-"));
        Self(Arc::new(Inner { id, sent: AtomicU64::new(NOTHING) }))
    }

    /// Its id.
    #[must_use]
    pub fn id(&self) -> &HeaderValue {
        &self.0.id
    }

    /// It leaves, with a body of so many bytes.
    pub fn leaves(&self, bytes: usize) {
        self.0.sent.store(bytes as u64, Ordering::Release);
    }

    /// The bytes of its body that have left; `None`: the call was never made.
    #[must_use]
    pub fn sent(&self) -> Option<u64> {
        Some(self.0.sent.load(Ordering::Acquire)).filter(|sent| *sent != NOTHING)
    }
}

/// A request's body. A connection takes all of it at once, when it writes the request.
pub struct Outgoing {
    bytes: Option<Bytes>,
    trace: Option<Trace>,
}

impl Outgoing {
    /// A body that tells `trace` when it leaves.
    #[must_use]
    pub fn traced(bytes: Bytes, trace: Trace) -> Self {
        Self { trace: Some(trace), ..Self::from(bytes) }
    }
}

impl From<Bytes> for Outgoing {
    fn from(bytes: Bytes) -> Self {
        Self { bytes: Some(bytes).filter(|bytes| !bytes.is_empty()), trace: None }
    }
}

impl fmt::Debug for Outgoing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Never the bytes: prompts do not go to logs.
        f.debug_struct("Outgoing").field("bytes", &self.bytes.as_ref().map(Bytes::len)).finish_non_exhaustive()
    }
}

impl Body for Outgoing {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let bytes = self.bytes.take();
        if let (Some(bytes), Some(trace)) = (&bytes, self.trace.take()) {
            trace.leaves(bytes.len());
        }
        Poll::Ready(bytes.map(|bytes| Ok(Frame::data(bytes))))
    }

    fn is_end_stream(&self) -> bool {
        self.bytes.is_none()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.bytes.as_ref().map_or(0, |bytes| bytes.len() as u64))
    }
}
