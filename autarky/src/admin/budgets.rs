//! Limits and budgets of products, teams and keys, and how much of each is used now: from memory, not from the ledger.

use super::{Admin, Nothing, Operation, Problem};
use gateway::clock;
use gateway::run::live::Standing;
use http::Method;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Limits and budgets.
pub(super) struct Budgets;

/// Whose.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Which {
    /// Only this product's, its teams' and its keys'.
    product: Option<String>,
}

/// Limits and budgets.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "Budgets")]
pub(super) struct Told {
    /// Each product followed by its teams, then the keys that have limits of their own.
    levels: Vec<Standing>,
}

impl Operation for Budgets {
    type Params = Which;
    type Body = Nothing;
    type Answer = Told;
    const METHOD: Method = Method::GET;
    const PATH: &'static str = "/admin/budgets";
    const NAME: &'static str = "budgets";
    const SUMMARY: &'static str = "Limits and budgets of products, teams and keys, and how much of each is used now.";

    fn run(admin: &Admin, which: Which, _: Nothing) -> Result<Told, Problem> {
        let mut levels = admin.gateway.setup().live.standings(admin.gateway.clock.tick(), clock::wall());
        levels.retain(|level| which.product.as_deref().is_none_or(|product| level.product == product));
        Ok(Told { levels })
    }
}
