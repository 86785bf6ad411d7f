//! Events that pass untouched: the few that matter are parsed, the many deltas are only walked over.

use super::{Reports, words_at};
use crate::fault::{Fault, FaultKind};
use crate::fields::BadField;
use crate::frame::Frame;
use crate::wire::alike::Alike;
use crate::wire::anthropic_messages::{fault, response};
use crate::wire::look;
use crate::wire::{FrameNote, Scan, Seen};
use memchr::memmem::find;
use serde_json::Value;

/// Watches events.
#[derive(Debug, Default)]
pub(in crate::wire::anthropic_messages) struct Watch {
    seen: Seen,
    reports: Reports,
    calls: bool,
    /// The last delta of words. One that differs from it in nothing else tells nothing but words.
    alike: Alike,
}

impl Scan for Watch {
    fn frame(&mut self, frame: &Frame) -> Result<FrameNote, Fault> {
        let data = frame.data.trim_ascii();
        if data.is_empty() || data == b"[DONE]" {
            return Ok(FrameNote::Quiet);
        }
        if frame.event.as_ref() != b"error" && self.alike.words(data).is_some() {
            return Ok(FrameNote::Content);
        }
        let mut kind = None;
        look::top_level(data, |key, value| {
            if key == "type" {
                kind = value.string(key)?;
            }
            Ok(())
        })
        .map_err(BadField::into_provider_fault)?;
        let kind = kind.unwrap_or_default();
        if kind == "error" || frame.event.as_ref() == b"error" {
            return Err(fault::decode_error(200, data));
        }
        match kind.as_str() {
            "message_start" | "message_delta" => self.report(data),
            "content_block_start" => {
                let call = find(data, b"tool_use\"").is_some();
                self.calls |= find(data, b"\"tool_use\"").is_some();
                Ok(if call { FrameNote::Content } else { FrameNote::Quiet })
            }
            "content_block_delta" if find(data, b"\"signature_delta\"").is_none() => {
                if let Some(at) = words_at(data) {
                    self.alike.remember(data, &at);
                }
                Ok(FrameNote::Content)
            }
            "message_stop" => {
                if self.seen.stop.is_none() {
                    let words = "the provider ended the stream without saying why the answer stopped";
                    return Err(Fault::provider(FaultKind::Cut, words));
                }
                self.seen.ended = true;
                Ok(FrameNote::End)
            }
            _ => Ok(FrameNote::Quiet),
        }
    }

    fn seen(&self) -> &Seen {
        &self.seen
    }

    fn close(&mut self) -> Option<&'static [u8]> {
        self.seen.ended.then_some(b"")
    }
}

impl Watch {
    /// Parses the two events that say who answers, why the answer stopped, and how much it took.
    fn report(&mut self, data: &[u8]) -> Result<FrameNote, Fault> {
        let mut value: Value = serde_json::from_slice(data).map_err(|error| {
            Fault::provider(FaultKind::Malformed, format!("an event of the provider's stream is no JSON: {error}"))
        })?;
        if let Some(word) = value.pointer("/delta/stop_reason").and_then(Value::as_str) {
            let stop = response::decode_stop(Some(word.to_owned()), None, self.calls);
            self.seen.stop = Some(stop.reason);
        }
        let text = |pointer: &str| value.pointer(pointer).and_then(Value::as_str).map(str::to_owned);
        let (id, model) = (text("/message/id"), text("/message/model"));
        self.seen.id = self.seen.id.take().or(id);
        self.seen.model = self.seen.model.take().or(model);
        for pointer in ["/message/usage", "/usage"] {
            if let Some(usage) = value.pointer_mut(pointer).map(Value::take).filter(Value::is_object) {
                self.seen.usage = self.reports.join(usage).map_err(BadField::into_provider_fault)?;
            }
        }
        Ok(FrameNote::Quiet)
    }
}
