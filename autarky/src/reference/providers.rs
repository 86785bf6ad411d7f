//! providers.md: the rows of the catalog.

use super::markdown::{Markdown, code, codes};
use canon::wire::Quirks;
use gateway::upstream::ProviderRow;
use gateway::upstream::auth::SCHEMES;
use std::collections::BTreeMap;

const ABOUT: &str = "\
Providers that need no more than their key. A deployment names one (`provider = \"mistral\"`); a table
[`[provider.NAME]`](config.md#providername) adds to a row or makes a new one, for any server that speaks a
[protocol](dialects.md) of ours. The key's reference can be changed there too.";

/// The page.
pub(super) fn page(rows: &BTreeMap<String, ProviderRow>) -> String {
    let mut page = Markdown::new("Providers", ABOUT);
    let table: Vec<_> = rows.iter().map(|(name, row)| describe(name, row)).collect();
    page.table(["provider", "base URL", "key", "auth", "protocols", "host", "maker", "facts from"], &table);
    page.heading(2, "Deviations from the protocol");
    page.paragraph("What each row says of its `quirks`; the words are those of [`[provider.NAME.quirks]`](config.md#providernamequirks).");
    let quirks: Vec<_> = rows
        .iter()
        .filter(|(_, row)| row.quirks != Quirks::default())
        .map(|(name, row)| [code(name), quirks(&row.quirks)])
        .collect();
    page.table(["provider", "quirks"], &quirks);
    page.heading(2, "Auth schemes");
    let schemes: Vec<_> = SCHEMES
        .iter()
        .map(|scheme| [code(scheme.name()), if scheme.needs_secret() { "yes" } else { "no" }.to_owned()])
        .collect();
    page.table(["`auth`", "needs a key"], &schemes);
    page.finish()
}

fn describe(name: &str, row: &ProviderRow) -> [String; 8] {
    let text = |fact: &Option<String>| fact.clone().unwrap_or_default();
    let wires: Vec<&str> =
        if row.wires.is_empty() { vec!["openai-chat"] } else { row.wires.iter().map(String::as_str).collect() };
    [
        code(name),
        code(&text(&row.base_url)),
        code(&text(&row.key)),
        code(row.auth.as_deref().unwrap_or("bearer")),
        codes(wires),
        row.host.clone().unwrap_or_else(|| name.to_owned()),
        text(&row.maker),
        text(&row.source),
    ]
}

fn quirks(quirks: &Quirks) -> String {
    let Quirks {
        refuses,
        accepts,
        renames,
        no_stream_options,
        no_developer_role,
        system_first_only,
        tool_id_length,
        tool_choice_any,
        stop_beside_tool_calls,
        model_in_path,
        no_prefill,
    } = quirks;
    let list = |name: &str, fields: &[String]| {
        (!fields.is_empty()).then(|| format!("`{name}` {}", codes(fields.iter().map(String::as_str))))
    };
    let switch = |name: &str, on: bool| on.then(|| code(name));
    let renamed: Vec<String> = renames.iter().map(|(from, to)| format!("`{from}` → `{to}`")).collect();
    [
        list("refuses", refuses),
        list("accepts", accepts),
        (!renamed.is_empty()).then(|| format!("`renames` {}", renamed.join(", "))),
        switch("no_stream_options", *no_stream_options),
        switch("no_developer_role", *no_developer_role),
        switch("system_first_only", *system_first_only),
        tool_id_length.map(|length| format!("`tool_id_length` {length}")),
        switch("tool_choice_any", *tool_choice_any),
        switch("stop_beside_tool_calls", *stop_beside_tool_calls),
        switch("model_in_path", *model_in_path),
        switch("no_prefill", *no_prefill),
    ]
    .into_iter()
    .flatten()
    .collect::<Vec<_>>()
    .join("; ")
}
