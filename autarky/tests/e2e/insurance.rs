//! What-ifs and covers as a person runs them: over the ledger that real traffic left, with every number's basis, as
//! text, for machines, and as pages that need nothing from elsewhere.

use crate::drills::alone;
use crate::stage::{ANONYMOUS, CHAT, Stage, chat, leg};
use serde_json::{Value, json};
use testkit::provider::{Provider, Script};

const PRICED: &str = "price = { input = 1.0, output = 2.0 }\n";

/// Two deployments of two makers, and 30 answered requests.
async fn company() -> (Provider, Stage) {
    let provider = Provider::start(Script::default()).await.expect("a provider");
    let one = format!("{}maker = \"alpha\"\n{PRICED}", leg("one", provider.addr(), 0));
    let two = format!("{}maker = \"beta\"\n{PRICED}", leg("two", provider.addr(), 1));
    let stage = Stage::start(&format!("{one}{two}{ANONYMOUS}"));
    let mut client = stage.client();
    for number in 0..30 {
        let answer =
            client.post(CHAT, "", &chat("auto", &format!("question {number}"), false)).await.expect("an answer");
        assert_eq!(answer.status, 200);
    }
    stage.rows("the rows", |rows| rows.len() == 30 && rows.iter().all(|row| row.outcome.is_final())).await;
    (provider, stage)
}

fn json_of(stage: &Stage, arguments: &[&str]) -> Value {
    serde_json::from_str(&stage.say(arguments)).expect("json")
}

#[tokio::test]
async fn a_scenario_is_played_over_the_recorded_ledger() {
    let (_provider, stage) = company().await;
    let gone = json_of(&stage, &["whatif", "partner-gone", "--format", "json"]);
    assert_eq!((&gone["total"]["requests"], &gone["total"]["moved"]), (&json!(30), &json!(30)), "{gone:#}");
    assert_eq!(gone["total"]["answered"]["value"], json!(1.0));
    assert_eq!(gone["gone"][0][0], "one");
    let text = stage.say(&["whatif", "partner-gone"]);
    assert!(text.contains("what if") && text.contains("[") && text.contains("ledger"), "{text}");

    let file = stage.folder.path().join("mine.toml");
    std::fs::write(&file, "remove = [\"maker:alpha\", \"maker:beta\"]\n").expect("written");
    let file = file.to_str().expect("text");
    let nothing = json_of(&stage, &["whatif", file, "--format", "json"]);
    assert_eq!(nothing["total"]["unanswered"], json!(30), "{nothing:#}");
    std::fs::write(file, "remoev = []\n").expect("written");
    let wrong = stage.command(&["whatif", file]);
    let error = String::from_utf8_lossy(&wrong.stderr).into_owned();
    assert!(wrong.status.code() == Some(1) && error.contains("remoev") && error.contains("is no scenario"), "{error}");

    let boards = json_of(&stage, &["whatif", "--format", "json"]);
    let names: Vec<&str> =
        boards["boards"].as_array().expect("a list").iter().filter_map(|one| one["scenario"].as_str()).collect();
    for name in ["incumbent-dominates", "competitor-emerges", "partner-gone", "price-doubles"] {
        assert!(names.iter().any(|known| known.contains(name)), "{name}: {names:?}");
    }
    for arguments in [&["whatif", "--format", "html"][..], &["whatif", "partner-gone", "--format", "html"]] {
        alone(&stage.say(arguments));
    }
    alone(&stage.say(&["exposure", "--format", "html"]));
    alone(&stage.say(&["drill", "run", "--lose", "maker:alpha", "--format", "html"]));
}

#[tokio::test]
async fn recorded_outcomes_prove_a_cover_and_every_report_knows_it() {
    let (_provider, stage) = company().await;
    let before = json_of(&stage, &["exposure", "--format", "json"]);
    assert!(before["notes"].to_string().contains("no cover exists"), "{before:#}");
    // Both are right nine times in ten, on the same questions: no worse, and many enough to say so.
    let line = |number: u32| {
        let right = if number.is_multiple_of(10) { 0.0 } else { 1.0 };
        json!({"id": number.to_string(), "q": {"one": right, "two": right}, "c": {"one": 0.01, "two": 0.02}})
            .to_string()
    };
    let outcomes = stage.folder.path().join("outcomes.jsonl");
    std::fs::write(&outcomes, (0..1_500).map(line).collect::<Vec<_>>().join("\n")).expect("written");
    let outcomes = outcomes.to_str().expect("text");
    let source = ["--outcomes", outcomes, "--product", "default"];
    let proven = stage.say(&[&["covers", "prove"][..], &source].concat());
    assert!(proven.lines().any(|line| line.starts_with("covered") && line.contains("one → two")), "{proven}");
    assert_eq!(stage.say(&["covers", "list"]), proven, "what is proven is kept");

    let lose = [&["covers", "replay"][..], &source, &["--lose", "maker:alpha"]].concat();
    let replayed = json_of(&stage, &[&lose[..], &["--format", "json"]].concat());
    assert_eq!((&replayed["replayed"], &replayed["covered"]), (&json!(1_500), &json!(1.0)), "{replayed:#}");
    assert!((replayed["after"]["value"].as_f64().expect("a mean") - 0.9).abs() < 1e-9);
    alone(&stage.say(&[&lose[..], &["--format", "html"]].concat()));

    let after = json_of(&stage, &["exposure", "--format", "json"]);
    let makers =
        after["tables"].as_array().expect("tables").iter().find(|table| table["by"] == "maker").expect("makers");
    assert_eq!(makers["rows"][0]["survival"]["covered"], json!(30), "{makers:#}");
    let drill = [&["drill", "run", "--lose", "maker:alpha", "--level", "L1", "--format", "json"][..], &source].concat();
    let drill = json_of(&stage, &drill);
    let report = &drill["record"]["report"];
    assert_eq!((&report["verdict"], &report["replayed"]["covered"]), (&json!("held"), &json!(1.0)), "{report:#}");

    let nobody =
        stage.command(&["covers", "replay", "--outcomes", outcomes, "--product", "default", "--lose", "maker:gamma"]);
    let error = String::from_utf8_lossy(&nobody.stderr).into_owned();
    assert!(nobody.status.code() == Some(1) && error.contains("nothing here rests on `maker:gamma`"), "{error}");
}
