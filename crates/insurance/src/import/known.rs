//! What names give away: who made a model, whose machines an address or a telemetry name means. Guesses from names are
//! marked as inferred; a name that is not here stays unknown.

/// Beginnings of model names, after any `provider/` or region prefix: (beginning, maker, family).
const MODELS: &[(&str, &str, &str)] = &[
    ("gpt-oss", "openai", "gpt-oss"),
    ("gpt", "openai", "gpt"),
    ("chatgpt", "openai", "gpt"),
    ("o1", "openai", "o-series"),
    ("o3", "openai", "o-series"),
    ("o4", "openai", "o-series"),
    ("text-embedding", "openai", "text-embedding"),
    ("claude", "anthropic", "claude"),
    ("gemini", "google", "gemini"),
    ("gemma", "google", "gemma"),
    ("llama", "meta", "llama"),
    ("mixtral", "mistral", "mistral"),
    ("ministral", "mistral", "mistral"),
    ("magistral", "mistral", "mistral"),
    ("codestral", "mistral", "mistral"),
    ("mistral", "mistral", "mistral"),
    ("command", "cohere", "command"),
    ("deepseek", "deepseek", "deepseek"),
    ("qwen", "alibaba", "qwen"),
    ("grok", "xai", "grok"),
    ("nova", "amazon", "nova"),
    ("titan", "amazon", "titan"),
    ("phi", "microsoft", "phi"),
    ("smollm", "huggingface", "smollm2"),
];

/// Ends of server addresses: (end, host, invoicer).
const ADDRESSES: &[(&str, &str, &str)] = &[
    ("openai.azure.com", "azure", "microsoft"),
    ("services.ai.azure.com", "azure", "microsoft"),
    ("cognitiveservices.azure.com", "azure", "microsoft"),
    ("amazonaws.com", "aws", "amazon"),
    ("aiplatform.googleapis.com", "gcp", "google"),
    ("generativelanguage.googleapis.com", "google", "google"),
    ("api.openai.com", "openai", "openai"),
    ("api.anthropic.com", "anthropic", "anthropic"),
    ("api.mistral.ai", "mistral", "mistral"),
    ("api.groq.com", "groq", "groq"),
    ("api.x.ai", "xai", "xai"),
    ("api.deepseek.com", "deepseek", "deepseek"),
    ("api.cohere.com", "cohere", "cohere"),
    ("openrouter.ai", "openrouter", "openrouter"),
];

/// Provider names of telemetry and gateways: (name, host, invoicer).
const PROVIDERS: &[(&str, &str, &str)] = &[
    ("azure.ai.openai", "azure", "microsoft"),
    ("azure.ai.inference", "azure", "microsoft"),
    ("azure_ai", "azure", "microsoft"),
    ("azure", "azure", "microsoft"),
    ("aws.bedrock", "aws", "amazon"),
    ("bedrock", "aws", "amazon"),
    ("sagemaker", "aws", "amazon"),
    ("gcp.vertex_ai", "gcp", "google"),
    ("vertex_ai", "gcp", "google"),
    ("gcp.gemini", "google", "google"),
    ("gemini", "google", "google"),
    ("openai", "openai", "openai"),
    ("anthropic", "anthropic", "anthropic"),
    ("mistral_ai", "mistral", "mistral"),
    ("mistral", "mistral", "mistral"),
    ("groq", "groq", "groq"),
    ("x_ai", "xai", "xai"),
    ("xai", "xai", "xai"),
    ("deepseek", "deepseek", "deepseek"),
    ("cohere", "cohere", "cohere"),
    ("openrouter", "openrouter", "openrouter"),
];

/// Maker and family of a model, by its name.
pub(super) fn model(name: &str) -> Option<(&'static str, &'static str)> {
    // `azure/gpt-5`, `us.anthropic.claude-…`, `meta-llama/Llama-3`: the last part that begins like a known model
    let lower = name.to_ascii_lowercase();
    let parts = lower.rsplit(['/', '.', ':']).chain([lower.as_str()]);
    let known = |part: &str| MODELS.iter().find(|(beginning, ..)| part.starts_with(beginning));
    parts.filter_map(known).next().map(|(_, maker, family)| (*maker, *family))
}

/// Host and invoicer behind a server's address (a name or a URL).
pub(super) fn address(text: &str) -> Option<(&'static str, &'static str)> {
    let rest = text.split_once("://").map_or(text, |(_, rest)| rest);
    let name = rest.split(['/', ':', '?']).next().unwrap_or_default().to_ascii_lowercase();
    let fits = |end: &str| name.strip_suffix(end).is_some_and(|rest| rest.is_empty() || rest.ends_with('.'));
    ADDRESSES.iter().find(|(end, ..)| fits(end)).map(|(_, host, invoicer)| (*host, *invoicer))
}

/// Host and invoicer of a provider as telemetry and gateways call it.
pub(super) fn provider(name: &str) -> Option<(&'static str, &'static str)> {
    let lower = name.to_ascii_lowercase();
    PROVIDERS.iter().find(|(known, ..)| *known == lower).map(|(_, host, invoicer)| (*host, *invoicer))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_give_away_what_they_can_and_no_more() {
        assert_eq!(model("us.anthropic.claude-sonnet-5-v1:0"), Some(("anthropic", "claude")));
        assert_eq!(model("azure/gpt-5.2"), Some(("openai", "gpt")));
        assert_eq!(model("meta-llama/Llama-3.3-70B"), Some(("meta", "llama")));
        assert_eq!(model("our-own-7b"), None);
        assert_eq!(address("https://acme.openai.azure.com:443/x"), Some(("azure", "microsoft")));
        assert_eq!(address("api.openai.com"), Some(("openai", "openai")));
        assert_eq!(address("notapi.openai.com.evil.org"), None);
        assert_eq!(provider("AWS.Bedrock"), Some(("aws", "amazon")));
        assert_eq!(provider("nobody"), None);
    }
}
