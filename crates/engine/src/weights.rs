//! The weights on disk: Q4_1 files are rewritten once as Q8_0 beside themselves, since llama.cpp's CPU kernels read
//! Q8_0 twice as fast and answers stay as good. Fetching files is not done here.

use llama_cpp_2::gguf::GgufContext;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::ffi::CString;
use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::time::UNIX_EPOCH;

/// `general.file_type` of a file that is mostly Q4_1.
const MOSTLY_Q4_1: u32 = 3;

/// What is known of a transcoded file and its source, kept beside it as `<file>.json`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Manifest {
    /// The file it was made from.
    pub source: Entry,
    /// The transcoded file.
    pub made: Entry,
}

/// One file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// Its name.
    pub name: String,
    /// Its length in bytes.
    pub bytes: u64,
    /// When it was last written, Unix seconds.
    pub modified: u64,
    /// SHA-256 of its content, hexadecimal.
    pub sha256: String,
}

/// Why a file could not be transcoded.
#[derive(Debug, thiserror::Error)]
pub enum WeightsError {
    /// Reading or writing failed.
    #[error("`{path}` cannot be read or written: {cause}")]
    Io {
        /// The file.
        path: String,
        /// What the system says.
        cause: io::Error,
    },
    /// The path is no C string.
    #[error("`{0}` is no path that llama.cpp can open; use UTF-8 without zero bytes")]
    Path(String),
    /// llama.cpp refused.
    #[error("llama.cpp cannot transcode `{path}` (code {code}); set `transcode = false` or use another file")]
    Refused {
        /// The file.
        path: String,
        /// llama.cpp's code.
        code: u32,
    },
}

/// The file to load for `path`: its Q8_0 twin where it is Q4_1 and a twin exists or can be made, else `path` itself.
#[must_use]
pub fn best(path: &Path) -> PathBuf {
    if !is_q4_1(path) {
        return path.to_owned();
    }
    transcode(path).unwrap_or_else(|error| {
        tracing::warn!(%error, "serving the weights as they are");
        path.to_owned()
    })
}

/// Where the Q8_0 twin of `path` lies.
#[must_use]
pub fn twin(path: &Path) -> PathBuf {
    let stem = path.file_stem().map(|stem| stem.to_string_lossy().into_owned()).unwrap_or_default();
    let stem = ["Q4_1", "q4_1"].iter().find_map(|word| stem.strip_suffix(word)).unwrap_or(&stem).to_owned();
    let dot = if stem.ends_with(['.', '-', '_']) { "" } else { "." };
    path.with_file_name(format!("{stem}{dot}Q8_0.gguf"))
}

/// Makes the Q8_0 twin of `path`, unless its manifest says that it is there.
///
/// # Errors
/// When a file cannot be read or written, or llama.cpp refuses.
pub fn transcode(path: &Path) -> Result<PathBuf, WeightsError> {
    let target = twin(path);
    let list = manifest_of(&target);
    let known: Option<Manifest> = fs::read(&list).ok().and_then(|bytes| serde_json::from_slice(&bytes).ok());
    if let Some(known) = known
        && is_still(path, &known.source)
        && is_still(&target, &known.made)
    {
        return Ok(target);
    }
    // Two processes may do this at once: each writes its own file, the last rename wins, both are the same bytes.
    let draft = target.with_extension(format!("draft-{}", std::process::id()));
    let made = quantize(path, &draft).and_then(|()| {
        let manifest = Manifest { source: entry(path, path)?, made: entry(&draft, &target)? };
        let text = serde_json::to_vec_pretty(&manifest).map_err(io::Error::from);
        let draft_list = list.with_extension(format!("draft-{}", std::process::id()));
        fs::rename(&draft, &target).map_err(|cause| failed(&target, cause))?;
        text.and_then(|text| fs::write(&draft_list, text))
            .and_then(|()| fs::rename(&draft_list, &list))
            .map_err(|cause| failed(&list, cause))
    });
    if made.is_err() {
        // A half-written draft is of no use to anyone; that it may not exist is no matter.
        let _ = fs::remove_file(&draft);
    }
    made.map(|()| target)
}

fn manifest_of(target: &Path) -> PathBuf {
    let mut name = target.as_os_str().to_owned();
    name.push(".json");
    name.into()
}

fn failed(path: &Path, cause: io::Error) -> WeightsError {
    WeightsError::Io { path: path.display().to_string(), cause }
}

fn is_q4_1(path: &Path) -> bool {
    let Some(file) = GgufContext::from_file(path) else { return false };
    let at = file.find_key("general.file_type");
    at >= 0 && file.kv_type(at) == llama_cpp_sys_2::GGUF_TYPE_UINT32 && file.val_u32(at) == MOSTLY_Q4_1
}

fn stamp(path: &Path) -> Result<(u64, u64), WeightsError> {
    let about = fs::metadata(path).map_err(|cause| failed(path, cause))?;
    let modified = about.modified().ok().and_then(|time| time.duration_since(UNIX_EPOCH).ok());
    Ok((about.len(), modified.map_or(0, |time| time.as_secs())))
}

fn is_still(path: &Path, entry: &Entry) -> bool {
    stamp(path).is_ok_and(|stamp| stamp == (entry.bytes, entry.modified))
}

fn entry(path: &Path, named: &Path) -> Result<Entry, WeightsError> {
    let (bytes, modified) = stamp(path)?;
    let name = named.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    Ok(Entry { name, bytes, modified, sha256: sha256(path).map_err(|cause| failed(path, cause))? })
}

/// SHA-256 of a file, hexadecimal.
///
/// # Errors
/// When it cannot be read.
pub fn sha256(path: &Path) -> io::Result<String> {
    let mut file = File::open(path)?;
    let mut hash = Sha256::new();
    let mut chunk = vec![0; 1 << 20];
    loop {
        let count = file.read(&mut chunk)?;
        if count == 0 {
            return Ok(hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect());
        }
        hash.update(&chunk[..count]);
    }
}

fn quantize(from: &Path, to: &Path) -> Result<(), WeightsError> {
    let text = |path: &Path| {
        let wrong = || WeightsError::Path(path.display().to_string());
        path.to_str().and_then(|path| CString::new(path).ok()).ok_or_else(wrong)
    };
    let (source, target) = (text(from)?, text(to)?);
    #[expect(unsafe_code, reason = "the binding has no safe call for transcoding")]
    // SAFETY: both paths are zero-terminated strings that outlive the call; `params` is llama.cpp's own default with two
    // plain fields changed and is only read; the call keeps none of the pointers.
    let code = unsafe {
        let mut params = llama_cpp_sys_2::llama_model_quantize_default_params();
        params.ftype = llama_cpp_sys_2::LLAMA_FTYPE_MOSTLY_Q8_0;
        params.allow_requantize = true;
        llama_cpp_sys_2::llama_model_quantize(source.as_ptr(), target.as_ptr(), &raw const params)
    };
    if code == 0 { Ok(()) } else { Err(WeightsError::Refused { path: from.display().to_string(), code }) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_twin_lies_beside_its_source() {
        assert_eq!(twin(Path::new("/w/SmolLM2-135M.Q4_1.gguf")), Path::new("/w/SmolLM2-135M.Q8_0.gguf"));
        assert_eq!(twin(Path::new("/w/model.gguf")), Path::new("/w/model.Q8_0.gguf"));
    }

    #[test]
    fn what_is_no_gguf_is_served_as_it_is() {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("no.gguf");
        fs::write(&path, b"not a model").unwrap();
        assert_eq!(best(&path), path);
        assert!(transcode(&path).is_err());
        assert_eq!(fs::read_dir(home.path()).unwrap().count(), 1, "no draft is left");
    }
}
