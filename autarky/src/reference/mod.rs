//! docs/reference, written from what the code is: the command line, the configuration's schema, and the lists of
//! faults, metrics, ledger fields, wires and providers. Pure: pages are text, and the same binary always writes the same.
//! Never here: a word about a thing that its code could say itself.

mod admin;
mod cli;
mod config;
mod faults;
mod ledger;
mod losses;
mod markdown;
mod metrics;
mod providers;
mod wires;

use crate::config::catalog;

/// One file of the reference.
pub(crate) struct Page {
    /// Its name.
    pub(crate) name: &'static str,
    /// Its text.
    pub(crate) text: String,
}

/// Every file of the reference; `command` is the whole command line.
///
/// # Errors
/// When the catalog inside the binary is damaged.
pub(crate) fn pages(command: &clap::Command) -> Result<Vec<Page>, toml::de::Error> {
    let page = |name, text| Page { name, text };
    Ok(vec![
        page("admin.md", admin::page()),
        page("admin.openapi.json", admin::document()),
        page("cli.md", cli::page(command)),
        page("config.md", config::page()),
        page("config.schema.json", config::schema()),
        page("faults.md", faults::page()),
        page("metrics.md", metrics::page()),
        page("ledger.md", ledger::page()),
        page("dialects.md", wires::page()),
        page("losses.md", losses::page()),
        page("providers.md", providers::page(&catalog::providers()?)),
    ])
}
