//! The shares as CSV: one line per party, figures plain, unknown ones empty.

use crate::exposure::Exposure;
use crate::node::Kind;

const HEAD: [&str; 19] = [
    "by",
    "name",
    "basis",
    "requests",
    "requests_share",
    "tokens",
    "tokens_share",
    "uncounted_requests",
    "cost_usd",
    "spend_share",
    "unpriced_requests",
    "critical_products",
    "lost_untouched",
    "lost_covered",
    "lost_configured",
    "lost_last_resort",
    "lost_nothing",
    "lost_unknown",
    "day",
];

/// The shares as CSV (RFC 4180, UTF-8, a header line); of `by` only, or of every kind.
///
/// # Errors
/// None that is known: it is written to memory.
pub fn csv(report: &Exposure, by: Option<Kind>) -> Result<String, ::csv::Error> {
    let mut writer = ::csv::Writer::from_writer(Vec::new());
    writer.write_record(HEAD)?;
    let share = |share: Option<f64>| share.map(|share| format!("{share:.6}")).unwrap_or_default();
    for table in report.tables.iter().filter(|table| by.is_none_or(|kind| table.by == kind)) {
        for row in &table.rows {
            let lost = |count: fn(&crate::exposure::Survival) -> u64| {
                row.survival.as_ref().map(|survival| count(survival).to_string()).unwrap_or_default()
            };
            let known = |text: String, known: bool| if known { text } else { String::new() };
            writer.write_record([
                table.by.name().to_owned(),
                row.name.as_deref().unwrap_or_default().to_owned(),
                table.basis.name().to_owned(),
                row.requests.to_string(),
                share(row.shares.requests),
                known(row.tokens.to_string(), row.tokens > 0 || row.uncounted == 0),
                share(row.shares.tokens),
                row.uncounted.to_string(),
                known(dollars(row.cost_nanodollars), row.cost_nanodollars > 0 || row.unpriced == 0),
                share(row.shares.spend),
                row.unpriced.to_string(),
                row.critical.iter().map(AsRef::as_ref).collect::<Vec<&str>>().join(" "),
                lost(|one| one.untouched),
                lost(|one| one.covered),
                lost(|one| one.configured),
                lost(|one| one.last_resort),
                lost(|one| one.nothing),
                lost(|one| one.unknown),
                report.day.to_string(),
            ])?;
        }
    }
    let bytes = writer.into_inner().map_err(|error| ::csv::Error::from(std::io::Error::from(error.error().kind())))?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

/// Exact dollars: nine places.
fn dollars(nanodollars: i64) -> String {
    let (whole, rest) = (nanodollars.unsigned_abs() / 1_000_000_000, nanodollars.unsigned_abs() % 1_000_000_000);
    format!("{}{whole}.{rest:09}", if nanodollars < 0 { "-" } else { "" })
}
