//! A provider that costs next to nothing: `upstream PORT PACE_MS [TOKENS]`. It looks at no more than whether a stream is
//! wanted, and answers the same tokens, 100 where nobody says. Each streamed token says when it left: `@MICROSECONDS@`.

use gateway_bench::{Body, arguments, now_us, serve, whole};
use http_body_util::{BodyExt, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper::{Request, Response};
use std::time::Duration;

const TOKENS: usize = 100;

fn main() {
    let (port, pace) = arguments();
    let pace = Duration::from_millis(pace.parse().unwrap_or(10));
    let tokens = std::env::args().nth(3).and_then(|word| word.parse().ok()).unwrap_or(TOKENS);
    serve(port, move |request| answer(request, pace, tokens));
}

async fn answer(request: Request<Incoming>, pace: Duration, tokens: usize) -> Response<Body> {
    let anthropic = request.uri().path().ends_with("/messages");
    let body = request.into_body().collect().await.map(|body| body.to_bytes()).unwrap_or_default();
    let has = |word: &[u8]| body.windows(word.len()).any(|seen| seen == word);
    // The field stands near an end, so that long bodies are not searched through.
    let ends = [body.get(..256.min(body.len())), body.get(body.len().saturating_sub(256)..)];
    let streamed = ends.into_iter().flatten().any(|end| {
        [b"\"stream\":true".as_slice(), b"\"stream\": true"].iter().any(|word| end.windows(word.len()).any(|seen| seen == *word))
    }) || (body.len() < 4096 && (has(b"\"stream\":true") || has(b"\"stream\": true")));
    let (mime, body) = if streamed { ("text/event-stream", stream(anthropic, pace, tokens)) } else { ("application/json", whole(unary(anthropic))) };
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

fn stream(anthropic: bool, pace: Duration, tokens: usize) -> Body {
    let (tell, mut told) = tokio::sync::mpsc::channel::<bytes::Bytes>(4);
    tokio::spawn(async move {
        let mut clock = tokio::time::interval(pace.max(Duration::from_millis(1)));
        for at in 0..tokens {
            clock.tick().await;
            if tell.send(events(anthropic, at, tokens).into()).await.is_err() {
                return;
            }
        }
    });
    let frames = futures(move |cx| told.poll_recv(cx));
    BodyExt::boxed(StreamBody::new(frames))
}

type Polled = std::task::Poll<Option<bytes::Bytes>>;

/// A stream of frames from a poll function.
fn futures(
    mut poll: impl FnMut(&mut std::task::Context<'_>) -> Polled + Send + Sync + Unpin + 'static,
) -> impl futures_core::Stream<Item = Result<Frame<bytes::Bytes>, Box<dyn std::error::Error + Send + Sync>>> + Send + Sync + Unpin {
    futures_util::stream::poll_fn(move |cx| poll(cx).map(|bytes| bytes.map(|bytes| Ok(Frame::data(bytes)))))
}
