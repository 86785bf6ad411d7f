//! What the gateway's benches are measured against and with: a provider that costs next to nothing, proxies that are the
//! floor, and a client that times streams. HTTP/1.1 on loopback, one thread each, `TCP_NODELAY` everywhere.

use bytes::Bytes;
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioIo};
use std::convert::Infallible;
use std::future::Future;
use std::net::SocketAddr;

/// Any body.
pub type Body = BoxBody<Bytes, Box<dyn std::error::Error + Send + Sync>>;

/// A client that keeps its connections.
pub type Upstream<B> = Client<HttpConnector, B>;

/// Microseconds on the clock that all processes of a machine share.
#[must_use]
pub fn now_us() -> u64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    since.map_or(0, |since| u64::try_from(since.as_micros()).unwrap_or(u64::MAX))
}

/// A whole body.
#[must_use]
pub fn whole(bytes: impl Into<Bytes>) -> Body {
    Full::new(bytes.into()).map_err(|never: Infallible| match never {}).boxed()
}

/// A client of an upstream.
#[must_use]
pub fn upstream<B>() -> Upstream<B>
where
    B: hyper::body::Body + Send + 'static + Unpin,
    B::Data: Send,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    let mut http = HttpConnector::new();
    http.set_nodelay(true);
    Client::builder(TokioExecutor::new()).build(http)
}

/// Serves on `port` with one thread until the process is killed.
///
/// # Panics
/// When the port cannot be had.
pub fn serve<H, F>(port: u16, handler: H)
where
    H: Fn(Request<Incoming>) -> F + Clone + Send + 'static,
    F: Future<Output = Response<Body>> + Send + 'static,
{
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async move {
        let listener = tokio::net::TcpListener::bind(SocketAddr::from(([127, 0, 0, 1], port))).await.expect("the port");
        println!("listening on http://127.0.0.1:{port}");
        loop {
            let Ok((socket, _)) = listener.accept().await else { continue };
            let _ = socket.set_nodelay(true);
            let handler = handler.clone();
            let service = service_fn(move |request| {
                let answered = handler(request);
                async move { Ok::<_, Infallible>(answered.await) }
            });
            tokio::spawn(async move {
                let _ = hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(socket), service).await;
            });
        }
    });
}

/// The port and the address that the command line names.
#[must_use]
pub fn arguments() -> (u16, String) {
    let mut words = std::env::args().skip(1);
    let port = words.next().and_then(|word| word.parse().ok()).unwrap_or(0);
    (port, words.next().unwrap_or_default())
}
