//! Errors as OpenAI writes them: `{"error": {"message", "type", "param", "code"}}`.
//! Types and codes after OpenAI's guide "Error codes" and the SDK's `ErrorObject`.

use crate::fault::{Fault, FaultKind, Side};
use serde_json::{Value, json};

/// Writes a fault as an error body.
#[must_use]
pub fn encode_error(fault: &Fault) -> Value {
    let code = match (fault.side, fault.kind) {
        (Side::Client, FaultKind::NotFound) => match fault.param.as_deref() {
            Some("model") => "model_not_found",
            Some("previous_response_id") => "previous_response_not_found",
            _ => fault.kind.name(),
        },
        (_, kind) => kind.name(),
    };
    json!({"error": {
        "message": fault.client_message(),
        "type": error_type(fault),
        "param": fault.param,
        "code": code,
    }})
}

fn error_type(fault: &Fault) -> &'static str {
    match fault.client_status() {
        401 => "authentication_error",
        403 => "permission_error",
        429 if fault.kind == FaultKind::QuotaExhausted => "insufficient_quota",
        429 => "rate_limit_error",
        500.. => "server_error",
        _ => "invalid_request_error",
    }
}

/// Reads an upstream's error: a status, or status 200 with an error in a stream or body.
#[must_use]
pub fn decode_error(status: u16, body: &[u8]) -> Fault {
    let parsed: Option<Value> = serde_json::from_slice(body).ok();
    let error = parsed.as_ref().map(|value| value.get("error").unwrap_or(value));
    let text = |key: &str| error.and_then(|error| error.get(key)).and_then(Value::as_str);
    let message = text("message")
        .or_else(|| text("detail"))
        .or_else(|| error.and_then(Value::as_str))
        .map_or_else(|| format!("the provider answered with status {status}"), str::to_owned);
    let code = text("code")
        .map(str::to_owned)
        .or_else(|| error.and_then(|error| error.get("code")).and_then(Value::as_u64).map(|code| code.to_string()));
    let kind = kind(status, code.as_deref(), text("type"), &message);
    let side = if matches!(kind, FaultKind::Invalid | FaultKind::ContextLength | FaultKind::ContentFilter) {
        Side::Client
    } else {
        Side::Provider
    };
    let mut fault = Fault::new(kind, side, message);
    fault.retry = kind.row().2;
    fault.status = Some(status);
    fault.code = code;
    fault.param = text("param").map(str::to_owned);
    fault
}

fn kind(status: u16, code: Option<&str>, error_type: Option<&str>, message: &str) -> FaultKind {
    let is = |word: &str| code == Some(word) || error_type == Some(word);
    if is("context_length_exceeded") || is("exceed_context_size_error") || message.contains("maximum context length") {
        return FaultKind::ContextLength;
    }
    if is("content_filter") || is("content_policy_violation") || is("ResponsibleAIPolicyViolation") {
        return FaultKind::ContentFilter;
    }
    if is("insufficient_quota") || is("billing_hard_limit_reached") {
        return FaultKind::QuotaExhausted;
    }
    // Inside a 200 answer the status says nothing: read the words.
    if status < 400 {
        return match error_type.or(code) {
            Some("rate_limit_error" | "rate_limit_exceeded" | "429") => FaultKind::RateLimited,
            Some("overloaded_error" | "overloaded" | "503" | "529") => FaultKind::Overloaded,
            Some("invalid_request_error" | "400") => FaultKind::Invalid,
            _ => FaultKind::Server,
        };
    }
    Fault::kind_of_status(status)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn upstream_errors_are_told_apart() {
        let table = [
            (
                429,
                r#"{"error":{"message":"slow","type":"requests","code":"rate_limit_exceeded"}}"#,
                FaultKind::RateLimited,
            ),
            (
                429,
                r#"{"error":{"message":"pay","type":"insufficient_quota","code":"insufficient_quota"}}"#,
                FaultKind::QuotaExhausted,
            ),
            (
                400,
                r#"{"error":{"message":"This model's maximum context length is 8192 tokens"}}"#,
                FaultKind::ContextLength,
            ),
            (400, r#"{"error":{"message":"no","code":"content_filter"}}"#, FaultKind::ContentFilter),
            (400, r#"{"error":{"message":"bad","type":"invalid_request_error"}}"#, FaultKind::Invalid),
            (503, "<html>busy</html>", FaultKind::Overloaded),
            (500, "", FaultKind::Server),
            (200, r#"{"error":{"message":"x","type":"server_error"}}"#, FaultKind::Server),
        ];
        for (status, body, kind) in table {
            assert_eq!(decode_error(status, body.as_bytes()).kind, kind, "{status} {body}");
        }
    }

    #[test]
    fn a_refused_key_of_ours_is_not_the_clients() {
        let fault = decode_error(401, br#"{"error":{"message":"Incorrect API key provided: sk-se*ret"}}"#);
        let body = encode_error(&fault);
        assert_eq!(fault.client_status(), 502);
        assert!(!body.to_string().contains("sk-se"));
    }
}
