//! One call under way: leave of every breaker concerned, a place within the limits, money set aside. All of it is given
//! back when the call ends, whichever way it ends; dropped without a word it says nothing about the deployment.

use super::Line;
use super::levels::{Levels, Reserved, Spent};
use super::one::tokens_of;
use super::product::ProductLive;
use super::warm::Caching;
use crate::clock::{self, Clock};
use crate::upstream::Timing;
use canon::{Facets, Fault, Peek, Usage};
use policy::breaker::{Level, Outcome, Ticket, verdict};
use policy::budget::Book;
use policy::limit::{Full, Place};
use policy::{Counts, Leg, NanoUsd, Product, Tariff, Tick, Wall};
use smallvec::SmallVec;
use std::sync::Arc;
use std::sync::atomic::Ordering;

/// Why a call may not be made now.
#[derive(Debug)]
pub(crate) enum NotNow {
    /// A breaker is open, or its one probe is under way.
    Breaker,
    /// A limit of the deployment is reached.
    Full(Full),
    /// A budget does not cover it.
    Budget(Spent),
}

/// One call under way.
pub(crate) struct Flight {
    line: Line,
    product: Arc<ProductLive>,
    caps: SmallVec<[usize; 2]>,
    tickets: Tickets,
    place: Option<Place>,
    tokens: u64,
    money: Option<Reserved>,
    tariff: Arc<Tariff>,
    /// When it was asked for, which sets its price.
    asked: Wall,
    clock: Clock,
    begun: Tick,
    /// Whether the answer has begun.
    answers: bool,
    /// What to tell when its prompt was cached.
    caching: Option<Caching>,
}

/// Leave of every breaker concerned.
#[derive(Default)]
struct Tickets {
    one: Option<Ticket>,
    account: Option<Ticket>,
    parties: SmallVec<[Option<Ticket>; 2]>,
}

impl Flight {
    /// Takes everything that a call needs, or nothing. `force`: the last resort, when everyone is held to be down.
    pub(super) fn begin(
        (line, live): (&Line, &Arc<ProductLive>),
        (product, levels, book): (&Product, &Levels, &Arc<Book>),
        (leg, tariff): (&Leg, &Arc<Tariff>),
        facets: &Facets,
        force: bool,
        clock: Clock,
    ) -> Result<Self, NotNow> {
        let now = clock.tick();
        let tokens = tokens_of(facets);
        let place = line.one.gate.enter(tokens, now).map_err(NotNow::Full)?;
        let mut flight = Self {
            line: line.clone(),
            product: Arc::clone(live),
            caps: product.caps_of(leg.deployment).collect(),
            tickets: Tickets::default(),
            place,
            tokens,
            money: None,
            tariff: Arc::clone(tariff),
            asked: clock::wall(),
            clock,
            begun: now,
            answers: false,
            caching: None,
        };
        line.one.under_way.fetch_add(1, Ordering::Relaxed);
        // From here on a drop gives everything back.
        flight.money = levels.reserve(book, leg.worst, flight.asked).map_err(NotNow::Budget)?;
        flight.tickets.one = line.one.guard.admit(now, force).ok_or(NotNow::Breaker)?;
        flight.tickets.account = line.account.admit(now, force).ok_or(NotNow::Breaker)?;
        for party in &line.parties {
            flight.tickets.parties.push(party.guard.admit(now, force).ok_or(NotNow::Breaker)?);
        }
        Ok(flight)
    }

    /// The answer has begun. A probe has shown enough; everyone else is judged by the answer's end.
    pub(crate) fn answered(&mut self, timing: &Timing, peek: &Peek) {
        let now = self.clock.tick();
        self.answers = true;
        let first = timing.first_token.unwrap_or_else(|| now.since(self.begun));
        self.line.one.measured(first, &peek.facets, peek.stream);
        self.product.count_share(&self.caps);
        let tickets = std::mem::take(&mut self.tickets);
        let early = |ticket: Option<Ticket>, guard: &super::guard::Guard| match ticket {
            Some(probe) if probe.probe() => {
                guard.settle(Some(probe), Outcome::Success, now);
                None
            }
            other => other,
        };
        self.tickets.one = early(tickets.one, &self.line.one.guard);
        self.tickets.account = early(tickets.account, &self.line.account);
        let parties = tickets.parties.into_iter().zip(&self.line.parties);
        self.tickets.parties = parties.map(|(ticket, party)| early(ticket, &party.guard)).collect();
    }

    /// Its prompt may be cached.
    pub(crate) fn caches(&mut self, caching: Option<Caching>) {
        self.caching = caching;
    }

    /// The answer is complete.
    pub(crate) fn complete(mut self, usage: &Usage) {
        if let Some(caching) = &self.caching {
            caching.told(usage, self.clock.tick());
        }
        self.product.answered();
        self.settle((Outcome::Success, Outcome::Success), Some(usage));
    }

    /// The call failed, before or after the answer had begun; `usage` is what it is taken to have used.
    pub(crate) fn failed(mut self, fault: &Fault, usage: Option<&Usage>) {
        let now = self.clock.tick();
        let (level, outcome) = verdict(fault);
        let outcomes = match level {
            Level::Deployment => (outcome, Outcome::Neutral),
            Level::Account => (Outcome::Neutral, outcome),
        };
        if matches!(outcome, Outcome::Failure { .. }) {
            match level {
                Level::Deployment => self.line.one.guard.note(fault, now),
                Level::Account => self.line.account.note(fault, now),
            }
            for party in &self.line.parties {
                party.guard.note(fault, now);
            }
        }
        self.settle(outcomes, usage);
    }

    /// The call was given up, which says nothing about the deployment; `usage` as above.
    pub(crate) fn given_up(mut self, usage: Option<&Usage>) {
        self.settle((Outcome::Neutral, Outcome::Neutral), usage);
    }

    fn settle(&mut self, (one, account): (Outcome, Outcome), usage: Option<&Usage>) {
        let now = self.clock.tick();
        let tickets = std::mem::take(&mut self.tickets);
        self.line.one.guard.settle(tickets.one, one, now);
        self.line.account.settle(tickets.account, account, now);
        let mut tickets = tickets.parties.into_iter();
        for (party, known_as) in self.line.parties.iter().zip(&self.line.known_as) {
            // A party answers for its deployments together: one alone that fails says nothing about it, but for
            // whoever is its probe.
            let ticket = tickets.next().flatten();
            let said = match one {
                Outcome::Failure { .. } if !ticket.is_some_and(Ticket::probe) => Outcome::Neutral,
                said => said,
            };
            party.guard.settle(ticket, said, now);
            party.heard(*known_as, one, now);
        }
        self.pay(usage);
    }

    /// Settles what the call cost, by the same counts as its row in the ledger. Whoever refused it or was never reached
    /// charges nothing.
    fn pay(&mut self, usage: Option<&Usage>) {
        let counts = usage.and_then(Counts::at_least);
        let class = usage.and_then(|usage| usage.service_tier.as_deref());
        let spent = counts.map_or(NanoUsd::ZERO, |counts| self.tariff.cost(self.asked, &counts, class));
        if let Some(commitment) = &self.line.commitment {
            commitment.spend(spent, clock::wall());
        }
        if let Some(money) = self.money.take() {
            money.settle(spent, clock::wall());
        }
        let used = counts.map(|counts| counts.input.saturating_add(counts.output));
        self.line.one.gate.leave(self.place.take(), used.or((!self.answers).then_some(0)), self.tokens);
    }
}

impl Drop for Flight {
    fn drop(&mut self) {
        self.line.one.under_way.fetch_sub(1, Ordering::Relaxed);
        if self.place.is_some() || self.money.is_some() || self.tickets.any() {
            self.settle((Outcome::Neutral, Outcome::Neutral), None);
        }
    }
}

impl Tickets {
    fn any(&self) -> bool {
        self.one.is_some() || self.account.is_some() || self.parties.iter().any(Option::is_some)
    }
}
