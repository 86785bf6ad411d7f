//! The company as the scenario supposes it: its fleets, who is gone, what changed its price.

use super::WhatIfError;
use super::scenario::{Names, Scenario};
use crate::cover;
use crate::exposure::Inputs;
use crate::node::{Kind, Node};
use crate::register::{facts_of, is_house};
use ledger::record::Name;
use policy::rules::Rules;
use policy::{Deployment, DeploymentIx, Fleet, FleetSpec, NanoUsd, Tariff, Wall};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// A supposed company.
pub(super) struct World {
    /// Rules and deployments; the ones of today stand first and in their order.
    fleet: Fleet,
    /// The same for kinds of task whose quality is supposed to differ.
    by_class: BTreeMap<Name, Fleet>,
    /// Who cannot be asked, with the reason.
    pub(super) gone: Vec<(DeploymentIx, String)>,
    /// The supposed price of each deployment per its price of today.
    pub(super) factors: Vec<f64>,
    /// Places of those that do not exist today.
    pub(super) added: BTreeSet<DeploymentIx>,
    /// When.
    pub(super) wall: Wall,
    /// What our own models take: product, class (`None`: all), the deployment.
    pub(super) house: Vec<(Option<Name>, Option<Name>, DeploymentIx)>,
    /// Whether prices are what another configuration states, and not the recorded ones times a factor.
    pub(super) restated: bool,
    /// Supposed qualities: whose, in which class (`None`: all), by how much.
    deltas: Vec<(DeploymentIx, Option<Name>, f64)>,
}

impl World {
    /// Today, with `change` made to every product's rules.
    pub(super) fn today(fleet: &Fleet, inputs: &Inputs<'_>, change: impl Fn(&mut Rules)) -> Result<Self, WhatIfError> {
        Self::supposed(fleet, inputs, &Scenario::default(), &Names::new(&[], fleet), change)
    }

    /// What `scenario` supposes, with `change` made to every product's rules.
    pub(super) fn supposed(
        fleet: &Fleet,
        inputs: &Inputs<'_>,
        scenario: &Scenario,
        names: &Names<'_>,
        change: impl Fn(&mut Rules),
    ) -> Result<Self, WhatIfError> {
        let mut spec = fleet.spec();
        spec.products.iter_mut().for_each(|(_, rules)| change(rules));
        let added = add(&mut spec, scenario, names)?;
        let factors = price(&mut spec.deployments, scenario, names)?;
        share(&mut spec, scenario, names)?;
        let deltas = deltas(&spec.deployments, scenario, names)?;
        let at = |class: Option<&Name>| {
            let mut spec = spec.clone();
            for (ix, of, delta) in &deltas {
                if of.is_none() || of.as_ref() == class {
                    let quality = &mut spec.deployments[ix.index()].quality;
                    *quality = quality.map(|quality| (quality + delta).clamp(0.0, 1.0));
                }
            }
            built(spec, inputs)
        };
        let classes: BTreeSet<Name> = deltas.iter().filter_map(|(_, class, _)| class.clone()).collect();
        let by_class = classes.into_iter().map(|class| Ok((class.clone(), at(Some(&class))?)));
        let by_class = by_class.collect::<Result<_, WhatIfError>>()?;
        let day = scenario.at.unwrap_or(inputs.day);
        let mut world = Self {
            fleet: at(None)?,
            by_class,
            gone: Vec::new(),
            factors,
            added,
            wall: day.wall(),
            house: Vec::new(),
            restated: false,
            deltas,
        };
        world.gone = world.gone(inputs, scenario, names)?;
        world.house = house(&spec, scenario)?;
        Ok(world)
    }

    /// The company of another configuration: today's deployments stand first and in their order, as `other` describes
    /// them; those that it has no more cannot be asked.
    pub(super) fn other(fleet: &Fleet, other: &Fleet, inputs: &Inputs<'_>) -> Result<Self, WhatIfError> {
        let mut spec = other.spec();
        let mut theirs = std::mem::take(&mut spec.deployments);
        let mut removed = Vec::new();
        for (ix, one) in fleet.iter() {
            let at = theirs.iter().position(|other| other.name == one.name);
            spec.deployments.push(at.map(|at| theirs.remove(at)).unwrap_or_else(|| {
                removed.push((ix, "it is not in the other file".to_owned()));
                // Nobody can ask for it by name any more.
                let name = format!("{} (gone)", one.name);
                Deployment { model: name.clone(), name, ..one.clone() }
            }));
        }
        spec.deployments.append(&mut theirs);
        let factors = vec![1.0; spec.deployments.len()];
        let fleet = built(spec, inputs)?;
        let mut world = Self {
            fleet,
            by_class: BTreeMap::new(),
            gone: Vec::new(),
            factors,
            added: BTreeSet::new(),
            wall: inputs.day.wall(),
            house: Vec::new(),
            restated: true,
            deltas: Vec::new(),
        };
        world.gone = world.gone(inputs, &Scenario::default(), &Names::new(&[], &world.fleet))?;
        world.gone.extend(removed);
        Ok(world)
    }

    /// The fleet as it is for `class`.
    pub(super) fn fleet(&self, class: Option<&str>) -> &Fleet {
        class.and_then(|class| self.by_class.get(class)).unwrap_or(&self.fleet)
    }

    /// How much the quality of `ix` in `class` is supposed to move.
    pub(super) fn delta(&self, ix: DeploymentIx, class: Option<&str>) -> f64 {
        let applies = |of: &Option<Name>| of.as_deref().is_none_or(|of| class.is_some_and(|class| class == of));
        self.deltas.iter().filter(|(at, of, _)| *at == ix && applies(of)).map(|(_, _, delta)| delta).sum()
    }

    /// Who cannot be asked: what is removed and all that rests on it, and what has ended by the day.
    fn gone(
        &self,
        inputs: &Inputs<'_>,
        scenario: &Scenario,
        names: &Names<'_>,
    ) -> Result<Vec<(DeploymentIx, String)>, WhatIfError> {
        let mut graph = inputs.register.graph().clone();
        let mut lost = Vec::new();
        for text in &scenario.remove {
            let node = names.node(text)?;
            for (_, one) in self.fleet.iter() {
                facts_of(one).for_each(|(kind, name)| _ = graph.add(Node::new(kind, name)));
            }
            let place = graph.place(&node).ok_or_else(|| WhatIfError::Unknown {
                what: node.to_string(),
                known: graph.nodes().iter().filter(|one| one.kind == node.kind).map(ToString::to_string).collect(),
            })?;
            lost.push((node, place));
        }
        let retired =
            scenario.retire.iter().map(|text| names.model_at(text)).collect::<Result<Vec<_>, WhatIfError>>()?;
        let day = crate::Day::of(self.wall);
        let why = |(ix, one): (DeploymentIx, &Deployment)| {
            let starts = facts_of(one).map(|(kind, name)| Node::new(kind, name));
            let starts = starts.chain([Node::new(Kind::Deployment, &one.name)]);
            let rests = graph.closure(starts.filter_map(|node| graph.place(&node)));
            let removed = lost.iter().find(|(_, place)| rests.has(*place)).map(|(node, _)| format!("without {node}"));
            let retires = retired.iter().find(|(model, host)| one.model == *model && one.host == *host);
            let retires = retires.map(|(model, host)| format!("{model} is retired at {host}"));
            let over = inputs.register.deployment(&one.name).and_then(|entry| {
                let over = entry.over().filter(|over| *over <= day)?;
                let contract = entry.contract.as_deref().filter(|_| entry.contract_over == Some(over));
                Some(contract.map_or_else(
                    || format!("{} is retired since {over}", entry.model),
                    |contract| format!("contract {contract} is over since {over}"),
                ))
            });
            removed.or(retires).or(over).map(|why| (ix, why))
        };
        Ok(self.fleet.iter().filter_map(why).collect())
    }
}

/// The fleet of `spec`, with what is proven.
fn built(spec: FleetSpec, inputs: &Inputs<'_>) -> Result<Fleet, WhatIfError> {
    let fleet = Fleet::build(spec);
    let mut fleet = fleet.map_err(|errors| WhatIfError::Rules(errors.iter().map(ToString::to_string).collect()))?;
    let proofs = cover::proofs(inputs.covers, &fleet);
    fleet.prove(proofs);
    Ok(fleet)
}

/// The deployments that `text` means: `"*"` or a node.
fn meant(text: &str, deployments: &[Deployment], names: &Names<'_>) -> Result<Vec<DeploymentIx>, WhatIfError> {
    let all = (0_u32..).map(DeploymentIx).zip(deployments);
    if text == "*" {
        return Ok(all.map(|(ix, _)| ix).collect());
    }
    let node = names.node(text)?;
    let found: Vec<_> = all.filter(|(_, one)| node.kind.of(one) == Some(&*node.name)).map(|(ix, _)| ix).collect();
    if found.is_empty() {
        let known: BTreeSet<_> = deployments.iter().filter_map(|one| node.kind.of(one)).collect();
        let known = known.into_iter().map(|name| format!("{}:{name}", node.kind)).collect();
        return Err(WhatIfError::Unknown { what: node.to_string(), known });
    }
    Ok(found)
}

fn add(spec: &mut FleetSpec, scenario: &Scenario, names: &Names<'_>) -> Result<BTreeSet<DeploymentIx>, WhatIfError> {
    let mut added = BTreeSet::new();
    for addition in &scenario.add {
        number("add.price", addition.price, 0.0, f64::MAX)?;
        number("add.quality", addition.quality, -1.0, 1.0)?;
        let like = &spec.deployments[names.deployment(&addition.like)?.index()];
        let name = addition.name.clone();
        let one = Deployment {
            quality: like.quality.map(|quality| (quality + addition.quality).clamp(0.0, 1.0)),
            price: like.price.as_deref().map(|price| times(price, addition.price)),
            model: name.clone(),
            maker: name.clone(),
            host: name.clone(),
            invoicer: name.clone(),
            provider: name.clone(),
            account: name.clone(),
            family: None,
            contract_ends: None,
            retires: None,
            house: false,
            name: name.clone(),
            ..like.clone()
        };
        // who lists models would list this one too
        let lists = spec.products.iter_mut().filter(|(_, rules)| !rules.models.is_empty());
        lists.for_each(|(_, rules)| rules.models.push(name.clone()));
        added.insert(DeploymentIx(u32::try_from(spec.deployments.len()).unwrap_or(u32::MAX)));
        spec.deployments.push(one);
    }
    Ok(added)
}

fn price(deployments: &mut [Deployment], scenario: &Scenario, names: &Names<'_>) -> Result<Vec<f64>, WhatIfError> {
    let mut factors = vec![1.0; deployments.len()];
    for shift in &scenario.price {
        number("price.factor", shift.factor, 0.0, f64::MAX)?;
        for ix in meant(&shift.of, deployments, names)? {
            factors[ix.index()] *= shift.factor;
        }
    }
    for (one, factor) in deployments.iter_mut().zip(&factors) {
        one.price = one.price.as_deref().map(|price| times(price, *factor));
    }
    Ok(factors)
}

/// `price`, every part of it `factor` times as much.
fn times(price: &Tariff, factor: f64) -> Arc<Tariff> {
    #[expect(
        clippy::cast_precision_loss,
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a supposed price needs no more digits, and it is not negative"
    )]
    let scaled = |amount: NanoUsd| NanoUsd((amount.0 as f64 * factor).round() as u64);
    Arc::new(price.map(scaled))
}

fn share(spec: &mut FleetSpec, scenario: &Scenario, names: &Names<'_>) -> Result<(), WhatIfError> {
    for shift in &scenario.share {
        number("share.most", shift.most, f64::MIN_POSITIVE, 1.0)?;
        let party = names.node(&shift.of)?.to_string();
        for (_, rules) in of_product(&mut spec.products, &shift.product)? {
            if shift.most < 1.0 {
                rules.limit.insert(party.clone(), shift.most);
            } else {
                rules.limit.remove(&party);
            }
        }
    }
    Ok(())
}

fn of_product<'a>(
    products: &'a mut [(String, Rules)],
    name: &'a str,
) -> Result<impl Iterator<Item = &'a mut (String, Rules)>, WhatIfError> {
    if name != "*" && !products.iter().any(|(product, _)| product == name) {
        let known = products.iter().map(|(name, _)| format!("product {name}")).collect();
        return Err(WhatIfError::Unknown { what: format!("product {name}"), known });
    }
    Ok(products.iter_mut().filter(move |(product, _)| name == "*" || product == name))
}

type Delta = (DeploymentIx, Option<Name>, f64);

fn deltas(deployments: &[Deployment], scenario: &Scenario, names: &Names<'_>) -> Result<Vec<Delta>, WhatIfError> {
    let mut deltas = Vec::new();
    for shift in &scenario.quality {
        number("quality.delta", shift.delta, -1.0, 1.0)?;
        let class = (shift.class != "*").then(|| Name::from(shift.class.as_str()));
        deltas.extend(meant(&shift.of, deployments, names)?.into_iter().map(|ix| (ix, class.clone(), shift.delta)));
    }
    Ok(deltas)
}

type Taken = (Option<Name>, Option<Name>, DeploymentIx);

fn house(spec: &FleetSpec, scenario: &Scenario) -> Result<Vec<Taken>, WhatIfError> {
    let own = || (0_u32..).map(DeploymentIx).zip(&spec.deployments).filter(|(_, one)| is_house(one));
    let take = |shift: &super::scenario::HouseShift| {
        let named = |one: &Deployment| shift.deployment.as_deref().is_none_or(|name| one.name == name);
        let found = own().find(|(_, one)| named(one)).map(|(ix, _)| ix);
        let ix = found.ok_or_else(|| WhatIfError::Unknown {
            what: format!("house deployment {}", shift.deployment.as_deref().unwrap_or("")).trim().to_owned(),
            known: own_names(own().map(|(_, one)| one.name.clone()).collect()),
        })?;
        let some = |text: &str| (text != "*").then(|| Name::from(text));
        Ok((some(&shift.product), some(&shift.class), ix))
    };
    scenario.house.iter().map(take).collect()
}

/// `names`, or what to do where there is none.
fn own_names(names: Vec<String>) -> Vec<String> {
    if names.is_empty() {
        vec!["none; add a `[deployment.NAME]` with `engine = \"embedded\"`".to_owned()]
    } else {
        names
    }
}

fn number(field: &'static str, value: f64, least: f64, most: f64) -> Result<(), WhatIfError> {
    if (least..=most).contains(&value) { Ok(()) } else { Err(WhatIfError::Number { field, value }) }
}
