//! The board: every scenario under several policies. Which policy is best in each, and what today's costs against it.

use super::{Scenario, WhatIfError, played};
use crate::cover::Evidence;
use crate::exposure::Inputs;
use policy::Fleet;
use policy::rules::{LastResort, Prefer, Rules, Substitute};
use serde::Serialize;

type Change = fn(&mut Rules);

/// The policies compared: name, what it changes in every product's rules.
pub const POLICIES: [(&str, &str, Change); 4] = [
    ("today", "the rules as they are", |_| ()),
    ("cheapest", "prefer = \"cost\", any allowed model may answer", |rules| {
        rules.prefer = Prefer::COST;
        rules.substitute = Substitute::Free;
    }),
    ("best", "prefer = \"quality\", any allowed model may answer", |rules| {
        rules.prefer = Prefer::QUALITY;
        rules.substitute = Substitute::Free;
    }),
    ("open", "rules as they are, but substitutes and every last resort allowed", |rules| {
        if rules.substitute == Substitute::Never {
            rules.substitute = Substitute::OnLoss;
        }
        rules.last_resort = LastResort::ALL.to_vec();
    }),
];

/// One policy in one scenario.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Cell {
    /// The policy.
    pub policy: &'static str,
    /// Share of requests answered, 0 to 1.
    pub answered: Option<f64>,
    /// Dollars in the window; `None` where some of it is unknown.
    pub cost: Option<f64>,
    /// Mean quality, 0 to 1; `None` where some of it is unknown.
    pub quality: Option<f64>,
}

/// One scenario under every policy.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Board {
    /// The scenario.
    pub scenario: String,
    /// What it is about.
    pub about: String,
    /// The policies, in the order of `POLICIES`.
    pub cells: Vec<Cell>,
    /// The place of the best: most answered, then (within a point) the best quality, then the lowest cost. What is
    /// unknown wins nothing.
    pub best: usize,
    /// What today's policy answers less than the best, in shares of requests.
    pub regret_answered: f64,
    /// What it costs more, in dollars; `None`: unknown.
    pub regret_cost: Option<f64>,
    /// What its answers are worth less; `None`: unknown.
    pub regret_quality: Option<f64>,
}

/// Differences below this share decide nothing.
const ALIKE: f64 = 0.01;

/// Plays every scenario under every policy.
///
/// # Errors
/// As `whatif`, for the first scenario that cannot be played.
pub fn board(
    inputs: &Inputs<'_>,
    fleet: &Fleet,
    evidence: &Evidence,
    scenarios: &[Scenario],
) -> Result<Vec<Board>, WhatIfError> {
    scenarios.iter().map(|scenario| one(inputs, fleet, evidence, scenario)).collect()
}

fn one(inputs: &Inputs<'_>, fleet: &Fleet, evidence: &Evidence, scenario: &Scenario) -> Result<Board, WhatIfError> {
    let cell = |(policy, _, change): (&'static str, &str, Change)| {
        let total = played(inputs, fleet, evidence, scenario, change)?.total;
        Ok(Cell {
            policy,
            answered: total.answered.value,
            cost: total.cost.value.filter(|_| !total.cost.partial()),
            quality: total.quality.value.filter(|_| !total.quality.partial()),
        })
    };
    let cells = POLICIES.into_iter().map(cell).collect::<Result<Vec<Cell>, WhatIfError>>()?;
    let best = (1..cells.len()).fold(0, |best, at| if beats(&cells[at], &cells[best]) { at } else { best });
    let (today, top) = (&cells[0], &cells[best]);
    let less = |of: fn(&Cell) -> Option<f64>| Some(of(top)? - of(today)?);
    Ok(Board {
        scenario: scenario.name.clone(),
        about: scenario.about.clone(),
        best,
        regret_answered: less(|cell| cell.answered).unwrap_or(0.0),
        regret_cost: less(|cell| cell.cost).map(|less| -less),
        regret_quality: less(|cell| cell.quality),
        cells,
    })
}

fn beats(one: &Cell, other: &Cell) -> bool {
    let answered = one.answered.unwrap_or(0.0) - other.answered.unwrap_or(0.0);
    if answered.abs() > ALIKE / 10.0 {
        return answered > 0.0;
    }
    if let Some(better) = one.quality.zip(other.quality).map(|(one, other)| one - other)
        && better.abs() > ALIKE
    {
        return better > 0.0;
    }
    one.cost.zip(other.cost).is_some_and(|(one, other)| one < other * (1.0 - ALIKE))
}
