//! One process takes the place of another while streams are open and the configuration changes: no client notices, no
//! row is missing, no budget is spent twice.

use crate::stage::{ANONYMOUS, CHAT, PATIENCE, Stage, ear, leg, question, until};
use ledger::Outcome;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::io::Write as _;
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use testkit::grammar::Asked;
use testkit::process::Client;
use testkit::provider::{self, Pace, Provider, Rule, Script, When, expected_long_answer};
use tokio::sync::{Barrier, Semaphore};
use tokio::task::JoinSet;

/// Tokens of a stream, and milliseconds between two.
const TOKENS: usize = 40;
const EVENT_MS: u64 = 400;

/// How many streams: all that the issue asks for where the machine is told to, fewer in the usual run.
fn streams() -> u64 {
    let wanted = std::env::var_os("AUTARKY_TEST_STREAMS");
    wanted.and_then(|wanted| wanted.to_str()?.parse().ok()).unwrap_or(300)
}

fn slow_streams() -> Script {
    let when = When { stream: Some(true), ..When::default() };
    let answer = provider::Answer { tokens: Some(TOKENS), ..provider::Answer::default() };
    let pace = Pace { first_ms: 0, event_ms: EVENT_MS };
    Script {
        rules: vec![Rule { when, answer: Some(answer), pace: Some(pace), ..Rule::default() }],
        ..Script::default()
    }
}

/// A question that is answered as a stream which nobody has to touch, its report of usage asked for.
fn asked(number: u64) -> Value {
    let options = json!({"include_usage": true});
    json!({"model": "auto", "stream": true, "stream_options": options, "messages": [{"role": "user", "content": question(number)}]})
}

/// Begins stream `number`, meets the others, and reads to the end; how many bytes came.
async fn listen(
    addr: std::net::SocketAddr,
    number: u64,
    (door, begun): (Arc<Semaphore>, Arc<Barrier>),
) -> Result<(u64, u64), String> {
    let told = |error: &dyn std::fmt::Display| format!("stream {number}: {error}");
    let place = door.acquire().await;
    let started = Client::new(addr).post_stream(CHAT, "", &asked(number)).await;
    let first = match started {
        Ok(mut stream) => stream.next().await.map(|first| (stream, first)),
        Err(error) => Err(error),
    };
    drop(place);
    begun.wait().await;
    let (mut stream, first) = first.map_err(|error| told(&error))?;
    let mut bytes = first.unwrap_or_default().to_vec();
    let (rest, error) = stream.all().await;
    bytes.extend_from_slice(&rest);
    if let Some(error) = error {
        return Err(told(&error));
    }
    let heard = ear().stream(&bytes, &Asked { usage: Some(true), n: Some(1) });
    if !heard.is_well() || heard.text() != expected_long_answer(&question(number), TOKENS) {
        return Err(told(&format!("{:?} after {} bytes", heard.violations, bytes.len())));
    }
    Ok((number, bytes.len() as u64))
}

/// Asks short questions until told to stop, on a kept connection and on new ones in turn; how many were answered.
async fn chat_on(addr: std::net::SocketAddr, stop: Arc<AtomicBool>) -> u64 {
    let (mut client, mut answered) = (Client::new(addr), 0);
    let body = json!({"model": "auto", "messages": [{"role": "user", "content": "short"}]}).to_string();
    while !stop.load(Ordering::Relaxed) {
        let headers = [("content-type", "application/json")];
        let mut answer = client.send("POST", CHAT, &headers, body.clone().into()).await.expect("it is answered");
        let (said, error) = answer.all().await;
        assert!(error.is_none() && answer.status == 200, "{error:?} {}", String::from_utf8_lossy(&said));
        answered += 1;
        if answered % 3 != 0 && answer.headers.get("connection").is_none() {
            client.keep(answer);
        }
    }
    answered
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_stream_breaks_over_reloads_and_a_hand_over() {
    let provider = Provider::start(slow_streams()).await.expect("a provider");
    let rules = |turn: u64| {
        format!(
            "{}{ANONYMOUS}timeouts = {{ connect_ms = 10000, whole_ms = {} }}\n",
            leg("one", provider.addr(), 0),
            60_000 + turn
        )
    };
    let mut stage = Stage::start(&rules(0));
    let (count, stop) = (streams(), Arc::new(AtomicBool::new(false)));
    let begun = Arc::new(Barrier::new(usize::try_from(count).expect("fits") + 1));
    let mut open = JoinSet::new();
    // Not all at the same moment: a busy machine would take seconds for a connection.
    let door = Arc::new(Semaphore::new(32));
    for number in 0..count {
        open.spawn(listen(stage.addr, number, (Arc::clone(&door), Arc::clone(&begun))));
    }
    let mut short = JoinSet::new();
    short.spawn(chat_on(stage.addr, Arc::clone(&stop)));
    begun.wait().await;

    let mut reloads = 0;
    let mut reload = async |stage: &Stage, times: u64| {
        for _ in 0..times {
            reloads += 1;
            stage.configure(&rules(reloads));
            let seen = || stage.process.errors().matches("is in force").count() as u64;
            until("the new configuration is in force", async || (seen() >= reloads).then_some(())).await;
        }
    };
    reload(&stage, 10).await;
    let mut old = stage.succeed();
    assert!(old.is_running().expect("known"), "its streams are open");
    reload(&stage, 10).await;
    let still = open.len();

    let (mut broken, mut bytes) = (Vec::new(), BTreeMap::new());
    for ended in open.join_all().await {
        match ended {
            Ok((number, length)) => drop(bytes.insert(number, length)),
            Err(error) => broken.push(error),
        }
    }
    assert!(broken.is_empty(), "{} of {count} broke, e.g. {:?}", broken.len(), &broken[..broken.len().min(3)]);
    assert!(old.ended(PATIENCE).await.expect("it ends").success());
    stop.store(true, Ordering::Relaxed);
    let answered: u64 = short.join_all().await.iter().sum();

    let log = provider.log();
    for exchange in log.iter().filter(|exchange| exchange.arrival.stream) {
        let said: Value = serde_json::from_str(exchange.arrival.body.as_deref().unwrap_or_default()).expect("JSON");
        let content = said["messages"][0]["content"].as_str().expect("a question");
        let number = (0..count).find(|number| question(*number) == content).expect("one of ours");
        assert_eq!(bytes[&number], exchange.end.bytes, "stream {number}: as many bytes came as were sent");
    }
    let all = count as usize + usize::try_from(answered).expect("fits");
    let rows = stage.rows("every row is there", |rows| rows.len() >= all).await;
    assert_eq!((rows.len(), log.len()), (all, all), "one row for each call, and one call for each question");
    assert!(rows.iter().all(|row| row.outcome == Outcome::Ok));
    assert_eq!(rows.iter().filter(|row| row.stream).count() as u64, count);
    println!(
        "{count} streams of {TOKENS} tokens over {reloads} reloads and a hand-over: none broken, {still} were open to the \
         last reload, {answered} short answers meanwhile, {all} rows"
    );
}

/// A dollar a token of the answer.
const DEAR: &str = "price = { input = 0, output = 1000000 }\n";

async fn buy(client: &mut Client, question: &str) -> u16 {
    let body = json!({"model": "auto", "max_tokens": 20, "messages": [{"role": "user", "content": question}]});
    client.post(CHAT, "", &body).await.expect("an answer").status
}

#[tokio::test]
async fn a_budget_is_not_spent_twice_by_two_processes() {
    let provider = Provider::start(Script::default()).await.expect("a provider");
    // Far less than is set aside for each.
    let answer = Some(provider::Answer { tokens: Some(2), ..provider::Answer::default() });
    let slow = Rule { answer, pace: Some(Pace { first_ms: 4_000, event_ms: 0 }), ..Rule::default() };
    provider.script(Script { rules: vec![slow], ..Script::default() });
    let product = format!("{ANONYMOUS}last_resort = []\nbudget = {{ usd_day = 70 }}\n");
    let mut stage = Stage::start(&format!("{}{DEAR}{product}", leg("dear", provider.addr(), 0)));
    let addr = stage.addr;
    let mut running = JoinSet::new();
    for number in 0..3 {
        running.spawn(async move { buy(&mut Client::new(addr), &question(number)).await });
    }
    until("three are under way", async || (provider.open() == 3).then_some(())).await;
    let mut old = stage.succeed();
    // Sixty dollars are set aside by the process that ends; what is left does not cover one more.
    assert_eq!(buy(&mut stage.client(), "one more").await, 429);
    assert!(running.join_all().await.iter().all(|status| *status == 200));
    assert!(old.ended(PATIENCE).await.expect("it ends").success());
    provider.script(Script::default());
    let mut bought = 0;
    until("what they did not need is free again", async || {
        (buy(&mut stage.client(), &question(9)).await == 200).then_some(())
    })
    .await;
    while buy(&mut stage.client(), &question(9)).await == 200 {
        bought += 1;
        assert!(bought < 70, "the budget is never reached");
    }
    let rows = stage.rows("the rows are there", |rows| rows.len() >= 4 + bought).await;
    let spent: i64 = rows.iter().filter_map(|row| row.cost_nanodollars).sum();
    assert!(spent <= 70_000_000_000, "{spent} nano-dollars of 70 dollars");
}

#[tokio::test]
async fn a_successor_that_fails_changes_nothing() {
    let provider = Provider::start(Script::default()).await.expect("a provider");
    let stage = Stage::start(&format!("{}{ANONYMOUS}", leg("one", provider.addr(), 0)));
    let good = format!("{}{ANONYMOUS}", leg("one", provider.addr(), 0));
    let said = |what: &str| stage.process.errors().matches(what).count();
    // One that asks and dies.
    let mut half = UnixStream::connect(stage.folder.path().join("data/serve.sock")).expect("it listens");
    half.write_all(b"{\"hello\":{\"pid\":1,\"version\":\"0\"}}\n").expect("told");
    drop(half);
    until("it goes on", async || (said("the hand-over failed, this process goes on serving") == 1).then_some(())).await;
    // One that the configuration stops.
    stage.configure("[deployment");
    stage.process.signal("USR2").expect("told");
    until("it says so", async || (said("the successor ended: this process goes on serving") == 1).then_some(())).await;
    assert!(!stage.command(&["serve", "--take-over"]).status.success());
    assert_eq!(buy(&mut stage.client(), "still there?").await, 200);
    // And one that does it.
    stage.configure(&good);
    stage.process.signal("USR2").expect("told");
    until("it has taken over", async || (said("took over: the other process ends") == 1).then_some(())).await;
    let mut stage = stage;
    assert!(stage.process.ended(PATIENCE).await.expect("it ends").success());
    assert_eq!(buy(&mut stage.client(), "and now?").await, 200);
    let errors = stage.process.errors();
    let started: Vec<Value> = errors.lines().filter_map(|line| serde_json::from_str(line).ok()).collect();
    let pid =
        started.iter().rfind(|line| line["message"] == "a successor is started").and_then(|line| line["pid"].as_u64());
    let pid = pid.expect("its number").to_string();
    assert!(std::process::Command::new("kill").arg(&pid).status().expect("kill runs").success());
    until("it has ended", async || stage.client().get("/healthz").await.is_err().then_some(())).await;
}
