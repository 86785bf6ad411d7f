//! Laws of the plan over random fleets, rules, states and requests: nothing outside the rules is ever chosen, equal
//! inputs give equal plans, and what a plan says of itself is true. The judge here is written apart from the code
//! that it judges. `PROPTEST_CASES` raises the number of cases (2,000 at least).

use canon::wire::{gemini, openai_chat};
use canon::{Facets, FaultKind, WireId};
use policy::breaker::{Cause, Health};
use policy::fleet::{Cap, Caps};
use policy::plan::Asked;
use policy::rules::{
    BudgetRules, Cover, DataTerm, Floor, LastResort, Needs, OnLoss, Over, Prefer, Rules, Slo, Substitute, Weights,
};
use policy::{
    Degraded, Deployment, DeploymentIx, DropReason, Fate, Fleet, FleetSpec, Leg, Live, NanoUsd, Plan, PlanInput, Price,
    ProductIx, Proof, Refusal, Share, Snapshot, Tick, View, Wall, Warm, explain, fates, plan,
};
use proptest::prelude::*;
use proptest::sample::{select, subsequence};
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

const NOW: Tick = Tick::from_millis(3_600_000);
const WALL: Wall = Wall::from_date(2026, 11, 23);
const MAKERS: [&str; 4] = ["openai", "anthropic", "mistral", "qwen"];
const HOSTS: [&str; 4] = ["openai", "azure", "aws", "own"];
const MODELS: [&str; 4] = ["gpt", "claude", "large", "open"];

fn cases() -> u32 {
    ProptestConfig::default().cases.max(2_000)
}

fn caps() -> impl Strategy<Value = Caps> {
    subsequence(Cap::ALL.to_vec(), 0..=Cap::ALL.len()).prop_map(|caps| caps.into_iter().collect())
}

fn deployment() -> impl Strategy<Value = Deployment> {
    let parties =
        (select(&MAKERS), select(&HOSTS), select(&MODELS), 0..2_u8, prop::option::of(select(&["eu", "us-1"])));
    let abilities = (caps(), prop::option::of(500_u64..200_000), prop::option::of(100_u64..9_000));
    let terms = (
        prop::option::of((0_u64..20, 0_u64..60)),
        prop::option::of(0.0_f64..1.0),
        prop::option::weighted(0.1, -5_i64..5),
        prop::option::weighted(0.1, -5_i64..5),
        subsequence(vec![DataTerm::NoTraining, DataTerm::ZeroRetention], 0..=2),
    );
    (parties, abilities, terms, 0_u32..6, prop::bool::weighted(0.1)).prop_map(
        |((maker, host, model, account, region), (has, context, max_output), terms, order, house)| {
            let (price, quality, contract, retires, data) = terms;
            let day = |days: i64| Wall::from_unix(WALL.unix() + days * 86_400);
            Deployment {
                provider: host.to_owned(),
                model: model.to_owned(),
                maker: maker.to_owned(),
                host: host.to_owned(),
                invoicer: host.to_owned(),
                account: format!("{host}-{account}"),
                region: region.map(str::to_owned),
                has,
                lacks: Caps::all().without(has),
                context,
                max_output,
                price: price.map(|(input, output)| {
                    let flat = Price::flat(NanoUsd::from_dollars(input), NanoUsd::from_dollars(output));
                    Arc::new(Price { cache_read: NanoUsd::ZERO, ..flat }.into())
                }),
                quality,
                contract_ends: contract.map(day),
                retires: retires.map(day),
                data,
                order,
                house,
                wires: vec![if account == 0 { openai_chat::ID } else { gemini::ID }],
                ..Deployment::default()
            }
        },
    )
}

fn some(names: &'static [&'static str], most: usize) -> impl Strategy<Value = Vec<String>> {
    prop_oneof![
        3 => Just(Vec::new()),
        1 => subsequence(names.to_vec(), 0..=most).prop_map(|names| names.into_iter().map(str::to_owned).collect()),
    ]
}

fn needs() -> impl Strategy<Value = Needs> {
    (
        prop::bool::weighted(0.2),
        prop::bool::weighted(0.2),
        prop::option::weighted(0.2, 500_u64..50_000),
        some(&["eu", "us"], 2),
        some(&MAKERS, 3),
        some(&MAKERS, 2),
        some(&HOSTS, 3),
        some(&HOSTS, 1),
        (prop::bool::weighted(0.2), some(&["invoicer:azure", "model:open", "region:us"], 2)),
    )
        .prop_map(
            |(tools, reasoning, context, regions, makers, no_makers, hosts, no_hosts, (no_training, parties))| Needs {
                tools,
                reasoning,
                context,
                regions,
                makers,
                makers_forbidden: no_makers,
                hosts,
                hosts_forbidden: no_hosts,
                parties_forbidden: parties,
                data: if no_training { vec![DataTerm::NoTraining] } else { Vec::new() },
                ..Needs::default()
            },
        )
}

fn prefer() -> impl Strategy<Value = Prefer> {
    prop_oneof![
        Just(Prefer::Order),
        Just(Prefer::COST),
        Just(Prefer::QUALITY),
        Just(Prefer::LATENCY),
        (0.1_f64..1.0, 0.0_f64..1.0, 0.0_f64..1.0).prop_map(|(cost, quality, latency)| Prefer::Weighted(Weights {
            cost,
            quality,
            latency
        })),
    ]
}

/// Rules; whatever names a deployment names it by number, to be filled in once there are deployments.
fn rules() -> impl Strategy<Value = Rules> {
    let who = (some(&["d0", "d1", "d2*", "gpt", "cl*"], 3), needs(), some(&["d0", "d1"], 2), prop::bool::weighted(0.2));
    let how = (
        prefer(),
        select(&[Substitute::Never, Substitute::OnLoss, Substitute::Free]),
        select(&[OnLoss::Send, OnLoss::Elsewhere, OnLoss::Reject]),
        select(&[Over::Refuse, Over::Degrade, Over::Alert]),
        subsequence(LastResort::ALL.to_vec(), 0..=4).prop_shuffle(),
    );
    let caps = prop::collection::btree_map(
        select(&["maker:openai", "host:azure", "model:claude", "account:aws-1"]).prop_map(str::to_owned),
        0.05_f64..1.0,
        0..3,
    );
    let floor = prop::option::weighted(0.3, 0.0_f64..0.5);
    let survive = (some(&["maker:*", "host:*", "account:aws-0"], 3), prop::option::weighted(0.3, 0.01_f64..0.5));
    let slo = prop::option::weighted(0.3, 1_u64..2_000);
    (who, how, caps, floor, survive, slo).prop_map(|(who, how, limit, floor, survive, slo)| Rules {
        models: who.0,
        needs: who.1,
        pin: who.2,
        weights: if who.3 { [("d0".to_owned(), 3.0), ("d1".to_owned(), 1.0)].into() } else { Default::default() },
        prefer: how.0,
        substitute: how.1,
        on_loss: how.2,
        budget: BudgetRules { over: how.3, ..BudgetRules::default() },
        last_resort: how.4,
        limit,
        floor: floor.map(|margin| Floor { margin, against: "d0".to_owned() }),
        cover: Cover { survive: survive.0, ..Cover::default() },
        standby: survive.1.unwrap_or_default(),
        slo: Slo { first_token_ms_p95: slo, error_rate: Some(0.1) },
        aliases: [("mine".to_owned(), vec!["d1".to_owned(), "d0".to_owned()])].into(),
        ..Rules::default()
    })
}

fn live() -> impl Strategy<Value = Live> {
    let cause = select(&[Cause::Hard, Cause::Limit, Cause::Sick, Cause::Correlated]);
    let health = prop_oneof![
        4 => Just(Health::Closed),
        1 => (0.01_f32..1.0).prop_map(Health::Ramp),
        1 => Just(Health::Probe),
        1 => Just(Health::Probing),
        2 => (1_u64..90, cause)
            .prop_map(|(secs, cause)| Health::Open { until: NOW.after(Duration::from_secs(secs)), cause }),
    ];
    let ms = || prop::option::of((1_u64..5_000).prop_map(Duration::from_millis));
    let headroom = prop_oneof![1 => Just(0.0_f32), 6 => 0.01_f32..=1.0];
    (health, headroom, ms(), ms(), prop::option::of(0.0_f32..0.3)).prop_map(
        |(health, headroom, first_token, first_token_p95, error_rate)| Live {
            failing: error_rate.unwrap_or_default(),
            health,
            headroom,
            first_token,
            first_token_p95,
            error_rate,
        },
    )
}

fn facets() -> impl Strategy<Value = Facets> {
    let wants = subsequence(vec!["tools", "images", "structured", "logprobs", "reasoning"], 0..=2);
    (wants, 0_u64..20_000, prop::option::of(1_u64..10_000), 1_u32..3).prop_map(|(wants, input, most, choices)| Facets {
        tools: wants.contains(&"tools"),
        images: wants.contains(&"images"),
        structured: wants.contains(&"structured"),
        logprobs: wants.contains(&"logprobs"),
        reasoning: wants.contains(&"reasoning"),
        choices,
        input_tokens: input,
        max_output_tokens: most,
        ..Facets::default()
    })
}

#[derive(Debug)]
struct Case {
    fleet: Fleet,
    view: Snapshot,
    facets: Facets,
    model: String,
    chance: u64,
    exclude: Vec<DeploymentIx>,
    warm: Option<Warm>,
    /// What the request's key may use, as written.
    permit: Option<Vec<String>>,
    bound: Option<DeploymentIx>,
    dialect: Option<WireId>,
    /// Of each deployment: what was shown of it, and for how many days that counts.
    proofs: Vec<Option<(bool, i64)>>,
    /// Of each deployment: nano-dollars per million tokens in and out.
    prices: HashMap<String, (u64, u64)>,
}

fn case() -> impl Strategy<Value = Case> {
    let proof = prop::option::weighted(0.3, (any::<bool>(), -2_i64..5));
    let fleet = (prop::collection::vec((deployment(), live(), proof), 2..9), rules());
    let state = (prop::collection::vec((0_u64..50, 50_u64..100), 3), prop::option::of(0_u64..2_000_000_000));
    const NAMES: [&str; 8] = ["auto", "", "d0", "d1", "gpt", "claude", "mine", "nobody"];
    let ties = (
        prop::bool::weighted(0.1),
        prop::bool::weighted(0.1),
        prop::option::weighted(0.2, some(&["d0", "d2*", "gpt", "open"], 4)),
        prop::option::weighted(0.05, 0_u32..2),
        prop::option::of(select(&[openai_chat::ID, gemini::ID])),
    );
    let request = (facets(), select(&NAMES), any::<u64>(), ties);
    (fleet, state, request).prop_map(|((drawn, rules), (shares, money), (facets, model, chance, ties))| {
        let (mut deployments, mut lives, mut proofs) = (Vec::new(), Vec::new(), Vec::new());
        for (deployment, live, proof) in drawn {
            deployments.push(deployment);
            lives.push(live);
            proofs.push(proof);
        }
        for (at, deployment) in deployments.iter_mut().enumerate() {
            deployment.name = format!("d{at}");
        }
        // A floor needs a measure, and a pattern something to match.
        deployments[0].quality = deployments[0].quality.or(Some(0.5));
        let known = |pattern: &String| deployments.iter().any(|deployment| deployment.answers_to(pattern));
        let rules = Rules { models: rules.models.iter().filter(|p| known(p)).cloned().collect(), ..rules };
        let mut view = Snapshot::default();
        view.live.extend((0_u32..).map(DeploymentIx).zip(lives));
        let shares = shares.into_iter().map(|(used, total)| Share { used, total });
        view.shares.extend((0..).map(|cap| (ProductIx(0), cap)).zip(shares));
        view.money.extend(money.map(|left| (ProductIx(0), NanoUsd(left))));
        let unknown_price = Price { input: NanoUsd::from_dollars(50), ..Price::FREE };
        let price = |one: &Deployment| {
            let price = one.price.as_ref().map(|tariff| *tariff.at(WALL, 0, None));
            let price = price.unwrap_or(if one.house { Price::FREE } else { unknown_price });
            (one.name.clone(), (price.input.0, price.output.0))
        };
        let prices = deployments.iter().map(price).collect();
        let products = vec![("p".to_owned(), rules)];
        let spec = FleetSpec { version: 1, deployments, products, unknown_price };
        let mut fleet = Fleet::build(spec).expect("the case is well formed");
        let names: Vec<String> = fleet.deployments().iter().map(|one| one.name.clone()).collect();
        let until = |days: i64| Wall::from_unix(WALL.unix() + days * 86_400);
        let shown = names.iter().zip(&proofs).filter_map(|(deployment, proof)| {
            proof.map(|(meets, days)| Proof { product: "p", against: "d0", deployment, meets, until: until(days) })
        });
        fleet.prove(shown);
        Case {
            fleet,
            view,
            facets,
            model: model.to_owned(),
            chance,
            exclude: if ties.0 { vec![DeploymentIx(0)] } else { Vec::new() },
            warm: ties.1.then_some(Warm { at: DeploymentIx(1), tokens: 400 }),
            permit: ties.2,
            bound: ties.3.map(DeploymentIx),
            dialect: ties.4,
            proofs,
            prices,
        }
    })
}

impl Case {
    fn input<'a>(&'a self, permit: Option<&'a policy::fleet::Permit>) -> PlanInput<'a, Snapshot> {
        PlanInput {
            facets: &self.facets,
            model: &self.model,
            product: self.fleet.product(ProductIx(0)),
            fleet: &self.fleet,
            view: &self.view,
            now: NOW,
            wall: WALL,
            chance: self.chance,
            dialect: self.dialect,
            permit,
            exclude: &self.exclude,
            warm: self.warm,
            bound: self.bound,
        }
    }

    fn rules(&self) -> &Rules {
        self.fleet.product(ProductIx(0)).rules()
    }

    fn live(&self, ix: DeploymentIx) -> Live {
        self.view.live[&ix]
    }

    /// Whether the client, or a rule, names the deployment.
    fn named(&self, ix: DeploymentIx) -> bool {
        let (deployment, rules) = (self.fleet.deployment(ix), self.rules());
        let by_client = match self.model.as_str() {
            "mine" => ["d0", "d1"].contains(&deployment.name.as_str()),
            name => deployment.name == name || deployment.model == name,
        };
        by_client || rules.pin.contains(&deployment.name) || rules.weights.contains_key(&deployment.name)
    }

    /// The hard rules once more, as the documentation of `Needs` states them.
    fn breaks_a_hard_rule(&self, leg: &Leg) -> Option<&'static str> {
        let (d, rules, facets) = (self.fleet.deployment(leg.deployment), self.rules(), &self.facets);
        let needs = &rules.needs;
        let stands_in = leg.degraded == Some(Degraded::House);
        let in_region = |region: &String| within(d, region);
        let keyed = self.permit.as_ref().is_none_or(|names| names.iter().any(|name| matches(d, name)));
        let output = facets.max_output_tokens.unwrap_or(0);
        let checks = [
            ("models", stands_in || rules.models.is_empty() || rules.models.iter().any(|p| matches(d, p))),
            ("key", stands_in || keyed),
            ("parties_forbidden", !self.has_forbidden_party(d)),
            ("state", self.bound.is_none_or(|bound| bound == leg.deployment)),
            ("tools", !(needs.tools || facets.tools) || d.has.has(Cap::Tools)),
            ("images", !facets.images || d.has.has(Cap::Images)),
            ("structured", !facets.structured || d.has.has(Cap::Structured)),
            ("logprobs", !facets.logprobs || d.has.has(Cap::Logprobs)),
            ("reasoning", !needs.reasoning || d.has.has(Cap::Reasoning)),
            ("context", needs.context.is_none_or(|needed| d.context.is_some_and(|has| has >= needed))),
            ("prompt", d.context.is_none_or(|has| facets.input_tokens + if d.house { 0 } else { output } <= has)),
            ("output", d.house || d.max_output.is_none_or(|most| output <= most)),
            ("makers", needs.makers.is_empty() || needs.makers.contains(&d.maker)),
            ("makers_forbidden", !needs.makers_forbidden.contains(&d.maker)),
            ("hosts", d.house || needs.hosts.is_empty() || needs.hosts.contains(&d.host)),
            ("hosts_forbidden", !needs.hosts_forbidden.contains(&d.host)),
            ("regions", d.house || needs.regions.is_empty() || needs.regions.iter().any(in_region)),
            ("data", d.house || needs.data.iter().all(|term| d.data.contains(term))),
            ("retired", d.retires.is_none_or(|day| day > WALL)),
            ("contract", d.contract_ends.is_none_or(|day| day > WALL)),
            ("excluded", !self.exclude.contains(&leg.deployment)),
            ("headroom", leg.degraded == Some(Degraded::Unhealthy) || self.live(leg.deployment).headroom > 0.0),
        ];
        checks.into_iter().find(|(_, kept)| !kept).map(|(name, _)| name)
    }

    fn over_cap(&self, ix: DeploymentIx) -> bool {
        let product = self.fleet.product(ProductIx(0));
        product.caps().iter().enumerate().any(|(at, cap)| {
            let share = self.view.share(ProductIx(0), at, NOW);
            let counts = cap.dim.of(self.fleet.deployment(ix)) == Some(cap.party.as_str());
            counts && share.used > 0 && (share.used + 1) as f64 > cap.share * (share.total + 1) as f64
        })
    }

    fn below_floor(&self, ix: DeploymentIx) -> bool {
        let Some(floor) = &self.rules().floor else { return false };
        if let Some(meets) = self.proven(ix) {
            return !meets;
        }
        let reference = self.best_named().filter(|_| self.measures_by_name());
        let reference = reference.or(self.fleet.deployment(DeploymentIx(0)).quality).expect("a measure");
        self.fleet.deployment(ix).quality.is_none_or(|quality| quality < reference - floor.margin)
    }
}

fn check_leg(case: &Case, leg: &Leg) -> Result<(), TestCaseError> {
    let ix = leg.deployment;
    let house = case.fleet.deployment(ix).house;
    let bends = |rule| case.rules().last_resort.contains(&rule);
    prop_assert_eq!(case.breaks_a_hard_rule(leg), None, "{:?}", leg);
    let down = matches!(case.live(ix).health, Health::Open { .. } | Health::Probing);
    prop_assert_eq!(down, leg.degraded == Some(Degraded::Unhealthy));
    prop_assert_eq!(leg.probe, case.live(ix).health == Health::Probe);
    match leg.degraded {
        Some(Degraded::Unhealthy) => prop_assert!(bends(LastResort::Unhealthy)),
        Some(Degraded::OverCap) => prop_assert!(bends(LastResort::OverCap) && case.over_cap(ix)),
        Some(Degraded::BelowFloor) => prop_assert!(bends(LastResort::BelowFloor) && case.below_floor(ix)),
        Some(Degraded::House) => prop_assert!(bends(LastResort::House) && house),
        Some(Degraded::Substitute) => prop_assert!(case.rules().substitute == Substitute::OnLoss),
        Some(Degraded::Budget) | None => {}
    }
    let outside = matches!(leg.degraded, Some(Degraded::OverCap | Degraded::BelowFloor | Degraded::House));
    prop_assert!(outside || !case.over_cap(ix), "a full share is passed unsaid");
    prop_assert!(outside || !case.below_floor(ix), "the floor is passed unsaid");
    prop_assert!(!house || case.named(ix) || leg.degraded == Some(Degraded::House), "{leg:?}");
    if case.rules().budget.over != Over::Alert {
        prop_assert!(leg.worst <= case.money());
        prop_assert_eq!(leg.worst, case.worst(case.fleet.deployment(ix)));
    }
    prop_assert!(leg.expected <= leg.worst);
    prop_assert!((0.0..=1.000_1).contains(&leg.probability));
    prop_assert!(leg.score.is_finite() && leg.score >= 0.0);
    Ok(())
}

fn check_plan(case: &Case, plan: &Plan) -> Result<(), TestCaseError> {
    prop_assert!(!plan.legs.is_empty() && plan.legs.len() <= 4);
    for (at, leg) in plan.legs.iter().enumerate() {
        check_leg(case, leg)?;
        prop_assert!(!plan.legs[..at].iter().any(|other| other.deployment == leg.deployment), "asked twice");
        prop_assert_eq!(plan.why_dropped(leg.deployment), None, "dropped and chosen");
    }
    // What bends stands behind what does not, in the order of the rules; a house model that was not named is last.
    let step = |leg: &Leg| {
        let rule = match leg.degraded {
            None | Some(Degraded::Budget) => return 0,
            Some(Degraded::Substitute) => return 1,
            Some(Degraded::OverCap) => LastResort::OverCap,
            Some(Degraded::BelowFloor) => LastResort::BelowFloor,
            Some(Degraded::Unhealthy) => LastResort::Unhealthy,
            Some(Degraded::House) => LastResort::House,
        };
        2 + case.rules().last_resort.iter().position(|r| *r == rule).expect("a rule that bends")
    };
    // A substitute may be what the budget allows; then its mark is the substitute's.
    prop_assert!(plan.legs.iter().map(step).is_sorted(), "{:?}", plan.legs);
    prop_assert!(plan.legs[0].probability > 0.0);
    prop_assert!(plan.legs.iter().map(|leg| leg.probability).sum::<f32>() <= 1.001);
    prop_assert_eq!(Some(plan.reserve()), plan.legs.iter().map(|leg| leg.worst).max());
    Ok(())
}

/// Every deployment has exactly one fate, every reason that a plan gives is true, and the words say the same.
fn check_fates(case: &Case, plan: &Plan) -> Result<(), TestCaseError> {
    let told = plan.legs.iter().map(|leg| leg.deployment).chain(plan.spare.iter().copied());
    let mut told: Vec<DeploymentIx> = told.chain(plan.dropped.iter().map(|dropped| dropped.deployment)).collect();
    told.sort_unstable();
    prop_assert!(told.windows(2).all(|pair| pair[0] != pair[1]), "two fates: {plan:?}");
    let fates = fates(plan, &case.fleet);
    prop_assert_eq!(fates.len(), case.fleet.deployments().len());
    let lines = explain(plan, &case.fleet);
    for (ix, fate) in fates {
        let name = format!("`{}`", case.fleet.deployment(ix).name);
        let about: Vec<&String> = lines.iter().filter(|line| line.contains(&name)).collect();
        prop_assert_eq!(about.len(), 1, "{} in {:?}", name, lines);
        let line = about[0];
        match fate {
            Fate::Leg(at) => {
                prop_assert_eq!(plan.legs[at].deployment, ix);
                let begin = format!("{}. {name}", at + 1);
                prop_assert!(line.starts_with(&begin), "{line}");
            }
            Fate::Spare => {
                prop_assert!(plan.legs.len() == 4 && line.starts_with("could answer too"), "{line}");
                // A second house model stands in as the first one does.
                let house = case.fleet.deployment(ix).house.then_some(Degraded::House);
                let leg = Leg { degraded: house, ..leg_of(ix) };
                prop_assert_eq!(case.breaks_a_hard_rule(&leg), None, "a spare one that cannot answer");
            }
            Fate::Dropped(reason) => {
                prop_assert!(case.is_true(ix, reason), "{name} is not `{reason:?}`");
                let begin = format!("dropped, {} ", reason.name());
                prop_assert!(line.starts_with(&begin), "{line}");
            }
            Fate::Unasked => {
                prop_assert!(line.starts_with("not asked for"), "{line}");
                prop_assert!(case.may_be_unasked(ix, plan), "{name} was asked for: {plan:?}");
            }
        }
    }
    Ok(())
}

/// A leg of which only the deployment is known.
fn leg_of(deployment: DeploymentIx) -> Leg {
    Leg {
        deployment,
        score: 0.0,
        probability: 0.0,
        degraded: None,
        probe: false,
        expected: NanoUsd::ZERO,
        worst: NanoUsd::ZERO,
    }
}

impl Case {
    /// Whether `reason` really holds of the deployment.
    fn is_true(&self, ix: DeploymentIx, reason: DropReason) -> bool {
        let (d, live, rules, facets) = (self.fleet.deployment(ix), self.live(ix), self.rules(), &self.facets);
        let needs = &rules.needs;
        let wants = |cap: Cap| match cap {
            Cap::Tools => needs.tools || facets.tools,
            Cap::Images => facets.images,
            Cap::Structured => facets.structured,
            Cap::Logprobs => facets.logprobs,
            Cap::Reasoning => needs.reasoning,
            Cap::Audio | Cap::Documents => false,
        };
        let output = if d.house { 0 } else { facets.max_output_tokens.unwrap_or(0) };
        match reason {
            DropReason::Down(cause) => matches!(live.health, Health::Open { cause: c, .. } if c == cause),
            DropReason::Probing => live.health == Health::Probing,
            DropReason::NoHeadroom => live.headroom <= 0.0,
            DropReason::ShareCap => self.over_cap(ix),
            DropReason::QualityUnknown => self.below_floor(ix) && d.quality.is_none() && self.proven(ix).is_none(),
            DropReason::BelowFloor => self.below_floor(ix) && (d.quality.is_some() || self.proven(ix) == Some(false)),
            DropReason::Excluded => self.exclude.contains(&ix),
            DropReason::State => self.bound.is_some_and(|bound| bound != ix),
            DropReason::Key => self.permit.as_ref().is_some_and(|names| !names.iter().any(|name| matches(d, name))),
            DropReason::Permission => !rules.models.is_empty() && !rules.models.iter().any(|name| matches(d, name)),
            DropReason::Budget => rules.budget.over != Over::Alert && self.worst(d) > self.money(),
            DropReason::Lacks(cap) => wants(cap) && !d.has.has(cap),
            DropReason::Context => d.context.map_or(needs.context.is_some(), |has| {
                facets.input_tokens + output > has || needs.context.is_some_and(|needed| needed > has)
            }),
            DropReason::Output => d.max_output.is_some_and(|most| output > most),
            DropReason::Region => !needs.regions.iter().any(|region| within(d, region)),
            DropReason::Maker => {
                needs.makers_forbidden.contains(&d.maker)
                    || !(needs.makers.is_empty() || needs.makers.contains(&d.maker))
            }
            DropReason::Host => {
                needs.hosts_forbidden.contains(&d.host) || !(needs.hosts.is_empty() || needs.hosts.contains(&d.host))
            }
            DropReason::Party => self.has_forbidden_party(d),
            DropReason::DataTerms => needs.data.iter().any(|term| !d.data.contains(term)),
            DropReason::Retired => d.retires.is_some_and(|day| day <= WALL),
            DropReason::ContractEnded => d.contract_ends.is_some_and(|day| day <= WALL),
            DropReason::HouseNotAllowed => d.house && !rules.last_resort.contains(&LastResort::House),
            DropReason::Purpose | DropReason::Vectors => false,
        }
    }

    /// What the request can cost there at most: four times the estimated prompt, as far as it fits, and the longest
    /// answers.
    fn worst(&self, d: &Deployment) -> NanoUsd {
        let facets = &self.facets;
        let most = facets.max_output_tokens.or(d.max_output).unwrap_or(32_768) * u64::from(facets.choices.max(1));
        let input = (facets.input_tokens * 4).min(d.context.unwrap_or(u64::MAX));
        let per_million = |count: u64, price: u64| u128::from(count) * u128::from(price);
        let price = self.prices[&d.name];
        let sum = per_million(input, price.0) + per_million(most, price.1);
        NanoUsd(u64::try_from(sum.div_ceil(1_000_000)).expect("small"))
    }

    fn money(&self) -> NanoUsd {
        self.view.money.get(&ProductIx(0)).copied().unwrap_or(NanoUsd::MAX)
    }

    /// What was shown of the deployment, where it counts for this request.
    fn proven(&self, ix: DeploymentIx) -> Option<bool> {
        self.proofs[ix.index()].filter(|(_, days)| *days > 0 && !self.measures_by_name()).map(|(meets, _)| meets)
    }

    /// Whether the named model, and not the rules, sets the measure of quality.
    fn measures_by_name(&self) -> bool {
        let asked = !matches!(self.model.as_str(), "auto" | "");
        asked && self.rules().substitute == Substitute::Free && self.best_named().is_some()
    }

    fn best_named(&self) -> Option<f64> {
        let named = self.fleet.iter().filter(|(ix, d)| match self.model.as_str() {
            "mine" => ix.0 < 2,
            name => d.name == name || d.model == name,
        });
        named.filter_map(|(_, d)| d.quality).reduce(f64::max)
    }

    fn has_forbidden_party(&self, d: &Deployment) -> bool {
        self.rules().needs.parties_forbidden.iter().any(|party| match party.split_once(':') {
            Some(("invoicer", name)) => d.invoicer == name,
            Some(("model", name)) => d.model == name,
            Some(("region", name)) => within(d, name),
            _ => unreachable!("the case writes no other"),
        })
    }

    /// Whether a plan may pass the deployment over without a word: nobody asked for it, or it was not needed.
    fn may_be_unasked(&self, ix: DeploymentIx, plan: &Plan) -> bool {
        let (d, rules) = (self.fleet.deployment(ix), self.rules());
        if d.house && !self.named(ix) {
            // It stands in when nothing else has refused the request; then it has been looked at.
            return plan.legs.is_empty() || !rules.last_resort.contains(&LastResort::House);
        }
        let by_client = match self.model.as_str() {
            "mine" => ix.0 < 2,
            name => d.name == name || d.model == name,
        };
        let refused = plan.legs.is_empty();
        match (plan.asked, rules.substitute) {
            (Asked::Auto, _) => false,
            (_, Substitute::Never) => !by_client || refused,
            (_, Substitute::OnLoss) => refused || (!by_client && plan.legs.len() == 4),
            (_, Substitute::Free) => refused,
        }
    }
}

/// Whether `pattern` (`gpt*` for a beginning) means the deployment by its name or its model's.
fn matches(d: &Deployment, pattern: &str) -> bool {
    let one = |name: &str| match pattern.strip_suffix('*') {
        Some(beginning) => name.starts_with(beginning),
        None => name == pattern,
    };
    one(&d.name) || one(&d.model)
}

fn within(d: &Deployment, region: &str) -> bool {
    d.region.as_deref().is_some_and(|place| place == region || place.starts_with(&format!("{region}-")))
}

/// Nobody answers only where the judge, too, finds nobody for `auto`.
fn check_refusal(case: &Case, refusal: &Refusal) -> Result<(), TestCaseError> {
    prop_assert!(refusal.plan.legs.is_empty());
    match refusal.fault.kind {
        FaultKind::NotFound => prop_assert!(["nobody", "gpt", "claude"].contains(&case.model.as_str())),
        FaultKind::Forbidden => prop_assert!(!case.rules().models.is_empty() || case.permit.is_some()),
        _ if refusal.plan.asked == Asked::Auto => {
            for (ix, deployment) in case.fleet.iter().filter(|(_, d)| !d.house) {
                let leg = leg_of(ix);
                let up = matches!(case.live(ix).health, Health::Closed | Health::Ramp(_) | Health::Probe);
                let free = case.rules().budget.over == Over::Alert || case.worst(deployment) <= case.money();
                let could = case.breaks_a_hard_rule(&leg).is_none()
                    && up
                    && free
                    && !case.over_cap(ix)
                    && !case.below_floor(ix);
                prop_assert!(!could, "`{}` could have answered", deployment.name);
            }
        }
        _ => {}
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: cases(), failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn every_plan_keeps_the_rules(case in case()) {
        let product = case.fleet.product(ProductIx(0));
        let permit = case.permit.as_ref().map(|names| case.fleet.permit(names));
        let decided = plan(&case.input(permit.as_ref()));
        prop_assert_eq!(&decided, &plan(&case.input(permit.as_ref())), "equal inputs, equal plans");
        let again = Fleet::build(case.fleet.spec()).expect("it was built before");
        prop_assert_eq!(again.product(ProductIx(0)).auto(), product.auto(), "equal specs, equal fleets");
        match &decided {
            Ok(plan) => {
                check_plan(&case, plan)?;
                check_fates(&case, plan)?;
            }
            Err(refusal) => {
                check_refusal(&case, refusal)?;
                check_fates(&case, &refusal.plan)?;
            }
        }
    }
}

/// The stated probability is how often the draw really puts a deployment first.
#[test]
fn probabilities_are_true() {
    let replica = |name: &str| Deployment { name: name.to_owned(), model: "m".to_owned(), ..Deployment::default() };
    let fleet = Fleet::build(FleetSpec {
        version: 1,
        deployments: vec![replica("a"), replica("b"), Deployment { order: 1, ..replica("c") }],
        products: vec![("p".to_owned(), Rules::default())],
        unknown_price: Price::FREE,
    })
    .expect("a fleet");
    let mut view = Snapshot::default();
    view.live.insert(DeploymentIx(0), Live { headroom: 0.9, health: Health::Ramp(0.3), ..Live::FRESH });
    view.live.insert(DeploymentIx(1), Live { headroom: 0.2, health: Health::Ramp(0.5), ..Live::FRESH });
    let (mut first, mut said) = ([0_u32; 3], [0.0_f32; 3]);
    let draws = 20_000_u64;
    for draw in 0..draws {
        let input = PlanInput {
            facets: &Facets::default(),
            model: "auto",
            product: fleet.product(ProductIx(0)),
            fleet: &fleet,
            view: &view,
            now: NOW,
            wall: WALL,
            chance: (u64::MAX / draws) * draw,
            dialect: None,
            permit: None,
            exclude: &[],
            warm: None,
            bound: None,
        };
        let plan = plan(&input).expect("a plan");
        first[plan.legs[0].deployment.index()] += 1;
        for leg in &plan.legs {
            said[leg.deployment.index()] = leg.probability;
        }
    }
    for (count, probability) in first.iter().zip(said) {
        assert!((*count as f32 / draws as f32 - probability).abs() < 0.001, "{first:?} {said:?}");
    }
}
