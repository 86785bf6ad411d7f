//! What is known of one deployment: its breaker, how fast it is, how much of it is free.

use super::guard::Guard;
use canon::Facets;
use policy::breaker::Health;
use policy::latency::Quantiles;
use policy::limit::{Counted, Full, Limiter, Place, Remaining};
use policy::rules::Limits;
use policy::{Live, SizeBucket, Tick};
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// The usual length of an answer whose request names no limit, for counting tokens ahead.
const USUAL_OUTPUT: u64 = 512;

/// Tokens that a request is taken to need until its answer says how many they were.
pub(super) fn tokens_of(facets: &Facets) -> u64 {
    let answers = u64::from(facets.choices.max(1));
    facets.input_tokens.saturating_add(facets.max_output_tokens.unwrap_or(USUAL_OUTPUT).saturating_mul(answers))
}

/// A limiter that costs nothing while nothing is limited.
#[derive(Debug)]
pub(super) struct Gate {
    limiter: Mutex<Limiter>,
    limited: AtomicBool,
}

impl Gate {
    pub(super) fn new(limits: Limits) -> Self {
        Self { limiter: Mutex::new(Limiter::new(limits)), limited: AtomicBool::new(!limits.is_empty()) }
    }

    fn lock(&self) -> MutexGuard<'_, Limiter> {
        self.limiter.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn relimit(&self, limits: Limits) {
        self.lock().relimit(limits);
        self.limited.fetch_or(!limits.is_empty(), Ordering::Relaxed);
    }

    /// Whether nothing is limited.
    pub(super) fn is_free(&self) -> bool {
        !self.limited.load(Ordering::Relaxed)
    }

    /// What is limited, requests and tokens of the last minute, requests under way.
    pub(super) fn used(&self, now: Tick) -> (Limits, (u64, u64), u32) {
        let limiter = self.lock();
        (limiter.limits(), limiter.used(now), limiter.under_way())
    }

    /// Takes a place back whose request was not made.
    pub(super) fn cancel(&self, place: Option<Place>) {
        if let Some(place) = place {
            self.lock().cancel(place);
        }
    }

    /// A place for a request of `tokens`; `Ok(None)`: nothing is limited.
    pub(super) fn enter(&self, tokens: u64, now: Tick) -> Result<Option<Place>, Full> {
        if !self.limited.load(Ordering::Relaxed) {
            return Ok(None);
        }
        self.lock().enter(now, tokens).map(Some)
    }

    /// Gives a place back, of which `used` tokens were needed (`None`: nobody said).
    pub(super) fn leave(&self, place: Option<Place>, used: Option<u64>, asked: u64) {
        if let Some(place) = place {
            self.lock().leave(place, used.unwrap_or(asked));
        }
    }

    pub(super) fn said(&self, left: Remaining, reset: Duration, now: Tick) {
        self.lock().said(left, reset, now);
        self.limited.store(true, Ordering::Relaxed);
    }

    /// What is counted, for another process; `None`: nothing is limited.
    pub(super) fn counted(&self, now: Tick) -> Option<Counted> {
        self.limited.load(Ordering::Relaxed).then(|| self.lock().counted(now))
    }

    /// Goes on with what another process counted.
    pub(super) fn resume(&self, counted: &Counted, now: Tick) {
        self.lock().resume(counted, now);
    }

    /// How many requests another process still has under way.
    pub(super) fn elsewhere(&self, under_way: u32) {
        self.lock().elsewhere(under_way);
    }

    #[cfg(test)]
    pub(super) fn under_way(&self) -> u32 {
        self.lock().under_way()
    }

    fn headroom(&self, now: Tick) -> f32 {
        if !self.limited.load(Ordering::Relaxed) {
            return 1.0;
        }
        let limiter = self.lock();
        if !limiter.is_limited(now) {
            self.limited.store(false, Ordering::Relaxed);
        }
        limiter.headroom(now)
    }
}

/// The first-token times of one size of prompt, microseconds; 0: not measured.
#[derive(Default)]
struct FirstTokens {
    /// Moving average.
    average: AtomicU64,
    p95: AtomicU64,
    quantiles: Mutex<Quantiles>,
}

/// When a first token (of whole answers: the answer) is late, microseconds; 0: not learned.
#[derive(Default)]
struct Late {
    after: AtomicU64,
    quantiles: Mutex<Quantiles>,
}

impl Late {
    fn measured(&self, first: Duration) {
        let mut quantiles = self.quantiles.lock().unwrap_or_else(PoisonError::into_inner);
        quantiles.add(first);
        self.after.store(policy::hedge::delay(&quantiles).map_or(0, crate::clock::micros), Ordering::Relaxed);
    }
}

/// One deployment.
pub(super) struct OneLive {
    pub(super) guard: Guard,
    pub(super) gate: Arc<Gate>,
    first_tokens: [FirstTokens; SizeBucket::COUNT],
    /// Whole answers and streams apart: a whole one takes as long as all of its tokens.
    late: [[Late; SizeBucket::COUNT]; 2],
    pub(super) under_way: AtomicU32,
}

impl OneLive {
    pub(super) fn new(limits: Limits) -> Self {
        Self::behind(Arc::new(Gate::new(limits)))
    }

    /// Nothing is known yet, behind `gate`.
    fn behind(gate: Arc<Gate>) -> Self {
        Self {
            guard: Guard::default(),
            gate,
            first_tokens: Default::default(),
            late: Default::default(),
            under_way: AtomicU32::new(0),
        }
    }

    /// The same deployment as somebody sees it who has heard nothing of it; its limits are the same.
    pub(super) fn apart(&self) -> Self {
        Self::behind(Arc::clone(&self.gate))
    }

    /// A first token came after `first`.
    pub(super) fn measured(&self, first: Duration, facets: &Facets, stream: bool) {
        if let Some(late) = self.late(facets, stream) {
            late.measured(first);
        }
        let Some(times) = self.first_tokens.get(SizeBucket::of(facets.input_tokens).index()) else { return };
        let micros = crate::clock::micros(first).max(1);
        // A lost update between two threads costs nothing.
        let old = times.average.load(Ordering::Relaxed);
        times.average.store(if old == 0 { micros } else { old - old / 8 + micros / 8 }.max(1), Ordering::Relaxed);
        let mut quantiles = times.quantiles.lock().unwrap_or_else(PoisonError::into_inner);
        quantiles.add(first);
        let p95 = quantiles.at(0.95).map_or(0, crate::clock::micros);
        times.p95.store(p95, Ordering::Relaxed);
    }

    /// From when on its first token is late, for prompts of this size; `None`: not learned yet.
    pub(super) fn late_after(&self, facets: &Facets, stream: bool) -> Option<Duration> {
        known(&self.late(facets, stream)?.after)
    }

    fn late(&self, facets: &Facets, stream: bool) -> Option<&Late> {
        self.late.get(usize::from(stream))?.get(SizeBucket::of(facets.input_tokens).index())
    }

    pub(super) fn live(&self, health: Health, bucket: SizeBucket, now: Tick) -> Live {
        let times = self.first_tokens.get(bucket.index());
        #[expect(clippy::cast_precision_loss, reason = "a share needs no more than 23 bits")]
        let idle = 1.0 / (1.0 + self.under_way.load(Ordering::Relaxed) as f32);
        Live {
            health,
            headroom: idle * self.gate.headroom(now),
            first_token: times.and_then(|times| known(&times.average)),
            first_token_p95: times.and_then(|times| known(&times.p95)),
            error_rate: self.guard.error_rate(now),
            failing: self.guard.failing(now),
        }
    }
}

fn known(micros: &AtomicU64) -> Option<Duration> {
    match micros.load(Ordering::Relaxed) {
        0 => None,
        micros => Some(Duration::from_micros(micros)),
    }
}
