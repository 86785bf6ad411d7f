//! OpenAI Responses, both roles: home again nothing is lost, abroad the essence stays and the rest is named, and a
//! stream and its unary twin are one answer.

use crate::common::{self, dialect, frames, losses, protocol, written};
use bytes::Bytes;
use canon::answer::fold;
use canon::frame::SseReader;
use canon::wire::{Encoded, FrameNote, Params, StreamTerms, Target, decode_all};
use canon::{Event, FaultKind, Part, Request, Response, Role, Seal, StopReason};
use proptest::prelude::*;
use serde_json::{Value, json};
use std::path::PathBuf;
use std::sync::Arc;

const WIRE: &str = "openai-responses";
const CHAT: &str = "openai-chat";
const STREAMS: [&str; 8] =
    ["text", "functions", "reasoning", "thoughts", "refusal", "incomplete", "search", "logprobs"];
const REQUESTS: [&str; 7] = ["text", "media", "functions", "structured", "state", "turns", "codex"];

fn data(file: &str) -> Vec<u8> {
    let root = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
    let path = match file.split_once('-') {
        Some((kind @ ("request" | "answer" | "stream"), name)) => {
            root.join("../testkit/fixtures/openai-responses").join(kind).join(name)
        }
        _ => root.join("tests/wires/data/openai_responses").join(file),
    };
    std::fs::read(path).expect("fixture")
}

fn fixture(file: &str) -> Value {
    serde_json::from_slice(&data(file)).expect("JSON")
}

fn read(name: &str, body: &Value) -> Request {
    dialect(name).decode_request(&Params::default(), body.clone()).expect("valid")
}

fn write(name: &str, request: &Request) -> Encoded {
    let target = Target { model: request.model.clone(), signer: "me".to_owned(), ..Target::default() };
    protocol(name).encode_request(request, &target)
}

fn answer(name: &str) -> Response {
    protocol(WIRE).decode_response(fixture(&format!("answer-{name}.json"))).expect("valid")
}

fn events(name: &str) -> Vec<Event> {
    decode_all(protocol(WIRE), &frames(&data(&format!("stream-{name}.sse")), usize::MAX)).expect("valid")
}

/// Whether everything that `old` says is in `new`; null says nothing, and one plain text may be a string.
fn covers(old: &Value, new: &Value, path: &str) -> Result<(), String> {
    match (old, new) {
        (Value::Object(old), Value::Object(new)) => old
            .iter()
            .filter(|(_, value)| !value.is_null())
            .try_for_each(|(key, value)| covers(value, new.get(key).unwrap_or(&Value::Null), &format!("{path}.{key}"))),
        (Value::Array(old), Value::Array(new)) if old.len() == new.len() => {
            old.iter().zip(new).enumerate().try_for_each(|(i, (a, b))| covers(a, b, &format!("{path}[{i}]")))
        }
        (Value::Array(old), Value::String(text)) if old.len() == 1 && old[0]["text"] == json!(text) => Ok(()),
        (Value::Array(old), Value::String(text)) if old.len() == 1 => covers(&old[0]["content"], &json!(text), path),
        (old, new) if old == new => Ok(()),
        (old, new) => Err(format!("{path}: {old} became {new}")),
    }
}

fn assert_home(body: &Value) -> Result<(), String> {
    let request = read(WIRE, body);
    let encoded = write(WIRE, &request);
    covers(body, &encoded.body, "")?;
    if !encoded.losses.is_empty() {
        return Err(format!("{:?}", encoded.losses));
    }
    if read(WIRE, &encoded.body) != request {
        return Err("read again it is another request".to_owned());
    }
    Ok(())
}

#[test]
fn requests_come_home() {
    for name in REQUESTS {
        assert_home(&fixture(&format!("request-{name}.json"))).unwrap_or_else(|problem| panic!("{name}: {problem}"));
    }
}

#[test]
fn answers_come_home() {
    for name in STREAMS {
        let body = fixture(&format!("answer-{name}.json"));
        let decoded = answer(name);
        let again = dialect(WIRE).encode_response(&decoded, &StreamTerms::default());
        covers(&body, &again, "").unwrap_or_else(|problem| panic!("{name}: {problem}"));
        assert_eq!(protocol(WIRE).decode_response(again).expect("valid"), decoded, "{name}");
    }
}

/// Plants `key: 1` in the `place`-th object of `value` (objects that are data of the client's own are left alone).
fn plant(value: &mut Value, place: &mut usize, key: &str) -> bool {
    match value {
        Value::Object(map) => {
            if *place == 0 {
                map.insert(key.to_owned(), json!({"planted": [1, "two"]}));
                return true;
            }
            *place -= 1;
            map.iter_mut()
                .filter(|(name, _)| *name != "top_logprobs")
                .any(|(name, inner)| name != "logprobs" && plant(inner, place, key))
        }
        Value::Array(list) => list.iter_mut().any(|inner| plant(inner, place, key)),
        _ => false,
    }
}

const WORDS: &[&str] = &[
    "type",
    "message",
    "role",
    "user",
    "assistant",
    "content",
    "id",
    "text",
    "format",
    "output_text",
    "function_call",
    "summary",
];

/// Any JSON, with this wire's own words in it.
fn any_json() -> impl Strategy<Value = Value> {
    common::any_json(WORDS, WORDS)
}

proptest! {
    #[test]
    fn planted_fields_come_home(file in prop::sample::select(REQUESTS.to_vec()), mut place in 0_usize..60, key in "zz_[a-z]{3}") {
        let mut body = fixture(&format!("request-{file}.json"));
        plant(&mut body, &mut place, &key);
        prop_assert_eq!(assert_home(&body), Ok(()));
    }

    #[test]
    fn planted_fields_are_named_abroad(file in prop::sample::select(REQUESTS.to_vec()), key in "zz_[a-z]{3}") {
        let mut body = fixture(&format!("request-{file}.json"));
        body[&key] = json!(1);
        let encoded = write(CHAT, &read(WIRE, &body));
        prop_assert!(losses(&encoded).contains(&key));
        prop_assert!(!encoded.body.to_string().contains("~home"));
    }

    #[test]
    fn planted_fields_of_answers_come_home(file in prop::sample::select(STREAMS.to_vec()), mut place in 0_usize..30, key in "zz_[a-z]{3}") {
        let mut body = fixture(&format!("answer-{file}.json"));
        plant(&mut body, &mut place, &key);
        let decoded = protocol(WIRE).decode_response(body.clone()).expect("valid");
        let again = dialect(WIRE).encode_response(&decoded, &StreamTerms::default());
        prop_assert_eq!(covers(&body, &again, ""), Ok(()));
        let abroad = dialect(CHAT).encode_response(&decoded, &StreamTerms::default()).to_string();
        prop_assert!(!abroad.contains("zz_") && !abroad.contains("~home"));
    }

    #[test]
    fn where_bytes_break_does_not_matter(file in prop::sample::select(STREAMS.to_vec()), cuts in prop::collection::vec(1_usize..400, 0..40)) {
        let bytes = data(&format!("stream-{file}.sse"));
        let (mut reader, mut frames, mut rest) = (SseReader::default(), Vec::new(), bytes.as_slice());
        for cut in cuts {
            let (head, tail) = rest.split_at(cut.min(rest.len()));
            reader.push(Bytes::copy_from_slice(head), &mut frames).expect("small");
            rest = tail;
        }
        reader.push(Bytes::copy_from_slice(rest), &mut frames).expect("small");
        reader.finish(&mut frames);
        prop_assert_eq!(decode_all(protocol(WIRE), &frames).expect("valid"), events(file));
    }

    #[test]
    fn no_body_panics(value in any_json(), key in prop::sample::select(vec!["input", "tools", "text", "reasoning", "include", "output", "usage", "response", "item", "part"])) {
        let (dialect, protocol) = (dialect(WIRE), protocol(WIRE));
        for body in [value.clone(), json!({"model": "m", "input": "x", (key): value.clone()}), json!({"model": "m", "input": [value.clone()]}),
                     json!({"status": "completed", "output": [value.clone()], (key): value.clone()})] {
            let bytes = serde_json::to_vec(&body).expect("JSON");
            let _ = dialect.peek(&Params::default(), &bytes);
            let _ = protocol.scan_response(&bytes);
            let _ = protocol.decode_fault(400, &bytes);
            if let Ok(request) = dialect.decode_request(&Params::default(), body.clone()) {
                write(WIRE, &request);
                write(CHAT, &request);
            }
            if let Ok(answer) = protocol.decode_response(body) {
                dialect.encode_response(&answer, &StreamTerms::default());
                written(dialect, &answer.unfold(), &StreamTerms::default());
            }
        }
    }

    #[test]
    fn no_frame_panics(steps in prop::collection::vec((prop::sample::select(FRAMES.to_vec()), any_json(), 0_u32..4), 0..12)) {
        let mut decoder = protocol(WIRE).stream_decoder();
        let mut scan = protocol(WIRE).scan();
        let mut encoder = dialect(WIRE).stream_encoder(&StreamTerms::default());
        let (mut events, mut out) = (Vec::new(), Vec::new());
        let kinds = ["message", "reasoning", "function_call", "x_call"];
        for (name, value, index) in steps {
            let item = json!({"type": kinds[index as usize], "role": "assistant",
                "call_id": "c", "name": "n", "id": "i", "content": value});
            let body = json!({"type": name, "output_index": index, "item": item, "part": {"type": "output_text", "text": "t"},
                "delta": "é", "text": "éa", "response": if name.contains("text") { Value::Null } else { json!({"status": "completed", "output": []}) }});
            let frame = frames(format!("data: {body}\n\n").as_bytes(), usize::MAX).remove(0);
            let _ = scan.frame(&frame);
            let _ = decoder.frame(&frame, &mut events);
        }
        events.iter().for_each(|event| encoder.event(event, &mut out));
        prop_assert!(String::from_utf8(out).is_ok());
    }
}

const FRAMES: [&str; 12] = [
    "response.created",
    "response.output_item.added",
    "response.output_item.done",
    "response.content_part.added",
    "response.content_part.done",
    "response.output_text.delta",
    "response.output_text.done",
    "response.reasoning_text.delta",
    "response.reasoning_summary_text.delta",
    "response.function_call_arguments.delta",
    "response.x_call.searching",
    "response.incomplete",
];

#[test]
fn a_stream_and_its_unary_twin_are_one_answer() {
    for name in STREAMS {
        assert_eq!(fold(&events(name)).expect("finished"), answer(name), "{name}");
    }
}

#[test]
fn a_stream_is_the_twin_of_its_unfolded_answer() {
    for name in STREAMS {
        let bytes = written(dialect(WIRE), &answer(name).unfold(), &StreamTerms::default());
        let again = decode_all(protocol(WIRE), &frames(&bytes, usize::MAX)).expect("valid");
        assert_eq!(fold(&again).expect("finished"), answer(name), "{name}");
    }
}

/// Checks order, numbers and places of a stream, and that each item is told in full.
fn check_grammar(bytes: &[u8]) -> Vec<String> {
    let (mut names, mut open, mut part): (Vec<String>, Option<(u64, String)>, Option<u64>) = (Vec::new(), None, None);
    let mut items = 0;
    for (number, frame) in frames(bytes, usize::MAX).iter().enumerate() {
        let body: Value = serde_json::from_slice(&frame.data).expect("JSON");
        let name = body["type"].as_str().expect("type").to_owned();
        assert_eq!(frame.event, name.as_bytes());
        assert_eq!(body["sequence_number"], json!(number), "{name}");
        let place = body["output_index"].as_u64();
        match name.as_str() {
            "response.output_item.added" => {
                assert!(open.is_none(), "two items are open");
                assert_eq!(place, Some(items));
                open = Some((items, body["item"]["id"].as_str().expect("id").to_owned()));
            }
            "response.output_item.done" => {
                let (index, id) = open.take().expect("an open item");
                assert!(part.is_none(), "a part is open");
                assert_eq!((place, body["item"]["id"].as_str()), (Some(index), Some(id.as_str())));
                items += 1;
            }
            "response.content_part.added" | "response.reasoning_summary_part.added" => {
                assert!(part.replace(number as u64).is_none(), "two parts are open");
            }
            "response.content_part.done" | "response.reasoning_summary_part.done" => {
                part.take().expect("an open part");
            }
            _ => {}
        }
        if let Some(id) = body["item_id"].as_str() {
            assert_eq!(open.as_ref().map(|(index, known)| (Some(*index), known.as_str())), Some((place, id)), "{name}");
        }
        names.push(name);
    }
    assert!(open.is_none());
    assert_eq!(names.first().map(String::as_str), Some("response.created"));
    names
}

#[test]
fn streams_written_again_keep_ids_order_and_content() {
    for name in STREAMS {
        let bytes = written(dialect(WIRE), &events(name), &StreamTerms::default());
        check_grammar(&bytes);
        let again = decode_all(protocol(WIRE), &frames(&bytes, usize::MAX)).expect("valid");
        assert_eq!(fold(&again).expect("finished"), answer(name), "{name}");
        let last = frames(&bytes, usize::MAX).pop().expect("a last frame");
        let body: Value = serde_json::from_slice(&last.data).expect("JSON");
        covers(&fixture(&format!("answer-{name}.json")), &body["response"], name).expect("whole response at the end");
    }
}

#[test]
fn a_cut_stream_never_claims_success() {
    for name in STREAMS {
        let all = frames(&data(&format!("stream-{name}.sse")), usize::MAX);
        for cut in 0..all.len() {
            let events = decode_all(protocol(WIRE), &all[..cut]).expect("valid");
            assert!(!events.iter().any(|event| matches!(event, Event::Finish(_))), "{name} cut at {cut}");
            let mut scan = protocol(WIRE).scan();
            for frame in &all[..cut] {
                assert_ne!(scan.frame(frame).expect("valid"), FrameNote::End);
            }
            assert_eq!(scan.close(), None, "{name} cut at {cut}");
        }
    }
}

#[test]
fn untouched_answers_are_seen_as_they_are() {
    for name in STREAMS {
        let whole = answer(name);
        let mut scan = protocol(WIRE).scan();
        let mut content = false;
        for frame in &frames(&data(&format!("stream-{name}.sse")), usize::MAX) {
            content |= scan.frame(frame).expect("valid") == FrameNote::Content;
        }
        assert!(content, "{name}");
        assert_eq!(scan.close(), Some(b"".as_slice()));
        let unary = protocol(WIRE).scan_response(&data(&format!("answer-{name}.json"))).expect("complete");
        assert_eq!(*scan.seen(), unary, "{name}");
        assert_eq!(unary.id.as_deref(), Some(whole.head.id.as_str()));
        assert_eq!((unary.usage, unary.stop), (whole.usage.clone(), Some(whole.choices[0].stop.reason)), "{name}");
    }
    let bad = [
        (
            r#"{"status":"failed","error":{"code":"rate_limit_exceeded","message":"x"},"output":[]}"#,
            FaultKind::RateLimited,
        ),
        (r#"{"status":"in_progress","output":[]}"#, FaultKind::Malformed),
        ("<html>", FaultKind::Malformed),
        ("{}", FaultKind::Malformed),
    ];
    for (body, kind) in bad {
        assert_eq!(protocol(WIRE).scan_response(body.as_bytes()).expect_err("no answer").kind, kind, "{body}");
    }
}

#[test]
fn failures_inside_a_stream_are_failures() {
    for (file, kind) in [("failed-object", FaultKind::RateLimited), ("failed-error", FaultKind::Server)] {
        let all = frames(&data(&format!("{file}.sse")), usize::MAX);
        assert_eq!(decode_all(protocol(WIRE), &all).expect_err("failed").kind, kind, "{file}");
        let mut scan = protocol(WIRE).scan();
        let found = all.iter().find_map(|frame| scan.frame(frame).err()).expect("failed");
        assert_eq!(found.kind, kind);
        assert_eq!(scan.close(), None);
        // Written for a client it is a failed response after a created one, and nothing follows.
        let mut out = Vec::new();
        dialect(WIRE).stream_encoder(&StreamTerms::default()).fault(&found, &mut out);
        let names = check_grammar(&out);
        assert_eq!(names.last().map(String::as_str), Some("response.failed"));
        assert!(decode_all(protocol(WIRE), &frames(&out, usize::MAX)).is_err());
    }
}

#[test]
fn stops_are_told_apart() {
    let reasons = STREAMS.map(|name| answer(name).choices[0].stop.reason);
    let wanted = [
        StopReason::End,
        StopReason::ToolCalls,
        StopReason::End,
        StopReason::End,
        StopReason::Refusal,
        StopReason::Length,
        StopReason::End,
        StopReason::End,
    ];
    assert_eq!(reasons, wanted);
}

#[test]
fn interleaved_items_are_told_one_after_the_other() {
    let call = |index: u32, args: &str, status: &str| json!({"type": "function_call", "id": format!("fc_{index}"), "call_id": format!("call_{index}"), "name": "f", "arguments": args, "status": status});
    let bodies = [
        json!({"type": "response.output_item.added", "output_index": 0, "item": call(0, "", "in_progress")}),
        json!({"type": "response.output_item.added", "output_index": 1, "item": call(1, "", "in_progress")}),
        json!({"type": "response.function_call_arguments.delta", "output_index": 1, "delta": "{\"b\""}),
        json!({"type": "response.function_call_arguments.delta", "output_index": 0, "delta": "{\"a\":1}"}),
        json!({"type": "response.function_call_arguments.delta", "output_index": 1, "delta": ":2}"}),
        json!({"type": "response.output_item.done", "output_index": 1, "item": call(1, "{\"b\":2}", "completed")}),
        json!({"type": "response.output_item.done", "output_index": 0, "item": call(0, "{\"a\":1}", "completed")}),
        json!({"type": "response.completed", "response": {"status": "completed", "output": [call(0, "{\"a\":1}", "completed"), call(1, "{\"b\":2}", "completed")]}}),
    ];
    let text: String = bodies.iter().map(|body| format!("data: {body}\n\n")).collect();
    let events = decode_all(protocol(WIRE), &frames(text.as_bytes(), usize::MAX)).expect("valid");
    check_grammar(&written(dialect(WIRE), &events, &StreamTerms::default()));
    let folded = fold(&events).expect("finished");
    let arguments: Vec<&str> = folded.choices[0]
        .parts
        .iter()
        .map(|part| if let Part::ToolCall { arguments, .. } = part { arguments.as_str() } else { "" })
        .collect();
    assert_eq!(arguments, ["{\"a\":1}", "{\"b\":2}"]);
}

#[test]
fn an_engine_that_tells_only_the_end_is_understood() {
    let text =
        format!("data: {}\n\n", json!({"type": "response.completed", "response": fixture("answer-functions.json")}));
    let events = decode_all(protocol(WIRE), &frames(text.as_bytes(), usize::MAX)).expect("valid");
    assert_eq!(fold(&events).expect("finished"), answer("functions"));
}

#[test]
fn a_look_finds_what_policy_needs() {
    let peek = |file: &str| dialect(WIRE).peek(&Params::default(), &data(file)).expect("valid");
    let codex = peek("request-codex.json");
    assert_eq!(codex.model.as_deref(), Some("gpt-5-codex"));
    assert!(codex.stream && codex.stream_usage && codex.facets.tools && codex.facets.reasoning && !codex.facets.state);
    let media = peek("request-media.json").facets;
    assert!(media.images && media.documents && !media.audio && !media.tools);
    let structured = peek("request-structured.json").facets;
    assert!(structured.structured && structured.logprobs);
    assert_eq!(structured.max_output_tokens, Some(512));
    assert!(peek("request-state.json").facets.state && peek("request-turns.json").facets.state);
    let bad: [(&[u8], &str); 6] = [
        (b"[]", "body"),
        (b"{\"input\":\"x\"}", "model"),
        (b"{\"model\":\"a\"}", "input"),
        (b"{\"model\":\"a\",\"input\":null}", "input"),
        (b"{\"model\":\"a\",\"input\":7}", "input"),
        (b"{\"model\":\"a\",\"model\":\"b\",\"input\":\"x\"}", "model"),
    ];
    for (body, path) in bad {
        assert_eq!(dialect(WIRE).peek(&Params::default(), body).expect_err("bad").path, path);
    }
}

#[test]
fn codex_turns_read_as_turns() {
    let request = read(WIRE, &fixture("request-codex.json"));
    let roles: Vec<Role> = request.messages.iter().map(|message| message.role).collect();
    assert_eq!(roles, [Role::Developer, Role::Developer, Role::User, Role::Assistant, Role::Tool]);
    assert!(matches!(
        request.messages[3].parts.as_slice(),
        [Part::Reasoning { seal: Some(Seal { redacted: true, signer: None, .. }), .. }, Part::ToolCall { .. }]
    ));
    let encoded = write(CHAT, &request);
    assert_eq!(
        losses(&encoded),
        [
            "messages[3].content[0].signature",
            "messages[3].content[0]",
            "tools[1]",
            "tools[2]",
            "reasoning.summary",
            "client_metadata"
        ]
    );
    assert_eq!(encoded.body["prompt_cache_key"], json!("0199-aaaa"));
    assert_eq!(encoded.body["messages"][3]["tool_calls"][0]["id"], json!("call_1"));
    assert_eq!(encoded.body["messages"][4], json!({"role": "tool", "tool_call_id": "call_1", "content": "a.txt\n"}));
}

#[test]
fn everything_of_a_turn_is_said_or_named_on_chat() {
    let encoded = write(CHAT, &read(WIRE, &fixture("request-turns.json")));
    let lost = losses(&encoded);
    for path in [
        "messages[0].content[0].cache_control",
        "messages[2].content[2]",
        "messages[2].content[3].citations",
        "messages[2].content[4].item",
        "messages[2].content[7]",
        "messages[5]",
        "messages[6]",
        "tools[0].defer_loading",
        "tools[1]",
        "tools[2]",
        "tool_choice",
        "include",
    ] {
        assert!(lost.iter().any(|loss| loss.trim_start_matches(['~', '=']).starts_with(path)), "{path} of {lost:#?}");
    }
    let messages = encoded.body["messages"].as_array().expect("messages");
    let said = json!([{"type": "text", "text": "Let me look [1]."}, {"type": "refusal", "refusal": "Not the rest."}]);
    assert_eq!(messages[2]["content"], said);
    assert_eq!(messages[2]["tool_calls"].as_array().map(Vec::len), Some(2));
}

#[test]
fn chat_requests_are_said_in_full() {
    let chat = json!({
        "model": "m", "max_completion_tokens": 5, "temperature": 0.5, "n": 1, "seed": 3, "stop": ["x"], "logprobs": true,
        "top_logprobs": 2, "reasoning_effort": "high", "verbosity": "low", "prompt_cache_key": "k", "user": "u",
        "parallel_tool_calls": false, "tool_choice": {"type": "function", "function": {"name": "f"}}, "stream": true,
        "tools": [{"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}],
        "response_format": {"type": "json_schema", "json_schema": {"name": "s", "schema": {"type": "object"}, "strict": true}},
        "messages": [
            {"role": "system", "content": "Be kind."},
            {"role": "user", "name": "eve", "content": [{"type": "text", "text": "look"}, {"type": "image_url", "image_url": {"url": "https://e.x/i.png"}},
                {"type": "file", "file": {"file_data": "data:application/pdf;base64,JVBE"}}, {"type": "input_audio", "input_audio": {"format": "wav", "data": "AA=="}}]},
            {"role": "assistant", "reasoning_content": "hm", "content": "I call.", "tool_calls": [{"id": "call_1", "type": "function", "function": {"name": "f", "arguments": ""}}]},
            {"role": "tool", "tool_call_id": "call_1", "content": "done"},
        ],
    });
    let encoded = write(WIRE, &read(CHAT, &chat));
    let wanted = json!({
        "model": "m",
        "input": [
            {"type": "message", "role": "system", "content": "Be kind."},
            {"type": "message", "role": "user", "content": [
                {"type": "input_text", "text": "look"},
                {"type": "input_image", "image_url": "https://e.x/i.png", "detail": "auto"},
                {"type": "input_file", "file_data": "data:application/pdf;base64,JVBE", "filename": "document.pdf"}]},
            {"type": "message", "role": "assistant", "content": "I call."},
            {"type": "function_call", "call_id": "call_1", "name": "f", "arguments": "{}"},
            {"type": "function_call_output", "call_id": "call_1", "output": "done"},
        ],
        "tools": [{"type": "function", "name": "f", "parameters": {"type": "object"}, "strict": false}],
        "tool_choice": {"type": "function", "name": "f"},
        "parallel_tool_calls": false,
        "max_output_tokens": 16,
        "temperature": 0.5,
        "top_logprobs": 2,
        "text": {"format": {"type": "json_schema", "name": "s", "schema": {"type": "object"}, "strict": true}, "verbosity": "low"},
        "reasoning": {"effort": "high"},
        "user": "u",
        "store": false,
        "include": ["reasoning.encrypted_content", "message.output_text.logprobs"],
        "prompt_cache_key": "k",
        "stream": true,
    });
    assert_eq!(encoded.body, wanted);
    let mut lost = losses(&encoded);
    lost.sort();
    let named =
        ["messages[1].content[3]", "messages[1].name", "messages[2].content[0]", "seed", "stop", "~max_output_tokens"];
    assert_eq!(lost, named);
}

#[test]
fn chat_streams_are_told_in_the_wires_order() {
    let chat = concat!(
        r#"data: {"id":"chatcmpl-9","created":7,"model":"m","choices":[{"index":0,"delta":{"role":"assistant","reasoning_content":"hm"}}]}"#,
        "\n\n",
        r#"data: {"id":"chatcmpl-9","created":7,"model":"m","choices":[{"index":0,"delta":{"content":"Hi"}}]}"#,
        "\n\n",
        r#"data: {"id":"chatcmpl-9","created":7,"model":"m","choices":[{"index":0,"delta":{"tool_calls":[{"index":0,"id":"call_1","type":"function","function":{"name":"f","arguments":""}}]}}]}"#,
        "\n\n",
        r#"data: {"id":"chatcmpl-9","created":7,"model":"m","choices":[{"index":0,"delta":{"tool_calls":[{"index":0,"function":{"arguments":"{}"}}]}}]}"#,
        "\n\n",
        r#"data: {"id":"chatcmpl-9","created":7,"model":"m","choices":[{"index":0,"delta":{},"finish_reason":"tool_calls"}]}"#,
        "\n\n",
        r#"data: {"id":"chatcmpl-9","created":7,"model":"m","choices":[],"usage":{"prompt_tokens":3,"completion_tokens":4,"total_tokens":7}}"#,
        "\n\ndata: [DONE]\n\n",
    );
    let events = decode_all(protocol(CHAT), &frames(chat.as_bytes(), usize::MAX)).expect("valid");
    let request = read(WIRE, &fixture("request-functions.json"));
    let terms = StreamTerms { request: Some(Arc::new(request)), ..StreamTerms::default() };
    let bytes = written(dialect(WIRE), &events, &terms);
    assert_eq!(
        check_grammar(&bytes),
        [
            "response.created",
            "response.in_progress",
            "response.output_item.added",
            "response.content_part.added",
            "response.reasoning_text.delta",
            "response.reasoning_text.done",
            "response.content_part.done",
            "response.output_item.done",
            "response.output_item.added",
            "response.content_part.added",
            "response.output_text.delta",
            "response.output_text.done",
            "response.content_part.done",
            "response.output_item.done",
            "response.output_item.added",
            "response.function_call_arguments.delta",
            "response.function_call_arguments.done",
            "response.output_item.done",
            "response.completed",
        ]
    );
    let bodies: Vec<Value> =
        frames(&bytes, usize::MAX).iter().map(|frame| serde_json::from_slice(&frame.data).expect("JSON")).collect();
    let (first, last) = (&bodies[0]["response"], &bodies.last().expect("an end")["response"]);
    assert_eq!(
        (&first["id"], &first["status"], &first["usage"]),
        (&json!("resp_9"), &json!("in_progress"), &Value::Null)
    );
    for response in [first, last] {
        assert_eq!(response["tools"], fixture("request-functions.json")["tools"]);
        assert_eq!(response["tool_choice"], json!({"type": "function", "name": "get_weather"}));
        assert_eq!(response["parallel_tool_calls"], json!(false));
    }
    assert_eq!(last["usage"]["total_tokens"], json!(7));
    let ids: Vec<&str> =
        last["output"].as_array().expect("items").iter().filter_map(|item| item["id"].as_str()).collect();
    assert_eq!(ids, ["rs_tr_9_0", "msg_tr_9_1", "fc_tr_9_2"]);
    assert_eq!(last["output"][2]["call_id"], json!("call_1"));
}

#[test]
fn answers_go_to_chat_clients_whole() {
    let body = dialect(CHAT).encode_response(&answer("functions"), &StreamTerms::default());
    assert_eq!(body["choices"][0]["finish_reason"], json!("tool_calls"));
    assert_eq!(body["choices"][0]["message"]["tool_calls"][1]["function"], json!({"name": "now", "arguments": "{}"}));
    assert!(body.get("tools").is_none() && body.get("completed_at").is_none());
    let text = String::from_utf8(written(dialect(CHAT), &events("thoughts"), &StreamTerms::default())).expect("UTF-8");
    assert!(text.contains("reasoning_content") && text.ends_with("data: [DONE]\n\n"));
    assert!(!text.contains("~home"));
}

#[test]
fn what_we_made_does_not_go_to_a_provider() {
    let body = json!({"model": "m", "input": [
        {"role": "user", "content": "q"},
        {"type": "reasoning", "id": "rs_tr_9_0", "summary": [], "content": [{"type": "reasoning_text", "text": "hm"}]},
        {"type": "message", "id": "msg_tr_9_1", "role": "assistant", "status": "completed", "content": [{"type": "output_text", "text": "a", "annotations": []}]},
        {"type": "function_call", "id": "call_wrong", "call_id": "call_1", "name": "f", "arguments": "{}"},
    ]});
    let encoded = write(WIRE, &read(WIRE, &body));
    let input = encoded.body["input"].as_array().expect("items");
    assert_eq!(input.len(), 3);
    assert_eq!(input[2], json!({"type": "function_call", "call_id": "call_1", "name": "f", "arguments": "{}"}));
    assert_eq!(losses(&encoded), ["messages[1].content[0]"]);
}

#[test]
fn seals_go_to_their_signer_only() {
    let mut request = read(WIRE, &fixture("request-codex.json"));
    let set = |request: &mut Request, name: &str| {
        if let Part::Reasoning { seal: Some(seal), .. } = &mut request.messages[3].parts[0] {
            seal.signer = Some(name.to_owned());
        }
    };
    set(&mut request, "me");
    let encoded = write(WIRE, &request);
    assert_eq!(encoded.body["input"][3]["encrypted_content"], json!("gAAAAABp"));
    assert!(encoded.losses.is_empty());
    set(&mut request, "someone else");
    let encoded = write(WIRE, &request);
    assert!(!encoded.body.to_string().contains("gAAAAABp"));
    assert_eq!(losses(&encoded), ["messages[3].content[0].signature", "messages[3].content[0]"]);
}

#[test]
fn thinking_that_its_maker_keeps_is_known_to_the_maker_only() {
    let body = json!({"model": "m", "input": [
        {"type": "message", "role": "user", "content": "hi"},
        {"type": "reasoning", "id": "rs_68af", "summary": [{"type": "summary_text", "text": "hm"}]},
        {"type": "message", "role": "assistant", "content": "Yes."},
    ]});
    assert!(dialect(WIRE).mentions_seals(body.to_string().as_bytes()));
    let mut request = read(WIRE, &body);
    assert_eq!(write(WIRE, &request).body["input"][1], body["input"][1], "nobody knows better: it goes home");
    for (signer, said) in [("me", true), ("someone else", false)] {
        let mut found = Vec::new();
        request.each_seal(|seal| {
            found.push(seal.data.clone());
            seal.signer = Some(signer.to_owned());
        });
        assert_eq!(found, ["rs_68af"]);
        let encoded = write(WIRE, &request);
        assert_eq!(encoded.body.to_string().contains("rs_68af"), said, "{}", encoded.body);
        assert_eq!(encoded.losses.is_empty(), said, "{:?}", encoded.losses);
        assert_eq!(encoded.body["input"][1].get("encrypted_content"), None);
    }
    assert_eq!(protocol(WIRE).seals(br#"{"output":[{"type":"reasoning","id":"rs_68af","summary":[]}]}"#), ["rs_68af"]);
}
