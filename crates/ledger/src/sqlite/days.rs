//! Days: rows lie in one table per day on which their requests came (UTC), so that all attempts of a request are in one
//! and a day is forgotten by dropping its table. The table `days` knows of each from when to when its attempts began.

use super::refused;
use crate::id::RequestId;
use crate::record::Attempt;
use crate::store::{Filter, StoreError};
use rusqlite::{Connection, OptionalExtension, Transaction};

const READ: &str = "read the ledger";
const MILLIS: u64 = 86_400_000;

/// A day that has rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Day {
    /// Days since 1970.
    pub(super) number: i64,
    /// When the first of its attempts began, Unix microseconds.
    pub(super) first: i64,
    /// When the last of them began.
    pub(super) last: i64,
    /// How many there are.
    pub(super) count: i64,
}

impl Day {
    /// The table that holds its rows.
    pub(super) fn table(&self) -> String {
        table(self.number)
    }

    /// Counts a row in; `new`: it was not there before.
    pub(super) fn tell(&mut self, row: &Attempt, new: bool) {
        self.first = self.first.min(row.started);
        self.last = self.last.max(row.started);
        self.count += i64::from(new);
    }
}

/// What was forgotten.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Forgotten {
    /// Days before this one are.
    pub(super) first_day: i64,
    /// Attempts begun before may be, Unix microseconds.
    pub(super) until: i64,
}

/// The day on which `request` came.
pub(super) fn of(request: RequestId) -> i64 {
    i64::try_from(request.unix_millis() / MILLIS).unwrap_or(i64::MAX)
}

fn table(day: i64) -> String {
    format!("attempts_{day}")
}

/// The days with attempts that began in the time of `filter`, in order.
pub(super) fn of_filter(connection: &Connection, filter: &Filter) -> Result<Vec<Day>, StoreError> {
    let doing = refused(READ);
    let sql = "SELECT day, first, last, count FROM days WHERE last >= ?1 AND first < ?2 ORDER BY day";
    let mut statement = connection.prepare_cached(sql).map_err(&doing)?;
    let until = filter.until.unwrap_or(i64::MAX);
    let found = statement.query_map((filter.from.unwrap_or(i64::MIN), until), read).map_err(&doing)?;
    found.collect::<rusqlite::Result<_>>().map_err(&doing)
}

/// The day called `number`, if it has rows.
pub(super) fn find(connection: &Connection, number: i64) -> Result<Option<Day>, StoreError> {
    let sql = "SELECT day, first, last, count FROM days WHERE day = ?1";
    let mut statement = connection.prepare_cached(sql).map_err(refused(READ))?;
    statement.query_row([number], read).optional().map_err(refused(READ))
}

fn read(row: &rusqlite::Row<'_>) -> rusqlite::Result<Day> {
    Ok(Day { number: row.get(0)?, first: row.get(1)?, last: row.get(2)?, count: row.get(3)? })
}

/// The day called `number`, with its table.
pub(super) fn open(transaction: &Transaction<'_>, number: i64) -> Result<Day, StoreError> {
    if let Some(day) = find(transaction, number)? {
        return Ok(day);
    }
    let doing = refused("begin a day of the ledger");
    let mould: String = transaction
        .query_row("SELECT sql FROM sqlite_schema WHERE type = 'table' AND name = 'attempts'", [], |row| row.get(0))
        .map_err(&doing)?;
    let (name, columns) = (table(number), &mould[mould.find('(').unwrap_or(0)..]);
    let made = format!("CREATE TABLE {name} {columns}; CREATE INDEX {name}_started ON {name} (\"started\")");
    transaction.execute_batch(&made).map_err(&doing)?;
    Ok(Day { number, first: i64::MAX, last: i64::MIN, count: 0 })
}

/// Writes down what is known of `day`.
pub(super) fn keep(transaction: &Transaction<'_>, day: &Day) -> Result<(), StoreError> {
    let doing = refused("begin a day of the ledger");
    let sql = "INSERT OR REPLACE INTO days (day, first, last, count) VALUES (?1, ?2, ?3, ?4)";
    let mut statement = transaction.prepare_cached(sql).map_err(&doing)?;
    statement.execute((day.number, day.first, day.last, day.count)).map(|_| ()).map_err(&doing)
}

/// Gives the days' tables the columns that the mould has and they lack.
pub(super) fn follow_the_mould(transaction: &Transaction<'_>) -> rusqlite::Result<()> {
    let numbers = transaction
        .prepare("SELECT day FROM days")?
        .query_map([], |row| row.get(0))?
        .collect::<Result<Vec<i64>, _>>()?;
    for table in numbers.into_iter().map(table) {
        let sql = "SELECT name, type FROM pragma_table_info('attempts') \
                   WHERE name NOT IN (SELECT name FROM pragma_table_info(?1)) ORDER BY cid";
        let mut statement = transaction.prepare_cached(sql)?;
        let lacks = statement.query_map([&table], |row| Ok((row.get::<_, String>(0)?, row.get::<_, String>(1)?)))?;
        for (name, kind) in lacks.collect::<rusqlite::Result<Vec<_>>>()? {
            transaction.execute_batch(&format!("ALTER TABLE {table} ADD COLUMN \"{name}\" {kind}"))?;
        }
    }
    Ok(())
}

/// What was forgotten so far.
pub(super) fn forgotten(connection: &Connection) -> Result<Forgotten, StoreError> {
    let value = |name: &str| {
        let mut statement = connection.prepare_cached("SELECT value FROM meta WHERE name = ?1")?;
        statement.query_row([name], |row| row.get(0))
    };
    let read = || Ok(Forgotten { first_day: value("first_day")?, until: value("forgotten_until")? });
    read().map_err(refused(READ))
}

/// Forgets the oldest day if all of its attempts began before `before`; returns how many those were.
pub(super) fn forget(transaction: &Transaction<'_>, before: i64) -> Result<Option<u64>, StoreError> {
    let doing = refused("forget old rows");
    let sql = "SELECT day, first, last, count FROM days ORDER BY day LIMIT 1";
    let oldest = transaction.query_row(sql, [], read).optional().map_err(&doing)?;
    let Some(day) = oldest.filter(|day| day.last < before) else { return Ok(None) };
    transaction.execute_batch(&format!("DROP TABLE {}", day.table())).map_err(&doing)?;
    transaction.execute("DELETE FROM days WHERE day = ?1", [day.number]).map_err(&doing)?;
    let sql = "UPDATE meta SET value = MAX(value, ?2) WHERE name = ?1";
    transaction.execute(sql, ("first_day", day.number + 1)).map_err(&doing)?;
    transaction.execute(sql, ("forgotten_until", day.last + 1)).map_err(&doing)?;
    Ok(Some(u64::try_from(day.count).unwrap_or(0)))
}
