//! A breaker that costs nothing while nothing goes wrong: lock-free until a fault, asked under its own short lock until
//! it has been quiet for a while. The state machine itself is `policy`'s.

use canon::{Fault, FaultKind};
use policy::Tick;
use policy::breaker::{Breaker, Cause, Health, Outcome, Settings, Ticket};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// How long after the last fault a closed breaker keeps counting successes too.
pub(super) const NOISE: Duration = Duration::from_secs(20);

/// One breaker.
pub(super) struct Guard {
    breaker: Mutex<Breaker>,
    /// Microseconds since the process began until which the breaker must be asked.
    noisy_until: AtomicU64,
    last: Mutex<Option<LastFault>>,
}

/// The last fault that a breaker counted.
#[derive(Debug, Clone)]
pub(super) struct LastFault {
    /// What it was.
    pub(super) kind: FaultKind,
    /// Words for the operator.
    pub(super) message: String,
    /// When, since the process began.
    pub(super) at: Tick,
}

impl Default for Guard {
    fn default() -> Self {
        Self {
            breaker: Mutex::new(Breaker::new(Settings::default())),
            noisy_until: AtomicU64::new(0),
            last: Mutex::new(None),
        }
    }
}

impl Guard {
    pub(super) fn is_calm(&self, now: Tick) -> bool {
        crate::clock::micros(now.since_epoch()) >= self.noisy_until.load(Ordering::Acquire)
    }

    fn lock(&self) -> MutexGuard<'_, Breaker> {
        self.breaker.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn health(&self, now: Tick) -> Health {
        if self.is_calm(now) { Health::Closed } else { self.lock().health(now) }
    }

    pub(super) fn error_rate(&self, now: Tick) -> Option<f32> {
        if self.is_calm(now) { None } else { self.lock().error_rate(now) }
    }

    pub(super) fn failing(&self, now: Tick) -> f32 {
        if self.is_calm(now) { 0.0 } else { self.lock().failing() }
    }

    /// How often it opened since it was last fully closed.
    pub(super) fn opened(&self) -> u32 {
        self.lock().opened()
    }

    /// Leave to call. `None`: not now; `Some(None)`: calm, nothing to give back.
    pub(super) fn admit(&self, now: Tick, force: bool) -> Option<Option<Ticket>> {
        if self.is_calm(now) {
            return Some(None);
        }
        let mut breaker = self.lock();
        match breaker.admit(now) {
            None if force => Some(Some(breaker.force(now))),
            None => None,
            ticket => Some(ticket),
        }
    }

    pub(super) fn settle(&self, ticket: Option<Ticket>, outcome: Outcome, now: Tick) {
        if ticket.is_none() && !matches!(outcome, Outcome::Failure { .. }) {
            return;
        }
        let mut breaker = self.lock();
        let ticket = ticket.unwrap_or_else(|| breaker.force(now));
        breaker.settle(ticket, outcome, now, fastrand::u64(..));
        // A failure makes noise, and so does everything until it is closed again.
        let noisy_until = match (breaker.health(now), outcome) {
            (Health::Closed, Outcome::Failure { .. }) => crate::clock::micros(now.after(NOISE).since_epoch()),
            (Health::Closed, _) => return,
            _ => u64::MAX,
        };
        drop(breaker);
        self.noisy_until.store(noisy_until, Ordering::Release);
    }

    /// Opens it: those who share a party with it fail.
    pub(super) fn trip(&self, now: Tick) {
        self.lock().trip(Cause::Correlated, None, now, fastrand::u64(..));
        self.noisy_until.store(u64::MAX, Ordering::Release);
    }

    /// Remembers `fault` for whoever asks why.
    pub(super) fn note(&self, fault: &Fault, now: Tick) {
        let last = LastFault { kind: fault.kind, message: fault.message.clone(), at: now };
        *self.last.lock().unwrap_or_else(PoisonError::into_inner) = Some(last);
    }

    pub(super) fn last(&self) -> Option<LastFault> {
        self.last.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}
