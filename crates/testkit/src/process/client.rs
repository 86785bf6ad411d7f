//! A tiny HTTP client for tests: one connection, kept open while it works, every byte visible. It retries nothing and
//! follows nothing, so that what a test sees is what was sent.

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper::{HeaderMap, Request, StatusCode};
use hyper_util::rt::TokioIo;
use serde_json::Value;
use std::fmt;
use std::net::SocketAddr;
use tokio::net::TcpStream;
use tokio::task::JoinHandle;

/// Why there is no answer, or only a part of one.
#[derive(Debug)]
pub enum ClientError {
    /// No connection.
    Connect(std::io::Error),
    /// The connection broke, or what came is no HTTP.
    Broken(String),
}

impl fmt::Display for ClientError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Connect(error) => write!(f, "no connection: {error}"),
            Self::Broken(why) => write!(f, "the connection broke: {why}"),
        }
    }
}

impl std::error::Error for ClientError {}

/// A whole answer.
#[derive(Debug, Clone)]
pub struct Answer {
    /// HTTP status.
    pub status: u16,
    /// Headers.
    pub headers: HeaderMap,
    /// The body.
    pub body: Bytes,
}

impl Answer {
    /// The body as JSON; null when it is none.
    #[must_use]
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_default()
    }

    /// The header called `name`; empty when absent.
    #[must_use]
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
    }
}

/// One client, with at most one connection.
#[derive(Debug)]
pub struct Client {
    addr: SocketAddr,
    connection: Option<Connection>,
}

#[derive(Debug)]
struct Connection {
    sender: SendRequest<Full<Bytes>>,
    task: JoinHandle<()>,
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Client {
    /// A client of `addr`; nothing is connected yet.
    #[must_use]
    pub fn new(addr: SocketAddr) -> Self {
        Self { addr, connection: None }
    }

    /// GET.
    ///
    /// # Errors
    /// When no whole answer comes.
    pub async fn get(&mut self, path: &str) -> Result<Answer, ClientError> {
        self.send("GET", path, &[], Bytes::new()).await?.whole().await
    }

    /// POST of JSON; `key` goes as a bearer token where it is not empty.
    ///
    /// # Errors
    /// When no whole answer comes.
    pub async fn post(&mut self, path: &str, key: &str, body: &Value) -> Result<Answer, ClientError> {
        self.post_stream(path, key, body).await?.whole().await
    }

    /// POST of JSON whose answer is read piece by piece.
    ///
    /// # Errors
    /// When no headers come.
    pub async fn post_stream(&mut self, path: &str, key: &str, body: &Value) -> Result<Streaming, ClientError> {
        let bearer = format!("Bearer {key}");
        let mut headers = vec![("content-type", "application/json")];
        if !key.is_empty() {
            headers.push(("authorization", &bearer));
        }
        self.send("POST", path, &headers, Bytes::from(body.to_string())).await
    }

    /// Any request.
    ///
    /// # Errors
    /// When no headers come.
    pub async fn send(
        &mut self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: Bytes,
    ) -> Result<Streaming, ClientError> {
        let mut connection = match self.connection.take() {
            Some(kept) if kept.sender.is_ready() => kept,
            _ => connect(self.addr).await?,
        };
        let mut request = Request::builder().method(method).uri(path).header("host", self.addr.to_string());
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request = request.body(Full::new(body)).map_err(broken)?;
        let response = connection.sender.send_request(request).await.map_err(broken)?;
        let (parts, body) = response.into_parts();
        Ok(Streaming { status: parts.status, headers: parts.headers, body, connection })
    }

    /// Takes a connection back from an answer that was read to its end.
    pub fn keep(&mut self, done: Streaming) {
        self.connection = Some(done.connection);
    }
}

fn broken(error: impl std::error::Error) -> ClientError {
    let cause = std::error::Error::source(&error).map(|cause| format!(": {cause}")).unwrap_or_default();
    ClientError::Broken(format!("{error}{cause}"))
}

async fn connect(addr: SocketAddr) -> Result<Connection, ClientError> {
    let stream = TcpStream::connect(addr).await.map_err(ClientError::Connect)?;
    stream.set_nodelay(true).map_err(ClientError::Connect)?;
    let (sender, connection) = handshake(TokioIo::new(stream)).await.map_err(broken)?;
    #[expect(clippy::disallowed_methods, reason = "the handle is kept, and the task ends with the client")]
    let task = tokio::spawn(async move {
        // What ends a connection is told to whoever reads from it.
        let _ = connection.await;
    });
    Ok(Connection { sender, task })
}

/// An answer that is read piece by piece; dropped, its connection closes.
#[derive(Debug)]
pub struct Streaming {
    /// HTTP status.
    pub status: StatusCode,
    /// Headers.
    pub headers: HeaderMap,
    body: hyper::body::Incoming,
    connection: Connection,
}

impl Streaming {
    /// The next bytes; `None` at the end.
    ///
    /// # Errors
    /// When the connection broke.
    pub async fn next(&mut self) -> Result<Option<Bytes>, ClientError> {
        loop {
            match self.body.frame().await {
                None => return Ok(None),
                Some(Err(error)) => return Err(broken(error)),
                Some(Ok(frame)) => match frame.into_data() {
                    Ok(bytes) if bytes.is_empty() => {}
                    Ok(bytes) => return Ok(Some(bytes)),
                    Err(_) => {}
                },
            }
        }
    }

    /// Reads to the end: everything that came, and why it ended early if it did.
    pub async fn all(&mut self) -> (Vec<u8>, Option<ClientError>) {
        let mut out = Vec::new();
        loop {
            match self.next().await {
                Ok(Some(bytes)) => out.extend_from_slice(&bytes),
                Ok(None) => return (out, None),
                Err(error) => return (out, Some(error)),
            }
        }
    }

    /// The whole answer.
    ///
    /// # Errors
    /// When the connection broke before its end.
    pub async fn whole(mut self) -> Result<Answer, ClientError> {
        let (body, error) = self.all().await;
        match error {
            Some(error) => Err(error),
            None => Ok(Answer { status: self.status.as_u16(), headers: self.headers.clone(), body: body.into() }),
        }
    }
}
