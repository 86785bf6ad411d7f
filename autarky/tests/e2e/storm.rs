//! Storms: three upstream processes that fail by seed, in every way and in turn, while clients of every dialect ask. What
//! counts is what the clients heard and what the upstreams' own logs say: right answers, and few calls for them.

use crate::books::differences;
use crate::crowd::{Upstream, answers, dialects, load, requests, rows, settled, shot};
use crate::stage::Stage;
use std::fmt::Write as _;
use std::path::Path;
use std::time::{Duration, Instant};
use testkit::process::{Tally, Told, run, temp_dir};
use testkit::provider::{Fault, Pace, Record, Rule, Script, Trouble, WIRES, When};

/// Requests of one storm in every run.
const REQUESTS: u64 = 240;
/// Clients at once.
const CLIENTS: usize = 16;
/// Of a thousand requests, how many must be answered right.
const RIGHT: u64 = 999;
/// How many times the calls that the faults force may be made, of so many requests; of fewer, chance has a say.
const CALLS: f64 = 1.1;
const MANY: u64 = 2_000;
const CALLS_OF_FEW: f64 = 1.3;

/// What a product that waits a tenth of the usual times waits.
const PRODUCT: &str = "[product.default]\nanonymous = true\n\
                       timeouts = { first_token_ms = 1000, whole_ms = 1500, silence_ms = 800, deadline_ms = 30000 }\n";

fn status(status: u16, retry_after: Option<f64>) -> Fault {
    Fault::Status { status, retry_after, trouble: None }
}

/// Every way to fail.
fn ways() -> Vec<Fault> {
    vec![
        status(429, Some(1.0)),
        status(500, None),
        status(503, None),
        Fault::Reset,
        Fault::Cut { after: 6, close: false },
        Fault::Stall { after: 5, ms: Some(5_000) },
        Fault::Malformed { after: 4 },
        Fault::ErrorEvent { after: 3, trouble: Trouble::Overloaded },
        Fault::Html,
        Fault::SlowFirst { ms: 5_000, headers: false },
    ]
}

/// Rules by which `share` of all requests fail, each way as often as the others.
fn faults(share: f64) -> Vec<Rule> {
    let ways = ways();
    let each = share / ways.len() as f64;
    // A rule only decides about what those before it have spared.
    let rules = ways.into_iter().enumerate().map(|(before, fault)| {
        let share = Some(each / (1.0 - each * before as f64));
        Rule { when: When { share, ..When::default() }, fault: Some(fault), ..Rule::default() }
    });
    rules.collect()
}

/// `rules`, then the answer, which takes `first` milliseconds to begin.
fn script(seed: u64, rules: Vec<Rule>, first: u64) -> Script {
    let pace = Rule { pace: Some(Pace { first_ms: first, event_ms: 1 }), ..Rule::default() };
    Script { seed, rules: rules.into_iter().chain([pace, answers()]).collect(), ..Script::default() }
}

/// Down for `down` of every `period` milliseconds, from `from` on.
fn flaps(from: u64, down: u64, period: u64, fault: Fault) -> Rule {
    let when = When { from_ms: Some(from), until_ms: Some(from + down), period_ms: Some(period), ..When::default() };
    Rule { when, fault: Some(fault), ..Rule::default() }
}

/// Three upstreams by `script`, each on a wire of its own from number `turn` on, behind one gateway.
fn three(folder: &Path, turn: usize, script: impl Fn(u64) -> Script) -> (Vec<Upstream>, Stage) {
    let upstreams: Vec<Upstream> =
        (0..3).map(|at| Upstream::start(folder, ["red", "green", "blue"][at as usize], script(at))).collect();
    let mut config = String::new();
    for (at, upstream) in upstreams.iter().enumerate() {
        config.push_str(&upstream.leg(WIRES[(turn + at) % WIRES.len()].id()));
    }
    let stage = Stage::start(&format!("{config}{PRODUCT}"));
    (upstreams, stage)
}

/// Calls by which it is found out that somebody is down: three failures, and what was asked meanwhile.
const KNOWN: f64 = 5.0;

/// What a storm forces: each call fails with probability `share`, and every so many seconds somebody goes down, which
/// must be found out.
#[derive(Clone, Copy)]
struct Forced {
    share: f64,
    down_every_s: f64,
}

fn only(share: f64) -> Forced {
    Forced { share, down_every_s: f64::INFINITY }
}

/// What there is to tell of a storm, or what is wrong with it.
type Judged = Result<String, String>;

fn judge(name: &str, told: &[Told], calls: usize, forced: Forced, begun: Instant) -> Judged {
    let tally = Tally::of(told);
    let (calls, downs) = (calls as f64 / tally.sent as f64, begun.elapsed().as_secs_f64() / forced.down_every_s);
    let least = 1.0 / (1.0 - forced.share) + KNOWN * downs.ceil() / tally.sent as f64;
    let told_of = format!(
        "storm {name}: {} of {} right, {calls:.3} calls per request ({least:.3} forced), {:.1?}",
        tally.right,
        tally.sent,
        begun.elapsed()
    );
    let mut wrong = String::new();
    if tally.right * 1_000 < tally.sent * RIGHT {
        for one in told.iter().filter(|one| !one.right).take(5) {
            let said = (one.status, &one.error, &one.heard.error, one.heard.ended, &one.heard.violations);
            writeln!(wrong, "request {}: {said:?} {:?} {:?}", one.number, one.headers, one.heard.text())
                .expect("written");
        }
        writeln!(wrong, "{tally:?}").expect("written");
    }
    let most = if tally.sent >= MANY { CALLS } else { CALLS_OF_FEW };
    if calls > most * least {
        writeln!(wrong, "{calls:.3} calls per request, more than {most} x {least:.3}").expect("written");
    }
    if wrong.is_empty() { Ok(told_of) } else { Err(format!("{told_of}\n{wrong}")) }
}

/// Keeps what there is to look at.
fn keep(name: &str, stage: &Stage, told: &[Told], log: &[Record]) {
    let Some(folder) = std::env::var_os("AUTARKY_TEST_OUT") else { return };
    let at = |end: &str| Path::new(&folder).join(format!("storm-{name}.{end}"));
    let lines: String = log.iter().map(|row| format!("{}\n", serde_json::json!(row))).collect();
    std::fs::write(at("log"), lines).expect("written");
    std::fs::write(at("told"), format!("{told:#?}")).expect("written");
    std::fs::copy(stage.folder.path().join("autarky.err"), at("err")).expect("copied");
}

/// One storm over three upstreams; `meanwhile` is told when a quarter, a half and three quarters of it are over.
async fn storm(
    name: &str,
    turn: usize,
    forced: Forced,
    script: impl Fn(u64) -> Script,
    meanwhile: impl AsyncFn(u64, &Path, &mut [Upstream]),
) -> Judged {
    let folder = temp_dir().expect("a folder");
    let (mut upstreams, stage) = three(folder.path(), turn, script);
    let (begun, all) = (Instant::now(), requests(REQUESTS));
    let (tell, mut quarters) = tokio::sync::mpsc::unbounded_channel();
    let load = load(&stage, all, CLIENTS, move |number| {
        if number > 0 && number % (all / 4) == 0 {
            // Nobody listens once the load is over.
            let _ = tell.send(number / (all / 4));
        }
        shot(number, "auto")
    });
    let meddles = async {
        while let Some(quarter) = quarters.recv().await {
            meanwhile(quarter, folder.path(), &mut upstreams).await;
        }
    };
    let (told, ()) = tokio::join!(run(load), meddles);
    let log = settled(&upstreams).await;
    let rows = rows(&stage, log.iter()).await;
    keep(name, &stage, &told, &log);
    let wrong = differences(&rows, &log);
    // Whoever is killed takes the last lines of its log along.
    let lost = |why: &&String| name == "deaths" && why.starts_with("no provider knows");
    assert_eq!(wrong.iter().find(|why| !lost(why)), None, "storm {name}: {} differences", wrong.len());
    // Calls that found nobody stand in the ledger only.
    judge(name, &told, rows.len().max(log.len()), forced, begun)
}

/// Nobody touches the upstreams.
async fn nothing(_: u64, _: &Path, _: &mut [Upstream]) {}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn up_to_two_fifths_of_all_calls_fail_in_every_way() {
    let mut judged = Vec::new();
    for (turn, share) in [(0, 0.2), (2, 0.3), (4, 0.4)] {
        let name = format!("mixed-{share}");
        judged.push(storm(&name, turn, only(share), |at| script(17 + at, faults(share), 5), nothing).await);
    }
    println!("{judged:#?}");
    assert!(judged.iter().all(Result::is_ok));
    assert_eq!(dialects().len(), 6, "every dialect takes part");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn upstreams_flap_brown_out_and_die() {
    let mut judged = Vec::new();
    // Each is down for almost a third of the time, in its own way, the others not at the same time.
    let flapping = |at: u64| {
        let fault = [Fault::Reset, status(503, None), Fault::Close][at as usize].clone();
        let flaps = flaps(at * 1_000, 900, 3_000, fault);
        script(29 + at, [flaps].into_iter().chain(faults(0.05)).collect(), 5)
    };
    judged.push(storm("flapping", 1, Forced { share: 0.05, down_every_s: 1.0 }, flapping, nothing).await);
    // The first one takes ten times as long for half of the time.
    let brownout = |at: u64| {
        let when = When { until_ms: Some(2_000), period_ms: Some(4_000), ..When::default() };
        let slow = Rule { when, pace: Some(Pace { first_ms: 200, event_ms: 10 }), ..Rule::default() };
        script(31 + at, (at == 0).then_some(slow).into_iter().chain(faults(0.2)).collect(), 20)
    };
    judged.push(storm("brownout", 3, only(0.2), brownout, nothing).await);
    // A host is killed and comes back, then another one, while a fifth of the rest fails.
    let deaths = async |quarter: u64, folder: &Path, upstreams: &mut [Upstream]| match quarter {
        1 => upstreams[0].kill(),
        2 => {
            upstreams[0].restart(folder);
            upstreams[1].kill();
        }
        _ => upstreams[1].restart(folder),
    };
    judged.push(
        storm("deaths", 5, Forced { share: 0.2, down_every_s: 4.0 }, |at| script(37 + at, faults(0.2), 5), deaths)
            .await,
    );
    println!("{judged:#?}");
    assert!(judged.iter().all(Result::is_ok));
}

/// Questions per second while everybody is well.
const RATE: u64 = 50;
/// Seconds before and after an outage of everybody, and how long it is.
const BEFORE: u64 = 4;
const AFTER: u64 = 4;
const OUTAGE: u64 = 2;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn after_an_outage_of_everybody_nobody_is_stormed() {
    let folder = temp_dir().expect("a folder");
    let (upstreams, stage) = three(folder.path(), 0, |at| script(at, Vec::new(), 5));
    let mut clock = tokio::time::interval(Duration::from_millis(1_000 / RATE));
    // Late ticks are not caught up with: that would be a storm of our own.
    clock.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Skip);
    let (mut asked, mut recovers) = (tokio::task::JoinSet::new(), 0);
    let begun = Instant::now();
    for number in 0.. {
        clock.tick().await;
        let since = begun.elapsed();
        if since >= Duration::from_secs(BEFORE) && recovers == 0 {
            let length = Duration::from_secs(OUTAGE);
            futures_util::future::join_all(upstreams.iter().map(|upstream| upstream.outage(length))).await;
            recovers = now_ms() + OUTAGE * 1_000;
        }
        if since >= Duration::from_secs(BEFORE + OUTAGE + AFTER) {
            break;
        }
        let (load, sent) = (load(&stage, 1, 1, move |_| shot(number, "auto")), now_ms());
        asked.spawn(async move { (sent, run(load).await.remove(0)) });
    }
    let told = asked.join_all().await;
    let log = settled(&upstreams).await;
    let within = |from: u64, length: u64| {
        log.iter().filter(|row| (from..from + length).contains(&row.arrival.unix_ms)).count() as f64 * 1_000.0
            / length as f64
    };
    let (steady, first) = (within(recovers - OUTAGE * 1_000 - 2_000, 2_000), within(recovers, 1_000));
    let later: Vec<&Told> = told.iter().filter(|(sent, _)| *sent > recovers + 1_500).map(|(_, one)| one).collect();
    let right = later.iter().filter(|one| one.right).count();
    let lost = told.iter().filter(|(_, one)| !one.right).count();
    println!(
        "recovery: {steady:.0} calls per second before, {first:.0} in the first second after {OUTAGE} s without anybody; \
         {lost} of {} not answered; {right} of {} right later on",
        told.len(),
        later.len()
    );
    assert!(first <= 1.5 * steady, "{first} calls in the first second, {steady} before");
    assert_eq!(right, later.len(), "everybody is answered again");
    let honest = told
        .iter()
        .all(|(_, one)| one.right || one.status.is_some_and(|status| status >= 500) || one.heard.error.is_some());
    assert!(honest, "whoever was not answered heard why");
}

fn now_ms() -> u64 {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).expect("after 1970");
    u64::try_from(now.as_millis()).expect("before the sun burns out")
}
