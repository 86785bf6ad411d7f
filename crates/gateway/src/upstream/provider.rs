//! A provider as data: a row of `catalog/providers.toml` or of the user's own file. No code per provider.

use super::auth::Login;
use canon::wire::Quirks;
use schemars::JsonSchema;
use serde::Deserialize;
use std::collections::BTreeMap;

/// One provider row.
#[derive(Debug, Clone, Default, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ProviderRow {
    /// Where its API is, without the wire's own path, e.g. `https://api.openai.com/v1`; may hold `{region}` (the
    /// deployment's) and `{account}` (this row's).
    pub base_url: Option<String>,
    /// Other addresses by region.
    #[serde(default)]
    pub regions: BTreeMap<String, String>,
    /// How it knows us: a scheme of `upstream::auth`; default `bearer`.
    pub auth: Option<String>,
    /// The key, by reference: `env:NAME`, `file:path`, or `env-file:NAME` (the file that the variable names).
    pub key: Option<String>,
    /// What its auth scheme must know besides the key.
    #[serde(default)]
    pub login: Login,
    /// Wires it speaks, best first; default `openai-chat`.
    #[serde(default)]
    pub wires: Vec<String>,
    /// Who runs the machines; default: the row's name.
    pub host: Option<String>,
    /// Who trained the models, where it is one maker; a deployment or the catalog's model may say otherwise.
    pub maker: Option<String>,
    /// Who sends the bill; default: the host.
    pub invoicer: Option<String>,
    /// Under which name the catalog lists what it hosts: models, prices, retirements; default: the host.
    pub catalog: Option<String>,
    /// The account at the provider; default: the row's name.
    pub account: Option<String>,
    /// Headers sent with every call.
    #[serde(default)]
    pub headers: BTreeMap<String, String>,
    /// How it deviates from its wires.
    #[serde(default)]
    pub quirks: Quirks,
    /// Where the row's facts come from.
    pub source: Option<String>,
}

impl ProviderRow {
    /// Under which name the catalog lists what the provider called `name` hosts.
    #[must_use]
    pub fn listed_as<'a>(&'a self, name: &'a str) -> &'a str {
        self.catalog.as_deref().or(self.host.as_deref()).unwrap_or(name)
    }

    /// This row with everything that `over` says laid over it.
    #[must_use]
    pub fn overlaid(mut self, over: &Self) -> Self {
        let over = over.clone();
        for (mine, theirs) in [
            (&mut self.base_url, over.base_url),
            (&mut self.auth, over.auth),
            (&mut self.key, over.key),
            (&mut self.host, over.host),
            (&mut self.maker, over.maker),
            (&mut self.invoicer, over.invoicer),
            (&mut self.catalog, over.catalog),
            (&mut self.account, over.account),
            (&mut self.source, over.source),
        ] {
            if theirs.is_some() {
                *mine = theirs;
            }
        }
        let login = over.login;
        for (mine, theirs) in [
            (&mut self.login.tenant, login.tenant),
            (&mut self.login.client, login.client),
            (&mut self.login.scope, login.scope),
            (&mut self.login.token_url, login.token_url),
            (&mut self.login.session, login.session),
            (&mut self.login.service, login.service),
        ] {
            if theirs.is_some() {
                *mine = theirs;
            }
        }
        if !over.wires.is_empty() {
            self.wires = over.wires;
        }
        if over.quirks != Quirks::default() {
            self.quirks = over.quirks;
        }
        self.regions.extend(over.regions);
        self.headers.extend(over.headers);
        self
    }
}
