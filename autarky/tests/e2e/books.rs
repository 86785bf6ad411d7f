//! The books: one load in which everything happens (every dialect, whole answers and streams, clients that leave, faults
//! before and within answers, refusals, hedges, takeovers, providers that report no usage), and afterwards the ledger and
//! the upstreams' own logs, laid side by side row by row. Each call has an id that both know.

use crate::crowd::{Upstream, by_call, call_id, load, requests, rows, settled, shot};
use crate::stage::Stage;
use ledger::{Attempt, Mode, Outcome, UsageSource};
use std::collections::BTreeMap;
use std::fmt::Write as _;
use testkit::grammar::Ended;
use testkit::process::{Shot, Tally, Told, run, temp_dir};
use testkit::provider::{Answer, Fault, Pace, Record, Rule, Script, Trouble, WIRES, When};

/// Requests in every run.
const REQUESTS: u64 = 960;

/// The seed of the first upstream.
const FIRST: u64 = 53;

/// Everything that may go wrong, for a twentieth of the requests each.
fn script(seed: u64) -> Script {
    let status = |status, trouble| Fault::Status { status, retry_after: None, trouble };
    let faults = [
        status(500, None),
        status(529, None),
        status(400, Some(Trouble::ContentFilter)),
        Fault::Reset,
        Fault::Cut { after: 7, close: true },
        Fault::Malformed { after: 6 },
        Fault::ErrorEvent { after: 5, trouble: Trouble::Overloaded },
        Fault::NoTerminator { after: None },
        Fault::SlowFirst { ms: 1_000, headers: true },
        Fault::Stall { after: 4, ms: Some(3_000) },
    ];
    let some = |share: f64| When { share: Some(share), ..When::default() };
    let mut rules: Vec<Rule> =
        faults.into_iter().map(|fault| Rule { when: some(0.03), fault: Some(fault), ..Rule::default() }).collect();
    // It shuts its deployment for minutes, so that one does it once.
    let when = When { nth: Some(vec![40]), ..When::default() };
    rules.extend((seed == FIRST).then(|| Rule { when, fault: Some(status(404, None)), ..Rule::default() }));
    let answer = |answer: Answer| Some(Answer { call_tools: Some(2), ..answer });
    let silent = answer(Answer { no_usage: true, ..Answer::default() });
    rules.push(Rule { when: some(0.1), answer: silent, ..Rule::default() });
    rules.push(Rule {
        answer: answer(Answer::default()),
        pace: Some(Pace { first_ms: 10, event_ms: 2 }),
        ..Rule::default()
    });
    Script { seed, rules, ..Script::default() }
}

/// Question number `number`, of a client that may leave on the way or say something that no provider takes.
fn client(number: u64) -> Shot {
    let mixed = number.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 40;
    let mut shot = shot(number, "auto");
    if mixed.is_multiple_of(11) {
        shot.leave_after = Some(mixed / 11 % 4);
    } else if mixed % 37 == 1 && shot.path == "/v1/chat/completions" {
        let body = String::from_utf8(shot.body.to_vec()).expect("JSON");
        shot.body = body.replacen('{', "{\"temperature\":9,", 1).into();
    }
    shot
}

/// What is wrong with a row and the record of the same call.
fn differ(row: &Attempt, record: &Record) -> Option<String> {
    let (arrival, end) = (&record.arrival, &record.end);
    let told = (row.protocol.as_deref(), row.bytes_in);
    let heard = (arrival.wire.as_deref(), Some(arrival.body_bytes as u64));
    if told != heard {
        return Some(format!("the row says {told:?}, the provider {heard:?}"));
    }
    let deployment = arrival.model.as_deref().and_then(|model| model.strip_prefix("model-"));
    // Of what it refuses the provider reads no further than to the mistake.
    if arrival.verdict == "ok" && (row.deployment.as_deref(), row.stream) != (deployment, arrival.stream) {
        let told = (&row.deployment, row.stream);
        return Some(format!("the row says {told:?}, the provider {:?}", (deployment, arrival.stream)));
    }
    if row.outcome == Outcome::Ok && end.status != Some(200) {
        return Some(format!("answered, though the provider said {:?}", end.status));
    }
    let counts = (row.input_tokens, row.output_tokens);
    let cost = |input: u64, output: u64| i64::try_from(1_000 * input + 2_000 * output).ok();
    match (row.usage_source, end.usage) {
        (UsageSource::Reported, Some(said)) if counts != (Some(said.input), Some(said.output)) => {
            Some(format!("the row has {counts:?}, the provider said {said:?}"))
        }
        (UsageSource::Reported, Some(said)) if row.cost_nanodollars != cost(said.input, said.output) => {
            Some(format!("the row costs {:?}, the provider said {said:?}", row.cost_nanodollars))
        }
        (UsageSource::Reported, Some(_)) => row.price_version.is_none().then(|| "a cost without its prices".to_owned()),
        (UsageSource::Reported, None) => Some("the row calls reported what the provider never said".to_owned()),
        (_, Some(_)) if row.outcome == Outcome::Ok => Some("what the provider said is not in the row".to_owned()),
        (UsageSource::Counted, _) => {
            let counted = row.cost_nanodollars == cost(row.input_tokens.unwrap_or(0), row.output_tokens.unwrap_or(0));
            let begun = row.outcome == Outcome::Ok || row.first_token_us.is_some();
            let whole = row.input_tokens > Some(0) && row.output_tokens.is_some() == begun;
            (!(counted && whole)).then(|| format!("counted {counts:?}, which costs {:?}", row.cost_nanodollars))
        }
        (UsageSource::Unknown, _) => {
            let blank = (counts, row.cost_nanodollars) == ((None, None), None) && row.outcome == Outcome::Failed;
            (!blank).then(|| format!("unknown is {:?} with {counts:?} and {:?}", row.outcome, row.cost_nanodollars))
        }
    }
}

/// Every difference between the ledger and the upstreams' logs.
pub(crate) fn differences(rows: &[Attempt], log: &[Record]) -> Vec<String> {
    let (mut wrong, mut known) = (Vec::new(), by_call(rows));
    let mut seen: BTreeMap<&str, u64> = BTreeMap::new();
    for record in log {
        let id = call_id(record);
        *seen.entry(id).or_default() += 1;
        match known.remove(id) {
            _ if seen[id] > 1 => wrong.push(format!("`{id}` came {} times", seen[id])),
            None => wrong.push(format!("the ledger knows no `{id}`: {record:?}")),
            Some(row) => wrong.extend(differ(row, record).map(|why| format!("{id}: {why}\n{row:?}\n{record:?}"))),
        }
    }
    // What nobody heard of was never sent, and costs nothing.
    for (id, row) in known {
        if row.bytes_in.is_some() || row.input_tokens.is_some() || row.cost_nanodollars.is_some() {
            wrong.push(format!("no provider knows of `{id}`: {row:?}"));
        }
    }
    wrong
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ledger_and_providers_agree_on_every_call() {
    let folder = temp_dir().expect("a folder");
    let names = ["red", "orange", "yellow", "green", "blue", "violet"];
    let upstreams: Vec<Upstream> =
        (0..).zip(names).map(|(seed, name)| Upstream::start(folder.path(), name, script(FIRST + seed))).collect();
    let legs: String = upstreams.iter().zip(WIRES).map(|(upstream, wire)| upstream.leg(wire.id())).collect();
    let stage = Stage::start(&format!(
        "{legs}[product.default]\nanonymous = true\nhedge = {{ on = true, share = 0.2 }}\n\
         timeouts = {{ first_token_ms = 2000, whole_ms = 2500, silence_ms = 800, deadline_ms = 30000 }}\n"
    ));
    let told = run(load(&stage, requests(REQUESTS), 16, client)).await;
    let tally = Tally::of(&told);
    let log = settled(&upstreams).await;
    let rows = rows(&stage, log.iter()).await;
    let wrong = differences(&rows, &log);
    let count = |test: &dyn Fn(&Attempt) -> bool| rows.iter().filter(|row| test(row)).count();
    let mut summary = format!("books: {} requests, {} attempts, {} arrived", tally.sent, rows.len(), log.len());
    for (name, count) in [
        ("ok", count(&|row| row.outcome == Outcome::Ok)),
        ("failed", count(&|row| row.outcome == Outcome::Failed)),
        ("cancelled", count(&|row| row.outcome == Outcome::Cancelled)),
        ("hedges", count(&|row| row.mode == Mode::Hedge)),
        ("takeovers", count(&|row| row.mode == Mode::Takeover)),
        ("reported", count(&|row| row.usage_source == UsageSource::Reported)),
        ("counted", count(&|row| row.usage_source == UsageSource::Counted)),
        ("unknown", count(&|row| row.usage_source == UsageSource::Unknown)),
    ] {
        write!(summary, ", {count} {name}").expect("written");
        assert!(count > 0, "nothing is {name}: {summary}");
    }
    println!("{summary}, {} differences; {tally:?}", wrong.len());
    if let Some(folder) = std::env::var_os("AUTARKY_TEST_OUT") {
        std::fs::write(std::path::Path::new(&folder).join("books.txt"), wrong.join("\n\n")).expect("written");
    }
    assert!(wrong.is_empty(), "{} differences, e.g.\n{}", wrong.len(), wrong[..wrong.len().min(4)].join("\n\n"));
    let ended_well = |one: &&Told| one.status == Some(200) && one.heard.ended == Ended::Complete;
    let lies: Vec<&Told> = told.iter().filter(|one| !one.left && !one.right).filter(ended_well).collect();
    assert!(lies.is_empty() && tally.broken == 0, "{tally:?} {lies:#?}");
}
