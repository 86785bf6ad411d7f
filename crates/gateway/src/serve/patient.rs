//! A client's socket whose first bytes must come in time. HTTP's own timer begins once it is known which HTTP is spoken,
//! which takes up to as many bytes as HTTP/2 begins with; whoever sends fewer would keep its connection for ever.

use std::future::Future;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::{Sleep, sleep};

/// Bytes after which every HTTP is told from the others.
const TOLD: usize = 24;

/// The socket.
pub(super) struct Patient {
    stream: TcpStream,
    read: usize,
    /// Runs until enough was read.
    end: Option<Pin<Box<Sleep>>>,
}

impl Patient {
    /// `stream`, whose first bytes have so long.
    pub(super) fn new(stream: TcpStream, patience: Duration) -> Self {
        Self { stream, read: 0, end: Some(Box::pin(sleep(patience))) }
    }
}

impl AsyncRead for Patient {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let polled = Pin::new(&mut self.stream).poll_read(cx, buffer);
        if let Some(end) = &mut self.end {
            if polled.is_pending() {
                return end.as_mut().poll(cx).map(|()| Err(io::ErrorKind::TimedOut.into()));
            }
            self.read += buffer.filled().len() - before;
            if self.read >= TOLD {
                self.end = None;
            }
        }
        polled
    }
}

impl AsyncWrite for Patient {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(cx, bytes)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;

    async fn pair(patience: Duration) -> (TcpStream, Patient) {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let client = TcpStream::connect(listener.local_addr().expect("known")).await.expect("connected");
        (client, Patient::new(listener.accept().await.expect("accepted").0, patience))
    }

    #[tokio::test]
    async fn too_few_bytes_end_in_time_and_enough_may_take_theirs() {
        let soon = Duration::from_millis(50);
        let (mut client, mut server) = pair(soon).await;
        client.write_all(b"P").await.expect("sent");
        let mut read = Vec::new();
        let error = server.read_to_end(&mut read).await.expect_err("too late");
        assert_eq!((error.kind(), read.as_slice()), (io::ErrorKind::TimedOut, b"P".as_slice()));

        let (mut client, mut server) = pair(soon).await;
        client.write_all(&[b'x'; TOLD]).await.expect("sent");
        let mut first = [0; TOLD];
        server.read_exact(&mut first).await.expect("read");
        let more = server.read_u8();
        assert!(tokio::time::timeout(4 * soon, more).await.is_err(), "it waits");
    }
}
