//! Attempts in SQL. The statements are made from the row's list of fields; rows are added and read day by day.

use super::days::{self, Day};
use super::flows::Sums;
use super::kinds::Kinds;
use super::refused;
use crate::cell::{Cell, Mismatch};
use crate::flow::{MOST_NANODOLLARS, MOST_TOKENS};
use crate::id::RequestId;
use crate::named::Named;
use crate::packed;
use crate::record::{Attempt, COLUMNS, Name};
use crate::store::{Dimension, Filter, StoreError, Total};
use rusqlite::types::{ToSqlOutput, Value, ValueRef};
use rusqlite::{Connection, OptionalExtension, Row, Statement, ToSql, Transaction, params_from_iter};
use std::collections::{BTreeMap, HashMap};
use std::sync::LazyLock;

const ADD: &str = "add rows to the ledger";
const READ: &str = "read the ledger";

/// Rows per step where those of older versions are taken over.
const BATCH: usize = 10_000;

static NAMES: LazyLock<String> =
    LazyLock::new(|| COLUMNS.iter().map(|column| format!("\"{}\"", column.name)).collect::<Vec<_>>().join(", "));

/// Into which columns a row's own part goes, and as many places.
static OWN: LazyLock<(String, String)> = LazyLock::new(|| {
    let own = COLUMNS.iter().filter(|column| column.own).map(|column| format!("\"{}\"", column.name));
    let names: Vec<String> = own.chain(["kind".to_owned(), "scores".to_owned()]).collect();
    (names.join(", "), vec!["?"; names.len()].join(", "))
});

impl ToSql for Cell<'_> {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(ToSqlOutput::Borrowed(match self {
            Cell::Null => ValueRef::Null,
            Cell::Integer(value) => ValueRef::Integer(*value),
            Cell::Real(value) => ValueRef::Real(*value),
            Cell::Text(text) => ValueRef::Text(text.as_bytes()),
        }))
    }
}

/// Adds `rows`, and what they change in the sums; returns how many are new or changed.
pub(super) fn append(transaction: &Transaction<'_>, kinds: &mut Kinds, rows: &[Attempt]) -> Result<u64, StoreError> {
    let mut by_day: BTreeMap<i64, Vec<&Attempt>> = BTreeMap::new();
    for row in rows {
        by_day.entry(days::of(row.request_id)).or_default().push(row);
    }
    let forgotten = days::forgotten(transaction)?;
    let late: usize = by_day.range(..forgotten.first_day).map(|(_, rows)| rows.len()).sum();
    if late > 0 {
        tracing::warn!(rows = late, "rows of days that the ledger has forgotten came too late and are not added");
    }
    let (mut changed, mut sums) = (0, Sums::default());
    for (number, rows) in by_day.range_mut(forgotten.first_day..) {
        // in the order of the table most rows find their place at its end
        rows.sort_by_key(|row| row.row_key());
        let mut day = days::open(transaction, *number)?;
        changed += add(transaction, kinds, &mut day, rows, &mut sums).map_err(refused(ADD))?;
        days::keep(transaction, &day)?;
    }
    sums.keep(transaction, forgotten.until)?;
    Ok(changed)
}

/// Adds rows of one day. A row that is there stays, unless it has no final outcome and the new one has.
fn add(
    transaction: &Transaction<'_>,
    kinds: &mut Kinds,
    day: &mut Day,
    rows: &[&Attempt],
    sums: &mut Sums,
) -> rusqlite::Result<u64> {
    let (names, places) = &*OWN;
    let into = format!("INTO {} ({names}) VALUES ({places})", day.rows());
    let mut insert = transaction.prepare_cached(&format!("INSERT OR IGNORE {into}"))?;
    let mut changed = 0;
    let (mut own, mut before) = (Own::default(), Own::default());
    for row in rows {
        own.be(row, kinds.of(transaction, day, row)?);
        own.bind(&mut insert, &before)?;
        let added = insert.raw_execute()? == 1;
        if added {
            day.tell(row, true);
            sums.add(row, (day.number, own.kind));
            changed += 1;
        } else if row.outcome.is_final() {
            let sql = format!(
                "SELECT started FROM {} WHERE request_id = ?1 AND attempt = ?2 AND outcome IN ('open', 'unknown')",
                day.attempts()
            );
            let mut open = transaction.prepare_cached(&sql)?;
            let started = open.query_row((row.request_id.text(), row.attempt), |row| row.get(0)).optional()?;
            if let Some(started) = started {
                let mut replace = transaction.prepare_cached(&format!("REPLACE {into}"))?;
                own.bind(&mut replace, &Own::default())?;
                replace.raw_execute()?;
                day.tell(row, false);
                sums.replaced(started, row.started);
                changed += 1;
            }
        }
        std::mem::swap(&mut own, &mut before);
    }
    Ok(changed)
}

/// What is bound to write a row's own part.
#[derive(Default)]
struct Own<'a> {
    cells: Vec<Cell<'a>>,
    kind: i64,
    scores: Vec<u8>,
}

impl<'a> Own<'a> {
    fn be(&mut self, row: &'a Attempt, kind: i64) {
        self.cells.clear();
        row.own_cells(|cell| self.cells.push(cell));
        self.kind = kind;
        self.scores.clear();
        packed::scores(&row.candidates, &mut self.scores);
    }

    /// Binds it to `statement`. What the row `before` had in the same place, as most have most, is bound already.
    fn bind(&self, statement: &mut Statement<'_>, before: &Self) -> rusqlite::Result<()> {
        for (at, cell) in self.cells.iter().enumerate() {
            if before.cells.get(at) != Some(cell) {
                statement.raw_bind_parameter(at + 1, cell)?;
            }
        }
        let at = self.cells.len();
        let first = before.cells.is_empty();
        if first || before.kind != self.kind {
            statement.raw_bind_parameter(at + 1, self.kind)?;
        }
        if first || before.scores != self.scores {
            statement.raw_bind_parameter(at + 2, (!self.scores.is_empty()).then_some(&*self.scores))?;
        }
        Ok(())
    }
}

pub(super) fn attempts(connection: &Connection, request: RequestId) -> Result<Vec<Attempt>, StoreError> {
    let Some(day) = days::find(connection, days::of(request))? else { return Ok(Vec::new()) };
    let sql = format!("SELECT {}, scores FROM {} WHERE request_id = ? ORDER BY attempt", *NAMES, day.attempts());
    collect(connection, &sql, vec![Value::Text(request.text())])
}

pub(super) fn list(connection: &Connection, filter: &Filter) -> Result<Vec<Attempt>, StoreError> {
    let most = filter.limit.map_or(usize::MAX, |limit| limit as usize);
    let mut found: Vec<Attempt> = Vec::new();
    for day in days::of_filter(connection, filter)?.into_iter().rev() {
        let (condition, mut values) = condition(filter, &day);
        let left = most - found.len();
        values.push(Value::Integer(i64::try_from(left).unwrap_or(i64::MAX)));
        let order = "ORDER BY request_id DESC, attempt DESC LIMIT ?";
        let sql = format!("SELECT {}, scores FROM {} WHERE {condition} {order}", *NAMES, day.attempts());
        found.extend(collect(connection, &sql, values)?);
        if found.len() >= most {
            break;
        }
    }
    Ok(found)
}

pub(super) fn each(
    connection: &Connection,
    filter: &Filter,
    take: &mut dyn FnMut(Attempt) -> bool,
) -> Result<(), StoreError> {
    for day in days::of_filter(connection, filter)? {
        let (condition, values) = condition(filter, &day);
        let order = "ORDER BY request_id, attempt";
        let sql = format!("SELECT {}, scores FROM {} WHERE {condition} {order}", *NAMES, day.attempts());
        if !select(connection, &sql, values, take)? {
            break;
        }
    }
    Ok(())
}

pub(super) fn totals(connection: &Connection, by: &[Dimension], filter: &Filter) -> Result<Vec<Total>, StoreError> {
    let doing = refused(READ);
    let tokens = |column: &str| format!("COALESCE(SUM(MIN({column}, {MOST_TOKENS})), 0)");
    let groups: String = by.iter().map(|by| format!("{}, ", expression(*by))).collect();
    let grouped: Vec<String> = (1..=by.len()).map(|at| at.to_string()).collect();
    let group_by = if by.is_empty() { String::new() } else { format!("GROUP BY {}", grouped.join(", ")) };
    let sums = format!(
        "COUNT(DISTINCT request_id), COUNT(*), COUNT(*) FILTER (WHERE outcome = 'ok'), \
         COUNT(*) FILTER (WHERE outcome = 'failed'), COUNT(*) FILTER (WHERE outcome = 'cancelled'), \
         COUNT(*) FILTER (WHERE outcome = 'unknown'), \
         COUNT(*) FILTER (WHERE input_tokens IS NULL OR output_tokens IS NULL), {}, {}, {}, {}, {}, \
         COUNT(*) FILTER (WHERE cost_nanodollars IS NULL), \
         COALESCE(SUM(MAX(MIN(cost_nanodollars, {MOST_NANODOLLARS}), -{MOST_NANODOLLARS})), 0)",
        tokens("input_tokens"),
        tokens("cache_read_tokens"),
        tokens("cache_write_tokens"),
        tokens("output_tokens"),
        tokens("reasoning_tokens"),
    );
    let mut merged: HashMap<Vec<Option<Name>>, Total> = HashMap::new();
    for day in days::of_filter(connection, filter)? {
        let (condition, values) = condition(filter, &day);
        let sql = format!("SELECT {groups}{sums} FROM {} WHERE {condition} {group_by}", day.attempts());
        let mut statement = connection.prepare_cached(&sql).map_err(&doing)?;
        let found = statement.query_map(params_from_iter(&values), |row| total(row, by.len())).map_err(&doing)?;
        for total in found {
            let total = total.map_err(&doing)?;
            match merged.get_mut(&total.group) {
                Some(sum) => sum.add(&total),
                None => _ = merged.insert(total.group.clone(), total),
            }
        }
    }
    let mut list: Vec<Total> = merged.into_values().filter(|total| total.attempts > 0).collect();
    list.sort_by(|a, b| b.attempts.cmp(&a.attempts).then_with(|| a.group.cmp(&b.group)));
    Ok(list)
}

fn total(row: &Row<'_>, groups: usize) -> rusqlite::Result<Total> {
    let group = (0..groups).map(|at| row.get::<_, Option<String>>(at).map(|text| text.map(Name::from)));
    Ok(Total {
        group: group.collect::<rusqlite::Result<_>>()?,
        requests: row.get(groups)?,
        attempts: row.get(groups + 1)?,
        ok: row.get(groups + 2)?,
        failed: row.get(groups + 3)?,
        cancelled: row.get(groups + 4)?,
        unknown: row.get(groups + 5)?,
        uncounted: row.get(groups + 6)?,
        input_tokens: row.get(groups + 7)?,
        cache_read_tokens: row.get(groups + 8)?,
        cache_write_tokens: row.get(groups + 9)?,
        output_tokens: row.get(groups + 10)?,
        reasoning_tokens: row.get(groups + 11)?,
        unpriced: row.get(groups + 12)?,
        cost_nanodollars: row.get(groups + 13)?,
    })
}

/// What a row says of `by`, as text.
fn expression(by: Dimension) -> String {
    match by {
        Dimension::Month => "strftime('%Y-%m', started / 1000000, 'unixepoch')".to_owned(),
        Dimension::Day => "strftime('%Y-%m-%d', started / 1000000, 'unixepoch')".to_owned(),
        Dimension::Hour => "strftime('%Y-%m-%dT%H:00Z', started / 1000000, 'unixepoch')".to_owned(),
        column => format!("\"{}\"", column.name()),
    }
}

/// `filter` as a condition on the rows of `day`, and its values.
pub(super) fn condition(filter: &Filter, day: &Day) -> (String, Vec<Value>) {
    let mut condition = String::from("1");
    let mut values = Vec::new();
    // Rows lie in the order of their ids, which say when requests came: outside these none can have begun in time.
    let came = |moment: i64| u64::try_from(moment.div_euclid(1_000)).unwrap_or(0);
    let bounds = [
        (" AND started >= ?", " AND request_id >= ?", filter.from, day.late, 0),
        (" AND started < ?", " AND request_id < ?", filter.until, day.early, 1),
    ];
    for (of_time, of_id, moment, least, more) in bounds {
        let Some(moment) = moment else { continue };
        condition.push_str(of_time);
        values.push(Value::Integer(moment));
        let millis = came(moment.saturating_sub(least)) + more;
        if millis < 1 << 48 {
            condition.push_str(of_id);
            values.push(Value::Text(RequestId::new(millis, 0).text()));
        }
    }
    for (by, wanted) in &filter.is {
        condition.push_str(&format!(" AND {} IS ?", expression(*by)));
        values.push(wanted.as_deref().map_or(Value::Null, |text| Value::Text(text.to_owned())));
    }
    (condition, values)
}

fn collect(connection: &Connection, sql: &str, values: Vec<Value>) -> Result<Vec<Attempt>, StoreError> {
    let mut found = Vec::new();
    select(connection, sql, values, &mut |row| {
        found.push(row);
        true
    })?;
    Ok(found)
}

/// Hands the rows to `take` until it has enough; `false`: it has.
pub(super) fn select(
    connection: &Connection,
    sql: &str,
    values: Vec<Value>,
    take: &mut dyn FnMut(Attempt) -> bool,
) -> Result<bool, StoreError> {
    let doing = refused(READ);
    let mut statement = connection.prepare_cached(sql).map_err(&doing)?;
    let mut rows = statement.query(params_from_iter(values)).map_err(&doing)?;
    while let Some(row) = rows.next().map_err(&doing)? {
        let mut found = Attempt::from_cells(|at| cell(row, at).map_err(&doing))?;
        if let Some(scores) =
            row.get_ref(COLUMNS.len()).and_then(|value| Ok(value.as_blob_or_null()?)).map_err(&doing)?
        {
            packed::set_scores(&mut found.candidates, scores).ok_or(Mismatch("scores"))?;
        }
        if !take(found) {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Takes over the rows of older versions: those in the mould, where all were kept before days, and whole tables of days.
pub(super) fn carry_over(transaction: &Transaction<'_>, kinds: &mut Kinds) -> Result<(), StoreError> {
    in_batches(transaction, "attempts", |rows| append(transaction, kinds, rows).map(|_| ()))?;
    transaction.execute("DELETE FROM attempts", []).map_err(refused(ADD))?;
    for (wide, mut day) in days::set_wide_ones_aside(transaction)? {
        day.count = 0;
        in_batches(transaction, &wide, |rows| {
            let rows: Vec<&Attempt> = rows.iter().collect();
            // what they add to sums is there already
            add(transaction, kinds, &mut day, &rows, &mut Sums::default()).map(|_| ()).map_err(refused(ADD))
        })?;
        days::keep(transaction, &day)?;
        transaction.execute_batch(&format!("DROP TABLE {wide}")).map_err(refused(ADD))?;
    }
    Ok(())
}

/// Hands the rows of `table`, which are whole, to `take`, some thousands at a time.
fn in_batches(
    transaction: &Transaction<'_>,
    table: &str,
    mut take: impl FnMut(&[Attempt]) -> Result<(), StoreError>,
) -> Result<(), StoreError> {
    let (mut batch, mut taken) = (Vec::new(), Ok(()));
    let sql = format!("SELECT {}, NULL FROM {table} ORDER BY request_id, attempt", *NAMES);
    select(transaction, &sql, Vec::new(), &mut |row| {
        batch.push(row);
        if batch.len() >= BATCH {
            taken = take(&batch);
            batch.clear();
        }
        taken.is_ok()
    })?;
    taken.and_then(|()| take(&batch))
}

fn cell<'r>(row: &'r Row<'_>, at: usize) -> rusqlite::Result<Cell<'r>> {
    let value = row.get_ref(at)?;
    Ok(match value {
        ValueRef::Null => Cell::Null,
        ValueRef::Integer(value) => Cell::Integer(value),
        ValueRef::Real(value) => Cell::Real(value),
        ValueRef::Text(_) | ValueRef::Blob(_) => Cell::Text(value.as_str()?.into()),
    })
}
