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
