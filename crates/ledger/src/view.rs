//! A request as one row, made from its attempts: no table of its own. Pure.

use crate::id::RequestId;
use crate::record::{Attempt, Mode, Name, Outcome};

/// One request of a client.
#[derive(Debug, Clone, PartialEq, serde::Serialize)]
pub struct RequestRow {
    /// The request.
    pub request_id: RequestId,
    /// When its first attempt began, Unix microseconds.
    pub started: i64,
    /// From then to the last token of the attempt that ended it, microseconds.
    pub duration_us: Option<u64>,
    /// From then to the first token any attempt gave, microseconds.
    pub first_token_us: Option<u64>,
    /// The product that asked.
    pub product: Option<Name>,
    /// The model that the client named.
    pub requested_model: Option<Name>,
    /// The deployment whose answer ended it, or that was asked last.
    pub deployment: Option<Name>,
    /// What became of it.
    pub outcome: Outcome,
    /// How many attempts were made for the client.
    pub attempts: usize,
    /// Tokens of prompts over all attempts; `None`: not all are known.
    pub input_tokens: Option<u64>,
    /// Tokens of answers over all attempts; `None`: not all are known.
    pub output_tokens: Option<u64>,
    /// Cost over all attempts, billionths of a US dollar; `None`: not all are known.
    pub cost_nanodollars: Option<i64>,
    /// Whether the answer is less than was asked for.
    pub degraded: bool,
}

impl RequestRow {
    /// The request of which `attempts` are all attempts. Shadow ones count for nothing here: the client never saw them.
    /// `None`: there are none.
    #[must_use]
    pub fn of(attempts: &[Attempt]) -> Option<Self> {
        let seen: Vec<&Attempt> = attempts.iter().filter(|attempt| attempt.mode != Mode::Shadow).collect();
        let first = seen.iter().min_by_key(|attempt| (attempt.started, attempt.attempt))?;
        let ok = |attempt: &&&Attempt| attempt.outcome == Outcome::Ok;
        let last = seen.iter().filter(ok).max_by_key(|attempt| attempt.attempt);
        let last = last.or_else(|| seen.iter().max_by_key(|attempt| attempt.attempt))?;
        let open = seen.iter().any(|attempt| attempt.outcome == Outcome::Open);
        let since = |attempt: &Attempt, span: Option<u64>| {
            let before = u64::try_from(attempt.started.saturating_sub(first.started)).unwrap_or(0);
            span.map(|span| span.saturating_add(before))
        };
        Some(Self {
            request_id: first.request_id,
            started: first.started,
            duration_us: since(last, last.last_token_us),
            first_token_us: seen.iter().filter_map(|attempt| since(attempt, attempt.first_token_us)).min(),
            product: first.product.clone(),
            requested_model: first.requested_model.clone(),
            deployment: last.deployment.clone(),
            outcome: if open && last.outcome != Outcome::Ok { Outcome::Open } else { last.outcome },
            attempts: seen.len(),
            input_tokens: seen.iter().map(|attempt| attempt.input_tokens).sum(),
            output_tokens: seen.iter().map(|attempt| attempt.output_tokens).sum(),
            cost_nanodollars: seen.iter().map(|attempt| attempt.cost_nanodollars).sum(),
            degraded: last.degraded,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn attempt(number: u32, started: i64) -> Attempt {
        Attempt::new(RequestId::new(1, 1), number, started)
    }

    #[test]
    fn a_failed_and_a_good_attempt_are_one_answered_request() {
        let failed = Attempt {
            outcome: Outcome::Failed,
            deployment: Some("a".into()),
            input_tokens: Some(10),
            output_tokens: Some(2),
            cost_nanodollars: Some(5),
            first_token_us: Some(50),
            ..attempt(1, 1_000)
        };
        let good = Attempt {
            outcome: Outcome::Ok,
            deployment: Some("b".into()),
            mode: Mode::Takeover,
            input_tokens: Some(12),
            output_tokens: Some(3),
            cost_nanodollars: Some(7),
            first_token_us: Some(20),
            last_token_us: Some(90),
            degraded: true,
            ..attempt(2, 1_400)
        };
        let shadow = Attempt { mode: Mode::Shadow, outcome: Outcome::Failed, ..attempt(3, 1_000) };
        let row = RequestRow::of(&[good.clone(), shadow, failed.clone()]).unwrap();
        assert_eq!((row.started, row.duration_us, row.first_token_us), (1_000, Some(490), Some(50)));
        assert_eq!((row.outcome, row.deployment.as_deref(), row.attempts), (Outcome::Ok, Some("b"), 2));
        assert_eq!((row.input_tokens, row.output_tokens, row.cost_nanodollars), (Some(22), Some(5), Some(12)));
        assert!(row.degraded);
        let unpriced = Attempt { cost_nanodollars: None, ..failed };
        assert_eq!(RequestRow::of(&[unpriced, good]).unwrap().cost_nanodollars, None);
    }

    #[test]
    fn a_running_attempt_keeps_the_request_open() {
        let failed = Attempt { outcome: Outcome::Failed, ..attempt(1, 0) };
        let row = RequestRow::of(&[failed, attempt(2, 5)]).unwrap();
        assert_eq!(row.outcome, Outcome::Open);
        assert_eq!(RequestRow::of(&[]), None);
    }
}
