//! The stream grammars catch each slip that is put into a good stream.

use testkit::grammar::{Asked, Ended, Heard, grammar};

fn chunk(choices: &str) -> String {
    chunk_with(choices, "")
}

fn chunk_with(choices: &str, more: &str) -> String {
    format!(
        r#"data: {{"id":"c1","object":"chat.completion.chunk","created":1,"model":"m","choices":[{choices}]{more}}}"#
    )
}

fn delta(delta: &str) -> String {
    chunk(&format!(r#"{{"index":0,"delta":{{{delta}}},"logprobs":null,"finish_reason":null}}"#))
}

fn finish(word: &str) -> String {
    chunk(&format!(r#"{{"index":0,"delta":{{}},"finish_reason":{word}}}"#))
}

fn usage(total: u64) -> String {
    chunk_with("", &format!(r#","usage":{{"prompt_tokens":1,"completion_tokens":2,"total_tokens":{total}}}"#))
}

fn call(body: &str) -> String {
    delta(&format!(r#""tool_calls":[{{{body}}}]"#))
}

const ROLE: &str = r#""role":"assistant","content":"""#;
const DONE: &str = "data: [DONE]";
const FIRST: &str = r#""index":0,"id":"call_1","type":"function","function":{"name":"f","arguments":""}"#;
const ARGUMENTS: &str = r#""index":0,"function":{"arguments":"{}"}"#;

fn hear(frames: &[String], asked: &Asked) -> Heard {
    let text: String = frames.iter().map(|frame| format!("{frame}\n\n")).collect();
    grammar("openai-chat").expect("grammar").stream(text.as_bytes(), asked)
}

fn done() -> String {
    DONE.to_owned()
}

#[test]
fn good_streams_are_well() {
    let usage_asked = Asked { usage: Some(true), n: Some(1) };
    let text = [delta(ROLE), delta(r#""content":"hi""#), finish(r#""stop""#), usage(3), done()];
    let heard = hear(&text, &usage_asked);
    assert!(heard.is_well() && heard.text() == "hi", "{heard:?}");
    let calls = [delta(ROLE), call(FIRST), call(ARGUMENTS), finish(r#""tool_calls""#), done()];
    assert!(hear(&calls, &Asked::default()).is_well());
    let error = [delta(ROLE), r#"data: {"error":{"message":"m","type":"t","param":null,"code":null}}"#.to_owned()];
    let heard = hear(&error, &Asked::default());
    assert!(heard.ended == Ended::Error && heard.violations.is_empty());
    let cut = hear(&text[..2], &usage_asked);
    assert!(cut.ended == Ended::Cut && cut.violations.is_empty() && !cut.is_well());
}

fn stop() -> String {
    finish(r#""stop""#)
}

fn role() -> String {
    delta(ROLE)
}

/// Each stream, what it was asked for, and the slip that must be named.
fn named(table: &[(Vec<String>, &Asked, &str)]) {
    for (frames, asked, slip) in table {
        let heard = hear(frames, asked);
        assert!(
            heard.violations.iter().any(|told| told.contains(slip)),
            "`{slip}` not named in {:?}",
            heard.violations
        );
        assert!(!heard.is_well());
    }
}

#[test]
fn each_slip_in_a_call_is_named() {
    let calls = || finish(r#""tool_calls""#);
    let any = Asked::default();
    named(&[
        (vec![role(), call(FIRST), call(ARGUMENTS), stop(), done()], &any, "`stop` beside tool calls"),
        (vec![role(), calls(), done()], &any, "without a call"),
        (vec![role(), call(&FIRST.replace("\"index\":0", "\"index\":1")), calls(), done()], &any, "a gap"),
        (vec![role(), call(&FIRST.replace("\"index\":0,", "")), stop(), done()], &any, "without `index`"),
        (
            vec![role(), call(&FIRST.replace("\"id\":\"call_1\",", "")), call(ARGUMENTS), calls(), done()],
            &any,
            "lacks `id`",
        ),
        (vec![role(), call(FIRST), call(FIRST), calls(), done()], &any, "in a later delta of tool call"),
        (
            vec![role(), call(FIRST), call(r#""index":0,"id":null,"function":{"arguments":"{}"}"#), calls(), done()],
            &any,
            "in a later delta of tool call",
        ),
        (
            vec![role(), call(FIRST), call(r#""index":0,"function":{"arguments":null}"#), calls(), done()],
            &any,
            "is no string",
        ),
        (vec![role(), call(FIRST), call(&ARGUMENTS.replace("{}", "{")), calls(), done()], &any, "are no JSON"),
        (vec![role(), call(FIRST), calls(), done()], &any, "are no JSON"),
        (vec![role(), delta(r#""tool_calls":null"#), stop(), done()], &any, "`tool_calls` is no list"),
    ]);
}

#[test]
fn each_slip_is_named() {
    let text = || delta(r#""content":"hi""#);
    let other_id = text().replace("\"c1\"", "\"c2\"");
    let no_asked = Asked { usage: Some(false), n: None };
    let asked = Asked { usage: Some(true), n: None };
    let any = Asked::default();
    named(&[
        (vec![role(), other_id, stop(), done()], &any, "another than in the first"),
        (vec![role(), text().replace("m\",\"ch", "n\",\"ch"), stop(), done()], &any, "another than in the first"),
        (vec![role(), text().replace(".chunk", ""), stop(), done()], &any, "`object`"),
        (vec![text(), stop(), done()], &any, "no `role`"),
        (vec![delta(r#""role":"user""#), stop(), done()], &any, "not `assistant`"),
        (vec![role(), role(), stop(), done()], &any, "`role` in a later delta"),
        (vec![role(), delta(r#""role":null,"content":"x""#), stop(), done()], &any, "`role` in a later delta"),
        (vec![role(), text(), done()], &any, "before every choice has its finish"),
        (vec![role(), stop(), stop(), done()], &any, "after its finish"),
        (vec![role(), stop(), text(), done()], &any, "after its finish"),
        (vec![role(), finish(r#""bored""#), done()], &any, "`finish_reason` is"),
        (
            vec![role(), chunk(r#"{"index":0,"delta":{"content":"x"},"finish_reason":"stop"}"#), done()],
            &any,
            "in the chunk that finishes",
        ),
        (vec![role(), chunk(r#"{"index":0,"delta":{}}"#), stop(), done()], &any, "without `finish_reason`"),
        (
            vec![role(), chunk(r#"{"index":0,"delta":null,"finish_reason":null}"#), stop(), done()],
            &any,
            "`delta` is no object",
        ),
        (vec![role(), chunk(r#"{"delta":{},"finish_reason":null}"#), stop(), done()], &any, "without `index`"),
        (vec![role(), delta(r#""content":1"#), stop(), done()], &any, "`content` is no string"),
        (vec![role(), chunk(""), stop(), done()], &any, "neither choices nor usage"),
        (vec![role(), stop(), usage(3), done()], &no_asked, "not asked for"),
        (vec![role(), stop(), done()], &asked, "no usage"),
        (vec![role(), usage(3), stop(), done()], &asked, "usage before the finish"),
        (vec![role(), stop(), usage(3), usage(3), done()], &asked, "more than once"),
        (vec![role(), stop(), usage(4), done()], &asked, "not the sum"),
        (vec![role(), stop(), done(), done()], &any, "after `[DONE]`"),
        (vec![role(), stop(), done(), text()], &any, "after `[DONE]`"),
        (vec![done()], &any, "without a choice"),
        (vec!["event: message".to_owned() + "\n" + &role(), stop(), done()], &any, "an event name"),
        (vec![role(), "data: {".to_owned(), stop(), done()], &any, "no JSON"),
        (vec![role(), "dta: {}".to_owned(), stop(), done()], &any, "unknown field"),
        (vec![role(), r#"data: {"error":{"message":"m"}}"#.to_owned()], &any, "without `type`"),
        (
            vec![role(), r#"data: {"error":{"message":"m","type":"t","param":null,"code":null}}"#.to_owned(), done()],
            &any,
            "after the error",
        ),
    ]);
    assert!(!hear(&[role(), stop(), done()], &Asked { usage: None, n: Some(2) }).is_well());
    let open = format!("{}\n\n{}\n\n{DONE}\n", role(), stop());
    assert!(!grammar("openai-chat").expect("grammar").stream(open.as_bytes(), &any).violations.is_empty());
}
