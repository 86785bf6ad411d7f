//! Errors as Google writes them: `{"error": {"code", "message", "status", "details"}}`, a `google.rpc.Status`.
//! Words after Google's API design guide and the details that the Gemini API sends (`ErrorInfo`, `RetryInfo`,
//! `QuotaFailure`, `BadRequest`).

use crate::fault::{Fault, FaultKind, Side};
use serde_json::{Value, json};
use std::time::Duration;

/// Who gives the reasons of our own errors.
const DOMAIN: &str = "autarky";

/// Writes a fault as an error body.
#[must_use]
pub fn encode_error(fault: &Fault) -> Value {
    let code = fault.client_status();
    let mut details = vec![json!({
        "@type": "type.googleapis.com/google.rpc.ErrorInfo",
        "reason": fault.kind.name().to_ascii_uppercase(),
        "domain": DOMAIN,
    })];
    if let Some(field) = &fault.param {
        details.push(json!({
            "@type": "type.googleapis.com/google.rpc.BadRequest",
            "fieldViolations": [{"field": field, "description": fault.client_message()}],
        }));
    }
    if let Some(wait) = fault.retry_after {
        details.push(json!({
            "@type": "type.googleapis.com/google.rpc.RetryInfo",
            "retryDelay": format!("{}s", wait.as_secs_f64()),
        }));
    }
    let message = fault.client_message();
    json!({"error": {"code": code, "message": message, "status": status_word(code), "details": details}})
}

fn status_word(code: u16) -> &'static str {
    match code {
        401 => "UNAUTHENTICATED",
        402 | 403 => "PERMISSION_DENIED",
        404 => "NOT_FOUND",
        405 => "UNIMPLEMENTED",
        429 => "RESOURCE_EXHAUSTED",
        499 => "CANCELLED",
        500 => "INTERNAL",
        504 => "DEADLINE_EXCEEDED",
        501.. => "UNAVAILABLE",
        _ => "INVALID_ARGUMENT",
    }
}

/// Reads an upstream's error: a status, or status 200 with an error in a stream or body. Streams that are no event
/// streams wrap it in a list.
#[must_use]
pub fn decode_error(status: u16, body: &[u8]) -> Fault {
    let parsed: Option<Value> = serde_json::from_slice(body).ok();
    let error = parsed.as_ref().map(|value| {
        let value = value.get(0).unwrap_or(value);
        value.get("error").unwrap_or(value)
    });
    let text = |key: &str| error.and_then(|error| error.get(key)).and_then(Value::as_str);
    let said = error.and_then(|error| error.get("code")).and_then(Value::as_u64).and_then(|code| code.try_into().ok());
    let code = if status < 400 { said.unwrap_or(500) } else { status };
    let message = text("message")
        .or_else(|| error.and_then(Value::as_str))
        .map_or_else(|| format!("the provider answered with status {status}"), str::to_owned);
    let details = error.and_then(|error| error.get("details")).and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
    let kind = kind(code, text("status").unwrap_or_default(), &message, details);
    let side = if matches!(kind, FaultKind::Invalid | FaultKind::ContextLength | FaultKind::ContentFilter) {
        Side::Client
    } else {
        Side::Provider
    };
    let mut fault = Fault::new(kind, side, message);
    fault.retry = kind.row().2;
    fault.status = Some(status);
    fault.code = text("status").map(str::to_owned);
    fault.retry_after = detail(details, "retryDelay").and_then(Value::as_str).and_then(seconds);
    fault.param = detail(details, "fieldViolations")
        .and_then(|list| list.get(0)?.get("field")?.as_str())
        .filter(|field| !field.is_empty())
        .map(str::to_owned);
    fault
}

fn detail<'a>(details: &'a [Value], key: &str) -> Option<&'a Value> {
    details.iter().find_map(|detail| detail.get(key))
}

/// A protobuf duration, e.g. `34.07s`.
fn seconds(text: &str) -> Option<Duration> {
    Duration::try_from_secs_f64(text.strip_suffix('s')?.parse().ok()?).ok()
}

fn kind(code: u16, word: &str, message: &str, details: &[Value]) -> FaultKind {
    let reason = detail(details, "reason").and_then(Value::as_str).unwrap_or_default();
    // Told by one of us: its reason is the kind itself.
    if detail(details, "domain").and_then(Value::as_str) == Some(DOMAIN)
        && let Some(kind) = FaultKind::ALL.into_iter().find(|kind| kind.name().eq_ignore_ascii_case(reason))
    {
        return kind;
    }
    // A wrong key is a 400 on this wire.
    if matches!(reason, "API_KEY_INVALID" | "API_KEY_EXPIRED") || message.starts_with("API key not valid") {
        return FaultKind::Unauthenticated;
    }
    if reason.starts_with("BILLING") || message.contains("enable billing") || message.contains("billing account") {
        return FaultKind::Billing;
    }
    if message.contains("Responsible AI practices") {
        return FaultKind::ContentFilter;
    }
    if message.contains("exceeds the maximum number of tokens") {
        return FaultKind::ContextLength;
    }
    match word {
        "RESOURCE_EXHAUSTED" if per_day(details) => FaultKind::QuotaExhausted,
        "RESOURCE_EXHAUSTED" => FaultKind::RateLimited,
        // The account, its place or its plan is refused, not the request.
        "FAILED_PRECONDITION" | "PERMISSION_DENIED" => FaultKind::Forbidden,
        "INVALID_ARGUMENT" | "OUT_OF_RANGE" if code < 500 => Fault::kind_of_status(code),
        "UNAUTHENTICATED" => FaultKind::Unauthenticated,
        "NOT_FOUND" => FaultKind::NotFound,
        "UNAVAILABLE" => FaultKind::Overloaded,
        "INTERNAL" | "UNKNOWN" | "DEADLINE_EXCEEDED" | "ABORTED" | "CANCELLED" | "DATA_LOSS" => FaultKind::Server,
        _ => Fault::kind_of_status(code),
    }
}

/// Whether the quota that is used up comes back only tomorrow.
fn per_day(details: &[Value]) -> bool {
    detail(details, "violations").and_then(Value::as_array).is_some_and(|violations| {
        violations.iter().any(|violation| {
            violation.get("quotaId").and_then(Value::as_str).is_some_and(|quota| quota.contains("PerDay"))
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn upstream_errors_are_told_apart() {
        let info = r#""details":[{"@type":"type.googleapis.com/google.rpc.ErrorInfo","reason":"API_KEY_INVALID"}]"#;
        let day = r#""details":[{"violations":[{"quotaId":"GenerateRequestsPerDayPerProjectPerModel-FreeTier"}]}]"#;
        let too_long = "The input token count (1200000) exceeds the maximum number of tokens allowed (1048576).";
        let table = [
            (400, "INVALID_ARGUMENT", "API key not valid.", info, FaultKind::Unauthenticated),
            (400, "INVALID_ARGUMENT", "Invalid JSON payload received.", r#""details":[]"#, FaultKind::Invalid),
            (400, "INVALID_ARGUMENT", too_long, r#""details":[]"#, FaultKind::ContextLength),
            (400, "FAILED_PRECONDITION", "User location is not supported.", r#""x":1"#, FaultKind::Forbidden),
            (403, "PERMISSION_DENIED", "no", r#""x":1"#, FaultKind::Forbidden),
            (404, "NOT_FOUND", "models/x is not found", r#""x":1"#, FaultKind::NotFound),
            (429, "RESOURCE_EXHAUSTED", "Resource has been exhausted", r#""x":1"#, FaultKind::RateLimited),
            (429, "RESOURCE_EXHAUSTED", "You exceeded your current quota", day, FaultKind::QuotaExhausted),
            (503, "UNAVAILABLE", "The model is overloaded.", r#""x":1"#, FaultKind::Overloaded),
            (500, "INTERNAL", "An internal error has occurred.", r#""x":1"#, FaultKind::Server),
            (504, "DEADLINE_EXCEEDED", "late", r#""x":1"#, FaultKind::Server),
        ];
        for (code, word, message, rest, kind) in table {
            let body = format!(r#"{{"error":{{"code":{code},"message":"{message}","status":"{word}",{rest}}}}}"#);
            assert_eq!(decode_error(code, body.as_bytes()).kind, kind, "{body}");
            // Inside a 200 stream, and in the list of a stream that is no event stream.
            assert_eq!(decode_error(200, format!("[{body}]").as_bytes()).kind, kind, "{body}");
        }
        assert_eq!(decode_error(503, b"<html>busy</html>").kind, FaultKind::Overloaded);
    }

    #[test]
    fn a_time_to_wait_is_read_and_written() {
        let body = br#"{"error":{"code":429,"message":"slow","status":"RESOURCE_EXHAUSTED","details":[
            {"@type":"type.googleapis.com/google.rpc.RetryInfo","retryDelay":"34.5s"}]}}"#;
        let fault = decode_error(429, body);
        assert_eq!(fault.retry_after, Some(Duration::from_millis(34_500)));
        let back = decode_error(429, encode_error(&fault).to_string().as_bytes());
        assert_eq!((back.kind, back.retry_after), (fault.kind, fault.retry_after));
    }

    #[test]
    fn a_refused_key_of_ours_is_not_the_clients() {
        let fault = decode_error(400, br#"{"error":{"code":400,"message":"API key not valid: AIzaSe*ret"}}"#);
        assert_eq!(fault.client_status(), 502);
        assert!(!encode_error(&fault).to_string().contains("AIza"));
    }
}
