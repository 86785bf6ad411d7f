//! Keys in SQL.

use super::refused;
use crate::cidr::Cidr;
use crate::keys::{Key, KeyKind};
use crate::named::Named;
use crate::record::Name;
use crate::store::StoreError;
use rusqlite::types::Type;
use rusqlite::{Connection, Error, Row, TransactionBehavior, params};

const PUT: &str =
    "INSERT INTO keys (id, product, team, name, hash, prefix, created, expires, revoked, models, networks, kind, quota,
        line)
    VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14)
    ON CONFLICT (id) DO UPDATE SET product = excluded.product, team = excluded.team, name = excluded.name,
        hash = excluded.hash, prefix = excluded.prefix, created = excluded.created, expires = excluded.expires,
        revoked = COALESCE(MIN(keys.revoked, excluded.revoked), keys.revoked, excluded.revoked),
        models = excluded.models, networks = excluded.networks, kind = excluded.kind, quota = excluded.quota,
        line = excluded.line";

pub(super) fn put(connection: &mut Connection, keys: &[Key]) -> Result<(), StoreError> {
    let doing = refused("write keys");
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate).map_err(&doing)?;
    for key in keys {
        let values = params![
            key.id,
            key.product,
            key.team,
            key.name,
            key.hash,
            key.prefix,
            key.created,
            key.expires,
            key.revoked,
            json(&key.models)?,
            json(&key.networks)?,
            key.kind.name(),
            json(&key.quota)?,
            key.line,
        ];
        transaction.execute(PUT, values).map_err(&doing)?;
    }
    transaction.execute("UPDATE meta SET value = value + 1 WHERE name = 'keys'", []).map_err(&doing)?;
    transaction.commit().map_err(&doing)
}

pub(super) fn all(connection: &Connection) -> Result<Vec<Key>, StoreError> {
    let doing = refused("read keys");
    let sql = "SELECT id, product, team, name, hash, prefix, created, expires, revoked, models, networks,
        kind, quota, line FROM keys ORDER BY created, id";
    let mut statement = connection.prepare_cached(sql).map_err(&doing)?;
    let keys = statement.query_map([], key).map_err(&doing)?;
    keys.collect::<rusqlite::Result<_>>().map_err(&doing)
}

pub(super) fn version(connection: &Connection) -> Result<i64, StoreError> {
    let sql = "SELECT value FROM meta WHERE name = 'keys'";
    let mut statement = connection.prepare_cached(sql).map_err(refused("read keys"))?;
    statement.query_row([], |row| row.get(0)).map_err(refused("read keys"))
}

fn key(row: &Row<'_>) -> rusqlite::Result<Key> {
    Ok(Key {
        id: row.get(0)?,
        product: row.get(1)?,
        team: row.get(2)?,
        name: row.get(3)?,
        hash: row.get(4)?,
        prefix: row.get(5)?,
        created: row.get(6)?,
        expires: row.get(7)?,
        revoked: row.get(8)?,
        models: read::<Vec<Name>>(row, 9)?,
        networks: read::<Vec<Cidr>>(row, 10)?,
        kind: kind(row, 11)?,
        quota: read(row, 12)?,
        line: row.get(13)?,
    })
}

fn kind(row: &Row<'_>, at: usize) -> rusqlite::Result<KeyKind> {
    let name = row.get_ref(at)?.as_str()?;
    let unknown = || Error::FromSqlConversionFailure(at, Type::Text, format!("no kind of key is `{name}`").into());
    KeyKind::named(name).ok_or_else(unknown)
}

fn json<T: serde::Serialize + ?Sized>(value: &T) -> Result<String, StoreError> {
    sonic_rs::to_string(value).map_err(|error| StoreError::Refused { doing: "write keys", source: error.into() })
}

fn read<T: serde::de::DeserializeOwned>(row: &Row<'_>, at: usize) -> rusqlite::Result<T> {
    sonic_rs::from_str(row.get_ref(at)?.as_str()?)
        .map_err(|error| Error::FromSqlConversionFailure(at, Type::Text, error.into()))
}
