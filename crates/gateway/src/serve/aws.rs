//! Clients of AWS prove their key by a signature over the whole request (Signature Version 4) and never send it. The
//! access key's id is the id of a key of ours; its secret is what `autarky keys aws` told. Whose id is none of ours is no
//! caller of this kind, as with any other text where a product is anonymous.

use super::admit::{self, Caller, refused};
use crate::access::Access;
use crate::setup::Setup;
use crate::sigv4::{ALGORITHM, Scope, canonical, signature, stamp};
use canon::Fault;
use http::header::AUTHORIZATION;
use http::{HeaderMap, request};
use std::net::IpAddr;

/// What ids of keys of ours begin with.
const OURS: &str = "key_";
/// How far a client's clock may be off, seconds: as AWS itself has it.
const SKEW: i64 = 300;

/// What the header of a signature says.
struct Claim<'a> {
    id: &'a str,
    scope: Scope<'a>,
    headers: &'a str,
    signature: &'a str,
}

/// Whether a request is signed with a key of ours.
pub(super) fn is_signed(headers: &HeaderMap) -> bool {
    claim(headers).is_some_and(|claim| claim.id.starts_with(OURS))
}

fn claim(headers: &HeaderMap) -> Option<Claim<'_>> {
    let text = headers.get(AUTHORIZATION)?.to_str().ok()?.strip_prefix(ALGORITHM)?;
    let field = |name: &str| text.split(',').find_map(|pair| pair.trim().strip_prefix(name)?.strip_prefix('='));
    let mut credential = field("Credential")?.split('/');
    let (id, day, region, service) = (credential.next()?, credential.next()?, credential.next()?, credential.next()?);
    let scope = Scope { day, region, service };
    (credential.next() == Some("aws4_request")).then_some(())?;
    Some(Claim { id, scope, headers: field("SignedHeaders")?, signature: field("Signature")? })
}

/// Finds out who signed a request.
///
/// # Errors
/// The key is not good, the signature is not its, or it is too old.
pub(super) fn admit(
    setup: &Setup,
    access: &Access,
    head: &request::Parts,
    body: &[u8],
    (peer, micros): (IpAddr, i64),
) -> Result<Caller, Fault> {
    let claim = claim(&head.headers).ok_or_else(|| refused("the signature cannot be read"))?;
    let ring = access.ring();
    let key = ring.named(claim.id, micros).map_err(|error| refused(&error.to_string()))?;
    let secret = access
        .aws_secret(claim.id)
        .ok_or_else(|| refused("no secret access key was made here: `autarky keys aws ID` tells the one of a key"))?;
    let time = head.headers.get("x-amz-date").and_then(|value| value.to_str().ok()).unwrap_or_default();
    if !is_near(time, micros / 1_000_000) {
        return Err(refused("the signature is too old or too new: set the client's clock"));
    }
    let expected = signature(&secret, &claim.scope, time, &signed_form(head, &claim, body)?);
    if !time.starts_with(claim.scope.day) || !same(expected.as_bytes(), claim.signature.as_bytes()) {
        return Err(refused("the signature is not that of the key: check the secret access key"));
    }
    admit::caller(setup, key, peer)
}

/// The request as the client must have signed it: `host` at least, and every `x-amz-` header that it sends.
fn signed_form(head: &request::Parts, claim: &Claim<'_>, body: &[u8]) -> Result<String, Fault> {
    let names: Vec<&str> = claim.headers.split(';').collect();
    let unsigned =
        head.headers.keys().any(|name| name.as_str().starts_with("x-amz-") && !names.contains(&name.as_str()));
    if unsigned || !names.contains(&"host") {
        return Err(refused("the signature must cover `host` and every `x-amz-` header"));
    }
    let value = |name: &str| {
        let values: Vec<String> = head
            .headers
            .get_all(name)
            .iter()
            .map(|value| String::from_utf8_lossy(value.as_bytes()).split_whitespace().collect::<Vec<_>>().join(" "))
            .collect();
        match (name, values.is_empty()) {
            // HTTP/2 has it in the address.
            ("host", true) => head.uri.authority().map(ToString::to_string).unwrap_or_default(),
            _ => values.join(","),
        }
    };
    let headers: Vec<(String, String)> = names.iter().map(|name| ((*name).to_owned(), value(name))).collect();
    Ok(canonical(head.method.as_str(), &head.uri, &headers, body))
}

/// Whether `time` is within the skew of `now`, Unix seconds.
fn is_near(time: &str, now: i64) -> bool {
    // Both spell the same way, so what lies between two spellings lies between two times.
    time.len() == 16 && (stamp(now - SKEW).as_str()..=stamp(now + SKEW).as_str()).contains(&time)
}

/// Whether two texts are equal, in a time that does not tell where they differ.
fn same(one: &[u8], other: &[u8]) -> bool {
    one.len() == other.len() && one.iter().zip(other).fold(0, |sum, (a, b)| sum | (a ^ b)) == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_claim_is_read_and_a_time_compared() {
        let text = "AWS4-HMAC-SHA256 Credential=key_1/20261125/eu/bedrock/aws4_request, SignedHeaders=host;x-amz-date, Signature=ab";
        let headers = HeaderMap::from_iter([(AUTHORIZATION, text.parse().expect("a header"))]);
        let read = claim(&headers).expect("read");
        assert_eq!((read.id, read.scope.text().as_str()), ("key_1", "20261125/eu/bedrock/aws4_request"));
        assert_eq!((read.headers, read.signature), ("host;x-amz-date", "ab"));
        assert!(is_near("20150830T123600Z", 1_440_938_160 + 299) && !is_near("20150830T123600Z", 1_440_938_160 + 301));
        assert!(!is_near("", 0) && same(b"ab", b"ab") && !same(b"ab", b"ac") && !same(b"ab", b"a"));
    }
}
