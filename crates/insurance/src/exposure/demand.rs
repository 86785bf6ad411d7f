//! What was asked, as a loss would meet it: each demand with all that it rests on and everyone who could answer it
//! instead.

use super::Inputs;
use super::answers::{Answer, Question, answers};
use super::loss::Level;
use crate::cover::{Verdict, verdict};
use crate::node::{Kind, Node};
use crate::register::{Graph, Register, Set, facts_of};
use canon::Purpose;
use ledger::flow::{Flow, FlowKey};
use ledger::record::{Name, Portability};
use policy::rules::Criticality;
use policy::{DeploymentIx, Fleet, ProductIx};
use std::collections::HashMap;

/// A product that asked or may ask.
#[derive(Debug, Clone)]
pub(super) struct Product {
    /// Its name; `None`: the source does not say.
    pub(super) name: Option<Name>,
    /// `None`: unknown.
    pub(super) criticality: Option<Criticality>,
    /// The share of its requests that may stay without an answer, 0 to 1.
    pub(super) tolerated: f64,
}

/// A deployment that could answer a demand.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Way {
    /// Its place in `Demands::rests`.
    pub(super) deployment: usize,
    pub(super) level: Level,
    pub(super) covered: bool,
}

/// Requests that a loss meets alike.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Demand {
    pub(super) product: usize,
    /// All that its answers rested on.
    pub(super) rests: Set,
    /// Whether who answered it can still be asked on the day.
    pub(super) alive: bool,
    /// Who could answer it; `None`: no rules are known for it.
    pub(super) ways: Option<Vec<Way>>,
}

/// Everything that was asked.
#[derive(Debug)]
pub(super) struct Demands {
    pub(super) graph: Graph,
    pub(super) products: Vec<Product>,
    /// Each demand with its answered requests. A product without any has demands of weight 0: what `auto` would find.
    pub(super) list: Vec<(Demand, u64)>,
    /// What each deployment of the fleet rests on.
    pub(super) rests: Vec<Set>,
    /// The demand that each flow went into.
    pub(super) of_flow: Vec<usize>,
    /// Requests of products without rules.
    pub(super) unruled: u64,
}

impl Demands {
    pub(super) fn of(inputs: &Inputs<'_>) -> Self {
        let mut builder = Builder::new(inputs);
        for flow in inputs.flows {
            builder.flow(flow);
        }
        builder.silent_products();
        builder.done
    }

    /// The place of the product called `name`.
    pub(super) fn product(&self, name: Option<&str>) -> Option<usize> {
        self.products.iter().position(|product| product.name.as_deref() == name)
    }
}

struct Builder<'a> {
    inputs: &'a Inputs<'a>,
    /// Deployments that have ended by the day.
    gone: Vec<DeploymentIx>,
    cache: HashMap<Question, Vec<Answer>>,
    places: HashMap<Demand, usize>,
    done: Demands,
}

impl<'a> Builder<'a> {
    fn new(inputs: &'a Inputs<'a>) -> Self {
        let mut register: Register = inputs.register.clone();
        for flow in inputs.flows {
            for (kind, name) in facts(&flow.key, inputs.fleet) {
                register.role(kind, &name);
            }
        }
        let mut graph = register.graph().clone();
        let ours = (inputs.instances == Some(1)).then(|| graph.add(Node::new(Kind::Autarky, "")));
        let deployments = inputs.fleet.map_or(&[][..], Fleet::deployments);
        let rests = deployments.iter().map(|one| {
            let starts = facts_of(one).map(|(kind, name)| Node::new(kind, name));
            let starts = starts.chain([Node::new(Kind::Deployment, &one.name)]);
            graph.closure(starts.filter_map(|node| graph.place(&node)).chain(ours))
        });
        let rests = rests.collect();
        let over = |name: &str| inputs.register.deployment(name).and_then(|entry| entry.over());
        let gone = inputs.fleet.into_iter().flat_map(Fleet::iter);
        let gone = gone.filter(|(_, one)| over(&one.name).is_some_and(|day| day <= inputs.day)).map(|(ix, _)| ix);
        Self {
            inputs,
            gone: gone.collect(),
            cache: HashMap::new(),
            places: HashMap::new(),
            done: Demands { graph, products: Vec::new(), list: Vec::new(), rests, of_flow: Vec::new(), unruled: 0 },
        }
    }

    fn flow(&mut self, flow: &Flow) {
        let key = &flow.key;
        let (inputs, graph) = (self.inputs, &self.done.graph);
        let starts = facts(key, inputs.fleet).into_iter().map(|(kind, name)| Node { kind, name });
        let ours = (inputs.instances == Some(1)).then(|| Node::new(Kind::Autarky, ""));
        let rests = graph.closure(starts.chain(ours).filter_map(|node| graph.place(&node)));
        let from = key.deployment.as_deref().and_then(|name| inputs.fleet?.deployment_named(name));
        let known = key.product.as_deref().and_then(|name| inputs.fleet?.product_named(name));
        let ways = known.zip(inputs.fleet).map(|(product, fleet)| self.ways(fleet, product, flow, from));
        if ways.is_none() {
            self.done.unruled += flow.answered;
        }
        let product = self.product(key.product.clone(), known);
        let alive = from.is_none_or(|ix| !self.gone.contains(&ix));
        let place = self.add(Demand { product, rests, alive, ways }, flow.answered);
        self.done.of_flow.push(place);
    }

    /// Products that asked nothing in the window are judged by what `auto` would find.
    fn silent_products(&mut self) {
        let Some(fleet) = self.inputs.fleet else { return };
        for product in fleet.products() {
            let at = self.product(Some(product.name().into()), Some(product.ix()));
            if self.done.list.iter().any(|(demand, weight)| demand.product == at && *weight > 0) {
                continue;
            }
            let flow =
                Flow { key: FlowKey { product: Some(product.name().into()), ..FlowKey::default() }, ..Flow::default() };
            let ways = self.ways(fleet, product.ix(), &flow, None);
            let Some(first) = ways.first() else { continue };
            let rests = self.done.rests[first.deployment].clone();
            self.add(Demand { product: at, rests, alive: true, ways: Some(ways) }, 0);
        }
    }

    fn add(&mut self, demand: Demand, weight: u64) -> usize {
        if let Some(place) = self.places.get(&demand) {
            self.done.list[*place].1 += weight;
            return *place;
        }
        let place = self.done.list.len();
        self.places.insert(demand.clone(), place);
        self.done.list.push((demand, weight));
        place
    }

    fn product(&mut self, name: Option<Name>, known: Option<ProductIx>) -> usize {
        if let Some(at) = self.done.product(name.as_deref()) {
            return at;
        }
        let rules = known.zip(self.inputs.fleet).map(|(ix, fleet)| fleet.product(ix).rules());
        self.done.products.push(Product {
            name,
            criticality: rules.map(|rules| rules.criticality),
            tolerated: rules.map_or(0.0, |rules| 1.0 - rules.cover.share),
        });
        self.done.products.len() - 1
    }

    fn ways(&mut self, fleet: &Fleet, product: ProductIx, flow: &Flow, from: Option<DeploymentIx>) -> Vec<Way> {
        let key = &flow.key;
        let locked = key.portability == Some(Portability::Locked);
        if locked && from.is_none() {
            return Vec::new(); // its state lies where nobody of the fleet is
        }
        let question = Question {
            product,
            model: key.requested_model.clone(),
            lacked: key.lacked,
            purpose: purpose(key.dialect.as_deref()),
            tokens: flow.largest.unwrap_or(0),
            bound: from.filter(|_| locked),
        };
        let wall = self.inputs.day.wall();
        let gone = &self.gone;
        let found = self.cache.entry(question).or_insert_with_key(|question| answers(fleet, question, wall, gone));
        let covers = self.inputs.covers;
        let covered = |to: DeploymentIx| {
            let (from, to) = (key.deployment.as_deref()?, &fleet.deployment(to).name);
            let product = fleet.product(product).name();
            Some(verdict(covers, product, key.class.as_deref(), from, to, self.inputs.day) == Verdict::Covered)
        };
        let way = |answer: &Answer| Way {
            deployment: answer.deployment.index(),
            level: answer.level,
            covered: covered(answer.deployment).unwrap_or(false),
        };
        found.iter().map(way).collect()
    }
}

/// What the requests of a flow rested on: as recorded; what was not recorded, as the fleet has it.
pub(crate) fn facts(key: &FlowKey, fleet: Option<&Fleet>) -> Vec<(Kind, Name)> {
    let deployment = key.deployment.as_deref().and_then(|name| {
        let fleet = fleet?;
        Some(fleet.deployment(fleet.deployment_named(name)?))
    });
    let kinds = Kind::ALL.into_iter();
    kinds.filter_map(|kind| Some((kind, fact(kind, key).or_else(|| kind.of(deployment?).map(Name::from))?))).collect()
}

/// What the row itself says.
fn fact(kind: Kind, key: &FlowKey) -> Option<Name> {
    let name = match kind {
        Kind::Maker => &key.maker,
        Kind::Host => &key.host,
        Kind::Invoicer => &key.invoicer,
        Kind::Account => &key.account,
        Kind::Family => &key.family,
        Kind::Region => &key.region,
        Kind::Provider => &key.provider,
        Kind::Deployment => &key.deployment,
        Kind::Party | Kind::Network | Kind::Autarky => &None,
    };
    name.clone().filter(|name| &**name != crate::node::UNKNOWN)
}

/// What kind of answer requests on `dialect` want.
pub(crate) fn purpose(dialect: Option<&str>) -> Purpose {
    if dialect == Some(canon::wire::openai_embeddings::ID.name()) { Purpose::Embedding } else { Purpose::Conversation }
}
