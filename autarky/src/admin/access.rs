//! Who may ask the admin API. A key of its own kind opens it (`autarky keys admin`). As long as none was ever made, this
//! machine itself may read, and nobody may write: whoever can make a key can read the data folder, and that is the proof
//! asked for. A page in a browser is kept from being that somebody by its host name and by where it comes from.

use super::operation::Problem;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::header::{AUTHORIZATION, HOST, HeaderMap};
use http::{StatusCode, Uri};
use ledger::{KeyKind, KeyRing, Name};
use std::net::IpAddr;

/// Who the caller is, by the key's id, if he may read (`writes`: and write). `None`: this machine itself.
///
/// # Errors
/// He may not.
pub(super) fn allow(
    ring: &KeyRing,
    (headers, uri): (&HeaderMap, &Uri),
    peer: IpAddr,
    writes: bool,
    micros: i64,
) -> Result<Option<Name>, Problem> {
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    let bearer = text(AUTHORIZATION.as_str())
        .and_then(|value| value.split_once(' '))
        .filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer"))
        .map(|(_, secret)| secret.trim());
    // A browser knows no other way: the name is anything, the password is the key.
    let basic = text(AUTHORIZATION.as_str()).and_then(password);
    let Some(secret) = bearer.or_else(|| text("x-api-key")).or(basic.as_deref()) else {
        return without_key(ring, (headers, uri), peer, writes).map(|()| None);
    };
    let key = ring.verify_admin(secret, micros).map_err(|_| {
        refused("the key does not open the admin API, or not any more")
            .hint("`autarky keys admin NAME` makes one that does; keys of products are of another kind")
    })?;
    if !key.allows_address(peer) {
        return Err(forbidden("the key may not be used from this address"));
    }
    if writes && key.kind == KeyKind::Viewer {
        return Err(forbidden("the key may read only"));
    }
    Ok(Some(key.id.clone()))
}

/// The password of `Basic` credentials.
fn password(value: &str) -> Option<String> {
    let (_, credentials) = value.split_once(' ').filter(|(scheme, _)| scheme.eq_ignore_ascii_case("basic"))?;
    let credentials = String::from_utf8(STANDARD.decode(credentials.trim()).ok()?).ok()?;
    credentials.split_once(':').map(|(_, password)| password.to_owned())
}

fn without_key(ring: &KeyRing, (headers, uri): (&HeaderMap, &Uri), peer: IpAddr, writes: bool) -> Result<(), Problem> {
    let hint = "send `Authorization: Bearer ak-admin-…`; `autarky keys admin NAME` makes one";
    if writes || ring.has_admins() || !peer.to_canonical().is_loopback() {
        return Err(refused("this needs a key of the admin API").hint(hint));
    }
    // A name that leads here may be anybody's: a page of his would be asking.
    let host = headers.get(HOST).and_then(|host| host.to_str().ok()).or_else(|| uri.authority().map(|at| at.as_str()));
    let named = host.map(|host| host.rsplit_once(':').map_or(host, |(name, _)| name)).unwrap_or_default();
    let here = named == "localhost" || named.trim_matches(['[', ']']).parse::<IpAddr>().is_ok();
    let foreign = headers.get("sec-fetch-site").is_some_and(|site| site == "cross-site" || site == "same-site");
    if !here || foreign {
        return Err(
            refused("without a key only this machine itself is answered, by its address or as `localhost`").hint(hint)
        );
    }
    Ok(())
}

fn refused(message: &str) -> Problem {
    Problem::new(StatusCode::UNAUTHORIZED, "unauthenticated", message)
}

pub(super) fn forbidden(message: &str) -> Problem {
    Problem::new(StatusCode::FORBIDDEN, "forbidden", message)
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderValue;
    use ledger::Key;
    use ledger::keys::Secret;
    use sha2::{Digest, Sha256};

    fn ring(kind: KeyKind) -> (KeyRing, String) {
        let secret = Secret::new(kind, &[7; 32]).reveal().to_owned();
        let name = Name::from("root");
        let key = Key {
            id: name.clone(),
            line: name.clone(),
            kind,
            product: Name::from(""),
            team: None,
            name: name.clone(),
            hash: Sha256::digest(secret.as_bytes()).into(),
            prefix: name,
            created: 0,
            expires: Some(100),
            revoked: None,
            models: Vec::new(),
            networks: vec!["10.0.0.0/8".parse().expect("a network")],
            quota: ledger::Quota::default(),
        };
        (KeyRing::new(vec![key]), secret)
    }

    fn asked(ring: &KeyRing, headers: &[(&'static str, &str)], peer: &str, writes: bool, at: i64) -> u16 {
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.insert(*name, HeaderValue::from_str(value).expect("a header"));
        }
        let allowed = allow(ring, (&map, &Uri::from_static("/")), peer.parse().expect("an address"), writes, at);
        allowed.map_or_else(|problem| problem.status.as_u16(), |_| 200)
    }

    #[test]
    fn without_any_key_this_machine_reads_and_nobody_writes() {
        let none = KeyRing::default();
        let local = [("host", "127.0.0.1:8081")];
        assert_eq!(asked(&none, &local, "127.0.0.1", false, 0), 200);
        assert_eq!(asked(&none, &[("host", "[::1]:8081")], "::1", false, 0), 200);
        assert_eq!(asked(&none, &[("host", "localhost")], "::ffff:127.0.0.1", false, 0), 200);
        assert_eq!(asked(&none, &local, "127.0.0.1", true, 0), 401);
        assert_eq!(asked(&none, &local, "10.0.0.1", false, 0), 401);
        assert_eq!(asked(&none, &[("host", "evil.example:8081")], "127.0.0.1", false, 0), 401, "a rebound name");
        let page = [("host", "127.0.0.1:8081"), ("sec-fetch-site", "cross-site")];
        assert_eq!(asked(&none, &page, "127.0.0.1", false, 0), 401);
    }

    #[test]
    fn a_key_opens_what_its_kind_opens() {
        let (admins, secret) = ring(KeyKind::Admin);
        let bearer = format!("Bearer {secret}");
        let key = [("authorization", bearer.as_str())];
        assert_eq!(asked(&admins, &key, "10.0.0.1", true, 0), 200);
        assert_eq!(asked(&admins, &[("x-api-key", &secret)], "10.0.0.1", true, 0), 200);
        assert_eq!(asked(&admins, &key, "11.0.0.1", false, 0), 403);
        assert_eq!(asked(&admins, &key, "10.0.0.1", false, 100), 401, "it has expired");
        assert_eq!(
            asked(&admins, &[("host", "localhost")], "127.0.0.1", false, 0),
            401,
            "there is one, so it is asked for"
        );
        let basic = format!("Basic {}", STANDARD.encode(format!("anybody:{secret}")));
        assert_eq!(asked(&admins, &[("authorization", &basic)], "10.0.0.1", true, 0), 200);
        let (viewers, secret) = ring(KeyKind::Viewer);
        let bearer = format!("Bearer {secret}");
        let key = [("authorization", bearer.as_str())];
        assert_eq!(asked(&viewers, &key, "10.0.0.1", false, 0), 200);
        assert_eq!(asked(&viewers, &key, "10.0.0.1", true, 0), 403);
        let (products, secret) = ring(KeyKind::Product);
        assert_eq!(asked(&products, &[("x-api-key", &secret)], "10.0.0.1", false, 0), 401);
    }
}
