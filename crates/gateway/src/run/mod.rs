//! Carrying out a plan: its legs in order, each attempt watched by the ledger, until one has its first real event in
//! hand. What may be tried again, and when, is decided by `policy`; here it is done.

pub mod live;

mod attempt;
mod losses;
pub(crate) mod pump;

pub use attempt::Begun;
pub(crate) use pump::{pump_events, pump_raw};

use crate::setup::{Gateway, Setup};
use crate::tap::entry::{Chosen, Common};
use crate::upstream::Ask;
use canon::{Fault, FaultKind};
use ledger::Mode;
use policy::retry::{Decision, Failed};
use policy::{Degraded, Leg, Plan, Product};
use std::sync::Arc;
use std::time::Instant;

/// One request on its way.
pub struct Run<'a> {
    /// The gateway.
    pub gateway: &'a Gateway,
    /// The configuration it began with.
    pub setup: &'a Setup,
    /// Whose it is.
    pub product: &'a Product,
    /// What is asked.
    pub ask: &'a Arc<Ask>,
    /// What all ledger rows of it share.
    pub common: Common,
    /// When it must be answered.
    pub deadline: Instant,
}

/// A request that nobody answered.
#[derive(Debug)]
pub struct Unanswered {
    /// The fault to answer with.
    pub fault: Fault,
    /// How many attempts were made.
    pub attempts: u32,
}

impl From<Fault> for Unanswered {
    fn from(fault: Fault) -> Self {
        Self { fault, attempts: 0 }
    }
}

impl Run<'_> {
    /// Carries `plan` out.
    ///
    /// # Errors
    /// When no leg answers; the fault is the last one that says most to the client.
    pub async fn carry_out(&self, plan: &Plan) -> Result<Begun, Unanswered> {
        let legs = losses::sort(self, &plan.legs)?;
        let (mut attempts, mut at, mut told) = (0, 0, None);
        while let Some(leg) = legs.get(at) {
            attempts += 1;
            let fault = match self.attempt(leg, legs.len() > at + 1, attempts).await {
                Tried::Begun(begun) => return Ok(*begun),
                Tried::Failed(fault) => fault,
                Tried::NotNow => {
                    attempts -= 1;
                    at += 1;
                    continue;
                }
            };
            let decision = self.after(&fault, attempts, legs.get(at + 1));
            told = Some(most_telling(told, fault));
            match decision {
                Decision::GiveUp(_) => break,
                Decision::Elsewhere => at += 1,
                Decision::Here { after } => tokio::time::sleep(after).await,
            }
        }
        let fault = told.unwrap_or_else(|| Fault::gateway(FaultKind::NoRoute, "no deployment can answer this request"));
        Err(Unanswered { fault, attempts })
    }

    /// What to do after a fault. The house model costs no provider anything: where it is next, it is always asked.
    fn after(&self, fault: &Fault, attempts: u32, next: Option<&Leg>) -> Decision {
        if fault.retry != canon::Retry::Never && next.is_some_and(|leg| leg.degraded == Some(Degraded::House)) {
            return Decision::Elsewhere;
        }
        let left = self.deadline.saturating_duration_since(Instant::now());
        let failed = Failed { fault, attempts, left, elsewhere: next.is_some() };
        self.setup.live.after_fault(self.product, &failed, self.gateway.clock.tick())
    }

    async fn attempt(&self, leg: &Leg, elsewhere: bool, number: u32) -> Tried {
        let Some(unit) = self.setup.unit(leg.deployment) else { return Tried::NotNow };
        let chosen = Chosen {
            score: f64::from(leg.score),
            probability: f64::from(leg.probability),
            degraded: leg.degraded.is_some(),
            mode: Mode::Live,
        };
        attempt::attempt(self, unit, (leg, elsewhere), number, chosen).await
    }
}

/// What became of one leg.
enum Tried {
    /// It answers.
    Begun(Box<Begun>),
    /// It was asked and failed.
    Failed(Fault),
    /// Its breaker allows no call: another request is its probe.
    NotNow,
}

/// Of two faults the one that tells the client more: its own mistakes before a provider's troubles, and the later of
/// two alike.
fn most_telling(earlier: Option<Fault>, later: Fault) -> Fault {
    match earlier {
        Some(earlier) if earlier.side == canon::Side::Client && later.side != canon::Side::Client => earlier,
        _ => later,
    }
}
