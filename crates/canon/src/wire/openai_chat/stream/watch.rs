//! Chunks that pass untouched: walked over once, or only compared with the one before; nothing is built but what the
//! ledger needs.

use crate::fault::{Fault, FaultKind};
use crate::fields::BadField;
use crate::frame::Frame;
use crate::wire::alike::Alike;
use crate::wire::look::{self, Look};
use crate::wire::openai_chat::{fault, response, usage::look_usage};
use crate::wire::walk::Walk;
use crate::wire::{FrameNote, Scan, Seen};
use std::collections::BTreeMap;
use std::ops::Range;

/// Watches chunks.
#[derive(Debug, Default)]
pub(in crate::wire::openai_chat) struct Watch {
    seen: Seen,
    /// Choices seen: whether they have calls, and whether they have said why they stopped.
    choices: BTreeMap<u64, (bool, bool)>,
    /// How many choices were asked for.
    expected: u32,
    /// The last chunk with words. One that differs from it in nothing else tells nothing but words.
    alike: Alike,
}

impl Scan for Watch {
    fn frame(&mut self, frame: &Frame) -> Result<FrameNote, Fault> {
        let data = frame.data.trim_ascii();
        if data.is_empty() {
            return Ok(FrameNote::Quiet);
        }
        if frame.event.is_empty() && self.alike.words(data).is_some() {
            return Ok(FrameNote::Content);
        }
        if data == b"[DONE]" {
            self.seen.ended = true;
            return if self.is_complete() { Ok(FrameNote::End) } else { Err(no_reason()) };
        }
        if !data.starts_with(b"{") || !data.ends_with(b"}") {
            return Err(Fault::provider(FaultKind::Malformed, "a chunk of the provider's stream is no JSON object"));
        }
        let looked = self.walk(data).map_err(BadField::into_provider_fault)?;
        if looked.is_error || frame.event.as_ref() == b"error" {
            return Err(fault::decode_error(200, data));
        }
        Ok(match looked {
            Looked { has_content: true, .. } => FrameNote::Content,
            Looked { has_usage: true, has_choice: false, .. } => FrameNote::Report,
            _ => FrameNote::Quiet,
        })
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

/// What a chunk holds.
#[derive(Default)]
struct Looked {
    is_error: bool,
    has_usage: bool,
    has_choice: bool,
    /// Words, thinking or a call.
    has_content: bool,
    /// Where words stand.
    words: Option<Range<usize>>,
}

/// What one choice of a chunk adds.
#[derive(Default)]
struct Added {
    index: u64,
    word: Option<String>,
    has_calls: bool,
    has_content: bool,
    words: Option<Range<usize>>,
}

fn no_reason() -> Fault {
    Fault::provider(FaultKind::Cut, "the provider ended the stream without saying why the answer stopped")
}

impl Watch {
    /// Whether every choice that came has said why it stopped.
    fn is_complete(&self) -> bool {
        !self.choices.is_empty() && self.choices.values().all(|(_, stopped)| *stopped)
    }

    /// Walks over the chunk, which finds broken JSON; id and model come from the first one.
    fn walk(&mut self, data: &[u8]) -> Result<Looked, BadField> {
        let first = self.seen.id.is_none();
        let mut looked = Looked::default();
        look::along(data, |key, walk| {
            match key {
                "id" if first => self.seen.id = Look::at(walk)?.string(key)?,
                "model" if first => self.seen.model = Look::at(walk)?.string(key)?,
                "error" => looked.is_error = !Look::at(walk)?.is_null(),
                "usage" if !walk.begins(b'n') => {
                    looked.has_usage = true;
                    self.seen.usage.merge(&look_usage(&Look::at(walk)?)?);
                }
                "choices" if !walk.begins(b'n') => walk.list(|walk| {
                    let added = look_choice(walk)?;
                    looked.has_choice = true;
                    looked.has_content |= added.has_content;
                    looked.words = added.words.clone();
                    self.add(added);
                    Ok(())
                })?,
                _ => {}
            }
            Ok(())
        })?;
        if looked.has_choice {
            self.seen.id.get_or_insert_default();
        }
        if let Some(at) = &looked.words {
            self.alike.remember(data, at);
        }
        Ok(looked)
    }

    fn add(&mut self, added: Added) {
        let choice = self.choices.entry(added.index).or_default();
        choice.0 |= added.has_calls;
        if let Some(word) = added.word {
            choice.1 = true;
            if added.index == 0 {
                self.seen.stop = Some(response::stop_reason(Some(&word), choice.0));
            }
        }
    }
}

fn look_choice(walk: &mut Walk<'_>) -> Result<Added, BadField> {
    let mut added = Added::default();
    walk.object(|key, walk| {
        match key {
            "index" => added.index = Look::at(walk)?.whole(key)?.unwrap_or(0),
            "finish_reason" => added.word = Look::at(walk)?.string(key)?,
            "delta" if !walk.begins(b'n') => walk.object(|key, walk| {
                let value = Look::at(walk)?;
                let is_text = matches!(key, "content" | "reasoning_content" | "reasoning" | "refusal");
                let is_calls = key == "tool_calls" && value.is_filled();
                let says = is_text && value.raw().len() > 2 && value.raw().starts_with('"');
                added.has_calls |= is_calls;
                added.has_content |= is_calls || says;
                if says {
                    added.words = Some(value.range());
                }
                Ok(())
            })?,
            _ => {}
        }
        Ok(())
    })?;
    Ok(added)
}
