//! Days: rows lie in tables of the day on which their requests came (UTC), so that all attempts of a request are together
//! and a day is forgotten by dropping its tables: one of rows, one of their kinds, and a view that has both. The table
//! `days` knows of each from when to when its attempts began.

use super::{places, refused};
use crate::id::RequestId;
use crate::names;
use crate::store::{Filter, StoreError};
use rusqlite::{Connection, OptionalExtension, Transaction};

const READ: &str = "read the ledger";

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
    /// The least time from a request's coming to an attempt's beginning, microseconds, and the most. Zero is between them.
    pub(super) early: i64,
    pub(super) late: i64,
}

impl Day {
    /// The view that has its whole rows.
    pub(super) fn attempts(&self) -> String {
        format!("attempts_{}", self.number)
    }

    /// The table that holds what is its rows' own.
    pub(super) fn rows(&self) -> String {
        format!("rows_{}", self.number)
    }

    /// The table that holds the kinds of its rows.
    pub(super) fn kinds(&self) -> String {
        format!("kinds_{}", self.number)
    }

    /// Counts a row in, begun at `started`; `new`: it was not there before.
    pub(super) fn tell(&mut self, request: RequestId, started: i64, new: bool) {
        self.first = self.first.min(started);
        self.last = self.last.max(started);
        self.count += i64::from(new);
        let came = i64::try_from(request.unix_millis()).unwrap_or(i64::MAX).saturating_mul(1_000);
        let after = started.saturating_sub(came);
        self.early = self.early.min(after);
        self.late = self.late.max(after);
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
    i64::try_from(request.unix_millis() / places::DAY).unwrap_or(i64::MAX)
}

/// The days with attempts that began in the time of `filter`, in order.
pub(super) fn of_filter(connection: &Connection, filter: &Filter) -> Result<Vec<Day>, StoreError> {
    let doing = refused(READ);
    let sql = "SELECT day, first, last, count, early, late FROM days WHERE last >= ?1 AND first < ?2 ORDER BY day";
    let mut statement = connection.prepare_cached(sql).map_err(&doing)?;
    let until = filter.until.unwrap_or(i64::MAX);
    let found = statement.query_map((filter.from.unwrap_or(i64::MIN), until), read).map_err(&doing)?;
    found.collect::<rusqlite::Result<_>>().map_err(&doing)
}

/// The day called `number`, if it has rows.
pub(super) fn find(connection: &Connection, number: i64) -> Result<Option<Day>, StoreError> {
    let sql = "SELECT day, first, last, count, early, late FROM days WHERE day = ?1";
    let mut statement = connection.prepare_cached(sql).map_err(refused(READ))?;
    statement.query_row([number], read).optional().map_err(refused(READ))
}

fn read(row: &rusqlite::Row<'_>) -> rusqlite::Result<Day> {
    Ok(Day {
        number: row.get(0)?,
        first: row.get(1)?,
        last: row.get(2)?,
        count: row.get(3)?,
        early: row.get(4)?,
        late: row.get(5)?,
    })
}

/// The day called `number`, with its tables.
pub(super) fn open(transaction: &Transaction<'_>, number: i64) -> Result<Day, StoreError> {
    if let Some(day) = find(transaction, number)? {
        return Ok(day);
    }
    let day = Day { number, first: i64::MAX, last: i64::MIN, count: 0, early: 0, late: 0 };
    make(transaction, &day).map_err(refused("begin a day of the ledger"))?;
    Ok(day)
}

/// A column of the mould.
struct Column {
    name: String,
    /// Its type and what else is said of it.
    is: String,
    own: bool,
}

/// The columns of the mould.
fn mould(transaction: &Transaction<'_>) -> rusqlite::Result<Vec<Column>> {
    let sql = "SELECT name, type || iif(\"notnull\", ' NOT NULL', '') FROM pragma_table_info('attempts') ORDER BY cid";
    let column = |row: &rusqlite::Row<'_>| {
        let name: String = row.get(0)?;
        let own = names::column(&name).is_some_and(|column| column.own);
        Ok(Column { name, is: row.get(1)?, own })
    };
    transaction.prepare_cached(sql)?.query_map([], column)?.collect()
}

/// Makes the tables of `day` and its view.
fn make(transaction: &Transaction<'_>, day: &Day) -> rusqlite::Result<()> {
    let mould = mould(transaction)?;
    let columns = |own: bool| {
        let columns = mould.iter().filter(|column| column.own == own);
        columns.map(|column| format!("\"{}\" {}, ", column.name, column.is)).collect::<String>()
    };
    let (rows, kinds) = (day.rows(), day.kinds());
    transaction.execute_batch(&format!(
        "CREATE TABLE {rows} ({}kind INTEGER NOT NULL, scores BLOB, place INTEGER PRIMARY KEY) STRICT; \
         CREATE TABLE {kinds} ({}id INTEGER PRIMARY KEY) STRICT",
        columns(true),
        columns(false)
    ))?;
    view(transaction, day, &mould)
}

/// Makes the view of `day`. Rows lead and each finds its kind, never the other way round.
fn view(transaction: &Transaction<'_>, day: &Day, mould: &[Column]) -> rusqlite::Result<()> {
    let names: String = mould.iter().map(|column| format!("\"{}\", ", column.name)).collect();
    transaction.execute_batch(&format!(
        "CREATE VIEW {} AS SELECT {names}scores, place FROM {} CROSS JOIN {} ON id = kind",
        day.attempts(),
        day.rows(),
        day.kinds()
    ))
}

/// Writes down what is known of `day`.
pub(super) fn keep(transaction: &Transaction<'_>, day: &Day) -> Result<(), StoreError> {
    let doing = refused("begin a day of the ledger");
    let sql = "INSERT OR REPLACE INTO days (day, first, last, count, early, late) VALUES (?1, ?2, ?3, ?4, ?5, ?6)";
    let mut statement = transaction.prepare_cached(sql).map_err(&doing)?;
    statement.execute((day.number, day.first, day.last, day.count, day.early, day.late)).map(|_| ()).map_err(&doing)
}

/// Gives the days' tables the columns that the mould has and they lack.
pub(super) fn follow_the_mould(transaction: &Transaction<'_>) -> rusqlite::Result<()> {
    let mould = mould(transaction)?;
    for day in all(transaction)? {
        if is_wide(transaction, &day)? {
            follow(transaction, &day.attempts(), mould.iter())?;
            continue;
        }
        follow(transaction, &day.rows(), mould.iter().filter(|column| column.own))?;
        follow(transaction, &day.kinds(), mould.iter().filter(|column| !column.own))?;
        transaction.execute_batch(&format!("DROP VIEW {}", day.attempts()))?;
        view(transaction, &day, &mould)?;
    }
    Ok(())
}

fn follow<'c>(
    transaction: &Transaction<'_>,
    table: &str,
    columns: impl Iterator<Item = &'c Column>,
) -> rusqlite::Result<()> {
    let mut has = transaction.prepare_cached("SELECT COUNT(*) FROM pragma_table_info(?1) WHERE name = ?2")?;
    for Column { name, is, .. } in columns {
        if has.query_row((table, name), |row| row.get::<_, i64>(0))? == 0 {
            transaction.execute_batch(&format!("ALTER TABLE {table} ADD COLUMN \"{name}\" {is}"))?;
        }
    }
    Ok(())
}

fn all(transaction: &Transaction<'_>) -> rusqlite::Result<Vec<Day>> {
    transaction
        .prepare("SELECT day, first, last, count, early, late FROM days ORDER BY day")?
        .query_map([], read)?
        .collect()
}

/// Whether the rows of `day` lie whole in one table, as in older versions.
fn is_wide(transaction: &Transaction<'_>, day: &Day) -> rusqlite::Result<bool> {
    let sql = "SELECT COUNT(*) FROM sqlite_schema WHERE type = 'table' AND name = ?1";
    transaction.query_row(sql, [day.attempts()], |row| row.get::<_, i64>(0)).map(|found| found > 0)
}

/// Makes the tables of days whose rows lie whole in one table; returns what those are called now, with their days.
pub(super) fn set_wide_ones_aside(transaction: &Transaction<'_>) -> Result<Vec<(String, Day)>, StoreError> {
    let set_aside = || {
        let mut aside = Vec::new();
        for day in all(transaction)? {
            if is_wide(transaction, &day)? {
                let wide = format!("wide_{}", day.number);
                transaction.execute_batch(&format!("ALTER TABLE {} RENAME TO {wide}", day.attempts()))?;
                make(transaction, &day)?;
                aside.push((wide, day));
            }
        }
        Ok(aside)
    };
    set_aside().map_err(refused("bring the ledger's tables up to date"))
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
    let sql = "SELECT day, first, last, count, early, late FROM days ORDER BY day LIMIT 1";
    let oldest = transaction.query_row(sql, [], read).optional().map_err(&doing)?;
    let Some(day) = oldest.filter(|day| day.last < before) else { return Ok(None) };
    let drop = format!("DROP VIEW {}; DROP TABLE {}; DROP TABLE {}", day.attempts(), day.rows(), day.kinds());
    transaction.execute_batch(&drop).map_err(&doing)?;
    transaction.execute("DELETE FROM days WHERE day = ?1", [day.number]).map_err(&doing)?;
    let sql = "UPDATE meta SET value = MAX(value, ?2) WHERE name = ?1";
    transaction.execute(sql, ("first_day", day.number + 1)).map_err(&doing)?;
    transaction.execute(sql, ("forgotten_until", day.last + 1)).map_err(&doing)?;
    Ok(Some(u64::try_from(day.count).unwrap_or(0)))
}
