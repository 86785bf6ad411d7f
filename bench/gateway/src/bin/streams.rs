//! A client that times streams: `streams PORT PATH KEY BODY_FILE CONNECTIONS SECONDS [TOKENS]`, of 100 tokens where nobody says. Every
//! connection asks again as soon as its stream is over. One line of JSON: streams, chunks, failures, and microseconds (p50, p99) to the first token and from
//! the provider's sending of a token to its arrival.

use bytes::Bytes;
use gateway_bench::{now_us, upstream};
use http_body_util::{BodyExt, Full};
use hyper::Request;
use std::time::{Duration, Instant};

#[derive(Default)]
struct Heard {
    streams: u64,
    failed: u64,
    first: Vec<u64>,
    delays: Vec<u64>,
}

#[tokio::main(flavor = "current_thread")]
async fn main() {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let (words, tokens) = words.split_at(words.len().min(6));
    let [port, path, key, file, connections, seconds] = words else { panic!("see the source for the arguments") };
    let tokens = tokens.first().map_or(100, |word| word.parse().expect("a number"));
    let url = format!("http://127.0.0.1:{port}{path}");
    let body = Bytes::from(std::fs::read(file).expect("the body"));
    let end = Instant::now() + Duration::from_secs_f64(seconds.parse().expect("seconds"));
    let client = upstream::<Full<Bytes>>();
    let tasks: Vec<_> = (0..connections.parse::<usize>().expect("a number"))
        .map(|_| {
            let (client, url, key, body) = (client.clone(), url.clone(), key.clone(), body.clone());
            tokio::spawn(async move {
                let mut heard = Heard::default();
                loop {
                    let request = Request::post(&url)
                        .header("content-type", "application/json")
                        .header("authorization", format!("Bearer {key}"))
                        .body(Full::new(body.clone()))
                        .expect("a request");
                    let begun = now_us();
                    stream(client.request(request).await.ok(), begun, tokens, &mut heard).await;
                    if Instant::now() >= end {
                        break;
                    }
                }
                heard
            })
        })
        .collect();
    let mut all = Heard::default();
    for task in tasks {
        let heard = task.await.expect("no panic");
        all.streams += heard.streams;
        all.failed += heard.failed;
        all.first.extend(heard.first);
        all.delays.extend(heard.delays);
    }
    let chunks = all.delays.len();
    let at = |list: &mut Vec<u64>, share: f64| {
        list.sort_unstable();
        list.get(((list.len() as f64 - 1.0) * share).max(0.0) as usize).copied().unwrap_or(0)
    };
    println!(
        "{{\"streams\":{},\"failed\":{},\"chunks\":{chunks},\"first_p50\":{},\"first_p99\":{},\"delay_p50\":{},\"delay_p99\":{}}}",
        all.streams,
        all.failed,
        at(&mut all.first, 0.5),
        at(&mut all.first, 0.99),
        at(&mut all.delays, 0.5),
        at(&mut all.delays, 0.99)
    );
}

async fn stream(response: Option<hyper::Response<hyper::body::Incoming>>, begun: u64, expected: u64, heard: &mut Heard) {
    let Some(response) = response.filter(|response| response.status().is_success()) else {
        heard.failed += 1;
        return;
    };
    let (mut body, mut tokens, mut rest) = (response.into_body(), 0, Vec::new());
    while let Some(Ok(frame)) = body.frame().await {
        let now = now_us();
        let Ok(bytes) = frame.into_data() else { continue };
        rest.extend_from_slice(&bytes);
        let mut used = 0;
        while let Some((time, end)) = token(&rest[used..]) {
            if tokens == 0 {
                heard.first.push(now.saturating_sub(begun));
            }
            heard.delays.push(now.saturating_sub(time));
            tokens += 1;
            used += end;
        }
        rest.drain(..used);
        if rest.len() > 4096 {
            let from = rest.len() - 64;
            rest.drain(..from);
        }
    }
    heard.streams += 1;
    heard.failed += u64::from(tokens != expected);
}

/// The next `@MICROSECONDS@`, and where it ends.
fn token(text: &[u8]) -> Option<(u64, usize)> {
    let from = text.iter().position(|byte| *byte == b'@')? + 1;
    let length = text.get(from..)?.iter().position(|byte| *byte == b'@')?;
    let time = std::str::from_utf8(text.get(from..from + length)?).ok()?.parse().ok()?;
    Some((time, from + length + 1))
}
