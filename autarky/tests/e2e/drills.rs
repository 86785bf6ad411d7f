//! Losses rehearsed: what a drill reports is what the load generator counted, exactly; what it predicts is what the
//! same loss does for real; and when it ends, however it ends, everyone is asked as usual.

use crate::stage::{ANONYMOUS, CHAT, Stage, autarky, chat, header, leg, load, question, shot, until};
use bytes::Bytes;
use ledger::{Attempt, Mode, Outcome};
use serde_json::{Value, json};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};
use tempfile::TempDir;
use testkit::process::{Client, Load, Process, ProviderProcess, Shot, Tally, Told, rate, run, temp_dir};
use testkit::provider::{Pace, Rule, Script, read_log};
use tokio::task::{JoinHandle, JoinSet};

/// Providers in processes of their own, asked in the order of their names.
struct Fleet {
    folder: TempDir,
    list: Vec<ProviderProcess>,
}

const NAMES: [&str; 3] = ["one", "two", "three"];

impl Fleet {
    fn start() -> Self {
        let folder = temp_dir().expect("a folder");
        let list = NAMES.map(|name| provider(folder.path(), name, 0)).into_iter().collect();
        Self { folder, list }
    }

    fn legs(&self) -> String {
        (0..).zip(&self.list).zip(NAMES).map(|((order, one), name)| leg(name, one.addr, order)).collect()
    }

    /// Starts the first one again, on the port that it had.
    fn revive(&mut self) {
        let port = self.list[0].addr.port();
        self.list[0] = provider(self.folder.path(), NAMES[0], port);
    }
}

fn provider(folder: &Path, name: &str, port: u16) -> ProviderProcess {
    let pace = Rule { pace: Some(Pace { first_ms: 20, event_ms: 1 }), ..Rule::default() };
    let script = Script { rules: vec![pace], ..Script::default() };
    ProviderProcess::start(folder, name, port, &script).expect("it starts")
}

/// Short enough for a test, long enough for a busy machine.
const QUICK: &str = "timeouts = { first_token_ms = 1500, whole_ms = 2500, silence_ms = 1500, deadline_ms = 4000 }\n";

/// A command of the binary that goes on while others do something.
fn begin(stage: &Stage, arguments: &[&str]) -> JoinHandle<std::process::Output> {
    let mut command = autarky(stage.folder.path());
    command.args(arguments);
    tokio::task::spawn_blocking(move || command.output().expect("the binary runs"))
}

/// The drill that runs now, once one does.
async fn running(stage: &Stage) -> String {
    let folder = stage.folder.path().join("data/drills");
    until("a drill runs", async || {
        let order: Value = serde_json::from_slice(&std::fs::read(folder.join("order.json")).ok()?).ok()?;
        let id = order["id"].as_str()?;
        let record: Value = serde_json::from_slice(&std::fs::read(folder.join(format!("{id}.json"))).ok()?).ok()?;
        (record["state"] == "running").then(|| id.to_owned())
    })
    .await
}

/// Ends a drill as one whose every request was sent.
fn done(stage: &Stage, id: &str) {
    std::fs::write(stage.folder.path().join(format!("data/drills/{id}.done")), "").expect("written");
}

/// The whole report of a drill.
async fn report(drill: JoinHandle<std::process::Output>) -> Value {
    let output = drill.await.expect("no panic");
    let told = String::from_utf8_lossy(&output.stderr).into_owned();
    let report = serde_json::from_slice(&output.stdout);
    assert!(report.is_ok(), "no report: {told}");
    report.expect("json")
}

/// Whole answers and streams; one request in four names the first deployment.
fn mixed(number: u64) -> Shot {
    let shot = shot(number, number % 2 == 1);
    if !number.is_multiple_of(4) {
        return shot;
    }
    Shot { body: Bytes::from(chat("one", &question(number), shot.stream).to_string()), ..shot }
}

/// As many requests per second whoever is slow to answer; by few enough clients that none comes back to a connection that
/// the server has just closed as idle.
fn steady(addr: SocketAddr, requests: u64, shot: impl Fn(u64) -> Shot + Send + Sync + 'static) -> Load {
    Load { gap: Some(Duration::from_millis(40)), tasks: 200, ..load(addr, requests, shot) }
}

/// Runs a drill with `arguments` and so many requests within it; gives its report and what the clients saw.
async fn drilled(stage: &Stage, arguments: &[&str], requests: u64, shot: fn(u64) -> Shot) -> (Value, Vec<Told>) {
    let mut all = vec!["drill", "run", "--format", "json"];
    all.extend(arguments);
    let drill = begin(stage, &all);
    let id = running(stage).await;
    let told = run(steady(stage.addr, requests, shot)).await;
    let outside: Vec<_> = told.iter().filter(|one| header(one, "x-autarky-drill") != Some(&id)).collect();
    assert!(outside.is_empty(), "part of no drill: {outside:#?}");
    done(stage, &id);
    (report(drill).await, told)
}

/// What the report counts is what the load generator counted.
fn agrees(report: &Value, told: &[Told]) -> Tally {
    let tally = Tally::of(told);
    let live = &report["record"]["report"]["live"];
    let counted = ["offered", "served", "failed", "left", "unknown"].map(|name| live["total"][name].as_u64());
    let wanted = [tally.sent, tally.right + tally.wrong, tally.failed + tally.broken, tally.left, 0].map(Some);
    assert_eq!(counted, wanted, "{tally:?} {live:#}");
    assert_eq!(live["agrees"], json!(true), "the server's own counts: {live:#}");
    tally
}

/// Answered whole; what somebody's own server says amiss passes as it is.
fn served(tally: &Tally) -> u64 {
    tally.right + tally.wrong
}

fn share(tally: &Tally) -> f64 {
    f64::from(u32::try_from(served(tally)).expect("few")) / f64::from(u32::try_from(tally.sent).expect("few"))
}

/// Asks until an answer comes from `wanted` outside any drill.
async fn asked_again(addr: SocketAddr, wanted: &str) {
    let mut client = Client::new(addr);
    let mut body = chat("auto", "hi", false);
    body["max_tokens"] = json!(1);
    until("the lost are asked again", async || {
        let answer = client.post(CHAT, "", &body).await.ok()?;
        (answer.header("x-autarky-deployment") == wanted && answer.header("x-autarky-drill").is_empty()).then_some(())
    })
    .await;
}

/// One loss, rehearsed and real.
#[derive(Debug, Clone, Copy)]
enum Real {
    Kill,
    ClosedPort,
    Stopped,
}

/// Rehearses the loss of `one` under so many requests, of which one in four wants that very model, and no other will do;
/// gives the report's part on requests, and what the clients saw.
async fn rehearsed(rules: &str, fault: &str, requests: u64, shot: fn(u64) -> Shot) -> (Value, Tally) {
    let stage = Stage::start(rules);
    let order =
        ["--lose", "deployment:one", "--level", "L3", "--window", "10m", "--abort-failed", "1", "--fault", fault];
    let (report, told) = drilled(&stage, &order, requests, shot).await;
    let tally = agrees(&report, &told);
    let report = &report["record"]["report"];
    // By chance those who want only that model may be the first, and after them nobody asks it.
    let switched = report["live"]["total"]["switched"].as_u64() > Some(0);
    assert_eq!(report["live"]["marks"]["switch_us"].as_u64().is_some(), switched, "{report:#}");
    assert_eq!((served(&tally), tally.failed), (requests * 3 / 4, requests / 4), "{tally:?}");
    assert_eq!(report["verdict"], "broken", "{report:#}");
    (report["live"].clone(), tally)
}

/// The same loss for real, under a fresh server that has not learned anything: as much is served as was rehearsed. Gives
/// the figures of both.
async fn suffered(rules: &str, what: &str, (live, rehearsed): (Value, Tally), shot: fn(u64) -> Shot) -> String {
    let stage = Stage::start(rules);
    let told = run(steady(stage.addr, rehearsed.sent, shot)).await;
    let (real, rate) = (Tally::of(&told), rate(&told));
    assert!((share(&rehearsed) - share(&real)).abs() <= 0.01, "{what}: {rehearsed:?} {real:?}");
    assert!(rate >= 20.0, "{what}: a load of {rate:.1} requests/s");
    format!(
        "{what}: rehearsed {:.4} of {} served, for real {:.4}, at {rate:.1} requests/s; detected after {} us, switched after \
         {} us; answered by {}",
        share(&rehearsed),
        rehearsed.sent,
        share(&real),
        live["marks"]["detect_us"],
        live["marks"]["switch_us"],
        live["by"],
    )
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_drill_counts_as_its_clients_do_and_the_real_loss_does_the_same() {
    let mut fleet = Fleet::start();
    for (fault, real) in [("refused", Real::Kill), ("refused", Real::ClosedPort), ("silent", Real::Stopped)] {
        let rules = format!("{}{ANONYMOUS}{QUICK}substitute = \"never\"\n", fleet.legs());
        let before = read_log(&fleet.list[0].log).expect("its log").len();
        let drill = rehearsed(&rules, fault, 200, mixed).await;
        assert_eq!(drill.1.wrong, 0, "{:?}", drill.1);
        assert_eq!(read_log(&fleet.list[0].log).expect("its log").len(), before, "nobody called the lost");
        match real {
            Real::Kill => drop(fleet.list[0].process.kill().expect("killed")),
            Real::ClosedPort => {
                let mut client = Client::new(fleet.list[0].addr);
                let closed = client.send("PUT", "/__outage?ms=60000", &[], Bytes::new()).await;
                closed.expect("an answer").whole().await.ok();
            }
            Real::Stopped => fleet.list[0].process.signal("STOP").expect("stopped"),
        }
        println!("{}", suffered(&rules, &format!("{fault} / {real:?}"), drill, mixed).await);
        if !matches!(real, Real::Stopped) {
            fleet.revive();
        }
    }
}

/// llama.cpp's own server with SmolLM2, in a process of its own.
async fn llama(program: &Path, folder: &Path, port: u16) -> Process {
    let weights = crate::stage::cache().join("weights/SmolLM2-135M-Instruct.Q4_1.gguf");
    let mut command = Command::new(program);
    command.args(["--host", "127.0.0.1", "--threads", "2", "--parallel", "8", "--ctx-size", "4096", "--port"]);
    command.arg(port.to_string()).arg("--model").arg(weights).stdout(Stdio::null());
    let mut process = Process::start(command, Some(&folder.join("llama.err"))).expect("it starts");
    let addr = SocketAddr::from(([127, 0, 0, 1], port));
    process.ready(addr, "/health", crate::stage::PATIENCE).await.expect("it answers");
    process
}

/// As [`mixed`], of a model that nobody knows the words of. Its server changes `created` within a stream when the second
/// changes, which the grammar counts as a slip.
fn real_words(number: u64) -> Shot {
    let model = if number.is_multiple_of(4) { "one" } else { "auto" };
    let mut body = chat(model, &question(number), number % 2 == 1);
    body["max_tokens"] = json!(4);
    Shot { body: Bytes::from(body.to_string()), expect: None, ..mixed(number) }
}

/// The long form: three upstream processes, one of them llama.cpp's server with a real model. `scripts/drill-real` runs it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_real_models_loss_is_as_it_was_rehearsed() {
    const REQUESTS: u64 = 500;
    let Some(program) = std::env::var_os("AUTARKY_TEST_LLAMA_SERVER").map(PathBuf::from) else {
        eprintln!("SKIPPED: no llama.cpp server; `scripts/drill-real` makes one and runs this");
        return;
    };
    let mut fleet = Fleet::start();
    let (folder, port) = (fleet.folder.path().to_owned(), testkit::process::free_port().expect("a port"));
    let addr = SocketAddr::from(([127, 0, 0, 1], port));
    let mut real = llama(&program, &folder, port).await;
    let (two, three) = (fleet.list[1].addr, fleet.list[2].addr);
    let rest = format!("{ANONYMOUS}{QUICK}substitute = \"never\"\n");
    let rules = format!("{}{}{}{rest}", leg("one", addr, 0), leg("two", two, 1), leg("three", three, 2));

    // The real model is lost, in each way that a process can be.
    for (fault, how) in [("refused", Real::Kill), ("refused", Real::ClosedPort), ("silent", Real::Stopped)] {
        let drill = rehearsed(&rules, fault, REQUESTS, real_words).await;
        match how {
            Real::Kill => drop(real.kill().expect("killed")),
            Real::ClosedPort => {
                real.signal("TERM").expect("told to stop");
                real.ended(crate::stage::PATIENCE).await.expect("it stops listening");
            }
            Real::Stopped => real.signal("STOP").expect("stopped"),
        }
        println!("{}", suffered(&rules, &format!("llama.cpp lost, {fault} / {how:?}"), drill, real_words).await);
        drop(real);
        real = llama(&program, &folder, port).await;
    }

    // Another one is lost, and the real model answers for it, as far as it can in time.
    let patient = rest.replace(QUICK, "timeouts = { first_token_ms = 5000, whole_ms = 6000, deadline_ms = 12000 }\n");
    let one = leg("one", fleet.list[0].addr, 0);
    let rules = format!("{one}{}{}{patient}", leg("two", addr, 1), leg("three", three, 2));
    let drill = rehearsed(&rules, "refused", REQUESTS, real_words).await;
    fleet.list[0].process.kill().expect("killed");
    println!("{}", suffered(&rules, "llama.cpp stands in", drill, real_words).await);

    // Whoever is lost is asked again at once.
    let rules = format!("{}{}{ANONYMOUS}{QUICK}", leg("one", addr, 0), leg("two", two, 1));
    let stage = Stage::start(&rules);
    let drill = begin(&stage, &["drill", "run", "--lose", "deployment:one", "--level", "L3", "--window", "10m"]);
    running(&stage).await;
    let told = run(steady(stage.addr, 50, |number| Shot { expect: None, ..shot(number, false) })).await;
    assert!(told.iter().all(|one| one.right && header(one, "x-autarky-deployment") == Some("two")));
    let (began, wall) = (Instant::now(), SystemTime::now());
    let (_, answered) = tokio::join!(begin(&stage, &["drill", "abort"]), async {
        asked_again(stage.addr, "one").await;
        began.elapsed()
    });
    // How fast it then answers is its own affair.
    let asked = |row: &&Attempt| row.deployment.as_deref() == Some("one") && row.mode == Mode::Live;
    let rows = stage.rows("its row", |rows| rows.iter().any(|row| asked(&row))).await;
    let first = rows.iter().find(asked).expect("its row").started;
    let wall = wall.duration_since(UNIX_EPOCH).expect("after 1970").as_micros();
    let restored =
        Duration::from_micros(u64::try_from(first).expect("a moment") - u64::try_from(wall).expect("a moment"));
    println!(
        "abort: llama.cpp is asked again after {restored:?}, the command included; its first answer ended after {answered:?}"
    );
    assert!(restored < Duration::from_secs(1), "{restored:?}");
    drill.await.expect("no panic");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn however_a_drill_ends_everyone_is_asked_as_usual_within_a_second() {
    let fleet = Fleet::start();
    let mut stage = Stage::start(&format!("{}{ANONYMOUS}{QUICK}", fleet.legs()));
    let order = |window| {
        ["drill", "run", "--lose", "deployment:one", "--level", "L3", "--fault", "revoked", "--window", window]
    };

    // By a person.
    let drill = begin(&stage, &order("10m"));
    let id = running(&stage).await;
    let told = run(load(stage.addr, 40, |number| shot(number, false))).await;
    assert_eq!(Tally::of(&told).right, 40, "{told:#?}");
    let second = stage.command(&order("1s"));
    let refused = String::from_utf8_lossy(&second.stderr).into_owned();
    assert!(!second.status.success() && refused.contains(&id) && refused.contains("only one may"), "{refused}");
    let began = Instant::now();
    let (said, restored) = tokio::join!(begin(&stage, &["drill", "abort"]), async {
        asked_again(stage.addr, "one").await;
        began.elapsed()
    });
    let said = String::from_utf8_lossy(&said.expect("no panic").stdout).into_owned();
    assert!(said.contains("a person stopped it"), "{said}");
    assert!(restored < Duration::from_secs(1), "restored after {restored:?}");
    println!("abort: the lost answered again after {restored:?}, the command included");
    let output = drill.await.expect("no panic");
    assert!(!output.status.success(), "an aborted drill is no success");
    assert!(String::from_utf8_lossy(&output.stdout).contains("aborted: a person stopped it"));

    // By its window, with whoever ordered it dead.
    let mut command = autarky(stage.folder.path());
    command.args(order("2s"));
    let mut orderer = testkit::process::Process::start(command, None).expect("it starts");
    let id = running(&stage).await;
    orderer.kill().expect("killed");
    asked_again(stage.addr, "one").await;
    let record =
        |id: &str| std::fs::read(stage.folder.path().join(format!("data/drills/{id}.json"))).expect("a record");
    let ended: Value = serde_json::from_slice(&record(&id)).expect("json");
    assert_eq!(ended["state"], "ended", "{ended:#}");
    let report = stage.say(&["drill", "report", &id]);
    assert!(report.contains("ended as ordered") && report.contains("NOT TESTED"), "{report}");

    // By a rule: nobody is left who could answer.
    let all = "provider:one";
    stage.configure(&format!("{}{ANONYMOUS}{QUICK}last_resort = []\nmodels = [\"one\"]\n", fleet.legs()));
    let mut client = stage.client();
    until("the new rules are in force", async || {
        let answer = client.post(CHAT, "", &chat("two", "hi", false)).await.ok()?;
        (answer.status != 200).then_some(())
    })
    .await;
    let drill = begin(&stage, &["drill", "run", "--lose", all, "--level", "L3", "--window", "10m", "--format", "json"]);
    running(&stage).await;
    let told = run(load(stage.addr, 400, |number| shot(number, false))).await;
    let inside: Vec<Told> = told.iter().filter(|one| header(one, "x-autarky-drill").is_some()).cloned().collect();
    let report = self::report(drill).await;
    let why = report["record"]["why"].as_str().expect("why");
    assert!(why.contains("requests failed") && why.contains("--abort-failed"), "{why}");
    let tally = agrees(&report, &inside);
    assert!(tally.failed >= 20, "{tally:?}");

    // With the server killed in the middle: the next one does not take it up again.
    let drill =
        begin(&stage, &["drill", "run", "--lose", all, "--level", "L3", "--window", "10m", "--abort-failed", "1"]);
    let id = running(&stage).await;
    stage.process.kill().expect("killed");
    stage.restart();
    asked_again(stage.addr, "one").await;
    drill.await.expect("no panic");
    let record = std::fs::read(stage.folder.path().join(format!("data/drills/{id}.json"))).expect("a record");
    let record: Value = serde_json::from_slice(&record).expect("json");
    assert_eq!(record["state"], "aborted", "{record:#}");
    assert!(!stage.folder.path().join("data/drills/order.json").exists());
}

/// Asks until it is enough.
async fn traffic(addr: SocketAddr, enough: Arc<AtomicBool>) -> Vec<Told> {
    let mut told = Vec::new();
    while !enough.load(Ordering::Relaxed) {
        told.extend(run(load(addr, 48, |number| shot(number, number % 2 == 1))).await);
    }
    told
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_hands_over_or_stops_ends_its_drill_and_counts_it_whole() {
    let fleet = Fleet::start();
    let mut stage = Stage::start(&format!("{}{ANONYMOUS}{QUICK}", fleet.legs()));
    let order = ["drill", "run", "--lose", "deployment:one", "--level", "L3", "--window", "10m", "--format", "json"];
    for hand_over in [true, false] {
        let drill = begin(&stage, &order);
        let id = running(&stage).await;
        let enough = Arc::new(AtomicBool::new(false));
        let mut clients = JoinSet::new();
        clients.spawn(traffic(stage.addr, Arc::clone(&enough)));
        let counted = async || {
            let record = std::fs::read(stage.folder.path().join(format!("data/drills/{id}.json"))).ok()?;
            let record: Value = serde_json::from_slice(&record).ok()?;
            (record["counts"]["served"].as_u64()? > 0).then_some(())
        };
        until("the drill's requests are answered", counted).await;
        if hand_over {
            // The next one finds the order, and that somebody plays it.
            let mut old = stage.succeed();
            assert!(old.ended(crate::stage::PATIENCE).await.expect("it ends").success());
        } else {
            stage.process.signal("TERM").expect("told to stop");
            assert!(stage.process.ended(crate::stage::PATIENCE).await.expect("it ends").success());
        }
        if hand_over {
            asked_again(stage.addr, "one").await;
        }
        enough.store(true, Ordering::Relaxed);
        let told = clients.join_all().await.concat();
        let (inside, outside): (Vec<Told>, Vec<Told>) =
            told.into_iter().partition(|one| header(one, "x-autarky-drill").is_some());
        let report = report(drill).await;
        let why = report["record"]["why"].as_str().expect("why");
        assert!(why.contains("the server stopped or was started again"), "{why}");
        let tally = agrees(&report, &inside);
        assert_eq!(tally.right, tally.sent, "whoever was part of it is answered: {tally:?}");
        assert!(!stage.folder.path().join("data/drills/order.json").exists());
        if hand_over {
            let usual = |one: &&Told| one.right && header(one, "x-autarky-deployment") == Some("one");
            assert_eq!(outside.iter().filter(usual).count(), outside.len(), "the new one plays nothing");
            assert!(!inside.is_empty() && !outside.is_empty(), "{} and {}", inside.len(), outside.len());
            println!("hand-over: {} requests within the drill, {} after it", inside.len(), outside.len());
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_share_of_traffic_is_drilled_and_the_rest_feels_nothing() {
    let fleet = Fleet::start();
    let stage = Stage::start(&format!("{}{ANONYMOUS}{QUICK}", fleet.legs()));
    let order = ["--lose", "provider:one", "--level", "L2", "--share", "0.3", "--window", "10m", "--fault", "banned"];
    let mut all = vec!["drill", "run", "--format", "json"];
    all.extend(order);
    let drill = begin(&stage, &all);
    let id = running(&stage).await;
    let told = run(load(stage.addr, 400, |number| shot(number, number % 2 == 1))).await;
    done(&stage, &id);
    let (inside, outside): (Vec<Told>, Vec<Told>) =
        told.into_iter().partition(|one| header(one, "x-autarky-drill").is_some());
    assert!((60..180).contains(&inside.len()), "about three in ten: {}", inside.len());
    let report = report(drill).await;
    let tally = agrees(&report, &inside);
    assert_eq!(tally.right, tally.sent, "{tally:?}");
    let untouched = |one: &&Told| {
        one.right
            && header(one, "x-autarky-deployment") == Some("one")
            && header(one, "x-autarky-attempts") == Some("1")
    };
    assert_eq!(outside.iter().filter(untouched).count(), outside.len(), "nobody outside noticed");
    assert!(!inside.iter().any(|one| header(one, "x-autarky-deployment") == Some("one")));
    let not_tested = report["record"]["report"]["not_tested"].to_string();
    assert!(not_tested.contains("30.0 % of requests took part"), "{not_tested}");
    // Dependence is what it was: a drill's detours count for nothing.
    let exposure: Value = serde_json::from_str(&stage.say(&["exposure", "--format", "json"])).expect("json");
    let window = &exposure["window"];
    assert_eq!(window["requests"].as_u64(), Some(outside.len() as u64), "{window:#}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn streams_that_a_drill_breaks_are_finished_and_every_row_says_so() {
    let fleet = Fleet::start();
    let stage = Stage::start(&format!("{}{ANONYMOUS}{QUICK}", fleet.legs()));
    for fault in ["cut:after=5", "stall:after=4", "no-end", "slow:ms=200"] {
        let arguments = [
            "drill",
            "run",
            "--format",
            "json",
            "--lose",
            "deployment:one",
            "--level",
            "L3",
            "--window",
            "10m",
            "--fault",
            fault,
        ];
        let drill = begin(&stage, &arguments);
        let id = running(&stage).await;
        let told = run(load(stage.addr, 24, |number| shot(number, true))).await;
        let wrong: Vec<_> = told.iter().filter(|one| !one.right).map(|one| (&one.heard, &one.error)).collect();
        assert!(wrong.is_empty(), "{fault}: {wrong:#?}");
        done(&stage, &id);
        let report = report(drill).await;
        agrees(&report, &told);
        let rows = stage.rows("the rows", |rows| rows.iter().all(|row| row.outcome != Outcome::Open)).await;
        let rows: Vec<_> = rows.into_iter().filter(|row| row.drill.as_deref() == Some(&*id)).collect();
        let lost = rows.iter().filter(|row| row.mode == Mode::Drill);
        assert!(
            lost.clone().count() > 0 && lost.clone().all(|row| row.deployment.as_deref() == Some("one")),
            "{rows:#?}"
        );
        let taken = rows.iter().filter(|row| row.mode == Mode::Takeover).count();
        assert!((taken > 0) != fault.starts_with("slow"), "{fault}: {taken} takeovers");
        let broken = lost.filter(|row| row.outcome == Outcome::Failed).count();
        println!("{fault}: {} requests, {broken} answers broken, {taken} taken over", told.len());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_critical_product_is_drilled_level_by_level() {
    let fleet = Fleet::start();
    let stage = Stage::start(&format!("{}{ANONYMOUS}{QUICK}criticality = \"critical\"\n", fleet.legs()));
    let told = run(load(stage.addr, 60, |number| shot(number, false))).await;
    assert_eq!(Tally::of(&told).right, 60);
    let live = |level, share| {
        vec!["drill", "run", "--lose", "deployment:one", "--level", level, "--share", share, "--window", "10m"]
    };
    let refused = |arguments: &[&str]| {
        let output = stage.command(arguments);
        assert_eq!(output.status.code(), Some(1));
        String::from_utf8_lossy(&output.stderr).into_owned()
    };
    let why = refused(&live("L3", "1"));
    assert!(
        why.contains("`default` is critical") && why.contains("L0 and L1 and L2") && why.contains("--level L0"),
        "{why}"
    );
    let planned = stage.command(&["drill", "plan", "--lose", "deployment:one", "--level", "L3"]);
    let planned = String::from_utf8_lossy(&planned.stdout).into_owned();
    assert!(planned.contains("it may not begin") && planned.contains("deployment:one: one"), "{planned}");

    stage.rows("the rows", |rows| rows.len() == 60 && rows.iter().all(|row| row.outcome.is_final())).await;
    let paper = stage.say(&["drill", "run", "--lose", "deployment:one", "--level", "L0"]);
    assert!(paper.contains("what was expected held") && paper.contains("nothing was sent"), "{paper}");
    assert!(refused(&live("L2", "0.5")).contains("L1"), "paper alone is not enough");

    // Captured requests, sent again within a cost cap; the server plays the loss for these alone.
    let lines: String =
        (0..12).map(|number| format!("{}\n", chat("auto", &question(number), number % 2 == 1))).collect();
    let captured = stage.folder.path().join("captured.jsonl");
    std::fs::write(&captured, lines).expect("written");
    let (captured, url) = (captured.to_str().expect("text"), format!("http://{}", stage.addr));
    let replay = ["drill", "run", "--lose", "deployment:one", "--level", "L1", "--requests", captured, "--url", &url];
    assert!(refused(&replay).contains("--spend"), "a replay has a cap");
    let capped = [&replay[..], &["--spend", "1", "--format", "json"]].concat();
    let replayed: Value = serde_json::from_str(&stage.say(&capped)).expect("json");
    let found = &replayed["record"]["report"]["live"];
    assert_eq!(
        (found["total"]["offered"].as_u64(), found["total"]["served"].as_u64()),
        (Some(12), Some(12)),
        "{found:#}"
    );

    assert!(refused(&live("L3", "1")).contains("L2"), "a part of live traffic comes first");
    for (level, share) in [("L2", "0.5"), ("L3", "1")] {
        let mut arguments = live(level, share);
        arguments.extend(["--format", "json"]);
        let drill = begin(&stage, &arguments);
        let id = running(&stage).await;
        let told = run(load(stage.addr, 60, |number| shot(number, false))).await;
        assert_eq!(Tally::of(&told).right, 60);
        done(&stage, &id);
        let report = report(drill).await;
        assert_eq!(report["record"]["report"]["verdict"], "held", "{report:#}");
    }
    let page = stage.say(&["drill", "report", "--format", "html"]);
    alone(&page);
    assert!(page.contains("<svg class=\"timeline\"") && page.contains("Not tested"));
    let exposure = stage.say(&["exposure"]);
    assert!(exposure.contains("drilled 0.0 %") && exposure.contains("traffic"), "{exposure}");
    let list = stage.say(&["drill", "list"]);
    assert_eq!(list.lines().count(), 4, "{list}");
}

/// A page that needs nothing from elsewhere and runs nothing.
pub(crate) fn alone(page: &str) {
    assert!(page.starts_with("<!doctype html>") && page.trim_end().ends_with("</html>"), "{page}");
    assert!(page.contains("default-src 'none'") && page.contains("prefers-color-scheme:dark"));
    for foreign in ["src=", "href=", "url(", "@import", "<script", "<link", "<iframe", "http:", "https:", "//"] {
        assert!(!page.contains(foreign), "the page holds `{foreign}`");
    }
}
