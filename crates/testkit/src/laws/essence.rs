//! The essence of requests and answers: what must survive any way from wire to wire, whatever the wires call it.

use canon::event::StopReason;
use canon::request::{OutputFormat, Part, Role, Tool, ToolChoice};
use canon::{Request, Response};
use serde_json::Value;

/// What a request says: one line per thing, in order.
pub(super) fn of_request(request: &Request) -> Vec<String> {
    let mut out = Vec::new();
    for message in &request.messages {
        let role = match message.role {
            Role::System | Role::Developer => "instructions",
            Role::User => "user",
            Role::Assistant => "assistant",
            Role::Tool => "tool",
        };
        message.parts.iter().for_each(|part| of_part(role, part, &mut out));
    }
    for tool in &request.tools {
        if let Tool::Function { name, parameters, .. } = tool {
            let takes = |schema: &&Value| {
                schema.get("properties").and_then(Value::as_object).is_some_and(|map| !map.is_empty())
            };
            let shape = parameters.as_ref().filter(takes);
            out.push(format!("tool {name} {}", shape.map(Value::to_string).unwrap_or_default()));
        }
    }
    match &request.tool_choice {
        // Without tools there is none anyway.
        Some(ToolChoice::None) if !request.tools.is_empty() => out.push("no call".to_owned()),
        Some(ToolChoice::Required) => out.push("some call".to_owned()),
        Some(ToolChoice::Function(name)) => out.push(format!("call {name}")),
        _ => {}
    }
    if let OutputFormat::Schema { schema, .. } = &request.output {
        let mut schema = schema.clone();
        // Where the wire names no schema, a schema names itself.
        schema.as_object_mut().into_iter().for_each(|map| map.retain(|key, _| key != "title" && key != "description"));
        out.push(format!("schema {schema}"));
    }
    if let Some(most) = request.sampling.max_output_tokens {
        out.push(format!("at most {most}"));
    }
    if request.stream {
        out.push("as a stream".to_owned());
    }
    merged(out)
}

fn of_part(role: &str, part: &Part, out: &mut Vec<String>) {
    match part {
        Part::Text { text, .. } if text.is_empty() => {}
        Part::Text { text, .. } | Part::Refusal { text, .. } => out.push(format!("{role}: {text}")),
        Part::ToolCall { name, arguments, .. } => out.push(format!("calls {name} {}", json(arguments))),
        Part::ToolResult { content, .. } => content.iter().for_each(|inner| of_part("result", inner, out)),
        Part::Media(_) | Part::Reasoning { .. } | Part::Native { .. } => {}
    }
}

/// Words of one speaker in a row are one thing, however they are cut.
fn merged(lines: Vec<String>) -> Vec<String> {
    let mut out: Vec<String> = Vec::new();
    for line in lines {
        let same = ["instructions: ", "user: ", "assistant: ", "result: "]
            .iter()
            .find(|role| line.starts_with(**role) && out.last().is_some_and(|last| last.starts_with(**role)));
        match (same, out.last_mut()) {
            (Some(role), Some(last)) => last.push_str(line.get(role.len()..).unwrap_or_default()),
            _ => out.push(line),
        }
    }
    out.into_iter().map(|line| line.split_whitespace().collect::<Vec<_>>().join(" ")).collect()
}

/// How many images, sounds and documents a request brings.
pub(super) fn media(request: &Request) -> usize {
    let is_media = |part: &&Part| matches!(part, Part::Media(_));
    request.messages.iter().flat_map(|message| &message.parts).filter(is_media).count()
}

/// What an answer's choice says.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Said {
    /// Words.
    pub(super) text: String,
    /// Words that decline; on wires without such words they are words.
    pub(super) refusal: String,
    /// Name and arguments of each call.
    pub(super) calls: Vec<(String, String)>,
    /// Why it ended: done, length, calls, filter.
    pub(super) stop: &'static str,
    /// Whether it declines, or was kept from answering.
    pub(super) declines: bool,
}

impl Said {
    /// Whether a client that heard `text`, `refusal` and `calls` calls heard this, whichever words it took for what.
    pub(super) fn is_heard(&self, text: &str, refusal: &str, calls: usize) -> bool {
        let same = text == self.text && refusal == self.refusal;
        let flat = refusal.is_empty() && text.len() == self.text.len() + self.refusal.len();
        calls == self.calls.len() && (same || flat && text.contains(&self.text) && text.contains(&self.refusal))
    }
}

/// What the first choice of an answer says.
pub(super) fn of_answer(answer: &Response) -> Said {
    let Some(choice) = answer.choices.first() else { return Said::default() };
    let declines = matches!(choice.stop.reason, StopReason::ContentFilter | StopReason::Refusal);
    let mut said = Said { stop: stop(choice.stop.reason), declines, ..Said::default() };
    for part in &choice.parts {
        match part {
            Part::Text { text, .. } => said.text.push_str(text),
            Part::Refusal { text, .. } => {
                said.declines = true;
                said.refusal.push_str(text);
            }
            Part::ToolCall { name, arguments, .. } => said.calls.push((name.clone(), json(arguments))),
            _ => {}
        }
    }
    said
}

fn stop(reason: StopReason) -> &'static str {
    match reason {
        StopReason::Length | StopReason::Context => "length",
        StopReason::ToolCalls => "calls",
        StopReason::ContentFilter => "filter",
        _ => "done",
    }
}

/// Arguments by value; no arguments are an empty object.
fn json(arguments: &str) -> String {
    if arguments.trim().is_empty() {
        return "{}".to_owned();
    }
    serde_json::from_str::<Value>(arguments).map_or_else(|_| arguments.to_owned(), |value| value.to_string())
}
