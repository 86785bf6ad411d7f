//! What OpenAI Chat Completions allows in a request body: the field lists of the official Python SDK 3.57.0
//! (`openai/types/chat/*_param.py`), with the ranges its documentation strings give. Tables only.

use crate::provider::shape::{Field, Kind, TEXT, WORDS, list, may, must, null, some};

const INF: i64 = i64::MAX;
const CACHE_MODES: Kind = Kind::Word(&["explicit"]);
const CACHE_TTLS: Kind = Kind::Word(&["30m", "12h"]);
const BREAKPOINT: Kind = Kind::Object(&[must("mode", CACHE_MODES), may("ttl", CACHE_TTLS)]);
const NAME: Kind = Kind::Text { min: 1, max: 64 };
/// Tool call ids have at most 40 characters.
const CALL_ID: Kind = Kind::Text { min: 1, max: 40 };
const FREE_OBJECT: Kind = Kind::Map(&Kind::Any);

const TEXT_PART: &[Field] = &[must("text", TEXT), may("prompt_cache_breakpoint", BREAKPOINT)];

const IMAGE: Kind =
    Kind::Object(&[must("url", WORDS), may("detail", Kind::Word(&["auto", "low", "high", "original"]))]);
const AUDIO: Kind = Kind::Object(&[must("data", WORDS), must("format", Kind::Word(&["wav", "mp3"]))]);
const FILE: Kind = Kind::Object(&[may("file_data", TEXT), may("file_id", TEXT), may("filename", TEXT)]);

const USER_PART: Kind = Kind::Tagged {
    tag: "type",
    cases: &[
        ("text", TEXT_PART),
        ("image_url", &[must("image_url", IMAGE), may("prompt_cache_breakpoint", BREAKPOINT)]),
        ("input_audio", &[must("input_audio", AUDIO), may("prompt_cache_breakpoint", BREAKPOINT)]),
        ("file", &[must("file", FILE), may("prompt_cache_breakpoint", BREAKPOINT)]),
    ],
};
const WORDS_PART: Kind = Kind::Tagged { tag: "type", cases: &[("text", TEXT_PART)] };
const ASSISTANT_PART: Kind =
    Kind::Tagged { tag: "type", cases: &[("text", TEXT_PART), ("refusal", &[must("refusal", TEXT)])] };

const WORDS_CONTENT: Kind = Kind::Either(&[TEXT, some(&WORDS_PART)]);
const USER_CONTENT: Kind = Kind::Either(&[TEXT, some(&USER_PART)]);
const ASSISTANT_CONTENT: Kind = Kind::Either(&[TEXT, some(&ASSISTANT_PART)]);

const CALLED_FUNCTION: Kind = Kind::Object(&[must("name", NAME), must("arguments", TEXT)]);
const CALLED_CUSTOM: Kind = Kind::Object(&[must("name", NAME), must("input", TEXT)]);
const TOOL_CALL: Kind = Kind::Tagged {
    tag: "type",
    cases: &[
        ("function", &[must("id", CALL_ID), must("function", CALLED_FUNCTION)]),
        ("custom", &[must("id", CALL_ID), must("custom", CALLED_CUSTOM)]),
    ],
};

const MESSAGE: Kind = Kind::Tagged {
    tag: "role",
    cases: &[
        ("system", &[must("content", WORDS_CONTENT), may("name", TEXT)]),
        ("developer", &[must("content", WORDS_CONTENT), may("name", TEXT)]),
        ("user", &[must("content", USER_CONTENT), may("name", TEXT)]),
        (
            "assistant",
            &[
                null("content", ASSISTANT_CONTENT),
                null("refusal", TEXT),
                may("name", TEXT),
                null("audio", Kind::Object(&[must("id", WORDS)])),
                // What an answer said goes back whole, as the guides do it.
                may("annotations", Kind::List { of: &Kind::Any, min: 0, max: 128 }),
                null("function_call", CALLED_FUNCTION),
                may("tool_calls", Kind::List { of: &TOOL_CALL, min: 1, max: 128 }),
            ],
        ),
        ("tool", &[must("content", WORDS_CONTENT), must("tool_call_id", CALL_ID)]),
        ("function", &[null("content", TEXT), must("name", NAME)]),
    ],
};

const FUNCTION: Kind = Kind::Object(&[
    must("name", NAME),
    may("description", TEXT),
    may("parameters", FREE_OBJECT),
    null("strict", Kind::Flag),
]);
const GRAMMAR: Kind = Kind::Object(&[must("definition", WORDS), must("syntax", Kind::Word(&["lark", "regex"]))]);
const CUSTOM_FORMAT: Kind =
    Kind::Tagged { tag: "type", cases: &[("text", &[]), ("grammar", &[must("grammar", GRAMMAR)])] };
const CUSTOM: Kind = Kind::Object(&[must("name", NAME), may("description", TEXT), may("format", CUSTOM_FORMAT)]);
const TOOL: Kind = Kind::Tagged {
    tag: "type",
    cases: &[("function", &[must("function", FUNCTION)]), ("custom", &[must("custom", CUSTOM)])],
};
const NAMED: Kind = Kind::Object(&[must("name", NAME)]);
const ALLOWED: Kind =
    Kind::Object(&[must("mode", Kind::Word(&["auto", "required"])), must("tools", some(&FREE_OBJECT))]);
const TOOL_CHOICE: Kind = Kind::Either(&[
    Kind::Word(&["none", "auto", "required"]),
    Kind::Tagged {
        tag: "type",
        cases: &[
            ("function", &[must("function", NAMED)]),
            ("custom", &[must("custom", NAMED)]),
            ("allowed_tools", &[must("allowed_tools", ALLOWED)]),
        ],
    },
]);

const JSON_SCHEMA: Kind = Kind::Object(&[
    must("name", NAME),
    may("description", TEXT),
    may("schema", FREE_OBJECT),
    null("strict", Kind::Flag),
]);
const RESPONSE_FORMAT: Kind = Kind::Tagged {
    tag: "type",
    cases: &[("text", &[]), ("json_object", &[]), ("json_schema", &[must("json_schema", JSON_SCHEMA)])],
};

const PREDICTION: Kind = Kind::Tagged { tag: "type", cases: &[("content", &[must("content", WORDS_CONTENT)])] };
const MODERATION_MODE: Kind = Kind::Object(&[must("mode", Kind::Word(&["score", "block"]))]);
const MODERATION: Kind = Kind::Object(&[
    must("model", WORDS),
    null("policy", Kind::Object(&[null("input", MODERATION_MODE), null("output", MODERATION_MODE)])),
]);
const PLACE: Kind =
    Kind::Object(&[may("city", TEXT), may("country", TEXT), may("region", TEXT), may("timezone", TEXT)]);
const WEB_SEARCH: Kind = Kind::Object(&[
    may("search_context_size", Kind::Word(&["low", "medium", "high"])),
    null("user_location", Kind::Tagged { tag: "type", cases: &[("approximate", &[must("approximate", PLACE)])] }),
]);
const VOICE: Kind = Kind::Either(&[WORDS, Kind::Object(&[must("id", WORDS)])]);
const SPEECH: Kind =
    Kind::Object(&[must("format", Kind::Word(&["wav", "aac", "mp3", "flac", "opus", "pcm16"])), must("voice", VOICE)]);

/// The whole body.
pub(super) const BODY: Kind = Kind::Object(&[
    must("model", WORDS),
    must("messages", some(&MESSAGE)),
    null("audio", SPEECH),
    null("frequency_penalty", Kind::Number { min: -2.0, max: 2.0 }),
    may("function_call", Kind::Either(&[Kind::Word(&["none", "auto"]), NAMED])),
    may("functions", Kind::List { of: &FUNCTION, min: 1, max: 128 }),
    null("logit_bias", Kind::Map(&Kind::Whole { min: -100, max: 100 })),
    null("logprobs", Kind::Flag),
    null("max_completion_tokens", Kind::Whole { min: 1, max: INF }),
    null("max_tokens", Kind::Whole { min: 1, max: INF }),
    null("metadata", Kind::Map(&Kind::Text { min: 0, max: 512 })),
    null("modalities", list(&Kind::Word(&["text", "audio"]))),
    null("moderation", MODERATION),
    null("n", Kind::Whole { min: 1, max: 128 }),
    may("parallel_tool_calls", Kind::Flag),
    null("prediction", PREDICTION),
    null("presence_penalty", Kind::Number { min: -2.0, max: 2.0 }),
    null("prompt_cache_key", TEXT),
    may(
        "prompt_cache_options",
        Kind::Object(&[may("mode", Kind::Word(&["implicit", "explicit"])), may("ttl", Kind::Word(&["30m"]))]),
    ),
    null("prompt_cache_retention", Kind::Word(&["in_memory", "24h"])),
    null("reasoning_effort", Kind::Word(&["none", "minimal", "low", "medium", "high", "xhigh", "max"])),
    may("response_format", RESPONSE_FORMAT),
    null("safety_identifier", Kind::Text { min: 0, max: 64 }),
    null("seed", Kind::Whole { min: i64::MIN, max: INF }),
    null("service_tier", Kind::Word(&["auto", "default", "flex", "scale", "priority", "fast"])),
    null("stop", Kind::Either(&[TEXT, Kind::List { of: &TEXT, min: 1, max: 4 }])),
    null("store", Kind::Flag),
    null("stream", Kind::Flag),
    null("stream_options", Kind::Object(&[may("include_obfuscation", Kind::Flag), may("include_usage", Kind::Flag)])),
    null("temperature", Kind::Number { min: 0.0, max: 2.0 }),
    may("tool_choice", TOOL_CHOICE),
    may("tools", Kind::List { of: &TOOL, min: 1, max: 128 }),
    null("top_logprobs", Kind::Whole { min: 0, max: 20 }),
    null("top_p", Kind::Number { min: 0.0, max: 1.0 }),
    may("user", TEXT),
    null("verbosity", Kind::Word(&["low", "medium", "high"])),
    may("web_search_options", WEB_SEARCH),
]);
