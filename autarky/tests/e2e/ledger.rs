//! The ledger of a running server: what is asked of it, what leaves it, and what it forgets.

use crate::sdk::{folder, interpreter};
use crate::stage::{ANONYMOUS, CHAT, Stage, chat, leg, question, until};
use ledger::{Attempt, Filter, Outcome, RequestId, Sqlite, Store};
use serde_json::{Value, json};
use testkit::provider::{Provider, Script};

const DAY: i64 = 86_400_000_000;

/// An attempt of a request that came `days` ago.
fn attempt(days: i64) -> Attempt {
    let started = jiff::Timestamp::now().as_microsecond() - days * DAY;
    let millis = u64::try_from(started / 1_000).expect("after 1970");
    Attempt {
        outcome: Outcome::Ok,
        product: Some("office".into()),
        input_tokens: Some(10),
        ..Attempt::new(RequestId::new(millis, 7), 1, started)
    }
}

#[tokio::test]
async fn days_whose_time_is_over_are_forgotten_and_their_sums_stay() {
    let provider = Provider::start(Script::default()).await.expect("a provider");
    let rules = format!("{}{ANONYMOUS}", leg("one", provider.addr(), 0));
    let stage = Stage::start(&rules);
    let path = stage.folder.path().join("data/ledger.db");
    let rows: Vec<Attempt> = [20, 10, 2, 0].map(attempt).to_vec();
    Sqlite::open(&path).expect("it opens").append(&rows).expect("rows are added");
    stage.configure(&format!("[ledger]\nkeep_days = 5\n{rules}"));
    let kept = stage.rows("old days are forgotten", |rows| rows.len() == 2).await;
    assert_eq!(kept, rows[2..]);
    let ledger = stage.ledger();
    let sums = |ledger: &Sqlite| -> u64 {
        ledger.flows(&Filter::default()).expect("sums").iter().map(|flow| flow.answered).sum()
    };
    assert_eq!(sums(&ledger), 4);
    stage.configure(&format!("[ledger]\nkeep_days = 5\nkeep_sums_days = 15\n{rules}"));
    until("older sums are forgotten too", async || (sums(&ledger) == 3).then_some(())).await;
}

/// Two providers' models, one of each maker, answering what is asked of them by name.
async fn traffic() -> (Provider, Provider, Stage, Vec<Attempt>) {
    let (openai, mistral) = tokio::join!(Provider::start(Script::default()), Provider::start(Script::default()));
    let (openai, mistral) = (openai.expect("a provider"), mistral.expect("a provider"));
    let rules = format!(
        "[provider.openai]\nbase_url = \"http://{}/v1\"\nauth = \"none\"\naccount = \"main\"\n\
         [deployment.gpt]\nprovider = \"openai\"\nmodel = \"gpt-5.2\"\n\
         [provider.mistral]\nbase_url = \"http://{}/v1\"\nauth = \"none\"\n\
         [deployment.large]\nprovider = \"mistral\"\nmodel = \"mistral-large-2512\"\n{ANONYMOUS}",
        openai.addr(),
        mistral.addr()
    );
    let stage = Stage::start(&rules);
    for number in 0..12 {
        let model = if number % 3 == 0 { "mistral-large-2512" } else { "gpt-5.2" };
        let body = chat(model, &question(number), number % 2 == 0);
        assert_eq!(stage.client().post(CHAT, "", &body).await.expect("an answer").status, 200);
    }
    let over = |rows: &[Attempt]| rows.len() == 12 && rows.iter().all(|row| row.outcome == Outcome::Ok);
    let rows = stage.rows("every attempt has its row", over).await;
    (openai, mistral, stage, rows)
}

fn read(text: &str) -> Value {
    serde_json::from_str(text).expect("JSON")
}

#[tokio::test]
async fn the_ledger_is_asked_and_taken_out() {
    let (_openai, _mistral, stage, rows) = traffic().await;
    let said = read(&stage.say(&["ledger", "query", "--by", "maker,outcome", "--format", "json"]));
    let tokens = |maker: &str| -> u64 {
        let mine = rows.iter().filter(|row| row.maker.as_deref() == Some(maker));
        mine.map(|row| row.input_tokens.unwrap_or(0) + row.output_tokens.unwrap_or(0)).sum()
    };
    for (at, maker, attempts) in [(0, "openai", 8), (1, "mistral", 4)] {
        let one = &said[at];
        assert_eq!((&one["maker"], &one["outcome"], &one["attempts"]), (&json!(maker), &json!("ok"), &json!(attempts)));
        let said = one["input_tokens"].as_u64().unwrap_or(0) + one["output_tokens"].as_u64().unwrap_or(0);
        assert_eq!(said, tokens(maker));
    }
    let said = stage.say(&["ledger", "query", "--where", "model=gpt-5.2", "--total", "--format", "csv"]);
    assert!(said.lines().nth(1).is_some_and(|line| line.starts_with("8,8,8,0,")), "{said}");
    let said = read(&stage.say(&["ledger", "query", "--where", "maker=mistral", "--limit", "3", "--format", "json"]));
    assert_eq!(said.as_array().map(Vec::len), Some(3));
    let wrong = stage.command(&["ledger", "query", "--by", "produkt"]);
    let errors = String::from_utf8_lossy(&wrong.stderr).into_owned();
    assert!(wrong.status.code() == Some(2) && errors.contains("`produkt`") && errors.contains("product"), "{errors}");

    let file = |name: &str| stage.folder.path().join(name);
    for name in ["rows.jsonl", "rows.csv", "rows.parquet"] {
        stage.say(&["ledger", "export", name]);
        assert!(!file(&format!("{name}.new")).exists());
    }
    let lines = std::fs::read_to_string(file("rows.jsonl")).expect("lines");
    let exported: Vec<Attempt> = lines.lines().map(|line| serde_json::from_str(line).expect("a row")).collect();
    assert_eq!(exported, rows);
    assert_eq!(std::fs::read_to_string(file("rows.csv")).expect("a table").lines().count(), 13);
    assert!(std::fs::read(file("rows.parquet")).expect("a table").starts_with(b"PAR1"));
}

/// What reports say of tokens, spend and who had how much of them, by `kind`.
fn shares(report: &Value, kind: &str) -> Vec<(Value, Value, Value)> {
    let table = report["tables"].as_array().and_then(|tables| tables.iter().find(|table| table["by"] == kind));
    let rows = table.and_then(|table| table["rows"].as_array()).expect("a table");
    // who answered nothing has no share: a request that nobody was asked for has a span and no attempt
    let answered = rows.iter().filter(|row| row["requests"] != json!(0));
    let mut shares: Vec<_> =
        answered.map(|row| (row["name"].clone(), row["tokens"].clone(), row["cost_nanodollars"].clone())).collect();
    shares.sort_by_key(|share| share.0.to_string());
    shares
}

#[tokio::test]
async fn charges_that_leave_come_home_as_the_same_shares() {
    let (_openai, _mistral, stage, _) = traffic().await;
    stage.say(&["ledger", "export", "charges.csv", "--as", "focus"]);
    let own = read(&stage.say(&["exposure", "--format", "json"]));
    let home = read(&stage.say(&["exposure", "--import", "charges.csv", "--format", "json"]));
    assert_eq!(home["window"]["tokens"], own["window"]["tokens"]);
    assert_eq!(home["window"]["cost_nanodollars"], own["window"]["cost_nanodollars"]);
    for kind in ["maker", "host", "invoicer", "account", "family"] {
        assert_eq!(shares(&home, kind), shares(&own, kind), "by {kind}");
    }
}

#[tokio::test]
async fn a_providers_own_count_is_explained() {
    let (openai, _mistral, stage, rows) = traffic().await;
    // the provider's count is its own log's, not ours
    let mut result =
        json!({"object": "organization.usage.completions.result", "model": "gpt-5.2", "api_key_id": "key_1"});
    let (mut input, mut output, mut cached, mut requests) = (0, 0, 0, 0);
    for record in openai.log() {
        let usage = record.end.usage.expect("a usage");
        (input, output, requests) = (input + usage.input, output + usage.output, requests + 1);
        cached += usage.cached;
    }
    for (name, count) in [
        ("input_tokens", input),
        ("output_tokens", output),
        ("input_cached_tokens", cached),
        ("num_model_requests", requests),
    ] {
        result[name] = json!(count);
    }
    let day = rows[0].started / DAY * 86_400;
    let money: i64 =
        rows.iter().filter(|row| row.maker.as_deref() == Some("openai")).filter_map(|row| row.cost_nanodollars).sum();
    let page = |result: &Value, dollars: f64| {
        let costs = json!({"amount": {"value": dollars, "currency": "usd"}, "line_item": "gpt-5.2, input"});
        let bucket = |results: Value| json!({"data": [{"start_time": day, "results": results}], "has_more": false});
        format!("{}\n{}", bucket(json!([result])), bucket(json!([costs])))
    };
    #[expect(clippy::cast_precision_loss, reason = "a few dollars")]
    let dollars = money as f64 / 1e9;
    let write = |text: String| std::fs::write(stage.folder.path().join("usage.json"), text).expect("written");
    let arguments = ["ledger", "reconcile", "usage.json", "--provider", "openai", "--key", "key_1=main"];
    write(page(&result, dollars));
    let said = stage.say(&arguments);
    assert!(said.contains("nothing differs"), "{said}");
    write(page(&result, dollars * 1.5));
    let dearer = stage.command(&arguments);
    let said = String::from_utf8_lossy(&dearer.stdout).into_owned();
    assert!(dearer.status.code() == Some(1) && said.contains("equal counts, other prices"), "{said}");
    result["input_tokens"] = json!(input + 100);
    write(page(&result, dollars));
    let said = String::from_utf8_lossy(&stage.command(&arguments).stdout).into_owned();
    assert!(said.contains("+100 tokens in"), "{said}");
}

/// A client of `tests/sdk` that another tool watches, against OpenAI's and Anthropic's models through us: what the tool
/// recorded says the same of who answers how much as our ledger. Both reports, ours first.
async fn watched(python: String, script: &'static str, kind: &'static str) -> (Value, Value) {
    let (openai, anthropic) = tokio::join!(Provider::start(Script::default()), Provider::start(Script::default()));
    let (openai, anthropic) = (openai.expect("a provider"), anthropic.expect("a provider"));
    let rules = format!(
        "[provider.openai]\nbase_url = \"http://{}/v1\"\nauth = \"none\"\n\
         [deployment.gpt]\nprovider = \"openai\"\nmodel = \"gpt-5.2\"\n\
         [provider.anthropic]\nbase_url = \"http://{}/v1\"\nauth = \"none\"\n\
         [deployment.claude]\nprovider = \"anthropic\"\nmodel = \"claude-sonnet-4-5\"\n{ANONYMOUS}",
        openai.addr(),
        anthropic.addr()
    );
    let stage = Stage::start(&rules);
    let mut command = std::process::Command::new(python);
    command.current_dir(folder()).env("PYTHONDONTWRITEBYTECODE", "1").env("LITELLM_LOCAL_MODEL_COST_MAP", "True");
    command.arg(script).arg(format!("http://{}", stage.addr)).arg(stage.folder.path().join("recorded")).arg(kind);
    let output = tokio::task::spawn_blocking(move || command.output()).await.expect("not broken").expect("it runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let over = |rows: &[Attempt]| rows.len() == 10 && rows.iter().all(|row| row.outcome == Outcome::Ok);
    stage.rows("every attempt has its row", over).await;

    let own = read(&stage.say(&["exposure", "--format", "json"]));
    let theirs = read(&stage.say(&["exposure", "--import", "recorded", "--format", "json"]));
    for what in ["requests", "tokens", "uncounted", "products"] {
        assert_eq!(theirs["window"][what], own["window"][what], "{kind}: {what}");
    }
    // families are not compared: names give away coarser ones (`gpt`) than the catalog has (`gpt-5.2`)
    for by in ["maker", "host", "invoicer"] {
        let of = |report: &Value| -> Vec<_> {
            shares(report, by).into_iter().map(|(name, tokens, _)| (name, tokens)).collect()
        };
        assert_eq!(of(&theirs), of(&own), "{kind}: by {by}");
    }
    (own, theirs)
}

/// Asserts that nobody is named by `kind`: unknown, and not somebody.
fn unknown(report: &Value, kind: &str) {
    assert!(shares(report, kind).iter().all(|(name, ..)| name.is_null()), "by {kind}");
}

#[tokio::test]
async fn third_parties_spans_say_what_the_ledger_says() {
    let Some(python) = interpreter("telemetry.py") else { return };
    for instrumentation in ["openai-v2", "openllmetry"] {
        let (_, theirs) = watched(python.clone(), "telemetry.py", instrumentation).await;
        // spans know no price, no account and no region
        assert_eq!(theirs["window"]["unpriced"], json!(10));
        unknown(&theirs, "account");
        unknown(&theirs, "region");
    }
}

/// Run by `scripts/litellm-import`, which installs LiteLLM.
#[tokio::test]
async fn litellms_logs_say_what_the_ledger_says() {
    let Some(python) = std::env::var_os("AUTARKY_TEST_LITELLM") else { return };
    for kind in ["spend", "standard"] {
        let (own, theirs) = watched(python.to_string_lossy().into_owned(), "litellm_log.py", kind).await;
        let spend = |report: &Value| report["window"]["cost_nanodollars"].as_i64().expect("a number");
        // its prices come from another file than ours and are floats
        assert!((spend(&own) - spend(&theirs)).abs() <= 10, "{kind}: {} and {}", spend(&own), spend(&theirs));
        unknown(&theirs, "region");
    }
}
