//! Turns kept between requests: a conversation goes on at another maker when the first one is gone, by ids that only
//! the gateway knows; it belongs to one product, outlives the process, and is forgotten when somebody says so.

use crate::stage::{ANONYMOUS, Stage, settled, until};
use serde_json::{Value, json};
use std::fmt::Write as _;
use testkit::grammar::{Asked, grammar};
use testkit::process::Answer;
use testkit::provider::{self, Provider, Rule, Script, WIRES, When, Wire, expected_answer};

const RESPONSES: &str = "/v1/responses";

/// A deployment of `provider` called `name`, on `wire`.
fn at(name: &str, provider: &Provider, wire: &dyn Wire) -> String {
    let (id, url) = (wire.id(), format!("{}{}", provider.url(), wire.base()));
    let row = format!("[provider.{name}]\nbase_url = \"{url}\"\nauth = \"none\"\nwires = [\"{id}\"]\n");
    format!("{row}[deployment.{name}]\nprovider = \"{name}\"\nmodel = \"model-{name}\"\n")
}

async fn ask(stage: &Stage, key: &str, body: &Value) -> Answer {
    stage.client().post(RESPONSES, key, body).await.expect("an answer")
}

async fn send(stage: &Stage, method: &str, path: &str, key: &str) -> Answer {
    let bearer = format!("Bearer {key}");
    let headers = if key.is_empty() { vec![] } else { vec![("authorization", bearer.as_str())] };
    let answer = stage.client().send(method, path, &headers, bytes::Bytes::new()).await.expect("headers");
    answer.whole().await.expect("an answer")
}

/// The response object of an answer, streamed or not, which must be well formed.
fn response(answer: &Answer, stream: bool) -> Value {
    assert_eq!(answer.status, 200, "{}", String::from_utf8_lossy(&answer.body));
    if !stream {
        return answer.json();
    }
    let ear = grammar("openai-responses").expect("a grammar");
    let heard = ear.stream(&answer.body, &Asked { usage: Some(true), n: Some(1) });
    assert!(heard.is_well(), "{:?}", heard.violations);
    let text = String::from_utf8_lossy(&answer.body).into_owned();
    let last = text.lines().filter_map(|line| line.strip_prefix("data: ")).next_back().expect("a last event");
    serde_json::from_str::<Value>(last).expect("JSON")["response"].take()
}

fn said(response: &Value) -> String {
    let items = response["output"].as_array().expect("items");
    let parts = items.iter().filter_map(|item| item["content"].as_array()).flatten();
    parts.filter_map(|part| part["text"].as_str()).collect()
}

#[tokio::test]
async fn a_conversation_goes_on_at_another_maker_when_the_first_is_gone() {
    let mut tried = 0;
    for first in WIRES {
        let mut rules = ANONYMOUS.to_owned();
        let gone = Provider::start(Script::default()).await.expect("a provider");
        rules.push_str(&at("gone", &gone, *first));
        let others = Provider::start(Script::default()).await.expect("a provider");
        for wire in WIRES {
            write!(rules, "{}", at(wire.id(), &others, *wire)).expect("written");
        }
        let stage = Stage::start(&rules);
        let mut begun = Vec::new();
        for wire in WIRES {
            for stream in [false, true] {
                let question = format!("First nonce-{}-{stream}", wire.id());
                let body = json!({"model": "gone", "input": question, "stream": stream, "instructions": "Be brief."});
                let one = response(&ask(&stage, "", &body).await, stream);
                assert_eq!(said(&one), expected_answer(&question));
                begun.push((*wire, stream, question, one["id"].as_str().expect("an id").to_owned()));
            }
        }
        settled(&gone).await;
        drop(gone);
        for (wire, stream, question, id) in begun {
            others.clear_log();
            let body =
                json!({"model": wire.id(), "input": "Then nonce-then", "stream": stream, "previous_response_id": id});
            let answer = ask(&stage, "", &body).await;
            let two = response(&answer, stream);
            assert_eq!(said(&two), expected_answer("Then nonce-then"), "{} to {}", first.id(), wire.id());
            assert_eq!((&two["previous_response_id"], answer.header("x-autarky-losses")), (&json!(id), ""));
            let arrival = others.log()[0].arrival.clone();
            let heard = arrival.body.expect("kept");
            assert_eq!(arrival.verdict, "ok");
            let words: String = serde_json::from_str::<Value>(&heard).expect("JSON").to_string();
            let first_answer = serde_json::to_string(&expected_answer(&question)).expect("JSON");
            assert!(words.contains(&question) && words.contains(first_answer.trim_matches('"')), "{heard}");
            assert!(!words.contains("resp_") && !words.contains("previous_response_id"), "an id of ours left: {heard}");
            assert!(!words.contains("Be brief."), "instructions are of one turn");
            // And on, from there.
            let body = json!({"model": wire.id(), "input": "Last nonce-last", "previous_response_id": two["id"]});
            let three = response(&ask(&stage, "", &body).await, false);
            let heard = others.log()[1].arrival.body.clone().expect("kept");
            assert!(heard.contains("nonce-then") && heard.contains(&question), "{heard}");
            assert_eq!(said(&three), expected_answer("Last nonce-last"));
            tried += 1;
        }
        let rows = stage.rows("every row", |rows| rows.len() >= WIRES.len() * 6).await;
        assert!(rows.iter().all(|row| row.locked_by.is_none()), "nothing ties these to a provider");
    }
    println!("turns: {tried} conversations went on at another maker, the first one's server stopped");
}

#[tokio::test]
async fn thinking_goes_home_sealed_and_is_named_where_it_cannot_go() {
    let think = provider::Answer { reasoning: Some("Let me think.".to_owned()), ..provider::Answer::default() };
    let rule = Rule { when: When::default(), answer: Some(think), ..Rule::default() };
    let provider = Provider::start(Script { rules: vec![rule], ..Script::default() }).await.expect("a provider");
    let wire = |id: &str| WIRES.iter().copied().find(|wire| wire.id() == id).expect("listed");
    let rules = at("responses", &provider, wire("openai-responses")) + &at("chat", &provider, wire("openai-chat"));
    let stage = Stage::start(&format!("{rules}{ANONYMOUS}"));
    let body = json!({"model": "responses", "input": "One nonce-1", "reasoning": {"effort": "low"}});
    let one = response(&ask(&stage, "", &body).await, false);
    let arrived: Value = serde_json::from_str(provider.log()[0].arrival.body.as_deref().expect("kept")).expect("JSON");
    assert_eq!(arrived["include"], json!(["reasoning.encrypted_content"]), "what is kept must be sayable again");
    let go_on = |model: &str| json!({"model": model, "input": "Two nonce-2", "previous_response_id": one["id"], "reasoning": {"effort": "low"}});
    let home = ask(&stage, "", &go_on("responses")).await;
    assert_eq!((home.status, home.header("x-autarky-losses")), (200, ""));
    let arrived: Value = serde_json::from_str(provider.log()[1].arrival.body.as_deref().expect("kept")).expect("JSON");
    let items = arrived["input"].as_array().expect("items");
    let sealed = items.iter().find(|item| item["type"] == "reasoning").expect("the thinking");
    assert!(sealed["encrypted_content"].is_string() && arrived["store"] == json!(false), "{arrived}");
    let abroad = ask(&stage, "", &go_on("chat")).await;
    assert_eq!(abroad.status, 200);
    assert!(abroad.header("x-autarky-losses").contains("messages[1].content[0]"), "{:?}", abroad.headers);
}

#[tokio::test]
async fn what_is_kept_belongs_to_one_product_and_goes_when_it_is_told_to() {
    let provider = Provider::start(Script::default()).await.expect("a provider");
    let wire = WIRES[0];
    let rules = at("one", &provider, wire) + "[product.copilot]\n[product.office]\n";
    let mut stage = Stage::start(&rules);
    let key = |product: &str| {
        let made: Value =
            serde_json::from_str(&stage.say(&["keys", "create", product, "--format", "json"])).expect("JSON");
        made["secret"].as_str().expect("a secret").to_owned()
    };
    let (copilot, office) = (key("copilot"), key("office"));
    let body = json!({"model": "one", "input": "A secret nonce-secret"});
    let one = until("the keys are in force", async || {
        let both = [ask(&stage, &office, &body).await, ask(&stage, &copilot, &body).await];
        both.iter().all(|answer| answer.status == 200).then(|| both[1].json())
    });
    let one = one.await;
    let id = one["id"].as_str().expect("an id").to_owned();
    let path = format!("{RESPONSES}/{id}");
    assert_eq!(send(&stage, "GET", &path, "").await.status, 401);
    assert_eq!(send(&stage, "GET", &path, &copilot).await.json(), one);
    for (method, path) in [
        ("GET", path.clone()),
        ("DELETE", path.clone()),
        ("GET", format!("{path}/input_items")),
        ("POST", format!("{path}/cancel")),
    ] {
        let answer = send(&stage, method, &path, &office).await;
        let error = &answer.json()["error"];
        assert_eq!(
            (answer.status, &error["code"], &error["type"]),
            (404, &json!("not_found"), &json!("invalid_request_error"))
        );
        assert!(!error["message"].as_str().expect("words").contains("copilot"));
    }
    let go_on = json!({"model": "one", "input": "Go on", "previous_response_id": id});
    assert_eq!(ask(&stage, &office, &go_on).await.status, 404);
    assert_eq!(ask(&stage, &copilot, &go_on).await.status, 200);

    // It outlives the process, however that ends.
    stage.process.kill().expect("it runs");
    stage.restart();
    assert_eq!(send(&stage, "GET", &path, &copilot).await.json(), one);
    let held: Value = serde_json::from_str(&stage.say(&["state", "show", "--format", "json"])).expect("JSON");
    let of = |product: &str| held.as_array().expect("a list").iter().find(|held| held["product"] == product).cloned();
    assert_eq!(of("copilot").expect("held")["conversations"], 0);
    assert!(of("office").is_some());
    // The ledger knows nothing of it.
    let holds = |name: &str| {
        let files = std::fs::read_dir(stage.folder.path().join("data")).expect("a folder");
        files
            .map(|file| file.expect("a file").path())
            .filter(|path| path.display().to_string().contains(name))
            .any(|path| std::fs::read(path).is_ok_and(|bytes| bytes.windows(12).any(|part| part == b"nonce-secret")))
    };
    assert!(holds("state.db") && !holds("ledger.db"));
    stage.say(&["state", "erase", "copilot"]);
    assert_eq!(send(&stage, "GET", &path, &copilot).await.status, 404);
    stage.say(&["state", "erase", "office"]);
    assert!(!holds("state.db"), "what is erased is in no file");
    let wrong = stage.command(&["state", "erase", "nobody"]);
    assert_eq!(wrong.status.code(), Some(1));
}

#[tokio::test]
async fn an_answer_in_the_background_ends_one_way_or_another() {
    let provider = Provider::start(Script::default()).await.expect("a provider");
    let mut stage = Stage::start(&format!("{}{ANONYMOUS}", at("one", &provider, WIRES[1])));
    let body = json!({"model": "one", "input": "Think nonce-slow", "background": true});
    let begin = async |stage: &Stage| {
        let made = ask(stage, "", &body).await;
        assert_eq!((made.status, &made.json()["status"]), (200, &json!("queued")));
        format!("{RESPONSES}/{}", made.json()["id"].as_str().expect("an id"))
    };
    let status = async |stage: &Stage, path: &str| send(stage, "GET", path, "").await.json()["status"].clone();

    let path = begin(&stage).await;
    until("it is complete", async || (status(&stage, &path).await == "completed").then_some(())).await;
    assert_eq!(said(&send(&stage, "GET", &path, "").await.json()), expected_answer("Think nonce-slow"));
    let arrived = provider.log()[0].arrival.body.clone().expect("kept");
    assert!(!arrived.contains("background"), "the provider answers as if somebody waited: {arrived}");

    let slow = Rule { pace: Some(provider::Pace { first_ms: 60_000, event_ms: 0 }), ..Rule::default() };
    provider.script(Script { rules: vec![slow], ..Script::default() });
    provider.clear_log();
    let path = begin(&stage).await;
    until("the provider is asked", async || (provider.open() > 0).then_some(())).await;
    assert_eq!(status(&stage, &path).await, "in_progress");
    let id = path.rsplit('/').next().expect("an id").to_owned();
    let early = ask(&stage, "", &json!({"model": "one", "input": "Go on", "previous_response_id": id})).await;
    assert_eq!((early.status, &early.json()["error"]["param"]), (400, &json!("previous_response_id")));
    for _ in 0..2 {
        let cancelled = send(&stage, "POST", &format!("{path}/cancel"), "").await;
        assert_eq!((cancelled.status, &cancelled.json()["status"]), (200, &json!("cancelled")));
    }
    settled(&provider).await;
    assert_eq!(provider.log()[0].end.outcome, provider::Outcome::ClientLeft, "the call for it was ended");

    let gone = begin(&stage).await;
    assert_eq!(send(&stage, "DELETE", &gone, "").await.status, 200);
    assert_eq!(send(&stage, "GET", &gone, "").await.status, 404);
    let lost = begin(&stage).await;
    stage.process.kill().expect("it runs");
    stage.restart();
    let failed = send(&stage, "GET", &lost, "").await.json();
    assert_eq!((&failed["status"], &failed["error"]["code"]), (&json!("failed"), &json!("server_error")));
    settled(&provider).await;
    provider.script(Script {
        rules: vec![Rule {
            fault: Some(provider::Fault::Status { status: 503, retry_after: None, trouble: None }),
            ..Rule::default()
        }],
        ..Script::default()
    });
    let failing = begin(&stage).await;
    until("it failed", async || (status(&stage, &failing).await == "failed").then_some(())).await;
    // A product whose conversation it belongs to hears of it when it is complete.
    provider.script(Script::default());
    let made = stage.client().post("/v1/conversations", "", &json!({})).await.expect("an answer").json();
    let conversation = format!("/v1/conversations/{}/items", made["id"].as_str().expect("an id"));
    let body = json!({"model": "one", "input": "In it", "background": true, "conversation": made["id"]});
    ask(&stage, "", &body).await;
    let items = until("both items are there", async || {
        let items = send(&stage, "GET", &conversation, "").await.json()["data"].clone();
        (items.as_array().expect("a list").len() == 2).then_some(items)
    });
    assert_eq!(items.await[1]["content"][0]["text"], "In it");
}

#[tokio::test]
async fn what_two_makers_said_is_kept_as_the_client_heard_it() {
    let cut = Rule {
        when: When { model: Some("model-cut".to_owned()), ..When::default() },
        fault: Some(provider::Fault::Cut { after: 6, close: false }),
        ..Rule::default()
    };
    let pace = Rule { pace: Some(provider::Pace { first_ms: 0, event_ms: 2 }), ..Rule::default() };
    let provider = Provider::start(Script { rules: vec![cut, pace], ..Script::default() }).await.expect("a provider");
    let wire = |id: &str| WIRES.iter().copied().find(|wire| wire.id() == id).expect("listed");
    let mut rules =
        at("cut", &provider, wire("openai-responses")) + &at("whole", &provider, wire("anthropic-messages"));
    rules.push_str(
        "[product.default]\nanonymous = true\nsubstitute = \"free\"\naliases = { both = [\"cut\", \"whole\"] }\n",
    );
    let stage = Stage::start(&rules);
    let body = json!({"model": "both", "input": "Tell nonce-broken", "stream": true});
    let answer = ask(&stage, "", &body).await;
    let one = response(&answer, true);
    assert_eq!(said(&one), expected_answer("Tell nonce-broken"));
    let rows =
        stage.rows("both attempts", |rows| rows.len() == 2 && rows.iter().all(|row| row.outcome.is_final())).await;
    assert_eq!(rows[1].mode, ledger::Mode::Takeover);
    let text = String::from_utf8_lossy(&answer.body).into_owned();
    let first: Value =
        serde_json::from_str(text.lines().find_map(|line| line.strip_prefix("data: ")).expect("an event"))
            .expect("JSON");
    assert_eq!(first["response"]["id"], one["id"], "one answer, one id");
    let kept = send(&stage, "GET", &format!("{RESPONSES}/{}", one["id"].as_str().expect("an id")), "").await;
    assert_eq!(kept.json(), one);
    provider.clear_log();
    let two = json!({"model": "whole", "input": "And nonce-two", "previous_response_id": one["id"]});
    assert_eq!(said(&response(&ask(&stage, "", &two).await, false)), expected_answer("And nonce-two"));
    assert!(
        provider.log()[0].arrival.body.as_deref().expect("kept").contains("nonce-broken is"),
        "all of it is said again"
    );
}

#[tokio::test]
async fn a_server_that_keeps_nothing_says_so() {
    let provider = Provider::start(Script::default()).await.expect("a provider");
    let rules = at("one", &provider, WIRES[1]) + ANONYMOUS + "[state]\nretention_days = 0\n";
    let stage = Stage::start(&rules);
    let body = json!({"model": "one", "input": "Hello", "reasoning": {"effort": "low"}}).to_string();
    let headers = [("content-type", "application/json")];
    let sent = stage.client().send("POST", RESPONSES, &headers, body.clone().into()).await.expect("headers");
    let id = sent.whole().await.expect("an answer").json()["id"].as_str().expect("an id").to_owned();
    let arrived = provider.log()[0].arrival.body.clone().expect("kept");
    assert_eq!(arrived.replace("model-one", "one"), body, "nothing kept, nothing touched");
    assert_eq!(send(&stage, "GET", &format!("{RESPONSES}/{id}"), "").await.status, 404);
    let go_on = json!({"model": "one", "input": "Go on", "previous_response_id": id});
    let refused = ask(&stage, "", &go_on).await;
    assert_eq!((refused.status, &refused.json()["error"]["code"]), (404, &json!("previous_response_not_found")));
}

#[tokio::test]
async fn who_goes_on_at_once_finds_what_just_ended() {
    let provider = Provider::start(Script::default()).await.expect("a provider");
    let stage =
        Stage::start(&format!("{}{}{ANONYMOUS}", at("raw", &provider, WIRES[1]), at("other", &provider, WIRES[0])));
    let addr = stage.addr;
    let chains = (0..16).map(|number| async move {
        let model = if number % 2 == 0 { "raw" } else { "other" };
        let mut previous = Value::Null;
        for turn in 0..12 {
            let question = format!("nonce-{number}-{turn}");
            let mut body = json!({"model": model, "input": question, "stream": turn % 2 == 0});
            if !previous.is_null() {
                body["previous_response_id"] = previous;
            }
            // Gone on with as soon as the last event is heard, on another connection.
            let mut client = testkit::process::Client::new(addr);
            let mut sent = client.post_stream(RESPONSES, "", &body).await.expect("headers");
            let mut heard = Vec::new();
            let id = loop {
                heard.extend_from_slice(&sent.next().await.expect("whole").expect("not over yet"));
                let text = String::from_utf8_lossy(&heard).into_owned();
                let whole: Option<Value> = match turn % 2 {
                    0 => text
                        .lines()
                        .filter_map(|line| line.strip_prefix("data: "))
                        .filter_map(|line| serde_json::from_str::<Value>(line).ok())
                        .find(|event| event["type"] == "response.completed")
                        .map(|mut event| event["response"].take()),
                    _ => serde_json::from_str(&text).ok(),
                };
                if let Some(whole) = whole {
                    assert_eq!(said(&whole), expected_answer(&question), "{number} {turn} {whole}");
                    break whole["id"].clone();
                }
            };
            previous = id;
        }
    });
    futures_util::future::join_all(chains).await;
}
