//! The policy on the running binary: a change of it breaks no stream, a budget is never passed however many callers come
//! and go, a conversation stays where its prompt is cached, and every choice can be explained, before and after.

use crate::stage::{ANONYMOUS, CHAT, Stage, chat, leg, load, question, settled, shot};
use ledger::{Attempt, Outcome};
use serde_json::Value;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};
use testkit::process::run;
use testkit::provider::{Answer as Says, Fault, Pace, Provider, Record, Rule, Script, UsageSpec, When};
use tokio::sync::Notify;

async fn provider(rules: Vec<Rule>) -> Provider {
    Provider::start(Script { rules, ..Script::default() }).await.expect("a provider")
}

fn unix_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970");
    u64::try_from(since.as_millis()).expect("small")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_change_of_policy_is_in_force_within_a_second_and_breaks_no_stream() {
    const REQUESTS: u64 = 300;
    let pace = || Rule { pace: Some(Pace { first_ms: 20, event_ms: 5 }), ..Rule::default() };
    let (cheap, best) = (provider(vec![pace()]).await, provider(vec![pace()]).await);
    let rules = |prefer: &str| {
        leg("cheap", cheap.addr(), 0)
            + "quality = 0.6\nprice = { input = 1, output = 1 }\n"
            + &leg("best", best.addr(), 0)
            + "quality = 0.9\nprice = { input = 10, output = 10 }\n"
            + ANONYMOUS
            + &format!("prefer = \"{prefer}\"\n")
    };
    let stage = Stage::start(&rules("cost"));
    let middle = Arc::new(Notify::new());
    let tell = Arc::clone(&middle);
    let load = load(stage.addr, REQUESTS, move |number| {
        if number == REQUESTS / 2 {
            tell.notify_one();
        }
        shot(number, number % 4 != 0)
    });
    let (told, changed) = tokio::join!(run(load), async {
        middle.notified().await;
        let changed = unix_ms();
        stage.configure(&rules("quality"));
        changed
    });
    let broken: Vec<_> = told.iter().filter(|one| !one.right).collect();
    assert!(broken.is_empty(), "{broken:?}");
    let arrivals =
        |provider: &Provider| -> Vec<u64> { provider.log().iter().map(|record| record.arrival.unix_ms).collect() };
    let (old, new) = (arrivals(&cheap), arrivals(&best));
    assert_eq!((old.len() + new.len()) as u64, REQUESTS, "each was asked once");
    assert!(new.iter().all(|at| *at >= changed), "nobody asked the best one before");
    let last = old.iter().max().copied().unwrap_or_default().saturating_sub(changed);
    println!("policy: {} requests by the old one, {} by the new one, in force after {last} ms", old.len(), new.len());
    assert!(!new.is_empty() && last < 1_000, "the old policy was in force for {last} ms more");
}

/// A dollar a token of the answer, twenty tokens at most: ten calls.
const TEN: &str = "anonymous = true\nlast_resort = []\ntakeover = { on = false }\nbudget = { usd_day = 200 }\n";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_hundred_connections_spend_no_more_than_a_budget_for_ten_calls() {
    let slow = Rule { pace: Some(Pace { first_ms: 30, event_ms: 5 }), ..Rule::default() };
    let fails = |every, fault| Rule {
        when: When { every: Some(every), from: Some(3), ..When::default() },
        fault: Some(fault),
        ..slow.clone()
    };
    let refuse = Fault::Status { status: 400, retry_after: None, trouble: None };
    let rules = vec![fails(5, refuse), fails(7, Fault::Cut { after: 4, close: false }), slow.clone()];
    let provider = provider(rules).await;
    let dear = leg("dear", provider.addr(), 0) + "price = { input = 0, output = 1000000 }\n";
    let stage = Stage::start(&format!("{dear}[product.default]\n{TEN}"));
    let mut load = load(stage.addr, 200, |number| {
        let mut shot = shot(number, number % 3 != 0);
        let mut body: Value = serde_json::from_slice(&shot.body).expect("JSON");
        body["max_tokens"] = 20.into();
        shot.body = body.to_string().into();
        shot.leave_after = (number % 4 == 0).then_some(2);
        shot
    });
    load.tasks = 200;
    let told = run(load).await;
    settled(&provider).await;
    let answered = told.iter().filter(|one| one.status == Some(200)).count();
    assert!(answered > 0 && told.iter().any(|one| one.status == Some(429)), "{answered} of 200 were answered");
    // Nothing is left reserved: what is left can be spent to the last call.
    let mut more = 0;
    loop {
        let mut body = chat("auto", &question(1_000 + more), false);
        body["max_tokens"] = 20.into();
        let answer = stage.client().post(CHAT, "", &body).await.expect("an answer");
        if answer.status == 429 {
            assert_eq!(answer.json()["error"]["code"], "budget_exceeded");
            break;
        }
        more += 1;
        assert!(more < 100, "the budget has no end");
    }
    settled(&provider).await;
    let asked = provider.log().len();
    let over = |rows: &[Attempt]| rows.len() == asked && rows.iter().all(|row| row.outcome != Outcome::Open);
    let rows = stage.rows("every call has its row, and all are over", over).await;
    // By the provider's log: whoever was left or broke off charges what was sent.
    let answered_here = |record: &&Record| record.end.status == Some(200);
    let charge = |record: &Record| record.end.usage.map_or(record.end.events, |counts| counts.output).min(20);
    let charged: u64 = provider.log().iter().filter(answered_here).map(charge).sum();
    let spent: i64 = rows.iter().filter_map(|row| row.cost_nanodollars).sum();
    // What the books can hold: what was reported, and a whole answer where nothing was.
    let held = |row: &Attempt| match (row.outcome, row.cost_nanodollars) {
        (_, Some(cost)) => cost,
        (Outcome::Failed, None) if row.status == Some(400) => 0,
        _ => 20_000_000_000,
    };
    let most: i64 = rows.iter().map(held).sum();
    println!(
        "budget of 200: {answered} and {more} answered, {charged} charged, {} in the ledger",
        spent / 1_000_000_000
    );
    assert!(charged <= 200 && spent <= 200_000_000_000, "{charged} charged, {spent} in the ledger");
    assert!(most > 180_000_000_000, "at most {most} can be in the books, so something else is still reserved");
}

#[tokio::test]
async fn a_conversation_stays_where_its_prompt_is_cached() {
    let says = |cached| Rule {
        answer: Some(Says {
            usage: Some(UsageSpec { input: Some(1_800), cached: Some(cached), ..UsageSpec::default() }),
            ..Says::default()
        }),
        ..Rule::default()
    };
    let (one, two) = (provider(vec![says(900)]).await, provider(vec![says(900)]).await);
    let price = "price = { input = 10, cache_read = 1, output = 10 }\n";
    let legs = leg("one", one.addr(), 0) + price + &leg("two", two.addr(), 0) + price;
    let stage = Stage::start(&format!("{legs}{ANONYMOUS}prefer = \"cost\"\n"));
    let mut firsts = BTreeMap::new();
    for conversation in 0..12 {
        let long = format!("conversation {conversation}: {}", "all that was said before ".repeat(300));
        let mut body = chat("auto", &long, false);
        let mut at = Vec::new();
        for turn in 0..5 {
            let answer = stage.client().post(CHAT, "", &body).await.expect("an answer");
            assert_eq!(answer.status, 200);
            at.push(answer.header("x-autarky-deployment").to_owned());
            let said = answer.json()["choices"][0]["message"].clone();
            let messages = body["messages"].as_array_mut().expect("messages");
            messages.extend([said, serde_json::json!({"role": "user", "content": format!("and then {turn}?")})]);
        }
        assert!(at.iter().all(|by| *by == at[0]), "{at:?}");
        *firsts.entry(at[0].clone()).or_insert(0) += 1;
    }
    assert_eq!(firsts.len(), 2, "different conversations still share the load: {firsts:?}");
}

#[tokio::test]
async fn what_another_configuration_would_move_is_told_and_every_choice_explained() {
    let slow = Rule { pace: Some(Pace { first_ms: 120, event_ms: 0 }), ..Rule::default() };
    let (fast, cheap) = (provider(vec![]).await, provider(vec![slow]).await);
    let legs = leg("fast", fast.addr(), 0)
        + "quality = 0.8\nprice = { input = 10, output = 10 }\nmaker = \"m\"\n"
        + &leg("cheap", cheap.addr(), 1)
        + "quality = 0.7\nprice = { input = 1, output = 1 }\nmaker = \"m\"\nregion = \"us\"\n"
        + &leg("away", cheap.addr(), 2)
        + "region = \"cn\"\n";
    let product = |rules: &str| {
        format!("[product.default]\nanonymous = true\nneeds = {{ parties_forbidden = [\"region:cn\"] }}\n{rules}")
    };
    let stage = Stage::start(&format!("{legs}{}", product("")));
    let mut answers = Vec::new();
    for number in 0..40 {
        let model = if number < 35 { "auto" } else { "cheap" };
        let answer = stage.client().post(CHAT, "", &chat(model, &question(number), number % 2 == 0)).await;
        answers.push(answer.expect("an answer"));
    }
    stage.rows("all rows are over", |rows| rows.iter().filter(|row| row.outcome == Outcome::Ok).count() == 40).await;
    let why = stage.say(&["why", answers[0].header("x-autarky-request-id")]);
    for line in
        ["candidate fast                     planned, score", "candidate away                     dropped: party"]
    {
        assert!(why.contains(line), "{why}");
    }
    assert_eq!(why.matches("candidate ").count(), 3, "each once: {why}");

    let file = |name: &str, rules: &str| {
        let text = format!("[server]\ndata = {:?}\n{legs}{}", stage.folder.path().join("data"), product(rules));
        std::fs::write(stage.folder.path().join(name), text).expect("written");
    };
    file("same.toml", "");
    file("thrifty.toml", "prefer = \"cost\"\n");
    file("quick.toml", "prefer = \"latency\"\nsubstitute = \"free\"\n");
    let diff = |name: &str| -> Value {
        let said = stage.say(&["plan", "--product", "default", "--diff", name, "--since", "1d", "--format", "json"]);
        serde_json::from_str(&said).expect("JSON")
    };
    let same = diff("same.toml");
    assert_eq!((&same["total"]["requests"], &same["total"]["moved"]), (&40.into(), &0.into()));
    let number = |value: &Value| value["value"].as_f64().expect("a number");
    assert!((number(&same["total"]["cost"]) - number(&same["total"]["cost_before"])).abs() < 1e-12);
    assert!((number(&same["total"]["first_token"]) - number(&same["total"]["first_token_before"])).abs() < 1e-12);
    let thrifty = diff("thrifty.toml");
    assert_eq!(thrifty["total"]["moved"], 35, "{thrifty:#}");
    assert!(number(&thrifty["total"]["first_token"]) > number(&thrifty["total"]["first_token_before"]), "it is slower");
    let shares: Vec<_> = thrifty["shares"]
        .as_array()
        .expect("shares")
        .iter()
        .map(|one| (one["deployment"].as_str().unwrap_or("?"), one["before"].as_u64(), one["after"].as_u64()))
        .collect();
    assert_eq!(shares, [("cheap", Some(5), Some(40)), ("fast", Some(35), Some(0))]);
    let quick = diff("quick.toml");
    assert_eq!(quick["total"]["moved"], 5, "who was asked for by name may now be answered by the fast one: {quick:#}");
    let text = stage.say(&["plan", "--diff", "thrifty.toml"]);
    for line in ["with thrifty.toml:", "SHARES", "first token"] {
        assert!(text.contains(line), "{text}");
    }
    let text = stage.say(&["plan", "--product", "default"]);
    assert!(
        text.contains("1. `fast`") && text.contains("dropped, party (has a party that is forbidden): `away`"),
        "{text}"
    );
}

#[tokio::test]
async fn check_tells_of_losses_that_are_not_survived_and_of_notice() {
    let provider = provider(vec![]).await;
    let legs = leg("one", provider.addr(), 0) + "maker = \"a\"\ncontract = \"c\"\n" + &leg("two", provider.addr(), 1);
    let soon = (jiff::Timestamp::now() + jiff::SignedDuration::from_hours(2_400)).to_string();
    let soon = &soon[..10];
    let rules = format!(
        "[contract.c]\nwith = \"a\"\nends = \"{soon}\"\nnotice_days = 60\n{legs}maker = \"b\"\n\
         [product.default]\nanonymous = true\nlast_resort = []\ncover = {{ survive = [\"maker:*\", \"account:*\"] }}\n\
         [product.barred]\nneeds = {{ regions = [\"eu\"] }}\nlast_resort = []\n"
    );
    let stage = Stage::start(&rules);
    let output = stage.command(&["check"]);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    for line in [
        "survives the loss of `maker:a` on paper only: `two` in the place of `one` is not proven (none)",
        "notice of contract `c` can last be given on",
        "nobody may answer product `barred` (2 × region)",
        "autarky.toml:",
    ] {
        assert!(said.contains(line), "{line:?} is not in {said}");
    }
    assert!(output.status.success());
    assert!(!stage.command(&["check", "--strict"]).status.success());
}

#[tokio::test]
async fn what_a_contract_makes_us_pay_is_used_first() {
    let provider = provider(vec![]).await;
    let legs = leg("paid", provider.addr(), 0)
        + "contract = \"c\"\nprice = { input = 0, output = 1000000 }\n"
        + &leg("cheap", provider.addr(), 0)
        + "price = { input = 0, output = 1 }\n";
    let contract = "[contract.c]\nwith = \"a\"\ncommit_usd_month = 25\n";
    let mut stage = Stage::start(&format!("{contract}{legs}{ANONYMOUS}prefer = \"cost\"\n"));
    let mut body = chat("auto", &question(1), false);
    body["max_tokens"] = 20.into();
    let by = async |stage: &Stage| {
        let answer = stage.client().post(CHAT, "", &body).await.expect("an answer");
        answer.header("x-autarky-deployment").to_owned()
    };
    assert_eq!(by(&stage).await, "paid", "20 of the 25 dollars cost nothing more");
    assert_eq!(by(&stage).await, "cheap", "what is left is not enough for a whole answer");
    stage.rows("both rows", |rows| rows.iter().filter(|row| row.outcome == Outcome::Ok).count() == 2).await;
    stage.restart();
    assert_eq!(by(&stage).await, "cheap", "a restart forgets nothing");
}
