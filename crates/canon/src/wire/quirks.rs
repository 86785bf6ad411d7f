//! How one provider deviates from a wire, as data of its catalog row. A wire reads these switches; it never asks
//! which provider it writes for.

use schemars::JsonSchema;
use serde::Deserialize;
use std::collections::BTreeMap;

/// Deviations of a provider from its wire. Everything off: the wire as its maker documents it.
#[expect(clippy::struct_excessive_bools, reason = "each is one switch of a catalog row")]
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Quirks {
    /// Top-level request fields (of the wire) that the provider refuses: they become losses.
    pub refuses: Vec<String>,
    /// Request fields beyond the wire that the provider takes (`top_k`, `min_p`, `reasoning_content`, `cache_control`).
    pub accepts: Vec<String>,
    /// Top-level request fields under another name, wire's name → provider's name.
    pub renames: BTreeMap<String, String>,
    /// Does not know `stream_options`; reports usage in streams unasked or not at all.
    pub no_stream_options: bool,
    /// Does not know the `developer` role.
    pub no_developer_role: bool,
    /// Allows system messages at the start only.
    pub system_first_only: bool,
    /// Tool call ids are exactly this many of `[a-zA-Z0-9]`.
    pub tool_id_length: Option<u8>,
    /// Spells `tool_choice: required` as `any`.
    pub tool_choice_any: bool,
    /// Says `stop` beside tool calls.
    pub stop_beside_tool_calls: bool,
    /// The model stands in the path (`:rawPredict`) instead of the body, as Vertex has it for Claude.
    pub model_in_path: bool,
    /// Refuses an assistant turn as the last message (no prefill).
    pub no_prefill: bool,
}

impl Quirks {
    /// Whether a request as the wire's maker documents it may have to be written anew for the provider.
    #[must_use]
    pub fn touch_requests(&self) -> bool {
        self.no_stream_options
            || self.no_developer_role
            || self.system_first_only
            || self.tool_choice_any
            || self.model_in_path
            || self.tool_id_length.is_some()
            || !self.refuses.is_empty()
            || !self.renames.is_empty()
    }

    /// Whether the provider takes `field`, which is beyond its wire.
    #[must_use]
    pub fn accepts(&self, field: &str) -> bool {
        self.accepts.iter().any(|known| known == field)
    }

    /// Whether the provider refuses `form`, a field or one form of it.
    #[must_use]
    pub fn refuses(&self, form: &str) -> bool {
        self.refuses.iter().any(|refused| refused == form)
    }
}
