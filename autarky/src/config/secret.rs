//! Secrets by reference: `env:NAME`, `file:path`, or `env-file:NAME`, the file that a variable names. A key written into the file itself is refused, since files are
//! copied, committed and shown. The only place, with `paths`, that reads the environment.

use gateway::upstream::auth::Secret;

/// Why a reference gave no secret.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum SecretError {
    /// It is no reference.
    #[error("a key must be a reference, not the key itself")]
    Plain,
    /// The variable is not set.
    #[error("the environment variable `{0}` is not set")]
    Unset(String),
    /// The file cannot be read.
    #[error("the key file `{path}` cannot be read: {reason}")]
    File {
        /// The file.
        path: String,
        /// Why.
        reason: String,
    },
    /// There is nothing in it.
    #[error("`{0}` is empty")]
    Empty(String),
}

/// The secret that `reference` names.
///
/// # Errors
/// When it is no reference or leads nowhere.
pub(crate) fn resolve(reference: &str) -> Result<Secret, SecretError> {
    let text = if let Some(name) = reference.strip_prefix("env:") {
        super::paths::variable(name).ok_or_else(|| SecretError::Unset(name.to_owned()))?
    } else if let Some(path) = reference.strip_prefix("file:") {
        read(path)?
    } else if let Some(name) = reference.strip_prefix("env-file:") {
        read(&super::paths::variable(name).ok_or_else(|| SecretError::Unset(name.to_owned()))?)?
    } else {
        return Err(SecretError::Plain);
    };
    let text = text.trim();
    if text.is_empty() { Err(SecretError::Empty(reference.to_owned())) } else { Ok(Secret::new(text)) }
}

fn read(path: &str) -> Result<String, SecretError> {
    std::fs::read_to_string(path)
        .map_err(|error| SecretError::File { path: path.to_owned(), reason: error.to_string() })
}
