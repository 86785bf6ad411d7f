//! A row as an entry of the journal: bytes, written and read by hand because every attempt pays for them twice. An entry
//! is `mark, length, sum, length of the kind's part, kind's part, own part`; a part is a row of values, each behind the
//! number of its field, and what nobody filled is left out. So fields may come and go between versions, an entry says
//! all of its row whatever stands before it, and whoever comes upon a damaged one finds the next whole one. Pure.

use crate::id::RequestId;
use crate::named::Named;
use crate::record::{Attempt, Candidate, Mode, Name, Outcome, Portability, RowKey, UsageSource};
use canon::wire::LossKind;
use canon::{FaultKind, Loss, StopReason};
use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};

/// Begins an entry; its last byte is the form's version.
const MARK: [u8; 4] = [0xB7, b'a', b'j', 1];

/// Mark, length of what follows these three, its sum, length of the kind's part.
const HEAD: usize = 16;

/// No entry is longer.
const LONGEST: usize = 16 << 20;

/// Appends `row` as an entry.
pub(crate) fn write(row: &Attempt, out: &mut Vec<u8>) {
    let start = out.len();
    out.extend_from_slice(&MARK);
    out.extend_from_slice(&[0; HEAD - MARK.len()]);
    row.pack_kind(out);
    let kind = out.len() - start - HEAD;
    row.pack_own(out);
    let length = |bytes: usize| u32::try_from(bytes).unwrap_or(u32::MAX).to_le_bytes();
    let Some(entry) = out.get_mut(start..) else { return };
    entry[12..HEAD].copy_from_slice(&length(kind));
    let all = length(entry.len() - HEAD);
    entry[4..8].copy_from_slice(&all);
    let sum = short_sum(&entry[12..]);
    entry[8..12].copy_from_slice(&sum.to_le_bytes());
}

/// An entry, not yet looked into.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Entry<'a> {
    /// The kind's part.
    pub(crate) kind: &'a [u8],
    own: &'a [u8],
    /// All of it.
    pub(crate) bytes: &'a [u8],
}

/// What stands at the beginning of some bytes.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum First<'a> {
    /// A whole entry.
    Whole(Entry<'a>),
    /// Too little to tell: what may be the beginning of an entry.
    Part,
    /// No entry.
    Noise,
}

/// What `bytes` begin with.
pub(crate) fn first(bytes: &[u8]) -> First<'_> {
    let Some(head) = bytes.first_chunk::<HEAD>() else {
        let known = bytes.len().min(MARK.len());
        return if bytes[..known] == MARK[..known] { First::Part } else { First::Noise };
    };
    let number = |at: usize| u32::from_le_bytes([head[at], head[at + 1], head[at + 2], head[at + 3]]);
    let (length, kind) = (number(4) as usize, number(12) as usize);
    if head[..4] != MARK || length > LONGEST || kind > length {
        return First::Noise;
    }
    let Some(entry) = bytes.get(..HEAD + length) else { return First::Part };
    if short_sum(&entry[12..]) != number(8) {
        return First::Noise;
    }
    let (kind, own) = entry[HEAD..].split_at(kind);
    First::Whole(Entry { kind, own, bytes: entry })
}

/// Where in `bytes` the first whole entry begins.
pub(crate) fn next_whole(bytes: &[u8]) -> Option<usize> {
    let marks = bytes.iter().enumerate().filter(|(_, byte)| **byte == MARK[0]);
    marks.map(|(at, _)| at).find(|at| matches!(first(&bytes[*at..]), First::Whole(_)))
}

impl Entry<'_> {
    /// Whose it is. `None`: nobody understands it.
    pub(crate) fn row_key(&self) -> Option<RowKey> {
        let mut values = Values::of(self.own);
        let (request, attempt) = (values.next()?, values.next()?);
        let known = request.0 == 1 && attempt.0 == 2;
        known.then(|| Some((Packed::unpack(request.1)?, Packed::unpack(attempt.1)?)))?
    }

    /// The row; `mould` is one that its kind's part was read into. `None`: nobody understands it.
    pub(crate) fn row(&self, mould: &Attempt) -> Option<Attempt> {
        let mut row = mould.clone();
        row.unpack(self.own)?;
        Some(row)
    }
}

/// Rows read into, by the kind's part of an entry.
#[derive(Debug, Default)]
pub(crate) struct Moulds(Known<Option<Attempt>>);

impl Moulds {
    /// The mould of `entry`'s kind. `None`: nobody understands it.
    pub(crate) fn of(&mut self, entry: &Entry<'_>) -> Option<&Attempt> {
        let read = || {
            let mut mould = Attempt::default();
            Ok::<_, std::convert::Infallible>(mould.unpack(entry.kind).map(|()| mould))
        };
        let Ok(mould) = self.0.get(entry.kind, read);
        mould.as_ref()
    }
}

/// What is known of kinds, by their packed parts. Bounded: where kinds are many, it begins again.
#[derive(Debug)]
pub(crate) struct Known<V>(HashMap<Box<[u8]>, V, BuildHasherDefault<Sum>>);

/// Most kinds that are known at a time: some ten megabytes.
const MOST_KNOWN: usize = 20_000;

impl<V> Default for Known<V> {
    fn default() -> Self {
        Self(HashMap::default())
    }
}

impl<V> Known<V> {
    /// What is known of `kind`, asked of `learn` where nothing is.
    ///
    /// # Errors
    /// What `learn` returns.
    pub(crate) fn get<E>(&mut self, kind: &[u8], learn: impl FnOnce() -> Result<V, E>) -> Result<&V, E> {
        if !self.0.contains_key(kind) {
            let learnt = learn()?;
            if self.0.len() >= MOST_KNOWN {
                self.0.clear();
            }
            self.0.insert(kind.into(), learnt);
        }
        Ok(&self.0[kind])
    }
}

/// The sum of some bytes, also as a hash of them: eight at a time.
#[derive(Debug, Default)]
pub(crate) struct Sum(u64);

impl Hasher for Sum {
    fn write(&mut self, bytes: &[u8]) {
        const FACTOR: u64 = 0x9E37_79B9_7F4A_7C15;
        let mut sum = self.0 ^ (bytes.len() as u64).wrapping_mul(FACTOR);
        let mut mix = |word: u64| {
            let wide = u128::from(sum ^ word).wrapping_mul(u128::from(FACTOR));
            sum = (wide as u64).rotate_left(29) ^ (wide >> 64) as u64;
        };
        let (words, rest) = bytes.as_chunks::<8>();
        for word in words {
            mix(u64::from_le_bytes(*word));
        }
        let mut last = [0; 8];
        last[..rest.len()].copy_from_slice(rest);
        mix(u64::from_le_bytes(last));
        self.0 = sum;
    }

    fn finish(&self) -> u64 {
        self.0
    }
}

fn short_sum(bytes: &[u8]) -> u32 {
    let mut sum = Sum::default();
    sum.write(bytes);
    (sum.0 ^ (sum.0 >> 32)) as u32
}

/// A value behind its field's number.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Value<'a> {
    Whole(u64),
    Real(f64),
    Bytes(&'a [u8]),
}

/// The values of a part, or what a list consists of.
#[derive(Debug)]
pub(crate) struct Values<'a> {
    rest: &'a [u8],
}

const WHOLE: u64 = 0;
const REAL: u64 = 1;
const BYTES: u64 = 2;

impl<'a> Values<'a> {
    pub(crate) const fn of(part: &'a [u8]) -> Self {
        Self { rest: part }
    }

    /// The next field's number and value; `None`: there is none, or nobody understands it.
    pub(crate) fn next(&mut self) -> Option<(u8, Value<'a>)> {
        let tag = self.whole()?;
        let value = match tag & 3 {
            WHOLE => Value::Whole(self.whole()?),
            REAL => {
                let (bytes, rest) = self.rest.split_first_chunk::<8>()?;
                self.rest = rest;
                Value::Real(f64::from_le_bytes(*bytes))
            }
            BYTES => Value::Bytes(self.bytes()?),
            _ => return None,
        };
        Some((u8::try_from(tag >> 2).ok()?, value))
    }

    /// Whether all was understood.
    pub(crate) const fn is_at_end(&self) -> bool {
        self.rest.is_empty()
    }

    fn whole(&mut self) -> Option<u64> {
        let (&first, rest) = self.rest.split_first()?;
        self.rest = rest;
        if first < 0x80 {
            return Some(u64::from(first));
        }
        let mut number = u64::from(first & 0x7F);
        for shift in (7..64).step_by(7) {
            let (&byte, rest) = self.rest.split_first()?;
            self.rest = rest;
            number |= u64::from(byte & 0x7F) << shift;
            if byte < 0x80 {
                return Some(number);
            }
        }
        None
    }

    fn bytes(&mut self) -> Option<&'a [u8]> {
        let length = usize::try_from(self.whole()?).ok()?;
        let (bytes, rest) = self.rest.split_at_checked(length)?;
        self.rest = rest;
        Some(bytes)
    }

    fn text(&mut self) -> Option<&'a str> {
        std::str::from_utf8(self.bytes()?).ok()
    }
}

fn write_whole(mut number: u64, out: &mut Vec<u8>) {
    while number >= 0x80 {
        out.push(number as u8 | 0x80);
        number >>= 7;
    }
    out.push(number as u8);
}

fn write_bytes(bytes: &[u8], out: &mut Vec<u8>) {
    write_whole(bytes.len() as u64, out);
    out.extend_from_slice(bytes);
}

fn write_tag(number: u8, shape: u64, out: &mut Vec<u8>) {
    write_whole(u64::from(number) << 2 | shape, out);
}

/// A type that a field of the row may have, as the journal has it.
pub(crate) trait Packed: Sized {
    /// Appends it as field `number`, if anybody filled it.
    fn pack(&self, number: u8, out: &mut Vec<u8>);
    /// Reads it back. `None`: nobody understands it.
    fn unpack(value: Value<'_>) -> Option<Self>;
}

impl<T: Packed> Packed for Option<T> {
    fn pack(&self, number: u8, out: &mut Vec<u8>) {
        if let Some(value) = self {
            value.pack(number, out);
        }
    }

    fn unpack(value: Value<'_>) -> Option<Self> {
        T::unpack(value).map(Some)
    }
}

impl Packed for Name {
    fn pack(&self, number: u8, out: &mut Vec<u8>) {
        write_tag(number, BYTES, out);
        write_bytes(self.as_bytes(), out);
    }

    fn unpack(value: Value<'_>) -> Option<Self> {
        let Value::Bytes(bytes) = value else { return None };
        std::str::from_utf8(bytes).ok().map(Self::from)
    }
}

impl Packed for RequestId {
    fn pack(&self, number: u8, out: &mut Vec<u8>) {
        write_tag(number, BYTES, out);
        write_bytes(self.bytes(), out);
    }

    fn unpack(value: Value<'_>) -> Option<Self> {
        let Value::Bytes(bytes) = value else { return None };
        bytes.try_into().ok().map(Self::from_bytes)
    }
}

/// Only truth is written.
impl Packed for bool {
    fn pack(&self, number: u8, out: &mut Vec<u8>) {
        if *self {
            write_tag(number, WHOLE, out);
            out.push(1);
        }
    }

    fn unpack(value: Value<'_>) -> Option<Self> {
        let Value::Whole(number) = value else { return None };
        Some(number != 0)
    }
}

impl Packed for f64 {
    fn pack(&self, number: u8, out: &mut Vec<u8>) {
        write_tag(number, REAL, out);
        out.extend_from_slice(&self.to_le_bytes());
    }

    fn unpack(value: Value<'_>) -> Option<Self> {
        let Value::Real(number) = value else { return None };
        Some(number)
    }
}

/// The sign last, so that small numbers are short on either side of zero.
impl Packed for i64 {
    fn pack(&self, number: u8, out: &mut Vec<u8>) {
        write_tag(number, WHOLE, out);
        write_whole((self.cast_unsigned() << 1) ^ (self >> 63).cast_unsigned(), out);
    }

    fn unpack(value: Value<'_>) -> Option<Self> {
        let Value::Whole(number) = value else { return None };
        Some((number >> 1).cast_signed() ^ -(number & 1).cast_signed())
    }
}

macro_rules! whole_numbers {
    ($($type:ty),+) => {$(
        impl Packed for $type {
            fn pack(&self, number: u8, out: &mut Vec<u8>) {
                write_tag(number, WHOLE, out);
                write_whole(u64::from(*self), out);
            }

            fn unpack(value: Value<'_>) -> Option<Self> {
                let Value::Whole(number) = value else { return None };
                Self::try_from(number).ok()
            }
        }
    )+};
}
whole_numbers!(u16, u32, u64);

/// By name: names survive a re-ordered enum.
macro_rules! names {
    ($($type:ty),+) => {$(
        impl Packed for $type {
            fn pack(&self, number: u8, out: &mut Vec<u8>) {
                write_tag(number, BYTES, out);
                write_bytes(Named::name(*self).as_bytes(), out);
            }

            fn unpack(value: Value<'_>) -> Option<Self> {
                let Value::Bytes(bytes) = value else { return None };
                Named::named(std::str::from_utf8(bytes).ok()?)
            }
        }
    )+};
}
names!(Mode, Outcome, UsageSource, Portability, StopReason, FaultKind);

/// Appends a list as field `number`; what `each` writes of an entry must say itself where it ends.
fn write_list<T>(list: &[T], number: u8, out: &mut Vec<u8>, mut each: impl FnMut(&T, &mut Vec<u8>)) {
    if list.is_empty() {
        return;
    }
    let mut packed = Vec::with_capacity(list.len() * 16);
    for one in list {
        each(one, &mut packed);
    }
    write_tag(number, BYTES, out);
    write_bytes(&packed, out);
}

fn read_list<T>(value: Value<'_>, mut each: impl FnMut(&mut Values<'_>) -> Option<T>) -> Option<Vec<T>> {
    let Value::Bytes(packed) = value else { return None };
    let (mut values, mut list) = (Values::of(packed), Vec::new());
    while !values.is_at_end() {
        list.push(each(&mut values)?);
    }
    Some(list)
}

/// Without their scores.
impl Packed for Vec<Candidate> {
    fn pack(&self, number: u8, out: &mut Vec<u8>) {
        write_list(self, number, out, |candidate, out| {
            write_bytes(candidate.deployment.as_bytes(), out);
            out.push(u8::from(candidate.dropped.is_some()));
            if let Some(reason) = &candidate.dropped {
                write_bytes(reason.as_bytes(), out);
            }
        });
    }

    fn unpack(value: Value<'_>) -> Option<Self> {
        read_list(value, |values| {
            let deployment = values.text()?.into();
            let dropped = if values.whole()? == 0 { None } else { Some(values.text()?.into()) };
            Some(Candidate { deployment, dropped, score: None })
        })
    }
}

/// The bits of a score that is none: no calculation gives this one.
const NO_SCORE: u64 = u64::MAX;

/// The scores of `candidates`, eight bytes each; nothing: none has any.
pub(crate) fn scores(candidates: &[Candidate], out: &mut Vec<u8>) {
    if candidates.iter().any(|candidate| candidate.score.is_some()) {
        for candidate in candidates {
            out.extend_from_slice(&candidate.score.map_or(NO_SCORE, f64::to_bits).to_le_bytes());
        }
    }
}

/// Gives `candidates` the scores that `scores` wrote. `None`: they are not theirs.
pub(crate) fn set_scores(candidates: &mut [Candidate], bytes: &[u8]) -> Option<()> {
    let (scores, rest) = bytes.as_chunks::<8>();
    let theirs = rest.is_empty() && scores.len() == candidates.len();
    theirs.then_some(())?;
    for (candidate, score) in candidates.iter_mut().zip(scores) {
        let bits = u64::from_le_bytes(*score);
        candidate.score = (bits != NO_SCORE).then_some(f64::from_bits(bits));
    }
    Some(())
}

pub(crate) fn pack_scores(candidates: &[Candidate], number: u8, out: &mut Vec<u8>) {
    if candidates.iter().any(|candidate| candidate.score.is_some()) {
        write_tag(number, BYTES, out);
        write_whole(candidates.len() as u64 * 8, out);
        scores(candidates, out);
    }
}

pub(crate) fn unpack_scores(candidates: &mut [Candidate], value: Value<'_>) -> Option<()> {
    let Value::Bytes(bytes) = value else { return None };
    set_scores(candidates, bytes)
}

impl Packed for Vec<Loss> {
    fn pack(&self, number: u8, out: &mut Vec<u8>) {
        write_list(self, number, out, |loss, out| {
            write_bytes(loss.path.as_bytes(), out);
            write_bytes(Named::name(loss.what).as_bytes(), out);
        });
    }

    fn unpack(value: Value<'_>) -> Option<Self> {
        read_list(value, |values| {
            Some(Loss { path: values.text()?.to_owned(), what: LossKind::named(values.text()?)? })
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::suite;

    fn packed(row: &Attempt) -> Vec<u8> {
        let mut bytes = Vec::new();
        write(row, &mut bytes);
        bytes
    }

    fn read(bytes: &[u8]) -> Option<Attempt> {
        let First::Whole(entry) = first(bytes) else { return None };
        let row = entry.row(Moulds::default().of(&entry)?)?;
        assert_eq!(entry.row_key(), Some(row.row_key()));
        assert_eq!(entry.bytes, bytes);
        Some(row)
    }

    #[test]
    fn a_row_comes_back() {
        let full = suite::sample(1);
        let odd = Attempt {
            candidates: vec![Candidate { deployment: "".into(), dropped: Some("".into()), score: None }; 2],
            losses: Vec::new(),
            cost_nanodollars: Some(i64::MIN),
            input_tokens: Some(u64::MAX),
            score: Some(-1.5e-9),
            started: -1,
            key: Some("line\nbreak \\ \" \u{2603}".into()),
            capture: Some("x".repeat(300).into()),
            ..full.clone()
        };
        for row in [full, odd, Attempt::default(), Attempt::new(RequestId::new(1, 2), u32::MAX, i64::MAX)] {
            assert_eq!(read(&packed(&row)), Some(row));
        }
    }

    #[test]
    fn rows_of_one_kind_are_told_from_others() {
        let kind = |row: &Attempt| {
            let mut bytes = Vec::new();
            row.pack_kind(&mut bytes);
            bytes
        };
        let row = suite::sample(3);
        let mut scored = Attempt { input_tokens: Some(1), key: None, started: 9, losses: Vec::new(), ..row.clone() };
        scored.candidates[0].score = None;
        assert_eq!(kind(&scored), kind(&row));
        assert_ne!(kind(&Attempt { team: None, ..row.clone() }), kind(&row));
        assert_ne!(kind(&Attempt { candidates: Vec::new(), ..row.clone() }), kind(&row));
    }

    #[test]
    fn a_part_is_no_entry_and_any_changed_byte_is_seen() {
        let whole = packed(&suite::sample(3));
        for end in 0..whole.len() {
            assert_eq!(first(&whole[..end]), First::Part, "{end}");
        }
        for at in 0..whole.len() {
            let mut changed = whole.clone();
            changed[at] ^= 0x10;
            assert!(!matches!(first(&changed), First::Whole(_)), "{at}");
        }
        assert_eq!(first(b"{\"request_id\":"), First::Noise);
        assert_eq!(first(b"what is this, and how did it come here?"), First::Noise);
    }

    #[test]
    fn the_next_whole_entry_is_found_behind_anything() {
        let whole = packed(&suite::sample(3));
        for before in [&b"noise"[..], &whole[..40], &whole[..whole.len() - 1], &MARK, &[0; 50]] {
            let bytes = [before, &whole, &whole].concat();
            assert_eq!(next_whole(&bytes), Some(before.len()));
        }
        assert_eq!(next_whole(&whole[1..]), None);
    }

    #[test]
    fn what_a_newer_version_says_more_is_passed_over() {
        let row = suite::sample(2);
        let (mut kind, mut own) = (Vec::new(), Vec::new());
        row.pack_kind(&mut kind);
        row.pack_own(&mut own);
        for (part, number) in [(&mut kind, 61), (&mut own, 200)] {
            Name::from("later").pack(number, part);
            7_u64.pack(number, part);
            0.5_f64.pack(number, part);
        }
        let mut read = Attempt::default();
        assert_eq!((read.unpack(&kind), read.unpack(&own)), (Some(()), Some(())));
        assert_eq!(read, row);
        assert_eq!(read.unpack(&own[..own.len() - 1]), None);
    }
}
