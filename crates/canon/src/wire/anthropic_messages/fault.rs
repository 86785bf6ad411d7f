//! Errors as Anthropic writes them: `{"type": "error", "error": {"type", "message"}, "request_id"}`.
//! Types after the SDK's `ErrorObject` union and Anthropic's page on errors.

use crate::fault::{Fault, FaultKind, Side};
use serde_json::{Value, json};

/// Writes a fault as an error body. `request_id` is ours, null where the writer does not know it.
#[must_use]
pub fn encode_error(fault: &Fault, request_id: Option<&str>) -> Value {
    json!({
        "type": "error",
        "error": {"type": error_type(fault), "message": fault.client_message(), "code": fault.kind.name()},
        "request_id": request_id,
    })
}

fn error_type(fault: &Fault) -> &'static str {
    if fault.kind == FaultKind::Overloaded {
        return "overloaded_error";
    }
    match fault.client_status() {
        401 => "authentication_error",
        402 => "billing_error",
        403 => "permission_error",
        404 => "not_found_error",
        413 => "request_too_large",
        429 => "rate_limit_error",
        504 => "timeout_error",
        500.. => "api_error",
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
    let word = text("type");
    // Told by one of us: its code is the kind itself.
    let own = text("code").and_then(FaultKind::named);
    let kind = own.unwrap_or_else(|| kind(status, word, &message));
    let side = if matches!(kind, FaultKind::Invalid | FaultKind::ContextLength | FaultKind::ContentFilter) {
        Side::Client
    } else {
        Side::Provider
    };
    let mut fault = Fault::new(kind, side, message);
    fault.retry = kind.row().2;
    fault.status = Some(if status < 400 && word == Some("overloaded_error") { 529 } else { status });
    fault.code = word.map(str::to_owned);
    fault
}

fn kind(status: u16, word: Option<&str>, message: &str) -> FaultKind {
    // What the wire tells apart by words only.
    if message.contains("prompt is too long") || message.contains("exceed context limit") {
        return FaultKind::ContextLength;
    }
    if message.contains("credit balance is too low") {
        return FaultKind::Billing;
    }
    if message.contains("API usage limits") {
        return FaultKind::QuotaExhausted;
    }
    if message.contains("content filtering policy") {
        return FaultKind::ContentFilter;
    }
    match word {
        Some("authentication_error") => FaultKind::Unauthenticated,
        Some("billing_error") => FaultKind::Billing,
        Some("permission_error") => FaultKind::Forbidden,
        Some("not_found_error") => FaultKind::NotFound,
        Some("request_too_large") => FaultKind::TooLarge,
        Some("rate_limit_error") => FaultKind::RateLimited,
        Some("overloaded_error") => FaultKind::Overloaded,
        Some("invalid_request_error") if status < 400 => FaultKind::Invalid,
        // Inside a 200 answer the status says nothing.
        _ if status < 400 => FaultKind::Server,
        _ => Fault::kind_of_status(status),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn upstream_errors_are_told_apart() {
        let row = |word: &str, message: &str| {
            format!(r#"{{"type":"error","error":{{"type":"{word}","message":"{message}"}},"request_id":"req_1"}}"#)
        };
        let table = [
            (400, row("invalid_request_error", "max_tokens: required"), FaultKind::Invalid),
            (400, row("invalid_request_error", "prompt is too long: 210000 tokens > 200000"), FaultKind::ContextLength),
            (400, row("invalid_request_error", "Your credit balance is too low"), FaultKind::Billing),
            (400, row("invalid_request_error", "Output blocked by content filtering policy"), FaultKind::ContentFilter),
            (401, row("authentication_error", "invalid x-api-key"), FaultKind::Unauthenticated),
            (402, row("billing_error", "x"), FaultKind::Billing),
            (403, row("permission_error", "x"), FaultKind::Forbidden),
            (404, row("not_found_error", "model: x"), FaultKind::NotFound),
            (413, row("request_too_large", "x"), FaultKind::TooLarge),
            (429, row("rate_limit_error", "x"), FaultKind::RateLimited),
            (500, row("api_error", "x"), FaultKind::Server),
            (529, row("overloaded_error", "Overloaded"), FaultKind::Overloaded),
            (200, row("overloaded_error", "Overloaded"), FaultKind::Overloaded),
            (200, row("api_error", "x"), FaultKind::Server),
            (503, "<html>busy</html>".to_owned(), FaultKind::Overloaded),
        ];
        for (status, body, kind) in table {
            assert_eq!(decode_error(status, body.as_bytes()).kind, kind, "{status} {body}");
        }
    }

    #[test]
    fn an_overloaded_provider_stays_529() {
        for status in [529, 200] {
            let fault =
                decode_error(status, br#"{"type":"error","error":{"type":"overloaded_error","message":"busy"}}"#);
            assert_eq!(fault.client_status(), 529);
            assert_eq!(encode_error(&fault, None)["error"]["type"], "overloaded_error");
        }
    }

    #[test]
    fn every_kind_has_a_type_of_the_wire() {
        for kind in FaultKind::ALL {
            for side in [Side::Client, Side::Gateway, Side::Provider] {
                let body = encode_error(&Fault::new(kind, side, "words"), Some("req_1"));
                assert_eq!(body["type"], "error");
                assert!(
                    body["error"]["type"]
                        .as_str()
                        .is_some_and(|word| word.ends_with("_error") || word == "request_too_large")
                );
            }
        }
    }

    #[test]
    fn a_refused_key_of_ours_is_not_the_clients() {
        let fault =
            decode_error(401, br#"{"error":{"type":"authentication_error","message":"invalid sk-ant-secret"}}"#);
        assert_eq!(fault.client_status(), 502);
        assert!(!encode_error(&fault, None).to_string().contains("sk-ant"));
    }
}
