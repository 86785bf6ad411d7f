//! What the micro-benchmarks work on: conversations of the sizes that `bench/gateway` sends, answers, streams, fleets
//! and rows. No clock and no chance: every run sees the same.

use ledger::{Attempt, Candidate, Mode, Name, Outcome, Portability, RequestId, UsageSource};
use policy::rules::Rules;
use policy::{Deployment, Fleet, FleetSpec, NanoUsd, Price};
use serde_json::{Value, json};
use std::sync::Arc;

/// A Chat Completions body of about `bytes`.
#[must_use]
pub fn chat(bytes: usize) -> Vec<u8> {
    let text = "The quick brown fox jumps over the lazy dog, and nobody asks why. ".repeat(4);
    let mut turns: Vec<Value> = Vec::new();
    while turns.len() * (text.len() + 34) < bytes || turns.len() % 2 == 0 {
        turns.push(json!({"role": if turns.len() % 2 == 0 { "user" } else { "assistant" }, "content": text}));
    }
    json!({"model": "bench", "messages": turns, "max_tokens": 100}).to_string().into_bytes()
}

/// A whole answer of Anthropic Messages with 100 tokens.
#[must_use]
pub fn claude() -> Vec<u8> {
    let words = "lorem ipsum ".repeat(50);
    json!({"id": "msg_bench", "type": "message", "role": "assistant", "model": "bench",
        "content": [{"type": "text", "text": words}], "stop_reason": "end_turn", "stop_sequence": null,
        "usage": {"input_tokens": 200, "output_tokens": 100}})
    .to_string()
    .into_bytes()
}

/// A whole answer of Chat Completions with 100 tokens.
#[must_use]
pub fn completion() -> Vec<u8> {
    let words = "lorem ipsum ".repeat(50);
    json!({"id": "chatcmpl-bench", "object": "chat.completion", "created": 1_700_000_000, "model": "bench",
        "choices": [{"index": 0, "message": {"role": "assistant", "content": words, "refusal": null},
            "logprobs": null, "finish_reason": "stop"}],
        "usage": {"prompt_tokens": 200, "completion_tokens": 100, "total_tokens": 300}})
    .to_string()
    .into_bytes()
}

/// One streamed chunk of Chat Completions.
#[must_use]
pub fn chat_chunk() -> String {
    let chunk = json!({"id": "chatcmpl-bench", "object": "chat.completion.chunk", "created": 1_700_000_000, "model": "bench",
        "choices": [{"index": 0, "delta": {"content": "@1764000000000000@"}, "logprobs": null, "finish_reason": null}]});
    format!("data: {chunk}\n\n")
}

/// One streamed event of Anthropic Messages.
#[must_use]
pub fn claude_chunk() -> String {
    let chunk = json!({"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "@1764000000000000@"}});
    format!("event: content_block_delta\ndata: {chunk}\n\n")
}

/// A fleet of so many deployments of as many models, one product.
///
/// # Panics
/// Never: the fleet is valid.
#[must_use]
pub fn fleet(deployments: u32) -> Fleet {
    let one = |at: u32| Deployment {
        name: format!("deployment-{at}"),
        provider: format!("provider-{at}"),
        model: if at == 0 { "bench".to_owned() } else { format!("model-{at}") },
        maker: format!("maker-{}", at % 7),
        host: format!("host-{}", at % 5),
        invoicer: format!("host-{}", at % 5),
        account: format!("host-{}", at % 5),
        order: at,
        ..Deployment::default()
    };
    let spec = FleetSpec {
        version: 1,
        deployments: (0..deployments).map(one).collect(),
        products: vec![("bench".to_owned(), Rules::default())],
        unknown_price: Price { input: NanoUsd::from_dollars(100), ..Price::FREE },
    };
    Fleet::build(spec).expect("a valid fleet")
}

/// A row as the gateway writes it, number `at`.
#[must_use]
pub fn row(at: u64) -> Attempt {
    let name = |text: &str| Some(Name::from(text));
    Attempt {
        mode: Mode::Live,
        outcome: Outcome::Ok,
        product: name("bench"),
        key: name("key_0123456789abcdef"),
        dialect: name("openai-chat"),
        protocol: name("openai-chat"),
        requested_model: name("bench"),
        resolved_model: name("bench"),
        deployment: name("bench"),
        provider: name("bench"),
        maker: name("bench"),
        host: name("bench"),
        invoicer: name("bench"),
        account: name("bench"),
        policy_version: name("0123456789abcdef"),
        candidates: vec![Candidate { deployment: Arc::from("bench"), dropped: None, score: Some(0.0) }],
        score: Some(0.0),
        probability: Some(1.0),
        input_tokens: Some(200),
        output_tokens: Some(100),
        usage_source: UsageSource::Reported,
        connect_us: Some(100),
        first_token_us: Some(120),
        last_token_us: Some(130),
        portability: Some(Portability::Portable),
        bytes_in: Some(1_200),
        bytes_out: Some(800),
        ..Attempt::new(RequestId::new(1_764_000_000_000 + at / 20, u128::from(at) << 60), 1, 1_764_000_000_000_000)
    }
}
