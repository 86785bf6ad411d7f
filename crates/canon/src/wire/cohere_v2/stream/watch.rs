//! Events that pass untouched: the first and the last are parsed, the many between them are only walked over.

use super::{DONE, data_of, parse};
use crate::fault::{Fault, FaultKind};
use crate::fields::BadField;
use crate::frame::Frame;
use crate::wire::cohere_v2::{fault, response, usage};
use crate::wire::{FrameNote, Scan, Seen, look};
use serde_json::Value;

/// Watches events.
#[derive(Debug, Default)]
pub(in crate::wire::cohere_v2) struct Watch {
    seen: Seen,
    calls: bool,
}

impl Scan for Watch {
    fn frame(&mut self, frame: &Frame) -> Result<FrameNote, Fault> {
        let Some(data) = data_of(frame) else {
            let done = self.seen.ended && frame.data.trim_ascii() == DONE;
            return Ok(if done { FrameNote::End } else { FrameNote::Quiet });
        };
        let (mut kind, mut id, mut is_error) = (None, None, false);
        look::top_level(data, |key, value| {
            match key {
                "type" => kind = value.string(key)?,
                "id" => id = value.string(key)?,
                "message" => is_error = value.raw().starts_with('"'),
                _ => {}
            }
            Ok(())
        })
        .map_err(BadField::into_provider_fault)?;
        match kind.as_deref() {
            Some("message-start") => {
                self.seen.id = id;
                Ok(FrameNote::Quiet)
            }
            Some("content-delta" | "tool-plan-delta" | "tool-call-delta") => Ok(FrameNote::Content),
            Some("tool-call-start") => {
                self.calls = true;
                Ok(FrameNote::Content)
            }
            Some("message-end") => self.end(data),
            None if is_error => Err(fault::decode_error(200, data)),
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
    fn end(&mut self, data: &[u8]) -> Result<FrameNote, Fault> {
        let mut value = parse(data)?;
        let text = |pointer: &str| value.pointer(pointer).and_then(Value::as_str).map(str::to_owned);
        let (word, error) = (text("/delta/finish_reason"), text("/delta/error"));
        let Some(word) = word else {
            let words = "the provider ended the stream without saying why the answer stopped";
            return Err(Fault::provider(FaultKind::Malformed, words));
        };
        if let Some(fault) = fault::of_finish(&word, error.as_deref()) {
            return Err(fault);
        }
        if let Some(counts) = value.pointer_mut("/delta/usage").map(Value::take).filter(Value::is_object) {
            self.seen.usage = usage::decode(counts).map_err(BadField::into_provider_fault)?;
        }
        self.seen.stop = Some(response::decode_stop(word, self.calls).reason);
        self.seen.ended = true;
        // `[DONE]` follows; where it does not, the end of the bytes will do.
        Ok(FrameNote::Quiet)
    }
}
