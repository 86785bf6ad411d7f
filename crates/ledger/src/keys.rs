//! Virtual keys: what a product calls with. A secret has 256 random bits, is shown once and kept only as its SHA-256;
//! a fast hash is right for it, since nobody can guess 256 bits. Keys live in the store; requests are checked against
//! a `KeyRing` in memory. Time and chance are arguments. Never here: a secret in an error, a log or the store.

use crate::base32;
use crate::cidr::Cidr;
use crate::named::named;
use crate::record::Name;
use crate::store::{Store, StoreError};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::collections::HashMap;
use std::fmt;
use std::net::IpAddr;

/// How many random signs of a secret are shown in lists: enough to tell keys apart, too few to help anyone.
const SHOWN: usize = 6;

named! {
    /// What a key opens.
    #[derive(Default)]
    pub enum KeyKind {
        /// A product's requests.
        #[default]
        Product => "product",
        /// The admin API.
        Admin => "admin",
        /// The admin API, for reading only.
        Viewer => "viewer",
    }
}

impl KeyKind {
    /// What its secrets begin with. What begins with `ak-` and is not a product's key is refused to products' requests.
    const fn prefix(self) -> &'static str {
        match self {
            Self::Product => "ak-",
            Self::Admin | Self::Viewer => "ak-admin-",
        }
    }
}

/// How much a key may use, besides what its product and its team may. `None`: no limit of its own.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Quota {
    /// Requests in any 60 seconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rpm: Option<u32>,
    /// Tokens, in and out, in any 60 seconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tpm: Option<u64>,
    /// Requests under way at the same time.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub concurrent: Option<u32>,
    /// Billionths of a US dollar per minute of the clock.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub nano_minute: Option<u64>,
    /// Billionths of a US dollar per day (UTC).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub nano_day: Option<u64>,
    /// Billionths of a US dollar per calendar month (UTC).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub nano_month: Option<u64>,
}

impl Quota {
    /// Whether nothing is limited.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// A key as it is kept. Times are Unix microseconds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Key {
    /// Its id, which the ledger writes.
    pub id: Name,
    /// The first key of its line: successors share its limits, so that a rotation gives nobody more.
    pub line: Name,
    /// What it opens.
    pub kind: KeyKind,
    /// The product it belongs to; empty: it is no product's key.
    pub product: Name,
    /// The team that uses it.
    pub team: Option<Name>,
    /// What people call it.
    pub name: Name,
    /// SHA-256 of the secret.
    pub hash: [u8; 32],
    /// The secret's first signs.
    pub prefix: Name,
    /// When it was made.
    pub created: i64,
    /// From when on it is refused.
    pub expires: Option<i64>,
    /// Since when it is refused, by a person's will.
    pub revoked: Option<i64>,
    /// Models it may ask for, `*` at the end standing for anything; empty: all.
    pub models: Vec<Name>,
    /// From where it may be used; empty: everywhere.
    pub networks: Vec<Cidr>,
    /// How much it may use.
    pub quota: Quota,
}

impl Key {
    /// Whether it may ask for `model`.
    #[must_use]
    pub fn allows_model(&self, model: &str) -> bool {
        self.models.is_empty()
            || self.models.iter().any(|allowed| match allowed.strip_suffix('*') {
                Some(start) => model.starts_with(start),
                None => **allowed == *model,
            })
    }

    /// Whether it may be used from `address`.
    #[must_use]
    pub fn allows_address(&self, address: IpAddr) -> bool {
        self.networks.is_empty() || self.networks.iter().any(|network| network.contains(address))
    }

    fn check(&self, now: i64) -> Result<(), KeyError> {
        if self.revoked.is_some_and(|at| at <= now) {
            return Err(KeyError::Revoked { name: self.name.clone() });
        }
        if self.expires.is_some_and(|at| at <= now) {
            return Err(KeyError::Expired { name: self.name.clone() });
        }
        Ok(())
    }
}

/// The text that a client sends; it is not printed by accident.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// The secret of 32 random bytes, for a key of this kind.
    #[must_use]
    pub fn new(kind: KeyKind, random: &[u8; 32]) -> Self {
        let mut text = String::with_capacity(kind.prefix().len() + 52);
        text.push_str(kind.prefix());
        base32::encode(random, &mut text);
        Self(text)
    }

    /// The text, to be shown once.
    #[must_use]
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(hidden)")
    }
}

/// What a new key is to be.
#[derive(Debug, Clone, Default)]
pub struct Wish {
    /// What it opens.
    pub kind: KeyKind,
    /// The product it belongs to; empty: none.
    pub product: String,
    /// The team that uses it.
    pub team: Option<String>,
    /// What people call it.
    pub name: String,
    /// From when on it is refused, Unix microseconds.
    pub expires: Option<i64>,
    /// Models it may ask for; empty: all.
    pub models: Vec<Name>,
    /// From where it may be used; empty: everywhere.
    pub networks: Vec<Cidr>,
    /// How much it may use.
    pub quota: Quota,
}

/// Why a key is refused or not changed.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// Nobody knows the secret.
    #[error("unknown api key: check the value, or ask for a key of your product")]
    Unknown,
    /// It was revoked.
    #[error("the api key `{name}` is revoked: use its successor")]
    Revoked {
        /// What people call it.
        name: Name,
    },
    /// Its time is over.
    #[error("the api key `{name}` has expired: use its successor")]
    Expired {
        /// What people call it.
        name: Name,
    },
    /// No key has the id.
    #[error("no key has the id `{0}`: `autarky keys list` shows them")]
    NoSuchKey(String),
    /// The store refuses.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Makes a key at `now` (Unix microseconds) of 32 random bytes; the secret is not kept and never shown again.
///
/// # Errors
/// The store refuses.
pub fn create(store: &dyn Store, wish: Wish, random: &[u8; 32], now: i64) -> Result<(Key, Secret), StoreError> {
    let (key, secret) = make(wish, None, random, now);
    store.put_keys(std::slice::from_ref(&key))?;
    Ok((key, secret))
}

/// Refuses the key `id` from `now` on, for good.
///
/// # Errors
/// There is no such key, or the store refuses.
pub fn revoke(store: &dyn Store, id: &str, now: i64) -> Result<Key, KeyError> {
    let mut key = find(store, id)?;
    key.revoked = Some(key.revoked.map_or(now, |before| before.min(now)));
    store.put_keys(std::slice::from_ref(&key))?;
    Ok(key)
}

/// Makes a successor of the key `id` with the same rights; the old one stays good for `overlap` microseconds, so that
/// clients can change over without a failing request.
///
/// # Errors
/// There is no such key, it is revoked or expired, or the store refuses.
pub fn rotate(
    store: &dyn Store,
    id: &str,
    random: &[u8; 32],
    now: i64,
    overlap: i64,
) -> Result<(Key, Secret), KeyError> {
    let mut old = find(store, id)?;
    old.check(now)?;
    let wish = Wish {
        kind: old.kind,
        product: old.product.to_string(),
        team: old.team.as_deref().map(str::to_owned),
        name: old.name.to_string(),
        expires: old.expires,
        models: old.models.clone(),
        networks: old.networks.clone(),
        quota: old.quota,
    };
    let (key, secret) = make(wish, Some(old.line.clone()), random, now);
    let last = now.saturating_add(overlap);
    old.expires = Some(old.expires.map_or(last, |before| before.min(last)));
    store.put_keys(&[old, key.clone()])?;
    Ok((key, secret))
}

fn make(wish: Wish, line: Option<Name>, random: &[u8; 32], now: i64) -> (Key, Secret) {
    let secret = Secret::new(wish.kind, random);
    let hash = hash(secret.reveal());
    // the id comes from the hash: unique like it, and nothing of the secret can be told from it
    let mut id = String::from("key_");
    base32::encode(&hash[..10], &mut id);
    let id = Name::from(id);
    let key = Key {
        line: line.unwrap_or_else(|| id.clone()),
        id,
        kind: wish.kind,
        product: wish.product.into(),
        team: wish.team.map(Into::into),
        name: wish.name.into(),
        hash,
        prefix: secret.reveal().chars().take(wish.kind.prefix().len() + SHOWN).collect::<String>().into(),
        created: now,
        expires: wish.expires,
        revoked: None,
        models: wish.models,
        networks: wish.networks,
        quota: wish.quota,
    };
    (key, secret)
}

fn find(store: &dyn Store, id: &str) -> Result<Key, KeyError> {
    store.keys()?.into_iter().find(|key| &*key.id == id).ok_or_else(|| KeyError::NoSuchKey(id.to_owned()))
}

fn hash(secret: &str) -> [u8; 32] {
    Sha256::digest(secret.as_bytes()).into()
}

/// All keys in memory, immutable: a change makes a new ring, and the server swaps it.
#[derive(Debug, Default)]
pub struct KeyRing {
    /// Those of products. What opens the admin API lies apart, so that neither is ever taken for the other.
    keys: HashMap<[u8; 32], Key>,
    admins: HashMap<[u8; 32], Key>,
    /// Their hashes by id, for clients that prove a key without sending it.
    ids: HashMap<Name, [u8; 32]>,
    version: i64,
}

impl KeyRing {
    /// The ring of `keys`.
    #[must_use]
    pub fn new(keys: Vec<Key>) -> Self {
        let (keys, admins): (Vec<_>, Vec<_>) = keys.into_iter().partition(|key| key.kind == KeyKind::Product);
        let ids = keys.iter().map(|key| (key.id.clone(), key.hash)).collect();
        let by_hash = |keys: Vec<Key>| keys.into_iter().map(|key| (key.hash, key)).collect();
        Self { keys: by_hash(keys), admins: by_hash(admins), ids, version: 0 }
    }

    /// The store's keys as of now.
    ///
    /// # Errors
    /// The store refuses.
    pub fn load(store: &dyn Store) -> Result<Self, StoreError> {
        // the version first: a change in between makes the next look load again, never miss it
        let version = store.keys_version()?;
        Ok(Self { version, ..Self::new(store.keys()?) })
    }

    /// A new ring where the store's keys have changed since this one; `None`: they have not. Cheap; never call it on a
    /// request's path all the same.
    ///
    /// # Errors
    /// The store refuses; this ring stays good.
    pub fn reload(&self, store: &dyn Store) -> Result<Option<Self>, StoreError> {
        if store.keys_version()? == self.version { Ok(None) } else { Self::load(store).map(Some) }
    }

    /// The product's key of `secret`, if it is good at `now` (Unix microseconds).
    ///
    /// # Errors
    /// It is unknown, revoked or expired.
    pub fn verify(&self, secret: &str, now: i64) -> Result<&Key, KeyError> {
        let key = self.keys.get(&hash(secret)).ok_or(KeyError::Unknown)?;
        key.check(now)?;
        Ok(key)
    }

    /// The key of the admin API with `secret`, if it is good at `now` (Unix microseconds).
    ///
    /// # Errors
    /// It is unknown, revoked or expired.
    pub fn verify_admin(&self, secret: &str, now: i64) -> Result<&Key, KeyError> {
        let key = self.admins.get(&hash(secret)).ok_or(KeyError::Unknown)?;
        key.check(now)?;
        Ok(key)
    }

    /// Whether a key of the admin API was ever made, a refused one included.
    #[must_use]
    pub fn has_admins(&self) -> bool {
        !self.admins.is_empty()
    }

    /// Every product's key, in no order, refused ones included.
    pub fn iter(&self) -> impl Iterator<Item = &Key> {
        self.keys.values()
    }

    /// The product's key with this id, if it is good at `now` (Unix microseconds). The caller has yet to prove that it is his.
    ///
    /// # Errors
    /// It is unknown, revoked or expired.
    pub fn named(&self, id: &str, now: i64) -> Result<&Key, KeyError> {
        let key = self.ids.get(id).and_then(|hash| self.keys.get(hash)).ok_or(KeyError::Unknown)?;
        key.check(now)?;
        Ok(key)
    }

    /// How many products' keys it holds, refused ones included.
    #[must_use]
    pub fn len(&self) -> usize {
        self.keys.len()
    }

    /// Whether it holds none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.keys.is_empty()
    }
}
