//! OpenTelemetry GenAI spans in OTLP's JSON. `gen_ai.provider.name` is a flavour of telemetry, so the server's address
//! goes before it; the service's name is the product.

use super::Call;
use serde_json::Value;

/// The calls in `records`, and how many spans are none.
pub(super) fn calls(records: &[Value]) -> (Vec<Call>, u64) {
    let (mut calls, mut skipped) = (Vec::new(), 0);
    for resource in lists(records.iter(), &["resourceSpans", "resource_spans"]) {
        let about = resource.get("resource").unwrap_or(&Value::Null);
        for scope in lists(std::iter::once(resource), &["scopeSpans", "scope_spans"]) {
            for span in lists(std::iter::once(scope), &["spans"]) {
                match call(about, span) {
                    Some(call) => calls.push(call),
                    None => skipped += 1,
                }
            }
        }
    }
    (calls, skipped)
}

fn lists<'v>(of: impl Iterator<Item = &'v Value>, names: &[&str]) -> Vec<&'v Value> {
    of.filter_map(|value| names.iter().find_map(|name| value.get(*name)?.as_array())).flatten().collect()
}

/// The attribute called by the first of `names` that is there.
fn attribute<'v>(of: &'v Value, names: &[&str]) -> Option<&'v Value> {
    let list = of.get("attributes")?.as_array()?;
    let of = |name: &str| list.iter().find(|one| one.get("key").and_then(Value::as_str) == Some(name))?.get("value");
    names.iter().find_map(|name| of(name))
}

fn text(of: &Value, names: &[&str]) -> Option<String> {
    let value = attribute(of, names)?.get("stringValue")?.as_str()?;
    (!value.is_empty()).then(|| value.to_owned())
}

fn count(of: &Value, names: &[&str]) -> Option<u64> {
    let value = attribute(of, names)?;
    // OTLP's JSON writes 64-bit numbers as text
    match value.get("intValue").or_else(|| value.get("doubleValue"))? {
        Value::String(text) => text.parse().ok(),
        Value::Number(number) => number.as_u64(),
        _ => None,
    }
}

fn call(about: &Value, span: &Value) -> Option<Call> {
    let operation = text(span, &["gen_ai.operation.name"]);
    let requested = text(span, &["gen_ai.request.model"]);
    let model = text(span, &["gen_ai.response.model"]);
    // an agent's or a tool's span holds calls, it is none
    let calls = ["chat", "text_completion", "generate_content", "embeddings"];
    if operation.as_deref().is_some_and(|name| !calls.contains(&name))
        || requested.as_ref().or(model.as_ref()).is_none()
    {
        return None;
    }
    let failed = span
        .get("status")
        .and_then(|status| status.get("code"))
        .is_some_and(|code| code.as_u64() == Some(2) || code.as_str() == Some("STATUS_CODE_ERROR"));
    let start = match span.get("startTimeUnixNano").or_else(|| span.get("start_time_unix_nano"))? {
        Value::String(text) => text.parse::<u64>().ok()?,
        other => other.as_u64()?,
    };
    Some(Call {
        product: text(span, &["autarky.product"]).or_else(|| text(about, &["service.name"])),
        class: text(span, &["autarky.class"]),
        provider: text(span, &["gen_ai.provider.name", "gen_ai.system"]),
        address: text(span, &["server.address"]),
        maker: text(span, &["autarky.maker"]),
        host: text(span, &["autarky.host"]),
        invoicer: text(span, &["autarky.invoicer"]),
        account: text(span, &["autarky.account"]),
        region: text(span, &["autarky.region", "cloud.region"]),
        failed: failed || attribute(span, &["error.type"]).is_some(),
        input: count(span, &["gen_ai.usage.input_tokens", "gen_ai.usage.prompt_tokens"]),
        output: count(span, &["gen_ai.usage.output_tokens", "gen_ai.usage.completion_tokens"]),
        started: i64::try_from(start / 1_000).ok()?,
        requested,
        model,
        ..Call::default()
    })
}
