//! The catalog inside the binary: provider rows, laid under the user's own.

use gateway::upstream::ProviderRow;
use std::collections::BTreeMap;

const PROVIDERS: &str = include_str!("../../../catalog/providers.toml");

/// The provider rows of the catalog.
///
/// # Errors
/// When the embedded file is not what the rows allow; a test keeps it right.
pub(crate) fn providers() -> Result<BTreeMap<String, ProviderRow>, toml::de::Error> {
    toml::from_str(PROVIDERS)
}

/// Whose machines a model runs on, and who bills.
pub(crate) struct Parties {
    /// The host.
    pub(crate) host: String,
    /// Who bills.
    pub(crate) invoicer: String,
}

/// The parties behind a host's name in the catalog of models.
pub(crate) fn parties(listed_as: &str) -> Parties {
    let rows = providers().unwrap_or_default();
    let row = rows.into_iter().find(|(name, row)| row.listed_as(name) == listed_as).map(|(_, row)| row);
    let row = row.unwrap_or_default();
    let host = row.host.unwrap_or_else(|| listed_as.to_owned());
    Parties { invoicer: row.invoicer.unwrap_or_else(|| host.clone()), host }
}

#[cfg(test)]
mod tests {
    use gateway::upstream::auth;

    #[test]
    fn every_row_can_be_used() {
        for (name, row) in super::providers().expect("the catalog is valid") {
            assert!(row.base_url.is_some(), "{name} has no base URL");
            assert!(row.source.is_some(), "{name} has no source");
            let scheme = row.auth.as_deref().unwrap_or("bearer");
            let scheme = auth::scheme(scheme).unwrap_or_else(|| panic!("{name}: unknown scheme {scheme}"));
            assert_eq!(scheme.needs_secret(), row.key.is_some(), "{name}: key and scheme disagree");
            for wire in &row.wires {
                assert!(canon::wire::protocol(wire).is_some(), "{name}: unknown wire {wire}");
            }
        }
    }
}
