//! The provider's remote control, below `/__`: read and clear the log, set the script, go out for a while.
//!
//! | call | effect |
//! |---|---|
//! | `GET /__health` | 200 once it serves; `{"open": requests not over yet}` |
//! | `GET /__script`, `PUT /__script` | reads the script; sets it, every counter at 0 |
//! | `GET /__log`, `DELETE /__log` | one JSON line per request; forgets them |
//! | `PUT /__outage?ms=N` | closes the port and resets every connection, for N milliseconds |

use super::body::Body;
use super::script::{Running, Script};
use super::serve::{Shared, set};
use bytes::Bytes;
use hyper::header::CONTENT_TYPE;
use hyper::http::request::Parts;
use hyper::{Response, StatusCode};
use serde_json::json;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

/// Answers a control call.
pub(super) fn answer(shared: &Shared, parts: &Parts, body: &[u8]) -> Response<Body> {
    match (parts.method.as_str(), parts.uri.path()) {
        ("GET", "/__health") => {
            text(200, "application/json", json!({"open": shared.open.load(Ordering::Acquire)}).to_string())
        }
        ("GET", "/__script") => {
            let (running, _) = shared.running();
            text(200, "application/json", json!(running.script).to_string())
        }
        ("PUT", "/__script") => match serde_json::from_slice::<Script>(body) {
            Ok(script) => {
                shared.run(Running::new(script));
                text(200, "application/json", "{}".to_owned())
            }
            Err(error) => text(400, "text/plain", format!("the script is wrong: {error}\n")),
        },
        ("GET", "/__log") => match shared.log.lost() {
            Some(why) => text(500, "text/plain", format!("the log file is not complete: {why}\n")),
            None => {
                let rows = shared.log.records();
                let lines: String = rows.iter().map(|row| format!("{}\n", json!(row))).collect();
                text(200, "application/x-ndjson", lines)
            }
        },
        ("DELETE", "/__log") => {
            shared.log.clear();
            text(200, "application/json", "{}".to_owned())
        }
        ("PUT", "/__outage") => {
            let wanted = parts.uri.query().and_then(|query| query.strip_prefix("ms=")).and_then(|ms| ms.parse().ok());
            match wanted {
                Some(ms) => {
                    shared.outage.send_replace(Some(Instant::now() + Duration::from_millis(ms)));
                    text(200, "application/json", "{}".to_owned())
                }
                None => text(400, "text/plain", "say how long: `PUT /__outage?ms=N`\n".to_owned()),
            }
        }
        _ => text(404, "text/plain", "no such control call\n".to_owned()),
    }
}

fn text(status: u16, mime: &str, body: String) -> Response<Body> {
    let mut response = Response::new(Body::whole(Bytes::from(body)));
    *response.status_mut() = StatusCode::from_u16(status).unwrap_or_default();
    set(response.headers_mut(), CONTENT_TYPE, mime);
    response
}
