//! Where in the file something stands, and how problems are told: the thing, its line, what to do.

use std::fmt;
use std::ops::Range;
use toml::de::{DeTable, DeValue};

/// How bad a problem is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Severity {
    /// The configuration cannot be used.
    Error,
    /// It can, but probably not as meant.
    Warning,
}

/// One problem of a configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Problem {
    /// How bad it is.
    pub(crate) severity: Severity,
    /// What is wrong.
    pub(crate) message: String,
    /// Line and column, from 1, where known.
    pub(crate) at: Option<(usize, usize)>,
    /// What to do.
    pub(crate) hint: Option<String>,
}

/// All problems of a file, ready to be shown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Problems {
    /// The file's name as the user gave it.
    pub(crate) file: String,
    /// The problems in the order of the file.
    pub(crate) list: Vec<Problem>,
}

impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, problem) in self.list.iter().enumerate() {
            let word = match problem.severity {
                Severity::Error => "error",
                Severity::Warning => "warning",
            };
            let gap = if index > 0 { "\n" } else { "" };
            write!(f, "{gap}{word}: {}", problem.message)?;
            match problem.at {
                Some((line, column)) => write!(f, "\n  --> {}:{line}:{column}", self.file)?,
                None => write!(f, "\n  --> {}", self.file)?,
            }
            if let Some(hint) = &problem.hint {
                write!(f, "\n  hint: {hint}")?;
            }
        }
        Ok(())
    }
}

impl std::error::Error for Problems {}

/// A file's text, in which places can be found.
pub(crate) struct Places<'a> {
    text: &'a str,
    root: Option<DeTable<'a>>,
}

impl<'a> Places<'a> {
    /// The places of `text`; of a text that is no TOML, none.
    #[must_use]
    pub(crate) fn of(text: &'a str) -> Self {
        Self { text, root: DeTable::parse(text).ok().map(toml::Spanned::into_inner) }
    }

    /// Line and column of a byte.
    #[must_use]
    pub(crate) fn line_column(&self, byte: usize) -> (usize, usize) {
        let before = self.text.get(..byte).unwrap_or(self.text);
        let line = before.matches('\n').count() + 1;
        let start = before.rfind('\n').map_or(0, |at| at + 1);
        (line, before.get(start..).unwrap_or_default().chars().count() + 1)
    }

    /// Where the value at `path` stands, or the nearest table around it that is written.
    #[must_use]
    pub(crate) fn find(&self, path: &[&str]) -> Option<(usize, usize)> {
        let mut best: Option<Range<usize>> = None;
        let mut table = self.root.as_ref()?;
        for (depth, name) in path.iter().enumerate() {
            let Some((key, value)) = table.iter().find(|(key, _)| key.get_ref().as_ref() == *name) else { break };
            best = Some(if depth + 1 == path.len() && !value.get_ref().is_table() { value.span() } else { key.span() });
            match value.get_ref() {
                DeValue::Table(inner) => table = inner,
                _ => break,
            }
        }
        best.map(|span| self.line_column(span.start))
    }
}
