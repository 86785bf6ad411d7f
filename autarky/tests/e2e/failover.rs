//! Whatever the first provider shows, whenever it shows it, the client gets one complete answer; and where the rules
//! forbid that, an honest end.

use crate::stage::{CHAT, Stage, chat, ear, leg, question, settled};
use ledger::{Attempt, Mode, Outcome, UsageSource};
use serde_json::Value;
use std::fmt::Write as _;
use testkit::grammar::{Asked, Ended, Heard};
use testkit::process::Answer;
use testkit::provider::{Fault, Pace, Provider, Rule, Script, Trouble, When, expected_answer};

/// A fault, which kinds of answers it is tried on, and what the ledger may call it.
struct Case {
    name: &'static str,
    fault: Fault,
    whole: bool,
    stream: bool,
    called: &'static [&'static str],
}

/// A connection that breaks before the first token, before or after the headers left.
const CUT: [&str; 2] = ["upstream_unreachable", "upstream_cut"];

fn status(status: u16) -> Fault {
    Fault::Status { status, retry_after: None, trouble: None }
}

/// What goes wrong before the first token.
fn before() -> Vec<Case> {
    let case = |name, fault, called| Case { name, fault, whole: true, stream: true, called };
    let whole = |name, fault, called| Case { name, fault, whole: true, stream: false, called };
    vec![
        case("500", status(500), &["server_error"]),
        case("503", status(503), &["overloaded"]),
        case("529", status(529), &["overloaded"]),
        case("429", status(429), &["rate_limit_exceeded"]),
        case(
            "quota",
            Fault::Status { status: 429, retry_after: Some(1.0), trouble: Some(Trouble::Quota) },
            &["insufficient_quota"],
        ),
        case("401", status(401), &["invalid_api_key"]),
        case("403", status(403), &["permission_denied"]),
        case("404", status(404), &["not_found"]),
        case("413", status(413), &["request_too_large"]),
        case(
            "context",
            Fault::Status { status: 400, retry_after: None, trouble: Some(Trouble::ContextLength) },
            &["context_length_exceeded"],
        ),
        case("reset", Fault::Reset, &["upstream_unreachable"]),
        case("close", Fault::Close, &["upstream_unreachable"]),
        case("html", Fault::Html, &["upstream_malformed"]),
        case("empty", Fault::Empty, &["upstream_malformed", "upstream_cut"]),
        whole("half-json", Fault::TruncatedJson, &["upstream_malformed"]),
        case(
            "error-first",
            Fault::ErrorEvent { after: 0, trouble: Trouble::Overloaded },
            &["overloaded", "server_error"],
        ),
        case("cut-first", Fault::Cut { after: 0, close: false }, &CUT),
        case("closed-first", Fault::Cut { after: 0, close: true }, &CUT),
        case("no-end", Fault::NoTerminator { after: Some(0) }, &["upstream_cut", "upstream_malformed"]),
        case("silent", Fault::Silent, &["upstream_first_token_timeout"]),
        case("slow", Fault::SlowFirst { ms: 5_000, headers: false }, &["upstream_first_token_timeout"]),
        case("stalled-first", Fault::Stall { after: 0, ms: None }, &["upstream_first_token_timeout"]),
    ]
}

/// What goes wrong after some words.
fn after() -> Vec<Case> {
    let case = |name, fault, called| Case { name, fault, whole: false, stream: true, called };
    vec![
        case("cut", Fault::Cut { after: 5, close: false }, &["upstream_cut"]),
        case("closed", Fault::Cut { after: 5, close: true }, &["upstream_cut"]),
        case("ended", Fault::NoTerminator { after: Some(5) }, &["upstream_cut"]),
        case("stalled", Fault::Stall { after: 5, ms: None }, &["upstream_stalled"]),
        case("error", Fault::ErrorEvent { after: 5, trouble: Trouble::Server }, &["server_error"]),
        case("garbled", Fault::Malformed { after: 5 }, &["upstream_malformed"]),
        case("half-event", Fault::TruncatedJson, &["upstream_cut", "upstream_malformed"]),
    ]
}

/// A gateway whose deployments fail as their names say, each with `good` behind it.
async fn fleet(cases: &[Case], rule: &str) -> (Provider, Stage) {
    let mut script = Script::default();
    let mut rules = String::new();
    let mut aliases = String::new();
    let provider = Provider::start(Script::default()).await.expect("a provider");
    for case in cases {
        for (mode, tried) in [("whole", case.whole), ("stream", case.stream)] {
            if !tried {
                continue;
            }
            let name = format!("{}-{mode}", case.name);
            rules.push_str(&leg(&name, provider.addr(), 0));
            write!(aliases, "\"try-{name}\" = [\"{name}\", \"good\"], ").expect("written");
            let when = When { model: Some(format!("model-{name}")), ..When::default() };
            script.rules.push(Rule { when, fault: Some(case.fault.clone()), ..Rule::default() });
        }
    }
    // Slow enough that events travel one by one.
    script.rules.push(Rule { pace: Some(Pace { first_ms: 0, event_ms: 2 }), ..Rule::default() });
    rules.push_str(&leg("good", provider.addr(), 1));
    let product = "[product.default]\nanonymous = true\nsubstitute = \"never\"\n\
                   timeouts = { first_token_ms = 400, whole_ms = 1000, silence_ms = 400, deadline_ms = 20000 }\n";
    let stage = Stage::start(&format!("{rules}{product}{rule}aliases = {{ {} }}\n", aliases.trim_end_matches(", ")));
    provider.script(script);
    (provider, stage)
}

async fn ask(stage: &Stage, model: &str, question: &str, stream: bool) -> Answer {
    stage.client().post(CHAT, "", &chat(model, question, stream)).await.expect("an answer")
}

#[tokio::test]
async fn every_fault_before_the_first_token_is_answered_by_the_second() {
    let cases = before();
    let (provider, stage) = fleet(&cases, "").await;
    let (mut wrong, mut number) = (Vec::new(), 0);
    for case in &cases {
        for (stream, mode) in [(false, "whole"), (true, "stream")] {
            if !(if stream { case.stream } else { case.whole }) {
                continue;
            }
            number += 1;
            provider.clear_log();
            let name = format!("{}-{mode}", case.name);
            let question = question(number);
            let answer = ask(&stage, &format!("try-{name}"), &question, stream).await;
            let asked = Asked { usage: Some(false), n: Some(1) };
            let heard = if stream { ear().stream(&answer.body, &asked) } else { ear().unary(&answer.body) };
            let headers = ["x-autarky-deployment", "x-autarky-attempts", "x-autarky-degraded"];
            let rows = stage.story(&answer).await;
            let ends: Vec<_> =
                rows.iter().map(|row| (row.deployment.as_deref().unwrap_or_default(), row.outcome)).collect();
            let fault = rows[0].fault.map_or("", canon::FaultKind::name);
            let asked: Vec<_> = provider.log().iter().filter_map(|row| row.arrival.model.clone()).collect();
            let good = answer.status == 200
                && heard.is_well()
                && heard.text() == expected_answer(&question)
                && headers.map(|name| answer.header(name)) == ["good", "2", ""]
                && ends == [(name.as_str(), Outcome::Failed), ("good", Outcome::Ok)]
                && case.called.contains(&fault)
                && asked == [format!("model-{name}"), "model-good".to_owned()];
            if !good {
                let body = String::from_utf8_lossy(&answer.body).into_owned();
                wrong.push(format!(
                    "{name}: {} {ends:?} `{fault}` {asked:?} {:?}\n{body}",
                    answer.status, heard.violations
                ));
            }
        }
    }
    assert!(wrong.is_empty(), "{} of {number}:\n{}", wrong.len(), wrong.join("\n"));
    println!("failover: {number} faults before the first token, each answered by the second deployment");
    settled(&provider).await;
}

/// Asks each case of `after` as a stream, and gives what was heard and written of it.
async fn broken(
    stage: &Stage,
    cases: &[Case],
    attempts: usize,
    check: impl Fn(&Case, &str, &Heard, &[Attempt]) -> bool,
) {
    let mut wrong = Vec::new();
    for (number, case) in (1..).zip(cases) {
        let question = question(number);
        let answer = ask(stage, &format!("try-{}-stream", case.name), &question, true).await;
        let heard = ear().stream(&answer.body, &Asked { usage: Some(false), n: Some(1) });
        let rows = stage.story_of(&answer, attempts).await;
        let fault = rows[0].fault.map_or("", canon::FaultKind::name);
        if !check(case, &question, &heard, &rows) || !case.called.contains(&fault) || !heard.violations.is_empty() {
            let body = String::from_utf8_lossy(&answer.body).into_owned();
            let ends: Vec<_> = rows.iter().map(|row| (row.outcome, row.mode)).collect();
            wrong.push(format!("{}: {:?} `{fault}` {ends:?} {:?}\n{body}", case.name, heard.ended, heard.violations));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[tokio::test]
async fn a_stream_that_breaks_is_finished_by_another_deployment() {
    let cases = after();
    let (provider, stage) = fleet(&cases, "").await;
    broken(&stage, &cases, 2, |_, question, heard, rows| {
        let ends: Vec<_> = rows.iter().map(|row| (row.outcome, row.mode)).collect();
        heard.ended == Ended::Complete
            && heard.text() == expected_answer(question)
            && ends == [(Outcome::Failed, Mode::Live), (Outcome::Ok, Mode::Takeover)]
    })
    .await;
    settled(&provider).await;
}

#[tokio::test]
async fn where_takeovers_are_forbidden_a_broken_stream_never_ends_as_if_it_were_whole() {
    let cases = after();
    let (provider, stage) = fleet(&cases, "takeover = { on = false }\n").await;
    broken(&stage, &cases, 1, |_, question, heard, rows| {
        let said = !heard.text().is_empty() && expected_answer(question).starts_with(heard.text());
        heard.ended == Ended::Error && said && (rows.len(), rows[0].outcome) == (1, Outcome::Failed)
    })
    .await;
    settled(&provider).await;
}

#[tokio::test]
async fn a_stream_that_breaks_between_its_choices_is_broken() {
    // The first choice is whole, the second never begins.
    let events = expected_answer("hi").split(' ').count() + 2;
    for (close, rule) in [(false, ""), (true, ""), (true, "takeover = { on = false }\n")] {
        let cut = Rule { fault: Some(Fault::Cut { after: events, close }), ..Rule::default() };
        let provider = Provider::start(Script { rules: vec![cut], ..Script::default() }).await.expect("a provider");
        let rules = format!("{}{}{rule}", leg("one", provider.addr(), 0), crate::stage::ANONYMOUS);
        let stage = Stage::start(&rules);
        let mut body = chat("one", "hi", true);
        body["n"] = Value::from(2);
        let answer = stage.client().post(CHAT, "", &body).await.expect("an answer");
        let heard = ear().stream(&answer.body, &Asked { usage: Some(false), n: None });
        let told = String::from_utf8_lossy(&answer.body).into_owned();
        assert_eq!((heard.ended, heard.choices.len(), heard.text()), (Ended::Error, 1, expected_answer("hi").as_str()));
        assert!(heard.choices[&0].finish.is_some(), "{told}");
        let row = &stage.story_of(&answer, 1).await[0];
        assert_eq!((row.outcome, row.usage_source), (Outcome::Failed, UsageSource::Counted));
    }
}

#[tokio::test]
async fn when_nobody_answers_the_client_hears_why() {
    let provider = Provider::start(Script {
        rules: vec![Rule { fault: Some(status(503)), ..Rule::default() }],
        ..Script::default()
    });
    let provider = provider.await.expect("a provider");
    let legs = leg("one", provider.addr(), 0) + &leg("two", provider.addr(), 1);
    let stage = Stage::start(&format!("{legs}{}", crate::stage::ANONYMOUS));
    for stream in [false, true] {
        let answer = ask(&stage, "auto", "hi", stream).await;
        assert_eq!(answer.status, 503, "a failure before the first byte is a status, streamed or not");
        assert_eq!(answer.json()["error"]["type"], Value::from("server_error"));
    }
}

#[tokio::test]
async fn a_request_that_is_wrong_is_not_tried_elsewhere() {
    let provider = Provider::start(Script::default()).await.expect("a provider");
    let legs = leg("one", provider.addr(), 0) + &leg("two", provider.addr(), 1);
    let stage = Stage::start(&format!("{legs}{}", crate::stage::ANONYMOUS));
    let mut body = chat("auto", "hi", false);
    body["temperature"] = Value::from(9);
    let answer = stage.client().post(CHAT, "", &body).await.expect("an answer");
    let error = &answer.json()["error"];
    assert_eq!((answer.status, error["type"].as_str()), (400, Some("invalid_request_error")), "{error}");
    assert_eq!((answer.header("x-autarky-attempts"), provider.log().len()), ("1", 1));
}

#[tokio::test]
async fn a_client_that_leaves_stops_the_call_for_it() {
    let slow = Rule { pace: Some(Pace { first_ms: 30_000, event_ms: 0 }), ..Rule::default() };
    let provider = Provider::start(Script { rules: vec![slow], ..Script::default() }).await.expect("a provider");
    let stage = Stage::start(&format!("{}{}", leg("one", provider.addr(), 0), crate::stage::ANONYMOUS));
    for stream in [false, true] {
        let mut client = stage.client();
        let body = chat("auto", "hi", stream);
        let asked = client.post_stream(CHAT, "", &body);
        // Leaves as soon as the provider has the question.
        tokio::select! {
            answer = asked => assert!(answer.is_err(), "nothing was to be answered"),
            () = crate::stage::until("the question arrives", async || (provider.open() > 0).then_some(())) => {}
        }
        drop(client);
        settled(&provider).await;
    }
    let rows = stage.rows("both rows", |rows| rows.iter().filter(|row| row.outcome.is_final()).count() == 2).await;
    assert!(rows.iter().all(|row| row.outcome == Outcome::Cancelled), "{rows:?}");
    assert!(provider.log().iter().all(|row| row.end.outcome == testkit::provider::Outcome::ClientLeft));
}
