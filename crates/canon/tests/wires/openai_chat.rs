//! What a look in place finds, and the edits of an untouched body.

use canon::wire::{self, Params, splice};

fn edited(body: &str, model: &str) -> String {
    let dialect = wire::dialect("openai-chat").expect("listed");
    let protocol = wire::protocol("openai-chat").expect("listed");
    let peek = dialect.peek(&Params::default(), body.as_bytes()).expect("valid");
    let mut edits = vec![(peek.model_at.clone().expect("in body"), format!("\"{model}\"").into_bytes())];
    edits.extend(protocol.usage_edit(body.as_bytes(), &peek));
    String::from_utf8(splice(body.as_bytes(), edits)).expect("utf-8")
}

#[test]
fn only_the_model_and_the_usage_request_change() {
    let table = [
        (r#"{"model":"a","messages":[]}"#, r#"{"model":"b","messages":[]}"#),
        (
            r#"{ "messages":[] , "stream":true,"model" : "a\"x", "z":{"model":"a"}}"#,
            r#"{"stream_options":{"include_usage":true}, "messages":[] , "stream":true,"model" : "b", "z":{"model":"a"}}"#,
        ),
        (
            r#"{"model":"a","stream":true,"stream_options":{"x":1},"messages":[]}"#,
            r#"{"model":"b","stream":true,"stream_options":{"x":1,"include_usage":true},"messages":[]}"#,
        ),
        (
            r#"{"model":"a","stream":true,"stream_options":null,"messages":[]}"#,
            r#"{"model":"b","stream":true,"stream_options":{"include_usage":true},"messages":[]}"#,
        ),
        (
            r#"{"model":"a","stream":true,"stream_options":{"include_usage":false},"messages":[]}"#,
            r#"{"model":"b","stream":true,"stream_options":{"include_usage":true},"messages":[]}"#,
        ),
    ];
    for (body, wanted) in table {
        assert_eq!(edited(body, "b"), wanted);
    }
}

#[test]
fn a_look_finds_what_policy_needs() {
    let dialect = wire::dialect("openai-chat").expect("listed");
    let body = br#"{"model":"m","n":2,"max_completion_tokens":7.0,"tools":[{}],"messages":[{"role":"user","content":
        [{"type":"text","text":"say \"input_audio\""},{"type":"image_url","image_url":{"url":"x"}}]}],
        "response_format":{"type":"json_schema"},"reasoning_effort":"low","stream":true}"#;
    let peek = dialect.peek(&Params::default(), body).expect("valid");
    assert_eq!(peek.model.as_deref(), Some("m"));
    let facets = peek.facets;
    assert!(facets.images && facets.tools && facets.structured && facets.reasoning && !facets.audio);
    assert_eq!((facets.choices, facets.max_output_tokens), (2, Some(7)));
}

#[test]
fn bad_bodies_are_named() {
    let dialect = wire::dialect("openai-chat").expect("listed");
    let table: [(&[u8], &str); 7] = [
        (b"", "body"),
        (b"[]", "body"),
        (b"{\"model\":1,\"messages\":[]}", "model"),
        (b"{\"messages\":[]}", "model"),
        (b"{\"model\":\"a\"}", "messages"),
        (b"{\"model\":\"a\",\"model\":\"b\",\"messages\":[]}", "model"),
        (b"{\"model\":\"a\",\"messages\":[],\"stream\":\"yes\"}", "stream"),
    ];
    for (body, path) in table {
        assert_eq!(dialect.peek(&Params::default(), body).expect_err("bad").path, path);
    }
    assert!(dialect.peek(&Params::default(), b"{\"model\":\"a\",\"messages\":[], \"x\": \xff}").is_err());
}

fn frame(data: &str) -> canon::frame::Frame {
    let mut frames = Vec::new();
    let text = format!("data: {data}\n\n");
    canon::frame::SseReader::default().push(bytes::Bytes::from(text), &mut frames).expect("small");
    frames.remove(0)
}

fn chunk(index: u32, delta: &str, finish: &str) -> canon::frame::Frame {
    frame(&format!(
        r#"{{"id":"c","model":"m","created":1,"choices":[{{"index":{index},"delta":{delta},"finish_reason":{finish}}}]}}"#
    ))
}

fn call(index: u32, id: &str, arguments: &str) -> String {
    let first = if id.is_empty() { String::new() } else { format!(r#""id":"{id}","type":"function","#) };
    let name = if id.is_empty() { String::new() } else { format!(r#""name":"f{index}","#) };
    let arguments = serde_json::Value::from(arguments);
    format!(r#"{{"tool_calls":[{{"index":{index},{first}"function":{{{name}"arguments":{arguments}}}}}]}}"#)
}

#[test]
fn calls_written_in_turns_are_told_one_after_the_other() {
    let deltas = [call(0, "a", "{\"x\""), call(1, "b", "{"), call(0, "", ":1}"), call(1, "", "}")];
    let mut frames: Vec<_> = deltas.iter().map(|delta| chunk(0, delta, "null")).collect();
    frames.push(chunk(0, "{}", "\"tool_calls\""));
    let chat = canon::wire::protocol("openai-chat").expect("listed");
    let events = canon::wire::decode_all(chat, &frames).expect("valid");
    let mut open = None;
    for event in &events {
        match event {
            canon::Event::PartStart { at, .. } => assert_eq!(open.replace(*at), None),
            canon::Event::Delta { at, .. } => assert_eq!(open, Some(*at)),
            canon::Event::PartEnd { at } => assert_eq!(open.take(), Some(*at)),
            _ => {}
        }
    }
    let whole = canon::answer::fold(&events).expect("complete");
    let said = whole.choices[0].parts.iter().map(|part| match part {
        canon::Part::ToolCall { call_id, arguments, .. } => (call_id.as_str(), arguments.as_str()),
        other => panic!("{other:?}"),
    });
    assert_eq!(said.collect::<Vec<_>>(), [("a", "{\"x\":1}"), ("b", "{}")]);
}

#[test]
fn one_of_two_choices_is_no_whole_answer() {
    let chat = canon::wire::protocol("openai-chat").expect("listed");
    let mut scan = chat.scan();
    for frame in
        [chunk(0, r#"{"content":"a"}"#, "null"), chunk(1, r#"{"content":"b"}"#, "null"), chunk(0, "{}", "\"stop\"")]
    {
        scan.frame(&frame).expect("fine");
    }
    assert_eq!(scan.close(), None);
    scan.frame(&chunk(1, "{}", "\"length\"")).expect("fine");
    assert!(scan.close().is_some());
}

#[test]
fn a_choice_that_never_began_is_missing_unless_the_provider_says_that_this_was_all() {
    let chat = canon::wire::protocol("openai-chat").expect("listed");
    let done = canon::frame::Frame { data: "[DONE]".into(), raw: "data: [DONE]\n\n".into(), ..chunk(0, "{}", "null") };
    for (expected, ends, complete) in [(2, false, false), (2, true, true), (1, false, true), (0, false, true)] {
        let (mut scan, mut decoder, mut events) = (chat.scan(), chat.stream_decoder(), Vec::new());
        scan.expects(expected);
        decoder.expects(expected);
        let mut frames = vec![chunk(0, r#"{"content":"a"}"#, "null"), chunk(0, "{}", "\"stop\"")];
        frames.extend(ends.then(|| done.clone()));
        for frame in &frames {
            scan.frame(frame).expect("fine");
            decoder.frame(frame, &mut events).expect("fine");
        }
        decoder.end(&mut events);
        let finished = matches!(events.last(), Some(canon::Event::Finish(_)));
        assert_eq!((scan.close().is_some(), finished), (complete, complete), "{expected} {ends}");
    }
}

#[test]
fn what_clients_of_mistral_say_is_heard_and_told_to_others_in_their_words() {
    let dialect = canon::wire::dialect("openai-chat").expect("listed");
    let accented = serde_json::json!({
        "model": "m", "tool_choice": "any", "random_seed": 7,
        "tools": [{"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}],
        "messages": [
            {"role": "user", "content": "go"},
            {"role": "assistant", "content": "", "prefix": false, "tool_calls": [
                {"id": "abcdefghi", "type": "function", "index": 0, "function": {"name": "f", "arguments": "{}"}}]},
            {"role": "tool", "tool_call_id": "abcdefghi", "content": "done"},
        ],
    });
    let params = canon::wire::Params { model: None, stream: false, ..canon::wire::Params::default() };
    let peek = |body: &serde_json::Value| dialect.peek(&params, body.to_string().as_bytes()).expect("readable");
    assert!(peek(&accented).accent);
    let plain =
        serde_json::json!({"model": "m", "messages": [{"role": "user", "content": "say \"index\" and \"prefix\""}]});
    assert!(!peek(&plain).accent);
    let request = dialect.decode_request(&params, accented).expect("a request");
    let chat = canon::wire::protocol("openai-chat").expect("listed");
    let target = canon::wire::Target { model: "m".to_owned(), ..canon::wire::Target::default() };
    let encoded = chat.encode_request(&request, &target);
    let body = &encoded.body;
    assert_eq!((&body["tool_choice"], &body["seed"]), (&"required".into(), &7.into()));
    assert_eq!((body.get("random_seed"), body["messages"][1].get("prefix")), (None, None));
    assert_eq!(body["messages"][1]["tool_calls"][0].get("index"), None);
    assert!(encoded.losses.is_empty(), "{:?}", encoded.losses);
}

#[test]
fn thinking_in_plain_words_is_told_only_where_the_provider_takes_it() {
    let dialect = wire::dialect("openai-chat").expect("listed");
    let body = serde_json::json!({"model": "m", "messages": [
        {"role": "user", "content": "hi"},
        {"role": "assistant", "content": "Yes.", "reasoning_content": "hm"},
        {"role": "user", "content": "and?"},
    ]});
    assert!(dialect.peek(&Params::default(), body.to_string().as_bytes()).expect("valid").accent);
    let request = dialect.decode_request(&Params::default(), body).expect("valid");
    for takes in [false, true] {
        let mut target = wire::Target { model: "m".to_owned(), ..wire::Target::default() };
        target.quirks.accepts.extend(takes.then(|| "reasoning_content".to_owned()));
        let encoded = wire::protocol("openai-chat").expect("listed").encode_request(&request, &target);
        assert_eq!(encoded.body["messages"][1].get("reasoning_content").is_some(), takes);
        let losses: Vec<String> = encoded.losses.iter().map(ToString::to_string).collect();
        assert_eq!(losses.join(", "), if takes { "" } else { "messages[1].content[0]" });
    }
}
