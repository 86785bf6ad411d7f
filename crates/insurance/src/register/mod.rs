//! The register: parties, contracts, deployments, what depends on what, and when something ends. Made from the fleet,
//! the contracts of the configuration and what a company declares beside it. A fact that nobody wrote down is a visible
//! `unknown`. It knows language models only; a company's whole register of suppliers lives elsewhere.

mod check;
mod graph;

pub use check::{Finding, Severity};
pub use graph::{Graph, Set};

use crate::Day;
use crate::node::{Kind, Node, OWN};
use ledger::record::Name;
use policy::{Deployment, Fleet, Wall};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

/// What a company declares about its parties, as a TOML file says it.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Declared {
    /// Organisations by the names that deployments use.
    pub party: BTreeMap<String, PartyFile>,
    /// What depends on what beyond the configuration, e.g. `"host:azure" = ["network:edge-x"]`,
    /// `"family:nemotron" = ["family:llama"]`.
    pub depends: BTreeMap<String, Vec<Node>>,
    /// Such dependencies that nobody confirmed.
    pub assumed: BTreeMap<String, Vec<Node>>,
    /// When models end at hosts.
    pub calendar: Vec<CalendarFile>,
}

/// An organisation.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct PartyFile {
    /// Its legal name.
    pub legal_name: Option<String>,
    /// Its legal entity identifier.
    pub lei: Option<String>,
    /// The party that owns it.
    pub parent: Option<String>,
}

/// A date in the life of a model at a host.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CalendarFile {
    /// The model as the host calls it.
    pub model: String,
    /// The host.
    pub host: String,
    /// The first day without it.
    pub date: Day,
    /// Whether the date is announced, or only the earliest possible.
    #[serde(default)]
    pub status: Status,
    /// What the maker names in its place.
    pub replacement: Option<String>,
    /// Where that is written.
    pub source: Option<String>,
    /// When somebody last looked.
    pub seen: Option<Day>,
}

/// How sure a date is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Status {
    /// The host said so.
    #[default]
    Announced,
    /// Not before this day.
    NotBefore,
}

/// A contract.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Contract {
    /// Its name in the configuration.
    pub name: String,
    /// The other party.
    pub with: String,
    /// Its last day; `None`: unknown.
    pub ends: Option<Day>,
    /// Days of notice; `None`: unknown.
    pub notice_days: Option<u32>,
    /// What answers may be used for.
    pub outputs_for: Vec<String>,
}

impl Contract {
    /// The last day on which notice can be given so that it ends with its term.
    #[must_use]
    pub fn notice_by(&self) -> Option<Day> {
        Some(self.ends?.before(i64::from(self.notice_days?)))
    }
}

/// Everything a register is made from.
#[derive(Debug, Clone, Copy)]
pub struct Sources<'a> {
    /// Deployments and products.
    pub fleet: &'a Fleet,
    /// Contracts of the configuration.
    pub contracts: &'a [Contract],
    /// Under which contract each deployment is used.
    pub under: &'a BTreeMap<String, String>,
    /// What was declared beside it.
    pub declared: &'a Declared,
}

/// A party.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Party {
    /// Its name.
    pub name: Name,
    /// Its roles.
    pub roles: BTreeSet<Kind>,
    /// Its legal name.
    pub legal_name: Option<String>,
    /// Its legal entity identifier.
    pub lei: Option<String>,
    /// Who owns it.
    pub parent: Option<String>,
}

/// A deployment with what is known of it; `None`: unknown.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Entry {
    /// The deployment.
    pub deployment: Name,
    /// The model.
    pub model: Name,
    /// Who trained it.
    pub maker: Option<Name>,
    /// Whose machines run it.
    pub host: Option<Name>,
    /// Who bills.
    pub invoicer: Option<Name>,
    /// Our account.
    pub account: Option<Name>,
    /// Where it runs.
    pub region: Option<Name>,
    /// The model's family.
    pub family: Option<Name>,
    /// The contract it is used under.
    pub contract: Option<String>,
    /// Whether it runs on our own machines.
    pub house: bool,
    /// When its model ends there.
    pub retires: Option<Retirement>,
    /// The first day after its contract.
    pub contract_over: Option<Day>,
}

impl Entry {
    /// The first day on which it cannot be asked any more, where one is known.
    #[must_use]
    pub fn over(&self) -> Option<Day> {
        let retires = self.retires.as_ref().map(|retires| retires.date);
        [retires, self.contract_over].into_iter().flatten().min()
    }
}

/// When a model ends at a host.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Retirement {
    /// The first day without it.
    pub date: Day,
    /// How sure that is.
    pub status: Status,
    /// What the maker names in its place.
    pub replacement: Option<String>,
    /// Where that is written.
    pub source: Option<String>,
    /// When somebody last looked.
    pub seen: Option<Day>,
}

/// One dependency.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Edge {
    /// What depends.
    pub from: Node,
    /// On what.
    pub to: Node,
    /// Who says so.
    pub said: Said,
}

/// Who says that something depends on something.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Said {
    /// The configuration's own names.
    Configured,
    /// The register's file.
    Declared,
    /// The register's file, as something that nobody confirmed.
    Assumed,
}

impl Said {
    /// The stable name.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Configured => "configured",
            Self::Declared => "declared",
            Self::Assumed => "assumed",
        }
    }
}

/// Who we depend on, on paper.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Register {
    /// The parties, by name.
    pub parties: Vec<Party>,
    /// The contracts.
    pub contracts: Vec<Contract>,
    /// The deployments, in the order of the fleet.
    pub deployments: Vec<Entry>,
    /// What depends on what.
    pub edges: Vec<Edge>,
    /// Deployments whose end nobody knows.
    pub undated: Vec<Name>,
    #[serde(skip)]
    graph: Graph,
    #[serde(skip)]
    written: Vec<Finding>,
}

impl Register {
    /// The register of what `sources` say.
    #[must_use]
    pub fn build(sources: Sources<'_>) -> Self {
        let Sources { fleet, contracts, under, declared } = sources;
        let entries: Vec<Entry> = fleet.deployments().iter().map(|one| entry(one, under, declared)).collect();
        let mut register = Self {
            contracts: contracts.to_vec(),
            undated: entries
                .iter()
                .filter(|entry| entry.retires.is_none() && !entry.house)
                .map(|entry| entry.deployment.clone())
                .collect(),
            written: check::declared(declared, fleet),
            ..Self::default()
        };
        for deployment in fleet.deployments() {
            let from = Node::new(Kind::Deployment, &deployment.name);
            register.graph.add(from.clone());
            for (kind, name) in facts_of(deployment) {
                register.depend(from.clone(), Node::new(kind, name), Said::Configured);
                register.role(kind, name);
            }
        }
        for (lists, said) in [(&declared.depends, Said::Declared), (&declared.assumed, Said::Assumed)] {
            for (from, list) in lists {
                // what is no node was found by `check`
                let Ok(from) = from.parse::<Node>() else { continue };
                register.role(from.kind, &from.name);
                for to in list {
                    register.role(to.kind, &to.name);
                    register.depend(from.clone(), to.clone(), said);
                }
            }
        }
        for (name, file) in &declared.party {
            if let Some(parent) = &file.parent {
                let to = Node::new(Kind::Party, parent);
                register.depend(Node::new(Kind::Party, name), to, Said::Declared);
            }
        }
        register.parties = parties(&register.graph, declared);
        register.deployments = entries;
        register.edges.sort();
        register.edges.dedup();
        register
    }

    /// What depends on what.
    #[must_use]
    pub const fn graph(&self) -> &Graph {
        &self.graph
    }

    /// The deployment called `name`.
    #[must_use]
    pub fn deployment(&self, name: &str) -> Option<&Entry> {
        self.deployments.iter().find(|entry| &*entry.deployment == name)
    }

    /// What is missing, wrong or about to end, seen from `day`.
    #[must_use]
    pub fn check(&self, day: Day) -> Vec<Finding> {
        check::check(self, &self.written, day)
    }

    /// Adds what a role of a party brings with it, so that recorded parties that no deployment names are known too.
    pub fn role(&mut self, kind: Kind, name: &str) {
        if matches!(kind, Kind::Maker | Kind::Host | Kind::Invoicer) && name != OWN {
            self.depend(Node::new(kind, name), Node::new(Kind::Party, name), Said::Configured);
        } else {
            self.graph.add(Node::new(kind, name));
        }
    }

    fn depend(&mut self, from: Node, to: Node, said: Said) {
        self.graph.depend(from.clone(), to.clone());
        self.edges.push(Edge { from, to, said });
    }
}

/// What `deployment` is known to depend on.
pub(crate) fn facts_of(deployment: &Deployment) -> impl Iterator<Item = (Kind, &str)> {
    let kinds = Kind::ALL.into_iter().filter(|kind| *kind != Kind::Deployment);
    kinds.filter_map(|kind| Some((kind, kind.of(deployment)?)))
}

fn entry(deployment: &Deployment, under: &BTreeMap<String, String>, declared: &Declared) -> Entry {
    let fact = |kind: Kind| kind.of(deployment).map(Name::from);
    let written = declared.calendar.iter().find(|row| row.model == deployment.model && row.host == deployment.host);
    let retires = written.map(|row| Retirement {
        date: row.date,
        status: row.status,
        replacement: row.replacement.clone(),
        source: row.source.clone(),
        seen: row.seen,
    });
    let configured = deployment.retires.map(|wall| Retirement {
        date: Day::of(wall),
        status: Status::Announced,
        replacement: None,
        source: Some("configuration".to_owned()),
        seen: None,
    });
    Entry {
        deployment: deployment.name.as_str().into(),
        model: deployment.model.as_str().into(),
        maker: fact(Kind::Maker),
        host: fact(Kind::Host),
        invoicer: fact(Kind::Invoicer),
        account: fact(Kind::Account),
        region: fact(Kind::Region),
        family: fact(Kind::Family),
        contract: under.get(&deployment.name).cloned(),
        house: is_house(deployment),
        retires: retires.or(configured),
        contract_over: deployment.contract_ends.map(ceiling),
    }
}

/// The first whole day at or after `wall`.
const fn ceiling(wall: Wall) -> Day {
    Day::of(Wall::from_unix(wall.unix() + 86_399))
}

/// Whether `deployment` runs on our own machines.
#[must_use]
pub fn is_house(deployment: &Deployment) -> bool {
    deployment.house || deployment.host == OWN
}

fn parties(graph: &Graph, declared: &Declared) -> Vec<Party> {
    let mut parties: BTreeMap<Name, Party> = BTreeMap::new();
    let mut named = |name: &str, role: Option<Kind>| {
        let file = declared.party.get(name);
        let party = parties.entry(name.into()).or_insert_with(|| Party {
            name: name.into(),
            roles: BTreeSet::new(),
            legal_name: file.and_then(|file| file.legal_name.clone()),
            lei: file.and_then(|file| file.lei.clone()),
            parent: file.and_then(|file| file.parent.clone()),
        });
        party.roles.extend(role);
    };
    for node in graph.nodes() {
        match node.kind {
            Kind::Maker | Kind::Host | Kind::Invoicer if &*node.name != OWN => named(&node.name, Some(node.kind)),
            Kind::Party => named(&node.name, None),
            _ => {}
        }
    }
    parties.into_values().collect()
}
