//! The configuration: as written (`file`), as meant (`checked`), and the one conversion between them, which finds all
//! problems in one go and points at each one's line. The only room that reads the environment.

pub(crate) mod catalog;
pub(crate) mod checked;
pub(crate) mod file;
pub(crate) mod paths;
pub(crate) mod place;
pub(crate) mod secret;
pub(crate) mod survive;

mod convert;
mod known;
mod reach;

pub(crate) use checked::{Checked, UnitSpec};
pub(crate) use place::{Problem, Problems, Severity};

use policy::Wall;
use std::path::Path;

/// What the default configuration says.
pub(crate) const DEFAULT: &str = include_str!("default.toml");

/// Reads and checks the file at `path`.
///
/// # Errors
/// Every problem, when one of them is an error.
pub(crate) fn load(path: &Path) -> Result<Checked, Problems> {
    let name = path.display().to_string();
    match std::fs::read_to_string(path) {
        Ok(text) => convert::check(&name, &text, Wall::from_unix(jiff::Timestamp::now().as_second())),
        Err(error) => Err(Problems {
            file: name,
            list: vec![Problem {
                severity: Severity::Error,
                message: format!("the configuration cannot be read: {error}"),
                at: None,
                hint: Some(
                    "name another file with `--config`, or run `autarky serve` once to write a default one".to_owned(),
                ),
            }],
        }),
    }
}
