//! Answers held to a form: stop texts, seeds, schemas, tools, log probabilities.

use super::{collect, request, soon, text, user, whole, with_house};
use canon::{FaultKind, Message, OutputFormat, Part, Request, Role, StopReason, Tool, ToolChoice, answer};
use serde_json::{Map, Value, json};

#[test]
fn a_stop_text_ends_the_answer_and_does_not_leak() {
    with_house(async |house| {
        let asked = user("List the planets of the solar system, one per line.");
        let all = text(house, &asked).await;
        let mut stopped = asked.clone();
        stopped.sampling.stop = vec!["never said".to_owned(), "Jupiter".to_owned()];
        let (answer, _) = whole(house, &stopped).await.unwrap();
        assert_eq!(answer.text(), all[..all.find("Jupiter").unwrap()]);
        let stop = &answer.choices[0].stop;
        assert_eq!((stop.reason, stop.sequence.as_deref()), (StopReason::StopSequence, Some("Jupiter")));
    });
}

#[test]
fn the_same_seed_says_the_same_and_another_does_not() {
    with_house(async |house| {
        let mut request = user("Write one sentence about dragons.");
        request.sampling.temperature = Some(1.0);
        request.sampling.top_p = Some(0.95);
        request.sampling.seed = Some(42);
        let (one, two) = (text(house, &request).await, text(house, &request).await);
        assert_eq!(one, two);
        request.sampling.seed = Some(43);
        assert_ne!(text(house, &request).await, one);
    });
}

#[test]
fn penalties_change_what_repeats() {
    with_house(async |house| {
        let mut request = user("Repeat the word 'no' forever: no no no no no no");
        request.sampling.max_output_tokens = Some(48);
        let distinct = |tokens: &[i32]| tokens.iter().collect::<std::collections::HashSet<_>>().len();
        let plain = whole(house, &request).await.unwrap().1;
        request.sampling.frequency_penalty = Some(2.0);
        request.sampling.presence_penalty = Some(2.0);
        let punished = whole(house, &request).await.unwrap().1;
        let share = |tokens: &[i32]| distinct(tokens) as f64 / tokens.len() as f64;
        assert!(share(&punished) > share(&plain), "{} against {}", share(&punished), share(&plain));
    });
}

/// Checks the few words of JSON Schema that the tests below use.
fn fits(value: &Value, schema: &Value) -> bool {
    if let Some(allowed) = schema["enum"].as_array() {
        return allowed.contains(value);
    }
    match schema["type"].as_str() {
        Some("object") => value.as_object().is_some_and(|fields| {
            let required = schema["required"].as_array().cloned().unwrap_or_default();
            required.iter().all(|key| fields.contains_key(key.as_str().unwrap()))
                && fields.iter().all(|(key, value)| fits(value, &schema["properties"][key]))
        }),
        Some("array") => value.as_array().is_some_and(|items| {
            items.len() as u64 <= schema["maxItems"].as_u64().unwrap_or(u64::MAX)
                && items.iter().all(|item| fits(item, &schema["items"]))
        }),
        Some("string") => value
            .as_str()
            .is_some_and(|text| text.chars().count() as u64 <= schema["maxLength"].as_u64().unwrap_or(u64::MAX)),
        Some("integer") => value.is_i64() || value.is_u64(),
        Some("number") => value.is_number(),
        Some("boolean") => value.is_boolean(),
        _ => false,
    }
}

fn schemas() -> Vec<Value> {
    vec![
        json!({"type": "object", "required": ["name", "age", "kind"], "additionalProperties": false,
               "properties": {"name": {"type": "string", "maxLength": 20}, "age": {"type": "integer"},
                              "kind": {"enum": ["cat", "dog"]}}}),
        json!({"type": "object", "required": ["ok", "tags"],
               "properties": {"ok": {"type": "boolean"},
                              "tags": {"type": "array", "maxItems": 3, "items": {"type": "string", "maxLength": 8}}}}),
        json!({"type": "object", "required": ["at"],
               "properties": {"at": {"type": "object", "required": ["x", "y"],
                                     "properties": {"x": {"type": "integer"}, "y": {"type": "integer"}}}}}),
        json!({"type": "array", "maxItems": 2, "items": {"enum": ["red", "green"]}}),
    ]
}

#[test]
fn a_schema_is_met_greedily_and_by_chance() {
    with_house(async |house| {
        for schema in schemas() {
            for temperature in [0.0, 1.0] {
                let mut request = user("Tom is a cat and five years old. Describe him.");
                request.sampling.temperature = Some(temperature);
                request.sampling.seed = Some(3);
                request.sampling.max_output_tokens = Some(200);
                let schema = schema.clone();
                request.output =
                    OutputFormat::Schema { name: None, description: None, schema: schema.clone(), strict: Some(true) };
                let (answer, _) = whole(house, &request).await.unwrap();
                let value: Value = serde_json::from_str(&answer.text()).unwrap_or_else(|_| panic!("{}", answer.text()));
                assert!(fits(&value, &schema), "{value} does not fit {schema}");
                assert_eq!(answer.choices[0].stop.reason, StopReason::End);
            }
        }
    });
}

#[test]
fn json_alone_is_an_object() {
    with_house(async |house| {
        let mut request = user("Give me a JSON object with one field `a` that is 1. Nothing else.");
        request.output = OutputFormat::Json;
        request.sampling.max_output_tokens = Some(200);
        let text = text(house, &request).await;
        assert!(text.trim_start().starts_with('{'), "{text}");
    });
}

#[test]
fn a_schema_that_is_none_is_a_clear_refusal() {
    with_house(async |house| {
        let mut request = user("Hi");
        let schema = json!({"type": "object", "properties": {"a": {"$ref": "#/$defs/missing"}}});
        request.output = OutputFormat::Schema { name: None, description: None, schema, strict: None };
        let fault = whole(house, &request).await.unwrap_err();
        assert_eq!((fault.kind, fault.param.as_deref()), (FaultKind::Invalid, Some("response_format")));
        assert!(text(house, &user("Still there?")).await.len() > 1);
    });
}

fn weather() -> Request {
    let mut request = user("What is the weather in Paris?");
    request.sampling.max_output_tokens = Some(200);
    let city = json!({"type": "object", "properties": {"city": {"$ref": "#/$defs/City"}}, "required": ["city"],
                      "$defs": {"City": {"type": "string", "maxLength": 20}}});
    for (name, parameters) in [("get_weather", Some(city)), ("get_time", None)] {
        request.tools.push(Tool::Function {
            name: name.to_owned(),
            description: Some(format!("{name} of a place")),
            parameters,
            strict: None,
            cache: None,
            extras: Map::new(),
        });
    }
    request
}

fn calls(parts: &[Part]) -> Vec<(String, Value, String)> {
    let call = |part: &Part| match part {
        Part::ToolCall { call_id, name, arguments, .. } => {
            Some((name.clone(), serde_json::from_str(arguments).unwrap(), call_id.clone()))
        }
        _ => None,
    };
    parts.iter().filter_map(call).collect()
}

#[test]
fn a_call_is_made_when_it_must_be() {
    with_house(async |house| {
        for (choice, name) in [
            (ToolChoice::Required, "get_weather"),
            (ToolChoice::Function("get_weather".to_owned()), "get_weather"),
            (ToolChoice::Function("get_time".to_owned()), "get_time"),
        ] {
            let mut request = weather();
            request.tool_choice = Some(choice);
            request.parallel_tool_calls = Some(false);
            let (answer, _) = whole(house, &request).await.unwrap();
            let calls = calls(&answer.choices[0].parts);
            assert_eq!(calls.len(), 1, "{:?}", answer.choices);
            assert_eq!(calls[0].0, name);
            assert!(calls[0].1.is_object());
            assert_eq!(name == "get_weather", calls[0].1["city"].is_string());
            assert_eq!(answer.choices[0].stop.reason, StopReason::ToolCalls);
            assert!(!answer.text().contains("tool_call"));
        }
    });
}

#[test]
fn parallel_calls_have_ids_of_their_own_and_stream() {
    with_house(async |house| {
        let mut request = weather();
        request.messages[0] = Message::text(Role::User, "What is the weather in Paris, in Rome and in Oslo?");
        request.tool_choice = Some(ToolChoice::Required);
        request.sampling.temperature = Some(1.0);
        request.sampling.seed = Some(5);
        request.sampling.max_output_tokens = Some(400);
        let mut answer = house.generate(&request, soon()).unwrap();
        let events = collect(&mut answer).await.unwrap();
        let response = answer::fold(&events).unwrap();
        let ids: std::collections::HashSet<String> =
            calls(&response.choices[0].parts).into_iter().map(|(_, _, id)| id).collect();
        let parts = response.choices[0].parts.iter().filter(|part| matches!(part, Part::ToolCall { .. })).count();
        assert_eq!(ids.len(), parts);
        assert!(parts >= 1);
    });
}

#[test]
fn tools_may_be_forbidden_and_plain_words_stay_possible() {
    with_house(async |house| {
        let mut request = weather();
        request.tool_choice = Some(ToolChoice::None);
        let (answer, _) = whole(house, &request).await.unwrap();
        assert!(calls(&answer.choices[0].parts).is_empty());
        assert_eq!(answer.usage.input, Some(house.count_tokens(&user("What is the weather in Paris?")).await.unwrap()));
        request.tool_choice = None;
        let (auto, _) = whole(house, &request).await.unwrap();
        assert!(!auto.choices[0].parts.is_empty());
    });
}

#[test]
fn results_of_tools_are_read() {
    with_house(async |house| {
        let mut talk = weather();
        let call = Part::ToolCall {
            call_id: "call_1".to_owned(),
            name: "get_weather".to_owned(),
            arguments: r#"{"city":"Paris"}"#.to_owned(),
            seal: None,
            cache: None,
            extras: Map::new(),
        };
        let result = Part::ToolResult {
            call_id: "call_1".to_owned(),
            content: vec![Part::text("sunny, 31 degrees")],
            is_error: false,
            cache: None,
            extras: Map::new(),
        };
        talk.messages.push(Message::new(Role::Assistant, vec![call]));
        talk.messages.push(Message::new(Role::Tool, vec![result]));
        talk.tool_choice = Some(ToolChoice::None);
        let answer = text(house, &talk).await;
        assert!(answer.contains("31") || answer.contains("sunny"), "{answer}");
    });
}

#[test]
fn log_probabilities_belong_to_their_words() {
    with_house(async |house| {
        let mut request = request(&[(Role::User, "Say yes or no.")]);
        request.sampling.logprobs = Some(true);
        request.sampling.top_logprobs = Some(5);
        let (answer, tokens) = whole(house, &request).await.unwrap();
        let Part::Text { text, logprobs, .. } = &answer.choices[0].parts[0] else { panic!("{answer:?}") };
        assert_eq!(logprobs.len(), tokens.len());
        let bytes: Vec<u8> = logprobs.iter().flat_map(|one| one.bytes.clone().unwrap()).collect();
        assert_eq!(String::from_utf8(bytes).unwrap(), *text);
        for one in logprobs {
            assert_eq!(one.top.len(), 5);
            assert_eq!(one.top[0].logprob, one.logprob, "greedy takes the likeliest");
            assert!(one.top.windows(2).all(|pair| pair[0].logprob >= pair[1].logprob));
            let sum: f64 = one.top.iter().map(|one| one.logprob.exp()).sum();
            assert!((0.0..=1.0 + 1e-6).contains(&sum), "{sum}");
        }
    });
}
