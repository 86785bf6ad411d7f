//! Who can read which opaque block, by its digest: the blocks themselves are not kept here.

use crate::store::Digest;
use rusqlite::{Connection, OptionalExtension, Transaction};

pub(super) fn put(
    transaction: &Transaction<'_>,
    product: &str,
    seals: &[(Digest, String)],
    now: i64,
) -> rusqlite::Result<()> {
    let mut statement = transaction
        .prepare_cached("INSERT OR REPLACE INTO seals (product, digest, signer, used) VALUES (?1, ?2, ?3, ?4)")?;
    for (digest, signer) in seals {
        statement.execute((product, digest.as_slice(), signer, now))?;
    }
    Ok(())
}

pub(super) fn get(
    connection: &Connection,
    product: &str,
    digests: &[Digest],
) -> rusqlite::Result<Vec<(Digest, String)>> {
    let mut statement = connection.prepare_cached("SELECT signer FROM seals WHERE product = ?1 AND digest = ?2")?;
    let mut found = Vec::new();
    for digest in digests {
        let signer: Option<String> = statement.query_row((product, digest.as_slice()), |row| row.get(0)).optional()?;
        found.extend(signer.map(|signer| (*digest, signer)));
    }
    Ok(found)
}
