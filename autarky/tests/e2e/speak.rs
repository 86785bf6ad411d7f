//! The same question in every dialect: what its clients send.

use serde_json::{Value, json};

/// What is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Wanted {
    /// Words.
    Words,
    /// Calls of both tools that are offered.
    Calls,
    /// Thinking, and words.
    Thoughts,
}

/// Path and body of `question` to `model` as clients of `dialect` send it.
pub(crate) fn speak(dialect: &str, model: &str, question: &str, stream: bool, wanted: Wanted) -> (String, Value) {
    let parameter =
        |name: &str| json!({"type": "object", "properties": {name: {"type": "string"}}, "required": [name]});
    let tools = [("weather", parameter("city")), ("clock", parameter("zone"))];
    let (calls, thinks) = (wanted == Wanted::Calls, wanted == Wanted::Thoughts);
    let (path, mut body) = match dialect {
        "openai-chat" => (
            "/v1/chat/completions".to_owned(),
            json!({"model": model, "stream": stream, "messages": [{"role": "user", "content": question}]}),
        ),
        "openai-responses" => {
            ("/v1/responses".to_owned(), json!({"model": model, "stream": stream, "store": false, "input": question}))
        }
        "anthropic-messages" => {
            let messages = json!([{"role": "user", "content": question}]);
            let body = json!({"model": model, "stream": stream, "max_tokens": 4096, "messages": messages});
            ("/v1/messages".to_owned(), body)
        }
        "gemini" => {
            let method = if stream { "streamGenerateContent?alt=sse" } else { "generateContent" };
            let body = json!({"contents": [{"role": "user", "parts": [{"text": question}]}]});
            (format!("/v1beta/models/{model}:{method}"), body)
        }
        "bedrock-converse" => {
            let method = if stream { "converse-stream" } else { "converse" };
            let body = json!({"messages": [{"role": "user", "content": [{"text": question}]}], "inferenceConfig": {"maxTokens": 4096}});
            (format!("/model/{model}/{method}"), body)
        }
        "cohere-v2" => (
            "/v2/chat".to_owned(),
            json!({"model": model, "stream": stream, "messages": [{"role": "user", "content": question}]}),
        ),
        other => unreachable!("this test must learn the dialect `{other}`"),
    };
    if calls && dialect == "bedrock-converse" {
        let offered = tools.iter().map(
            |(name, schema)| json!({"toolSpec": {"name": name, "description": name, "inputSchema": {"json": schema}}}),
        );
        body["toolConfig"] = json!({"tools": offered.collect::<Vec<_>>()});
    } else if calls {
        body["tools"] = match dialect {
            "openai-chat" | "cohere-v2" => tools
                .iter()
                .map(|(name, schema)| json!({"type": "function", "function": {"name": name, "parameters": schema}}))
                .collect(),
            "openai-responses" => tools
                .iter()
                .map(|(name, schema)| json!({"type": "function", "name": name, "parameters": schema, "strict": false}))
                .collect(),
            "anthropic-messages" => {
                tools.iter().map(|(name, schema)| json!({"name": name, "input_schema": schema})).collect()
            }
            _ => {
                let declared: Vec<Value> = tools
                    .iter()
                    .map(|(name, schema)| json!({"name": name, "description": name, "parameters": schema}))
                    .collect();
                json!([{"functionDeclarations": declared}])
            }
        };
    }
    if thinks {
        match dialect {
            "openai-chat" => body["reasoning_effort"] = json!("medium"),
            "openai-responses" => body["reasoning"] = json!({"effort": "medium", "summary": "auto"}),
            "anthropic-messages" => body["thinking"] = json!({"type": "enabled", "budget_tokens": 1024}),
            "bedrock-converse" => {
                let thinking = json!({"type": "enabled", "budget_tokens": 1024});
                body["additionalModelRequestFields"] = json!({"thinking": thinking});
            }
            "cohere-v2" => body["thinking"] = json!({"type": "enabled", "token_budget": 1024}),
            _ => body["generationConfig"] = json!({"thinkingConfig": {"includeThoughts": true}}),
        }
    }
    (path, body)
}
