//! Carrying out a plan: its legs in order, each attempt watched by the ledger, until one has its first real event in
//! hand; and carrying that answer to the client, whoever has to finish it. What may be tried again, and when, is
//! decided by `policy`; how a broken answer goes on, by `takeover`; here it is done.

pub mod live;

mod attempt;
mod choose;
mod course;
mod journal;
mod losses;
mod pump;
mod takeover;
#[cfg(test)]
mod tests;

pub use attempt::{Begun, Watched};
pub(crate) use choose::Choice;
pub(crate) use pump::Carry;

use crate::setup::{Gateway, Setup};
use crate::tap::entry::Common;
use crate::upstream::Ask;
use canon::{Fault, FaultKind};
use course::{Course, How};
use live::{AtLimit, Levels, NotNow};
use policy::{Permit, Plan, Product, ProductIx};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// How long a client should wait when nobody can tell.
const LATER: Duration = Duration::from_secs(1);

/// One request on its way.
pub struct Run {
    /// The gateway.
    pub gateway: Arc<Gateway>,
    /// The configuration it began with.
    pub setup: Arc<Setup>,
    /// Whose it is.
    pub product: ProductIx,
    /// Within whose limits it is.
    pub levels: Levels,
    /// What the key permits of its product's deployments; `None`: all.
    pub permit: Option<Arc<Permit>>,
    /// What is asked.
    pub ask: Arc<Ask>,
    /// What all ledger rows of it share.
    pub common: Common,
    /// When it must be answered.
    pub deadline: Instant,
}

/// A request that somebody answers.
pub struct Underway {
    /// The request.
    pub run: Arc<Run>,
    /// Where it stands in its plan.
    pub(crate) course: Course,
    /// The answer.
    pub begun: Begun,
}

impl Underway {
    /// Attempts made so far.
    #[must_use]
    pub const fn attempts(&self) -> u32 {
        self.course.attempts()
    }
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

impl Run {
    /// Whose it is.
    pub(crate) fn product(&self) -> &Product {
        self.setup.fleet.product(self.product)
    }

    /// Carries `plan` out, until somebody begins to answer.
    ///
    /// # Errors
    /// When no leg answers; the fault is the last one that says most to the client.
    pub async fn carry_out(self: Arc<Self>, plan: &Plan) -> Result<Underway, Unanswered> {
        let entered =
            self.setup.live.enter(self.product, &self.levels, &self.ask.peek.facets, self.gateway.clock.tick());
        let places = entered.map_err(|reached| at_limit(&reached))?;
        let mut course = Course::new(losses::sort(&self, &plan.legs)?);
        match course.answer(&self, &mut How::live(&self.ask)).await {
            Ok(mut begun) => {
                begun.watched.placed(Some(places));
                Ok(Underway { run: self, course, begun })
            }
            Err(fault) => Err(Unanswered { fault, attempts: course.attempts() }),
        }
    }

    /// Whom to ask.
    pub(crate) fn choice(&self) -> Choice<'_> {
        Choice {
            gateway: &self.gateway,
            setup: &self.setup,
            product: self.product,
            levels: &self.levels,
            permit: self.permit.as_deref(),
            ask: &self.ask,
            deadline: self.deadline,
        }
    }
}

/// A limit of the product, the team or the key is reached.
pub(crate) fn at_limit(reached: &AtLimit) -> Fault {
    Fault::gateway(FaultKind::RateLimited, reached.to_string()).after(reached.full.wait.unwrap_or(LATER))
}

/// What became of one leg.
enum Tried {
    /// It answers.
    Begun(Box<Begun>),
    /// It was asked and failed.
    Failed(Fault),
    /// It may not be asked now.
    NotNow(NotNow),
}
