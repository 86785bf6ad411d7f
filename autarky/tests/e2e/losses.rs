//! What cannot be said: named, sent elsewhere, or refused, as the product wishes.

use crate::stage::{ANONYMOUS, CHAT, Stage};
use serde_json::{Value, json};
use testkit::process::Answer;
use testkit::provider::{Provider, Script};

/// A deployment named as its wire, which leads to `provider`.
fn wire(provider: &Provider, id: &str, base: &str, order: u32) -> String {
    format!(
        "[provider.{id}]\nbase_url = \"http://{}{base}\"\nauth = \"none\"\nwires = [\"{id}\"]\n\
         [deployment.{id}]\nprovider = \"{id}\"\nmodel = \"m\"\norder = {order}\n",
        provider.addr()
    )
}

/// A product with `rule` whose plan names Anthropic's wire first, then Responses, then Gemini.
fn stage(provider: &Provider, rule: &str, with_gemini: bool) -> Stage {
    let mut rules = format!("{ANONYMOUS}on_loss = \"{rule}\"\n");
    rules += &wire(provider, "anthropic-messages", "/v1", 0);
    rules += &wire(provider, "openai-responses", "/v1", 1);
    if with_gemini {
        rules += &wire(provider, "gemini", "/v1beta", 2);
    }
    Stage::start(&rules)
}

/// Anthropic's wire can say neither of the last two, Responses can say metadata, Gemini the seed.
fn asked() -> Value {
    json!({"model": "auto", "messages": [{"role": "user", "content": "hi"}], "seed": 7, "metadata": {"k": "v"}})
}

async fn ask(stage: &Stage, body: &Value) -> Answer {
    stage.client().post(CHAT, "", body).await.expect("an answer")
}

#[tokio::test]
async fn losses_are_sent_and_named() {
    let provider = Provider::start(Script::default()).await.expect("a provider");
    let stage = stage(&provider, "send", true);
    let answer = ask(&stage, &asked()).await;
    assert_eq!((answer.status, answer.header("x-autarky-deployment")), (200, "anthropic-messages"));
    assert_eq!(answer.header("x-autarky-losses"), "seed, metadata");
    let row = &stage.story(&answer).await[0];
    assert_eq!(row.losses.iter().map(ToString::to_string).collect::<Vec<_>>(), ["seed", "metadata"]);
    let plain = json!({"model": "auto", "messages": [{"role": "user", "content": "hi"}]});
    assert!(!ask(&stage, &plain).await.headers.contains_key("x-autarky-losses"));
}

#[tokio::test]
async fn who_loses_least_is_asked_first() {
    let provider = Provider::start(Script::default()).await.expect("a provider");
    let stage = stage(&provider, "elsewhere", true);
    // One loss each: the plan's order stands between Responses and Gemini.
    let answer = ask(&stage, &asked()).await;
    assert_eq!(
        (answer.header("x-autarky-deployment"), answer.header("x-autarky-losses")),
        ("openai-responses", "seed")
    );
    let mut asked = asked();
    asked.as_object_mut().expect("an object").remove("metadata");
    let answer = ask(&stage, &asked).await;
    assert_eq!(answer.header("x-autarky-deployment"), "gemini");
    assert!(!answer.headers.contains_key("x-autarky-losses"));
}

#[tokio::test]
async fn a_product_may_refuse_every_loss() {
    let provider = Provider::start(Script::default()).await.expect("a provider");
    let stage = stage(&provider, "reject", false);
    let refused = ask(&stage, &asked()).await;
    let error = &refused.json()["error"];
    assert_eq!(
        (refused.status, &error["code"], &error["type"]),
        (400, &json!("not_sayable"), &json!("invalid_request_error"))
    );
    let said = error["message"].as_str().expect("a message");
    assert!(said.contains("seed") && said.contains("on_loss"), "{said}");
    assert_eq!(provider.log().len(), 0, "nothing was sent");
    // What can be said in full is answered, by whoever can.
    let mut asked = asked();
    asked.as_object_mut().expect("an object").remove("seed");
    let answer = ask(&stage, &asked).await;
    assert_eq!((answer.status, answer.header("x-autarky-deployment")), (200, "openai-responses"));
    // In the dialect of whoever asks.
    let body = json!({"model": "auto", "max_tokens": 9, "top_k": 5, "metadata": {"user_id": "u"},
        "messages": [{"role": "user", "content": [{"type": "text", "text": "hi", "cache_control": {"type": "ephemeral"}}]}]});
    let only =
        Stage::start(&format!("{ANONYMOUS}on_loss = \"reject\"\n{}", wire(&provider, "openai-responses", "/v1", 0)));
    let refused = only.client().post("/v1/messages", "", &body).await.expect("an answer");
    let error = refused.json();
    assert_eq!(
        (refused.status, &error["type"], &error["error"]["type"]),
        (400, &json!("error"), &json!("invalid_request_error"))
    );
    assert!(error["error"]["message"].as_str().is_some_and(|said| said.contains("top_k")), "{error}");
}
