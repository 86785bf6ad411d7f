//! What Cohere's chat allows in a request body: the parameters of `v2.chat` and the types of the official Python SDK
//! (`cohere` 7.3.1, `cohere/types`). Tables only.

use crate::provider::shape::{Field, Kind, TEXT, WORDS, list, may, must, null, some};

const INF: i64 = i64::MAX;
const FREE: Kind = Kind::Map(&Kind::Any);

const TEXT_PART: &[Field] = &[must("text", TEXT)];
const PICTURE: Kind = Kind::Object(&[must("url", WORDS), may("detail", Kind::Word(&["auto", "low", "high"]))]);
const DOCUMENT: Kind = Kind::Object(&[must("data", Kind::Either(&[FREE, TEXT])), may("id", TEXT)]);
const USER_PART: Kind =
    Kind::Tagged { tag: "type", cases: &[("text", TEXT_PART), ("image_url", &[must("image_url", PICTURE)])] };
const WORDS_PART: Kind = Kind::Tagged { tag: "type", cases: &[("text", TEXT_PART)] };
const ASSISTANT_PART: Kind =
    Kind::Tagged { tag: "type", cases: &[("text", TEXT_PART), ("thinking", &[must("thinking", TEXT)])] };
const TOOL_PART: Kind =
    Kind::Tagged { tag: "type", cases: &[("text", TEXT_PART), ("document", &[must("document", DOCUMENT)])] };

const SOURCE: Kind = Kind::Tagged {
    tag: "type",
    cases: &[
        ("tool", &[may("id", TEXT), may("tool_output", FREE)]),
        ("document", &[may("id", TEXT), may("document", FREE)]),
    ],
};
const PLACE: Kind = Kind::Whole { min: 0, max: INF };
const CITATION: Kind = Kind::Object(&[
    may("start", PLACE),
    may("end", PLACE),
    may("text", TEXT),
    may("sources", list(&SOURCE)),
    may("content_index", PLACE),
    may("type", Kind::Word(&["TEXT_CONTENT", "THINKING_CONTENT", "PLAN"])),
]);
const CALLED: Kind = Kind::Object(&[must("name", WORDS), must("arguments", TEXT)]);
const CALL: Kind =
    Kind::Object(&[must("id", WORDS), must("type", Kind::Word(&["function"])), must("function", CALLED)]);

const MESSAGE: Kind = Kind::Tagged {
    tag: "role",
    cases: &[
        ("system", &[must("content", Kind::Either(&[TEXT, some(&WORDS_PART)]))]),
        ("user", &[must("content", Kind::Either(&[TEXT, some(&USER_PART)]))]),
        (
            "assistant",
            &[
                null("content", Kind::Either(&[TEXT, some(&ASSISTANT_PART)])),
                null("tool_plan", TEXT),
                null("tool_calls", list(&CALL)),
                null("citations", list(&CITATION)),
            ],
        ),
        ("tool", &[must("tool_call_id", WORDS), must("content", Kind::Either(&[TEXT, some(&TOOL_PART)]))]),
    ],
};

const FUNCTION: Kind = Kind::Object(&[must("name", WORDS), may("description", TEXT), must("parameters", FREE)]);
const TOOL: Kind = Kind::Object(&[must("type", Kind::Word(&["function"])), must("function", FUNCTION)]);
const FORMAT: Kind = Kind::Tagged {
    tag: "type",
    cases: &[("text", &[]), ("json_object", &[may("json_schema", FREE), may("schema", FREE)])],
};
const THINKING: Kind = Kind::Object(&[
    must("type", Kind::Word(&["enabled", "disabled"])),
    may("token_budget", Kind::Whole { min: 1, max: INF }),
]);
const CITING: Kind = Kind::Object(&[may("mode", Kind::Word(&["ENABLED", "DISABLED", "FAST", "ACCURATE", "OFF"]))]);
const PENALTY: Kind = Kind::Number { min: 0.0, max: 1.0 };

/// The whole body.
pub(super) const BODY: Kind = Kind::Object(&[
    must("model", WORDS),
    must("messages", some(&MESSAGE)),
    may("stream", Kind::Flag),
    may("tools", list(&TOOL)),
    may("strict_tools", Kind::Flag),
    may("documents", list(&Kind::Either(&[TEXT, DOCUMENT]))),
    may("citation_options", CITING),
    may("response_format", FORMAT),
    may("safety_mode", Kind::Word(&["CONTEXTUAL", "STRICT", "OFF"])),
    may("max_tokens", Kind::Whole { min: 1, max: INF }),
    may("stop_sequences", Kind::List { of: &WORDS, min: 0, max: 5 }),
    may("temperature", Kind::Number { min: 0.0, max: f64::MAX }),
    may("seed", Kind::Whole { min: 0, max: INF }),
    may("frequency_penalty", PENALTY),
    may("presence_penalty", PENALTY),
    may("k", Kind::Whole { min: 0, max: 500 }),
    may("p", Kind::Number { min: 0.01, max: 0.99 }),
    may("logprobs", Kind::Flag),
    may("tool_choice", Kind::Word(&["REQUIRED", "NONE"])),
    may("thinking", THINKING),
    may("priority", Kind::Whole { min: 0, max: 999 }),
]);
