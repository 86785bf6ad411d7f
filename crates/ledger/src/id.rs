//! Request ids: 128 bits of which the first 48 are Unix milliseconds, so that they sort by time; as text `req_` and 26
//! signs of base32. Pure: time and chance are arguments.

use crate::base32;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::fmt;
use std::str::FromStr;

const PREFIX: &str = "req_";

/// The id of one request of a client; all of its attempts share it.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub struct RequestId([u8; 16]);

impl RequestId {
    /// The id of a request that came at `unix_millis`; of `random` the low 80 bits are used.
    #[must_use]
    pub const fn new(unix_millis: u64, random: u128) -> Self {
        Self((((unix_millis as u128) << 80) | (random & ((1 << 80) - 1))).to_be_bytes())
    }

    /// When the request came, Unix milliseconds.
    #[must_use]
    pub const fn unix_millis(self) -> u64 {
        (u128::from_be_bytes(self.0) >> 80) as u64
    }

    /// The id that is `bytes`.
    pub(crate) const fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(bytes)
    }

    /// Its 128 bits; they sort as its text does.
    pub(crate) const fn bytes(&self) -> &[u8; 16] {
        &self.0
    }

    /// The 30 signs of its text.
    #[must_use]
    pub fn text(self) -> String {
        String::from_utf8(self.signs().to_vec()).unwrap_or_default()
    }

    /// The same as bytes, all of them ASCII.
    #[must_use]
    pub fn signs(self) -> [u8; 30] {
        let mut signs = [0; 30];
        let (prefix, rest) = signs.split_at_mut(PREFIX.len());
        prefix.copy_from_slice(PREFIX.as_bytes());
        rest.copy_from_slice(&base32::signs(u128::from_be_bytes(self.0)));
        signs
    }
}

impl fmt::Display for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text())
    }
}

impl fmt::Debug for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text())
    }
}

/// A text that is no request id.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is no request id: expected `req_` and 26 signs, as in the header `x-autarky-request-id`")]
pub struct NoRequestId(pub String);

impl FromStr for RequestId {
    type Err = NoRequestId;

    fn from_str(text: &str) -> Result<Self, NoRequestId> {
        let mut bytes = [0; 16];
        match text.strip_prefix(PREFIX) {
            Some(rest) if base32::decode(rest, &mut bytes) => Ok(Self(bytes)),
            _ => Err(NoRequestId(text.to_owned())),
        }
    }
}

impl Serialize for RequestId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.text())
    }
}

impl<'de> Deserialize<'de> for RequestId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = <std::borrow::Cow<'de, str>>::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn text_and_time_come_back(millis in 0_u64..(1 << 48), random in any::<u128>()) {
            let id = RequestId::new(millis, random);
            prop_assert_eq!(id.text().len(), 30);
            prop_assert_eq!(id.text().parse(), Ok(id));
            prop_assert_eq!(id.unix_millis(), millis);
        }

        #[test]
        fn later_sorts_later(millis in 0_u64..(1 << 47), more in 1_u64..1000, a in any::<u128>(), b in any::<u128>()) {
            let (early, late) = (RequestId::new(millis, a), RequestId::new(millis + more, b));
            prop_assert!(early < late);
            prop_assert!(early.text() < late.text());
        }
    }

    #[test]
    fn other_texts_are_refused() {
        for text in ["", "req_", "req_0", "REQ_00000000000000000000000000", "req_0000000000000000000000000u"] {
            assert!(text.parse::<RequestId>().is_err(), "{text}");
        }
    }
}
