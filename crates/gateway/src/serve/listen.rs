//! The listening socket: accepts connections, speaks HTTP/1.1 and HTTP/2, comes to its end in two phases. `TCP_NODELAY`
//! is set on every accepted socket: without it, a stream on a kept connection starts some 40 ms late.
//!
//! The end: first whoever asks is told, with its answer, that this connection closes (`connection: close`), and kept
//! connections wait for their client's next request, so that none is lost on its way; then what is idle is closed, and
//! what runs may end.

use super::exchange;
use super::patient::Patient;
use crate::load;
use crate::setup::Gateway;
use http::Version;
use http::header::{CONNECTION, HeaderValue};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use hyper_util::server::graceful::GracefulShutdown;
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

/// Longest time to receive a request's head.
const HEAD_TIME: Duration = Duration::from_secs(10);
/// How often a connection of HTTP/2 is asked whether its client is still there.
const ALIVE: Duration = Duration::from_secs(30);
/// Largest request head, in bytes.
const HEAD_BYTES: usize = 64 * 1024;
/// Connections waiting to be accepted.
const BACKLOG: i32 = 1024;
/// How long what was cut may take to write down that it was.
const CUT: Duration = Duration::from_secs(2);

/// Whether connections are accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Door {
    /// They are.
    Open,
    /// They wait in the system's queue: another process is about to accept them.
    Held,
    /// Another process accepts them.
    HandedOver,
}

/// How long the end may take.
#[derive(Debug, Clone, Copy)]
pub struct Drain {
    /// Told to stop, connections are still accepted for so long, while readiness says no.
    pub notice: Duration,
    /// Kept connections wait so long for one more request, where another process accepts the next connection.
    pub linger: Duration,
    /// What runs may take so long to end, the linger included.
    pub limit: Duration,
}

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
        socket.bind(&address.into())?;
        socket.listen(BACKLOG)?;
        Self::inherit(socket.into())
    }

    /// A socket that somebody else bound, and that listens.
    ///
    /// # Errors
    /// When it is no such socket.
    pub fn inherit(socket: OwnedFd) -> io::Result<Self> {
        let socket = std::net::TcpListener::from(socket);
        socket.local_addr()?;
        socket.set_nonblocking(true)?;
        Ok(Self { socket: TcpListener::from_std(socket)? })
    }

    /// The same socket, for another process.
    ///
    /// # Errors
    /// When the system has no more handles.
    pub fn share(&self) -> io::Result<OwnedFd> {
        std::os::fd::AsFd::as_fd(&self.socket).try_clone_to_owned()
    }

    /// The bound address.
    ///
    /// # Errors
    /// When the system does not say.
    pub fn address(&self) -> io::Result<SocketAddr> {
        self.socket.local_addr()
    }

    /// Serves until the gateway stops, then drains. Whoever hands the socket over shuts `door` first.
    pub async fn serve(self, gateway: Arc<Gateway>, mut door: watch::Receiver<Door>, drain: Drain) {
        gateway.tasks.spawn(load::watch(Arc::clone(&gateway)));
        let graceful = GracefulShutdown::new();
        let mut builder = Builder::new(TokioExecutor::new());
        builder.http1().timer(TokioTimer::new()).header_read_timeout(HEAD_TIME).max_buf_size(HEAD_BYTES);
        builder.http2().timer(TokioTimer::new()).max_header_list_size(64 * 1024).max_concurrent_streams(1_000);
        builder.http2().keep_alive_interval(ALIVE).keep_alive_timeout(HEAD_TIME);
        let accept = async |until: &mut (dyn Future<Output = ()> + Send + Unpin), door: &mut watch::Receiver<Door>| {
            loop {
                let open = *door.borrow_and_update() == Door::Open;
                let accepted = tokio::select! {
                    biased;
                    () = &mut *until => return,
                    Ok(()) = door.changed() => continue,
                    accepted = self.socket.accept(), if open => accepted,
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
        };
        accept(&mut Box::pin(gateway.tasks.stopped()), &mut door).await;
        let handed_over = *door.borrow() == Door::HandedOver;
        if !handed_over && !drain.notice.is_zero() {
            accept(&mut Box::pin(tokio::time::sleep(drain.notice)), &mut door).await;
        }
        drop(self.socket);
        let end = tokio::time::Instant::now() + drain.limit;
        if handed_over {
            linger(&graceful, drain.linger.min(drain.limit)).await;
        }
        let done = async { tokio::join!(graceful.shutdown(), gateway.tasks.worked()) };
        if tokio::time::timeout_at(end, done).await.is_err() {
            tracing::warn!("some requests did not end within the drain time: they are cut");
            gateway.tasks.cut();
            drop(tokio::time::timeout(CUT, gateway.tasks.worked()).await);
        }
    }
}

/// Waits for so long, or until no connection is left.
async fn linger(graceful: &GracefulShutdown, time: Duration) {
    let end = tokio::time::Instant::now() + time;
    while graceful.count() > 0 && tokio::time::Instant::now() < end {
        tokio::time::sleep(Duration::from_millis(20)).await;
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
    let service = service_fn(move |request: http::Request<_>| {
        let gateway = Arc::clone(&handler);
        // Large, and moved about by whoever drives it.
        Box::pin(async move {
            let kept = request.version() <= Version::HTTP_11;
            let mut response = exchange::exchange(Arc::clone(&gateway), request, peer).await;
            if kept && gateway.tasks.is_stopping() {
                response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
            }
            Ok::<_, std::convert::Infallible>(response)
        })
    });
    let connection = builder.serve_connection(TokioIo::new(Patient::new(stream, HEAD_TIME)), service).into_owned();
    let watched = graceful.watch(connection);
    gateway.tasks.spawn_work(async move {
        if let Err(error) = watched.await {
            tracing::debug!(%error, "a client's connection ended early");
        }
    });
}
