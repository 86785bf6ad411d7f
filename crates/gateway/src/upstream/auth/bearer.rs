//! `Authorization: Bearer KEY`: OpenAI and most compatible providers.

use super::header::{one, value};
use super::{Identity, Proof, Scheme};
use crate::upstream::transport::Transport;
use canon::Fault;
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

    fn proof(&self, who: &Identity, _transport: &Transport) -> Result<Proof, Fault> {
        Ok(one(AUTHORIZATION, value(&format!("Bearer {}", who.secret.reveal()))?))
    }
}
