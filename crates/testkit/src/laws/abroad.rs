//! Abroad the essence stays, and the rest is named.

use super::essence::{Said, media, of_answer, of_request};
use super::plant::{plant, seeds};
use super::{Pair, events, pairs, params, runner, target, terms, written};
use crate::fixtures;
use crate::grammar::{Asked, grammar};
use crate::provider::wire::{Demand, Incoming, wire};
use canon::wire::Encoded;
use canon::{Request, answer};
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
        let Some(back) = read_back(pair, &written) else { return Ok(()) };
        let mut back = back?;
        // Streams may be asked for by path; then the body does not say it.
        back.stream = request.stream;
        let (mut before, mut after) = (of_request(&request), of_request(&back));
        if !written.losses.is_empty() {
            // What is named may be gone or said otherwise; words, calls and results may not.
            let spoken = |line: &String| {
                ["instructions:", "user:", "assistant:", "result:", "calls "].iter().any(|kind| line.starts_with(kind))
            };
            before.retain(spoken);
            after.retain(spoken);
        }
        if before != after {
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
            // Schemas, arguments and blocks go over whole, with whatever is in them; a block that is named is named whole.
            let lost = |name: &&String| !losses.contains(name.as_str()) && !said.contains(name.as_str());
            match names.iter().find(lost).filter(|name| !inside_named(&planted, name, &written)) {
                Some(name) => Err(fail(format!("`{name}` is gone and not named; named: {losses}"))),
                None => Ok(()),
            }
        });
        tried.map_err(|error| error.to_string())
    })
}

/// Whether the object that holds `name`, or one around it, is named as a whole.
fn inside_named(body: &Value, name: &str, written: &Encoded) -> bool {
    let mut path = path_of(body, name).unwrap_or_default();
    while let Some(cut) = path.rfind(['.', '[']) {
        path.truncate(cut);
        if written.losses.iter().any(|loss| loss.path == path) {
            return true;
        }
    }
    false
}

/// The path of the field `name`, as losses write paths: `messages[2].content[0].name`.
fn path_of(value: &Value, name: &str) -> Option<String> {
    match value {
        Value::Object(map) if map.contains_key(name) => Some(name.to_owned()),
        Value::Object(map) => map.iter().find_map(|(key, inner)| {
            let rest = path_of(inner, name)?;
            Some(if rest.starts_with('[') { format!("{key}{rest}") } else { format!("{key}.{rest}") })
        }),
        Value::Array(items) => items.iter().enumerate().find_map(|(at, inner)| {
            let rest = path_of(inner, name)?;
            Some(if rest.starts_with('[') { format!("[{at}]{rest}") } else { format!("[{at}].{rest}") })
        }),
        _ => None,
    }
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
        let incoming = Incoming { method: "POST", path, query, headers: &headers, body: text.as_bytes(), models: &[] };
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
                Some(Ok(back)) if !same(&said, &of_answer(&back)) => {
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
fn same(said: &Said, told: &Said) -> bool {
    said.is_heard(&told.text, &told.refusal, told.calls.len()) && said.calls == told.calls && said.stop == told.stop
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
    if !same(&said, &of_answer(&again)) {
        return Err(format!("was {said:?}, is {:?}", of_answer(&again)));
    }
    if whole.usage.total().is_some() && again.usage.total() != whole.usage.total() {
        return Err(format!("usage was {:?}, is {:?}", whole.usage, again.usage));
    }
    Ok(())
}
