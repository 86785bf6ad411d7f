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
use crate::wire::look::{self, Look};
use serde_json::Value;
use std::ops::Range;

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

/// Where the words of a delta stand, with their quotes.
fn words_at(delta: &[u8]) -> Option<Range<usize>> {
    let (mut is_words, mut at) = (false, None);
    let walked = look::along(delta, |key, walk| {
        if key != "delta" || !walk.begins(b'{') {
            return Ok(());
        }
        walk.object(|key, walk| {
            match key {
                "type" => is_words = matches!(Look::at(walk)?.raw(), "\"text_delta\"" | "\"thinking_delta\""),
                "text" | "thinking" => at = Some(Look::at(walk)?.range()),
                _ => {}
            }
            Ok(())
        })
    });
    at.filter(|_| is_words && walked.is_ok())
}
