//! Output items, written from the parts of an answer; a whole answer and a stream write the same ones.

use super::ids;
use super::items::{HOME, ITEM, home_of, home_str, same_item};
use super::request::pieces::encode_said;
use crate::Extras;
use crate::media::{Media, MediaKind, Source};
use crate::request::Part;
use crate::wire::writer::put;
use serde_json::{Value, json};

/// What the parts of one output item are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// Words and refusals.
    Message,
    /// Thinking.
    Reasoning,
    /// A call of the client's function.
    Call,
    /// A picture made by the model.
    Picture,
    /// An item that only this wire knows.
    Native,
}

impl Kind {
    /// What item `part` stands in; `None`: the wire has none for it.
    pub(super) fn of(part: &Part, home: bool) -> Option<Self> {
        match part {
            Part::Text { .. } | Part::Refusal { .. } => Some(Self::Message),
            Part::Reasoning { .. } => Some(Self::Reasoning),
            Part::ToolCall { .. } => Some(Self::Call),
            Part::Media(media) => picture(media).map(|_| Self::Picture),
            Part::Native { .. } => home.then_some(Self::Native),
            Part::ToolResult { .. } => None,
        }
    }

    /// The prefix of such an item's id.
    fn prefix(self) -> &'static str {
        match self {
            Self::Message => "msg",
            Self::Reasoning => "rs",
            Self::Call => "fc",
            Self::Picture => "ig",
            Self::Native => "item",
        }
    }

    /// The item's id: the one it came with, else one made from its answer's id and its place.
    pub(super) fn id(self, first: &Part, home: bool, answer_id: &str, place: usize) -> String {
        let own = home_str(home_of(first).filter(|_| home), "id");
        own.map_or_else(|| ids::made(self.prefix(), answer_id, place), str::to_owned)
    }
}

/// Whether `next` goes on with the output item that `last` is part of.
pub(super) fn same_output_item(last: &Part, next: &Part) -> bool {
    same_item(last, next) && !matches!((last, next), (Part::Media(_), _) | (_, Part::Media(_)))
}

/// Writes one output item; `parts` are those of one item, in order.
pub(super) fn encode_item(kind: Kind, parts: &[Part], id: &str, status: &str, home: bool) -> Value {
    let mut fields = Extras::new();
    match (kind, parts.first()) {
        (Kind::Native, Some(Part::Native { body })) => return body.clone(),
        (Kind::Picture, Some(Part::Media(media))) => {
            fields = picture(media).unwrap_or_default();
            fields.insert("id".to_owned(), id.into());
            fields.insert("status".to_owned(), status.into());
        }
        (Kind::Call, Some(Part::ToolCall { call_id, name, arguments, extras, .. })) => {
            fields.insert("type".to_owned(), "function_call".into());
            fields.insert("id".to_owned(), id.into());
            fields.insert("call_id".to_owned(), call_id.clone().into());
            fields.insert("name".to_owned(), name.clone().into());
            fields.insert("arguments".to_owned(), call_arguments(arguments, status).into());
            fields.insert("status".to_owned(), status.into());
            if home {
                fields.extend(extras.clone());
                fields.shift_remove(HOME);
            }
        }
        (Kind::Reasoning, _) => {
            fields.insert("type".to_owned(), "reasoning".into());
            fields.insert("id".to_owned(), id.into());
            encode_thinking(parts, home, &mut fields);
        }
        _ => {
            let content = parts.iter().filter_map(|part| encode_said(part, home).map(Value::Object)).collect();
            fields.insert("type".to_owned(), "message".into());
            fields.insert("id".to_owned(), id.into());
            fields.insert("role".to_owned(), "assistant".into());
            fields.insert("status".to_owned(), status.into());
            fields.insert("content".to_owned(), Value::Array(content));
        }
    }
    if home {
        for part in parts {
            if let Some(Value::Object(more)) = part.extras().and_then(|extras| extras.get(ITEM)) {
                fields.extend(more.clone());
            }
        }
    }
    Value::Object(fields)
}

/// A finished call without arguments says `{}`, since an empty text is no JSON.
pub(super) fn call_arguments<'a>(arguments: &'a str, status: &str) -> &'a str {
    if arguments.is_empty() && status == "completed" { "{}" } else { arguments }
}

fn encode_thinking(parts: &[Part], home: bool, fields: &mut Extras) {
    let (mut summary, mut content, mut block) = (Vec::new(), Vec::new(), None);
    for part in parts {
        let Part::Reasoning { text, summary: is_summary, seal, extras } = part else { continue };
        block = seal.as_ref().map(|seal| seal.data.clone()).or(block);
        if text.is_empty() {
            continue;
        }
        let mut piece = json!({"type": if *is_summary { "summary_text" } else { "reasoning_text" }, "text": text});
        if let (true, Value::Object(piece)) = (home, &mut piece) {
            piece.extend(extras.clone());
            piece.shift_remove(HOME);
            piece.shift_remove(ITEM);
        }
        if *is_summary { &mut summary } else { &mut content }.push(piece);
    }
    fields.insert("summary".to_owned(), Value::Array(summary));
    if !content.is_empty() {
        fields.insert("content".to_owned(), Value::Array(content));
    }
    put(fields, "encrypted_content", block);
}

/// A picture that the model made; the wire has an item for its bytes.
fn picture(media: &Media) -> Option<Extras> {
    let (MediaKind::Image, Source::Base64 { mime, data }) = (media.kind, &media.source) else { return None };
    let mut fields = Extras::new();
    fields.insert("type".to_owned(), "image_generation_call".into());
    fields.insert("result".to_owned(), data.clone().into());
    fields.insert("output_format".to_owned(), mime.rsplit('/').next().unwrap_or("png").into());
    Some(fields)
}
