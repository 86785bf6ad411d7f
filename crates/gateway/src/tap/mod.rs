//! What watches an answer pass: the ledger entry of an attempt (`entry`), what it costs (`price`), and the counters
//! for dashboards (`metrics`). Nothing here decides, waits or touches the answer.

pub mod entry;
pub mod metrics;
mod sample;

pub use entry::{Entry, Facts};
pub use metrics::Metrics;
pub use sample::sample;
