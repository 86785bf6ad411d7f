//! From what was written to a fleet: every name is looked up, every number checked, every table computed. All errors
//! are found in one go; each names the product and the field, so that the reader of the file can point at the line.

use super::product::{Standing, unmet};
use super::{AUTO, Deployment, DeploymentIx, Dim, Fleet, Lean, Product, ProductIx, Ranked, ShareCap, Survive};
use crate::plan::nearest;
use crate::price::{Counts, Price, Tariff};
use crate::rules::{LastResort, Prefer, Rules, Timeouts, Weights};
use crate::time::Wall;
use canon::WireId;
use std::collections::{HashMap, HashSet};
use std::sync::Arc;

/// What a fleet is built from.
#[derive(Debug, Clone)]
pub struct FleetSpec {
    /// The configuration's version (a hash or a count); goes into every plan.
    pub version: u64,
    /// Every deployment.
    pub deployments: Vec<Deployment>,
    /// Every product by name.
    pub products: Vec<(String, Rules)>,
    /// What is reserved and compared where a deployment's price is unknown: dear enough to be the worst case.
    pub unknown_price: Price,
}

/// A rule that cannot be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct BuildError {
    /// The product; empty where the error is a deployment's.
    pub product: String,
    /// The field inside the product, e.g. `floor.against`; the deployment's name where `product` is empty.
    pub path: String,
    /// What is wrong.
    pub message: String,
    /// What to do.
    pub hint: Option<String>,
}

/// Bits of a mask: as many share caps or wires as one product or fleet can have.
const MASK_BITS: usize = 32;
/// Tokens in and out of a usual request, for comparing prices before there is a request.
const USUAL: (u64, u64) = (2_000, 500);

impl Fleet {
    /// Checks `spec` and computes the tables.
    ///
    /// # Errors
    /// Every rule that names what does not exist or a number that cannot be.
    pub fn build(spec: FleetSpec) -> Result<Self, Vec<BuildError>> {
        let mut errors = Vec::new();
        let deployments = spec.deployments;
        let mut wires: Vec<WireId> = deployments.iter().flat_map(|deployment| deployment.wires.clone()).collect();
        wires.sort_unstable();
        wires.dedup();
        wires.truncate(MASK_BITS);
        let spaces = spaces(&deployments);
        let lean: Vec<Lean> =
            deployments.iter().map(|deployment| lean(deployment, &wires, &spaces, &spec.unknown_price)).collect();
        let mut products = Vec::with_capacity(spec.products.len());
        let mut product_names = HashMap::new();
        let names = name_table(&deployments, &mut errors);
        let houses =
            ranked(all(&deployments).filter(|ix| deployments[ix.index()].house).map(|ix| (0, ix)), &deployments);
        let mut anonymous: Option<String> = None;
        for (ix, (name, rules)) in (0_u32..).map(ProductIx).zip(spec.products) {
            let mut check =
                Check { product: &name, deployments: &deployments, lean: &lean, names: &names, errors: &mut errors };
            if rules.anonymous
                && let Some(other) = anonymous.replace(name.clone())
            {
                check.fail(
                    "anonymous",
                    format!("products `{other}` and `{name}` both answer requests without a key"),
                    Some("set `anonymous = true` in one of them only".to_owned()),
                );
            }
            let product = check.product(ix, rules);
            if product_names.insert(name.as_str().into(), ix).is_some() {
                check.fail("", format!("product `{name}` is written twice"), Some("rename one of them".to_owned()));
            }
            products.push(product);
        }
        if errors.is_empty() {
            let FleetSpec { version, unknown_price, .. } = spec;
            let (unknown, free) = (Arc::new(Tariff::from(unknown_price)), Arc::new(Tariff::from(Price::FREE)));
            Ok(Self {
                version,
                unknown_price,
                deployments,
                lean,
                unknown,
                free,
                wires,
                names,
                houses,
                products,
                product_names,
            })
        } else {
            Err(errors)
        }
    }
}

fn all(deployments: &[Deployment]) -> impl Iterator<Item = DeploymentIx> + use<> {
    (0..u32::try_from(deployments.len()).unwrap_or(u32::MAX)).map(DeploymentIx)
}

/// The spaces of vectors there are: one per embedding model, whoever hosts it.
fn spaces(deployments: &[Deployment]) -> Vec<&str> {
    let mut spaces: Vec<&str> = deployments.iter().filter_map(space).collect();
    spaces.sort_unstable();
    spaces.dedup();
    spaces
}

/// The space that a deployment's vectors lie in: its model's, which hosts may call differently (`family` then says what
/// it is).
fn space(deployment: &Deployment) -> Option<&str> {
    let embeds = deployment.wires.contains(&canon::wire::openai_embeddings::ID);
    embeds.then(|| deployment.family.as_deref().unwrap_or(&deployment.model))
}

fn lean(deployment: &Deployment, wires: &[WireId], spaces: &[&str], unknown_price: &Price) -> Lean {
    const NEVER: Wall = Wall::from_unix(i64::MAX);
    let spoken = wires.iter().enumerate().filter(|(_, wire)| deployment.wires.contains(wire));
    // The last period's: only what is compared first hangs on it.
    let assumed = if deployment.house { Price::FREE } else { *unknown_price };
    let price = deployment.price.as_ref().map_or(assumed, |tariff| *tariff.at(NEVER, USUAL.0, None));
    Lean {
        context: deployment.context.unwrap_or(u64::MAX),
        max_output: deployment.max_output,
        usual: price.cost(&Counts { input: USUAL.0, output: USUAL.1, ..Counts::default() }).dollars(),
        quality: deployment.quality,
        contract_ends: deployment.contract_ends.unwrap_or(NEVER),
        retires: deployment.retires.filter(|_| !deployment.retires_warns).unwrap_or(NEVER),
        wires: spoken.fold(0, |mask, (at, _)| mask | 1 << at),
        lacks: deployment.lacks,
        space: space(deployment)
            .and_then(|name| spaces.binary_search(&name).ok())
            .map_or(0, |at| u32::try_from(at + 1).unwrap_or(u32::MAX)),
        house: deployment.house,
        committed: deployment.commitment.is_some(),
    }
}

/// Sorts by (place, `order`) and numbers the places; what is equal in both shares one rank.
fn ranked(members: impl Iterator<Item = (usize, DeploymentIx)>, deployments: &[Deployment]) -> Box<[Ranked]> {
    let mut keyed: Vec<_> = members.map(|(place, ix)| ((place, deployments[ix.index()].order), ix)).collect();
    keyed.sort_unstable();
    let mut seen = HashSet::new();
    keyed.retain(|(_, ix)| seen.insert(*ix));
    let mut rank = 0;
    let mut last = None;
    let mut list = Vec::with_capacity(keyed.len());
    for (key, ix) in keyed {
        if last.is_some_and(|last| last != key) {
            rank += 1;
        }
        last = Some(key);
        list.push(Ranked { ix, rank });
    }
    list.into()
}

fn name_table(deployments: &[Deployment], errors: &mut Vec<BuildError>) -> HashMap<Box<str>, Box<[Ranked]>> {
    let mut members: HashMap<&str, Vec<DeploymentIx>> = HashMap::new();
    let mut taken = HashSet::from([AUTO]);
    for ix in all(deployments) {
        let deployment = &deployments[ix.index()];
        if !taken.insert(&deployment.name) {
            errors.push(BuildError {
                product: String::new(),
                path: deployment.name.clone(),
                message: format!("the name of deployment `{}` is taken", deployment.name),
                hint: Some("give it a name of its own".to_owned()),
            });
        }
        members.entry(&deployment.model).or_default().push(ix);
    }
    // A deployment's own name is more exact than a model of the same name, unless it is called like its own model.
    for ix in all(deployments) {
        let deployment = &deployments[ix.index()];
        if deployment.name != deployment.model {
            members.insert(&deployment.name, vec![ix]);
        }
    }
    let row = |(name, list): (&str, Vec<DeploymentIx>)| {
        (Box::from(name), ranked(list.into_iter().map(|ix| (0, ix)), deployments))
    };
    members.into_iter().map(row).collect()
}

/// The check of one product.
struct Check<'a> {
    product: &'a str,
    deployments: &'a [Deployment],
    lean: &'a [Lean],
    names: &'a HashMap<Box<str>, Box<[Ranked]>>,
    errors: &'a mut Vec<BuildError>,
}

impl Check<'_> {
    fn fail(&mut self, path: &str, message: String, hint: Option<String>) {
        self.errors.push(BuildError { product: self.product.to_owned(), path: path.to_owned(), message, hint });
    }

    fn product(&mut self, ix: ProductIx, rules: Rules) -> Product {
        self.numbers(&rules);
        for party in &rules.needs.parties_forbidden {
            self.party("needs.parties_forbidden", party);
        }
        let caps = self.caps(&rules);
        let survive = self.survive(&rules);
        let floor = self.floor(&rules);
        let pins = self.deployments_named("pin", rules.pin.iter());
        let weighted = self.deployments_named("weights", rules.weights.keys());
        for pattern in &rules.models {
            if !self.deployments.iter().any(|deployment| deployment.answers_to(pattern)) {
                self.unknown("models", "model", pattern);
            }
        }
        let standing: Box<[Standing]> = all(self.deployments)
            .map(|ix| {
                let deployment = &self.deployments[ix.index()];
                Standing {
                    unmet: unmet(&rules.needs, deployment),
                    listed: rules.models.is_empty() || rules.models.iter().any(|p| deployment.answers_to(p)),
                    weight: weight_of(&rules, deployment),
                    pin: place_of(&pins, ix),
                    caps: caps.iter().enumerate().fold(0, |mask, (at, cap)| {
                        let counted = cap.dim.of(deployment) == Some(cap.party.as_str());
                        mask | u32::from(counted) << at
                    }),
                    proven: None,
                }
            })
            .collect();
        // The house model takes part like any other only where a rule names it.
        let chosen =
            |ix: &DeploymentIx| !self.deployments[ix.index()].house || pins.contains(ix) || weighted.contains(ix);
        let can = |ix: &DeploymentIx| standing[ix.index()].listed && standing[ix.index()].unmet.is_none();
        let mut auto = ranked(all(self.deployments).filter(can).filter(chosen).map(|ix| (0, ix)), self.deployments);
        if let Prefer::Weighted(weights) = rules.prefer {
            sort_by_what_never_changes(&mut auto, weights, self.lean);
        }
        Product {
            ix,
            name: self.product.to_owned(),
            aliases: self.aliases(&rules),
            parties: party_numbers(&survive, self.deployments),
            weighted: rules.weights.values().any(|weight| *weight > 0.0),
            standing,
            auto,
            caps,
            floor,
            survive,
            rules,
        }
    }

    fn unknown(&mut self, path: &str, what: &str, name: &str) {
        let known: Vec<&str> = self.names.keys().map(AsRef::as_ref).collect();
        let near = nearest(name, known.iter().copied());
        let hint = near.first().map_or_else(
            || "declare it under `[deployment.NAME]`".to_owned(),
            |near| format!("did you mean `{near}`?"),
        );
        self.fail(path, format!("unknown {what} `{name}` in product `{}`", self.product), Some(hint));
    }

    fn deployments_named<'n>(&mut self, path: &str, names: impl Iterator<Item = &'n String>) -> Vec<DeploymentIx> {
        let mut found = Vec::new();
        for name in names {
            match all(self.deployments).find(|ix| self.deployments[ix.index()].name == *name) {
                Some(ix) => found.push(ix),
                None => self.unknown(path, "deployment", name),
            }
        }
        found
    }

    fn aliases(&mut self, rules: &Rules) -> HashMap<Box<str>, Box<[Ranked]>> {
        let mut aliases = HashMap::new();
        for (alias, members) in &rules.aliases {
            let path = format!("aliases.{alias}");
            if alias == AUTO {
                self.fail(&path, "the alias `auto` would hide the policy's own choice".to_owned(), {
                    Some("choose another name".to_owned())
                });
            }
            if members.is_empty() {
                self.fail(&path, format!("alias `{alias}` stands for nothing"), {
                    Some("list at least one deployment or model".to_owned())
                });
            }
            let mut list = Vec::new();
            for (place, member) in members.iter().enumerate() {
                match self.names.get(member.as_str()) {
                    Some(found) => list.extend(found.iter().map(|ranked| (place, ranked.ix))),
                    None => self.unknown(&path, "deployment or model", member),
                }
            }
            aliases.insert(alias.as_str().into(), ranked(list.into_iter(), self.deployments));
        }
        aliases
    }

    fn caps(&mut self, rules: &Rules) -> Vec<ShareCap> {
        let mut caps = Vec::new();
        for (key, share) in &rules.limit {
            let path = format!("limit.{key}");
            let Some((dim, party)) = self.party(&path, key) else { continue };
            if !(*share > 0.0 && *share <= 1.0) {
                self.fail(&path, format!("the share {share} of `{key}` is not above 0 and at most 1"), {
                    Some("write 0.7 for 70 %; to forbid a party use `needs.makers_forbidden`".to_owned())
                });
            }
            caps.push(ShareCap { dim, party: party.to_owned(), share: *share });
        }
        if caps.len() > MASK_BITS {
            self.fail("limit", format!("{} share caps are more than {MASK_BITS}", caps.len()), {
                Some("cap fewer parties".to_owned())
            });
            caps.truncate(MASK_BITS);
        }
        caps
    }

    fn party<'k>(&mut self, path: &str, key: &'k str) -> Option<(Dim, &'k str)> {
        let party = Dim::parse(key);
        if party.is_none() {
            let words: Vec<&str> = Dim::ALL.iter().map(|dim| dim.name()).collect();
            self.fail(path, format!("`{key}` does not name a party"), {
                Some(format!("write KIND:NAME, where KIND is one of {}", words.join(", ")))
            });
        }
        party
    }

    fn survive(&mut self, rules: &Rules) -> Vec<Survive> {
        let mut list = Vec::new();
        for key in &rules.cover.survive {
            if let Some((dim, party)) = self.party("cover.survive", key) {
                list.push(Survive { dim, party: (party != "*").then(|| party.to_owned()) });
            }
        }
        list
    }

    fn floor(&mut self, rules: &Rules) -> Option<f64> {
        let floor = rules.floor.as_ref()?;
        let against = *self.deployments_named("floor.against", std::iter::once(&floor.against)).first()?;
        let quality = self.deployments[against.index()].quality;
        if quality.is_none() {
            self.fail("floor.against", format!("the quality of `{}` is unknown", floor.against), {
                Some("set `quality` of that deployment, or measure against another one".to_owned())
            });
        }
        quality.map(|quality| quality - floor.margin)
    }

    fn numbers(&mut self, rules: &Rules) {
        let share = |x: f64| (0.0..=1.0).contains(&x);
        let connect = rules.timeouts.connect_ms > 0 && rules.timeouts.connect() <= Timeouts::MOST_CONNECT;
        let rows = [
            ("cover.share", share(rules.cover.share), "a share between 0 and 1"),
            ("standby", (0.0..=0.5).contains(&rules.standby), "a share between 0 and 0.5"),
            ("slo.error_rate", rules.slo.error_rate.is_none_or(share), "a share between 0 and 1"),
            ("floor.margin", rules.floor.as_ref().is_none_or(|floor| share(floor.margin)), "between 0 and 1"),
            ("hedge.share", (0.0..=0.5).contains(&rules.hedge.share), "a share between 0 and 0.5"),
            ("retries.share", share(rules.retries.share), "a share between 0 and 1"),
            ("retries.attempts", rules.retries.attempts >= 1, "at least 1: the first call counts"),
            ("timeouts.deadline_ms", rules.timeouts.deadline_ms > 0, "more than 0"),
            ("timeouts.connect_ms", connect, "1 to 10000"),
            ("timeouts.first_token_ms", rules.timeouts.first_token_ms > 0, "more than 0"),
            ("timeouts.whole_ms", rules.timeouts.whole_ms > 0, "more than 0"),
            ("timeouts.silence_ms", rules.timeouts.silence_ms > 0, "more than 0"),
            ("weights", rules.weights.values().all(|w| w.is_finite() && *w >= 0.0), "numbers of 0 or more"),
            (
                "prefer",
                !matches!(rules.prefer, Prefer::Weighted(weights) if !weights.usable()),
                "weights of 0 or more, at least one above 0",
            ),
            (
                "last_resort",
                LastResort::ALL.iter().all(|rule| rules.last_resort.iter().filter(|r| *r == rule).count() <= 1),
                "each rule at most once",
            ),
        ];
        for (path, good, must) in rows {
            if !good {
                self.fail(path, format!("`{path}` of product `{}` cannot be", self.product), {
                    Some(format!("it must be {must}"))
                });
            }
        }
    }
}

/// Puts the likely best first, so that a plan that stops early has seen them: by quality and by the cost of a usual
/// request. Latency is only known later.
fn sort_by_what_never_changes(list: &mut [Ranked], weights: Weights, lean: &[Lean]) {
    let cost = |ranked: &Ranked| lean[ranked.ix.index()].usual;
    let dearest = list.iter().map(cost).fold(f64::MIN_POSITIVE, f64::max);
    let score = |ranked: &Ranked| {
        let quality = lean[ranked.ix.index()].quality.unwrap_or(0.0);
        weights.cost * cost(ranked) / dearest + weights.quality * (1.0 - quality)
    };
    list.sort_by(|a, b| score(a).total_cmp(&score(b)));
}

#[expect(clippy::cast_possible_truncation, reason = "a weight needs no more digits")]
fn weight_of(rules: &Rules, deployment: &Deployment) -> f32 {
    rules.weights.get(&deployment.name).map_or(0.0, |weight| *weight as f32)
}

fn place_of(pins: &[DeploymentIx], ix: DeploymentIx) -> u16 {
    pins.iter().position(|pin| *pin == ix).and_then(|at| u16::try_from(at).ok()).unwrap_or(u16::MAX)
}

/// Numbers the parties of each `survive` entry; 0 where the entry does not speak of a deployment's party.
fn party_numbers(survive: &[Survive], deployments: &[Deployment]) -> Box<[u32]> {
    let mut numbers: HashMap<(Dim, &str), u32> = HashMap::new();
    let mut table = Vec::with_capacity(survive.len() * deployments.len());
    for deployment in deployments {
        for entry in survive {
            let party = entry.dim.of(deployment).filter(|party| entry.party.as_deref().is_none_or(|p| p == *party));
            table.push(party.map_or(0, |party| {
                let next = u32::try_from(numbers.len() + 1).unwrap_or(u32::MAX);
                *numbers.entry((entry.dim, party)).or_insert(next)
            }));
        }
    }
    table.into()
}
