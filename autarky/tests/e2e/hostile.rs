//! Clients that mean ill, or cannot do better: each is refused in its own dialect and in time; none makes the server
//! fail, hang or fall.

use crate::speak::{Wanted, speak};
use crate::stage::{ANONYMOUS, Stage, leg, question};
use canon::wire::DIALECTS;
use futures_util::{StreamExt, stream};
use serde_json::{Value, json};
use std::net::SocketAddr;
use std::time::{Duration, Instant};
use testkit::grammar::grammar;
use testkit::provider::{Provider, Script};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

/// The longest that a refusal may take: a body has 30 seconds to arrive.
const IN_TIME: Duration = Duration::from_secs(45);

/// What came back on a socket.
#[derive(Debug)]
struct Back {
    /// The status; `None`: the connection was closed without one.
    status: Option<u16>,
    body: Vec<u8>,
}

/// Sends `bytes`, then nothing more (`close`: and says so), and reads until the server has answered or closed.
async fn send(addr: SocketAddr, pieces: &[&[u8]], pause: Duration, close: bool) -> Back {
    let mut socket = TcpStream::connect(addr).await.expect("the server takes connections");
    for piece in pieces {
        // A server that has refused already may have closed.
        if socket.write_all(piece).await.is_err() {
            break;
        }
        if !pause.is_zero() {
            tokio::time::sleep(pause).await;
        }
    }
    if close {
        let _ = socket.shutdown().await;
    }
    let mut said = Vec::new();
    let mut buffer = vec![0; 16 * 1024];
    while let Ok(length @ 1..) = socket.read(&mut buffer).await {
        said.extend_from_slice(&buffer[..length]);
        if is_whole(&said) {
            break;
        }
    }
    let status =
        said.strip_prefix(b"HTTP/1.1 ").and_then(|rest| std::str::from_utf8(rest.get(..3)?).ok()?.parse().ok());
    let head = said.windows(4).position(|window| window == b"\r\n\r\n").map_or(said.len(), |at| at + 4);
    Back { status, body: said.split_off(head) }
}

/// Whether an answer with a length is all there.
fn is_whole(said: &[u8]) -> bool {
    let Some(head) = said.windows(4).position(|window| window == b"\r\n\r\n") else { return false };
    let text = String::from_utf8_lossy(&said[..head]).to_ascii_lowercase();
    let length = text.lines().find_map(|line| line.strip_prefix("content-length: ")?.trim().parse::<usize>().ok());
    length.is_some_and(|length| said.len() >= head + 4 + length)
}

fn post(path: &str, body: &[u8]) -> Vec<u8> {
    let head = format!(
        "POST {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-type: application/json\r\n\
         content-length: {}\r\n\r\n",
        body.len()
    );
    [head.as_bytes(), body].concat()
}

/// Whether `body` is an error as `dialect` writes it.
fn is_error_of(dialect: &str, body: &[u8]) -> bool {
    let Ok(body) = serde_json::from_slice::<Value>(body) else { return false };
    // Two wires say it at the top.
    let flat = matches!(dialect, "bedrock-converse" | "cohere-v2");
    let error = if flat { &body } else { &body["error"] };
    error["message"].is_string()
        && match dialect {
            "anthropic-messages" => body["type"] == "error" && error["type"].is_string(),
            "bedrock-converse" => error["__type"].is_string(),
            "cohere-v2" => error["code"].is_string(),
            "gemini" => error["status"].is_string() && error["code"].is_u64(),
            _ => error["type"].is_string() && error.get("code").is_some(),
        }
}

/// A number that the last one and a seed decide.
fn dice(state: &mut u64) -> u64 {
    *state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
    *state >> 33
}

/// Values where others are expected, as JSON text.
fn ill(state: &mut u64) -> String {
    let deep = |levels: usize| "[".repeat(levels) + &"]".repeat(levels);
    let choices = [
        "null".to_owned(),
        "-1".to_owned(),
        "1e400".to_owned(),
        "18446744073709551616".to_owned(),
        "-0.0000001".to_owned(),
        "true".to_owned(),
        "\"\"".to_owned(),
        "\"\\ud800\"".to_owned(),
        "\"\\u0000\"".to_owned(),
        format!("\"{}\"", "x".repeat(100_000)),
        "{}".to_owned(),
        "[]".to_owned(),
        "[null]".to_owned(),
        "{\"type\":\"none\"}".to_owned(),
        "{\"\":{\"\":{\"\":1}}}".to_owned(),
        deep(40),
        deep(400),
    ];
    choices[usize::try_from(dice(state)).expect("small") % choices.len()].clone()
}

/// Every place in a value.
fn places(value: &Value, at: &str, out: &mut Vec<String>) {
    out.push(at.to_owned());
    match value {
        Value::Object(fields) => fields.iter().for_each(|(key, value)| places(value, &format!("{at}/{key}"), out)),
        Value::Array(items) => {
            items.iter().enumerate().for_each(|(index, value)| places(value, &format!("{at}/{index}"), out));
        }
        _ => {}
    }
}

/// A good body with an ill value at some place.
fn twisted(body: &Value, state: &mut u64) -> Vec<u8> {
    let mut all = Vec::new();
    places(body, "", &mut all);
    let place = &all[usize::try_from(dice(state)).expect("small") % all.len()];
    let mut body = body.clone();
    if let Some(target) = body.pointer_mut(place) {
        *target = json!("\u{1}here\u{1}");
    }
    body.to_string().replace("\"\\u0001here\\u0001\"", &ill(state)).into_bytes()
}

/// Bodies that are no JSON at all, or none that anyone could mean.
fn broken(body: &Value, number: u64) -> Vec<u8> {
    let whole = body.to_string();
    match number % 8 {
        0 => whole.as_bytes()[..whole.len() / 2].to_vec(),
        1 => [whole.as_bytes(), b"}"].concat(),
        2 => "[".repeat(200_000).into_bytes(),
        3 => "{\"a\":".repeat(200_000).into_bytes(),
        4 => whole
            .replace("nonce", "\u{fffd}")
            .into_bytes()
            .iter()
            .map(|byte| if *byte == 0xbd { 0xff } else { *byte })
            .collect(),
        5 => Vec::new(),
        6 => b"\xff\xfe\x00{".to_vec(),
        _ => b"null".to_vec(),
    }
}

/// Requests that HTTP itself does not allow, or that never come to their end; each with its pause and whether it is
/// half closed.
fn raw(number: u64) -> (Vec<Vec<u8>>, Duration, bool) {
    let quick = Duration::ZERO;
    let long = "x".repeat(100_000);
    let many: String = (0..2_000).map(|at| format!("x-{at}: {at}\r\n")).collect();
    let chat = "POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\n";
    match number % 10 {
        0 => (vec![format!("{chat}x-long: {long}\r\n\r\n").into_bytes()], quick, false),
        1 => (vec![format!("{chat}{many}\r\n").into_bytes()], quick, false),
        2 => (vec![format!("GET /{long} HTTP/1.1\r\nhost: x\r\n\r\n").into_bytes()], quick, false),
        3 => (vec![b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03".to_vec(), b"\r\n\r\n".to_vec()], quick, true),
        4 => (vec![format!("{chat}content-length: -1\r\n\r\n").into_bytes()], quick, false),
        5 => (vec![format!("{chat}content-length: 5\r\ncontent-length: 6\r\n\r\nhello!").into_bytes()], quick, false),
        6 => (vec![format!("{chat}content-length: 99999999999\r\n\r\n{{").into_bytes()], quick, false),
        7 => (vec![format!("{chat}transfer-encoding: chunked\r\n\r\nzz\r\n").into_bytes()], quick, false),
        8 => (vec![format!("{chat}content-length: 500\r\n\r\n{{\"model\"").into_bytes()], quick, true),
        _ => (vec![b"POST /v1/chat/completions HTTP/1.1\r\nho st: x\r\n\r\n".to_vec()], quick, false),
    }
}

#[derive(Debug)]
struct Shot {
    dialect: &'static str,
    path: String,
    body: Vec<u8>,
    /// Whether nobody could answer it.
    hopeless: bool,
}

fn shots() -> Vec<Shot> {
    let mut out = Vec::new();
    let mut state = 7;
    for dialect in DIALECTS.iter().map(|dialect| dialect.id().name()).filter(|name| grammar(name).is_some()) {
        for number in 0..160 {
            let wanted = [Wanted::Words, Wanted::Calls, Wanted::Thoughts][(number % 3) as usize];
            let (path, body) = speak(dialect, "auto", &question(number), number % 2 == 0, wanted);
            for _ in 0..4 {
                out.push(Shot { dialect, path: path.clone(), body: twisted(&body, &mut state), hopeless: false });
            }
            if number < 80 {
                out.push(Shot { dialect, path, body: broken(&body, number), hopeless: true });
            }
        }
    }
    out
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn hostile_requests_are_refused_in_their_dialect_and_in_time() {
    let provider = Provider::start(Script::default()).await.expect("a provider");
    let legs = leg("one", provider.addr(), 0) + &leg("two", provider.addr(), 1);
    let stage = Stage::start(&format!("{legs}{ANONYMOUS}last_resort = []\n"));
    let shots = shots();
    let addr = stage.addr;
    let fired = stream::iter(&shots).map(|shot| async move {
        let begun = Instant::now();
        let request = post(&shot.path, &shot.body);
        let back = tokio::time::timeout(IN_TIME, send(addr, &[&request], Duration::ZERO, false)).await;
        (shot, back, begun.elapsed())
    });
    let fired: Vec<_> = fired.buffer_unordered(16).collect().await;
    let (mut refused, mut answered, mut wrong) = (0, 0, Vec::new());
    let mut slowest = Duration::ZERO;
    for (shot, back, took) in &fired {
        slowest = slowest.max(*took);
        let good = match back {
            Ok(Back { status: Some(400..=499), body }) => is_error_of(shot.dialect, body),
            // Some twists are harmless.
            Ok(Back { status: Some(200), .. }) => !shot.hopeless,
            _ => false,
        };
        match back {
            _ if !good => {
                let body = String::from_utf8_lossy(&shot.body[..shot.body.len().min(300)]).into_owned();
                let said = back.as_ref().map(|back| (back.status, String::from_utf8_lossy(&back.body).into_owned()));
                wrong.push(format!("{} {body}\n  -> {said:?}", shot.path));
            }
            Ok(Back { status: Some(200), .. }) => answered += 1,
            _ => refused += 1,
        }
    }
    println!("hostile: {} bodies, {refused} refused, {answered} harmless, the slowest took {slowest:?}", shots.len());
    assert!(shots.len() >= 2_000, "{}", shots.len());
    assert!(wrong.is_empty(), "{} of {}:\n{}", wrong.len(), shots.len(), wrong[..wrong.len().min(12)].join("\n"));

    let fired = stream::iter(0..200_u64).map(|number| async move {
        let (pieces, pause, close) = raw(number);
        let pieces: Vec<&[u8]> = pieces.iter().map(Vec::as_slice).collect();
        (number, tokio::time::timeout(IN_TIME, send(addr, &pieces, pause, close)).await)
    });
    let fired: Vec<_> = fired.buffer_unordered(32).collect().await;
    for (number, back) in fired {
        let back = back.unwrap_or_else(|_| panic!("request {number} hangs"));
        // What is no request gets no answer, but an end.
        assert!(matches!(back.status, None | Some(400..=499)), "{number}: {back:?}");
    }
    // A body that drips is cut off; meanwhile everyone else is answered.
    let head = "POST /v1/messages HTTP/1.1\r\nhost: x\r\ncontent-length: 5000\r\n\r\n";
    let drips: Vec<&[u8]> = [head.as_bytes()].into_iter().chain(std::iter::repeat_n(b"{".as_slice(), 60)).collect();
    let slow =
        (0..20).map(|_| tokio::time::timeout(IN_TIME, send(stage.addr, &drips, Duration::from_millis(600), false)));
    let (slow, quick) = tokio::join!(futures_util::future::join_all(slow), async {
        let (path, body) = speak("openai-chat", "auto", "hi", false, Wanted::Words);
        stage.client().post(&path, "", &body).await.expect("an answer").status
    });
    assert_eq!(quick, 200);
    for back in slow {
        let back = back.expect("a slow body is not waited for");
        assert!(matches!(back.status, Some(400..=499)) && is_error_of("anthropic-messages", &back.body), "{back:?}");
    }
}

#[tokio::test]
async fn breakers_are_shown_with_their_reasons() {
    use testkit::provider::{Fault, Rule};
    let provider = Provider::start(Script::default()).await.expect("a provider");
    let fault = Fault::Status { status: 401, retry_after: None, trouble: None };
    provider.script(Script { rules: vec![Rule { fault: Some(fault), ..Rule::default() }], ..Script::default() });
    let stage = Stage::start(&format!("{}{ANONYMOUS}", leg("one", provider.addr(), 0)));
    let url = format!("http://{}", stage.addr);
    let calm = stage.command(&["health", "--url", &url]);
    assert!(calm.status.success() && String::from_utf8_lossy(&calm.stdout).contains("closed"), "{calm:?}");
    let (path, body) = speak("openai-chat", "auto", "hi", false, Wanted::Words);
    assert_eq!(stage.client().post(&path, "", &body).await.expect("an answer").status, 502);
    let health = stage.client().get("/admin/health").await.expect("an answer").json();
    let breakers = health["breakers"].as_array().expect("a list").clone();
    let open: Vec<_> = breakers.iter().filter(|breaker| breaker["state"] == "open").collect();
    assert_eq!((health["closed"].as_bool(), open.len()), (Some(false), 1), "{health}");
    assert_eq!(
        (&open[0]["of"], &open[0]["name"], &open[0]["cause"]),
        (&json!("account"), &json!("one"), &json!("hard"))
    );
    assert_eq!(open[0]["last_fault"]["kind"], "invalid_api_key");
    let told = stage.command(&["health", "--url", &url]);
    let text = String::from_utf8_lossy(&told.stdout).into_owned();
    assert!(!told.status.success() && text.contains("open (hard, for ") && text.contains("invalid_api_key"), "{text}");
}
