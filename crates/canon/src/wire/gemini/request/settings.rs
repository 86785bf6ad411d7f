//! `generationConfig`: sampling, the answer's form, thinking; read and written.

use crate::Extras;
use crate::fields::{BadField, Fields};
use crate::request::{Effort, OutputFormat, Reasoning, Request, Sampling};
use crate::wire::Target;
use crate::wire::gemini::model::{self, Thinking};
use crate::wire::gemini::{names, schema};
use crate::wire::writer::{Writer, put};
use serde_json::{Value, json};

const KNOWN: &[&str] = &[
    "maxOutputTokens",
    "topP",
    "topK",
    "frequencyPenalty",
    "presencePenalty",
    "stopSequences",
    "candidateCount",
    "responseLogprobs",
    "responseMimeType",
    "responseSchema",
    "responseJsonSchema",
    "thinkingConfig",
    "mediaResolution",
    "responseModalities",
    "speechConfig",
];

/// The budget that leaves it to the model.
const ADAPTIVE: i64 = -1;

/// Most stop texts the wire takes.
const MOST_STOPS: usize = 5;

/// Reads a `generationConfig` into `request`.
pub(super) fn decode(value: Value, request: &mut Request) -> Result<(), BadField> {
    let mut fields = names::read(value, "generationConfig", KNOWN)?;
    request.sampling = Sampling {
        max_output_tokens: fields.u64("maxOutputTokens")?,
        temperature: fields.f64("temperature")?,
        top_p: fields.f64("topP")?,
        top_k: fields.u64("topK")?,
        min_p: None,
        frequency_penalty: fields.f64("frequencyPenalty")?,
        presence_penalty: fields.f64("presencePenalty")?,
        seed: fields.i64("seed")?,
        stop: decode_stop(&mut fields)?,
        n: fields.u32("candidateCount")?,
        logprobs: fields.bool("responseLogprobs")?,
        top_logprobs: fields.u32("logprobs")?,
    };
    decode_output(&mut fields, request)?;
    if let Some(config) = fields.take("thinkingConfig") {
        request.reasoning = Some(decode_thinking(config)?);
    }
    for (key, value) in fields.rest() {
        request.extras.insert(format!("generationConfig.{key}"), value);
    }
    Ok(())
}

fn decode_stop(fields: &mut Fields) -> Result<Vec<String>, BadField> {
    let path = fields.path_of("stopSequences");
    fields
        .list("stopSequences")?
        .into_iter()
        .map(|item| match item {
            Value::String(text) => Ok(text),
            _ => Err(BadField::new(path.clone(), "must be a list of strings")),
        })
        .collect()
}

fn decode_output(fields: &mut Fields, request: &mut Request) -> Result<(), BadField> {
    let mime = fields.string("responseMimeType")?;
    let form = fields.take("responseJsonSchema");
    let older = fields.take("responseSchema");
    if mime.as_deref().is_some_and(|mime| !matches!(mime, "application/json" | "text/plain")) {
        // `text/x.enum` and its like: no other wire knows them.
        let raw =
            [("responseMimeType", mime.map(Value::from)), ("responseJsonSchema", form), ("responseSchema", older)];
        for (key, value) in raw {
            put(&mut request.extras, &format!("generationConfig.{key}"), value);
        }
        return Ok(());
    }
    let schema = match (form, older) {
        (Some(form), _) => Some(form),
        (None, Some(older)) => {
            request.extras.insert("~responseSchema".to_owned(), older.clone());
            Some(schema::to_json_schema(older))
        }
        (None, None) => None,
    };
    request.output = match (schema, mime.as_deref()) {
        (Some(schema), _) => OutputFormat::Schema { name: None, description: None, schema, strict: None },
        (None, Some("application/json")) => OutputFormat::Json,
        (None, mime) => {
            put(&mut request.extras, "~responseMimeType", mime);
            OutputFormat::Text
        }
    };
    Ok(())
}

fn decode_thinking(value: Value) -> Result<Reasoning, BadField> {
    let known = ["includeThoughts", "thinkingBudget", "thinkingLevel"];
    let mut fields = names::read(value, "generationConfig.thinkingConfig", &known)?;
    let mut extras = Extras::new();
    // A negative budget: the model decides.
    let budget = fields.i64("thinkingBudget")?;
    let budget_tokens = budget.and_then(|budget| u64::try_from(budget).ok());
    let adaptive = budget.is_some_and(|budget| budget < 0);
    let effort = match fields.string("thinkingLevel")? {
        Some(word) => {
            let effort = model::effort(&word);
            if effort.is_none() {
                extras.insert("thinkingLevel".to_owned(), word.into());
            }
            effort
        }
        None => None,
    };
    let include = fields.bool("includeThoughts")?;
    extras.extend(fields.rest());
    Ok(Reasoning { effort, budget_tokens, adaptive, include, extras, ..Reasoning::default() })
}

/// Writes a `generationConfig`.
pub(super) fn encode(request: &Request, target: &Target, pen: &mut Writer) -> Extras {
    let mut config = Extras::new();
    encode_sampling(&request.sampling, pen, &mut config);
    encode_output(request, target, pen, &mut config);
    if let Some(reasoning) = &request.reasoning {
        let thinking = encode_thinking(reasoning, target, pen);
        if !thinking.is_empty() || (pen.home && reasoning == &Reasoning::default()) {
            config.insert("thinkingConfig".to_owned(), Value::Object(thinking));
        }
    }
    config
}

fn encode_sampling(sampling: &Sampling, pen: &mut Writer, config: &mut Extras) {
    put(config, "maxOutputTokens", sampling.max_output_tokens);
    put(config, "temperature", sampling.temperature);
    put(config, "topP", sampling.top_p);
    put(config, "topK", sampling.top_k);
    if sampling.min_p.is_some() {
        pen.drop("min_p");
    }
    put(config, "frequencyPenalty", sampling.frequency_penalty);
    put(config, "presencePenalty", sampling.presence_penalty);
    match sampling.seed {
        // A 32-bit number on this wire.
        Some(seed) if !pen.home && i32::try_from(seed).is_err() => pen.drop("seed"),
        seed => put(config, "seed", seed),
    }
    put(config, "candidateCount", sampling.n);
    put(config, "responseLogprobs", sampling.logprobs);
    put(config, "logprobs", sampling.top_logprobs);
    match sampling.stop.as_slice() {
        [] => {}
        many if pen.home || many.len() <= MOST_STOPS => put(config, "stopSequences", Some(many.to_vec())),
        many => {
            pen.weaken("stop");
            put(config, "stopSequences", many.get(..MOST_STOPS).map(<[String]>::to_vec));
        }
    }
}

/// Whether the target refuses a demanded form beside tools.
pub(super) fn refuses_form(request: &Request, target: &Target, home: bool) -> bool {
    !home && !request.tools.is_empty() && !model::of(&target.model).third
}

fn encode_output(request: &Request, target: &Target, pen: &mut Writer, config: &mut Extras) {
    let older = request.extras.get("~responseSchema").filter(|_| pen.home);
    match &request.output {
        OutputFormat::Text => {
            if pen.home {
                put(config, "responseMimeType", request.extras.get("~responseMimeType").cloned());
            }
        }
        // Said in the instructions instead.
        _ if refuses_form(request, target, pen.home) => pen.emulate("response_format"),
        OutputFormat::Json => put(config, "responseMimeType", Some("application/json")),
        OutputFormat::Schema { name, description, schema, .. } => {
            if name.is_some() {
                pen.drop("response_format.name");
            }
            if description.is_some() {
                pen.drop("response_format.description");
            }
            put(config, "responseMimeType", Some("application/json"));
            match older {
                Some(older) => put(config, "responseSchema", Some(older.clone())),
                None => put(config, "responseJsonSchema", Some(schema.clone())),
            }
        }
    }
}

/// The demanded form in words, for targets that refuse it beside tools.
pub(super) fn form_in_words(output: &OutputFormat) -> Option<String> {
    match output {
        OutputFormat::Text => None,
        OutputFormat::Json => Some("Give your final answer as one JSON object and nothing else.".to_owned()),
        OutputFormat::Schema { schema, .. } => {
            Some(format!("Give your final answer as JSON and nothing else. It must match this JSON schema: {schema}"))
        }
    }
}

fn encode_thinking(reasoning: &Reasoning, target: &Target, pen: &mut Writer) -> Extras {
    let mut config = Extras::new();
    let thinking = model::of(&target.model).thinking;
    if !pen.home && thinking == Thinking::Never {
        let off = reasoning.budget_tokens.map_or(reasoning.effort == Some(Effort::None), |budget| budget == 0);
        if !off {
            pen.drop("reasoning");
        }
        return config;
    }
    put(&mut config, "includeThoughts", reasoning.include);
    if let Some(summary) = &reasoning.summary {
        config.insert("includeThoughts".to_owned(), true.into());
        if summary != "auto" {
            pen.weaken("reasoning.summary");
        }
    }
    if pen.home {
        put(&mut config, "thinkingBudget", reasoning.budget_tokens.map(Value::from));
        put(&mut config, "thinkingBudget", reasoning.adaptive.then_some(ADAPTIVE));
        put(&mut config, "thinkingLevel", reasoning.effort.map(model::level));
    } else {
        encode_effort(reasoning, thinking, pen, &mut config);
    }
    pen.extras(&reasoning.extras, "reasoning", &mut config);
    config
}

fn encode_effort(reasoning: &Reasoning, thinking: Thinking, pen: &mut Writer, config: &mut Extras) {
    match (thinking, reasoning.effort, reasoning.budget_tokens) {
        (Thinking::Budget { .. }, None, None) if reasoning.adaptive => put(config, "thinkingBudget", Some(ADAPTIVE)),
        // Models that take a level decide by themselves unless told.
        (_, None, None) | (Thinking::Never, ..) => {}
        (Thinking::Budget { least }, effort, budget) => {
            let wanted = budget.or(effort.map(model::budget)).unwrap_or(least);
            if wanted < least {
                pen.weaken("reasoning.effort");
            }
            put(config, "thinkingBudget", Some(wanted.max(least)));
        }
        // Both at once are refused.
        (Thinking::Level { minimal }, Some(effort), budget) => {
            if budget.is_some() {
                pen.drop("reasoning.budget_tokens");
            }
            let level = match effort {
                Effort::None | Effort::Minimal if !minimal => Effort::Low,
                Effort::None => Effort::Minimal,
                Effort::Max => Effort::High,
                effort => effort,
            };
            if level != effort {
                pen.weaken("reasoning.effort");
            }
            put(config, "thinkingLevel", Some(model::level(level)));
        }
        (Thinking::Level { .. }, None, Some(budget)) => config.extend([("thinkingBudget".to_owned(), json!(budget))]),
    }
}
