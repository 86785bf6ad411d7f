//! Bedrock's Converse: home again nothing is lost, abroad the essence stays and the rest is named, a stream and its
//! unary twin are one answer, and every stream that we write keeps the wire's grammar.

use crate::common::{self, Seed, dialect, json_of, level, lost, plant, protocol, terms, written};
use bytes::Bytes;
use canon::answer::{Response, fold};
use canon::event::{Event, StopReason};
use canon::frame::{EventStreamReader, Frame, write_event, write_exception};
use canon::media::Source;
use canon::request::{Effort, OutputFormat, Part, Reasoning, Request, Seal, ToolChoice};
use canon::wire::{self, Dialect, Encoded, FrameNote, Framing, Params, Protocol, Target, decode_all};
use canon::{Fault, FaultKind, Loss};
use proptest::prelude::*;
use serde_json::{Map, Value, json};

const REQUESTS: [&str; 4] = [
    include_str!("../../../testkit/fixtures/bedrock-converse/request/plain.json"),
    include_str!("../../../testkit/fixtures/bedrock-converse/request/tools.json"),
    include_str!("../../../testkit/fixtures/bedrock-converse/request/media.json"),
    include_str!("../../../testkit/fixtures/bedrock-converse/request/settings.json"),
];

const TWINS: [(&str, &str); 4] = [
    (
        include_str!("../../../testkit/fixtures/bedrock-converse/answer/text.json"),
        include_str!("../../../testkit/fixtures/bedrock-converse/stream/text.jsonl"),
    ),
    (
        include_str!("../../../testkit/fixtures/bedrock-converse/answer/tools.json"),
        include_str!("../../../testkit/fixtures/bedrock-converse/stream/tools.jsonl"),
    ),
    (
        include_str!("../../../testkit/fixtures/bedrock-converse/answer/cited.json"),
        include_str!("../../../testkit/fixtures/bedrock-converse/stream/cited.jsonl"),
    ),
    (
        include_str!("../../../testkit/fixtures/bedrock-converse/answer/filtered.json"),
        include_str!("../../../testkit/fixtures/bedrock-converse/stream/filtered.jsonl"),
    ),
];

const CLAUDE: &str = "anthropic.claude-sonnet-4-5-20250929-v1:0";

fn ours() -> &'static dyn Protocol {
    protocol("bedrock-converse")
}

fn home() -> &'static dyn Dialect {
    dialect("bedrock-converse")
}

fn params() -> Params {
    Params { model: Some(CLAUDE.to_owned()), stream: false, ..Params::default() }
}

fn read(wire: &str, body: Value) -> Request {
    dialect(wire).decode_request(&params(), body).expect("valid")
}

fn target(model: &str) -> Target {
    Target { model: model.to_owned(), signer: "bedrock".to_owned(), ..Target::default() }
}

/// A request from OpenAI Chat, written for a model of Bedrock.
fn from_chat(model: &str, body: Value) -> Encoded {
    ours().encode_request(&read("openai-chat", body), &target(model))
}

/// The binary stream that a fixture stands for.
fn bytes_of(lines: &str) -> Vec<u8> {
    let mut out = Vec::new();
    for line in lines.lines() {
        for (name, payload) in json_of(line).as_object().expect("an object") {
            write_event(&mut out, name, payload.to_string().as_bytes());
        }
    }
    out
}

fn frames(bytes: &[u8], size: usize) -> Vec<Frame> {
    let mut reader = EventStreamReader::default();
    let mut frames = Vec::new();
    for chunk in bytes.chunks(size.max(1)) {
        reader.push(Bytes::copy_from_slice(chunk), &mut frames).expect("good");
    }
    assert!(reader.rest().is_empty());
    frames
}

fn events(lines: &str) -> Vec<Event> {
    decode_all(ours(), &frames(&bytes_of(lines), usize::MAX)).expect("a good stream")
}

/// The grammar of a stream: one `messageStart`, blocks one at a time with rising index, a start for what is no words,
/// `messageStop`, `metadata` last. Gives the deltas back.
fn check_grammar(bytes: &[u8]) -> Vec<Value> {
    let mut deltas = Vec::new();
    let (mut open, mut next, mut state): (Option<(u64, String)>, u64, &str) = (None, 0, "before");
    for frame in frames(bytes, usize::MAX) {
        let body: Value = serde_json::from_slice(&frame.data).expect("JSON");
        let index = body["contentBlockIndex"].as_u64();
        match frame.event.as_ref() {
            b"messageStart" => {
                assert_eq!((state, &body["role"]), ("before", &json!("assistant")));
                state = "content";
            }
            b"contentBlockStart" => {
                assert_eq!((state, &open, index), ("content", &None, Some(next)));
                let kind = body["start"].as_object().expect("an object").keys().next().expect("a kind").clone();
                if kind == "toolUse" {
                    let call = &body["start"]["toolUse"];
                    assert!(call["toolUseId"].is_string() && call["name"].is_string() && call.get("input").is_none());
                }
                open = Some((next, kind));
                next += 1;
            }
            b"contentBlockDelta" => {
                assert_eq!(state, "content");
                let delta = body["delta"].as_object().expect("an object");
                if open.is_none() {
                    assert!(delta.keys().any(|key| ["text", "reasoningContent", "citation"].contains(&key.as_str())));
                    open = Some((next, String::new()));
                    next += 1;
                }
                assert_eq!(index, open.as_ref().map(|open| open.0), "blocks come one at a time");
                deltas.push(body["delta"].clone());
            }
            b"contentBlockStop" => assert_eq!(index, open.take().map(|open| open.0)),
            b"messageStop" => {
                assert_eq!((state, &open), ("content", &None));
                assert!(body["stopReason"].is_string());
                state = "stopped";
            }
            b"metadata" => {
                assert_eq!(state, "stopped");
                let usage = &body["usage"];
                assert!(["inputTokens", "outputTokens", "totalTokens"].iter().all(|key| usage[key].is_u64()));
                assert!(body["metrics"]["latencyMs"].is_u64());
                state = "after";
            }
            _ => {}
        }
    }
    assert_eq!(state, "after", "the stream has its end");
    deltas
}

#[test]
fn home_again_a_request_is_the_same() {
    for text in REQUESTS {
        let body = json_of(text);
        let request = read("bedrock-converse", body.clone());
        let encoded = ours().encode_request(&request, &target(CLAUDE));
        assert_eq!(encoded.losses, []);
        assert_eq!(encoded.body, body);
    }
}

#[test]
fn home_again_an_answer_is_the_same() {
    for (text, _) in TWINS {
        let body = json_of(text);
        let answer = ours().decode_response(body.clone()).expect("an answer");
        assert_eq!(home().encode_response(&answer, &terms()), body);
    }
}

#[test]
fn a_stream_and_its_unary_twin_are_one_answer() {
    for (whole, stream) in TWINS {
        let whole = ours().decode_response(json_of(whole)).expect("an answer");
        let events = events(stream);
        let folded = fold(&events).expect("complete");
        assert_eq!(level(folded), level(whole.clone()));
        for events in [events, whole.unfold()] {
            let bytes = written(home(), &events, &terms());
            check_grammar(&bytes);
            let again = fold(&decode_all(ours(), &frames(&bytes, usize::MAX)).expect("ours")).expect("complete");
            assert_eq!(level(again), level(whole.clone()));
        }
    }
}

#[test]
fn the_model_stands_in_the_path() {
    let coded = Params { model: Some("anthropic.claude-v2%3A1".to_owned()), stream: true, ..Params::default() };
    let body = json!({"messages": []});
    let request = home().decode_request(&coded, body.clone()).expect("valid");
    assert_eq!((request.model.as_str(), request.stream, request.stream_usage), ("anthropic.claude-v2:1", true, true));
    let peek = home().peek(&coded, body.to_string().as_bytes()).expect("valid");
    assert_eq!((peek.model.as_deref(), peek.model_at, peek.stream), (Some("anthropic.claude-v2:1"), None, true));
    assert_eq!(ours().path(&target("anthropic.claude-v2:1"), false), "/model/anthropic.claude-v2%3A1/converse");
    let arn = "arn:aws:bedrock:us-east-1:1:inference-profile/x";
    let path = ours().path(&target(arn), true);
    assert_eq!(path, "/model/arn%3Aaws%3Abedrock%3Aus-east-1%3A1%3Ainference-profile%2Fx/converse-stream");
    assert!(home().peek(&Params::default(), b"{}").is_err());
    assert_eq!(
        (ours().framing(), home().stream_mime()),
        (Framing::AwsEventStream, "application/vnd.amazon.eventstream")
    );
    // Neither the model nor the stream stand in the body.
    let encoded =
        from_chat(CLAUDE, json!({"model": "m", "stream": true, "messages": [{"role": "user", "content": "a"}]}));
    assert_eq!(encoded.body, json!({"messages": [{"role": "user", "content": [{"text": "a"}]}]}));
}

#[test]
fn usage_includes_cached_tokens() {
    let answer = ours().decode_response(json_of(TWINS[0].0)).expect("an answer");
    let usage = &answer.usage;
    assert_eq!((usage.input, usage.cache_read, usage.cache_write), (Some(1051), Some(1000), Some(40)));
    assert_eq!((usage.cache_write_1h, usage.output), (Some(10), Some(6)));
    assert_eq!(usage.service_tier.as_deref(), Some("priority"));
    let chat = dialect("openai-chat").encode_response(&answer, &terms());
    assert_eq!((&chat["usage"]["prompt_tokens"], &chat["service_tier"]), (&json!(1051), &json!("priority")));
    let messages = dialect("anthropic-messages").encode_response(&answer, &terms());
    assert_eq!(messages["usage"]["input_tokens"], 11);
}

#[test]
fn a_cut_stream_never_claims_success() {
    for (_, stream) in TWINS {
        let all = frames(&bytes_of(stream), usize::MAX);
        // The stop is the wire's own end: only the report may be missing.
        for cut in 0..all.len() - 1 {
            let events = decode_all(ours(), &all[..cut]).expect("good so far");
            assert_eq!(fold(&events), None, "cut after {cut}");
            let mut scan = ours().scan();
            for frame in &all[..cut] {
                scan.frame(frame).expect("good so far");
            }
            assert_eq!(scan.close(), None, "cut after {cut}");
        }
        let events = decode_all(ours(), &all[..all.len() - 1]).expect("good");
        assert!(fold(&events).is_some_and(|answer| answer.usage.output.is_none()));
    }
}

#[test]
fn an_exception_in_a_stream_is_a_fault() {
    let table = [
        ("throttlingException", FaultKind::RateLimited),
        ("serviceUnavailableException", FaultKind::Overloaded),
        ("internalServerException", FaultKind::Server),
        ("modelStreamErrorException", FaultKind::Server),
        ("validationException", FaultKind::Invalid),
    ];
    for (name, kind) in table {
        let mut bytes = bytes_of(TWINS[0].1.lines().next().expect("a line"));
        write_exception(&mut bytes, name, br#"{"message":"no"}"#);
        let all = frames(&bytes, 5);
        let fault = decode_all(ours(), &all).expect_err("a fault");
        assert_eq!((fault.kind, fault.message.as_str()), (kind, "no"));
        let mut scan = ours().scan();
        scan.frame(&all[0]).expect("good");
        assert_eq!(scan.frame(&all[1]).expect_err("a fault").kind, kind);
    }
    let mut out = Vec::new();
    home().stream_encoder(&terms()).fault(&Fault::provider(FaultKind::RateLimited, "slow"), &mut out);
    let frame = &frames(&out, 3)[0];
    assert_eq!(
        (frame.event.as_ref(), frame.data.as_ref()),
        (&b"throttlingException"[..], &br#"{"message":"slow"}"#[..])
    );
}

#[test]
fn what_breaks_the_wire_is_malformed() {
    let start = r#"{"messageStart": {"role": "assistant"}}"#;
    let bad = [
        vec![r#"{"contentBlockStop": {"contentBlockIndex": 0}}"#],
        vec![start, start],
        vec![start, r#"{"contentBlockDelta": {"contentBlockIndex": 0, "delta": {"toolUse": {"input": "{}"}}}}"#],
        vec![start, r#"{"contentBlockDelta": {"delta": {"text": "a"}}}"#],
        vec![start, r#"{"messageStop": {}}"#],
    ];
    for lines in bad {
        let all = frames(&bytes_of(&lines.join("\n")), usize::MAX);
        assert_eq!(decode_all(ours(), &all).expect_err("bad").kind, FaultKind::Malformed, "{lines:?}");
    }
    let mut bytes = Vec::new();
    write_event(&mut bytes, "messageStart", b"{\"role\":");
    let frame = &frames(&bytes, usize::MAX)[0];
    assert_eq!(ours().scan().frame(frame).expect_err("bad").kind, FaultKind::Malformed);
}

#[test]
fn a_watch_sees_what_a_decoder_reads() {
    for (whole, stream) in TWINS {
        let answer = ours().decode_response(json_of(whole)).expect("an answer");
        let mut scan = ours().scan();
        let all = frames(&bytes_of(stream), usize::MAX);
        let notes: Vec<FrameNote> = all.iter().map(|frame| scan.frame(frame).expect("good")).collect();
        assert_eq!((notes.first(), notes.last()), (Some(&FrameNote::Quiet), Some(&FrameNote::End)));
        assert!(notes.contains(&FrameNote::Content));
        assert_eq!(scan.close(), Some(b"".as_slice()));
        let unary = ours().scan_response(whole.as_bytes()).expect("complete");
        for seen in [scan.seen(), &unary] {
            assert_eq!((&seen.usage, seen.stop), (&answer.usage, Some(answer.choices[0].stop.reason)));
            assert!(seen.ended);
        }
    }
}

#[test]
fn a_good_status_around_no_answer_is_a_fault() {
    let slow = br#"{"__type":"ThrottlingException","message":"slow"}"#;
    assert_eq!(ours().scan_response(slow).expect_err("error").kind, FaultKind::RateLimited);
    for body in [b"<html>hello</html>".as_slice(), b"{}", b"[1]", b"", br#"{"output":{"message":{}}}"#] {
        assert_eq!(ours().scan_response(body).expect_err("none").kind, FaultKind::Malformed);
    }
}

#[test]
fn every_stop_word_keeps_its_meaning() {
    let table = [
        ("end_turn", StopReason::End),
        ("tool_use", StopReason::ToolCalls),
        ("max_tokens", StopReason::Length),
        ("stop_sequence", StopReason::StopSequence),
        ("guardrail_intervened", StopReason::ContentFilter),
        ("content_filtered", StopReason::ContentFilter),
        ("model_context_window_exceeded", StopReason::Context),
        ("malformed_tool_use", StopReason::Other),
    ];
    for (word, reason) in table {
        let message = json!({"role": "assistant", "content": [{"text": "x"}]});
        let mut answer =
            ours().decode_response(json!({"output": {"message": message}, "stopReason": word})).expect("an answer");
        assert_eq!(answer.choices[0].stop.reason, reason);
        assert_eq!(home().encode_response(&answer, &terms())["stopReason"], word);
        answer.head.origin = None;
        let told = home().encode_response(&answer, &terms())["stopReason"].clone();
        assert!(told == word || matches!(word, "guardrail_intervened" | "malformed_tool_use"), "{told}");
    }
}

#[test]
fn a_look_finds_what_policy_needs() {
    let look = |text: &str| home().peek(&params(), text.as_bytes()).expect("valid");
    let plain = look(REQUESTS[0]);
    assert!(plain.stream_usage && !plain.facets.tools && !plain.facets.reasoning && !plain.facets.structured);
    assert_eq!(plain.facets.max_output_tokens, Some(1024));
    let tools = look(REQUESTS[1]).facets;
    assert!(tools.tools && tools.reasoning && tools.images && !tools.documents);
    let media = look(REQUESTS[2]).facets;
    assert!(media.images && media.documents && media.audio && media.state && !media.tools);
    let settings = look(REQUESTS[3]).facets;
    assert!(settings.structured && settings.reasoning && settings.tools && settings.state);
    for (body, path) in [(r#"{"messages":{}}"#, "messages"), ("[]", "body"), (r#"{"inferenceConfig":3}"#, "body")] {
        assert_eq!(home().peek(&params(), body.as_bytes()).expect_err("bad").path, path);
    }
}

#[test]
fn a_tool_loop_goes_to_chat() {
    let request = read("bedrock-converse", json_of(REQUESTS[1]));
    let encoded = protocol("openai-chat").encode_request(&request, &target("gpt"));
    let body = &encoded.body;
    let roles: Vec<_> = body["messages"].as_array().expect("list").iter().map(|m| m["role"].as_str()).collect();
    assert_eq!(roles, [Some("system"), Some("user"), Some("assistant"), Some("tool"), Some("tool"), Some("user")]);
    assert_eq!(body["messages"][2]["tool_calls"][0]["function"]["arguments"], r#"{"sign":"WZPZ"}"#);
    assert_eq!(body["messages"][3]["content"], r#"{"song":"Elemental Hotel","artist":"8 Storey Hike"}"#);
    assert_eq!((&body["tools"][0]["function"]["strict"], &body["tool_choice"]), (&json!(true), &json!("auto")));
    let names = lost(&encoded);
    for name in [
        "additionalModelRequestFields.anthropic_beta",
        "messages[2].content[0]",
        "messages[2].content[0].signature",
        "messages[2].content[1].signature",
        "messages[1].content[0].cache_control",
        "messages[3].content[1].is_error",
        "tools[1]",
        "top_k",
        "~reasoning.budget_tokens",
    ] {
        assert!(names.iter().any(|lost| lost == name), "{name} in {names:?}");
    }
    let encoded = protocol("anthropic-messages").encode_request(&request, &target("claude"));
    let body = &encoded.body;
    assert_eq!((&body["thinking"], &body["top_k"]), (&Value::Null, &json!(40)));
    assert_eq!(body["messages"][0]["content"][0]["cache_control"], json!({"type": "ephemeral", "ttl": "1h"}));
}

#[test]
fn settings_go_abroad_by_name() {
    let request = read("bedrock-converse", json_of(REQUESTS[3]));
    assert_eq!(request.tool_choice, Some(ToolChoice::Function("f".to_owned())));
    assert!(matches!(&request.output, OutputFormat::Schema { name: Some(name), .. } if name == "N"));
    let reasoning = request.reasoning.as_ref().expect("asked for");
    assert_eq!((reasoning.effort, reasoning.adaptive, reasoning.include), (Some(Effort::Max), true, Some(false)));
    let encoded = protocol("openai-chat").encode_request(&request, &target("gpt"));
    assert_eq!(
        (&encoded.body["service_tier"], &encoded.body["reasoning_effort"]),
        (&json!("priority"), &json!("xhigh"))
    );
    assert_eq!(
        lost(&encoded),
        [
            "additionalModelResponseFieldPaths",
            "guardrailConfig",
            "metadata",
            "performanceConfig",
            "projectIdentifier",
            "promptVariables",
            "reasoning.include",
        ]
    );
}

#[test]
fn media_keep_their_kinds() {
    let request = read("bedrock-converse", json_of(REQUESTS[2]));
    let sources: Vec<(&str, Option<&str>)> = request.messages[0]
        .parts
        .iter()
        .filter_map(|part| match part {
            Part::Media(media) => Some((
                match &media.source {
                    Source::Base64 { mime, .. } | Source::Text { mime, .. } => mime.as_str(),
                    Source::File { id } => id.as_str(),
                    Source::Url { url, .. } => url.as_str(),
                },
                media.name.as_deref(),
            )),
            _ => None,
        })
        .collect();
    assert_eq!(
        sources,
        [
            ("image/jpeg", None),
            ("s3://amzn-s3-demo-bucket/a.png", None),
            ("application/pdf", Some("MyDocument")),
            ("text/plain", Some("Notes")),
            ("text/markdown", Some("Readme")),
            ("video/3gpp", None),
            ("audio/wav", None),
        ]
    );
    let Part::Text { text, citations, .. } = &request.messages[1].parts[0] else { panic!("a text") };
    assert_eq!((text.as_str(), citations[0].quote.as_deref()), ("It says hi.", Some("# Hi")));
    let encoded = protocol("openai-chat").encode_request(&request, &target("gpt"));
    let names = lost(&encoded);
    for name in [
        "messages[0].content[2]",
        "messages[0].content[3].document.context",
        "messages[0].content[10]",
        "messages[1].content[0].citations",
    ] {
        assert!(names.iter().any(|lost| lost == name), "{name} in {names:?}");
    }
    assert!(!encoded.body.to_string().contains("s3://"));
}

#[test]
fn a_chat_request_comes_from_abroad() {
    let encoded = from_chat(
        CLAUDE,
        json!({
            "model": "m",
            "messages": [
                {"role": "developer", "content": "Be brief."},
                {"role": "user", "name": "ann", "content": [
                    {"type": "image_url", "image_url": {"url": "data:image/jpg;base64,/9j/", "detail": "low"}},
                    {"type": "image_url", "image_url": {"url": "https://example.com/a.png"}},
                    {"type": "file", "file": {"filename": "a.b.pdf", "file_data": "data:application/pdf;base64,JVBERi0="}},
                    {"type": "file", "file": {"filename": "a b pdf", "file_data": "data:application/pdf;base64,JVBERi0="}},
                    {"type": "input_audio", "input_audio": {"data": "AAAA", "format": "wav"}},
                ]},
                {"role": "assistant", "content": "", "tool_calls": [
                    {"id": "call:1", "type": "function", "function": {"name": "f", "arguments": "{\"a\": 1}"}},
                    {"id": "c3", "type": "function", "function": {"name": "h", "arguments": "{oops"}},
                ]},
                {"role": "tool", "tool_call_id": "call:1", "content": "one"},
                {"role": "tool", "tool_call_id": "c3", "content": "three"},
                {"role": "user", "content": "And now?"},
            ],
            "tools": [{"type": "function", "function": {"name": "f", "parameters": {"properties": {}}}}],
            "tool_choice": "required", "parallel_tool_calls": false,
            "temperature": 1.5, "top_k": 5, "seed": 7, "max_tokens": 100,
            "stop": ["\n", "END"], "user": "u", "service_tier": "flex", "metadata": {"a": "b", "c": "ä"},
        }),
    );
    let body = &encoded.body;
    assert_eq!(body["system"], json!([{"text": "Be brief."}]));
    assert_eq!(body["inferenceConfig"], json!({"maxTokens": 100, "temperature": 1.0, "stopSequences": ["END"]}));
    assert_eq!(body["additionalModelRequestFields"], json!({"top_k": 5}));
    let messages = body["messages"].as_array().expect("list");
    assert_eq!(messages.len(), 3);
    let content = messages[0]["content"].as_array().expect("list");
    assert_eq!(content[0], json!({"image": {"format": "jpeg", "source": {"bytes": "/9j/"}}}));
    assert_eq!(
        (&content[1]["document"]["name"], &content[2]["document"]["name"]),
        (&json!("a b pdf"), &json!("a b pdf 2"))
    );
    assert_eq!(content[3]["audio"]["format"], "wav");
    assert_eq!(content[4], json!({"text": "(See the document.)"}));
    let calls = messages[1]["content"].as_array().expect("list");
    assert!(calls.iter().all(|block| block.get("toolUse").is_some()), "no empty text");
    assert_eq!(calls[1]["toolUse"]["input"], json!({"arguments": "{oops"}));
    let results = messages[2]["content"].as_array().expect("list");
    for (call, result) in calls.iter().zip(results) {
        assert_eq!(call["toolUse"]["toolUseId"], result["toolResult"]["toolUseId"]);
    }
    assert_eq!(results[2], json!({"text": "And now?"}));
    assert_eq!(body["toolConfig"]["toolChoice"], json!({"any": {}}));
    assert_eq!(
        body["toolConfig"]["tools"][0]["toolSpec"]["inputSchema"],
        json!({"json": {"properties": {}, "type": "object"}})
    );
    assert_eq!((&body["serviceTier"], &body["requestMetadata"]), (&json!({"type": "flex"}), &json!({"a": "b"})));
    assert_eq!(
        lost(&encoded),
        [
            "=messages[0]",
            "=messages[2].content[1].arguments",
            "messages[1].content[0].detail",
            "messages[1].content[1]",
            "messages[1].name",
            "metadata.c",
            "parallel_tool_calls",
            "seed",
            "user",
            "~messages[1].content[2].name",
            "~messages[1].content[3].name",
            "~stop",
            "~temperature",
        ]
    );
}

#[test]
fn a_forbidden_call_is_a_tool_unknown() {
    let tools = json!([{"type": "function", "function": {"name": "f"}}]);
    let bare = from_chat(
        CLAUDE,
        json!({"model": "m", "messages": [{"role": "user", "content": "a"}], "tools": tools, "tool_choice": "none"}),
    );
    assert_eq!(
        (bare.body.get("toolConfig"), lost(&bare)),
        (None, vec!["=tool_choice".to_owned(), "=tools[0]".to_owned()])
    );
    let call = json!({"id": "x", "type": "function", "function": {"name": "f", "arguments": "{}"}});
    let history = json!([{"role": "user", "content": "a"}, {"role": "assistant", "tool_calls": [call]}, {"role": "tool", "tool_call_id": "x", "content": "b"}]);
    let with = from_chat(CLAUDE, json!({"model": "m", "messages": history, "tools": tools, "tool_choice": "none"}));
    assert!(with.body["toolConfig"]["tools"].is_array());
    assert_eq!(lost(&with), ["tool_choice"]);
    // Calls in the history want their tools declared.
    let without = from_chat(CLAUDE, json!({"model": "m", "messages": history}));
    assert_eq!(
        without.body["toolConfig"]["tools"],
        json!([{"toolSpec": {"name": "f", "inputSchema": {"json": {"type": "object"}}}}])
    );
    assert_eq!(lost(&without), ["=tools"]);
}

fn asked(model: &str, reasoning: Reasoning, change: impl Fn(&mut Request, &mut Target)) -> Encoded {
    let mut request = read("openai-chat", json!({"model": "m", "messages": [{"role": "user", "content": "a"}]}));
    request.reasoning = Some(reasoning);
    let mut target = target(model);
    change(&mut request, &mut target);
    ours().encode_request(&request, &target)
}

#[test]
fn thinking_is_asked_for_in_the_words_of_the_family() {
    let effort = |effort| Reasoning { effort: Some(effort), ..Reasoning::default() };
    let adaptive = asked(CLAUDE, effort(Effort::High), |_, _| {});
    assert_eq!(adaptive.body["additionalModelRequestFields"], json!({"thinking": {"type": "adaptive"}}));
    assert_eq!((&adaptive.body["outputConfig"], adaptive.losses.len()), (&json!({"effort": "high"}), 0));
    let older =
        asked(CLAUDE, effort(Effort::Medium), |_, target| target.quirks.refuses = vec!["thinking.adaptive".to_owned()]);
    assert_eq!(
        older.body["additionalModelRequestFields"]["thinking"],
        json!({"type": "enabled", "budget_tokens": 8192})
    );
    assert_eq!(older.body.get("outputConfig"), None);
    let off = asked(CLAUDE, effort(Effort::None), |_, _| {});
    assert_eq!(off.body["additionalModelRequestFields"]["thinking"], json!({"type": "disabled"}));
    let gpt = asked("openai.gpt-oss-120b-1:0", effort(Effort::Max), |_, _| {});
    assert_eq!(gpt.body["additionalModelRequestFields"], json!({"reasoning_effort": "high"}));
    assert_eq!(lost(&gpt), ["~reasoning.effort"]);
    let nova = asked("us.amazon.nova-2-lite-v1:0", effort(Effort::Low), |request, _| request.sampling.top_k = Some(3));
    assert_eq!(
        nova.body["additionalModelRequestFields"],
        json!({"reasoningConfig": {"type": "enabled", "maxReasoningEffort": "low"}, "inferenceConfig": {"topK": 3}})
    );
    let other = asked("meta.llama3", effort(Effort::Low), |_, _| {});
    assert_eq!((other.body.get("additionalModelRequestFields"), lost(&other)), (None, vec!["reasoning".to_owned()]));
}

#[test]
fn a_signature_goes_back_to_its_signer_only() {
    let encode = |signer: Option<&str>| {
        let mut request = read("bedrock-converse", json_of(REQUESTS[1]));
        for part in request.messages.iter_mut().flat_map(|message| &mut message.parts) {
            if let Part::Reasoning { seal: Some(Seal { signer: mine, .. }), .. } = part {
                *mine = signer.map(str::to_owned);
            }
        }
        ours().encode_request(&request, &target(CLAUDE))
    };
    for signer in [None, Some("bedrock")] {
        let encoded = encode(signer);
        assert_eq!((encoded.body, encoded.losses), (json_of(REQUESTS[1]), vec![]));
    }
    let foreign = encode(Some("elsewhere"));
    assert!(foreign.body["additionalModelRequestFields"].get("thinking").is_none(), "amid a loop it must be signed");
    assert!(!foreign.body.to_string().contains("EqQB"));
    assert_eq!(
        lost(&foreign),
        ["messages[2].content[0]", "messages[2].content[0].signature", "messages[2].content[1].signature", "thinking"]
    );
}

#[test]
fn any_ciphertext_comes_back_through_a_client_that_decodes_bytes() {
    for data in ["gAAAAAB_x-y", "AQID", "not base64!"] {
        let seal = Seal { data: data.to_owned(), redacted: true, signer: None };
        let part =
            Part::Reasoning { text: String::new(), summary: false, seal: Some(seal.clone()), extras: Map::new() };
        let stop = canon::event::Stop::because(StopReason::End);
        let choices = vec![canon::Choice { parts: vec![part], stop, extras: Map::new() }];
        let answer = Response { choices, ..Response::default() };
        let block = home().encode_response(&answer, &terms())["output"]["message"]["content"][0].clone();
        let streamed = check_grammar(&written(home(), &answer.unfold(), &terms()))[0].clone();
        assert_eq!(streamed["reasoningContent"], block["reasoningContent"]);
        let body = json!({"messages": [{"role": "assistant", "content": [block]}]});
        let Part::Reasoning { seal: Some(back), .. } = &read("bedrock-converse", body).messages[0].parts[0] else {
            panic!("thinking")
        };
        assert_eq!(back, &seal);
    }
}

#[test]
fn structured_output_goes_to_and_fro() {
    let ask = |format: Value| {
        from_chat(
            CLAUDE,
            json!({"model": "m", "messages": [{"role": "user", "content": "a"}], "response_format": format}),
        )
    };
    let schema = json!({"type": "object", "properties": {"n": {"type": "integer", "minimum": 1}}, "required": ["n"]});
    let open = ask(json!({"type": "json_schema", "json_schema": {"name": "N", "schema": schema}}));
    let written = &open.body["outputConfig"]["textFormat"]["structure"]["jsonSchema"];
    let inner = json_of(written["schema"].as_str().expect("text"));
    assert_eq!((&inner["additionalProperties"], &written["name"]), (&json!(false), &json!("N")));
    assert_eq!(lost(&open), ["~response_format.schema"]);
    let free = ask(json!({"type": "json_object"}));
    assert!(free.body["system"][0]["text"].as_str().is_some_and(|text| text.contains("JSON object")));
    let bad =
        json!({"outputConfig": {"textFormat": {"type": "json_schema", "structure": {"jsonSchema": {"schema": "{"}}}}});
    assert_eq!(
        home().decode_request(&params(), bad).expect_err("bad").path,
        "outputConfig.textFormat.structure.jsonSchema.schema"
    );
}

#[test]
fn at_most_four_cache_points_leave() {
    let words: Vec<Value> = (0..7)
        .map(|n| json!({"type": "text", "text": format!("{n}"), "cache_control": {"type": "ephemeral", "ttl": "1h"}}))
        .collect();
    let encoded = from_chat(CLAUDE, json!({"model": "m", "messages": [{"role": "user", "content": words}]}));
    let content = encoded.body["messages"][0]["content"].as_array().expect("list");
    let points: Vec<&Value> = content.iter().filter(|block| block.get("cachePoint").is_some()).collect();
    assert_eq!(points, vec![&json!({"cachePoint": {"type": "default", "ttl": "1h"}}); 4]);
    assert_eq!(lost(&encoded).len(), 3);
}

#[test]
fn a_chat_stream_becomes_blocks() {
    let chunk = |delta: Value, finish: Value| {
        let choice = json!({"index": 0, "delta": delta, "finish_reason": finish});
        format!("data: {}\n\n", json!({"id": "c", "model": "m", "choices": [choice]}))
    };
    let call = |index: u32, id: &str, arguments: &str| json!({"tool_calls": [{"index": index, "id": id, "function": {"name": "f", "arguments": arguments}}]});
    let text = [
        chunk(json!({"role": "assistant", "reasoning_content": "hm"}), Value::Null),
        chunk(json!({"content": "Let me "}), Value::Null),
        chunk(json!({"content": "see."}), Value::Null),
        chunk(call(0, "a", "{\"x\":"), Value::Null),
        chunk(call(1, "b", ""), Value::Null),
        chunk(json!({"tool_calls": [{"index": 0, "function": {"arguments": "1}"}}]}), Value::Null),
        chunk(json!({}), json!("tool_calls")),
        "data: {\"id\":\"c\",\"choices\":[],\"usage\":{\"prompt_tokens\":12,\"completion_tokens\":5,\"prompt_tokens_details\":{\"cached_tokens\":4}}}\n\n".to_owned(),
        "data: [DONE]\n\n".to_owned(),
    ]
    .concat();
    let mut reader = canon::frame::SseReader::default();
    let mut chat = Vec::new();
    reader.push(Bytes::from(text), &mut chat).expect("small");
    let out = written(home(), &decode_all(protocol("openai-chat"), &chat).expect("good"), &terms());
    let deltas = check_grammar(&out);
    assert_eq!(deltas[0], json!({"reasoningContent": {"text": "hm"}}));
    assert_eq!(deltas.last(), Some(&json!({"toolUse": {"input": "{}"}})));
    let answer = fold(&decode_all(ours(), &frames(&out, 9)).expect("ours")).expect("complete");
    assert_eq!(answer.choices[0].stop.reason, StopReason::ToolCalls);
    assert_eq!((answer.usage.input, answer.usage.cache_read, answer.usage.output), (Some(12), Some(4), Some(5)));
    let Part::ToolCall { arguments, .. } = &answer.choices[0].parts[2] else { panic!("a call") };
    assert_eq!(arguments, "{\"x\":1}");
}

#[test]
fn faults_are_told_in_the_wires_shape() {
    let table = [
        (Fault::client(FaultKind::Invalid, "x"), 400, "ValidationException"),
        (Fault::client(FaultKind::Unauthenticated, "x"), 401, "AccessDeniedException"),
        (Fault::client(FaultKind::NotFound, "x"), 404, "ResourceNotFoundException"),
        (Fault::provider(FaultKind::RateLimited, "x"), 429, "ThrottlingException"),
        (Fault::provider(FaultKind::Server, "x"), 502, "InternalServerException"),
        (Fault::provider(FaultKind::Overloaded, "x"), 503, "ServiceUnavailableException"),
        (Fault::provider(FaultKind::Stalled, "x"), 504, "ModelTimeoutException"),
    ];
    for (fault, status, word) in table {
        let (got, body) = home().encode_fault(&fault);
        assert_eq!((got, body["__type"].as_str(), body["message"].as_str()), (status, Some(word), Some("x")));
    }
}

const WORDS: &[&str] = &["user", "assistant", "system", "default", "png", "pdf", "error", "json_schema"];

const KEYS: &[&str] = &[
    "text",
    "role",
    "content",
    "image",
    "document",
    "format",
    "source",
    "bytes",
    "toolUse",
    "toolResult",
    "toolUseId",
    "name",
    "input",
    "reasoningContent",
    "reasoningText",
    "redactedContent",
    "signature",
    "citationsContent",
    "citations",
    "cachePoint",
    "type",
    "json",
    "status",
    "x",
];

/// Any JSON, with this wire's own words in it.
fn any_json() -> impl Strategy<Value = Value> {
    common::any_json(WORDS, KEYS)
}

fn seeds(most: usize) -> impl Strategy<Value = Vec<Seed>> {
    common::seeds(any_json(), most)
}

proptest! {
    #[test]
    fn planted_fields_of_a_request_come_home(which in 0..REQUESTS.len(), seeds in seeds(6)) {
        let mut body = json_of(REQUESTS[which]);
        plant(&mut body, &seeds);
        let request = read("bedrock-converse", body.clone());
        let encoded = ours().encode_request(&request, &target(CLAUDE));
        prop_assert_eq!(encoded.losses, vec![]);
        prop_assert_eq!(encoded.body, body);
    }

    #[test]
    fn planted_fields_of_an_answer_come_home(which in 0..TWINS.len(), seeds in seeds(6)) {
        let mut body = json_of(TWINS[which].0);
        plant(&mut body, &seeds);
        let answer = ours().decode_response(body.clone()).expect("an answer");
        prop_assert_eq!(home().encode_response(&answer, &terms()), body);
        let out = written(home(), &answer.unfold(), &terms());
        check_grammar(&out);
        let again = fold(&decode_all(ours(), &frames(&out, usize::MAX)).expect("ours")).expect("complete");
        prop_assert_eq!(again.choices[0].parts.len(), answer.choices[0].parts.len());
        prop_assert_eq!(again.text(), answer.text());
    }

    #[test]
    fn abroad_every_planted_field_is_named(which in prop::sample::select(vec![0_usize, 3]), seeds in seeds(4)) {
        let mut body = json_of(REQUESTS[which]);
        // Of these the content is data, not fields.
        for key in ["requestMetadata", "toolConfig"] {
            body.as_object_mut().expect("an object").remove(key);
        }
        plant(&mut body, &seeds);
        let request = read("bedrock-converse", body);
        let encoded = protocol("openai-chat").encode_request(&request, &target("gpt"));
        let named = |loss: &Loss| loss.path.contains("planted_0")
            || ["guardrailConfig", "promptVariables", "performanceConfig"].contains(&loss.path.as_str());
        prop_assert!(encoded.losses.iter().any(named), "{:?}", encoded.losses);
        prop_assert!(!encoded.body.to_string().contains("planted_0"));
    }

    #[test]
    fn where_the_bytes_break_does_not_matter(which in 0..TWINS.len(), size in 1..40_usize) {
        let lines = TWINS[which].1;
        prop_assert_eq!(decode_all(ours(), &frames(&bytes_of(lines), size)).expect("good"), events(lines));
    }

    #[test]
    fn no_body_panics(body in any_json(), text in ".{0,60}") {
        let _ = home().peek(&params(), text.as_bytes());
        let _ = home().peek(&params(), body.to_string().as_bytes());
        let _ = ours().decode_response(body.clone());
        let _ = ours().decode_response(json!({"output": {"message": {"content": [body]}}, "stopReason": "end_turn", "usage": body}));
        let _ = ours().scan_response(body.to_string().as_bytes());
        let _ = ours().decode_fault(400, body.to_string().as_bytes());
        let request = json!({"messages": [{"role": "user", "content": [body.clone()]}], "system": [body], "toolConfig": body, "outputConfig": body});
        let messages = json!({"messages": [{"role": "user", "content": [body.clone(), {"text": "a"}, body]}]});
        for request in [body.clone(), request, messages] {
            if let Ok(request) = home().decode_request(&params(), request) {
                for protocol in wire::PROTOCOLS {
                    let _ = protocol.encode_request(&request, &target(CLAUDE));
                }
            }
        }
    }

    #[test]
    fn no_stream_panics(bodies in prop::collection::vec(any_json(), 1..6), kinds in prop::collection::vec(0..6_usize, 1..6)) {
        let names = ["contentBlockStart", "contentBlockDelta", "contentBlockStop", "messageStop", "metadata", "other"];
        let mut bytes = bytes_of(r#"{"messageStart": {"role": "assistant"}}"#);
        for (kind, body) in kinds.iter().zip(&bodies) {
            let payload = json!({"contentBlockIndex": 0, "start": body, "delta": body, "stopReason": "end_turn", "usage": body});
            write_event(&mut bytes, names[*kind], payload.to_string().as_bytes());
        }
        let (mut decoder, mut scan, mut events) = (ours().stream_decoder(), ours().scan(), Vec::new());
        for frame in frames(&bytes, usize::MAX) {
            let _ = decoder.frame(&frame, &mut events);
            let _ = scan.frame(&frame);
        }
        decoder.end(&mut events);
        // What is no part of the wire passes whole, so the grammar is not asked.
        let _ = written(home(), &events, &terms());
    }

    /// Whatever a chat client says, the turns keep the wire's rules.
    #[test]
    fn chat_turns_alternate_and_pair(script in prop::collection::vec((0..4_u8, 0..4_u8, "[a-z ]{0,4}"), 1..12)) {
        let messages: Vec<Value> = script.iter().map(|(role, id, text)| match role {
            0 => json!({"role": "user", "content": text}),
            1 => json!({"role": "assistant", "content": text}),
            2 => json!({"role": "assistant", "content": text, "tool_calls": [
                {"id": format!("c{id}"), "type": "function", "function": {"name": "f", "arguments": "{}"}}]}),
            _ => json!({"role": "tool", "tool_call_id": format!("c{id}"), "content": text}),
        }).collect();
        let encoded = from_chat(CLAUDE, json!({"model": "m", "messages": messages}));
        let turns = encoded.body["messages"].as_array().expect("list");
        let ids = |turn: &Value, kind: &str| -> Vec<String> {
            let blocks = turn["content"].as_array().cloned().unwrap_or_default();
            let mut ids: Vec<String> = blocks.iter().filter_map(|b| b[kind]["toolUseId"].as_str().map(str::to_owned)).collect();
            ids.sort();
            ids
        };
        for (at, turn) in turns.iter().enumerate() {
            prop_assert_eq!(&turn["role"], if at % 2 == 0 { "user" } else { "assistant" });
            let calls = if at == 0 { Vec::new() } else { ids(&turns[at - 1], "toolUse") };
            prop_assert_eq!(ids(turn, "toolResult"), calls);
            for block in turn["content"].as_array().into_iter().flatten() {
                prop_assert!(!block["text"].as_str().is_some_and(|text| text.trim().is_empty()));
            }
        }
    }
}
