//! Tokens that end: asked for at an identity provider (RFC 6749), kept until shortly before their end, one request for a
//! new one at a time. Calls wait for a token only while there is no good one.

use super::Sign;
use super::header::value;
use crate::upstream::backend::BoxFuture;
use crate::upstream::trace::Outgoing;
use crate::upstream::transport::Transport;
use arc_swap::ArcSwapOption;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use canon::{Fault, FaultKind};
use http::header::{AUTHORIZATION, CONTENT_TYPE};
use http::{HeaderValue, Method, Request, Uri};
use http_body_util::{BodyExt, Limited};
use serde_json::Value;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::Mutex;

/// A token is renewed this long before its end, while calls still use it.
const EARLY: Duration = Duration::from_secs(300);
/// A token with less than this left is used no more.
const LAST: Duration = Duration::from_secs(20);
/// What a token is taken to last where its issuer does not say.
const UNSAID: Duration = Duration::from_secs(600);
/// Longest wait for the identity provider.
const PATIENCE: Duration = Duration::from_secs(10);
/// Largest answer of an identity provider, in bytes.
const MOST: usize = 64 * 1024;

/// What is sent for a token: form fields, made anew each time.
pub(super) type Form = Vec<(&'static str, String)>;

/// Makes the form.
pub(super) type MakeForm = Box<dyn Fn() -> Result<Form, Fault> + Send + Sync>;

/// A token and its end.
struct Token {
    header: HeaderValue,
    ends: Instant,
}

/// The tokens of one account.
pub(super) struct Tokens {
    transport: Transport,
    url: Uri,
    form: MakeForm,
    now: ArcSwapOption<Token>,
    asking: Mutex<()>,
}

impl Tokens {
    /// Tokens that `url` gives for what `form` makes.
    ///
    /// # Errors
    /// When `url` is no address.
    pub(super) fn new(transport: &Transport, url: &str, form: MakeForm) -> Result<Self, Fault> {
        let url = url.parse::<Uri>().ok().filter(|url| url.host().is_some() && url.scheme().is_some());
        let url = url.ok_or_else(|| {
            Fault::gateway(FaultKind::Internal, "`login.token_url` is no address: write it like `https://…/token`")
        })?;
        Ok(Self { transport: transport.clone(), url, form, now: ArcSwapOption::empty(), asking: Mutex::new(()) })
    }

    /// The `Authorization` header of now.
    async fn header(&self) -> Result<HeaderValue, Fault> {
        let (good, early) = self.kept();
        if let Some(header) = good.filter(|_| !early) {
            return Ok(header);
        }
        // One asks; the others go on with what is still good, and wait only where nothing is.
        let Ok(_asking) = self.asking.try_lock() else {
            if let (Some(header), _) = self.kept() {
                return Ok(header);
            }
            let _waited = self.asking.lock().await;
            return match self.kept() {
                (Some(header), _) => Ok(header),
                (None, _) => self.renew().await,
            };
        };
        match (self.renew().await, self.kept().0) {
            (Err(_), Some(header)) => Ok(header),
            (renewed, _) => renewed,
        }
    }

    /// The token that is kept, while it is good, and whether it is time for another.
    fn kept(&self) -> (Option<HeaderValue>, bool) {
        match self.now.load_full() {
            Some(token) => {
                let left = token.ends.saturating_duration_since(Instant::now());
                ((left > LAST).then(|| token.header.clone()), left <= EARLY)
            }
            None => (None, true),
        }
    }

    async fn renew(&self) -> Result<HeaderValue, Fault> {
        let asked = Instant::now();
        let late = || Fault::provider(FaultKind::ConnectTimeout, format!("no token from `{}` in time", self.host()));
        let (header, lasts) = tokio::time::timeout(PATIENCE, self.ask()).await.unwrap_or_else(|_| Err(late()))?;
        self.now.store(Some(Arc::new(Token { header: header.clone(), ends: asked + lasts })));
        Ok(header)
    }

    fn host(&self) -> &str {
        self.url.host().unwrap_or_default()
    }

    async fn ask(&self) -> Result<(HeaderValue, Duration), Fault> {
        let pairs: Vec<String> =
            (self.form)()?.iter().map(|(name, value)| format!("{name}={}", form_encoded(value))).collect();
        let mut request = Request::new(Outgoing::from(Bytes::from(pairs.join("&"))));
        *request.method_mut() = Method::POST;
        *request.uri_mut() = self.url.clone();
        request.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/x-www-form-urlencoded"));
        let (head, body) = self.transport.send(request).await?.into_parts();
        let broken = || Fault::provider(FaultKind::Malformed, format!("`{}` gave no readable token", self.host()));
        let body = Limited::new(body, MOST).collect().await.map_err(|_| broken())?.to_bytes();
        let said: Value = serde_json::from_slice(&body).unwrap_or_default();
        if !head.status.is_success() {
            // The code only: the description may hold a piece of what we sent.
            let code = said.get("error").and_then(Value::as_str).unwrap_or("no reason given");
            let message = format!("`{}` gave no token: status {}, {code}", self.host(), head.status.as_u16());
            let kind = if head.status.is_server_error() { FaultKind::Server } else { FaultKind::Unauthenticated };
            return Err(Fault::provider(kind, message));
        }
        let token = said.get("access_token").and_then(Value::as_str).ok_or_else(broken)?;
        let seconds = said.get("expires_in").and_then(|lasts| {
            // Azure's older endpoints say it as a string.
            lasts.as_u64().or_else(|| lasts.as_str()?.parse().ok())
        });
        Ok((value(&format!("Bearer {token}"))?, seconds.map_or(UNSAID, Duration::from_secs)))
    }
}

impl Sign for Tokens {
    fn sign<'a>(&'a self, request: &'a mut Request<Outgoing>, _body: &'a Bytes) -> BoxFuture<'a, Result<(), Fault>> {
        Box::pin(async move {
            let header = self.header().await?;
            request.headers_mut().insert(AUTHORIZATION, header);
            Ok(())
        })
    }

    fn disbelieved(&self) -> bool {
        self.now.store(None);
        true
    }
}

/// A value of a form (`application/x-www-form-urlencoded`): everything but letters, digits and `-._~` is escaped.
fn form_encoded(text: &str) -> String {
    text.bytes().fold(String::with_capacity(text.len()), |mut out, byte| {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            out.push(char::from(byte));
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
        out
    })
}

/// The bytes between the lines of a PEM block.
pub(super) fn pem(text: &str) -> Option<Vec<u8>> {
    let inner: String = text.lines().map(str::trim).filter(|line| !line.starts_with("-----")).collect();
    STANDARD.decode(inner).ok().filter(|bytes| !bytes.is_empty())
}

#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "tasks of a test end with its runtime")]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicU64, Ordering};
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;

    /// An identity provider on loopback: `lasts` seconds per token, counted.
    async fn issuer(lasts: u64) -> (String, Arc<AtomicU64>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let url = format!("http://{}/token", listener.local_addr().expect("an address"));
        let asked = Arc::new(AtomicU64::new(0));
        let counted = Arc::clone(&asked);
        tokio::spawn(async move {
            while let Ok((mut socket, _)) = listener.accept().await {
                let counted = Arc::clone(&counted);
                tokio::spawn(async move {
                    let mut heard = [0_u8; 2048];
                    while socket.read(&mut heard).await.is_ok_and(|read| read > 0) {
                        let serial = counted.fetch_add(1, Ordering::SeqCst) + 1;
                        let body = format!("{{\"access_token\":\"t-{serial}\",\"expires_in\":{lasts}}}");
                        let answer = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{body}", body.len());
                        let _ = socket.write_all(answer.as_bytes()).await;
                    }
                });
            }
        });
        (url, asked)
    }

    fn tokens(url: &str) -> Tokens {
        let form: MakeForm = Box::new(|| Ok(vec![("grant_type", "client credentials/ü".to_owned())]));
        Tokens::new(&Transport::new(Duration::from_secs(5)), url, form).expect("an address")
    }

    #[tokio::test]
    async fn a_token_is_asked_for_once_by_many_and_again_when_it_is_disbelieved() {
        let (url, asked) = issuer(3600).await;
        let tokens = Arc::new(tokens(&url));
        let calls: Vec<_> = (0..50)
            .map(|_| {
                tokio::spawn({
                    let tokens = Arc::clone(&tokens);
                    async move { tokens.header().await.expect("a token") }
                })
            })
            .collect();
        for call in calls {
            assert_eq!(call.await.expect("no panic"), "Bearer t-1");
        }
        assert_eq!(asked.load(Ordering::SeqCst), 1);
        tokens.disbelieved();
        assert_eq!(tokens.header().await.expect("a token"), "Bearer t-2");
    }

    #[tokio::test]
    async fn a_token_near_its_end_is_renewed_and_used_while_good() {
        let (url, asked) = issuer(60).await;
        let tokens = tokens(&url);
        assert_eq!(tokens.header().await.expect("a token"), "Bearer t-1");
        assert_eq!(tokens.header().await.expect("a token"), "Bearer t-2");
        assert_eq!(asked.load(Ordering::SeqCst), 2);
        // The issuer is gone: what is still good is used.
        let gone = Tokens { url: "http://127.0.0.1:9/token".parse().expect("an address"), ..tokens };
        assert_eq!(gone.header().await.expect("a token"), "Bearer t-2");
        gone.disbelieved();
        assert_eq!(gone.header().await.expect_err("nobody there").kind, FaultKind::Connect);
    }

    #[test]
    fn forms_are_escaped_and_pem_is_read() {
        assert_eq!(form_encoded("a b/ü~"), "a%20b%2F%C3%BC~");
        assert_eq!(pem("-----BEGIN X-----\nAQID\n-----END X-----\n"), Some(vec![1, 2, 3]));
        assert_eq!(pem("-----BEGIN X-----\n-----END X-----\n"), None);
    }
}
