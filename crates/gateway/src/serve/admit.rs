//! Who may call: a key leads to its product, with no database on the way. Requests without a key belong to the
//! anonymous product, where one is configured; keys of ours (`ak-…`) that are wrong are refused even then.

use crate::access::Access;
use crate::run::live::Levels;
use crate::setup::Setup;
use canon::{Fault, FaultKind};
use http::header::{AUTHORIZATION, HeaderMap, HeaderValue};
use ledger::{Key, Name};
use policy::{Permit, ProductIx};
use std::net::IpAddr;
use std::sync::Arc;

/// What the keys of ours begin with.
const OURS: &str = "ak-";

/// Who calls.
#[derive(Debug, Clone)]
pub(super) struct Caller {
    /// The product.
    pub(super) product: ProductIx,
    /// The team of the key.
    pub(super) team: Option<Name>,
    /// Id of the key.
    pub(super) key: Option<Name>,
    /// What the key may use; `None`: all that the product may.
    pub(super) permit: Option<Arc<Permit>>,
    /// Within whose limits he is.
    pub(super) levels: Levels,
}

/// Finds out who calls.
pub(super) fn admit(
    setup: &Setup,
    access: &Access,
    headers: &HeaderMap,
    query: Option<&str>,
    peer: IpAddr,
    micros: i64,
) -> Result<Caller, Fault> {
    let anonymous = setup.fleet.anonymous();
    let secret = match (secret(headers, query), anonymous) {
        (Some(secret), None) => secret,
        (Some(secret), Some(_)) if secret.starts_with(OURS) => secret,
        (_, Some(product)) if peer.is_loopback() => {
            let levels = setup.live.levels(product, None, None);
            return Ok(Caller { product, team: None, key: None, permit: None, levels });
        }
        // Whatever address the server was told to listen on: without a key only this machine itself is served.
        (Some(secret), Some(_)) => secret,
        (None, _) => {
            return Err(refused("no key: send yours as `Authorization: Bearer ak-…` or `x-api-key: ak-…`"));
        }
    };
    let ring = access.ring();
    let key = ring.verify(secret, micros).map_err(|error| refused(&error.to_string()))?;
    caller(setup, key, peer)
}

/// Whoever has proved to hold `key`.
pub(super) fn caller(setup: &Setup, key: &Key, peer: IpAddr) -> Result<Caller, Fault> {
    if !key.allows_address(peer) {
        return Err(Fault::client(FaultKind::Forbidden, "the key may not be used from this address"));
    }
    let product = setup.fleet.product_named(&key.product).ok_or_else(|| {
        let message = format!("the key's product `{}` is no longer configured", key.product);
        Fault::client(FaultKind::Forbidden, message)
    })?;
    let permit = (!key.models.is_empty()).then(|| setup.permit(key));
    let levels = setup.live.levels(product, key.team.as_deref(), Some(&key.line));
    Ok(Caller { product, team: key.team.clone(), key: Some(key.id.clone()), permit, levels })
}

pub(super) fn refused(message: &str) -> Fault {
    Fault::client(FaultKind::Unauthenticated, message)
}

/// The secret, from whichever place the client's SDK puts it.
fn secret<'a>(headers: &'a HeaderMap, query: Option<&'a str>) -> Option<&'a str> {
    let trimmed = |value: &'a HeaderValue| value.to_str().ok().map(str::trim);
    let text = |name: &str| headers.get(name).and_then(trimmed);
    headers
        .get(AUTHORIZATION)
        .and_then(trimmed)
        .and_then(|value| value.strip_prefix("Bearer ").or_else(|| value.strip_prefix("bearer ")))
        .or_else(|| text("x-api-key"))
        .or_else(|| text("api-key"))
        .or_else(|| text("x-goog-api-key"))
        .or_else(|| query?.split('&').find_map(|pair| pair.strip_prefix("key=")))
        .map(str::trim)
        .filter(|secret| !secret.is_empty())
}
