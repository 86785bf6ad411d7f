//! The configuration as meant: every name looked up, every default filled in. What wiring builds from.

use super::file::{HouseFile, ServerFile};
use super::place::Problem;
use canon::wire::{Protocol, Target};
use gateway::upstream::auth::{Scheme, Secret};
use http::{HeaderName, HeaderValue};
use policy::Fleet;
use std::sync::Arc;

/// A configuration without errors.
pub(crate) struct Checked {
    /// The process.
    pub(crate) server: ServerFile,
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
    Remote {
        /// The wire.
        protocol: &'static dyn Protocol,
        /// Base URL.
        base_url: String,
        /// Model and deviations.
        target: Target,
        /// How it knows us.
        scheme: &'static dyn Scheme,
        /// The key.
        secret: Secret,
        /// Headers of the row.
        headers: Vec<(HeaderName, HeaderValue)>,
    },
}
