//! A second call beside a slow one: what it brings, and what it costs. Two gateways ask the same three upstreams in turn,
//! one with hedges and one without; one upstream is slow for one of twenty requests.

use crate::crowd::{Upstream, answers, asked, requests, rows, settled};
use crate::speak::Wanted;
use crate::stage::{PATIENCE, Stage, question};
use ledger::{Attempt, Mode, Outcome, UsageSource};
use std::sync::Arc;
use testkit::process::{Load, Told, run, temp_dir};
use testkit::provider::{Fault, Pace, Rule, Script, When};

/// Requests that are learned from, and those that count, of each gateway.
const LEARNING: u64 = 150;
const REQUESTS: u64 = 600;

/// A first token within 20 to 50 ms, or, from `red` for one of twenty requests of each gateway, after two seconds.
fn script(seed: u64) -> Script {
    let slow = |model: &str| Rule {
        when: When { model: Some(model.to_owned()), every: Some(20), ..When::default() },
        fault: Some(Fault::SlowFirst { ms: 2_000, headers: false }),
        ..Rule::default()
    };
    let pace = |share: f64, first_ms: u64| Rule {
        when: When { share: Some(share), ..When::default() },
        pace: Some(Pace { first_ms, event_ms: 0 }),
        ..Rule::default()
    };
    let rules = vec![slow("model-red"), slow("plain-red"), pace(0.33, 20), pace(0.5, 35), pace(1.0, 50), answers()];
    Script { seed, rules, ..Script::default() }
}

/// The 99th percentile of the times to the first token, milliseconds.
fn p99(told: &[Told]) -> u64 {
    let mut first: Vec<u64> = told.iter().filter_map(|one| one.first_us).collect();
    first.sort_unstable();
    first[first.len() * 99 / 100] / 1_000
}

fn calls(rows: &[Attempt], requests: u64) -> f64 {
    rows.len() as f64 / requests as f64
}

/// What the row of a call that was given up for another one says.
fn is_honest(row: &Attempt) -> bool {
    match row.bytes_in {
        Some(_) => {
            row.usage_source == UsageSource::Counted && row.input_tokens > Some(0) && row.cost_nanodollars > Some(0)
        }
        None => row.usage_source == UsageSource::Unknown && row.cost_nanodollars.is_none(),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn hedges_halve_the_slowest_waits_for_few_calls_more() {
    let folder = temp_dir().expect("a folder");
    let upstreams: Vec<Upstream> = (41..)
        .zip(["red", "green", "blue"])
        .map(|(seed, name)| Upstream::start(folder.path(), name, script(seed)))
        .collect();
    let legs: String = upstreams.iter().map(|upstream| upstream.leg("openai-chat")).collect();
    // A third each: left to itself a gateway gives the slow one so little that hardly anybody waits for it.
    let product = "[product.default]\nanonymous = true\nlast_resort = []\nweights = { red = 1, green = 1, blue = 1 }\n";
    let with = Stage::start(&format!("{legs}{product}hedge = {{ on = true }}\n"));
    let without = Stage::start(&format!("{}{product}", legs.replace("model-", "plain-")));
    let all = LEARNING + requests(REQUESTS);
    let asks = |stage: &Stage| {
        let shot = |number| asked("openai-chat", "auto", &question(number), true, Wanted::Words);
        run(Load { addr: stage.addr, tasks: 8, requests: all, gap: None, limit: PATIENCE, shot: Arc::new(shot) })
    };
    let (hedged, plain) = tokio::join!(asks(&with), asks(&without));
    assert!(hedged.iter().chain(&plain).all(|one| one.right), "everybody is answered");
    let counts = usize::try_from(LEARNING).expect("few");
    let (fast, slow) = (p99(&hedged[counts..]), p99(&plain[counts..]));
    let log = settled(&upstreams).await;
    let of = |model: &'static str| {
        log.iter().filter(move |record| record.arrival.model.as_deref().is_some_and(|name| name.starts_with(model)))
    };
    let (more, less) = (rows(&with, of("model-")).await, rows(&without, of("plain-")).await);
    let hedges: Vec<&Attempt> = more.iter().filter(|row| row.mode == Mode::Hedge).collect();
    println!(
        "hedging: p99 of the first token {slow} ms without, {fast} ms with; {:.4} and {:.4} calls per request, {} hedges",
        calls(&less, all),
        calls(&more, all),
        hedges.len()
    );
    assert!(fast * 2 <= slow, "{fast} ms instead of {slow} ms");
    assert!(calls(&more, all) <= 1.03 * calls(&less, all), "{} calls for {all} requests", more.len());
    // Of two calls one is given up, and its row says what is known of it.
    let lost: Vec<&Attempt> = more.iter().filter(|row| row.outcome == Outcome::Cancelled).collect();
    assert_eq!((lost.len(), more.len()), (hedges.len(), usize::try_from(all).expect("few") + hedges.len()));
    assert!(lost.iter().all(|row| is_honest(row)), "{lost:#?}");
    let sent = more.iter().chain(&less).filter(|row| row.bytes_in.is_some()).count();
    assert_eq!(sent, log.len(), "what was sent has arrived");
}
