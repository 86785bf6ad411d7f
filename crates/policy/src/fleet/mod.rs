//! What is fixed until the next configuration: the facts of every deployment and the rules of every product, checked
//! and turned into tables that a plan only looks up. Built once, shared, never changed.

mod build;
mod caps;
mod product;

pub use build::{BuildError, FleetSpec};
pub use caps::{Cap, Caps};
use product::Proven;
pub(crate) use product::Standing;
pub use product::{Product, Ranked, ShareCap, Survive};

use crate::money::NanoUsd;
use crate::price::{Price, Tariff};
use crate::rules::{DataTerm, Limits};
use crate::time::Wall;
use canon::WireId;
use std::collections::HashMap;
use std::sync::Arc;

/// A deployment's place in the fleet; valid for the fleet that gave it only.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DeploymentIx(pub u32);

impl DeploymentIx {
    /// As an index into tables that have one row per deployment.
    #[must_use]
    pub const fn index(self) -> usize {
        self.0 as usize
    }
}

/// A product's place in the fleet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ProductIx(pub u32);

impl ProductIx {
    /// As an index into tables that have one row per product.
    #[must_use]
    pub const fn index(self) -> usize {
        self.0 as usize
    }
}

/// What is known of a deployment before it is ever asked. `None` is *unknown*, never "no" and never 0.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Deployment {
    /// Its name, unique in the fleet.
    pub name: String,
    /// The provider's name.
    pub provider: String,
    /// The model as the provider calls it.
    pub model: String,
    /// Who trained the model.
    pub maker: String,
    /// Whose machines run it.
    pub host: String,
    /// Who bills.
    pub invoicer: String,
    /// The account at the provider.
    pub account: String,
    /// Where it runs.
    pub region: Option<String>,
    /// The model's family.
    pub family: Option<String>,
    /// What it is known to be able to do.
    pub has: Caps,
    /// What it is known not to be able to do.
    pub lacks: Caps,
    /// Context window in tokens.
    pub context: Option<u64>,
    /// Most tokens of one answer.
    pub max_output: Option<u64>,
    /// The wires it speaks, the best first.
    pub wires: Vec<WireId>,
    /// What it charges.
    pub price: Option<Arc<Tariff>>,
    /// How much of it may be used.
    pub limits: Limits,
    /// Quality, 0 to 1, by the catalog or by the company's own evaluation.
    pub quality: Option<f64>,
    /// When the contract ends.
    pub contract_ends: Option<Wall>,
    /// When the model is retired at this host.
    pub retires: Option<Wall>,
    /// Whether that day only warns and bars nothing: it is the catalog's, not the company's own word.
    pub retires_warns: bool,
    /// What the contract promises about data.
    pub data: Vec<DataTerm>,
    /// What the contract makes us pay in any case.
    pub commitment: Option<Commitment>,
    /// Its place in the preferred order; equal numbers share the load by headroom.
    pub order: u32,
    /// Whether it is the embedded house model: in our own process, free, and the last resort.
    pub house: bool,
}

/// Money that is paid to a contract's party whether it is used or not: while some of it is left, using it costs nothing more.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Commitment {
    /// The contract, which several deployments may share.
    pub contract: Arc<str>,
    /// In a calendar month (UTC).
    pub month: NanoUsd,
}

/// A property of deployments by which traffic can depend on a party.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Dim {
    /// Who trained the model.
    Maker,
    /// Whose machines run it.
    Host,
    /// Who bills.
    Invoicer,
    /// The account at the provider.
    Account,
    /// The provider.
    Provider,
    /// The region.
    Region,
    /// The model's family.
    Family,
    /// The model.
    Model,
    /// The deployment.
    Deployment,
}

impl Dim {
    /// Every one.
    pub const ALL: [Self; 9] = [
        Self::Maker,
        Self::Host,
        Self::Invoicer,
        Self::Account,
        Self::Provider,
        Self::Region,
        Self::Family,
        Self::Model,
        Self::Deployment,
    ];

    /// The word before the colon of a party, as in `maker:openai`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Maker => "maker",
            Self::Host => "host",
            Self::Invoicer => "invoicer",
            Self::Account => "account",
            Self::Provider => "provider",
            Self::Region => "region",
            Self::Family => "family",
            Self::Model => "model",
            Self::Deployment => "deployment",
        }
    }

    /// Reads `maker:openai`; `None` where the word before the colon is unknown or nothing follows it.
    #[must_use]
    pub fn parse(party: &str) -> Option<(Self, &str)> {
        let (word, name) = party.split_once(':')?;
        let dim = Self::ALL.into_iter().find(|dim| dim.name() == word)?;
        (!name.is_empty()).then_some((dim, name))
    }

    /// Who `deployment`'s party is in this respect; `None`: unknown.
    #[must_use]
    pub fn of(self, deployment: &Deployment) -> Option<&str> {
        let party = match self {
            Self::Maker => &deployment.maker,
            Self::Host => &deployment.host,
            Self::Invoicer => &deployment.invoicer,
            Self::Account => &deployment.account,
            Self::Provider => &deployment.provider,
            Self::Region => return deployment.region.as_deref(),
            Self::Family => return deployment.family.as_deref(),
            Self::Model => &deployment.model,
            Self::Deployment => &deployment.name,
        };
        (!party.is_empty()).then_some(party.as_str())
    }
}

/// A deployment's facts as a plan reads them: small and side by side.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Lean {
    pub(crate) context: u64,
    pub(crate) max_output: Option<u64>,
    pub(crate) quality: Option<f64>,
    /// What a usual request costs, in dollars.
    pub(crate) usual: f64,
    pub(crate) contract_ends: Wall,
    pub(crate) retires: Wall,
    pub(crate) wires: u32,
    pub(crate) lacks: Caps,
    /// The space that its vectors lie in; 0: it makes none, it converses.
    pub(crate) space: u32,
    pub(crate) house: bool,
    /// Whether its contract has a commitment.
    pub(crate) committed: bool,
}

/// Every deployment and product of one configuration.
#[derive(Debug)]
pub struct Fleet {
    version: u64,
    unknown_price: Price,
    deployments: Vec<Deployment>,
    lean: Vec<Lean>,
    /// What a deployment of unknown price is taken to charge.
    unknown: Arc<Tariff>,
    free: Arc<Tariff>,
    wires: Vec<WireId>,
    names: HashMap<Box<str>, Box<[Ranked]>>,
    houses: Box<[Ranked]>,
    products: Vec<Product>,
    product_names: HashMap<Box<str>, ProductIx>,
}

impl Fleet {
    /// The configuration's version, as written into every ledger row.
    #[must_use]
    pub const fn version(&self) -> u64 {
        self.version
    }

    /// Takes over what was shown by comparing deployments with a product's `floor.against`, in the place of what was
    /// shown before; what speaks of no product or deployment of this fleet is left out.
    pub fn prove<'p>(&mut self, proofs: impl IntoIterator<Item = Proof<'p>>) {
        let standings = self.products.iter_mut().flat_map(|product| product.standing.iter_mut());
        standings.for_each(|standing| standing.proven = None);
        for proof in proofs {
            let Some(ix) = self.deployment_named(proof.deployment) else { continue };
            let Some(product) = self.product_named(proof.product) else { continue };
            let product = &mut self.products[product.index()];
            if product.rules.floor.as_ref().is_some_and(|floor| floor.against == proof.against) {
                product.standing[ix.index()].proven = Some(Proven { meets: proof.meets, until: proof.until });
            }
        }
    }

    /// What it was built from, for a fleet that is like it but for something.
    #[must_use]
    pub fn spec(&self) -> FleetSpec {
        let product = |product: &Product| (product.name().to_owned(), product.rules().clone());
        FleetSpec {
            version: self.version,
            deployments: self.deployments.clone(),
            products: self.products.iter().map(product).collect(),
            unknown_price: self.unknown_price,
        }
    }

    /// Every deployment; a `DeploymentIx` is the place in this list.
    #[must_use]
    pub fn deployments(&self) -> &[Deployment] {
        &self.deployments
    }

    /// Every deployment with its place.
    pub fn iter(&self) -> impl Iterator<Item = (DeploymentIx, &Deployment)> {
        (0_u32..).map(DeploymentIx).zip(&self.deployments)
    }

    /// One deployment. Indexes from another fleet may panic or name another deployment.
    #[must_use]
    pub fn deployment(&self, ix: DeploymentIx) -> &Deployment {
        &self.deployments[ix.index()]
    }

    /// The deployment called `name`.
    #[must_use]
    pub fn deployment_named(&self, name: &str) -> Option<DeploymentIx> {
        self.named(name)?.iter().map(|ranked| ranked.ix).find(|ix| self.deployment(*ix).name == name)
    }

    /// What one deployment charges, or what a deployment of unknown price is taken to charge.
    #[must_use]
    pub fn tariff(&self, ix: DeploymentIx) -> &Arc<Tariff> {
        let deployment = self.deployment(ix);
        let assumed = if deployment.house { &self.free } else { &self.unknown };
        deployment.price.as_ref().unwrap_or(assumed)
    }

    /// Every product; a `ProductIx` is the place in this list.
    #[must_use]
    pub fn products(&self) -> &[Product] {
        &self.products
    }

    /// One product. Indexes from another fleet may panic or name another product.
    #[must_use]
    pub fn product(&self, ix: ProductIx) -> &Product {
        &self.products[ix.index()]
    }

    /// The product called `name`.
    #[must_use]
    pub fn product_named(&self, name: &str) -> Option<ProductIx> {
        self.product_names.get(name).copied()
    }

    /// The product that answers requests without a key.
    #[must_use]
    pub fn anonymous(&self) -> Option<ProductIx> {
        self.products.iter().find(|product| product.rules().anonymous).map(Product::ix)
    }

    /// The deployments that `patterns` (deployment and model names, `gpt*` for a beginning) allow, for a key.
    #[must_use]
    pub fn permit(&self, patterns: &[String]) -> Permit {
        let mut permit = Permit(vec![0; self.deployments.len().div_ceil(64)]);
        for (ix, deployment) in self.iter() {
            if patterns.iter().any(|pattern| deployment.answers_to(pattern)) {
                permit.0[ix.index() / 64] |= 1 << (ix.index() % 64);
            }
        }
        permit
    }

    /// The names that `product` can ask for: `auto`, its aliases, and the deployments and models that it may use.
    #[must_use]
    pub fn names_of<'a>(&'a self, product: &'a Product) -> Vec<&'a str> {
        let mut names: Vec<&str> = vec![AUTO];
        names.extend(product.aliases.keys().map(AsRef::as_ref));
        for (ix, deployment) in self.iter() {
            if product.never(ix).is_none() {
                names.push(&deployment.name);
                names.push(&deployment.model);
            }
        }
        names.sort_unstable();
        names.dedup();
        names
    }

    pub(crate) fn named(&self, name: &str) -> Option<&[Ranked]> {
        self.names.get(name).map(AsRef::as_ref)
    }

    pub(crate) fn houses(&self) -> &[Ranked] {
        &self.houses
    }

    pub(crate) fn lean(&self, ix: DeploymentIx) -> &Lean {
        &self.lean[ix.index()]
    }

    /// The bit of `wire` in `Lean::wires`; 0 where no deployment speaks it.
    pub(crate) fn wire_bit(&self, wire: WireId) -> u32 {
        self.wires.iter().position(|known| *known == wire).map_or(0, |at| 1 << at)
    }
}

/// What a comparison of two deployments on all of a product's tasks showed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Proof<'a> {
    /// The product.
    pub product: &'a str,
    /// The deployment that sets the measure.
    pub against: &'a str,
    /// The deployment compared with it.
    pub deployment: &'a str,
    /// Whether it was shown to be no worse than the margin allows; `false`: it was shown to be worse.
    pub meets: bool,
    /// From when on it does not count any more.
    pub until: Wall,
}

/// The name that leaves the choice of a model to the policy.
pub const AUTO: &str = "auto";

/// The deployments that a key may use.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Permit(Vec<u64>);

impl Permit {
    /// Whether `ix` is among them.
    #[must_use]
    pub fn allows(&self, ix: DeploymentIx) -> bool {
        self.0.get(ix.index() / 64).is_some_and(|word| word >> (ix.index() % 64) & 1 == 1)
    }
}

impl Deployment {
    /// Whether `pattern` is this deployment's name or model, or a beginning of one followed by `*`.
    #[must_use]
    pub fn answers_to(&self, pattern: &str) -> bool {
        match pattern.strip_suffix('*') {
            Some(beginning) => self.name.starts_with(beginning) || self.model.starts_with(beginning),
            None => self.name == pattern || self.model == pattern,
        }
    }
}
