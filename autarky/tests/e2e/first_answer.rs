//! The newcomer's first minutes: a default configuration, a first answer, the pages that operators look at, the story
//! of a request, a mistake in the configuration.

use crate::stage::{ANONYMOUS, CHAT, Stage, autarky, chat, ear, leg, listening};
use serde_json::json;
use std::time::Duration;
use testkit::grammar::Asked;
use testkit::process::{Client, temp_dir};
use testkit::provider::{Provider, Script, expected_answer};

#[tokio::test]
async fn the_first_start_writes_a_configuration_that_works() {
    let folder = temp_dir().expect("a folder");
    let mut command = autarky(folder.path());
    command.args(["serve", "--listen", "127.0.0.1:0"]);
    let (mut process, addr) = listening(command, folder.path());
    process.ready(addr, "/healthz", Duration::from_secs(20)).await.expect("healthy");
    let written = folder.path().join(".config/autarky/autarky.toml");
    let text = std::fs::read_to_string(&written).expect("the default configuration was written");
    assert!(text.contains("[deployment.house]") && text.contains("[product.default]"), "{text}");
    let checked = autarky(folder.path()).arg("check").output().expect("check runs");
    assert!(checked.status.success(), "{}", String::from_utf8_lossy(&checked.stderr));
    let models = Client::new(addr).get("/v1/models").await.expect("models").json();
    let names: Vec<_> = models["data"].as_array().into_iter().flatten().map(|model| model["id"].clone()).collect();
    assert!(names.contains(&json!("auto")) && names.contains(&json!("house")), "{models}");
    let ready = Client::new(addr).get("/readyz").await.expect("readiness");
    if cfg!(not(feature = "house")) {
        assert_eq!(ready.status, 503);
        assert!(
            ready.json()["missing"][0].as_str().is_some_and(|text| text.contains("house model")),
            "{}",
            ready.json()
        );
    }
    process.signal("TERM").expect("told to stop");
    assert!(process.ended(Duration::from_secs(20)).await.expect("stopped").success());
    assert_eq!(std::fs::read_to_string(&written).expect("still there"), text, "a second start changes nothing");
}

#[tokio::test]
async fn a_first_answer_whole_and_streamed() {
    let provider = Provider::start(Script::default()).await.expect("a provider");
    let mut stage = Stage::start(&format!("{}{ANONYMOUS}", leg("one", provider.addr(), 0)));
    stage.process.ready(stage.addr, "/readyz", Duration::from_secs(20)).await.expect("ready");
    let question = "Why is the sky blue? nonce-sky";
    let mut client = stage.client();

    let whole = client.post(CHAT, "", &chat("auto", question, false)).await.expect("an answer");
    assert_eq!((whole.status, whole.header("content-type")), (200, "application/json"));
    let heard = ear().unary(&whole.body);
    assert!(heard.is_well(), "{:?}", heard.violations);
    assert_eq!(heard.text(), expected_answer(question));
    assert_eq!((whole.header("x-autarky-deployment"), whole.header("x-autarky-attempts")), ("one", "1"));
    assert_eq!((whole.header("x-autarky-degraded"), whole.header("x-autarky-losses")), ("", ""));

    let stream = client.post(CHAT, "", &chat("one", question, true)).await.expect("a stream");
    assert_eq!((stream.status, stream.header("content-type")), (200, "text/event-stream"));
    let heard = ear().stream(&stream.body, &Asked { usage: Some(false), n: Some(1) });
    assert!(heard.is_well(), "{:?}", heard.violations);
    assert_eq!(heard.text(), expected_answer(question));

    let request = whole.header("x-autarky-request-id");
    let rows = stage.story(&whole).await;
    let row = &rows[0];
    assert_eq!((rows.len(), row.attempt, row.stream), (1, 1, false));
    assert_eq!((row.product.as_deref(), row.deployment.as_deref()), (Some("default"), Some("one")));
    assert_eq!((row.dialect.as_deref(), row.protocol.as_deref()), (Some("openai-chat"), Some("openai-chat")));
    assert_eq!((row.requested_model.as_deref(), row.resolved_model.as_deref()), (Some("auto"), Some("model-one")));
    let counts = provider.log()[0].end.usage.expect("the provider reported usage");
    assert_eq!((row.input_tokens, row.output_tokens), (Some(counts.input), Some(counts.output)));
    let streamed = stage.story(&stream).await;
    assert_eq!((streamed[0].stream, streamed[0].output_tokens), (true, Some(counts.output)));

    let told = stage.say(&["why", request]);
    for word in [request, "product `default`", "model `auto`", "candidate one", "attempt 1 one", "answered in"] {
        assert!(told.contains(word), "`{word}` is missing in:\n{told}");
    }
    let told: serde_json::Value =
        serde_json::from_str(&stage.say(&["why", request, "--format", "json"])).expect("json");
    assert_eq!((&told[0]["outcome"], &told[0]["drill"]), (&json!("ok"), &json!(null)));
    let unknown = stage.command(&["why", "req_00000000000000000000000000"]);
    assert_eq!(unknown.status.code(), Some(1));

    assert_eq!(stage.metric("autarky_attempts_total", &["deployment=\"one\"", "outcome=\"ok\""]).await, 2.0);
    assert_eq!(stage.metric("autarky_answers_total", &["status=\"200\""]).await, 2.0);
    assert_eq!(stage.metric("autarky_requests_in_flight", &[]).await, 0.0);
    assert_eq!(provider.log().len(), 2, "two questions, two calls");
}

#[tokio::test]
async fn what_cannot_be_answered_is_said_in_openais_shape() {
    let provider = Provider::start(Script::default()).await.expect("a provider");
    let stage = Stage::start(&format!("{}{ANONYMOUS}", leg("one", provider.addr(), 0)));
    let mut client = stage.client();
    let headers = [("content-type", "application/json")];
    for (path, body, status, code) in [
        (CHAT, chat("no-such-model", "hi", false).to_string(), 404, "model_not_found"),
        (CHAT, "{".to_owned(), 400, "invalid_request"),
        (CHAT, json!({"model": "auto", "messages": 7}).to_string(), 400, "invalid_request"),
        ("/v1/nowhere", "{}".to_owned(), 404, "not_found"),
        ("/healthz", "{}".to_owned(), 405, "method_not_allowed"),
    ] {
        let answer = client.send("POST", path, &headers, body.clone().into()).await.expect("headers").whole().await;
        let answer = answer.expect("an answer");
        let error = &answer.json()["error"];
        assert_eq!((answer.status, error["code"].as_str()), (status, Some(code)), "{path} {body}: {error}");
        assert!(error["message"].as_str().is_some_and(|text| !text.is_empty()) && error["type"].is_string(), "{error}");
    }
    assert!(provider.log().iter().all(|row| row.arrival.verdict != "ok"), "nothing of it reached a model");
}

#[test]
fn mistakes_are_named_with_line_and_hint() {
    let folder = temp_dir().expect("a folder");
    let check = |text: &str| {
        std::fs::write(folder.path().join("autarky.toml"), text).expect("written");
        let output = autarky(folder.path()).args(["check", "--config", "autarky.toml"]).output().expect("check runs");
        (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
    };
    let (code, said) = check("[deployment.house]\nengine = \"embedded\"\n[product.default]\nanonymous = true\n");
    assert_eq!((code, said.as_str()), (Some(0), ""));
    let (code, said) = check("[deployment.gpt]\nprovider = \"antropic\"\n[product.default]\nanonymous = true\n");
    assert_eq!(code, Some(1));
    assert!(said.contains("unknown provider `antropic`") && said.contains("--> autarky.toml:2:12"), "{said}");
    assert!(said.contains("hint: did you mean") || said.contains("hint: known:"), "{said}");
    let (code, said) = check("[server]\nlisten = \"127.0.0.1:0\"\nlissen = 1\n");
    assert_eq!(code, Some(1));
    assert!(said.contains("unknown field `lissen`") && said.contains("--> autarky.toml:3:1"), "{said}");
    let open =
        "[server]\nlisten = \"0.0.0.0:0\"\n[deployment.house]\nengine = \"embedded\"\n[product.p]\nanonymous = true\n";
    let (code, said) = check(open);
    assert_eq!(code, Some(1), "no key is needed on loopback only: {said}");
    assert!(said.contains("--> autarky.toml:6:"), "{said}");
    let missing = autarky(folder.path()).args(["check", "--config", "nowhere.toml"]).output().expect("check runs");
    assert_eq!(missing.status.code(), Some(1));
    let unknown = autarky(folder.path()).arg("sreve").output().expect("the binary runs");
    assert_eq!(unknown.status.code(), Some(2));
    let shells = autarky(folder.path()).args(["completions", "bash"]).output().expect("the binary runs");
    assert!(String::from_utf8_lossy(&shells.stdout).contains("autarky"));
}
