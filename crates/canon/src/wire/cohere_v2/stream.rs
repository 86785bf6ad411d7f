//! Streams of Cohere's chat: named events; content, calls and citations are each numbered for themselves.

mod decode;
mod encode;
mod watch;

pub(super) use decode::Decoder;
pub(super) use encode::Encoder;
pub(super) use watch::Watch;

use crate::fault::{Fault, FaultKind};
use crate::frame::Frame;
use serde_json::Value;

/// What stands where the stream ends.
const DONE: &[u8] = b"[DONE]";

/// The data of an event, if it has any that says something.
fn data_of(frame: &Frame) -> Option<&[u8]> {
    let data = frame.data.trim_ascii();
    (!data.is_empty() && data != DONE).then_some(data)
}

fn parse(data: &[u8]) -> Result<Value, Fault> {
    serde_json::from_slice(data).map_err(|error| {
        Fault::provider(FaultKind::Malformed, format!("an event of the provider's stream is no JSON: {error}"))
    })
}
