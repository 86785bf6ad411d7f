//! Single points of failure and pairs, against a naive search written apart: every node and every pair of nodes is
//! removed in turn, dependence is followed by hand, and the plan is asked about each request anew. Shares and their
//! concentration are computed a second way, too.

#![expect(clippy::unwrap_used, reason = "a test may")]

use canon::Facets;
use insurance::exposure::{Inputs, Level, Survival};
use insurance::register::{Contract, Declared, Sources};
use insurance::{Day, Exposure, Kind, Node, Register, exposure};
use ledger::flow::{Flow, FlowKey};
use policy::rules::{Cover, Criticality, Floor, LastResort, Needs, Rules, Substitute};
use policy::{Deployment, DeploymentIx, Fleet, FleetSpec, NanoUsd, PlanInput, Price, Snapshot, Tick, Wall, plan};
use proptest::prelude::*;
use proptest::sample::{select, subsequence};
use std::collections::{BTreeMap, BTreeSet};

const DAY: &str = "2026-11-23";
const MAKERS: [&str; 3] = ["openai", "anthropic", "mistral"];
const HOSTS: [&str; 4] = ["openai", "azure", "aws", "own"];
const MODELS: [&str; 3] = ["gpt", "claude", "large"];

#[derive(Debug, Clone)]
struct World {
    deployments: Vec<Deployment>,
    products: Vec<(String, Rules)>,
    declared: Declared,
    /// Product, deployment, model asked for, requests.
    traffic: Vec<(usize, usize, Option<&'static str>, u64)>,
}

fn deployment() -> impl Strategy<Value = Deployment> {
    (
        select(&MAKERS),
        select(&HOSTS),
        select(&MODELS),
        0..2_u8,
        prop::option::of(select(&["eu", "us"])),
        prop::option::of(select(&["f1", "f2"])),
        prop::option::of(0.0_f64..1.0),
        prop::bool::weighted(0.15),
        prop::option::weighted(0.1, -3_i64..3),
    )
        .prop_map(|(maker, host, model, account, region, family, quality, house, retires)| Deployment {
            model: model.to_owned(),
            maker: maker.to_owned(),
            host: if house { "own".to_owned() } else { host.to_owned() },
            invoicer: if host == "azure" { "microsoft".to_owned() } else { host.to_owned() },
            provider: host.to_owned(),
            account: format!("{host}-{account}"),
            region: region.map(str::to_owned),
            family: family.map(str::to_owned),
            retires: retires.map(|days| Wall::from_unix(Wall::from_date(2026, 11, 23).unix() + days * 86_400)),
            quality,
            house,
            ..Deployment::default()
        })
}

fn rules() -> impl Strategy<Value = Rules> {
    (
        subsequence(MAKERS.to_vec(), 0..=2),
        prop::bool::weighted(0.3),
        select(&[Substitute::Never, Substitute::OnLoss, Substitute::Free]),
        subsequence(LastResort::ALL.to_vec(), 0..=4),
        prop::bool::ANY,
        select(&[1.0, 0.9, 0.5]),
        prop::option::weighted(0.3, 0.0_f64..0.4),
    )
        .prop_map(|(forbidden, regions, substitute, last_resort, critical, share, margin)| Rules {
            needs: Needs {
                makers_forbidden: forbidden.into_iter().map(str::to_owned).collect(),
                regions: if regions { vec!["eu".to_owned()] } else { Vec::new() },
                ..Needs::default()
            },
            substitute,
            last_resort,
            criticality: if critical { Criticality::Critical } else { Criticality::Normal },
            cover: Cover { survive: Vec::new(), share },
            floor: margin.map(|margin| Floor { margin, against: "d0".to_owned() }),
            ..Rules::default()
        })
}

fn world() -> impl Strategy<Value = World> {
    let deployments = prop::collection::vec(deployment(), 1..8);
    let products = prop::collection::vec(rules(), 1..4);
    let names = ["host:azure", "host:aws", "family:f1", "family:f2", "party:openai", "network:edge", "party:microsoft"];
    let edges = prop::collection::vec((select(names.to_vec()), select(names.to_vec())), 0..5);
    (deployments, products, edges).prop_flat_map(|(deployments, products, edges)| {
        let request = (
            0..products.len(),
            0..deployments.len(),
            prop::option::of(select(&MODELS)),
            prop_oneof![1 => Just(0), 9 => 1_u64..50],
        );
        prop::collection::vec(request, 0..10).prop_map(move |traffic| {
            let mut declared = Declared::default();
            for (from, to) in &edges {
                declared.depends.entry((*from).to_owned()).or_default().push(to.parse().unwrap());
            }
            let named = |(at, one): (usize, &Deployment)| Deployment { name: format!("d{at}"), ..one.clone() };
            let mut deployments: Vec<Deployment> = deployments.iter().enumerate().map(named).collect();
            deployments[0].quality = Some(0.5);
            World {
                deployments,
                products: products.iter().enumerate().map(|(at, rules)| (format!("p{at}"), rules.clone())).collect(),
                declared,
                traffic,
            }
        })
    })
}

fn fleet(world: &World) -> Fleet {
    Fleet::build(FleetSpec {
        version: 1,
        deployments: world.deployments.clone(),
        products: world.products.clone(),
        unknown_price: Price::flat(NanoUsd(1), NanoUsd(1)),
    })
    .unwrap()
}

fn flows(world: &World) -> Vec<Flow> {
    let name = |text: &str| Some(text.into());
    Flow::merged(world.traffic.iter().map(|(product, at, model, requests)| {
        let one = &world.deployments[*at];
        Flow {
            key: FlowKey {
                product: name(&world.products[*product].0),
                requested_model: model.map(Into::into),
                deployment: name(&one.name),
                provider: name(&one.provider),
                maker: name(&one.maker),
                host: name(&one.host),
                invoicer: name(&one.invoicer),
                account: name(&one.account),
                region: one.region.as_deref().and_then(name),
                family: one.family.as_deref().and_then(name),
                ..FlowKey::default()
            },
            attempts: *requests,
            answered: *requests,
            tokens: requests * 7,
            cost_nanodollars: i64::try_from(requests * (*at as u64 + 1)).unwrap(),
            ..Flow::default()
        }
    }))
}

fn report(world: &World) -> Exposure {
    let fleet = fleet(world);
    let none: [Contract; 0] = [];
    let register = Register::build(Sources {
        fleet: &fleet,
        contracts: &none,
        under: &BTreeMap::new(),
        declared: &world.declared,
    });
    exposure(&Inputs {
        flows: &flows(world),
        register: &register,
        fleet: Some(&fleet),
        drills: &[],
        covers: &[],
        day: DAY.parse::<Day>().unwrap(),
        instances: Some(1),
        inferred: &[],
        notes: &[],
    })
}

// The naive one: texts, and everything is walked again for every question.

/// All that `one` depends on, as texts.
fn needs(world: &World, one: &Deployment) -> BTreeSet<String> {
    let mut all: BTreeSet<String> = BTreeSet::from(["autarky".to_owned()]);
    for (kind, name) in [
        ("deployment", Some(one.name.as_str())),
        ("maker", Some(one.maker.as_str())),
        ("host", Some(one.host.as_str())),
        ("invoicer", Some(one.invoicer.as_str())),
        ("account", Some(one.account.as_str())),
        ("provider", Some(one.provider.as_str())),
        ("region", one.region.as_deref()),
        ("family", one.family.as_deref()),
    ] {
        let Some(name) = name else { continue };
        all.insert(format!("{kind}:{name}"));
    }
    loop {
        let before = all.len();
        for role in ["maker:", "host:", "invoicer:"] {
            let names: Vec<String> = all.iter().filter_map(|one| one.strip_prefix(role)).map(str::to_owned).collect();
            all.extend(names.into_iter().filter(|name| name != "own").map(|name| format!("party:{name}")));
        }
        for (from, list) in &world.declared.depends {
            if all.contains(from) {
                all.extend(list.iter().map(ToString::to_string));
            }
        }
        if all.len() == before {
            return all;
        }
    }
}

/// What is left to a request when `lost` are lost: by one plan without all that depends on them.
fn left(world: &World, fleet: &Fleet, product: &str, model: Option<&str>, lost: &[&str]) -> Level {
    let wall = Wall::from_date(2026, 11, 23);
    let exclude: Vec<DeploymentIx> = fleet
        .iter()
        .filter(|(_, one)| needs(world, one).iter().any(|need| lost.contains(&need.as_str())))
        .map(|(ix, _)| ix)
        .collect();
    let asked = plan(&PlanInput {
        facets: &Facets::default(),
        model: model.unwrap_or(""),
        product: fleet.product(fleet.product_named(product).unwrap()),
        fleet,
        view: &Snapshot::default(),
        now: Tick::ZERO,
        wall,
        chance: 7,
        dialect: None,
        permit: None,
        exclude: &exclude,
        warm: None,
        bound: None,
    });
    match asked {
        Err(_) => Level::Nothing,
        Ok(plan) => {
            let fine = |leg: &policy::Leg| matches!(leg.degraded, None | Some(policy::Degraded::Substitute));
            if plan.legs.iter().any(fine) { Level::Fine } else { Level::LastResort }
        }
    }
}

/// What losing `lost` does to each product: what is left to it.
fn naive(world: &World, fleet: &Fleet, lost: &[&str]) -> BTreeMap<String, (Level, Survival)> {
    let today = Wall::from_date(2026, 11, 23);
    let mut found = BTreeMap::new();
    for (product, rules) in &world.products {
        let mut survival = Survival::default();
        let mine = world.traffic.iter().filter(|(at, ..)| world.products[*at].0 == *product);
        for (_, at, model, requests) in mine {
            let one = &world.deployments[*at];
            let over = one.retires.is_some_and(|wall| wall <= today);
            let hit = over || needs(world, one).iter().any(|need| lost.contains(&need.as_str()));
            match if hit { Some(left(world, fleet, product, *model, lost)) } else { None } {
                None => survival.untouched += requests,
                Some(Level::Fine) => survival.configured += requests,
                Some(Level::LastResort) => survival.last_resort += requests,
                Some(Level::Nothing) => survival.nothing += requests,
            }
        }
        let total = survival.total() as f64;
        let allowed = (1.0 - rules.cover.share) * total + 1e-6;
        let level = if survival.total() == 0 {
            silent(world, fleet, product, lost)
        } else if survival.nothing as f64 > allowed {
            Level::Nothing
        } else if (survival.nothing + survival.last_resort) as f64 > allowed {
            Level::LastResort
        } else {
            Level::Fine
        };
        found.insert(product.clone(), (level, survival));
    }
    found
}

/// A product without traffic: `auto` as it is, and without `lost`. One that is lost already is no point of failure.
/// Requests that failed, recorded with no answer, are not traffic, but whom they asked is hit all the same.
fn silent(world: &World, fleet: &Fleet, product: &str, lost: &[&str]) -> Level {
    let today = Wall::from_date(2026, 11, 23);
    let mut worst = Level::Fine;
    let asked = world.traffic.iter().filter(|(at, ..)| world.products[*at].0 == product);
    for (_, at, model, _) in asked {
        let one = &world.deployments[*at];
        let over = one.retires.is_some_and(|wall| wall <= today);
        if over || needs(world, one).iter().any(|need| lost.contains(&need.as_str())) {
            worst = worst.max(left(world, fleet, product, *model, lost));
        }
    }
    if left(world, fleet, product, None, &[]) == Level::Nothing {
        return worst;
    }
    let wall = Wall::from_date(2026, 11, 23);
    let first = plan(&PlanInput {
        facets: &Facets::default(),
        model: "",
        product: fleet.product(fleet.product_named(product).unwrap()),
        fleet,
        view: &Snapshot::default(),
        now: Tick::ZERO,
        wall,
        chance: 0,
        dialect: None,
        permit: None,
        exclude: &[],
        warm: None,
        bound: None,
    })
    .unwrap()
    .first()
    .unwrap();
    let hit = needs(world, fleet.deployment(first)).iter().any(|need| lost.contains(&need.as_str()));
    if hit { worst.max(left(world, fleet, product, None, lost)) } else { worst }
}

fn all_nodes(world: &World) -> BTreeSet<String> {
    world.deployments.iter().flat_map(|one| needs(world, one)).collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, ..ProptestConfig::default() })]

    #[test]
    fn single_points_and_pairs_are_what_brute_force_finds(world in world()) {
        let (report, fleet) = (report(&world), fleet(&world));
        let nodes = all_nodes(&world);
        let mut singles = BTreeMap::new();
        let mut single_points = BTreeSet::new();
        for node in &nodes {
            for (product, (level, survival)) in naive(&world, &fleet, &[node]) {
                singles.insert((node.clone(), product.clone()), level);
                if level > Level::Fine {
                    single_points.insert((node.clone(), product, format!("{level:?} {survival:?}")));
                }
            }
        }
        let said: BTreeSet<_> = report.single_points.iter().flat_map(|point| {
            point.nodes.iter().map(|node| {
                let product = point.product.as_deref().unwrap().to_owned();
                (node.to_string(), product, format!("{:?} {:?}", point.left, point.survival))
            })
        }).collect();
        prop_assert_eq!(&said, &single_points);

        let mut pairs = BTreeSet::new();
        for (at, first) in nodes.iter().enumerate() {
            for second in nodes.iter().skip(at + 1) {
                for (product, (level, survival)) in naive(&world, &fleet, &[first, second]) {
                    let alone = |node: &String| singles[&(node.clone(), product.clone())];
                    if level > alone(first).max(alone(second)) {
                        pairs.insert((first.clone(), second.clone(), product, format!("{level:?} {survival:?}")));
                    }
                }
            }
        }
        let said: BTreeSet<_> = report.pairs.iter().flat_map(|pair| {
            pair.first.iter().flat_map(move |first| pair.second.iter().map(move |second| {
                let (first, second) = (first.to_string(), second.to_string());
                let (first, second) = if first < second { (first, second) } else { (second, first) };
                (first, second, pair.product.as_deref().unwrap().to_owned(), format!("{:?} {:?}", pair.left, pair.survival))
            }))
        }).collect();
        prop_assert_eq!(said, pairs);
    }

    #[test]
    fn shares_are_whole_and_the_index_is_the_usual_one(world in world()) {
        let report = report(&world);
        let total: u64 = world.traffic.iter().map(|(.., requests)| requests).sum();
        prop_assert_eq!(report.tables.len(), Kind::SHARED.len());
        for table in &report.tables {
            if total == 0 {
                prop_assert!(table.requests.is_none());
                continue;
            }
            for share in [
                table.rows.iter().filter_map(|row| row.shares.requests).sum::<f64>(),
                table.rows.iter().filter_map(|row| row.shares.tokens).sum::<f64>(),
                table.rows.iter().filter_map(|row| row.shares.spend).sum::<f64>(),
            ] {
                prop_assert!((share - 1.0).abs() < 1e-9, "{:?}: {share}", table.by);
            }
            // the same from the traffic itself: HHI = 10,000 · Σ n² / (Σ n)²
            let mut counts: BTreeMap<Option<String>, u64> = BTreeMap::new();
            for (_, at, _, requests) in &world.traffic {
                *counts.entry(table.by.of(&world.deployments[*at]).map(str::to_owned)).or_default() += requests;
            }
            let squares: u64 = counts.values().map(|count| count * count).sum();
            let hhi = 10_000.0 * squares as f64 / (total * total) as f64;
            let said = table.requests.unwrap();
            prop_assert!((said.hhi - hhi).abs() < 1e-6, "{:?}: {} against {hhi}", table.by, said.hhi);
            prop_assert!((said.effective * said.hhi - 10_000.0).abs() < 1e-6);
            prop_assert_eq!(said.at_most, counts.get(&None).is_some_and(|count| *count > 0));
            for row in table.rows.iter().filter(|row| row.requests > 0) {
                let Some(name) = &row.name else { continue };
                let survival = row.survival.unwrap();
                prop_assert_eq!(survival.total(), total);
                prop_assert!(survival.touched() >= row.requests);
                prop_assert!(Node::new(table.by, name).to_string().contains(&**name));
            }
        }
    }
}
