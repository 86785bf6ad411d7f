//! Gemini: home again nothing is lost, abroad the essence stays and the rest is named, a stream and its unary twin are
//! one answer, and nothing panics. Fixtures: `testkit/fixtures/gemini`, and one
//! spelling of the wire that the laws do not compare in `data/gemini`.

use crate::common::{self, dialect, frames, json_of, losses, protocol, written};
use canon::answer::{self, Response};
use canon::event::{PartKind, Stop, StopReason};
use canon::media::{MediaKind, Source};
use canon::request::{Message, OutputFormat, Role, Seal, Tool, ToolChoice};
use canon::wire::{self, Encoded, FrameNote, Params, RouteKind, StreamTerms, Target};
use canon::{Effort, Event, FaultKind, Part, Request};
use proptest::prelude::*;
use serde_json::{Value, json};

const REQUESTS: &[&str] = &[
    include_str!("../../../testkit/fixtures/gemini/request/text.json"),
    include_str!("../../../testkit/fixtures/gemini/request/tools.json"),
    include_str!("../../../testkit/fixtures/gemini/request/tools3.json"),
    include_str!("../../../testkit/fixtures/gemini/request/media.json"),
    include_str!("../../../testkit/fixtures/gemini/request/settings.json"),
    include_str!("data/gemini/request-snake.json"),
    include_str!("../../../testkit/fixtures/gemini/request/hosted.json"),
];
const MEDIA: &str = REQUESTS[3];
const SNAKE: &str = REQUESTS[5];

/// Answers with their streams.
const TWINS: &[(&str, &str)] = &[
    (
        include_str!("../../../testkit/fixtures/gemini/answer/text.json"),
        include_str!("../../../testkit/fixtures/gemini/stream/text.sse"),
    ),
    (
        include_str!("../../../testkit/fixtures/gemini/answer/tools.json"),
        include_str!("../../../testkit/fixtures/gemini/stream/tools.sse"),
    ),
    (
        include_str!("../../../testkit/fixtures/gemini/answer/grounded.json"),
        include_str!("../../../testkit/fixtures/gemini/stream/grounded.sse"),
    ),
    (
        include_str!("../../../testkit/fixtures/gemini/answer/two.json"),
        include_str!("../../../testkit/fixtures/gemini/stream/two.sse"),
    ),
];
const BLOCKED: &str = include_str!("../../../testkit/fixtures/gemini/answer/blocked.json");
const SIGNED: &str = include_str!("../../../testkit/fixtures/gemini/stream/signed.sse");

fn params() -> Params {
    Params { model: Some("auto".to_owned()), stream: false, ..Params::default() }
}

fn read(body: Value) -> Request {
    dialect("gemini").decode_request(&params(), body).expect("valid")
}

fn target(model: &str) -> Target {
    Target { model: model.to_owned(), signer: "google".to_owned(), ..Target::default() }
}

fn write(request: &Request, model: &str) -> Encoded {
    protocol("gemini").encode_request(request, &target(model))
}

fn events(stream: &str) -> Vec<Event> {
    wire::decode_all(protocol("gemini"), &frames(stream.as_bytes(), usize::MAX)).expect("valid")
}

fn terms() -> StreamTerms {
    StreamTerms { model: "m".to_owned(), usage: true, id: "1".to_owned(), ..StreamTerms::default() }
}

/// A copy of `value` with every known field in camel case, as this wire writes it.
fn camel(value: &Value) -> Value {
    match value {
        Value::Array(items) => items.iter().map(camel).collect(),
        Value::Object(fields) => {
            let spelled = |key: &str| match key {
                // Names of the client's own, and a tool we do not know.
                "kind_of" | "google_search" => key.to_owned(),
                key => key
                    .split('_')
                    .enumerate()
                    .map(|(at, word)| if at == 0 { word.to_owned() } else { word[..1].to_uppercase() + &word[1..] })
                    .collect(),
            };
            Value::Object(fields.iter().map(|(key, value)| (spelled(key), camel(value))).collect())
        }
        other => other.clone(),
    }
}

#[test]
fn home_again_every_documented_request_is_the_same() {
    for text in REQUESTS {
        let mut wanted = json_of(text);
        let encoded = write(&read(wanted.clone()), "gemini-2.5-flash");
        if *text == SNAKE {
            wanted = camel(&wanted);
            // Words of an enumeration are read in either case and written in capitals.
            wanted["generationConfig"]["thinkingConfig"]["thinkingLevel"] = "LOW".into();
            wanted["generationConfig"]["responseSchema"] =
                json_of(text)["generation_config"]["response_schema"].clone();
        }
        assert_eq!(encoded.body, wanted);
        assert_eq!(losses(&encoded), Vec::<String>::new());
    }
}

#[test]
fn a_request_is_read_into_the_canons_words() {
    let request = read(json_of(REQUESTS[4]));
    let sampling = &request.sampling;
    assert_eq!(
        (sampling.top_k, sampling.n, sampling.seed, sampling.top_logprobs),
        (Some(40), Some(2), Some(7), Some(3))
    );
    let OutputFormat::Schema { schema, .. } = &request.output else { panic!("a schema") };
    assert_eq!(
        schema["items"]["properties"]["amounts"],
        json!({"type": "array", "items": {"type": "string"}, "minItems": 1})
    );
    assert_eq!((request.service_tier.as_deref(), request.state.store), (Some("flex"), Some(false)));

    let request = read(json_of(SNAKE));
    assert_eq!(request.messages[0], Message::text(Role::System, "Be brief."));
    assert_eq!(request.reasoning.as_ref().and_then(|reasoning| reasoning.effort), Some(Effort::Low));
    assert_eq!(request.tool_choice, Some(ToolChoice::Function("look".to_owned())));
    assert!(matches!(&request.messages[2].parts[0], Part::ToolCall { seal: Some(seal), arguments, .. }
        if seal.data == "U2ln" && arguments.is_empty()));
    assert_eq!(request.messages[3].role, Role::Tool);

    let media: Vec<_> = read(json_of(MEDIA)).messages.remove(0).parts;
    let kinds: Vec<MediaKind> =
        media.iter().filter_map(|part| if let Part::Media(media) = part { Some(media.kind) } else { None }).collect();
    assert_eq!(kinds, [MediaKind::Image, MediaKind::Document, MediaKind::Video, MediaKind::Audio]);
    assert!(matches!(&media[2], Part::Media(media) if matches!(media.source, Source::File { .. })));
}

#[test]
fn bytes_in_the_url_safe_alphabet_are_read_by_every_other_wire() {
    let part = json!({"inlineData": {"mimeType": "image/jpeg", "data": "_9j_4AAQSkZJRg=="}});
    let request = read(json!({"contents": [{"parts": [part]}]}));
    let Part::Media(media) = &request.messages[0].parts[0] else { panic!("an image") };
    assert_eq!(media.source.to_url().as_deref(), Some("data:image/jpeg;base64,/9j/4AAQSkZJRg=="));
}

#[test]
fn calls_without_ids_and_their_results_find_each_other() {
    let request = read(json_of(REQUESTS[1]));
    let ids: Vec<&str> = request.messages[1]
        .parts
        .iter()
        .map(|part| if let Part::ToolCall { call_id, .. } = part { call_id.as_str() } else { panic!("a call") })
        .collect();
    assert_ne!(ids[0], ids[1]);
    let results: Vec<(&str, bool, &[Part])> = request.messages[2]
        .parts
        .iter()
        .map(|part| match part {
            Part::ToolResult { call_id, is_error, content, .. } => (call_id.as_str(), *is_error, content.as_slice()),
            _ => panic!("a result"),
        })
        .collect();
    assert_eq!(results[0], (ids[0], false, &[Part::text(r#"{"result":"on"}"#)][..]));
    assert_eq!(results[1], (ids[1], true, &[Part::text("lamp is broken")][..]));
}

#[test]
fn to_openai_chat_only_what_it_cannot_say_is_named() {
    let chat = protocol("openai-chat");
    let named = |text: &str| losses(&chat.encode_request(&read(json_of(text)), &Target::default()));
    assert_eq!(
        named(REQUESTS[0]),
        ["messages[2].content[0].signature", "top_k", "~reasoning.budget_tokens", "reasoning.include"]
    );
    assert_eq!(named(REQUESTS[1]), ["messages[2].content[1].is_error"]);
    assert_eq!(
        named(REQUESTS[6]),
        ["messages[1].content[0]", "messages[1].content[1]", "tools[0]", "tools[2]", "tools[4]"]
    );
    let body = chat.encode_request(&read(json_of(REQUESTS[1])), &Target::default()).body;
    assert_eq!(
        body["tools"][1]["function"]["parameters"]["properties"]["brightness"]["type"],
        json!(["number", "null"])
    );
    assert_eq!(body["messages"][2]["tool_call_id"], body["messages"][1]["tool_calls"][0]["id"]);
}

fn from_chat(body: Value) -> Request {
    dialect("openai-chat").decode_request(&Params::default(), body).expect("valid")
}

#[test]
fn from_openai_chat_results_are_gathered_and_named() {
    let request = from_chat(json!({"model": "m", "seed": 7, "user": "u", "reasoning_effort": "high", "messages": [
        {"role": "system", "content": "be kind"},
        {"role": "user", "content": [{"type": "text", "text": "compare"},
            {"type": "image_url", "image_url": {"url": "https://x.example/a.png?b=c", "detail": "low"}}]},
        {"role": "assistant", "content": null, "tool_calls": [
            {"id": "call_1", "type": "function", "function": {"name": "f", "arguments": "{\"a\":1}"}},
            {"id": "call_2", "type": "function", "function": {"name": "g", "arguments": ""}}]},
        {"role": "tool", "tool_call_id": "call_1", "content": "12 C"},
        {"role": "tool", "tool_call_id": "call_2", "content": "{\"output\":\"x\"}"},
        {"role": "developer", "content": "now answer"}],
        "tools": [{"type": "function", "function": {"name": "f", "parameters": {"type": "object"}, "strict": true}}],
        "tool_choice": "required", "stop": ["a", "b"]}));
    let encoded = write(&request, "gemini-3-pro-preview");
    assert_eq!(
        encoded.body,
        json!({
            "contents": [
                {"role": "user", "parts": [{"text": "compare"},
                    {"fileData": {"mimeType": "image/png", "fileUri": "https://x.example/a.png?b=c"}}]},
                {"role": "model", "parts": [
                    {"functionCall": {"id": "call_1", "name": "f", "args": {"a": 1}},
                        "thoughtSignature": "skip_thought_signature_validator"},
                    {"functionCall": {"id": "call_2", "name": "g", "args": {}}}]},
                {"role": "user", "parts": [
                    {"functionResponse": {"id": "call_1", "name": "f", "response": {"output": "12 C"}}},
                    {"functionResponse": {"id": "call_2", "name": "g", "response": {"output": "{\"output\":\"x\"}"}}}]},
                {"role": "user", "parts": [{"text": "now answer"}]}],
            "systemInstruction": {"parts": [{"text": "be kind"}]},
            "tools": [{"functionDeclarations": [{"name": "f", "parametersJsonSchema": {"type": "object"}}]}],
            "toolConfig": {"functionCallingConfig": {"mode": "ANY"}},
            "generationConfig": {"seed": 7, "stopSequences": ["a", "b"], "thinkingConfig": {"thinkingLevel": "HIGH"}},
        })
    );
    assert_eq!(losses(&encoded), ["messages[1].content[1].detail", "~messages[5].role", "tools[0].strict", "user"]);
}

#[test]
fn each_generation_is_told_in_its_own_words_how_hard_to_think() {
    let table = [
        ("none", "gemini-2.5-flash", json!({"thinkingBudget": 0}), &[][..]),
        ("none", "gemini-2.5-pro", json!({"thinkingBudget": 128}), &["~reasoning.effort"]),
        ("medium", "gemini-2.5-pro", json!({"thinkingBudget": 8192}), &[]),
        ("medium", "gemini-3-flash", json!({"thinkingLevel": "MEDIUM"}), &[]),
        ("minimal", "gemini-3.1-pro", json!({"thinkingLevel": "LOW"}), &["~reasoning.effort"]),
        ("none", "gemini-3-flash", json!({"thinkingLevel": "MINIMAL"}), &["~reasoning.effort"]),
        ("high", "gemini-2.0-flash", Value::Null, &["reasoning"]),
        ("none", "gemini-2.0-flash", Value::Null, &[]),
    ];
    for (effort, model, wanted, lost) in table {
        let request = from_chat(
            json!({"model": "m", "reasoning_effort": effort, "messages": [{"role": "user", "content": "x"}]}),
        );
        let encoded = write(&request, model);
        assert_eq!(encoded.body["generationConfig"]["thinkingConfig"], wanted, "{effort} {model}");
        assert_eq!(losses(&encoded), lost, "{effort} {model}");
    }
}

#[test]
fn a_form_beside_tools_is_said_in_words_where_the_model_refuses_it() {
    let request = from_chat(json!({"model": "m", "messages": [{"role": "user", "content": "x"}],
        "response_format": {"type": "json_schema", "json_schema": {"name": "n", "schema": {"type": "object"}}},
        "tools": [{"type": "function", "function": {"name": "f"}}]}));
    let encoded = write(&request, "gemini-2.5-pro");
    assert_eq!(losses(&encoded), ["=response_format"]);
    let words = encoded.body["systemInstruction"]["parts"][0]["text"].as_str().expect("words");
    assert!(words.contains(r#"{"type":"object"}"#) && encoded.body.get("generationConfig").is_none());
    let encoded = write(&request, "gemini-3-pro-preview");
    assert_eq!(encoded.body["generationConfig"]["responseJsonSchema"], json!({"type": "object"}));
}

#[test]
fn a_seal_goes_only_to_its_signer() {
    let seal = |signer: Option<&str>| {
        Some(Seal { data: "U2ln".to_owned(), redacted: false, signer: signer.map(str::to_owned) })
    };
    let written = |origin: Request, signer: Option<&str>| {
        let mut request = origin;
        request.messages = vec![
            Message::text(Role::User, "x"),
            Message::new(
                Role::Assistant,
                vec![
                    Part::Reasoning {
                        text: "hm".to_owned(),
                        summary: true,
                        seal: seal(signer),
                        extras: canon::Extras::new(),
                    },
                    Part::ToolCall {
                        call_id: "c".to_owned(),
                        name: "f".to_owned(),
                        arguments: String::new(),
                        seal: seal(signer),
                        cache: None,
                        extras: canon::Extras::new(),
                    },
                ],
            ),
        ];
        let encoded = write(&request, "gemini-3-pro");
        let parts = encoded.body["contents"][1]["parts"].clone();
        (parts[0]["thoughtSignature"].clone(), parts[1]["thoughtSignature"].clone(), losses(&encoded))
    };
    let home = || Request::new(canon::WireId::new("gemini"), "m");
    let abroad = || Request::new(canon::WireId::new("openai-chat"), "m");
    let dropped: Vec<String> =
        ["messages[1].content[0].signature", "messages[1].content[1].signature"].map(String::from).to_vec();
    let skipped = (Value::Null, json!("skip_thought_signature_validator"), dropped);
    assert_eq!(written(home(), None), (json!("U2ln"), json!("U2ln"), Vec::new()));
    assert_eq!(written(abroad(), Some("google")), (json!("U2ln"), json!("U2ln"), Vec::new()));
    assert_eq!(written(home(), Some("other")), skipped);
    assert_eq!(written(abroad(), None), skipped);
}

#[test]
fn a_stream_and_its_unary_twin_are_one_answer() {
    for (whole, stream) in TWINS {
        let unary = protocol("gemini").decode_response(json_of(whole)).expect("valid");
        assert_eq!(answer::fold(&events(stream)).expect("complete"), unary);
    }
}

#[test]
fn an_answer_of_this_wire_is_shown_as_it_came() {
    for (whole, _) in TWINS {
        let answer = protocol("gemini").decode_response(json_of(whole)).expect("valid");
        assert_eq!(dialect("gemini").encode_response(&answer, &terms()), json_of(whole));
    }
    let answer = protocol("gemini").decode_response(json_of(BLOCKED)).expect("valid");
    assert_eq!(answer.choices[0].stop.reason, StopReason::ContentFilter);
    let mut wanted = json_of(BLOCKED);
    wanted["usageMetadata"]["candidatesTokenCount"] = 0.into();
    assert_eq!(dialect("gemini").encode_response(&answer, &terms()), wanted);
}

#[test]
fn every_answer_streams_into_every_dialect_and_back() {
    for (whole, _) in TWINS.iter().chain([&(BLOCKED, "")]) {
        let answer = protocol("gemini").decode_response(json_of(whole)).expect("valid");
        let again =
            wire::decode_all(protocol("gemini"), &frames(&written(dialect("gemini"), &answer.unfold(), &terms()), 7))
                .expect("valid");
        let again = answer::fold(&again).expect("complete");
        assert_eq!(again, answer);
        for dialect in wire::DIALECTS {
            assert!(!written(*dialect, &answer.unfold(), &terms()).is_empty());
        }
    }
}

#[test]
fn an_answer_of_another_wire_has_what_the_sdk_demands() {
    let seal = Some(Seal { data: "gAAA-x_y".to_owned(), redacted: true, signer: None });
    let parts = vec![
        Part::Reasoning { text: String::new(), summary: true, seal, extras: canon::Extras::new() },
        Part::text("hi"),
        Part::Native { body: json!({"type": "server_tool_use"}) },
        Part::ToolCall {
            call_id: "call_1".to_owned(),
            name: "f".to_owned(),
            arguments: "{\"a\":".to_owned(),
            seal: None,
            cache: None,
            extras: canon::Extras::new(),
        },
    ];
    let choice = canon::Choice { parts, stop: Stop::because(StopReason::ToolCalls), extras: canon::Extras::new() };
    let answer = Response { choices: vec![choice], ..Response::default() };
    let body = dialect("gemini").encode_response(&answer, &terms());
    let content = &body["candidates"][0]["content"];
    assert_eq!(content["parts"].as_array().map(Vec::len), Some(3));
    assert_eq!(
        content["parts"][2]["functionCall"],
        json!({"id": "call_1", "name": "f", "args": {"arguments": "{\"a\":"}})
    );
    assert_eq!(body["candidates"][0]["finishReason"], "STOP");
    // The seal comes back from a client as the very same.
    let back = read(json!({"contents": [content]}));
    assert!(matches!(&back.messages[0].parts[0], Part::Reasoning { seal: Some(seal), .. }
        if seal.data == "gAAA-x_y" && seal.redacted));
    // Every chunk has a content with a part, else the SDK's chats forget the turn.
    for frame in frames(&written(dialect("gemini"), &answer.unfold(), &terms()), 64) {
        let chunk: Value = serde_json::from_slice(&frame.data).expect("json");
        assert!(chunk["candidates"][0]["content"]["parts"][0].is_object(), "{chunk}");
    }
}

#[test]
fn a_signature_in_a_last_empty_part_is_kept() {
    let answer = answer::fold(&events(SIGNED)).expect("complete");
    let [Part::Text { text, seal: Some(seal), .. }] = answer.choices[0].parts.as_slice() else { panic!("one text") };
    assert_eq!((text.as_str(), seal.data.as_str()), ("Yes", "U2lnbmF0dXJlQg=="));
    assert_eq!((answer.usage.output, answer.usage.reasoning), (Some(5), Some(4)));
}

#[test]
fn a_cut_stream_never_claims_success() {
    for stream in TWINS.iter().map(|(_, stream)| *stream).chain([SIGNED]) {
        let all = frames(stream.as_bytes(), usize::MAX);
        for kept in 0..all.len() {
            let events = wire::decode_all(protocol("gemini"), &all[..kept]).expect("valid");
            assert!(answer::fold(&events).is_none());
            let mut scan = protocol("gemini").scan();
            for frame in &all[..kept] {
                scan.frame(frame).expect("valid");
            }
            assert_eq!(scan.close(), None);
        }
    }
    assert!(
        protocol("gemini").decode_response(json!({"candidates": [{"content": {"parts": [{"text": "x"}]}}]})).is_err()
    );
}

#[test]
fn a_scan_sees_what_a_decoder_sees() {
    for (whole, stream) in TWINS {
        let answer = protocol("gemini").decode_response(json_of(whole)).expect("valid");
        let seen = protocol("gemini").scan_response(whole.as_bytes()).expect("complete");
        let mut scan = protocol("gemini").scan();
        let mut notes = Vec::new();
        for frame in frames(stream.as_bytes(), 3) {
            notes.push(scan.frame(&frame).expect("valid"));
        }
        assert_eq!(scan.close(), Some(&b""[..]));
        assert_eq!((notes[0], notes.last()), (FrameNote::Content, Some(&FrameNote::End)));
        for seen in [&seen, scan.seen()] {
            assert_eq!(seen.usage, answer.usage);
            assert_eq!(seen.stop, Some(answer.choices[0].stop.reason));
            assert_eq!(
                (seen.id.as_deref(), seen.model.as_deref()),
                (Some(answer.head.id.as_str()), Some(answer.head.model.as_str()))
            );
        }
    }
    let seen = protocol("gemini").scan_response(BLOCKED.as_bytes()).expect("complete");
    assert_eq!(seen.stop, Some(StopReason::ContentFilter));
}

#[test]
fn an_error_inside_a_stream_is_a_fault() {
    let error = r#"{"error":{"code":503,"message":"The model is overloaded.","status":"UNAVAILABLE"}}"#;
    for stream in [format!("data: {error}\n\n"), error.to_owned(), format!("[{error}]")] {
        let all = frames(stream.as_bytes(), usize::MAX);
        let fault = wire::decode_all(protocol("gemini"), &all).expect_err("a fault");
        assert_eq!(fault.kind, FaultKind::Overloaded);
        assert_eq!(protocol("gemini").scan().frame(&all[0]).expect_err("a fault").kind, FaultKind::Overloaded);
    }
    assert_eq!(protocol("gemini").scan_response(error.as_bytes()).expect_err("a fault").kind, FaultKind::Overloaded);
}

#[test]
fn finish_words_that_name_a_filter_or_a_limit() {
    let table = [
        ("SAFETY", StopReason::ContentFilter),
        ("RECITATION", StopReason::ContentFilter),
        ("SPII", StopReason::ContentFilter),
        ("MAX_TOKENS", StopReason::Length),
        ("MALFORMED_FUNCTION_CALL", StopReason::Other),
        ("OTHER", StopReason::Other),
        ("LATER_WORD", StopReason::Other),
    ];
    for (word, reason) in table {
        let body = json!({"candidates": [{"finishReason": word}]});
        let answer = protocol("gemini").decode_response(body).expect("valid");
        assert_eq!((answer.choices[0].stop.reason, answer.choices[0].stop.raw.as_deref()), (reason, Some(word)));
        let shown = dialect("gemini").encode_response(&answer, &terms())["candidates"][0]["finishReason"].clone();
        assert_eq!(shown, if word == "LATER_WORD" { "OTHER" } else { word });
    }
}

#[test]
fn a_look_finds_what_policy_needs() {
    let peek =
        |text: &str| dialect("gemini").peek(&Params { stream: true, ..params() }, text.as_bytes()).expect("valid");
    let found = peek(REQUESTS[4]);
    assert_eq!(
        (found.model.as_deref(), found.model_at, found.stream, found.stream_usage),
        (Some("auto"), None, true, true)
    );
    let facets = found.facets;
    assert!(facets.structured && facets.reasoning && facets.logprobs && facets.state && facets.tools && !facets.images);
    assert_eq!((facets.choices, facets.max_output_tokens), (2, Some(256)));
    let facets = peek(MEDIA).facets;
    assert!(facets.images && facets.audio && facets.documents && !facets.tools);
    let facets = peek(SNAKE).facets;
    assert!(facets.images && facets.structured && facets.reasoning && facets.tools);
    let wrapped = r#"{"generateContentRequest":{"model":"models/x","contents":[]}}"#;
    assert_eq!(peek(wrapped).model.as_deref(), Some("auto"));
    let request = dialect("gemini").decode_request(&Params::default(), json_of(wrapped)).expect("valid");
    assert_eq!(request.model, "models/x");
    assert!(dialect("gemini").peek(&Params::default(), b"{\"contents\":[]}").is_err());
    assert!(dialect("gemini").peek(&params(), b"{}").is_err());
}

#[test]
fn routes_and_paths_are_the_wires_own() {
    let kinds: Vec<RouteKind> = dialect("gemini").routes().iter().map(|route| route.kind).collect();
    assert!(kinds.contains(&RouteKind::GenerateStream) && kinds.contains(&RouteKind::CountTokens));
    let path = |model: &str, stream| protocol("gemini").path(&target(model), stream);
    assert_eq!(path("gemini-2.5-pro", false), "/models/gemini-2.5-pro:generateContent");
    assert_eq!(path("tunedModels/x", true), "/tunedModels/x:streamGenerateContent?alt=sse");
}

#[test]
fn foreign_media_in_results_follow_where_a_result_takes_none() {
    let mut request = Request::new(canon::WireId::new("anthropic-messages"), "m");
    let image = canon::media::Media {
        kind: MediaKind::Image,
        source: Source::Base64 { mime: "image/png".to_owned(), data: "AAAA".to_owned() },
        name: None,
        detail: None,
        cache: None,
        extras: canon::Extras::new(),
    };
    let call = Part::ToolCall {
        call_id: "c".to_owned(),
        name: "look".to_owned(),
        arguments: "{}".to_owned(),
        seal: None,
        cache: None,
        extras: canon::Extras::new(),
    };
    let result = Part::ToolResult {
        call_id: "c".to_owned(),
        content: vec![Part::text("seen"), Part::Media(image)],
        is_error: true,
        cache: None,
        extras: canon::Extras::new(),
    };
    request.messages = vec![
        Message::text(Role::User, "x"),
        Message::new(Role::Assistant, vec![call]),
        Message::new(Role::User, vec![Part::text("go on"), result]),
    ];
    let second = write(&request, "gemini-2.5-pro");
    let picture = json!({"inlineData": {"mimeType": "image/png", "data": "AAAA"}});
    let contents = &second.body["contents"];
    assert_eq!(
        contents[2]["parts"],
        json!([{"functionResponse": {"id": "c", "name": "look", "response": {"error": "seen"}}}])
    );
    assert_eq!((&contents[3]["parts"], &contents[4]["parts"]), (&json!([picture]), &json!([{"text": "go on"}])));
    assert_eq!(losses(&second), ["=messages[2].content[1].content[1]"]);
    let third = write(&request, "gemini-3-pro");
    assert_eq!(third.body["contents"][2]["parts"][0]["functionResponse"]["parts"], json!([picture]));
    assert_eq!(losses(&third), Vec::<String>::new());
}

/// Plants `value` under `key` into the object that `place` chooses among the wire's own objects.
fn plant(body: &mut Value, place: usize, key: &str, value: &Value) {
    let spots = [
        "",
        "/contents/0",
        "/contents/1",
        "/contents/0/parts/0",
        "/contents/1/parts/0",
        "/contents/1/parts/0/functionCall",
        "/contents/2/parts/0/functionResponse",
        "/contents/2/parts/0",
        "/generationConfig",
        "/toolConfig",
        "/tools/0",
        "/generationConfig/thinkingConfig",
        "/toolConfig/functionCallingConfig",
        "/tools/0/functionDeclarations/0",
        "/contents/0/parts/0/inlineData",
        "/contents/0/parts/1/fileData",
        "/systemInstruction",
    ];
    if let Some(Value::Object(fields)) = body.pointer_mut(spots[place % spots.len()]) {
        fields.insert(key.to_owned(), value.clone());
    }
}

const WORDS: &[&str] = &["user", "model", "STOP", "ANY", "application/json"];

const KEYS: &[&str] = &[
    "contents",
    "parts",
    "role",
    "text",
    "thought",
    "thoughtSignature",
    "functionCall",
    "functionResponse",
    "name",
    "args",
    "id",
    "response",
    "inlineData",
    "mimeType",
    "data",
    "fileData",
    "fileUri",
    "tools",
    "functionDeclarations",
    "parameters",
    "generationConfig",
    "thinkingConfig",
    "thinkingBudget",
    "candidates",
    "content",
    "finishReason",
    "index",
    "usageMetadata",
    "promptTokenCount",
    "groundingMetadata",
    "groundingSupports",
    "groundingChunks",
    "segment",
    "error",
    "toolConfig",
    "functionCallingConfig",
    "partialArgs",
    "jsonPath",
    "willContinue",
    "stringValue",
    "x_y",
];

/// Any JSON, with this wire's own words in it.
fn any_json() -> impl Strategy<Value = Value> {
    common::any_json(WORDS, KEYS)
}

proptest! {
    #[test]
    fn home_again_nothing_is_lost(
        which in 0..5_usize,
        plants in prop::collection::vec((0..17_usize, "x[a-z]{3,8}(_[a-z]{2})?", any_json().prop_filter("null is absent", |value| !value.is_null())), 0..4),
    ) {
        let mut body = json_of(REQUESTS[which]);
        for (place, key, value) in &plants {
            plant(&mut body, *place, key, value);
        }
        let encoded = write(&read(body.clone()), "gemini-2.5-flash");
        prop_assert_eq!(encoded.body, body);
        prop_assert!(encoded.losses.is_empty());
    }

    #[test]
    fn abroad_every_planted_field_is_named(which in 0..5_usize, place in 0..17_usize) {
        let mut body = json_of(REQUESTS[which]);
        let before = body.clone();
        plant(&mut body, place, "xplanted", &json!(1));
        let chat = protocol("openai-chat");
        let named = |body: Value| losses(&chat.encode_request(&read(body), &Target::default()));
        let (plain, planted) = (named(before.clone()), named(body.clone()));
        prop_assert!(before == body || planted.len() > plain.len() || plain.iter().any(|path| path == "messages[0].content[2]"));
    }

    #[test]
    fn where_the_bytes_break_does_not_matter(which in 0..TWINS.len(), step in 1..40_usize) {
        let stream = TWINS[which].1;
        let broken = wire::decode_all(protocol("gemini"), &frames(stream.as_bytes(), step)).expect("valid");
        prop_assert_eq!(broken, events(stream));
    }

    #[test]
    fn no_body_panics(body in any_json(), model in prop::sample::select(vec!["m", "gemini-3-pro", "gemini-2.5-pro"])) {
        let wire = dialect("gemini");
        let text = body.to_string();
        let _ = wire.peek(&params(), text.as_bytes());
        for body in [body.clone(), json!({"contents": [body.clone()]}), json!({"contents": [{"parts": [body.clone()]}]}),
            json!({"contents": [], "tools": [body.clone()], "generationConfig": body.clone()})] {
            let _ = wire.peek(&params(), body.to_string().as_bytes());
            if let Ok(request) = wire.decode_request(&params(), body) {
                for protocol in wire::PROTOCOLS {
                    let _ = protocol.encode_request(&request, &target(model));
                }
            }
        }
        let ours = protocol("gemini");
        for body in [body.clone(), json!({"candidates": [body.clone()]}),
            json!({"candidates": [{"content": {"parts": [body.clone()]}, "finishReason": "STOP"}], "usageMetadata": body})] {
            let _ = ours.scan_response(body.to_string().as_bytes());
            let _ = ours.decode_fault(400, body.to_string().as_bytes());
            if let Ok(answer) = ours.decode_response(body) {
                for dialect in wire::DIALECTS {
                    let _ = (dialect.encode_response(&answer, &terms()), written(*dialect, &answer.unfold(), &terms()));
                }
            }
        }
    }
}

#[test]
fn ids_made_for_calls_are_the_same_each_time_and_differ() {
    let kinds = |stream: &str| -> Vec<String> {
        events(stream)
            .into_iter()
            .filter_map(|event| match event {
                Event::PartStart { kind: PartKind::ToolCall { call_id, .. }, .. } => Some(call_id),
                _ => None,
            })
            .collect()
    };
    let ids = kinds(TWINS[1].1);
    assert_eq!(ids, kinds(TWINS[1].1));
    assert_ne!(ids[0], ids[1]);
    assert!(ids.iter().all(|id| id.len() <= 40 && id.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')));
}

#[test]
fn a_call_whose_arguments_come_in_pieces_is_put_together() {
    let part =
        |call: Value| json!({"candidates": [{"content": {"parts": [{"functionCall": call}]}}], "responseId": "p"});
    let pieces = [
        part(json!({"name": "f", "willContinue": true})),
        part(json!({"partialArgs": [{"jsonPath": "$.place.city", "stringValue": "New ", "willContinue": true}],
            "willContinue": true})),
        part(json!({"partialArgs": [{"jsonPath": "$.place.city", "stringValue": "York"}, {"jsonPath": "$.n[0]['a b']",
            "numberValue": 2.5}, {"jsonPath": "$.n[1]", "nullValue": "NULL_VALUE"}], "willContinue": true})),
        part(json!({})),
        json!({"candidates": [{"finishReason": "STOP"}]}),
    ];
    let stream: String = pieces.iter().map(|piece| format!("data: {piece}\n\n")).collect();
    let answer = answer::fold(&events(&stream)).expect("complete");
    let [Part::ToolCall { name, arguments, .. }] = answer.choices[0].parts.as_slice() else { panic!("one call") };
    assert_eq!(
        (name.as_str(), json_of(arguments)),
        ("f", json!({"place": {"city": "New York"}, "n": [{"a b": 2.5}, null]}))
    );
    assert_eq!(answer.choices[0].stop.reason, StopReason::ToolCalls);
}

#[test]
fn tools_of_the_provider_are_natives() {
    let request = read(json_of(REQUESTS[6]));
    let natives = request.tools.iter().filter(|tool| matches!(tool, Tool::Native { .. })).count();
    assert_eq!((natives, request.tools.len()), (3, 5));
}

#[test]
fn bytes_will_do_for_a_model_that_demands_signatures_only_with_them() {
    let call = |key: &str, signed: bool| {
        let mut part = json!({key: {"name": "f", "args": {}}});
        if signed {
            part["thoughtSignature"] = "AAAA".into();
        }
        json!({"contents": [{"role": "user", "parts": [{"text": "\"functionCall\""}]}, {"role": "model", "parts": [part]}]})
    };
    let takes = |body: &Value, model: &str| {
        let target = Target { model: model.to_owned(), ..Target::default() };
        protocol("gemini").takes(body.to_string().as_bytes(), &target)
    };
    for key in ["functionCall", "function_call"] {
        assert!(takes(&call(key, true), "gemini-3-pro") && takes(&call(key, false), "gemini-2.5-pro"));
        assert!(!takes(&call(key, false), "gemini-3-pro"));
    }
    assert!(takes(&json!({"contents": [{"role": "user", "parts": [{"text": "hi"}]}]}), "gemini-3-pro"));
}
