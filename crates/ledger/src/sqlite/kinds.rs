//! Kinds: what many rows of a day say alike is written once, and known by its number from then on. A kind may stand there
//! more than once, written by several processes or after a restart: it says the same.

use super::days::Day;
use crate::packed::Known;
use crate::record::{Attempt, COLUMNS};
use rusqlite::Transaction;
use std::collections::HashMap;
use std::sync::LazyLock;

/// Most days of which kinds are known at a time: rows come for today, and around midnight for yesterday.
const MOST_DAYS: usize = 4;

static INSERT: LazyLock<(String, String)> = LazyLock::new(|| {
    let names: Vec<String> =
        COLUMNS.iter().filter(|column| !column.own).map(|column| format!("\"{}\"", column.name)).collect();
    (names.join(", "), vec!["?"; names.len()].join(", "))
});

/// The numbers of kinds that this connection wrote.
#[derive(Debug, Default)]
pub(super) struct Kinds {
    days: HashMap<i64, Known<i64>>,
    packed: Vec<u8>,
}

impl Kinds {
    /// The number of the kind of `row`, which is written if it is new. To be forgotten if the transaction fails.
    pub(super) fn of(&mut self, transaction: &Transaction<'_>, day: &Day, row: &Attempt) -> rusqlite::Result<i64> {
        self.packed.clear();
        row.pack_kind(&mut self.packed);
        if self.days.len() >= MOST_DAYS && !self.days.contains_key(&day.number) {
            self.days.clear();
        }
        let known = self.days.entry(day.number).or_default();
        known.get(&self.packed, || write(transaction, day, row)).copied()
    }

    /// Knows nothing any more.
    pub(super) fn forget(&mut self) {
        self.days.clear();
    }
}

fn write(transaction: &Transaction<'_>, day: &Day, row: &Attempt) -> rusqlite::Result<i64> {
    let (names, places) = &*INSERT;
    let sql = format!("INSERT INTO {} ({names}) VALUES ({places})", day.kinds());
    let mut cells = Vec::with_capacity(COLUMNS.len());
    row.kind_cells(|cell| cells.push(cell));
    transaction.prepare_cached(&sql)?.insert(rusqlite::params_from_iter(cells))
}
