//! The catalog's files, written anew from what others publish: LiteLLM's price file (models, prices, retirements) and
//! the prices of the package `genai-prices`, which know days, sizes and classes better and win. Same input, same files.

mod genai;
mod litellm;
pub(crate) mod names;

use super::row::{ModelRow, PriceRow, Retirement, Source};
use serde::Serialize;
use serde_json::Value;
use std::collections::BTreeMap;

/// Why an import is not possible.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ImportError {
    /// The file is not what it should be.
    #[error("`{file}` is no {what}: {why}")]
    Shape {
        /// The file.
        file: &'static str,
        /// What it should be.
        what: &'static str,
        /// What is missing.
        why: String,
    },
    /// An entry cannot be written.
    #[error("`{key}` cannot be written: {why}")]
    Entry {
        /// The entry.
        key: String,
        /// Why.
        why: String,
    },
}

/// What was read.
#[derive(Debug, Default)]
pub(crate) struct Imported {
    /// Models by `HOST/MODEL`.
    pub(crate) models: BTreeMap<String, ModelRow>,
    /// Price lists.
    pub(crate) prices: BTreeMap<String, PriceRow>,
    /// Last days.
    pub(crate) calendar: BTreeMap<String, Retirement>,
    /// What was left out, and why: counts by reason.
    pub(crate) left_out: BTreeMap<&'static str, usize>,
    /// What the values' sources are called in the files.
    sources: BTreeMap<&'static str, Source>,
}

/// The catalog's files.
#[derive(Debug)]
pub(crate) struct Files {
    /// `models.toml`
    pub(crate) models: String,
    /// `prices.toml`
    pub(crate) prices: String,
    /// `calendar.toml`
    pub(crate) calendar: String,
}

/// Reads LiteLLM's price file of `version` and, where given, what `scripts/genai-prices` wrote, as of the day `read`.
///
/// # Errors
/// When a file is not what it should be.
pub(crate) fn read(litellm: &Value, version: &str, genai: Option<&Value>, read: &str) -> Result<Imported, ImportError> {
    let mut imported = Imported::default();
    let source = |name: &str, version: &str| Source {
        name: name.to_owned(),
        version: version.to_owned(),
        read: read.to_owned(),
    };
    imported.sources.insert("litellm", source("LiteLLM's price file (MIT)", version));
    litellm::read(litellm, &mut imported)?;
    if let Some(genai) = genai {
        let version = genai::read(genai, &mut imported)?;
        imported.sources.insert("genai-prices", source("genai-prices (MIT)", &version));
    }
    Ok(imported)
}

impl Imported {
    fn leave_out(&mut self, why: &'static str) {
        *self.left_out.entry(why).or_default() += 1;
    }

    /// The files' text.
    ///
    /// # Errors
    /// When an entry cannot be written.
    pub(crate) fn files(&self) -> Result<Files, ImportError> {
        Ok(Files {
            models: self.file("model", "Models by host: who made them, what they can do.", &self.models)?,
            prices: self.file("price", "Prices by host and model, in US dollars per million tokens.", &self.prices)?,
            calendar: self.file("retirement", "Until when a host offers a model.", &self.calendar)?,
        })
    }

    fn file<T: Serialize>(&self, table: &str, about: &str, rows: &BTreeMap<String, T>) -> Result<String, ImportError> {
        let mut text = format!(
            "# {about}\n# Written by `autarky catalog import`; do not edit: a file of your own goes over it.\n"
        );
        for (name, source) in &self.sources {
            let Source { name: of, version, read } = source;
            text.push_str(&format!("[source.{name}]\nname = {of:?}\nversion = {version:?}\nread = {read:?}\n"));
        }
        text.push_str(&format!("\n[{table}]\n"));
        for (key, row) in rows {
            let failed = |why: String| ImportError::Entry { key: key.clone(), why };
            if key.contains(['"', '\\', '\n']) {
                return Err(failed("its name has a quote, a backslash or a line break".to_owned()));
            }
            let mut value = String::new();
            row.serialize(toml::ser::ValueSerializer::new(&mut value)).map_err(|error| failed(error.to_string()))?;
            text.push_str(&format!("\"{key}\" = {value}\n"));
        }
        Ok(text)
    }
}
