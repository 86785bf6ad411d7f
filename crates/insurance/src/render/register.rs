//! The register and its check for a terminal.

use super::{UNKNOWN, aligned};
use crate::Day;
use crate::register::{Entry, Finding, Register, Severity};
use std::fmt::Write;

/// The register as text.
#[must_use]
pub fn register(register: &Register) -> String {
    let mut text = String::new();
    let or = |fact: Option<&str>| fact.unwrap_or(UNKNOWN).to_owned();
    let mut rows = vec![["party", "roles", "legal name", "parent"].map(str::to_owned).to_vec()];
    for party in &register.parties {
        let roles: Vec<&str> = party.roles.iter().map(|role| role.name()).collect();
        rows.push(vec![
            party.name.to_string(),
            roles.join(", "),
            or(party.legal_name.as_deref()),
            or(party.parent.as_deref()),
        ]);
    }
    section(&mut text, "PARTIES", &rows);
    let mut rows = vec![["contract", "with", "ends", "notice", "answers may be used for"].map(str::to_owned).to_vec()];
    for contract in &register.contracts {
        rows.push(vec![
            contract.name.clone(),
            contract.with.clone(),
            contract.ends.map_or_else(|| UNKNOWN.to_owned(), |ends: Day| ends.to_string()),
            contract.notice_days.map_or_else(|| UNKNOWN.to_owned(), |days| format!("{days} d")),
            if contract.outputs_for.is_empty() { UNKNOWN.to_owned() } else { contract.outputs_for.join(", ") },
        ]);
    }
    section(&mut text, "CONTRACTS", &rows);
    let head =
        ["deployment", "model", "maker", "host", "invoicer", "account", "region", "family", "contract", "retires"];
    let mut rows = vec![head.map(str::to_owned).to_vec()];
    rows.extend(register.deployments.iter().map(entry));
    section(&mut text, "DEPLOYMENTS", &rows);
    let mut rows = vec![["what", "depends on", "said to be so"].map(str::to_owned).to_vec()];
    rows.extend(
        register.edges.iter().map(|edge| vec![edge.from.to_string(), edge.to.to_string(), edge.said.name().to_owned()]),
    );
    section(&mut text, "DEPENDENCIES", &rows);
    text
}

fn entry(entry: &Entry) -> Vec<String> {
    let or = |fact: Option<&str>| fact.unwrap_or(UNKNOWN).to_owned();
    let home = |fact: Option<&str>| if entry.house && fact.is_none() { "own".to_owned() } else { or(fact) };
    vec![
        entry.deployment.to_string(),
        entry.model.to_string(),
        or(entry.maker.as_deref()),
        or(entry.host.as_deref()),
        or(entry.invoicer.as_deref()),
        or(entry.account.as_deref()),
        home(entry.region.as_deref()),
        or(entry.family.as_deref()),
        if entry.house { "none needed".to_owned() } else { or(entry.contract.as_deref()) },
        entry.retires.as_ref().map_or_else(
            || if entry.house { "when we say".to_owned() } else { UNKNOWN.to_owned() },
            |retires| retires.date.to_string(),
        ),
    ]
}

fn section(text: &mut String, title: &str, rows: &[Vec<String>]) {
    let gap = if text.is_empty() { "" } else { "\n\n" };
    let _ = write!(text, "{gap}{title}");
    if rows.len() == 1 {
        text.push_str("\n  none written down");
        return;
    }
    for line in aligned(rows, &[]) {
        let _ = write!(text, "\n  {line}");
    }
}

/// Findings as text.
#[must_use]
pub fn findings(findings: &[Finding]) -> String {
    let word = |severity: Severity| match severity {
        Severity::Error => "error",
        Severity::Warning => "warning",
        Severity::Unknown => "unknown",
    };
    let rows: Vec<Vec<String>> = findings
        .iter()
        .map(|one| vec![word(one.severity).to_owned(), one.subject.clone(), one.message.clone()])
        .collect();
    if rows.is_empty() {
        "nothing is missing, wrong or about to end".to_owned()
    } else {
        aligned(&rows, &[]).join("\n")
    }
}
