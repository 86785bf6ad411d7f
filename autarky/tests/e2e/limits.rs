//! What is limited stays limited: requests, tokens and money of products and deployments, second calls for slow ones,
//! and the ways that are not gone round.

use crate::stage::{CHAT, Stage, chat, leg, question, settled, until};
use ledger::{Mode, Outcome};
use std::collections::BTreeMap;
use std::time::{Duration, Instant};
use testkit::process::Answer;
use testkit::provider::{Fault, Pace, Provider, Rule, Script, Trouble, When, expected_answer};

fn product(rules: &str) -> String {
    format!("[product.default]\nanonymous = true\nlast_resort = []\n{rules}")
}

async fn ask(stage: &Stage, question: &str) -> Answer {
    let mut body = chat("auto", question, false);
    body["max_tokens"] = 20.into();
    stage.client().post(CHAT, "", &body).await.expect("an answer")
}

async fn quick() -> Provider {
    Provider::start(Script::default()).await.expect("a provider")
}

/// A rule for requests of one model.
fn of(model: &str, rule: Rule) -> Rule {
    Rule { when: When { model: Some(format!("model-{model}")), ..rule.when }, ..rule }
}

fn status(status: u16, trouble: Option<Trouble>) -> Rule {
    Rule { fault: Some(Fault::Status { status, retry_after: None, trouble }), ..Rule::default() }
}

/// Who answered.
fn by(answer: &Answer) -> (u16, &str, &str) {
    (answer.status, answer.header("x-autarky-deployment"), answer.header("x-autarky-attempts"))
}

#[tokio::test]
async fn a_product_and_a_deployment_keep_their_limits() {
    let provider = quick().await;
    let legs = leg("one", provider.addr(), 0) + "limits = { rpm = 1 }\n" + &leg("two", provider.addr(), 1);
    let stage = Stage::start(&format!("{legs}{}", product("limits = { rpm = 3 }\n")));
    assert_eq!(by(&ask(&stage, "a").await), (200, "one", "1"));
    assert_eq!(by(&ask(&stage, "b").await), (200, "two", "1"), "the first one is full");
    assert_eq!(by(&ask(&stage, "c").await), (200, "two", "1"));
    let refused = ask(&stage, "d").await;
    let wait: u64 = refused.header("retry-after").parse().expect("a time to wait");
    assert!((refused.status, refused.header("x-autarky-attempts")) == (429, "0") && (1..=61).contains(&wait), "{wait}");
    let message = refused.json()["error"]["message"].to_string();
    assert!(message.contains("`default`") && message.contains("`rpm`"), "{message}");
    assert_eq!(provider.log().len(), 3);
}

#[tokio::test]
async fn what_a_provider_says_is_left_is_believed() {
    let (one, two) = (quick().await, quick().await);
    let headers = [("x-ratelimit-remaining-requests", "0"), ("x-ratelimit-reset-requests", "30s")];
    let headers: BTreeMap<_, _> = headers.map(|(name, value)| (name.to_owned(), value.to_owned())).into();
    one.script(Script { rules: vec![Rule { headers, ..Rule::default() }], ..Script::default() });
    let stage = Stage::start(&(leg("one", one.addr(), 0) + &leg("two", two.addr(), 1) + &product("")));
    assert_eq!(by(&ask(&stage, "a").await), (200, "one", "1"));
    assert_eq!(by(&ask(&stage, "b").await), (200, "two", "1"), "it has said that nothing is left");
    assert_eq!(one.log().len(), 1);
}

/// A dollar a token of the answer.
const DEAR: &str = "price = { input = 0, output = 1000000 }\n";
const FREE: &str = "price = { input = 0, output = 0 }\n";

#[tokio::test]
async fn a_budget_is_never_passed_however_many_ask_at_once() {
    let provider = quick().await;
    let slow = Rule { pace: Some(Pace { first_ms: 50, event_ms: 0 }), ..Rule::default() };
    provider.script(Script { rules: vec![slow], ..Script::default() });
    let legs = leg("dear", provider.addr(), 0) + DEAR;
    let mut stage = Stage::start(&format!("{legs}{}", product("budget = { usd_day = 70 }\n")));
    let asked = (0..12).map(|number| {
        let stage = &stage;
        async move { ask(stage, &question(number)).await.status }
    });
    let statuses = futures_util::future::join_all(asked).await;
    // 20 dollars are set aside for each: three fit at once.
    assert_eq!(statuses.iter().filter(|status| **status == 200).count(), 3, "{statuses:?}");
    assert!(statuses.iter().all(|status| matches!(status, 200 | 429)), "{statuses:?}");
    let rows = stage.rows("their rows", |rows| rows.iter().filter(|row| row.outcome == Outcome::Ok).count() == 3);
    let spent: i64 = rows.await.iter().filter_map(|row| row.cost_nanodollars).sum();
    assert!(spent > 30_000_000_000 && spent <= 60_000_000_000, "{spent}");
    let refused = ask(&stage, "x").await;
    assert_eq!(refused.status, 429, "what is left covers no further answer");
    assert_eq!(refused.json()["error"]["code"], "budget_exceeded");
    stage.restart();
    assert_eq!(ask(&stage, "y").await.status, 429, "a restart gives nothing back");
    assert_eq!(provider.log().len(), 3);
}

#[tokio::test]
async fn beyond_its_budget_a_product_is_answered_cheaper_or_with_an_alarm() {
    let provider = quick().await;
    for (over, second, degraded) in [("degrade", "cheap", "budget"), ("alert", "dear", "")] {
        let legs = leg("dear", provider.addr(), 0) + DEAR + &leg("cheap", provider.addr(), 1) + FREE;
        let rules = format!("budget = {{ usd_day = 25, over = \"{over}\" }}\n");
        let stage = Stage::start(&format!("{legs}{}", product(&rules)));
        assert_eq!(by(&ask(&stage, "a").await), (200, "dear", "1"));
        let answer = ask(&stage, "b").await;
        assert_eq!((by(&answer), answer.header("x-autarky-degraded")), ((200, second, "1"), degraded), "{over}");
    }
}

#[tokio::test]
async fn a_slow_first_token_lets_a_second_one_answer() {
    let (one, two) = (quick().await, quick().await);
    // From its 30th request on it takes ten seconds.
    let slow = Rule {
        when: When { from: Some(30), ..When::default() },
        fault: Some(Fault::SlowFirst { ms: 10_000, headers: true }),
        ..Rule::default()
    };
    one.script(Script { rules: vec![slow], ..Script::default() });
    let rules = product("hedge = { on = true, share = 0.1 }\n");
    let stage = Stage::start(&(leg("one", one.addr(), 0) + &leg("two", two.addr(), 1) + &rules));
    for number in 0..30 {
        assert_eq!(by(&ask(&stage, &question(number)).await), (200, "one", "1"));
    }
    let begun = Instant::now();
    let answer = ask(&stage, &question(30)).await;
    assert_eq!(by(&answer), (200, "two", "2"));
    assert!(begun.elapsed() < Duration::from_secs(5), "{:?}", begun.elapsed());
    let rows = stage.story(&answer).await;
    let ends: Vec<_> = rows.iter().map(|row| (row.mode, row.outcome)).collect();
    assert_eq!(ends, [(Mode::Live, Outcome::Cancelled), (Mode::Hedge, Outcome::Ok)]);
    settled(&one).await;
    // Three of thirty, one is spent: two more, then the slow one is waited for.
    for number in 31..33 {
        assert_eq!(by(&ask(&stage, &question(number)).await), (200, "two", "2"));
    }
    let last = question(33);
    let patient = tokio::time::timeout(Duration::from_millis(1_500), ask(&stage, &last));
    assert!(patient.await.is_err(), "hedges are a share of the requests, not more");
    assert_eq!(two.log().len(), 3);
}

#[tokio::test]
async fn a_filter_is_gone_round_only_where_the_product_says_so() {
    let provider = quick().await;
    let rules = vec![of("one", status(400, Some(Trouble::ContentFilter)))];
    provider.script(Script { rules, ..Script::default() });
    for (rule, expected) in [("", (400, "", "1")), ("on_filter = \"elsewhere\"\n", (200, "two", "2"))] {
        let legs = leg("one", provider.addr(), 0) + &leg("two", provider.addr(), 1);
        let stage = Stage::start(&format!("{legs}{}", product(rule)));
        assert_eq!(by(&ask(&stage, "a").await), expected);
    }
}

#[tokio::test]
async fn a_prompt_too_long_goes_to_a_larger_context_only() {
    let provider = quick().await;
    let rules = vec![of("one", status(400, Some(Trouble::ContextLength)))];
    provider.script(Script { rules, ..Script::default() });
    let legs = [("one", 4_000), ("two", 4_000), ("large", 100_000)];
    let legs: String = (0..)
        .zip(legs)
        .map(|(order, (name, context))| leg(name, provider.addr(), order) + &format!("context = {context}\n"))
        .collect();
    let stage = Stage::start(&format!("{legs}{}", product("")));
    assert_eq!(by(&ask(&stage, "a").await), (200, "large", "2"));
}

#[tokio::test]
async fn when_a_host_fails_its_other_deployments_are_spared() {
    let (down, up) = (quick().await, quick().await);
    down.script(Script { rules: vec![status(503, None)], ..Script::default() });
    let mut rules = format!("[provider.down]\nbase_url = \"http://{}/v1\"\nauth = \"none\"\n", down.addr());
    for (order, name) in (0..).zip(["a", "b", "c"]) {
        rules += &format!("[deployment.{name}]\nprovider = \"down\"\nmodel = \"model-{name}\"\norder = {order}\n");
    }
    let stage = Stage::start(&format!("{rules}{}{}", leg("up", up.addr(), 9), product("")));
    let answer = ask(&stage, &question(1)).await;
    assert_eq!(by(&answer), (200, "up", "3"), "two have failed, the third is not asked");
    assert_eq!(answer.json()["choices"][0]["message"]["content"], expected_answer(&question(1)));
    assert_eq!(by(&ask(&stage, "b").await), (200, "up", "1"), "the host's breaker is open");
    assert_eq!(down.log().len(), 2);
    until("the rows", async || (stage.story(&answer).await.len() == 3).then_some(())).await;
}
