//! Cached tokens are charged once. Five bodies as providers send them, of bills that other gateways got wrong (LiteLLM's
//! issues #9812, #11789, #14849, #34801 with #35127, and #40016), read by our own wires and priced as the bills were.

use canon::Usage;
use canon::answer::fold;
use canon::frame::SseReader;
use canon::wire::{decode_all, protocol};
use policy::{Counts, NanoUsd, Price};
use serde_json::{Value, json};

/// Dollars per million tokens.
fn usd(dollars: f64) -> NanoUsd {
    serde_json::from_value(json!(dollars)).expect("an amount")
}

fn price(input: f64, cache_read: f64, cache_write: f64, output: f64) -> Price {
    Price { cache_read: usd(cache_read), cache_write: usd(cache_write), ..Price::flat(usd(input), usd(output)) }
}

/// What `wire` reads from a whole answer, twice: into the canon and as it passes untouched.
fn usage(wire: &str, body: Value) -> Usage {
    let protocol = protocol(wire).expect("a wire");
    let seen = protocol.scan_response(body.to_string().as_bytes()).expect("an answer").usage;
    let read = protocol.decode_response(body).expect("an answer").usage;
    assert_eq!(Counts::of(&seen), Counts::of(&read), "both ways count alike");
    read
}

/// Asserts the cost, and that the parts sum to what the provider says in all.
fn assert_costs(usage: &Usage, price: &Price, dollars: f64, total: u64) {
    let counts = Counts::of(usage).expect("counts");
    assert_eq!(price.cost(&counts), usd(dollars), "{counts:?}");
    let parts = counts.parts();
    let prompt = parts.input + parts.cache_read + parts.cache_write + parts.cache_write_1h;
    assert_eq!(prompt + parts.output + parts.reasoning, total);
}

#[test]
fn anthropic_writing_to_the_cache_9812() {
    let said = json!({
        "id": "msg_1", "type": "message", "role": "assistant", "model": "claude-3-7-sonnet-20250219",
        "content": [{"type": "text", "text": "x"}], "stop_reason": "end_turn", "stop_sequence": null,
        "usage": {"input_tokens": 3, "cache_creation_input_tokens": 12304, "cache_read_input_tokens": 0, "output_tokens": 550},
    });
    assert_costs(&usage("anthropic-messages", said), &price(3.0, 0.3, 3.75, 15.0), 0.054_399, 12_857);
}

#[test]
fn anthropic_reading_from_the_cache_in_a_stream_11789() {
    let start = json!({"type": "message_start", "message": {
        "id": "msg_1", "type": "message", "role": "assistant", "model": "claude-3-5-haiku-20241022", "content": [],
        "stop_reason": null, "stop_sequence": null,
        "usage": {"input_tokens": 4, "cache_creation_input_tokens": 0, "cache_read_input_tokens": 2455, "output_tokens": 1},
    }});
    let events = [
        start,
        json!({"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}}),
        json!({"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "x"}}),
        json!({"type": "content_block_stop", "index": 0}),
        json!({"type": "message_delta", "delta": {"stop_reason": "end_turn", "stop_sequence": null},
               "usage": {"input_tokens": 4, "cache_creation_input_tokens": 0, "cache_read_input_tokens": 2455, "output_tokens": 23}}),
        json!({"type": "message_stop"}),
    ];
    let bytes: String =
        events.iter().map(|event| format!("event: {}\ndata: {event}\n\n", event["type"].as_str().unwrap())).collect();
    let mut frames = Vec::new();
    SseReader::default().push(bytes.into(), &mut frames).expect("frames");
    let protocol = protocol("anthropic-messages").expect("a wire");
    let answer = fold(&decode_all(protocol, &frames).expect("a stream")).expect("an answer");
    assert_costs(&answer.usage, &price(0.8, 0.08, 1.0, 4.0), 0.000_291_6, 2_482);
}

#[test]
fn gemini_reading_from_the_cache_14849() {
    let said = json!({
        "candidates": [{"content": {"role": "model", "parts": [{"text": "x"}]}, "finishReason": "STOP", "index": 0}],
        "usageMetadata": {"promptTokenCount": 262_960, "cachedContentTokenCount": 257_955, "candidatesTokenCount": 1_744,
                          "totalTokenCount": 264_704,
                          "promptTokensDetails": [{"modality": "TEXT", "tokenCount": 262_960}]},
        "modelVersion": "gemini-2.5-pro", "responseId": "r1",
    });
    assert_costs(&usage("gemini", said), &price(1.25, 0.625, 1.25, 10.0), 0.184_918_125, 264_704);
}

#[test]
fn openai_reading_from_and_writing_to_the_cache_34801() {
    let said = json!({
        "id": "resp_1", "object": "response", "created_at": 1, "status": "completed", "model": "gpt-5.6-sol",
        "output": [{"type": "message", "id": "msg_1", "role": "assistant", "status": "completed",
                    "content": [{"type": "output_text", "text": "x", "annotations": []}]}],
        "usage": {"input_tokens": 172_000, "input_tokens_details": {"cached_tokens": 155_000, "cache_write_tokens": 3_000},
                  "output_tokens": 0, "output_tokens_details": {"reasoning_tokens": 0}, "total_tokens": 172_000},
    });
    assert_costs(&usage("openai-responses", said), &price(5.0, 0.5, 6.25, 30.0), 0.166_25, 172_000);
}

#[test]
fn a_price_of_ones_own_40016() {
    let said = json!({
        "id": "msg_1", "type": "message", "role": "assistant", "model": "claude-opus-4-5",
        "content": [{"type": "text", "text": "x"}], "stop_reason": "end_turn", "stop_sequence": null,
        "usage": {"input_tokens": 10, "cache_creation_input_tokens": 32_435, "cache_read_input_tokens": 66_360,
                  "cache_creation": {"ephemeral_5m_input_tokens": 2_435, "ephemeral_1h_input_tokens": 30_000},
                  "output_tokens": 5_120},
    });
    let own = Price { cache_write_1h: usd(10.0), ..price(5.0, 0.5, 6.25, 25.0) };
    let dollars = (10.0 * 5.0 + 66_360.0 * 0.5 + 2_435.0 * 6.25 + 30_000.0 * 10.0 + 5_120.0 * 25.0) / 1e6;
    assert_costs(&usage("anthropic-messages", said), &own, dollars, 103_925);
}
