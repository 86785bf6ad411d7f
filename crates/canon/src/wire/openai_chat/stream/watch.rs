//! Chunks that pass untouched: a search for the few words that matter, a parse only where they are.

use crate::fault::{Fault, FaultKind};
use crate::fields::BadField;
use crate::frame::Frame;
use crate::wire::look::{self, Look};
use crate::wire::openai_chat::{fault, response, usage::decode_usage};
use crate::wire::{FrameNote, Scan, Seen};
use memchr::memmem::find;
use serde_json::Value;
use std::collections::BTreeMap;

/// Watches chunks.
#[derive(Debug, Default)]
pub(in crate::wire::openai_chat) struct Watch {
    seen: Seen,
    /// Choices seen: whether they have calls, and whether they have said why they stopped.
    choices: BTreeMap<u64, (bool, bool)>,
    /// How many choices were asked for.
    expected: u32,
}

impl Scan for Watch {
    fn frame(&mut self, frame: &Frame) -> Result<FrameNote, Fault> {
        let data = frame.data.trim_ascii();
        if data.is_empty() {
            return Ok(FrameNote::Quiet);
        }
        if data == b"[DONE]" {
            self.seen.ended = true;
            return if self.is_complete() { Ok(FrameNote::End) } else { Err(no_reason()) };
        }
        if !data.starts_with(b"{") || !data.ends_with(b"}") {
            return Err(Fault::provider(FaultKind::Malformed, "a chunk of the provider's stream is no JSON object"));
        }
        let has_choice = find(data, b"\"delta\"").is_some();
        if !has_choice || frame.event.as_ref() == b"error" {
            return self.parse(data);
        }
        self.walk(data).map_err(BadField::into_provider_fault)?;
        if find(data, b"\"usage\":{").is_some() {
            self.parse(data)?;
        }
        Ok(if is_content(data) { FrameNote::Content } else { FrameNote::Quiet })
    }

    fn seen(&self) -> &Seen {
        &self.seen
    }

    fn close(&mut self) -> Option<&'static [u8]> {
        let all = self.seen.ended || self.choices.len() >= self.expected as usize;
        (all && self.is_complete()).then_some(if self.seen.ended { b"".as_slice() } else { b"data: [DONE]\n\n" })
    }

    fn expects(&mut self, choices: u32) {
        self.expected = choices;
    }
}

/// Whether a chunk holds words, thinking or a call.
fn is_content(data: &[u8]) -> bool {
    let filled = |key: &[u8]| {
        find(data, key).and_then(|at| data.get(at + key.len()..)).is_some_and(|rest| {
            let rest = rest.trim_ascii_start();
            rest.starts_with(b"\"") && !rest.starts_with(b"\"\"")
        })
    };
    filled(b"\"content\":")
        || find(data, b"\"tool_calls\":[{").is_some()
        || filled(b"\"reasoning_content\":")
        || filled(b"\"reasoning\":")
        || filled(b"\"refusal\":")
}

fn no_reason() -> Fault {
    Fault::provider(FaultKind::Cut, "the provider ended the stream without saying why the answer stopped")
}

impl Watch {
    /// Whether every choice that came has said why it stopped.
    fn is_complete(&self) -> bool {
        !self.choices.is_empty() && self.choices.values().all(|(_, stopped)| *stopped)
    }

    /// A full parse, for the few chunks that need one.
    fn parse(&mut self, data: &[u8]) -> Result<FrameNote, Fault> {
        let mut value: Value = serde_json::from_slice(data).map_err(|error| {
            Fault::provider(FaultKind::Malformed, format!("a chunk of the provider's stream is no JSON: {error}"))
        })?;
        if value.get("error").is_some_and(|error| !error.is_null()) {
            return Err(fault::decode_error(200, data));
        }
        let usage = value.get_mut("usage").map(Value::take).filter(|usage| !usage.is_null());
        let Some(usage) = usage else { return Ok(FrameNote::Quiet) };
        self.seen.usage.merge(&decode_usage(usage).map_err(BadField::into_provider_fault)?);
        Ok(FrameNote::Report)
    }

    /// Walks the chunk's top level and that of its choices, which finds broken JSON; id and model come from the first
    /// chunk.
    fn walk(&mut self, data: &[u8]) -> Result<(), BadField> {
        let first = self.seen.id.is_none();
        look::top_level(data, |key, value| {
            match key {
                "id" if first => self.seen.id = value.string(key)?,
                "model" if first => self.seen.model = value.string(key)?,
                "choices" if !value.is_null() => look::items(&value, |choice| self.choice(&choice))?,
                _ => {}
            }
            Ok(())
        })?;
        self.seen.id.get_or_insert_default();
        Ok(())
    }

    fn choice(&mut self, choice: &Look<'_>) -> Result<(), BadField> {
        let (mut index, mut word, mut calls) = (0, None, false);
        choice.fields(|key, value| {
            match key {
                "index" => index = value.whole(key)?.unwrap_or(0),
                "finish_reason" => word = value.string(key)?,
                "delta" => calls = value.mentions("\"tool_calls\":[{"),
                _ => {}
            }
            Ok(())
        })?;
        let choice = self.choices.entry(index).or_default();
        choice.0 |= calls;
        if let Some(word) = word {
            choice.1 = true;
            if index == 0 {
                self.seen.stop = Some(response::stop_reason(Some(&word), choice.0));
            }
        }
        Ok(())
    }
}
