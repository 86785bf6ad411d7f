//! A scenario as its file says it, and those that ship with the binary. `@largest` stands for the party of that kind
//! that answers the most requests, so one file fits every company.

use super::WhatIfError;
use crate::Day;
use crate::exposure::demand::facts;
use crate::node::{Kind, Node, UNKNOWN};
use ledger::flow::Flow;
use ledger::record::Name;
use policy::Fleet;
use serde::Deserialize;
use std::collections::BTreeMap;

/// What is supposed.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Scenario {
    /// Its name.
    pub name: String,
    /// What it is about, in a sentence.
    pub about: String,
    /// The day it plays on: contracts and models that have ended by then are gone. Default: the day of the question.
    pub at: Option<Day>,
    /// What is gone: `"maker:openai"`, `"host:@largest"`, `"house"`.
    pub remove: Vec<String>,
    /// Models that are gone at a host: `"gpt-5@openai"`, `"@largest"`.
    pub retire: Vec<String>,
    /// Prices that change.
    pub price: Vec<PriceShift>,
    /// Qualities that change.
    pub quality: Vec<QualityShift>,
    /// Share caps that change.
    pub share: Vec<ShareShift>,
    /// Kinds of task that our own models take over.
    pub house: Vec<HouseShift>,
    /// How many tokens one model needs per token of another, where nobody has measured it.
    pub tokens: Vec<TokenShift>,
    /// Deployments that do not exist yet.
    pub add: Vec<Addition>,
}

/// Prices multiplied.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PriceShift {
    /// Whose: `"maker:anthropic"`, or `"*"` for everyone's.
    #[serde(rename = "match")]
    pub of: String,
    /// The factor, 0 or more.
    pub factor: f64,
}

/// Quality moved.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct QualityShift {
    /// Whose.
    #[serde(rename = "match")]
    pub of: String,
    /// In which kind of task; `"*"`: in all.
    #[serde(default = "all")]
    pub class: String,
    /// By how much, -1 to 1.
    pub delta: f64,
}

/// A share cap set or lifted.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ShareShift {
    /// Of which product; `"*"`: of all.
    #[serde(default = "all")]
    pub product: String,
    /// The party whose share is capped.
    #[serde(rename = "match")]
    pub of: String,
    /// The cap, above 0; 1 lifts it.
    pub most: f64,
}

/// A kind of task that a house model takes.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HouseShift {
    /// Of which product; `"*"`: of all.
    #[serde(default = "all")]
    pub product: String,
    /// Which; `"*"`: all.
    #[serde(default = "all")]
    pub class: String,
    /// The deployment that takes it. Default: the first that runs on our own machines.
    #[serde(default)]
    pub deployment: Option<String>,
}

/// Tokens of one deployment's model per token of another's, as somebody supposes.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TokenShift {
    /// The deployment that answered.
    pub from: String,
    /// The deployment that would; `"*"`: any.
    #[serde(default = "all")]
    pub to: String,
    /// Of prompts.
    pub input: f64,
    /// Of answers.
    pub output: f64,
}

/// A deployment that does not exist yet: like another one, but for what is said here.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Addition {
    /// Its name; maker, host, invoicer, provider and account are called the same.
    pub name: String,
    /// The deployment that it is like: `"deployment:@largest"`.
    pub like: String,
    /// How much better it is, -1 to 1.
    #[serde(default)]
    pub quality: f64,
    /// Its price per that of the other.
    #[serde(default = "one")]
    pub price: f64,
}

fn all() -> String {
    "*".to_owned()
}

const fn one() -> f64 {
    1.0
}

/// The scenarios that ship with the binary: name and text.
pub const BUILTIN: [(&str, &str); 6] = [
    ("incumbent-dominates", include_str!("../../scenarios/incumbent-dominates.toml")),
    ("competitor-emerges", include_str!("../../scenarios/competitor-emerges.toml")),
    ("house-wins", include_str!("../../scenarios/house-wins.toml")),
    ("partner-gone", include_str!("../../scenarios/partner-gone.toml")),
    ("price-doubles", include_str!("../../scenarios/price-doubles.toml")),
    ("model-retires", include_str!("../../scenarios/model-retires.toml")),
];

/// Names that stand for parties, looked up in what happened.
pub(super) struct Names<'a> {
    fleet: &'a Fleet,
    largest: BTreeMap<Kind, Name>,
}

impl<'a> Names<'a> {
    pub(super) fn new(flows: &[Flow], fleet: &'a Fleet) -> Self {
        let mut sums: BTreeMap<(Kind, Name), u64> = BTreeMap::new();
        for flow in flows {
            for (kind, name) in facts(&flow.key, Some(fleet)) {
                *sums.entry((kind, name)).or_default() += flow.answered;
            }
        }
        let mut largest: BTreeMap<Kind, (Name, u64)> = BTreeMap::new();
        for ((kind, name), sum) in sums {
            // a deployment that the fleet has no more can be lost no more
            let known = kind != Kind::Deployment || fleet.deployment_named(&name).is_some();
            if known && largest.get(&kind).is_none_or(|(_, most)| sum > *most) {
                largest.insert(kind, (name, sum));
            }
        }
        Self { fleet, largest: largest.into_iter().map(|(kind, (name, _))| (kind, name)).collect() }
    }

    /// The node that `text` names.
    pub(super) fn node(&self, text: &str) -> Result<Node, WhatIfError> {
        let node: Node = text.parse()?;
        if &*node.name != LARGEST {
            return Ok(node);
        }
        let found = self.largest.get(&node.kind).filter(|name| &***name != UNKNOWN);
        found.map(|name| Node::new(node.kind, name)).ok_or_else(|| WhatIfError::NoLargest(text.to_owned()))
    }

    /// The deployment that `text` names, with or without `deployment:`.
    pub(super) fn deployment(&self, text: &str) -> Result<policy::DeploymentIx, WhatIfError> {
        let node = self.node(&if text.contains(':') { text.to_owned() } else { format!("deployment:{text}") })?;
        self.fleet.deployment_named(&node.name).ok_or_else(|| WhatIfError::Unknown {
            what: node.to_string(),
            known: self.fleet.deployments().iter().map(|one| format!("deployment:{}", one.name)).collect(),
        })
    }

    /// The model and the host that `text` (`model@host`) names.
    pub(super) fn model_at(&self, text: &str) -> Result<(String, String), WhatIfError> {
        if text == LARGEST {
            let one = self.fleet.deployment(self.deployment("deployment:@largest")?);
            return Ok((one.model.clone(), one.host.clone()));
        }
        let pair = text.rsplit_once('@').map(|(model, host)| (model.to_owned(), host.to_owned()));
        let known = |pair: &(String, String)| {
            self.fleet.deployments().iter().any(|one| one.model == pair.0 && one.host == pair.1)
        };
        pair.filter(known).ok_or_else(|| WhatIfError::Unknown {
            what: text.to_owned(),
            known: self.fleet.deployments().iter().map(|one| format!("{}@{}", one.model, one.host)).collect(),
        })
    }
}

const LARGEST: &str = "@largest";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn those_that_ship_are_read_and_unknown_fields_are_not() {
        for (name, text) in BUILTIN {
            let scenario: Scenario = toml::from_str(text).unwrap();
            assert_eq!(scenario.name, name);
            assert!(!scenario.about.is_empty());
        }
        assert!(
            toml::from_str::<Scenario>("removed = []").unwrap_err().to_string().contains("unknown field `removed`")
        );
        assert!(toml::from_str::<Scenario>("[[price]]\nmatch = '*'\nfaktor = 2").is_err());
    }
}
