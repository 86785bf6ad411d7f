//! The same wire on both sides: what nobody had to touch arrives byte for byte, in both directions.

use crate::stage::{ANONYMOUS, CHAT, Stage, chat, ear, leg, settled};
use serde_json::json;
use testkit::grammar::{Asked, grammar};
use testkit::process::Answer;
use testkit::provider::{self, Provider, Raw, Rule, Script, expected_answer, expected_long_answer};

/// Answers with `raw`.
fn says(raw: Raw) -> Script {
    let answer = provider::Answer { raw: Some(raw), ..provider::Answer::default() };
    Script { rules: vec![Rule { answer: Some(answer), ..Rule::default() }], ..Script::default() }
}

async fn ask(stage: &Stage, body: &str) -> Answer {
    let headers = [("content-type", "application/json")];
    let answer = stage.client().send("POST", CHAT, &headers, body.to_owned().into()).await.expect("headers");
    answer.whole().await.expect("an answer")
}

#[tokio::test]
async fn a_request_arrives_as_it_was_written_but_for_the_model() {
    let provider = Provider::start(Script::default()).await.expect("a provider");
    let stage = Stage::start(&format!("{}{ANONYMOUS}", leg("one", provider.addr(), 0)));
    // Blanks, order, escapes, numbers and fields that nobody knows are the client's own.
    let bodies = [
        "{ \"temperature\":1.0e0,\t\"model\" : \"one\",\n \"messages\":[ {\"content\":\"gr\\u00fc\\u00df \\ud83d\\ude42\",\"role\":\"user\"} ] }",
        "{\"messages\":[{\"role\":\"user\",\"content\":\"hi\",\"x_part\":[1,2.50]}],\"x_new\":{\"a\":null,\"b\":1e400},\"model\":\"one\",\"x_last\":0.10}",
        "{\"metadata\":{\"model\":\"not this one\"},\"messages\":[{\"role\":\"user\",\"content\":\"\\\"model\\\":\\\"one\\\"\"}],\"model\":\"one\"}",
    ];
    for body in bodies {
        let at = body.rfind("\"one\"").expect("the model");
        let (before, after) = (&body[..at], &body[at + 5..]);
        provider.clear_log();
        ask(&stage, body).await;
        let log = provider.log();
        assert_eq!(log.len(), 1);
        assert_eq!(log[0].arrival.body.as_deref(), Some(format!("{before}\"model-one\"{after}").as_str()));
    }
    let same = "{\"model\": \"model-one\", \"messages\": [{\"role\": \"user\", \"content\": \"hi\"}]}";
    provider.clear_log();
    assert_eq!(ask(&stage, same).await.status, 200);
    assert_eq!(provider.log()[0].arrival.body.as_deref(), Some(same));
}

#[tokio::test]
async fn a_whole_answer_arrives_as_it_was_written() {
    let provider = Provider::start(Script::default()).await.expect("a provider");
    let stage = Stage::start(&format!("{}{ANONYMOUS}", leg("one", provider.addr(), 0)));
    let body = "{ \"id\":\"c-1\", \"object\":\"chat.completion\",\"created\":1,\"x_new\":{\"b\":[1.50,\"\\u00fc\"]},\n\
                \"model\":\"model-one\",\"choices\":[{\"index\":0,\"x_choice\":true,\"finish_reason\":\"stop\",\
                \"message\":{\"role\":\"assistant\",\"content\":\"ok\",\"x_said\":null}}],\
                \"usage\":{\"prompt_tokens\":3,\"completion_tokens\":1,\"total_tokens\":4,\"x_sum\":9} }\n";
    provider.script(says(Raw { body: Some(body.to_owned()), ..Raw::default() }));
    let answer = ask(&stage, &chat("one", "hi", false).to_string()).await;
    assert_eq!((answer.status, answer.body.as_ref()), (200, body.as_bytes()));
    let row = &stage.story(&answer).await[0];
    assert_eq!((row.input_tokens, row.output_tokens, row.bytes_out), (Some(3), Some(1), Some(body.len() as u64)));
}

/// A stream with comments, unknown fields and odd blanks; its usage is the last event but one.
fn events() -> Vec<String> {
    let chunk = |rest: &str| {
        format!(
            "data: {{\"id\":\"c-1\",\"object\":\"chat.completion.chunk\",\"created\":1,\"model\":\"model-one\",{rest}}}\n\n"
        )
    };
    vec![
        ": hello\n\n".to_owned(),
        chunk("\"choices\":[{\"index\":0,\"delta\":{\"role\":\"assistant\",\"content\":\"\"},\"finish_reason\":null}]"),
        chunk(
            "\"x_new\":[1.50,{}],\"choices\":[{\"index\":0,\"delta\":{\"content\":\"gr\\u00fc\\u00df\"},\"finish_reason\":null}]",
        ),
        chunk("\"choices\":[{\"index\":0,\"delta\":{\"content\":\" 東京\"},\"finish_reason\":null,\"x_choice\":1}]"),
        chunk("\"choices\":[{\"index\":0,\"delta\":{},\"finish_reason\":\"stop\"}]"),
        chunk("\"choices\":[],\"usage\":{\"prompt_tokens\":3,\"completion_tokens\":2,\"total_tokens\":5}"),
        "data: [DONE]\n\n".to_owned(),
    ]
}

#[tokio::test]
async fn a_stream_arrives_as_it_was_written() {
    let provider = Provider::start(says(Raw { events: events(), ..Raw::default() })).await.expect("a provider");
    let stage = Stage::start(&format!("{}{ANONYMOUS}", leg("one", provider.addr(), 0)));
    let mut asked = chat("one", "hi", true);
    asked["stream_options"] = json!({"include_usage": true});
    let answer = ask(&stage, &asked.to_string()).await;
    assert_eq!(String::from_utf8_lossy(&answer.body), events().concat());
    // Asked for usage ourselves: the ledger has it, the client never sees it.
    let answer = ask(&stage, &chat("one", "hi", true).to_string()).await;
    let mut without = events();
    without.remove(5);
    assert_eq!(String::from_utf8_lossy(&answer.body), without.concat());
    let row = &stage.story(&answer).await[0];
    assert_eq!((row.input_tokens, row.output_tokens), (Some(3), Some(2)));
}

#[tokio::test]
async fn usage_is_asked_for_and_hidden_where_the_client_did_not_ask() {
    let provider = Provider::start(Script::default()).await.expect("a provider");
    let stage = Stage::start(&format!("{}{ANONYMOUS}", leg("one", provider.addr(), 0)));
    for (options, shown) in [(None, false), (Some(true), true), (Some(false), false)] {
        provider.clear_log();
        let mut asked = chat("one", "hi nonce-usage", true);
        if let Some(include) = options {
            asked["stream_options"] = json!({"include_usage": include});
        }
        let answer = ask(&stage, &asked.to_string()).await;
        let heard = ear().stream(&answer.body, &Asked { usage: Some(shown), n: Some(1) });
        assert!(heard.is_well(), "{options:?}: {:?}", heard.violations);
        assert_eq!((heard.text(), heard.usage.is_some()), (expected_answer("hi nonce-usage").as_str(), shown));
        let arrival = &provider.log()[0].arrival;
        let body: serde_json::Value = serde_json::from_str(arrival.body.as_deref().expect("kept")).expect("json");
        assert_eq!(body["stream_options"]["include_usage"], json!(true));
        let row = &stage.story(&answer).await[0];
        let counts = provider.log()[0].end.usage.expect("reported");
        assert_eq!((row.input_tokens, row.output_tokens), (Some(counts.input), Some(counts.output)));
    }
}

#[tokio::test]
async fn binary_messages_and_a_second_end_arrive_as_they_were_written() {
    let said =
        || provider::Answer { tokens: Some(300), reasoning: Some("So.".to_owned()), ..provider::Answer::default() };
    let rule = || Rule { answer: Some(said()), ..Rule::default() };
    let provider = Provider::start(Script { rules: vec![rule()], ..Script::default() }).await.expect("a provider");
    let question = json!([{"role": "user", "content": [{"type": "text", "text": "hi nonce-raw"}]}]);
    let converse = json!({"messages": [{"role": "user", "content": [{"text": "hi nonce-raw"}]}]});
    let cohere = json!({"model": "one", "stream": true, "messages": question});
    for (wire, base, path, mime, body) in [
        ("bedrock-converse", "", "/model/one/converse-stream", "application/vnd.amazon.eventstream", converse),
        ("cohere-v2", "/v2", "/v2/chat", "text/event-stream", cohere),
    ] {
        let stage = Stage::start(&format!(
            "[provider.one]\nbase_url = \"http://{}{base}\"\nauth = \"none\"\nwires = [\"{wire}\"]\n\
             [deployment.one]\nprovider = \"one\"\nmodel = \"eu.model:0/one\"\n{ANONYMOUS}",
            provider.addr()
        ));
        provider.clear_log();
        let answer = stage.client().post(path, "", &body).await.expect("an answer");
        assert_eq!((answer.status, answer.header("content-type")), (200, mime));
        let heard = grammar(wire).expect("a grammar").stream(&answer.body, &Asked { usage: Some(true), n: Some(1) });
        assert!(heard.is_well(), "{:?}", heard.violations);
        assert_eq!(heard.text(), expected_long_answer("hi nonce-raw", 300));
        settled(&provider).await;
        let log = provider.log();
        assert_eq!((log.len(), log[0].arrival.model.as_deref()), (1, Some("eu.model:0/one")));
        assert_eq!(log[0].end.bytes, answer.body.len() as u64, "{wire}: every byte arrives");
        let row = &stage.story(&answer).await[0];
        let counts = log[0].end.usage.expect("reported");
        assert_eq!((row.input_tokens, row.output_tokens), (Some(counts.input), Some(counts.output)));
    }
}
