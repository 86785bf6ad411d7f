//! Every breaker as an operator sees it: of what, in which state, since which fault.

use super::guard::{Guard, LastFault};
use super::{LiveView, account_of, parties_of};
use policy::breaker::{Cause, Health};
use policy::{Fleet, Tick};
use std::collections::BTreeSet;
use std::time::Duration;

/// Of what a breaker is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum What {
    /// Of one deployment.
    Deployment,
    /// Of an account: every deployment that is reached with it.
    Account,
    /// Of a host.
    Host,
    /// Of a maker.
    Maker,
}

impl What {
    /// The stable name.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Deployment => "deployment",
            Self::Account => "account",
            Self::Host => "host",
            Self::Maker => "maker",
        }
    }
}

/// One breaker.
#[derive(Debug, Clone)]
pub struct BreakerState {
    /// Of what.
    pub what: What,
    /// Of whom.
    pub name: String,
    /// `closed`, `open`, `probe`, `probing` or `ramp`.
    pub state: &'static str,
    /// Why it is open.
    pub cause: Option<&'static str>,
    /// How long it stays open.
    pub wait: Option<Duration>,
    /// The share of its usual traffic that it gets while it recovers, 0 to 1.
    pub share: Option<f32>,
    /// How often it opened since it was last fully closed.
    pub opened: u32,
    /// The last fault that counted, and how long ago that was.
    pub last: Option<(LastFault, Duration)>,
}

impl LiveView {
    /// Every breaker of `fleet`, whose view this is; each account and party once.
    #[must_use]
    pub fn breakers(&self, fleet: &Fleet, now: Tick) -> Vec<BreakerState> {
        let (mut seen, mut out) = (BTreeSet::new(), Vec::new());
        for ((_, deployment), line) in fleet.iter().zip(&self.lines) {
            out.push(state((What::Deployment, deployment.name.clone()), &line.one.guard, now));
            let (provider, account) = account_of(deployment);
            let account = if provider == account { account } else { format!("{provider}/{account}") };
            if seen.insert((What::Account, account.clone())) {
                out.push(state((What::Account, account), &line.account, now));
            }
            for ((dim, name), party) in parties_of(deployment).into_iter().zip(&line.parties) {
                let what = if dim == policy::Dim::Host { What::Host } else { What::Maker };
                if seen.insert((what, name.clone())) {
                    out.push(state((what, name), &party.guard, now));
                }
            }
        }
        out.sort_by(|a, b| (a.what, &a.name).cmp(&(b.what, &b.name)));
        out
    }
}

fn state((what, name): (What, String), guard: &Guard, now: Tick) -> BreakerState {
    let mut state = BreakerState {
        what,
        name,
        state: "closed",
        cause: None,
        wait: None,
        share: None,
        opened: guard.opened(),
        last: guard.last().map(|last| (last.clone(), now.since(last.at))),
    };
    match guard.health(now) {
        Health::Closed => {}
        Health::Ramp(share) => {
            state.state = "ramp";
            state.share = Some(share);
        }
        Health::Probe => state.state = "probe",
        Health::Probing => state.state = "probing",
        Health::Open { until, cause } => {
            state.state = "open";
            state.wait = Some(until.since(now));
            state.cause = Some(match cause {
                Cause::Hard => "hard",
                Cause::Limit => "limit",
                Cause::Sick => "sick",
                Cause::Correlated => "correlated",
            });
        }
    }
    state
}
