//! What was asked of whom, summed: one row per product, task, model, parties and shape of request, small enough that a
//! report over millions of attempts holds it whole. Pure; a store that can sum does so itself and must agree with
//! `Flow::sum`. Only attempts for a client count, and none under a drill: shadows, drills and replays say nothing
//! about dependence.

use crate::record::{Attempt, Mode, Name, Outcome, Portability};
use serde::{Deserialize, Serialize};
use std::collections::HashMap;

/// Sizes of prompts in tokens at which a new bucket begins.
pub const SIZES: [u64; 3] = [1_000, 8_000, 32_000];

/// More tokens than an attempt can have: a larger count, which only a broken provider says, counts as this.
pub const MOST_TOKENS: u64 = 1 << 40;

/// More than an attempt can cost, billionths of a US dollar.
pub const MOST_NANODOLLARS: i64 = 1 << 50;

/// What a dropped candidate can have lacked, as the plan's reasons say it; bit `n` of `FlowKey::lacked` is the n-th.
pub const LACKS: [&str; 7] = [
    "lacks-tools",
    "lacks-images",
    "lacks-audio",
    "lacks-documents",
    "lacks-structured",
    "lacks-reasoning",
    "lacks-logprobs",
];

/// The modes in which an attempt is made for a client.
pub const CLIENT_MODES: [Mode; 3] = [Mode::Live, Mode::Hedge, Mode::Takeover];

/// What the attempts of one flow have in common; `None`: they do not say. Stores keep sums by its JSON: a change of what
/// `SIZES` or `LACKS` mean needs new sums there.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(default)]
pub struct FlowKey {
    /// The product that asked.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub product: Option<Name>,
    /// The kind of task.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub class: Option<Name>,
    /// The wire the client spoke.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub dialect: Option<Name>,
    /// The model as the client named it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub requested_model: Option<Name>,
    /// The deployment.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub deployment: Option<Name>,
    /// The API counterparty.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub provider: Option<Name>,
    /// The model that answered.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub model: Option<Name>,
    /// Who trained it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub maker: Option<Name>,
    /// Whose machines ran it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub host: Option<Name>,
    /// Who bills.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub invoicer: Option<Name>,
    /// Our account.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub account: Option<Name>,
    /// Where it ran.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub region: Option<Name>,
    /// The model's family.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub family: Option<Name>,
    /// How freely the requests could go elsewhere.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub portability: Option<Portability>,
    /// The feature that locks them in.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub locked_by: Option<Name>,
    /// The bucket of `SIZES` that the prompt falls into, from 0; `None`: its size is unknown.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub size: Option<u8>,
    /// What candidates were dropped for lacking, one bit per entry of `LACKS`: the request, or its product, needs it.
    pub lacked: u8,
}

/// One flow. Sums count what is known; the counts of unknowns say what they leave out.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Flow {
    /// What its attempts have in common.
    pub key: FlowKey,
    /// Attempts.
    pub attempts: u64,
    /// Of these, answered. One request has one answer, so these are requests.
    pub answered: u64,
    /// Tokens of prompts and answers.
    pub tokens: u64,
    /// Tokens of answered prompts, cached ones included.
    pub input: u64,
    /// Of these, read from a cache.
    pub cached: u64,
    /// Tokens of complete answers.
    pub output: u64,
    /// Answered attempts without token counts.
    pub uncounted: u64,
    /// The known costs, billionths of a US dollar.
    pub cost_nanodollars: i64,
    /// Answered attempts whose cost is unknown.
    pub unpriced: u64,
    /// The largest prompt in tokens, where any is known.
    pub largest: Option<u64>,
    /// When the first attempt began, Unix microseconds.
    pub first: i64,
    /// When the last attempt began, Unix microseconds.
    pub last: i64,
    /// Answered attempts of which the time to the first token is known.
    pub timed: u64,
    /// The sum of these times, microseconds.
    pub first_token_us: u64,
}

impl FlowKey {
    /// The key of the flow that `row` belongs to.
    #[must_use]
    pub fn of(row: &Attempt) -> Self {
        let lacked = |reason: &&str| row.candidates.iter().any(|one| one.dropped.as_deref() == Some(*reason));
        Self {
            product: row.product.clone(),
            class: row.class.clone(),
            dialect: row.dialect.clone(),
            requested_model: row.requested_model.clone(),
            deployment: row.deployment.clone(),
            provider: row.provider.clone(),
            model: row.resolved_model.clone(),
            maker: row.maker.clone(),
            host: row.host.clone(),
            invoicer: row.invoicer.clone(),
            account: row.account.clone(),
            region: row.region.clone(),
            family: row.family.clone(),
            portability: row.portability,
            locked_by: row.locked_by.clone(),
            size: row.input_tokens.map(size),
            lacked: LACKS.iter().enumerate().fold(0, |mask, (at, reason)| mask | u8::from(lacked(reason)) << at),
        }
    }
}

/// What one attempt counts.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Counts {
    pub(crate) answered: bool,
    pub(crate) input: Option<u64>,
    pub(crate) cached: Option<u64>,
    pub(crate) output: Option<u64>,
    pub(crate) cost_nanodollars: Option<i64>,
    pub(crate) first_token_us: Option<u64>,
    pub(crate) started: i64,
}

impl Counts {
    fn of(row: &Attempt) -> Self {
        Self {
            answered: row.outcome == Outcome::Ok,
            input: row.input_tokens,
            cached: row.cache_read_tokens,
            output: row.output_tokens,
            cost_nanodollars: row.cost_nanodollars,
            first_token_us: row.first_token_us,
            started: row.started,
        }
    }

    /// The flow that is this one attempt, without a key.
    pub(crate) fn flow(&self) -> Flow {
        let answered = u64::from(self.answered);
        let counted = self.input.is_some() && self.output.is_some();
        let most = |tokens: Option<u64>| tokens.map(|count| count.min(MOST_TOKENS));
        let of_answered = |tokens: Option<u64>| most(tokens).filter(|_| self.answered).unwrap_or(0);
        Flow {
            key: FlowKey::default(),
            attempts: 1,
            answered,
            tokens: most(self.input).unwrap_or(0) + most(self.output).unwrap_or(0),
            input: of_answered(self.input),
            cached: of_answered(self.cached),
            output: of_answered(self.output),
            uncounted: if counted { 0 } else { answered },
            cost_nanodollars: self.cost_nanodollars.unwrap_or(0).clamp(-MOST_NANODOLLARS, MOST_NANODOLLARS),
            unpriced: if self.cost_nanodollars.is_some() { 0 } else { answered },
            largest: most(self.input),
            first: self.started,
            last: self.started,
            timed: if self.first_token_us.is_some() { answered } else { 0 },
            first_token_us: of_answered(self.first_token_us),
        }
    }
}

impl Flow {
    /// The flow that is one attempt.
    #[must_use]
    pub fn of(row: &Attempt) -> Self {
        Self { key: FlowKey::of(row), ..Counts::of(row).flow() }
    }

    /// Adds `other`, whose key is not looked at.
    pub fn add(&mut self, other: &Self) {
        self.attempts += other.attempts;
        self.answered += other.answered;
        self.tokens = self.tokens.saturating_add(other.tokens);
        self.input = self.input.saturating_add(other.input);
        self.cached = self.cached.saturating_add(other.cached);
        self.output = self.output.saturating_add(other.output);
        self.uncounted += other.uncounted;
        self.cost_nanodollars = self.cost_nanodollars.saturating_add(other.cost_nanodollars);
        self.unpriced += other.unpriced;
        self.largest = self.largest.max(other.largest);
        self.first = self.first.min(other.first);
        self.last = self.last.max(other.last);
        self.timed += other.timed;
        self.first_token_us = self.first_token_us.saturating_add(other.first_token_us);
    }

    /// `flows` with those of equal keys added up, in the order of their keys.
    #[must_use]
    pub fn merged(flows: impl IntoIterator<Item = Self>) -> Vec<Self> {
        let mut sums: HashMap<FlowKey, Self> = HashMap::new();
        for flow in flows {
            match sums.get_mut(&flow.key) {
                Some(sum) => sum.add(&flow),
                None => {
                    sums.insert(flow.key.clone(), flow);
                }
            }
        }
        let mut list: Vec<Self> = sums.into_values().collect();
        list.sort_unstable_by(|a, b| a.key.cmp(&b.key));
        list
    }

    /// The flows of those of `rows` that were made for a client outside any drill, in the order of their keys.
    #[must_use]
    pub fn sum<'a>(rows: impl IntoIterator<Item = &'a Attempt>) -> Vec<Self> {
        Self::merged(rows.into_iter().filter(|row| Self::counts(row)).map(Self::of))
    }

    /// Whether `row` was made for a client outside any drill.
    pub(crate) fn counts(row: &Attempt) -> bool {
        CLIENT_MODES.contains(&row.mode) && row.drill.is_none()
    }
}

/// The bucket of `SIZES` that a prompt of so many tokens falls into.
pub(crate) fn size(tokens: u64) -> u8 {
    SIZES.iter().fold(0, |bucket, from| bucket + u8::from(tokens >= *from))
}
