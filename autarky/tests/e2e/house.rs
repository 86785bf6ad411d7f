//! The model inside, through the front door: its answers, the death of its process, clients that leave, and its
//! limits. What it says is its own; that it says one whole thing to everybody is what counts here.

use crate::stage::{
    ANONYMOUS, CHAT, PATIENCE, Stage, chat, ear, header, house_is_there, id_of, leg, load, shot, until,
};
use ledger::{Attempt, Outcome};
use serde_json::json;
use std::collections::BTreeMap;
use std::process::Command;
use std::sync::Arc;
use testkit::grammar::{Asked, Ended};
use testkit::process::{Answer, Shot, Tally, run, usage};
use testkit::provider::{Fault, Provider, Rule, Script};

const HOUSE: &str = "[deployment.house]\nengine = \"embedded\"\norder = 9\n";

/// A product that waits for the model inside as long as a busy machine may need.
const PATIENT: &str =
    "[product.default]\nanonymous = true\ntimeouts = { first_token_ms = 300000, silence_ms = 300000 }\n";

fn stage(house: &str) -> Option<Stage> {
    house_is_there().then(|| Stage::start(&format!("[house]\n{house}\n{HOUSE}{PATIENT}")))
}

/// A short question to the model inside.
fn ask_house(question: &str, stream: bool, tokens: u64) -> serde_json::Value {
    let mut body = chat("house", question, stream);
    body["max_completion_tokens"] = json!(tokens);
    body["temperature"] = json!(0);
    body
}

async fn ask(stage: &Stage, body: &serde_json::Value) -> Answer {
    stage.client().post(CHAT, "", body).await.expect("an answer")
}

/// The processes that `parent` started.
fn children(parent: u32) -> Vec<u32> {
    let listed = std::fs::read_to_string(format!("/proc/{parent}/task/{parent}/children")).unwrap_or_default();
    let all = std::fs::read_dir(format!("/proc/{parent}/task")).into_iter().flatten().flatten();
    let of_threads = all.filter_map(|task| std::fs::read_to_string(task.path().join("children")).ok());
    let text: String = of_threads.chain([listed]).collect();
    let mut found: Vec<u32> = text.split_whitespace().filter_map(|id| id.parse().ok()).collect();
    found.sort_unstable();
    found.dedup();
    found
}

/// The model's own process.
async fn worker(stage: &Stage) -> u32 {
    until("the model's process runs", async || children(stage.process.id()).first().copied()).await
}

fn kill(id: u32) {
    assert!(Command::new("kill").args(["-KILL", &id.to_string()]).status().expect("kill runs").success());
}

#[tokio::test]
async fn it_answers_whole_and_streamed_and_the_same() {
    let Some(stage) = stage("") else { return };
    let whole = ask(&stage, &ask_house("What is the capital of France?", false, 24)).await;
    assert_eq!(whole.status, 200, "{}", String::from_utf8_lossy(&whole.body));
    let heard = ear().unary(&whole.body);
    assert!(heard.is_well() && !heard.text().is_empty(), "{heard:?}");
    let stream = ask(&stage, &ask_house("What is the capital of France?", true, 24)).await;
    let streamed = ear().stream(&stream.body, &Asked { usage: Some(false), n: Some(1) });
    assert!(streamed.is_well(), "{:?}", streamed.violations);
    assert_eq!(streamed.text(), heard.text());
    assert_eq!(whole.header("x-autarky-deployment"), "house");
    let row = &stage.story(&whole).await[0];
    let counts = heard.usage.expect("usage");
    assert_eq!((row.input_tokens, row.output_tokens), (Some(counts.input), Some(counts.output)));
    assert_eq!((row.host.as_deref(), row.protocol.as_deref()), (Some("own"), None));
    assert_eq!(stage.client().get("/readyz").await.expect("readiness").status, 200);
}

#[tokio::test]
async fn the_port_answers_while_the_weights_load() {
    let Some(stage) = stage("preload = true") else { return };
    assert_eq!(stage.client().get("/healthz").await.expect("healthy").status, 200);
    let mut missing = Vec::new();
    let ready = until("it is ready", async || {
        let answer = stage.client().get("/readyz").await.expect("readiness");
        missing.push(answer.json()["missing"].to_string());
        (answer.status == 200 && !children(stage.process.id()).is_empty()).then_some(answer)
    });
    assert_eq!(ready.await.json()["ready"], json!(true));
    missing.dedup();
    println!("house: missing until ready: {missing:?}");
    assert_eq!(ask(&stage, &ask_house("hi", false, 4)).await.status, 200);
}

#[tokio::test]
async fn its_process_killed_in_mid_answer_is_not_noticed() {
    let Some(stage) = stage("") else { return };
    let question = ask_house("Tell me a long story about the sea.", true, 64);
    let reference = ask(&stage, &question).await;
    let reference = ear().stream(&reference.body, &Asked::default());
    assert!(reference.is_well(), "{:?}", reference.violations);
    let first = worker(&stage).await;
    let mut stream = stage.client().post_stream(CHAT, "", &question).await.expect("a stream");
    let mut bytes = Vec::new();
    for _ in 0..6 {
        bytes.extend_from_slice(&stream.next().await.expect("a piece").expect("one more"));
    }
    kill(first);
    let whole = ask_house("What is the capital of France?", false, 16);
    let ((rest, error), whole) = tokio::join!(stream.all(), ask(&stage, &whole));
    assert!(error.is_none(), "{error:?}");
    bytes.extend_from_slice(&rest);
    let heard = ear().stream(&bytes, &Asked { usage: Some(false), n: Some(1) });
    assert!(heard.is_well(), "{:?} {:?}", heard.ended, heard.violations);
    // What was said before the kill stands; what follows may differ from an undisturbed answer, since a prompt that is
    // read in one batch rounds other than tokens made one by one.
    let before = ear().stream(&bytes[..bytes.len() - rest.len()], &Asked::default());
    assert!(heard.text().starts_with(before.text()) && heard.text().len() > before.text().len(), "{heard:?}");
    assert!(whole.status == 200 && ear().unary(&whole.body).is_well(), "{}", String::from_utf8_lossy(&whole.body));
    assert_ne!(worker(&stage).await, first, "another process");
    let rows = stage.rows("three rows", |rows| rows.len() == 3).await;
    assert!(rows.iter().all(|row| row.outcome == Outcome::Ok), "{rows:?}");
}

/// A stream to the model inside.
fn house_shot(number: u64, leave_after: Option<u64>) -> Shot {
    let body = ask_house(&format!("Count from {number} on, slowly."), true, 16);
    Shot { body: body.to_string().into(), expect: None, leave_after, ..shot(number, true) }
}

/// Half of the streams leave, after none to three pieces, as a hash of their number says; every row must say so.
async fn half_leave(stage: &Stage, round: u64) {
    const STREAMS: u64 = 200;
    let mixed = |number: u64| number.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 33;
    let mut load = load(stage.addr, STREAMS, move |number| {
        house_shot(round * STREAMS + number, (number % 2 == 0).then(|| mixed(number) % 4))
    });
    (load.tasks, load.limit) = (200, 5 * PATIENCE);
    let told = run(load).await;
    let tally = Tally::of(&told);
    assert_eq!((tally.right, tally.left, tally.sent), (STREAMS / 2, STREAMS / 2, STREAMS), "{tally:?}");
    until("nothing is under way", async || {
        (stage.metric("autarky_requests_in_flight", &[]).await == 0.0).then_some(())
    })
    .await;
    let told: BTreeMap<&str, _> = told.iter().filter_map(|one| Some((id_of(one)?, one))).collect();
    assert_eq!(told.len() as u64, STREAMS, "every client got its headers");
    let ours = |row: &&Attempt| told.contains_key(row.request_id.text().as_str());
    let rows = stage.rows("every row is final", |rows| {
        rows.iter().filter(ours).filter(|row| row.outcome.is_final()).count() as u64 == STREAMS
    });
    for row in rows.await.iter().filter(ours) {
        let one = told[row.request_id.text().as_str()];
        let wanted = if one.left { Outcome::Cancelled } else { Outcome::Ok };
        assert_eq!(row.outcome, wanted, "{one:?} {row:?}");
    }
    // Every slot is free again: as many at once as there are slots, and nobody waits for one that left.
    let mut full = crate::stage::load(stage.addr, 32, move |number| house_shot(9_000 + number, None));
    (full.tasks, full.limit) = (32, 5 * PATIENCE);
    let full = Tally::of(&run(full).await);
    assert_eq!(full.right, 32, "{full:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn clients_that_leave_free_what_they_held() {
    let Some(stage) = stage("slots = 32") else { return };
    let mut memory = Vec::new();
    for round in 0..2 {
        half_leave(&stage, round).await;
        let used = |id: u32| usage(id).map_or(0, |used| used.memory / 1_048_576);
        memory.push((used(stage.process.id()), used(worker(&stage).await)));
    }
    println!("house: twice 200 streams, half of them left; MiB of gateway and worker after each: {memory:?}");
    // The first round warms caches and pools; after it nothing grows with the number of requests.
    let ((gateway, worker), (gateway_after, worker_after)) = (memory[0], memory[1]);
    assert!(gateway_after <= gateway + 8 && worker_after <= worker + 32, "{memory:?}");
}

#[tokio::test]
async fn what_does_not_fit_is_refused_clearly() {
    let Some(stage) = stage("context = 1024\nslots = 1\nqueue = 1") else { return };
    let long = ask_house(&"many words ".repeat(2_000), false, 8);
    let answer = ask(&stage, &long).await;
    let error = &answer.json()["error"];
    assert_eq!((answer.status, error["code"].as_str()), (400, Some("context_length_exceeded")), "{error}");

    // One is answered, one waits, the third is told when to come back.
    let endless = ask_house("Tell me everything that you know.", true, 400);
    let mut first = stage.client().post_stream(CHAT, "", &endless).await.expect("a stream");
    first.next().await.expect("a piece").expect("it has begun");
    let short = ask_house("hi", false, 4);
    let (waiting, ()) = tokio::join!(ask(&stage, &short), async {
        until("two are under way", async || {
            (stage.metric("autarky_requests_in_flight", &[]).await == 2.0).then_some(())
        })
        .await;
        let refused = ask(&stage, &short).await;
        assert_eq!((refused.status, &refused.json()["error"]["code"]), (503, &json!("overloaded")));
        assert!(refused.header("retry-after").parse::<u64>().is_ok_and(|wait| wait > 0), "{:?}", refused.headers);
        drop(first);
    });
    assert_eq!(waiting.status, 200, "the slot of the one that left is free");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn with_every_provider_dead_the_house_answers() {
    if !house_is_there() {
        return;
    }
    let folder = testkit::process::temp_dir().expect("a folder");
    let start = |name: &str| {
        testkit::process::ProviderProcess::start(folder.path(), name, 0, &Script::default()).expect("a provider")
    };
    let (mut one, mut two) = (start("one"), start("two"));
    let legs = leg("one", one.addr, 0) + &leg("two", two.addr, 1);
    let stage = Stage::start(&format!("{legs}{HOUSE}{PATIENT}"));
    let calls = Arc::new(tokio::sync::Notify::new());
    let tell = Arc::clone(&calls);
    let load = load(stage.addr, 320, move |number| {
        if number == 100 || number == 280 {
            tell.notify_one();
        }
        let mut body = chat("auto", &crate::stage::question(number), number % 2 == 1);
        body["max_completion_tokens"] = json!(40);
        let scripted = shot(number, number % 2 == 1);
        Shot { body: body.to_string().into(), expect: None, ..scripted }
    });
    let (told, ()) = tokio::join!(run(load), async {
        calls.notified().await;
        one.process.kill().expect("killed");
        calls.notified().await;
        two.process.kill().expect("killed");
    });
    let wholes: Vec<_> = told.iter().filter(|one| !one.stream).cloned().collect();
    let whole = Tally::of(&wholes);
    assert_eq!(whole.right, 160, "every whole answer: {whole:?}");
    assert!(told.iter().filter(|one| one.stream && !one.right).all(|one| one.heard.ended == Ended::Error));
    let by_house: Vec<_> = told.iter().filter(|one| header(one, "x-autarky-deployment") == Some("house")).collect();
    assert!(!by_house.is_empty() && by_house.iter().all(|one| header(one, "x-autarky-degraded") == Some("house")));
    let rows = stage.rows("every row", |rows| {
        let ok = rows.iter().filter(|row| row.outcome == Outcome::Ok).count();
        ok as u64 == Tally::of(&told).right
    });
    let rows = rows.await;
    let house: Vec<_> = rows.iter().filter(|row| row.deployment.as_deref() == Some("house")).collect();
    assert_eq!(house.len(), by_house.len());
    assert!(house.iter().all(|row| row.degraded && row.outcome == Outcome::Ok));
    let story = stage.say(&["why", id_of(by_house[0]).expect("its id")]);
    assert!(story.contains("house") && story.contains("less than was asked for"), "{story}");
    println!("both providers killed: 160 of 160 whole answers, {} by the house, marked as such", by_house.len());
}

#[tokio::test]
async fn the_house_stands_in_for_a_provider_that_only_fails() {
    if !house_is_there() {
        return;
    }
    let broken =
        Rule { fault: Some(Fault::Status { status: 500, retry_after: None, trouble: None }), ..Rule::default() };
    let provider = Provider::start(Script { rules: vec![broken], ..Script::default() }).await.expect("a provider");
    let stage = Stage::start(&format!("{}{HOUSE}{ANONYMOUS}", leg("one", provider.addr(), 0)));
    for stream in [false, true] {
        let mut body = chat("auto", "What is the capital of France?", stream);
        body["max_completion_tokens"] = json!(16);
        let answer = ask(&stage, &body).await;
        assert_eq!((answer.status, answer.header("x-autarky-degraded")), (200, "house"));
        let asked = Asked { usage: Some(false), n: Some(1) };
        let heard = if stream { ear().stream(&answer.body, &asked) } else { ear().unary(&answer.body) };
        assert!(heard.is_well(), "{:?}", heard.violations);
    }
}
