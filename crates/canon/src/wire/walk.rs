//! One pass over JSON in place: it is checked, the fields or items of its top level are told apart, and the words below
//! them are noted, so that asking for one costs nothing where it is not there. Whoever needs more than the top level walks
//! along, so that no byte is passed over twice. No tree, no copy, no recursion: however deep a stranger nests, the stack
//! stays.

use crate::fields::BadField;
use crate::json::is_plain;
use std::borrow::Cow;

/// Deepest nesting that is taken: that of the full reader, which follows.
pub(super) const DEEPEST: u32 = 127;

/// Longest string that is noted as a word; longer ones are content.
const LONGEST_WORD: usize = 32;

/// Bytes of a string that are looked at in one go.
const BLOCK: usize = 32;

/// Words of a string that are looked at one by one before it is held to be long.
const NEAR: usize = 3;

/// Bytes in a machine word.
const WORD: usize = size_of::<u64>();

/// Strings that stand somewhere in a value, as far as one may ask for them: some that do not may look as if.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Words([u64; 4]);

impl Words {
    fn note(&mut self, word: &[u8]) {
        if word.len() <= LONGEST_WORD {
            let (cell, bit) = Self::place(word);
            self.0[cell] |= bit;
        }
    }

    /// Whether `word` may stand there. `false` is sure.
    pub(crate) fn may_hold(&self, word: &[u8]) -> bool {
        let (cell, bit) = Self::place(word);
        word.len() > LONGEST_WORD || self.0[cell] & bit != 0
    }

    /// Where a word is noted.
    fn place(word: &[u8]) -> (usize, u64) {
        let at = |index: usize| word.get(index).map_or(0, |byte| usize::from(*byte));
        let sum = word.len() * 7 + at(0) * 31 + at(word.len() / 2) * 5 + at(word.len().wrapping_sub(1)) * 13;
        (sum / 64 % 4, 1 << (sum % 64))
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
    mut see: impl FnMut(&str, Piece<'a>) -> Result<(), BadField>,
) -> Result<(), BadField> {
    along(text, |key, walk| see(key, walk.piece()?))
}

/// Calls `see` with the key of every field of the object that `text` is, and the walk before its value. `see` may pass
/// over the value, or into it; where it does nothing, the value is passed over for it.
///
/// # Errors
/// When `text` is no JSON object, or `see` refuses something.
pub(crate) fn along<'a>(
    text: &'a str,
    see: impl FnMut(&str, &mut Walk<'a>) -> Result<(), BadField>,
) -> Result<(), BadField> {
    let mut walk = Walk::new(text);
    walk.object(see)?;
    walk.ends()
}

/// Calls `see` with every item of the list that `piece` is.
///
/// # Errors
/// When it is no JSON list, or `see` refuses something.
pub(crate) fn items<'a>(
    piece: &Piece<'a>,
    mut see: impl FnMut(Piece<'a>) -> Result<(), BadField>,
) -> Result<(), BadField> {
    let mut walk = Walk::new(piece.raw);
    walk.list(|walk| see(walk.piece()?))?;
    walk.ends()
}

/// A place in a text on the way over it.
pub(crate) struct Walk<'a> {
    text: &'a str,
    bytes: &'a [u8],
    at: usize,
    /// Objects and lists that were gone into.
    depth: u32,
    words: Words,
}

impl<'a> Walk<'a> {
    fn new(text: &'a str) -> Self {
        Self { text, bytes: text.as_bytes(), at: 0, depth: 0, words: Words::default() }
    }

    /// Whether `byte` follows, white space aside.
    pub(crate) fn begins(&mut self, byte: u8) -> bool {
        self.next() == Some(byte)
    }

    /// Where it stands, behind white space.
    pub(crate) fn place(&mut self) -> usize {
        self.next();
        self.at
    }

    /// What was passed over since `from`, which [`Walk::place`] gave.
    pub(crate) fn since(&self, from: usize) -> &'a str {
        self.text.get(from..self.at).unwrap_or_default()
    }

    /// Goes over an object; `see` as in [`along`].
    ///
    /// # Errors
    /// When no object follows, or `see` refuses something.
    pub(crate) fn object(
        &mut self,
        mut see: impl FnMut(&str, &mut Self) -> Result<(), BadField>,
    ) -> Result<(), BadField> {
        self.enter(b'{', "must be a JSON object")?;
        let mut more = !self.takes(b'}');
        while more {
            let key = self.key()?;
            self.over(|walk| see(&key, walk))?;
            more = self.goes_on(b'}')?;
        }
        self.depth -= 1;
        Ok(())
    }

    /// Goes over a list; `see` is called before every item, and may pass over it or into it.
    ///
    /// # Errors
    /// When no list follows, or `see` refuses something.
    pub(crate) fn list(&mut self, mut see: impl FnMut(&mut Self) -> Result<(), BadField>) -> Result<(), BadField> {
        self.enter(b'[', "must be a JSON list")?;
        let mut more = !self.takes(b']');
        while more {
            self.over(&mut see)?;
            more = self.goes_on(b']')?;
        }
        self.depth -= 1;
        Ok(())
    }

    /// Passes over any value.
    ///
    /// # Errors
    /// When none follows.
    pub(crate) fn piece(&mut self) -> Result<Piece<'a>, BadField> {
        self.words = Words::default();
        let at = self.place();
        self.value()?;
        Ok(Piece { raw: self.since(at), at, words: self.words })
    }

    /// Passes over a value with `see`, or without it where it does not.
    fn over(&mut self, see: impl FnOnce(&mut Self) -> Result<(), BadField>) -> Result<(), BadField> {
        let from = self.place();
        see(self)?;
        if self.at == from { self.value() } else { Ok(()) }
    }

    fn enter(&mut self, open: u8, otherwise: &str) -> Result<(), BadField> {
        if !self.takes(open) {
            return Err(BadField::new("body", otherwise));
        }
        self.depth += 1;
        if self.depth > DEEPEST { Err(too_deep()) } else { Ok(()) }
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

    /// Passes over a value, however deep. `inside` has a bit for each level below the top: 1 for an object.
    fn value(&mut self) -> Result<(), BadField> {
        let (mut depth, mut inside) = (self.depth, 0_u128);
        loop {
            match self.next() {
                Some(open @ (b'{' | b'[')) => {
                    depth += 1;
                    if depth > DEEPEST {
                        return Err(too_deep());
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
            while depth > self.depth && !self.goes_on(if inside & 1 == 1 { b'}' } else { b']' })? {
                (depth, inside) = (depth - 1, inside >> 1);
            }
            if depth == self.depth {
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
        loop {
            self.plain();
            match self.bytes.get(self.at) {
                Some(b'"') => break,
                Some(b'\\') => {
                    escaped = true;
                    self.at += 1;
                    self.escape()?;
                }
                _ => return Err(self.broken()),
            }
        }
        self.words.note(self.bytes.get(from..self.at).unwrap_or_default());
        self.at += 1;
        Ok(escaped)
    }

    /// Passes over what means nothing in a string but itself: most strings are short, and what is long is passed over
    /// many bytes at a time.
    fn plain(&mut self) {
        for _ in 0..NEAR {
            if self.plain_word() {
                return;
            }
        }
        let (blocks, _) = self.bytes.get(self.at..).unwrap_or_default().as_chunks::<BLOCK>();
        self.at += blocks.iter().take_while(|block| is_plain(block)).count() * BLOCK;
        while !self.plain_word() {}
    }

    /// Passes over as much of the next few bytes; whether that is all.
    fn plain_word(&mut self) -> bool {
        let rest = self.bytes.get(self.at..).unwrap_or_default();
        let Some(word) = rest.first_chunk::<WORD>() else {
            self.at += rest.iter().take_while(|byte| is_plain(&[**byte])).count();
            return true;
        };
        let marked = marks(u64::from_le_bytes(*word));
        self.at += marked.trailing_zeros() as usize / 8;
        marked != 0
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

fn too_deep() -> BadField {
    BadField::new("body", format!("is nested more than {DEEPEST} levels deep"))
}

/// Marks at least the first byte of `word` that ends a string, begins an escape or may stand in no string; none where
/// there is no such byte.
const fn marks(word: u64) -> u64 {
    const ONES: u64 = u64::MAX / 255;
    const HIGHS: u64 = ONES << 7;
    // A byte that is smaller than what is taken from it borrows its high bit; bytes above one may be marked without cause.
    const fn below(word: u64, least: u8) -> u64 {
        word.wrapping_sub(ONES * least as u64) & !word
    }
    let (quotes, escapes) = (word ^ (ONES * b'"' as u64), word ^ (ONES * b'\\' as u64));
    (below(word, b' ') | below(quotes, 1) | below(escapes, 1)) & HIGHS
}

fn is_hex(digits: &[u8]) -> bool {
    digits.iter().all(u8::is_ascii_hexdigit)
}

#[cfg(test)]
mod tests;
