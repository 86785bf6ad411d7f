//! The keys of now, in memory: a request is admitted without asking the store, whether that is well or not. Clients of AWS
//! prove a key without sending it: for them each key has a secret of its own, derived from its id and a random file
//! that lies beside the ledger, so that neither the database nor the file alone opens anything.

use crate::sigv4;
use arc_swap::ArcSwap;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ledger::{KeyRing, Store, StoreError};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

/// Who may call: the keys as last read from the store.
pub struct Access {
    ring: ArcSwap<KeyRing>,
    /// Held while the keys are read anew, so that an older reading never replaces a newer one.
    reading: Mutex<()>,
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
        Self { ring: ArcSwap::new(ring), reading: Mutex::default(), seed, known: OnceLock::new() }
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
    #[must_use]
    pub fn ring(&self) -> arc_swap::Guard<Arc<KeyRing>> {
        self.ring.load()
    }

    /// Reads the keys anew where `store` has others and shows them to `first`, before anybody is admitted by them; how
    /// many products' keys there are now, if they changed.
    ///
    /// # Errors
    /// The store refuses; the keys as last read stay good.
    pub(crate) fn refresh(&self, store: &dyn Store, first: impl FnOnce(&KeyRing)) -> Result<Option<usize>, StoreError> {
        let _reading = self.reading.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(newer) = self.ring.load().reload(store)? else { return Ok(None) };
        let keys = newer.len();
        first(&newer);
        self.ring.store(Arc::new(newer));
        Ok(Some(keys))
    }
}
