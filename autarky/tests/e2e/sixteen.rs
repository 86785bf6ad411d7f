//! The sixteen faults of the public catalogue "Failover Bench" (September 2026), through every dialect, whole and
//! streamed: scored from what the client heard, from the provider's own log (how many calls, how far apart) and from
//! the ledger, which must agree with that log.

use crate::speak::{Wanted, speak};
use crate::stage::{PATIENCE, Stage, question, settled};
use canon::wire::DIALECTS;
use futures_util::{StreamExt, stream};
use ledger::{Attempt, Mode, Outcome, UsageSource};
use std::fmt::Write as _;
use std::time::{Duration, Instant};
use testkit::grammar::{Asked, Ended, grammar};
use testkit::provider::{
    Answer, Fault, Pace, Provider, Record, Rule, Script, Trouble, WIRES, When, expected_long_answer,
};

/// Tokens of every answer; streams break after 40 of them.
const TOKENS: usize = 60;

/// What the client must hear.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Hears {
    /// The whole answer.
    Whole,
    /// An error with this status.
    Error(u16),
}

/// One fault and how it must end.
struct Bench {
    name: &'static str,
    fault: Fault,
    /// Only the first call shows it.
    once: bool,
    /// Whether somebody else may answer.
    fallback: bool,
    hears: Hears,
    /// Calls upstream in all.
    calls: usize,
    /// The least and the greatest time between the first two, milliseconds.
    apart: (u64, u64),
}

fn status(status: u16, retry_after: Option<f64>, trouble: Option<Trouble>) -> Fault {
    Fault::Status { status, retry_after, trouble }
}

/// Thirteen that one request shows; the refused prefill is one more cell of them, the outage a test of its own, and the
/// accounting is looked at in all.
fn benches() -> Vec<Bench> {
    let at_once = (0, 3_000);
    let base =
        |name, fault| Bench { name, fault, once: false, fallback: true, hears: Hears::Whole, calls: 2, apart: at_once };
    vec![
        Bench { once: true, fallback: false, apart: (1_000, 4_000), ..base("429-once", status(429, Some(1.0), None)) },
        base("429", status(429, Some(30.0), None)),
        Bench { once: true, fallback: false, ..base("500-once", status(500, None, None)) },
        base("503", status(503, None, None)),
        base("reset", Fault::Reset),
        Bench { apart: (900, 5_000), ..base("silence", Fault::Silent) },
        Bench { apart: (900, 5_000), ..base("slow-first", Fault::SlowFirst { ms: 20_000, headers: false }) },
        base("cut", Fault::Cut { after: 40, close: false }),
        Bench { apart: (900, 5_000), ..base("stall", Fault::Stall { after: 40, ms: Some(30_000) }) },
        base("malformed", Fault::Malformed { after: 40 }),
        base("no-end", Fault::NoTerminator { after: None }),
        base("context", status(400, None, Some(Trouble::ContextLength))),
        Bench { hears: Hears::Error(400), calls: 1, ..base("filter", status(400, None, Some(Trouble::ContentFilter))) },
        base("no-prefill", Fault::Cut { after: 40, close: false }),
    ]
}

/// One bench in one dialect, whole or streamed.
struct Cell<'a> {
    bench: &'a Bench,
    dialect: &'static str,
    second: &'static str,
    stream: bool,
    name: String,
    number: u64,
}

fn cells(benches: &[Bench]) -> Vec<Cell<'_>> {
    let mut out = Vec::new();
    let dialects = DIALECTS.iter().map(|dialect| dialect.id().name()).filter(|name| grammar(name).is_some());
    for (place, dialect) in dialects.enumerate() {
        let Some(_) = WIRES.iter().find(|wire| wire.id() == dialect) else { continue };
        for bench in benches {
            for stream in [false, true] {
                // A fallback that speaks another wire; one that takes the words so far as its own beginning, where that
                // is to be refused.
                let other = WIRES[(place + 1 + out.len() % 3) % WIRES.len()].id();
                let second = if bench.name == "no-prefill" { "anthropic-messages" } else { other };
                let name = format!("{}-{dialect}-{}", bench.name, if stream { "stream" } else { "whole" });
                out.push(Cell { bench, dialect, second, stream, name, number: out.len() as u64 });
            }
        }
    }
    out
}

/// A provider row per wire of `provider`, named after `prefix`.
fn rows(prefix: &str, provider: &Provider) -> String {
    let row = |wire: &&dyn testkit::provider::Wire| {
        format!(
            "[provider.\"{prefix}-{}\"]\nbase_url = \"http://{}{}\"\nauth = \"none\"\nwires = [\"{}\"]\n",
            wire.id(),
            provider.addr(),
            wire.base(),
            wire.id()
        )
    };
    WIRES.iter().map(row).collect()
}

fn deployment(name: &str, row: &str, context: u32) -> String {
    format!("[deployment.\"{name}\"]\nprovider = \"{row}\"\nhost = \"{name}\"\ncontext = {context}\n")
}

const PRODUCT: &str = "[product.default]\nanonymous = true\nsubstitute = \"never\"\nlast_resort = []\n\
                       retries = { share = 1.0, floor_per_second = 1000 }\n\
                       timeouts = { first_token_ms = 1000, whole_ms = 1000, silence_ms = 1000, deadline_ms = 60000 }\n";

fn for_model(model: &str) -> When {
    When { model: Some(model.to_owned()), ..When::default() }
}

/// A fault that some calls show, on the answer that all give.
fn shown(when: When, fault: &Fault) -> Rule {
    Rule { when, fault: Some(fault.clone()), ..Rule::default() }
}

fn always() -> Rule {
    let answer = Answer { tokens: Some(TOKENS), ..Answer::default() };
    Rule { answer: Some(answer), pace: Some(Pace { first_ms: 0, event_ms: 1 }), ..Rule::default() }
}

/// What the client heard of one question: its words, or the status of an error.
async fn hear(
    stage: &Stage,
    dialect: &str,
    model: &str,
    question: &str,
    stream: bool,
) -> (Result<String, String>, testkit::process::Answer) {
    let (path, body) = speak(dialect, model, question, stream, Wanted::Words);
    let answer = stage.client().post(&path, "", &body).await.expect("an answer");
    let grammar = grammar(dialect).expect("a grammar");
    let heard = match (answer.status, stream) {
        (200, true) => grammar.stream(&answer.body, &Asked { usage: None, n: Some(1) }),
        (200, false) => grammar.unary(&answer.body),
        (status, _) => return (Err(format!("status {status}")), answer),
    };
    let good = heard.violations.is_empty() && heard.ended == Ended::Complete;
    let words = heard.text().to_owned();
    (if good { Ok(words) } else { Err(format!("{:?} {:?} {:?}", heard.ended, heard.error, heard.violations)) }, answer)
}

/// Whether ledger and providers' log tell of the same calls: how many, what each took.
fn agree(rows: &[Attempt], calls: &[Record]) -> Result<(), String> {
    if rows.len() != calls.len() {
        return Err(format!("the ledger knows {} attempts, the providers {}", rows.len(), calls.len()));
    }
    for (row, call) in rows.iter().zip(calls) {
        let Some(counts) = call.end.usage else { continue };
        let said = (row.input_tokens, row.output_tokens);
        match (row.outcome, row.usage_source) {
            (Outcome::Ok, UsageSource::Reported) if said != (Some(counts.input), Some(counts.output)) => {
                return Err(format!("the ledger has {said:?}, the provider {counts:?}"));
            }
            (Outcome::Ok, UsageSource::Reported) | (Outcome::Failed | Outcome::Cancelled, _) => {}
            other => return Err(format!("a reported usage is {other:?} in the ledger")),
        }
    }
    Ok(())
}

/// What is wrong with a cell.
async fn judge(stage: &Stage, providers: &[&Provider], cell: &Cell<'_>) -> Result<(), String> {
    let question = question(cell.number);
    let model = format!("try-{}", cell.name);
    let (heard, answer) = hear(stage, cell.dialect, &model, &question, cell.stream).await;
    let bench = cell.bench;
    match (bench.hears, heard) {
        (Hears::Whole, Ok(words)) if words == expected_long_answer(&question, TOKENS) => {}
        (Hears::Error(status), Err(_)) if answer.status == status => {}
        (_, heard) => return Err(format!("heard {heard:?}\n{}", String::from_utf8_lossy(&answer.body))),
    }
    let mine = |record: &Record| {
        let model = record.arrival.model.as_deref().unwrap_or_default();
        model == format!("bad-{}", cell.name) || model == format!("good-{}", cell.name)
    };
    let mut calls: Vec<Record> = providers.iter().flat_map(|provider| provider.log()).filter(mine).collect();
    calls.sort_by_key(|record| record.arrival.unix_ms);
    // What only lacks its end is whole already; a beginning that is refused costs one call more.
    let ends_well =
        bench.name == "no-end" && (!cell.stream || !matches!(cell.dialect, "anthropic-messages" | "openai-responses"));
    let refused = usize::from(bench.name == "no-prefill" && cell.stream);
    let expected = if ends_well { 1..=2 } else { bench.calls + refused..=bench.calls + refused };
    if !expected.contains(&calls.len()) {
        return Err(format!("{} calls instead of {expected:?}", calls.len()));
    }
    if let [first, second, ..] = calls.as_slice() {
        let apart = second.arrival.unix_ms - first.arrival.unix_ms;
        if !(bench.apart.0..=bench.apart.1).contains(&apart) {
            return Err(format!("the second call came {apart} ms after the first"));
        }
    }
    let rows = stage.story_of(&answer, calls.len()).await;
    let broke = cell.stream && matches!(bench.name, "cut" | "stall" | "malformed" | "no-prefill");
    if broke && rows.last().map(|row| row.mode) != Some(Mode::Takeover) {
        return Err("the ledger has no seam".to_owned());
    }
    agree(&rows, &calls)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_sixteen_faults_in_every_dialect_whole_and_streamed() {
    let benches = benches();
    let cells = cells(&benches);
    let provider = Provider::start(Script::default()).await.expect("a provider");
    let strict = Provider::start(Script { refuse_prefill: true, rules: vec![always()], ..Script::default() });
    let strict = strict.await.expect("a provider");
    let (mut config, mut rules) = (rows("any", &provider) + &rows("strict", &strict), Vec::new());
    let mut aliases = String::new();
    for cell in &cells {
        let (bad, good) = (format!("bad-{}", cell.name), format!("good-{}", cell.name));
        config += &deployment(&bad, &format!("any-{}", cell.dialect), 8_000);
        let row = if cell.bench.name == "no-prefill" { "strict" } else { "any" };
        config += &deployment(&good, &format!("{row}-{}", cell.second), 100_000);
        let when = When { nth: cell.bench.once.then(|| vec![0]), ..for_model(&bad) };
        rules.push(shown(when, &cell.bench.fault));
        let second = if cell.bench.fallback { format!(", \"{good}\"") } else { String::new() };
        write!(aliases, "\"try-{}\" = [\"{bad}\"{second}], ", cell.name).expect("written");
    }
    rules.push(always());
    provider.script(Script { rules, ..Script::default() });
    let stage = Stage::start(&format!("{config}{PRODUCT}aliases = {{ {} }}\n", aliases.trim_end_matches(", ")));
    let judged = stream::iter(&cells).map(|cell| {
        let (stage, providers) = (&stage, [&provider, &strict]);
        async move { (cell, judge(stage, &providers, cell).await) }
    });
    let judged: Vec<_> = judged.buffer_unordered(12).collect().await;
    let wrong: Vec<String> = judged
        .iter()
        .filter_map(|(cell, judged)| judged.as_ref().err().map(|why| format!("{}: {why}", cell.name)))
        .collect();
    println!("sixteen faults: {} cells, {} right", cells.len(), cells.len() - wrong.len());
    assert!(wrong.is_empty(), "{} of {}:\n{}", wrong.len(), cells.len(), wrong.join("\n"));
    settled(&provider).await;
}

/// How long the outage is.
const OUTAGE: Duration = Duration::from_millis(1_500);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn after_an_outage_the_first_choice_is_asked_again_and_is_not_stormed_before() {
    let provider = Provider::start(Script::default()).await.expect("a provider");
    let mut config = rows("any", &provider);
    let (mut rules, mut aliases, mut cells) = (Vec::new(), String::new(), Vec::new());
    for dialect in DIALECTS.iter().map(|dialect| dialect.id().name()).filter(|name| grammar(name).is_some()) {
        for (stream, mode) in [(false, "whole"), (true, "stream")] {
            let name = format!("{dialect}-{mode}");
            config += &deployment(&format!("bad-{name}"), &format!("any-{dialect}"), 8_000);
            config += &deployment(&format!("good-{name}"), "any-openai-chat", 8_000);
            let until_ms = u64::try_from(OUTAGE.as_millis()).ok();
            let when = When { until_ms, ..for_model(&format!("bad-{name}")) };
            rules.push(shown(when, &status(503, None, None)));
            write!(aliases, "\"try-{name}\" = [\"bad-{name}\", \"good-{name}\"], ").expect("written");
            cells.push((dialect, stream, name));
        }
    }
    rules.push(always());
    let stage = Stage::start(&format!("{config}{PRODUCT}aliases = {{ {} }}\n", aliases.trim_end_matches(", ")));
    let script = Script { rules, ..Script::default() };
    provider.script(script);
    let begun = Instant::now();
    let tried = cells.iter().map(|(dialect, stream, name)| {
        let stage = &stage;
        async move {
            let (bad, mut number) = (format!("bad-{name}"), 0);
            loop {
                number += 1;
                let question = question(number);
                let (heard, answer) = hear(stage, dialect, &format!("try-{name}"), &question, *stream).await;
                assert_eq!(heard, Ok(expected_long_answer(&question, TOKENS)), "{name}");
                if answer.header("x-autarky-deployment") == bad {
                    return (name, begun.elapsed());
                }
                assert!(begun.elapsed() < PATIENCE, "{name} is never asked again");
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        }
    });
    let back = futures_util::future::join_all(tried).await;
    for (name, back) in back {
        let model = format!("bad-{name}");
        let calls = provider.log().iter().filter(|record| record.arrival.model.as_deref() == Some(&model)).count();
        // Three open the breaker; then one probe at a time, each wait twice as long as the last.
        assert!(calls <= 6, "{name}: {calls} calls to a provider that was down");
        assert!(back >= OUTAGE && back < OUTAGE + Duration::from_secs(25), "{name}: asked again after {back:?}");
    }
    settled(&provider).await;
}
