//! The exposure report: how much depends on whom, what would be left without them, what ends when. The shares are
//! recorded; what a loss would do follows from asking the plan again without what is lost.

pub(crate) mod answers;
mod calendar;
pub(crate) mod demand;
mod exit;
mod loss;
mod share;
mod state;

pub use calendar::{End, Ending};
pub use exit::{Exit, Part};
pub use loss::{Level, Loss, Pair, SinglePoint, Survival};
pub use share::{Concentration, Row, Shares, Table};
pub use state::{House, HouseShare, State};

use crate::drill::Proof;
use crate::node::{Kind, Node};
use crate::{Basis, Cover, Day, Register};
use demand::Demands;
use ledger::flow::Flow;
use policy::Fleet;
use policy::rules::Criticality;
use serde::Serialize;

/// All that a report depends on.
#[derive(Debug, Clone, Copy)]
pub struct Inputs<'a> {
    /// What happened.
    pub flows: &'a [Flow],
    /// Who the parties are.
    pub register: &'a Register,
    /// Products and deployments; `None`: the traffic is foreign and no rules are known.
    pub fleet: Option<&'a Fleet>,
    /// What is proven.
    pub covers: &'a [Cover],
    /// What live drills showed.
    pub drills: &'a [Proof],
    /// The day on which the question is asked; contracts and models that have ended by then are gone.
    pub day: Day,
    /// How many instances of this program the traffic went through; `None`: it did not pass us.
    pub instances: Option<u32>,
    /// Facts that were inferred from names rather than recorded.
    pub inferred: &'a [Kind],
    /// What the reader should know about the source.
    pub notes: &'a [String],
}

/// The report.
#[derive(Debug, Clone, Serialize)]
pub struct Exposure {
    /// The day of the question.
    pub day: Day,
    /// What was looked at.
    pub window: Window,
    /// Shares by party, one table per kind.
    pub tables: Vec<Table>,
    /// Products that have no answer without one thing.
    pub single_points: Vec<SinglePoint>,
    /// Products that have no answer without two things, though they have one without either.
    pub pairs: Vec<Pair>,
    /// What ends when, the soonest first.
    pub calendar: Vec<Ending>,
    /// Deployments whose end nobody knows.
    pub undated: Vec<String>,
    /// What ties each product to its providers.
    pub state: Vec<State>,
    /// How long it takes to leave each maker and host.
    pub exits: Vec<Exit>,
    /// What our own models do.
    pub house: House,
    /// What the reader should know.
    pub notes: Vec<String>,
}

/// What was looked at.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Window {
    /// When the first attempt began, Unix microseconds; `None`: there is none.
    pub first: Option<i64>,
    /// When the last attempt began, Unix microseconds.
    pub last: Option<i64>,
    /// Answered requests.
    pub requests: u64,
    /// Attempts, failed ones included.
    pub attempts: u64,
    /// Known tokens.
    pub tokens: u64,
    /// Answered requests without token counts.
    pub uncounted: u64,
    /// Known spend, billionths of a US dollar.
    pub cost_nanodollars: i64,
    /// Answered requests of unknown cost.
    pub unpriced: u64,
    /// Products.
    pub products: usize,
    /// Of these, critical ones.
    pub critical: usize,
}

impl Window {
    /// Days from the first to the last attempt, at least one.
    #[must_use]
    #[expect(clippy::cast_precision_loss, reason = "a rate needs no exact microseconds")]
    pub fn days(&self) -> f64 {
        const DAY: f64 = 86_400e6;
        let span = self.first.zip(self.last).map_or(0, |(first, last)| last.saturating_sub(first));
        (span as f64 / DAY).max(1.0)
    }
}

/// The report on `inputs`.
#[must_use]
pub fn exposure(inputs: &Inputs<'_>) -> Exposure {
    let demands = Demands::of(inputs);
    let losses = loss::losses(&demands);
    let window = window(inputs, &demands);
    let tables = Kind::SHARED.map(|kind| share::table(kind, inputs, &demands, &losses)).to_vec();
    Exposure {
        day: inputs.day,
        single_points: loss::single_points(&demands, &losses),
        pairs: loss::pairs(&demands, &losses),
        calendar: calendar::endings(inputs, &demands),
        undated: inputs.register.undated.iter().map(ToString::to_string).collect(),
        state: state::states(inputs, &demands),
        exits: exit::exits(inputs, &window, &tables),
        house: state::house(inputs),
        notes: notes(inputs, &demands),
        tables,
        window,
    }
}

/// What losing `node` alone would do; `None`: nothing known depends on it.
#[must_use]
pub fn survival(inputs: &Inputs<'_>, node: &Node) -> Option<Survival> {
    let demands = Demands::of(inputs);
    let place = demands.graph.place(node)?;
    Some(loss::total(&demands, &[place]))
}

fn window(inputs: &Inputs<'_>, demands: &Demands) -> Window {
    let flows = inputs.flows;
    let sum = |count: fn(&Flow) -> u64| flows.iter().map(count).fold(0, u64::saturating_add);
    Window {
        first: flows.iter().map(|flow| flow.first).min(),
        last: flows.iter().map(|flow| flow.last).max(),
        requests: sum(|flow| flow.answered),
        attempts: sum(|flow| flow.attempts),
        tokens: sum(|flow| flow.tokens),
        uncounted: sum(|flow| flow.uncounted),
        cost_nanodollars: flows.iter().map(|flow| flow.cost_nanodollars).fold(0, i64::saturating_add),
        unpriced: sum(|flow| flow.unpriced),
        products: demands.products.len(),
        critical: demands.products.iter().filter(|product| product.criticality == Some(Criticality::Critical)).count(),
    }
}

fn notes(inputs: &Inputs<'_>, demands: &Demands) -> Vec<String> {
    let mut notes = inputs.notes.to_vec();
    if inputs.covers.is_empty() && inputs.fleet.is_some() {
        notes.push("no cover exists: every replacement below is configured, none is proven".to_owned());
    }
    if demands.unruled > 0 {
        notes.push(format!(
            "{} requests are of products without rules here: what a loss would do to them is unknown",
            demands.unruled
        ));
    }
    if inputs.fleet.is_some() {
        notes.push(
            "what requests need is taken from their products' needs, their size and what candidates were dropped for; \
             keys' own lists, limits, budgets and share caps are not looked at"
                .to_owned(),
        );
    }
    notes
}

/// The basis of a table by `kind`.
fn basis(inputs: &Inputs<'_>, kind: Kind) -> Basis {
    if inputs.inferred.contains(&kind) { Basis::Estimate } else { Basis::Ledger }
}
