//! A catalog file that is read by name: valid TOML, written one entry a line in the order of the names, so that an entry
//! is found by halving and only its own line is parsed.

use super::row::Source;
use serde::Deserialize;
use std::collections::BTreeMap;

/// A catalog file inside the binary.
#[derive(Debug)]
pub(crate) struct Book {
    head: &'static str,
    lines: &'static str,
}

#[derive(Deserialize)]
struct Head {
    source: BTreeMap<String, Source>,
}

impl Book {
    /// The book of a file: `[source.…]` tables, then one table whose entries are sorted, one a line.
    pub(crate) fn of(text: &'static str) -> Self {
        let start = text.find("\n\"").map_or(text.len(), |at| at + 1);
        let (before, lines) = text.split_at(start);
        // The entries' own table header ends the head.
        let head = before.rfind("\n[").map_or(before, |at| &before[..at]);
        Self { head, lines }
    }

    /// The entry called `key`.
    pub(crate) fn row<T: for<'de> Deserialize<'de>>(&self, key: &str) -> Option<T> {
        let line = self.line(key)?;
        parse(line)
    }

    /// Every entry's name, in order.
    pub(crate) fn keys(&self) -> impl Iterator<Item = &'static str> + use<> {
        self.lines.lines().filter_map(key_of)
    }

    /// Every entry.
    pub(crate) fn rows<T: for<'de> Deserialize<'de>>(&self) -> impl Iterator<Item = (String, T)> {
        self.lines.lines().filter_map(|line| Some((key_of(line)?.to_owned(), parse(line)?)))
    }

    /// Whether an entry's name begins so.
    pub(crate) fn begins(&self, beginning: &str) -> bool {
        let rest = &self.lines[self.first_from(beginning)..];
        rest.lines().next().and_then(key_of).is_some_and(|key| key.starts_with(beginning))
    }

    /// The source called `name`.
    pub(crate) fn source(&self, name: &str) -> Option<Source> {
        toml::from_str::<Head>(self.head).ok()?.source.remove(name)
    }

    fn line(&self, key: &str) -> Option<&'static str> {
        let line = self.lines[self.first_from(key)..].lines().next()?;
        (key_of(line) == Some(key)).then_some(line)
    }

    /// Where the first line begins whose name is `key` or comes after it.
    fn first_from(&self, key: &str) -> usize {
        let (mut low, mut high) = (0, self.lines.len());
        while low < high {
            let middle = low.midpoint(high);
            let start = self.lines.as_bytes()[..middle].iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
            let start = start.max(low);
            let end = self.lines[start..].find('\n').map_or(self.lines.len(), |at| start + at + 1);
            match key_of(&self.lines[start..end]) {
                Some(found) if found < key => low = end,
                _ => high = start,
            }
        }
        low
    }
}

fn key_of(line: &str) -> Option<&str> {
    line.strip_prefix('"')?.split_once('"').map(|(key, _)| key)
}

fn parse<T: for<'de> Deserialize<'de>>(line: &str) -> Option<T> {
    let (_, value) = line.split_once("\" = ")?;
    T::deserialize(toml::de::ValueDeserializer::parse(value.trim_end()).ok()?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_entry_is_found_and_nothing_else() {
        let book = Book::of(
            "# text\n[source.a]\nname = \"n\"\nversion = \"1\"\nread = \"2026-11-25\"\n\n[model]\n\"a/b\" = 1\n\"a/c\" = 2\n\"b/a\" = 3\n\"é/x\" = 4\n",
        );
        for (key, value) in [("a/b", 1), ("a/c", 2), ("b/a", 3), ("é/x", 4)] {
            assert_eq!(book.row::<i64>(key), Some(value), "{key}");
        }
        for key in ["", "a", "a/", "a/bb", "b", "zzz", "é/xy"] {
            assert_eq!(book.row::<i64>(key), None, "{key}");
        }
        assert!(book.begins("b/") && book.begins("a/c") && !book.begins("a/d"));
        assert_eq!(book.source("a").map(|source| source.version), Some("1".to_owned()));
        assert_eq!(book.keys().count(), 4);
    }
}
