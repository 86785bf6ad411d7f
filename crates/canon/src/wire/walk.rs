//! One pass over JSON in place: it is checked, the fields or items of its top level are told apart, and the words below
//! them are noted, so that asking for one costs nothing where it is not there. No tree, no copy, no recursion: however
//! deep a stranger nests, the stack stays.

use crate::fields::BadField;
use std::borrow::Cow;

/// Deepest nesting that is taken: that of the full reader, which follows.
pub(super) const DEEPEST: u32 = 127;

/// Longest string that is noted as a word; longer ones are content.
const LONGEST_WORD: usize = 32;

/// Bytes of a string that are looked at one by one.
const SHORT: usize = 12;

/// Strings that stand somewhere in a value, as far as one may ask for them: some that do not may look as if.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Words([u64; 4]);

impl Words {
    fn note(&mut self, word: &[u8]) {
        if let Some((cell, bit)) = Self::place(word) {
            self.0[cell] |= bit;
        }
    }

    /// Whether `word` may stand there. `false` is sure.
    pub(crate) fn may_hold(&self, word: &[u8]) -> bool {
        Self::place(word).is_none_or(|(cell, bit)| self.0[cell] & bit != 0)
    }

    /// Where a word is noted; `None`: it is too long to be.
    fn place(word: &[u8]) -> Option<(usize, u64)> {
        if word.len() > LONGEST_WORD {
            return None;
        }
        let at = |index: usize| word.get(index).map_or(0, |byte| usize::from(*byte));
        let sum = word.len() * 7 + at(0) * 31 + at(word.len() / 2) * 5 + at(word.len().wrapping_sub(1)) * 13;
        Some((sum / 64 % 4, 1 << (sum % 64)))
    }
}

/// A piece of JSON inside a text.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Piece<'a> {
    /// Its text, without white space around it.
    pub raw: &'a str,
    /// Where it begins in the text that was walked over.
    pub at: usize,
    /// Strings within.
    pub words: Words,
}

/// Calls `see` with the key and the value of every field of the object that `text` is.
///
/// # Errors
/// When `text` is no JSON object, or `see` refuses something.
pub(crate) fn fields<'a>(
    text: &'a str,
    see: impl FnMut(&str, Piece<'a>) -> Result<(), BadField>,
) -> Result<(), BadField> {
    walk_fields(Walk::new(text, b'{', "must be a JSON object")?, see)
}

/// [`fields`] of a piece of a text that was walked over: no string in it holds what none may hold.
///
/// # Errors
/// When it is no JSON object, or `see` refuses something.
pub(crate) fn fields_of<'a>(
    piece: &Piece<'a>,
    see: impl FnMut(&str, Piece<'a>) -> Result<(), BadField>,
) -> Result<(), BadField> {
    walk_fields(Walk::again(piece.raw, b'{', "must be a JSON object")?, see)
}

fn walk_fields<'a>(
    mut walk: Walk<'a>,
    mut see: impl FnMut(&str, Piece<'a>) -> Result<(), BadField>,
) -> Result<(), BadField> {
    let mut more = !walk.takes(b'}');
    while more {
        let key = walk.key()?;
        let value = walk.piece()?;
        see(&key, value)?;
        more = walk.goes_on(b'}')?;
    }
    walk.ends()
}

/// Calls `see` with every item of the list that `piece` is, which was walked over.
///
/// # Errors
/// When it is no JSON list, or `see` refuses something.
pub(crate) fn items<'a>(
    piece: &Piece<'a>,
    mut see: impl FnMut(Piece<'a>) -> Result<(), BadField>,
) -> Result<(), BadField> {
    let mut walk = Walk::again(piece.raw, b'[', "must be a JSON list")?;
    let mut more = !walk.takes(b']');
    while more {
        let item = walk.piece()?;
        see(item)?;
        more = walk.goes_on(b']')?;
    }
    walk.ends()
}

struct Walk<'a> {
    text: &'a str,
    bytes: &'a [u8],
    at: usize,
    /// Whether the text holds bytes that no string may hold as they are.
    has_controls: bool,
    words: Words,
}

impl<'a> Walk<'a> {
    /// Stands behind the `open` that `text` must begin with.
    fn new(text: &'a str, open: u8, otherwise: &str) -> Result<Self, BadField> {
        // In blocks, without a way out in the middle, so that it is done many bytes at a time.
        let control = |block: &[u8]| block.iter().fold(false, |found, byte| found | (*byte < b' '));
        let has_controls = text.as_bytes().chunks(256).any(control);
        Ok(Self { has_controls, ..Self::again(text, open, otherwise)? })
    }

    /// The same in a text that was walked over.
    fn again(text: &'a str, open: u8, otherwise: &str) -> Result<Self, BadField> {
        let mut walk = Self { text, bytes: text.as_bytes(), at: 0, has_controls: false, words: Words::default() };
        if !walk.takes(open) {
            return Err(BadField::new("body", otherwise));
        }
        Ok(walk)
    }

    /// Passes over white space; the byte that follows.
    fn next(&mut self) -> Option<u8> {
        while let Some(byte) = self.bytes.get(self.at) {
            if !matches!(byte, b' ' | b'\n' | b'\r' | b'\t') {
                return Some(*byte);
            }
            self.at += 1;
        }
        None
    }

    /// Passes over `byte` if that follows.
    fn takes(&mut self, byte: u8) -> bool {
        let follows = self.next() == Some(byte);
        self.at += usize::from(follows);
        follows
    }

    fn wants(&mut self, byte: u8) -> Result<(), BadField> {
        if self.takes(byte) { Ok(()) } else { Err(self.broken()) }
    }

    /// Behind a field or an item: whether another follows, or `close` does.
    fn goes_on(&mut self, close: u8) -> Result<bool, BadField> {
        if self.takes(b',') {
            return Ok(true);
        }
        self.wants(close).map(|()| false)
    }

    fn ends(mut self) -> Result<(), BadField> {
        if self.next().is_some() { Err(self.broken()) } else { Ok(()) }
    }

    fn broken(&self) -> BadField {
        let what = match self.bytes.get(self.at) {
            None => "it ends too early".to_owned(),
            Some(_) => format!("byte {} cannot stand where it does", self.at),
        };
        BadField::new("body", format!("is not valid JSON: {what}"))
    }

    fn key(&mut self) -> Result<Cow<'a, str>, BadField> {
        self.wants(b'"')?;
        let from = self.at;
        let escaped = self.string()?;
        let key = self.text.get(from..self.at - 1).unwrap_or_default();
        self.wants(b':')?;
        if !escaped {
            return Ok(Cow::Borrowed(key));
        }
        let quoted = self.text.get(from - 1..from + key.len() + 1).unwrap_or_default();
        serde_json::from_str(quoted).map(Cow::Owned).map_err(|_| self.broken())
    }

    fn piece(&mut self) -> Result<Piece<'a>, BadField> {
        self.next();
        let at = self.at;
        self.words = Words::default();
        self.value()?;
        Ok(Piece { raw: self.text.get(at..self.at).unwrap_or_default(), at, words: self.words })
    }

    /// Passes over a value, however deep. `inside` has a bit for each level below the top: 1 for an object.
    fn value(&mut self) -> Result<(), BadField> {
        let (mut depth, mut inside) = (0_u32, 0_u128);
        loop {
            match self.next() {
                Some(open @ (b'{' | b'[')) => {
                    depth += 1;
                    if depth >= DEEPEST {
                        return Err(BadField::new("body", format!("is nested more than {DEEPEST} levels deep")));
                    }
                    inside = (inside << 1) | u128::from(open == b'{');
                    self.at += 1;
                    if self.takes(open + 2) {
                        (depth, inside) = (depth - 1, inside >> 1);
                    } else {
                        self.name(inside)?;
                        continue;
                    }
                }
                Some(b'"') => {
                    self.at += 1;
                    self.string()?;
                }
                Some(b't') => self.literal(b"true")?,
                Some(b'f') => self.literal(b"false")?,
                Some(b'n') => self.literal(b"null")?,
                _ => self.number()?,
            }
            while depth > 0 && !self.goes_on(if inside & 1 == 1 { b'}' } else { b']' })? {
                (depth, inside) = (depth - 1, inside >> 1);
            }
            if depth == 0 {
                return Ok(());
            }
            self.name(inside)?;
        }
    }

    /// Passes over the name of a field, where one must follow.
    fn name(&mut self, inside: u128) -> Result<(), BadField> {
        if inside & 1 == 1 {
            self.wants(b'"')?;
            self.string()?;
            self.wants(b':')?;
        }
        Ok(())
    }

    /// Passes over the rest of a string and notes it; whether it had escapes.
    fn string(&mut self) -> Result<bool, BadField> {
        let from = self.at;
        let mut escaped = false;
        // Most strings are short: for them a search costs more to begin than to make.
        let near = self.bytes.get(from..).unwrap_or_default().iter().take(SHORT);
        self.at += near.take_while(|byte| !matches!(byte, b'"' | b'\\')).count();
        loop {
            match self.bytes.get(self.at) {
                None => return Err(self.broken()),
                Some(b'"') => break,
                Some(b'\\') => {
                    escaped = true;
                    self.at += 1;
                    self.escape()?;
                }
                Some(_) => {
                    let rest = self.bytes.get(self.at..).unwrap_or_default();
                    self.at += memchr::memchr2(b'"', b'\\', rest).unwrap_or(rest.len());
                }
            }
        }
        let word = self.bytes.get(from..self.at).unwrap_or_default();
        if self.has_controls
            && let Some(bad) = word.iter().position(|byte| *byte < b' ')
        {
            self.at = from + bad;
            return Err(self.broken());
        }
        self.words.note(word);
        self.at += 1;
        Ok(escaped)
    }

    /// Passes over what stands behind a backslash.
    fn escape(&mut self) -> Result<(), BadField> {
        match self.bytes.get(self.at) {
            Some(b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't') => self.at += 1,
            Some(b'u') if self.bytes.get(self.at + 1..self.at + 5).is_some_and(is_hex) => self.at += 5,
            _ => return Err(self.broken()),
        }
        Ok(())
    }

    fn literal(&mut self, word: &[u8]) -> Result<(), BadField> {
        if !self.bytes.get(self.at..).is_some_and(|rest| rest.starts_with(word)) {
            return Err(self.broken());
        }
        self.at += word.len();
        Ok(())
    }

    fn number(&mut self) -> Result<(), BadField> {
        self.at += usize::from(self.bytes.get(self.at) == Some(&b'-'));
        if self.bytes.get(self.at) == Some(&b'0') {
            self.at += 1;
        } else {
            self.digits()?;
        }
        if self.bytes.get(self.at) == Some(&b'.') {
            self.at += 1;
            self.digits()?;
        }
        if matches!(self.bytes.get(self.at), Some(b'e' | b'E')) {
            self.at += 1;
            self.at += usize::from(matches!(self.bytes.get(self.at), Some(b'+' | b'-')));
            self.digits()?;
        }
        Ok(())
    }

    /// Passes over one digit or more.
    fn digits(&mut self) -> Result<(), BadField> {
        let from = self.at;
        while self.bytes.get(self.at).is_some_and(u8::is_ascii_digit) {
            self.at += 1;
        }
        if self.at == from { Err(self.broken()) } else { Ok(()) }
    }
}

fn is_hex(digits: &[u8]) -> bool {
    digits.iter().all(u8::is_ascii_hexdigit)
}

#[cfg(test)]
mod tests;
