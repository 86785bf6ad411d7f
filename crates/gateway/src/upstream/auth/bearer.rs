//! `Authorization: Bearer KEY`: OpenAI and most compatible providers.

use super::header::value;
use super::{Scheme, Secret};
use canon::Fault;
use http::HeaderMap;
use http::header::AUTHORIZATION;

/// `Authorization: Bearer KEY`.
#[derive(Debug)]
pub(super) struct Bearer;

impl Scheme for Bearer {
    fn name(&self) -> &'static str {
        "bearer"
    }

    fn needs_secret(&self) -> bool {
        true
    }

    fn sign(&self, secret: &Secret, headers: &mut HeaderMap) -> Result<(), Fault> {
        headers.insert(AUTHORIZATION, value(&format!("Bearer {}", secret.reveal()))?);
        Ok(())
    }
}
