//! Events that pass untouched: one walk over the top level, a closer look only at the first and the last.

use crate::fault::{Fault, FaultKind};
use crate::fields::BadField;
use crate::frame::Frame;
use crate::wire::look;
use crate::wire::openai_responses::fault::decode_failed;
use crate::wire::openai_responses::response::{Outcome, scan_object};
use crate::wire::{FrameNote, Scan, Seen};
use memchr::memmem::find;

/// Watches the wire's events.
#[derive(Debug, Default)]
pub(in crate::wire::openai_responses) struct Watch {
    seen: Seen,
}

impl Scan for Watch {
    fn frame(&mut self, frame: &Frame) -> Result<FrameNote, Fault> {
        let data = frame.data.trim_ascii();
        // Some engines close with the mark of OpenAI Chat.
        if data.is_empty() || data == b"[DONE]" {
            return Ok(FrameNote::Quiet);
        }
        let (mut name, mut response, mut has_delta, mut is_error) = (None, None, false, false);
        look::top_level(data, |key, value| {
            match key {
                "type" => name = value.string(key)?,
                "response" => response = Some(value.range()),
                "delta" => has_delta = value.raw() != "\"\"",
                "error" => is_error = !value.is_null(),
                _ => {}
            }
            Ok(())
        })
        .map_err(BadField::into_provider_fault)?;
        let name = name.unwrap_or_else(|| String::from_utf8_lossy(&frame.event).into_owned());
        let object = response.and_then(|at| data.get(at));
        match name.as_str() {
            "response.completed" | "response.incomplete" => self.last(object),
            "error" | "response.failed" => Err(decode_failed(data)),
            "" if is_error => Err(decode_failed(data)),
            "response.created" | "response.in_progress" | "response.queued" => {
                if self.seen.id.is_none()
                    && let Some(object) = object
                {
                    self.seen = scan_object(object)?.0;
                    self.seen.ended = false;
                    self.seen.stop = None;
                }
                Ok(FrameNote::Quiet)
            }
            "response.output_item.added" if find(data, b"\"function_call\"").is_some() => Ok(FrameNote::Content),
            name if name.ends_with(".delta") && has_delta => Ok(FrameNote::Content),
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
    /// The wire's own end, which tells everything again.
    fn last(&mut self, object: Option<&[u8]>) -> Result<FrameNote, Fault> {
        let unfinished =
            || Fault::provider(FaultKind::Malformed, "the provider's last event holds no complete response");
        let (seen, outcome) = scan_object(object.ok_or_else(unfinished)?)?;
        match outcome {
            Outcome::Ended => {
                self.seen = seen;
                Ok(FrameNote::End)
            }
            Outcome::Failed => Err(decode_failed(object.unwrap_or_default())),
            Outcome::Unfinished => Err(unfinished()),
        }
    }
}
