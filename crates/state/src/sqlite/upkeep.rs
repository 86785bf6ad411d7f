//! Forgetting and counting.

use crate::store::Held;
use rusqlite::{Connection, Transaction};
use std::collections::BTreeMap;

/// Statements in the order that leaves nothing behind that nobody holds.
pub(super) fn purge(transaction: &Transaction<'_>, before: i64) -> rusqlite::Result<u64> {
    let old_answers = "SELECT a.product, a.id FROM answers a JOIN threads t \
                       ON t.product = a.product AND t.id = a.thread WHERE t.used < ?1";
    let old_conversations = "SELECT product, id FROM conversations WHERE used < ?1";
    for old in [old_answers, old_conversations] {
        transaction.execute(&format!("DELETE FROM items WHERE (product, holder) IN ({old})"), [before])?;
    }
    let mut gone =
        transaction.execute(&format!("DELETE FROM answers WHERE (product, id) IN ({old_answers})"), [before])?;
    gone += transaction.execute("DELETE FROM conversations WHERE used < ?1", [before])?;
    gone += transaction.execute("DELETE FROM seals WHERE used < ?1", [before])?;
    transaction.execute("DELETE FROM threads WHERE used < ?1", [before])?;
    Ok(gone as u64)
}

pub(super) fn erase(transaction: &Transaction<'_>, product: &str) -> rusqlite::Result<u64> {
    let mut gone = 0;
    for (table, counts) in
        [("answers", true), ("conversations", true), ("items", false), ("threads", false), ("seals", false)]
    {
        let rows = transaction.execute(&format!("DELETE FROM {table} WHERE product = ?1"), [product])?;
        gone += if counts { rows as u64 } else { 0 };
    }
    Ok(gone)
}

pub(super) fn held(connection: &Connection) -> rusqlite::Result<Vec<Held>> {
    let mut all: BTreeMap<String, Held> = BTreeMap::new();
    let mut each = |sql: &str, note: &dyn Fn(&mut Held, i64, Option<i64>)| -> rusqlite::Result<()> {
        let mut statement = connection.prepare_cached(sql)?;
        let mut rows = statement.query([])?;
        while let Some(row) = rows.next()? {
            let product: String = row.get(0)?;
            let held = all.entry(product.clone()).or_insert_with(|| Held { product, ..Held::default() });
            note(held, row.get(1)?, row.get(2)?);
        }
        Ok(())
    };
    each("SELECT product, COUNT(*), MIN(created) FROM answers GROUP BY product", &|held, count, oldest| {
        held.answers = count.unsigned_abs();
        held.oldest = oldest;
    })?;
    each("SELECT product, COUNT(*), NULL FROM conversations GROUP BY product", &|held, count, _| {
        held.conversations = count.unsigned_abs();
    })?;
    each(
        "SELECT product, COUNT(*), SUM(LENGTH(CAST(body AS BLOB))) FROM items GROUP BY product",
        &|held, count, bytes| {
            held.items = count.unsigned_abs();
            held.bytes = bytes.unwrap_or(0).unsigned_abs();
        },
    )?;
    Ok(all.into_values().collect())
}
