//! The connections to one place: those of HTTP/1.1 carry one request at a time and wait here between two, one of HTTP/2
//! carries all. A request takes one and its answer's body brings it back, so nothing is asked of another task and no
//! clock is armed for a connection that stands.

use super::trace::Outgoing;
use bytes::Bytes;
use http::Uri;
use http::header::HeaderValue;
use http::uri::Scheme;
use http_body::{Frame, SizeHint};
use hyper::body::Incoming;
use hyper::client::conn::{http1, http2};
use hyper::rt::Executor;
use hyper_rustls::HttpsConnector;
use hyper_util::client::legacy::connect::{Connection, HttpConnector};
use hyper_util::rt::{TokioExecutor, TokioTimer};
use std::error::Error;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};
use tower_service::Service;

/// How long an unused connection is kept; shorter than the idle limit of common load balancers (60 s), so that a
/// dead one is rarely picked up.
const KEEP_IDLE: Duration = Duration::from_secs(50);
/// Time between looks for those that were unused for too long.
const SWEEP: Duration = Duration::from_secs(10);
/// Time between signs of life on a connection of HTTP/2 that is in use.
const ALIVE: Duration = Duration::from_secs(20);

type One = http1::SendRequest<Outgoing>;
type Many = http2::SendRequest<Outgoing>;

/// One place, and the connections to it.
pub(super) struct Origin {
    /// Scheme and authority.
    pub(super) base: Uri,
    /// What requests to it say in `host`.
    pub(super) host: HeaderValue,
    connector: HttpsConnector<HttpConnector>,
    waiting: Mutex<Waiting>,
}

#[derive(Default)]
struct Waiting {
    /// Connections of HTTP/1.1, each with the time since when it waits, the longest first.
    ones: Vec<(One, Instant)>,
    /// The connection of HTTP/2.
    many: Option<Many>,
    /// Whether somebody looks for those that wait for too long.
    swept: bool,
}

/// A connection to send a request over.
pub(super) enum Sender {
    One(One),
    Many(Many),
}

impl Sender {
    /// What brings the connection back when the answer is read, where it is not shared anyway.
    pub(super) fn lease(self, origin: &Arc<Origin>) -> Option<Lease> {
        match self {
            Self::One(sender) => Some(Lease { sender, origin: Arc::clone(origin) }),
            Self::Many(_) => None,
        }
    }
}

impl Origin {
    /// The place that `uri` names.
    pub(super) fn new(uri: &Uri, connector: HttpsConnector<HttpConnector>) -> Option<Self> {
        let (scheme, place) = (uri.scheme()?, uri.authority()?);
        let usual = if *scheme == Scheme::HTTPS { 443 } else { 80 };
        let host = match place.port_u16() {
            Some(port) if port != usual => format!("{}:{port}", place.host()),
            _ => place.host().to_owned(),
        };
        let base = Uri::builder().scheme(scheme.clone()).authority(place.clone()).path_and_query("/").build().ok()?;
        Some(Self { base, host: HeaderValue::try_from(host).ok()?, connector, waiting: Mutex::default() })
    }

    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A connection that stands and is free, the one used last before others.
    pub(super) fn take(&self) -> Option<Sender> {
        let mut waiting = self.waiting();
        if let Some(many) = &waiting.many {
            if !many.is_closed() {
                return Some(Sender::Many(many.clone()));
            }
            waiting.many = None;
        }
        let mut at = waiting.ones.len();
        while let Some((one, since)) = at.checked_sub(1).and_then(|last| waiting.ones.get(last)) {
            at -= 1;
            if one.is_closed() || since.elapsed() > KEEP_IDLE {
                waiting.ones.remove(at);
            } else if one.is_ready() {
                return Some(Sender::One(waiting.ones.remove(at).0));
            }
        }
        None
    }

    /// A new connection.
    pub(super) async fn connect(self: &Arc<Self>) -> Result<Sender, Box<dyn Error + Send + Sync>> {
        let stream = self.connector.clone().call(self.base.clone()).await?;
        let executor = TokioExecutor::new();
        if stream.connected().is_negotiated_h2() {
            let mut builder = http2::Builder::new(executor.clone());
            builder.timer(TokioTimer::new()).keep_alive_interval(ALIVE);
            let (sender, connection) = builder.handshake(stream).await?;
            executor.execute(async move { ended(connection.await) });
            self.waiting().many = Some(sender.clone());
            return Ok(Sender::Many(sender));
        }
        let (mut sender, connection) = http1::handshake(stream).await?;
        executor.execute(async move { ended(connection.await) });
        sender.ready().await?;
        Ok(Sender::One(sender))
    }

    fn put(self: &Arc<Self>, sender: One) {
        let mut waiting = self.waiting();
        waiting.ones.push((sender, Instant::now()));
        if !waiting.swept {
            waiting.swept = true;
            TokioExecutor::new().execute(sweep(Arc::downgrade(self)));
        }
    }
}

/// Closes what waits for too long, as long as anything waits.
async fn sweep(origin: Weak<Origin>) {
    loop {
        tokio::time::sleep(SWEEP).await;
        let Some(origin) = origin.upgrade() else { return };
        let mut waiting = origin.waiting();
        waiting.ones.retain(|(one, since)| !one.is_closed() && since.elapsed() <= KEEP_IDLE);
        if waiting.ones.is_empty() {
            waiting.swept = false;
            return;
        }
    }
}

fn ended(how: hyper::Result<()>) {
    if let Err(error) = how {
        tracing::debug!(%error, "a provider's connection ended early");
    }
}

/// The host of `uri`, for messages.
pub(super) fn host_of(uri: &Uri) -> &str {
    uri.host().unwrap_or_default()
}

/// A connection in use.
pub(super) struct Lease {
    sender: One,
    origin: Arc<Origin>,
}

/// The body of a provider's answer. Read to its end it brings its connection back; dropped before, it closes it.
pub struct Body {
    incoming: Incoming,
    lease: Option<Lease>,
}

impl Body {
    pub(super) fn new(incoming: Incoming, lease: Option<Lease>) -> Self {
        let mut body = Self { incoming, lease };
        body.bring_back_at_end();
        body
    }

    fn bring_back_at_end(&mut self) {
        if http_body::Body::is_end_stream(&self.incoming) {
            self.bring_back();
        }
    }

    fn bring_back(&mut self) {
        if let Some(Lease { sender, origin }) = self.lease.take()
            && !sender.is_closed()
        {
            origin.put(sender);
        }
    }
}

impl http_body::Body for Body {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<hyper::Result<Frame<Bytes>>>> {
        let body = self.get_mut();
        let polled = Pin::new(&mut body.incoming).poll_frame(cx);
        match &polled {
            Poll::Ready(None) => body.bring_back(),
            Poll::Ready(Some(Err(_))) => body.lease = None,
            Poll::Ready(Some(Ok(_))) => body.bring_back_at_end(),
            Poll::Pending => {}
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.incoming.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.incoming.size_hint()
    }
}
