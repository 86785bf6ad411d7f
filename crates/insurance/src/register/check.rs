//! What is missing in a register, what contradicts itself, what ends soon.

use super::{Declared, Register};
use crate::Day;
use crate::node::Node;
use policy::Fleet;
use serde::Serialize;

/// How bad a finding is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Severity {
    /// It is wrong, or it has ended.
    Error,
    /// It ends soon.
    Warning,
    /// Nobody wrote it down.
    Unknown,
}

/// Something that a person should look at.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Finding {
    /// How bad.
    pub severity: Severity,
    /// What it is about.
    pub subject: String,
    /// What is the matter, and what to do.
    pub message: String,
}

/// How long before an end it is told.
const SOON_DAYS: i64 = 90;

fn finding(severity: Severity, subject: impl Into<String>, message: impl Into<String>) -> Finding {
    Finding { severity, subject: subject.into(), message: message.into() }
}

/// What is wrong in what was declared.
pub(super) fn declared(declared: &Declared, fleet: &Fleet) -> Vec<Finding> {
    let mut found = Vec::new();
    for from in declared.depends.keys().chain(declared.assumed.keys()) {
        if let Err(error) = from.parse::<Node>() {
            found.push(finding(Severity::Error, from, error.to_string()));
        }
    }
    for row in &declared.calendar {
        let here = |one: &policy::Deployment| one.model == row.model && one.host == row.host;
        if !fleet.deployments().iter().any(here) {
            let subject = format!("{}@{}", row.model, row.host);
            found.push(finding(Severity::Unknown, subject, "the calendar names it and no deployment uses it"));
        }
    }
    for (name, party) in &declared.party {
        let mut seen = vec![name];
        let mut at = party.parent.as_ref();
        while let Some(parent) = at {
            if seen.contains(&parent) {
                let message = format!("`{name}` owns itself by way of `{parent}`; correct one `parent`");
                found.push(finding(Severity::Error, format!("party:{name}"), message));
                break;
            }
            seen.push(parent);
            at = declared.party.get(parent).and_then(|party| party.parent.as_ref());
        }
    }
    found
}

pub(super) fn check(register: &Register, written: &[Finding], day: Day) -> Vec<Finding> {
    let mut found = written.to_vec();
    for entry in &register.deployments {
        let subject = format!("deployment:{}", entry.deployment);
        let facts = [
            ("maker", entry.maker.is_some()),
            ("host", entry.host.is_some()),
            ("invoicer", entry.invoicer.is_some()),
            ("region", entry.region.is_some() || entry.house),
            ("family", entry.family.is_some()),
            ("contract", entry.contract.is_some() || entry.house),
            ("retirement date", entry.retires.is_some() || entry.house),
        ];
        let missing: Vec<&str> = facts.iter().filter(|(_, known)| !known).map(|(fact, _)| *fact).collect();
        if !missing.is_empty() {
            found.push(finding(Severity::Unknown, &subject, format!("unknown: {}", missing.join(", "))));
        }
        if let Some(retires) = &entry.retires {
            let what = format!("model `{}` retires at this host", entry.model);
            found.extend(ending(&subject, &what, day, retires.date));
        }
    }
    for contract in &register.contracts {
        let subject = format!("contract:{}", contract.name);
        let missing: Vec<&str> = [("last day", contract.ends.is_none()), ("notice", contract.notice_days.is_none())]
            .into_iter()
            .filter_map(|(fact, missing)| missing.then_some(fact))
            .collect();
        if !missing.is_empty() {
            found.push(finding(Severity::Unknown, &subject, format!("unknown: {}", missing.join(", "))));
        }
        if let Some(ends) = contract.ends {
            found.extend(ending(&subject, "it ends", day, ends.before(-1)));
        }
        if let Some(by) = contract.notice_by().filter(|by| *by >= day) {
            found.extend(ending(&subject, "notice can last be given", day, by));
        }
        if !register.deployments.iter().any(|entry| entry.contract.as_ref() == Some(&contract.name)) {
            found.push(finding(Severity::Warning, &subject, "no deployment is used under it"));
        }
    }
    found.sort();
    found
}

fn ending(subject: &str, what: &str, day: Day, date: Day) -> Option<Finding> {
    let days = day.days_until(date);
    if days <= 0 {
        return Some(finding(Severity::Error, subject, format!("{what} on {date}: that is past")));
    }
    (days <= SOON_DAYS).then(|| finding(Severity::Warning, subject, format!("{what} on {date}, in {days} days")))
}
