//! AWS Signature Version 4 (docs.aws.amazon.com, "Create a signed AWS API request"): the form of a request that is signed,
//! and its signature. Pure; providers are signed for in `upstream::auth::sigv4`, clients that sign are checked in `serve::aws`.

use http::Uri;
use ring::digest::{SHA256, digest};
use ring::hmac;
use std::fmt::Write as _;

/// The word that begins the header of a signature.
pub(crate) const ALGORITHM: &str = "AWS4-HMAC-SHA256";

/// What a signature is made for.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Scope<'a> {
    /// `YYYYMMDD`.
    pub(crate) day: &'a str,
    /// The region.
    pub(crate) region: &'a str,
    /// The service.
    pub(crate) service: &'a str,
}

impl Scope<'_> {
    /// As it is written.
    pub(crate) fn text(&self) -> String {
        format!("{}/{}/{}/aws4_request", self.day, self.region, self.service)
    }
}

/// The signature with `secret` of a request in its signed form, at `time` (`YYYYMMDDTHHMMSSZ`).
pub(crate) fn signature(secret: &str, scope: &Scope<'_>, time: &str, canonical: &str) -> String {
    let to_sign =
        format!("{ALGORITHM}\n{time}\n{}\n{}", scope.text(), hex(digest(&SHA256, canonical.as_bytes()).as_ref()));
    let first = mac(format!("AWS4{secret}").as_bytes(), scope.day.as_bytes());
    let key = [scope.region, scope.service, "aws4_request"]
        .iter()
        .fold(first, |key, word| mac(key.as_ref(), word.as_bytes()));
    hex(mac(key.as_ref(), to_sign.as_bytes()).as_ref())
}

pub(crate) fn mac(key: &[u8], data: &[u8]) -> hmac::Tag {
    hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, key), data)
}

/// The names of the signed headers, as they are written.
pub(crate) fn names(headers: &[(String, String)]) -> String {
    headers.iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>().join(";")
}

/// The request in the form that is signed.
pub(crate) fn canonical(method: &str, uri: &Uri, headers: &[(String, String)], body: &[u8]) -> String {
    let mut pairs: Vec<String> = uri
        .query()
        .unwrap_or_default()
        .split('&')
        .filter(|pair| !pair.is_empty())
        .map(|pair| if pair.contains('=') { pair.to_owned() } else { format!("{pair}=") })
        .collect();
    pairs.sort_unstable();
    let lines = headers.iter().fold(String::new(), |mut out, (name, value)| {
        // Writing to a string cannot fail.
        let _ = writeln!(out, "{name}:{value}");
        out
    });
    let hash = hex(digest(&SHA256, body).as_ref());
    format!("{method}\n{}\n{}\n{lines}\n{}\n{hash}", escaped_again(uri.path()), pairs.join("&"), names(headers))
}

/// The path with each step escaped once more, as every service but S3 signs it: `%3A` becomes `%253A`.
fn escaped_again(path: &str) -> String {
    path.bytes().fold(String::with_capacity(path.len()), |mut out, byte| {
        if byte.is_ascii_alphanumeric() || b"-._~/".contains(&byte) {
            out.push(char::from(byte));
        } else {
            let _ = write!(out, "%{byte:02X}");
        }
        out
    })
}

/// Unix seconds as `YYYYMMDDTHHMMSSZ`.
pub(crate) fn stamp(unix: i64) -> String {
    jiff::Timestamp::from_second(unix).unwrap_or_default().strftime("%Y%m%dT%H%M%SZ").to_string()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut out, byte| {
        let _ = write!(out, "{byte:02x}");
        out
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_and_paths_are_spelled_as_they_are_signed() {
        assert_eq!(stamp(1_440_938_160), "20150830T123600Z");
        assert_eq!(escaped_again("/model/a.b-v1%3A0/converse"), "/model/a.b-v1%253A0/converse");
    }
}
