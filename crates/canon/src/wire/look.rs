//! Looking into a body in place: one pass, in which nothing is copied.

use crate::facets::Peek;
use crate::fields::BadField;
use crate::wire::walk::{self, Piece, Walk};
use std::ops::Range;

/// Calls `see` with every top-level key of `body` and its value.
///
/// # Errors
/// When `body` is no JSON object.
pub(crate) fn top_level<'a>(
    body: &'a [u8],
    mut see: impl FnMut(&str, Look<'a>) -> Result<(), BadField>,
) -> Result<(), BadField> {
    along(body, |key, walk| see(key, Look::at(walk)?))
}

/// Calls `see` with every top-level key of `body` and the walk before its value: `see` may pass over it or go into it, so
/// that what lies deeper is not passed over twice.
///
/// # Errors
/// When `body` is no JSON object.
pub(crate) fn along<'a>(
    body: &'a [u8],
    see: impl FnMut(&str, &mut Walk<'a>) -> Result<(), BadField>,
) -> Result<(), BadField> {
    let text = std::str::from_utf8(body).map_err(|_| BadField::new("body", "must be UTF-8"))?;
    walk::along(text, see)
}

/// Calls `see` with every item of the list that `value` is.
///
/// # Errors
/// When it is no list.
pub(crate) fn items<'a>(
    value: &Look<'a>,
    mut see: impl FnMut(Look<'a>) -> Result<(), BadField>,
) -> Result<(), BadField> {
    walk::items(&value.0, |item| see(Look(item)))
}

/// Looks at a request whose body names its model: what all such say alike is read here, every other field by `field`.
///
/// # Errors
/// When `body` is no JSON object, names no model or two, or `field` refuses something.
pub(crate) fn request(
    body: &[u8],
    mut peek: Peek,
    mut field: impl FnMut(&str, &Look<'_>, &mut Peek) -> Result<(), BadField>,
) -> Result<Peek, BadField> {
    peek.facets.choices = 1;
    peek.facets.input_tokens = estimate_tokens(body.len());
    let mut twice = false;
    top_level(body, |key, value| {
        if key != "model" {
            return field(key, &value, &mut peek);
        }
        twice |= peek.model_at.is_some();
        peek.model = value.string(key)?;
        peek.model_at = Some(value.range());
        Ok(())
    })?;
    if twice {
        return Err(BadField::new("model", "appears twice"));
    }
    if peek.model.is_none() {
        return Err(no_model());
    }
    Ok(peek)
}

/// The model is not named.
pub(crate) fn no_model() -> BadField {
    BadField::new("model", "is missing: name a model, an alias of your product, or `auto`")
}

/// One value, unread.
pub(crate) struct Look<'a>(Piece<'a>);

impl<'a> Look<'a> {
    /// The value that follows on a walk, which passes over it.
    ///
    /// # Errors
    /// When none follows.
    pub(crate) fn at(walk: &mut Walk<'a>) -> Result<Self, BadField> {
        walk.piece().map(Self)
    }

    /// The value's text.
    pub(crate) const fn raw(&self) -> &'a str {
        self.0.raw
    }

    /// Where in the body the value stands.
    pub(crate) const fn range(&self) -> Range<usize> {
        self.0.at..self.0.at + self.0.raw.len()
    }

    /// Whether it is null.
    pub(crate) fn is_null(&self) -> bool {
        self.raw() == "null"
    }

    /// Calls `see` with every field of the object that it is.
    ///
    /// # Errors
    /// When it is no object.
    pub(crate) fn fields(&self, mut see: impl FnMut(&str, Look<'a>) -> Result<(), BadField>) -> Result<(), BadField> {
        walk::fields(self.raw(), |key, value| see(key, Look(value)))
    }

    /// The value as a string.
    pub(crate) fn string(&self, key: &str) -> Result<Option<String>, BadField> {
        if self.is_null() {
            return Ok(None);
        }
        let plain = self.raw().strip_prefix('"').and_then(|rest| rest.strip_suffix('"'));
        match plain {
            Some(text) if !text.contains('\\') => Ok(Some(text.to_owned())),
            _ => serde_json::from_str(self.raw()).map(Some).map_err(|_| BadField::new(key, "must be a string")),
        }
    }

    /// The value as a truth value; null is false.
    pub(crate) fn flag(&self, key: &str) -> Result<bool, BadField> {
        match self.raw() {
            "true" => Ok(true),
            "false" | "null" => Ok(false),
            _ => Err(BadField::new(key, "must be true or false")),
        }
    }

    /// The value as a whole number.
    pub(crate) fn whole(&self, key: &str) -> Result<Option<u64>, BadField> {
        if self.is_null() {
            return Ok(None);
        }
        if let Ok(number) = self.raw().parse() {
            return Ok(Some(number));
        }
        let number: Option<f64> = serde_json::from_str(self.raw()).ok();
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "checked: whole and in range")]
        let number = number.filter(|n| *n >= 0.0 && n.fract() == 0.0 && *n < 9.0e15).map(|n| n as u64);
        number.map(Some).ok_or_else(|| BadField::new(key, "must be a whole number, 0 or more"))
    }

    /// Whether the value is a list or object with something in it.
    pub(crate) fn is_filled(&self) -> bool {
        let inner = self.raw().get(1..self.raw().len().saturating_sub(1)).unwrap_or_default();
        !self.is_null() && !inner.trim().is_empty()
    }

    /// Whether the value's text holds `quoted`, which begins with a whole JSON string (quotes included, so text that
    /// merely mentions it, where quotes are escaped, does not count).
    pub(crate) fn mentions(&self, quoted: &str) -> bool {
        let word = quoted.strip_prefix('"').and_then(|rest| rest.split_once('"'));
        let may = word.is_none_or(|(word, _)| self.0.words.may_hold(word.as_bytes()));
        may && memchr::memmem::find(self.raw().as_bytes(), quoted.as_bytes()).is_some()
    }
}

/// A prompt's tokens estimated from `bytes` of JSON: about four bytes a token.
pub(crate) const fn estimate_tokens(bytes: usize) -> u64 {
    (bytes as u64).div_ceil(4)
}

/// The class of service that a request asks for; `None`: the usual one.
pub(crate) fn class(said: Option<String>) -> Option<String> {
    said.filter(|class| !matches!(class.as_str(), "auto" | "default" | "standard" | "standard_only"))
}

/// One edit of a body: the bytes at a place are replaced by others.
pub type Edit = (Range<usize>, Vec<u8>);

/// Applies `edits`, which must not overlap, in one copy; edits outside the body are left out.
#[must_use]
pub fn splice(body: &[u8], mut edits: Vec<Edit>) -> Vec<u8> {
    edits.sort_by_key(|(at, _)| at.start);
    let grown: usize = edits.iter().map(|(_, with)| with.len()).sum();
    let mut out = Vec::with_capacity(body.len() + grown);
    let mut from = 0;
    for (at, with) in edits {
        let Some(kept) = body.get(from..at.start) else { continue };
        out.extend_from_slice(kept);
        out.extend_from_slice(&with);
        from = at.end;
    }
    out.extend_from_slice(body.get(from..).unwrap_or_default());
    out
}
