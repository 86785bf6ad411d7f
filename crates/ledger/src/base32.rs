//! Crockford's base32 in lower case: short, safe in URLs and file names, sorts like the bytes it stands for, and has
//! no letters that people mix up. Pure. Used for request ids and key secrets.

const ALPHABET: [u8; 32] = *b"0123456789abcdefghjkmnpqrstvwxyz";

/// What each sign stands for; 255: it is none.
const VALUES: [u8; 256] = {
    let mut values = [u8::MAX; 256];
    let mut at = 0;
    while at < ALPHABET.len() {
        values[ALPHABET[at] as usize] = at as u8;
        at += 1;
    }
    values
};

/// Appends `bytes` as text, five bits a sign, the last sign filled up with zero bits.
pub fn encode(bytes: &[u8], out: &mut String) {
    let mut held = 0_u32;
    let mut bits = 0_u32;
    for &byte in bytes {
        held = (held << 8) | u32::from(byte);
        bits += 8;
        while bits >= 5 {
            bits -= 5;
            out.push(sign(held >> bits));
        }
        held &= (1 << bits) - 1;
    }
    if bits > 0 {
        out.push(sign(held << (5 - bits)));
    }
}

/// The bytes that `text` stands for, into `out`; `false` when it is no text of `encode` of just that length.
#[must_use]
pub fn decode(text: &str, out: &mut [u8]) -> bool {
    if text.len() != (out.len() * 8).div_ceil(5) {
        return false;
    }
    let mut held = 0_u32;
    let mut bits = 0_u32;
    let mut places = out.iter_mut();
    for sign in text.bytes() {
        let value = VALUES[usize::from(sign)];
        if value == u8::MAX {
            return false;
        }
        held = (held << 5) | u32::from(value);
        bits += 5;
        if bits >= 8 {
            bits -= 8;
            if let (Some(place), Ok(byte)) = (places.next(), u8::try_from(held >> bits)) {
                *place = byte;
            }
            held &= (1 << bits) - 1;
        }
    }
    held == 0
}

/// The signs of 128 bits, as [`encode`] writes them.
pub(crate) fn signs(bits: u128) -> [u8; 26] {
    // the last sign has three bits
    std::array::from_fn(|at| {
        let value = if at < 25 { bits >> (123 - 5 * at) } else { bits << 2 };
        ALPHABET[(value & 31) as usize]
    })
}

fn sign(value: u32) -> char {
    char::from(ALPHABET[(value & 31) as usize])
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn what_is_written_is_read(bytes in proptest::collection::vec(any::<u8>(), 0..40)) {
            let mut text = String::new();
            encode(&bytes, &mut text);
            let mut back = vec![0; bytes.len()];
            prop_assert!(decode(&text, &mut back));
            prop_assert_eq!(back, bytes);
        }

        #[test]
        fn text_sorts_like_bytes(a in any::<[u8; 16]>(), b in any::<[u8; 16]>()) {
            let (mut left, mut right) = (String::new(), String::new());
            encode(&a, &mut left);
            encode(&b, &mut right);
            prop_assert_eq!(left.cmp(&right), a.cmp(&b));
        }

        #[test]
        fn no_text_panics(text in ".{0,30}") {
            let mut out = [0; 16];
            let _ = decode(&text, &mut out);
        }
    }

    #[test]
    fn left_over_bits_must_be_zero() {
        assert!(decode("00", &mut [0]));
        assert!(!decode("01", &mut [0]));
        assert!(!decode("0u", &mut [0]));
    }
}
