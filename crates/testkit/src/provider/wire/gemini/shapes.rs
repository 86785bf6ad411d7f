//! What Gemini's `generateContent` allows in a request body: the fields of the types of Google's SDK `google-genai` 3.6.1
//! (`google/genai/types.py`) as they are sent. Tables only.

use crate::provider::shape::{Kind, TEXT, WORDS, list, may, must, null, some};

const FREE: Kind = Kind::Map(&Kind::Any);
const INF: i64 = i64::MAX;
const BLOB: Kind = Kind::Object(&[must("mimeType", WORDS), must("data", WORDS), may("displayName", TEXT)]);
const FILE: Kind = Kind::Object(&[may("mimeType", WORDS), must("fileUri", WORDS), may("displayName", TEXT)]);
const MEDIUM: Kind = Kind::Object(&[may("inlineData", BLOB), may("fileData", FILE)]);

const PART: Kind = Kind::Object(&[
    may("text", TEXT),
    may("thought", Kind::Flag),
    may("thoughtSignature", WORDS),
    may("inlineData", BLOB),
    may("fileData", FILE),
    may("videoMetadata", FREE),
    may("mediaResolution", FREE),
    may("partMetadata", FREE),
    may("executableCode", FREE),
    may("codeExecutionResult", FREE),
    may("functionCall", Kind::Object(&[may("id", TEXT), must("name", WORDS), may("args", FREE)])),
    may(
        "functionResponse",
        Kind::Object(&[
            may("id", TEXT),
            must("name", WORDS),
            must("response", FREE),
            may("parts", list(&MEDIUM)),
            may("willContinue", Kind::Flag),
            may("scheduling", TEXT),
        ]),
    ),
]);
const CONTENT: Kind =
    Kind::Object(&[may("role", Kind::Word(&["user", "model", "function", "tool"])), must("parts", some(&PART))]);

const DECLARATION: Kind = Kind::Object(&[
    must("name", Kind::Text { min: 1, max: 64 }),
    may("description", TEXT),
    may("parameters", FREE),
    may("parametersJsonSchema", Kind::Any),
    may("response", FREE),
    may("responseJsonSchema", Kind::Any),
    may("behavior", Kind::Word(&["UNSPECIFIED", "BLOCKING", "NON_BLOCKING"])),
]);
const TOOL: Kind = Kind::Object(&[
    may("functionDeclarations", list(&DECLARATION)),
    may("googleSearch", FREE),
    may("googleSearchRetrieval", FREE),
    may("codeExecution", FREE),
    may("urlContext", FREE),
    may("googleMaps", FREE),
    may("computerUse", FREE),
    may("fileSearch", FREE),
]);
const CALLING: Kind = Kind::Object(&[
    may("mode", Kind::Word(&["MODE_UNSPECIFIED", "AUTO", "ANY", "NONE", "VALIDATED"])),
    may("allowedFunctionNames", list(&WORDS)),
    may("streamFunctionCallArguments", Kind::Flag),
]);
const THINKING: Kind = Kind::Object(&[
    may("includeThoughts", Kind::Flag),
    may("thinkingBudget", Kind::Whole { min: -1, max: 1 << 20 }),
    may("thinkingLevel", Kind::Word(&["THINKING_LEVEL_UNSPECIFIED", "MINIMAL", "LOW", "MEDIUM", "HIGH", "XHIGH"])),
]);
const CONFIG: Kind = Kind::Object(&[
    may("temperature", Kind::Number { min: 0.0, max: 2.0 }),
    may("topP", Kind::Number { min: 0.0, max: 1.0 }),
    may("topK", Kind::Number { min: 1.0, max: 1e9 }),
    may("candidateCount", Kind::Whole { min: 1, max: 8 }),
    may("maxOutputTokens", Kind::Whole { min: 1, max: INF }),
    may("stopSequences", Kind::List { of: &WORDS, min: 0, max: 5 }),
    may("responseLogprobs", Kind::Flag),
    may("logprobs", Kind::Whole { min: 0, max: 20 }),
    may("presencePenalty", Kind::Number { min: -2.0, max: 2.0 }),
    may("frequencyPenalty", Kind::Number { min: -2.0, max: 2.0 }),
    may("seed", Kind::Whole { min: i32::MIN as i64, max: i32::MAX as i64 }),
    may("responseMimeType", Kind::Word(&["text/plain", "application/json", "text/x.enum"])),
    may("responseSchema", FREE),
    may("responseJsonSchema", Kind::Any),
    may("thinkingConfig", THINKING),
    may("mediaResolution", TEXT),
    may("responseModalities", list(&TEXT)),
    may("speechConfig", FREE),
    may("imageConfig", FREE),
]);

/// The whole body.
pub(super) const BODY: Kind = Kind::Object(&[
    must("contents", some(&CONTENT)),
    may("systemInstruction", CONTENT),
    may("tools", list(&TOOL)),
    may("toolConfig", Kind::Object(&[may("functionCallingConfig", CALLING), may("retrievalConfig", FREE)])),
    may(
        "safetySettings",
        list(&Kind::Object(&[must("category", WORDS), must("threshold", WORDS), may("method", TEXT)])),
    ),
    may("generationConfig", CONFIG),
    null("cachedContent", WORDS),
    may("labels", Kind::Map(&TEXT)),
    may("serviceTier", Kind::Word(&["unspecified", "standard", "flex", "priority"])),
    may("store", Kind::Flag),
    may("model", WORDS),
]);
