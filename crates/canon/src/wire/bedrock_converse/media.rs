//! Images, documents, films and sounds. The wire names a format, the canon a MIME type; bytes are base64 in JSON.

use crate::Extras;
use crate::fields::{BadField, Fields};
use crate::media::{Media, MediaKind, Source};
use crate::request::Part;
use crate::wire::writer::{keep, put};
use serde_json::{Value, json};

/// In a document's extras: its text came without a format.
const BARE: &str = "~bare";

const DOCUMENTS: [(&str, &str); 9] = [
    ("pdf", "application/pdf"),
    ("csv", "text/csv"),
    ("doc", "application/msword"),
    ("docx", "application/vnd.openxmlformats-officedocument.wordprocessingml.document"),
    ("xls", "application/vnd.ms-excel"),
    ("xlsx", "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"),
    ("html", "text/html"),
    ("txt", "text/plain"),
    ("md", "text/markdown"),
];

const VIDEOS: [(&str, &str); 9] = [
    ("mkv", "video/x-matroska"),
    ("mov", "video/quicktime"),
    ("mp4", "video/mp4"),
    ("webm", "video/webm"),
    ("flv", "video/x-flv"),
    ("mpeg", "video/mpeg"),
    ("mpg", "video/mpg"),
    ("wmv", "video/x-ms-wmv"),
    ("three_gp", "video/3gpp"),
];

const IMAGES: [(&str, &str); 4] =
    [("png", "image/png"), ("jpeg", "image/jpeg"), ("gif", "image/gif"), ("webp", "image/webp")];

const SOUNDS: [(&str, &str); 15] = [
    ("mp3", "audio/mp3"),
    ("opus", "audio/opus"),
    ("wav", "audio/wav"),
    ("aac", "audio/aac"),
    ("flac", "audio/flac"),
    ("mp4", "audio/mp4"),
    ("ogg", "audio/ogg"),
    ("mkv", "audio/x-matroska"),
    ("mka", "audio/matroska"),
    ("x-aac", "audio/x-aac"),
    ("m4a", "audio/m4a"),
    ("mpeg", "audio/mpeg"),
    ("mpga", "audio/mpga"),
    ("pcm", "audio/pcm"),
    ("webm", "audio/webm"),
];

/// Formats, each with its MIME type.
type Formats = &'static [(&'static str, &'static str)];

/// The kinds, each with its key and its formats.
const KINDS: [(&str, MediaKind, Formats); 4] = [
    ("image", MediaKind::Image, &IMAGES),
    ("document", MediaKind::Document, &DOCUMENTS),
    ("video", MediaKind::Video, &VIDEOS),
    ("audio", MediaKind::Audio, &SOUNDS),
];

fn row(kind: MediaKind) -> (&'static str, Formats) {
    KINDS.iter().find(|row| row.1 == kind).map_or(("document", &DOCUMENTS), |row| (row.0, row.2))
}

/// The kind of media that a block's `key` names.
pub(super) fn kind_of(key: &str) -> Option<MediaKind> {
    KINDS.iter().find(|row| row.0 == key).map(|row| row.1)
}

/// A MIME type's format.
pub(super) fn format_of(kind: MediaKind, mime: &str) -> Option<&'static str> {
    let mime = match mime.split(';').next().unwrap_or_default().trim() {
        "image/jpg" => "image/jpeg",
        "audio/x-wav" | "audio/wave" => "audio/wav",
        "text/x-markdown" => "text/markdown",
        mime => mime,
    };
    row(kind).1.iter().find(|(_, known)| *known == mime).map(|(format, _)| *format)
}

fn mime_of(kind: MediaKind, format: &str) -> Option<&'static str> {
    row(kind).1.iter().find(|(known, _)| *known == format).map(|(_, mime)| *mime)
}

/// Reads a block of `kind`. One whose source or format the canon cannot hold stays whole.
pub(super) fn decode(mut fields: Fields, kind: MediaKind) -> Result<Part, BadField> {
    let (key, _) = row(kind);
    let inner = fields.peek(key);
    let text = |pointer: &str| inner.and_then(|inner| inner.pointer(pointer)).and_then(Value::as_str);
    let mime = text("/format").and_then(|format| mime_of(kind, format));
    let is_bare = inner.is_some_and(|inner| inner.get("format").is_none());
    let source = if let (Some(mime), Some(data)) = (mime, text("/source/bytes")) {
        Source::Base64 { mime: mime.to_owned(), data: data.to_owned() }
    } else if let (true, Some(words)) = (mime.is_some() || is_bare, text("/source/text")) {
        Source::Text { mime: mime.unwrap_or("text/plain").to_owned(), text: words.to_owned() }
    } else if let Some(uri) = text("/source/s3Location/uri") {
        Source::File { id: uri.to_owned() }
    } else {
        return Ok(Part::Native { body: Value::Object(fields.rest()) });
    };
    let mut inner = fields.object(key)?.ok_or_else(|| fields.missing(key))?;
    let mut source_rest = inner.map("source")?;
    if let Source::File { .. } = source {
        let mut place = source_rest.shift_remove("s3Location").unwrap_or_default();
        if let Value::Object(place) = &mut place {
            place.shift_remove("uri");
            keep(&mut source_rest, "s3Location", std::mem::take(place));
        }
    } else {
        inner.take("format");
        source_rest.shift_remove(if matches!(source, Source::Text { .. }) { "text" } else { "bytes" });
    }
    let name = if kind == MediaKind::Document { inner.string("name")? } else { None };
    let mut rest = inner.rest();
    keep(&mut rest, "source", source_rest);
    let mut extras = fields.rest();
    keep(&mut extras, key, rest);
    if is_bare {
        extras.insert(BARE.to_owned(), true.into());
    }
    Ok(Part::Media(Media { kind, source, name, detail: None, cache: None, extras }))
}

/// Writes the bare block, its name left out; `None`: the wire cannot say this source.
pub(super) fn encode(media: &Media, home: bool) -> Option<Extras> {
    let (key, _) = row(media.kind);
    let mut inner = Extras::new();
    let source = match &media.source {
        Source::Base64 { mime, data } => {
            inner.insert("format".to_owned(), format_of(media.kind, mime)?.into());
            json!({"bytes": data})
        }
        Source::Text { mime, text } if media.kind == MediaKind::Document => {
            let is_bare = home && media.extras.contains_key(BARE);
            put(&mut inner, "format", format_of(media.kind, mime).or(Some("txt")).filter(|_| !is_bare));
            json!({"text": text})
        }
        Source::File { id } if home => json!({"s3Location": {"uri": id}}),
        Source::Url { .. } | Source::File { .. } | Source::Text { .. } => return None,
    };
    inner.insert("source".to_owned(), source);
    Some(Extras::from_iter([(key.to_owned(), Value::Object(inner))]))
}
