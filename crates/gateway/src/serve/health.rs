//! `GET /admin/health`: every breaker with its reason. It names providers and repeats what they said, so on the port for
//! clients it is answered to this machine itself only; the admin API has a door of its own.

use crate::load::LoadReport;
use crate::run::live::Breakers;
use crate::setup::Gateway;
use canon::{Fault, FaultKind};
use serde::Serialize;
use serde_json::Value;
use std::net::SocketAddr;

/// How the process is.
#[derive(Serialize)]
struct Health {
    #[serde(flatten)]
    breakers: Breakers,
    load: LoadReport,
}

/// How much there is to do, and what every breaker is doing now.
///
/// # Errors
/// When `peer` is another machine.
pub(super) fn breakers(gateway: &Gateway, peer: SocketAddr) -> Result<Value, Fault> {
    if !peer.ip().to_canonical().is_loopback() {
        let message = "`/admin/health` is answered on loopback only: ask on the machine itself, or run `autarky health` \
                       there";
        return Err(Fault::client(FaultKind::Forbidden, message));
    }
    let setup = gateway.setup();
    let breakers = setup.live.breakers(&setup.fleet, gateway.clock.tick());
    let told = Health { breakers, load: LoadReport::of(gateway) };
    serde_json::to_value(told).map_err(|error| Fault::gateway(FaultKind::Internal, error.to_string()))
}
