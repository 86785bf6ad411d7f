//! Parties that deployments share (a host, a maker): when several of a party's deployments fail at the same time, the
//! party's own breaker opens, and the others are spared before each of them costs a failure.

use super::guard::{Guard, NOISE};
use policy::breaker::{Cause, Outcome};
use policy::correlate::{Party, Settings};
use policy::{DeploymentIx, Tick};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

/// One party.
pub(super) struct PartyLive {
    pub(super) guard: Guard,
    party: Mutex<Party>,
    /// Microseconds since the process began until which successes matter too.
    noisy_until: AtomicU64,
}

impl Default for PartyLive {
    fn default() -> Self {
        Self {
            guard: Guard::default(),
            party: Mutex::new(Party::new(Settings::default())),
            noisy_until: AtomicU64::new(0),
        }
    }
}

impl PartyLive {
    /// What became of a call to one of its deployments; only whoever is sick makes the party a suspect.
    pub(super) fn heard(&self, deployment: DeploymentIx, outcome: Outcome, now: Tick) {
        match outcome {
            Outcome::Failure { cause: Cause::Sick, .. } => {
                self.noisy_until.store(crate::clock::micros(now.after(NOISE).since_epoch()), Ordering::Relaxed);
                let mut party = self.party.lock().unwrap_or_else(PoisonError::into_inner);
                let was_suspect = party.suspect(now).is_some();
                if party.failed(deployment, now) && !was_suspect {
                    self.guard.trip(now);
                }
            }
            Outcome::Success if crate::clock::micros(now.since_epoch()) < self.noisy_until.load(Ordering::Relaxed) => {
                self.party.lock().unwrap_or_else(PoisonError::into_inner).succeeded(deployment, now);
            }
            _ => {}
        }
    }
}
