//! Unknown fields, planted at random places of a body.

use proptest::prelude::*;
use serde_json::{Map, Value};

/// A strategy for where and what to plant: places are taken modulo the number of objects in the body.
pub(super) fn seeds() -> impl Strategy<Value = Vec<(usize, Value)>> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i32>().prop_map(Value::from),
        "[a-zA-Z0-9 é\u{2028}\"\\\\]{0,12}".prop_map(Value::from),
    ];
    let value = leaf.prop_recursive(2, 6, 3, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..3).prop_map(Value::from),
            prop::collection::vec(("[a-z_]{1,6}", inner), 0..3)
                .prop_map(|fields| Value::Object(fields.into_iter().collect::<Map<_, _>>())),
        ]
    });
    prop::collection::vec((any::<prop::sample::Index>().prop_map(|at| at.index(1 << 16)), value), 1..5)
}

/// `body` with `seeds` planted, and the names of what was planted.
pub(super) fn plant(body: &Value, seeds: &[(usize, Value)]) -> (Value, Vec<String>) {
    let mut planted = body.clone();
    let mut names = Vec::new();
    for (number, (place, value)) in seeds.iter().enumerate() {
        let total = count(&planted);
        let name = format!("x_planted_{number}");
        let mut left = place % total.max(1);
        insert(&mut planted, &mut left, &name, value);
        names.push(name);
    }
    (planted, names)
}

fn count(value: &Value) -> usize {
    match value {
        Value::Object(map) => {
            1 + map.iter().filter(|(key, _)| !is_planted(key)).map(|(_, inner)| count(inner)).sum::<usize>()
        }
        Value::Array(items) => items.iter().map(count).sum(),
        _ => 0,
    }
}

/// Plants into the `left`th object; gives whether it is done.
fn insert(value: &mut Value, left: &mut usize, name: &str, what: &Value) -> bool {
    match value {
        Value::Object(map) => {
            if *left == 0 {
                map.insert(name.to_owned(), what.clone());
                return true;
            }
            *left -= 1;
            map.iter_mut().filter(|(key, _)| !is_planted(key)).any(|(_, inner)| insert(inner, left, name, what))
        }
        Value::Array(items) => items.iter_mut().any(|inner| insert(inner, left, name, what)),
        _ => false,
    }
}

fn is_planted(key: &str) -> bool {
    key.starts_with("x_planted_")
}
