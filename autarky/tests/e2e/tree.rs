//! Product, team, key: each within limits and a budget of its own, and none is passed however many ask at once.

use crate::admin::Office;
use crate::stage::{CHAT, Stage, chat, leg, question, settled};
use futures_util::future::join_all;
use ledger::Outcome;
use serde_json::{Value, json};
use testkit::process::{Answer, Client};
use testkit::provider::{Pace, Provider, Rule, Script};

/// A dollar a token of the answer, of which 20 are asked for.
const DEAR: &str = "price = { input = 0, output = 1000000 }\n";

async fn slow() -> Provider {
    let rules = vec![Rule { pace: Some(Pace { first_ms: 50, event_ms: 0 }), ..Rule::default() }];
    Provider::start(Script { rules, ..Script::default() }).await.expect("a provider")
}

async fn ask(stage: &Stage, key: &str, number: u64, stream: bool) -> Answer {
    let mut body = chat("auto", &question(number), stream);
    body["max_tokens"] = 20.into();
    stage.client().post(CHAT, key, &body).await.expect("an answer")
}

/// A key of `copilot`, in force.
async fn key(office: &Office, admin: &str, wish: Value) -> (String, String) {
    let mut body = json!({"product": "copilot"});
    body.as_object_mut().expect("an object").extend(wish.as_object().expect("an object").clone());
    let made = office.ask("POST", "/admin/keys", admin, Some(body)).await;
    assert_eq!(made.status, 201, "{made:?}");
    let text = |value: &Value| value.as_str().expect("a string").to_owned();
    (text(&made.json()["key"]["id"]), text(&made.json()["secret"]))
}

/// What is used of the limits of `name` (null: of the product itself).
async fn level(office: &Office, admin: &str, name: &Value) -> Value {
    let told = office.ask("GET", "/admin/budgets?product=copilot", admin, None).await.json();
    let found = told["levels"].as_array().expect("a list").iter().find(|level| level["name"] == *name).cloned();
    assert!(found.is_some(), "no level {name} in {told}");
    found.unwrap_or_default()
}

#[tokio::test]
async fn each_level_keeps_its_limits_and_says_whose_they_are() {
    let provider = Provider::start(Script::default()).await.expect("a provider");
    let rules = "[product.copilot]\nlimits = { rpm = 6 }\n[product.copilot.team.blue]\nlimits = { rpm = 4 }\n";
    let office = Office::start(&format!("{}{rules}", leg("one", provider.addr(), 0)));
    let (stage, admin) = (&office.stage, office.key(&[]).await);
    let (first, small) = key(&office, &admin, json!({"team": "blue", "limits": {"rpm": 2}})).await;
    let (_, large) = key(&office, &admin, json!({"team": "blue"})).await;
    let (_, lone) = key(&office, &admin, json!({})).await;
    for (key, good, whose) in [
        (&small, 2, format!("key `{first}`")),
        (&large, 2, "team `blue`".into()),
        (&lone, 2, "product `copilot`".into()),
    ] {
        for number in 0..good {
            assert_eq!(ask(stage, key, number, false).await.status, 200, "{whose} {number}");
        }
        let full = ask(stage, key, 9, false).await;
        let message = full.json()["error"]["message"].to_string();
        assert!(full.status == 429 && message.contains(&whose) && message.contains("`rpm`"), "{whose}: {message}");
        assert!(full.header("retry-after").parse::<u64>().is_ok_and(|wait| (1..=61).contains(&wait)), "{full:?}");
    }
    // What was refused counts nowhere else.
    assert_eq!(level(&office, &admin, &Value::Null).await["requests"], json!({"limit": 6, "used": 6}));
    assert_eq!(level(&office, &admin, &json!("blue")).await["requests"], json!({"limit": 4, "used": 4}));
    assert_eq!(provider.log().len(), 6);
    // A successor shares the limits of the key before it.
    let rotated = office.ask("POST", &format!("/admin/keys/{first}/rotate"), &admin, Some(json!({}))).await.json();
    let newer = rotated["secret"].as_str().expect("a secret");
    let full = ask(stage, newer, 1, false).await;
    assert!(full.status == 429 && full.json()["error"]["message"].to_string().contains("key `"), "{full:?}");
    // A team that is not written down would be within nobody's limits.
    let wrong = office.ask("POST", "/admin/keys", &admin, Some(json!({"product": "copilot", "team": "bleu"}))).await;
    assert!(wrong.status == 422 && wrong.json().to_string().contains("known: blue"), "{wrong:?}");
    let wrong = stage.command(&["keys", "create", "copilot", "--team", "bleu"]);
    assert!(!wrong.status.success() && String::from_utf8_lossy(&wrong.stderr).contains("known: blue"));
    // Endpoints of the provider's own go through the same door.
    let headers = [("authorization", format!("Bearer {large}"))];
    let headers: Vec<_> = headers.iter().map(|(name, value)| (*name, value.as_str())).collect();
    let passed =
        stage.client().send("GET", "/provider/one/files", &headers, bytes::Bytes::new()).await.expect("headers");
    assert_eq!(passed.status, 429);
}

#[tokio::test]
async fn no_budget_of_the_tree_is_passed_by_streams_failures_and_clients_that_leave() {
    let provider = slow().await;
    let rules = "[product.copilot]\nlast_resort = []\nbudget = { usd_day = 120 }\n\
                 [product.copilot.team.blue]\nbudget = { usd_day = 80 }\n";
    let mut office = Office::start(&format!("{}{DEAR}{rules}", leg("dear", provider.addr(), 0)));
    let admin = office.key(&[]).await;
    let (id, small) = key(&office, &admin, json!({"team": "blue", "limits": {"usd_day": 45}})).await;
    let (_, large) = key(&office, &admin, json!({"team": "blue"})).await;
    let (_, lone) = key(&office, &admin, json!({})).await;
    // 20 dollars are set aside for each: two of the small key fit at once, whole or streamed.
    let stage = &office.stage;
    let asked = (0..10).map(|number| ask(stage, &small, number, number % 2 == 0));
    let statuses: Vec<u16> = join_all(asked).await.iter().map(|answer| answer.status).collect();
    assert_eq!(statuses.iter().filter(|status| **status == 200).count(), 2, "{statuses:?}");
    let refused = ask(stage, &small, 90, false).await;
    let error = &refused.json()["error"];
    let message = error["message"].to_string();
    assert_eq!((refused.status, &error["code"]), (429, &json!("budget_exceeded")), "{message}");

    // Clients that leave at once give back what was set aside for them, but for what they used.
    for number in 20..24 {
        let body = json!({"model": "auto", "stream": true, "max_tokens": 20,
            "messages": [{"role": "user", "content": question(number)}]});
        let mut client = Client::new(stage.addr);
        let left = client.post_stream(CHAT, &large, &body);
        let _ = tokio::time::timeout(std::time::Duration::from_millis(10), left).await;
    }
    settled(&provider).await;
    let asked = [(&large, 30), (&lone, 40)]
        .map(|(key, from)| join_all((from..from + 10).map(|at| ask(stage, key, at, at % 2 == 0))));
    for answers in join_all(asked).await {
        assert!(answers.iter().all(|answer| matches!(answer.status, 200 | 429)), "{answers:?}");
    }
    let over = |rows: &[ledger::Attempt]| rows.iter().all(|row| row.outcome != Outcome::Open) && rows.len() >= 4;
    let rows = stage.rows("the rows", over).await;
    let of = |test: &dyn Fn(&ledger::Attempt) -> bool| -> i64 {
        rows.iter().filter(|row| test(row)).filter_map(|row| row.cost_nanodollars).sum()
    };
    let spent = [of(&|row| row.key.as_deref() == Some(&id)), of(&|row| row.team.is_some()), of(&|_| true)];
    for (spent, limit) in spent.into_iter().zip([45, 80, 120]) {
        assert!(spent > 0 && spent <= limit * 1_000_000_000, "{spent} of {limit} dollars");
    }
    for name in [Value::Null, json!("blue"), json!(id)] {
        let level = level(&office, &admin, &name).await;
        assert_eq!(level["reserved_usd"], json!(0.0), "something is still set aside: {level}");
        assert!(level["money"][1]["spent_usd"].as_f64() <= level["money"][1]["limit_usd"].as_f64(), "{level}");
    }
    // A restart gives nobody anything back.
    let before = level(&office, &admin, &json!(id)).await["money"][1]["spent_usd"].as_f64().expect("a number");
    office.restart();
    let after = level(&office, &admin, &json!(id)).await["money"][1]["spent_usd"].as_f64().expect("a number");
    let (dollars, known) = (1e9, spent[0]);
    #[expect(clippy::cast_precision_loss, reason = "a comparison in dollars")]
    let known = known as f64 / dollars;
    assert!((after - known).abs() < 1e-6 && before >= after, "{before} before, {after} after, {known} in the ledger");
    assert_eq!(ask(&office.stage, &small, 99, false).await.status, 429);
}
