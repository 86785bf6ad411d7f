//! Streams of Anthropic Messages: named events, blocks one at a time.

mod decode;
mod encode;
mod watch;

pub(super) use decode::Decoder;
pub(super) use encode::Encoder;
pub(super) use watch::Watch;

use crate::Extras;
use crate::fields::BadField;
use crate::usage::Usage;
use crate::wire::anthropic_messages::usage::decode_usage;
use serde_json::Value;

/// Usage reports of one stream. Later ones repeat some fields only, and `input_tokens` leaves cached ones out: they
/// are joined as the wire wrote them, and read then.
#[derive(Debug, Default)]
struct Reports(Extras);

impl Reports {
    /// Takes one report in; what is known now.
    fn join(&mut self, report: Value) -> Result<Usage, BadField> {
        if let Value::Object(report) = report {
            self.0.extend(report.into_iter().filter(|(_, value)| !value.is_null()));
        }
        decode_usage(Value::Object(self.0.clone()))
    }
}
