//! Opaque blocks as providers make them: a signature of thinking, thinking encrypted, a signature of thought. This
//! provider reads only what it sealed itself, on the same wire, as real ones do. Pure.

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE};
use sha2::{Digest, Sha256};

/// Serial numbers of one provider differ from its salt in these low bits only.
const COUNTED: u64 = 1 << 24;

/// The seal of answer `serial` on `wire`.
#[must_use]
pub(super) fn seal(wire: &str, serial: u64) -> String {
    STANDARD.encode(bytes(wire, serial))
}

/// Whether the provider with this salt made `seal`, on `wire`.
#[must_use]
pub(super) fn is_own(seal: &str, wire: &str, salt: u64) -> bool {
    let Ok(found) = STANDARD.decode(seal).or_else(|_| URL_SAFE.decode(seal)) else { return false };
    let Some(Ok(serial)) = found.get(8..16).map(<[u8; 8]>::try_from) else { return false };
    let serial = u64::from_be_bytes(serial);
    serial ^ salt < COUNTED && found == bytes(wire, serial)
}

fn bytes(wire: &str, serial: u64) -> Vec<u8> {
    let mut proof = Sha256::new();
    proof.update(wire.as_bytes());
    proof.update(serial.to_be_bytes());
    let mut out: Vec<u8> = Sha256::digest(wire.as_bytes()).iter().take(8).copied().collect();
    out.extend(serial.to_be_bytes());
    out.extend(proof.finalize().iter().take(8));
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_its_maker_knows_a_seal() {
        let (salt, other) = (7_u64 << 40 | 80 << 24, 7_u64 << 40 | 81 << 24);
        let made = seal("a", salt ^ 5);
        assert!(is_own(&made, "a", salt));
        assert!(!is_own(&made, "b", salt) && !is_own(&made, "a", other));
        for made_up in ["", "Eqaa", "====", "c2VhbA=="] {
            assert!(!is_own(made_up, "a", salt), "{made_up}");
        }
    }
}
