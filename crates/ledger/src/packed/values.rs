//! The values of a row's fields as bytes: each behind its field's number, which tells its shape too, so that what a newer
//! version says more is passed over. What nobody filled is left out. Pure.

use crate::cell::{Cell, Field};
use crate::id::RequestId;
use crate::named::Named;
use crate::record::{Candidate, Mode, Name, Outcome, Portability, UsageSource};
use canon::wire::LossKind;
use canon::{FaultKind, Loss, StopReason};
use std::borrow::Cow;

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
    #[inline]
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

    #[inline]
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

/// Appends `bytes` as field `number`.
fn write_field(number: u8, bytes: &[u8], out: &mut Vec<u8>) {
    match u8::try_from(bytes.len()) {
        // most of them
        Ok(length) if number < 32 && length < 0x80 => {
            out.extend_from_slice(&[number << 2 | BYTES as u8, length]);
            out.extend_from_slice(bytes);
        }
        _ => {
            write_tag(number, BYTES, out);
            write_bytes(bytes, out);
        }
    }
}

/// A type that a field of the row may have, as the journal has it.
pub(crate) trait Packed: Sized {
    /// Appends it as field `number`, if anybody filled it.
    fn pack(&self, number: u8, out: &mut Vec<u8>);
    /// Reads it back. `None`: nobody understands it.
    fn unpack(value: Value<'_>) -> Option<Self>;
    /// It as a database holds it, without reading it back where that can be. `None`: nobody understands it.
    fn cell(value: Value<'_>) -> Option<Cell<'_>>;
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

    fn cell(value: Value<'_>) -> Option<Cell<'_>> {
        T::cell(value)
    }
}

impl Packed for Name {
    fn pack(&self, number: u8, out: &mut Vec<u8>) {
        write_field(number, self.as_bytes(), out);
    }

    fn unpack(value: Value<'_>) -> Option<Self> {
        let Value::Bytes(bytes) = value else { return None };
        std::str::from_utf8(bytes).ok().map(Self::from)
    }

    fn cell(value: Value<'_>) -> Option<Cell<'_>> {
        let Value::Bytes(bytes) = value else { return None };
        std::str::from_utf8(bytes).ok().map(|text| Cell::Text(Cow::Borrowed(text)))
    }
}

impl Packed for RequestId {
    fn pack(&self, number: u8, out: &mut Vec<u8>) {
        write_field(number, self.bytes(), out);
    }

    fn unpack(value: Value<'_>) -> Option<Self> {
        let Value::Bytes(bytes) = value else { return None };
        bytes.try_into().ok().map(Self::from_bytes)
    }

    fn cell(value: Value<'_>) -> Option<Cell<'_>> {
        Some(Cell::Text(Cow::Owned(Self::unpack(value)?.text())))
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

    fn cell(value: Value<'_>) -> Option<Cell<'_>> {
        Some(Cell::Integer(i64::from(Self::unpack(value)?)))
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

    fn cell(value: Value<'_>) -> Option<Cell<'_>> {
        Some(Cell::Real(Self::unpack(value)?))
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

    fn cell(value: Value<'_>) -> Option<Cell<'_>> {
        Some(Cell::Integer(Self::unpack(value)?))
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

            fn cell(value: Value<'_>) -> Option<Cell<'_>> {
                Some(Cell::Integer(i64::try_from(Self::unpack(value)?).unwrap_or(i64::MAX)))
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
                write_field(number, Named::name(*self).as_bytes(), out);
            }

            fn unpack(value: Value<'_>) -> Option<Self> {
                let Value::Bytes(bytes) = value else { return None };
                Named::named(std::str::from_utf8(bytes).ok()?)
            }

            fn cell(value: Value<'_>) -> Option<Cell<'_>> {
                let Value::Bytes(bytes) = value else { return None };
                std::str::from_utf8(bytes).ok().map(|text| Cell::Text(Cow::Borrowed(text)))
            }
        }
    )+};
}
names!(Mode, Outcome, UsageSource, Portability, StopReason, FaultKind);

/// What `value` is to a database, once what was read back is gone.
fn owned(value: &impl Field) -> Cell<'static> {
    match value.cell() {
        Cell::Text(text) => Cell::Text(Cow::Owned(text.into_owned())),
        Cell::Null => Cell::Null,
        Cell::Integer(number) => Cell::Integer(number),
        Cell::Real(number) => Cell::Real(number),
    }
}

/// Appends a list as field `number`; what `each` writes of an entry must say itself where it ends.
fn write_list<T>(list: &[T], number: u8, out: &mut Vec<u8>, mut each: impl FnMut(&T, &mut Vec<u8>)) {
    if list.is_empty() {
        return;
    }
    let mut packed = Vec::with_capacity(list.len() * 16);
    for one in list {
        each(one, &mut packed);
    }
    write_field(number, &packed, out);
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

    fn cell(value: Value<'_>) -> Option<Cell<'_>> {
        Some(owned(&Self::unpack(value)?))
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

    fn cell(value: Value<'_>) -> Option<Cell<'_>> {
        Some(owned(&Self::unpack(value)?))
    }
}
