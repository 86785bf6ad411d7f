//! The pen with which every wire writes a request: what is home goes home, what cannot be said is named.

use super::{Loss, Quirks, WireId};
use crate::Extras;
use serde_json::Value;

/// First character of an extra that holds the origin wire's spelling of something the canon has taken in. Its wire
/// reads it by name; it is never written as it is.
pub(crate) const SPELLING: char = '~';

/// Keeps the losses while a request is written.
#[derive(Debug)]
pub(crate) struct Writer {
    /// Whether the request came from this very wire, so that its extras go home.
    pub(crate) home: bool,
    losses: Vec<Loss>,
}

impl Writer {
    /// A pen for a request of `origin` written on `wire`.
    pub(crate) fn new(origin: WireId, wire: WireId) -> Self {
        Self { home: origin == wire, losses: Vec::new() }
    }

    /// `path` is left out.
    pub(crate) fn drop(&mut self, path: impl Into<String>) {
        self.losses.push(Loss::dropped(path));
    }

    /// `path` is said in a way that means less.
    pub(crate) fn weaken(&mut self, path: impl Into<String>) {
        self.losses.push(Loss::weakened(path));
    }

    /// `path` is emulated.
    pub(crate) fn emulate(&mut self, path: impl Into<String>) {
        self.losses.push(Loss::emulated(path));
    }

    /// Extras at `path`: into `out` at home, named abroad. A key that starts with [`SPELLING`] only remembers how the
    /// origin wire spelled what the canon holds; abroad nothing is lost with it.
    pub(crate) fn extras(&mut self, extras: &Extras, path: &str, out: &mut Extras) {
        for (key, value) in extras {
            if key.starts_with(SPELLING) {
                continue;
            }
            if self.home {
                out.insert(key.clone(), value.clone());
            } else if path.is_empty() {
                self.drop(key.clone());
            } else {
                self.drop(format!("{path}.{key}"));
            }
        }
    }

    /// Applies what a provider refuses or names differently at the top level.
    pub(crate) fn quirks(&mut self, quirks: &Quirks, body: &mut Extras) {
        for field in &quirks.refuses {
            if body.shift_remove(field).is_some() {
                self.drop(field.clone());
            }
        }
        for (ours, theirs) in &quirks.renames {
            if let Some(value) = body.shift_remove(ours) {
                body.insert(theirs.clone(), value);
            }
        }
    }

    /// Everything that was not said.
    pub(crate) fn losses(self) -> Vec<Loss> {
        self.losses
    }
}

/// Puts `value` under `key` when there is one.
pub(crate) fn put<T: Into<Value>>(body: &mut Extras, key: &str, value: Option<T>) {
    if let Some(value) = value {
        body.insert(key.to_owned(), value.into());
    }
}
