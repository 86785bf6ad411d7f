//! The ledger in SQLite: one file, made for one machine. Commits are not synced one by one (`synchronous = NORMAL`),
//! because the journal is what is durable; `persist` syncs before a segment of it goes. Reads go over a connection of
//! their own and wait for no writer. May touch: the database's files. Never here: what rows mean.

mod days;
mod flows;
mod keys;
mod rows;
mod schema;

use crate::flow::Flow;
use crate::id::RequestId;
use crate::journal::lock;
use crate::keys::Key;
use crate::record::Attempt;
use crate::store::{Dimension, Filter, Forgotten, Store, StoreError, Total};
use rusqlite::{Connection, OpenFlags, Transaction, TransactionBehavior};
use std::fs::OpenOptions;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard};
use std::time::Duration;

/// How long a statement waits for another process's lock before it is refused.
const BUSY: Duration = Duration::from_secs(1);

/// Prepared statements kept per connection.
const STATEMENTS: usize = 64;

/// A ledger in one SQLite file.
#[derive(Debug)]
pub struct Sqlite {
    path: PathBuf,
    writer: Option<Mutex<Connection>>,
    reader: Mutex<Connection>,
}

impl Sqlite {
    /// Opens the ledger in `path`, which is made if missing, and brings its tables up to date.
    ///
    /// # Errors
    /// The file cannot be used, or a newer version made it.
    pub fn open(path: &Path) -> Result<Self, StoreError> {
        let open =
            |source: Box<dyn std::error::Error + Send + Sync>| StoreError::Open { path: path.to_owned(), source };
        if let Some(folder) = path.parent() {
            std::fs::create_dir_all(folder).map_err(|error| open(error.into()))?;
        }
        // made here rather than by SQLite, so that nobody else may read it
        let made = OpenOptions::new().append(true).create(true).mode(0o600).open(path);
        made.map_err(|error| open(error.into()))?;
        let mut writer = connect(path, OpenFlags::SQLITE_OPEN_READ_WRITE)?;
        writer
            .execute_batch("PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL")
            .map_err(|error| open(error.into()))?;
        schema::migrate(&mut writer, path)?;
        let reader = connect(path, OpenFlags::SQLITE_OPEN_READ_ONLY)?;
        Ok(Self { path: path.to_owned(), writer: Some(Mutex::new(writer)), reader: Mutex::new(reader) })
    }

    /// Opens the ledger in `path` for reading, beside a server that writes it.
    ///
    /// # Errors
    /// There is none, or another version made it.
    pub fn open_read_only(path: &Path) -> Result<Self, StoreError> {
        let reader = connect(path, OpenFlags::SQLITE_OPEN_READ_ONLY)?;
        if !schema::is_current(&reader, path)? {
            let source = "its tables are older than this version; `autarky serve` brings them up to date".into();
            return Err(StoreError::Open { path: path.to_owned(), source });
        }
        Ok(Self { path: path.to_owned(), writer: None, reader: Mutex::new(reader) })
    }

    fn reader(&self) -> MutexGuard<'_, Connection> {
        lock(&self.reader)
    }

    /// Reads, from one state of the database: days may come and go meanwhile.
    fn read<T>(&self, read: impl FnOnce(&Connection) -> Result<T, StoreError>) -> Result<T, StoreError> {
        let reader = self.reader();
        let transaction = reader.unchecked_transaction().map_err(refused("read the ledger"))?;
        read(&transaction)
    }

    /// Writes, all of it or nothing.
    fn write<T>(
        &self,
        doing: &'static str,
        write: impl FnOnce(&Transaction<'_>) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        let mut writer = self.writer()?;
        let begun = writer.transaction_with_behavior(TransactionBehavior::Immediate).map_err(refused(doing))?;
        let done = write(&begun)?;
        begun.commit().map_err(refused(doing))?;
        Ok(done)
    }

    pub(crate) fn writer(&self) -> Result<MutexGuard<'_, Connection>, StoreError> {
        self.writer.as_ref().map(lock).ok_or_else(|| StoreError::ReadOnly(self.path.clone()))
    }
}

fn connect(path: &Path, mode: OpenFlags) -> Result<Connection, StoreError> {
    let open = |error: rusqlite::Error| StoreError::Open { path: path.to_owned(), source: error.into() };
    let connection = Connection::open_with_flags(path, mode | OpenFlags::SQLITE_OPEN_NO_MUTEX).map_err(open)?;
    connection.busy_timeout(BUSY).map_err(open)?;
    connection.set_prepared_statement_cache_capacity(STATEMENTS);
    Ok(connection)
}

/// The error of an operation that the database refused.
fn refused(doing: &'static str) -> impl Fn(rusqlite::Error) -> StoreError {
    move |error| StoreError::Refused { doing, source: error.into() }
}

impl Store for Sqlite {
    fn append(&self, rows: &[Attempt]) -> Result<u64, StoreError> {
        if rows.is_empty() {
            return Ok(0);
        }
        self.write("add rows to the ledger", |transaction| rows::append(transaction, rows))
    }

    fn persist(&self) -> Result<(), StoreError> {
        let writer = self.writer()?;
        let doing = refused("sync the ledger");
        // one synced commit syncs the whole write-ahead log, and with it every commit before
        writer.execute_batch("PRAGMA synchronous = FULL").map_err(&doing)?;
        let done = writer.execute("UPDATE meta SET value = value + 1 WHERE name = 'persisted'", []);
        writer.execute_batch("PRAGMA synchronous = NORMAL").map_err(&doing)?;
        done.map(|_| ()).map_err(&doing)
    }

    fn attempts(&self, request: RequestId) -> Result<Vec<Attempt>, StoreError> {
        self.read(|connection| rows::attempts(connection, request))
    }

    fn list(&self, filter: &Filter) -> Result<Vec<Attempt>, StoreError> {
        self.read(|connection| rows::list(connection, filter))
    }

    fn each(&self, filter: &Filter, take: &mut dyn FnMut(Attempt) -> bool) -> Result<(), StoreError> {
        self.read(|connection| rows::each(connection, filter, take))
    }

    fn totals(&self, by: &[Dimension], filter: &Filter) -> Result<Vec<Total>, StoreError> {
        self.read(|connection| rows::totals(connection, by, filter))
    }

    fn flows(&self, filter: &Filter) -> Result<Vec<Flow>, StoreError> {
        self.read(|connection| flows::flows(connection, filter))
    }

    fn forget(&self, rows_before: i64, sums_before: i64) -> Result<Forgotten, StoreError> {
        let mut gone = Forgotten::default();
        // a transaction per day, so that rows are fed in between
        while let Some(rows) = self.write("forget old rows", |transaction| days::forget(transaction, rows_before))? {
            gone.days += 1;
            gone.rows += rows;
        }
        self.write("forget old sums", |transaction| {
            let forgotten = days::forgotten(transaction)?.until;
            flows::forget(transaction, sums_before.min(forgotten), forgotten)
        })?;
        Ok(gone)
    }

    fn kept_from(&self) -> Result<Option<i64>, StoreError> {
        let until = self.read(days::forgotten)?.until;
        Ok((until > i64::MIN).then_some(until))
    }

    fn check(&self) -> Result<(), StoreError> {
        let said: String = self
            .reader()
            .query_row("PRAGMA integrity_check(1)", [], |row| row.get(0))
            .map_err(refused("check the ledger"))?;
        if said == "ok" { Ok(()) } else { Err(StoreError::Damaged(said)) }
    }

    fn keys(&self) -> Result<Vec<Key>, StoreError> {
        keys::all(&self.reader())
    }

    fn put_keys(&self, keys: &[Key]) -> Result<(), StoreError> {
        keys::put(&mut *self.writer()?, keys)
    }

    fn keys_version(&self) -> Result<i64, StoreError> {
        keys::version(&self.reader())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::suite;

    #[test]
    fn it_passes_the_suite() {
        let dir = tempfile::tempdir().unwrap();
        let mut number = 0;
        suite::all(|| {
            number += 1;
            Sqlite::open(&dir.path().join(format!("{number}/ledger.db"))).unwrap()
        })
        .unwrap();
    }

    #[test]
    fn a_reader_beside_the_writer_sees_rows_and_writes_none() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("ledger.db");
        assert!(matches!(Sqlite::open_read_only(&path), Err(StoreError::Open { .. })));
        let writer = Sqlite::open(&path).unwrap();
        let reader = Sqlite::open_read_only(&path).unwrap();
        writer.append(&[suite::sample(1)]).unwrap();
        assert_eq!(reader.list(&Filter::default()).unwrap(), [suite::sample(1)]);
        assert!(matches!(reader.append(&[suite::sample(2)]), Err(StoreError::ReadOnly(_))));
        assert!(matches!(reader.put_keys(&[]), Err(StoreError::ReadOnly(_))));
    }

    #[test]
    fn a_file_that_is_no_database_is_refused_and_left_alone() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("ledger.db");
        std::fs::write(&path, "a diary, not a database, and long enough to be read as one".repeat(20)).unwrap();
        let before = std::fs::read(&path).unwrap();
        let error = Sqlite::open(&path).unwrap_err().to_string();
        assert!(error.contains("not a database"), "{error}");
        assert_eq!(std::fs::read(&path).unwrap(), before);
    }

    #[test]
    fn many_may_open_a_new_ledger_at_once() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("ledger.db");
        std::thread::scope(|scope| {
            let open = || Sqlite::open(&path).map(|store| store.append(&[suite::sample(1)]));
            let opened: Vec<_> = (0..6).map(|_| scope.spawn(open)).collect();
            let added: u64 = opened.into_iter().map(|thread| thread.join().unwrap().unwrap().unwrap()).sum();
            assert_eq!(added, 1);
        });
    }
}
