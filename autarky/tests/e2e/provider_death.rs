//! A provider's process is killed in the middle of a load: every whole answer comes all the same, and every count
//! agrees with the providers' own logs.

use crate::stage::{ANONYMOUS, Stage, header, id_of, leg, load, shot};
use ledger::{Attempt, Mode, Outcome};
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use testkit::process::{Process, Tally, Told, run, scripted_provider};
use testkit::provider::{Pace, Record, Rule, Script, nonce_of, read_log};
use tokio::sync::Notify;

/// A provider in a process of its own, whose log keeps the questions.
struct Victim {
    process: Process,
    addr: std::net::SocketAddr,
    log: PathBuf,
}

impl Victim {
    fn start(folder: &Path, name: &str) -> Self {
        let (log, script) = (folder.join(format!("{name}.log")), folder.join(format!("{name}.json")));
        let pace = Rule { pace: Some(Pace { first_ms: 4, event_ms: 1 }), ..Rule::default() };
        let orders = serde_json::to_vec(&Script { rules: vec![pace], ..Script::default() }).expect("json");
        std::fs::write(&script, orders).expect("written");
        let mut command = Command::new(scripted_provider().expect("the provider's binary"));
        command.arg("--bodies").arg("--script").arg(script).arg("--log").arg(&log);
        let (process, said) = Process::start_and_listen(command, None).expect("it starts");
        Self { process, addr: said.parse().expect("an address"), log }
    }

    /// Every question that arrived, by its nonce.
    fn heard(&self) -> BTreeSet<u64> {
        read_log(&self.log).expect("its log").iter().map(nonce).collect()
    }
}

/// The number of the question in a record.
fn nonce(record: &Record) -> u64 {
    let body: serde_json::Value = serde_json::from_str(record.arrival.body.as_deref().expect("kept")).expect("json");
    let question = body["messages"][0]["content"].as_str().expect("a question");
    nonce_of(question).trim_start_matches("nonce-").parse().expect("a number")
}

/// The questions that the ledger says were sent to `deployment`; true: they may not have arrived.
fn sent(rows: &[Attempt], told: &[Told], deployment: &str) -> BTreeMap<u64, bool> {
    let by_id: BTreeMap<&str, u64> = told.iter().filter_map(|one| Some((id_of(one)?, one.number))).collect();
    let ours = rows.iter().filter(|row| row.deployment.as_deref() == Some(deployment));
    ours.map(|row| {
        let number = by_id.get(row.request_id.text().as_str()).expect("every row belongs to a request that was sent");
        (*number, row.fault == Some(canon::FaultKind::Connect))
    })
    .collect()
}

/// Checks that ledger and log tell of the same calls.
fn agree(rows: &[Attempt], told: &[Told], deployment: &str, victim: &Victim) {
    let (heard, sent) = (victim.heard(), sent(rows, told, deployment));
    let foreign: Vec<_> = heard.iter().filter(|number| !sent.contains_key(number)).collect();
    assert!(foreign.is_empty(), "`{deployment}` heard questions that the ledger does not know: {foreign:?}");
    let lost: Vec<_> = sent.iter().filter(|(number, refused)| !**refused && !heard.contains(number)).collect();
    assert!(lost.is_empty(), "the ledger knows calls that `{deployment}` did not hear: {lost:?}");
    let answered = rows.iter().filter(|row| row.deployment.as_deref() == Some(deployment)).count();
    assert_eq!(answered, sent.len(), "one attempt per request and deployment");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_provider_killed_under_load_is_not_noticed_by_whole_answers() {
    const REQUESTS: u64 = 600;
    let folder = testkit::process::temp_dir().expect("a folder");
    let (mut one, two) = (Victim::start(folder.path(), "one"), Victim::start(folder.path(), "two"));
    let legs = leg("one", one.addr, 0) + &leg("two", two.addr, 1);
    let stage = Stage::start(&format!("{legs}{ANONYMOUS}"));
    let now = Arc::new(Notify::new());
    let tell = Arc::clone(&now);
    let load = load(stage.addr, REQUESTS, move |number| {
        if number == REQUESTS / 3 {
            tell.notify_one();
        }
        shot(number, number % 2 == 1)
    });
    let (told, ()) = tokio::join!(run(load), async {
        now.notified().await;
        one.process.kill().expect("killed");
    });

    let (streams, wholes): (Vec<Told>, Vec<Told>) = told.iter().cloned().partition(|one| one.stream);
    let (whole, stream) = (Tally::of(&wholes), Tally::of(&streams));
    assert_eq!(whole.right, REQUESTS / 2, "every whole answer: {whole:?}");
    // A stream that had begun is finished by the other one.
    let wrong: Vec<_> = streams.iter().filter(|one| !one.right).map(|one| (one.number, one.heard.text())).collect();
    assert_eq!(stream.right, REQUESTS / 2, "every stream: {stream:?} {wrong:#?}");

    let rows = stage.rows("every row", |rows| {
        let ids: BTreeSet<_> = rows.iter().map(|row| row.request_id).collect();
        ids.len() as u64 == REQUESTS && rows.iter().all(|row| row.outcome.is_final())
    });
    let rows = rows.await;
    agree(&rows, &told, "one", &one);
    agree(&rows, &told, "two", &two);
    let cut = rows.iter().filter(|row| row.stream && row.fault == Some(canon::FaultKind::Cut)).count();
    let of = |deployment: &str, outcome| {
        let matches = |row: &&Attempt| row.deployment.as_deref() == Some(deployment) && row.outcome == outcome;
        rows.iter().filter(matches).count() as u64
    };
    let by = |name: &str| {
        told.iter().filter(|one| one.right && header(one, "x-autarky-deployment") == Some(name)).count() as u64
    };
    // Whoever began an answer is in its headers; whoever finished it has the row.
    let taken = rows.iter().filter(|row| row.mode == Mode::Takeover).count() as u64;
    assert_eq!((of("one", Outcome::Ok) + taken, of("two", Outcome::Ok)), (by("one"), by("two") + taken));
    assert_eq!(of("two", Outcome::Failed), 0);
    let moved = told.iter().find(|one| header(one, "x-autarky-attempts") == Some("2")).and_then(id_of);
    let story = stage.say(&["why", moved.expect("somebody's first provider died")]);
    assert!(story.contains("attempt 1 one") && story.contains("attempt 2 two"), "{story}");
    println!(
        "provider killed: {REQUESTS} requests, {} right, {cut} streams cut and finished by the other; one: {} ok {} failed, \
         two: {} ok",
        whole.right + stream.right,
        of("one", Outcome::Ok),
        of("one", Outcome::Failed),
        of("two", Outcome::Ok)
    );
}
