//! Attempts in SQL. The statements are made from the row's list of fields; rows are added and read day by day.

use super::days::{self, Day};
use super::flows::Sums;
use super::refused;
use crate::cell::Cell;
use crate::flow::{MOST_NANODOLLARS, MOST_TOKENS};
use crate::id::RequestId;
use crate::named::Named;
use crate::record::{Attempt, COLUMNS, Name};
use crate::store::{Dimension, Filter, StoreError, Total};
use rusqlite::types::{ToSqlOutput, Value, ValueRef};
use rusqlite::{Connection, OptionalExtension, Row, ToSql, Transaction, params_from_iter};
use std::collections::{BTreeMap, HashMap};
use std::sync::LazyLock;

const ADD: &str = "add rows to the ledger";
const READ: &str = "read the ledger";

static NAMES: LazyLock<String> =
    LazyLock::new(|| COLUMNS.iter().map(|column| format!("\"{}\"", column.name)).collect::<Vec<_>>().join(", "));

static PLACES: LazyLock<String> = LazyLock::new(|| vec!["?"; COLUMNS.len()].join(", "));

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
pub(super) fn append(transaction: &Transaction<'_>, rows: &[Attempt]) -> Result<u64, StoreError> {
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
    for (number, rows) in by_day.range(forgotten.first_day..) {
        let mut day = days::open(transaction, *number)?;
        changed += add(transaction, &mut day, rows, &mut sums).map_err(refused(ADD))?;
        days::keep(transaction, &day)?;
    }
    sums.keep(transaction, forgotten.until)?;
    Ok(changed)
}

/// Adds rows of one day. A row that is there stays, unless it has no final outcome and the new one has.
fn add(transaction: &Transaction<'_>, day: &mut Day, rows: &[&Attempt], sums: &mut Sums) -> rusqlite::Result<u64> {
    let table = day.table();
    let into = format!("INTO {table} ({}) VALUES ({})", *NAMES, *PLACES);
    let mut insert = transaction.prepare_cached(&format!("INSERT OR IGNORE {into}"))?;
    let mut changed = 0;
    for row in rows {
        if insert.execute(params_from_iter(row.cells()))? == 1 {
            day.tell(row, true);
            sums.add(row);
            changed += 1;
        } else if row.outcome.is_final() {
            let sql = format!(
                "SELECT started FROM {table} WHERE request_id = ?1 AND attempt = ?2 AND outcome IN ('open', 'unknown')"
            );
            let mut open = transaction.prepare_cached(&sql)?;
            let started = open.query_row((row.request_id.text(), row.attempt), |row| row.get(0)).optional()?;
            if let Some(started) = started {
                transaction.prepare_cached(&format!("REPLACE {into}"))?.execute(params_from_iter(row.cells()))?;
                day.tell(row, false);
                sums.replaced(started, row.started);
                changed += 1;
            }
        }
    }
    Ok(changed)
}

pub(super) fn attempts(connection: &Connection, request: RequestId) -> Result<Vec<Attempt>, StoreError> {
    let Some(day) = days::find(connection, days::of(request))? else { return Ok(Vec::new()) };
    let sql = format!("SELECT {} FROM {} WHERE request_id = ? ORDER BY attempt", *NAMES, day.table());
    collect(connection, &sql, vec![Value::Text(request.text())])
}

pub(super) fn list(connection: &Connection, filter: &Filter) -> Result<Vec<Attempt>, StoreError> {
    let (condition, values) = condition(filter);
    let most = filter.limit.map_or(usize::MAX, |limit| limit as usize);
    let mut days = days::of_filter(connection, filter)?;
    days.sort_by_key(|day| std::cmp::Reverse(day.last));
    let mut found: Vec<Attempt> = Vec::new();
    for day in days {
        if found.len() >= most && found.last().is_none_or(|oldest| oldest.started > day.last) {
            break;
        }
        let mut values = values.clone();
        values.push(Value::Integer(filter.limit.map_or(-1, i64::from)));
        let order = "ORDER BY started DESC, request_id DESC, attempt DESC LIMIT ?";
        let sql = format!("SELECT {} FROM {} WHERE {condition} {order}", *NAMES, day.table());
        found.extend(collect(connection, &sql, values)?);
        found.sort_by_key(|row| std::cmp::Reverse((row.started, row.request_id, row.attempt)));
        found.truncate(most);
    }
    Ok(found)
}

pub(super) fn each(
    connection: &Connection,
    filter: &Filter,
    take: &mut dyn FnMut(Attempt) -> bool,
) -> Result<(), StoreError> {
    let (condition, values) = condition(filter);
    for day in days::of_filter(connection, filter)? {
        let order = "ORDER BY started, request_id, attempt";
        let sql = format!("SELECT {} FROM {} WHERE {condition} {order}", *NAMES, day.table());
        if !select(connection, &sql, values.clone(), take)? {
            break;
        }
    }
    Ok(())
}

pub(super) fn totals(connection: &Connection, by: &[Dimension], filter: &Filter) -> Result<Vec<Total>, StoreError> {
    let (condition, values) = condition(filter);
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
        let sql = format!("SELECT {groups}{sums} FROM {} WHERE {condition} {group_by}", day.table());
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

/// `filter` as a condition and its values.
pub(super) fn condition(filter: &Filter) -> (String, Vec<Value>) {
    let mut condition = String::from("1");
    let mut values = Vec::new();
    for (part, moment) in [(" AND started >= ?", filter.from), (" AND started < ?", filter.until)] {
        if let Some(moment) = moment {
            condition.push_str(part);
            values.push(Value::Integer(moment));
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
        if !take(Attempt::from_cells(|at| cell(row, at).map_err(&doing))?) {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Moves the rows of the mould, where versions before days kept them all, into their days.
pub(super) fn carry_over(transaction: &Transaction<'_>) -> Result<(), StoreError> {
    const BATCH: usize = 10_000;
    let mut batch = Vec::new();
    let mut result = Ok(());
    let sql = format!("SELECT {} FROM attempts ORDER BY started", *NAMES);
    select(transaction, &sql, Vec::new(), &mut |row| {
        batch.push(row);
        if batch.len() >= BATCH {
            result = append(transaction, &batch).map(|_| ());
            batch.clear();
        }
        result.is_ok()
    })?;
    result?;
    append(transaction, &batch)?;
    transaction.execute("DELETE FROM attempts", []).map(|_| ()).map_err(refused(ADD))
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
