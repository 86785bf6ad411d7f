//! The keys of now, in memory: a request is admitted without asking the store, whether that is well or not. Clients of AWS
//! prove a key without sending it: for them each key has a secret of its own, derived from its id and a random file
//! that lies beside the ledger, so that neither the database nor the file alone opens anything.

use crate::sigv4;
use arc_swap::ArcSwap;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ledger::KeyRing;
use std::path::PathBuf;
use std::sync::{Arc, OnceLock};

/// Who may call: the keys as last read from the store.
pub struct Access {
    ring: ArcSwap<KeyRing>,
    seed: PathBuf,
    known: OnceLock<[u8; SEED]>,
}

/// Length of the file from which secrets for AWS's clients are derived, in bytes.
pub const SEED: usize = 32;

/// The secret access key of the key with `id`, for AWS's clients: 40 characters.
#[must_use]
pub fn aws_secret(seed: &[u8; SEED], id: &str) -> String {
    let tag = sigv4::mac(seed, id.as_bytes());
    URL_SAFE_NO_PAD.encode(tag.as_ref().get(..30).unwrap_or_default())
}

impl Access {
    /// The keys of `ring`; `seed` is the file for AWS's clients, which need not be there.
    #[must_use]
    pub fn new(ring: Arc<KeyRing>, seed: PathBuf) -> Self {
        Self { ring: ArcSwap::new(ring), seed, known: OnceLock::new() }
    }

    /// The secret access key of the key with `id`; `None`: nobody has asked for one yet. The file is read once.
    pub(crate) fn aws_secret(&self, id: &str) -> Option<String> {
        if self.known.get().is_none() {
            let seed = std::fs::read(&self.seed).ok()?.try_into().ok()?;
            self.known.get_or_init(|| seed);
        }
        self.known.get().map(|seed| aws_secret(seed, id))
    }

    /// The keys of now.
    pub(crate) fn ring(&self) -> arc_swap::Guard<Arc<KeyRing>> {
        self.ring.load()
    }

    /// Takes newly read keys over.
    pub fn renew(&self, ring: Arc<KeyRing>) {
        self.ring.store(ring);
    }
}
