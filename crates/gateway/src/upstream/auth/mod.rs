//! How a provider knows us: one scheme per file, all in [`SCHEMES`]. Keys are read by wiring and live only here. Most
//! schemes are headers that never change; the others sign each call or log in for a token that ends.

mod azure;
mod bearer;
mod google;
mod header;
mod none;
mod sigv4;
mod token;

use super::backend::BoxFuture;
use super::trace::Outgoing;
use super::transport::Transport;
use bytes::Bytes;
use canon::Fault;
use http::{HeaderMap, Request};
use schemars::JsonSchema;
use serde::Deserialize;

/// A secret; it can be used, never printed.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// Takes a secret over.
    #[must_use]
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The secret itself, for the one place that sends it.
    #[must_use]
    pub fn reveal(&self) -> &str {
        &self.0
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Secret(…)")
    }
}

/// What a scheme must know besides the key.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Login {
    /// The directory that we log in to (Azure: the tenant's id).
    pub tenant: Option<String>,
    /// Who we are there (Azure: the application's id; AWS: the access key's id).
    pub client: Option<String>,
    /// What we ask leave for; default: what the scheme's provider wants.
    pub scope: Option<String>,
    /// Where tokens are issued; default: the scheme's own place.
    pub token_url: Option<String>,
    /// The token of temporary credentials, by reference (AWS).
    pub session: Option<String>,
    /// The service that is called, where signatures name it (AWS); default `bedrock`.
    pub service: Option<String>,
}

/// Who we are at a provider.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Identity {
    /// The key.
    pub secret: Secret,
    /// What else is needed.
    pub login: Login,
    /// Where the deployment runs, where signatures name it.
    pub region: Option<String>,
}

/// One way to prove who we are.
pub trait Scheme: Send + Sync {
    /// Its name in the catalog.
    fn name(&self) -> &'static str;
    /// Whether it needs a secret.
    fn needs_secret(&self) -> bool;
    /// What proves that we are `who`; tokens come through `transport`.
    ///
    /// # Errors
    /// When something is missing, or the secret is not what the scheme takes.
    fn proof(&self, who: &Identity, transport: &Transport) -> Result<Proof, Fault>;
}

/// What proves who we are.
pub enum Proof {
    /// The same headers on every call.
    Headers(HeaderMap),
    /// Something that every call needs anew.
    Each(Box<dyn Sign>),
}

/// Proves each call.
pub trait Sign: Send + Sync {
    /// Adds the proof to `request`, whose body is `body`.
    fn sign<'a>(&'a self, request: &'a mut Request<Outgoing>, body: &'a Bytes) -> BoxFuture<'a, Result<(), Fault>>;
    /// The provider did not believe the last proof (401): whatever was kept for it is thrown away. Whether another can be
    /// made.
    fn disbelieved(&self) -> bool {
        false
    }
}

/// Every scheme.
pub static SCHEMES: &[&dyn Scheme] = &[
    &bearer::Bearer,
    &header::ApiKeyHeader,
    &header::XApiKey,
    &header::GoogApiKey,
    &azure::AzureEntra,
    &google::Google,
    &sigv4::SigV4,
    &none::NoAuth,
];

/// The scheme called `name`.
#[must_use]
pub fn scheme(name: &str) -> Option<&'static dyn Scheme> {
    SCHEMES.iter().copied().find(|scheme| scheme.name() == name)
}
