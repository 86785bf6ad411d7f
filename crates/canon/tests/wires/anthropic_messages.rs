//! Anthropic Messages: home again nothing is lost, abroad the essence stays and the rest is named, a stream and its
//! unary twin are one answer, and every stream that we write keeps the wire's grammar.

use crate::common::{self, Seed, dialect, frames, json_of, level, lost, plant, protocol, read, terms, written};
use canon::answer::{Response, fold};
use canon::event::{Event, Finish, Head, PartKind, Stop, StopReason};
use canon::request::{Effort, OutputFormat, Part, Reasoning, Request, Seal, ToolChoice};
use canon::wire::{self, Encoded, FrameNote, Params, Protocol, Target, decode_all};
use canon::{Fault, FaultKind, Usage};
use proptest::prelude::*;
use serde_json::{Map, Value, json};

const REQUESTS: [&str; 4] = [
    include_str!("../../../testkit/fixtures/anthropic-messages/request/plain.json"),
    include_str!("../../../testkit/fixtures/anthropic-messages/request/agent.json"),
    include_str!("../../../testkit/fixtures/anthropic-messages/request/all.json"),
    include_str!("../../../testkit/fixtures/anthropic-messages/request/adaptive.json"),
];

const TWINS: [(&str, &str); 4] = [
    (
        include_str!("../../../testkit/fixtures/anthropic-messages/answer/text.json"),
        include_str!("../../../testkit/fixtures/anthropic-messages/stream/text.sse"),
    ),
    (
        include_str!("../../../testkit/fixtures/anthropic-messages/answer/tools.json"),
        include_str!("../../../testkit/fixtures/anthropic-messages/stream/tools.sse"),
    ),
    (
        include_str!("../../../testkit/fixtures/anthropic-messages/answer/search.json"),
        include_str!("../../../testkit/fixtures/anthropic-messages/stream/search.sse"),
    ),
    (
        include_str!("../../../testkit/fixtures/anthropic-messages/answer/refusal.json"),
        include_str!("../../../testkit/fixtures/anthropic-messages/stream/refusal.sse"),
    ),
];

const BROKEN: &str = include_str!("data/anthropic_messages/stream-error.sse");

fn ours() -> &'static dyn Protocol {
    protocol("anthropic-messages")
}

fn target(request: &Request) -> Target {
    Target { model: request.model.clone(), signer: "anthropic".to_owned(), ..Target::default() }
}

/// A request from OpenAI Chat, written for Anthropic.
fn from_chat(body: Value) -> Encoded {
    let request = read("openai-chat", body);
    ours().encode_request(&request, &target(&request))
}

fn events(text: &str) -> Vec<Event> {
    decode_all(ours(), &frames(text.as_bytes(), usize::MAX)).expect("a good stream")
}

/// The grammar of a stream: named events, one `message_start`, blocks one at a time with rising index and deltas of
/// their own kind, one `message_delta`, `message_stop` last.
fn check_grammar(text: &[u8]) -> Vec<Value> {
    let mut blocks: Vec<Value> = Vec::new();
    let mut open: Option<usize> = None;
    let mut state = "before";
    for frame in frames(text, usize::MAX) {
        let body: Value = serde_json::from_slice(&frame.data).expect("JSON");
        let kind = body["type"].as_str().expect("a type").to_owned();
        assert_eq!(frame.event.as_ref(), kind.as_bytes(), "the event's name is its type");
        match kind.as_str() {
            "message_start" => {
                assert_eq!(state, "before");
                state = "content";
                let message = &body["message"];
                assert_eq!((message["type"].as_str(), message["role"].as_str()), (Some("message"), Some("assistant")));
                assert!(message["id"].is_string() && message["model"].is_string());
                assert_eq!((&message["content"], &message["stop_reason"]), (&json!([]), &Value::Null));
                assert!(message["usage"]["input_tokens"].is_u64() && message["usage"]["output_tokens"].is_u64());
            }
            "content_block_start" => {
                assert_eq!((state, open), ("content", None), "a block starts while another is open");
                assert_eq!(body["index"], blocks.len());
                let block = body["content_block"].clone();
                match block["type"].as_str().expect("a type") {
                    "text" => assert_eq!(block["text"], ""),
                    "thinking" => assert_eq!((&block["thinking"], &block["signature"]), (&json!(""), &json!(""))),
                    kind if kind.ends_with("tool_use") => assert_eq!(block["input"], json!({})),
                    _ => {}
                }
                open = Some(blocks.len());
                blocks.push(block);
            }
            "content_block_delta" => {
                let at = open.expect("a delta belongs to an open block");
                assert_eq!(body["index"], at);
                let kind = blocks[at]["type"].as_str().expect("a type");
                let wanted: &[&str] = match kind {
                    "text" => &["text_delta", "citations_delta"],
                    "thinking" => &["thinking_delta", "signature_delta"],
                    "tool_use" | "server_tool_use" => &["input_json_delta"],
                    _ => &[],
                };
                assert!(wanted.contains(&body["delta"]["type"].as_str().expect("a type")), "{kind}: {body}");
            }
            "content_block_stop" => {
                assert_eq!(body["index"], open.take().expect("an open block"));
            }
            "message_delta" => {
                assert_eq!((state, open), ("content", None));
                state = "stopped";
                assert!(body["delta"]["stop_reason"].is_string() && body["usage"]["output_tokens"].is_u64());
            }
            "message_stop" => {
                assert_eq!(state, "stopped");
                state = "after";
            }
            "ping" | "error" => {}
            other => assert!(!other.is_empty()),
        }
    }
    assert_eq!(state, "after", "the stream has its end");
    blocks
}

#[test]
fn home_again_a_request_is_the_same() {
    for text in REQUESTS {
        let body = json_of(text);
        let request = read("anthropic-messages", body.clone());
        let encoded = ours().encode_request(&request, &target(&request));
        assert_eq!(encoded.losses, []);
        assert_eq!(encoded.body, body);
    }
}

#[test]
fn home_again_an_answer_is_the_same() {
    for (text, _) in TWINS {
        let body = json_of(text);
        let answer = ours().decode_response(body.clone()).expect("an answer");
        assert_eq!(dialect("anthropic-messages").encode_response(&answer, &terms()), body);
    }
}

#[test]
fn a_stream_and_its_unary_twin_are_one_answer() {
    for (whole, stream) in TWINS {
        let whole = ours().decode_response(json_of(whole)).expect("an answer");
        let events = events(stream);
        let folded = fold(&events).expect("complete");
        assert_eq!(level(folded.clone()), level(whole.clone()));
        for events in [events, whole.unfold()] {
            let text = written(dialect("anthropic-messages"), &events, &terms());
            check_grammar(&text);
            let again = fold(&decode_all(ours(), &frames(&text, usize::MAX)).expect("ours")).expect("complete");
            assert_eq!(level(again), level(whole.clone()));
        }
    }
}

#[test]
fn usage_includes_cached_tokens() {
    let answer = ours().decode_response(json_of(TWINS[0].0)).expect("an answer");
    let usage = &answer.usage;
    assert_eq!((usage.input, usage.cache_read, usage.cache_write), (Some(1051), Some(1000), Some(40)));
    assert_eq!((usage.cache_write_1h, usage.output), (Some(10), Some(6)));
    let chat = dialect("openai-chat").encode_response(&answer, &terms());
    assert_eq!((&chat["usage"]["prompt_tokens"], &chat["usage"]["total_tokens"]), (&json!(1051), &json!(1057)));
    assert_eq!(chat["usage"]["prompt_tokens_details"]["cached_tokens"], 1000);
}

#[test]
fn a_cut_stream_never_claims_success() {
    for (_, stream) in TWINS {
        let all = frames(stream.as_bytes(), usize::MAX);
        for cut in 0..all.len() {
            let events = decode_all(ours(), &all[..cut]).expect("good so far");
            assert!(!events.iter().any(|event| matches!(event, Event::Finish(_))), "cut after {cut}");
            assert_eq!(fold(&events), None);
            let mut scan = ours().scan();
            for frame in &all[..cut] {
                scan.frame(frame).expect("good so far");
            }
            assert_eq!(scan.close(), None, "cut after {cut}");
        }
    }
}

#[test]
fn an_error_in_a_stream_is_a_fault() {
    let all = frames(BROKEN.as_bytes(), usize::MAX);
    let fault = decode_all(ours(), &all).expect_err("an error");
    assert_eq!((fault.kind, fault.client_status()), (FaultKind::Overloaded, 529));
    let mut scan = ours().scan();
    let notes: Vec<_> = all.iter().map(|frame| scan.frame(frame)).collect();
    assert_eq!(notes.last().expect("frames").as_ref().expect_err("an error").kind, FaultKind::Overloaded);
    let mut out = Vec::new();
    dialect("anthropic-messages").stream_encoder(&terms()).fault(&fault, &mut out);
    let text = String::from_utf8(out).expect("UTF-8");
    assert!(
        text.starts_with("event: error\ndata: {\"type\":\"error\",\"error\":{\"type\":\"overloaded_error\""),
        "{text}"
    );
    assert!(text.contains("\"request_id\":\"ours\""));
}

#[test]
fn what_breaks_the_wire_is_malformed() {
    let start =
        r#"{"type":"message_start","message":{"id":"a","model":"m","usage":{"input_tokens":1,"output_tokens":1}}}"#;
    let bad = [
        vec![r#"{"type":"content_block_stop","index":0}"#],
        vec![start, r#"{"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"x"}}"#],
        vec![start, r#"{"type":"content_block_start","index":0}"#],
        vec![start, r#"{"type":"message_stop"}"#],
        vec![start, "{\"type\":"],
        vec![start, start],
    ];
    for datas in bad {
        let text: String = datas.iter().map(|data| format!("data: {data}\n\n")).collect();
        let fault = decode_all(ours(), &frames(text.as_bytes(), usize::MAX)).expect_err("bad");
        assert_eq!(fault.kind, FaultKind::Malformed, "{text}");
    }
}

#[test]
fn a_watch_sees_what_a_decoder_reads() {
    for (whole, stream) in TWINS {
        let answer = ours().decode_response(json_of(whole)).expect("an answer");
        let mut scan = ours().scan();
        let notes: Vec<FrameNote> =
            frames(stream.as_bytes(), usize::MAX).iter().map(|frame| scan.frame(frame).expect("good")).collect();
        assert_eq!(notes.first(), Some(&FrameNote::Quiet));
        assert_eq!(notes.last(), Some(&FrameNote::End));
        assert_eq!(notes.contains(&FrameNote::Content), !answer.choices[0].parts.is_empty());
        assert_eq!(scan.close(), Some(b"".as_slice()));
        let unary = ours().scan_response(whole.as_bytes()).expect("complete");
        for seen in [scan.seen(), &unary] {
            assert_eq!(seen.id.as_deref(), Some(answer.head.id.as_str()));
            assert_eq!(seen.model.as_deref(), Some(answer.head.model.as_str()));
            assert_eq!((&seen.usage, seen.stop), (&answer.usage, Some(answer.choices[0].stop.reason)));
            assert!(seen.ended);
        }
    }
}

#[test]
fn a_good_status_around_no_answer_is_a_fault() {
    let overloaded = br#"{"type":"error","error":{"type":"overloaded_error","message":"busy"}}"#;
    assert_eq!(ours().scan_response(overloaded).expect_err("error").kind, FaultKind::Overloaded);
    for body in [b"<html>hello</html>".as_slice(), b"{}", b"[1]", b""] {
        assert_eq!(ours().scan_response(body).expect_err("none").kind, FaultKind::Malformed);
    }
    assert!(ours().decode_response(json!({"type": "error", "error": {"type": "api_error", "message": "x"}})).is_err());
}

#[test]
fn every_stop_word_keeps_its_meaning() {
    let table = [
        ("end_turn", StopReason::End),
        ("tool_use", StopReason::ToolCalls),
        ("max_tokens", StopReason::Length),
        ("stop_sequence", StopReason::StopSequence),
        ("refusal", StopReason::Refusal),
        ("pause_turn", StopReason::Pause),
        ("model_context_window_exceeded", StopReason::Context),
    ];
    for (word, reason) in table {
        let body = json!({"id": "a", "content": [{"type": "text", "text": "x"}], "stop_reason": word});
        let answer = ours().decode_response(body).expect("an answer");
        assert_eq!(answer.choices[0].stop.reason, reason);
        assert_eq!(dialect("anthropic-messages").encode_response(&answer, &terms())["stop_reason"], word);
    }
    // Compatible engines end a turn beside their calls; agents would stop there.
    let body =
        json!({"content": [{"type": "tool_use", "id": "a", "name": "f", "input": {}}], "stop_reason": "end_turn"});
    assert_eq!(ours().decode_response(body).expect("an answer").choices[0].stop.reason, StopReason::ToolCalls);
}

#[test]
fn a_look_finds_what_policy_needs() {
    let wire = dialect("anthropic-messages");
    let look = |text: &str| wire.peek(&Params::default(), text.as_bytes()).expect("valid");
    let plain = look(REQUESTS[0]);
    assert_eq!(plain.model.as_deref(), Some("claude-sonnet-4-5"));
    assert!(plain.stream_usage && !plain.stream && !plain.facets.tools && !plain.facets.reasoning);
    let at = plain.model_at.expect("in the body");
    assert_eq!(&REQUESTS[0][at], "\"claude-sonnet-4-5\"");
    let agent = look(REQUESTS[1]);
    assert!(agent.stream && agent.facets.tools && agent.facets.reasoning && !agent.facets.structured);
    assert_eq!(agent.facets.max_output_tokens, Some(32000));
    let all = look(REQUESTS[2]).facets;
    assert!(all.images && all.documents && all.state && all.tools && !all.reasoning);
    let adaptive = look(REQUESTS[3]).facets;
    assert!(adaptive.structured && adaptive.reasoning && !adaptive.images && !adaptive.state);
    for (body, path) in [
        (r#"{"messages":[]}"#, "model"),
        (r#"{"model":"a"}"#, "messages"),
        (r#"{"model":"a","messages":{}}"#, "messages"),
        (r#"{"model":"a","model":"b","messages":[]}"#, "model"),
        ("[]", "body"),
    ] {
        assert_eq!(wire.peek(&Params::default(), body.as_bytes()).expect_err("bad").path, path);
    }
}

#[test]
fn an_agents_request_goes_to_chat() {
    let request = read("anthropic-messages", json_of(REQUESTS[1]));
    let encoded = protocol("openai-chat").encode_request(&request, &target(&request));
    let body = &encoded.body;
    let roles: Vec<_> = body["messages"].as_array().expect("list").iter().map(|m| m["role"].as_str()).collect();
    assert_eq!(roles, [Some("system"), Some("user"), Some("assistant"), Some("tool"), Some("user")]);
    assert_eq!(body["messages"][2]["tool_calls"][0]["function"]["arguments"], r#"{"command":"ls"}"#);
    assert_eq!(body["messages"][3]["tool_call_id"], "toolu_01A09q90qw90lq917835lq9");
    assert_eq!(
        (&body["reasoning_effort"], &body["user"]),
        (&json!("high"), &json!("{\"device\":\"d\",\"session\":\"s\"}"))
    );
    let names = lost(&encoded);
    for name in
        ["context_management", "messages[2].content[0].signature", "messages[2].content[0]", "~reasoning.budget_tokens"]
    {
        assert!(names.iter().any(|lost| lost == name), "{name} in {names:?}");
    }
}

#[test]
fn a_chat_request_comes_from_abroad() {
    let encoded = from_chat(json!({
        "model": "claude-sonnet-4-5",
        "messages": [
            {"role": "developer", "content": "Be brief."},
            {"role": "user", "name": "ann", "content": [
                {"type": "text", "text": "What is this?"},
                {"type": "image_url", "image_url": {"url": "data:image/jpg;base64,/9j/", "detail": "low"}},
                {"type": "file", "file": {"filename": "a.pdf", "file_data": "data:application/pdf;base64,JVBERi0="}},
                {"type": "file", "file": {"filename": "a.csv", "file_data": "data:text/csv;base64,YSxi"}},
                {"type": "input_audio", "input_audio": {"data": "AAAA", "format": "wav"}},
            ]},
            {"role": "assistant", "content": "", "tool_calls": [
                {"id": "call:1", "type": "function", "function": {"name": "f", "arguments": "{\"a\": 1}"}},
                {"id": "call.1", "type": "function", "function": {"name": "g", "arguments": ""}},
                {"id": "c3", "type": "function", "function": {"name": "h", "arguments": "{oops"}},
            ]},
            {"role": "tool", "tool_call_id": "call:1", "content": "one"},
            {"role": "tool", "tool_call_id": "call.1", "content": ""},
            {"role": "tool", "tool_call_id": "c3", "content": [{"type": "text", "text": "three"}]},
            {"role": "user", "content": "And now?"},
        ],
        "tools": [{"type": "function", "function": {"name": "f", "parameters": {"properties": {}}, "strict": true}}],
        "tool_choice": "required",
        "parallel_tool_calls": false,
        "temperature": 1.5, "top_p": 0.5, "seed": 7, "n": 1, "presence_penalty": 0,
        "stop": ["\n", "END"], "user": "u", "service_tier": "default", "metadata": {"a": "b"},
    }));
    let body = &encoded.body;
    assert_eq!(body["system"], "Be brief.");
    assert_eq!(body["max_tokens"], 4096);
    let messages = body["messages"].as_array().expect("list");
    assert_eq!(messages.len(), 3);
    assert_eq!(
        messages[0]["content"][1]["source"],
        json!({"type": "base64", "media_type": "image/jpeg", "data": "/9j/"})
    );
    assert_eq!(messages[0]["content"][2]["title"], "a.pdf");
    assert_eq!(messages[0]["content"][3]["source"], json!({"type": "text", "media_type": "text/plain", "data": "a,b"}));
    let calls = messages[1]["content"].as_array().expect("list");
    assert!(calls.iter().all(|block| block["type"] == "tool_use"), "no empty text");
    assert_eq!((&calls[0]["input"], &calls[1]["input"]), (&json!({"a": 1}), &json!({})));
    assert_eq!(calls[2]["input"], json!({"arguments": "{oops"}));
    let results = messages[2]["content"].as_array().expect("list");
    for (call, result) in calls.iter().zip(results) {
        assert_eq!(call["id"], result["tool_use_id"]);
        let id = call["id"].as_str().expect("id");
        assert!(id.chars().all(|c| c.is_ascii_alphanumeric() || c == '_' || c == '-'), "{id}");
    }
    assert_ne!(calls[0]["id"], calls[1]["id"]);
    assert_eq!(results[3], json!({"type": "text", "text": "And now?"}));
    assert_eq!(body["tool_choice"], json!({"type": "any", "disable_parallel_tool_use": true}));
    assert_eq!(body["tools"][0]["input_schema"], json!({"properties": {}, "type": "object"}));
    assert_eq!((&body["temperature"], &body["stop_sequences"]), (&json!(1.0), &json!(["END"])));
    assert_eq!((&body["metadata"], &body["service_tier"]), (&json!({"user_id": "u"}), &json!("standard_only")));
    assert_eq!(
        lost(&encoded),
        [
            "=messages[2].content[2].arguments",
            "messages[1].content[1].detail",
            "messages[1].content[4]",
            "messages[1].name",
            "metadata",
            "seed",
            "top_p",
            "~messages[1].content[3].mime",
            "~stop",
            "~temperature",
            "~tools[0].strict",
        ]
    );
}

#[test]
fn turns_are_what_the_wire_takes() {
    let ask = |messages: Value| from_chat(json!({"model": "m", "messages": messages}));
    // Neighbours merge; blank words vanish.
    let merged = ask(json!([
        {"role": "user", "content": "a"}, {"role": "user", "content": [{"type": "text", "text": " "}]},
        {"role": "user", "content": "b"},
    ]));
    assert_eq!(
        merged.body["messages"],
        json!([{"role": "user", "content": [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]}])
    );
    assert_eq!(lost(&merged), ["messages[1].content[0]"]);
    // The user opens, and there is a message at all.
    let opened = ask(json!([{"role": "assistant", "content": "hi"}, {"role": "user", "content": "a"}]));
    assert_eq!(opened.body["messages"][0]["role"], "user");
    let alone = ask(json!([{"role": "system", "content": "Say hi."}]));
    assert_eq!(alone.body["messages"], json!([{"role": "user", "content": "Say hi."}]));
    assert!(alone.body.get("system").is_none());
    // A call whose result is lost gets one; a result without its call becomes words; tools are declared.
    let torn = ask(json!([
        {"role": "user", "content": "a"},
        {"role": "assistant", "tool_calls": [{"id": "x", "type": "function", "function": {"name": "f", "arguments": "{}"}}]},
        {"role": "user", "content": "b"},
        {"role": "assistant", "content": "c"},
        {"role": "tool", "tool_call_id": "gone", "content": "late"},
    ]));
    let messages = &torn.body["messages"];
    assert_eq!(
        (&messages[2]["content"][0]["tool_use_id"], &messages[2]["content"][0]["is_error"]),
        (&json!("x"), &json!(true))
    );
    assert_eq!(messages[4]["content"], "Result of an earlier tool call:\nlate");
    assert_eq!(torn.body["tools"], json!([{"name": "f", "input_schema": {"type": "object"}}]));
    assert_eq!(torn.body["tool_choice"], json!({"type": "none"}));
    assert_eq!(lost(&torn), ["=messages[2]", "=messages[4]", "=tools"]);
    // Late instructions move to the top, and an answer to go on from ends in no white space.
    let late = ask(json!([
        {"role": "user", "content": "a"}, {"role": "system", "content": "s"}, {"role": "assistant", "content": "b \n"},
    ]));
    assert_eq!((&late.body["system"], &late.body["messages"][1]["content"]), (&json!("s"), &json!("b")));
    assert_eq!(lost(&late), ["~messages[1]", "~messages[1]"]);
}

#[test]
fn a_provider_without_prefill_is_asked_to_go_on() {
    let request = read(
        "openai-chat",
        json!({"model": "m", "messages": [
            {"role": "user", "content": "a"}, {"role": "assistant", "content": "b"},
        ]}),
    );
    let mut target = target(&request);
    target.quirks.no_prefill = true;
    let encoded = ours().encode_request(&request, &target);
    assert_eq!(encoded.body["messages"][2]["role"], "user");
    assert_eq!(lost(&encoded), ["=messages[1]"]);
}

fn asked(reasoning: Reasoning, change: impl Fn(&mut Request, &mut Target)) -> Encoded {
    let mut request = read("openai-chat", json!({"model": "m", "messages": [{"role": "user", "content": "a"}]}));
    request.reasoning = Some(reasoning);
    let mut target = target(&request);
    change(&mut request, &mut target);
    ours().encode_request(&request, &target)
}

#[test]
fn thinking_comes_from_abroad() {
    let effort = |effort| Reasoning { effort: Some(effort), ..Reasoning::default() };
    let budget = |tokens| Reasoning { budget_tokens: Some(tokens), ..Reasoning::default() };
    let adaptive = asked(effort(Effort::High), |request, _| request.sampling.temperature = Some(0.3));
    assert_eq!(adaptive.body["thinking"], json!({"type": "adaptive"}));
    assert_eq!(
        (&adaptive.body["output_config"], &adaptive.body["max_tokens"]),
        (&json!({"effort": "high"}), &json!(32000))
    );
    assert_eq!(lost(&adaptive), ["temperature"]);
    let off = asked(effort(Effort::None), |_, _| {});
    assert_eq!(off.body["thinking"], json!({"type": "disabled"}));
    let older = asked(effort(Effort::Medium), |_, target| target.quirks.refuses = vec!["thinking.adaptive".to_owned()]);
    assert_eq!(older.body["thinking"], json!({"type": "enabled", "budget_tokens": 8192}));
    assert_eq!((&older.body["max_tokens"], older.body.get("output_config")), (&json!(12288), None));
    let newer = asked(budget(9000), |_, target| target.quirks.refuses = vec!["thinking.enabled".to_owned()]);
    assert_eq!(
        (&newer.body["thinking"], &newer.body["output_config"]),
        (&json!({"type": "adaptive"}), &json!({"effort": "high"}))
    );
    assert_eq!(lost(&newer), ["~reasoning.budget_tokens"]);
    let small = asked(budget(10), |request, _| request.sampling.max_output_tokens = Some(3000));
    assert_eq!(small.body["thinking"], json!({"type": "enabled", "budget_tokens": 1024}));
    let large = asked(budget(5000), |request, _| request.sampling.max_output_tokens = Some(3000));
    assert_eq!(large.body["thinking"]["budget_tokens"], 2999);
    assert_eq!(lost(&large), ["~reasoning.budget_tokens"]);
    let none = asked(budget(5000), |request, _| request.sampling.max_output_tokens = Some(500));
    assert_eq!((none.body.get("thinking"), lost(&none)), (None, vec!["reasoning".to_owned()]));
    let forced = asked(budget(5000), |request, _| {
        request.tools = read("anthropic-messages", json_of(REQUESTS[3])).tools;
        request.tool_choice = Some(ToolChoice::Required);
    });
    assert_eq!((forced.body.get("thinking"), lost(&forced)), (None, vec!["thinking".to_owned()]));
}

#[test]
fn a_signature_goes_back_to_its_signer_only() {
    let encode = |signer: Option<&str>| {
        let mut request = read("anthropic-messages", json_of(REQUESTS[1]));
        for part in request.messages.iter_mut().flat_map(|message| &mut message.parts) {
            if let Part::Reasoning { seal: Some(Seal { signer: mine, .. }), .. } = part {
                *mine = signer.map(str::to_owned);
            }
        }
        ours().encode_request(&request, &target(&request))
    };
    for signer in [None, Some("anthropic")] {
        let encoded = encode(signer);
        assert_eq!((encoded.body, encoded.losses), (json_of(REQUESTS[1]), vec![]));
    }
    // Amid the loop of calls the turn must begin with its thinking: without it, thinking is off.
    let foreign = encode(Some("elsewhere"));
    assert_eq!(foreign.body["messages"][1]["content"][0]["type"], "text");
    assert!(foreign.body.get("thinking").is_none());
    assert_eq!(lost(&foreign), ["messages[2].content[0]", "messages[2].content[0].signature", "thinking"]);
    // From another wire a known signature is written, an unknown one is not.
    let mut request = read(
        "openai-chat",
        json!({"model": "m", "messages": [
            {"role": "user", "content": "a"},
            {"role": "assistant", "reasoning_content": "hm", "content": "b"},
            {"role": "user", "content": "c"},
        ]}),
    );
    let bare = ours().encode_request(&request, &target(&request));
    assert_eq!(
        (&bare.body["messages"][1]["content"], lost(&bare)),
        (&json!("b"), vec!["messages[1].content[0]".to_owned()])
    );
    if let Part::Reasoning { seal, .. } = &mut request.messages[1].parts[0] {
        *seal = Some(Seal { data: "sig".to_owned(), redacted: false, signer: Some("anthropic".to_owned()) });
    }
    let known = ours().encode_request(&request, &target(&request));
    assert_eq!(
        known.body["messages"][1]["content"][0],
        json!({"type": "thinking", "thinking": "hm", "signature": "sig"})
    );
    assert_eq!(known.losses, []);
}

#[test]
fn at_most_four_cache_marks_leave() {
    let words: Vec<Value> = (0..7)
        .map(|n| json!({"type": "text", "text": format!("{n}"), "cache_control": {"type": "ephemeral", "ttl": "1h"}}))
        .collect();
    let mut request = read("openai-chat", json!({"model": "m", "messages": [{"role": "user", "content": words}]}));
    let encoded = ours().encode_request(&request, &target(&request));
    let marked: Vec<usize> = encoded.body["messages"][0]["content"]
        .as_array()
        .expect("list")
        .iter()
        .enumerate()
        .filter(|(_, block)| block.get("cache_control").is_some())
        .map(|(at, _)| at)
        .collect();
    assert_eq!(marked, [0, 1, 5, 6]);
    assert_eq!(lost(&encoded).len(), 3);
    request.origin = canon::wire::anthropic_messages::ID;
    assert_eq!(ours().encode_request(&request, &target(&request)).losses, []);
}

#[test]
fn structured_output_goes_to_and_fro() {
    let ask = |format: Value| {
        from_chat(json!({"model": "m", "messages": [{"role": "user", "content": "a"}], "response_format": format}))
    };
    let schema = json!({"type": "object", "properties": {"n": {"type": "integer", "minimum": 1}}, "required": ["n"]});
    let open = ask(json!({"type": "json_schema", "json_schema": {"name": "N", "schema": schema}}));
    assert_eq!(
        open.body["output_config"]["format"],
        json!({"type": "json_schema", "schema": {
            "type": "object",
            "properties": {"n": {"type": "integer", "description": "{\"minimum\":1}"}},
            "required": ["n"],
            "additionalProperties": false,
            "title": "N",
        }})
    );
    assert_eq!(lost(&open), ["~response_format.schema"]);
    let free = ask(json!({"type": "json_object"}));
    assert!(free.body["system"].as_str().is_some_and(|text| text.contains("JSON object")));
    assert_eq!(lost(&free), ["=response_format"]);
    // The beta's name of the field is read, too.
    let beta = read(
        "anthropic-messages",
        json!({"model": "m", "messages": [], "output_format": {"type": "json_schema", "schema": {"type": "object"}}}),
    );
    assert!(matches!(beta.output, OutputFormat::Schema { .. }));
    let chat = protocol("openai-chat").encode_request(&beta, &target(&beta));
    assert_eq!(chat.body["response_format"]["json_schema"]["schema"], json!({"type": "object"}));
    assert_eq!(chat.losses, []);
}

#[test]
fn counting_tokens_takes_the_same_body() {
    let body = json!({"model": "m", "messages": [{"role": "user", "content": "a"}], "system": "s"});
    let request = read("anthropic-messages", body.clone());
    assert_eq!(ours().encode_request(&request, &target(&request)).body, body);
    let routes = dialect("anthropic-messages").routes();
    assert_eq!(routes[1].path, "/v1/messages/count_tokens");
}

#[test]
fn a_chat_stream_becomes_one_block_at_a_time() {
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
        chunk(json!({"tool_calls": [{"index": 0, "function": {"arguments": "1}"}}]}), Value::Null),
        chunk(call(1, "", ""), Value::Null),
        chunk(json!({}), json!("stop")),
        "data: {\"id\":\"c\",\"choices\":[],\"usage\":{\"prompt_tokens\":12,\"completion_tokens\":5,\"prompt_tokens_details\":{\"cached_tokens\":4}}}\n\n".to_owned(),
        "data: [DONE]\n\n".to_owned(),
    ]
    .concat();
    let events = decode_all(protocol("openai-chat"), &frames(text.as_bytes(), usize::MAX)).expect("good");
    let out = written(dialect("anthropic-messages"), &events, &terms());
    let blocks = check_grammar(&out);
    let kinds: Vec<_> = blocks.iter().map(|block| block["type"].as_str().expect("a type")).collect();
    assert_eq!(kinds, ["thinking", "text", "tool_use", "tool_use"]);
    assert_eq!(blocks[3]["id"], "toolu_ours_3");
    let answer = fold(&decode_all(ours(), &frames(&out, usize::MAX)).expect("ours")).expect("complete");
    assert_eq!(answer.choices[0].stop.reason, StopReason::ToolCalls);
    assert_eq!((answer.usage.input, answer.usage.cache_read, answer.usage.output), (Some(12), Some(4), Some(5)));
    let Part::ToolCall { arguments, .. } = &answer.choices[0].parts[2] else { panic!("a call") };
    assert_eq!(arguments, "{\"x\":1}");
}

#[test]
fn parts_that_interleave_wait_for_each_other() {
    let call = |id: &str| PartKind::ToolCall { call_id: id.to_owned(), name: "f".to_owned() };
    let delta = |at, text: &str| Event::Delta { at, text: text.to_owned(), logprobs: Vec::new() };
    let events = [
        Event::Start(Head::default()),
        Event::PartStart { at: 0, choice: 0, kind: call("a") },
        Event::PartStart { at: 1, choice: 0, kind: call("b") },
        Event::PartStart { at: 2, choice: 1, kind: PartKind::Text },
        delta(1, "{\"b\":"),
        delta(0, "{\"a\":"),
        delta(2, "another choice"),
        Event::PartEnd { at: 2 },
        delta(1, "2}"),
        Event::PartEnd { at: 1 },
        delta(0, "1}"),
        Event::PartEnd { at: 0 },
        // Neither of these says anything.
        Event::PartStart { at: 3, choice: 0, kind: PartKind::Text },
        Event::PartEnd { at: 3 },
        Event::PartStart { at: 4, choice: 0, kind: PartKind::Reasoning { summary: true } },
        Event::PartEnd { at: 4 },
        Event::Usage(Usage { output: Some(3), ..Usage::default() }),
        Event::Finish(Finish { stops: vec![Stop::because(StopReason::ToolCalls)], ..Finish::default() }),
    ];
    let out = written(dialect("anthropic-messages"), &events, &terms());
    assert_eq!(check_grammar(&out).len(), 2);
    let answer = fold(&decode_all(ours(), &frames(&out, usize::MAX)).expect("ours")).expect("complete");
    let calls: Vec<_> = answer.choices[0]
        .parts
        .iter()
        .map(|part| match part {
            Part::ToolCall { call_id, arguments, .. } => (call_id.as_str(), arguments.as_str()),
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(calls, [("a", "{\"a\":1}"), ("b", "{\"b\":2}")]);
}

#[test]
fn a_sealed_thought_of_another_maker_can_come_back() {
    let seal = Seal { data: "cipher".to_owned(), redacted: true, signer: Some("elsewhere".to_owned()) };
    for (text, kind) in [("", "redacted_thinking"), ("a summary", "thinking")] {
        let part =
            Part::Reasoning { text: text.to_owned(), summary: true, seal: Some(seal.clone()), extras: Map::new() };
        let answer = Response {
            choices: vec![canon::Choice {
                parts: vec![part],
                stop: Stop::because(StopReason::End),
                extras: Map::new(),
            }],
            ..Response::default()
        };
        let block = dialect("anthropic-messages").encode_response(&answer, &terms())["content"][0].clone();
        assert_eq!(block["type"], kind);
        assert!(block["data"] == "cipher" || block["signature"] == "cipher");
        let out = written(dialect("anthropic-messages"), &answer.unfold(), &terms());
        assert_eq!(check_grammar(&out)[0]["type"], kind);
        let again = fold(&decode_all(ours(), &frames(&out, usize::MAX)).expect("ours")).expect("complete");
        let Part::Reasoning { seal: Some(seal), .. } = &again.choices[0].parts[0] else { panic!("thinking") };
        assert_eq!(seal.data, "cipher");
    }
}

#[test]
fn faults_are_told_in_the_wires_shape() {
    let wire = dialect("anthropic-messages");
    let table = [
        (Fault::client(FaultKind::Invalid, "x"), 400, "invalid_request_error"),
        (Fault::client(FaultKind::Unauthenticated, "x"), 401, "authentication_error"),
        (Fault::client(FaultKind::Forbidden, "x"), 403, "permission_error"),
        (Fault::client(FaultKind::NotFound, "x"), 404, "not_found_error"),
        (Fault::client(FaultKind::TooLarge, "x"), 413, "request_too_large"),
        (Fault::provider(FaultKind::RateLimited, "x"), 429, "rate_limit_error"),
        (Fault::provider(FaultKind::Server, "x"), 502, "api_error"),
        (Fault::provider(FaultKind::Stalled, "x"), 504, "timeout_error"),
        (Fault { status: Some(529), ..Fault::provider(FaultKind::Overloaded, "x") }, 529, "overloaded_error"),
    ];
    for (fault, status, kind) in table {
        let (got, body) = wire.encode_fault(&fault);
        assert_eq!((got, body["error"]["type"].as_str()), (status, Some(kind)));
        assert_eq!(body["type"], "error");
    }
}

const WORDS: &[&str] = &["text", "tool_use", "tool_result", "thinking", "image", "document", "user", "base64"];

const KEYS: &[&str] = &[
    "type",
    "content",
    "role",
    "text",
    "id",
    "name",
    "input",
    "source",
    "thinking",
    "signature",
    "citations",
    "cache_control",
    "media_type",
    "data",
    "tool_use_id",
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
    fn planted_fields_of_a_request_come_home(
        which in 0..REQUESTS.len(),
        seeds in seeds(6),
    ) {
        let mut body = json_of(REQUESTS[which]);
        plant(&mut body, &seeds);
        let request = read("anthropic-messages", body.clone());
        let encoded = ours().encode_request(&request, &target(&request));
        prop_assert_eq!(encoded.losses, vec![]);
        prop_assert_eq!(encoded.body, body);
    }

    #[test]
    fn planted_fields_of_an_answer_come_home(
        which in 0..TWINS.len(),
        seeds in seeds(6),
    ) {
        let mut body = json_of(TWINS[which].0);
        plant(&mut body, &seeds);
        let answer = ours().decode_response(body.clone()).expect("an answer");
        prop_assert_eq!(dialect("anthropic-messages").encode_response(&answer, &terms()), body);
        let out = written(dialect("anthropic-messages"), &answer.unfold(), &terms());
        check_grammar(&out);
        let again = fold(&decode_all(ours(), &frames(&out, usize::MAX)).expect("ours")).expect("complete");
        prop_assert_eq!(level(again).choices, level(answer).choices);
    }

    #[test]
    fn abroad_every_planted_field_is_named(
        seeds in seeds(4),
    ) {
        let mut body = json_of(REQUESTS[0]);
        plant(&mut body, &seeds);
        let request = read("anthropic-messages", body);
        let encoded = protocol("openai-chat").encode_request(&request, &target(&request));
        prop_assert!(encoded.losses.iter().any(|loss| loss.path.contains("planted_0")));
        prop_assert!(!encoded.body.to_string().contains("planted_0"));
    }

    #[test]
    fn where_the_bytes_break_does_not_matter(which in 0..TWINS.len(), size in 1..40_usize) {
        let text = TWINS[which].1;
        let broken = decode_all(ours(), &frames(text.as_bytes(), size)).expect("good");
        prop_assert_eq!(broken, events(text));
    }

    #[test]
    fn no_body_panics(body in any_json(), text in ".{0,60}") {
        let wire = dialect("anthropic-messages");
        let _ = wire.peek(&Params::default(), text.as_bytes());
        let _ = wire.peek(&Params::default(), body.to_string().as_bytes());
        let _ = ours().decode_response(body.clone());
        let _ = ours().scan_response(body.to_string().as_bytes());
        let _ = ours().decode_fault(400, body.to_string().as_bytes());
        let request = json!({"model": "m", "messages": [{"role": "user", "content": [body.clone()]}], "system": body, "tools": [body]});
        for request in [body.clone(), request] {
            if let Ok(request) = wire.decode_request(&Params::default(), request) {
                for protocol in wire::PROTOCOLS {
                    let _ = protocol.encode_request(&request, &target(&request));
                }
            }
        }
    }

    #[test]
    fn no_stream_panics(bodies in prop::collection::vec(any_json(), 1..6), kinds in prop::collection::vec(0..6_usize, 1..6)) {
        let names = ["message_start", "content_block_start", "content_block_delta", "content_block_stop", "message_delta", "message_stop"];
        let mut decoder = ours().stream_decoder();
        let mut scan = ours().scan();
        let mut events = Vec::new();
        let start = json!({"type": "message_start", "message": {"id": "a"}});
        let more = kinds.iter().zip(&bodies).map(|(kind, body)| {
            json!({"type": names[*kind], "index": 0, "content_block": body, "delta": body, "message": body, "usage": body})
        });
        for value in std::iter::once(start).chain(more) {
            for frame in frames(format!("data: {value}\n\n").as_bytes(), usize::MAX) {
                let _ = decoder.frame(&frame, &mut events);
                let _ = scan.frame(&frame);
            }
        }
        decoder.end(&mut events);
        let out = written(dialect("anthropic-messages"), &events, &terms());
        if events.iter().any(|event| matches!(event, Event::Finish(_))) {
            check_grammar(&out);
        }
    }

    /// Whatever a chat client says, the turns keep the wire's rules.
    #[test]
    fn chat_turns_alternate_and_pair(
        script in prop::collection::vec((0..4_u8, 0..4_u8, "[a-z ]{0,4}"), 1..12),
    ) {
        let messages: Vec<Value> = script.iter().map(|(role, id, text)| match role {
            0 => json!({"role": "user", "content": text}),
            1 => json!({"role": "assistant", "content": text}),
            2 => json!({"role": "assistant", "content": text, "tool_calls": [
                {"id": format!("c{id}"), "type": "function", "function": {"name": "f", "arguments": "{}"}}]}),
            _ => json!({"role": "tool", "tool_call_id": format!("c{id}"), "content": text}),
        }).collect();
        let encoded = from_chat(json!({"model": "m", "messages": messages}));
        let turns = encoded.body["messages"].as_array().expect("list");
        let ids = |turn: &Value, kind: &str, key: &str| -> Vec<String> {
            let blocks = turn["content"].as_array().cloned().unwrap_or_default();
            let mut ids: Vec<String> = blocks.iter().filter(|b| b["type"] == kind).map(|b| b[key].as_str().expect("id").to_owned()).collect();
            ids.sort();
            ids
        };
        for (at, turn) in turns.iter().enumerate() {
            prop_assert_eq!(&turn["role"], if at % 2 == 0 { "user" } else { "assistant" });
            let calls = if at == 0 { Vec::new() } else { ids(&turns[at - 1], "tool_use", "id") };
            prop_assert_eq!(ids(turn, "tool_result", "tool_use_id"), calls);
            let blank = |text: &Value| text.as_str().is_some_and(|text| text.trim().is_empty());
            prop_assert!(!blank(&turn["content"]));
            for block in turn["content"].as_array().into_iter().flatten() {
                prop_assert!(!(block["type"] == "text" && blank(&block["text"])));
            }
        }
    }
}
