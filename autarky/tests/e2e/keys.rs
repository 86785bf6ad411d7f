//! Keys, made and taken away by the command line while the server runs.

use crate::stage::{CHAT, Stage, chat, leg, until};
use ledger::Outcome;
use serde_json::{Value, json};
use std::time::{Duration, Instant};
use testkit::process::Answer;
use testkit::provider::{Provider, Script};

const PRODUCTS: &str = "[product.copilot]\n[product.office]\nmodels = [\"one\"]\n";

fn made(text: &str) -> (String, String) {
    let made: Value = serde_json::from_str(text).expect("json");
    let field = |name: &str| made[name].as_str().expect("a string").to_owned();
    (field("id"), field("secret"))
}

async fn ask(stage: &Stage, key: &str) -> Answer {
    stage.client().post(CHAT, key, &chat("one", "hi", false)).await.expect("an answer")
}

/// Asks until the status is `status`; how long that took.
async fn asked_until(stage: &Stage, key: &str, status: u16) -> Duration {
    let began = Instant::now();
    until("the key's change is in force", async || (ask(stage, key).await.status == status).then_some(())).await;
    began.elapsed()
}

#[tokio::test]
async fn keys_are_made_listed_rotated_and_revoked_while_the_server_runs() {
    let provider = Provider::start(Script::default()).await.expect("a provider");
    let legs = leg("one", provider.addr(), 0) + &leg("two", provider.addr(), 1);
    let stage = Stage::start(&format!("{legs}{PRODUCTS}"));

    for key in ["", "ak-wrong", "sk-somebody-elses"] {
        let refused = ask(&stage, key).await;
        let error = &refused.json()["error"];
        assert_eq!((refused.status, &error["type"]), (401, &json!("authentication_error")), "`{key}`: {error}");
        assert_eq!((&error["code"], &error["param"]), (&json!("invalid_api_key"), &Value::Null));
    }
    let unknown = stage.command(&["keys", "create", "nobody"]);
    assert_eq!(unknown.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&unknown.stderr).contains("known: copilot, office"));

    let create = ["keys", "create", "copilot", "--team", "blue", "--model", "one", "--format", "json"];
    let (id, secret) = made(&stage.say(&create));
    let new = asked_until(&stage, &secret, 200).await;
    let answer = ask(&stage, &secret).await;
    let row = &stage.story(&answer).await[0];
    assert_eq!((row.product.as_deref(), row.team.as_deref()), (Some("copilot"), Some("blue")));
    assert_eq!((row.key.as_deref(), row.outcome), (Some(id.as_str()), Outcome::Ok));
    let other = stage.client().post(CHAT, &secret, &chat("two", "hi", false)).await.expect("an answer");
    assert_eq!((other.status, &other.json()["error"]["type"]), (403, &json!("permission_error")));
    // As Anthropic's and Azure's clients send it.
    for name in ["x-api-key", "api-key"] {
        let headers = [("content-type", "application/json"), (name, secret.as_str())];
        let body = chat("one", "hi", false).to_string();
        let answer = stage.client().send("POST", CHAT, &headers, body.into()).await.expect("headers");
        assert_eq!(answer.status, 200, "{name}");
    }
    let (bearer, mut client) = (format!("Bearer {secret}"), stage.client());
    let models = client.send("GET", "/v1/models", &[("authorization", &bearer)], "".into()).await;
    assert_eq!(models.expect("headers").status, 200);
    assert_eq!(stage.client().get("/v1/models").await.expect("an answer").status, 401);

    let listed: Value = serde_json::from_str(&stage.say(&["keys", "list", "--format", "json"])).expect("json");
    assert_eq!((&listed[0]["id"], &listed[0]["product"]), (&json!(id), &json!("copilot")));
    let text = format!("{listed}{}", stage.say(&["keys", "list"]));
    assert!(!text.contains(&secret) && text.contains(&id));
    for file in std::fs::read_dir(stage.folder.path().join("data")).expect("the data folder").flatten() {
        let bytes = std::fs::read(file.path()).unwrap_or_default();
        assert!(!bytes.windows(secret.len()).any(|part| part == secret.as_bytes()), "{:?} holds a key", file.path());
    }

    let (successor, newer) = made(&stage.say(&["keys", "rotate", &id, "--format", "json"]));
    asked_until(&stage, &newer, 200).await;
    assert_eq!(ask(&stage, &secret).await.status, 200, "the old one stays good for a while");
    stage.say(&["keys", "revoke", &successor]);
    let gone = asked_until(&stage, &newer, 401).await;
    assert_eq!(ask(&stage, &secret).await.status, 200, "the other one is not concerned");
    println!("keys: a new one was good after {new:?}, a revoked one refused after {gone:?}");
    assert!(gone < Duration::from_secs(5), "revoked after {gone:?}");
    assert!(!stage.process.errors().contains(&secret), "a key in the log");
}

#[tokio::test]
async fn without_a_key_only_where_a_product_says_so() {
    let provider = Provider::start(Script::default()).await.expect("a provider");
    let stage = Stage::start(&format!("{}{}", leg("one", provider.addr(), 0), crate::stage::ANONYMOUS));
    for key in ["", "anything", "sk-somebody-elses"] {
        assert_eq!(ask(&stage, key).await.status, 200, "`{key}`");
    }
    assert_eq!(ask(&stage, "ak-wrong").await.status, 401, "a key of ours that is wrong is a mistake worth telling");
}
