//! kill -9 of the binary itself, under load, again and again: no finished answer lacks its row, what was on its way
//! reads `unknown`, and the database is sound.

use crate::stage::{ANONYMOUS, Stage, id_of, leg, load, settled, shot, until};
use ledger::{Attempt, Filter, Outcome, Store};
use std::collections::BTreeMap;
use std::sync::Arc;
use testkit::process::{Told, run};
use testkit::provider::{Pace, Provider, Rule, Script};
use tokio::sync::Notify;

const ROUNDS: u64 = 5;
const REQUESTS: u64 = 240;

/// Loads the binary and kills it in the middle.
async fn round(stage: &mut Stage, round: u64) -> Vec<Told> {
    let now = Arc::new(Notify::new());
    let tell = Arc::clone(&now);
    let (addr, middle) = (stage.addr, REQUESTS / 2 + round * 7);
    let load = load(addr, REQUESTS, move |number| {
        if number == middle {
            tell.notify_one();
        }
        shot(round * REQUESTS + number, number % 2 == 1)
    });
    let (told, ()) = tokio::join!(run(load), async {
        now.notified().await;
        stage.process.kill().expect("killed");
    });
    told
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_finished_answer_lacks_its_row() {
    let pace = Rule { pace: Some(Pace { first_ms: 5, event_ms: 1 }), ..Rule::default() };
    let provider = Provider::start(Script { rules: vec![pace], ..Script::default() }).await.expect("a provider");
    let mut stage = Stage::start(&format!("{}{ANONYMOUS}", leg("one", provider.addr(), 0)));
    let (mut finished, mut begun) = (Vec::new(), Vec::new());
    for number in 0..ROUNDS {
        let told = round(&mut stage, number).await;
        assert!(told.iter().any(|one| one.right) && told.iter().any(|one| !one.right), "killed in the middle");
        finished.extend(told.iter().filter(|one| one.right).filter_map(id_of).map(str::to_owned));
        begun.extend(told.iter().filter(|one| !one.right).filter_map(id_of).map(str::to_owned));
        stage.restart();
        assert_eq!(stage.client().get("/healthz").await.expect("it is back").status, 200);
    }
    settled(&provider).await;

    let ledger = stage.ledger();
    let rows = until("no row is open", async || {
        let rows = ledger.list(&Filter::default()).ok()?;
        let known: BTreeMap<String, Attempt> = rows.into_iter().map(|row| (row.request_id.text(), row)).collect();
        let all = finished.iter().chain(&begun).all(|id| known.contains_key(id));
        (all && known.values().all(|row| row.outcome != Outcome::Open)).then_some(known)
    });
    let rows = rows.await;
    let lacking: Vec<_> = finished.iter().filter(|id| rows[*id].outcome != Outcome::Ok).collect();
    assert!(lacking.is_empty(), "finished answers whose rows do not say so: {lacking:?}");
    let count = |outcome| rows.values().filter(|row| row.outcome == outcome).count();
    let (ok, unknown) = (count(Outcome::Ok), count(Outcome::Unknown));
    assert_eq!(ok + unknown, rows.len(), "nothing failed, nobody left");
    assert!(ok >= finished.len() && unknown > 0, "{ok} ok, {unknown} unknown, {} finished", finished.len());
    assert!(rows.len() >= provider.log().len(), "every call that arrived upstream has its row");
    assert!(begun.iter().all(|id| matches!(rows[id].outcome, Outcome::Unknown | Outcome::Ok)));
    ledger.check().expect("the database is sound");
    println!(
        "kill -9 of autarky, {ROUNDS} rounds: {} answers finished, {} rows ok, {unknown} unknown, {} calls upstream; \
         integrity ok",
        finished.len(),
        ok,
        provider.log().len()
    );
}
