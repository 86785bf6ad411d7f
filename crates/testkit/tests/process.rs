//! Processes: the provider as a binary that can be killed, its log that survives, the load generator's own counts.

use bytes::Bytes;
use serde_json::json;
use std::sync::Arc;
use std::time::Duration;
use testkit::grammar::{Asked, grammar};
use testkit::process::{Client, Load, ProviderProcess, Shot, Tally, run, temp_dir, usage};
use testkit::provider::{Fault, Outcome, Pace, Provider, Rule, Script, When, expected_answer, read_log};

fn shot(number: u64, stream: bool, leave_after: Option<u64>) -> Shot {
    let question = format!("what of nonce-{number}?");
    let body = json!({"model": "m", "stream": stream, "messages": [{"role": "user", "content": question}]});
    Shot {
        path: "/v1/chat/completions".to_owned(),
        headers: vec![("content-type".to_owned(), "application/json".to_owned())],
        body: Bytes::from(body.to_string()),
        stream,
        grammar: grammar("openai-chat").expect("grammar"),
        expect: Some(expected_answer(&question)),
        calls: Vec::new(),
        asked: Asked { usage: Some(false), n: Some(1) },
        leave_after,
    }
}

fn load(addr: std::net::SocketAddr, requests: u64, shot: impl Fn(u64) -> Shot + Send + Sync + 'static) -> Load {
    Load { addr, tasks: 16, requests, gap: None, limit: Duration::from_secs(20), shot: Arc::new(shot) }
}

#[tokio::test]
async fn a_killed_provider_leaves_its_log() {
    let folder = temp_dir().expect("folder");
    let slow = Rule { pace: Some(Pace { first_ms: 0, event_ms: 30_000 }), ..Rule::default() };
    let mut slow_second = slow;
    slow_second.when = When { from: Some(1), ..When::default() };
    let script = Script { rules: vec![slow_second], ..Script::default() };
    let mut provider = ProviderProcess::start(folder.path(), "p", 0, &script).expect("provider");
    provider.process.ready(provider.addr, "/__health", Duration::from_secs(20)).await.expect("ready");
    assert!(usage(provider.process.id()).expect("usage").memory > 100_000);
    let body = json!({"model": "m", "stream": true, "messages": [{"role": "user", "content": "hi"}]});
    let mut client = Client::new(provider.addr);
    let mut first = client.post_stream("/v1/chat/completions", "", &body).await.expect("headers");
    assert!(first.all().await.1.is_none());
    let mut second = client.post_stream("/v1/chat/completions", "", &body).await.expect("headers");
    second.next().await.expect("a first event");
    provider.process.kill().expect("killed");
    assert!(second.all().await.1.is_some());
    let log = read_log(&provider.log).expect("log");
    let outcomes: Vec<_> = log.iter().map(|row| (row.seq, row.end.outcome)).collect();
    assert_eq!(outcomes, [(0, Outcome::Finished), (1, Outcome::Open)]);
    assert_eq!(log[1].arrival.verdict, "ok");
}

#[tokio::test]
async fn the_loads_counts_and_the_providers_agree() {
    let cut = Rule {
        when: When { every: Some(4), ..When::default() },
        fault: Some(Fault::Cut { after: 2, close: false }),
        ..Rule::default()
    };
    let provider = Provider::start(Script { rules: vec![cut], ..Script::default() }).await.expect("provider");
    let told = run(load(provider.addr(), 200, |number| shot(number, number % 2 == 0, None))).await;
    let tally = Tally::of(&told);
    assert_eq!((tally.sent, tally.right, tally.broken, tally.wrong), (200, 150, 50, 0), "{tally:?}");
    while provider.open() > 0 {
        tokio::task::yield_now().await;
    }
    let log = provider.log();
    let cuts = log.iter().filter(|row| row.end.outcome == Outcome::Cut).count();
    assert_eq!((log.len(), cuts), (200, 50));
}

#[tokio::test]
async fn clients_that_leave_are_seen_to_leave() {
    let slow = Rule { pace: Some(Pace { first_ms: 5, event_ms: 2 }), ..Rule::default() };
    let provider = Provider::start(Script { rules: vec![slow], ..Script::default() }).await.expect("provider");
    let told = run(load(provider.addr(), 60, |number| shot(number, true, (number % 2 == 0).then_some(3)))).await;
    let tally = Tally::of(&told);
    assert_eq!((tally.left, tally.right), (30, 30), "{tally:?}");
    while provider.open() > 0 {
        tokio::task::yield_now().await;
    }
    let left = provider.log().iter().filter(|row| row.end.outcome == Outcome::ClientLeft).count();
    assert_eq!(left, 30);
}
