//! What Converse allows in a request body: the shapes of the service model of `bedrock-runtime` (2023-09-30) in
//! `botocore` 1.44.8. Bytes are base64. Tables only.

use crate::provider::shape::{Field, Kind, TEXT, WORDS, list, may, must, some};

const INF: i64 = i64::MAX;
const EMPTY: Kind = Kind::Object(&[]);
const FREE: Kind = Kind::Map(&Kind::Any);
const NAME: Kind = Kind::Text { min: 1, max: 64 };
const CALL_ID: Kind = Kind::Text { min: 1, max: 64 };

const S3: Kind = Kind::Object(&[must("uri", Kind::Text { min: 1, max: 1024 }), may("bucketOwner", WORDS)]);
const BYTES_OR_S3: Kind = Kind::One(&[may("bytes", WORDS), may("s3Location", S3)]);
const IMAGE: Kind =
    Kind::Object(&[must("format", Kind::Word(&["png", "jpeg", "gif", "webp"])), must("source", BYTES_OR_S3)]);
const VIDEOS: Kind = Kind::Word(&["mkv", "mov", "mp4", "webm", "flv", "mpeg", "mpg", "wmv", "three_gp"]);
const VIDEO: Kind = Kind::Object(&[must("format", VIDEOS), must("source", BYTES_OR_S3)]);
const SOUNDS: Kind = Kind::Word(&[
    "mp3", "opus", "wav", "aac", "flac", "mp4", "ogg", "mkv", "mka", "x-aac", "m4a", "mpeg", "mpga", "pcm", "webm",
]);
const AUDIO: Kind = Kind::Object(&[must("format", SOUNDS), must("source", BYTES_OR_S3)]);
const PAPERS: Kind = Kind::Word(&["pdf", "csv", "doc", "docx", "xls", "xlsx", "html", "txt", "md"]);
const CITES: Kind = Kind::Object(&[must("enabled", Kind::Flag)]);
const PIECE: Kind = Kind::One(&[may("text", TEXT)]);
const PAPER_SOURCE: Kind =
    Kind::One(&[may("bytes", WORDS), may("s3Location", S3), may("text", TEXT), may("content", list(&PIECE))]);
const DOCUMENT: Kind = Kind::Object(&[
    may("format", PAPERS),
    must("name", Kind::Text { min: 1, max: 200 }),
    must("source", PAPER_SOURCE),
    may("context", TEXT),
    may("citations", CITES),
]);
const FOUND: Kind = Kind::Object(&[must("text", TEXT)]);
const SEARCH_RESULT: Kind =
    Kind::Object(&[must("source", TEXT), must("title", TEXT), must("content", list(&FOUND)), may("citations", CITES)]);
const CACHE_POINT: Kind =
    Kind::Object(&[must("type", Kind::Word(&["default"])), may("ttl", Kind::Word(&["5m", "1h"]))]);

const GUARDED_TEXT: Kind = Kind::Object(&[
    must("text", TEXT),
    may("qualifiers", list(&Kind::Word(&["grounding_source", "query", "guard_content"]))),
]);
const GUARDED_IMAGE: Kind =
    Kind::Object(&[must("format", Kind::Word(&["png", "jpeg"])), must("source", Kind::One(&[may("bytes", WORDS)]))]);
const GUARDED: Kind = Kind::One(&[may("text", GUARDED_TEXT), may("image", GUARDED_IMAGE)]);

const CALL: Kind = Kind::Object(&[
    must("toolUseId", CALL_ID),
    must("name", NAME),
    must("input", Kind::Any),
    may("type", Kind::Word(&["server_tool_use"])),
]);
const RESULT_BLOCK: Kind = Kind::One(&[
    may("json", Kind::Any),
    may("text", TEXT),
    may("image", IMAGE),
    may("document", DOCUMENT),
    may("video", VIDEO),
    may("searchResult", SEARCH_RESULT),
]);
const RESULT: Kind = Kind::Object(&[
    must("toolUseId", CALL_ID),
    must("content", list(&RESULT_BLOCK)),
    may("status", Kind::Word(&["success", "error"])),
    may("type", TEXT),
]);
const THINKING: Kind = Kind::One(&[
    may("reasoningText", Kind::Object(&[must("text", TEXT), may("signature", TEXT)])),
    may("redactedContent", TEXT),
]);
const CITATION: Kind =
    Kind::Object(&[may("title", TEXT), may("source", TEXT), may("sourceContent", list(&PIECE)), may("location", FREE)]);
const CITED: Kind = Kind::Object(&[may("content", list(&PIECE)), may("citations", list(&CITATION))]);
const TOOL_CHANGE: Kind =
    Kind::Object(&[must("tool", Kind::Object(&[may("type", WORDS), may("name", WORDS), may("serverName", WORDS)]))]);

const BLOCK: Kind = Kind::One(&[
    may("text", TEXT),
    may("image", IMAGE),
    may("document", DOCUMENT),
    may("video", VIDEO),
    may("audio", AUDIO),
    may("toolUse", CALL),
    may("toolResult", RESULT),
    may("guardContent", GUARDED),
    may("cachePoint", CACHE_POINT),
    may("reasoningContent", THINKING),
    may("citationsContent", CITED),
    may("searchResult", SEARCH_RESULT),
    may("toolAddition", TOOL_CHANGE),
    may("toolRemoval", TOOL_CHANGE),
]);
const MESSAGE: Kind =
    Kind::Object(&[must("role", Kind::Word(&["user", "assistant", "system"])), must("content", list(&BLOCK))]);
const SYSTEM_BLOCK: Kind =
    Kind::One(&[may("text", WORDS), may("guardContent", GUARDED), may("cachePoint", CACHE_POINT)]);

const TOOL_SPEC: Kind = Kind::Object(&[
    must("name", NAME),
    may("description", WORDS),
    must("inputSchema", Kind::One(&[may("json", FREE)])),
    may("strict", Kind::Flag),
]);
const TOOL: Kind = Kind::One(&[
    may("toolSpec", TOOL_SPEC),
    may("systemTool", Kind::Object(&[must("name", NAME)])),
    may("cachePoint", CACHE_POINT),
]);
const TOOL_CHOICE: Kind =
    Kind::One(&[may("auto", EMPTY), may("any", EMPTY), may("tool", Kind::Object(&[must("name", NAME)]))]);

const SCHEMA: Kind = Kind::Object(&[must("schema", TEXT), may("name", TEXT), may("description", TEXT)]);
const FORMAT: Kind = Kind::Object(&[
    must("type", Kind::Word(&["json_schema"])),
    must("structure", Kind::One(&[may("jsonSchema", SCHEMA)])),
]);
const SHARE: Kind = Kind::Number { min: 0.0, max: 1.0 };
const INFERENCE: Kind = Kind::Object(&[
    may("maxTokens", Kind::Whole { min: 1, max: INF }),
    may("temperature", SHARE),
    may("topP", SHARE),
    may("stopSequences", Kind::List { of: &WORDS, min: 0, max: 2500 }),
]);
const GUARDRAIL: &[Field] = &[
    may("guardrailIdentifier", Kind::Text { min: 0, max: 2048 }),
    may("guardrailVersion", TEXT),
    may("trace", Kind::Word(&["enabled", "disabled", "enabled_full"])),
    may("streamProcessingMode", Kind::Word(&["sync", "async"])),
];

/// The whole body.
pub(super) const BODY: Kind = Kind::Object(&[
    may("messages", list(&MESSAGE)),
    may("system", list(&SYSTEM_BLOCK)),
    may("inferenceConfig", INFERENCE),
    may("toolConfig", Kind::Object(&[must("tools", some(&TOOL)), may("toolChoice", TOOL_CHOICE)])),
    may("guardrailConfig", Kind::Object(GUARDRAIL)),
    may("projectIdentifier", Kind::Text { min: 1, max: 2048 }),
    may("additionalModelRequestFields", FREE),
    may("promptVariables", Kind::Map(&PIECE)),
    may("additionalModelResponseFieldPaths", Kind::List { of: &Kind::Text { min: 1, max: 256 }, min: 0, max: 10 }),
    may("requestMetadata", Kind::Map(&Kind::Text { min: 0, max: 256 })),
    may("performanceConfig", Kind::Object(&[may("latency", Kind::Word(&["standard", "optimized"]))])),
    may("serviceTier", Kind::Object(&[must("type", Kind::Word(&["priority", "default", "flex", "reserved"]))])),
    may("outputConfig", Kind::Object(&[may("textFormat", FORMAT), may("effort", Kind::Text { min: 0, max: 16 })])),
]);
