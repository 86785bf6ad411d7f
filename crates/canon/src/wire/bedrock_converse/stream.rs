//! Streams of Converse: binary messages, blocks by index, the report of usage after the stop.

mod decode;
mod encode;
mod watch;

pub(super) use decode::Decoder;
pub(super) use encode::Encoder;
pub(super) use watch::Watch;

use super::fault;
use crate::fault::{Fault, FaultKind};
use crate::frame::{ERROR_EVENT, Frame};

/// The fault that a message is, if it is one.
fn fault_of(frame: &Frame) -> Option<Fault> {
    let is_fault = frame.event.ends_with(b"Exception") || frame.event.as_ref() == ERROR_EVENT.as_bytes();
    is_fault.then(|| fault::stream_fault(&frame.event, &frame.data))
}

/// A payload that is no JSON.
fn no_json(error: &dyn std::fmt::Display) -> Fault {
    let words = format!("an event of the provider's stream is no JSON: {error}");
    Fault::provider(FaultKind::Malformed, words)
}
