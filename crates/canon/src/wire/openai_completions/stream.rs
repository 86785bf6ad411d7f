//! Events to chunks of OpenAI Completions.

use super::{echo, response};
use crate::Extras;
use crate::event::{Event, Head, PartId, PartKind, TokenLogprob};
use crate::fault::Fault;
use crate::frame::write_sse;
use crate::usage::Usage;
use crate::wire::{StreamEncoder, StreamTerms, openai_chat};
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// Writes chunks.
#[derive(Debug)]
pub(super) struct Encoder {
    terms: StreamTerms,
    head: Extras,
    /// Parts whose words are the answer's text, with their choice.
    lanes: BTreeMap<PartId, u32>,
    /// Characters said by each choice.
    said: BTreeMap<u32, usize>,
    usage: Usage,
}

impl Encoder {
    pub(super) fn new(terms: &StreamTerms) -> Self {
        Self {
            terms: terms.clone(),
            head: response::head(&Head::default(), terms),
            lanes: BTreeMap::new(),
            said: BTreeMap::new(),
            usage: Usage::default(),
        }
    }

    /// Says the prompt again where a choice begins and the client wants it.
    fn begin(&mut self, choice: u32, out: &mut Vec<u8>) {
        if self.said.contains_key(&choice) {
            return;
        }
        let prompt = echo(&self.terms).to_owned();
        self.said.insert(choice, prompt.chars().count());
        if !prompt.is_empty() {
            self.chunk(vec![response::piece(choice, &prompt, Value::Null, None)], None, out);
        }
    }

    fn delta(&mut self, at: PartId, text: &str, tokens: &[TokenLogprob], out: &mut Vec<u8>) {
        let Some(choice) = self.lanes.get(&at).copied() else { return };
        let said = self.said.entry(choice).or_default();
        let logprobs = if tokens.is_empty() {
            *said += text.chars().count();
            Value::Null
        } else {
            response::logprobs(tokens, said)
        };
        self.chunk(vec![response::piece(choice, text, logprobs, None)], None, out);
    }

    fn chunk(&self, choices: Vec<Value>, usage: Option<Value>, out: &mut Vec<u8>) {
        let mut body = self.head.clone();
        body.insert("choices".to_owned(), choices.into());
        if let Some(usage) = usage {
            body.insert("usage".to_owned(), usage);
        }
        write_sse(out, "", json!(body).to_string().as_bytes());
    }
}

impl StreamEncoder for Encoder {
    fn event(&mut self, event: &Event, out: &mut Vec<u8>) {
        match event {
            Event::Start(head) => self.head = response::head(head, &self.terms),
            Event::PartStart { at, choice, kind: PartKind::Text | PartKind::Refusal } => {
                self.lanes.insert(*at, *choice);
                self.begin(*choice, out);
            }
            Event::Delta { at, text, logprobs } => self.delta(*at, text, logprobs, out),
            Event::Usage(usage) => self.usage.merge(usage),
            Event::Finish(finish) => {
                for stop in &finish.stops {
                    self.begin(stop.choice, out);
                    let word = response::stop_word(stop);
                    self.chunk(vec![response::piece(stop.choice, "", Value::Null, Some(word))], None, out);
                }
                if self.terms.usage {
                    self.chunk(Vec::new(), Some(openai_chat::encode_usage(&self.usage, false)), out);
                }
                write_sse(out, "", b"[DONE]");
            }
            _ => {}
        }
    }

    fn fault(&mut self, fault: &Fault, out: &mut Vec<u8>) {
        write_sse(out, "", openai_chat::encode_error(fault).to_string().as_bytes());
    }
}
