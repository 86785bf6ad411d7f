//! Reading JSON by taking: known fields are taken out of an object, what is left is its `extras`. So no list of
//! unknown fields exists, and none can be forgotten. Never indexes, never panics; errors name the path.

use crate::Extras;
use crate::fault::{Fault, FaultKind};
use serde_json::Value;

/// A field that is not what its wire allows.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{path}` {problem}")]
pub struct BadField {
    /// Where, e.g. `messages[2].content`.
    pub path: String,
    /// What is wrong, e.g. `must be a string`.
    pub problem: String,
}

impl BadField {
    /// `path` has `problem`.
    #[must_use]
    pub fn new(path: impl Into<String>, problem: impl Into<String>) -> Self {
        Self { path: path.into(), problem: problem.into() }
    }

    /// The client sent it.
    #[must_use]
    pub fn into_client_fault(self) -> Fault {
        let path = self.path.clone();
        Fault::client(FaultKind::Invalid, self.to_string()).at(path)
    }

    /// A provider sent it.
    #[must_use]
    pub fn into_provider_fault(self) -> Fault {
        Fault::provider(FaultKind::Malformed, format!("the provider's answer is malformed: {self}"))
    }
}

/// An object whose fields are taken one by one.
#[derive(Debug)]
pub struct Fields {
    path: String,
    map: Extras,
}

impl Fields {
    /// Reads `value` at `path` as an object.
    ///
    /// # Errors
    /// When it is no object.
    pub fn of(value: Value, path: impl Into<String>) -> Result<Self, BadField> {
        let path = path.into();
        match value {
            Value::Object(map) => Ok(Self { path, map }),
            other => Err(BadField::new(path, format!("must be an object, not {}", kind(&other)))),
        }
    }

    /// The path of this object.
    #[must_use]
    pub fn path(&self) -> &str {
        &self.path
    }

    /// The path of `key` in this object.
    #[must_use]
    pub fn path_of(&self, key: &str) -> String {
        if self.path.is_empty() { key.to_owned() } else { format!("{}.{key}", self.path) }
    }

    /// Whether `key` is there and not null.
    #[must_use]
    pub fn has(&self, key: &str) -> bool {
        self.map.get(key).is_some_and(|value| !value.is_null())
    }

    /// Looks at `key` without taking it.
    #[must_use]
    pub fn peek(&self, key: &str) -> Option<&Value> {
        self.map.get(key)
    }

    /// Looks at a string without taking it.
    #[must_use]
    pub fn peek_str(&self, key: &str) -> Option<&str> {
        self.map.get(key).and_then(Value::as_str)
    }

    /// The names of the fields not yet taken.
    pub fn keys(&self) -> impl Iterator<Item = &str> {
        self.map.keys().map(String::as_str)
    }

    /// Takes `key`; null counts as absent.
    pub fn take(&mut self, key: &str) -> Option<Value> {
        self.map.shift_remove(key).filter(|value| !value.is_null())
    }

    /// Takes a string.
    ///
    /// # Errors
    /// When it is there and no string.
    pub fn string(&mut self, key: &str) -> Result<Option<String>, BadField> {
        match self.take(key) {
            None => Ok(None),
            Some(Value::String(text)) => Ok(Some(text)),
            Some(other) => Err(self.bad(key, "a string", &other)),
        }
    }

    /// Takes a string that must be there.
    ///
    /// # Errors
    /// When it is absent or no string.
    pub fn need_string(&mut self, key: &str) -> Result<String, BadField> {
        self.string(key)?.ok_or_else(|| self.missing(key))
    }

    /// Takes a truth value.
    ///
    /// # Errors
    /// When it is there and neither `true` nor `false`.
    pub fn bool(&mut self, key: &str) -> Result<Option<bool>, BadField> {
        match self.take(key) {
            None => Ok(None),
            Some(Value::Bool(flag)) => Ok(Some(flag)),
            Some(other) => Err(self.bad(key, "true or false", &other)),
        }
    }

    /// Takes a number.
    ///
    /// # Errors
    /// When it is there and no number.
    pub fn f64(&mut self, key: &str) -> Result<Option<f64>, BadField> {
        match self.take(key) {
            None => Ok(None),
            Some(value) => match value.as_f64() {
                Some(number) => Ok(Some(number)),
                None => Err(self.bad(key, "a number", &value)),
            },
        }
    }

    /// Takes a whole number that is not negative (`3.0` counts).
    ///
    /// # Errors
    /// When it is there and anything else.
    pub fn u64(&mut self, key: &str) -> Result<Option<u64>, BadField> {
        match self.take(key) {
            None => Ok(None),
            Some(value) => match whole(&value) {
                Some(number) => Ok(Some(number)),
                None => Err(self.bad(key, "a whole number, 0 or more", &value)),
            },
        }
    }

    /// Takes a whole number that fits 32 bits.
    ///
    /// # Errors
    /// When it is there and anything else.
    pub fn u32(&mut self, key: &str) -> Result<Option<u32>, BadField> {
        match self.u64(key)? {
            None => Ok(None),
            Some(number) => {
                u32::try_from(number).map(Some).map_err(|_| BadField::new(self.path_of(key), "is too large"))
            }
        }
    }

    /// Takes a whole number.
    ///
    /// # Errors
    /// When it is there and anything else.
    pub fn i64(&mut self, key: &str) -> Result<Option<i64>, BadField> {
        match self.take(key) {
            None => Ok(None),
            Some(value) => match value.as_i64() {
                Some(number) => Ok(Some(number)),
                None => Err(self.bad(key, "a whole number", &value)),
            },
        }
    }

    /// Takes a list; absent is empty.
    ///
    /// # Errors
    /// When it is there and no list.
    pub fn list(&mut self, key: &str) -> Result<Vec<Value>, BadField> {
        match self.take(key) {
            None => Ok(Vec::new()),
            Some(Value::Array(items)) => Ok(items),
            Some(other) => Err(self.bad(key, "a list", &other)),
        }
    }

    /// Takes an object.
    ///
    /// # Errors
    /// When it is there and no object.
    pub fn object(&mut self, key: &str) -> Result<Option<Self>, BadField> {
        match self.take(key) {
            None => Ok(None),
            Some(value) => Self::of(value, self.path_of(key)).map(Some),
        }
    }

    /// Takes a map of anything; absent is empty.
    ///
    /// # Errors
    /// When it is there and no object.
    pub fn map(&mut self, key: &str) -> Result<Extras, BadField> {
        Ok(self.object(key)?.map(Self::rest).unwrap_or_default())
    }

    /// Puts back under `key` what the canon could not hold.
    pub fn put(&mut self, key: &str, value: Value) {
        self.map.insert(key.to_owned(), value);
    }

    /// What was not taken.
    #[must_use]
    pub fn rest(self) -> Extras {
        self.map
    }

    /// `key` is missing.
    #[must_use]
    pub fn missing(&self, key: &str) -> BadField {
        BadField::new(self.path_of(key), "is missing")
    }

    fn bad(&self, key: &str, wanted: &str, got: &Value) -> BadField {
        BadField::new(self.path_of(key), format!("must be {wanted}, not {}", kind(got)))
    }
}

/// A whole number, 0 or more, in any JSON spelling (`3`, `3.0`).
#[must_use]
pub fn whole(value: &Value) -> Option<u64> {
    if let Some(number) = value.as_u64() {
        return Some(number);
    }
    let number = value.as_f64()?;
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "checked: whole and in range")]
    (number >= 0.0 && number.fract() == 0.0 && number < 9.0e15).then_some(number as u64)
}

/// What a JSON value is, for error texts.
#[must_use]
pub fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "a truth value",
        Value::Number(_) => "a number",
        Value::String(_) => "a string",
        Value::Array(_) => "a list",
        Value::Object(_) => "an object",
    }
}
