//! How long it takes to leave a party: the longest of its parts. Parts that nobody measured stay unknown and make the
//! whole a lower bound.

use super::{Inputs, Table, Window};
use crate::node::{Kind, Node};
use crate::{Basis, Verdict};
use policy::Fleet;
use serde::Serialize;

/// One part of an exit.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Part {
    /// What must be done.
    pub name: &'static str,
    /// How long it takes, in days; `None`: unknown.
    pub days: Option<f64>,
    /// What that rests on.
    pub basis: Basis,
    /// How it was found, or what would make it known.
    pub how: String,
}

/// How long it takes to leave a party.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Exit {
    /// The party.
    pub node: Node,
    /// The longest known part, in days; `None`: none is known.
    pub days: Option<f64>,
    /// Whether the exit may take longer, because a part is unknown.
    pub at_least: bool,
    /// The parts.
    pub parts: Vec<Part>,
}

/// The exits from every maker and host that answers anything, the largest first.
pub(super) fn exits(inputs: &Inputs<'_>, window: &Window, tables: &[Table]) -> Vec<Exit> {
    let Some(fleet) = inputs.fleet else { return Vec::new() };
    let mut exits = Vec::new();
    for table in tables.iter().filter(|table| matches!(table.by, Kind::Maker | Kind::Host)) {
        for row in table.rows.iter().filter(|row| row.requests > 0) {
            if let Some(name) = row.name.as_ref().filter(|name| &***name != crate::node::OWN) {
                exits.push(exit(inputs, fleet, window, Node { kind: table.by, name: name.clone() }));
            }
        }
    }
    exits
}

fn exit(inputs: &Inputs<'_>, fleet: &Fleet, window: &Window, node: Node) -> Exit {
    let unknown = |name, how: &str| Part { name, days: None, basis: Basis::Assumed, how: how.to_owned() };
    let parts = vec![
        notice(inputs, &node),
        evidence(inputs, fleet, window, &node),
        traffic(inputs, &node),
        unknown("capacity", "the limits of what would take over are not compared with the load"),
        state(inputs, &node),
    ];
    let days = parts.iter().filter_map(|part| part.days).reduce(f64::max);
    Exit { node, days, at_least: parts.iter().any(|part| part.days.is_none()), parts }
}

/// How long live traffic took to move, as the last live drill of this very loss measured it.
#[expect(clippy::cast_precision_loss, reason = "days need no exact microseconds")]
fn traffic(inputs: &Inputs<'_>, node: &Node) -> Part {
    let drilled = inputs.drills.iter().filter(|proof| proof.target == *node).max_by_key(|proof| proof.day);
    let (days, basis, how) = match drilled {
        None => (None, Basis::Assumed, "a live drill would measure it: `autarky drill`".to_owned()),
        Some(proof) => match proof.settled_us {
            None => (None, Basis::Ledger, format!("drilled on {}, and it did not settle", proof.day)),
            Some(micros) => {
                let seconds = micros as f64 / 1e6;
                (Some(seconds / 86_400.0), Basis::Ledger, format!("drilled on {}: {seconds:.1} s", proof.day))
            }
        },
    };
    Part { name: "traffic", days, basis, how }
}

/// How long contracts bind.
fn notice(inputs: &Inputs<'_>, node: &Node) -> Part {
    let register = inputs.register;
    let bound = register.deployments.iter().filter(|entry| !entry.house);
    let concerned = bound.filter(|entry| match node.kind {
        Kind::Maker => entry.maker.as_ref() == Some(&node.name),
        _ => entry.host.as_ref() == Some(&node.name),
    });
    let (mut days, mut missing) = (Some(0), 0);
    for entry in concerned {
        let contract = entry.contract.as_ref();
        let contract = contract.and_then(|name| register.contracts.iter().find(|one| one.name == *name));
        match contract.and_then(|contract| contract.notice_days) {
            Some(notice) => days = days.max(Some(notice)),
            None => missing += 1,
        }
    }
    let how = if missing > 0 {
        format!("{missing} deployments without a contract whose notice is known: write `contract` and `notice_days`")
    } else {
        "the longest notice of its contracts; what runs at home needs none".to_owned()
    };
    // a notice that is missing could be the longest
    let days = days.filter(|_| missing == 0).map(f64::from);
    Part { name: "notice", days, basis: Basis::Assumed, how }
}

/// How long it takes to prove replacements, were every request compared.
#[expect(clippy::cast_precision_loss, reason = "a rate needs no exact counts beyond 2^52")]
fn evidence(inputs: &Inputs<'_>, fleet: &Fleet, window: &Window, node: &Node) -> Part {
    const MARGIN: f64 = 0.05;
    // Of pairs of answers, the part in which one is right and the other wrong; seen from 4 % to 10 % on recorded data.
    const DISCORDANT: f64 = 0.10;
    // One-sided 5 %, power 80 %, for differences of paired outcomes: (1.645 + 0.842)².
    const Z_SQUARED: f64 = 6.185;
    let mut days: f64 = 0.0;
    for product in fleet.products() {
        let margin = product.rules().floor.as_ref().map_or(MARGIN, |floor| floor.margin).max(0.001);
        let mut classes: std::collections::BTreeMap<Option<&str>, u64> = std::collections::BTreeMap::new();
        for flow in inputs.flows.iter().filter(|flow| flow.key.product.as_deref() == Some(product.name())) {
            let party = match node.kind {
                Kind::Maker => &flow.key.maker,
                _ => &flow.key.host,
            };
            let proven = |cover: &crate::Cover| {
                Some(&cover.from) == flow.key.deployment.as_ref()
                    && *cover.product == *product.name()
                    && cover.class.as_ref().is_none_or(|class| Some(class) == flow.key.class.as_ref())
                    && cover.verdict == Verdict::Covered
                    && inputs.day <= cover.expires
            };
            if party.as_ref() == Some(&node.name) && flow.answered > 0 && !inputs.covers.iter().any(proven) {
                *classes.entry(flow.key.class.as_deref()).or_default() += flow.answered;
            }
        }
        let pairs = Z_SQUARED * DISCORDANT / (margin * margin);
        days = classes.values().map(|count| pairs / (*count as f64 / window.days())).fold(days, f64::max);
    }
    let how =
        "the slowest task's missing pairs at its rate, were every request compared; 10 % of pairs differ".to_owned();
    Part { name: "evidence", days: Some(days), basis: Basis::Estimate, how }
}

/// How long it takes to take state home.
fn state(inputs: &Inputs<'_>, node: &Node) -> Part {
    use ledger::record::Portability;
    let party = |flow: &ledger::Flow| match node.kind {
        Kind::Maker => flow.key.maker.as_ref() == Some(&node.name),
        _ => flow.key.host.as_ref() == Some(&node.name),
    };
    let mine = || inputs.flows.iter().filter(|flow| party(flow));
    let locked: u64 =
        mine().filter(|flow| flow.key.portability == Some(Portability::Locked)).map(|flow| flow.answered).sum();
    let ungraded: u64 = mine().filter(|flow| flow.key.portability.is_none()).map(|flow| flow.answered).sum();
    let (days, how) = match (locked, ungraded) {
        (0, 0) => (Some(0.0), "no recorded request leans on state kept there".to_owned()),
        (0, _) => (None, format!("{ungraded} requests without a portability grade")),
        _ => (None, format!("{locked} requests lean on state kept there; nobody estimated how long it takes to move")),
    };
    Part { name: "state", days, basis: Basis::Ledger, how }
}
