//! A row as an entry of the journal: bytes, written and read by hand because every attempt pays for them twice. An entry
//! is `mark, length, sum, length of the kind's part, kind's part, own part`; a part is a row of values, each behind the
//! number of its field, and what nobody filled is left out. So fields may come and go between versions, an entry says
//! all of its row whatever stands before it, and whoever comes upon a damaged one finds the next whole one. Pure.

mod values;

pub(crate) use values::{Packed, Value, Values, pack_scores, set_scores, unpack_scores};

use crate::cell::Mismatch;
use crate::record::{Attempt, RowKey};
use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};
use std::ops::Range;
use std::sync::Arc;

/// Begins an entry; its last byte is the form's version.
const MARK: [u8; 4] = [0xB7, b'a', b'j', 1];

/// Mark, length of what follows this, sum of that.
const MARKED: usize = 12;

/// These, and the length of the kind's part.
const HEAD: usize = MARKED + 4;

/// No entry is longer.
const LONGEST: usize = 16 << 20;

/// Appends `row` as an entry.
pub(crate) fn write(row: &Attempt, out: &mut Vec<u8>) {
    let start = out.len();
    out.reserve(1_024);
    out.extend_from_slice(&MARK);
    out.extend_from_slice(&[0; HEAD - MARK.len()]);
    row.pack_kind(out);
    let kind = out.len() - start - HEAD;
    row.pack_own(out);
    let length = |bytes: usize| u32::try_from(bytes).unwrap_or(u32::MAX).to_le_bytes();
    let Some(entry) = out.get_mut(start..) else { return };
    entry[MARKED..HEAD].copy_from_slice(&length(kind));
    let all = length(entry.len() - MARKED);
    entry[4..8].copy_from_slice(&all);
    let sum = short_sum(&entry[MARKED..]);
    entry[8..12].copy_from_slice(&sum.to_le_bytes());
}

/// An entry, not yet looked into.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Entry<'a> {
    /// The kind's part.
    pub(crate) kind: &'a [u8],
    /// The row's own part.
    pub(crate) own: &'a [u8],
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
    if head[..4] != MARK || length > LONGEST || HEAD + kind > MARKED + length {
        return First::Noise;
    }
    let Some(entry) = bytes.get(..MARKED + length) else { return First::Part };
    if short_sum(&entry[MARKED..]) != number(8) {
        return First::Noise;
    }
    First::Whole(parts(entry))
}

/// An entry, which is known to be whole.
fn parts(entry: &[u8]) -> Entry<'_> {
    let kind = u32::from_le_bytes([entry[12], entry[13], entry[14], entry[15]]) as usize;
    let (kind, own) = entry[HEAD..].split_at(kind);
    Entry { kind, own, bytes: entry }
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

/// Rows as the journal has them, on their way to a store.
#[derive(Debug, Default)]
pub struct Entries {
    bytes: Vec<u8>,
    rows: Vec<(RowKey, Range<usize>)>,
}

impl Entries {
    /// The entries of `rows`.
    #[must_use]
    pub fn of<'a>(rows: impl IntoIterator<Item = &'a Attempt>) -> Self {
        let mut entries = Self::default();
        for row in rows {
            let start = entries.bytes.len();
            write(row, &mut entries.bytes);
            entries.rows.push((row.row_key(), start..entries.bytes.len()));
        }
        entries
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.rows.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// Takes the entry of `key` in.
    pub(crate) fn push(&mut self, key: RowKey, entry: &Entry<'_>) {
        let start = self.bytes.len();
        self.bytes.extend_from_slice(entry.bytes);
        self.rows.push((key, start..self.bytes.len()));
    }

    pub(crate) fn clear(&mut self) {
        self.bytes.clear();
        self.rows.clear();
    }

    /// Each with its key, those of equal keys in the order in which they came.
    pub(crate) fn sorted(&self) -> Vec<(RowKey, Entry<'_>)> {
        let mut sorted: Vec<_> = self.rows.iter().collect();
        sorted.sort_by_key(|(key, _)| *key);
        sorted.into_iter().map(|(key, range)| (*key, parts(&self.bytes[range.clone()]))).collect()
    }
}

/// An entry whose parts nobody understands, though its sum is right.
pub(crate) const NOT_UNDERSTOOD: Mismatch = Mismatch("an entry of the journal");

/// Rows read into, by the kind's part of an entry.
#[derive(Debug, Default)]
pub(crate) struct Moulds(Known<Option<Arc<Attempt>>>);

impl Moulds {
    /// The mould of `entry`'s kind. `None`: nobody understands it.
    pub(crate) fn of(&mut self, entry: &Entry<'_>) -> Option<Arc<Attempt>> {
        let read = || {
            let mut mould = Attempt::default();
            Ok::<_, std::convert::Infallible>(mould.unpack(entry.kind).map(|()| mould.into()))
        };
        let Ok(mould) = self.0.get(entry.kind, read);
        mould
    }
}

/// What is known of kinds, by their packed parts. Bounded: where kinds are many, those that were not met for long are
/// forgotten.
#[derive(Debug)]
pub(crate) struct Known<V> {
    young: HashMap<Box<[u8]>, V, BuildHasherDefault<Sum>>,
    old: HashMap<Box<[u8]>, V, BuildHasherDefault<Sum>>,
}

/// Most kinds of one age: some ten megabytes.
const MOST_KNOWN: usize = 20_000;

impl<V> Default for Known<V> {
    fn default() -> Self {
        Self { young: HashMap::default(), old: HashMap::default() }
    }
}

impl<V: Clone> Known<V> {
    /// What is known of `kind`, asked of `learn` where nothing is.
    ///
    /// # Errors
    /// What `learn` returns.
    pub(crate) fn get<E>(&mut self, kind: &[u8], learn: impl FnOnce() -> Result<V, E>) -> Result<V, E> {
        if let Some(known) = self.young.get(kind) {
            return Ok(known.clone());
        }
        let (kind, known) = match self.old.remove_entry(kind) {
            Some(found) => found,
            None => (kind.into(), learn()?),
        };
        if self.young.len() >= MOST_KNOWN {
            self.old = std::mem::take(&mut self.young);
        }
        self.young.insert(kind, known.clone());
        Ok(known)
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::RequestId;
    use crate::record::{Candidate, Name};
    use crate::suite;

    fn packed(row: &Attempt) -> Vec<u8> {
        let mut bytes = Vec::new();
        write(row, &mut bytes);
        bytes
    }

    fn read(bytes: &[u8]) -> Option<Attempt> {
        let First::Whole(entry) = first(bytes) else { return None };
        let row = entry.row(&*Moulds::default().of(&entry)?)?;
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
