//! A request's part in a drill: it lives as long as anything of the request does, and when it goes, the request is
//! over and counted. A request that no attempt was made for leaves a row here, so that none is missing in the ledger.

use super::Drill;
use crate::setup::Gateway;
use canon::FaultKind;
use ledger::{Attempt, Mode, Name, Outcome};
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// One request's part.
pub struct Part {
    gateway: Arc<Gateway>,
    drill: Arc<Drill>,
    told: Mutex<Told>,
}

#[derive(Debug)]
struct Told {
    /// What the ledger writes when no attempt is made.
    row: Attempt,
    attempts: u64,
    answered: bool,
    degraded: bool,
    /// How the attempt ended that ended last.
    last: Outcome,
}

impl Part {
    /// The request's part begins; `row` says whose request it is.
    pub(crate) fn begin(gateway: &Arc<Gateway>, drill: Arc<Drill>, row: Attempt) -> Arc<Self> {
        drill.tally.offered.fetch_add(1, Ordering::AcqRel);
        let told = Told { row, attempts: 0, answered: false, degraded: false, last: Outcome::Open };
        Arc::new(Self { gateway: Arc::clone(gateway), drill, told: Mutex::new(told) })
    }

    /// The drill's id.
    #[must_use]
    pub fn id(&self) -> &Name {
        &self.drill.terms.id
    }

    /// The mode of an attempt at `deployment` that is made for `mode`.
    pub(crate) fn mode(&self, mode: Mode, deployment: &str) -> Mode {
        match mode {
            _ if self.drill.loses(deployment) => Mode::Drill,
            Mode::Live if self.drill.terms.marked => Mode::Replay,
            mode => mode,
        }
    }

    /// An attempt begins.
    pub(crate) fn begun(&self) {
        self.told().attempts += 1;
    }

    /// An attempt ended as `row` says.
    pub(crate) fn ended(&self, row: &Attempt) {
        let tally = &self.drill.tally;
        match row.cost_nanodollars {
            Some(cost) => drop(tally.nanodollars.fetch_add(cost, Ordering::AcqRel)),
            None if row.outcome == Outcome::Ok => drop(tally.unpriced.fetch_add(1, Ordering::AcqRel)),
            None => {}
        }
        let mut told = self.told();
        told.last = row.outcome;
        if row.outcome == Outcome::Ok {
            told.answered = true;
            told.degraded |= row.degraded;
        }
    }

    /// An answer has begun that is below the product's quality floor.
    pub(crate) fn below_floor(&self) {
        self.drill.tally.below_floor.fetch_add(1, Ordering::AcqRel);
    }

    /// The client was told of a fault.
    pub(crate) fn refused(&self, kind: FaultKind) {
        self.told().row.fault = Some(kind);
    }

    fn told(&self) -> MutexGuard<'_, Told> {
        self.told.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Part {
    fn drop(&mut self) {
        let told = self.told.get_mut().unwrap_or_else(PoisonError::into_inner);
        if told.attempts == 0 {
            let row = &mut told.row;
            (row.mode, row.drill) = (Mode::Drill, Some(self.drill.terms.id.clone()));
            row.outcome = if row.fault.is_some() { Outcome::Failed } else { Outcome::Cancelled };
            row.fault.get_or_insert(FaultKind::Cancelled);
            told.last = row.outcome;
            let journal = &self.gateway.journal;
            self.gateway.metrics.journalled(journal.begin(row).and_then(|()| journal.end(row)));
        }
        let tally = &self.drill.tally;
        let over = match (told.answered, told.last) {
            (true, _) => &tally.served,
            (false, Outcome::Cancelled) => &tally.left,
            (false, _) => &tally.failed,
        };
        if told.answered && told.degraded {
            tally.degraded.fetch_add(1, Ordering::AcqRel);
        }
        over.fetch_add(1, Ordering::AcqRel);
    }
}
