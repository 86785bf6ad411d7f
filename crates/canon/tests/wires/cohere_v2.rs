//! Cohere's chat: home again nothing is lost, abroad the essence stays and the rest is named, a stream and its unary
//! twin are one answer, and every stream that we write keeps the wire's grammar.

use crate::common::{self, Seed, dialect, frames, json_of, lost, plant, protocol, read, terms, written};
use canon::answer::{Response, fold};
use canon::event::{Event, StopReason};
use canon::request::{Effort, OutputFormat, Part, Reasoning, Request, Seal, ToolChoice};
use canon::wire::{self, Dialect, Encoded, FrameNote, Params, Protocol, StreamTerms, Target, decode_all};
use canon::{Fault, FaultKind};
use proptest::prelude::*;
use serde_json::{Value, json};

const REQUESTS: [&str; 4] = [
    include_str!("../../../testkit/fixtures/cohere-v2/request/plain.json"),
    include_str!("../../../testkit/fixtures/cohere-v2/request/tools.json"),
    include_str!("../../../testkit/fixtures/cohere-v2/request/rag.json"),
    include_str!("../../../testkit/fixtures/cohere-v2/request/json.json"),
];

const TWINS: [(&str, &str); 3] = [
    (
        include_str!("../../../testkit/fixtures/cohere-v2/answer/text.json"),
        include_str!("../../../testkit/fixtures/cohere-v2/stream/text.sse"),
    ),
    (
        include_str!("../../../testkit/fixtures/cohere-v2/answer/tools.json"),
        include_str!("../../../testkit/fixtures/cohere-v2/stream/tools.sse"),
    ),
    (
        include_str!("../../../testkit/fixtures/cohere-v2/answer/cited.json"),
        include_str!("../../../testkit/fixtures/cohere-v2/stream/cited.sse"),
    ),
];

const BROKEN: &str = include_str!("data/cohere_v2/stream-error.sse");

fn ours() -> &'static dyn Protocol {
    protocol("cohere-v2")
}

fn home() -> &'static dyn Dialect {
    dialect("cohere-v2")
}

fn target(request: &Request) -> Target {
    Target { model: request.model.clone(), signer: "cohere".to_owned(), ..Target::default() }
}

fn from_chat(body: Value) -> Encoded {
    let request = read("openai-chat", body);
    ours().encode_request(&request, &target(&request))
}

fn events(text: &str) -> Vec<Event> {
    decode_all(ours(), &frames(text.as_bytes(), usize::MAX)).expect("a good stream")
}

/// The grammar of a stream: named events, `message-start` first, content and calls one at a time, each numbered for
/// itself, every citation ended, `message-end` and `[DONE]` last. Gives the names of the events back.
fn check_grammar(text: &[u8]) -> Vec<String> {
    let (mut names, mut open, mut counts) = (Vec::new(), None::<(&str, u64)>, [0_u64; 3]);
    let mut state = "before";
    for frame in frames(text, usize::MAX) {
        if frame.data.as_ref() == b"[DONE]" {
            assert_eq!(state, "ended");
            state = "after";
            continue;
        }
        let body: Value = serde_json::from_slice(&frame.data).expect("JSON");
        let kind = body["type"].as_str().expect("a type").to_owned();
        assert_eq!(frame.event.as_ref(), kind.as_bytes(), "the event's name is its type");
        let (index, message) = (body["index"].as_u64(), &body["delta"]["message"]);
        match kind.as_str() {
            "message-start" => {
                assert_eq!((state, &message["role"]), ("before", &json!("assistant")));
                assert!(body["id"].is_string());
                state = "content";
            }
            "content-start" => {
                assert_eq!((state, open, index), ("content", None, Some(counts[0])));
                assert!(message["content"]["type"].is_string());
                open = Some(("content", counts[0]));
                counts[0] += 1;
            }
            "content-delta" => assert_eq!(open, index.map(|index| ("content", index))),
            "content-end" => assert_eq!(open.take(), index.map(|index| ("content", index))),
            "tool-plan-delta" => assert!(open.is_none() && message["tool_plan"].is_string()),
            "tool-call-start" => {
                assert_eq!((state, open, index), ("content", None, Some(counts[1])));
                let call = &message["tool_calls"];
                assert!(call["id"].is_string() && call["function"]["name"].is_string());
                assert_eq!(call["function"]["arguments"], "");
                open = Some(("call", counts[1]));
                counts[1] += 1;
            }
            "tool-call-delta" => {
                assert_eq!(open, index.map(|index| ("call", index)));
                assert!(message["tool_calls"]["function"]["arguments"].is_string());
            }
            "tool-call-end" => assert_eq!(open.take(), index.map(|index| ("call", index))),
            "citation-start" => {
                assert_eq!(index, Some(counts[2]));
                assert!(message["citations"].is_object());
            }
            "citation-end" => {
                assert_eq!(index, Some(counts[2]));
                counts[2] += 1;
            }
            "message-end" => {
                assert_eq!((state, open), ("content", None));
                assert!(body["delta"]["finish_reason"].is_string() && body["delta"]["usage"].is_object());
                state = "ended";
            }
            _ => {}
        }
        names.push(kind);
    }
    assert_eq!(state, "after", "the stream has its end");
    names
}

#[test]
fn home_again_a_request_is_the_same() {
    for text in REQUESTS {
        let body = json_of(text);
        let request = read("cohere-v2", body.clone());
        let encoded = ours().encode_request(&request, &target(&request));
        assert_eq!(encoded.losses, []);
        assert_eq!(encoded.body, body);
    }
    let mut older = json_of(REQUESTS[3]);
    let format = older["response_format"].as_object_mut().expect("an object");
    let schema = format.remove("json_schema").expect("a schema");
    format.insert("schema".to_owned(), schema);
    let request = read("cohere-v2", older.clone());
    assert!(matches!(request.output, OutputFormat::Schema { .. }));
    assert_eq!(ours().encode_request(&request, &target(&request)).body, older);
}

#[test]
fn home_again_an_answer_is_the_same() {
    for (text, _) in TWINS {
        let body = json_of(text);
        let answer = ours().decode_response(body.clone()).expect("an answer");
        assert_eq!(home().encode_response(&answer, &terms()), body);
    }
    let spelled = json!({
        "id": "l", "finish_reason": "COMPLETE", "message": {"role": "assistant", "content": [{"type": "text", "text": "Hi!"}]},
        "usage": {}, "logprobs": [{"text": "Hi", "token_ids": [1, 2], "logprobs": [-0.5, -0.25]}, {"text": "!", "token_ids": [3], "logprobs": [-1.0]}],
    });
    let answer = ours().decode_response(spelled.clone()).expect("an answer");
    assert_eq!(home().encode_response(&answer, &terms()), spelled);
    let Part::Text { logprobs, .. } = &answer.choices[0].parts[0] else { panic!("a text") };
    assert_eq!((logprobs.len(), logprobs[0].logprob), (2, -0.75));
}

#[test]
fn a_stream_and_its_unary_twin_are_one_answer() {
    for (whole, stream) in TWINS {
        let whole = ours().decode_response(json_of(whole)).expect("an answer");
        let events = events(stream);
        assert_eq!(fold(&events).expect("complete"), whole);
        for events in [events, whole.unfold()] {
            let text = written(home(), &events, &terms());
            check_grammar(&text);
            let again = fold(&decode_all(ours(), &frames(&text, usize::MAX)).expect("ours")).expect("complete");
            assert_eq!(again, whole);
        }
    }
}

#[test]
fn usage_is_that_of_the_model() {
    let answer = ours().decode_response(json_of(TWINS[0].0)).expect("an answer");
    assert_eq!((answer.usage.input, answer.usage.output, answer.usage.cache_read), (Some(71), Some(418), Some(32)));
    let chat = dialect("openai-chat").encode_response(&answer, &terms());
    assert_eq!((&chat["usage"]["prompt_tokens"], &chat["choices"][0]["finish_reason"]), (&json!(71), &json!("stop")));
    let cited = ours().decode_response(json_of(TWINS[2].0)).expect("an answer");
    assert_eq!((cited.usage.input, cited.usage.output), (Some(50), Some(9)));
    let chat = dialect("openai-chat").encode_response(&cited, &terms());
    let annotation = &chat["choices"][0]["message"]["annotations"][0]["url_citation"];
    assert_eq!(
        annotation,
        &json!({"url": "https://example.com/p", "title": "Tall penguins", "start_index": 4, "end_index": 19})
    );
}

#[test]
fn a_cut_stream_never_claims_success() {
    for (_, stream) in TWINS {
        let all = frames(stream.as_bytes(), usize::MAX);
        let end = all.iter().position(|frame| frame.event.as_ref() == b"message-end").expect("an end");
        for cut in 0..=end {
            let events = decode_all(ours(), &all[..cut]).expect("good so far");
            assert_eq!(fold(&events), None, "cut after {cut}");
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
    assert_eq!((fault.kind, fault.message.as_str()), (FaultKind::Server, "the model broke"));
    let mut scan = ours().scan();
    let notes: Vec<_> = all.iter().map(|frame| scan.frame(frame)).collect();
    assert_eq!(notes.last().expect("frames").as_ref().expect_err("an error").kind, FaultKind::Server);
    assert_eq!(scan.close(), None);
    let bare = frames(b"data: {\"message\":\"too many tokens\"}\n\n", usize::MAX);
    assert_eq!(decode_all(ours(), &bare).expect_err("an error").kind, FaultKind::ContextLength);
    assert_eq!(ours().scan().frame(&bare[0]).expect_err("an error").kind, FaultKind::ContextLength);
    let mut out = Vec::new();
    home().stream_encoder(&terms()).fault(&Fault::provider(FaultKind::Stalled, "slow"), &mut out);
    let text = String::from_utf8(out).expect("UTF-8");
    assert_eq!(
        text,
        "event: message-end\ndata: {\"type\":\"message-end\",\"delta\":{\"finish_reason\":\"ERROR\",\"error\":\"slow\"}}\n\n"
    );
    for word in ["ERROR", "TIMEOUT"] {
        let body = json!({"id": "a", "finish_reason": word, "message": {"content": []}});
        assert!(ours().scan_response(body.to_string().as_bytes()).is_err() && ours().decode_response(body).is_err());
    }
}

#[test]
fn what_breaks_the_wire_is_malformed() {
    let start = r#"{"type":"message-start","id":"a","delta":{}}"#;
    let bad = [
        vec![r#"{"type":"content-end","index":0}"#],
        vec![start, start],
        vec![
            start,
            r#"{"type":"tool-call-delta","index":0,"delta":{"message":{"tool_calls":{"function":{"arguments":"x"}}}}}"#,
        ],
        vec![start, r#"{"type":"message-end","delta":{}}"#],
        vec![start, "{\"type\":"],
        vec!["{}"],
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
        assert!(notes.contains(&FrameNote::Content) && notes.contains(&FrameNote::End));
        assert_eq!(scan.close(), Some(b"".as_slice()));
        let unary = ours().scan_response(whole.as_bytes()).expect("complete");
        for seen in [scan.seen(), &unary] {
            assert_eq!(seen.id.as_deref(), Some(answer.head.id.as_str()));
            assert_eq!((&seen.usage, seen.stop), (&answer.usage, Some(answer.choices[0].stop.reason)));
            assert!(seen.ended);
        }
    }
    let slow = br#"{"id":"x","message":"You are past the limit"}"#;
    assert_eq!(ours().scan_response(slow).expect_err("error").kind, FaultKind::Server);
    for body in [b"<html>hello</html>".as_slice(), b"{}", b"[1]", b"", br#"{"message":{}}"#] {
        assert_eq!(ours().scan_response(body).expect_err("none").kind, FaultKind::Malformed);
    }
}

#[test]
fn every_stop_word_keeps_its_meaning() {
    let table = [
        ("COMPLETE", StopReason::End),
        ("STOP_SEQUENCE", StopReason::StopSequence),
        ("MAX_TOKENS", StopReason::Length),
        ("TOOL_CALL", StopReason::ToolCalls),
    ];
    for (word, reason) in table {
        let body = json!({"id": "a", "finish_reason": word, "message": {"content": [{"type": "text", "text": "x"}]}});
        let mut answer = ours().decode_response(body).expect("an answer");
        assert_eq!(answer.choices[0].stop.reason, reason);
        for origin in [answer.head.origin, None] {
            answer.head.origin = origin;
            assert_eq!(home().encode_response(&answer, &terms())["finish_reason"], word);
        }
    }
}

#[test]
fn a_look_finds_what_policy_needs() {
    let look = |text: &str| home().peek(&Params::default(), text.as_bytes()).expect("valid");
    let plain = look(REQUESTS[0]);
    let at = plain.model_at.expect("in the body");
    assert_eq!((&REQUESTS[0][at], plain.model.as_deref()), ("\"command-a-03-2025\"", Some("command-a-03-2025")));
    assert!(plain.stream && plain.stream_usage && plain.facets.logprobs && !plain.facets.tools);
    assert_eq!(plain.facets.max_output_tokens, Some(100));
    assert!(look(REQUESTS[1]).facets.tools);
    let rag = look(REQUESTS[2]).facets;
    assert!(rag.images && rag.reasoning && !rag.structured);
    let format = look(REQUESTS[3]).facets;
    assert!(format.structured && !format.reasoning);
    for (body, path) in [
        (r#"{"messages":[]}"#, "model"),
        (r#"{"model":"a"}"#, "messages"),
        (r#"{"model":"a","messages":{}}"#, "messages"),
        (r#"{"model":"a","model":"b","messages":[]}"#, "model"),
        ("[]", "body"),
    ] {
        assert_eq!(home().peek(&Params::default(), body.as_bytes()).expect_err("bad").path, path);
    }
}

#[test]
fn a_tool_loop_goes_to_chat() {
    let request = read("cohere-v2", json_of(REQUESTS[1]));
    assert_eq!(request.tool_choice, Some(ToolChoice::Required));
    let encoded = protocol("openai-chat").encode_request(&request, &target(&request));
    let body = &encoded.body;
    let roles: Vec<_> = body["messages"].as_array().expect("list").iter().map(|m| m["role"].as_str()).collect();
    assert_eq!(roles, [Some("user"), Some("assistant"), Some("tool"), Some("tool")]);
    assert_eq!(body["messages"][2]["content"], "{\"temperature\": \"20C\"}");
    assert_eq!(body["messages"][3]["content"][0]["text"], "{\"temperature\":\"25C\"}");
    assert_eq!((&body["tools"][0]["function"]["strict"], &body["tool_choice"]), (&Value::Null, &json!("required")));
    // The plan is thinking, for which OpenAI has no place; strict schemas are closed there.
    assert_eq!(
        lost(&encoded),
        ["messages[1].content[0]", "messages[2].content[0].content[0].document.id", "~tools[0].strict"]
    );
    let rag = read("cohere-v2", json_of(REQUESTS[2]));
    assert_eq!(rag.reasoning.as_ref().and_then(|reasoning| reasoning.budget_tokens), Some(512));
    let encoded = protocol("openai-chat").encode_request(&rag, &target(&rag));
    let names = lost(&encoded);
    for name in [
        "citation_options",
        "documents",
        "messages[1].citations",
        "messages[1].content[1].citations",
        "~reasoning.budget_tokens",
    ] {
        assert!(names.iter().any(|lost| lost == name), "{name} in {names:?}");
    }
}

#[test]
fn a_chat_request_comes_from_abroad() {
    let encoded = from_chat(json!({
        "model": "command-a-03-2025",
        "messages": [
            {"role": "developer", "content": "Be brief."},
            {"role": "user", "name": "ann", "content": [
                {"type": "text", "text": "What is this?"},
                {"type": "image_url", "image_url": {"url": "data:image/png;base64,iVBO", "detail": "low"}},
                {"type": "file", "file": {"filename": "a.pdf", "file_data": "data:application/pdf;base64,JVBERi0="}},
            ]},
            {"role": "assistant", "reasoning_content": "hm", "content": null, "tool_calls": [
                {"id": "a", "type": "function", "function": {"name": "f", "arguments": "{\"a\": 1}"}},
            ]},
            {"role": "tool", "tool_call_id": "a", "content": "one"},
            {"role": "user", "content": "And now?"},
        ],
        "tools": [
            {"type": "function", "function": {"name": "f", "strict": true}},
            {"type": "function", "function": {"name": "g"}},
        ],
        "tool_choice": {"type": "function", "function": {"name": "f"}}, "parallel_tool_calls": false,
        "temperature": 1.5, "top_p": 1.0, "presence_penalty": -1, "seed": 7, "n": 2, "max_tokens": 9,
        "stop": ["1", "2", "3", "4"], "user": "u", "metadata": {"a": "b"}, "service_tier": "auto", "stream": true,
    }));
    let body = &encoded.body;
    let messages = body["messages"].as_array().expect("list");
    assert_eq!(messages[0], json!({"role": "system", "content": "Be brief."}));
    assert_eq!(
        messages[1]["content"][1],
        json!({"type": "image_url", "image_url": {"url": "data:image/png;base64,iVBO", "detail": "low"}})
    );
    assert_eq!(messages[2]["content"], json!([{"type": "thinking", "thinking": "hm"}]));
    assert_eq!(messages[2]["tool_calls"][0]["function"]["arguments"], "{\"a\": 1}");
    assert_eq!(messages[3], json!({"role": "tool", "tool_call_id": "a", "content": "one"}));
    assert_eq!(
        body["tools"],
        json!([{"type": "function", "function": {"name": "f", "parameters": {"type": "object", "properties": {}}}}])
    );
    assert_eq!((&body["strict_tools"], &body["tool_choice"]), (&json!(true), &json!("REQUIRED")));
    assert_eq!((&body["p"], &body["presence_penalty"], &body["max_tokens"]), (&json!(0.99), &json!(0.0), &json!(9)));
    assert_eq!((&body["stop_sequences"], &body["stream"]), (&json!(["1", "2", "3", "4"]), &json!(true)));
    assert!(body.get("stream_options").is_none());
    assert_eq!(
        lost(&encoded),
        [
            "=tool_choice",
            "=tools[1]",
            "messages[1].content[2]",
            "messages[1].name",
            "metadata",
            "n",
            "parallel_tool_calls",
            "user",
            "~presence_penalty",
            "~top_p",
        ]
    );
}

#[test]
fn what_a_tool_says_beside_results_is_named() {
    let body = json!({"model": "m", "messages": [
        {"role": "user", "content": "Time?"},
        {"role": "assistant", "content": null, "function_call": {"name": "now", "arguments": "{}"}},
        {"role": "function", "name": "now", "content": "12:00"},
    ]});
    let losses = lost(&from_chat(body));
    assert!(losses.contains(&"messages[2].content[0]".to_owned()), "{losses:?}");
}

#[test]
fn thinking_comes_from_abroad() {
    let ask = |reasoning: Reasoning| {
        let mut request = read("openai-chat", json!({"model": "m", "messages": [{"role": "user", "content": "a"}]}));
        request.reasoning = Some(reasoning);
        ours().encode_request(&request, &target(&request))
    };
    let effort = |effort| Reasoning { effort: Some(effort), ..Reasoning::default() };
    let off = ask(effort(Effort::None));
    assert_eq!((&off.body["thinking"], lost(&off).len()), (&json!({"type": "disabled"}), 0));
    let on = ask(effort(Effort::High));
    assert_eq!((&on.body["thinking"], lost(&on)), (&json!({"type": "enabled"}), vec!["~reasoning.effort".to_owned()]));
    let budget = ask(Reasoning { budget_tokens: Some(99), ..Reasoning::default() });
    assert_eq!(budget.body["thinking"], json!({"type": "enabled", "token_budget": 99}));
    // A signature means nothing here.
    let mut request =
        read("openai-chat", json!({"model": "m", "messages": [{"role": "assistant", "reasoning_content": "hm"}]}));
    if let Part::Reasoning { seal, .. } = &mut request.messages[0].parts[0] {
        *seal = Some(Seal { data: "s".to_owned(), redacted: false, signer: Some("cohere".to_owned()) });
    }
    assert_eq!(lost(&ours().encode_request(&request, &target(&request))), ["messages[0].content[0].signature"]);
}

#[test]
fn structured_output_goes_to_and_fro() {
    let schema = json!({"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"]});
    let encoded = from_chat(json!({
        "model": "m", "messages": [{"role": "user", "content": "a"}],
        "response_format": {"type": "json_schema", "json_schema": {"name": "N", "schema": schema, "strict": true}},
    }));
    let format = &encoded.body["response_format"];
    assert_eq!((&format["type"], &format["json_schema"]["title"]), (&json!("json_object"), &json!("N")));
    assert_eq!(encoded.losses, []);
    let request = read("cohere-v2", json_of(REQUESTS[3]));
    let chat = protocol("openai-chat").encode_request(&request, &target(&request));
    assert_eq!(chat.body["response_format"]["json_schema"]["schema"]["required"], json!(["name"]));
}

#[test]
fn a_chat_stream_becomes_events() {
    let chunk = |delta: Value, finish: Value| {
        let choice = json!({"index": 0, "delta": delta, "finish_reason": finish});
        format!("data: {}\n\n", json!({"id": "c", "model": "m", "choices": [choice]}))
    };
    let call = |index: u32, id: &str, arguments: &str| json!({"tool_calls": [{"index": index, "id": id, "function": {"name": "f", "arguments": arguments}}]});
    let text = [
        chunk(json!({"role": "assistant", "reasoning_content": "hm"}), Value::Null),
        chunk(json!({"content": "Let me see."}), Value::Null),
        chunk(call(0, "a", "{\"x\":"), Value::Null),
        chunk(call(1, "b", ""), Value::Null),
        chunk(json!({"tool_calls": [{"index": 0, "function": {"arguments": "1}"}}]}), Value::Null),
        chunk(json!({}), json!("tool_calls")),
        "data: [DONE]\n\n".to_owned(),
    ]
    .concat();
    let events = decode_all(protocol("openai-chat"), &frames(text.as_bytes(), usize::MAX)).expect("good");
    let out = written(home(), &events, &terms());
    let names = check_grammar(&out);
    assert_eq!(names.iter().filter(|name| *name == "tool-call-start").count(), 2);
    assert_eq!(names.iter().filter(|name| *name == "content-start").count(), 2);
    let answer: Response = fold(&decode_all(ours(), &frames(&out, 9)).expect("ours")).expect("complete");
    assert_eq!((answer.head.id.as_str(), answer.choices[0].stop.reason), ("c", StopReason::ToolCalls));
    let arguments: Vec<&str> = answer.choices[0]
        .parts
        .iter()
        .filter_map(|part| match part {
            Part::ToolCall { arguments, .. } => Some(arguments.as_str()),
            _ => None,
        })
        .collect();
    assert_eq!(arguments, ["{\"x\":1}", "{}"]);
}

#[test]
fn faults_are_told_in_the_wires_shape() {
    for (fault, status) in [
        (Fault::client(FaultKind::Invalid, "x"), 400),
        (Fault::client(FaultKind::Unauthenticated, "x"), 401),
        (Fault::provider(FaultKind::RateLimited, "x"), 429),
        (Fault::provider(FaultKind::Overloaded, "x"), 503),
    ] {
        let (got, body) = home().encode_fault(&fault);
        assert_eq!((got, body["message"].as_str()), (status, Some("x")));
    }
    let refused = ours().decode_fault(401, br#"{"message":"invalid api token sk-secret"}"#);
    assert!(!home().encode_fault(&refused).1.to_string().contains("sk-secret"));
}

const WORDS: &[&str] = &["text", "thinking", "document", "image_url", "user", "tool", "assistant", "function"];

const KEYS: &[&str] = &[
    "type",
    "content",
    "role",
    "text",
    "thinking",
    "id",
    "function",
    "name",
    "arguments",
    "tool_calls",
    "tool_plan",
    "citations",
    "document",
    "data",
    "image_url",
    "url",
    "tool_call_id",
    "message",
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
        let request = read("cohere-v2", body.clone());
        let encoded = ours().encode_request(&request, &target(&request));
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
        prop_assert_eq!(&again.choices[0].parts, &answer.choices[0].parts);
    }

    #[test]
    fn abroad_every_planted_field_is_named(seeds in seeds(4)) {
        let mut body = json_of(REQUESTS[0]);
        plant(&mut body, &seeds);
        let request = read("cohere-v2", body);
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
        let _ = home().peek(&Params::default(), text.as_bytes());
        let _ = home().peek(&Params::default(), body.to_string().as_bytes());
        let _ = ours().decode_response(json!({"finish_reason": "COMPLETE", "message": body, "logprobs": body, "usage": body}));
        let _ = ours().scan_response(body.to_string().as_bytes());
        let _ = ours().decode_fault(400, body.to_string().as_bytes());
        let user = json!({"role": "user", "content": [body.clone()]});
        let request = json!({"model": "m", "messages": [user, body], "tools": [body]});
        for request in [body.clone(), request, json!({"model": "m", "messages": [{"role": "assistant", "content": [body], "citations": [body]}]})] {
            if let Ok(request) = home().decode_request(&Params::default(), request) {
                for protocol in wire::PROTOCOLS {
                    let _ = protocol.encode_request(&request, &target(&request));
                }
            }
        }
    }

    #[test]
    fn no_stream_panics(bodies in prop::collection::vec(any_json(), 1..6), kinds in prop::collection::vec(0..8_usize, 1..6)) {
        let names = ["content-start", "content-delta", "tool-plan-delta", "tool-call-start", "tool-call-delta", "citation-start", "message-end", "other"];
        let (mut decoder, mut scan, mut events) = (ours().stream_decoder(), ours().scan(), Vec::new());
        let start = json!({"type": "message-start", "id": "a"});
        let more = kinds.iter().zip(&bodies).map(|(kind, body)| {
            let message = json!({"content": body, "tool_calls": body, "tool_plan": body, "citations": body});
            json!({"type": names[*kind], "index": 0, "delta": {"message": message, "finish_reason": "COMPLETE"}})
        });
        for value in std::iter::once(start).chain(more) {
            for frame in frames(format!("data: {value}\n\n").as_bytes(), usize::MAX) {
                let _ = decoder.frame(&frame, &mut events);
                let _ = scan.frame(&frame);
            }
        }
        decoder.end(&mut events);
        // What is no part of the wire passes whole, so the grammar is not asked.
        let _ = written(home(), &events, &terms());
    }
}

#[test]
fn what_the_api_refuses_is_not_said() {
    let schema = json!({"type": "json_schema", "json_schema": {"name": "n", "schema": {"type": "object"}}});
    let encoded = from_chat(json!({
        "model": "command-a-03-2025", "seed": -7, "response_format": schema,
        "messages": [{"role": "user", "content": "hi"}],
        "tools": [{"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}],
    }));
    assert_eq!((encoded.body.get("seed"), encoded.body.get("response_format")), (None, None));
    assert_eq!(lost(&encoded), ["response_format", "seed"]);
    // An assistant of whose turn nothing is left says nothing.
    let encoded = from_chat(json!({
        "model": "command-a-03-2025",
        "messages": [
            {"role": "user", "content": "hi"},
            {"role": "assistant", "content": null, "function_call": {"name": "f", "arguments": "{}"}},
            {"role": "user", "content": "and?"},
        ],
    }));
    assert_eq!(encoded.body["messages"].as_array().map(Vec::len), Some(2));
}

#[test]
fn an_answer_that_a_filter_ended_is_no_error_of_the_server() {
    let body = json!({
        "id": "c", "object": "chat.completion", "created": 1, "model": "m",
        "choices": [{"index": 0, "finish_reason": "content_filter", "message": {"role": "assistant", "content": "ha"}}],
    });
    let answer = protocol("openai-chat").decode_response(body).expect("an answer");
    let told = home().encode_response(&answer, &StreamTerms::default());
    assert_eq!(told["finish_reason"], "ERROR_TOXIC");
    let again = protocol("cohere-v2").decode_response(told).expect("an answer");
    assert_eq!(again.choices[0].stop.reason, StopReason::ContentFilter);
}

#[test]
fn nothing_follows_the_end_whatever_a_server_sends_behind_it() {
    let event = |body: &str| format!("event: x\ndata: {body}\n\n");
    let stream = [
        r#"{"type":"message-start","id":"1","delta":{"message":{"role":"assistant"}}}"#,
        r#"{"type":"content-start","index":0,"delta":{"message":{"content":{"type":"text","text":"hi"}}}}"#,
        r#"{"type":"message-end","delta":{"finish_reason":"COMPLETE"}}"#,
        r#"{"type":"content-delta","index":0,"delta":{"message":{"content":{"text":"more"}}}}"#,
        r#"{"type":"message-end","delta":{"finish_reason":"COMPLETE"}}"#,
    ];
    let bytes: String = stream.into_iter().map(event).collect();
    let frames = canon::wire::frames_in(canon::wire::Framing::Sse, bytes.into());
    let protocol = canon::wire::protocol("cohere-v2").expect("listed");
    let events = canon::wire::decode_all(protocol, &frames).expect("a complete answer");
    assert!(matches!(events.last(), Some(canon::Event::Finish(_))), "{events:?}");
    assert_eq!(canon::answer::fold(&events).expect("complete").text(), "hi");
}
