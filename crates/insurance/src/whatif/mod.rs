//! What-if: a scenario played over recorded traffic. For every recorded kind of request the plan is asked twice, as
//! things are and as the scenario supposes them; where its choice differs, or whoever answered is gone, the requests
//! move. Every number says what it rests on; a cost elsewhere needs a measured ratio of tokens, else it is unknown.

mod board;
mod cost;
mod figure;
mod scenario;
mod walk;
mod world;

pub use board::{Board, Cell, POLICIES, board};
pub use figure::{Figure, Rests};
pub use scenario::{Addition, BUILTIN, HouseShift, PriceShift, QualityShift, Scenario, ShareShift, TokenShift};

use crate::Day;
use crate::cover::Evidence;
use crate::exposure::Inputs;
use crate::node::{Kind, NoNode};
use crate::register::Register;
use ledger::record::Name;
use policy::Fleet;
use policy::rules::Rules;
use scenario::Names;
use serde::Serialize;
use walk::Walk;
use world::World;

/// The share of assumptions above which the first line speaks of them.
pub const MUCH: f64 = 0.3;

/// Why a scenario cannot be played.
#[derive(Debug, thiserror::Error)]
pub enum WhatIfError {
    /// A text names nothing.
    #[error(transparent)]
    Node(#[from] NoNode),
    /// There is no traffic by which something is the largest.
    #[error("`{0}` is nobody: the window has no traffic that says who; name one, or look further back with `--since`")]
    NoLargest(String),
    /// Something is not in the configuration.
    #[error("the scenario speaks of `{what}`, which is not there; known: {}", .known.join(", "))]
    Unknown {
        /// What.
        what: String,
        /// What is there.
        known: Vec<String>,
    },
    /// A number cannot be.
    #[error("`{field} = {value}` of the scenario cannot be; see `autarky whatif --help` for what may stand there")]
    Number {
        /// Where.
        field: &'static str,
        /// The number.
        value: f64,
    },
    /// The rules as supposed contradict themselves.
    #[error("with the scenario the rules cannot be: {}", .0.join("; "))]
    Rules(Vec<String>),
}

/// What a scenario would do.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct WhatIf {
    /// Its name.
    pub name: String,
    /// What it is about.
    pub about: String,
    /// The day it plays on.
    pub day: Day,
    /// Recorded days.
    pub days: f64,
    /// The largest share of a number of `total` that rests on what the scenario supposes, with the number's name.
    pub assumed: Option<(&'static str, f64)>,
    /// Who cannot be asked, with the reason.
    pub gone: Vec<(Name, String)>,
    /// All products together.
    pub total: Line,
    /// Product by product, the most requests first.
    pub products: Vec<Line>,
    /// Who answers, before and after, the most requests first.
    pub shares: Vec<ShareOf>,
    /// The largest parties before and after.
    pub parties: Vec<PartyShift>,
    /// Moves whose cost is unknown because nobody measured a ratio of tokens: from, to, requests.
    pub unmeasured: Vec<(Name, Name, u64)>,
    /// What the reader should know.
    pub notes: Vec<String>,
}

/// What becomes of a product's requests.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Line {
    /// The product; `None`: the source does not say, or all.
    pub product: Option<Name>,
    /// Its recorded requests.
    pub requests: u64,
    /// Of these, answered by somebody else.
    pub moved: u64,
    /// Of these, answered only by bending a rule.
    pub last_resort: u64,
    /// Of the moved, below the floor: by the plan, or shown to be by a comparison.
    pub below_floor: u64,
    /// Without an answer.
    pub unanswered: u64,
    /// Share of requests that are answered, 0 to 1.
    pub answered: Figure,
    /// Recorded cost, in dollars.
    pub cost_before: Figure,
    /// Cost under the scenario, in dollars.
    pub cost: Figure,
    /// Mean quality of answers today, 0 to 1.
    pub quality_before: Figure,
    /// Mean quality of answers under the scenario.
    pub quality: Figure,
    /// Mean time to the first token today, in seconds.
    pub first_token_before: Figure,
    /// Mean time to the first token under the scenario, in seconds.
    pub first_token: Figure,
}

/// Requests that a deployment answers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ShareOf {
    /// The deployment; `None`: the source does not say, or nobody answers.
    pub deployment: Option<Name>,
    /// Requests today.
    pub before: u64,
    /// Requests under the scenario.
    pub after: u64,
}

/// Who is the largest of a kind, before and after.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct PartyShift {
    /// The kind.
    pub by: Kind,
    /// The largest and its share of requests, today.
    pub before: Option<(Name, f64)>,
    /// The same under the scenario.
    pub after: Option<(Name, f64)>,
    /// The Herfindahl-Hirschman index by requests, 0 to 10,000.
    pub hhi_before: f64,
    /// The same under the scenario.
    pub hhi_after: f64,
}

/// Plays `scenario` with today's rules.
///
/// # Errors
/// The scenario names what is not there or a number that cannot be.
pub fn whatif(
    inputs: &Inputs<'_>,
    fleet: &Fleet,
    evidence: &Evidence,
    scenario: &Scenario,
) -> Result<WhatIf, WhatIfError> {
    played(inputs, fleet, evidence, scenario, |_| ())
}

/// What the rules and deployments of `other` would do with the recorded traffic of `fleet`. `register` is the one of
/// `other`; `name` is what the report calls it.
///
/// # Errors
/// The two cannot be laid side by side: a name that stands for a deployment in one of them stands for something else in
/// the other.
pub fn diff(
    inputs: &Inputs<'_>,
    fleet: &Fleet,
    (name, other, register): (&str, &Fleet, &Register),
    evidence: &Evidence,
) -> Result<WhatIf, WhatIfError> {
    let today = World::today(fleet, inputs, |_| ())?;
    let then = World::other(fleet, other, &Inputs { register, ..*inputs })?;
    let about = format!("its rules and deployments, on what was recorded under version {:012x}", fleet.version() >> 16);
    let scenario = Scenario { name: name.to_owned(), about, ..Scenario::default() };
    let mut walk = Walk::new(inputs, evidence, &scenario, (&today, &then));
    walk.all();
    Ok(walk.result())
}

/// Plays `scenario` with `change` made to every product's rules.
fn played(
    inputs: &Inputs<'_>,
    fleet: &Fleet,
    evidence: &Evidence,
    scenario: &Scenario,
    change: impl Fn(&mut Rules),
) -> Result<WhatIf, WhatIfError> {
    let names = Names::new(inputs.flows, fleet);
    let today = World::today(fleet, inputs, |_| ())?;
    let then = World::supposed(fleet, inputs, scenario, &names, change)?;
    let mut walk = Walk::new(inputs, evidence, scenario, (&today, &then));
    walk.all();
    Ok(walk.result())
}
