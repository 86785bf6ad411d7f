//! What the tests of every wire need: the roles by name, streams cut into frames, fields planted at random.

use bytes::Bytes;
use canon::answer::Response;
use canon::event::Event;
use canon::frame::{Frame, SseReader};
use canon::request::{Part, Request};
use canon::wire::{self, Dialect, Encoded, Params, Protocol, StreamTerms};
use proptest::prelude::*;
use serde_json::Value;

pub(crate) fn dialect(name: &str) -> &'static dyn Dialect {
    wire::dialect(name).expect("listed")
}

pub(crate) fn protocol(name: &str) -> &'static dyn Protocol {
    wire::protocol(name).expect("listed")
}

pub(crate) fn json_of(text: &str) -> Value {
    serde_json::from_str(text).expect("JSON")
}

/// What a client of `wire` asks.
pub(crate) fn read(wire: &str, body: Value) -> Request {
    dialect(wire).decode_request(&Params::default(), body).expect("valid")
}

/// Arguments compare as JSON: whether there are spaces in them does not matter.
pub(crate) fn level(mut answer: Response) -> Response {
    for part in answer.choices.iter_mut().flat_map(|choice| &mut choice.parts) {
        if let Part::ToolCall { arguments, .. } = part {
            *arguments = json_of(arguments).to_string();
        }
    }
    answer
}

/// What was lost, in the order in which it was found.
pub(crate) fn losses(encoded: &Encoded) -> Vec<String> {
    encoded.losses.iter().map(ToString::to_string).collect()
}

/// What was lost, by name.
pub(crate) fn lost(encoded: &Encoded) -> Vec<String> {
    let mut names = losses(encoded);
    names.sort();
    names
}

pub(crate) fn terms() -> StreamTerms {
    StreamTerms { model: "m".to_owned(), usage: true, created: 1, id: "ours".to_owned(), ..StreamTerms::default() }
}

/// The server-sent events in `text`, which arrives in pieces of `size` bytes.
pub(crate) fn frames(text: &[u8], size: usize) -> Vec<Frame> {
    let mut reader = SseReader::default();
    let mut frames = Vec::new();
    for chunk in text.chunks(size.max(1)) {
        reader.push(Bytes::copy_from_slice(chunk), &mut frames).expect("small");
    }
    reader.finish(&mut frames);
    frames
}

/// `events` as a client of `dialect` hears them.
pub(crate) fn written(dialect: &dyn Dialect, events: &[Event], terms: &StreamTerms) -> Vec<u8> {
    let mut encoder = dialect.stream_encoder(terms);
    let mut out = Vec::new();
    for event in events {
        encoder.event(event, &mut out);
    }
    out
}

/// Any JSON, small, with a wire's own `words` among its values and its `keys` as keys.
pub(crate) fn any_json(words: &'static [&'static str], keys: &'static [&'static str]) -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        "[a-zA-Z_{}\"\\\\éü\u{2028}]{0,12}".prop_map(Value::from),
        prop::sample::select(words).prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 32, 5, move |inner| {
        let fields = prop::collection::vec((prop::sample::select(keys), inner.clone()), 0..6);
        prop_oneof![
            prop::collection::vec(inner, 0..5).prop_map(Value::from),
            fields.prop_map(|fields| fields.into_iter().map(|(key, value)| (key.to_owned(), value)).collect()),
        ]
    })
}

/// Where something is planted, and what.
pub(crate) type Seed = (prop::sample::Index, Value);

/// Fewer than `most` seeds, each of `values` but null, which stands for absence on some wires.
pub(crate) fn seeds(values: impl Strategy<Value = Value>, most: usize) -> impl Strategy<Value = Vec<Seed>> {
    let value = values.prop_filter("a value", |value| !value.is_null());
    prop::collection::vec((any::<prop::sample::Index>(), value), 1..most)
}

/// Plants each seed as `planted_0`, `planted_1`, … in one of the objects of `body`.
pub(crate) fn plant(body: &mut Value, seeds: &[Seed]) {
    for (number, (place, value)) in seeds.iter().enumerate() {
        let mut places = Vec::new();
        objects(body, "", &mut places);
        let pointer = place.get(&places).clone();
        if let Some(Value::Object(map)) = body.pointer_mut(&pointer) {
            map.insert(format!("planted_{number}"), value.clone());
        }
    }
}

/// Places of every object in `value`, as pointers.
fn objects(value: &Value, at: &str, out: &mut Vec<String>) {
    match value {
        Value::Object(map) => {
            out.push(at.to_owned());
            map.iter().for_each(|(key, value)| objects(value, &format!("{at}/{}", key.replace('/', "~1")), out));
        }
        Value::Array(list) => {
            list.iter().enumerate().for_each(|(index, value)| objects(value, &format!("{at}/{index}"), out));
        }
        _ => {}
    }
}
