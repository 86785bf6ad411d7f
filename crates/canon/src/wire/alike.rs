//! Pieces of a stream that differ from the one before in nothing but their words, as most do: what stands around the
//! words is known by then, so that such a piece is compared and not read again.

use crate::json::is_plain;
use std::ops::Range;

/// What a piece looked like.
#[derive(Debug, Default)]
pub(super) struct Alike {
    /// Up to its words, their opening quote included; empty: nothing is remembered.
    before: Vec<u8>,
    /// From their closing quote on.
    behind: Vec<u8>,
}

impl Alike {
    /// The words of `piece`, where it differs from the one remembered in nothing else. Words that are empty or spelled
    /// with escapes are left to the full reader.
    pub(super) fn words<'a>(&self, piece: &'a [u8]) -> Option<&'a str> {
        if self.before.is_empty() {
            return None;
        }
        let words = piece.strip_prefix(self.before.as_slice())?.strip_suffix(self.behind.as_slice())?;
        let (blocks, rest) = words.as_chunks::<16>();
        let plain = !words.is_empty() && blocks.iter().all(is_plain) && rest.iter().all(|byte| is_plain(&[*byte]));
        if plain { std::str::from_utf8(words).ok() } else { None }
    }

    /// Remembers `piece`, whose words, with their quotes, stand at `at`.
    pub(super) fn remember(&mut self, piece: &[u8], at: &Range<usize>) {
        self.forget();
        let around = (piece.get(..=at.start), piece.get(at.end.saturating_sub(1)..));
        if let (Some(before @ [.., b'"']), Some(behind @ [b'"', ..])) = around
            && at.len() > 1
        {
            self.before.extend_from_slice(before);
            self.behind.extend_from_slice(behind);
        }
    }

    /// Remembers nothing.
    pub(super) fn forget(&mut self) {
        self.before.clear();
        self.behind.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_words_may_differ() {
        let mut alike = Alike::default();
        assert_eq!(alike.words(b""), None);
        alike.remember(br#"{"t":"one","n":null}"#, &(5..10));
        assert_eq!(alike.words(br#"{"t":"two","n":null}"#), Some("two"));
        let long = "seven and more words, é and \u{2028} among them, that fill blocks";
        assert_eq!(alike.words(format!(r#"{{"t":"{long}","n":null}}"#).as_bytes()), Some(long));
        for other in [
            r#"{"t":"","n":null}"#,
            r#"{"t":"a\n","n":null}"#,
            "{\"t\":\"a\nb\",\"n\":null}",
            r#"{"t":"a","t":"b","n":null}"#,
            r#"{"t":"two","n":1}"#,
            r#"{"t":","n":null}"#,
            r#"{"u":"two","n":null}"#,
            r#"{"t":"two","n":null} "#,
        ] {
            assert_eq!(alike.words(other.as_bytes()), None, "{other}");
        }
        assert_eq!(alike.words(b"{\"t\":\"\xff\",\"n\":null}"), None);
        alike.remember(br#"{"t":null}"#, &(5..9));
        assert_eq!(alike.words(br#"{"t":"two"}"#), None);
    }
}
