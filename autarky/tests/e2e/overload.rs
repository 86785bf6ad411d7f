//! More to do than there may be: the least critical are refused first, cleanly and at once; the critical are answered.

use crate::stage::{CHAT, PATIENCE, Stage, leg, load, shot, until};
use serde_json::Value;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use testkit::process::{Client, run};
use testkit::provider::{Pace, Provider, Rule, Script};
use tokio::task::JoinSet;

/// A key of `product`.
fn key(stage: &Stage, product: &str) -> String {
    let made: Value = serde_json::from_str(&stage.say(&["keys", "create", product, "--format", "json"])).expect("JSON");
    made["secret"].as_str().expect("a string").to_owned()
}

/// Asks without a pause until told to stop: how many were answered, and how many refused as they should be.
async fn press(addr: std::net::SocketAddr, key: String, stop: Arc<AtomicBool>) -> (u64, u64) {
    let (mut client, mut answered, mut refused) = (Client::new(addr), 0, 0);
    let body = crate::stage::chat("auto", "more", false);
    while !stop.load(Ordering::Relaxed) {
        let answer = client.post(CHAT, &key, &body).await.expect("an answer");
        if answer.status == 200 {
            answered += 1;
            continue;
        }
        let (wait, said) = (answer.header("retry-after").parse::<u64>().expect("a time to wait"), answer.json());
        assert!(answer.status == 503 && (1..=8).contains(&wait), "{} {wait} {said}", answer.status);
        assert_eq!(answer.header("x-autarky-attempts"), "0");
        assert!(said["error"]["message"].as_str().is_some_and(|text| text.contains("Retry-After")), "{said}");
        refused += 1;
    }
    (answered, refused)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_critical_are_answered_while_others_are_refused() {
    let pace = Rule { pace: Some(Pace { first_ms: 40, event_ms: 0 }), ..Rule::default() };
    let provider = Provider::start(Script { rules: vec![pace], ..Script::default() }).await.expect("a provider");
    let rules =
        "[product.vital]\ncriticality = \"critical\"\n[product.usual]\n[product.batch]\ncriticality = \"low\"\n";
    let stage = Stage::start(&format!("in_flight = 20\n{}{rules}", leg("one", provider.addr(), 0)));
    let keys = ["vital", "usual", "batch"].map(|product| key(&stage, product));
    until("the keys are in force", async || {
        let body = crate::stage::chat("auto", "hi", false);
        let mut statuses = Vec::new();
        for key in &keys {
            statuses.push(stage.client().post(CHAT, key, &body).await.expect("an answer").status);
        }
        (statuses == [200, 200, 200]).then_some(())
    })
    .await;
    let stop = Arc::new(AtomicBool::new(false));
    let (mut batch, mut usual) = (JoinSet::new(), JoinSet::new());
    for _ in 0..20 {
        batch.spawn(press(stage.addr, keys[2].clone(), Arc::clone(&stop)));
    }
    for _ in 0..10 {
        usual.spawn(press(stage.addr, keys[1].clone(), Arc::clone(&stop)));
    }
    until("batch work is refused", async || {
        (stage.metric("autarky_requests_shed_total", &["batch"]).await > 0.0).then_some(())
    })
    .await;
    let vital = keys[0].clone();
    let mut wanted = load(stage.addr, 200, move |number| {
        let mut one = shot(number, false);
        one.headers.push(("authorization".to_owned(), format!("Bearer {vital}")));
        one
    });
    (wanted.tasks, wanted.limit) = (3, PATIENCE);
    let told = run(wanted).await;
    let health = stage.say_whatever(&["health", "--url", &format!("http://{}", stage.addr), "--format", "json"]);
    stop.store(true, Ordering::Relaxed);
    let sum = |all: Vec<(u64, u64)>| all.into_iter().fold((0, 0), |sum, one| (sum.0 + one.0, sum.1 + one.1));
    let (batch, usual) = (sum(batch.join_all().await), sum(usual.join_all().await));
    let right = told.iter().filter(|one| one.right).count();
    assert_eq!(right, told.len(), "{:?}", told.iter().find(|one| !one.right));
    assert!(batch.0 > 0 && batch.1 > 0 && usual.0 > 0, "batch {batch:?}, usual {usual:?}");
    let share = |(answered, refused): (u64, u64)| refused as f64 / (answered + refused) as f64;
    assert!(share(batch) >= share(usual), "batch {batch:?}, usual {usual:?}");
    let health: Value = serde_json::from_str(&health).expect("JSON");
    let rooms: Vec<_> = health["load"]["products"]
        .as_array()
        .expect("products")
        .iter()
        .map(|one| (one["product"].clone(), one["room"].clone()))
        .collect();
    for (product, room) in [("batch", 14), ("usual", 17), ("vital", 20)] {
        assert!(rooms.contains(&(product.into(), room.into())), "{health}");
    }
    println!(
        "overload: {right} of {} critical requests answered; usual {usual:?} and batch {batch:?} answered and refused",
        told.len()
    );
}
