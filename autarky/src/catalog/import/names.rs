//! Names: what the catalog calls a host, whose model a name is, and what a model is whatever a host calls it.

/// What LiteLLM's provider is called here: as in `catalog/providers.toml`, which says by `catalog` where it differs.
pub(in crate::catalog) fn host(provider: &str) -> String {
    let known = match provider {
        "bedrock" | "bedrock_converse" | "bedrock_mantle" => "aws",
        "azure" | "azure_text" => "azure",
        "azure_ai" => "azure-ai",
        "gemini" => "google",
        "text-completion-openai" => "openai",
        "codestral" | "text-completion-codestral" => "mistral",
        "cohere_chat" => "cohere",
        "meta_llama" => "meta",
        "together_ai" => "together",
        "moonshot" => "moonshotai",
        "voyage" => "voyageai",
        _ if provider.starts_with("vertex_ai") => "vertex",
        _ if provider.starts_with("fireworks_ai") => "fireworks",
        _ => return provider.replace('_', "-"),
    };
    known.to_owned()
}

/// The hosts here that a provider of `genai-prices` prices, the first one its own.
pub(super) fn hosts_of_genai(provider: &str) -> Vec<&str> {
    match provider {
        "google" => vec!["google", "vertex"],
        "azure" => vec!["azure", "azure-ai"],
        "x-ai" => vec!["xai"],
        other => vec![other],
    }
}

/// A model's name at its host: LiteLLM's, without the provider before it.
pub(in crate::catalog) fn at_host<'a>(key: &'a str, provider: &str) -> &'a str {
    match key.split_once('/') {
        Some((first, rest)) if provider.starts_with(first) => rest,
        _ => key,
    }
}

/// How names of models begin or go on, and whose they are; the one that stands first in a name says it.
const MAKERS: &[(&str, &str)] = &[
    ("gpt-oss", "openai"),
    ("gpt", "openai"),
    ("chatgpt", "openai"),
    ("text-embedding-3", "openai"),
    ("text-embedding-ada", "openai"),
    ("davinci", "openai"),
    ("babbage", "openai"),
    ("whisper", "openai"),
    ("dall-e", "openai"),
    ("tts-1", "openai"),
    ("omni-moderation", "openai"),
    ("codex", "openai"),
    ("claude", "anthropic"),
    ("gemini", "google"),
    ("gemma", "google"),
    ("text-bison", "google"),
    ("text-embedding-00", "google"),
    ("text-multilingual-embedding", "google"),
    ("mistral", "mistral"),
    ("mixtral", "mistral"),
    ("ministral", "mistral"),
    ("codestral", "mistral"),
    ("devstral", "mistral"),
    ("magistral", "mistral"),
    ("pixtral", "mistral"),
    ("voxtral", "mistral"),
    ("llama", "meta"),
    ("nova-", "amazon"),
    ("titan", "amazon"),
    ("command", "cohere"),
    ("embed-english", "cohere"),
    ("embed-multilingual", "cohere"),
    ("embed-v4", "cohere"),
    ("c4ai", "cohere"),
    ("aya-", "cohere"),
    ("deepseek", "deepseek"),
    ("qwen", "alibaba"),
    ("qwq", "alibaba"),
    ("grok", "xai"),
    ("kimi", "moonshotai"),
    ("moonshot", "moonshotai"),
    ("glm", "zai"),
    ("minimax", "minimax"),
    ("phi-", "microsoft"),
    ("wizardlm", "microsoft"),
    ("mai-", "microsoft"),
    ("jamba", "ai21"),
    ("nemotron", "nvidia"),
    ("granite", "ibm"),
    ("sonar", "perplexity"),
    ("voyage", "voyageai"),
    ("palmyra", "writer"),
    ("hermes", "nousresearch"),
    ("dbrx", "databricks"),
    ("olmo", "allenai"),
    ("yi-", "01ai"),
    ("ernie", "baidu"),
    ("doubao", "bytedance"),
    ("seed-", "bytedance"),
    ("hunyuan", "tencent"),
    ("falcon", "tii"),
    ("solar", "upstage"),
    ("mercury", "inception"),
    ("lfm", "liquid"),
    ("trinity", "arcee"),
];

/// Who trained the model of that name, where the name tells.
pub(super) fn maker(name: &str) -> Option<&'static str> {
    let name = family(name);
    if let Some(rest) = name.strip_prefix('o')
        && rest.starts_with(|first: char| first.is_ascii_digit())
    {
        return Some("openai");
    }
    let found = MAKERS.iter().filter_map(|(word, maker)| Some((name.find(word)?, maker)));
    found.min_by_key(|(at, _)| *at).map(|(_, maker)| *maker)
}

/// What a model is, whatever its host calls it: without the host's folders, regions, dates and numbers of its own.
pub(super) fn family(name: &str) -> String {
    let mut name = name.rsplit('/').next().unwrap_or(name).to_ascii_lowercase();
    // `us.anthropic.claude-…`: whatever stands before a point that a letter follows is none of the model's name.
    while let Some((before, after)) = name.split_once('.') {
        let is_place = before.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'-');
        if !is_place || !after.starts_with(|first: char| first.is_ascii_alphabetic()) {
            break;
        }
        name = after.to_owned();
    }
    let numbered = name.split_once(':').map(|(before, _)| before);
    let unnumbered = numbered.map(|before| match before.rsplit_once("-v") {
        Some((rest, version)) if version.bytes().all(|byte| byte.is_ascii_digit()) => rest,
        _ => before,
    });
    undated(unnumbered.unwrap_or(&name)).to_owned()
}

/// A name without the date at its end, or `-latest`.
pub(crate) fn undated(name: &str) -> &str {
    let digits = |text: &str, count: usize| text.len() == count && text.bytes().all(|byte| byte.is_ascii_digit());
    if let Some(rest) = name.strip_suffix("-latest") {
        return rest;
    }
    if let Some((rest, date)) = name.rsplit_once(['-', '@'])
        && digits(date, 8)
        && date.starts_with("20")
    {
        return rest;
    }
    let mut parts = name.rsplitn(4, '-');
    match (parts.next(), parts.next(), parts.next(), parts.next()) {
        (Some(day), Some(month), Some(year), Some(rest))
            if digits(day, 2) && digits(month, 2) && digits(year, 4) && year.starts_with("20") =>
        {
            rest
        }
        _ => name,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_say_what_a_model_is_and_whose() {
        for (name, is, whose) in [
            ("us.anthropic.claude-sonnet-4-5-20250929-v1:0", "claude-sonnet-4-5", Some("anthropic")),
            ("claude-opus-4-1@20250805", "claude-opus-4-1", Some("anthropic")),
            ("eu/gpt-4o-2024-08-06", "gpt-4o", Some("openai")),
            ("gpt-5.2", "gpt-5.2", Some("openai")),
            ("o3-mini-2025-01-31", "o3-mini", Some("openai")),
            ("meta-llama/Llama-3.3-70B-Instruct-Turbo", "llama-3.3-70b-instruct-turbo", Some("meta")),
            ("deepseek-r1-distill-llama-70b", "deepseek-r1-distill-llama-70b", Some("deepseek")),
            ("us.meta.llama3-3-70b-instruct-v1:0", "llama3-3-70b-instruct", Some("meta")),
            ("mistral-large-latest", "mistral-large", Some("mistral")),
            ("accounts/fireworks/models/qwen3-235b-a22b", "qwen3-235b-a22b", Some("alibaba")),
            ("somebodys-own", "somebodys-own", None),
        ] {
            assert_eq!(family(name), is, "{name}");
            assert_eq!(maker(name), whose, "{name}");
        }
    }
}
