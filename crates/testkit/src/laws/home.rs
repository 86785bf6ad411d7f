//! Home again nothing is lost: what a wire reads it writes again, unknown fields included.

use super::normal;
use super::plant::{plant, seeds};
use super::{Pair, difference, homes, params, runner, target, terms};
use crate::fixtures;
use serde_json::Value;

/// A request through the canon and back.
fn request_again((dialect, protocol): Pair, body: &Value) -> Result<(), String> {
    let params = params(body);
    let request = dialect.decode_request(&params, body.clone()).map_err(|error| format!("not read: {error}"))?;
    let mut written = protocol.encode_request(&request, &target(&request.model));
    let (wire, mut body) = (protocol.id().name(), body.clone());
    normal::request(wire, &mut body);
    normal::request(wire, &mut written.body);
    if let Some(difference) = difference(&body, &written.body, "") {
        return Err(difference);
    }
    match written.losses.first() {
        Some(loss) => Err(format!("a loss at home: {loss}")),
        None => Ok(()),
    }
}

pub(super) fn requests() -> Vec<String> {
    each_request(request_again)
}

pub(super) fn planted_requests() -> Vec<String> {
    each_request(|pair, body| {
        let tried = runner(64).run(&seeds(), |seeds| {
            let (planted, _) = plant(body, &seeds);
            request_again(pair, &planted).map_err(proptest::test_runner::TestCaseError::fail)
        });
        tried.map_err(|error| error.to_string())
    })
}

fn each_request(law: impl Fn(Pair, &Value) -> Result<(), String>) -> Vec<String> {
    let mut breaches = Vec::new();
    for pair in homes() {
        let wire = pair.0.id().name();
        for fixture in fixtures::of(wire).requests {
            if let Err(breach) = law(pair, &fixture.body) {
                breaches.push(format!("{wire}/request/{}: {breach}", fixture.name));
            }
        }
    }
    breaches
}

/// An answer through the canon and back.
fn answer_again((dialect, protocol): Pair, body: &Value) -> Result<(), String> {
    let answer = protocol.decode_response(body.clone()).map_err(|error| format!("not read: {error}"))?;
    let mut written = dialect.encode_response(&answer, &terms());
    // What a wire adds to say nothing (an absent field written as null or an empty list) is no loss.
    forgive(&mut written, body);
    let mut body = body.clone();
    forgive(&mut body, &written);
    difference(&body, &written, "").map_or(Ok(()), Err)
}

pub(super) fn answers() -> Vec<String> {
    each_answer(answer_again)
}

pub(super) fn planted_answers() -> Vec<String> {
    each_answer(|pair, body| {
        let tried = runner(64).run(&seeds(), |seeds| {
            let (planted, _) = plant(body, &seeds);
            answer_again(pair, &planted).map_err(proptest::test_runner::TestCaseError::fail)
        });
        tried.map_err(|error| error.to_string())
    })
}

fn each_answer(law: impl Fn(Pair, &Value) -> Result<(), String>) -> Vec<String> {
    let mut breaches = Vec::new();
    for pair in homes() {
        let wire = pair.0.id().name();
        for fixture in fixtures::of(wire).answers {
            if let Err(breach) = law(pair, &fixture.body) {
                breaches.push(format!("{wire}/answer/{}: {breach}", fixture.name));
            }
        }
    }
    breaches
}

/// Removes from `value` what says nothing and `other` does not have: nulls, empty lists, counts of 0, usage of nothing.
fn forgive(value: &mut Value, other: &Value) {
    match (value, other) {
        (Value::Object(map), Value::Object(known)) => {
            map.retain(|key, inner| known.contains_key(key) || !says_nothing(inner));
            for (key, inner) in map.iter_mut() {
                if let Some(other) = known.get(key) {
                    forgive(inner, other);
                }
            }
        }
        (Value::Array(items), Value::Array(known)) => {
            for (item, other) in items.iter_mut().zip(known) {
                forgive(item, other);
            }
        }
        _ => {}
    }
}

fn says_nothing(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Array(items) => items.is_empty(),
        Value::Number(number) => number.as_f64() == Some(0.0),
        Value::Object(map) => map.values().all(says_nothing),
        _ => false,
    }
}
