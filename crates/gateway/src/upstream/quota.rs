//! What a provider says is left of its own limits: OpenAI's `x-ratelimit-*` (many speak it) and Anthropic's
//! `anthropic-ratelimit-*`. Shapes as documented by both in November 2026 and sent along in the answers that the
//! openai 2.x and anthropic 0.7x SDKs pass through.

use http::HeaderMap;
use policy::limit::Remaining;
use std::time::{Duration, SystemTime};

/// What is left.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Quota {
    /// Of requests and tokens.
    pub left: Remaining,
    /// Until when that stands.
    pub reset: Duration,
}

impl Quota {
    /// How long to wait where nothing is left.
    #[must_use]
    pub fn wait(&self) -> Option<Duration> {
        (self.left.requests == Some(0) || self.left.tokens == Some(0)).then_some(self.reset)
    }
}

/// The headers of one kind of limit: what is left, and until when.
const REQUESTS: [[&str; 2]; 2] = [
    ["x-ratelimit-remaining-requests", "x-ratelimit-reset-requests"],
    ["anthropic-ratelimit-requests-remaining", "anthropic-ratelimit-requests-reset"],
];
const TOKENS: [[&str; 2]; 3] = [
    ["x-ratelimit-remaining-tokens", "x-ratelimit-reset-tokens"],
    ["anthropic-ratelimit-input-tokens-remaining", "anthropic-ratelimit-input-tokens-reset"],
    ["anthropic-ratelimit-tokens-remaining", "anthropic-ratelimit-tokens-reset"],
];

/// What the names of all of them begin with: most answers have none.
const NAMED: [&str; 2] = ["x-ratelimit-", "anthropic-ratelimit-"];

/// Reads the headers of an answer; `None`: they say nothing.
pub(super) fn left(headers: &HeaderMap) -> Option<Quota> {
    if !headers.keys().any(|name| NAMED.iter().any(|prefix| name.as_str().starts_with(prefix))) {
        return None;
    }
    let (requests, tokens) = (one(headers, &REQUESTS), one(headers, &TOKENS));
    let resets = [requests, tokens].into_iter().flatten();
    // What is used up counts until its own reset; else the nearer one, after which the rest is stale.
    let empty = resets.clone().filter(|(left, _)| *left == 0).map(|(_, reset)| reset).max();
    let reset = empty.or_else(|| resets.map(|(_, reset)| reset).min())?;
    let left = Remaining { requests: requests.map(|(left, _)| left), tokens: tokens.map(|(left, _)| left) };
    Some(Quota { left, reset })
}

fn one(headers: &HeaderMap, names: &[[&str; 2]]) -> Option<(u64, Duration)> {
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok()).map(str::trim);
    names.iter().find_map(|[left, reset]| Some((text(left)?.parse().ok()?, duration(text(reset)?)?)))
}

/// `6m0s`, `1.5s`, `20ms`, plain seconds, or a date.
fn duration(text: &str) -> Option<Duration> {
    if let Ok(seconds) = text.parse::<f64>() {
        return Duration::try_from_secs_f64(seconds).ok();
    }
    if let Ok(date) = text.parse::<jiff::Timestamp>() {
        return Some(SystemTime::from(date).duration_since(SystemTime::now()).unwrap_or_default());
    }
    let (mut sum, mut rest) = (0.0, text);
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit() && c != '.')?;
        let (number, after) = rest.split_at(digits);
        let unit = after.find(|c: char| c.is_ascii_digit()).unwrap_or(after.len());
        let (unit, after) = after.split_at(unit);
        let seconds = match unit {
            "ms" => 0.001,
            "s" => 1.0,
            "m" => 60.0,
            "h" => 3_600.0,
            "d" => 86_400.0,
            _ => return None,
        };
        sum += number.parse::<f64>().ok()? * seconds;
        rest = after;
    }
    Duration::try_from_secs_f64(sum).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::{HeaderName, HeaderValue};

    fn headers(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
        pairs.iter().map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value))).collect()
    }

    #[test]
    fn durations_are_read_in_every_form() {
        for (text, ms) in [("6m0s", 360_000), ("20ms", 20), ("1.5s", 1_500), ("2", 2_000), ("1h1m1s", 3_661_000)] {
            assert_eq!(duration(text), Some(Duration::from_millis(ms)), "{text}");
        }
        assert_eq!(duration("soon"), None);
        assert_eq!(duration("2001-01-01T00:00:00Z"), Some(Duration::ZERO));
    }

    #[test]
    fn what_is_used_up_says_how_long_to_wait() {
        let quota = left(&headers(&[
            ("x-ratelimit-remaining-requests", "0"),
            ("x-ratelimit-reset-requests", "12s"),
            ("x-ratelimit-remaining-tokens", "900"),
            ("x-ratelimit-reset-tokens", "50ms"),
        ]));
        let quota = quota.expect("it says so");
        assert_eq!((quota.wait(), quota.left.tokens), (Some(Duration::from_secs(12)), Some(900)));
        assert_eq!(left(&headers(&[("content-type", "x")])), None);
    }
}
