//! The ledger as charges: the columns of the FinOps Open Cost and Usage Specification (FOCUS) 1.2, every mandatory one
//! among them, the providers' columns of 1.3 beside those they replace, and what only we know under `x_`. A charge is
//! what one product's key used of one model at one account on one day. These are our counts and our prices; the invoice
//! is the provider's (`autarky ledger reconcile` compares).
//!
//! Mandatory columns: focus.finops.org/focus-specification/v1-2, chapter 3, looked up 2026-11-25.

use ::ledger::{Dimension, Filter, Name, Sqlite, Store, Total};
use policy::NanoUsd;
use policy::price::Counts;
use std::io::Write;

/// What a charge has in common.
const BY: [Dimension; 13] = [
    Dimension::Day,
    Dimension::Product,
    Dimension::Team,
    Dimension::Key,
    Dimension::Provider,
    Dimension::Account,
    Dimension::Deployment,
    Dimension::Model,
    Dimension::Maker,
    Dimension::Host,
    Dimension::Invoicer,
    Dimension::Region,
    Dimension::Family,
];

/// The columns with what a charge says there.
type Columns = [(&'static str, fn(&Charge<'_>) -> String); 46];

const COLUMNS: Columns = [
    ("BilledCost", |charge| charge.cost()),
    ("BillingAccountId", |charge| charge.or_unknown(Dimension::Account)),
    ("BillingAccountName", |charge| charge.text(Dimension::Account)),
    ("BillingCurrency", |_| "USD".to_owned()),
    ("BillingPeriodStart", |charge| charge.month(0)),
    ("BillingPeriodEnd", |charge| charge.month(1)),
    ("ChargeCategory", |_| "Usage".to_owned()),
    ("ChargeClass", |_| String::new()),
    ("ChargeDescription", |charge| {
        format!("{} at {}", charge.or_unknown(Dimension::Model), charge.or_unknown(Dimension::Provider))
    }),
    ("ChargeFrequency", |_| "Usage-Based".to_owned()),
    ("ChargePeriodStart", |charge| charge.day(0)),
    ("ChargePeriodEnd", |charge| charge.day(1)),
    ("ConsumedQuantity", |charge| charge.tokens().to_string()),
    ("ConsumedUnit", |_| "Tokens".to_owned()),
    ("ContractedCost", |charge| charge.cost()),
    ("EffectiveCost", |charge| charge.cost()),
    ("HostProviderName", |charge| charge.or_unknown(Dimension::Host)),
    ("InvoiceIssuerName", |charge| charge.or_unknown(Dimension::Invoicer)),
    ("ListCost", |charge| charge.cost()),
    ("PricingCategory", |_| "Standard".to_owned()),
    ("PricingQuantity", |charge| charge.tokens().to_string()),
    ("PricingUnit", |_| "Tokens".to_owned()),
    ("ProviderName", |charge| charge.or_unknown(Dimension::Provider)),
    ("PublisherName", |charge| charge.or_unknown(Dimension::Maker)),
    ("RegionId", |charge| charge.text(Dimension::Region)),
    ("RegionName", |charge| charge.text(Dimension::Region)),
    ("ResourceId", |charge| charge.text(Dimension::Deployment)),
    ("ServiceCategory", |_| "AI and Machine Learning".to_owned()),
    ("ServiceName", |charge| charge.or_unknown(Dimension::Model)),
    ("ServiceProviderName", |charge| charge.or_unknown(Dimension::Provider)),
    ("ServiceSubcategory", |_| "Generative AI".to_owned()),
    ("SubAccountId", |charge| charge.text(Dimension::Product)),
    ("SubAccountName", |charge| charge.text(Dimension::Product)),
    ("x_Product", |charge| charge.text(Dimension::Product)),
    ("x_Team", |charge| charge.text(Dimension::Team)),
    ("x_KeyId", |charge| charge.text(Dimension::Key)),
    ("x_Maker", |charge| charge.text(Dimension::Maker)),
    ("x_ModelName", |charge| charge.text(Dimension::Model)),
    ("x_Family", |charge| charge.text(Dimension::Family)),
    ("x_Attempts", |charge| charge.0.attempts.to_string()),
    ("x_InputTokens", |charge| charge.0.input_tokens.to_string()),
    ("x_CachedInputTokens", |charge| charge.0.cache_read_tokens.to_string()),
    ("x_UncachedInputTokens", |charge| charge.uncached().to_string()),
    ("x_OutputTokens", |charge| charge.0.output_tokens.to_string()),
    ("x_UncountedAttempts", |charge| charge.0.uncounted.to_string()),
    ("x_UnpricedAttempts", |charge| charge.0.unpriced.to_string()),
];

/// Writes the charges of the attempts that `filter` means; returns how many there are.
///
/// # Errors
/// The ledger refuses, or `to` does.
pub(super) fn write(to: impl Write, store: &Sqlite, filter: &Filter) -> anyhow::Result<u64> {
    let mut totals = store.totals(&BY, filter)?;
    totals.sort_by(|a, b| a.group.cmp(&b.group));
    let mut out = csv::Writer::from_writer(to);
    out.write_record(COLUMNS.iter().map(|(name, _)| name))?;
    for total in &totals {
        let charge = Charge(total);
        out.write_record(COLUMNS.iter().map(|(_, says)| says(&charge)))?;
    }
    out.flush()?;
    Ok(totals.len() as u64)
}

struct Charge<'a>(&'a Total);

impl Charge<'_> {
    fn says(&self, by: Dimension) -> Option<&Name> {
        self.0.group.get(BY.iter().position(|one| *one == by)?)?.as_ref()
    }

    fn text(&self, by: Dimension) -> String {
        self.says(by).map(ToString::to_string).unwrap_or_default()
    }

    /// What must not be empty there.
    fn or_unknown(&self, by: Dimension) -> String {
        self.says(by).map_or_else(|| "unknown".to_owned(), ToString::to_string)
    }

    /// The known cost in dollars, exactly.
    fn cost(&self) -> String {
        let cost = NanoUsd(self.0.cost_nanodollars.unsigned_abs()).to_string();
        format!("{}{}", if self.0.cost_nanodollars < 0 { "-" } else { "" }, cost.trim_start_matches('$'))
    }

    fn tokens(&self) -> u64 {
        self.0.input_tokens.saturating_add(self.0.output_tokens)
    }

    /// Tokens of prompts that were neither read from a cache nor written to one.
    fn uncached(&self) -> u64 {
        let Total { input_tokens, cache_read_tokens, cache_write_tokens, .. } = *self.0;
        let counts = Counts {
            input: input_tokens,
            cache_read: cache_read_tokens,
            cache_write: cache_write_tokens,
            ..Counts::default()
        };
        counts.parts().input
    }

    /// The beginning of the day that lies `later` days after the charge's.
    fn day(&self, later: i64) -> String {
        let day = self.date().and_then(|date| date.checked_add(jiff::Span::new().days(later)).ok());
        day.map(|day| format!("{day}T00:00:00Z")).unwrap_or_default()
    }

    /// The beginning of the month that lies `later` months after the charge's.
    fn month(&self, later: i64) -> String {
        let first = self.date().map(|date| date.first_of_month());
        let month = first.and_then(|first| first.checked_add(jiff::Span::new().months(later)).ok());
        month.map(|month| format!("{month}T00:00:00Z")).unwrap_or_default()
    }

    fn date(&self) -> Option<jiff::civil::Date> {
        self.says(Dimension::Day)?.parse().ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What the specification wants of every row.
    const MANDATORY: [&str; 21] = [
        "BilledCost",
        "BillingAccountId",
        "BillingAccountName",
        "BillingCurrency",
        "BillingPeriodEnd",
        "BillingPeriodStart",
        "ChargeCategory",
        "ChargeClass",
        "ChargeDescription",
        "ChargePeriodEnd",
        "ChargePeriodStart",
        "ContractedCost",
        "EffectiveCost",
        "InvoiceIssuerName",
        "ListCost",
        "PricingQuantity",
        "PricingUnit",
        "ProviderName",
        "PublisherName",
        "ServiceCategory",
        "ServiceName",
    ];

    #[test]
    fn every_mandatory_column_is_there_and_none_twice() {
        let names: std::collections::BTreeSet<_> = COLUMNS.iter().map(|(name, _)| *name).collect();
        assert_eq!(names.len(), COLUMNS.len());
        assert!(MANDATORY.iter().all(|name| names.contains(name)));
    }

    #[test]
    fn a_charge_lies_in_its_day_and_month() {
        let mut group = vec![None; BY.len()];
        group[0] = Some("2026-12-31".into());
        let total = Total {
            group,
            cost_nanodollars: 1_250_000_001,
            input_tokens: 10,
            cache_read_tokens: 4,
            output_tokens: 2,
            ..Total::default()
        };
        let charge = Charge(&total);
        let says =
            |name: &str| COLUMNS.iter().find(|(known, _)| *known == name).map(|(_, says)| says(&charge)).unwrap();
        assert_eq!(says("ChargePeriodStart"), "2026-12-31T00:00:00Z");
        assert_eq!(says("ChargePeriodEnd"), "2027-01-01T00:00:00Z");
        assert_eq!(says("BillingPeriodStart"), "2026-12-01T00:00:00Z");
        assert_eq!(says("BillingPeriodEnd"), "2027-01-01T00:00:00Z");
        assert_eq!(says("BilledCost"), "1.250000001");
        assert_eq!(says("ConsumedQuantity"), "12");
        assert_eq!(says("x_UncachedInputTokens"), "6");
        assert_eq!(says("InvoiceIssuerName"), "unknown");
    }
}
