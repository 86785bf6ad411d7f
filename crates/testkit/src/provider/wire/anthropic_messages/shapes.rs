//! What Anthropic Messages allows in a request body: the field lists of the official Python SDK 2.13.0
//! (`anthropic/types/*_param.py` and the fields of `types/beta` that agents send). Tables only.

use crate::provider::shape::{Field, Kind, TEXT, WORDS, list, may, must, null, some};

const INF: i64 = i64::MAX;
const FREE: Kind = Kind::Map(&Kind::Any);
const CACHE: Kind = Kind::Object(&[
    must("type", Kind::Word(&["ephemeral"])),
    may("ttl", Kind::Word(&["5m", "1h"])),
    may("scope", Kind::Word(&["global", "organization"])),
]);
const CITE: Kind = Kind::Object(&[may("enabled", Kind::Flag)]);
const NAME: Kind = Kind::Text { min: 1, max: 128 };

const TEXT_BLOCK: &[Field] = &[must("text", WORDS), null("cache_control", CACHE), null("citations", list(&FREE))];
const IMAGE_SOURCE: Kind = Kind::Tagged {
    tag: "type",
    cases: &[
        (
            "base64",
            &[
                must("media_type", Kind::Word(&["image/jpeg", "image/png", "image/gif", "image/webp"])),
                must("data", WORDS),
            ],
        ),
        ("url", &[must("url", WORDS)]),
        ("file", &[must("file_id", WORDS)]),
    ],
};
const DOCUMENT_SOURCE: Kind = Kind::Tagged {
    tag: "type",
    cases: &[
        ("base64", &[must("media_type", Kind::Word(&["application/pdf"])), must("data", WORDS)]),
        ("text", &[must("media_type", Kind::Word(&["text/plain"])), must("data", WORDS)]),
        ("content", &[must("content", Kind::Either(&[TEXT, list(&FREE)]))]),
        ("url", &[must("url", WORDS)]),
        ("file", &[must("file_id", WORDS)]),
    ],
};
const IMAGE: &[Field] = &[must("source", IMAGE_SOURCE), null("cache_control", CACHE), may("transformations", FREE)];
const DOCUMENT: &[Field] = &[
    must("source", DOCUMENT_SOURCE),
    null("cache_control", CACHE),
    null("citations", CITE),
    null("context", TEXT),
    null("title", TEXT),
];
const SEARCH_RESULT: &[Field] = &[
    must("source", WORDS),
    must("title", WORDS),
    must("content", list(&FREE)),
    may("citations", CITE),
    null("cache_control", CACHE),
];
const RESULT_PART: Kind = Kind::Tagged {
    tag: "type",
    cases: &[
        ("text", TEXT_BLOCK),
        ("image", IMAGE),
        ("document", DOCUMENT),
        ("search_result", SEARCH_RESULT),
        ("tool_reference", &[must("tool_name", WORDS), null("cache_control", CACHE)]),
    ],
};
const BLOCK: Kind = Kind::Tagged {
    tag: "type",
    cases: &[
        ("text", TEXT_BLOCK),
        ("image", IMAGE),
        ("document", DOCUMENT),
        ("search_result", SEARCH_RESULT),
        ("thinking", &[must("thinking", TEXT), must("signature", WORDS)]),
        ("redacted_thinking", &[must("data", WORDS)]),
        (
            "tool_use",
            &[
                must("id", WORDS),
                must("name", NAME),
                must("input", FREE),
                null("cache_control", CACHE),
                may("caller", FREE),
            ],
        ),
        (
            "tool_result",
            &[
                must("tool_use_id", WORDS),
                may("content", Kind::Either(&[TEXT, list(&RESULT_PART)])),
                may("is_error", Kind::Flag),
                null("cache_control", CACHE),
            ],
        ),
        (
            "server_tool_use",
            &[
                must("id", WORDS),
                must("name", NAME),
                must("input", FREE),
                null("cache_control", CACHE),
                may("caller", FREE),
            ],
        ),
        (
            "web_search_tool_result",
            &[
                must("tool_use_id", WORDS),
                must("content", Kind::Either(&[FREE, list(&FREE)])),
                null("cache_control", CACHE),
                may("caller", FREE),
            ],
        ),
        ("container_upload", &[must("file_id", WORDS), null("cache_control", CACHE)]),
    ],
};
const MESSAGE: Kind = Kind::Object(&[
    must("role", Kind::Word(&["user", "assistant", "system"])),
    must("content", Kind::Either(&[TEXT, list(&BLOCK)])),
]);
const TEXTS: Kind = Kind::Tagged { tag: "type", cases: &[("text", TEXT_BLOCK)] };

/// Fields of a tool of the client's own.
pub(super) const TOOL: Kind = Kind::Object(&[
    may("type", Kind::Word(&["custom"])),
    must("name", NAME),
    may("description", TEXT),
    must("input_schema", FREE),
    may("strict", Kind::Flag),
    may("input_examples", list(&FREE)),
    may("allowed_callers", list(&TEXT)),
    may("defer_loading", Kind::Flag),
    may("eager_input_streaming", Kind::Flag),
    null("cache_control", CACHE),
]);
const ALONE: Field = may("disable_parallel_tool_use", Kind::Flag);
const SHOWN: Field = may("display", Kind::Word(&["summarized", "omitted"]));

/// The whole body.
pub(super) const BODY: Kind = Kind::Object(&[
    must("model", WORDS),
    must("max_tokens", Kind::Whole { min: 1, max: INF }),
    must("messages", some(&MESSAGE)),
    null("cache_control", CACHE),
    null("container", Kind::Either(&[TEXT, FREE])),
    null("context_management", FREE),
    null("inference_geo", TEXT),
    may("metadata", Kind::Object(&[null("user_id", Kind::Text { min: 0, max: 512 })])),
    may(
        "output_config",
        Kind::Object(&[
            null("effort", Kind::Word(&["low", "medium", "high", "xhigh", "max"])),
            null("format", Kind::Tagged { tag: "type", cases: &[("json_schema", &[must("schema", FREE)])] }),
        ]),
    ),
    may("service_tier", Kind::Word(&["auto", "standard_only"])),
    null("speed", Kind::Word(&["standard", "fast"])),
    may("stop_sequences", list(&WORDS)),
    may("stream", Kind::Flag),
    may("system", Kind::Either(&[TEXT, list(&TEXTS)])),
    may("temperature", Kind::Number { min: 0.0, max: 1.0 }),
    may(
        "thinking",
        Kind::Tagged {
            tag: "type",
            cases: &[
                ("enabled", &[must("budget_tokens", Kind::Whole { min: 1024, max: INF }), SHOWN]),
                ("disabled", &[]),
                ("adaptive", &[SHOWN]),
            ],
        },
    ),
    may(
        "tool_choice",
        Kind::Tagged {
            tag: "type",
            cases: &[("auto", &[ALONE]), ("any", &[ALONE]), ("tool", &[must("name", NAME), ALONE]), ("none", &[])],
        },
    ),
    may("tools", list(&FREE)),
    may("top_k", Kind::Whole { min: 0, max: INF }),
    may("top_p", Kind::Number { min: 0.0, max: 1.0 }),
]);
