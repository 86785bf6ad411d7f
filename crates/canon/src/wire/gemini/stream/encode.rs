//! Events to chunks. Words go out as they come; a call is held until it is whole, because this wire's arguments are
//! an object.

use super::decode::LOGPROBS;
use crate::Extras;
use crate::event::{Event, Finish, Head, PartId, PartKind, TokenLogprob};
use crate::fault::Fault;
use crate::frame::write_sse;
use crate::request::{Citation, Seal};
use crate::usage::Usage;
use crate::wire::gemini::{ID, fault, logprobs, response, usage};
use crate::wire::writer::put;
use crate::wire::{StreamEncoder, StreamTerms};
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// Writes chunks.
#[derive(Debug)]
pub(in crate::wire::gemini) struct Encoder {
    terms: StreamTerms,
    /// Id and model, which every chunk repeats.
    head: Extras,
    /// Whether the answer came from this wire, so that what it said beside its parts is said again.
    home: bool,
    parts: BTreeMap<PartId, Open>,
    choices: BTreeMap<u32, Said>,
    usage: Usage,
}

#[derive(Debug)]
struct Open {
    choice: u32,
    kind: Kind,
    /// Characters of the choice's text before this part.
    before: u64,
}

#[derive(Debug)]
enum Kind {
    Words { thought: bool },
    Call { id: String, name: String, arguments: String, seal: Option<Seal>, extras: Extras },
    Unsaid,
}

/// The text of a choice so far and its sources, which are placed by it.
#[derive(Debug, Default)]
struct Said {
    text: String,
    citations: Vec<Citation>,
}

impl StreamEncoder for Encoder {
    fn event(&mut self, event: &Event, out: &mut Vec<u8>) {
        match event {
            Event::Start(head) => {
                self.home = head.origin == Some(ID);
                self.head = fixed(head, &self.terms);
            }
            Event::PartStart { at, choice, kind } => self.part_start(*at, *choice, kind, out),
            Event::Delta { at, text, logprobs } => self.delta(*at, text, logprobs, out),
            Event::Citation { at, citation } => {
                if let Some(open) = self.parts.get(at) {
                    let citation = response::moved(citation, open.before);
                    self.choices.entry(open.choice).or_default().citations.push(citation);
                }
            }
            Event::Seal { at, seal } => match self.parts.get_mut(at) {
                Some(Open { kind: Kind::Call { seal: mine, .. }, .. }) => *mine = Some(seal.clone()),
                Some(Open { kind: Kind::Words { thought }, choice, .. }) => {
                    let (part, choice) = (response::words("", *thought, Some(seal), Extras::new()), *choice);
                    self.chunk(choice, part.into(), &[], out);
                }
                _ => {}
            },
            Event::PartEnd { at } => {
                if let Some(open) = self.parts.remove(at) {
                    self.part_end(open, out);
                }
            }
            Event::Usage(usage) => self.usage.merge(usage),
            Event::Finish(finish) => self.finish(finish, out),
            Event::PartExtras { at, extras } if self.home => self.extras(*at, extras, out),
            Event::PartExtras { .. } | Event::Native { .. } => {}
        }
    }

    fn fault(&mut self, fault: &Fault, out: &mut Vec<u8>) {
        write_sse(out, "", fault::encode_error(fault).to_string().as_bytes());
    }
}

impl Encoder {
    pub(in crate::wire::gemini) fn new(terms: &StreamTerms) -> Self {
        Self {
            terms: terms.clone(),
            head: fixed(&Head::default(), terms),
            home: false,
            parts: BTreeMap::new(),
            choices: BTreeMap::new(),
            usage: Usage::default(),
        }
    }

    fn part_start(&mut self, at: PartId, choice: u32, kind: &PartKind, out: &mut Vec<u8>) {
        let before = self.choices.entry(choice).or_default().text.chars().count() as u64;
        let kind = match kind {
            PartKind::Text | PartKind::Refusal => Kind::Words { thought: false },
            PartKind::Reasoning { .. } => Kind::Words { thought: true },
            PartKind::ToolCall { call_id, name } => Kind::Call {
                id: call_id.clone(),
                name: name.clone(),
                arguments: String::new(),
                seal: None,
                extras: Extras::new(),
            },
            PartKind::Media(media) => {
                if let Some(part) = response::medium(media, self.home) {
                    self.chunk(choice, part.into(), &[], out);
                }
                Kind::Unsaid
            }
            PartKind::Native(body) => {
                if self.home {
                    self.chunk(choice, body.clone(), &[], out);
                }
                Kind::Unsaid
            }
        };
        self.parts.insert(at, Open { choice, kind, before });
    }

    fn delta(&mut self, at: PartId, text: &str, tokens: &[TokenLogprob], out: &mut Vec<u8>) {
        match self.parts.get_mut(&at) {
            Some(Open { kind: Kind::Call { arguments, .. }, .. }) => arguments.push_str(text),
            Some(Open { kind: Kind::Words { thought }, choice, .. }) => {
                let (thought, choice) = (*thought, *choice);
                if !thought {
                    self.choices.entry(choice).or_default().text.push_str(text);
                }
                self.chunk(choice, response::words(text, thought, None, Extras::new()).into(), tokens, out);
            }
            _ => {}
        }
    }

    /// What this wire said beside a part: in a part of its own, without words, or with the call that is held.
    fn extras(&mut self, at: PartId, more: &Extras, out: &mut Vec<u8>) {
        match self.parts.get_mut(&at) {
            Some(Open { kind: Kind::Call { extras, .. }, .. }) => extras.extend(more.clone()),
            Some(Open { kind: Kind::Words { thought }, choice, .. }) => {
                let (part, choice) = (response::words("", *thought, None, more.clone()), *choice);
                self.chunk(choice, part.into(), &[], out);
            }
            _ => {}
        }
    }

    fn part_end(&self, open: Open, out: &mut Vec<u8>) {
        if let Kind::Call { id, name, arguments, seal, extras } = open.kind {
            let part = response::call((&id, &name), &arguments, seal.as_ref(), extras);
            self.chunk(open.choice, part.into(), &[], out);
        }
    }

    fn chunk(&self, choice: u32, part: Value, tokens: &[TokenLogprob], out: &mut Vec<u8>) {
        let mut candidate = Extras::new();
        candidate.insert("content".to_owned(), json!({"parts": [part], "role": "model"}));
        candidate.insert("index".to_owned(), choice.into());
        put(&mut candidate, "logprobsResult", (!tokens.is_empty()).then(|| logprobs::encode(tokens)));
        let mut body = Extras::new();
        body.insert("candidates".to_owned(), json!([candidate]));
        body.extend(self.head.clone());
        write(body, out);
    }

    /// The last chunk: why each choice stopped, and what the answer cost.
    fn finish(&mut self, finish: &Finish, out: &mut Vec<u8>) {
        for open in std::mem::take(&mut self.parts).into_values() {
            self.part_end(open, out);
        }
        let own = if self.home { finish.extras.clone() } else { Extras::new() };
        let mut body = Extras::new();
        if !response::is_blocked(&own) {
            let nothing = Said::default();
            let candidates = finish.stops.iter().enumerate().map(|(at, stop)| {
                let said = self.choices.get(&stop.choice).unwrap_or(&nothing);
                // A content without parts makes the SDK's chats forget the turn.
                let parts = vec![json!({"text": ""})];
                let mut more = response::candidate_extras(&own, at);
                // Said with the words.
                more.shift_remove(LOGPROBS);
                response::encode_candidate(stop, parts, (&said.citations, &said.text), &[], more)
            });
            body.insert("candidates".to_owned(), candidates.collect());
        }
        body.insert("usageMetadata".to_owned(), usage::encode(&self.usage, self.home));
        body.extend(self.head.clone());
        body.extend(response::answer_extras(&own));
        write(body, out);
    }
}

fn fixed(head: &Head, terms: &StreamTerms) -> Extras {
    let mut fields = Extras::new();
    response::put_head(head, terms, &mut fields);
    fields
}

fn write(body: Extras, out: &mut Vec<u8>) {
    write_sse(out, "", Value::Object(body).to_string().as_bytes());
}
