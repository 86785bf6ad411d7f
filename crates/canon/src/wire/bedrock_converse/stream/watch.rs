//! Messages that pass untouched: their names tell most; the few that matter are parsed, deltas are only walked over.

use super::{fault_of, no_json};
use crate::fault::Fault;
use crate::fields::{BadField, Fields};
use crate::frame::Frame;
use crate::wire::bedrock_converse::{response, usage};
use crate::wire::{FrameNote, Scan, Seen, look};
use memchr::memmem::find;
use serde_json::Value;

/// Watches messages.
#[derive(Debug, Default)]
pub(in crate::wire::bedrock_converse) struct Watch {
    seen: Seen,
    calls: bool,
}

impl Scan for Watch {
    fn frame(&mut self, frame: &Frame) -> Result<FrameNote, Fault> {
        if let Some(fault) = fault_of(frame) {
            return Err(fault);
        }
        let data = frame.data.as_ref();
        match frame.event.as_ref() {
            b"contentBlockStart" => {
                walk(data)?;
                let call = find(data, b"\"toolUse\"").is_some();
                self.calls |= call && find(data, b"\"server_tool_use\"").is_none();
                Ok(if call { FrameNote::Content } else { FrameNote::Quiet })
            }
            b"contentBlockDelta" => {
                walk(data)?;
                let silent = find(data, b"\"signature\":").is_some() || find(data, b"\"redactedContent\":").is_some();
                Ok(if silent { FrameNote::Quiet } else { FrameNote::Content })
            }
            b"messageStop" => {
                let mut fields = parse(data)?;
                let word = fields.need_string("stopReason").map_err(BadField::into_provider_fault)?;
                self.seen.stop = Some(response::decode_stop(word, self.calls).reason);
                Ok(FrameNote::Quiet)
            }
            b"metadata" => {
                let mut fields = parse(data)?;
                let counts = fields.take("usage").map(usage::decode).transpose();
                self.seen.usage = counts.map_err(BadField::into_provider_fault)?.unwrap_or_default();
                self.seen.usage.service_tier =
                    response::take_tier(&mut fields).map_err(BadField::into_provider_fault)?;
                self.seen.ended = self.seen.stop.is_some();
                Ok(if self.seen.ended { FrameNote::End } else { FrameNote::Quiet })
            }
            _ => {
                walk(data)?;
                Ok(FrameNote::Quiet)
            }
        }
    }

    fn seen(&self) -> &Seen {
        &self.seen
    }

    /// The stop is the wire's own end; the report after it may be missing.
    fn close(&mut self) -> Option<&'static [u8]> {
        self.seen.ended |= self.seen.stop.is_some();
        self.seen.ended.then_some(b"")
    }
}

fn walk(data: &[u8]) -> Result<(), Fault> {
    look::top_level(data, |_, _| Ok(())).map_err(BadField::into_provider_fault)
}

fn parse(data: &[u8]) -> Result<Fields, Fault> {
    let value: Value = serde_json::from_slice(data).map_err(|error| no_json(&error))?;
    Fields::of(value, "").map_err(BadField::into_provider_fault)
}
