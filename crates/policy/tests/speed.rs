//! How long a plan takes, printed for people: `cargo test -p policy --release --test speed -- --ignored --nocapture`.

use canon::Facets;
use policy::{Deployment, Fleet, FleetSpec, PlanInput, Price, ProductIx, Rules, Snapshot, Tick, Wall, plan};
use std::hint::black_box;
use std::time::Instant;

fn nanos_per_plan(deployments: usize, rules: &str, model: &str) -> u128 {
    let deployment = |at: usize| Deployment {
        name: format!("d{at}"),
        model: format!("model-{}", at / 3),
        maker: format!("maker-{}", at % 7),
        host: format!("host-{}", at % 5),
        context: Some(128_000),
        price: Some(Price { input: policy::NanoUsd(at as u64 * 1_000), ..Price::FREE }),
        quality: Some(0.5),
        order: u32::try_from(at).unwrap(),
        ..Deployment::default()
    };
    let rules: Rules = toml::from_str(rules).unwrap();
    let fleet = Fleet::build(FleetSpec {
        version: 1,
        deployments: (0..deployments).map(deployment).collect(),
        products: vec![("p".to_owned(), rules)],
        unknown_price: Price::FREE,
    })
    .unwrap();
    let facets = Facets { input_tokens: 3_000, ..Facets::default() };
    let view = Snapshot::default();
    let rounds = 20_000_u32;
    let start = Instant::now();
    for chance in 0..u64::from(rounds) {
        let input = PlanInput {
            facets: &facets,
            model,
            product: fleet.product(ProductIx(0)),
            fleet: &fleet,
            view: &view,
            now: Tick::ZERO,
            wall: Wall::from_date(2026, 11, 23),
            chance: chance << 44,
            dialect: None,
            permit: None,
            exclude: &[],
            warm: None,
            bound: None,
        };
        let _ = black_box(plan(black_box(&input)));
    }
    start.elapsed().as_nanos() / u128::from(rounds)
}

#[test]
#[ignore = "prints times; run by hand on an idle machine"]
fn time_of_a_plan() {
    let rich = "prefer = 'cost'\nlimit = { 'maker:maker-0' = 0.5 }\ncover = { survive = ['maker:*'] }";
    for (rules, what) in [("", "default rules"), (rich, "cost, cap, cover")] {
        for deployments in [2, 10, 100, 1_000] {
            for model in ["auto", "d1"] {
                let nanos = nanos_per_plan(deployments, rules, model);
                println!("{what}, {deployments} deployments, `{model}`: {nanos} ns a plan");
            }
        }
    }
}
