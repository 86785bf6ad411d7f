//! Abroad the essence stays, and the rest is named.

use super::essence::{Said, media, of_answer, of_request};
use super::plant::{plant, seeds};
use super::{Pair, events, pairs, params, runner, target, terms, written};
use crate::fixtures;
use crate::grammar::{Asked, grammar};
use crate::provider::wire::{Demand, Incoming, wire};
use canon::request::Tool;
use canon::wire::{Encoded, LossKind};
use canon::{Extras, Loss, Part, Request, answer};
use hyper::HeaderMap;
use serde_json::Value;

fn read((dialect, _): Pair, body: &Value) -> Result<Request, String> {
    dialect.decode_request(&params(body), body.clone()).map_err(|error| format!("not read: {error}"))
}

/// Reads what was written for a protocol the way a client of the same wire would have said it.
fn read_back((_, protocol): Pair, written: &Encoded) -> Option<Result<Request, String>> {
    let dialect = canon::wire::dialect(protocol.id().name())?;
    Some(read((dialect, protocol), &written.body))
}

fn each_request(law: impl Fn(Pair, &Value) -> Result<(), String>) -> Vec<String> {
    let mut breaches = Vec::new();
    for pair in pairs() {
        let (from, to) = (pair.0.id().name(), pair.1.id().name());
        for fixture in fixtures::of(from).requests {
            if let Err(breach) = law(pair, &fixture.body) {
                breaches.push(format!("{from} → {to}/request/{}: {breach}", fixture.name));
            }
        }
    }
    breaches
}

pub(super) fn requests() -> Vec<String> {
    each_request(|pair, body| {
        let request = read(pair, body)?;
        let written = pair.1.encode_request(&request, &target(&request.model));
        without_a_tree(pair, body, &request, &written)?;
        let Some(back) = read_back(pair, &written) else { return Ok(()) };
        let mut back = back?;
        // Streams may be asked for by path; then the body does not say it.
        back.stream = request.stream;
        let (before, mut after) = (of_request(&request), of_request(&back));
        if request.sampling.max_output_tokens.is_none() {
            // Some wires demand a limit.
            after.retain(|line| !line.starts_with("at most "));
        }
        let kept = if written.losses.is_empty() {
            level(&before) == level(&after)
        } else {
            all_said(&before, &after, &written.losses)
        };
        if !kept {
            let gone = before.iter().find(|line| !after.contains(line));
            let new = after.iter().find(|line| !before.contains(line));
            return Err(format!("gone: {gone:?}, new: {new:?}, named: {:?}", written.losses));
        }
        if media(&back) < media(&request) && written.losses.is_empty() {
            return Err("media is gone and not named".to_owned());
        }
        Ok(())
    })
}

/// Bytes read and written without a tree between say what trees say.
fn without_a_tree((dialect, protocol): Pair, body: &Value, read: &Request, written: &Encoded) -> Result<(), String> {
    for text in [body.to_string(), format!("{body:#}")] {
        let again =
            dialect.read_request(&params(body), text.as_bytes()).map_err(|error| format!("not read: {error}"))?;
        if again != *read {
            return Err(format!("read as {again:?} from bytes, as {read:?} from a tree"));
        }
    }
    let again = protocol.write_request(read, &target(&read.model));
    let body: Value = serde_json::from_slice(&again.body).map_err(|error| format!("no JSON is written: {error}"))?;
    if body != written.body || again.losses != written.losses {
        return Err(format!(
            "written as {body} with {:?} to bytes, as {} with {:?} to a tree",
            again.losses, written.body, written.losses
        ));
    }
    Ok(())
}

/// A result is data: blanks between its pieces mean nothing.
fn level(lines: &[String]) -> Vec<String> {
    let one = |line: &String| if line.starts_with("result: ") { line.replace(' ', "") } else { line.clone() };
    lines.iter().map(one).collect()
}

/// What is named may be gone or said otherwise; words, calls and results may not. Where something is emulated or said
/// in a weaker way, words may stand elsewhere and among more words, but none is gone.
fn all_said(before: &[String], after: &[String], losses: &[Loss]) -> bool {
    let spoken = |lines: &[String]| -> Vec<String> {
        let kinds = ["instructions:", "user:", "assistant:", "result:", "calls "];
        lines.iter().filter(|line| kinds.iter().any(|kind| line.starts_with(kind))).cloned().collect()
    };
    let (before, after) = (spoken(before), spoken(after));
    if losses.iter().all(|loss| loss.what == LossKind::Dropped) {
        return level(&before) == level(&after);
    }
    let words = |line: &str| line.split_once(": ").map_or(line, |(_, words)| words).to_owned();
    let said: String = after.iter().map(|line| words(line) + "\n").collect();
    before.iter().all(|line| words(line).split(' ').all(|word| said.contains(word)))
}

/// Losses speak of the canon: `messages[2].content[0]` is the third message's first part, whatever its wire calls
/// them; below that stand the wire's own names. So an unknown field is looked up in the canon it was read into.
pub(super) fn planted_requests() -> Vec<String> {
    each_request(|pair, body| {
        if pair.0.id() == pair.1.id() {
            return Ok(());
        }
        let tried = runner(32).run(&seeds(), |seeds| {
            let (planted, names) = plant(body, &seeds);
            let fail = proptest::test_runner::TestCaseError::fail;
            let request = read(pair, &planted).map_err(fail)?;
            let written = pair.1.encode_request(&request, &target(&request.model));
            let losses: String = written.losses.iter().map(|loss| format!("{loss}\n")).collect();
            let said = written.body.to_string();
            // Schemas, arguments and results go over whole, with whatever is in them.
            let lost = |name: &&String| {
                !losses.contains(name.as_str())
                    && !said.contains(name.as_str())
                    && !named_whole(&request, name, &written)
            };
            match names.iter().find(lost) {
                Some(name) => {
                    let place = whereabouts(&request, name);
                    Err(fail(format!("`{name}` at {place:?} is gone and not named; named: {losses}")))
                }
                None => Ok(()),
            }
        });
        tried.map_err(|error| error.to_string())
    })
}

/// Whether the thing that holds `name`, or one around it, is named as a whole.
fn named_whole(request: &Request, name: &str, written: &Encoded) -> bool {
    whereabouts(request, name).is_some_and(|place| {
        let around =
            |path: &str| place.strip_prefix(path).is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', '[']));
        written.losses.iter().any(|loss| around(&loss.path))
    })
}

/// Where in the canon `name` stands.
fn whereabouts(request: &Request, name: &str) -> Option<String> {
    let holds = |thing: &dyn std::fmt::Debug| format!("{thing:?}").contains(name);
    for (index, message) in request.messages.iter().enumerate() {
        let path = format!("messages[{index}]");
        let found = in_extras(&message.extras, &path, name).or_else(|| in_parts(&message.parts, &path, name));
        if found.is_some() {
            return found;
        }
    }
    if let Some(index) = request.tools.iter().position(|tool| holds(tool)) {
        let path = format!("tools[{index}]");
        let own = match &request.tools[index] {
            Tool::Function { extras, .. } => in_extras(extras, &path, name),
            Tool::Native { .. } => None,
        };
        return Some(own.unwrap_or(path));
    }
    let parts: [(&str, &dyn std::fmt::Debug); 4] = [
        ("tool_choice", &request.tool_choice),
        ("response_format", &request.output),
        ("metadata", &request.metadata),
        ("conversation", &request.state.conversation),
    ];
    let field = parts.into_iter().find(|(_, thing)| holds(*thing)).map(|(path, _)| path.to_owned());
    let reasoning = request.reasoning.as_ref().and_then(|reasoning| in_extras(&reasoning.extras, "reasoning", name));
    field.or(reasoning).or_else(|| in_extras(&request.extras, "", name))
}

fn in_parts(parts: &[Part], path: &str, name: &str) -> Option<String> {
    let at = parts.iter().position(|part| format!("{part:?}").contains(name))?;
    let path = format!("{path}.content[{at}]");
    match &parts[at] {
        Part::ToolResult { content, .. } => Some(in_parts(content, &path, name).unwrap_or(path)),
        Part::Text { citations, .. } if format!("{citations:?}").contains(name) => Some(format!("{path}.citations")),
        Part::Text { logprobs, .. } if format!("{logprobs:?}").contains(name) => Some(format!("{path}.logprobs")),
        part => Some(part.extras().and_then(|extras| in_extras(extras, &path, name)).unwrap_or(path)),
    }
}

fn in_extras(extras: &Extras, path: &str, name: &str) -> Option<String> {
    let (key, value) = extras.iter().find(|(key, value)| key.contains(name) || value.to_string().contains(name))?;
    let at = if path.is_empty() { key.clone() } else { format!("{path}.{key}") };
    Some(value.as_object().and_then(|inner| in_extras(inner, &at, name)).unwrap_or(at))
}

pub(super) fn strict() -> Vec<String> {
    let mut headers = HeaderMap::new();
    if let Ok(json) = "application/json".parse() {
        headers.insert("content-type", json);
    }
    each_request(|pair, body| {
        let Some(strict) = wire(pair.1.id().name()) else { return Err("no strict provider for this wire".to_owned()) };
        let request = read(pair, body)?;
        let target = target(&request.model);
        let written = pair.1.encode_request(&request, &target);
        let path = format!("{}{}", strict.base(), pair.1.path(&target, request.stream));
        let (path, query) = path.split_once('?').unwrap_or((&path, ""));
        if !strict.takes("POST", path) {
            return Err(format!("`{path}` is none of the provider's paths"));
        }
        let mut headers = headers.clone();
        for (name, value) in pair.1.headers() {
            if let Ok(value) = value.parse() {
                headers.insert(*name, value);
            }
        }
        let text = written.body.to_string();
        let incoming = Incoming {
            method: "POST",
            path,
            query,
            headers: &headers,
            body: text.as_bytes(),
            models: &[],
            sealed_by: None,
        };
        match strict.read(&incoming) {
            Ok(Demand::Answer(_)) => Ok(()),
            Ok(Demand::Ready { .. }) => Err("taken for something else than a conversation".to_owned()),
            Err(refusal) => Err(format!("refused: {}: {:?}", refusal.path, refusal.problem)),
        }
    })
}

pub(super) fn answers() -> Vec<String> {
    let mut breaches = Vec::new();
    for (dialect, protocol) in pairs() {
        let (to, from) = (dialect.id().name(), protocol.id().name());
        for fixture in fixtures::of(from).answers {
            let place = format!("{from} → {to}/answer/{}", fixture.name);
            let decoded = match protocol.decode_response(fixture.body) {
                Ok(decoded) => decoded,
                Err(error) => {
                    breaches.push(format!("{place}: not read: {error}"));
                    continue;
                }
            };
            let said = of_answer(&decoded);
            let body = dialect.encode_response(&decoded, &terms());
            let Some(grammar) = grammar(to) else {
                breaches.push(format!("{place}: no grammar for `{to}`"));
                continue;
            };
            // A tool that only its own wire has makes no call that others can hear.
            let foreign = decoded.choices.iter().flat_map(|choice| &choice.parts);
            let foreign = foreign.filter(|part| matches!(part, canon::Part::Native { .. })).count() > 0;
            let heard = grammar.unary(body.to_string().as_bytes());
            if !foreign && !heard.is_well() {
                breaches.push(format!("{place}: {:?} {:?}", heard.ended, heard.violations));
            }
            let back = canon::wire::protocol(to).map(|protocol| protocol.decode_response(body));
            match back {
                Some(Ok(back)) if !same(&said, &of_answer(&back), foreign) => {
                    breaches.push(format!("{place}: was {said:?}, is {:?}", of_answer(&back)));
                }
                Some(Ok(back)) if back.usage.total() != decoded.usage.total() && decoded.usage.total().is_some() => {
                    breaches.push(format!("{place}: usage was {:?}, is {:?}", decoded.usage, back.usage));
                }
                Some(Err(error)) => breaches.push(format!("{place}: not read again: {error}")),
                _ => {}
            }
        }
    }
    breaches
}

/// Whether an answer told in another wire is the same in essence.
///
/// Wires without a word for filters or for declining say one for the other. Where a tool that only its own wire has was
/// called (`foreign`), no call is left to stop for.
fn same(said: &Said, told: &Said, foreign: bool) -> bool {
    let stop = said.stop == told.stop || said.declines && told.declines || foreign && said.stop == "calls";
    said.is_heard(&told.text, &told.refusal, told.calls.len()) && said.calls == told.calls && stop
}

pub(super) fn streams() -> Vec<String> {
    let mut breaches = Vec::new();
    for (dialect, protocol) in pairs() {
        let (to, from) = (dialect.id().name(), protocol.id().name());
        for fixture in fixtures::of(from).streams {
            if let Err(breach) = stream((dialect, protocol), &fixture.body) {
                breaches.push(format!("{from} → {to}/stream/{}: {breach}", fixture.name));
            }
        }
    }
    breaches
}

fn stream((dialect, protocol): Pair, bytes: &[u8]) -> Result<(), String> {
    let events = events(protocol, bytes)?;
    let whole = answer::fold(&events).ok_or("the stream has no `Finish`")?;
    let out = written(dialect, &events);
    let name = dialect.id().name();
    let heard =
        grammar(name).ok_or(format!("no grammar for `{name}`"))?.stream(&out, &Asked { usage: Some(true), n: None });
    if !heard.is_well() {
        return Err(format!("{:?} {:?}", heard.ended, heard.violations));
    }
    let said = of_answer(&whole);
    let first = heard.choices.get(&0).cloned().unwrap_or_default();
    if !said.is_heard(&first.text, &first.refusal, first.calls.len()) {
        return Err(format!("was {said:?}, heard {first:?}"));
    }
    let Some(back) = canon::wire::protocol(name) else { return Ok(()) };
    let again = super::events(back, &out).map_err(|error| format!("not read again: {error}"))?;
    let again = answer::fold(&again).ok_or("read again it has no `Finish`")?;
    if !same(&said, &of_answer(&again), false) {
        return Err(format!("was {said:?}, is {:?}", of_answer(&again)));
    }
    if whole.usage.total().is_some() && again.usage.total() != whole.usage.total() {
        return Err(format!("usage was {:?}, is {:?}", whole.usage, again.usage));
    }
    Ok(())
}
