//! Flows in SQL. Days and hours are summed when their rows are written, so that a report over millions of attempts reads
//! thousands of sums; at the ends of a window broken days are read by the hour, and only broken hours from rows.

use super::kinds::Kind;
use super::rows::condition;
use super::{days, refused};
use crate::flow::{CLIENT_MODES, Counts, Flow, FlowKey, LACKS, MOST_NANODOLLARS, MOST_TOKENS, SIZES, size};
use crate::named::Named;
use crate::packed::Sum;
use crate::record::{Name, Portability};
use crate::store::{Dimension, Filter, StoreError};
use rusqlite::{Connection, OptionalExtension, Row, Transaction, params, params_from_iter};
use std::collections::{BTreeSet, HashMap};
use std::hash::BuildHasherDefault;
use std::sync::LazyLock;

const SUM: &str = "sum the ledger";

/// Sums of whole spans of time.
struct Level {
    table: &'static str,
    /// Microseconds.
    span: i64,
}

const DAYS: Level = Level { table: "flows_by_day", span: 86_400_000_000 };
const HOURS: Level = Level { table: "flows_by_hour", span: 3_600_000_000 };

/// The columns of the key that are names, in the order of `FlowKey`.
const NAMES: [&str; 13] = [
    "product",
    "class",
    "dialect",
    "requested_model",
    "deployment",
    "provider",
    "resolved_model",
    "maker",
    "host",
    "invoicer",
    "account",
    "region",
    "family",
];

/// What is selected from rows.
static HEAD: LazyLock<String> = LazyLock::new(|| {
    let sizes: Vec<String> = SIZES.iter().map(|size| format!("(input_tokens >= {size})")).collect();
    let lacks: Vec<String> = LACKS
        .iter()
        .enumerate()
        .map(|(at, reason)| format!("((instr(candidates, '\"{reason}\"') > 0) << {at})"))
        .collect();
    let of = |column: &str| format!("MIN({column}, {MOST_TOKENS})");
    let answered = |column: &str| format!("COALESCE(SUM({}) FILTER (WHERE outcome = 'ok'), 0)", of(column));
    format!(
        "SELECT {names}, portability, locked_by, {sizes} AS size, \
         CASE WHEN instr(candidates, '\"lacks-') > 0 THEN {lacks} ELSE 0 END AS lacked, \
         COUNT(*), COUNT(*) FILTER (WHERE outcome = 'ok'), \
         SUM(COALESCE({input}, 0) + COALESCE({output}, 0)), {}, {}, {}, \
         COUNT(*) FILTER (WHERE outcome = 'ok' AND (input_tokens IS NULL OR output_tokens IS NULL)), \
         COALESCE(SUM(MAX(MIN(cost_nanodollars, {MOST_NANODOLLARS}), -{MOST_NANODOLLARS})), 0), \
         COUNT(*) FILTER (WHERE outcome = 'ok' AND cost_nanodollars IS NULL), \
         COUNT(first_token_us) FILTER (WHERE outcome = 'ok'), {}, MAX({input}), MIN(started), MAX(started)",
        answered("input_tokens"),
        answered("cache_read_tokens"),
        answered("output_tokens"),
        answered("first_token_us"),
        names = NAMES.join(", "),
        sizes = sizes.join(" + "),
        lacks = lacks.join(" | "),
        input = of("input_tokens"),
        output = of("output_tokens"),
    )
});

/// The columns of a span's sums.
const SUMS: &str = "attempts, answered, tokens, input, cached, output, uncounted, cost_nanodollars, unpriced, timed, first_token_us, \
     largest, first, last";

/// `SUMS` of several spans.
static SUMMED: LazyLock<String> = LazyLock::new(|| {
    let sum = |name| match name {
        "largest" | "last" => format!("MAX({name})"),
        "first" => "MIN(first)".to_owned(),
        name => format!("SUM({name})"),
    };
    SUMS.split(", ").map(sum).collect::<Vec<_>>().join(", ")
});

/// A day, and the number of one of its kinds.
pub(super) type KindOf = (i64, i64);

/// What new rows change in the sums.
#[derive(Default)]
pub(super) struct Sums {
    /// New flows: by the hour, by day and number of a kind, and by the size of the prompt.
    new: HashMap<(i64, KindOf, Option<u8>), Flow, BuildHasherDefault<Sum>>,
    /// Hours in which a row was replaced: maxima cannot be taken back, so these are summed again.
    stale: BTreeSet<i64>,
}

impl Sums {
    /// Counts a new row of `kind`, which tells its flow but for the size of the prompt.
    pub(super) fn add(&mut self, counts: &Counts, day: i64, kind: &Kind) {
        if kind.counts {
            let size = counts.input.map(size);
            let of = (counts.started.div_euclid(HOURS.span), (day, kind.number), size);
            match self.new.get_mut(&of) {
                Some(flow) => flow.add(&counts.flow()),
                None => {
                    let key = FlowKey { size, ..kind.flow.clone() };
                    self.new.insert(of, Flow { key, ..counts.flow() });
                }
            }
        }
    }

    /// Tells of a row that was replaced, begun at `before`, by one begun at `now`.
    pub(super) fn replaced(&mut self, before: i64, now: i64) {
        self.stale.extend([before.div_euclid(HOURS.span), now.div_euclid(HOURS.span)]);
    }

    /// Writes the sums; all rows are there already. A day of which attempts begun before `forgotten` may be missing is
    /// not summed again: there a replaced row stays counted as what it was.
    pub(super) fn keep(
        mut self,
        transaction: &Transaction<'_>,
        ids: &mut FlowIds,
        forgotten: i64,
    ) -> Result<(), StoreError> {
        let doing = refused(SUM);
        ids.look_around(transaction).map_err(&doing)?;
        self.stale.retain(|hour| day_of(*hour).saturating_mul(DAYS.span) >= forgotten);
        let stale_days: BTreeSet<i64> = self.stale.iter().copied().map(day_of).collect();
        let mut by_hour: HashMap<i64, Vec<Flow>> = HashMap::new();
        for ((hour, ..), flow) in self.new {
            by_hour.entry(hour).or_default().push(flow);
        }
        let mut by_day: HashMap<i64, Vec<Flow>> = HashMap::new();
        for (hour, flows) in by_hour {
            let flows = Flow::merged(flows);
            if !self.stale.contains(&hour) {
                add(transaction, ids, &HOURS, hour, &flows)?;
            }
            by_day.entry(day_of(hour)).or_default().extend(flows);
        }
        for (day, flows) in by_day.into_iter().filter(|(day, _)| !stale_days.contains(day)) {
            add(transaction, ids, &DAYS, day, &Flow::merged(flows))?;
        }
        for hour in self.stale {
            clear(transaction, &HOURS, hour).map_err(&doing)?;
            let (from, until) = (hour.saturating_mul(HOURS.span), (hour + 1).saturating_mul(HOURS.span));
            let filter = Filter { from: Some(from), until: Some(until), ..Filter::default() };
            add(transaction, ids, &HOURS, hour, &of_rows(transaction, &filter)?)?;
        }
        stale_days.into_iter().try_for_each(|day| sum_hours(transaction, day)).map_err(&doing)
    }
}

/// The day that `hour` is in.
fn day_of(hour: i64) -> i64 {
    hour.div_euclid(DAYS.span / HOURS.span)
}

fn clear(transaction: &Transaction<'_>, level: &Level, span: i64) -> rusqlite::Result<()> {
    let sql = format!("DELETE FROM {} WHERE key IN (SELECT id FROM flow_keys) AND span = ?1", level.table);
    transaction.prepare_cached(&sql)?.execute([span]).map(|_| ())
}

/// Sums `day` again from its hours.
fn sum_hours(transaction: &Transaction<'_>, day: i64) -> rusqlite::Result<()> {
    clear(transaction, &DAYS, day)?;
    let hours = DAYS.span / HOURS.span;
    let sql = format!(
        "INSERT INTO {} (key, span, {SUMS}) SELECT key, ?1, {} FROM {} \
         WHERE key IN (SELECT id FROM flow_keys) AND span >= ?2 AND span < ?3 GROUP BY key",
        DAYS.table, *SUMMED, HOURS.table
    );
    transaction.prepare_cached(&sql)?.execute((day, day * hours, (day + 1) * hours)).map(|_| ())
}

/// The numbers of flows' keys, as far as they are known.
#[derive(Debug, Default)]
pub(super) struct FlowIds {
    known: HashMap<FlowKey, i64>,
    /// Of the database when they were known: another one says that somebody else wrote to it.
    version: i64,
}

/// Most numbers that are known at a time.
const MOST_IDS: usize = 20_000;

impl FlowIds {
    /// Forgets them if somebody else wrote, who may have forgotten keys.
    fn look_around(&mut self, transaction: &Transaction<'_>) -> rusqlite::Result<()> {
        let version = transaction.prepare_cached("PRAGMA data_version")?.query_row([], |row| row.get(0))?;
        if version != self.version || self.known.len() >= MOST_IDS {
            self.known.clear();
        }
        self.version = version;
        Ok(())
    }

    /// The number of `key`, which is written if it is new.
    fn of(&mut self, transaction: &Transaction<'_>, key: &FlowKey) -> Result<i64, StoreError> {
        if let Some(id) = self.known.get(key) {
            return Ok(*id);
        }
        let refuse =
            |error: Box<dyn std::error::Error + Send + Sync>| StoreError::Refused { doing: SUM, source: error };
        let text = sonic_rs::to_string(key).map_err(|error| refuse(error.into()))?;
        let find = || {
            let mut statement = transaction.prepare_cached("SELECT id FROM flow_keys WHERE key = ?1")?;
            if let Some(id) = statement.query_row([&text], |row| row.get(0)).optional()? {
                return Ok(id);
            }
            let mut insert = transaction.prepare_cached("INSERT INTO flow_keys (key) VALUES (?1)")?;
            insert.insert([&text])
        };
        let id = find().map_err(|error: rusqlite::Error| refuse(error.into()))?;
        self.known.insert(key.clone(), id);
        Ok(id)
    }
}

/// Adds `flows` to the sums of `span`.
fn add(
    transaction: &Transaction<'_>,
    ids: &mut FlowIds,
    level: &Level,
    span: i64,
    flows: &[Flow],
) -> Result<(), StoreError> {
    let counts = SUMS.split(", ").take(11).map(|name| format!("{name} = {name} + excluded.{name}"));
    let sql = format!(
        "INSERT INTO {} (key, span, {SUMS}) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16) \
         ON CONFLICT (key, span) DO UPDATE SET {}, \
         largest = MAX(COALESCE(largest, excluded.largest), COALESCE(excluded.largest, largest)), \
         first = MIN(first, excluded.first), last = MAX(last, excluded.last)",
        level.table,
        counts.collect::<Vec<_>>().join(", ")
    );
    let doing = refused(SUM);
    let mut statement = transaction.prepare_cached(&sql).map_err(&doing)?;
    let whole = |count: u64| i64::try_from(count).unwrap_or(i64::MAX);
    for flow in flows {
        let values = params![
            ids.of(transaction, &flow.key)?,
            span,
            whole(flow.attempts),
            whole(flow.answered),
            whole(flow.tokens),
            whole(flow.input),
            whole(flow.cached),
            whole(flow.output),
            whole(flow.uncounted),
            flow.cost_nanodollars,
            whole(flow.unpriced),
            whole(flow.timed),
            whole(flow.first_token_us),
            flow.largest.map(whole),
            flow.first,
            flow.last,
        ];
        statement.execute(values).map_err(&doing)?;
    }
    Ok(())
}

/// The flows that `filter` means, from sums where it means whole days or hours.
pub(super) fn flows(connection: &Connection, filter: &Filter) -> Result<Vec<Flow>, StoreError> {
    if !filter.is.iter().all(|(by, _)| says(&FlowKey::default(), *by).is_some()) {
        return of_rows(connection, filter);
    }
    let forgotten = days::forgotten(connection)?.until;
    // a broken day whose rows are forgotten counts whole
    let start = |moment: i64| moment.div_euclid(DAYS.span).saturating_mul(DAYS.span);
    let from = filter.from.map(|from| if from < forgotten { start(from) } else { from });
    let until = filter.until.map(|until| match start(until) {
        start if start < forgotten && start < until => start.saturating_add(DAYS.span),
        _ => until,
    });
    let mut parts = Vec::new();
    collect(connection, &Filter { from, until, ..filter.clone() }, &[DAYS, HOURS], &mut parts)?;
    Ok(Flow::merged(parts))
}

/// Collects what `filter` means: whole spans of the first of `levels`, what is left of the next, the rest from rows.
fn collect(
    connection: &Connection,
    filter: &Filter,
    levels: &[Level],
    parts: &mut Vec<Flow>,
) -> Result<(), StoreError> {
    let Some((level, finer)) = levels.split_first() else {
        parts.extend(of_rows(connection, filter)?);
        return Ok(());
    };
    let after = |from: i64| from.div_euclid(level.span) + i64::from(from.rem_euclid(level.span) != 0);
    let first = filter.from.map_or(i64::MIN, after);
    let end = filter.until.map_or(i64::MAX, |until| until.div_euclid(level.span));
    if first >= end {
        return collect(connection, filter, finer, parts);
    }
    of_spans(connection, filter, level, (first, end), parts)?;
    let (first, end) = (first.saturating_mul(level.span), end.saturating_mul(level.span));
    if filter.from.is_some_and(|from| from < first) {
        collect(connection, &Filter { until: Some(first), ..filter.clone() }, finer, parts)?;
    }
    if filter.until.is_some_and(|until| end < until) {
        collect(connection, &Filter { from: Some(end), ..filter.clone() }, finer, parts)?;
    }
    Ok(())
}

/// Collects the flows of the spans from the first until the last.
fn of_spans(
    connection: &Connection,
    filter: &Filter,
    level: &Level,
    (first, end): (i64, i64),
    parts: &mut Vec<Flow>,
) -> Result<(), StoreError> {
    let doing = refused(SUM);
    let mut keys = connection.prepare_cached("SELECT id, key FROM flow_keys").map_err(&doing)?;
    let keys = keys.query_map([], |row| Ok((row.get::<_, i64>(0)?, row.get::<_, String>(1)?))).map_err(&doing)?;
    let sql = format!("SELECT {} FROM {} WHERE key = ?1 AND span >= ?2 AND span < ?3", *SUMMED, level.table);
    let mut statement = connection.prepare_cached(&sql).map_err(&doing)?;
    for pair in keys {
        let (id, text) = pair.map_err(&doing)?;
        let key: FlowKey = sonic_rs::from_str(&text).map_err(|error| {
            StoreError::Damaged(format!("the sums have a key `{text}` that cannot be read ({error})"))
        })?;
        if filter.is.iter().all(|(by, wanted)| says(&key, *by) == Some(wanted.as_deref())) {
            let read = |row: &Row<'_>| match row.get::<_, Option<u64>>(0)? {
                None => Ok(None),
                Some(_) => sums_of(row, 0, key).map(Some),
            };
            parts.extend(statement.query_row((id, first, end), read).map_err(&doing)?);
        }
    }
    Ok(())
}

/// What `key` says of `by`; `None`: keys do not say that.
fn says(key: &FlowKey, by: Dimension) -> Option<Option<&str>> {
    let name = match by {
        Dimension::Product => &key.product,
        Dimension::Class => &key.class,
        Dimension::RequestedModel => &key.requested_model,
        Dimension::Model => &key.model,
        Dimension::Deployment => &key.deployment,
        Dimension::Provider => &key.provider,
        Dimension::Maker => &key.maker,
        Dimension::Host => &key.host,
        Dimension::Invoicer => &key.invoicer,
        Dimension::Account => &key.account,
        Dimension::Region => &key.region,
        Dimension::Family => &key.family,
        Dimension::Portability => return Some(key.portability.map(Named::name)),
        Dimension::Team
        | Dimension::Key
        | Dimension::Outcome
        | Dimension::Mode
        | Dimension::Fault
        | Dimension::Month
        | Dimension::Day
        | Dimension::Hour => return None,
    };
    Some(name.as_deref())
}

/// The flows of the rows that `filter` means.
pub(super) fn of_rows(connection: &Connection, filter: &Filter) -> Result<Vec<Flow>, StoreError> {
    let doing = refused(SUM);
    let modes: Vec<String> = CLIENT_MODES.iter().map(|mode| format!("'{mode}'")).collect();
    let groups: Vec<String> = (1..=NAMES.len() + 4).map(|at| at.to_string()).collect();
    let mut parts = Vec::new();
    for day in days::of_filter(connection, filter)? {
        let (condition, values) = condition(filter, &day);
        let sql = format!(
            "{} FROM {} WHERE {condition} AND mode IN ({}) AND drill IS NULL GROUP BY {}",
            *HEAD,
            day.attempts(),
            modes.join(", "),
            groups.join(", ")
        );
        let mut statement = connection.prepare_cached(&sql).map_err(&doing)?;
        let found = statement.query_map(params_from_iter(&values), flow).map_err(&doing)?;
        for flow in found {
            parts.push(flow.map_err(&doing)?);
        }
    }
    Ok(Flow::merged(parts))
}

/// Forgets the sums of days that end before `before`, and those of hours before `forgotten` (Unix microseconds).
pub(super) fn forget(transaction: &Transaction<'_>, before: i64, forgotten: i64) -> Result<(), StoreError> {
    let forget = |level: &Level, before: i64| {
        let sql = format!("DELETE FROM {} WHERE key IN (SELECT id FROM flow_keys) AND span < ?1", level.table);
        transaction.execute(&sql, [before.div_euclid(level.span)])
    };
    let all = || {
        forget(&HOURS, forgotten)?;
        if forget(&DAYS, before)? > 0 {
            let sql = "DELETE FROM flow_keys WHERE id NOT IN (SELECT key FROM flows_by_day)";
            transaction.execute(sql, [])?;
        }
        Ok(())
    };
    all().map_err(refused("forget old sums"))
}

fn flow(row: &Row<'_>) -> rusqlite::Result<Flow> {
    let name = |at: usize| row.get::<_, Option<String>>(at).map(|text| text.map(Name::from));
    let portability: Option<String> = row.get(13)?;
    let key = FlowKey {
        product: name(0)?,
        class: name(1)?,
        dialect: name(2)?,
        requested_model: name(3)?,
        deployment: name(4)?,
        provider: name(5)?,
        model: name(6)?,
        maker: name(7)?,
        host: name(8)?,
        invoicer: name(9)?,
        account: name(10)?,
        region: name(11)?,
        family: name(12)?,
        portability: portability.as_deref().and_then(Portability::named),
        locked_by: name(14)?,
        size: row.get(15)?,
        lacked: row.get(16)?,
    };
    sums_of(row, 17, key)
}

/// The flow of `key` whose sums stand in `row` from column `at` on.
fn sums_of(row: &Row<'_>, at: usize, key: FlowKey) -> rusqlite::Result<Flow> {
    Ok(Flow {
        key,
        attempts: row.get(at)?,
        answered: row.get(at + 1)?,
        tokens: row.get(at + 2)?,
        input: row.get(at + 3)?,
        cached: row.get(at + 4)?,
        output: row.get(at + 5)?,
        uncounted: row.get(at + 6)?,
        cost_nanodollars: row.get(at + 7)?,
        unpriced: row.get(at + 8)?,
        timed: row.get(at + 9)?,
        first_token_us: row.get(at + 10)?,
        largest: row.get(at + 11)?,
        first: row.get(at + 12)?,
        last: row.get(at + 13)?,
    })
}
