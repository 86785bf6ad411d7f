//! What is known right now: health, headroom, latency, error rate, shares and money left. The gateway implements
//! `View` over atomics so that a plan reads it without a lock; `Snapshot` is the same as plain data for tests,
//! what-ifs and replays.

use crate::breaker::Health;
use crate::fleet::{DeploymentIx, ProductIx};
use crate::money::NanoUsd;
use crate::time::{Tick, Wall};
use std::collections::HashMap;
use std::time::Duration;

/// What is known of one deployment now.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Live {
    /// Whether it may be asked: the worst of the deployment's own, its account's and its host's state.
    pub health: Health,
    /// How much of its limits is free, 0 to 1.
    pub headroom: f32,
    /// The usual time to the first token for prompts of this size; `None`: not measured lately.
    pub first_token: Option<Duration>,
    /// The 95th percentile of it.
    pub first_token_p95: Option<Duration>,
    /// Share of failed calls lately, 0 to 1; `None`: too few calls.
    pub error_rate: Option<f32>,
    /// How bad it was lately, 0 to 1, whether it is down or not.
    pub failing: f32,
}

impl Live {
    /// Healthy, idle and never measured.
    pub const FRESH: Self = Self {
        health: Health::Closed,
        headroom: 1.0,
        first_token: None,
        first_token_p95: None,
        error_rate: None,
        failing: 0.0,
    };
}

/// How many of a product's requests a party answered, over the window in which its cap counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Share {
    /// Answered by the party.
    pub used: u64,
    /// Answered by anyone.
    pub total: u64,
}

impl Share {
    /// Whether one more answer by the party would pass `cap`. The very first one never does.
    #[must_use]
    #[expect(clippy::cast_precision_loss, reason = "counts of a window stay far below 2^52")]
    pub fn full(self, cap: f64) -> bool {
        self.used > 0 && (self.used + 1) as f64 > cap * (self.total + 1) as f64
    }
}

/// The size of a prompt, coarsely: latency depends on it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SizeBucket(u8);

impl SizeBucket {
    /// How many there are.
    pub const COUNT: usize = 4;

    /// The bucket of a prompt of `tokens`: below 1,000, 8,000, 32,000, and beyond.
    #[must_use]
    pub const fn of(tokens: u64) -> Self {
        Self(match tokens {
            0..1_000 => 0,
            1_000..8_000 => 1,
            8_000..32_000 => 2,
            _ => 3,
        })
    }

    /// As an index, below `COUNT`.
    #[must_use]
    pub const fn index(self) -> usize {
        self.0 as usize
    }
}

/// What is known now. Implementations answer from memory: a plan asks them for every candidate.
pub trait View {
    /// One deployment, for prompts of size `bucket`.
    fn live(&self, deployment: DeploymentIx, bucket: SizeBucket, now: Tick) -> Live;

    /// How far the share cap at place `cap` of `product`'s caps is used.
    fn share(&self, product: ProductIx, cap: usize, now: Tick) -> Share;

    /// How much `product` may still spend, reservations taken off; `None`: without limit.
    fn money_left(&self, product: ProductIx, wall: Wall) -> Option<NanoUsd>;

    /// How much of the commitment of `deployment`'s contract is not used yet this month.
    fn prepaid(&self, _deployment: DeploymentIx, _wall: Wall) -> NanoUsd {
        NanoUsd::ZERO
    }
}

/// A view as plain data. What it does not list is fresh, unused and without limit.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Snapshot {
    /// What is known of deployments, whatever the prompt's size.
    pub live: HashMap<DeploymentIx, Live>,
    /// The usual time to the first token by size of prompt, where `live` does not say it.
    pub first_tokens: HashMap<(DeploymentIx, SizeBucket), Duration>,
    /// Use of share caps.
    pub shares: HashMap<(ProductIx, usize), Share>,
    /// Money left.
    pub money: HashMap<ProductIx, NanoUsd>,
    /// What is left of commitments.
    pub prepaid: HashMap<DeploymentIx, NanoUsd>,
}

impl View for Snapshot {
    fn live(&self, deployment: DeploymentIx, bucket: SizeBucket, _now: Tick) -> Live {
        let mut live = self.live.get(&deployment).copied().unwrap_or(Live::FRESH);
        live.first_token = live.first_token.or_else(|| self.first_tokens.get(&(deployment, bucket)).copied());
        live
    }

    fn share(&self, product: ProductIx, cap: usize, _now: Tick) -> Share {
        self.shares.get(&(product, cap)).copied().unwrap_or_default()
    }

    fn money_left(&self, product: ProductIx, _wall: Wall) -> Option<NanoUsd> {
        self.money.get(&product).copied()
    }

    fn prepaid(&self, deployment: DeploymentIx, _wall: Wall) -> NanoUsd {
        self.prepaid.get(&deployment).copied().unwrap_or_default()
    }
}
