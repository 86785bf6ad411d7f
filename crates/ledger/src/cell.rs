//! A row's values in the few kinds that every database knows, and how each field's type becomes one and comes back.
//! Enums are stored by name and lists as JSON: rows stay readable with any SQL tool and survive a re-ordered enum; the
//! few bytes more than small integers cost do not matter beside the names of models and deployments. Pure.

use crate::id::RequestId;
use crate::named::Named;
use crate::record::{Candidate, Mode, Name, Outcome, Portability, UsageSource};
use canon::{FaultKind, Loss, StopReason};
use serde::Serialize;
use std::borrow::Cow;

/// One value as a database holds it.
#[derive(Debug, Clone, PartialEq)]
pub enum Cell<'a> {
    /// Nothing.
    Null,
    /// A whole number; truth is 0 or 1.
    Integer(i64),
    /// A number.
    Real(f64),
    /// Text.
    Text(Cow<'a, str>),
}

/// The kind of a column.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Whole numbers.
    Integer,
    /// Numbers.
    Real,
    /// Text.
    Text,
}

/// One field of the row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Column {
    /// Its name, also the database's.
    pub name: &'static str,
    /// Its name in telemetry.
    pub otel: &'static str,
    /// What it means: its comment in the list of fields.
    pub doc: &'static str,
    /// Its number in the journal.
    pub(crate) number: u8,
    /// Whether it is each row's own; the others are those of a kind of row.
    pub own: bool,
    /// What it holds.
    pub kind: Kind,
    /// Whether it is never null.
    pub required: bool,
}

/// A column whose value does not fit its type.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the value in column `{0}` does not fit its type: the row was written by another version or by hand")]
pub struct Mismatch(pub &'static str);

/// A type that a field of the row may have.
pub(crate) trait Field: Sized {
    const KIND: Kind;
    const REQUIRED: bool = true;

    fn cell(&self) -> Cell<'_>;
    fn from_cell(cell: Cell<'_>) -> Option<Self>;
    /// Whether nobody filled it; the journal's lines leave it out.
    fn is_null(&self) -> bool {
        false
    }
}

impl<T: Field> Field for Option<T> {
    const KIND: Kind = T::KIND;
    const REQUIRED: bool = false;

    fn cell(&self) -> Cell<'_> {
        self.as_ref().map_or(Cell::Null, Field::cell)
    }

    fn from_cell(cell: Cell<'_>) -> Option<Self> {
        match cell {
            Cell::Null => Some(None),
            other => T::from_cell(other).map(Some),
        }
    }

    fn is_null(&self) -> bool {
        self.is_none()
    }
}

impl Field for Name {
    const KIND: Kind = Kind::Text;

    fn cell(&self) -> Cell<'_> {
        Cell::Text(Cow::Borrowed(self))
    }

    fn from_cell(cell: Cell<'_>) -> Option<Self> {
        match cell {
            Cell::Text(text) => Some(text.into()),
            _ => None,
        }
    }
}

impl Field for RequestId {
    const KIND: Kind = Kind::Text;

    fn cell(&self) -> Cell<'_> {
        Cell::Text(Cow::Owned(self.text()))
    }

    fn from_cell(cell: Cell<'_>) -> Option<Self> {
        match cell {
            Cell::Text(text) => text.parse().ok(),
            _ => None,
        }
    }
}

impl Field for bool {
    const KIND: Kind = Kind::Integer;

    fn cell(&self) -> Cell<'_> {
        Cell::Integer(i64::from(*self))
    }

    fn from_cell(cell: Cell<'_>) -> Option<Self> {
        match cell {
            Cell::Integer(value) => Some(value != 0),
            _ => None,
        }
    }
}

impl Field for f64 {
    const KIND: Kind = Kind::Real;

    fn cell(&self) -> Cell<'_> {
        Cell::Real(*self)
    }

    fn from_cell(cell: Cell<'_>) -> Option<Self> {
        match cell {
            Cell::Real(value) => Some(value),
            _ => None,
        }
    }
}

/// Whole numbers; what no signed 64-bit integer holds is clamped to the largest.
macro_rules! integers {
    ($($type:ty),+) => {$(
        impl Field for $type {
            const KIND: Kind = Kind::Integer;

            fn cell(&self) -> Cell<'_> {
                Cell::Integer(i64::try_from(*self).unwrap_or(i64::MAX))
            }

            fn from_cell(cell: Cell<'_>) -> Option<Self> {
                match cell {
                    Cell::Integer(value) => Self::try_from(value).ok(),
                    _ => None,
                }
            }
        }
    )+};
}
integers!(u16, u32, u64, i64);

/// Enums, by name.
macro_rules! names {
    ($($type:ty),+) => {$(
        impl Field for $type {
            const KIND: Kind = Kind::Text;

            fn cell(&self) -> Cell<'_> {
                Cell::Text(Cow::Borrowed(Named::name(*self)))
            }

            fn from_cell(cell: Cell<'_>) -> Option<Self> {
                match cell {
                    Cell::Text(text) => Named::named(&text),
                    _ => None,
                }
            }
        }
    )+};
}
names!(Mode, Outcome, UsageSource, Portability, StopReason, FaultKind);

impl Field for Vec<Candidate> {
    const KIND: Kind = Kind::Text;
    const REQUIRED: bool = false;

    fn cell(&self) -> Cell<'_> {
        if self.is_empty() { Cell::Null } else { json(self) }
    }

    fn from_cell(cell: Cell<'_>) -> Option<Self> {
        match cell {
            Cell::Null => Some(Self::new()),
            Cell::Text(text) => sonic_rs::from_str(&text).ok(),
            _ => None,
        }
    }

    fn is_null(&self) -> bool {
        self.is_empty()
    }
}

impl Field for Vec<Loss> {
    const KIND: Kind = Kind::Text;
    const REQUIRED: bool = false;

    fn cell(&self) -> Cell<'_> {
        if self.is_empty() { Cell::Null } else { json(&losses::Written(self)) }
    }

    fn from_cell(cell: Cell<'_>) -> Option<Self> {
        match cell {
            Cell::Null => Some(Self::new()),
            Cell::Text(text) => sonic_rs::from_str::<losses::Read>(&text).ok().map(|read| read.0),
            _ => None,
        }
    }

    fn is_null(&self) -> bool {
        self.is_empty()
    }
}

/// `value` as JSON text; none of the types that come here can fail.
fn json(value: &impl Serialize) -> Cell<'static> {
    Cell::Text(Cow::Owned(sonic_rs::to_string(value).unwrap_or_default()))
}

/// Serde of losses: `{"path": "tools[0].strict", "what": "dropped"}`.
pub(crate) mod losses {
    use canon::Loss;
    use canon::wire::LossKind;
    use serde::{Deserialize, Deserializer, Serialize, Serializer};
    use std::borrow::Cow;

    #[derive(Serialize, Deserialize)]
    struct Row<'a> {
        path: Cow<'a, str>,
        #[serde(with = "crate::named::text")]
        what: LossKind,
    }

    pub(crate) struct Written<'a>(pub(crate) &'a [Loss]);

    impl Serialize for Written<'_> {
        fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
            serialize(self.0, serializer)
        }
    }

    #[derive(Deserialize)]
    pub(crate) struct Read(#[serde(deserialize_with = "deserialize")] pub(crate) Vec<Loss>);

    pub(crate) fn serialize<S: Serializer>(losses: &[Loss], serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(losses.iter().map(|loss| Row { path: Cow::Borrowed(&loss.path), what: loss.what }))
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<Loss>, D::Error> {
        let rows = <Vec<Row<'de>>>::deserialize(deserializer)?;
        Ok(rows.into_iter().map(|row| Loss { path: row.path.into_owned(), what: row.what }).collect())
    }
}
