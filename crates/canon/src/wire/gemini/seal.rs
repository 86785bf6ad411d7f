//! Seals as thought signatures. The field holds bytes, so clients decode it as base64 and send it back in the
//! URL-safe alphabet; a seal of another maker need not be base64 at all and travels to the client in a wrapping.

use crate::request::Seal;
use crate::wire::Target;
use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE};

/// Before a wrapped seal, inside the base64.
const SEALED: &str = "seal:";
const REDACTED: &str = "redacted:";

/// Reads a signature.
pub(super) fn read(text: String) -> Seal {
    let data = standard(text);
    let inner = STANDARD.decode(&data).ok().and_then(|bytes| String::from_utf8(bytes).ok());
    if let Some(inner) = inner {
        for (prefix, redacted) in [(SEALED, false), (REDACTED, true)] {
            if let Some(theirs) = inner.strip_prefix(prefix) {
                return Seal { data: theirs.to_owned(), redacted, signer: None };
            }
        }
    }
    Seal { data, redacted: false, signer: None }
}

/// Writes a seal of any maker for a client, who sends it back as it is.
pub(super) fn for_client(seal: &Seal) -> String {
    match seal.redacted {
        true => STANDARD.encode(format!("{REDACTED}{}", seal.data)),
        false if STANDARD.decode(&seal.data).is_ok() => seal.data.clone(),
        false => STANDARD.encode(format!("{SEALED}{}", seal.data)),
    }
}

/// Whether `target` can read the seal.
pub(super) fn readable(seal: &Seal, home: bool, target: &Target) -> bool {
    seal.signer.as_ref().map_or(home, |signer| *signer == target.signer)
}

/// Base64 of the URL-safe alphabet (which Python's SDK writes) in the standard one; anything else as it is.
pub(super) fn standard(data: String) -> String {
    if data.contains(['-', '_']) && URL_SAFE.decode(&data).is_ok() {
        data.replace('-', "+").replace('_', "/")
    } else {
        data
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_seal_comes_back_through_a_client_that_decodes_base64() {
        for (data, redacted) in [("CiQB+/8=", false), ("gAAAAAB_x-y", false), ("EqQB+/8=", true), ("", false)] {
            let seal = Seal { data: data.to_owned(), redacted, signer: None };
            let back = URL_SAFE.encode(STANDARD.decode(for_client(&seal)).expect("base64"));
            assert_eq!(read(back), seal);
        }
    }
}
