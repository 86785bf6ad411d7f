//! Closed shapes: what a strict API allows in a body, as static tables that wires fill in.
//! Pure. A shape never forgives: an unknown field, a wrong type or a value out of range is a `Refusal`; the wire turns
//! it into its own words. Rules between fields are the wire's own code.

use serde_json::{Map, Value};

/// Why a body is refused.
#[derive(Debug, Clone, PartialEq)]
pub struct Refusal {
    /// Where, e.g. `messages[2].content`.
    pub path: String,
    /// What is wrong.
    pub problem: Problem,
}

/// What is wrong with a field.
#[derive(Debug, Clone, PartialEq)]
pub enum Problem {
    /// The API does not know it.
    Unknown,
    /// It is required.
    Missing,
    /// It has another type.
    Type {
        /// What the API takes.
        expected: String,
        /// What came.
        got: &'static str,
    },
    /// It is none of the known words.
    Word {
        /// The word that came.
        got: String,
        /// The known ones.
        known: Vec<&'static str>,
    },
    /// A number below the least allowed.
    Below {
        /// The least.
        min: f64,
        /// What came.
        got: f64,
        /// Whether whole numbers are taken only.
        whole: bool,
    },
    /// A number above the greatest allowed.
    Above {
        /// The greatest.
        max: f64,
        /// What came.
        got: f64,
        /// Whether whole numbers are taken only.
        whole: bool,
    },
    /// A text or list longer than allowed.
    Long {
        /// The greatest length.
        max: usize,
        /// The length that came.
        got: usize,
        /// `string` or `array`.
        of: &'static str,
    },
    /// A text or list shorter than allowed.
    Short {
        /// The least length.
        min: usize,
        /// The length that came.
        got: usize,
        /// `string` or `array`.
        of: &'static str,
    },
    /// A rule of the API, in its own words.
    Rule {
        /// The words.
        message: String,
        /// The API's code for it, where it has one.
        code: Option<&'static str>,
    },
}

impl Refusal {
    /// `path` has `problem`.
    #[must_use]
    pub fn new(path: impl Into<String>, problem: Problem) -> Self {
        Self { path: path.into(), problem }
    }

    /// `path` breaks a rule of the API.
    #[must_use]
    pub fn rule(path: impl Into<String>, message: impl Into<String>, code: Option<&'static str>) -> Self {
        Self::new(path, Problem::Rule { message: message.into(), code })
    }
}

/// What a value may be.
#[derive(Debug, Clone, Copy)]
pub enum Kind {
    /// Anything.
    Any,
    /// A string of `min..=max` characters.
    Text {
        /// The least length.
        min: usize,
        /// The greatest length.
        max: usize,
    },
    /// True or false.
    Flag,
    /// A whole number.
    Whole {
        /// The least.
        min: i64,
        /// The greatest.
        max: i64,
    },
    /// A number.
    Number {
        /// The least.
        min: f64,
        /// The greatest.
        max: f64,
    },
    /// One of these words.
    Word(&'static [&'static str]),
    /// An object with these fields and no others.
    Object(&'static [Field]),
    /// An object with exactly one of these fields.
    One(&'static [Field]),
    /// An object whose keys are free.
    Map(&'static Kind),
    /// A list.
    List {
        /// What its items are.
        of: &'static Kind,
        /// The least length.
        min: usize,
        /// The greatest length.
        max: usize,
    },
    /// An object told apart by the word under `tag`; each case lists its other fields.
    Tagged {
        /// The key of the word.
        tag: &'static str,
        /// Word → fields.
        cases: &'static [(&'static str, &'static [Field])],
    },
    /// The first of these that fits the value's JSON type.
    Either(&'static [Kind]),
}

/// A string of any length.
pub const TEXT: Kind = Kind::Text { min: 0, max: usize::MAX };

/// A string that is not empty.
pub const WORDS: Kind = Kind::Text { min: 1, max: usize::MAX };

/// A list of at least one.
#[must_use]
pub const fn some(of: &'static Kind) -> Kind {
    Kind::List { of, min: 1, max: usize::MAX }
}

/// A list, possibly empty.
#[must_use]
pub const fn list(of: &'static Kind) -> Kind {
    Kind::List { of, min: 0, max: usize::MAX }
}

/// One field of an object.
#[derive(Debug, Clone, Copy)]
pub struct Field {
    name: &'static str,
    kind: Kind,
    required: bool,
    null: bool,
}

/// A field that must be there.
#[must_use]
pub const fn must(name: &'static str, kind: Kind) -> Field {
    Field { name, kind, required: true, null: false }
}

/// A field that may be there, but not as null.
#[must_use]
pub const fn may(name: &'static str, kind: Kind) -> Field {
    Field { name, kind, required: false, null: false }
}

/// A field that may be there or be null.
#[must_use]
pub const fn null(name: &'static str, kind: Kind) -> Field {
    Field { name, kind, required: false, null: true }
}

/// Checks `value` at `path` against `kind`.
///
/// # Errors
/// The first refusal met.
pub fn check(value: &Value, kind: &Kind, path: &str) -> Result<(), Refusal> {
    match (kind, value) {
        (Kind::Any, _) | (Kind::Flag, Value::Bool(_)) => Ok(()),
        (Kind::Text { min, max }, Value::String(text)) => length(text.chars().count(), *min, *max, "string", path),
        (Kind::Whole { min, max }, Value::Number(number)) if whole(number) =>
        {
            #[expect(clippy::cast_precision_loss, reason = "limits of APIs are small numbers")]
            range(number.as_f64().unwrap_or(f64::NAN), *min as f64, *max as f64, true, path)
        }
        (Kind::Number { min, max }, Value::Number(number)) => {
            range(number.as_f64().unwrap_or(f64::NAN), *min, *max, false, path)
        }
        (Kind::Word(known), Value::String(got)) if !known.contains(&got.as_str()) => {
            Err(Refusal::new(path, Problem::Word { got: got.clone(), known: known.to_vec() }))
        }
        (Kind::Word(_), Value::String(_)) => Ok(()),
        (Kind::Object(fields), Value::Object(map)) => object(map, fields, None, path),
        (Kind::One(fields), Value::Object(map)) => {
            object(map, fields, None, path)?;
            let message = || format!("exactly one key must be set, not {}", map.len());
            if map.len() == 1 { Ok(()) } else { Err(Refusal::rule(path, message(), None)) }
        }
        (Kind::Map(of), Value::Object(map)) => map.iter().try_for_each(|(key, item)| check(item, of, &join(path, key))),
        (Kind::List { of, min, max }, Value::Array(items)) => {
            length(items.len(), *min, *max, "array", path)?;
            items.iter().enumerate().try_for_each(|(at, item)| check(item, of, &format!("{path}[{at}]")))
        }
        (Kind::Tagged { tag, cases }, Value::Object(map)) => tagged(map, tag, cases, path),
        (Kind::Either(kinds), value) => match kinds.iter().find(|kind| fits(kind, value)) {
            Some(kind) => check(value, kind, path),
            None => Err(wrong_type(kind, value, path)),
        },
        (kind, value) => Err(wrong_type(kind, value, path)),
    }
}

fn tagged(
    map: &Map<String, Value>,
    tag: &'static str,
    cases: &'static [(&'static str, &'static [Field])],
    path: &str,
) -> Result<(), Refusal> {
    let at = join(path, tag);
    let word = match map.get(tag) {
        None => return Err(Refusal::new(at, Problem::Missing)),
        Some(Value::String(word)) => word,
        Some(other) => return Err(wrong_type(&TEXT, other, &at)),
    };
    match cases.iter().find(|(case, _)| case == word) {
        Some((_, fields)) => object(map, fields, Some(tag), path),
        None => {
            let known = cases.iter().map(|(case, _)| *case).collect();
            Err(Refusal::new(at, Problem::Word { got: word.clone(), known }))
        }
    }
}

fn object(
    map: &Map<String, Value>,
    fields: &'static [Field],
    tag: Option<&'static str>,
    path: &str,
) -> Result<(), Refusal> {
    for (key, value) in map {
        if Some(key.as_str()) == tag {
            continue;
        }
        let at = join(path, key);
        let Some(field) = fields.iter().find(|field| field.name == key) else {
            return Err(Refusal::new(at, Problem::Unknown));
        };
        if !(field.null && value.is_null()) {
            check(value, &field.kind, &at)?;
        }
    }
    match fields.iter().find(|field| field.required && !map.contains_key(field.name)) {
        Some(field) => Err(Refusal::new(join(path, field.name), Problem::Missing)),
        None => Ok(()),
    }
}

fn length(got: usize, min: usize, max: usize, of: &'static str, path: &str) -> Result<(), Refusal> {
    if got < min {
        return Err(Refusal::new(path, Problem::Short { min, got, of }));
    }
    if got > max {
        return Err(Refusal::new(path, Problem::Long { max, got, of }));
    }
    Ok(())
}

fn range(got: f64, min: f64, max: f64, whole: bool, path: &str) -> Result<(), Refusal> {
    if got < min {
        return Err(Refusal::new(path, Problem::Below { min, got, whole }));
    }
    if got > max {
        return Err(Refusal::new(path, Problem::Above { max, got, whole }));
    }
    Ok(())
}

fn whole(number: &serde_json::Number) -> bool {
    number.is_i64() || number.is_u64() || number.as_f64().is_some_and(|value| value.fract() == 0.0)
}

fn wrong_type(kind: &Kind, value: &Value, path: &str) -> Refusal {
    Refusal::new(path, Problem::Type { expected: name(kind), got: type_name(value) })
}

/// Whether the JSON type of `value` is one that `kind` takes.
fn fits(kind: &Kind, value: &Value) -> bool {
    match kind {
        Kind::Any => true,
        Kind::Text { .. } | Kind::Word(_) => value.is_string(),
        Kind::Flag => value.is_boolean(),
        Kind::Whole { .. } | Kind::Number { .. } => value.is_number(),
        Kind::Object(_) | Kind::One(_) | Kind::Map(_) | Kind::Tagged { .. } => value.is_object(),
        Kind::List { .. } => value.is_array(),
        Kind::Either(kinds) => kinds.iter().any(|kind| fits(kind, value)),
    }
}

fn name(kind: &Kind) -> String {
    match kind {
        Kind::Any => "anything".to_owned(),
        Kind::Text { .. } | Kind::Word(_) => "a string".to_owned(),
        Kind::Flag => "a boolean".to_owned(),
        Kind::Whole { .. } => "an integer".to_owned(),
        Kind::Number { .. } => "a decimal".to_owned(),
        Kind::Object(_) | Kind::One(_) | Kind::Map(_) | Kind::Tagged { .. } => "an object".to_owned(),
        Kind::List { .. } => "an array".to_owned(),
        Kind::Either(kinds) => kinds.iter().map(name).collect::<Vec<_>>().join(" or "),
    }
}

/// The JSON type of `value`, with its article.
#[must_use]
pub fn type_name(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "a boolean",
        Value::Number(number) if number.is_f64() => "a decimal",
        Value::Number(_) => "an integer",
        Value::String(_) => "a string",
        Value::Array(_) => "an array",
        Value::Object(_) => "an object",
    }
}

fn join(path: &str, key: &str) -> String {
    if path.is_empty() { key.to_owned() } else { format!("{path}.{key}") }
}
