//! Recorded and documented bodies of each wire: `fixtures/<wire>/{request,answer,stream}/NAME.{json,sse}`, each with a
//! line in the folder's `SOURCE.md`. A stream and an answer of one name are twins. Read at run time, so that a fixture
//! is a file and nothing else. Binary messages of AWS stand as `.jsonl`: one message a line, its type and its payload.

use crate::provider::wire::bedrock_converse::event;
use serde_json::Value;
use std::fs;
use std::path::{Path, PathBuf};

/// One wire's fixtures, by name in order.
#[derive(Debug, Clone, Default)]
pub struct Fixtures {
    /// Requests.
    pub requests: Vec<Fixture<Value>>,
    /// Whole answers.
    pub answers: Vec<Fixture<Value>>,
    /// Streams, framing included.
    pub streams: Vec<Fixture<Vec<u8>>>,
}

/// One fixture.
#[derive(Debug, Clone)]
pub struct Fixture<T> {
    /// Its file's name without the ending.
    pub name: String,
    /// What it holds.
    pub body: T,
}

/// The folder of all fixtures.
#[must_use]
pub fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures")
}

/// The fixtures of `wire`; empty where it has none.
#[must_use]
pub fn of(wire: &str) -> Fixtures {
    let folder = folder().join(wire);
    Fixtures {
        requests: json(&folder.join("request")),
        answers: json(&folder.join("answer")),
        streams: read(&folder.join("stream")),
    }
}

fn json(folder: &Path) -> Vec<Fixture<Value>> {
    let parse = |fixture: Fixture<Vec<u8>>| {
        #[expect(clippy::panic, reason = "a fixture that is no JSON is a slip of whoever wrote it")]
        let body = serde_json::from_slice(&fixture.body)
            .unwrap_or_else(|error| panic!("{}/{}: {error}", folder.display(), fixture.name));
        Fixture { name: fixture.name, body }
    };
    read(folder).into_iter().map(parse).collect()
}

fn read(folder: &Path) -> Vec<Fixture<Vec<u8>>> {
    let Ok(entries) = fs::read_dir(folder) else { return Vec::new() };
    let mut found: Vec<Fixture<Vec<u8>>> = entries
        .filter_map(Result::ok)
        .filter_map(|entry| {
            let path = entry.path();
            let name = path.file_stem()?.to_string_lossy().into_owned();
            let body = fs::read(&path).ok()?;
            let is_binary = path.extension().is_some_and(|extension| extension == "jsonl");
            Some(Fixture { name, body: if is_binary { messages(&body) } else { body } })
        })
        .collect();
    found.sort_by(|one, other| one.name.cmp(&other.name));
    found
}

/// The binary messages that lines of JSON stand for.
fn messages(lines: &[u8]) -> Vec<u8> {
    let lines = lines.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
    let messages = lines.filter_map(|line| serde_json::from_slice::<Value>(line).ok());
    messages
        .flat_map(|line| {
            line.as_object().into_iter().flatten().flat_map(|(name, payload)| event(name, payload)).collect::<Vec<u8>>()
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::grammar::{Asked, grammar};
    use crate::provider::wire::{Incoming, WIRES};
    use hyper::HeaderMap;

    #[test]
    fn every_fixture_names_its_source() {
        for wire in fs::read_dir(folder()).expect("fixtures").filter_map(Result::ok).map(|entry| entry.path()) {
            let sources = fs::read_to_string(wire.join("SOURCE.md")).expect("SOURCE.md");
            for kind in ["request", "answer", "stream"] {
                for file in fs::read_dir(wire.join(kind)).expect("folder").filter_map(Result::ok) {
                    let name = format!("`{kind}/{}`", file.file_name().to_string_lossy());
                    assert!(sources.contains(&name), "{}: no source for {name}", wire.display());
                }
            }
        }
    }

    #[test]
    fn strict_providers_take_every_request() {
        let mut headers = HeaderMap::new();
        headers.insert("content-type", "application/json".parse().expect("header"));
        headers.insert("anthropic-version", "2023-06-01".parse().expect("header"));
        for wire in WIRES {
            for fixture in of(wire.id()).requests {
                let body = fixture.body.to_string();
                let (path, query) = ("", "");
                let incoming = Incoming {
                    method: "POST",
                    path,
                    query,
                    headers: &headers,
                    body: body.as_bytes(),
                    models: &[],
                    sealed_by: None,
                };
                if let Err(refusal) = wire.read(&incoming) {
                    panic!("{}/{}: {refusal:?}", wire.id(), fixture.name);
                }
            }
        }
    }

    #[test]
    fn grammars_take_every_answer_and_stream() {
        for wire in WIRES {
            let (fixtures, grammar) = (of(wire.id()), grammar(wire.id()).expect("grammar"));
            for stream in fixtures.streams {
                let heard = grammar.stream(&stream.body, &Asked::default());
                assert!(heard.is_well(), "{}/{}: {heard:?}", wire.id(), stream.name);
                let twin = fixtures.answers.iter().find(|answer| answer.name == stream.name).expect("a twin");
                let whole = grammar.unary(twin.body.to_string().as_bytes());
                assert_eq!((heard.choices, heard.usage), (whole.choices, whole.usage), "{}", stream.name);
            }
            for answer in fixtures.answers.iter().filter(|answer| answer.name != "custom-call") {
                let heard = grammar.unary(answer.body.to_string().as_bytes());
                assert!(heard.is_well(), "{}/{}: {heard:?}", wire.id(), answer.name);
            }
        }
    }
}
