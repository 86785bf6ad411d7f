//! The listener of the admin API: few connections, small bodies, every operation on a thread that may wait.

use super::operation::{Problem, Route};
use super::{Admin, OPERATIONS, access, console, openapi, params};
use ::http::header::{ALLOW, CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, HeaderMap, HeaderValue};
use ::http::header::{REFERRER_POLICY, WWW_AUTHENTICATE, X_CONTENT_TYPE_OPTIONS};
use ::http::{Method, Request, Response, StatusCode, request};
use bytes::Bytes;
use gateway::clock;
use http_body_util::{BodyExt, Full, LengthLimitError, Limited};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use serde_json::Value;
use std::convert::Infallible;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;

/// Largest body, in bytes.
const BODY: usize = 1024 * 1024;
/// Longest time to receive a head or a body.
const PATIENCE: Duration = Duration::from_secs(10);
/// Most connections.
const CONNECTIONS: usize = 256;
/// Most operations under way; the others wait.
const AT_ONCE: usize = 16;

/// Serves `admin` on `socket` until the gateway stops.
pub(crate) fn serve(admin: Arc<Admin>, socket: TcpListener) {
    let (tasks, connections) = (admin.gateway.tasks.clone(), Arc::new(Semaphore::new(CONNECTIONS)));
    let working = Arc::new(Semaphore::new(AT_ONCE));
    let stopping = tasks.clone();
    tasks.clone().spawn(async move {
        loop {
            let Ok(place) = Arc::clone(&connections).acquire_owned().await else { return };
            let accepted = tokio::select! {
                biased;
                () = stopping.stopped() => return,
                accepted = socket.accept() => accepted,
            };
            match accepted {
                Ok((stream, peer)) => {
                    let connection = connection(Arc::clone(&admin), Arc::clone(&working), stream, peer);
                    tasks.spawn(async move {
                        connection.await;
                        drop(place);
                    });
                }
                Err(error) => {
                    // Out of file handles, usually.
                    tracing::warn!(%error, "a connection to the admin API could not be accepted");
                    tokio::time::sleep(Duration::from_millis(20)).await;
                }
            }
        }
    });
}

async fn connection(admin: Arc<Admin>, working: Arc<Semaphore>, stream: TcpStream, peer: SocketAddr) {
    // What cannot be set costs 40 ms at most.
    let _ = stream.set_nodelay(true);
    let tasks = admin.gateway.tasks.clone();
    let service = service_fn(move |request| {
        let (admin, working) = (Arc::clone(&admin), Arc::clone(&working));
        async move { Ok::<_, Infallible>(exchange(admin, working, request, peer).await) }
    });
    let mut builder = http1::Builder::new();
    builder.timer(TokioTimer::new()).header_read_timeout(PATIENCE);
    let mut connection = pin!(builder.serve_connection(TokioIo::new(stream), service));
    let ended = tokio::select! {
        ended = &mut connection => ended,
        () = tasks.stopped() => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = ended {
        tracing::debug!(%error, "a connection to the admin API ended early");
    }
}

async fn exchange(
    admin: Arc<Admin>,
    working: Arc<Semaphore>,
    request: Request<Incoming>,
    peer: SocketAddr,
) -> Response<Full<Bytes>> {
    let (head, body) = request.into_parts();
    if console::has(head.uri.path()) && matches!(head.method, Method::GET | Method::POST) {
        return page(admin, working, &head, body, peer).await;
    }
    let answered = answer(admin, working, &head, body, peer).await;
    let (status, value) = answered.unwrap_or_else(|problem| {
        let status = problem.status;
        (status, serde_json::to_value(problem.told()).unwrap_or_default())
    });
    let mut response = Response::new(Full::new(Bytes::from(value.to_string())));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    // A secret is shown once; nobody may keep it on the way.
    response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    if status == StatusCode::METHOD_NOT_ALLOWED
        && let Ok(allowed) = HeaderValue::from_str(&methods(head.uri.path()).join(", "))
    {
        response.headers_mut().insert(ALLOW, allowed);
    }
    response
}

/// A page of the console.
async fn page(
    admin: Arc<Admin>,
    working: Arc<Semaphore>,
    head: &request::Parts,
    body: Incoming,
    peer: SocketAddr,
) -> Response<Full<Bytes>> {
    let path = head.uri.path();
    let drawn = draw(admin, working, head, body, peer).await;
    let (status, html) = drawn.unwrap_or_else(|problem| (problem.status, console::refusal(&problem, path)));
    let mut response = Response::new(Full::new(Bytes::from(html)));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    for (name, value) in [
        (CONTENT_TYPE, "text/html; charset=utf-8"),
        (CACHE_CONTROL, "no-store"),
        (CONTENT_SECURITY_POLICY, console::POLICY),
        (REFERRER_POLICY, "same-origin"),
        (X_CONTENT_TYPE_OPTIONS, "nosniff"),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
    if status == StatusCode::UNAUTHORIZED {
        // A browser asks for a name and a password then: the name is anything, the password a key of the admin API.
        headers.insert(WWW_AUTHENTICATE, HeaderValue::from_static("Basic realm=\"autarky\", charset=\"UTF-8\""));
    }
    response
}

async fn draw(
    admin: Arc<Admin>,
    working: Arc<Semaphore>,
    head: &request::Parts,
    body: Incoming,
    peer: SocketAddr,
) -> Result<(StatusCode, String), Problem> {
    let writes = head.method == Method::POST;
    let who = (&head.headers, &head.uri);
    let by = access::allow(&admin.gateway.access.ring(), who, peer.ip(), writes, clock::unix_micros())?;
    let said = if writes {
        console::check_origin(&head.headers)?;
        let body = collect(&head.headers, body, "application/x-www-form-urlencoded").await?;
        let text = std::str::from_utf8(&body).map_err(|_| Problem::invalid("the form is no UTF-8"))?;
        params::of_query(text)
    } else {
        params::of_query(head.uri.query().unwrap_or_default())
    };
    let (said, method, path) = (said.map_err(Problem::invalid)?, head.method.clone(), head.uri.path().to_owned());
    if writes {
        tracing::info!(path, by = by.as_deref().unwrap_or_default(), "a form of the console");
    }
    waiting(working, "console", move || console::answer(&admin, &method, &path, &said)).await
}

/// The methods that are answered on `path`.
fn methods(path: &str) -> Vec<&'static str> {
    let names = OPERATIONS.iter().filter(|route| route.fits(path).is_some()).map(|route| match route.method {
        Method::POST => "POST",
        _ => "GET",
    });
    if path == openapi::PATH { vec!["GET"] } else { names.collect() }
}

async fn answer(
    admin: Arc<Admin>,
    working: Arc<Semaphore>,
    head: &request::Parts,
    body: Incoming,
    peer: SocketAddr,
) -> Result<(StatusCode, Value), Problem> {
    let path = head.uri.path();
    if path == openapi::PATH && head.method == Method::GET {
        return Ok((StatusCode::OK, openapi::document()));
    }
    let found = OPERATIONS.iter().filter(|route| route.method == head.method);
    let Some((route, said)) = found.filter_map(|route| Some((route, route.fits(path)?))).next() else {
        let known = methods(path);
        let there = if known.is_empty() {
            (StatusCode::NOT_FOUND, "no_such_path")
        } else {
            (StatusCode::METHOD_NOT_ALLOWED, "wrong_method")
        };
        let message = format!("`{} {path}` is no operation of the admin API", head.method);
        return Err(Problem::new(there.0, there.1, message).hint(format!("`GET {}` lists them", openapi::PATH)));
    };
    let who = access::allow(
        &admin.gateway.access.ring(),
        (&head.headers, &head.uri),
        peer.ip(),
        route.writes(),
        clock::unix_micros(),
    )?;
    let mut pairs = params::of_query(head.uri.query().unwrap_or_default()).map_err(Problem::invalid)?;
    for (name, text) in said {
        pairs.push((name.to_owned(), params::decoded(text).map_err(Problem::invalid)?));
    }
    let body = collect(&head.headers, body, "application/json").await?;
    let done = work(admin, working, route, pairs, body).await;
    if route.writes() {
        let (by, done) =
            (who.as_deref().unwrap_or_default(), done.as_ref().map_or_else(|problem| problem.code, |_| "done"));
        tracing::info!(operation = route.name, path, by, done, "an operation of the admin API");
    }
    done
}

/// The body, which must be of the kind `wanted`.
async fn collect(headers: &HeaderMap, body: Incoming, wanted: &str) -> Result<Bytes, Problem> {
    let body = match tokio::time::timeout(PATIENCE, Limited::new(body, BODY).collect()).await {
        Ok(Ok(collected)) => collected.to_bytes(),
        Ok(Err(error)) if error.is::<LengthLimitError>() => {
            let message = format!("the body is larger than {BODY} bytes");
            return Err(Problem::new(StatusCode::PAYLOAD_TOO_LARGE, "body_too_large", message));
        }
        Ok(Err(error)) => return Err(Problem::invalid(format!("the body could not be read: {error}"))),
        Err(_) => return Err(Problem::invalid(format!("the body did not arrive within {} s", PATIENCE.as_secs()))),
    };
    // What is not called JSON could be sent by any page in a browser without it being asked first; what sends a form is
    // asked for before.
    let kind = headers.get(CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    let kind = kind.split(';').next().unwrap_or_default().trim();
    if !body.is_empty() && !kind.eq_ignore_ascii_case(wanted) {
        let message = format!("the body is `{kind}`, and only `{wanted}` is read");
        return Err(Problem::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "wrong_media_type", message));
    }
    Ok(body)
}

/// Runs an operation where it may wait.
async fn work(
    admin: Arc<Admin>,
    working: Arc<Semaphore>,
    route: &'static Route,
    pairs: params::Pairs,
    body: Bytes,
) -> Result<(StatusCode, Value), Problem> {
    let done = waiting(working, route.name, move || (route.run)(&admin, &pairs, &body)).await?;
    Ok((route.status, done?))
}

/// Runs `work` on a thread that may wait, when there is a place for it.
async fn waiting<T: Send + 'static>(
    working: Arc<Semaphore>,
    name: &'static str,
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, Problem> {
    let broke = |error: &dyn std::fmt::Display| {
        tracing::error!(%error, operation = name, "an operation of the admin API broke");
        Problem::new(StatusCode::INTERNAL_SERVER_ERROR, "internal_error", "the operation broke; the log says more")
    };
    let place = working.acquire_owned().await.map_err(|error| broke(&error))?;
    let done = tokio::task::spawn_blocking(move || {
        let _place = place;
        work()
    });
    done.await.map_err(|error| broke(&error))
}
