//! Connections to providers: one pooled HTTP client (HTTP/1.1 and, where the provider has it, HTTP/2) for all of
//! them. No redirects are followed, since one could carry a key away; certificates are always checked.

use super::trace::Outgoing;
use canon::{Fault, FaultKind};
use http::{Request, Response};
use hyper::body::Incoming;
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::{HttpConnector, capture_connection};
use hyper_util::rt::{TokioExecutor, TokioTimer};
use std::error::Error as _;
use std::pin::pin;
use std::time::Duration;

/// How long an unused connection is kept; shorter than the idle limit of common load balancers (60 s), so that a
/// dead one is rarely picked up.
const KEEP_IDLE: Duration = Duration::from_secs(50);

/// The pooled client.
#[derive(Debug, Clone)]
pub struct Transport {
    client: Client<HttpsConnector<HttpConnector>, Outgoing>,
}

impl Transport {
    /// A client that gives up connecting after `connect_timeout`, whatever a call allows.
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

    /// [`Self::send`], where a new connection may take no longer than `connect`, names and TLS included.
    ///
    /// # Errors
    /// When no connection could be made in time, or it broke before an answer.
    pub async fn send_within(
        &self,
        mut request: Request<Outgoing>,
        connect: Duration,
    ) -> Result<Response<Incoming>, Fault> {
        let mut connection = capture_connection(&mut request);
        let host = request.uri().host().unwrap_or_default().to_owned();
        let mut answer = pin!(self.send(request));
        let connected = tokio::time::timeout(connect, async {
            // Without a connection this never ends; then the answer's own end says why.
            drop(connection.wait_for_connection_metadata().await);
        });
        tokio::select! {
            biased;
            answer = &mut answer => answer,
            in_time = connected => match in_time {
                Ok(()) => answer.await,
                Err(_) => {
                    let message = format!("no connection to `{host}` within {} ms", connect.as_millis());
                    Err(Fault::provider(FaultKind::ConnectTimeout, message))
                }
            },
        }
    }

    /// Sends `request` and waits for the answer's head.
    ///
    /// # Errors
    /// When no connection could be made or it broke before an answer.
    pub async fn send(&self, request: Request<Outgoing>) -> Result<Response<Incoming>, Fault> {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_connection_that_never_stands_is_left_in_time() {
        // The system accepts; nobody ever answers the TLS greeting.
        let deaf = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = format!("https://{}/v1", deaf.local_addr().expect("an address"));
        let mut request = Request::new(Outgoing::from(bytes::Bytes::new()));
        *request.uri_mut() = address.parse().expect("an address");
        let transport = Transport::new(Duration::from_secs(60));
        let fault = transport.send_within(request, Duration::from_millis(50)).await.expect_err("nobody answers");
        assert_eq!(fault.kind, FaultKind::ConnectTimeout, "{fault}");
    }
}
