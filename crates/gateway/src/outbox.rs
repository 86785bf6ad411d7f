//! The body of an answer: whole bytes, or a stream that is written by a future of its own. The future runs inside the
//! connection's task, polled by the body: no task is spawned, nothing wakes another thread, and a client that leaves
//! drops the future at once.

use crate::turns::Scribe;
use crate::upstream::BoxFuture;
use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use http_body_util::Full;
use std::collections::VecDeque;
use std::future::poll_fn;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};

/// Pieces that may wait for the client before the writer waits.
const MOST: usize = 16;

/// A body that cannot be completed: the connection is broken, so that the client does not take a part for the whole.
#[derive(Debug, Clone, Copy, thiserror::Error)]
#[error("the answer could not be completed")]
pub(crate) struct Broken;

/// Where a stream's writer puts its pieces. Used by one task only; the mutex is never contended.
#[derive(Clone, Default)]
pub(crate) struct Outbox {
    pieces: Arc<Mutex<VecDeque<Result<Bytes, Broken>>>>,
    /// Who keeps what goes out, if anybody.
    scribe: Arc<Mutex<Option<Scribe>>>,
}

impl Outbox {
    /// Shows what goes out to `scribe` first.
    pub(crate) fn seen_by(self, scribe: Option<Scribe>) -> Self {
        *self.scribe.lock().unwrap_or_else(PoisonError::into_inner) = scribe;
        self
    }

    /// Puts `bytes` out, waiting while the client is slow. The body polls the writer again whenever it has handed a
    /// piece on, so no waker is needed.
    pub(crate) async fn send(&self, bytes: Bytes) {
        if bytes.is_empty() {
            return;
        }
        let scribe = self.scribe.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(mut scribe) = scribe {
            scribe.see(&bytes).await;
            *self.scribe.lock().unwrap_or_else(PoisonError::into_inner) = Some(scribe);
        }
        poll_fn(|_| if self.queue(|queue| queue.len()) < MOST { Poll::Ready(()) } else { Poll::Pending }).await;
        self.queue(|queue| queue.push_back(Ok(bytes)));
    }

    /// Breaks the connection after what was put out: for bodies that have no way to say that they are not whole.
    pub(crate) fn break_off(&self) {
        self.queue(|queue| queue.push_back(Err(Broken)));
    }

    fn queue<T>(&self, with: impl FnOnce(&mut VecDeque<Result<Bytes, Broken>>) -> T) -> T {
        with(&mut self.pieces.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// The body of an answer.
pub(crate) enum AnswerBody {
    /// Whole bytes.
    Whole(Full<Bytes>),
    /// A stream.
    Stream {
        /// Where the writer puts its pieces.
        outbox: Outbox,
        /// The writer; `None`: it is done.
        writer: Option<BoxFuture<'static, ()>>,
    },
}

impl AnswerBody {
    /// Whole bytes.
    pub(crate) fn whole(bytes: impl Into<Bytes>) -> Self {
        Self::Whole(Full::new(bytes.into()))
    }

    /// What the writer that `make` makes puts into its outbox.
    pub(crate) fn stream(make: impl FnOnce(Outbox) -> BoxFuture<'static, ()>) -> Self {
        let outbox = Outbox::default();
        Self::Stream { outbox: outbox.clone(), writer: Some(make(outbox)) }
    }
}

impl Body for AnswerBody {
    type Data = Bytes;
    type Error = Broken;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Broken>>> {
        match self.get_mut() {
            Self::Whole(body) => Pin::new(body).poll_frame(cx).map_err(|never| match never {}),
            Self::Stream { outbox, writer } => {
                if let Some(future) = writer
                    && future.as_mut().poll(cx).is_ready()
                {
                    *writer = None;
                }
                match outbox.queue(VecDeque::pop_front) {
                    Some(piece) => Poll::Ready(Some(piece.map(Frame::data))),
                    None if writer.is_none() => Poll::Ready(None),
                    None => Poll::Pending,
                }
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Whole(body) => body.is_end_stream(),
            Self::Stream { outbox, writer } => writer.is_none() && outbox.queue(|queue| queue.is_empty()),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Whole(body) => body.size_hint(),
            Self::Stream { .. } => SizeHint::default(),
        }
    }
}
