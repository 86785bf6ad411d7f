//! Requests and tokens per minute, and requests under way: in no 60 seconds more than allowed, exactly. What a
//! provider says in its `x-ratelimit-*` headers tightens the same machine.

use crate::rules::Limits;
use crate::time::Tick;
use crate::window::Window;
use std::time::Duration;

/// A minute and the second that is not over yet: a slot is forgotten only when all of it is a minute old, so that no
/// 60 seconds, wherever they begin, hold more than the limit.
const SECONDS: usize = 61;

/// Which limit was reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Reached {
    /// Requests per minute.
    Requests,
    /// Tokens per minute.
    Tokens,
    /// Requests under way.
    Concurrent,
}

impl Reached {
    /// The stable name, that of the rule.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Requests => "rpm",
            Self::Tokens => "tpm",
            Self::Concurrent => "concurrent",
        }
    }
}

/// A request that does not fit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the limit `{}` is reached", .reached.name())]
pub struct Full {
    /// Which limit.
    pub reached: Reached,
    /// When it would fit if nothing else came; `None`: nobody can tell (`concurrent`), or never.
    pub wait: Option<Duration>,
}

/// Leave to make one request. Give it back with `Limiter::leave`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use = "a place that is not left is taken for ever"]
pub struct Place {
    at: Tick,
    tokens: u64,
}

/// What a provider says is left of its own limits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Remaining {
    /// Requests.
    pub requests: Option<u64>,
    /// Tokens.
    pub tokens: Option<u64>,
}

/// What one process counted of a holder and tells the next one that takes its place.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Counted {
    /// Requests under way.
    pub under_way: u32,
    /// By whole seconds ago: requests and tokens.
    pub lately: Vec<(u64, u64, u64)>,
}

/// One holder of limits.
#[derive(Debug, Clone)]
pub struct Limiter {
    limits: Limits,
    /// Requests as events, tokens as extras.
    window: Window<SECONDS>,
    under_way: u32,
    /// Requests that another process has under way, which this one takes the place of.
    elsewhere: u32,
    said: Option<(Remaining, Tick)>,
}

impl Limiter {
    /// A limiter of nothing yet.
    #[must_use]
    pub const fn new(limits: Limits) -> Self {
        Self { limits, window: Window::new(Duration::from_secs(1)), under_way: 0, elsewhere: 0, said: None }
    }

    /// Other limits for what is counted already, after a change of rules.
    pub const fn relimit(&mut self, limits: Limits) {
        self.limits = limits;
    }

    /// Whether anything is limited, by the rules or by what the provider said lately.
    #[must_use]
    pub fn is_limited(&self, now: Tick) -> bool {
        !self.limits.is_empty() || self.said.is_some_and(|(_, until)| now < until)
    }

    /// Takes a place for a request of at most `tokens`.
    ///
    /// # Errors
    /// The limit that is reached, and how long to wait.
    pub fn enter(&mut self, now: Tick, tokens: u64) -> Result<Place, Full> {
        if self.limits.concurrent.is_some_and(|most| self.under_way.saturating_add(self.elsewhere) >= most) {
            return Err(Full { reached: Reached::Concurrent, wait: None });
        }
        let (requests, used) = self.window.sums(now);
        if let Some(most) = self.limits.rpm.map(u64::from)
            && requests >= most
        {
            let wait = self.window.wait_until(now, |requests, _| requests < most);
            return Err(Full { reached: Reached::Requests, wait });
        }
        if let Some(most) = self.limits.tpm
            && used.saturating_add(tokens) > most
        {
            let wait = self.window.wait_until(now, |_, used| used.saturating_add(tokens) <= most);
            return Err(Full { reached: Reached::Tokens, wait });
        }
        if let Some((left, until)) = &mut self.said
            && now < *until
        {
            let wait = Some(until.since(now));
            if left.requests == Some(0) {
                return Err(Full { reached: Reached::Requests, wait });
            }
            if left.tokens.is_some_and(|left| left < tokens) {
                return Err(Full { reached: Reached::Tokens, wait });
            }
            left.requests = left.requests.map(|left| left - 1);
            left.tokens = left.tokens.map(|left| left - tokens);
        }
        self.window.add(now, 1, tokens);
        self.under_way += 1;
        Ok(Place { at: now, tokens })
    }

    /// Gives a place back; `used` tokens count instead of those asked for, at the moment they were asked for.
    pub fn leave(&mut self, place: Place, used: u64) {
        self.under_way = self.under_way.saturating_sub(1);
        self.window.take_back(place.at, 0, place.tokens.saturating_sub(used));
        let more = used.saturating_sub(place.tokens);
        if more > 0 {
            self.window.add(place.at, 0, more);
        }
    }

    /// Takes a place back whose request was not made: as if nobody had asked.
    pub fn cancel(&mut self, place: Place) {
        self.under_way = self.under_way.saturating_sub(1);
        self.window.take_back(place.at, 1, place.tokens);
    }

    /// What is limited.
    #[must_use]
    pub const fn limits(&self) -> Limits {
        self.limits
    }

    /// Requests and tokens of the last minute.
    #[must_use]
    pub fn used(&self, now: Tick) -> (u64, u64) {
        self.window.sums(now)
    }

    /// What the provider says is left, until `reset` from now.
    pub fn said(&mut self, remaining: Remaining, reset: Duration, now: Tick) {
        self.said = Some((remaining, now.after(reset)));
    }

    /// What was counted, for another process to go on with.
    #[must_use]
    pub fn counted(&self, now: Tick) -> Counted {
        Counted { under_way: self.under_way, lately: self.window.slots(now).collect() }
    }

    /// Goes on with what another process counted; seconds before this process's epoch count as its first.
    pub fn resume(&mut self, counted: &Counted, now: Tick) {
        for (ago, requests, tokens) in &counted.lately {
            let then = Tick::new(now.since_epoch().saturating_sub(Duration::from_secs(*ago)));
            self.window.add(then, *requests, *tokens);
        }
        self.elsewhere = counted.under_way;
    }

    /// How many requests another process still has under way.
    pub const fn elsewhere(&mut self, under_way: u32) {
        self.elsewhere = under_way;
    }

    /// How much of the tightest limit is free, 0 to 1.
    #[must_use]
    #[expect(
        clippy::cast_precision_loss,
        clippy::cast_possible_truncation,
        reason = "a share for comparing; digits beyond a float's do not matter"
    )]
    pub fn headroom(&self, now: Tick) -> f32 {
        let free =
            |used: u64, most: Option<u64>| most.map_or(1.0, |most| 1.0 - (used as f64 / most.max(1) as f64).min(1.0));
        let (requests, tokens) = self.window.sums(now);
        let said_empty =
            self.said.is_some_and(|(left, until)| now < until && (left.requests == Some(0) || left.tokens == Some(0)));
        if said_empty {
            return 0.0;
        }
        free(requests, self.limits.rpm.map(u64::from))
            .min(free(tokens, self.limits.tpm))
            .min(free(u64::from(self.under_way), self.limits.concurrent.map(u64::from))) as f32
    }

    /// Requests under way.
    #[must_use]
    pub const fn under_way(&self) -> u32 {
        self.under_way
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn each_limit_says_its_name_and_when() {
        let mut limiter = Limiter::new(Limits { rpm: Some(2), tpm: Some(100), concurrent: Some(3) });
        let first = limiter.enter(Tick::ZERO, 60).unwrap();
        let full = limiter.enter(Tick::ZERO, 60).unwrap_err();
        assert_eq!((full.reached, full.wait), (Reached::Tokens, Some(61 * SECOND)));
        limiter.leave(first, 10);
        let _second = limiter.enter(Tick::from_millis(500), 60).unwrap();
        let full = limiter.enter(Tick::from_millis(1_500), 1).unwrap_err();
        assert_eq!(full.reached, Reached::Requests);
        assert_eq!(full.to_string(), "the limit `rpm` is reached");
        let wait = full.wait.unwrap();
        assert!(limiter.enter(Tick::from_millis(1_500).after(wait), 1).is_ok());
        assert_eq!(limiter.under_way(), 2);
    }

    #[test]
    fn what_was_not_asked_does_not_count() {
        let mut limiter = Limiter::new(Limits { rpm: Some(1), tpm: Some(100), concurrent: Some(1) });
        let place = limiter.enter(Tick::ZERO, 100).unwrap();
        limiter.cancel(place);
        assert_eq!((limiter.used(Tick::ZERO), limiter.under_way()), ((0, 0), 0));
        assert!(limiter.enter(Tick::ZERO, 100).is_ok());
    }

    #[test]
    fn a_provider_that_says_nothing_is_left_is_believed_until_the_reset() {
        let mut limiter = Limiter::new(Limits::default());
        limiter.said(Remaining { requests: Some(1), tokens: None }, 5 * SECOND, Tick::ZERO);
        let place = limiter.enter(Tick::ZERO, 1).unwrap();
        limiter.leave(place, 1);
        assert!(limiter.headroom(Tick::ZERO) <= 0.0);
        assert_eq!(limiter.enter(Tick::ZERO, 1).unwrap_err().wait, Some(5 * SECOND));
        assert!(limiter.enter(Tick::from_millis(5_000), 1).is_ok());
    }

    #[test]
    fn another_process_goes_on_with_what_was_counted() {
        let limits = Limits { rpm: Some(3), tpm: Some(100), concurrent: Some(2) };
        let at = |seconds: u64| Tick::from_millis(seconds * 1_000);
        let mut old = Limiter::new(limits);
        let early = old.enter(at(10), 20).unwrap();
        old.leave(early, 20);
        let running = old.enter(at(50), 30).unwrap();
        let told = old.counted(at(60));
        assert_eq!(told, Counted { under_way: 1, lately: vec![(50, 1, 20), (10, 1, 30)] });
        // Its epoch began a hundred seconds before it took over.
        let mut new = Limiter::new(limits);
        new.resume(&told, at(100));
        assert_eq!(new.enter(at(100), 60).unwrap_err().reached, Reached::Tokens);
        let first = new.enter(at(100), 50).unwrap();
        assert_eq!(new.enter(at(100), 0).unwrap_err().reached, Reached::Concurrent);
        new.elsewhere(0);
        assert_eq!(new.enter(at(100), 0).unwrap_err().reached, Reached::Requests);
        let wait = new.enter(at(100), 0).unwrap_err().wait.unwrap();
        assert!(new.enter(at(100).after(wait), 0).is_ok() && wait <= 11 * SECOND);
        new.leave(first, 0);
        old.leave(running, 30);
    }

    proptest! {
        #[test]
        fn no_minute_holds_more_than_the_limit(
            rpm in 1_u32..20,
            tpm in 1_u64..500,
            concurrent in 1_u32..6,
            steps in prop::collection::vec((0_u64..9_000, 0_u64..200, any::<bool>()), 1..300),
        ) {
            let mut limiter = Limiter::new(Limits { rpm: Some(rpm), tpm: Some(tpm), concurrent: Some(concurrent) });
            let (mut now, mut held, mut done) = (0, Vec::new(), Vec::<(u64, u64)>::new());
            for (wait, tokens, leave) in steps {
                now += wait;
                if leave {
                    let Some((place, at)) = held.pop() else { continue };
                    limiter.leave(place, tokens.min(place.tokens));
                    done.push((at, tokens.min(place.tokens)));
                } else {
                    match limiter.enter(Tick::from_millis(now), tokens) {
                        Ok(place) => held.push((place, now)),
                        Err(full) => {
                            // What it promises holds: then it fits.
                            if let Some(wait) = full.wait {
                                let mut later = limiter.clone();
                                let again = later.enter(Tick::from_millis(now).after(wait), tokens);
                                prop_assert!(again.is_ok_and(|p| p.tokens == tokens)
                                    || again.is_err_and(|f| f.reached != full.reached));
                            }
                        }
                    }
                }
                prop_assert!(held.len() <= concurrent as usize);
                prop_assert_eq!(limiter.under_way() as usize, held.len());
                let all = held.iter().map(|(place, at)| (*at, place.tokens)).chain(done.iter().copied());
                let minute: Vec<_> = all.filter(|(at, _)| *at + 60_000 > now).collect();
                prop_assert!(minute.len() <= rpm as usize);
                prop_assert!(minute.iter().map(|(_, tokens)| tokens).sum::<u64>() <= tpm);
                let headroom = limiter.headroom(Tick::from_millis(now));
                prop_assert!((0.0..=1.0).contains(&headroom));
            }
        }
    }
}
