//! No proof: engines on the company's own network.

use super::{Scheme, Secret};
use canon::Fault;
use http::HeaderMap;

/// No proof.
#[derive(Debug)]
pub(super) struct NoAuth;

impl Scheme for NoAuth {
    fn name(&self) -> &'static str {
        "none"
    }

    fn needs_secret(&self) -> bool {
        false
    }

    fn sign(&self, _secret: &Secret, _headers: &mut HeaderMap) -> Result<(), Fault> {
        Ok(())
    }
}
