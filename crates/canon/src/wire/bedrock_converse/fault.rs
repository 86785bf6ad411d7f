//! Errors as Bedrock writes them: `{"message"}`, the exception's name in the header `x-amzn-errortype` or, as SDKs read
//! too, in `__type`. Names after the service model's errors; inside a stream the same names begin with a small letter.

use crate::fault::{Fault, FaultKind, Side};
use serde_json::{Value, json};

/// The header that names an error.
pub(super) const NAME: &str = "x-amzn-errortype";

/// Writes a fault as an error body.
#[must_use]
pub fn encode_error(fault: &Fault) -> Value {
    json!({"__type": exception(fault), "message": fault.client_message(), "code": fault.kind.name()})
}

/// The exception that a fault is.
pub(super) fn exception(fault: &Fault) -> &'static str {
    match fault.client_status() {
        401 | 403 => "AccessDeniedException",
        404 => "ResourceNotFoundException",
        408 | 504 => "ModelTimeoutException",
        429 => "ThrottlingException",
        503 | 529 => "ServiceUnavailableException",
        500.. => "InternalServerException",
        _ => "ValidationException",
    }
}

/// The exception inside a stream that a fault is.
pub(super) fn stream_exception(fault: &Fault) -> &'static str {
    match exception(fault) {
        "ThrottlingException" => "throttlingException",
        "ServiceUnavailableException" => "serviceUnavailableException",
        "ModelTimeoutException" => "modelStreamErrorException",
        "InternalServerException" => "internalServerException",
        _ => "validationException",
    }
}

/// Reads an upstream's error answer.
#[must_use]
pub fn decode_error(status: u16, body: &[u8]) -> Fault {
    decode(status, None, body)
}

/// Reads an upstream's error answer whose header names it.
pub(super) fn decode_named(status: u16, name: &str, body: &[u8]) -> Fault {
    decode(status, Some(name), body)
}

fn decode(status: u16, name: Option<&str>, body: &[u8]) -> Fault {
    let parsed: Option<Value> = serde_json::from_slice(body).ok();
    let text = |key: &str| parsed.as_ref().and_then(|error| error.get(key)).and_then(Value::as_str);
    // `namespace#Name` in some services, `Name:address` in others.
    let word = name.or_else(|| text("__type")).or_else(|| text("code"));
    let word = word.map(|word| word.split(':').next().unwrap_or(word));
    let word = word.map(|word| word.rsplit('#').next().unwrap_or(word).to_owned());
    let message = text("message").or_else(|| text("Message")).map(str::to_owned);
    // Told by one of us: its code is the kind itself.
    let own = text("code").and_then(FaultKind::named);
    fault(status, own, word, message.unwrap_or_else(|| format!("the provider answered with status {status}")))
}

/// Reads an exception inside a stream.
pub(super) fn stream_fault(name: &[u8], body: &[u8]) -> Fault {
    let parsed: Option<Value> = serde_json::from_slice(body).ok();
    let text = |key: &str| parsed.as_ref().and_then(|error| error.get(key)).and_then(Value::as_str);
    let name = text("code").map_or_else(|| String::from_utf8_lossy(name).into_owned(), str::to_owned);
    let message = text("message").map_or_else(|| format!("the provider broke off with `{name}`"), str::to_owned);
    fault(200, None, Some(name), message)
}

fn fault(status: u16, own: Option<FaultKind>, word: Option<String>, message: String) -> Fault {
    let kind = own.unwrap_or_else(|| kind(status, word.as_deref(), &message));
    let side = if matches!(kind, FaultKind::Invalid | FaultKind::ContextLength | FaultKind::ContentFilter) {
        Side::Client
    } else {
        Side::Provider
    };
    let mut fault = Fault::new(kind, side, message);
    fault.retry = kind.row().2;
    fault.status = Some(status);
    fault.code = word;
    fault
}

fn kind(status: u16, word: Option<&str>, message: &str) -> FaultKind {
    let says = |words: &[&str]| words.iter().any(|words| message.contains(words));
    // What the service tells apart by words only.
    if says(&["nput is too long", "prompt is too long", "maximum context length", "exceed context limit"]) {
        return FaultKind::ContextLength;
    }
    if says(&["tokens per day", "tokens, please wait"]) {
        return if says(&["per day"]) { FaultKind::QuotaExhausted } else { FaultKind::RateLimited };
    }
    if says(&["content filter"]) {
        return FaultKind::ContentFilter;
    }
    // The deployment's model is wrong, not the client's request.
    if says(&["model identifier is invalid", "on-demand throughput isn", "have access to the model"]) {
        return FaultKind::NotFound;
    }
    let known = word.unwrap_or_default();
    let known = known.strip_suffix("Exception").unwrap_or(known).to_ascii_lowercase();
    match known.as_str() {
        _ if status == 413 => FaultKind::TooLarge,
        "validation" | "serialization" => FaultKind::Invalid,
        "accessdenied" => FaultKind::Forbidden,
        "unrecognizedclient"
        | "expiredtoken"
        | "invalidsignature"
        | "missingauthenticationtoken"
        | "incompletesignature" => FaultKind::Unauthenticated,
        "resourcenotfound" | "unknownoperation" => FaultKind::NotFound,
        "throttling" | "modelnotready" | "toomanyrequests" => FaultKind::RateLimited,
        "servicequotaexceeded" => FaultKind::QuotaExhausted,
        "modeltimeout" => FaultKind::FirstTokenTimeout,
        "serviceunavailable" => FaultKind::Overloaded,
        "modelerror" | "modelstreamerror" | "internalserver" | "internalfailure" => FaultKind::Server,
        // Inside a 200 answer the status says nothing.
        _ if status < 400 || status == 424 => FaultKind::Server,
        _ => Fault::kind_of_status(status),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn upstream_errors_are_told_apart() {
        let table = [
            (400, r#"{"message":"The value at messages.0 failed"}"#, FaultKind::Invalid),
            (400, r#"{"message":"Input is too long for requested model."}"#, FaultKind::ContextLength),
            (400, r#"{"message":"The provided model identifier is invalid."}"#, FaultKind::NotFound),
            (
                400,
                r#"{"message":"Invocation of model ID x with on-demand throughput isn’t supported."}"#,
                FaultKind::NotFound,
            ),
            (403, r#"{"message":"User is not authorized"}"#, FaultKind::Forbidden),
            (403, r#"{"__type":"UnrecognizedClientException","message":"bad token"}"#, FaultKind::Unauthenticated),
            (404, r#"{"message":"no such model"}"#, FaultKind::NotFound),
            (408, r#"{"message":"Model has timed out"}"#, FaultKind::FirstTokenTimeout),
            (424, r#"{"message":"the model failed"}"#, FaultKind::Server),
            (429, r#"{"message":"Too many requests, please wait before trying again."}"#, FaultKind::RateLimited),
            (429, r#"{"message":"Too many tokens per day, please wait"}"#, FaultKind::QuotaExhausted),
            (400, r#"{"__type":"a.b#ThrottlingException:http://x","message":"slow"}"#, FaultKind::RateLimited),
            (500, r#"{"message":"x"}"#, FaultKind::Server),
            (503, "<html>busy</html>", FaultKind::Overloaded),
        ];
        for (status, body, kind) in table {
            assert_eq!(decode_error(status, body.as_bytes()).kind, kind, "{status} {body}");
        }
        let full = br#"{"message":"Your request exceeds the service quota for your account."}"#;
        assert_eq!(decode_named(400, "ServiceQuotaExceededException:http://x", full).kind, FaultKind::QuotaExhausted);
        assert_eq!(decode_named(413, "ValidationException", b"{}").kind, FaultKind::TooLarge);
        assert_eq!(decode_named(403, "ExpiredTokenException", b"{}").kind, FaultKind::Unauthenticated);
        let slow = stream_fault(b"throttlingException", br#"{"message":"slow"}"#);
        assert_eq!((slow.kind, slow.message.as_str()), (FaultKind::RateLimited, "slow"));
        assert_eq!(stream_fault(b"modelStreamErrorException", b"").kind, FaultKind::Server);
    }

    #[test]
    fn the_gateways_own_key_is_not_told() {
        let fault = decode_error(403, br#"{"__type":"AccessDeniedException","message":"arn:aws:iam::1:user/x"}"#);
        let body = encode_error(&fault);
        assert_eq!((fault.client_status(), body["__type"].as_str()), (502, Some("InternalServerException")));
        assert!(!body.to_string().contains("arn:aws"));
    }
}
