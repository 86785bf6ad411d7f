//! The configuration as meant: every name looked up, every default filled in. What wiring builds from.

use super::file::{AdminFile, HouseFile, LedgerFile, ServerFile, StateFile};
use super::place::Problem;
use gateway::upstream::remote::RemoteConfig;
use policy::Fleet;
use std::sync::Arc;

/// A configuration without errors.
pub(crate) struct Checked {
    /// The process.
    pub(crate) server: ServerFile,
    /// The admin API.
    pub(crate) admin: AdminFile,
    /// How long the ledger remembers.
    pub(crate) ledger: LedgerFile,
    /// Kept turns.
    pub(crate) state: StateFile,
    /// The model inside.
    pub(crate) house: HouseFile,
    /// Deployments and products.
    pub(crate) fleet: Arc<Fleet>,
    /// How to reach each deployment, by `DeploymentIx`.
    pub(crate) units: Vec<UnitSpec>,
    /// A short hash of the text: the version of the rules in every ledger row.
    pub(crate) version: String,
    /// What is probably not meant.
    pub(crate) warnings: Vec<Problem>,
}

/// How to reach a deployment.
pub(crate) enum UnitSpec {
    /// The model inside, under the name that clients see.
    House {
        /// The name.
        model: String,
    },
    /// A provider behind HTTP.
    Remote(Box<RemoteConfig>),
}
