//! FOCUS cost and usage tables (1.0 to 1.3): charges. The three parties of the specification are our three; columns of
//! our own begin with `x_`.

use super::{Call, moment, number, text, whole};
use serde_json::Value;

/// The charges in `records` that are for models, and how many are for something else.
pub(super) fn calls(records: &[Value]) -> (Vec<Call>, u64) {
    let (mut calls, mut skipped) = (Vec::new(), 0);
    for record in records {
        match charge(record) {
            Some(call) => calls.push(call),
            None => skipped += 1,
        }
    }
    (calls, skipped)
}

/// The charge in `record`, where it is for the use of a model.
pub(crate) fn charge(record: &Value) -> Option<Call> {
    let unit = text(record, &["ConsumedUnit", "PricingUnit"]).unwrap_or_default().to_ascii_lowercase();
    let category = text(record, &["ServiceCategory"]).unwrap_or_default();
    let model = text(record, &["x_ModelName", "x_Model", "SkuMeter", "ResourceName", "ChargeDescription"]);
    let for_models = unit.contains("token") || category == "AI and Machine Learning";
    if !for_models || text(record, &["ChargeCategory"]).is_some_and(|kind| kind != "Usage") {
        return None;
    }
    // a unit such as `1K tokens` counts thousands
    let scale = if unit.starts_with("1m") {
        1e6
    } else if unit.starts_with("1k") {
        1e3
    } else {
        1.0
    };
    let quantity = number(record, &["ConsumedQuantity", "PricingQuantity"]).filter(|_| unit.contains("token"));
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "bounded just before")]
    let tokens = quantity.map(|quantity| (quantity.clamp(0.0, 1e15) * scale) as u64);
    let dollars = text(record, &["BillingCurrency"]).is_none_or(|currency| currency == "USD");
    Some(Call {
        product: text(record, &["x_Product", "SubAccountName", "SubAccountId"]),
        maker: text(record, &["x_Maker"]),
        family: text(record, &["x_Family"]),
        host: text(record, &["HostProviderName", "x_Host", "ProviderName", "ServiceProviderName"]).map(lower),
        invoicer: text(record, &["InvoiceIssuerName", "InvoiceIssuer"]).map(lower),
        provider: text(record, &["ServiceProviderName", "PublisherName", "Publisher"]).map(lower),
        account: text(record, &["BillingAccountName", "BillingAccountId"]),
        region: text(record, &["RegionId", "RegionName"]),
        tokens,
        input: whole(record, &["x_InputTokens"]),
        output: whole(record, &["x_OutputTokens"]),
        dollars: number(record, &["BilledCost", "EffectiveCost"]).filter(|_| dollars),
        started: moment(record, &["ChargePeriodStart", "BillingPeriodStart"])?,
        requested: model.clone(),
        model,
        ..Call::default()
    })
}

fn lower(text: String) -> String {
    text.to_lowercase()
}
