//! Greedy answers are llama.cpp's own: tokens and text equal what `reference.py` recorded from llama-cpp-python on the
//! same file, one conversation at a time.

use super::{request, weights, whole, with_own_house};
use canon::{Role, StopReason};
use serde_json::Value;

fn recorded() -> Value {
    serde_json::from_str(include_str!("../data/greedy.json")).unwrap()
}

#[test]
fn greedy_tokens_and_text_equal_llama_cpp() {
    let recorded = recorded();
    let Some(path) = weights() else { return };
    let twin = engine::weights::transcode(&path).unwrap();
    if engine::weights::sha256(&twin).unwrap() != recorded["weights_sha256"].as_str().unwrap() {
        eprintln!("SKIPPED: {} is not the file that the reference was recorded on", twin.display());
        return;
    }
    with_own_house(
        |_| {},
        async |house| {
            let mut wrong = Vec::new();
            let cases = recorded["cases"].as_array().unwrap();
            assert!(cases.len() >= 20);
            for case in cases {
                let messages: Vec<(Role, &str)> = case["messages"].as_array().unwrap().iter().map(turn).collect();
                let mut request = request(&messages);
                request.sampling.max_output_tokens = recorded["max_tokens"].as_u64();
                let (answer, tokens) = whole(house, &request).await.unwrap();
                assert_eq!(answer.usage.input, case["prompt_tokens"].as_u64(), "prompt of {}", case["name"]);
                assert_eq!(house.count_tokens(&request).await.unwrap(), answer.usage.input.unwrap());
                let ids: Vec<i32> = serde_json::from_value(case["ids"].clone()).unwrap();
                let ended = answer.choices[0].stop.reason == StopReason::End;
                if tokens != ids || answer.text() != case["text"] || ended != (case["finish"] == "stop") {
                    let at = tokens.iter().zip(&ids).take_while(|(a, b)| a == b).count();
                    wrong.push(format!(
                        "{}: equal up to token {at} of {}\n  ours:   {:?}\n  theirs: {}",
                        case["name"],
                        ids.len(),
                        answer.text(),
                        case["text"]
                    ));
                }
            }
            assert!(wrong.is_empty(), "{} of {} differ:\n{}", wrong.len(), cases.len(), wrong.join("\n"));
        },
    );
}

fn turn(message: &Value) -> (Role, &str) {
    let role = match message["role"].as_str().unwrap() {
        "system" => Role::System,
        "assistant" => Role::Assistant,
        _ => Role::User,
    };
    (role, message["content"].as_str().unwrap())
}
