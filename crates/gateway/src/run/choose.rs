//! Asking `policy` whom to ask: before the first call, and again when nobody of a plan is left. Where everyone who could
//! answer is to be left alone for a moment, that moment is waited; nobody is asked here.

use super::live::Levels;
use crate::clock;
use crate::setup::{Gateway, Setup};
use crate::upstream::Ask;
use canon::Fault;
use policy::breaker::Health;
use policy::{
    Degraded, DeploymentIx, DropReason, Dropped, Live, Permit, Plan, PlanInput, ProductIx, Refusal, SizeBucket, View,
    Wall,
};
use std::time::{Duration, Instant};

/// The longest that a request waits, in all, for somebody who may be asked: longer is for its client to decide.
const LONGEST: Duration = Duration::from_secs(2);
/// The share of failures lately by which one mostly fails.
const MOSTLY: f32 = 0.75;
/// How soon to look again at one that is being tried.
const SOON: Duration = Duration::from_millis(50);

/// Whose request it is, and when it must be answered.
pub(crate) struct Choice<'a> {
    pub(crate) gateway: &'a Gateway,
    pub(crate) setup: &'a Setup,
    pub(crate) product: ProductIx,
    pub(crate) levels: &'a Levels,
    pub(crate) permit: Option<&'a Permit>,
    pub(crate) ask: &'a Ask,
    pub(crate) deadline: Instant,
}

impl Choice<'_> {
    /// The plan, once somebody may be asked who does not mostly fail, or nobody else will be soon; those in `but` may
    /// not be asked.
    ///
    /// # Errors
    /// When nobody may be, and a moment would not change that.
    pub(crate) async fn plan(&self, but: &[DeploymentIx]) -> Result<Plan, Fault> {
        let begun = clock::now();
        let found = loop {
            let found = self.now(but);
            let (dropped, straw) = match &found {
                Ok(plan) if !self.is_last_straw(plan) => break found,
                Ok(plan) => (&plan.dropped, true),
                Err(refusal) => (&refusal.plan.dropped, false),
            };
            let waited = clock::now() - begun;
            let most = LONGEST.min(self.deadline.saturating_duration_since(begun)).saturating_sub(waited);
            match self.moment(dropped, straw).filter(|moment| *moment < most) {
                // Not all at the same time.
                Some(moment) => tokio::time::sleep(moment + SOON.mul_f32(fastrand::f32())).await,
                None => break found,
            }
        };
        found.map_err(|refusal| refusal.fault)
    }

    /// Whether all that is left is one that is down and has mostly failed.
    fn is_last_straw(&self, plan: &Plan) -> bool {
        let last = plan.legs.first().filter(|leg| leg.degraded == Some(Degraded::Unhealthy));
        last.is_some_and(|leg| self.live(leg.deployment).failing > MOSTLY)
    }

    fn live(&self, deployment: DeploymentIx) -> Live {
        let bucket = SizeBucket::of(self.ask.peek.facets.input_tokens);
        self.setup.live.live(deployment, bucket, self.gateway.clock.tick())
    }

    /// How soon one of those that are down may be asked; `None`: time alone does not help. `straw`: one may be asked at
    /// once, so that only a better one is worth a wait.
    fn moment(&self, dropped: &[Dropped], straw: bool) -> Option<Duration> {
        let down = dropped.iter().filter(|one| matches!(one.reason, DropReason::Down(_) | DropReason::Probing));
        let down = down.map(|one| self.live(one.deployment)).filter(|live| !straw || live.failing <= MOSTLY);
        let waits = down.map(|live| match live.health {
            Health::Open { until, .. } => until.since(self.gateway.clock.tick()),
            Health::Probing => SOON,
            Health::Closed | Health::Ramp(_) | Health::Probe => Duration::ZERO,
        });
        waits.min()
    }

    fn now(&self, but: &[DeploymentIx]) -> Result<Plan, Box<Refusal>> {
        let now = self.gateway.clock.tick();
        policy::plan(&PlanInput {
            facets: &self.ask.peek.facets,
            model: self.ask.peek.model.as_deref().unwrap_or_default(),
            product: self.setup.fleet.product(self.product),
            fleet: &self.setup.fleet,
            view: &self.setup.live.seen_by(self.levels),
            now,
            wall: Wall::from_unix(clock::unix_micros().div_euclid(1_000_000)),
            chance: fastrand::u64(..),
            dialect: Some(self.ask.dialect.id()),
            permit: self.permit,
            exclude: but,
            warm: self.setup.live.warm(self.product, self.ask, now),
            bound: None,
        })
    }
}
