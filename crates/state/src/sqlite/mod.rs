//! Kept turns in SQLite: one file, made for one machine, readable by its owner only. What is forgotten is overwritten
//! (`secure_delete`). Commits are not synced one by one: they outlive the process, if not the machine's power. Reads go
//! over a connection of their own and wait for no writer. May touch: the database's files.

mod answers;
mod conversations;
mod seals;
mod upkeep;

use crate::store::{Answer, Context, Conversation, Digest, Held, StateError, Store};
use rusqlite::{Connection, OpenFlags, OptionalExtension, Transaction, TransactionBehavior};
use serde_json::Value;
use std::fs::OpenOptions;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// The steps from nothing to the newest schema; a database's version is the number of steps it has taken. A step is
/// never edited once released.
const STEPS: &[&str] = &[include_str!("001_first.sql")];

/// How long a statement waits for another process's lock before it is refused.
const BUSY: Duration = Duration::from_secs(2);

/// Prepared statements kept per connection.
const STATEMENTS: usize = 64;

/// Kept turns in one SQLite file.
#[derive(Debug)]
pub struct Sqlite {
    writer: Mutex<Connection>,
    reader: Mutex<Connection>,
}

impl Sqlite {
    /// Opens the file at `path`, which is made if missing, and brings its tables up to date.
    ///
    /// # Errors
    /// The file cannot be used, or a newer version made it.
    pub fn open(path: &Path) -> Result<Self, StateError> {
        let open =
            |source: Box<dyn std::error::Error + Send + Sync>| StateError::Open { path: path.to_owned(), source };
        if let Some(folder) = path.parent() {
            std::fs::create_dir_all(folder).map_err(|error| open(error.into()))?;
        }
        // Made here rather than by SQLite, so that nobody else may read it.
        let made = OpenOptions::new().append(true).create(true).mode(0o600).open(path);
        made.map_err(|error| open(error.into()))?;
        let mut writer = connect(path, OpenFlags::SQLITE_OPEN_READ_WRITE)?;
        writer
            .execute_batch("PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL; PRAGMA secure_delete = ON")
            .map_err(|error| open(error.into()))?;
        migrate(&mut writer, path)?;
        let reader = connect(path, OpenFlags::SQLITE_OPEN_READ_ONLY)?;
        Ok(Self { writer: Mutex::new(writer), reader: Mutex::new(reader) })
    }

    fn reader(&self) -> MutexGuard<'_, Connection> {
        self.reader.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Does `work` as a whole or not at all.
    fn write<T>(
        &self,
        doing: &'static str,
        work: impl FnOnce(&Transaction<'_>) -> rusqlite::Result<T>,
    ) -> Result<T, StateError> {
        let mut writer = self.writer.lock().unwrap_or_else(PoisonError::into_inner);
        let whole = || {
            let transaction = writer.transaction_with_behavior(TransactionBehavior::Immediate)?;
            let done = work(&transaction)?;
            transaction.commit()?;
            Ok(done)
        };
        whole().map_err(refused(doing))
    }

    fn read<T>(
        &self,
        doing: &'static str,
        work: impl FnOnce(&Connection) -> rusqlite::Result<T>,
    ) -> Result<T, StateError> {
        work(&self.reader()).map_err(refused(doing))
    }
}

fn connect(path: &Path, mode: OpenFlags) -> Result<Connection, StateError> {
    let open = |error: rusqlite::Error| StateError::Open { path: path.to_owned(), source: error.into() };
    let connection = Connection::open_with_flags(path, mode | OpenFlags::SQLITE_OPEN_NO_MUTEX).map_err(open)?;
    connection.busy_timeout(BUSY).map_err(open)?;
    connection.set_prepared_statement_cache_capacity(STATEMENTS);
    Ok(connection)
}

fn migrate(connection: &mut Connection, path: &Path) -> Result<(), StateError> {
    let open = |error: rusqlite::Error| StateError::Open { path: path.to_owned(), source: error.into() };
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate).map_err(open)?;
    let found: i64 = transaction.query_row("PRAGMA user_version", [], |row| row.get(0)).map_err(open)?;
    let known = i64::try_from(STEPS.len()).unwrap_or(i64::MAX);
    let taken = match usize::try_from(found) {
        Ok(taken) if taken <= STEPS.len() => taken,
        _ => return Err(StateError::Newer { path: path.to_owned(), found, known }),
    };
    for step in STEPS.iter().skip(taken) {
        transaction.execute_batch(step).map_err(open)?;
    }
    transaction.pragma_update(None, "user_version", known).map_err(open)?;
    transaction.commit().map_err(open)
}

/// The error of an operation that the database refused.
fn refused(doing: &'static str) -> impl Fn(rusqlite::Error) -> StateError {
    move |error| StateError::Refused { doing, source: error.into() }
}

/// JSON that was kept; what is damaged reads as null.
fn json(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_default()
}

/// Adds `items` behind the last of `holder`.
fn add_items(
    transaction: &Transaction<'_>,
    (product, holder): (&str, &str),
    items: &[Value],
    asked: bool,
) -> rusqlite::Result<()> {
    let last: Option<i64> = transaction
        .prepare_cached("SELECT MAX(place) FROM items WHERE product = ?1 AND holder = ?2")?
        .query_row((product, holder), |row| row.get(0))?;
    let mut statement = transaction.prepare_cached(
        "INSERT INTO items (product, holder, place, asked, id, body) VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
    )?;
    for (place, item) in (last.map_or(0, |last| last + 1)..).zip(items) {
        let id = item.get("id").and_then(Value::as_str).unwrap_or_default();
        statement.execute((product, holder, place, asked, id, item.to_string()))?;
    }
    Ok(())
}

/// The items of `holder` before place `before`, in order: whether it was asked, and the item.
fn items_of(
    connection: &Connection,
    (product, holder): (&str, &str),
    before: i64,
) -> rusqlite::Result<Vec<(bool, Value)>> {
    let mut statement = connection.prepare_cached(
        "SELECT asked, body FROM items WHERE product = ?1 AND holder = ?2 AND place < ?3 ORDER BY place",
    )?;
    let rows = statement.query_map((product, holder, before), |row| Ok((row.get(0)?, row.get::<_, String>(1)?)))?;
    rows.map(|row| row.map(|(asked, body)| (asked, json(&body)))).collect()
}

/// Forgets the items of `holder`.
fn forget_items(transaction: &Transaction<'_>, product: &str, holder: &str) -> rusqlite::Result<()> {
    transaction.prepare_cached("DELETE FROM items WHERE product = ?1 AND holder = ?2")?.execute((product, holder))?;
    Ok(())
}

impl Store for Sqlite {
    fn put_answer(&self, product: &str, answer: &Answer) -> Result<(), StateError> {
        self.write("keep an answer", |transaction| answers::put(transaction, product, answer))
    }

    fn answer(&self, product: &str, id: &str) -> Result<Option<Answer>, StateError> {
        self.read("read a kept answer", |connection| answers::get(connection, product, id))
    }

    fn delete_answer(&self, product: &str, id: &str) -> Result<bool, StateError> {
        self.write("forget an answer", |transaction| answers::delete(transaction, product, id))
    }

    fn up_to(&self, product: &str, answer: &str) -> Result<Context, StateError> {
        self.read("read the turns before", |connection| answers::up_to(connection, product, answer))
    }

    fn put_conversation(&self, product: &str, conversation: &Conversation, items: &[Value]) -> Result<(), StateError> {
        self.write("keep a conversation", |transaction| {
            conversations::put(transaction, product, conversation)?;
            add_items(transaction, (product, &conversation.id), items, true)
        })
    }

    fn conversation(&self, product: &str, id: &str) -> Result<Option<Conversation>, StateError> {
        self.read("read a kept conversation", |connection| conversations::get(connection, product, id))
    }

    fn label(&self, product: &str, id: &str, metadata: &Value) -> Result<bool, StateError> {
        self.write("label a conversation", |transaction| conversations::label(transaction, product, id, metadata))
    }

    fn delete_conversation(&self, product: &str, id: &str) -> Result<bool, StateError> {
        self.write("forget a conversation", |transaction| conversations::delete(transaction, product, id))
    }

    fn add_items(&self, product: &str, id: &str, items: &[Value], now: i64) -> Result<bool, StateError> {
        self.write("add to a conversation", |transaction| {
            let there = conversations::used(transaction, product, id, now)?;
            if there {
                add_items(transaction, (product, id), items, true)?;
            }
            Ok(there)
        })
    }

    fn items(&self, product: &str, id: &str) -> Result<Option<Vec<Value>>, StateError> {
        self.read("read a kept conversation", |connection| {
            if conversations::get(connection, product, id)?.is_none() {
                return Ok(None);
            }
            let items = items_of(connection, (product, id), i64::MAX)?;
            Ok(Some(items.into_iter().map(|(_, item)| item).collect()))
        })
    }

    fn delete_item(&self, product: &str, conversation: &str, item: &str) -> Result<bool, StateError> {
        self.write("forget an item", |transaction| {
            let sql = "DELETE FROM items WHERE product = ?1 AND holder = ?2 AND id = ?3 \
                       AND EXISTS (SELECT 1 FROM conversations WHERE product = ?1 AND id = ?2)";
            Ok(transaction.prepare_cached(sql)?.execute((product, conversation, item))? > 0)
        })
    }

    fn find_items(&self, product: &str, ids: &[String]) -> Result<Vec<Value>, StateError> {
        self.read("find kept items", |connection| {
            let sql = "SELECT body FROM items WHERE product = ?1 AND id = ?2 ORDER BY rowid DESC LIMIT 1";
            let mut statement = connection.prepare_cached(sql)?;
            let mut found = Vec::new();
            for id in ids {
                let body: Option<String> = statement.query_row((product, id), |row| row.get(0)).optional()?;
                found.extend(body.map(|body| json(&body)));
            }
            Ok(found)
        })
    }

    fn put_seals(&self, product: &str, seals: &[(Digest, String)], now: i64) -> Result<(), StateError> {
        self.write("remember who sealed what", |transaction| seals::put(transaction, product, seals, now))
    }

    fn seals(&self, product: &str, digests: &[Digest]) -> Result<Vec<(Digest, String)>, StateError> {
        self.read("read who sealed what", |connection| seals::get(connection, product, digests))
    }

    fn purge(&self, before: i64) -> Result<u64, StateError> {
        self.write("forget what is old", |transaction| upkeep::purge(transaction, before))
    }

    fn erase(&self, product: &str) -> Result<u64, StateError> {
        let gone = self.write("forget a product's turns", |transaction| upkeep::erase(transaction, product))?;
        // What was forgotten still stands in the log of writes until that is started anew.
        let writer = self.writer.lock().unwrap_or_else(PoisonError::into_inner);
        writer
            .query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()))
            .map_err(refused("forget a product's turns"))?;
        Ok(gone)
    }

    fn held(&self) -> Result<Vec<Held>, StateError> {
        self.read("count what is kept", upkeep::held)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::suite;
    use serde_json::json;

    #[test]
    fn it_passes_the_suite() {
        let dir = tempfile::tempdir().unwrap();
        let mut number = 0;
        suite::all(|| {
            number += 1;
            Sqlite::open(&dir.path().join(format!("{number}/state.db"))).unwrap()
        });
    }

    #[test]
    fn what_was_kept_is_there_again_and_a_newer_file_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("state.db");
        Sqlite::open(&path).unwrap().put_answer("p", &suite::answer("resp_1", None, "a")).unwrap();
        assert!(Sqlite::open(&path).unwrap().answer("p", "resp_1").unwrap().is_some());
        rusqlite::Connection::open(&path).unwrap().pragma_update(None, "user_version", 99).unwrap();
        assert!(matches!(Sqlite::open(&path), Err(StateError::Newer { found: 99, .. })));
    }

    #[test]
    fn nobody_else_may_read_it_and_what_is_erased_is_in_no_file() {
        use std::os::unix::fs::PermissionsExt;
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("state.db");
        let store = Sqlite::open(&path).unwrap();
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o77, 0);
        store.put_answer("p", &suite::answer("resp_1", None, "a very private word")).unwrap();
        store.put_answer("q", &suite::answer("resp_1", None, "another one")).unwrap();
        let holds = |word: &str| {
            let files =
                std::fs::read_dir(dir.path()).unwrap().map(|entry| std::fs::read(entry.unwrap().path()).unwrap());
            files.into_iter().any(|bytes| bytes.windows(word.len()).any(|part| part == word.as_bytes()))
        };
        assert!(holds("a very private word"));
        assert_eq!(store.erase("p").unwrap(), 1);
        assert!(!holds("a very private word") && holds("another one"));
        assert_eq!(store.answer("q", "resp_1").unwrap().unwrap().answered[0]["content"], json!("another one"));
    }
}
