//! The key in a header of its own: `api-key` (Azure), `x-api-key` (Anthropic), `x-goog-api-key` (Gemini).

use super::{Identity, Proof, Scheme};
use crate::upstream::transport::Transport;
use canon::{Fault, FaultKind};
use http::{HeaderMap, HeaderName, HeaderValue};

/// A header value that logs never show.
pub(super) fn value(text: &str) -> Result<HeaderValue, Fault> {
    let mut value = HeaderValue::from_str(text)
        .map_err(|_| Fault::gateway(FaultKind::Internal, "the provider's key holds characters no header can carry"))?;
    value.set_sensitive(true);
    Ok(value)
}

/// One header that is the proof.
pub(super) fn one(name: HeaderName, value: HeaderValue) -> Proof {
    Proof::Headers(HeaderMap::from_iter([(name, value)]))
}

macro_rules! header_scheme {
    ($type:ident, $name:literal, $header:literal) => {
        #[doc = concat!("The key in the header `", $header, "`.")]
        #[derive(Debug)]
        pub(super) struct $type;

        impl Scheme for $type {
            fn name(&self) -> &'static str {
                $name
            }

            fn needs_secret(&self) -> bool {
                true
            }

            fn proof(&self, who: &Identity, _transport: &Transport) -> Result<Proof, Fault> {
                Ok(one(HeaderName::from_static($header), value(who.secret.reveal())?))
            }
        }
    };
}

header_scheme!(ApiKeyHeader, "api-key", "api-key");
header_scheme!(XApiKey, "x-api-key", "x-api-key");
header_scheme!(GoogApiKey, "x-goog-api-key", "x-goog-api-key");
