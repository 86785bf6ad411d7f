//! Opaque blocks on their way: those of an answer are noted with who made them, those of a request are known by then,
//! so that one goes only to whoever made it. Where nobody knows, the wire's own provider is believed in once.

use crate::vault::Witness;
use canon::wire::Protocol;
use canon::{Event, Fault, FaultKind, Part, Retry, Seal, Side};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// Words by which providers refuse an opaque block of another maker.
const BLAME: [&str; 4] = ["signature", "encrypted", "redacted_thinking", "item with id 'rs_"];

/// What is known of the opaque blocks in a request.
#[derive(Default)]
pub struct Sealed {
    /// Who notes those of its answers.
    witness: Option<Witness>,
    /// Who made those of the request, as far as that is known.
    signers: Vec<Arc<str>>,
    /// Whether there are some of which nobody knows.
    unknown: bool,
    /// Whether those were refused already.
    distrusted: AtomicBool,
}

impl Sealed {
    /// None so far; `witness` notes those of the answers.
    pub(crate) fn watched(witness: Witness) -> Self {
        Self { witness: Some(witness), ..Self::default() }
    }

    /// The request brings one more, which `signer` made, where that is known.
    pub(crate) fn brings(&mut self, signer: Option<Arc<str>>) {
        match signer {
            Some(signer) => self.signers.push(signer),
            None => self.unknown = true,
        }
    }

    /// Whether `signer` can read all of them, or is believed to.
    pub(crate) fn fit(&self, signer: &str) -> bool {
        self.signers.iter().all(|one| &**one == signer) && !self.distrusts()
    }

    /// Whether unknown ones are to be left out.
    pub(crate) fn distrusts(&self) -> bool {
        self.unknown && self.distrusted.load(Ordering::Relaxed)
    }

    /// Takes a provider's refusal: where it blames an opaque block and unknown ones were sent, the request may be tried
    /// again without them.
    pub(super) fn judge(&self, fault: &mut Fault) {
        let words = fault.message.to_lowercase();
        let blamed = matches!(fault.kind, FaultKind::Invalid | FaultKind::NotFound)
            && BLAME.iter().any(|word| words.contains(word));
        if blamed && self.unknown && !self.distrusted.swap(true, Ordering::Relaxed) {
            (fault.kind, fault.side, fault.retry) = (FaultKind::Invalid, Side::Client, Retry::Here);
        }
    }
}

/// Notes the opaque blocks of one answer.
#[derive(Clone)]
pub(super) struct SealWatch {
    witness: Witness,
    signer: Arc<str>,
    protocol: &'static dyn Protocol,
}

impl SealWatch {
    pub(super) fn new(sealed: &Sealed, signer: &Arc<str>, protocol: &'static dyn Protocol) -> Option<Self> {
        Some(Self { witness: sealed.witness.clone()?, signer: Arc::clone(signer), protocol })
    }

    /// Those in bytes that pass untouched: a frame's data, or a whole answer.
    pub(super) fn bytes(&self, bytes: &[u8]) {
        self.protocol.seals(bytes).iter().for_each(|seal| self.witness.note(seal, &self.signer));
    }

    /// One that was read, which is told whose it is.
    fn seal(&self, seal: &mut Seal) {
        self.witness.note(&seal.data, &self.signer);
        seal.signer = Some(self.signer.to_string());
    }

    pub(super) fn events(&self, events: &mut [Event]) {
        for event in events {
            if let Event::Seal { seal, .. } = event {
                self.seal(seal);
            }
        }
    }

    pub(super) fn parts(&self, parts: &mut [Part]) {
        canon::request::each_seal(parts, &mut |seal| self.seal(seal));
    }
}
