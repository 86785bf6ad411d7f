//! Each fault is really what its name says: seen with raw sockets, byte by byte.

use serde_json::{Value, json};
use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};
use testkit::grammar::{Asked, Ended, Heard, grammar};
use testkit::process::Client;
use testkit::provider::{Answer, Fault, Outcome, Pace, Provider, Rule, Script, Trouble, When, expected_answer};

const QUESTION: &str = "tell me about nonce-42";

fn script(fault: Fault) -> Script {
    Script { rules: vec![Rule { fault: Some(fault), ..Rule::default() }], ..Script::default() }
}

async fn provider(fault: Fault) -> Provider {
    Provider::start(script(fault)).await.expect("provider")
}

/// What came over a raw socket, how it ended, and when the first and the last byte came.
#[derive(Debug, Default)]
struct Raw {
    bytes: Vec<u8>,
    error: Option<ErrorKind>,
    pieces: usize,
    first: Duration,
}

impl Raw {
    fn text(&self) -> String {
        String::from_utf8_lossy(&self.bytes).into_owned()
    }

    fn status(&self) -> String {
        self.text().lines().next().unwrap_or_default().to_owned()
    }

    fn body(&self) -> String {
        self.text().split_once("\r\n\r\n").map_or_else(String::new, |(_, body)| body.to_owned())
    }
}

fn ask_blocking(addr: SocketAddr, stream: bool, patience: Duration) -> Raw {
    let body = json!({"model": "m", "stream": stream, "messages": [{"role": "user", "content": QUESTION}]}).to_string();
    let mut socket = TcpStream::connect(addr).expect("connect");
    socket.set_read_timeout(Some(patience)).expect("timeout");
    let head =
        "POST /v1/chat/completions HTTP/1.1\r\nhost: p\r\nconnection: close\r\ncontent-type: application/json\r\n";
    write!(socket, "{head}content-length: {}\r\n\r\n{body}", body.len()).expect("write");
    let (began, mut raw, mut buffer) = (Instant::now(), Raw::default(), [0_u8; 4096]);
    loop {
        match socket.read(&mut buffer) {
            Ok(0) => return raw,
            Ok(count) => {
                if raw.pieces == 0 {
                    raw.first = began.elapsed();
                }
                raw.pieces += 1;
                raw.bytes.extend_from_slice(&buffer[..count]);
            }
            Err(error) => {
                raw.error = Some(error.kind());
                return raw;
            }
        }
    }
}

async fn raw(provider: &Provider, stream: bool, patience_ms: u64) -> Raw {
    let (addr, patience) = (provider.addr(), Duration::from_millis(patience_ms));
    tokio::task::spawn_blocking(move || ask_blocking(addr, stream, patience)).await.expect("asked")
}

fn events(raw: &Raw) -> usize {
    raw.body().matches("data: ").count()
}

async fn heard(provider: &Provider) -> (Heard, bool) {
    let body = json!({"model": "m", "stream": true, "messages": [{"role": "user", "content": QUESTION}]});
    let mut answer =
        Client::new(provider.addr()).post_stream("/v1/chat/completions", "", &body).await.expect("headers");
    let (bytes, error) = answer.all().await;
    (grammar("openai-chat").expect("grammar").stream(&bytes, &Asked::default()), error.is_some())
}

/// Waits until every exchange is in the log.
async fn settled(provider: &Provider) -> Vec<testkit::provider::Record> {
    while provider.open() > 0 {
        tokio::task::yield_now().await;
    }
    provider.log()
}

#[tokio::test]
async fn no_fault_is_one_right_answer() {
    let provider = Provider::start(Script::default()).await.expect("provider");
    let (heard, broken) = heard(&provider).await;
    assert!(heard.is_well() && !broken, "{heard:?}");
    assert_eq!(heard.text(), expected_answer(QUESTION));
    let log = settled(&provider).await;
    let row = &log[0];
    assert_eq!(
        (row.end.outcome, row.end.status, row.arrival.model.as_deref()),
        (Outcome::Finished, Some(200), Some("m"))
    );
    assert_eq!(row.end.usage, None, "a stream that did not ask hears no usage");
}

#[tokio::test]
async fn before_the_headers() {
    for stream in [false, true] {
        let reset = raw(&provider(Fault::Reset).await, stream, 5_000).await;
        assert_eq!((reset.bytes.len(), reset.error), (0, Some(ErrorKind::ConnectionReset)));
        let close = raw(&provider(Fault::Close).await, stream, 5_000).await;
        assert_eq!((close.bytes.len(), close.error), (0, None));
        let silent = provider(Fault::Silent).await;
        let nothing = raw(&silent, stream, 150).await;
        assert_eq!(nothing.bytes.len(), 0);
        assert!(matches!(nothing.error, Some(ErrorKind::WouldBlock | ErrorKind::TimedOut)));
        let log = settled(&silent).await;
        assert_eq!((log[0].end.outcome, log[0].end.status), (Outcome::ClientLeft, None));
    }
}

#[tokio::test]
async fn statuses_come_in_the_wires_shape_once_or_for_good() {
    let table = [
        (429, None, "rate_limit_exceeded"),
        (429, Some(Trouble::Quota), "insufficient_quota"),
        (401, None, "invalid_api_key"),
        (404, None, "model_not_found"),
        (400, Some(Trouble::ContextLength), "context_length_exceeded"),
        (400, Some(Trouble::ContentFilter), "content_filter"),
        (403, None, ""),
        (500, None, ""),
        (503, None, ""),
        (529, None, ""),
    ];
    for (status, trouble, code) in table {
        let fault = Fault::Status { status, retry_after: Some(2.0), trouble };
        let provider = provider(fault.clone()).await;
        for stream in [false, true] {
            let said = raw(&provider, stream, 5_000).await;
            assert!(said.status().contains(&format!(" {status} ")), "{}", said.status());
            assert!(said.text().contains("retry-after: 2\r\n"));
            let error: Value = serde_json::from_str(&said.body()).expect("JSON");
            assert_eq!(error["error"]["code"].as_str().unwrap_or_default(), code);
            assert!(!error["error"]["message"].as_str().expect("message").is_empty());
        }
        let once = Rule { when: When { nth: Some(vec![0]), ..When::default() }, fault: Some(fault), ..Rule::default() };
        provider.script(Script { rules: vec![once], ..Script::default() });
        assert!(raw(&provider, false, 5_000).await.status().contains(&format!(" {status} ")));
        assert!(raw(&provider, false, 5_000).await.status().contains(" 200 "));
    }
}

#[tokio::test]
async fn cut_after_k_events_by_reset_or_by_close() {
    for after in [0, 1, 5] {
        for close in [false, true] {
            let provider = provider(Fault::Cut { after, close }).await;
            let cut = raw(&provider, true, 5_000).await;
            assert_eq!(events(&cut), after, "exactly so many events arrive");
            assert_eq!(cut.error, (!close).then_some(ErrorKind::ConnectionReset));
            assert!(!cut.text().ends_with("0\r\n\r\n"), "the last chunk of HTTP is missing");
            let log = settled(&provider).await;
            assert_eq!((log[0].end.outcome, log[0].end.events), (Outcome::Cut, after as u64));
            assert_eq!(log[0].arrival.fault.as_deref(), Some("cut"));
        }
    }
    let whole = raw(&provider(Fault::Cut { after: 1, close: true }).await, false, 5_000).await;
    let said: usize = header(&whole, "content-length").parse().expect("a length");
    assert!(whole.body().len() < said && !whole.body().is_empty());
}

fn header(raw: &Raw, name: &str) -> String {
    let text = raw.text();
    let line = text.lines().find(|line| line.to_lowercase().starts_with(&format!("{name}: "))).unwrap_or_default();
    line.split_once(": ").map_or_else(String::new, |(_, value)| value.to_owned())
}

#[tokio::test]
async fn stalls_keep_the_connection_open_for_ever_or_for_a_while() {
    let for_ever = provider(Fault::Stall { after: 3, ms: None }).await;
    let stalled = raw(&for_ever, true, 200).await;
    assert_eq!(events(&stalled), 3);
    assert!(matches!(stalled.error, Some(ErrorKind::WouldBlock | ErrorKind::TimedOut)));
    let log = settled(&for_ever).await;
    assert_eq!((log[0].end.outcome, log[0].end.events), (Outcome::ClientLeft, 3));
    let (heard, _) = heard(&provider(Fault::Stall { after: 3, ms: Some(50) }).await).await;
    assert!(heard.is_well() && heard.text() == expected_answer(QUESTION));
    let half = raw(&provider(Fault::Stall { after: 9, ms: None }).await, false, 200).await;
    assert!(half.error.is_some() && !half.body().is_empty());
}

#[tokio::test]
async fn late_first_tokens_with_and_without_headers() {
    for headers in [false, true] {
        let provider = provider(Fault::SlowFirst { ms: 300, headers }).await;
        let late = raw(&provider, true, 5_000).await;
        assert_eq!(late.first >= Duration::from_millis(300), headers, "{:?}", late.first);
        assert!(late.error.is_none() && late.body().contains("[DONE]"));
    }
    let whole = raw(&provider(Fault::SlowFirst { ms: 300, headers: false }).await, false, 5_000).await;
    assert!(whole.first >= Duration::from_millis(300));
}

#[tokio::test]
async fn broken_events_missing_ends_and_errors_inside() {
    let (malformed, broken) = heard(&provider(Fault::Malformed { after: 4 }).await).await;
    assert!(!broken && malformed.violations[0].starts_with("frame 4: data is no JSON"), "{malformed:?}");
    let (endless, broken) = heard(&provider(Fault::NoTerminator { after: None }).await).await;
    assert!(!broken && endless.ended == Ended::Cut && endless.violations.is_empty());
    assert_eq!(endless.text(), expected_answer(QUESTION));
    let (early, broken) = heard(&provider(Fault::NoTerminator { after: Some(2) }).await).await;
    assert!(!broken && early.ended == Ended::Cut && early.text() != expected_answer(QUESTION));
    let fault = Fault::ErrorEvent { after: 3, trouble: Trouble::Overloaded };
    let (error, broken) = heard(&provider(fault.clone()).await).await;
    assert!(!broken && error.ended == Ended::Error && error.violations.is_empty(), "{error:?}");
    let whole = raw(&provider(fault).await, false, 5_000).await;
    assert!(whole.status().contains(" 200 ") && whole.body().starts_with("{\"error\""));
    let truncated = raw(&provider(Fault::TruncatedJson).await, true, 5_000).await;
    assert!(truncated.error.is_none() && truncated.text().ends_with("0\r\n\r\n"));
}

#[tokio::test]
async fn wrong_bodies_with_a_good_status() {
    for stream in [false, true] {
        let html = raw(&provider(Fault::Html).await, stream, 5_000).await;
        assert!(html.status().contains(" 200 ") && html.body().contains("<html>"));
        assert!(header(&html, "content-type").starts_with("text/html"));
        let empty = raw(&provider(Fault::Empty).await, stream, 5_000).await;
        assert!(empty.status().contains(" 200 ") && empty.body().is_empty());
        let wrong = raw(&provider(Fault::WrongType { content_type: "text/plain".into() }).await, stream, 5_000).await;
        assert_eq!(header(&wrong, "content-type"), "text/plain");
    }
    for fault in [Fault::TruncatedJson, Fault::NoTerminator { after: None }, Fault::Malformed { after: 1 }] {
        let half = raw(&provider(fault).await, false, 5_000).await;
        assert_eq!(header(&half, "content-length").parse::<usize>().expect("a length"), half.body().len());
        assert!(serde_json::from_str::<Value>(&half.body()).is_err());
    }
}

#[tokio::test]
async fn drips_come_byte_by_byte() {
    let provider = provider(Fault::Drip { ms: 1 }).await;
    let whole = raw(&provider, false, 5_000).await;
    assert!(whole.pieces > whole.body().len() / 4, "{} pieces", whole.pieces);
    serde_json::from_str::<Value>(&whole.body()).expect("a whole answer");
    provider.script(script(Fault::Drip { ms: 0 }));
    let (heard, _) = heard(&provider).await;
    assert!(heard.is_well(), "{heard:?}");
}

#[tokio::test]
async fn an_outage_closes_the_port_and_resets_connections() {
    let provider = Provider::start(Script {
        rules: vec![Rule { pace: Some(Pace { first_ms: 0, event_ms: 20 }), ..Rule::default() }],
        ..Script::default()
    })
    .await
    .expect("provider");
    let body = json!({"model": "m", "stream": true, "messages": [{"role": "user", "content": QUESTION}]});
    let mut client = Client::new(provider.addr());
    let mut live = client.post_stream("/v1/chat/completions", "", &body).await.expect("headers");
    live.next().await.expect("a first event");
    provider.outage(Duration::from_millis(200));
    let (_, error) = live.all().await;
    assert!(error.is_some(), "live streams break");
    let mut refused = 0;
    let until = Instant::now() + Duration::from_secs(5);
    while Instant::now() < until {
        match TcpStream::connect(provider.addr()) {
            Err(error) => {
                assert_eq!(error.kind(), ErrorKind::ConnectionRefused);
                refused += 1;
                tokio::task::yield_now().await;
            }
            Ok(_) => break,
        }
    }
    assert!(refused > 0);
    assert!(Client::new(provider.addr()).get("/__health").await.is_ok(), "then it is healthy again");
    assert_eq!(settled(&provider).await[0].end.outcome, Outcome::ClientLeft);
}

#[tokio::test]
async fn connections_close_unannounced_after_their_requests() {
    let script = Script { requests_per_connection: Some(2), ..Script::default() };
    let provider = Provider::start(script).await.expect("provider");
    let body = json!({"model": "m", "messages": [{"role": "user", "content": QUESTION}]});
    let mut client = Client::new(provider.addr());
    for _ in 0..4 {
        let mut answer = client.post_stream("/v1/chat/completions", "", &body).await.expect("headers");
        assert!(answer.headers.get("connection").is_none());
        assert!(answer.all().await.1.is_none());
        client.keep(answer);
    }
    let log = settled(&provider).await;
    let connections: Vec<u64> = log.iter().map(|row| row.arrival.conn).collect();
    assert_eq!(connections[0], connections[1]);
    assert_ne!(connections[1], connections[2]);
    assert_eq!(connections[2], connections[3]);
}

#[tokio::test]
async fn answers_can_be_told_in_every_form() {
    let say =
        |answer: Answer| Script { rules: vec![Rule { answer: Some(answer), ..Rule::default() }], ..Script::default() };
    let provider = Provider::start(Script::default()).await.expect("provider");
    let schema = json!({"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]});
    let tools = json!([{"type": "function", "function": {"name": "a", "parameters": schema}},
                       {"type": "function", "function": {"name": "b"}}]);
    let ask = |more: Value, stream: bool| {
        let mut body = json!({"model": "m", "stream": stream, "messages": [{"role": "user", "content": QUESTION}]});
        body.as_object_mut().expect("object").extend(more.as_object().expect("object").clone());
        let addr = provider.addr();
        async move {
            let mut answer = Client::new(addr).post_stream("/v1/chat/completions", "", &body).await.expect("headers");
            let (bytes, _) = answer.all().await;
            let grammar = grammar("openai-chat").expect("grammar");
            if stream { grammar.stream(&bytes, &Asked::default()) } else { grammar.unary(&bytes) }
        }
    };
    for stream in [false, true] {
        provider.script(say(Answer { call_tools: Some(2), ..Answer::default() }));
        let two = ask(json!({"tools": tools}), stream).await;
        assert!(two.is_well() && two.choices[&0].calls.len() == 2, "{two:?}");
        let one = ask(json!({"tools": tools, "parallel_tool_calls": false}), stream).await;
        assert_eq!(one.choices[&0].calls.len(), 1);
        provider.script(Script::default());
        let forced = ask(json!({"tools": tools, "tool_choice": "required"}), stream).await;
        assert_eq!(forced.choices[&0].finish.as_deref(), Some("tool_calls"));
        let format =
            json!({"response_format": {"type": "json_schema", "json_schema": {"name": "n", "schema": schema}}});
        let shaped = ask(format, stream).await;
        assert!(serde_json::from_str::<Value>(shaped.text()).expect("JSON")["city"].is_string());
        provider.script(say(Answer { reasoning: Some("let me think".into()), tokens: Some(60), ..Answer::default() }));
        let more = json!({"n": 3, "logprobs": true, "top_logprobs": 2});
        let long = ask(more, stream).await;
        assert!(long.is_well() && long.choices.len() == 3 && long.choices[&1].reasoning == "let me think", "{long:?}");
        provider.script(say(Answer { refusal: Some("no, never".into()), ..Answer::default() }));
        assert_eq!(ask(json!({}), stream).await.choices[&0].refusal, "no, never");
    }
    provider.script(say(Answer {
        usage: Some(testkit::provider::UsageSpec { cached: Some(3), ..Default::default() }),
        ..Answer::default()
    }));
    assert_eq!(ask(json!({}), false).await.usage.expect("usage").cached, 3);
}
