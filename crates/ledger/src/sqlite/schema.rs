//! The database's tables, as steps that are never edited once released: a new version appends a step. The last test
//! here holds the tables and the row's list of fields together.

use super::{Pad, days, refused, rows};
use crate::store::StoreError;
use rusqlite::{Connection, OptionalExtension, TransactionBehavior};
use std::path::Path;

/// The steps from nothing to the newest schema; a database's version is the number of steps it has taken.
const STEPS: &[&str] = &[
    include_str!("001_first.sql"),
    include_str!("002_keys.sql"),
    include_str!("003_days.sql"),
    include_str!("004_kinds.sql"),
];

/// Takes the steps that the database lacks, in one transaction.
pub(super) fn migrate(connection: &mut Connection, path: &Path) -> Result<(), StoreError> {
    let doing = "bring the ledger's tables up to date";
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate).map_err(refused(doing))?;
    transaction
        .execute_batch("CREATE TABLE IF NOT EXISTS meta (name TEXT PRIMARY KEY, value INTEGER NOT NULL) STRICT")
        .map_err(refused(doing))?;
    let taken = steps_taken(&transaction, path)?;
    for step in &STEPS[taken..] {
        transaction.execute_batch(step).map_err(refused(doing))?;
    }
    if taken < STEPS.len() {
        days::follow_the_mould(&transaction).map_err(refused(doing))?;
        rows::carry_over(&transaction, &mut Pad::default())?;
        let now = i64::try_from(STEPS.len()).unwrap_or(i64::MAX);
        transaction
            .execute("INSERT OR REPLACE INTO meta (name, value) VALUES ('schema', ?1)", [now])
            .map_err(refused(doing))?;
    }
    transaction.commit().map_err(refused(doing))
}

/// How many steps the database has taken.
pub(super) fn steps_taken(connection: &Connection, path: &Path) -> Result<usize, StoreError> {
    let found: Option<i64> = connection
        .query_row("SELECT value FROM meta WHERE name = 'schema'", [], |row| row.get(0))
        .optional()
        .map_err(refused("read the ledger's version"))?;
    let found = found.unwrap_or(0);
    match usize::try_from(found) {
        Ok(taken) if taken <= STEPS.len() => Ok(taken),
        _ => Err(StoreError::Newer {
            path: path.to_owned(),
            found,
            known: i64::try_from(STEPS.len()).unwrap_or(i64::MAX),
        }),
    }
}

/// Whether the database has taken every step.
pub(super) fn is_current(connection: &Connection, path: &Path) -> Result<bool, StoreError> {
    Ok(steps_taken(connection, path)? == STEPS.len())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cell::Kind;
    use crate::flow::Flow;
    use crate::record::{Attempt, COLUMNS, Mode};
    use crate::sqlite::Sqlite;
    use crate::store::{Filter, Store, StoreError};
    use crate::suite::sample;

    fn fresh() -> Connection {
        let mut connection = Connection::open_in_memory().unwrap();
        migrate(&mut connection, Path::new("fresh")).unwrap();
        connection
    }

    #[test]
    fn the_table_holds_the_rows_fields() {
        let connection = fresh();
        let mut columns =
            connection.prepare("SELECT name, type, \"notnull\" FROM pragma_table_info('attempts')").unwrap();
        let found: Vec<(String, String, bool)> = columns
            .query_map([], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))
            .unwrap()
            .map(Result::unwrap)
            .collect();
        let wanted: Vec<(String, String, bool)> = COLUMNS
            .iter()
            .map(|column| {
                let kind = match column.kind {
                    Kind::Integer => "INTEGER",
                    Kind::Real => "REAL",
                    Kind::Text => "TEXT",
                };
                (column.name.to_owned(), kind.to_owned(), column.required)
            })
            .collect();
        assert_eq!(found, wanted);
    }

    #[test]
    fn rows_of_the_first_schema_move_into_their_days() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("ledger.db");
        let old = Connection::open(&path).unwrap();
        old.execute_batch("CREATE TABLE meta (name TEXT PRIMARY KEY, value INTEGER NOT NULL) STRICT").unwrap();
        old.execute_batch(STEPS[0]).unwrap();
        old.execute("INSERT INTO meta (name, value) VALUES ('schema', 1)", []).unwrap();
        let rows: Vec<Attempt> =
            (0..50).map(|number| Attempt { mode: Mode::Live, drill: None, ..sample(number * 10_000_000) }).collect();
        for row in &rows {
            let places = vec!["?"; COLUMNS.len()].join(", ");
            let sql = format!("INSERT INTO attempts VALUES ({places})");
            old.execute(&sql, rusqlite::params_from_iter(row.cells())).unwrap();
        }
        drop(old);
        let store = Sqlite::open(&path).unwrap();
        let mut found = store.list(&Filter::default()).unwrap();
        found.reverse();
        assert_eq!(found, rows);
        assert_eq!(store.flows(&Filter::default()).unwrap(), Flow::sum(&rows));
        let left: i64 = fresh_count(&path, "SELECT COUNT(*) FROM attempts");
        assert_eq!((left, fresh_count(&path, "SELECT COUNT(*) FROM days")), (0, 7));
    }

    fn fresh_count(path: &Path, sql: &str) -> i64 {
        Connection::open(path).unwrap().query_row(sql, [], |row| row.get(0)).unwrap()
    }

    #[test]
    fn whole_tables_of_days_become_rows_and_kinds() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("ledger.db");
        let rows: Vec<Attempt> =
            (0..50).map(|number| Attempt { mode: Mode::Live, drill: None, ..sample(number * 10_000_000) }).collect();
        let store = Sqlite::open(&path).unwrap();
        store.append(&rows).unwrap();
        drop(store);
        // as the third schema had them
        let old = Connection::open(&path).unwrap();
        let numbers: Vec<i64> = {
            let mut days = old.prepare("SELECT day FROM days").unwrap();
            days.query_map([], |row| row.get(0)).unwrap().map(Result::unwrap).collect()
        };
        let mould: String =
            old.query_row("SELECT sql FROM sqlite_schema WHERE name = 'attempts'", [], |row| row.get(0)).unwrap();
        for day in numbers {
            let columns = &mould[mould.find('(').unwrap()..];
            let drop = format!("DROP VIEW attempts_{day}; DROP TABLE rows_{day}; DROP TABLE kinds_{day};");
            let index = format!("CREATE INDEX attempts_{day}_started ON attempts_{day} (started)");
            old.execute_batch(&format!("{drop} CREATE TABLE attempts_{day} {columns}; {index}")).unwrap();
        }
        for row in &rows {
            let places = vec!["?"; COLUMNS.len()].join(", ");
            let day = row.request_id.unix_millis() / 86_400_000;
            let sql = format!("INSERT INTO attempts_{day} VALUES ({places})");
            old.execute(&sql, rusqlite::params_from_iter(row.cells())).unwrap();
        }
        let back = "ALTER TABLE days DROP COLUMN early; ALTER TABLE days DROP COLUMN late; \
                    UPDATE meta SET value = 3 WHERE name = 'schema'";
        old.execute_batch(back).unwrap();
        drop(old);
        assert!(matches!(Sqlite::open_read_only(&path), Err(StoreError::Open { .. })));
        let store = Sqlite::open(&path).unwrap();
        let mut found = store.list(&Filter::default()).unwrap();
        found.reverse();
        assert_eq!(found, rows);
        assert_eq!(store.flows(&Filter::default()).unwrap(), Flow::sum(&rows));
        let one = Filter { from: Some(rows[7].started), until: Some(rows[7].started + 1), ..Filter::default() };
        assert_eq!(store.list(&one).unwrap(), rows[7..8]);
        assert_eq!(store.append(&rows).unwrap(), 0);
        assert_eq!(fresh_count(&path, "SELECT SUM(count) FROM days"), 50);
        let tables = "SELECT COUNT(*) FROM sqlite_schema WHERE name LIKE 'wide%' OR name LIKE '%started'";
        assert_eq!(fresh_count(&path, tables), 1, "the mould's own index");
    }

    #[test]
    fn a_field_that_is_added_later_reaches_the_days_that_are_there() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("ledger.db");
        Sqlite::open(&path).unwrap().append(&[sample(1)]).unwrap();
        let mut connection = Connection::open(&path).unwrap();
        let transaction = connection.transaction().unwrap();
        transaction.execute_batch("ALTER TABLE attempts ADD COLUMN later TEXT").unwrap();
        days::follow_the_mould(&transaction).unwrap();
        transaction.commit().unwrap();
        let sql = "SELECT COUNT(*) FROM days JOIN pragma_table_info('attempts_' || day) WHERE name = 'later'";
        assert_eq!(fresh_count(&path, sql), 1);
    }

    #[test]
    fn steps_are_taken_once_and_newer_ones_are_refused() {
        let mut connection = fresh();
        migrate(&mut connection, Path::new("again")).unwrap();
        assert!(is_current(&connection, Path::new("again")).unwrap());
        connection.execute("UPDATE meta SET value = 99 WHERE name = 'schema'", []).unwrap();
        assert!(matches!(migrate(&mut connection, Path::new("newer")), Err(StoreError::Newer { found: 99, .. })));
    }
}
