//! The doors beside conversations: vectors, the retired completions, and a provider's own endpoints.

use crate::stage::{ANONYMOUS, Stage, chat, leg, until};
use bytes::Bytes;
use ledger::{Outcome, Portability, UsageSource};
use serde_json::{Value, json};
use std::fmt::Write as _;
use testkit::process::{Answer, Client, ClientError};
use testkit::provider::{Fault, Provider, Rule, Script, expected_answer};

const EMBEDDINGS: &str = "/v1/embeddings";
const COMPLETIONS: &str = "/v1/completions";
const JSON: [(&str, &str); 1] = [("content-type", "application/json")];

/// A deployment `name` of `model` for vectors.
fn vectors(name: &str, model: &str, provider: &Provider, order: u32) -> String {
    let row = leg(name, provider.addr(), order);
    row.replace(&format!("model = \"model-{name}\""), &format!("model = \"{model}\"\nwire = \"openai-embeddings\""))
}

fn broken() -> Script {
    let fault = Some(Fault::Status { status: 503, retry_after: None, trouble: None });
    Script { rules: vec![Rule { fault, ..Rule::default() }], ..Script::default() }
}

async fn send(
    mut client: Client,
    method: &str,
    path: &str,
    headers: &[(&str, &str)],
    body: String,
) -> Result<Answer, ClientError> {
    client.send(method, path, headers, body.into()).await?.whole().await
}

async fn post(stage: &Stage, path: &str, body: &Value) -> Answer {
    stage.client().post(path, "", body).await.expect("an answer")
}

#[tokio::test]
async fn vectors_pass_untouched_and_fail_over_to_the_same_model_only() {
    let (first, second, other) = (
        Provider::start(Script::default()).await.expect("a provider"),
        Provider::start(Script::default()).await.expect("a provider"),
        Provider::start(Script::default()).await.expect("a provider"),
    );
    let mut rules = ANONYMOUS.to_owned();
    rules += &vectors("one", "embed", &first, 0);
    rules += &vectors("two", "embed", &second, 1);
    rules += &vectors("far", "another", &other, 2);
    let stage = Stage::start(&rules);
    let asked = json!({"model": "auto", "input": ["a text", "another"], "x_new": 1});
    // The provider refuses a field that nobody knows: it arrived.
    assert_eq!(post(&stage, EMBEDDINGS, &asked).await.status, 400);
    let asked = json!({"model": "auto", "input": ["a text", "another"], "dimensions": 4});
    let answer = post(&stage, EMBEDDINGS, &asked).await;
    assert_eq!((answer.status, answer.header("x-autarky-deployment")), (200, "one"));
    let direct = post_to(&first, &json!({"model": "embed", "input": ["a text", "another"], "dimensions": 4})).await;
    assert_eq!(answer.body, direct);
    let row = &stage.story(&answer).await[0];
    assert_eq!((row.dialect.as_deref(), row.usage_source), (Some("openai-embeddings"), UsageSource::Reported));
    assert_eq!((row.input_tokens, row.output_tokens), (Some(3), Some(0)));

    first.script(broken());
    let answer = post(&stage, EMBEDDINGS, &asked).await;
    assert_eq!((answer.status, answer.header("x-autarky-deployment")), (200, "two"));
    second.script(broken());
    let answer = post(&stage, EMBEDDINGS, &asked).await;
    assert_eq!((answer.status, &answer.json()["error"]["type"]), (503, &json!("server_error")));
    assert_eq!(other.log().len(), 0, "another model's vectors say nothing here");

    // A conversation goes to nobody who makes vectors.
    let refused = post(&stage, "/v1/chat/completions", &chat("one", "hi", false)).await;
    assert_eq!(refused.status, 503, "{}", refused.json());
}

/// What the provider itself answers.
async fn post_to(provider: &Provider, body: &Value) -> Bytes {
    let client = Client::new(provider.addr());
    send(client, "POST", EMBEDDINGS, &JSON, body.to_string()).await.expect("an answer").body
}

#[tokio::test]
async fn the_retired_completions_are_answered_by_a_conversations_model() {
    let provider = Provider::start(Script::default()).await.expect("a provider");
    let stage = Stage::start(&format!("{}{ANONYMOUS}", leg("one", provider.addr(), 0)));
    let said = expected_answer("Say hi. nonce-legacy");
    let mut asked = json!({"model": "one", "prompt": "Say hi. nonce-legacy", "max_tokens": 50});
    let answer = post(&stage, COMPLETIONS, &asked).await;
    let body = answer.json();
    assert_eq!((&body["object"], &body["choices"][0]["text"]), (&json!("text_completion"), &json!(said)));
    assert!(body["id"].as_str().is_some_and(|id| id.starts_with("cmpl-")), "{body}");
    asked["echo"] = json!(true);
    let body = post(&stage, COMPLETIONS, &asked).await.json();
    assert_eq!(body["choices"][0]["text"], json!(format!("Say hi. nonce-legacy{said}")));
    asked["stream"] = json!(true);
    let stream = post(&stage, COMPLETIONS, &asked).await;
    let text = String::from_utf8_lossy(&stream.body).into_owned();
    let mut heard = String::new();
    for data in text.lines().filter_map(|line| line.strip_prefix("data: ")).filter(|data| *data != "[DONE]") {
        let chunk: Value = serde_json::from_str(data).expect("JSON");
        assert_eq!(chunk["object"], json!("text_completion"));
        heard += chunk["choices"][0]["text"].as_str().expect("text");
    }
    assert_eq!(heard, format!("Say hi. nonce-legacy{said}"));
    assert!(text.ends_with("data: [DONE]\n\n"), "{text}");
    asked["echo"] = json!(false);
    asked["stream"] = json!(false);
    asked["logprobs"] = json!(2);
    let told = &post(&stage, COMPLETIONS, &asked).await.json()["choices"][0]["logprobs"];
    let lists =
        ["tokens", "token_logprobs", "top_logprobs", "text_offset"].map(|name| told[name].as_array().map(Vec::len));
    assert!(lists[0].is_some_and(|length| length > 0) && lists.iter().all(|length| *length == lists[0]), "{told}");
    assert_eq!(told["text_offset"][0], json!(0));

    for (field, value) in [
        ("prompt", json!(["one", "two"])),
        ("prompt", json!([1, 2, 3])),
        ("suffix", json!("the end")),
        ("best_of", json!(3)),
        ("temperature", json!("hot")),
    ] {
        let mut wrong = json!({"model": "one", "prompt": "hi"});
        wrong[field] = value;
        let refused = post(&stage, COMPLETIONS, &wrong).await;
        assert_eq!((refused.status, &refused.json()["error"]["param"]), (400, &json!(field)), "{}", refused.json());
    }
}

#[tokio::test]
async fn gemini_streams_a_list_to_who_asks_for_no_events() {
    let provider = Provider::start(Script::default()).await.expect("a provider");
    let row = leg("one", provider.addr(), 0).replace("/v1\"", "/v1beta\"");
    let stage = Stage::start(&format!(
        "{}{ANONYMOUS}",
        row.replace("auth = \"none\"", "auth = \"none\"\nwires = [\"gemini\"]")
    ));
    let body = json!({"contents": [{"role": "user", "parts": [{"text": "Say hi. nonce-list"}]}]});
    let list = post(&stage, "/v1beta/models/one:streamGenerateContent", &body).await;
    assert_eq!((list.status, list.header("content-type")), (200, "application/json"));
    let chunks = list.json();
    let words: String = chunks
        .as_array()
        .expect("a list")
        .iter()
        .filter_map(|chunk| chunk["candidates"][0]["content"]["parts"][0]["text"].as_str())
        .collect();
    assert_eq!(words, expected_answer("Say hi. nonce-list"));
    let events = post(&stage, "/v1beta/models/one:streamGenerateContent?alt=sse", &body).await;
    assert!(events.header("content-type").starts_with("text/event-stream") && events.body.starts_with(b"data: "));
    // Broken in the middle, with nobody else to ask: the list is closed behind the error.
    let fault = Some(Fault::Cut { after: 4, close: false });
    provider.script(Script { rules: vec![Rule { fault, ..Rule::default() }], ..Script::default() });
    let broken = post(&stage, "/v1beta/models/one:streamGenerateContent", &body).await.json();
    assert!(
        broken.as_array().and_then(|list| list.last()).is_some_and(|last| last["error"]["code"].is_u64()),
        "{broken}"
    );
}

#[tokio::test]
async fn a_providers_own_endpoints_are_reached_through_our_door() {
    let script = Script { key: Some("sk-theirs".to_owned()), ..Script::default() };
    let provider = Provider::start(script).await.expect("a provider");
    let stage = with_key(&provider, "sk-theirs");
    let ours = key_of(&stage, "office").await;

    // Without a key, with a wrong one, of a product that may not, at a provider that is none.
    assert_eq!(get(&stage, "/provider/one/models", "").await.status, 401);
    assert_eq!(get(&stage, "/provider/one/models", "ak-wrong").await.status, 401);
    let other = key_of(&stage, "copilot").await;
    assert_eq!(get(&stage, "/provider/one/models", &other).await.status, 403);
    let unknown = get(&stage, "/provider/nobody/models", &ours).await;
    assert_eq!(unknown.status, 404);
    assert!(unknown.json()["error"]["message"].as_str().is_some_and(|text| text.contains("known: one")));
    assert_eq!(get(&stage, "/provider/one/../admin", &ours).await.status, 400);
    assert_eq!(provider.log().len(), 0);

    // With the base URL's own path or without, with the key wherever the client puts it.
    for path in ["/provider/one/models?limit=2", "/provider/one/v1/models?limit=2"] {
        let answer = get(&stage, path, &ours).await;
        assert_eq!((answer.status, &answer.json()["object"]), (200, &json!("list")), "{path}");
        let row = &stage.story(&answer).await[0];
        assert_eq!((row.product.as_deref(), row.provider.as_deref()), (Some("office"), Some("one")));
        assert_eq!((row.deployment.as_deref(), row.outcome, row.status), (None, Outcome::Ok, Some(200)));
        assert_eq!((row.usage_source, row.portability), (UsageSource::Unknown, Some(Portability::Locked)));
        assert_eq!(row.bytes_out, Some(answer.body.len() as u64));
    }
    let in_query = send(stage.client(), "GET", &format!("/provider/one/models?key={ours}"), &[], String::new()).await;
    assert_eq!(in_query.expect("an answer").status, 200);
    for exchange in provider.log() {
        assert!(!exchange.arrival.path.contains("ak-"), "{}", exchange.arrival.path);
        assert!(!format!("{:?}", exchange.arrival.headers).contains("ak-"), "{:?}", exchange.arrival.headers);
    }

    // Bytes pass in both directions, streams too; an error of the provider's is its own.
    provider.clear_log();
    let bearer = format!("Bearer {ours}");
    let headers = [("authorization", bearer.as_str()), ("content-type", "application/json"), ("x-client", "kept")];
    let body = "{\"model\":\"m\",  \"stream\":true,\"messages\":[{\"role\":\"user\",\"content\":\"hi nonce-pass\"}]}";
    let path = "/provider/one/chat/completions";
    let answer = send(stage.client(), "POST", path, &headers, body.to_owned()).await.expect("an answer");
    assert!(answer.header("content-type").starts_with("text/event-stream"));
    assert!(String::from_utf8_lossy(&answer.body).ends_with("data: [DONE]\n\n"));
    let arrival = &provider.log()[0].arrival;
    assert_eq!(arrival.body.as_deref(), Some(body));
    assert_eq!(arrival.headers.get("x-client").map(String::as_str), Some("kept"));
    let missing =
        send(stage.client(), "POST", "/provider/one/nothing", &headers, body.to_owned()).await.expect("an answer");
    assert_eq!((missing.status, &missing.json()["error"]["message"]), (404, &json!("Invalid URL")));
    let row = &stage.story(&missing).await[0];
    assert_eq!((row.outcome, row.fault), (Outcome::Failed, Some(canon::FaultKind::NotFound)));

    // A break breaks the connection: no half answer looks whole.
    provider.script(Script {
        key: Some("sk-theirs".to_owned()),
        rules: vec![Rule { fault: Some(Fault::Cut { after: 3, close: false }), ..Rule::default() }],
        ..Script::default()
    });
    assert!(send(stage.client(), "POST", path, &headers, body.to_owned()).await.is_err());

    // Our own key, refused: what the provider says of it stays here.
    let stage = with_key(&provider, "sk-stale");
    let ours = key_of(&stage, "office").await;
    let refused = get(&stage, "/provider/one/models", &ours).await;
    assert_eq!(refused.status, 502);
    assert!(!String::from_utf8_lossy(&refused.body).contains("sk-"), "{}", refused.json());
}

#[tokio::test]
async fn a_providers_own_endpoints_keep_limits_and_budgets() {
    let provider = Provider::start(Script::default()).await.expect("a provider");
    // A dollar a token of the answer.
    let rules = |product: &str| {
        let price = "price = { input = 0, output = 1000000 }\n";
        format!("{}{price}{ANONYMOUS}{product}", leg("one", provider.addr(), 0))
    };
    let stage = Stage::start(&rules("limits = { rpm = 2 }\n"));
    for status in [200, 200, 429] {
        let answer = get(&stage, "/provider/one/models", "").await;
        assert_eq!(answer.status, status, "{}", answer.json());
    }
    assert_eq!(provider.log().len(), 2);

    // What an answer used is read where it says so, so that no more than that is charged.
    let stage = Stage::start(&rules("budget = { usd_day = 50 }\n"));
    let path = "/provider/one/chat/completions";
    let body = |tokens: u64, stream: bool| json!({"model": "model-one", "max_tokens": tokens, "stream": stream, "messages": [{"role": "user", "content": "hi"}]});
    let answer = post(&stage, path, &body(40, false)).await;
    assert_eq!(answer.status, 200);
    let used = answer.json()["usage"]["completion_tokens"].as_u64().expect("a count");
    let row = &stage.story(&answer).await[0];
    assert_eq!((row.output_tokens, row.usage_source), (Some(used), UsageSource::Reported));
    assert_eq!(row.cost_nanodollars, Some(i64::try_from(used * 1_000_000_000).expect("fits")));
    let left = 50 - used;
    let refused = post(&stage, path, &body(left + 1, false)).await;
    assert_eq!(refused.status, 429, "{}", refused.json());
    assert!(refused.json()["error"]["message"].as_str().is_some_and(|text| text.contains("budget")));
    // Where it does not say so, the worst is charged; what only reads is free.
    assert_eq!(post(&stage, path, &body(left, true)).await.status, 200);
    until("the worst is charged", async || (post(&stage, path, &body(1, false)).await.status == 429).then_some(()))
        .await;
    assert_eq!(get(&stage, "/provider/one/models", "").await.status, 200);
}

/// A provider behind a key of its own, which `office` may use and `copilot` may not.
fn with_key(provider: &Provider, key: &str) -> Stage {
    let folder = tempfile::tempdir().expect("a folder").keep();
    let file = folder.join("key");
    std::fs::write(&file, key).expect("written");
    let mut rules =
        leg("one", provider.addr(), 0).replace("auth = \"none\"", &format!("key = \"file:{}\"", file.display()));
    rules += &leg("two", provider.addr(), 1);
    write!(rules, "[product.office]\n[product.copilot]\nmodels = [\"two\"]\n").expect("a string takes it");
    Stage::start(&rules)
}

/// A key of `product`, once it is in force.
async fn key_of(stage: &Stage, product: &str) -> String {
    let made: Value = serde_json::from_str(&stage.say(&["keys", "create", product, "--format", "json"])).expect("JSON");
    let secret = made["secret"].as_str().expect("a string").to_owned();
    until("the key is in force", async || (get(stage, "/v1/models", &secret).await.status == 200).then_some(())).await;
    secret
}

async fn get(stage: &Stage, path: &str, key: &str) -> Answer {
    let bearer = format!("Bearer {key}");
    let headers = [("authorization", bearer.as_str())];
    let headers: &[(&str, &str)] = if key.is_empty() { &[] } else { &headers };
    send(stage.client(), "GET", path, headers, String::new()).await.expect("an answer")
}
