//! Every breaker as an operator sees it: of what, in which state, since which fault.

use super::guard::Guard;
use super::{LiveView, account_of, parties_of};
use crate::clock;
use policy::breaker::{Cause, Health};
use policy::{Fleet, Tick};
use schemars::JsonSchema;
use serde::Serialize;
use std::collections::BTreeSet;
use std::time::Duration;

/// Of what a breaker is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
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

/// What a breaker is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum State {
    /// All traffic passes.
    Closed,
    /// None does.
    Open,
    /// The next request is let through to see.
    Probe,
    /// That request is under way.
    Probing,
    /// A growing share passes.
    Ramp,
}

/// Every breaker.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct Breakers {
    /// Whether all are closed.
    pub closed: bool,
    /// Each of them.
    pub breakers: Vec<Breaker>,
}

/// One breaker.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct Breaker {
    /// Of what.
    pub of: What,
    /// Of whom.
    pub name: String,
    /// What it is doing.
    pub state: State,
    /// Why it is open: `hard`, `limit`, `sick` or `correlated`.
    pub cause: Option<&'static str>,
    /// How long it stays open, in milliseconds.
    pub wait_ms: Option<u64>,
    /// The share of its usual traffic that it gets while it recovers, 0 to 1.
    pub share: Option<f32>,
    /// How often it opened since it was last fully closed.
    pub opened: u32,
    /// The last fault that counted.
    pub last_fault: Option<LastFault>,
}

/// The last fault that a breaker counted.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct LastFault {
    /// What it was.
    pub kind: &'static str,
    /// Words for the operator.
    pub message: String,
    /// How long ago, in milliseconds.
    pub ago_ms: u64,
}

fn millis(duration: Duration) -> u64 {
    clock::micros(duration) / 1_000
}

impl LiveView {
    /// Every breaker of `fleet`, whose view this is; each account and party once.
    #[must_use]
    pub fn breakers(&self, fleet: &Fleet, now: Tick) -> Breakers {
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
        out.sort_by(|a, b| (a.of, &a.name).cmp(&(b.of, &b.name)));
        Breakers { closed: out.iter().all(|breaker| breaker.state == State::Closed), breakers: out }
    }
}

fn state((of, name): (What, String), guard: &Guard, now: Tick) -> Breaker {
    let last_fault = guard.last().map(|last| LastFault {
        kind: last.kind.name(),
        ago_ms: millis(now.since(last.at)),
        message: last.message,
    });
    let (opened, mut share, mut wait_ms, mut cause) = (guard.opened(), None, None, None);
    let state = match guard.health(now) {
        Health::Closed => State::Closed,
        Health::Ramp(part) => {
            share = Some(part);
            State::Ramp
        }
        Health::Probe => State::Probe,
        Health::Probing => State::Probing,
        Health::Open { until, cause: why } => {
            wait_ms = Some(millis(until.since(now)));
            cause = Some(match why {
                Cause::Hard => "hard",
                Cause::Limit => "limit",
                Cause::Sick => "sick",
                Cause::Correlated => "correlated",
            });
            State::Open
        }
    };
    Breaker { of, name, state, cause, wait_ms, share, opened, last_fault }
}
