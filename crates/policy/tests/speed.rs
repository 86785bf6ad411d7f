//! How long a plan takes, printed for people: `cargo test -p policy --release --test speed -- --ignored --nocapture`.

use canon::Facets;
use policy::{
    Deployment, DeploymentIx, Fleet, FleetSpec, Live, NanoUsd, PlanInput, Price, ProductIx, Rules, Share, SizeBucket,
    Tick, View, Wall, plan,
};
use std::hint::black_box;
use std::sync::Arc;
use std::time::Instant;

/// A view as cheap as the gateway's: a load per question.
struct Flat;

impl View for Flat {
    fn live(&self, _: DeploymentIx, _: SizeBucket, _: Tick) -> Live {
        black_box(Live::FRESH)
    }

    fn share(&self, _: ProductIx, _: usize, _: Tick) -> Share {
        black_box(Share { used: 1, total: 10 })
    }

    fn money_left(&self, _: ProductIx, _: Wall) -> Option<NanoUsd> {
        black_box(None)
    }
}

fn nanos_per_plan(deployments: usize, rules: &str, model: &str) -> u128 {
    let deployment = |at: usize| Deployment {
        name: format!("d{at}"),
        model: format!("model-{}", at / 3),
        maker: format!("maker-{}", at % 7),
        host: format!("host-{}", at % 5),
        context: Some(128_000),
        price: Some(Arc::new(Price::flat(NanoUsd(at as u64 * 1_000), NanoUsd::ZERO).into())),
        quality: Some(0.5),
        order: at as u32,
        ..Deployment::default()
    };
    let rules: Rules = toml::from_str(rules).expect("rules");
    let fleet = Fleet::build(FleetSpec {
        version: 1,
        deployments: (0..deployments).map(deployment).collect(),
        products: vec![("p".to_owned(), rules)],
        unknown_price: Price::FREE,
    })
    .expect("a fleet");
    let facets = Facets { input_tokens: 3_000, ..Facets::default() };
    let batch = |batch: u64| {
        let start = Instant::now();
        for chance in batch * 64..batch * 64 + 64 {
            let input = PlanInput {
                facets: &facets,
                model,
                product: fleet.product(ProductIx(0)),
                fleet: &fleet,
                view: &Flat,
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
        start.elapsed().as_nanos() / 64
    };
    // The least of many short batches: whatever else the machine does only adds.
    (0..400).map(batch).min().unwrap_or_default()
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
