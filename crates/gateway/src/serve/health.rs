//! `GET /admin/health`: every breaker with its reason. It names providers and repeats what they said, so it is answered
//! to this machine itself only.

use crate::clock;
use crate::run::live::BreakerState;
use crate::setup::Gateway;
use canon::{Fault, FaultKind};
use serde_json::{Value, json};
use std::net::SocketAddr;

/// What every breaker is doing now.
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
    let states = setup.live.breakers(&setup.fleet, gateway.clock.tick());
    let closed = states.iter().all(|state| state.state == "closed");
    Ok(json!({"closed": closed, "breakers": states.iter().map(told).collect::<Vec<_>>()}))
}

fn told(state: &BreakerState) -> Value {
    let millis = |duration| clock::micros(duration) / 1_000;
    json!({
        "of": state.what.name(),
        "name": state.name,
        "state": state.state,
        "cause": state.cause,
        "wait_ms": state.wait.map(millis),
        "share": state.share,
        "opened": state.opened,
        "last_fault": state.last.as_ref().map(|(last, ago)| json!({
            "kind": last.kind.name(),
            "message": last.message,
            "ago_ms": millis(*ago),
        })),
    })
}
