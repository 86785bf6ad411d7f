//! The strict OpenAI Chat provider: takes the documented requests (see the fixtures' own test), refuses each violation
//! with OpenAI's words.

use serde_json::{Value, json};
use testkit::process::Client;
use testkit::provider::{Provider, Rule, Script, When};

fn base() -> Value {
    json!({"model": "gpt-4o", "messages": [{"role": "user", "content": "hi"}]})
}

fn with(fields: Value) -> Value {
    let mut body = base();
    for (key, value) in fields.as_object().expect("an object") {
        body[key] = value.clone();
    }
    body
}

fn said(messages: Value) -> Value {
    with(json!({ "messages": messages }))
}

fn tool(strict: bool, schema: Value) -> Value {
    json!([{"type": "function", "function": {"name": "f", "parameters": schema, "strict": strict}}])
}

fn calls(ids: &[&str]) -> Value {
    let one = |id: &&str| json!({"id": id, "type": "function", "function": {"name": "f", "arguments": "{}"}});
    json!({"role": "assistant", "content": null, "tool_calls": ids.iter().map(one).collect::<Vec<_>>()})
}

fn result(id: &str) -> Value {
    json!({"role": "tool", "tool_call_id": id, "content": "ok"})
}

/// Body, the parameter named, a piece of the message, the code.
type Row = (Value, &'static str, &'static str, Value);

fn fields() -> Vec<Row> {
    let long = "x".repeat(41);
    let user = json!({"role": "user", "content": "hi"});
    let image = json!([{"type": "image_url", "image_url": {"url": "https://example.com/a.png"}}]);
    vec![
        (with(json!({"foo": 1})), "foo", "Unknown parameter: 'foo'", json!("unknown_parameter")),
        (with(json!({"top_k": 1})), "top_k", "Unknown parameter", json!("unknown_parameter")),
        (json!({"model": "m"}), "messages", "Missing required parameter", json!("missing_required_parameter")),
        (json!({"messages": [user]}), "model", "Missing required parameter", json!("missing_required_parameter")),
        (with(json!({"messages": []})), "messages", "empty array", json!("empty_array")),
        (with(json!({"messages": "hi"})), "messages", "expected an array", json!("invalid_type")),
        (with(json!({"temperature": "hot"})), "temperature", "expected a decimal", json!("invalid_type")),
        (with(json!({"temperature": 2.1})), "temperature", "<= 2", json!("decimal_above_max_value")),
        (with(json!({"temperature": -0.1})), "temperature", ">= 0", json!("decimal_below_min_value")),
        (with(json!({"top_p": 1.5})), "top_p", "<= 1", json!("decimal_above_max_value")),
        (with(json!({"n": 0})), "n", ">= 1", json!("integer_below_min_value")),
        (with(json!({"n": 129})), "n", "<= 128", json!("integer_above_max_value")),
        (with(json!({"n": 1.5})), "n", "expected an integer", json!("invalid_type")),
        (with(json!({"frequency_penalty": 3})), "frequency_penalty", "<= 2", json!("decimal_above_max_value")),
        (with(json!({"logit_bias": {"1": 101}})), "logit_bias.1", "<= 100", json!("integer_above_max_value")),
        (with(json!({"max_tokens": 0})), "max_tokens", ">= 1", json!("integer_below_min_value")),
        (with(json!({"stop": ["a", "b", "c", "d", "e"]})), "stop", "too long", json!("array_above_max_length")),
        (with(json!({"stream": "yes"})), "stream", "expected a boolean", json!("invalid_type")),
        (with(json!({"tools": []})), "tools", "empty array", json!("empty_array")),
        (with(json!({"user": null})), "user", "got null", json!("invalid_type")),
        (with(json!({"service_tier": "gold"})), "service_tier", "Supported values", json!("invalid_value")),
        (with(json!({"reasoning_effort": "huge"})), "reasoning_effort", "Supported values", json!("invalid_value")),
        (with(json!({"tool_choice": "any"})), "tool_choice", "Supported values", json!("invalid_value")),
        (
            with(json!({"response_format": {"type": "xml"}})),
            "response_format.type",
            "Supported",
            json!("invalid_value"),
        ),
        (said(json!([{"role": "bot", "content": "hi"}])), "messages[0].role", "Supported", json!("invalid_value")),
        (said(json!([{"content": "hi"}])), "messages[0].role", "Missing", json!("missing_required_parameter")),
        (said(json!([{"role": "user"}])), "messages[0].content", "Missing", json!("missing_required_parameter")),
        (said(json!([{"role": "user", "content": []}])), "messages[0].content", "empty array", json!("empty_array")),
        (
            said(json!([{"role": "system", "content": image}])),
            "messages[0].content[0].type",
            "Supported values are: 'text'",
            json!("invalid_value"),
        ),
        (
            said(json!([{"role": "assistant", "content": image}])),
            "messages[0].content[0].type",
            "Supported",
            json!("invalid_value"),
        ),
        (
            said(json!([calls(&["a"]), {"role": "tool", "tool_call_id": "a", "content": image}])),
            "messages[1].content[0].type",
            "Supported",
            json!("invalid_value"),
        ),
        (
            said(json!([{"role": "user", "content": "hi", "x": 1}])),
            "messages[0].x",
            "Unknown",
            json!("unknown_parameter"),
        ),
        (
            said(json!([calls(&[&long]), result("a")])),
            "messages[0].tool_calls[0].id",
            "maximum length 40",
            json!("string_above_max_length"),
        ),
        (
            said(json!([{"role": "assistant", "content": "x", "tool_calls": []}])),
            "messages[0].tool_calls",
            "empty array",
            json!("empty_array"),
        ),
    ]
}

fn rules() -> Vec<Row> {
    let open = json!({"type": "object", "properties": {"a": {"type": "string"}}, "required": ["a"]});
    let partial = json!({"type": "object", "properties": {"a": {"type": "string"}}, "required": [], "additionalProperties": false});
    let closed = json!({"type": "object", "properties": {}, "required": [], "additionalProperties": false});
    let schema = |schema: &Value| json!({"response_format": {"type": "json_schema", "json_schema": {"name": "n", "strict": true, "schema": schema}}});
    let named = json!({"type": "function", "function": {"name": "g"}});
    vec![
        (
            with(json!({"stream_options": {"include_usage": true}})),
            "stream_options",
            "only allowed when 'stream'",
            json!(null),
        ),
        (with(json!({"metadata": {"a": "b"}})), "metadata", "only allowed when 'store'", json!(null)),
        (with(json!({"top_logprobs": 3})), "top_logprobs", "only allowed when 'logprobs'", json!(null)),
        (with(json!({"tool_choice": "auto"})), "tool_choice", "only allowed when 'tools'", json!(null)),
        (with(json!({"parallel_tool_calls": true})), "parallel_tool_calls", "only allowed when 'tools'", json!(null)),
        (with(json!({"function_call": "auto"})), "function_call", "only allowed when 'functions'", json!(null)),
        (
            with(json!({"max_tokens": 1, "max_completion_tokens": 1})),
            "max_tokens",
            "at the same time",
            json!("invalid_parameter_combination"),
        ),
        (with(json!({"modalities": ["audio"]})), "audio", "required when audio output", json!(null)),
        (
            with(json!({"tools": tool(false, closed.clone()), "tool_choice": named})),
            "tool_choice",
            "not found in 'tools'",
            json!(null),
        ),
        (
            with(json!({"tools": tool(true, open.clone())})),
            "tools[0].function.parameters",
            "additionalProperties",
            json!("invalid_json_schema"),
        ),
        (
            with(json!({"tools": tool(true, partial.clone())})),
            "tools[0].function.parameters",
            "Missing 'a'",
            json!("invalid_json_schema"),
        ),
        (
            with(json!({"tools": [{"type": "function", "function": {"name": "a b"}}]})),
            "tools[0].function.name",
            "pattern",
            json!("invalid_value"),
        ),
        (with(schema(&open)), "response_format", "additionalProperties", json!("invalid_json_schema")),
        (with(schema(&partial)), "response_format", "Missing 'a'", json!("invalid_json_schema")),
        (with(json!({"response_format": {"type": "json_object"}})), "messages", "the word 'json'", json!(null)),
        (
            with(json!({"model": "o3", "max_tokens": 9})),
            "max_tokens",
            "max_completion_tokens",
            json!("unsupported_parameter"),
        ),
        (
            with(json!({"model": "gpt-5.2", "temperature": 0.3})),
            "temperature",
            "Only the default (1)",
            json!("unsupported_value"),
        ),
        (with(json!({"reasoning_effort": "low"})), "reasoning_effort", "Unrecognized request argument", json!(null)),
    ]
}

fn conversations() -> Vec<Row> {
    vec![
        (said(json!([result("a")])), "messages[0].role", "must be a response to a preceeding message", json!(null)),
        (
            said(json!([{"role": "assistant", "content": "x"}, result("a")])),
            "messages[1].role",
            "preceeding",
            json!(null),
        ),
        (
            said(json!([calls(&["a"]), result("b")])),
            "messages[1].tool_call_id",
            "not found in 'tool_calls'",
            json!(null),
        ),
        (
            said(json!([calls(&["a", "b"]), result("a")])),
            "messages[2].role",
            "did not have response messages: b",
            json!(null),
        ),
        (
            said(json!([calls(&["a"]), {"role": "user", "content": "x"}, result("a")])),
            "messages[1].role",
            "must be followed",
            json!(null),
        ),
        (
            said(json!([calls(&["a", "a"]), result("a")])),
            "messages[0].tool_calls[1].id",
            "Duplicate value",
            json!(null),
        ),
        (said(json!([{"role": "assistant", "content": null}])), "messages[0].content", "got null", json!(null)),
        (
            said(json!([{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "cat.png"}}]}])),
            "messages[0].content[0].image_url.url",
            "valid URL",
            json!("invalid_value"),
        ),
        (
            said(
                json!([{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "data:image/png;base64,@@"}}]}]),
            ),
            "messages[0].content[0].image_url.url",
            "base64",
            json!("invalid_value"),
        ),
        (
            said(json!([{"role": "user", "content": [{"type": "file", "file": {"file_data": "x"}}]}])),
            "messages[0].content[0].file",
            "filename",
            json!("missing_required_parameter"),
        ),
    ]
}

#[tokio::test]
async fn each_violation_is_refused_in_openais_words() {
    let provider = Provider::start(Script::default()).await.expect("provider");
    let mut client = Client::new(provider.addr());
    for (body, param, message, code) in fields().into_iter().chain(rules()).chain(conversations()) {
        let answer = client.post("/v1/chat/completions", "", &body).await.expect("answer");
        let error = answer.json()["error"].clone();
        assert_eq!(answer.status, 400, "taken: {body}");
        assert_eq!(error["param"], param, "{body}: {error}");
        assert!(error["message"].as_str().expect("a message").contains(message), "{body}: {error}");
        assert_eq!((&error["type"], &error["code"]), (&json!("invalid_request_error"), &code), "{body}");
    }
    let log = provider.log();
    assert!(log.iter().all(|row| row.end.status == Some(400) && row.arrival.verdict != "ok"));
}

#[tokio::test]
async fn close_neighbours_of_violations_are_taken() {
    let provider = Provider::start(Script::default()).await.expect("provider");
    let mut client = Client::new(provider.addr());
    let good = [
        base(),
        with(json!({"n": 128, "temperature": 2, "top_p": 0.0, "stop": null, "user": "u"})),
        with(json!({"stream": false, "logprobs": true, "top_logprobs": 20})),
        with(json!({"model": "gpt-5.2", "temperature": 0.3, "reasoning_effort": "none"})),
        with(json!({"model": "gpt-5.2", "temperature": 1, "max_completion_tokens": 9})),
        with(json!({"tools": tool(false, json!({})), "tool_choice": "auto", "parallel_tool_calls": false})),
        said(json!([calls(&["a", "b"]), result("b"), result("a"), {"role": "user", "content": "x"}])),
        said(json!([{"role": "user", "content": "a"}, {"role": "assistant", "content": "half"}])),
    ];
    for body in good {
        let answer = client.post("/v1/chat/completions", "", &body).await.expect("answer");
        assert_eq!(answer.status, 200, "{body}: {}", answer.json());
    }
}

#[tokio::test]
async fn keys_models_paths_types_and_prefill_are_checked() {
    let mut script = Script { key: Some("sk-1".into()), models: vec!["gpt-4o".into()], ..Script::default() };
    let provider = Provider::start(script.clone()).await.expect("provider");
    let mut client = Client::new(provider.addr());
    let path = "/v1/chat/completions";
    let code = |answer: &testkit::process::Answer| (answer.status, answer.json()["error"]["code"].clone());
    assert_eq!(code(&client.post(path, "sk-2", &base()).await.expect("answer")), (401, json!("invalid_api_key")));
    assert_eq!(code(&client.post(path, "", &base()).await.expect("answer")), (401, json!("invalid_api_key")));
    assert_eq!(client.post(path, "sk-1", &base()).await.expect("answer").status, 200);
    let unknown = client.post(path, "sk-1", &with(json!({"model": "m"}))).await.expect("answer");
    assert_eq!(code(&unknown), (404, json!("model_not_found")));
    assert_eq!(client.post("/chat/completions", "sk-1", &base()).await.expect("answer").status, 404);
    script.key = None;
    script.refuse_prefill = true;
    provider.script(script);
    let models = client.get("/v1/models").await.expect("answer").json();
    assert_eq!(models["data"][0]["id"], "gpt-4o");
    let half = said(json!([{"role": "user", "content": "a"}, {"role": "assistant", "content": "half"}]));
    assert_eq!(client.post(path, "", &half).await.expect("answer").status, 400);
    let body = bytes::Bytes::from(base().to_string());
    let plain = client.send("POST", path, &[("content-type", "text/plain")], body).await.expect("answer");
    assert_eq!(plain.whole().await.expect("answer").status, 400);
    let broken = client.send("POST", path, &[("content-type", "application/json")], "{".into()).await.expect("answer");
    let broken = broken.whole().await.expect("answer");
    assert!(broken.json()["error"]["message"].as_str().expect("message").contains("could not parse the JSON body"));
    let keys: Vec<_> =
        provider.log().into_iter().filter_map(|row| row.arrival.headers.get("authorization").cloned()).collect();
    assert!(!keys.is_empty() && keys.iter().all(|key| key.starts_with("sha256:")), "{keys:?}");
}

#[tokio::test]
async fn the_script_is_set_from_outside_and_slips_are_refused() {
    let provider = Provider::start(Script::default()).await.expect("provider");
    let mut client = Client::new(provider.addr());
    let put = |body: String| bytes::Bytes::from(body);
    let bad = client.send("PUT", "/__script", &[], put(r#"{"rules":[{"fautl":{}}]}"#.into())).await.expect("answer");
    assert_eq!(bad.whole().await.expect("answer").status, 400);
    let rule = Rule { when: When { nth: Some(vec![0]), ..When::default() }, ..Rule::default() };
    let script = json!(Script { rules: vec![rule], ..Script::default() });
    let set = client.send("PUT", "/__script", &[], put(script.to_string())).await.expect("answer");
    assert_eq!(set.whole().await.expect("answer").status, 200);
    assert_eq!(client.get("/__script").await.expect("answer").json(), script);
    client.post("/v1/chat/completions", "", &base()).await.expect("answer");
    let log = client.get("/__log").await.expect("answer").body;
    assert_eq!(log.iter().filter(|byte| **byte == b'\n').count(), 1);
    client.send("DELETE", "/__log", &[], put(String::new())).await.expect("answer").whole().await.expect("answer");
    assert!(provider.log().is_empty());
}
