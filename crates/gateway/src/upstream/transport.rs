//! Requests to providers over kept connections, HTTP/1.1 or, where the provider has it, HTTP/2. No redirects are followed,
//! since one could carry a key away; certificates are always checked.

pub use super::pool::Body;
use super::pool::{Origin, Sender, host_of};
use super::trace::Outgoing;
use canon::{Fault, FaultKind};
use http::header::HOST;
use http::uri::{Authority, Scheme};
use http::{Request, Response, Uri};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::connect::HttpConnector;
use std::collections::HashMap;
use std::error::Error;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

type Origins = HashMap<(Scheme, Authority), Arc<Origin>>;

/// Connections to whatever place, kept by place.
#[derive(Clone)]
pub struct Transport {
    connector: HttpsConnector<HttpConnector>,
    most_connect: Duration,
    origins: Arc<Mutex<Origins>>,
}

impl std::fmt::Debug for Transport {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Transport").finish_non_exhaustive()
    }
}

/// The way to one place.
#[derive(Clone)]
pub struct Line {
    origin: Arc<Origin>,
}

impl Transport {
    /// Gives up connecting after `most_connect`, whatever a call allows.
    #[must_use]
    pub fn new(most_connect: Duration) -> Self {
        let mut http = HttpConnector::new();
        http.set_nodelay(true);
        http.enforce_http(false);
        http.set_connect_timeout(Some(most_connect));
        http.set_keepalive(Some(Duration::from_secs(30)));
        let connector = HttpsConnectorBuilder::new()
            .with_webpki_roots()
            .https_or_http()
            .enable_http1()
            .enable_http2()
            .wrap_connector(http);
        Self { connector, most_connect, origins: Arc::default() }
    }

    /// The way to the place that `uri` names, with the connections that all who go there share.
    ///
    /// # Errors
    /// When `uri` names no place.
    pub fn line(&self, uri: &Uri) -> Result<Line, Fault> {
        let nowhere = || Fault::gateway(FaultKind::Internal, format!("`{uri}` names no server"));
        let (scheme, place) = uri.scheme().zip(uri.authority()).ok_or_else(nowhere)?;
        let mut origins = self.origins.lock().unwrap_or_else(PoisonError::into_inner);
        let key = (scheme.clone(), place.clone());
        if let Some(origin) = origins.get(&key) {
            return Ok(Line { origin: Arc::clone(origin) });
        }
        // Places that no configuration names any more.
        origins.retain(|_, origin| Arc::strong_count(origin) > 1);
        let origin = Arc::new(Origin::new(uri, self.connector.clone()).ok_or_else(nowhere)?);
        origins.insert(key, Arc::clone(&origin));
        Ok(Line { origin })
    }

    /// Sends `request` and waits for the answer's head.
    ///
    /// # Errors
    /// When no connection could be made or it broke before an answer.
    pub async fn send(&self, request: Request<Outgoing>) -> Result<Response<Body>, Fault> {
        self.line(request.uri())?.send(request, self.most_connect).await
    }
}

impl Line {
    /// Sends `request`, whose address is of this place, and waits for the answer's head. A new connection may take no
    /// longer than `connect`, names and TLS included.
    ///
    /// # Errors
    /// When no connection could be made in time, or it broke before an answer.
    pub async fn send(&self, mut request: Request<Outgoing>, connect: Duration) -> Result<Response<Body>, Fault> {
        let uri = request.uri().clone();
        loop {
            let (mut sender, kept) = match self.origin.take() {
                Some(sender) => (sender, true),
                None => (Box::pin(self.connect(connect)).await?, false),
            };
            let sent = match &mut sender {
                Sender::One(one) => {
                    if !request.headers().contains_key(HOST) {
                        request.headers_mut().insert(HOST, self.origin.host.clone());
                    }
                    *request.uri_mut() = uri.path_and_query().cloned().map(Uri::from).unwrap_or_default();
                    one.try_send_request(request).await
                }
                Sender::Many(many) => many.try_send_request(request).await,
            };
            match sent {
                Ok(response) => {
                    let lease = sender.lease(&self.origin);
                    return Ok(response.map(|body| Body::new(body, lease)));
                }
                // A kept connection that had ended unseen: nothing was sent, so it may be sent again.
                Err(mut error) => match error.take_message().filter(|_| kept) {
                    Some(again) => {
                        request = again;
                        request.headers_mut().remove(HOST);
                        *request.uri_mut() = uri.clone();
                    }
                    None => return Err(no_answer(&uri, &error.into_error())),
                },
            }
        }
    }

    async fn connect(&self, within: Duration) -> Result<Sender, Fault> {
        match tokio::time::timeout(within, self.origin.connect()).await {
            Ok(connected) => connected.map_err(|error| no_answer(&self.origin.base, &*error)),
            Err(_) => {
                let host = host_of(&self.origin.base);
                let message = format!("no connection to `{host}` within {} ms", within.as_millis());
                Err(Fault::provider(FaultKind::ConnectTimeout, message))
            }
        }
    }
}

/// The fault that `error` means; the innermost cause says most.
fn no_answer(uri: &Uri, error: &(dyn Error + 'static)) -> Fault {
    let (mut cause, mut timed_out, mut next) = (String::new(), false, Some(error));
    while let Some(error) = next {
        cause = error.to_string();
        let io = error.downcast_ref::<std::io::Error>();
        timed_out |= io.is_some_and(|io| io.kind() == std::io::ErrorKind::TimedOut);
        next = error.source();
    }
    let kind = if timed_out { FaultKind::ConnectTimeout } else { FaultKind::Connect };
    Fault::provider(kind, format!("no answer from `{}`: {cause}", host_of(uri)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use http_body_util::BodyExt;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::{TcpListener, TcpStream};

    fn request(uri: &str) -> Request<Outgoing> {
        let mut request = Request::new(Outgoing::from(bytes::Bytes::new()));
        *request.uri_mut() = uri.parse().expect("an address");
        request
    }

    /// Reads one request's head and answers it.
    async fn answer(stream: &mut TcpStream, head: &str) -> String {
        let mut heard = Vec::new();
        while !heard.ends_with(b"\r\n\r\n") {
            heard.push(stream.read_u8().await.expect("a request"));
        }
        stream.write_all(head.as_bytes()).await.expect("it is taken");
        String::from_utf8(heard).expect("text")
    }

    const WHOLE: &str = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";

    #[tokio::test]
    async fn a_connection_that_never_stands_is_left_in_time() {
        // The system accepts; nobody ever answers the TLS greeting.
        let deaf = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
        let uri = format!("https://{}/v1", deaf.local_addr().expect("an address"));
        let line = Transport::new(Duration::from_secs(60)).line(&uri.parse().expect("an address")).expect("a place");
        let fault = line.send(request(&uri), Duration::from_millis(50)).await.err().expect("nobody answers");
        assert_eq!(fault.kind, FaultKind::ConnectTimeout, "{fault}");
    }

    #[tokio::test]
    async fn a_connection_is_used_again_once_its_answer_is_read() {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let uri = format!("http://{}/v1/x?y=1", listener.local_addr().expect("an address"));
        let transport = Transport::new(Duration::from_secs(5));
        let server = async {
            let (mut first, _) = listener.accept().await.expect("a client");
            let heard = answer(&mut first, WHOLE).await;
            assert!(heard.starts_with("GET /v1/x?y=1 HTTP/1.1\r\n") && heard.contains("host: 127.0.0.1:"), "{heard}");
            answer(&mut first, WHOLE).await;
        };
        let client = async {
            for _ in 0..2 {
                let answered = transport.send(request(&uri)).await.expect("an answer");
                assert_eq!(answered.into_body().collect().await.expect("a body").to_bytes(), "ok");
            }
        };
        tokio::join!(server, client);
        // An answer that nobody reads to its end costs its connection.
        let server = async {
            let (mut second, _) = listener.accept().await.expect("a client");
            answer(&mut second, WHOLE).await;
        };
        let long = "HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nok";
        drop(transport);
        let transport = Transport::new(Duration::from_secs(5));
        let left = async {
            let (mut first, _) = listener.accept().await.expect("a client");
            answer(&mut first, long).await;
            server.await;
        };
        let client = async {
            drop(transport.send(request(&uri)).await.expect("an answer"));
            transport.send(request(&uri)).await.expect("an answer");
        };
        tokio::join!(left, client);
    }

    #[tokio::test]
    async fn a_kept_connection_that_has_ended_is_replaced_unseen() {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let uri = format!("http://{}/", listener.local_addr().expect("an address"));
        let transport = Transport::new(Duration::from_secs(5));
        let server = async {
            for _ in 0..20 {
                let (mut stream, _) = listener.accept().await.expect("a client");
                answer(&mut stream, WHOLE).await;
            }
        };
        let client = async {
            for _ in 0..20 {
                let answered = transport.send(request(&uri)).await.expect("an answer");
                answered.into_body().collect().await.expect("a body");
            }
        };
        tokio::join!(server, client);
        let fault = transport.send(request("http://127.0.0.1:1/")).await.err().expect("nobody is there");
        assert_eq!(fault.kind, FaultKind::Connect);
    }
}
