//! Attempts in SQL. The statements are made from the row's list of fields; rows are added and read day by day.

use super::days::{self, Day};
use super::flows::Sums;
use super::kinds::{self, Kind, Kinds};
use super::places;
use super::{Pad, refused};
use crate::cell::{Cell, Mismatch};
use crate::flow::{Counts, MOST_NANODOLLARS, MOST_TOKENS};
use crate::id::RequestId;
use crate::named::Named;
use crate::packed::{self, Entries, Entry, NOT_UNDERSTOOD, Values};
use crate::record::{Attempt, COLUMNS, Name, Outcome, RowKey, SCORES};
use crate::store::{Dimension, Filter, StoreError, Total};
use rusqlite::types::{ToSqlOutput, Value, ValueRef};
use rusqlite::{Connection, OptionalExtension, Row, Statement, ToSql, Transaction, params_from_iter};
use std::collections::HashMap;
use std::sync::LazyLock;

const ADD: &str = "add rows to the ledger";
const READ: &str = "read the ledger";

/// Rows per step where those of older versions are taken over.
const BATCH: usize = 10_000;

static NAMES: LazyLock<String> =
    LazyLock::new(|| COLUMNS.iter().map(|column| format!("\"{}\"", column.name)).collect::<Vec<_>>().join(", "));

/// How many fields are a row's own.
const OWN: usize = own_before(COLUMNS.len());

/// Own fields by their numbers: which of the own ones each is; `OWN`: it is none.
const WHICH: [usize; 64] = {
    let mut which = [OWN; 64];
    let mut at = 0;
    while at < COLUMNS.len() {
        if COLUMNS[at].own {
            which[COLUMNS[at].number as usize] = own_before(at);
        }
        at += 1;
    }
    which
};

/// Those that sums are made of.
const INPUT: usize = own("input_tokens");
const CACHED: usize = own("cache_read_tokens");
const OUTPUT: usize = own("output_tokens");
const COST: usize = own("cost_nanodollars");
const FIRST_TOKEN: usize = own("first_token_us");
const STARTED: usize = own("started");

/// How many own fields stand before the field `at`.
const fn own_before(at: usize) -> usize {
    let (mut own, mut before) = (0, 0);
    while before < at {
        own += COLUMNS[before].own as usize;
        before += 1;
    }
    own
}

/// Which of the own fields `field` is.
const fn own(field: &str) -> usize {
    let (field, mut at) = (field.as_bytes(), 0);
    loop {
        let (name, mut same) = (COLUMNS[at].name.as_bytes(), 0);
        while same < name.len() && same < field.len() && name[same] == field[same] {
            same += 1;
        }
        if same == name.len() && same == field.len() {
            return own_before(at);
        }
        at += 1;
    }
}

/// Into which columns a row goes, and what is bound to them.
static INTO: LazyLock<(String, String)> = LazyLock::new(|| {
    let own = COLUMNS.iter().filter(|column| column.own).map(|column| format!("\"{}\"", column.name));
    let names: Vec<String> = own.chain(["kind", "scores", "place"].map(str::to_owned)).collect();
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

/// Adds rows, and what they change in the sums; returns how many are new or changed.
pub(super) fn append(transaction: &Transaction<'_>, pad: &mut Pad, entries: &Entries) -> Result<u64, StoreError> {
    let sorted = entries.sorted();
    let forgotten = days::forgotten(transaction)?;
    let day_of = |row: &(RowKey, Entry<'_>)| days::of(row.0.0);
    let kept = &sorted[sorted.partition_point(|row| day_of(row) < forgotten.first_day)..];
    if kept.len() < sorted.len() {
        let rows = sorted.len() - kept.len();
        tracing::warn!(rows, "rows of days that the ledger has forgotten came too late and are not added");
    }
    let (mut changed, mut sums) = (0, Sums::default());
    for rows in kept.chunk_by(|a, b| day_of(a) == day_of(b)) {
        let Some(first) = rows.first() else { continue };
        let mut day = days::open(transaction, day_of(first))?;
        changed += add(transaction, &mut pad.kinds, &mut day, rows, &mut sums)?;
        days::keep(transaction, &day)?;
    }
    sums.keep(transaction, &mut pad.flow_ids, forgotten.until)?;
    Ok(changed)
}

/// Adds rows of one day, sorted so that most find their place at the end. A row that is there stays, unless it has no
/// final outcome and the new one has.
fn add(
    transaction: &Transaction<'_>,
    kinds: &mut Kinds,
    day: &mut Day,
    rows: &[(RowKey, Entry<'_>)],
    sums: &mut Sums,
) -> Result<u64, StoreError> {
    let (names, places) = &*INTO;
    let doing = refused(ADD);
    let insert = format!("INSERT OR IGNORE INTO {} ({names}) VALUES ({places})", day.rows());
    let mut insert = transaction.prepare_cached(&insert).map_err(&doing)?;
    let kinds = kinds.of(day);
    let mut changed = 0;
    let (mut own, mut before) = (Own::default(), Own::default());
    for (key, entry) in rows {
        let kind = kinds.get(entry.kind, || kinds::write(transaction, day, entry))?;
        own.read(&kind, *key, entry).ok_or(NOT_UNDERSTOOD)?;
        own.bind(&mut insert, &before).map_err(&doing)?;
        let counts = own.counts(&kind);
        let mut added = insert.raw_execute().map_err(&doing)? == 1;
        while !added {
            match there(transaction, day, *key, own.place).map_err(&doing)? {
                // another's place
                None => {
                    own.place = places::next(own.place);
                    own.bind_place(&mut insert).map_err(&doing)?;
                    added = insert.raw_execute().map_err(&doing)? == 1;
                }
                Some((started, true)) if kind.outcome.is_final() => {
                    let replace = format!("REPLACE INTO {} ({names}) VALUES ({places})", day.rows());
                    let mut replace = transaction.prepare_cached(&replace).map_err(&doing)?;
                    own.bind(&mut replace, &Own::default()).map_err(&doing)?;
                    replace.raw_execute().map_err(&doing)?;
                    day.tell(key.0, counts.started, false);
                    sums.replaced(started, counts.started);
                    changed += 1;
                    break;
                }
                Some(_) => break,
            }
        }
        if added {
            day.tell(key.0, counts.started, true);
            sums.add(&counts, day.number, &kind);
            changed += 1;
        }
        std::mem::swap(&mut own, &mut before);
    }
    Ok(changed)
}

/// When the row of `key` that lies in `place` began, and whether its end is still missing. `None`: another lies there.
fn there(
    transaction: &Transaction<'_>,
    day: &Day,
    (request, attempt): RowKey,
    place: i64,
) -> rusqlite::Result<Option<(i64, bool)>> {
    let sql = format!(
        "SELECT started, outcome IN ('open', 'unknown') FROM {} WHERE place = ?1 AND request_id = ?2 AND attempt = ?3",
        day.attempts()
    );
    let mut there = transaction.prepare_cached(&sql)?;
    there.query_row((place, request.text(), attempt), |row| Ok((row.get(0)?, row.get(1)?))).optional()
}

/// A row on its way: its place, its kind's number, and its own part.
#[derive(Default)]
struct Own<'e> {
    cells: Vec<Cell<'e>>,
    kind: i64,
    scores: &'e [u8],
    place: i64,
}

impl<'e> Own<'e> {
    /// Becomes `entry`, which is the row of `key` and of `kind`. `None`: nobody understands it.
    fn read(&mut self, kind: &Kind, key: RowKey, entry: &Entry<'e>) -> Option<()> {
        self.cells.clear();
        self.cells.resize(OWN, Cell::Null);
        (self.kind, self.scores, self.place) = (kind.number, &[], places::of(key));
        let mut values = Values::of(entry.own);
        while let Some((number, value)) = values.next() {
            match value {
                packed::Value::Bytes(scores) if number == SCORES => self.scores = scores,
                value => {
                    let which = WHICH.get(usize::from(number)).copied().unwrap_or(OWN);
                    if let Some(cell) = self.cells.get_mut(which) {
                        *cell = Attempt::own_cell(number, value)?;
                    }
                }
            }
        }
        values.is_at_end().then_some(())
    }

    /// Binds it to `statement`. What the row `before` had in the same place, as most have most, is bound already.
    fn bind(&self, statement: &mut Statement<'_>, before: &Self) -> rusqlite::Result<()> {
        for (at, cell) in self.cells.iter().enumerate() {
            if before.cells.get(at) != Some(cell) {
                statement.raw_bind_parameter(at + 1, cell)?;
            }
        }
        let first = before.cells.is_empty();
        if first || before.kind != self.kind {
            statement.raw_bind_parameter(OWN + 1, self.kind)?;
        }
        if first || before.scores != self.scores {
            statement.raw_bind_parameter(OWN + 2, (!self.scores.is_empty()).then_some(self.scores))?;
        }
        self.bind_place(statement)
    }

    fn bind_place(&self, statement: &mut Statement<'_>) -> rusqlite::Result<()> {
        statement.raw_bind_parameter(OWN + 3, self.place)
    }

    /// What it counts.
    fn counts(&self, kind: &Kind) -> Counts {
        let whole = |which: usize| match self.cells.get(which) {
            Some(Cell::Integer(value)) => Some(*value),
            _ => None,
        };
        let count = |which| whole(which).map(i64::cast_unsigned);
        Counts {
            answered: kind.outcome == Outcome::Ok,
            input: count(INPUT),
            cached: count(CACHED),
            output: count(OUTPUT),
            cost_nanodollars: whole(COST),
            first_token_us: count(FIRST_TOKEN),
            started: whole(STARTED).unwrap_or(0),
        }
    }
}

pub(super) fn attempts(connection: &Connection, request: RequestId) -> Result<Vec<Attempt>, StoreError> {
    let Some(day) = days::find(connection, days::of(request))? else { return Ok(Vec::new()) };
    let condition = "place >= ? AND place < ? AND request_id = ?";
    let sql = format!("SELECT {}, scores FROM {} WHERE {condition} ORDER BY attempt", *NAMES, day.attempts());
    let values =
        [Value::Integer(places::first(request)), Value::Integer(places::end(request)), Value::Text(request.text())];
    collect(connection, &sql, values.to_vec())
}

pub(super) fn list(connection: &Connection, filter: &Filter) -> Result<Vec<Attempt>, StoreError> {
    let most = filter.limit.map_or(usize::MAX, |limit| limit as usize);
    let mut found: Vec<Attempt> = Vec::new();
    for day in days::of_filter(connection, filter)?.into_iter().rev() {
        let (condition, mut values) = condition(filter, &day);
        let left = most - found.len();
        values.push(Value::Integer(i64::try_from(left).unwrap_or(i64::MAX)));
        let order = "ORDER BY place DESC LIMIT ?";
        let sql = format!("SELECT {}, scores FROM {} WHERE {condition} {order}", *NAMES, day.attempts());
        let mut of_day = collect(connection, &sql, values)?;
        of_day.sort_by_key(|row| std::cmp::Reverse(row.row_key()));
        found.extend(of_day);
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
        let order = "ORDER BY place";
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
    // Rows lie in the order in which their requests came: outside these places none can have begun in time.
    let milli =
        |moment: i64| moment.div_euclid(1_000).saturating_sub(day.number.saturating_mul(places::DAY.cast_signed()));
    let bounds = [
        (" AND started >= ?", " AND place >= ?", filter.from, day.late, 0),
        (" AND started < ?", " AND place < ?", filter.until, day.early, 1),
    ];
    for (of_time, of_place, moment, after, more) in bounds {
        if let Some(moment) = moment {
            condition.push_str(of_time);
            values.push(Value::Integer(moment));
            condition.push_str(of_place);
            let milli = milli(moment.saturating_sub(after)).saturating_add(more).max(0);
            values.push(Value::Integer(places::of_milli(milli.cast_unsigned())));
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
pub(super) fn carry_over(transaction: &Transaction<'_>, pad: &mut Pad) -> Result<(), StoreError> {
    in_batches(transaction, "attempts", |rows| append(transaction, pad, &Entries::of(rows)).map(|_| ()))?;
    transaction.execute("DELETE FROM attempts", []).map_err(refused(ADD))?;
    for (wide, mut day) in days::set_wide_ones_aside(transaction)? {
        day.count = 0;
        in_batches(transaction, &wide, |rows| {
            // what they add to sums is there already
            add(transaction, &mut pad.kinds, &mut day, &Entries::of(rows).sorted(), &mut Sums::default()).map(|_| ())
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
