//! Chunks that pass untouched: one walk over the top level and over each candidate's, a parse only of the counts.

use super::decode::bare_error;
use crate::Extras;
use crate::event::StopReason;
use crate::fault::{Fault, FaultKind};
use crate::fields::BadField;
use crate::frame::Frame;
use crate::wire::gemini::{fault, response, usage};
use crate::wire::look::{self, Look};
use crate::wire::{FrameNote, Scan, Seen};
use serde_json::Value;
use std::collections::BTreeMap;

/// Watches chunks.
#[derive(Debug, Default)]
pub(in crate::wire::gemini) struct Watch {
    seen: Seen,
    counts: Extras,
    /// Candidates seen, with whether each has calls and has ended.
    choices: BTreeMap<u64, (bool, bool)>,
}

impl Scan for Watch {
    fn frame(&mut self, frame: &Frame) -> Result<FrameNote, Fault> {
        let data = frame.data.trim_ascii();
        if data.is_empty() {
            return bare_error(&frame.raw).map_or(Ok(FrameNote::Quiet), Err);
        }
        self.look(data)
    }

    fn seen(&self) -> &Seen {
        &self.seen
    }

    fn close(&mut self) -> Option<&'static [u8]> {
        self.seen.ended.then_some(b"")
    }
}

impl Watch {
    fn look(&mut self, data: &[u8]) -> Result<FrameNote, Fault> {
        let (mut note, mut is_error) = (FrameNote::Quiet, false);
        look::top_level(data, |key, value| {
            match key {
                "candidates" => note = self.candidates(&value)?,
                "usageMetadata" => {
                    if let Ok(Value::Object(counts)) = serde_json::from_str(value.raw()) {
                        self.counts.extend(counts);
                        self.seen.usage = usage::decode(Value::Object(self.counts.clone()))?;
                        if note == FrameNote::Quiet {
                            note = FrameNote::Report;
                        }
                    }
                }
                "promptFeedback" if value.mentions("\"blockReason\"") => {
                    self.seen.stop = Some(StopReason::ContentFilter);
                    self.choices.insert(0, (false, true));
                }
                "responseId" if self.seen.id.is_none() => self.seen.id = value.string(key)?,
                "modelVersion" if self.seen.model.is_none() => self.seen.model = value.string(key)?,
                "error" => is_error = !value.is_null(),
                _ => {}
            }
            Ok(())
        })
        .map_err(BadField::into_provider_fault)?;
        if is_error {
            return Err(fault::decode_error(200, data));
        }
        let ended = !self.choices.is_empty() && self.choices.values().all(|(_, ended)| *ended);
        let ends_now = ended && !self.seen.ended;
        self.seen.ended = ended;
        Ok(if ends_now { FrameNote::End } else { note })
    }

    fn candidates(&mut self, value: &Look<'_>) -> Result<FrameNote, BadField> {
        let mut note = FrameNote::Quiet;
        if value.is_null() {
            return Ok(note);
        }
        look::items(value, |item| {
            let (mut index, mut word, mut calls) = (0, None, false);
            item.fields(|key, value| {
                match key {
                    "index" => index = value.whole(key)?.unwrap_or(0),
                    "finishReason" => word = value.string(key)?,
                    "content" => {
                        calls = value.mentions("\"functionCall\"");
                        if is_content(&value) {
                            note = FrameNote::Content;
                        }
                    }
                    _ => {}
                }
                Ok(())
            })?;
            let choice = self.choices.entry(index).or_default();
            choice.0 |= calls;
            if let Some(reason) = word.and_then(|word| response::stop_reason(&word, choice.0)) {
                choice.1 = true;
                if index == 0 {
                    self.seen.stop = Some(reason);
                }
            }
            Ok(())
        })?;
        Ok(note)
    }
}

/// Whether a content says something: words that are not empty, or a part of another kind.
fn is_content(value: &Look<'_>) -> bool {
    let raw = value.raw().as_bytes();
    let filled = memchr::memmem::find_iter(raw, b"\"text\"").any(|at| {
        let rest = raw.get(at + 6..).unwrap_or_default().trim_ascii_start();
        let rest = rest.strip_prefix(b":").unwrap_or_default().trim_ascii_start();
        rest.starts_with(b"\"") && !rest.starts_with(b"\"\"")
    });
    let kinds = ["\"functionCall\"", "\"inlineData\"", "\"executableCode\"", "\"codeExecutionResult\"", "\"fileData\""];
    filled || kinds.iter().any(|kind| value.mentions(kind))
}

/// Looks at a whole answer that passes untouched: it is a stream of one chunk.
pub(in crate::wire::gemini) fn scan(body: &[u8]) -> Result<Seen, Fault> {
    let mut watch = Watch::default();
    watch.look(body)?;
    if !watch.seen.ended {
        return Err(Fault::provider(FaultKind::Malformed, "the provider's answer holds no candidate that has ended"));
    }
    Ok(watch.seen)
}
