//! No body panics: fixtures with random wounds, through every reader and every writer.

use super::{frames, params, runner, target, terms, written};
use crate::fixtures;
use canon::answer;
use canon::wire::{DIALECTS, PROTOCOLS, Protocol};
use proptest::prelude::*;
use proptest::sample::Index;
use serde_json::{Value, json};
use std::fmt::Debug;

/// One wound: where, and what is put there.
type Wound = (Index, u8);

fn wounds() -> impl Strategy<Value = Vec<Wound>> {
    prop::collection::vec((any::<Index>(), any::<u8>()), 1..6)
}

fn wounded(body: &Value, wounds: &[Wound]) -> Value {
    let mut out = body.clone();
    for (place, kind) in wounds {
        let mut left = place.index(nodes(&out));
        wound(&mut out, &mut left, *kind);
    }
    out
}

fn nodes(value: &Value) -> usize {
    match value {
        Value::Object(map) => 1 + map.values().map(nodes).sum::<usize>(),
        Value::Array(items) => 1 + items.iter().map(nodes).sum::<usize>(),
        _ => 1,
    }
}

fn wound(value: &mut Value, left: &mut usize, kind: u8) -> bool {
    if *left == 0 {
        let old = value.take();
        *value = match kind % 12 {
            0 => Value::Null,
            1 => json!({}),
            2 => json!([]),
            3 => json!(""),
            4 => json!(-1),
            5 => json!(1e300),
            6 => json!(u64::MAX),
            7 => json!([old]),
            8 => json!({"type": old}),
            9 => json!("\u{0}\u{2028}é🙂"),
            10 => json!([null, {}, [], "x", old]),
            _ => json!(true),
        };
        return true;
    }
    *left -= 1;
    match value {
        Value::Object(map) => map.values_mut().any(|inner| wound(inner, left, kind)),
        Value::Array(items) => items.iter_mut().any(|inner| wound(inner, left, kind)),
        _ => false,
    }
}

/// Tries `law` on many cases; a panic in it is a breach with the case that caused it.
fn tried<S: Strategy>(place: String, strategy: &S, law: impl Fn(S::Value)) -> Option<String>
where
    S::Value: Debug,
{
    let run = runner(96).run(strategy, |case| {
        law(case);
        Ok(())
    });
    run.err().map(|error| format!("{place}: {error}"))
}

pub(super) fn requests() -> Vec<String> {
    let mut breaches = Vec::new();
    for dialect in DIALECTS {
        for fixture in fixtures::of(dialect.id().name()).requests {
            let place = format!("{}/request/{}", dialect.id(), fixture.name);
            breaches.extend(tried(place, &wounds(), |wounds| {
                let body = wounded(&fixture.body, &wounds);
                let text = body.to_string();
                // What they say does not matter here.
                let _ = dialect.peek(&params(&body), text.as_bytes());
                let _ = dialect.peek(&params(&body), text.as_bytes().get(..text.len() / 2).unwrap_or_default());
                if let Ok(request) = dialect.decode_request(&params(&body), body) {
                    for protocol in PROTOCOLS {
                        let _ = protocol.encode_request(&request, &target("m"));
                    }
                }
            }));
        }
    }
    breaches
}

pub(super) fn answers() -> Vec<String> {
    let mut breaches = Vec::new();
    for protocol in PROTOCOLS {
        for fixture in fixtures::of(protocol.id().name()).answers {
            let place = format!("{}/answer/{}", protocol.id(), fixture.name);
            breaches.extend(tried(place, &wounds(), |wounds| {
                let body = wounded(&fixture.body, &wounds);
                let text = body.to_string();
                let _ = protocol.scan_response(text.as_bytes());
                let _ = protocol.decode_fault(400, text.as_bytes());
                let Ok(answer) = protocol.decode_response(body) else { return };
                for dialect in DIALECTS {
                    let _ = dialect.encode_response(&answer, &terms());
                    let _ = written(*dialect, &answer.unfold());
                }
            }));
        }
        let place = format!("{}/error", protocol.id());
        breaches.extend(tried(place, &(any::<u16>(), any::<Vec<u8>>()), |(status, body)| {
            let _ = protocol.decode_fault(status, &body);
            let _ = protocol.scan_response(&body);
        }));
    }
    breaches
}

pub(super) fn streams() -> Vec<String> {
    let mut breaches = Vec::new();
    for protocol in PROTOCOLS {
        for fixture in fixtures::of(protocol.id().name()).streams {
            let place = format!("{}/stream/{}", protocol.id(), fixture.name);
            let bytes = fixture.body;
            let cases = prop::collection::vec((any::<Index>(), any::<u8>()), 1..8);
            breaches.extend(tried(place, &cases, |edits| {
                let mut broken = bytes.clone();
                for (place, byte) in edits {
                    let at = place.index(broken.len());
                    match byte % 4 {
                        0 => broken.truncate(at.max(1)),
                        1 => drop(broken.remove(at)),
                        2 => broken.insert(at, byte),
                        _ => broken[at] = byte,
                    }
                    if broken.is_empty() {
                        broken.push(b'\n');
                    }
                }
                watched(*protocol, &broken);
            }));
        }
    }
    breaches
}

fn watched(protocol: &dyn Protocol, bytes: &[u8]) {
    let Ok(frames) = frames(protocol, bytes, &[]) else { return };
    let (mut scan, mut decoder, mut events) = (protocol.scan(), protocol.stream_decoder(), Vec::new());
    for frame in &frames {
        let _ = scan.frame(frame);
        if decoder.frame(frame, &mut events).is_err() {
            break;
        }
    }
    let _ = scan.close();
    decoder.end(&mut events);
    let _ = answer::fold(&events);
    for dialect in DIALECTS {
        let _ = written(*dialect, &events);
    }
}
