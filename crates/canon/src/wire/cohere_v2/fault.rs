//! Errors as Cohere writes them: `{"id", "message"}` under a status. Statuses after the SDK's `errors`; 498 is a token
//! that is blocked. Inside a stream the last event says `ERROR`.

use crate::fault::{Fault, FaultKind, Side};
use serde_json::{Value, json};

/// Writes a fault as an error body.
#[must_use]
pub fn encode_error(fault: &Fault) -> Value {
    json!({"message": fault.client_message(), "code": fault.kind.name()})
}

/// Reads an upstream's error answer.
#[must_use]
pub fn decode_error(status: u16, body: &[u8]) -> Fault {
    let parsed: Option<Value> = serde_json::from_slice(body).ok();
    let text = |key: &str| parsed.as_ref().and_then(|error| error.get(key)).and_then(Value::as_str);
    let message = text("message").or_else(|| text("error")).or_else(|| text("detail"));
    let message = message.map_or_else(|| format!("the provider answered with status {status}"), str::to_owned);
    // Told by one of us: its code is the kind itself.
    let own = text("code").and_then(FaultKind::named);
    let kind = own.unwrap_or_else(|| kind(status, &message));
    let side = if matches!(kind, FaultKind::Invalid | FaultKind::ContextLength | FaultKind::ContentFilter) {
        Side::Client
    } else {
        Side::Provider
    };
    let mut fault = Fault::new(kind, side, message);
    fault.retry = kind.row().2;
    fault.status = Some(status);
    fault
}

/// The fault of an answer that ended with `word`, if that is none; `error`: what was said about it.
pub(super) fn of_finish(word: &str, error: Option<&str>) -> Option<Fault> {
    let kind = match word {
        "ERROR" => FaultKind::Server,
        "TIMEOUT" => FaultKind::Stalled,
        _ => return None,
    };
    let words = error.map_or_else(|| format!("the provider ended its answer with `{word}`"), str::to_owned);
    let mut fault = Fault::provider(kind, words);
    fault.status = Some(200);
    fault.code = Some(word.to_owned());
    Some(fault)
}

fn kind(status: u16, message: &str) -> FaultKind {
    let says = |words: &[&str]| words.iter().any(|words| message.contains(words));
    if says(&["too many tokens", "maximum context length", "exceeds the maximum number of tokens"]) {
        return FaultKind::ContextLength;
    }
    if says(&["content filter"]) {
        return FaultKind::ContentFilter;
    }
    if status == 429 && says(&["per month", "/ month", "billing", "quota"]) {
        return FaultKind::QuotaExhausted;
    }
    match status {
        498 => FaultKind::Unauthenticated,
        422 => FaultKind::Invalid,
        499 => FaultKind::Server,
        // Inside a 200 answer the status says nothing.
        ..400 => FaultKind::Server,
        _ => Fault::kind_of_status(status),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn upstream_errors_are_told_apart() {
        let table = [
            (400, r#"{"id":"a","message":"invalid request: `messages` is empty"}"#, FaultKind::Invalid),
            (
                400,
                r#"{"message":"too many tokens: total number of tokens in the prompt cannot exceed 4081"}"#,
                FaultKind::ContextLength,
            ),
            (401, r#"{"message":"invalid api token"}"#, FaultKind::Unauthenticated),
            (402, r#"{"message":"pay"}"#, FaultKind::Billing),
            (403, r#"{"message":"no"}"#, FaultKind::Forbidden),
            (404, r#"{"message":"model 'x' not found"}"#, FaultKind::NotFound),
            (422, r#"{"message":"unprocessable"}"#, FaultKind::Invalid),
            (429, r#"{"message":"You are past the per minute request limit"}"#, FaultKind::RateLimited),
            (
                429,
                r#"{"message":"You are using a Trial key, which is limited to 1000 API calls / month."}"#,
                FaultKind::QuotaExhausted,
            ),
            (498, r#"{"message":"blocked"}"#, FaultKind::Unauthenticated),
            (499, r#"{"message":"request cancelled"}"#, FaultKind::Server),
            (500, "", FaultKind::Server),
            (503, "<html>busy</html>", FaultKind::Overloaded),
            (504, "{}", FaultKind::Server),
        ];
        for (status, body, kind) in table {
            assert_eq!(decode_error(status, body.as_bytes()).kind, kind, "{status} {body}");
        }
        assert_eq!(of_finish("ERROR", Some("boom")).expect("a fault").message, "boom");
        assert_eq!(of_finish("COMPLETE", None), None);
    }
}
