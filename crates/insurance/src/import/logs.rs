//! Logs of gateways and of observability tools: one record per call, each tool with its own names for the same facts.

use super::{Call, Source, moment, number, text, whole};
use serde_json::Value;

/// Where a tool writes what; several names where its versions and formats differ, the best first.
struct Names {
    product: &'static [&'static str],
    class: &'static [&'static str],
    requested: &'static [&'static str],
    model: &'static [&'static str],
    provider: &'static [&'static str],
    address: &'static [&'static str],
    account: &'static [&'static str],
    input: &'static [&'static str],
    output: &'static [&'static str],
    tokens: &'static [&'static str],
    dollars: &'static [&'static str],
    started: &'static [&'static str],
}

/// LiteLLM 1.108.7: `SpendLogsPayload` (rows of its spend logs) and `StandardLoggingPayload`, both as it writes them.
const LITELLM: Names = Names {
    product: &["team_alias", "metadata/user_api_key_team_alias", "team_id", "metadata/user_api_key_alias"],
    class: &[],
    requested: &["model_group", "model"],
    model: &["model"],
    provider: &["custom_llm_provider"],
    address: &["api_base"],
    account: &["model_id"],
    input: &["prompt_tokens"],
    output: &["completion_tokens"],
    tokens: &["total_tokens"],
    dollars: &["spend", "response_cost"],
    started: &["startTime", "start_time"],
};

/// Helicone: `HeliconeRequest` of its request query and export (github.com/Helicone/helicone), looked up 2026-11-25.
const HELICONE: Names = Names {
    product: &["request_properties/App", "properties/App", "request_user_id", "user_id"],
    class: &["request_properties/Prompt", "properties/Prompt"],
    requested: &["request_model", "model"],
    model: &["response_model", "model_override", "model", "request_model"],
    provider: &["provider"],
    address: &["target_url", "request_path"],
    account: &[],
    input: &["prompt_tokens"],
    output: &["completion_tokens"],
    tokens: &["total_tokens"],
    dollars: &["costUSD", "cost_usd", "cost"],
    started: &["request_created_at", "created_at"],
};

/// Langfuse: `ObservationsView` of its public API (cloud.langfuse.com/generated/api/openapi.yml) and its table exports,
/// looked up 2026-11-25.
const LANGFUSE: Names = Names {
    product: &["traceName", "trace_name", "metadata/product", "environment"],
    class: &["name"],
    requested: &["providedModelName", "provided_model_name", "model"],
    model: &["model", "providedModelName", "provided_model_name"],
    provider: &["metadata/ls_provider", "metadata/provider"],
    address: &["metadata/api_base"],
    account: &[],
    input: &["usageDetails/input", "usage_details/input", "usage/input", "promptTokens", "inputTokens"],
    output: &["usageDetails/output", "usage_details/output", "usage/output", "completionTokens", "outputTokens"],
    tokens: &["usageDetails/total", "usage_details/total", "usage/total", "totalTokens"],
    dollars: &["costDetails/total", "cost_details/total", "calculatedTotalCost", "totalCost"],
    started: &["startTime", "start_time"],
};

/// The calls in `records`, and how many records are none.
pub(super) fn calls(source: Source, records: &[Value]) -> (Vec<Call>, u64) {
    let names = match source {
        Source::Helicone => &HELICONE,
        Source::Langfuse => &LANGFUSE,
        _ => &LITELLM,
    };
    let (mut calls, mut skipped) = (Vec::new(), 0);
    for record in records {
        match call(source, names, record) {
            Some(call) => calls.push(call),
            None => skipped += 1,
        }
    }
    (calls, skipped)
}

fn call(source: Source, names: &Names, record: &Value) -> Option<Call> {
    let kind = text(record, &["type"]).unwrap_or_default().to_ascii_uppercase();
    if source == Source::Langfuse && kind != "GENERATION" && kind != "EMBEDDING" {
        return None;
    }
    // answers from a cache depend on nobody
    let cached = text(record, &["cache_hit"]).is_some_and(|hit| hit.eq_ignore_ascii_case("true"));
    let requested = text(record, names.requested);
    let model = text(record, names.model);
    if cached || requested.as_ref().or(model.as_ref()).is_none() {
        return None;
    }
    let failed = match source {
        Source::Litellm => text(record, &["status", "metadata/status"]).is_some_and(|status| status == "failure"),
        Source::Helicone => number(record, &["response_status", "status"]).is_some_and(|status| status >= 400.0),
        _ => text(record, &["level"]).is_some_and(|level| level == "ERROR"),
    };
    Some(Call {
        product: text(record, names.product),
        class: text(record, names.class),
        provider: text(record, names.provider),
        address: text(record, names.address),
        account: text(record, names.account),
        input: whole(record, names.input),
        output: whole(record, names.output),
        tokens: whole(record, names.tokens),
        dollars: number(record, names.dollars),
        started: moment(record, names.started)?,
        failed,
        requested,
        model,
        ..Call::default()
    })
}
