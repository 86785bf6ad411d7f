//! Kept answers, and what came before each.

use super::{add_items, conversations, forget_items, items_of, json};
use crate::store::{Answer, Context};
use rusqlite::{Connection, OptionalExtension, Transaction};

/// Most answers that one may stand on.
const MOST: usize = 10_000;

pub(super) fn put(transaction: &Transaction<'_>, product: &str, answer: &Answer) -> rusqlite::Result<()> {
    let thread: Option<String> = match &answer.previous {
        Some(previous) => transaction
            .prepare_cached("SELECT thread FROM answers WHERE product = ?1 AND id = ?2")?
            .query_row((product, previous), |row| row.get(0))
            .optional()?,
        None => None,
    };
    let thread = thread.as_deref().unwrap_or(&answer.id);
    transaction
        .prepare_cached(
            "INSERT INTO threads (product, id, used) VALUES (?1, ?2, ?3) \
             ON CONFLICT DO UPDATE SET used = MAX(used, excluded.used)",
        )?
        .execute((product, thread, answer.created))?;
    let mut before = 0;
    if let Some(conversation) = &answer.conversation {
        let holder = (product, conversation.as_str());
        before = transaction
            .prepare_cached("SELECT COALESCE(MAX(place) + 1, 0) FROM items WHERE product = ?1 AND holder = ?2")?
            .query_row(holder, |row| row.get(0))?;
        if conversations::used(transaction, product, conversation, answer.created)? {
            add_items(transaction, holder, &answer.asked, true)?;
            add_items(transaction, holder, &answer.answered, false)?;
        }
    }
    forget_items(transaction, product, &answer.id)?;
    transaction
        .prepare_cached(
            "INSERT OR REPLACE INTO answers \
             (product, id, thread, previous, conversation, conversation_items, created, body) \
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
        )?
        .execute((
            product,
            &answer.id,
            thread,
            &answer.previous,
            &answer.conversation,
            before,
            answer.created,
            answer.body.to_string(),
        ))?;
    add_items(transaction, (product, &answer.id), &answer.asked, true)?;
    add_items(transaction, (product, &answer.id), &answer.answered, false)
}

pub(super) fn get(connection: &Connection, product: &str, id: &str) -> rusqlite::Result<Option<Answer>> {
    let sql = "SELECT previous, conversation, created, body FROM answers WHERE product = ?1 AND id = ?2";
    let found = connection
        .prepare_cached(sql)?
        .query_row((product, id), |row| {
            Ok(Answer {
                id: id.to_owned(),
                previous: row.get(0)?,
                conversation: row.get(1)?,
                created: row.get(2)?,
                body: json(&row.get::<_, String>(3)?),
                ..Answer::default()
            })
        })
        .optional()?;
    let Some(mut answer) = found else { return Ok(None) };
    for (asked, item) in items_of(connection, (product, id), i64::MAX)? {
        if asked { &mut answer.asked } else { &mut answer.answered }.push(item);
    }
    Ok(Some(answer))
}

pub(super) fn delete(transaction: &Transaction<'_>, product: &str, id: &str) -> rusqlite::Result<bool> {
    let gone =
        transaction.prepare_cached("DELETE FROM answers WHERE product = ?1 AND id = ?2")?.execute((product, id))?;
    if gone > 0 {
        forget_items(transaction, product, id)?;
    }
    Ok(gone > 0)
}

/// One link of the chain that an answer ends.
struct Link {
    id: String,
    previous: Option<String>,
    conversation: Option<String>,
    conversation_items: i64,
}

pub(super) fn up_to(connection: &Connection, product: &str, answer: &str) -> rusqlite::Result<Context> {
    let sql = "SELECT previous, conversation, conversation_items FROM answers WHERE product = ?1 AND id = ?2";
    let mut statement = connection.prepare_cached(sql)?;
    let mut links: Vec<Link> = Vec::new();
    let mut next = Some(answer.to_owned());
    while let Some(id) = next {
        let found = statement.query_row((product, &id), |row| {
            Ok(Link {
                id: id.clone(),
                previous: row.get(0)?,
                conversation: row.get(1)?,
                conversation_items: row.get(2)?,
            })
        });
        match found.optional()? {
            // An id given twice by its provider could make a ring.
            Some(link) if links.len() < MOST => {
                next = link.previous.clone();
                links.push(link);
            }
            _ => return Ok(Context::Missing(id)),
        }
    }
    let mut items = Vec::new();
    for link in links.iter().rev() {
        if let Some(conversation) = &link.conversation {
            if link.conversation_items > 0 && conversations::get(connection, product, conversation)?.is_none() {
                return Ok(Context::Missing(conversation.clone()));
            }
            items.extend(items_of(connection, (product, conversation), link.conversation_items)?);
        }
        items.extend(items_of(connection, (product, &link.id), i64::MAX)?);
    }
    Ok(Context::Items(items.into_iter().map(|(_, item)| item).collect()))
}
