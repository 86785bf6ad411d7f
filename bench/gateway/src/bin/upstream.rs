//! A provider that costs next to nothing: `upstream PORT PACE_MS [FAULT_EVERY [TOKENS]]`. It looks at no more than whether a
//! stream is wanted, and answers the same tokens, 100 where nobody says. Each streamed token says when it left: `@MICROSECONDS@`. A question that
//! holds `!400` is refused; of the others every FAULT_EVERY-th meets one of five faults in turn (0: none). `GET /counts`
//! tells what it did, by kind.

use gateway_bench::{Body, arguments, now_us, serve, whole};
use http_body_util::{BodyExt, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper::{Request, Response};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

const TOKENS: usize = 100;

/// Of how many of a request's first bytes a `!400` is looked for.
const LOOK: usize = 512;

/// What it did.
#[derive(Default)]
struct Counts {
    requests: AtomicU64,
    refused: AtomicU64,
    faults: AtomicU64,
    whole: AtomicU64,
    streams: AtomicU64,
    left: AtomicU64,
}

struct Provider {
    pace: Duration,
    fault_every: u64,
    tokens: usize,
    counts: Counts,
}

fn main() {
    let (port, pace) = arguments();
    let provider = Provider {
        pace: Duration::from_millis(pace.parse().unwrap_or(10)),
        fault_every: std::env::args().nth(3).and_then(|word| word.parse().ok()).unwrap_or(0),
        tokens: std::env::args().nth(4).and_then(|word| word.parse().ok()).unwrap_or(TOKENS),
        counts: Counts::default(),
    };
    let provider = Arc::new(provider);
    serve(port, move |request| answer(request, Arc::clone(&provider)));
}

/// The fault, if it is this request's turn: an HTTP status, or 0 for a connection that is cut in the middle.
fn fault(provider: &Provider) -> Option<u16> {
    let number = provider.counts.requests.fetch_add(1, Ordering::Relaxed) + 1;
    if provider.fault_every == 0 || number % provider.fault_every != 0 {
        return None;
    }
    provider.counts.faults.fetch_add(1, Ordering::Relaxed);
    Some([500, 503, 0, 429, 529][(number / provider.fault_every % 5) as usize])
}

fn refusal(status: u16) -> Response<Body> {
    let mut response = Response::new(whole(format!(r#"{{"error":{{"type":"bench","message":"{status}, as asked"}}}}"#)));
    *response.status_mut() = http::StatusCode::from_u16(status).unwrap_or_default();
    response
}

fn counts(counts: &Counts) -> Response<Body> {
    let of = |count: &AtomicU64| count.load(Ordering::Relaxed);
    let Counts { requests, refused, faults, whole: wholes, streams, left } = counts;
    let told = [("requests", requests), ("refused", refused), ("faults", faults), ("whole", wholes), ("streams", streams), ("left", left)];
    let told: Vec<String> = told.iter().map(|(name, count)| format!("\"{name}\":{}", of(count))).collect();
    Response::new(whole(format!("{{{}}}", told.join(","))))
}

async fn answer(request: Request<Incoming>, provider: Arc<Provider>) -> Response<Body> {
    if request.uri().path() == "/counts" {
        return counts(&provider.counts);
    }
    let fault = fault(&provider);
    let anthropic = request.uri().path().ends_with("/messages");
    let body = request.into_body().collect().await.map(|body| body.to_bytes()).unwrap_or_default();
    let has = |word: &[u8]| body.windows(word.len()).any(|seen| seen == word);
    // The field stands near an end, so that long bodies are not searched through.
    let ends = [body.get(..256.min(body.len())), body.get(body.len().saturating_sub(256)..)];
    let streamed = ends.into_iter().flatten().any(|end| {
        [b"\"stream\":true".as_slice(), b"\"stream\": true"].iter().any(|word| end.windows(word.len()).any(|seen| seen == *word))
    }) || (body.len() < 4096 && (has(b"\"stream\":true") || has(b"\"stream\": true")));
    if body.get(..LOOK.min(body.len())).is_some_and(|start| start.windows(4).any(|seen| seen == b"!400")) {
        provider.counts.refused.fetch_add(1, Ordering::Relaxed);
        return refusal(400);
    }
    let cut = match fault {
        Some(0) => true,
        Some(status) => return refusal(status),
        None => false,
    };
    let (mime, body) = if streamed {
        ("text/event-stream", stream(anthropic, provider, cut))
    } else if cut {
        // Less than it says that it is.
        ("application/json", BodyExt::boxed(StreamBody::new(futures_util::stream::iter([Err::<Frame<bytes::Bytes>, _>("cut".into())]))))
    } else {
        provider.counts.whole.fetch_add(1, Ordering::Relaxed);
        ("application/json", whole(unary(anthropic)))
    };
    let mut response = Response::new(body);
    response.headers_mut().insert("content-type", http::HeaderValue::from_static(mime));
    response
}

fn unary(anthropic: bool) -> String {
    let words = "lorem ipsum ".repeat(TOKENS / 2);
    if anthropic {
        format!(r#"{{"id":"msg_bench","type":"message","role":"assistant","model":"bench","content":[{{"type":"text","text":"{words}"}}],"stop_reason":"end_turn","stop_sequence":null,"usage":{{"input_tokens":200,"output_tokens":100}}}}"#)
    } else {
        format!(r#"{{"id":"chatcmpl-bench","object":"chat.completion","created":1700000000,"model":"bench","choices":[{{"index":0,"message":{{"role":"assistant","content":"{words}","refusal":null}},"logprobs":null,"finish_reason":"stop"}}],"usage":{{"prompt_tokens":200,"completion_tokens":100,"total_tokens":300}}}}"#)
    }
}

fn events(anthropic: bool, at: usize, tokens: usize) -> String {
    let token = format!("@{}@", now_us());
    if anthropic {
        let event = |name: &str, rest: &str| format!("event: {name}\ndata: {{\"type\":\"{name}\"{rest}}}\n\n");
        let first = event("message_start", r#","message":{"id":"msg_bench","type":"message","role":"assistant","model":"bench","content":[],"stop_reason":null,"stop_sequence":null,"usage":{"input_tokens":200,"output_tokens":1}}"#)
            + &event("content_block_start", r#","index":0,"content_block":{"type":"text","text":""}"#);
        let delta = event("content_block_delta", &format!(r#","index":0,"delta":{{"type":"text_delta","text":"{token}"}}"#));
        let last = event("content_block_stop", r#","index":0"#)
            + &event("message_delta", r#","delta":{"stop_reason":"end_turn","stop_sequence":null},"usage":{"output_tokens":100}"#)
            + &event("message_stop", "");
        return match at {
            0 => first + &delta,
            _ if at + 1 == tokens => delta + &last,
            _ => delta,
        };
    }
    let chunk = |delta: &str, finish: &str, more: &str| {
        format!("data: {{\"id\":\"chatcmpl-bench\",\"object\":\"chat.completion.chunk\",\"created\":1700000000,\"model\":\"bench\",\"choices\":[{{\"index\":0,\"delta\":{delta},\"logprobs\":null,\"finish_reason\":{finish}}}]{more}}}\n\n")
    };
    let delta = chunk(&format!("{{\"content\":\"{token}\"}}"), "null", "");
    match at {
        0 => chunk("{\"role\":\"assistant\",\"content\":\"\"}", "null", "") + &delta,
        _ if at + 1 == tokens => {
            let usage = "data: {\"id\":\"chatcmpl-bench\",\"object\":\"chat.completion.chunk\",\"created\":1700000000,\"model\":\"bench\",\"choices\":[],\"usage\":{\"prompt_tokens\":200,\"completion_tokens\":100,\"total_tokens\":300}}\n\ndata: [DONE]\n\n";
            delta + &chunk("{}", "\"stop\"", "") + usage
        }
        _ => delta,
    }
}

fn stream(anthropic: bool, provider: Arc<Provider>, cut: bool) -> Body {
    let (tell, mut told) = tokio::sync::mpsc::channel::<Result<bytes::Bytes, &'static str>>(4);
    tokio::spawn(async move {
        let mut clock = tokio::time::interval(provider.pace.max(Duration::from_millis(1)));
        for at in 0..provider.tokens {
            clock.tick().await;
            if cut && at == provider.tokens / 2 {
                let _ = tell.send(Err("cut")).await;
                return;
            }
            if tell.send(Ok(events(anthropic, at, provider.tokens).into())).await.is_err() {
                provider.counts.left.fetch_add(1, Ordering::Relaxed);
                return;
            }
        }
        provider.counts.streams.fetch_add(1, Ordering::Relaxed);
    });
    let frames = futures(move |cx| told.poll_recv(cx));
    BodyExt::boxed(StreamBody::new(frames))
}

type Polled = std::task::Poll<Option<Result<bytes::Bytes, &'static str>>>;

/// A stream of frames from a poll function.
fn futures(
    mut poll: impl FnMut(&mut std::task::Context<'_>) -> Polled + Send + Sync + Unpin + 'static,
) -> impl futures_core::Stream<Item = Result<Frame<bytes::Bytes>, Box<dyn std::error::Error + Send + Sync>>> + Send + Sync + Unpin {
    futures_util::stream::poll_fn(move |cx| poll(cx).map(|told| told.map(|told| told.map(Frame::data).map_err(Into::into))))
}
