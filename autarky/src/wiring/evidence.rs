//! What is proven, as `autarky covers prove` left it beside the ledger: read by reports, and laid over the qualities that
//! products' floors are measured by.

use crate::config::Checked;
use anyhow::Context;
use insurance::{Evidence, cover};
use std::path::{Path, PathBuf};
use std::sync::Arc;

fn file(data: &Path) -> PathBuf {
    data.join("covers.json")
}

/// What is proven.
///
/// # Errors
/// The file cannot be read.
pub(crate) fn read(data: &Path) -> anyhow::Result<Evidence> {
    let path = file(data);
    if !path.exists() {
        return Ok(Evidence::default());
    }
    let text = std::fs::read_to_string(&path).with_context(|| format!("cannot read `{}`", path.display()))?;
    serde_json::from_str(&text).with_context(|| format!("`{}` holds no covers; prove them again", path.display()))
}

/// Keeps `evidence`; a reader sees the old file or the new one, never a part.
///
/// # Errors
/// The folder cannot be written.
pub(crate) fn keep(data: &Path, evidence: &Evidence) -> anyhow::Result<PathBuf> {
    let path = file(data);
    let beside = path.with_extension("json.new");
    std::fs::create_dir_all(data).with_context(|| format!("cannot make `{}`", data.display()))?;
    std::fs::write(&beside, serde_json::to_vec(evidence)?)
        .and_then(|()| std::fs::rename(&beside, &path))
        .with_context(|| format!("cannot write `{}`", path.display()))?;
    Ok(path)
}

/// Lets what is proven count for the floors of `checked`.
///
/// # Errors
/// The file cannot be read; then nothing is proven.
pub(crate) fn prove(checked: &mut Checked) -> anyhow::Result<()> {
    let evidence = read(&super::data_folder(&checked.server))?;
    if let Some(fleet) = Arc::get_mut(&mut checked.fleet) {
        let proofs = cover::proofs(&evidence.covers, fleet);
        fleet.prove(proofs);
    }
    Ok(())
}
