//! Where things lie on this machine: the configuration, the data folder, the cache. Reads the environment, and is with
//! `secret` the only room that does.

use std::path::{Path, PathBuf};

/// The environment variable `name`, when it is set to something.
#[expect(clippy::disallowed_methods, reason = "this is the place that reads the environment")]
pub(crate) fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

fn home() -> PathBuf {
    variable("HOME").map_or_else(|| PathBuf::from("."), PathBuf::from)
}

/// The configuration when none is named: `autarky.toml` here if there is one, else in the user's configuration folder.
#[must_use]
pub(crate) fn default_config() -> PathBuf {
    let here = Path::new("autarky.toml");
    if here.exists() {
        return here.to_owned();
    }
    let base = variable("XDG_CONFIG_HOME").map_or_else(|| home().join(".config"), PathBuf::from);
    base.join("autarky").join("autarky.toml")
}

/// The data folder when the configuration names none.
#[must_use]
pub(crate) fn default_data() -> PathBuf {
    let base = variable("XDG_DATA_HOME").map_or_else(|| home().join(".local").join("share"), PathBuf::from);
    base.join("autarky")
}

/// The cache folder, where weights lie.
#[must_use]
pub(crate) fn cache() -> PathBuf {
    variable("AUTARKY_CACHE").map_or_else(
        || variable("XDG_CACHE_HOME").map_or_else(|| home().join(".cache"), PathBuf::from).join("autarky"),
        PathBuf::from,
    )
}
