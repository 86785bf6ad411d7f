//! Who answers how much: requests, tokens and spend by party, and how concentrated that is.

use super::demand::{Demands, facts};
use super::loss::{Loss, Survival};
use super::{Inputs, basis};
use crate::Basis;
use crate::node::Kind;
use ledger::record::Name;
use policy::rules::Criticality;
use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet};

/// Shares of one whole, 0 to 1; `None`: unknown.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize)]
pub struct Shares {
    /// Of answered requests.
    pub requests: Option<f64>,
    /// Of known tokens.
    pub tokens: Option<f64>,
    /// Of known spend.
    pub spend: Option<f64>,
}

/// One party.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Row {
    /// The party; `None`: the rows do not say.
    pub name: Option<Name>,
    /// Answered requests.
    pub requests: u64,
    /// Known tokens.
    pub tokens: u64,
    /// Answered requests without token counts.
    pub uncounted: u64,
    /// Known spend, billionths of a US dollar.
    pub cost_nanodollars: i64,
    /// Answered requests of unknown cost.
    pub unpriced: u64,
    /// Its shares.
    pub shares: Shares,
    /// Critical products that it answers.
    pub critical: BTreeSet<Name>,
    /// What becomes of all requests without it; `None`: nobody knows who it is.
    pub survival: Option<Survival>,
}

/// How concentrated a distribution is.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Concentration {
    /// The Herfindahl-Hirschman index, 0 to 10,000.
    pub hhi: f64,
    /// How many equal parties would be as concentrated.
    pub effective: f64,
    /// Whether the index is an upper bound, because who is unknown was taken to be one party.
    pub at_most: bool,
}

/// All parties of one kind.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Table {
    /// The kind.
    pub by: Kind,
    /// What the shares rest on.
    pub basis: Basis,
    /// The parties, the most requests first.
    pub rows: Vec<Row>,
    /// By requests; `None`: there are none.
    pub requests: Option<Concentration>,
    /// By known tokens.
    pub tokens: Option<Concentration>,
    /// By known spend.
    pub spend: Option<Concentration>,
}

#[derive(Default)]
struct Sum {
    requests: u64,
    tokens: u64,
    uncounted: u64,
    cost: i64,
    unpriced: u64,
    critical: BTreeSet<Name>,
}

pub(super) fn table(kind: Kind, inputs: &Inputs<'_>, demands: &Demands, losses: &[Loss]) -> Table {
    let mut sums: BTreeMap<Option<Name>, Sum> = BTreeMap::new();
    for flow in inputs.flows {
        let party = facts(&flow.key, inputs.fleet).into_iter().find(|(of, _)| *of == kind).map(|(_, name)| name);
        let sum = sums.entry(party).or_default();
        sum.requests += flow.answered;
        sum.tokens = sum.tokens.saturating_add(flow.tokens);
        sum.uncounted += flow.uncounted;
        sum.cost = sum.cost.saturating_add(flow.cost_nanodollars);
        sum.unpriced += flow.unpriced;
        let critical = |name: &&Name| {
            let product = demands.product(Some(name)).map(|at| &demands.products[at]);
            flow.answered > 0 && product.is_some_and(|one| one.criticality == Some(Criticality::Critical))
        };
        sum.critical.extend(flow.key.product.as_ref().filter(critical).cloned());
    }
    let all = sums.values().fold((0_u64, 0_u64, 0_i64), |all, sum| {
        (all.0 + sum.requests, all.1.saturating_add(sum.tokens), all.2.saturating_add(sum.cost))
    });
    let survival = |name: &Name| {
        let mine = |loss: &&Loss| loss.nodes.iter().any(|node| node.kind == kind && node.name == *name);
        losses.iter().find(mine).map(|loss| loss.survival)
    };
    let row = |(name, sum): (Option<Name>, Sum)| Row {
        survival: name.as_ref().and_then(survival),
        shares: Shares {
            requests: share(sum.requests, 0, all.0),
            tokens: share(sum.tokens, sum.uncounted, all.1),
            spend: share(sum.cost.unsigned_abs(), sum.unpriced, all.2.unsigned_abs()),
        },
        name,
        requests: sum.requests,
        tokens: sum.tokens,
        uncounted: sum.uncounted,
        cost_nanodollars: sum.cost,
        unpriced: sum.unpriced,
        critical: sum.critical,
    };
    let mut rows: Vec<Row> = sums.into_iter().map(row).collect();
    rows.sort_by(|a, b| {
        (b.requests, b.cost_nanodollars).cmp(&(a.requests, a.cost_nanodollars)).then(a.name.cmp(&b.name))
    });
    Table {
        by: kind,
        basis: basis(inputs, kind),
        requests: concentration(&rows, |shares| shares.requests),
        tokens: concentration(&rows, |shares| shares.tokens),
        spend: concentration(&rows, |shares| shares.spend),
        rows,
    }
}

/// The share of `known` in `all`; unknown where nothing is known of it and something is missing.
#[expect(clippy::cast_precision_loss, reason = "a share needs no exact counts beyond 2^52")]
fn share(known: u64, missing: u64, all: u64) -> Option<f64> {
    if all == 0 || (known == 0 && missing > 0) { None } else { Some(known as f64 / all as f64) }
}

fn concentration(rows: &[Row], of: fn(&Shares) -> Option<f64>) -> Option<Concentration> {
    let shares = || rows.iter().filter_map(|row| Some((row.name.is_none(), of(&row.shares)?)));
    let hhi: f64 = shares().map(|(_, share)| share * share * 10_000.0).sum();
    let at_most = shares().any(|(unknown, share)| unknown && share > 0.0);
    (hhi > 0.0).then(|| Concentration { hhi, effective: 10_000.0 / hhi, at_most })
}
