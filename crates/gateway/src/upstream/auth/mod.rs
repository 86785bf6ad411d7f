//! How a provider knows us: one scheme per file, all in [`SCHEMES`]. Keys are read by wiring and live only here.

mod bearer;
mod header;
mod none;

use canon::Fault;
use http::HeaderMap;

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

/// One way to prove who we are.
pub trait Scheme: Send + Sync {
    /// Its name in the catalog.
    fn name(&self) -> &'static str;
    /// Whether it needs a secret.
    fn needs_secret(&self) -> bool;
    /// Adds the proof to a request's headers.
    ///
    /// # Errors
    /// When the secret cannot be a header.
    fn sign(&self, secret: &Secret, headers: &mut HeaderMap) -> Result<(), Fault>;
}

/// Every scheme.
pub static SCHEMES: &[&dyn Scheme] =
    &[&bearer::Bearer, &header::ApiKeyHeader, &header::XApiKey, &header::GoogApiKey, &none::NoAuth];

/// The scheme called `name`.
#[must_use]
pub fn scheme(name: &str) -> Option<&'static dyn Scheme> {
    SCHEMES.iter().copied().find(|scheme| scheme.name() == name)
}
