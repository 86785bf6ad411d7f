//! The laws of wires: what must hold for every dialect, every protocol and every ordered pair of them, over the canon's
//! own lists, so that a wire is under all laws the moment it is listed. Each law gives its breaches; none: it holds.
//! A law that needs fixtures of a wire that has none is itself a breach.

mod abroad;
mod agree;
mod essence;
mod home;
mod normal;
mod plant;
mod robust;
mod streams;

use canon::event::Event;
use canon::fault::Fault;
use canon::frame::{EventStreamReader, Frame, SseReader};
use canon::wire::{Dialect, Framing, Params, Protocol, StreamTerms, Target, decode_all};
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};
use serde_json::Value;

/// One law.
#[derive(Debug, Clone, Copy)]
pub struct Law {
    /// Its name.
    pub name: &'static str,
    /// Tries it: every breach found.
    pub breaches: fn() -> Vec<String>,
}

/// Every law.
pub static LAWS: &[Law] = &[
    Law { name: "every wire has fixtures", breaches: agree::every_wire_has_fixtures },
    Law { name: "home again a request loses nothing", breaches: home::requests },
    Law { name: "home again a request loses no unknown field", breaches: home::planted_requests },
    Law { name: "home again an answer loses nothing", breaches: home::answers },
    Law { name: "home again an answer loses no unknown field", breaches: home::planted_answers },
    Law { name: "abroad a request's essence stays", breaches: abroad::requests },
    Law { name: "abroad what is not said is named", breaches: abroad::planted_requests },
    Law { name: "strict providers take what is written for them", breaches: abroad::strict },
    Law { name: "any answer reads in any dialect", breaches: abroad::answers },
    Law { name: "any protocol streams into any dialect", breaches: abroad::streams },
    Law { name: "a stream and its whole twin are one answer", breaches: streams::twins },
    Law { name: "unfolding and folding an answer changes nothing", breaches: streams::folds },
    Law { name: "where bytes break does not matter", breaches: streams::chunks },
    Law { name: "a cut stream never claims success", breaches: streams::cuts },
    Law { name: "another model can finish it", breaches: streams::takeovers },
    Law { name: "a fault ends a stream as a fault", breaches: streams::faults },
    Law { name: "a look agrees with a full read", breaches: agree::peeks },
    Law { name: "watching agrees with decoding", breaches: agree::scans },
    Law { name: "opaque blocks are found in bytes as they are read", breaches: agree::seals },
    Law { name: "errors keep their kind", breaches: agree::errors },
    Law { name: "no request panics", breaches: robust::requests },
    Law { name: "no answer panics", breaches: robust::answers },
    Law { name: "no stream panics", breaches: robust::streams },
];

/// The law called `name`.
#[must_use]
pub fn law(name: &str) -> Option<Law> {
    LAWS.iter().copied().find(|law| law.name == name)
}

/// A dialect and a protocol.
type Pair = (&'static dyn Dialect, &'static dyn Protocol);

/// Every ordered pair: a client speaks the first, the provider the second.
fn pairs() -> impl Iterator<Item = Pair> {
    canon::wire::DIALECTS
        .iter()
        .flat_map(|dialect| canon::wire::PROTOCOLS.iter().map(move |protocol| (*dialect, *protocol)))
}

/// The wires that have both roles.
fn homes() -> impl Iterator<Item = Pair> {
    pairs().filter(|(dialect, protocol)| dialect.id() == protocol.id())
}

/// Whoever a request is written for: the model as the client named it, nothing peculiar.
fn target(model: &str) -> Target {
    Target { model: model.to_owned(), signer: "law".to_owned(), ..Target::default() }
}

/// What an encoder of answers is told: usage wanted, nothing else known.
fn terms() -> StreamTerms {
    StreamTerms { usage: true, created: 1_700_000_000, id: "law".to_owned(), ..StreamTerms::default() }
}

/// The parameters that a request of `dialect` came with; streams by path where the wire has such a route.
fn params(body: &Value) -> Params {
    // Wires whose path names the model have none in the body.
    let model = body.get("model").and_then(Value::as_str).unwrap_or("law").to_owned();
    Params { model: Some(model), stream: body.get("stream") == Some(&Value::Bool(true)), ..Params::default() }
}

/// The frames of a stream, whatever `sizes` its bytes come in (the last size repeats).
fn frames(protocol: &dyn Protocol, bytes: &[u8], sizes: &[usize]) -> Result<Vec<Frame>, String> {
    let mut out = Vec::new();
    match protocol.framing() {
        Framing::Sse => {
            let mut reader = SseReader::default();
            in_pieces(bytes, sizes, |piece| reader.push(piece, &mut out).map_err(|error| error.to_string()))?;
        }
        Framing::AwsEventStream => {
            let mut reader = EventStreamReader::default();
            in_pieces(bytes, sizes, |piece| reader.push(piece, &mut out).map_err(|error| error.to_string()))?;
        }
    }
    Ok(out)
}

/// Gives `bytes` to `take` in pieces of `sizes`.
fn in_pieces(
    bytes: &[u8],
    sizes: &[usize],
    mut take: impl FnMut(bytes::Bytes) -> Result<(), String>,
) -> Result<(), String> {
    let mut sizes = sizes.iter().copied().chain(std::iter::repeat(sizes.last().copied().unwrap_or(usize::MAX)));
    let mut rest = bytes;
    while !rest.is_empty() {
        let size = sizes.next().unwrap_or(1).clamp(1, rest.len());
        let (head, tail) = rest.split_at(size);
        take(bytes::Bytes::copy_from_slice(head))?;
        rest = tail;
    }
    Ok(())
}

/// The events of a whole stream.
fn events(protocol: &dyn Protocol, bytes: &[u8]) -> Result<Vec<Event>, String> {
    let frames = frames(protocol, bytes, &[])?;
    decode_all(protocol, &frames).map_err(|fault: Fault| format!("{:?}: {fault}", fault.kind))
}

/// What `events` are in `dialect`.
fn written(dialect: &dyn Dialect, events: &[Event]) -> Vec<u8> {
    let (mut encoder, mut out) = (dialect.stream_encoder(&terms()), Vec::new());
    for event in events {
        encoder.event(event, &mut out);
    }
    out
}

/// A runner of random cases that tries the same ones each time.
fn runner(cases: u32) -> TestRunner {
    let config = Config { cases, failure_persistence: None, max_shrink_iters: 200, ..Config::default() };
    TestRunner::new_with_rng(config, TestRng::deterministic_rng(RngAlgorithm::ChaCha))
}

/// Where two JSON values differ; numbers by value, so that 1 and 1.0 are one.
fn difference(one: &Value, other: &Value, path: &str) -> Option<String> {
    match (one, other) {
        (Value::Object(left), Value::Object(right)) => {
            let gone = left.keys().find(|key| !right.contains_key(*key));
            let new = right.keys().find(|key| !left.contains_key(*key));
            match (gone, new) {
                (Some(key), _) => Some(format!("{path}.{key} is gone (was {})", brief(&left[key]))),
                (None, Some(key)) => Some(format!("{path}.{key} is new ({})", brief(&right[key]))),
                (None, None) => {
                    left.iter().find_map(|(key, value)| difference(value, &right[key], &format!("{path}.{key}")))
                }
            }
        }
        (Value::Array(left), Value::Array(right)) if left.len() == right.len() => left
            .iter()
            .zip(right)
            .enumerate()
            .find_map(|(at, (one, other))| difference(one, other, &format!("{path}[{at}]"))),
        (Value::Number(left), Value::Number(right)) if left.as_f64() == right.as_f64() => None,
        (one, other) if one == other => None,
        (one, other) => Some(format!("{path} was {}, is {}", brief(one), brief(other))),
    }
}

fn brief(value: &Value) -> String {
    value.to_string().chars().take(120).collect()
}
