//! The ledger in SQLite: one file, made for one machine. Commits are not synced one by one (`synchronous = NORMAL`),
//! because the journal is what is durable; `persist` syncs before a segment of it goes. Reads go over a connection of
//! their own and wait for no writer. May touch: the database's files. Never here: what rows mean.

mod days;
mod flows;
mod keys;
mod kinds;
mod places;
mod rows;
mod schema;

use crate::flow::Flow;
use crate::id::RequestId;
use crate::journal::lock;
use crate::keys::Key;
use crate::packed::Entries;
use crate::record::Attempt;
use crate::store::{Dimension, Filter, Forgotten, Store, StoreError, Total};
use flows::FlowIds;
use kinds::Kinds;
use rusqlite::{Connection, OpenFlags, Transaction, TransactionBehavior};
use std::fs::OpenOptions;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, OnceLock};
use std::time::Duration;

/// How long a statement waits for another process's lock before it is refused.
const BUSY: Duration = Duration::from_secs(1);

/// Prepared statements kept per connection.
const STATEMENTS: usize = 64;

/// A ledger in one SQLite file.
#[derive(Debug)]
pub struct Sqlite {
    path: PathBuf,
    writer: Writer,
    reader: Mutex<Connection>,
}

/// The connection that writes, and what it wrote before.
#[derive(Debug)]
pub(crate) struct Pen {
    pub(crate) connection: Connection,
    pad: Pad,
}

/// What a connection knows of what it wrote, to be forgotten where a transaction fails.
#[derive(Debug, Default)]
struct Pad {
    kinds: Kinds,
    flow_ids: FlowIds,
}

/// The pen, if there is one.
#[derive(Debug)]
enum Writer {
    /// There is none, by intent.
    Never,
    /// There is one as soon as there can be.
    Some(OnceLock<Box<Mutex<Pen>>>),
}

impl Sqlite {
    /// Opens the ledger in `path`, which is made if missing, and brings its tables up to date.
    ///
    /// # Errors
    /// The file cannot be used, or a newer version made it.
    pub fn open(path: &Path) -> Result<Self, StoreError> {
        let writer = Writer::Some(OnceLock::from(Box::new(Mutex::new(writer(path)?))));
        let reader = connect(path, OpenFlags::SQLITE_OPEN_READ_ONLY)?;
        Ok(Self { path: path.to_owned(), writer, reader: Mutex::new(reader) })
    }

    /// Opens the ledger in `path` even where it cannot be written now (read-only, locked, no space): every write tries
    /// again. The error says why it cannot.
    ///
    /// # Errors
    /// It cannot be read either.
    pub fn open_anyway(path: &Path) -> Result<(Self, Option<StoreError>), StoreError> {
        match Self::open(path) {
            Ok(store) => Ok((store, None)),
            Err(error) => match Self::open_read_only(path) {
                Ok(store) => Ok((Self { writer: Writer::Some(OnceLock::new()), ..store }, Some(error))),
                Err(_) => Err(error),
            },
        }
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
        Ok(Self { path: path.to_owned(), writer: Writer::Never, reader: Mutex::new(reader) })
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
        write: impl FnOnce(&Transaction<'_>, &mut Pad) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        let mut pen = self.writer()?;
        let Pen { connection, pad } = &mut *pen;
        let begun = connection.transaction_with_behavior(TransactionBehavior::Immediate).map_err(refused(doing))?;
        let done = write(&begun, pad).and_then(|done| begun.commit().map(|()| done).map_err(refused(doing)));
        if done.is_err() {
            *pad = Pad::default();
        }
        done
    }

    pub(crate) fn writer(&self) -> Result<MutexGuard<'_, Pen>, StoreError> {
        match &self.writer {
            Writer::Never => Err(StoreError::ReadOnly(self.path.clone())),
            Writer::Some(there) => match there.get() {
                Some(pen) => Ok(lock(pen)),
                None => {
                    let pen = Box::new(Mutex::new(writer(&self.path)?));
                    Ok(lock(there.get_or_init(|| pen)))
                }
            },
        }
    }
}

/// A pen that writes to the ledger in `path`, which is made if missing; its tables are brought up to date.
fn writer(path: &Path) -> Result<Pen, StoreError> {
    let open = |source: Box<dyn std::error::Error + Send + Sync>| StoreError::Open { path: path.to_owned(), source };
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder).map_err(|error| open(error.into()))?;
    }
    // Made here rather than by SQLite, so that nobody else may read it. Never opened here where it is there already: closing
    // a file drops this process's locks on it, also those of its other connections.
    match OpenOptions::new().append(true).create_new(true).mode(0o600).open(path) {
        Err(error) if error.kind() != std::io::ErrorKind::AlreadyExists => return Err(open(error.into())),
        _ => {}
    }
    // SQLite would open what it may not write for reading, and leave files behind that nobody may write either.
    rustix::fs::access(path, rustix::fs::Access::WRITE_OK).map_err(|error| open(error.into()))?;
    let mut writer = connect(path, OpenFlags::SQLITE_OPEN_READ_WRITE)?;
    writer
        .execute_batch("PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL")
        .map_err(|error| open(error.into()))?;
    schema::migrate(&mut writer, path)?;
    Ok(Pen { connection: writer, pad: Pad::default() })
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
    fn feed(&self, entries: &Entries) -> Result<u64, StoreError> {
        if entries.is_empty() {
            return Ok(0);
        }
        self.write("add rows to the ledger", |transaction, pad| rows::append(transaction, pad, entries))
    }

    fn persist(&self) -> Result<(), StoreError> {
        let writer = &self.writer()?.connection;
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
        while let Some(rows) = self.write("forget old rows", |transaction, _| days::forget(transaction, rows_before))? {
            gone.days += 1;
            gone.rows += rows;
        }
        self.write("forget old sums", |transaction, pad| {
            pad.flow_ids = FlowIds::default();
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
        keys::put(&mut self.writer()?.connection, keys)
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
    fn rows_that_fall_on_one_place_are_all_kept() {
        let dir = tempfile::tempdir().unwrap();
        let store = Sqlite::open(&dir.path().join("ledger.db")).unwrap();
        let mut by_place = std::collections::HashMap::new();
        let ids = (0..200_000).map(|number| RequestId::new(1_700_000_000_000, number));
        let pairs = ids.filter_map(|id| by_place.insert(places::of((id, 1)), id).map(|other| [other, id]));
        let row = |request_id, attempt| Attempt { request_id, attempt, ..suite::sample(1) };
        let rows: Vec<Attempt> = pairs.flatten().flat_map(|id| [1, 2, 64, 65, 900].map(|at| row(id, at))).collect();
        assert!(rows.len() >= 10, "some meet");
        let unknown = |row: &Attempt| Attempt { outcome: crate::Outcome::Unknown, ..row.clone() };
        let before: Vec<Attempt> = rows.iter().map(unknown).collect();
        let all = rows.len() as u64;
        assert_eq!(store.append(&before).unwrap(), all);
        assert_eq!((store.append(&before).unwrap(), store.append(&rows).unwrap()), (0, all));
        for request in rows.chunk_by(|a, b| a.request_id == b.request_id) {
            assert_eq!(store.attempts(request[0].request_id).unwrap(), request);
        }
        assert_eq!(store.list(&Filter::default()).unwrap().len(), rows.len());
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
    fn one_that_cannot_be_written_now_is_read_and_written_later() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("ledger.db");
        assert!(Sqlite::open_anyway(&dir.path().join("no\0name")).is_err());
        Sqlite::open(&path).unwrap().append(&[suite::sample(1)]).unwrap();
        let lock = Connection::open(&path).unwrap();
        lock.execute_batch("BEGIN IMMEDIATE").unwrap();
        let (store, why) = Sqlite::open_anyway(&path).unwrap();
        assert!(why.is_some_and(|why| why.to_string().contains("locked")));
        assert_eq!(store.list(&Filter::default()).unwrap().len(), 1);
        assert!(store.append(&[suite::sample(2)]).is_err());
        drop(lock);
        assert_eq!(store.append(&[suite::sample(2)]).unwrap(), 1);
        assert!(
            path.with_extension("db-wal").exists(),
            "who closes last takes the log along, and that is not the lock"
        );
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
