//! Weights from a model hub over HTTPS, resumed by byte ranges. Knows one file under one address; follows redirects,
//! trusts no length a server states beyond the size that is known already, and leaves checking to its caller.

use super::{FetchError, Watch, Weights, disk};
use std::fs::{self, File};
use std::io::{Read, Write};
use std::path::Path;
use std::time::Duration;
use ureq::http::header::{CONTENT_RANGE, RANGE};
use ureq::tls::{Certificate, RootCerts, TlsConfig};
use ureq::{Agent, Body, http::Response};

/// A closed network must send us on to pip at once.
const REACH: Duration = Duration::from_secs(3);
/// One request's answer must begin by then, redirects included.
const ANSWER: Duration = Duration::from_secs(30);
/// One request's body must end by then; a slower line goes on with the next request.
const BODY: Duration = Duration::from_secs(300);
/// Requests in a row that may bring nothing new.
const PATIENCE: u32 = 3;

/// Loads the weights into `part`, going on where it stopped the last time.
pub(super) fn download(base: &str, weights: &Weights, part: &Path, watch: &dyn Watch) -> Result<(), FetchError> {
    let base = base.trim_end_matches('/');
    let tls = tls();
    reach(base, tls.clone())?;
    let url = format!("{base}/{}", weights.hub_path);
    watch.say(&format!("loading {} ({} MB) from {base}", weights.file, weights.bytes / 1_000_000));
    let agent: Agent = Agent::config_builder()
        .http_status_as_error(false)
        .tls_config(tls)
        .timeout_resolve(Some(REACH))
        .timeout_connect(Some(REACH))
        .timeout_recv_response(Some(ANSWER))
        .timeout_recv_body(Some(BODY))
        .build()
        .into();
    let (mut furthest, mut idle) = (0, 0);
    loop {
        let outcome = request(&agent, &url, weights, part, watch);
        let here = fs::metadata(part).map_or(0, |meta| meta.len());
        let reason = match outcome {
            Ok(()) if here == weights.bytes => return Ok(()),
            Ok(()) => format!("the answer ended at {here} of {} bytes", weights.bytes),
            Err(Trouble::Passing(reason)) => reason,
            Err(Trouble::Lasting(error)) => return Err(error),
        };
        idle = if here > furthest { 0 } else { idle + 1 };
        furthest = furthest.max(here);
        if idle == PATIENCE {
            return Err(away(base, reason));
        }
        watch.say(&format!("{reason}; going on from {} MB", here / 1_000_000));
    }
}

/// Why one request did not bring the rest.
enum Trouble {
    /// Another request may.
    Passing(String),
    /// None will.
    Lasting(FetchError),
}

/// Whom to trust: the machine's own certificates, since a company's network may have one of its own in between; the
/// browsers' usual ones where the machine has none.
fn tls() -> TlsConfig {
    let own: Vec<_> = rustls_native_certs::load_native_certs().certs;
    let own: Vec<_> = own.iter().map(|certificate| Certificate::from_der(certificate).to_owned()).collect();
    let roots = if own.is_empty() { RootCerts::WebPki } else { RootCerts::from(own) };
    TlsConfig::builder().root_certs(roots).build()
}

/// Any answer at all, whatever its status, says that the hub can be reached.
fn reach(base: &str, tls: TlsConfig) -> Result<(), FetchError> {
    let config = Agent::config_builder().http_status_as_error(false).max_redirects(0).tls_config(tls);
    let agent: Agent = config.timeout_global(Some(REACH)).build().into();
    agent.head(base).call().map(drop).map_err(|error| away(base, format!("not reachable ({error})")))
}

/// One request for what is still missing.
fn request(agent: &Agent, url: &str, weights: &Weights, part: &Path, watch: &dyn Watch) -> Result<(), Trouble> {
    let have = fs::metadata(part).map_or(0, |meta| meta.len());
    if have == weights.bytes {
        return Ok(());
    }
    let mut call = agent.get(url);
    if have > 0 {
        call = call.header(RANGE, format!("bytes={have}-"));
    }
    let answer = call.call().map_err(|error| Trouble::Passing(error.to_string()))?;
    let start = match answer.status().as_u16() {
        200 => 0, // the whole file, also where a range was asked for: begin anew
        206 if resumes_at(&answer, have) => have,
        206 | 416 => {
            fs::remove_file(part).map_err(|source| Trouble::Lasting(disk(part)(source)))?;
            return Err(Trouble::Passing("the hub's range does not fit what is here".to_owned()));
        }
        status @ (408 | 429 | 500..) => return Err(Trouble::Passing(format!("answered {status}"))),
        status => return Err(Trouble::Lasting(away(url, format!("answered {status}")))),
    };
    append(answer, start, weights, part, watch)
}

/// Whether a partial answer begins where we stopped.
fn resumes_at(answer: &Response<Body>, have: u64) -> bool {
    let said = answer.headers().get(CONTENT_RANGE).and_then(|value| value.to_str().ok());
    said.and_then(|range| range.strip_prefix("bytes ")?.split_once('-')?.0.parse().ok()) == Some(have)
}

/// Writes an answer's body behind the first `start` bytes of `part`.
fn append(
    answer: Response<Body>,
    start: u64,
    weights: &Weights,
    part: &Path,
    watch: &dyn Watch,
) -> Result<(), Trouble> {
    let lasting = |source| Trouble::Lasting(disk(part)(source));
    let mut file = File::options().create(true).append(true).open(part).map_err(lasting)?;
    file.set_len(start).map_err(lasting)?;
    let mut body = answer.into_body().into_reader();
    let mut chunk = vec![0; 1 << 17];
    let mut done = start;
    loop {
        if !watch.go_on() {
            return Err(Trouble::Lasting(FetchError::Stopped(weights.file)));
        }
        let n = body.read(&mut chunk).map_err(|error| Trouble::Passing(error.to_string()))?;
        if n == 0 {
            return Ok(());
        }
        file.write_all(&chunk[..n]).map_err(lasting)?;
        done += n as u64;
        if done > weights.bytes {
            fs::remove_file(part).map_err(lasting)?;
            return Err(Trouble::Passing(format!("the answer is longer than {} bytes", weights.bytes)));
        }
        watch.bytes(done, weights.bytes);
    }
}

/// The hub at `base` did not deliver.
fn away(base: &str, reason: String) -> FetchError {
    FetchError::Hub { base: base.to_owned(), reason }
}
