//! Changes while it runs, and its end: no open stream notices either.

use crate::stage::{ANONYMOUS, CHAT, Stage, chat, ear, leg, until};
use ledger::Outcome;
use testkit::grammar::Asked;
use testkit::process::{ClientError, Streaming};
use testkit::provider::{Pace, Provider, Rule, Script, When, expected_answer};

/// Answers streams slowly, about a second each.
fn slow_streams() -> Script {
    let when = When { stream: Some(true), ..When::default() };
    Script {
        rules: vec![Rule { when, pace: Some(Pace { first_ms: 0, event_ms: 50 }), ..Rule::default() }],
        ..Script::default()
    }
}

async fn answered_by(stage: &Stage) -> String {
    let answer = stage.client().post(CHAT, "", &chat("auto", "hi", false)).await.expect("an answer");
    assert_eq!(answer.status, 200);
    answer.header("x-autarky-deployment").to_owned()
}

/// Begins a stream and reads its first piece.
async fn begin(stage: &Stage) -> (Streaming, Vec<u8>) {
    let mut stream = stage.client().post_stream(CHAT, "", &chat("auto", "slowly", true)).await.expect("a stream");
    let first = stream.next().await.expect("a piece").expect("one more");
    (stream, first.to_vec())
}

/// Reads a stream to its end, which must be the right one.
async fn end((mut stream, mut bytes): (Streaming, Vec<u8>)) {
    let (rest, error) = stream.all().await;
    bytes.extend_from_slice(&rest);
    assert!(error.is_none(), "{error:?}");
    let heard = ear().stream(&bytes, &Asked { usage: Some(false), n: Some(1) });
    assert!(heard.is_well(), "{:?}", heard.violations);
    assert_eq!(heard.text(), expected_answer("slowly"));
}

#[tokio::test]
async fn a_change_of_the_file_is_in_force_at_once_and_a_bad_one_never() {
    let old = Provider::start(slow_streams()).await.expect("a provider");
    let new = Provider::start(slow_streams()).await.expect("a provider");
    let stage = Stage::start(&format!("{}{ANONYMOUS}", leg("old", old.addr(), 0)));
    assert_eq!(answered_by(&stage).await, "old");
    let open = begin(&stage).await;
    stage.configure(&format!("{}{ANONYMOUS}", leg("new", new.addr(), 0)));
    until("the new configuration is in force", async || (answered_by(&stage).await == "new").then_some(())).await;
    end(open).await;
    assert_eq!(stage.client().get("/v1/models/old").await.expect("an answer").status, 404);

    let said = |what: &str| stage.process.errors().matches(what).count();
    for (number, bad) in (1..).zip(["[deployment", "[deployment.x]\nprovider = \"nobody\"\n", ""]) {
        stage.configure(bad);
        until("the bad one is refused", async || (said("is refused, the running one stays") == number).then_some(()))
            .await;
        assert_eq!(answered_by(&stage).await, "new");
    }
    // A signal reads the file again even where it did not change.
    stage.configure(&format!("{}{ANONYMOUS}", leg("old", old.addr(), 0)));
    until("the good one is in force", async || (answered_by(&stage).await == "old").then_some(())).await;
    let before = said("is in force");
    stage.process.signal("HUP").expect("told");
    until("it is read again", async || (said("is in force") > before).then_some(())).await;
    assert_eq!(answered_by(&stage).await, "old");
}

#[tokio::test]
async fn told_to_stop_it_ends_what_is_open_and_takes_nothing_new() {
    let provider = Provider::start(slow_streams()).await.expect("a provider");
    let mut stage = Stage::start(&format!("{}{ANONYMOUS}", leg("one", provider.addr(), 0)));
    let open = begin(&stage).await;
    stage.process.signal("TERM").expect("told");
    until("new connections are refused", async || {
        matches!(stage.client().get("/healthz").await, Err(ClientError::Connect(_))).then_some(())
    })
    .await;
    assert!(stage.process.is_running().expect("known"), "a stream is open");
    end(open).await;
    assert!(stage.process.ended(crate::stage::PATIENCE).await.expect("it ends").success());
    let rows = stage.rows("the row is there once it has ended", |rows| rows.len() == 1).await;
    assert_eq!(rows[0].outcome, Outcome::Ok);
    let journal = stage.folder.path().join("data/journal");
    let left: Vec<_> = std::fs::read_dir(journal).expect("the journal").flatten().map(|file| file.path()).collect();
    println!("stopped: left in the journal: {left:?}");
}

#[tokio::test]
async fn told_to_stop_it_says_so_before_it_refuses() {
    let provider = Provider::start(Script::default()).await.expect("a provider");
    let mut stage = Stage::start(&format!("notice_s = 3\n{}{ANONYMOUS}", leg("one", provider.addr(), 0)));
    assert_eq!(stage.client().get("/readyz").await.expect("an answer").status, 200);
    stage.process.signal("TERM").expect("told");
    until("readiness says no on a new connection", async || {
        (stage.client().get("/readyz").await.expect("still accepted").status == 503).then_some(())
    })
    .await;
    let answer = stage.client().post(CHAT, "", &chat("auto", "hi", false)).await.expect("still answered");
    assert_eq!((answer.status, answer.header("connection")), (200, "close"));
    assert!(stage.process.ended(crate::stage::PATIENCE).await.expect("it ends").success());
}
