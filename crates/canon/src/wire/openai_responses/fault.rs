//! Failures inside answers: `response.failed` and the `error` event. Outside of answers errors are those of OpenAI Chat.

use crate::fault::{Fault, FaultKind, Side};
use crate::wire::openai_chat::decode_error;
use serde_json::{Value, json};

/// The `error` of a failed response. The wire knows few codes; clients decide by them whether to try again.
pub(super) fn encode_failed(fault: &Fault) -> Value {
    let code = match fault.kind {
        FaultKind::RateLimited | FaultKind::Budget => "rate_limit_exceeded",
        FaultKind::QuotaExhausted => "insufficient_quota",
        FaultKind::ContextLength => "context_length_exceeded",
        FaultKind::Invalid | FaultKind::ContentFilter | FaultKind::TooLarge | FaultKind::Loss => "invalid_prompt",
        _ => "server_error",
    };
    json!({"code": code, "message": fault.client_message()})
}

/// Reads a failure: an `error` event, a `response.failed` event, or a failed response object.
pub(super) fn decode_failed(data: &[u8]) -> Fault {
    let parsed: Value = serde_json::from_slice(data).unwrap_or_default();
    let error = [parsed.pointer("/response/error"), parsed.get("error")].into_iter().flatten().find(|e| !e.is_null());
    // The flat form's `type` only says that it is an error.
    let mut error = error.unwrap_or(&parsed).clone();
    if let Value::Object(fields) = &mut error
        && fields.get("type").and_then(Value::as_str) == Some("error")
    {
        fields.shift_remove("type");
    }
    let mut fault = decode_error(200, json!({"error": error}).to_string().as_bytes());
    if let Some((kind, side)) = fault.code.as_deref().and_then(known) {
        fault.kind = kind;
        fault.side = side;
        fault.retry = kind.row().2;
    }
    fault
}

/// Codes that only this wire has.
fn known(code: &str) -> Option<(FaultKind, Side)> {
    Some(match code {
        "server_is_overloaded" | "slow_down" => (FaultKind::Overloaded, Side::Provider),
        "invalid_prompt" | "bio_policy" | "misalignment_policy_violation" | "data_residency_mismatch" => {
            (FaultKind::Invalid, Side::Client)
        }
        "image_content_policy_violation" => (FaultKind::ContentFilter, Side::Client),
        image if image.contains("image") => (FaultKind::Invalid, Side::Client),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn failures_are_told_apart() {
        let table = [
            (r#"{"type":"error","code":"rate_limit_exceeded","message":"slow","param":null}"#, FaultKind::RateLimited),
            (r#"{"type":"error","error":{"type":"server_error","message":"x"}}"#, FaultKind::Server),
            (
                r#"{"type":"response.failed","response":{"error":{"code":"server_error","message":"x"}}}"#,
                FaultKind::Server,
            ),
            (r#"{"status":"failed","error":{"code":"invalid_prompt","message":"x"}}"#, FaultKind::Invalid),
            (
                r#"{"status":"failed","error":{"code":"context_length_exceeded","message":"x"}}"#,
                FaultKind::ContextLength,
            ),
            (r#"{"status":"failed","error":{"code":"server_is_overloaded","message":"x"}}"#, FaultKind::Overloaded),
            (r#"{"status":"failed","error":null}"#, FaultKind::Server),
            ("", FaultKind::Server),
        ];
        for (body, kind) in table {
            assert_eq!(decode_failed(body.as_bytes()).kind, kind, "{body}");
        }
    }
}
