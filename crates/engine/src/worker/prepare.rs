//! From a request to what the scheduler needs: the prompt's tokens, and per choice how it is sampled and held to a form.
//! Runs beside the decode loop, so that reading a long prompt stops nobody's stream.

use super::model::{Grammar, Model};
use super::sampler::{Sampler, Taste};
use super::speech::Speech;
use super::tools::{self, Calls, Form};
use crate::HouseOptions;
use crate::protocol::{Refusal, Resume, Submit};
use canon::media::{MediaKind, Source};
use canon::wire::{Dialect, Params, openai_chat::OpenAiChat};
use canon::{Message, Part, Request, Role, Tool};
use llama_cpp_2::sampling::LlamaSampler;
use serde_json::{Map, Value, json};
use std::sync::Arc;

/// Most alternatives per token that can be asked for.
const MOST_LOGPROBS: u32 = 20;

/// A request, ready for the scheduler.
#[derive(Debug)]
pub(crate) struct Job {
    pub(crate) id: u64,
    pub(crate) prompt: Arc<[i32]>,
    pub(crate) voices: Vec<Voice>,
}

/// One choice, ready for the scheduler.
#[derive(Debug)]
pub(crate) struct Voice {
    pub(crate) choice: u32,
    pub(crate) sampler: Sampler,
    pub(crate) grammar: Option<Grammar>,
    pub(crate) speech: Speech,
    /// Tokens of the answer so far.
    pub(crate) made: Vec<i32>,
    /// Most tokens of the answer.
    pub(crate) limit: usize,
    /// Alternatives per token, where log probabilities are asked for.
    pub(crate) logprobs: Option<usize>,
}

fn invalid(param: &str, message: impl Into<String>) -> Refusal {
    Refusal::Invalid { param: param.to_owned(), message: message.into() }
}

fn unable(param: &str, message: impl Into<String>) -> Refusal {
    Refusal::Unable { param: param.to_owned(), message: message.into() }
}

/// Reads a request of the `openai-chat` wire.
///
/// # Errors
/// What the wire does not allow.
pub(crate) fn read(body: Value) -> Result<Request, Refusal> {
    OpenAiChat.decode_request(&Params::default(), body).map_err(|bad| invalid(&bad.path, bad.to_string()))
}

/// The prompt of `request` in tokens.
///
/// # Errors
/// What the model cannot read.
pub(crate) fn prompt(model: &Model, request: &Request) -> Result<Vec<i32>, Refusal> {
    let (calls, tools) = tools::callable(request).map_err(|words| unable("tools", words))?;
    let emulated = calls != Calls::Never && !model.template.knows_tools;
    let mut messages = Vec::new();
    let mut prefill = None;
    for (index, message) in request.messages.iter().enumerate() {
        let last = index + 1 == request.messages.len();
        if last
            && message.role == Role::Assistant
            && !message.parts.iter().any(|part| matches!(part, Part::ToolCall { .. }))
        {
            // The answer has already begun: it goes on from there.
            prefill = Some(plain(&message.parts, index)?);
            break;
        }
        for turn in turns(message, index, request, model.template.knows_tools)? {
            messages.push(turn);
        }
    }
    if emulated {
        instruct(&mut messages, &tools::instructions(&tools, calls == Calls::Must));
    }
    let described = (calls != Calls::Never && !emulated).then(|| tools::described(&tools));
    let mut text = model
        .template
        .render(&messages, described.as_deref())
        .map_err(|words| unable("messages", format!("the model's chat template refuses the conversation: {words}")))?;
    text.push_str(&prefill.unwrap_or_default());
    Ok(model.tokens(&text))
}

/// Puts `words` at the end of the system message, or makes one.
fn instruct(messages: &mut Vec<Value>, words: &str) {
    match messages.first_mut() {
        Some(first) if first["role"] == "system" => {
            let said = first["content"].as_str().unwrap_or_default().to_owned();
            first["content"] = format!("{said}\n\n{words}").into();
        }
        _ => messages.insert(0, json!({"role": "system", "content": words})),
    }
}

/// A message as the template's messages: one, or one per tool result.
fn turns(message: &Message, index: usize, request: &Request, knows_tools: bool) -> Result<Vec<Value>, Refusal> {
    let role = match message.role {
        Role::System | Role::Developer => "system",
        Role::User => "user",
        Role::Assistant => "assistant",
        Role::Tool => "tool",
    };
    let mut out = Vec::new();
    let (mut calls, mut rest) = (Vec::new(), Vec::new());
    for part in &message.parts {
        match part {
            Part::ToolResult { call_id, content, .. } => {
                let (text, name) = (plain(content, index)?, called(request, call_id));
                out.push(if knows_tools {
                    json!({"role": "tool", "tool_call_id": call_id, "name": name, "content": text})
                } else {
                    json!({"role": "user", "content": format!("Result of `{name}`:\n{text}")})
                });
            }
            Part::ToolCall { call_id, name, arguments, .. } => calls.push((call_id, name, arguments)),
            other => rest.push(other.clone()),
        }
    }
    let mut text = plain(&rest, index)?;
    if rest.is_empty() && calls.is_empty() && !out.is_empty() {
        return Ok(out);
    }
    let mut turn = Map::new();
    turn.insert("role".to_owned(), role.into());
    if knows_tools && !calls.is_empty() {
        let calls = calls.iter().map(|(id, name, arguments)| {
            let arguments: Value = serde_json::from_str(arguments).unwrap_or_else(|_| arguments.as_str().into());
            json!({"id": id, "type": "function", "function": {"name": name, "arguments": arguments}})
        });
        turn.insert("tool_calls".to_owned(), calls.collect());
    } else {
        for (_, name, arguments) in calls {
            if !text.is_empty() {
                text.push('\n');
            }
            text.push_str(&tools::written(name, arguments));
        }
    }
    turn.insert("content".to_owned(), text.into());
    if let Some(name) = &message.name {
        turn.insert("name".to_owned(), name.clone().into());
    }
    out.push(Value::Object(turn));
    Ok(out)
}

/// The name of the function whose call has `call_id`.
fn called<'a>(request: &'a Request, call_id: &str) -> &'a str {
    let parts = request.messages.iter().flat_map(|message| &message.parts);
    let mut names = parts.filter_map(|part| match part {
        Part::ToolCall { call_id: id, name, .. } if id == call_id => Some(name.as_str()),
        _ => None,
    });
    names.next().unwrap_or("tool")
}

/// The words of `parts`. Thinking of earlier turns is left out, as models are trained to have it.
fn plain(parts: &[Part], index: usize) -> Result<String, Refusal> {
    let mut text = String::new();
    for part in parts {
        match part {
            Part::Text { text: more, .. } | Part::Refusal { text: more, .. } => text.push_str(more),
            Part::Media(media) => match (&media.kind, &media.source) {
                (MediaKind::Document, Source::Text { text: more, .. }) => text.push_str(more),
                _ => return Err(unable(&format!("messages[{index}].content"), "this model reads text only")),
            },
            Part::Native { .. } => {
                return Err(unable(
                    &format!("messages[{index}].content"),
                    "a part of this type is unknown to the house model",
                ));
            }
            Part::Reasoning { .. } | Part::ToolCall { .. } | Part::ToolResult { .. } => {}
        }
    }
    Ok(text)
}

/// Prepares `submit`.
///
/// # Errors
/// What the model cannot do.
pub(crate) fn job(model: &Model, options: &HouseOptions, submit: Submit) -> Result<Job, Refusal> {
    let request = read(submit.body)?;
    let tokens = prompt(model, &request)?;
    let context = options.longest() as usize;
    if tokens.len() >= context {
        return Err(Refusal::TooLong { tokens: tokens.len() as u64, context: context as u64 });
    }
    if tokens.is_empty() {
        return Err(invalid("messages", "the conversation is empty"));
    }
    let (calls, tools) = tools::callable(&request).map_err(|words| unable("tools", words))?;
    let grammar = grammar(model, &request, calls, &tools)?;
    let taste = taste(&request, submit.seed)?;
    let limit = match request.sampling.max_output_tokens {
        Some(0) => return Err(invalid("max_tokens", "must be at least 1")),
        Some(limit) => usize::try_from(limit).unwrap_or(usize::MAX),
        None => options.max_output_tokens as usize,
    };
    let logprobs = match (request.sampling.logprobs, request.sampling.top_logprobs) {
        (_, Some(count)) if count > MOST_LOGPROBS => {
            return Err(invalid("top_logprobs", format!("must be at most {MOST_LOGPROBS}")));
        }
        (Some(true), count) => Some(count.unwrap_or(0) as usize),
        _ => None,
    };
    let stops = &request.sampling.stop;
    let voice = |(choice, resume): (u32, Resume)| {
        let mut voice = Voice {
            choice,
            sampler: Sampler::new(taste.clone(), choice),
            grammar: grammar.clone().map(Grammar),
            speech: Speech::new(stops.clone(), calls != Calls::Never),
            made: Vec::with_capacity(resume.tokens.len()),
            limit,
            logprobs,
        };
        // What an earlier child said is heard again, and shown to nobody: it was shown already.
        for token in resume.tokens {
            voice.hear(token, model.piece(token), None, &mut Vec::new());
        }
        voice
    };
    let voices = (0_u32..).zip(submit.voices).filter(|(_, resume)| !resume.done).map(voice).collect();
    Ok(Job { id: submit.id, prompt: tokens.into(), voices })
}

impl Voice {
    /// `token` becomes part of the answer; what it shows goes to `out`. `Some`: a stop text was met.
    pub(crate) fn hear(
        &mut self,
        token: i32,
        piece: &[u8],
        likely: Option<crate::protocol::Likely>,
        out: &mut Vec<crate::protocol::Piece>,
    ) -> Option<String> {
        use super::sampler::Rules;
        self.made.push(token);
        self.sampler.accept(token);
        if let Some(grammar) = &mut self.grammar {
            grammar.accept(token);
        }
        self.speech.hear(piece, likely, out)
    }
}

fn grammar(model: &Model, request: &Request, calls: Calls, tools: &[&Tool]) -> Result<Option<LlamaSampler>, Refusal> {
    let form = tools::form(request, calls, tools).map_err(|(param, words)| unable(&param, words))?;
    let sampler = match &form {
        Form::Free => return Ok(None),
        Form::Fixed(rules) => LlamaSampler::grammar(&model.llama, rules, "root"),
        Form::Calls(rules) => LlamaSampler::grammar_lazy(&model.llama, rules, "root", [super::speech::OPEN], &[]),
    };
    let param = if tools.is_empty() { "response_format" } else { "tools" };
    sampler.map(Some).map_err(|_| unable(param, "the JSON schema is too deep or too wide to hold the model to it"))
}

/// How to sample. Where the client says nothing at all about it: warm enough to be alive, cut enough for a small model.
fn taste(request: &Request, seed: u64) -> Result<Taste, Refusal> {
    let sampling = &request.sampling;
    let silent = sampling.temperature.is_none() && sampling.top_p.is_none();
    let (temperature, top_p, top_k) = if silent { (0.7, 0.95, 40) } else { (1.0, 1.0, 0) };
    let within = |name: &str, value: Option<f64>, default: f64, low: f64, high: f64| match value {
        Some(value) if !(low..=high).contains(&value) => {
            Err(invalid(name, format!("must be between {low} and {high}")))
        }
        value => Ok(value.unwrap_or(default) as f32),
    };
    Ok(Taste {
        temperature: within("temperature", sampling.temperature, temperature, 0.0, 2.0)?,
        top_p: within("top_p", sampling.top_p, top_p, 0.0, 1.0)?,
        top_k: sampling.top_k.map_or(top_k, |count| usize::try_from(count).unwrap_or(usize::MAX)),
        min_p: within("min_p", sampling.min_p, 0.0, 0.0, 1.0)?,
        frequency: within("frequency_penalty", sampling.frequency_penalty, 0.0, -2.0, 2.0)?,
        presence: within("presence_penalty", sampling.presence_penalty, 0.0, -2.0, 2.0)?,
        seed,
    })
}
