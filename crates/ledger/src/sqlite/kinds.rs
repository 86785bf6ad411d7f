//! Kinds: what many rows of a day say alike is written once, and known by its number from then on. A kind may stand there
//! more than once, written by several processes or after a restart: it says the same.

use super::days::Day;
use super::refused;
use crate::flow::{Flow, FlowKey};
use crate::packed::{Entry, Known, NOT_UNDERSTOOD};
use crate::record::{Attempt, COLUMNS, Outcome};
use crate::store::StoreError;
use rusqlite::Transaction;
use std::collections::HashMap;
use std::sync::{Arc, LazyLock};

/// Most days of which kinds are known at a time: rows come for today, and around midnight for yesterday.
const MOST_DAYS: usize = 4;

static INSERT: LazyLock<(String, String)> = LazyLock::new(|| {
    let names: Vec<String> =
        COLUMNS.iter().filter(|column| !column.own).map(|column| format!("\"{}\"", column.name)).collect();
    (names.join(", "), vec!["?"; names.len()].join(", "))
});

/// A kind that stands in the database.
#[derive(Debug)]
pub(super) struct Kind {
    pub(super) number: i64,
    /// Whether its rows were made for a client outside any drill.
    pub(super) counts: bool,
    /// The key of its rows' flows, but for the size of their prompts.
    pub(super) flow: FlowKey,
    /// What became of its rows.
    pub(super) outcome: Outcome,
}

/// The kinds that this connection wrote.
#[derive(Debug, Default)]
pub(super) struct Kinds {
    days: HashMap<i64, Known<Arc<Kind>>>,
}

impl Kinds {
    /// The kinds of `day`.
    pub(super) fn of(&mut self, day: &Day) -> &mut Known<Arc<Kind>> {
        if self.days.len() >= MOST_DAYS && !self.days.contains_key(&day.number) {
            self.days.clear();
        }
        self.days.entry(day.number).or_default()
    }
}

/// Writes the kind of `entry`. To be forgotten if the transaction fails.
pub(super) fn write(transaction: &Transaction<'_>, day: &Day, entry: &Entry<'_>) -> Result<Arc<Kind>, StoreError> {
    let mut mould = Attempt::default();
    mould.unpack(entry.kind).ok_or(NOT_UNDERSTOOD)?;
    let (names, places) = &*INSERT;
    let sql = format!("INSERT INTO {} ({names}) VALUES ({places})", day.kinds());
    let mut cells = Vec::with_capacity(COLUMNS.len());
    mould.kind_cells(|cell| cells.push(cell));
    let insert = || transaction.prepare_cached(&sql)?.insert(rusqlite::params_from_iter(&cells));
    let number = insert().map_err(refused("add rows to the ledger"))?;
    let (counts, outcome) = (Flow::counts(&mould), mould.outcome);
    Ok(Arc::new(Kind { number, counts, flow: FlowKey::of(&mould), outcome }))
}
