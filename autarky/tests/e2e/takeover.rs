//! Takeover in mid-stream: recorded streams are broken at every one of their events, in every way, and another
//! deployment goes on. What the client heard is graded by the grammar of its own wire.

use crate::speak::{Wanted, speak};
use crate::stage::{Stage, question, settled};
use bytes::Bytes;
use canon::wire::DIALECTS;
use futures_util::{StreamExt, stream};
use ledger::Mode;
use std::fmt::Write as _;
use testkit::grammar::{Asked, Ended, Heard, grammar};
use testkit::provider::{Answer, Fault, Provider, Rule, Script, Trouble, WIRES, When, expected_answer, proof_of};

/// Ways to break.
const WAYS: usize = 5;

fn way(number: usize, after: usize) -> Fault {
    match number {
        0 => Fault::Cut { after, close: false },
        1 => Fault::Cut { after, close: true },
        2 => Fault::Malformed { after },
        3 => Fault::ErrorEvent { after, trouble: Trouble::Overloaded },
        _ => Fault::Stall { after, ms: None },
    }
}

/// One stream to break.
#[derive(Debug, Clone)]
struct Case {
    dialect: &'static str,
    /// The wire that breaks, and the one that goes on.
    first: &'static str,
    second: &'static str,
    wanted: Wanted,
    way: usize,
    after: usize,
    number: u64,
}

impl Case {
    fn model(&self) -> String {
        format!("b{}", self.number)
    }

    /// What the provider shows to it.
    fn rule(&self) -> Rule {
        let when = When { model: Some(self.model()), ..When::default() };
        Rule { when, fault: Some(way(self.way, self.after)), answer: Some(answer(self.wanted)), ..Rule::default() }
    }
}

fn answer(wanted: Wanted) -> Answer {
    match wanted {
        Wanted::Words => Answer::default(),
        Wanted::Calls => Answer { call_tools: Some(2), ..Answer::default() },
        Wanted::Thoughts => Answer { reasoning: Some("first this and then that".to_owned()), ..Answer::default() },
    }
}

const WANTED: [Wanted; 3] = [Wanted::Words, Wanted::Calls, Wanted::Thoughts];

fn wire_name(wire: &str, wanted: Wanted) -> String {
    format!("{wire}-{wanted:?}").to_lowercase()
}

/// A deployment of `model` on `wire`, on a host of its own, so that no breaker speaks for another.
fn deployment(name: &str, model: &str, wire: &str) -> String {
    format!(
        "[deployment.\"{name}\"]\nprovider = \"scripted-{wire}\"\nwire = \"{wire}\"\nmodel = \"{model}\"\nhost = \"{name}\"\n"
    )
}

/// A provider row per wire, and for each kind of answer a deployment on each wire that gives it whole.
fn good(provider: &Provider) -> (String, Vec<Rule>) {
    let (mut config, mut rules) = (String::new(), Vec::new());
    for wire in WIRES {
        let (id, base) = (wire.id(), wire.base());
        let row = format!(
            "[provider.\"scripted-{id}\"]\nbase_url = \"http://{}{base}\"\nauth = \"none\"\nwires = [\"{id}\"]\n",
            provider.addr()
        );
        config.push_str(&row);
        for wanted in WANTED {
            let name = wire_name(id, wanted);
            config.push_str(&deployment(&name, &name, id));
            let when = When { model: Some(name), ..When::default() };
            rules.push(Rule { when, answer: Some(answer(wanted)), ..Rule::default() });
        }
    }
    (config, rules)
}

async fn ask(stage: &Stage, dialect: &str, model: &str, question: &str, wanted: Wanted) -> (Heard, Bytes, String) {
    let (path, body) = speak(dialect, model, question, true, wanted);
    let answer = stage.client().post(&path, "", &body).await.expect("an answer");
    let heard = grammar(dialect).expect("a grammar").stream(&answer.body, &Asked { usage: None, n: Some(1) });
    let id = answer.header("x-autarky-request-id").to_owned();
    (heard, answer.body, id)
}

/// How many events each stream has.
async fn lengths(provider: &Provider) -> Vec<((&'static str, Wanted), usize)> {
    let (config, rules) = good(provider);
    provider.script(Script { rules, ..Script::default() });
    let stage = Stage::start(&format!("{config}[product.default]\nanonymous = true\n"));
    let mut out = Vec::new();
    for wire in WIRES {
        for wanted in WANTED {
            provider.clear_log();
            let (heard, body, _) = ask(&stage, wire.id(), &wire_name(wire.id(), wanted), &question(1), wanted).await;
            assert!(
                heard.is_well(),
                "{} {wanted:?}: {:?} {}",
                wire.id(),
                heard.violations,
                String::from_utf8_lossy(&body)
            );
            settled(provider).await;
            let events = provider.log()[0].end.events;
            out.push(((wire.id(), wanted), usize::try_from(events).expect("few")));
        }
    }
    out
}

/// Every stream of every pair of wires broken at every event, the ways in turn.
fn cases(lengths: &[((&'static str, Wanted), usize)]) -> Vec<Case> {
    let wires: Vec<&'static str> = WIRES.iter().map(|wire| wire.id()).collect();
    let mut out = Vec::new();
    let mut number = 0;
    for dialect in DIALECTS.iter().map(|dialect| dialect.id().name()).filter(|name| grammar(name).is_some()) {
        for (place, first) in wires.iter().enumerate() {
            for wanted in WANTED {
                let length = lengths.iter().find(|(key, _)| *key == (*first, wanted)).expect("counted").1;
                for after in 1..length {
                    // On the client's own wire every way at every event, elsewhere one of them.
                    let ways = if *first == dialect { 0..WAYS } else { after % WAYS..after % WAYS + 1 };
                    for way in ways {
                        let second = wires[(place + after + way) % wires.len()];
                        out.push(Case { dialect, first, second, wanted, way, after, number });
                        number += 1;
                    }
                }
            }
        }
    }
    out
}

/// Whether thinking comes with a seal that only its maker can make, to a client who is shown it.
fn is_sealed(case: &Case) -> bool {
    let seals = ["anthropic-messages", "bedrock-converse", "openai-responses"].contains(&case.first);
    let shown = ["anthropic-messages", "bedrock-converse", "gemini"].contains(&case.dialect);
    case.wanted == Wanted::Thoughts && seals && shown
}

/// What is wrong with what was heard; `Ok(false)`: it ended honestly with an error.
fn grade(case: &Case, heard: &Heard, question: &str) -> Result<bool, String> {
    if !heard.violations.is_empty() {
        return Err(format!("grammar: {:?}", heard.violations));
    }
    let choice = heard.choices.get(&0).cloned().unwrap_or_default();
    match heard.ended {
        Ended::Cut => return Err("cut".to_owned()),
        Ended::Error if is_sealed(case) => return Ok(false),
        Ended::Error => return Err(format!("error: {:?}", heard.error)),
        Ended::Complete => {}
    }
    match case.wanted {
        Wanted::Calls => {
            let value = |text: &str| serde_json::from_str::<serde_json::Value>(text).unwrap_or_default();
            let mut made: Vec<_> =
                choice.calls.iter().map(|call| (call.name.clone(), value(&call.arguments))).collect();
            made.sort_by(|a, b| a.0.cmp(&b.0));
            let proof = proof_of(question);
            let expected = [
                ("clock".to_owned(), serde_json::json!({"zone": proof})),
                ("weather".to_owned(), serde_json::json!({"city": proof})),
            ];
            if made != expected || !choice.text.is_empty() {
                return Err(format!("calls: {made:?} {:?}", choice.text));
            }
        }
        _ if choice.text != expected_answer(question) => return Err(format!("words: {:?}", choice.text)),
        Wanted::Thoughts if !choice.reasoning.contains("first this and then that") => {
            return Err(format!("thoughts: {:?}", choice.reasoning));
        }
        _ => {}
    }
    Ok(true)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stream_is_finished_wherever_and_however_it_breaks() {
    let provider = Provider::start(Script::default()).await.expect("a provider");
    let cases = cases(&lengths(&provider).await);
    let (mut config, mut rules) = good(&provider);
    let mut aliases = String::new();
    for case in &cases {
        let model = case.model();
        config.push_str(&deployment(&model, &model, case.first));
        rules.push(case.rule());
        write!(aliases, "\"a{}\" = [\"{model}\", \"{}\"], ", case.number, wire_name(case.second, case.wanted))
            .expect("written");
    }
    provider.script(Script { rules, ..Script::default() });
    let product = "[product.default]\nanonymous = true\nsubstitute = \"never\"\nlast_resort = []\n\
                   retries = { share = 1.0, floor_per_second = 1000 }\n\
                   timeouts = { first_token_ms = 20000, silence_ms = 600, deadline_ms = 60000 }\n";
    let stage = Stage::start(&format!("{config}{product}aliases = {{ {} }}\n", aliases.trim_end_matches(", ")));
    let asked = stream::iter(&cases).map(|case| {
        let stage = &stage;
        async move {
            let question = question(case.number);
            let (heard, body, id) =
                ask(stage, case.dialect, &format!("a{}", case.number), &question, case.wanted).await;
            (case, grade(case, &heard, &question), body, id)
        }
    });
    let graded: Vec<_> = asked.buffer_unordered(24).collect().await;
    let total = graded.len();
    let complete = graded.iter().filter(|(_, grade, ..)| *grade == Ok(true)).count();
    let honest = graded.iter().filter(|(_, grade, ..)| *grade == Ok(false)).count();
    let wrong: Vec<String> = graded
        .iter()
        .filter_map(|(case, grade, body, _)| {
            let body = String::from_utf8_lossy(body);
            grade.as_ref().err().map(|why| format!("{case:?}: {why}\n{body}"))
        })
        .collect();
    println!(
        "takeover: {total} broken streams, {complete} finished, {honest} ended with an error since no other was honest"
    );
    if let Some(folder) = std::env::var_os("AUTARKY_TEST_OUT") {
        std::fs::write(std::path::Path::new(&folder).join("takeover.txt"), wrong.join("\n\n")).expect("written");
    }
    assert!(wrong.is_empty(), "{} of {total}, the first:\n{}", wrong.len(), wrong[..wrong.len().min(3)].join("\n\n"));
    // Signed thinking alone cannot be gone on with.
    assert!(honest * 20 <= total, "{honest} of {total}");
    let seams = stage.rows("the seams are in the ledger", |rows| rows.iter().all(|row| row.outcome.is_final())).await;
    assert!(seams.iter().filter(|row| row.mode == Mode::Takeover).count() >= complete / 2);
    settled(&provider).await;
}
