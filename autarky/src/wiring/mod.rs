//! Wiring: the only place that knows every concrete type. A checked configuration becomes a running setup here.

pub(crate) mod capacity;
pub(crate) mod handover;
pub(crate) mod house;
pub(crate) mod keys;
pub(crate) mod ledger;
pub(crate) mod money;
pub(crate) mod reload;
pub(crate) mod state;
pub(crate) mod successor;

use crate::config::file::{LedgerFile, ServerFile};
use crate::config::{Checked, UnitSpec, paths};
use ::ledger::Name;
use gateway::setup::{Permits, SeriesTable, ServeLimits, Setup, Unit};
use gateway::tap::Facts;
use gateway::upstream::Backend;
use gateway::upstream::remote::{Remote, RemoteError};
use gateway::upstream::transport::Transport;
use house::{HouseBackend, HouseUnit};
use policy::rules::Timeouts;
use policy::shed::Rooms;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;

/// What lives as long as the process and every configuration uses.
pub(crate) struct Parts {
    /// Connections to providers.
    pub(crate) transport: Transport,
    /// The model inside.
    pub(crate) house: Arc<HouseBackend>,
    /// How long the ledger remembers, as the configuration in force says.
    pub(crate) kept: watch::Sender<LedgerFile>,
}

impl Parts {
    /// The parts for a process.
    pub(crate) fn new(house: HouseBackend) -> Self {
        Self {
            transport: Transport::new(Timeouts::MOST_CONNECT),
            house: Arc::new(house),
            kept: watch::Sender::default(),
        }
    }
}

/// Builds what `checked` describes. `before` is the setup it replaces; what is known of deployments that stay is kept.
///
/// # Errors
/// When a deployment's address or key cannot be used.
pub(crate) fn setup(checked: Checked, parts: &Parts, before: Option<&Setup>) -> Result<Setup, RemoteError> {
    let Checked { server, ledger, state, fleet, units: specs, version, .. } = checked;
    let mut units = Vec::with_capacity(specs.len());
    for (deployment, spec) in fleet.deployments().iter().zip(specs) {
        let backend: Arc<dyn Backend> = match spec {
            UnitSpec::House { model } => Arc::new(HouseUnit::new(&parts.house, model)),
            UnitSpec::Remote(config) => Arc::new(Remote::new(*config, parts.transport.clone())?),
        };
        let protocol = backend.protocol().map(|protocol| protocol.id().name());
        let facts = Facts::of(deployment, protocol);
        units.push(Unit { backend, facts });
    }
    parts.kept.send_replace(ledger);
    let live = gateway::run::live::LiveView::new(&fleet, before.map(|setup| (&*setup.fleet, &*setup.live)));
    Ok(Setup {
        series: SeriesTable::new(fleet.products().len(), fleet.deployments().len()),
        products: fleet.products().iter().map(|product| Name::from(product.name())).collect(),
        policy_version: Name::from(version.as_str()),
        live: Arc::new(live),
        limits: ServeLimits {
            body_bytes: server.body_mib.saturating_mul(1024 * 1024),
            rooms: Rooms::new(
                server.in_flight.unwrap_or_else(capacity::requests),
                fleet.products().iter().map(|product| product.rules().criticality),
            ),
            late: Duration::from_millis(server.late_ms),
            ..ServeLimits::default()
        },
        turns_days: state.retention_days,
        permits: Permits::default(),
        units,
        fleet,
    })
}

/// The folder of the ledger and the keys.
pub(crate) fn data_folder(server: &ServerFile) -> PathBuf {
    server.data.clone().unwrap_or_else(paths::default_data)
}

/// The ledger's database.
pub(crate) fn database(data: &Path) -> PathBuf {
    data.join("ledger.db")
}

/// The file from which the secrets for AWS's clients are derived.
pub(crate) fn aws_seed(data: &Path) -> PathBuf {
    data.join("aws.seed")
}

/// The ledger's journal.
pub(crate) fn journal(data: &Path) -> PathBuf {
    data.join("journal")
}
