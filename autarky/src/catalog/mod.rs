//! The catalog of models: who made them, what they can do, what they cost and until when a host offers them. Data with
//! source and date, inside the binary, with the user's own files over it. An entry is found by name and only then read,
//! so that a start costs nothing; what the catalog does not know is unknown. Never here: the network, a decision.

mod book;
pub(crate) mod import;
pub(crate) mod row;

use book::Book;
use row::{ModelRow, PriceRow, Retirement, Source};
use serde::Deserialize;
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::LazyLock;

static MODELS: LazyLock<Book> = LazyLock::new(|| Book::of(include_str!("../../../catalog/models.toml")));
static PRICES: LazyLock<Book> = LazyLock::new(|| Book::of(include_str!("../../../catalog/prices.toml")));
static CALENDAR: LazyLock<Book> = LazyLock::new(|| Book::of(include_str!("../../../catalog/calendar.toml")));

/// A catalog file as written: what the binary brings, and what the user adds. Names are `HOST/MODEL`.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct CatalogFile {
    /// Where the values come from.
    pub(crate) source: BTreeMap<String, Source>,
    /// Models.
    pub(crate) model: BTreeMap<String, ModelRow>,
    /// Price lists.
    pub(crate) price: BTreeMap<String, PriceRow>,
    /// Last days.
    pub(crate) retirement: BTreeMap<String, Retirement>,
}

/// Why a catalog file cannot be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CatalogError {
    /// It cannot be read.
    #[error("the catalog file `{path}` cannot be read: {source}")]
    Read {
        /// The file.
        path: String,
        /// Why.
        source: std::io::Error,
    },
    /// It is no catalog.
    #[error("the catalog file `{path}` cannot be used: {message}")]
    Malformed {
        /// The file.
        path: String,
        /// What is wrong with it.
        message: String,
    },
}

/// An entry and the name that it stands under.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Found<T> {
    /// `HOST/MODEL`.
    pub(crate) key: String,
    /// The entry.
    pub(crate) row: T,
}

/// What is known of models.
#[derive(Debug, Clone, Default)]
pub(crate) struct Catalog {
    own: CatalogFile,
}

impl Catalog {
    /// The catalog with the user's `files` over it, the later over the earlier.
    ///
    /// # Errors
    /// A file that cannot be read or used.
    pub(crate) fn with(files: impl IntoIterator<Item = impl AsRef<Path>>) -> Result<Self, CatalogError> {
        let mut own = CatalogFile::default();
        for path in files {
            let name = path.as_ref().display().to_string();
            let text =
                std::fs::read_to_string(&path).map_err(|source| CatalogError::Read { path: name.clone(), source })?;
            let file: CatalogFile = toml::from_str(&text)
                .map_err(|error| CatalogError::Malformed { path: name.clone(), message: error.to_string() })?;
            for (key, row) in &file.price {
                row.tariff(key).map_err(|message| CatalogError::Malformed { path: name.clone(), message })?;
            }
            own.source.extend(file.source);
            own.model.extend(file.model);
            own.price.extend(file.price);
            own.retirement.extend(file.retirement);
        }
        Ok(Self { own })
    }

    /// What is known of `model` at `host`, in `region` if the host's regions differ.
    pub(crate) fn model(&self, host: &str, model: &str, region: Option<&str>) -> Option<Found<ModelRow>> {
        find(&self.own.model, &MODELS, host, model, region)
    }

    /// What it costs.
    pub(crate) fn price(&self, host: &str, model: &str, region: Option<&str>) -> Option<Found<PriceRow>> {
        find(&self.own.price, &PRICES, host, model, region)
    }

    /// Until when the host offers it.
    pub(crate) fn retirement(&self, host: &str, model: &str, region: Option<&str>) -> Option<Found<Retirement>> {
        find(&self.own.retirement, &CALENDAR, host, model, region)
    }

    /// Every last day that is known, by `HOST/MODEL`.
    pub(crate) fn calendar(&self) -> BTreeMap<String, Retirement> {
        let mut all: BTreeMap<String, Retirement> = CALENDAR.rows().collect();
        all.extend(self.own.retirement.clone());
        all
    }

    /// Where an entry's values come from.
    pub(crate) fn source(&self, name: &str) -> Option<Source> {
        let books = [&*MODELS, &PRICES, &CALENDAR];
        self.own.source.get(name).cloned().or_else(|| books.iter().find_map(|book| book.source(name)))
    }

    /// Whether the catalog lists what `host` offers at all.
    pub(crate) fn knows(&self, host: &str) -> bool {
        let beginning = format!("{host}/");
        self.own.model.keys().any(|key| key.starts_with(&beginning)) || MODELS.begins(&beginning)
    }

    /// Every name that `host` is listed with, or every `HOST/MODEL` of a model called so, for whoever mistyped one.
    pub(crate) fn names(&self, host: Option<&str>) -> Vec<String> {
        let mut names: Vec<String> = MODELS.keys().map(str::to_owned).collect();
        names.extend(self.own.model.keys().cloned());
        if let Some(host) = host {
            names =
                names.iter().filter_map(|key| key.strip_prefix(host)?.strip_prefix('/')).map(str::to_owned).collect();
        }
        names.sort_unstable();
        names.dedup();
        names
    }
}

/// The entry of the nearest name: in the region, at the host, the user's own first; then the same without the date or
/// version at its end.
fn find<T: Clone + for<'de> Deserialize<'de>>(
    own: &BTreeMap<String, T>,
    book: &Book,
    host: &str,
    model: &str,
    region: Option<&str>,
) -> Option<Found<T>> {
    let model = model.to_ascii_lowercase();
    let plain = import::names::undated(&model);
    let mut keys = Vec::new();
    for name in [model.as_str(), plain] {
        keys.extend(region.map(|region| format!("{host}/{region}/{name}")));
        keys.push(format!("{host}/{name}"));
    }
    keys.into_iter().find_map(|key| {
        let row = own.get(&key).cloned().or_else(|| book.row(&key))?;
        Some(Found { key, row })
    })
}

#[cfg(test)]
mod tests;
