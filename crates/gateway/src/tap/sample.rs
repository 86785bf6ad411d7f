//! Every series that there is, once: the reference is written from it. Nothing here is counted.

use super::Metrics;
use ledger::{Attempt, Outcome};

/// The text of metrics in which each series has one sample; the values mean nothing.
#[must_use]
pub fn sample() -> String {
    let metrics = Metrics::default();
    metrics.answer("", 0);
    metrics.shed("", "");
    let row = Attempt {
        outcome: Outcome::Ok,
        input_tokens: Some(0),
        output_tokens: Some(0),
        first_token_us: Some(0),
        last_token_us: Some(0),
        ..Attempt::default()
    };
    metrics.series("", "").attempt(&row);
    metrics.text()
}
