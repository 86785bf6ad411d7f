//! Looking into a body in place: one pass over the top level, everything below is skipped, nothing is copied.

use crate::facets::Peek;
use crate::fields::BadField;
use sonic_rs::{JsonValueTrait, LazyValue};
use std::ops::Range;

/// Calls `see` with every top-level key of `body`, its raw value and the place where the value stands.
///
/// # Errors
/// When `body` is no JSON object.
pub(crate) fn top_level<'a>(
    body: &'a [u8],
    mut see: impl FnMut(&str, Look<'a>) -> Result<(), BadField>,
) -> Result<(), BadField> {
    let first = body.iter().find(|byte| !byte.is_ascii_whitespace());
    if first != Some(&b'{') {
        return Err(BadField::new("body", "must be a JSON object"));
    }
    let text = std::str::from_utf8(body).map_err(|_| BadField::new("body", "must be UTF-8"))?;
    if is_too_deep(body) {
        return Err(BadField::new("body", format!("is nested more than {DEEPEST} levels deep")));
    }
    let start = text.as_ptr() as usize;
    for entry in sonic_rs::to_object_iter(text) {
        let (key, value) =
            entry.map_err(|error| BadField::new("body", format!("is not valid JSON: {}", brief(&error))))?;
        see(&key, Look { value, start })?;
    }
    Ok(())
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

/// Deepest nesting that is read: that of the full reader, which follows. Parsers recurse; deeper bodies would take the
/// process's stack.
const DEEPEST: usize = 127;

/// Whether lists and objects are nested deeper than [`DEEPEST`]. Strings, most of any body, are jumped over.
fn is_too_deep(body: &[u8]) -> bool {
    let (mut depth, mut at) = (0_usize, 0);
    while let Some(byte) = body.get(at) {
        at += 1;
        match byte {
            b'"' => at = end_of_string(body, at),
            b'[' | b'{' => {
                depth += 1;
                if depth > DEEPEST {
                    return true;
                }
            }
            b']' | b'}' => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    false
}

/// One past the quote that ends the string whose first byte is at `from`.
fn end_of_string(body: &[u8], from: usize) -> usize {
    let mut at = from;
    while let Some(found) = body.get(at..).and_then(|rest| memchr::memchr2(b'"', b'\\', rest)) {
        at += found;
        if body.get(at) == Some(&b'"') {
            return at + 1;
        }
        at += 2;
    }
    body.len()
}

/// The first line of a parser's complaint, without its excerpt of the body.
fn brief(error: &sonic_rs::Error) -> String {
    error.to_string().lines().next().unwrap_or_default().trim_end_matches(':').to_owned()
}

/// One value, unread.
pub(crate) struct Look<'a> {
    value: LazyValue<'a>,
    start: usize,
}

impl Look<'_> {
    /// The value's bytes.
    pub(crate) fn raw(&self) -> &str {
        self.value.as_raw_str()
    }

    /// Where in the body the value stands.
    pub(crate) fn range(&self) -> Range<usize> {
        let raw = self.raw();
        let from = (raw.as_ptr() as usize).wrapping_sub(self.start);
        from..from + raw.len()
    }

    /// Whether it is null.
    pub(crate) fn is_null(&self) -> bool {
        self.value.is_null()
    }

    /// The value as a string.
    pub(crate) fn string(&self, key: &str) -> Result<Option<String>, BadField> {
        if self.is_null() {
            return Ok(None);
        }
        self.value.as_str().map(|text| Some(text.to_owned())).ok_or_else(|| BadField::new(key, "must be a string"))
    }

    /// The value as a truth value; null is false.
    pub(crate) fn flag(&self, key: &str) -> Result<bool, BadField> {
        if self.is_null() {
            return Ok(false);
        }
        self.value.as_bool().ok_or_else(|| BadField::new(key, "must be true or false"))
    }

    /// The value as a whole number.
    pub(crate) fn whole(&self, key: &str) -> Result<Option<u64>, BadField> {
        if self.is_null() {
            return Ok(None);
        }
        if let Some(number) = self.value.as_u64() {
            return Ok(Some(number));
        }
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "checked: whole and in range")]
        let number = self.value.as_f64().filter(|n| *n >= 0.0 && n.fract() == 0.0 && *n < 9.0e15).map(|n| n as u64);
        number.map(Some).ok_or_else(|| BadField::new(key, "must be a whole number, 0 or more"))
    }

    /// Whether the value is a list or object with something in it.
    pub(crate) fn is_filled(&self) -> bool {
        let inner = self.raw().get(1..self.raw().len().saturating_sub(1)).unwrap_or_default();
        !self.is_null() && !inner.trim().is_empty()
    }

    /// Whether the raw value holds `word` as a whole JSON string (quotes included, so text that merely mentions it,
    /// where quotes are escaped, does not count).
    pub(crate) fn mentions(&self, quoted: &str) -> bool {
        memchr::memmem::find(self.raw().as_bytes(), quoted.as_bytes()).is_some()
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_too_deep_is_refused_before_it_is_walked_over() {
        let nested = |levels: usize| format!("{{\"a\":{}{}}}", "[".repeat(levels), "]".repeat(levels));
        let look = |text: &str| top_level(text.as_bytes(), |_, _| Ok(()));
        assert!(look(&nested(DEEPEST - 1)).is_ok());
        assert!(look(&nested(DEEPEST)).is_err());
        assert!(look(&format!("{{\"a\":{}", "[{\"b\":".repeat(200_000))).is_err());
        // Brackets and escaped quotes in words are words.
        assert!(look(&format!("{{\"a\":\"{}\\\"{}\"}}", "[".repeat(300), "{".repeat(300))).is_ok());
    }
}
