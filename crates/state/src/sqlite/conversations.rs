//! Kept conversations; their items are the parent's.

use super::{forget_items, json};
use crate::store::Conversation;
use rusqlite::{Connection, OptionalExtension, Transaction};
use serde_json::Value;

pub(super) fn put(transaction: &Transaction<'_>, product: &str, one: &Conversation) -> rusqlite::Result<()> {
    let sql = "INSERT INTO conversations (product, id, created, used, metadata) VALUES (?1, ?2, ?3, ?3, ?4)";
    transaction.prepare_cached(sql)?.execute((product, &one.id, one.created, one.metadata.to_string()))?;
    Ok(())
}

pub(super) fn get(connection: &Connection, product: &str, id: &str) -> rusqlite::Result<Option<Conversation>> {
    connection
        .prepare_cached("SELECT created, metadata FROM conversations WHERE product = ?1 AND id = ?2")?
        .query_row((product, id), |row| {
            let metadata: String = row.get(1)?;
            Ok(Conversation { id: id.to_owned(), created: row.get(0)?, metadata: json(&metadata) })
        })
        .optional()
}

/// Notes that a conversation is used; `false`: there is none.
pub(super) fn used(transaction: &Transaction<'_>, product: &str, id: &str, now: i64) -> rusqlite::Result<bool> {
    let sql = "UPDATE conversations SET used = MAX(used, ?3) WHERE product = ?1 AND id = ?2";
    Ok(transaction.prepare_cached(sql)?.execute((product, id, now))? > 0)
}

pub(super) fn label(
    transaction: &Transaction<'_>,
    product: &str,
    id: &str,
    metadata: &Value,
) -> rusqlite::Result<bool> {
    let sql = "UPDATE conversations SET metadata = ?3 WHERE product = ?1 AND id = ?2";
    Ok(transaction.prepare_cached(sql)?.execute((product, id, metadata.to_string()))? > 0)
}

pub(super) fn delete(transaction: &Transaction<'_>, product: &str, id: &str) -> rusqlite::Result<bool> {
    let sql = "DELETE FROM conversations WHERE product = ?1 AND id = ?2";
    let gone = transaction.prepare_cached(sql)?.execute((product, id))? > 0;
    if gone {
        forget_items(transaction, product, id)?;
    }
    Ok(gone)
}
