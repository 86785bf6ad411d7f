//! The listening socket: accepts connections, speaks HTTP/1.1 and HTTP/2, drains on shutdown. `TCP_NODELAY` is set on
//! every accepted socket: without it, a stream on a kept connection starts some 40 ms late.

use super::exchange;
use crate::setup::Gateway;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use hyper_util::server::graceful::GracefulShutdown;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};

/// Longest time to receive a request's head.
const HEAD_TIME: Duration = Duration::from_secs(10);
/// Largest request head, in bytes.
const HEAD_BYTES: usize = 64 * 1024;
/// Connections waiting to be accepted.
const BACKLOG: i32 = 1024;

/// A bound socket.
#[derive(Debug)]
pub struct Listener {
    socket: TcpListener,
}

impl Listener {
    /// Binds `address`.
    ///
    /// # Errors
    /// When the address is in use or not ours.
    pub fn bind(address: SocketAddr) -> io::Result<Self> {
        let socket = socket2::Socket::new(socket2::Domain::for_address(address), socket2::Type::STREAM, None)?;
        socket.set_reuse_address(true)?;
        socket.set_nonblocking(true)?;
        socket.bind(&address.into())?;
        socket.listen(BACKLOG)?;
        Ok(Self { socket: TcpListener::from_std(socket.into())? })
    }

    /// The bound address.
    ///
    /// # Errors
    /// When the system does not say.
    pub fn address(&self) -> io::Result<SocketAddr> {
        self.socket.local_addr()
    }

    /// Serves until the gateway stops, then lets open requests end for at most `drain`.
    pub async fn serve(self, gateway: Arc<Gateway>, drain: Duration) {
        let graceful = GracefulShutdown::new();
        let mut builder = Builder::new(TokioExecutor::new());
        builder.http1().timer(TokioTimer::new()).header_read_timeout(HEAD_TIME).max_buf_size(HEAD_BYTES);
        builder.http2().timer(TokioTimer::new()).max_header_list_size(64 * 1024).max_concurrent_streams(1_000);
        loop {
            let accepted = tokio::select! {
                biased;
                () = gateway.tasks.stopped() => break,
                accepted = self.socket.accept() => accepted,
            };
            match accepted {
                Ok((stream, peer)) => connection(&gateway, &builder, &graceful, stream, peer),
                Err(error) => {
                    // Out of file handles, usually: give open requests a moment to end.
                    tracing::warn!(%error, "a connection could not be accepted");
                    tokio::time::sleep(Duration::from_millis(20)).await;
                }
            }
        }
        drop(self.socket);
        tokio::select! {
            () = graceful.shutdown() => {}
            () = tokio::time::sleep(drain) => tracing::warn!("some requests did not end within the drain time"),
        }
    }
}

fn connection(
    gateway: &Arc<Gateway>,
    builder: &Builder<TokioExecutor>,
    graceful: &GracefulShutdown,
    stream: TcpStream,
    peer: SocketAddr,
) {
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%error, "TCP_NODELAY could not be set");
    }
    let handler = Arc::clone(gateway);
    let service = service_fn(move |request| {
        let gateway = Arc::clone(&handler);
        // Large, and moved about by whoever drives it.
        Box::pin(async move { Ok::<_, std::convert::Infallible>(exchange::exchange(gateway, request, peer).await) })
    });
    let connection = builder.serve_connection(TokioIo::new(stream), service).into_owned();
    let watched = graceful.watch(connection);
    gateway.tasks.spawn(async move {
        if let Err(error) = watched.await {
            tracing::debug!(%error, "a client's connection ended early");
        }
    });
}
