//! Reads one member out of a ZIP archive whose hash was checked before. Enough for a wheel: stored or deflated
//! members below 4 GB, no encryption. A malformed archive is an error, never a panic.

use flate2::read::DeflateDecoder;
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::Path;

const END: &[u8] = b"PK\x05\x06";
const ENTRY: &[u8] = b"PK\x01\x02";
const LOCAL: &[u8] = b"PK\x03\x04";
/// The end record without its comment, and a comment's greatest length.
const END_SIZE: u64 = 22;
const COMMENT: u64 = 0xffff;

/// Writes `member` of `archive` to `out`.
pub(super) fn extract(archive: &Path, member: &str, out: &mut impl Write) -> io::Result<u64> {
    let mut file = File::open(archive)?;
    let entry = find(&mut file, member)?;
    file.seek(SeekFrom::Start(entry.at))?;
    let mut head = [0; 30];
    file.read_exact(&mut head)?;
    if !head.starts_with(LOCAL) {
        return Err(malformed("a member does not begin where the index says"));
    }
    let skip = i64::from(u16_at(&head, 26)?) + i64::from(u16_at(&head, 28)?);
    file.seek(SeekFrom::Current(skip))?;
    let packed = file.take(entry.packed);
    match entry.method {
        0 => io::copy(&mut { packed }, out),
        8 => io::copy(&mut DeflateDecoder::new(packed), out),
        _ => Err(malformed("a member is packed in a way unknown here")),
    }
}

/// What the archive's index says of a member.
struct Entry {
    method: u16,
    packed: u64,
    at: u64,
}

/// Looks `member` up in the index at the archive's end.
fn find(file: &mut File, member: &str) -> io::Result<Entry> {
    let size = file.seek(SeekFrom::End(0))?;
    let tail_at = size.saturating_sub(END_SIZE + COMMENT);
    let tail = read_at(file, tail_at, size - tail_at)?;
    let end = tail.windows(END.len()).rposition(|four| four == END).ok_or_else(|| malformed("it has no end record"))?;
    let index_size = u32_at(&tail, end + 12)?;
    let mut index = &read_at(file, u32_at(&tail, end + 16)?, index_size)?[..];
    while index.starts_with(ENTRY) {
        let name_size = usize::from(u16_at(index, 28)?);
        let next = 46 + name_size + usize::from(u16_at(index, 30)?) + usize::from(u16_at(index, 32)?);
        if index.get(46..46 + name_size) == Some(member.as_bytes()) {
            return Ok(Entry { method: u16_at(index, 10)?, packed: u32_at(index, 20)?, at: u32_at(index, 42)? });
        }
        index = index.get(next..).unwrap_or_default();
    }
    Err(malformed(&format!("it has no member `{member}`")))
}

fn read_at(file: &mut File, at: u64, size: u64) -> io::Result<Vec<u8>> {
    file.seek(SeekFrom::Start(at))?;
    let mut bytes = Vec::new();
    file.take(size).read_to_end(&mut bytes)?;
    Ok(bytes)
}

fn u16_at(bytes: &[u8], at: usize) -> io::Result<u16> {
    let two = bytes.get(at..at + 2).and_then(|two| two.try_into().ok());
    two.map(u16::from_le_bytes).ok_or_else(|| malformed("it is cut short"))
}

fn u32_at(bytes: &[u8], at: usize) -> io::Result<u64> {
    let four = bytes.get(at..at + 4).and_then(|four| four.try_into().ok());
    four.map(|four| u64::from(u32::from_le_bytes(four))).ok_or_else(|| malformed("it is cut short"))
}

fn malformed(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, format!("not a readable archive: {what}"))
}
