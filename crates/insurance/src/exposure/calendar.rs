//! What ends when: models at hosts, contracts, and the last day for notice. An end that nobody knows is said elsewhere
//! to be unknown; it is never taken for "no end".

use super::Inputs;
use super::demand::Demands;
use super::loss::{Survival, total};
use crate::Day;
use crate::node::{Kind, Node};
use crate::register::Status;
use ledger::record::Name;
use serde::Serialize;

/// What ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum End {
    /// The model at the host.
    Model,
    /// The contract.
    Contract,
    /// The time in which notice can be given.
    Notice,
}

/// One end.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Ending {
    /// What ends.
    pub what: End,
    /// Which: `model@host`, or the contract's name.
    pub subject: String,
    /// The first day without it; for notice, the last day to give it.
    pub date: Day,
    /// Days from the report's day; negative: past.
    pub days: i64,
    /// Whether it may be later.
    pub not_before: bool,
    /// The deployments concerned.
    pub deployments: Vec<Name>,
    /// Requests that these answered.
    pub requests: u64,
    /// Of all requests, 0 to 1; `None`: there are none.
    pub share: Option<f64>,
    /// What the maker names in its place.
    pub replacement: Option<String>,
    /// What becomes of all requests without these; `None` for notice.
    pub survival: Option<Survival>,
    /// Where the date is written.
    pub source: Option<String>,
}

pub(super) fn endings(inputs: &Inputs<'_>, demands: &Demands) -> Vec<Ending> {
    let register = inputs.register;
    let mut found: Vec<Ending> = Vec::new();
    for entry in &register.deployments {
        let Some(retires) = &entry.retires else { continue };
        let subject = format!("{}@{}", entry.model, entry.host.as_deref().unwrap_or("unknown"));
        // several deployments of one model at one host end together
        if let Some(ending) = found.iter_mut().find(|ending| ending.subject == subject && ending.date == retires.date) {
            ending.deployments.push(entry.deployment.clone());
            continue;
        }
        found.push(Ending {
            not_before: retires.status == Status::NotBefore,
            replacement: retires.replacement.clone(),
            source: retires.source.clone(),
            ..ending(End::Model, subject, retires.date, vec![entry.deployment.clone()])
        });
    }
    for contract in &register.contracts {
        let under = register.deployments.iter().filter(|entry| entry.contract.as_ref() == Some(&contract.name));
        let under: Vec<Name> = under.map(|entry| entry.deployment.clone()).collect();
        let dates = [(End::Contract, contract.ends.map(|ends| ends.before(-1))), (End::Notice, contract.notice_by())];
        for (what, date) in dates {
            let Some(date) = date else { continue };
            let source = Some("configuration".to_owned());
            found.push(Ending { source, ..ending(what, contract.name.clone(), date, under.clone()) });
        }
    }
    let all: u64 = inputs.flows.iter().map(|flow| flow.answered).sum();
    for ending in &mut found {
        weigh(ending, inputs, demands, all);
    }
    found.sort_by(|a, b| (a.date, a.what, &a.subject).cmp(&(b.date, b.what, &b.subject)));
    found
}

fn ending(what: End, subject: String, date: Day, deployments: Vec<Name>) -> Ending {
    Ending {
        what,
        subject,
        date,
        days: 0,
        not_before: false,
        deployments,
        requests: 0,
        share: None,
        replacement: None,
        survival: None,
        source: None,
    }
}

#[expect(clippy::cast_precision_loss, reason = "a share needs no exact counts beyond 2^52")]
fn weigh(ending: &mut Ending, inputs: &Inputs<'_>, demands: &Demands, all: u64) {
    let concerned = |name: &Option<Name>| name.as_ref().is_some_and(|name| ending.deployments.contains(name));
    let flows = inputs.flows.iter().filter(|flow| concerned(&flow.key.deployment));
    ending.requests = flows.map(|flow| flow.answered).sum();
    ending.days = inputs.day.days_until(ending.date);
    ending.share = (all > 0).then(|| ending.requests as f64 / all as f64);
    if ending.what != End::Notice {
        let nodes = ending.deployments.iter().map(|name| Node { kind: Kind::Deployment, name: name.clone() });
        let lost: Vec<usize> = nodes.filter_map(|node| demands.graph.place(&node)).collect();
        ending.survival = Some(total(demands, &lost));
    }
}
