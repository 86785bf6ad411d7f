//! Attempts in SQL. The statements are made from the row's list of fields.

use super::refused;
use crate::cell::Cell;
use crate::id::RequestId;
use crate::named::Named;
use crate::record::{Attempt, COLUMNS};
use crate::store::{Dimension, Filter, StoreError, Total};
use rusqlite::types::{ToSqlOutput, Value, ValueRef};
use rusqlite::{Connection, Row, Statement, ToSql, TransactionBehavior, params_from_iter};
use std::sync::LazyLock;

const READ: &str = "read the ledger";

static NAMES: LazyLock<String> =
    LazyLock::new(|| COLUMNS.iter().map(|column| format!("\"{}\"", column.name)).collect::<Vec<_>>().join(", "));

/// Adds a row; over one that is there only where that has no final outcome and the new one has.
static APPEND: LazyLock<String> = LazyLock::new(|| {
    let places = vec!["?"; COLUMNS.len()].join(", ");
    let set = COLUMNS.iter().map(|column| format!("\"{0}\" = excluded.\"{0}\"", column.name)).collect::<Vec<_>>();
    format!(
        "INSERT INTO attempts ({}) VALUES ({places}) ON CONFLICT (request_id, attempt) DO UPDATE SET {} \
         WHERE attempts.outcome IN ('open', 'unknown') AND excluded.outcome NOT IN ('open', 'unknown')",
        *NAMES,
        set.join(", ")
    )
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

pub(super) fn append(connection: &mut Connection, rows: &[Attempt]) -> Result<u64, StoreError> {
    let doing = refused("add rows to the ledger");
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate).map_err(&doing)?;
    let mut changed = 0;
    {
        let mut statement = transaction.prepare_cached(&APPEND).map_err(&doing)?;
        let mut before = Vec::new();
        for row in rows {
            let cells: Vec<_> = row.cells().collect();
            changed += execute(&mut statement, &cells, &before).map_err(&doing)? as u64;
            before = cells;
        }
    }
    transaction.commit().map_err(&doing)?;
    Ok(changed)
}

/// Runs `statement` with `cells`. What the row `before` had in the same place, as most have most, is bound already.
fn execute(statement: &mut Statement<'_>, cells: &[Cell<'_>], before: &[Cell<'_>]) -> rusqlite::Result<usize> {
    for (at, cell) in cells.iter().enumerate() {
        if before.get(at) != Some(cell) {
            statement.raw_bind_parameter(at + 1, cell)?;
        }
    }
    statement.raw_execute()
}

pub(super) fn attempts(connection: &Connection, request: RequestId) -> Result<Vec<Attempt>, StoreError> {
    let sql = format!("SELECT {} FROM attempts WHERE request_id = ? ORDER BY attempt", *NAMES);
    select(connection, &sql, vec![Value::Text(request.text())])
}

pub(super) fn list(connection: &Connection, filter: &Filter) -> Result<Vec<Attempt>, StoreError> {
    let (condition, mut values) = condition(filter);
    values.push(Value::Integer(filter.limit.map_or(-1, i64::from)));
    let order = "ORDER BY started DESC, request_id DESC, attempt DESC LIMIT ?";
    select(connection, &format!("SELECT {} FROM attempts WHERE {condition} {order}", *NAMES), values)
}

pub(super) fn totals(connection: &Connection, by: Dimension, filter: &Filter) -> Result<Vec<Total>, StoreError> {
    let (condition, values) = condition(filter);
    let sql = format!(
        "SELECT \"{}\", COUNT(DISTINCT request_id), COUNT(*), COUNT(*) FILTER (WHERE outcome = 'ok'), COUNT(*) FILTER (WHERE outcome = 'failed'), \
         COUNT(*) FILTER (WHERE outcome = 'cancelled'), COUNT(*) FILTER (WHERE outcome = 'unknown'), \
         COUNT(*) FILTER (WHERE input_tokens IS NULL OR output_tokens IS NULL), COALESCE(SUM(input_tokens), 0), \
         COALESCE(SUM(cache_read_tokens), 0), COALESCE(SUM(output_tokens), 0), COALESCE(SUM(reasoning_tokens), 0), \
         COUNT(*) FILTER (WHERE cost_nanodollars IS NULL), COALESCE(SUM(cost_nanodollars), 0) \
         FROM attempts WHERE {condition} GROUP BY 1 ORDER BY 3 DESC, 1",
        by.name()
    );
    let doing = refused(READ);
    let mut statement = connection.prepare_cached(&sql).map_err(&doing)?;
    let found = statement.query_map(params_from_iter(values), total).map_err(&doing)?;
    found.collect::<rusqlite::Result<_>>().map_err(&doing)
}

fn total(row: &Row<'_>) -> rusqlite::Result<Total> {
    Ok(Total {
        group: row.get::<_, Option<String>>(0)?.map(Into::into),
        requests: row.get(1)?,
        attempts: row.get(2)?,
        ok: row.get(3)?,
        failed: row.get(4)?,
        cancelled: row.get(5)?,
        unknown: row.get(6)?,
        uncounted: row.get(7)?,
        input_tokens: row.get(8)?,
        cache_read_tokens: row.get(9)?,
        output_tokens: row.get(10)?,
        reasoning_tokens: row.get(11)?,
        unpriced: row.get(12)?,
        cost_nanodollars: row.get(13)?,
    })
}

/// `filter` as a condition and its values.
pub(super) fn condition(filter: &Filter) -> (String, Vec<Value>) {
    let text = |text: &str| Value::Text(text.to_owned());
    let parts = [
        ("started >= ?", filter.from.map(Value::Integer)),
        ("started < ?", filter.until.map(Value::Integer)),
        ("product = ?", filter.product.as_deref().map(text)),
        ("deployment = ?", filter.deployment.as_deref().map(text)),
        ("outcome = ?", filter.outcome.map(|outcome| text(outcome.name()))),
        ("mode = ?", filter.mode.map(|mode| text(mode.name()))),
    ];
    let mut condition = String::from("1");
    let mut values = Vec::new();
    for (part, value) in parts {
        if let Some(value) = value {
            condition.push_str(" AND ");
            condition.push_str(part);
            values.push(value);
        }
    }
    (condition, values)
}

fn select(connection: &Connection, sql: &str, values: Vec<Value>) -> Result<Vec<Attempt>, StoreError> {
    let doing = refused(READ);
    let mut statement = connection.prepare_cached(sql).map_err(&doing)?;
    let mut rows = statement.query(params_from_iter(values)).map_err(&doing)?;
    let mut found = Vec::new();
    while let Some(row) = rows.next().map_err(&doing)? {
        found.push(Attempt::from_cells(|at| cell(row, at).map_err(&doing))?);
    }
    Ok(found)
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
