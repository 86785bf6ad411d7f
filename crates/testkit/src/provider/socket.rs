//! A socket that can be really reset, and that tells when everything written has left the process.
//! hyper owns it; a `Tap` shared with the answer's body moves it.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

/// What moves a socket from outside.
#[derive(Debug, Default)]
pub(super) struct Tap {
    reset: AtomicBool,
    closed: AtomicBool,
    flushes: AtomicU64,
    waiting: Mutex<Option<Waker>>,
}

impl Tap {
    /// From now on the socket ends with RST instead of FIN.
    pub(super) fn reset(&self) {
        self.reset.store(true, Ordering::Release);
    }

    /// From now on the server takes the connection for closed by the client.
    pub(super) fn close(&self) {
        self.closed.store(true, Ordering::Release);
    }

    /// How often everything written so far had left the process.
    pub(super) fn flushes(&self) -> u64 {
        self.flushes.load(Ordering::Acquire)
    }

    /// Ready once there were more than `seen` flushes.
    pub(super) fn poll_flushed(&self, seen: u64, cx: &Context<'_>) -> Poll<()> {
        *self.waiting.lock().unwrap_or_else(PoisonError::into_inner) = Some(cx.waker().clone());
        if self.flushes() > seen { Poll::Ready(()) } else { Poll::Pending }
    }

    fn flushed(&self) {
        self.flushes.fetch_add(1, Ordering::AcqRel);
        let waker = self.waiting.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(waker) = waker {
            waker.wake();
        }
    }
}

/// The socket.
#[derive(Debug)]
pub(super) struct Socket {
    stream: TcpStream,
    tap: std::sync::Arc<Tap>,
    /// Whether bytes came of which the server may not know yet.
    unheard: bool,
}

impl Socket {
    /// Wraps `stream`; small writes leave at once.
    pub(super) fn new(stream: TcpStream, tap: std::sync::Arc<Tap>) -> io::Result<Self> {
        stream.set_nodelay(true)?;
        Ok(Self { stream, tap, unheard: false })
    }
}

impl Drop for Socket {
    fn drop(&mut self) {
        if self.tap.reset.load(Ordering::Acquire) {
            // A lingering time of zero makes close() send RST. An error here means that the peer is gone already.
            let _ = socket2::SockRef::from(&self.stream).set_linger(Some(Duration::ZERO));
        }
    }
}

impl AsyncRead for Socket {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if self.tap.closed.load(Ordering::Acquire) {
            return Poll::Ready(Ok(()));
        }
        let before = buf.filled().len();
        let read = Pin::new(&mut self.stream).poll_read(cx, buf);
        let came = buf.filled().len() > before;
        if read.is_ready() && !came && std::mem::take(&mut self.unheard) {
            // A client that asks and leaves at once has asked: its end is told one turn later, when the question was
            // taken in and stands in the log.
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        self.unheard |= came;
        read
    }
}

impl AsyncWrite for Socket {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, buf)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        // hyper flushes only when its own buffer is empty.
        let done = Pin::new(&mut self.stream).poll_flush(cx);
        if matches!(done, Poll::Ready(Ok(()))) {
            self.tap.flushed();
        }
        done
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.tap.reset.load(Ordering::Acquire) {
            return Poll::Ready(Ok(()));
        }
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
