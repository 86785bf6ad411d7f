//! A line of the journal: one row as JSON, written and read by hand because every request pays for it twice. What stands
//! here is what serde would write; a line that is spelled in another way (an older version's, one with escapes) is left
//! to serde. Pure.

use crate::id::RequestId;
use crate::named::Named;
use crate::record::{Candidate, Mode, Name, Outcome, Portability, UsageSource};
use canon::{FaultKind, Loss, StopReason};

/// A type that a field of the row may have, in the journal's own spelling.
pub(crate) trait Lined: Sized {
    /// Appends its JSON.
    fn write(&self, out: &mut Vec<u8>);
    /// Reads it back; `last` is what the same field said in an earlier line. `None`: spelled in another way.
    fn read(line: &mut Cursor<'_>, last: &mut Option<Name>) -> Option<Self>;
}

/// A place in a line.
#[derive(Debug)]
pub(crate) struct Cursor<'a> {
    rest: &'a [u8],
    /// Whether a field must follow.
    owes: bool,
}

impl<'a> Cursor<'a> {
    /// The first field of an object.
    pub(crate) fn of(line: &'a [u8]) -> Option<Self> {
        Some(Self { rest: line.strip_prefix(b"{")?, owes: false })
    }

    /// Goes behind `key` (quotes and colon included) if it stands next.
    pub(crate) fn at(&mut self, key: &[u8]) -> bool {
        let Some(rest) = self.rest.strip_prefix(key) else { return false };
        self.rest = rest;
        true
    }

    /// The value of the field `key` if it stands next; `Some(None)`: another one does.
    pub(crate) fn field<T: Lined>(&mut self, key: &[u8], last: &mut Option<Name>) -> Option<Option<T>> {
        if !self.at(key) {
            return Some(None);
        }
        let value = T::read(self, last)?;
        self.owes = self.at(b",");
        Some(Some(value))
    }

    /// Whether the object ends here, and with it the line.
    pub(crate) fn is_at_end(&self) -> bool {
        !self.owes && self.rest == b"}"
    }

    fn text(&mut self) -> Option<&'a str> {
        let inside = self.rest.strip_prefix(b"\"")?;
        let end = inside.iter().position(|&byte| byte == b'"' || byte == b'\\')?;
        let (text, rest) = inside.split_at(end);
        self.rest = rest.strip_prefix(b"\"")?;
        std::str::from_utf8(text).ok()
    }

    fn number(&mut self) -> &'a str {
        let is_of_number = |byte: &u8| byte.is_ascii_digit() || matches!(byte, b'-' | b'+' | b'.' | b'e' | b'E');
        let end = self.rest.iter().position(|byte| !is_of_number(byte)).unwrap_or(self.rest.len());
        let (number, rest) = self.rest.split_at(end);
        self.rest = rest;
        std::str::from_utf8(number).unwrap_or_default()
    }
}

/// Appends `text` as JSON.
fn write_text(text: &str, out: &mut Vec<u8>) {
    if text.bytes().any(|byte| byte < 0x20 || byte == b'"' || byte == b'\\') {
        return by_serde(text, out);
    }
    out.push(b'"');
    out.extend_from_slice(text.as_bytes());
    out.push(b'"');
}

/// Appends what serde writes; none of the types that come here can fail.
fn by_serde<T: serde::Serialize + ?Sized>(value: &T, out: &mut Vec<u8>) {
    let before = out.len();
    if sonic_rs::to_writer(&mut *out, value).is_err() {
        out.truncate(before);
        out.extend_from_slice(b"null");
    }
}

fn write_digits(mut number: u64, out: &mut Vec<u8>) {
    let mut digits = [0_u8; 20];
    let mut from = digits.len();
    for place in digits.iter_mut().rev() {
        *place = b'0' + u8::try_from(number % 10).unwrap_or_default();
        number /= 10;
        from -= 1;
        if number == 0 {
            break;
        }
    }
    out.extend_from_slice(digits.get(from..).unwrap_or_default());
}

impl<T: Lined> Lined for Option<T> {
    fn write(&self, out: &mut Vec<u8>) {
        match self {
            Some(value) => value.write(out),
            None => out.extend_from_slice(b"null"),
        }
    }

    fn read(line: &mut Cursor<'_>, last: &mut Option<Name>) -> Option<Self> {
        if line.at(b"null") { Some(None) } else { T::read(line, last).map(Some) }
    }
}

impl Lined for Name {
    fn write(&self, out: &mut Vec<u8>) {
        write_text(self, out);
    }

    fn read(line: &mut Cursor<'_>, last: &mut Option<Name>) -> Option<Self> {
        let text = line.text()?;
        match last {
            // most lines say what the one before said
            Some(last) if **last == *text => Some(Self::clone(last)),
            _ => {
                let name = Self::from(text);
                *last = Some(Self::clone(&name));
                Some(name)
            }
        }
    }
}

impl Lined for RequestId {
    fn write(&self, out: &mut Vec<u8>) {
        out.push(b'"');
        out.extend_from_slice(&self.signs());
        out.push(b'"');
    }

    fn read(line: &mut Cursor<'_>, _last: &mut Option<Name>) -> Option<Self> {
        line.text()?.parse().ok()
    }
}

impl Lined for bool {
    fn write(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(if *self { b"true" } else { b"false" });
    }

    fn read(line: &mut Cursor<'_>, _last: &mut Option<Name>) -> Option<Self> {
        if line.at(b"true") { Some(true) } else { line.at(b"false").then_some(false) }
    }
}

impl Lined for f64 {
    fn write(&self, out: &mut Vec<u8>) {
        by_serde(self, out);
    }

    fn read(line: &mut Cursor<'_>, _last: &mut Option<Name>) -> Option<Self> {
        line.number().parse().ok()
    }
}

impl Lined for i64 {
    fn write(&self, out: &mut Vec<u8>) {
        if *self < 0 {
            out.push(b'-');
        }
        write_digits(self.unsigned_abs(), out);
    }

    fn read(line: &mut Cursor<'_>, _last: &mut Option<Name>) -> Option<Self> {
        line.number().parse().ok()
    }
}

macro_rules! whole_numbers {
    ($($type:ty),+) => {$(
        impl Lined for $type {
            fn write(&self, out: &mut Vec<u8>) {
                write_digits(u64::from(*self), out);
            }

            fn read(line: &mut Cursor<'_>, _last: &mut Option<Name>) -> Option<Self> {
                line.number().parse().ok()
            }
        }
    )+};
}
whole_numbers!(u16, u32, u64);

macro_rules! names {
    ($($type:ty),+) => {$(
        impl Lined for $type {
            fn write(&self, out: &mut Vec<u8>) {
                write_text(Named::name(*self), out);
            }

            fn read(line: &mut Cursor<'_>, _last: &mut Option<Name>) -> Option<Self> {
                Named::named(line.text()?)
            }
        }
    )+};
}
names!(Mode, Outcome, UsageSource, Portability, StopReason, FaultKind);

impl Lined for Vec<Candidate> {
    fn write(&self, out: &mut Vec<u8>) {
        out.push(b'[');
        for (at, Candidate { deployment, dropped, score }) in self.iter().enumerate() {
            out.extend_from_slice(if at == 0 { b"{\"deployment\":" } else { b",{\"deployment\":" });
            deployment.write(out);
            out.extend_from_slice(b",\"dropped\":");
            dropped.write(out);
            out.extend_from_slice(b",\"score\":");
            score.write(out);
            out.push(b'}');
        }
        out.push(b']');
    }

    fn read(line: &mut Cursor<'_>, last: &mut Option<Name>) -> Option<Self> {
        let mut list = Self::new();
        if !line.at(b"[") {
            return None;
        }
        while !line.at(b"]") {
            let known = list.is_empty() || line.at(b",");
            let deployment = (known && line.at(b"{\"deployment\":")).then(|| Name::read(line, last))??;
            let dropped = line.at(b",\"dropped\":").then(|| Lined::read(line, &mut None))??;
            let score = line.at(b",\"score\":").then(|| Lined::read(line, &mut None))??;
            list.push(Candidate { deployment, dropped, score });
            line.at(b"}").then_some(())?;
        }
        Some(list)
    }
}

impl Lined for Vec<Loss> {
    fn write(&self, out: &mut Vec<u8>) {
        by_serde(&crate::cell::losses::Written(self), out);
    }

    /// Losses are rare; serde reads them.
    fn read(_line: &mut Cursor<'_>, _last: &mut Option<Name>) -> Option<Self> {
        None
    }
}

#[cfg(test)]
mod tests {
    use crate::record::{Attempt, Candidate, Lasts};
    use crate::suite;

    fn same(row: &Attempt, by_hand: bool) {
        let mut line = Vec::new();
        row.write(&mut line);
        assert_eq!(String::from_utf8_lossy(&line), sonic_rs::to_string(row).unwrap());
        let mut lasts = Lasts::default();
        for _ in 0..2 {
            assert_eq!(Attempt::read_by_hand(&line, &mut lasts).as_ref(), by_hand.then_some(row));
            assert_eq!(Attempt::read(&line, &mut lasts).as_ref(), Some(row));
        }
    }

    #[test]
    fn a_line_is_what_serde_makes_of_it() {
        same(&Attempt::default(), true);
        // names with quotes, and losses: written alike, read by serde
        same(&suite::sample(1), false);
        let plain = Attempt {
            candidates: vec![
                Candidate { deployment: "a".into(), dropped: None, score: Some(0.1) },
                Candidate { deployment: "\u{2603}".into(), dropped: Some("no-tools".into()), score: None },
            ],
            losses: Vec::new(),
            cost_nanodollars: Some(i64::MIN),
            input_tokens: Some(u64::MAX),
            score: Some(-1.5e-9),
            ..suite::sample(2)
        };
        same(&plain, true);
        same(&Attempt { key: Some("line\nbreak \\ \"".into()), ..plain }, false);
    }

    #[test]
    fn other_spellings_are_left_to_serde_and_no_line_breaks_it() {
        let mut line = Vec::new();
        suite::sample(3).write(&mut line);
        let mut lasts = Lasts::default();
        let spaced = String::from_utf8(line.clone()).unwrap().replace(",\"attempt\":", ", \"attempt\" : ");
        assert_eq!(Attempt::read(spaced.as_bytes(), &mut lasts), Some(suite::sample(3)));
        for end in 0..line.len() {
            assert_eq!(Attempt::read(&line[..end], &mut lasts), None);
        }
        for bad in
            ["{\"attempt\":1,}", "{\"attempt\":1,,\"outcome\":\"ok\"}", "{\"attempt\":}", "{}x", "{\"attempt\":+}"]
        {
            assert_eq!(Attempt::read(bad.as_bytes(), &mut lasts), None, "{bad}");
        }
    }
}
