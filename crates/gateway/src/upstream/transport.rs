//! Connections to providers: one pooled HTTP client (HTTP/1.1 and, where the provider has it, HTTP/2) for all of
//! them. No redirects are followed, since one could carry a key away; certificates are always checked.

use bytes::Bytes;
use canon::{Fault, FaultKind};
use http::{Request, Response};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use std::error::Error as _;
use std::time::Duration;

/// How long an unused connection is kept; shorter than the idle limit of common load balancers (60 s), so that a
/// dead one is rarely picked up.
const KEEP_IDLE: Duration = Duration::from_secs(50);

/// The pooled client.
#[derive(Debug, Clone)]
pub struct Transport {
    client: Client<HttpsConnector<HttpConnector>, Full<Bytes>>,
}

impl Transport {
    /// A client that gives up connecting after `connect_timeout`.
    #[must_use]
    pub fn new(connect_timeout: Duration) -> Self {
        let mut http = HttpConnector::new();
        http.set_nodelay(true);
        http.enforce_http(false);
        http.set_connect_timeout(Some(connect_timeout));
        http.set_keepalive(Some(Duration::from_secs(30)));
        let https = HttpsConnectorBuilder::new()
            .with_webpki_roots()
            .https_or_http()
            .enable_http1()
            .enable_http2()
            .wrap_connector(http);
        let client = Client::builder(TokioExecutor::new())
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(KEEP_IDLE)
            .http2_keep_alive_interval(Duration::from_secs(20))
            .timer(TokioTimer::new())
            .build(https);
        Self { client }
    }

    /// Sends `request` and waits for the answer's head.
    ///
    /// # Errors
    /// When no connection could be made or it broke before an answer.
    pub async fn send(&self, request: Request<Full<Bytes>>) -> Result<Response<Incoming>, Fault> {
        let host = request.uri().host().unwrap_or_default().to_owned();
        self.client.request(request).await.map_err(|error| {
            let mut cause = error.to_string();
            let (mut timed_out, mut source) = (false, error.source());
            while let Some(inner) = source {
                cause = inner.to_string();
                timed_out |=
                    inner.downcast_ref::<std::io::Error>().is_some_and(|io| io.kind() == std::io::ErrorKind::TimedOut);
                source = inner.source();
            }
            let kind = if timed_out { FaultKind::ConnectTimeout } else { FaultKind::Connect };
            Fault::provider(kind, format!("no answer from `{host}`: {cause}"))
        })
    }
}
