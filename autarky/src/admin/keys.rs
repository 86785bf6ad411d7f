//! Keys of products: made, listed, revoked and rotated. A secret is in one answer only, that of its making. Keys of the
//! admin API are made on the machine (`autarky keys admin`) and can be listed and ended here.

use super::{Admin, Nothing, Operation, Problem};
use crate::wiring::keys;
use gateway::clock;
use http::{Method, StatusCode};
use jiff::Timestamp;
use ledger::keys::{Secret, Wish};
use ledger::named::Named;
use ledger::{Key, KeyKind, Name, Quota};
use policy::NanoUsd;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

const DAY: i64 = 86_400_000_000;
const HOUR: i64 = 3_600_000_000;
/// Longest text of a name.
const MOST: usize = 200;

const NO_SUCH_KEY: (StatusCode, &str) = (StatusCode::NOT_FOUND, "No key has the id.");
const AWAY: (StatusCode, &str) =
    (StatusCode::SERVICE_UNAVAILABLE, "The ledger cannot be read or written now; products are answered all the same.");

/// A key, without its secret.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "Key")]
pub(super) struct Told {
    /// Its id, which the ledger writes.
    id: String,
    /// The id of the first key of its line: successors share its limits.
    line: String,
    /// What it opens: `product` (requests), `admin` or `viewer` (this API).
    kind: &'static str,
    /// What the secret begins with.
    prefix: String,
    /// The product it belongs to; null: it opens this API.
    product: Option<String>,
    /// The team that uses it.
    team: Option<String>,
    /// What people call it.
    name: String,
    /// When it was made.
    created: String,
    /// From when on it is refused.
    expires: Option<String>,
    /// Since when it is refused, by a person's will.
    revoked: Option<String>,
    /// Whether it is good now.
    good: bool,
    /// Models and deployments it may use; empty: all of the product's.
    models: Vec<String>,
    /// Networks it may be used from; empty: everywhere.
    networks: Vec<String>,
    /// How much it may use.
    limits: Limits,
}

/// How much a key may use, besides what its product and its team may. Left out: no limit of its own.
#[derive(Debug, Clone, Copy, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
#[schemars(rename = "KeyLimits")]
pub(super) struct Limits {
    /// Requests in any 60 seconds.
    rpm: Option<u32>,
    /// Tokens, in and out, in any 60 seconds.
    tpm: Option<u64>,
    /// Requests under way at the same time.
    concurrent: Option<u32>,
    /// US dollars per minute of the clock.
    usd_minute: Option<NanoUsd>,
    /// US dollars per day (UTC).
    usd_day: Option<NanoUsd>,
    /// US dollars per calendar month (UTC).
    usd_month: Option<NanoUsd>,
}

impl From<Limits> for Quota {
    fn from(limits: Limits) -> Self {
        let nano = |usd: Option<NanoUsd>| usd.map(|usd| usd.0);
        let Limits { rpm, tpm, concurrent, usd_minute, usd_day, usd_month } = limits;
        let (nano_minute, nano_day, nano_month) = (nano(usd_minute), nano(usd_day), nano(usd_month));
        Self { rpm, tpm, concurrent, nano_minute, nano_day, nano_month }
    }
}

impl From<Quota> for Limits {
    fn from(quota: Quota) -> Self {
        let usd = |nano: Option<u64>| nano.map(NanoUsd);
        let Quota { rpm, tpm, concurrent, nano_minute, nano_day, nano_month } = quota;
        let (usd_minute, usd_day, usd_month) = (usd(nano_minute), usd(nano_day), usd(nano_month));
        Self { rpm, tpm, concurrent, usd_minute, usd_day, usd_month }
    }
}

/// A new key and its secret.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "NewKey")]
pub(super) struct Made {
    key: Told,
    /// What its holder sends. Shown now and never again; only its hash is kept.
    secret: String,
}

fn told(key: &Key, now: i64) -> Told {
    let names = |names: &[Name]| names.iter().map(ToString::to_string).collect();
    Told {
        id: key.id.to_string(),
        line: key.line.to_string(),
        kind: key.kind.name(),
        prefix: key.prefix.to_string(),
        product: (key.kind == KeyKind::Product).then(|| key.product.to_string()),
        team: key.team.as_deref().map(str::to_owned),
        name: key.name.to_string(),
        created: when(key.created),
        expires: key.expires.map(when),
        revoked: key.revoked.map(when),
        good: ![key.expires, key.revoked].into_iter().flatten().any(|end| end <= now),
        models: names(&key.models),
        networks: key.networks.iter().map(ToString::to_string).collect(),
        limits: key.quota.into(),
    }
}

fn when(micros: i64) -> String {
    Timestamp::from_microsecond(micros).unwrap_or_default().to_string()
}

/// In force at once: the answer of a change is not sent before the server goes by it.
fn taken_over(admin: &Admin) {
    if let Err(error) = admin.gateway.refresh_keys(&*admin.store) {
        tracing::warn!(%error, "the changed keys could not be read; they are tried again at once");
    }
}

fn made(admin: &Admin, (key, secret): (Key, Secret), now: i64) -> Made {
    taken_over(admin);
    Made { key: told(&key, now), secret: secret.reveal().to_owned() }
}

fn random() -> Result<[u8; 32], Problem> {
    keys::random().map_err(|error| Problem::unavailable("no_random_numbers", error))
}

/// Every key.
pub(super) struct List;

/// Which keys.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Which {
    /// Only those of this product.
    product: Option<String>,
}

/// Keys.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct Keys {
    /// Oldest first.
    keys: Vec<Told>,
}

impl Operation for List {
    type Params = Which;
    type Body = Nothing;
    type Answer = Keys;
    const METHOD: Method = Method::GET;
    const PATH: &'static str = "/admin/keys";
    const NAME: &'static str = "list_keys";
    const SUMMARY: &'static str = "Every key, those that are refused included, without its secret.";
    const REFUSALS: &'static [(StatusCode, &'static str)] = &[AWAY];

    fn run(admin: &Admin, which: Which, _: Nothing) -> Result<Keys, Problem> {
        let now = clock::unix_micros();
        let keys = admin.store.keys()?;
        let wanted = keys.iter().filter(|key| which.product.as_deref().is_none_or(|product| *key.product == *product));
        Ok(Keys { keys: wanted.map(|key| told(key, now)).collect() })
    }
}

/// One key.
pub(super) struct Show;

/// Whose key.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Id {
    /// The key's id.
    id: String,
}

impl Operation for Show {
    type Params = Id;
    type Body = Nothing;
    type Answer = Told;
    const METHOD: Method = Method::GET;
    const PATH: &'static str = "/admin/keys/{id}";
    const NAME: &'static str = "show_key";
    const SUMMARY: &'static str = "One key.";
    const REFUSALS: &'static [(StatusCode, &'static str)] = &[NO_SUCH_KEY, AWAY];

    fn run(admin: &Admin, Id { id }: Id, _: Nothing) -> Result<Told, Problem> {
        let keys = admin.store.keys()?;
        let key = keys.iter().find(|key| *key.id == *id);
        let key = key.ok_or_else(|| Problem::missing("no_such_key", format!("no key has the id `{id}`")))?;
        Ok(told(key, clock::unix_micros()))
    }
}

/// A new key.
pub(super) struct Create;

/// What a new key is to be.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct NewKey {
    /// The product, as in `[product.NAME]`.
    #[schemars(length(min = 1, max = 200))]
    product: String,
    /// What people call the key.
    #[serde(default = "default_name")]
    #[schemars(length(min = 1, max = 200))]
    name: String,
    /// The team that uses it.
    #[schemars(length(min = 1, max = 200))]
    team: Option<String>,
    /// Days until it expires. Left out: never.
    #[schemars(range(min = 1, max = 36500))]
    expires_days: Option<u32>,
    /// Models and deployments it may use (`gpt*` for a beginning). Empty: all of the product's.
    #[serde(default)]
    models: Vec<String>,
    /// Networks it may be used from, e.g. `10.0.0.0/8`. Empty: everywhere.
    #[serde(default)]
    networks: Vec<String>,
    /// How much it may use.
    #[serde(default)]
    limits: Limits,
}

fn default_name() -> String {
    "default".to_owned()
}

impl Operation for Create {
    type Params = Nothing;
    type Body = NewKey;
    type Answer = Made;
    const METHOD: Method = Method::POST;
    const PATH: &'static str = "/admin/keys";
    const NAME: &'static str = "create_key";
    const SUMMARY: &'static str = "Make a key for a product; its secret is shown in this answer and never again.";
    const STATUS: StatusCode = StatusCode::CREATED;
    const REFUSALS: &'static [(StatusCode, &'static str)] =
        &[(StatusCode::UNPROCESSABLE_ENTITY, "There is no such product or team, or a network cannot be read."), AWAY];

    fn run(admin: &Admin, _: Nothing, new: NewKey) -> Result<Made, Problem> {
        let wrong = |error: String| Problem::new(StatusCode::UNPROCESSABLE_ENTITY, "no_such_thing", error);
        let texts = [&new.product, &new.name].into_iter().chain(&new.team);
        if texts.into_iter().any(|text| text.is_empty() || text.chars().count() > MOST) {
            return Err(Problem::invalid(format!("names have 1 to {MOST} signs")));
        }
        if new.expires_days.is_some_and(|days| !(1..=36_500).contains(&days)) {
            return Err(Problem::invalid("`expires_days` is 1 to 36500"));
        }
        let setup = admin.gateway.setup();
        keys::belongs(&setup.fleet, &new.product, new.team.as_deref()).map_err(wrong)?;
        let networks = new.networks.iter().map(|text| text.parse()).collect::<Result<_, _>>();
        let now = clock::unix_micros();
        let wish = Wish {
            kind: KeyKind::Product,
            product: new.product,
            team: new.team,
            name: new.name,
            expires: new.expires_days.map(|days| now.saturating_add(i64::from(days).saturating_mul(DAY))),
            models: new.models.into_iter().map(Into::into).collect(),
            networks: networks.map_err(|error: ledger::cidr::NoCidr| wrong(error.to_string()))?,
            quota: new.limits.into(),
        };
        let key = ledger::keys::create(&*admin.store, wish, &random()?, now)?;
        Ok(made(admin, key, now))
    }
}

/// The end of a key.
pub(super) struct Revoke;

impl Operation for Revoke {
    type Params = Id;
    type Body = Nothing;
    type Answer = Told;
    const METHOD: Method = Method::POST;
    const PATH: &'static str = "/admin/keys/{id}/revoke";
    const NAME: &'static str = "revoke_key";
    const SUMMARY: &'static str = "Refuse a key from now on, for good.";
    const REFUSALS: &'static [(StatusCode, &'static str)] = &[NO_SUCH_KEY, AWAY];

    fn run(admin: &Admin, Id { id }: Id, _: Nothing) -> Result<Told, Problem> {
        let now = clock::unix_micros();
        let key = ledger::keys::revoke(&*admin.store, &id, now)?;
        taken_over(admin);
        Ok(told(&key, now))
    }
}

/// A successor.
pub(super) struct Rotate;

/// How to change over.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Overlap {
    /// Hours that the old key stays good.
    #[serde(default = "default_overlap")]
    #[schemars(range(min = 0, max = 8760))]
    overlap_hours: u32,
}

const fn default_overlap() -> u32 {
    24
}

impl Operation for Rotate {
    type Params = Id;
    type Body = Overlap;
    type Answer = Made;
    const METHOD: Method = Method::POST;
    const PATH: &'static str = "/admin/keys/{id}/rotate";
    const NAME: &'static str = "rotate_key";
    const SUMMARY: &'static str = "Make a successor with the same rights; the old key stays good for a while.";
    const STATUS: StatusCode = StatusCode::CREATED;
    const REFUSALS: &'static [(StatusCode, &'static str)] =
        &[NO_SUCH_KEY, (StatusCode::CONFLICT, "The key is revoked or has expired: make a new one."), AWAY];

    fn run(admin: &Admin, Id { id }: Id, overlap: Overlap) -> Result<Made, Problem> {
        if overlap.overlap_hours > 8_760 {
            return Err(Problem::invalid("`overlap_hours` is 0 to 8760"));
        }
        let now = clock::unix_micros();
        let overlap = i64::from(overlap.overlap_hours) * HOUR;
        let key = ledger::keys::rotate(&*admin.store, &id, &random()?, now, overlap)?;
        Ok(made(admin, key, now))
    }
}
