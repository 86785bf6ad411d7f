//! Flows in SQL: the database sums, and only the sums leave it.

use super::refused;
use super::rows::condition;
use crate::flow::{CLIENT_MODES, Flow, FlowKey, LACKS, SIZES};
use crate::named::Named;
use crate::record::{Name, Portability};
use crate::store::{Filter, StoreError};
use rusqlite::{Connection, Row, params_from_iter};
use std::sync::LazyLock;

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

/// Everything before the condition.
static HEAD: LazyLock<String> = LazyLock::new(|| {
    let sizes: Vec<String> = SIZES.iter().map(|size| format!("(input_tokens >= {size})")).collect();
    let lacks: Vec<String> = LACKS
        .iter()
        .enumerate()
        .map(|(at, reason)| format!("((instr(candidates, '\"{reason}\"') > 0) << {at})"))
        .collect();
    format!(
        "SELECT {}, portability, locked_by, {} AS size, \
         CASE WHEN instr(candidates, '\"lacks-') > 0 THEN {} ELSE 0 END AS lacked, \
         COUNT(*), COUNT(*) FILTER (WHERE outcome = 'ok'), \
         SUM(COALESCE(input_tokens, 0) + COALESCE(output_tokens, 0)), \
         COALESCE(SUM(input_tokens) FILTER (WHERE outcome = 'ok'), 0), \
         COALESCE(SUM(cache_read_tokens) FILTER (WHERE outcome = 'ok'), 0), \
         COALESCE(SUM(output_tokens) FILTER (WHERE outcome = 'ok'), 0), \
         COUNT(*) FILTER (WHERE outcome = 'ok' AND (input_tokens IS NULL OR output_tokens IS NULL)), \
         COALESCE(SUM(cost_nanodollars), 0), COUNT(*) FILTER (WHERE outcome = 'ok' AND cost_nanodollars IS NULL), \
         MAX(input_tokens), MIN(started), MAX(started), COUNT(first_token_us) FILTER (WHERE outcome = 'ok'), \
         COALESCE(SUM(first_token_us) FILTER (WHERE outcome = 'ok'), 0) FROM attempts",
        NAMES.join(", "),
        sizes.join(" + "),
        lacks.join(" | "),
    )
});

pub(super) fn flows(connection: &Connection, filter: &Filter) -> Result<Vec<Flow>, StoreError> {
    let (condition, values) = condition(filter);
    let modes: Vec<String> = CLIENT_MODES.iter().map(|mode| format!("'{mode}'")).collect();
    let groups: Vec<String> = (1..=NAMES.len() + 4).map(|at| at.to_string()).collect();
    let sql = format!(
        "{} WHERE {condition} AND mode IN ({}) AND drill IS NULL GROUP BY {}",
        *HEAD,
        modes.join(", "),
        groups.join(", ")
    );
    let doing = refused("sum the ledger");
    let mut statement = connection.prepare_cached(&sql).map_err(&doing)?;
    let found = statement.query_map(params_from_iter(values), flow).map_err(&doing)?;
    let mut list = found.collect::<rusqlite::Result<Vec<Flow>>>().map_err(&doing)?;
    list.sort_unstable_by(|a, b| a.key.cmp(&b.key));
    Ok(list)
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
    Ok(Flow {
        key,
        attempts: row.get(17)?,
        answered: row.get(18)?,
        tokens: row.get(19)?,
        input: row.get(20)?,
        cached: row.get(21)?,
        output: row.get(22)?,
        uncounted: row.get(23)?,
        cost_nanodollars: row.get(24)?,
        unpriced: row.get(25)?,
        largest: row.get(26)?,
        first: row.get(27)?,
        last: row.get(28)?,
        timed: row.get(29)?,
        first_token_us: row.get(30)?,
    })
}
