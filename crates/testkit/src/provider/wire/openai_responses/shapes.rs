//! What OpenAI Responses allows in a request body: the field lists of the official Python SDK 3.57.0
//! (`openai/types/responses/*_param.py`). Tables only. Items and tools are looked up by their word in `rules`, since a
//! message may leave its word out.

use crate::provider::shape::{Field, Kind, TEXT, WORDS, list, may, must, null};

const INF: i64 = i64::MAX;
const FREE: Kind = Kind::Map(&Kind::Any);
const NAME: Kind = Kind::Text { min: 1, max: 64 };
const ID: Kind = Kind::Text { min: 1, max: 64 };
const STATUS: Field = null("status", Kind::Word(&["in_progress", "completed", "incomplete"]));
const BREAKPOINT: Kind =
    Kind::Object(&[must("mode", Kind::Word(&["explicit"])), may("ttl", Kind::Word(&["30m", "12h"]))]);
const MARK: Field = null("prompt_cache_breakpoint", BREAKPOINT);

const INPUT_PART: Kind = Kind::Tagged {
    tag: "type",
    cases: &[
        ("input_text", &[must("text", TEXT), MARK]),
        (
            "input_image",
            &[
                null("image_url", WORDS),
                null("file_id", WORDS),
                may("detail", Kind::Word(&["low", "high", "auto", "original"])),
                MARK,
            ],
        ),
        (
            "input_file",
            &[
                null("file_data", WORDS),
                null("file_id", WORDS),
                null("file_url", WORDS),
                may("filename", WORDS),
                may("detail", Kind::Word(&["low", "high", "auto"])),
                MARK,
            ],
        ),
    ],
};
const OUTPUT_PART: Kind = Kind::Tagged {
    tag: "type",
    cases: &[
        ("output_text", &[must("text", TEXT), may("annotations", list(&FREE)), may("logprobs", list(&FREE)), MARK]),
        ("refusal", &[must("refusal", TEXT)]),
    ],
};
const OUTPUT: Kind = Kind::Either(&[TEXT, list(&INPUT_PART)]);
const TYPE: Field = may("type", TEXT);
const ITEM_ID: Field = null("id", ID);

/// A message of the model.
pub(super) const SAID: Kind = Kind::Object(&[
    TYPE,
    ITEM_ID,
    STATUS,
    must("role", Kind::Word(&["assistant"])),
    must("content", Kind::Either(&[TEXT, list(&OUTPUT_PART)])),
    null("phase", Kind::Word(&["commentary", "final_answer"])),
]);

/// A message of someone else.
pub(super) const ASKED: Kind = Kind::Object(&[
    TYPE,
    ITEM_ID,
    STATUS,
    must("role", Kind::Word(&["user", "system", "developer"])),
    must("content", Kind::Either(&[TEXT, list(&INPUT_PART)])),
]);

/// Items by their word; those of hosted tools are not looked into.
pub(super) const ITEMS: &[(&str, Kind)] = &[
    (
        "reasoning",
        Kind::Object(&[
            TYPE,
            ITEM_ID,
            STATUS,
            must("summary", list(&Kind::Tagged { tag: "type", cases: &[("summary_text", &[must("text", TEXT)])] })),
            null("content", list(&Kind::Tagged { tag: "type", cases: &[("reasoning_text", &[must("text", TEXT)])] })),
            null("encrypted_content", WORDS),
        ]),
    ),
    (
        "function_call",
        Kind::Object(&[
            TYPE,
            ITEM_ID,
            STATUS,
            must("call_id", ID),
            must("name", NAME),
            must("arguments", TEXT),
            may("namespace", NAME),
            null("caller", FREE),
        ]),
    ),
    (
        "function_call_output",
        Kind::Object(&[TYPE, ITEM_ID, STATUS, must("call_id", ID), must("output", OUTPUT), null("caller", FREE)]),
    ),
    ("custom_tool_call", Kind::Object(&[TYPE, ITEM_ID, must("call_id", ID), must("name", NAME), must("input", TEXT)])),
    ("custom_tool_call_output", Kind::Object(&[TYPE, ITEM_ID, must("call_id", ID), must("output", OUTPUT)])),
    ("item_reference", Kind::Object(&[TYPE, must("id", ID)])),
    ("web_search_call", FREE),
    ("file_search_call", FREE),
    ("code_interpreter_call", FREE),
    ("image_generation_call", FREE),
    ("mcp_call", FREE),
];

/// A function that the model may call.
pub(super) const FUNCTION: Kind = Kind::Object(&[
    TYPE,
    must("name", NAME),
    null("description", TEXT),
    null("parameters", FREE),
    null("strict", Kind::Flag),
    may("defer_loading", Kind::Flag),
]);

/// Tools that are not looked into.
pub(super) const TOOLS: &[&str] =
    &["custom", "web_search", "file_search", "code_interpreter", "image_generation", "mcp", "namespace", "tool_search"];

const FORMAT: Kind = Kind::Tagged {
    tag: "type",
    cases: &[
        ("text", &[]),
        ("json_object", &[]),
        (
            "json_schema",
            &[must("name", NAME), may("description", TEXT), must("schema", FREE), null("strict", Kind::Flag)],
        ),
    ],
};
const TOOL_CHOICE: Kind = Kind::Either(&[
    Kind::Word(&["none", "auto", "required"]),
    Kind::Tagged {
        tag: "type",
        cases: &[
            ("function", &[must("name", NAME)]),
            ("custom", &[must("name", NAME)]),
            ("allowed_tools", &[must("mode", Kind::Word(&["auto", "required"])), must("tools", list(&FREE))]),
            ("web_search_preview", &[]),
            ("file_search", &[]),
        ],
    },
]);
const INCLUDES: Kind = Kind::Word(&[
    "file_search_call.results",
    "web_search_call.results",
    "web_search_call.action.sources",
    "message.input_image.image_url",
    "computer_call_output.output.image_url",
    "code_interpreter_call.outputs",
    "reasoning.encrypted_content",
    "message.output_text.logprobs",
]);

/// The whole body.
pub(super) const BODY: Kind = Kind::Object(&[
    must("model", WORDS),
    may("input", Kind::Either(&[TEXT, list(&FREE)])),
    null("background", Kind::Flag),
    null("client_metadata", FREE),
    null("conversation", Kind::Either(&[WORDS, Kind::Object(&[must("id", WORDS)])])),
    null("include", list(&INCLUDES)),
    null("instructions", TEXT),
    null("max_output_tokens", Kind::Whole { min: 16, max: INF }),
    null("max_tool_calls", Kind::Whole { min: 1, max: INF }),
    null("metadata", Kind::Map(&Kind::Text { min: 0, max: 512 })),
    null("moderation", FREE),
    null("parallel_tool_calls", Kind::Flag),
    null("previous_response_id", WORDS),
    null("prompt", FREE),
    null("prompt_cache_key", TEXT),
    null("prompt_cache_options", FREE),
    null("prompt_cache_retention", Kind::Word(&["in_memory", "24h"])),
    null(
        "reasoning",
        Kind::Object(&[
            null("effort", Kind::Word(&["none", "minimal", "low", "medium", "high", "xhigh", "max"])),
            null("summary", Kind::Word(&["auto", "concise", "detailed"])),
            null("generate_summary", Kind::Word(&["auto", "concise", "detailed"])),
        ]),
    ),
    null("safety_identifier", Kind::Text { min: 0, max: 64 }),
    null("service_tier", Kind::Word(&["auto", "default", "flex", "scale", "priority", "fast", "ultrafast"])),
    null("store", Kind::Flag),
    null("stream", Kind::Flag),
    null("stream_options", Kind::Object(&[may("include_obfuscation", Kind::Flag)])),
    null("temperature", Kind::Number { min: 0.0, max: 2.0 }),
    may("text", Kind::Object(&[may("format", FORMAT), null("verbosity", Kind::Word(&["low", "medium", "high"]))])),
    may("tool_choice", TOOL_CHOICE),
    may("tools", list(&FREE)),
    null("top_logprobs", Kind::Whole { min: 0, max: 20 }),
    null("top_p", Kind::Number { min: 0.0, max: 1.0 }),
    null("truncation", Kind::Word(&["auto", "disabled"])),
    may("user", TEXT),
]);
