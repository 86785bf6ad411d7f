//! What each step of a plan decides, one example per rule. The laws over random fleets are in `tests/laws.rs`.

use super::*;
use crate::breaker::{Cause, Health};
use crate::fleet::{Cap, Caps, Commitment, Deployment, FleetSpec, Proof};
use crate::price::Price;
use crate::rules::{Cover, DataTerm, Floor, LastResort, Needs, Over, Rules, Substitute, Weights};
use crate::view::{Live, Share, Snapshot};
use canon::FaultKind;
use std::sync::Arc;
use std::time::Duration;

const NOW: Tick = Tick::from_millis(1_000_000);
const WALL: Wall = Wall::from_date(2026, 11, 23);

fn deployment(name: &str, maker: &str, order: u32) -> Deployment {
    Deployment {
        name: name.to_owned(),
        provider: maker.to_owned(),
        model: format!("{name}-model"),
        maker: maker.to_owned(),
        host: maker.to_owned(),
        invoicer: maker.to_owned(),
        account: format!("{maker}-1"),
        region: Some("eu-west-1".to_owned()),
        has: Caps::all(),
        context: Some(100_000),
        max_output: Some(8_000),
        price: Some(Arc::new(
            Price {
                cache_read: NanoUsd::ZERO,
                ..Price::flat(NanoUsd::from_dollars(u64::from(order) + 1), NanoUsd::from_dollars(10))
            }
            .into(),
        )),
        quality: Some(0.9 - f64::from(order) * 0.1),
        order,
        ..Deployment::default()
    }
}

fn house() -> Deployment {
    Deployment {
        name: "house".to_owned(),
        model: "smol".to_owned(),
        context: Some(8_000),
        house: true,
        order: 99,
        ..Deployment::default()
    }
}

struct World {
    fleet: Fleet,
    view: Snapshot,
    facets: Facets,
}

impl World {
    /// `gpt` (openai), `claude` (anthropic), `mistral` (mistral), in this order, and the house model.
    fn new(rules: Rules) -> Self {
        Self::with(rules, |_| {})
    }

    fn with(rules: Rules, change: impl FnOnce(&mut Vec<Deployment>)) -> Self {
        let mut deployments = vec![
            deployment("gpt", "openai", 0),
            deployment("claude", "anthropic", 1),
            deployment("mistral", "mistral", 2),
        ];
        deployments.push(house());
        change(&mut deployments);
        let spec = FleetSpec {
            version: 7,
            deployments,
            products: vec![("copilot".to_owned(), rules)],
            unknown_price: Price { input: NanoUsd::from_dollars(100), ..Price::FREE },
        };
        let facets = Facets { input_tokens: 1_000, max_output_tokens: Some(1_000), choices: 1, ..Facets::default() };
        Self { fleet: Fleet::build(spec).unwrap(), view: Snapshot::default(), facets }
    }

    fn ix(&self, name: &str) -> DeploymentIx {
        self.fleet.deployment_named(name).unwrap()
    }

    fn live(&mut self, name: &str, change: impl FnOnce(&mut Live)) {
        let ix = self.ix(name);
        change(self.view.live.entry(ix).or_insert(Live::FRESH));
    }

    fn down(&mut self, name: &str, cause: Cause, secs: u64) {
        let until = NOW.after(Duration::from_secs(secs));
        self.live(name, |live| live.health = Health::Open { until, cause });
    }

    fn input<'a>(&'a self, model: &'a str) -> PlanInput<'a, Snapshot> {
        PlanInput {
            facets: &self.facets,
            model,
            product: &self.fleet.products()[0],
            fleet: &self.fleet,
            view: &self.view,
            now: NOW,
            wall: WALL,
            chance: 0,
            dialect: None,
            permit: None,
            exclude: &[],
            warm: None,
            bound: None,
        }
    }

    fn plan(&self, model: &str) -> Plan {
        plan(&self.input(model)).unwrap()
    }

    fn refusal(&self, model: &str) -> Refusal {
        *plan(&self.input(model)).unwrap_err()
    }

    /// Names of the legs, with `!why` behind the degraded ones.
    fn legs(&self, plan: &Plan) -> Vec<String> {
        let name = |leg: &Leg| {
            let name = &self.fleet.deployment(leg.deployment).name;
            leg.degraded.map_or_else(|| name.clone(), |why| format!("{name}!{why}"))
        };
        plan.legs.iter().map(name).collect()
    }

    fn order(&self, model: &str) -> Vec<String> {
        self.legs(&self.plan(model))
    }
}

#[test]
fn two_deployments_and_nothing_else_fail_over_and_the_house_comes_last() {
    let world = World::new(Rules::default());
    assert_eq!(world.order("auto"), ["gpt", "claude", "mistral", "house!house"]);
    assert_eq!(world.order(""), world.order("auto"));
    assert_eq!(world.order("claude"), ["claude", "gpt!substitute", "mistral!substitute", "house!house"]);
    assert_eq!(world.order("claude-model"), world.order("claude"));
    assert_eq!(world.order("house"), ["house", "gpt!substitute", "claude!substitute", "mistral!substitute"]);
}

#[test]
fn the_house_keeps_the_last_leg() {
    let world = World::with(Rules::default(), |all| {
        all.extend((0..5).map(|n| deployment(&format!("more-{n}"), "openai", 10 + n)));
    });
    let plan = world.plan("auto");
    assert_eq!(world.legs(&plan), ["gpt", "claude", "mistral", "house!house"]);
    assert_eq!(plan.spare.len(), 5);
}

#[test]
fn substitute_says_when_another_model_may_answer() {
    let mut world = World::new(Rules { substitute: Substitute::Never, ..Rules::default() });
    assert_eq!(world.order("claude"), ["claude", "house!house"]);
    world.down("claude", Cause::Hard, 60);
    assert_eq!(world.order("claude"), ["house!house"]);
    let mut world = World::new(Rules::default());
    world.down("claude", Cause::Sick, 60);
    assert_eq!(world.order("claude"), ["gpt!substitute", "mistral!substitute", "house!house"]);
    let rules = Rules {
        substitute: Substitute::Free,
        floor: Some(Floor { margin: 0.05, against: "gpt".to_owned() }),
        last_resort: Vec::new(),
        ..Rules::default()
    };
    assert_eq!(World::new(rules).order("claude"), ["gpt", "claude"], "the named model sets the floor");
}

#[test]
fn aliases_stand_for_lists_in_their_order() {
    let rules = Rules {
        aliases: [("fast".to_owned(), vec!["mistral".to_owned(), "house".to_owned(), "gpt-model".to_owned()])].into(),
        ..Rules::default()
    };
    assert_eq!(World::new(rules).order("fast"), ["mistral", "house", "gpt", "claude!substitute"]);
}

#[test]
fn unknown_and_forbidden_names_are_told_apart() {
    let world = World::new(Rules { models: vec!["gpt*".to_owned(), "claude".to_owned()], ..Rules::default() });
    let refusal = world.refusal("claud");
    assert_eq!(refusal.fault.kind, FaultKind::NotFound);
    assert!(refusal.fault.message.contains("did you mean `claude`"), "{}", refusal.fault.message);
    assert_eq!(world.refusal("mistral").fault.kind, FaultKind::Forbidden);
    assert_eq!(world.refusal("house").fault.kind, FaultKind::Forbidden, "it may stand in, not be asked for");
    assert_eq!(world.order("auto"), ["gpt", "claude", "house!house"]);
    assert!(!world.refusal("mistra").fault.message.contains("`mistral`"), "names that may not be used are not told");
    let permit = world.fleet.permit(&["claude".to_owned()]);
    let input = PlanInput { permit: Some(&permit), ..world.input("auto") };
    assert_eq!(world.legs(&plan(&input).unwrap()), ["claude", "house!house"]);
    let input = PlanInput { permit: Some(&permit), ..world.input("gpt") };
    assert_eq!(plan(&input).unwrap_err().fault.kind, FaultKind::Forbidden);
}

#[test]
fn hard_needs_never_bend() {
    let needs = Needs {
        regions: vec!["eu".to_owned()],
        makers_forbidden: vec!["mistral".to_owned()],
        data: vec![DataTerm::NoTraining],
        context: Some(4_000),
        ..Needs::default()
    };
    let world = World::with(Rules { needs, ..Rules::default() }, |all| {
        all[0].region = Some("europa".to_owned());
        all[1].data = vec![DataTerm::NoTraining, DataTerm::Gdpr];
    });
    assert_eq!(world.order("auto"), ["claude", "house!house"]);
    let product = &world.fleet.products()[0];
    assert_eq!(product.never(world.ix("gpt")), Some(DropReason::Region));
    assert_eq!(product.never(world.ix("mistral")), Some(DropReason::Maker));
}

#[test]
fn a_request_needs_what_it_brings() {
    let mut world = World::with(Rules::default(), |all| {
        all[0].lacks = [Cap::Images].into_iter().collect();
        all[1].context = Some(1_500);
        all[2].max_output = None;
        all[3].lacks = [Cap::Images].into_iter().collect();
    });
    world.facets.images = true;
    let plan = world.plan("auto");
    assert_eq!(world.legs(&plan), ["mistral"]);
    assert_eq!(plan.why_dropped(world.ix("gpt")), Some(DropReason::Lacks(Cap::Images)));
    assert_eq!(plan.why_dropped(world.ix("claude")), Some(DropReason::Context));
    world.facets.input_tokens = 1_000_000;
    assert_eq!(world.refusal("auto").fault.kind, FaultKind::ContextLength);
}

/// `gpt`, `claude`, `mistral` and the house, and three that make vectors: `small` at two hosts, and `large`.
fn with_vectors(rules: Rules) -> World {
    let mut world = World::with(rules, |all| {
        for (name, model, family) in
            [("small-a", "small", None), ("small-b", "s-2", Some("small")), ("large", "large", None)]
        {
            let wires = vec![canon::wire::openai_embeddings::ID];
            let order = u32::try_from(all.len()).unwrap();
            let (model, family) = (model.to_owned(), family.map(str::to_owned));
            all.push(Deployment { model, family, wires, ..deployment(name, name, order) });
        }
    });
    world.facets.purpose = canon::Purpose::Embedding;
    world
}

#[test]
fn vectors_of_two_models_never_mix() {
    let rules = || Rules { substitute: Substitute::Free, ..Rules::default() };
    let mut world = with_vectors(rules());
    assert_eq!(world.order("small"), ["small-a", "small-b"]);
    assert_eq!(world.order("large"), ["large"]);
    // Whoever is up: the name means one space.
    world.down("small-a", Cause::Hard, 9);
    assert_eq!(world.order("auto"), ["small-b"]);
    world.down("small-b", Cause::Hard, 9);
    let refusal = world.refusal("auto");
    assert_eq!(refusal.fault.kind, FaultKind::NoRoute);
    assert_eq!(refusal.plan.why_dropped(world.ix("large")), Some(DropReason::Vectors));
    assert_eq!(refusal.plan.why_dropped(world.ix("gpt")), Some(DropReason::Purpose));
    // And no conversation is sent to whoever makes vectors.
    let mut world = with_vectors(Rules { last_resort: Vec::new(), substitute: Substitute::Never, ..Rules::default() });
    world.facets.purpose = canon::Purpose::Conversation;
    assert_eq!(world.order("auto"), ["gpt", "claude", "mistral"]);
    assert_eq!(world.refusal("small").plan.why_dropped(world.ix("small-a")), Some(DropReason::Purpose));
}

#[test]
fn what_is_over_is_over() {
    let world = World::with(Rules::default(), |all| {
        all[0].retires = Some(WALL);
        all[1].contract_ends = Some(WALL);
    });
    let plan = world.plan("auto");
    assert_eq!(world.legs(&plan), ["mistral", "house!house"]);
    assert_eq!(plan.why_dropped(world.ix("gpt")), Some(DropReason::Retired));
    assert_eq!(plan.why_dropped(world.ix("claude")), Some(DropReason::ContractEnded));
}

#[test]
fn the_least_bad_is_tried_when_everyone_is_down() {
    let mut world = World::new(Rules::default());
    world.down("gpt", Cause::Hard, 1);
    world.down("claude", Cause::Sick, 60);
    world.down("mistral", Cause::Sick, 30);
    assert_eq!(world.order("auto"), ["mistral!unhealthy", "house!house"]);
    world.down("mistral", Cause::Limit, 30);
    world.down("claude", Cause::Limit, 60);
    assert_eq!(world.order("auto"), ["house!house"], "whoever asked us to wait is taken at its word");
    let rules = Rules { last_resort: Vec::new(), ..Rules::default() };
    let view = std::mem::take(&mut world.view);
    let world = World { view, ..World::new(rules) };
    let refusal = world.refusal("auto");
    assert_eq!(refusal.fault.kind, FaultKind::NoRoute);
    assert_eq!(refusal.fault.retry_after, Some(Duration::from_secs(1)));
    assert_eq!(refusal.plan.dropped.len(), 3);
}

#[test]
fn limits_reached_are_said() {
    let mut world = World::new(Rules { last_resort: Vec::new(), ..Rules::default() });
    world.live("gpt", |live| live.headroom = 0.0);
    assert_eq!(world.order("auto"), ["claude", "mistral"]);
    world.live("claude", |live| live.headroom = 0.0);
    world.live("mistral", |live| live.headroom = 0.0);
    assert_eq!(world.refusal("auto").fault.kind, FaultKind::RateLimited);
}

#[test]
fn a_floor_holds_until_nothing_else_is_left() {
    let rules = Rules { floor: Some(Floor { margin: 0.1, against: "gpt".to_owned() }), ..Rules::default() };
    let mut world = World::with(rules.clone(), |all| all[0].quality = Some(0.9));
    assert_eq!(world.order("auto"), ["gpt", "claude", "mistral!below-floor", "house!house"]);
    world.down("gpt", Cause::Sick, 9);
    world.down("claude", Cause::Sick, 9);
    assert_eq!(world.order("auto"), ["mistral!below-floor", "house!house"]);
    let strict = Rules { last_resort: Vec::new(), ..rules };
    let plan = World::new(strict).plan("auto");
    assert_eq!(plan.dropped[0].reason, DropReason::BelowFloor);
}

#[test]
fn a_full_share_sends_the_rest_elsewhere() {
    let rules = Rules { limit: [("maker:openai".to_owned(), 0.5)].into(), ..Rules::default() };
    let mut world = World::new(rules.clone());
    let product = ProductIx(0);
    assert_eq!(world.order("auto")[0], "gpt");
    world.view.shares.insert((product, 0), Share { used: 50, total: 100 });
    assert_eq!(world.order("auto"), ["claude", "mistral", "gpt!over-cap", "house!house"]);
    let mut world = World::new(Rules { last_resort: vec![LastResort::House], ..rules });
    world.view.shares.insert((product, 0), Share { used: 50, total: 100 });
    let plan = world.plan("auto");
    assert_eq!(world.legs(&plan), ["claude", "mistral", "house!house"]);
    assert_eq!(plan.why_dropped(world.ix("gpt")), Some(DropReason::ShareCap));
}

#[test]
fn no_share_is_ever_passed_while_another_can_answer() {
    let limit = [("maker:openai".to_owned(), 0.6), ("host:anthropic".to_owned(), 0.25)].into();
    let mut world = World::new(Rules { limit, last_resort: Vec::new(), ..Rules::default() });
    let mut answered = [0_u64; 3];
    for total in 1..=1_000 {
        let first = world.plan("auto").legs[0].deployment;
        answered[first.index()] += 1;
        let caps: Vec<usize> = world.fleet.products()[0].caps_of(first).collect();
        for cap in 0..2 {
            let share = world.view.shares.entry((ProductIx(0), cap)).or_default();
            *share = Share { used: share.used + u64::from(caps.contains(&cap)), total };
        }
        assert!(answered[0] <= (total * 6 / 10).max(1) && answered[1] <= (total / 4).max(1), "{answered:?}");
    }
    assert!(answered[0] == 600 && answered[1] >= 249, "each party takes what it may: {answered:?}");
}

#[test]
fn each_preference_is_best_on_its_own_measure() {
    let order = |prefer| {
        let mut world = World::with(Rules { prefer, ..Rules::default() }, |all| {
            all[0].price = None;
            all[2].price = Some(Arc::new(Price::FREE.into()));
        });
        for (name, ms) in [("gpt", 900), ("claude", 100), ("mistral", 300)] {
            world.live(name, |live| live.first_token = Some(Duration::from_millis(ms)));
        }
        world.order("auto")[..3].to_vec()
    };
    assert_eq!(order(Prefer::COST), ["mistral", "claude", "gpt"]);
    assert_eq!(order(Prefer::QUALITY), ["gpt", "claude", "mistral"]);
    assert_eq!(order(Prefer::LATENCY), ["claude", "mistral", "gpt"]);
    let mixed = Prefer::Weighted(Weights { cost: 1.0, quality: 1.0, latency: 1.0 });
    assert_eq!(order(mixed)[2], "gpt");
}

#[test]
fn pins_and_weights_are_the_way_out() {
    let world = World::new(Rules { pin: vec!["mistral".to_owned(), "claude".to_owned()], ..Rules::default() });
    assert_eq!(world.order("auto"), ["mistral", "claude", "gpt", "house!house"]);
    let weights = [("claude".to_owned(), 0.75), ("mistral".to_owned(), 0.25)].into();
    let world = World::new(Rules { weights, ..Rules::default() });
    let first = |chance| world.legs(&plan(&PlanInput { chance, ..world.input("auto") }).unwrap());
    assert_eq!(first(0), ["claude", "mistral", "gpt", "house!house"]);
    assert_eq!(first(u64::MAX)[..2], ["mistral", "claude"]);
    let drawn = plan(&PlanInput { chance: u64::MAX, ..world.input("auto") }).unwrap();
    assert!((drawn.legs[0].probability - 0.25).abs() < 1e-6);
}

#[test]
fn equals_share_by_headroom_and_recovering_ones_get_their_ramp() {
    let mut world = World::with(Rules::default(), |all| all[1].order = 0);
    world.live("gpt", |live| live.headroom = 0.25);
    world.live("claude", |live| live.headroom = 0.75);
    let drawn = |world: &World, chance| plan(&PlanInput { chance, ..world.input("auto") }).unwrap();
    let first = drawn(&world, 0);
    assert_eq!(world.legs(&first)[..2], ["claude", "gpt"]);
    assert!((first.legs[0].probability - 0.75).abs() < 1e-6);
    assert_eq!(world.legs(&drawn(&world, u64::MAX))[..2], ["gpt", "claude"]);
    world.live("gpt", |live| live.first_token = Some(Duration::from_secs(10)));
    world.live("claude", |live| live.first_token = Some(Duration::from_secs(1)));
    assert!(drawn(&world, 0).legs[0].probability > 0.96, "ten times as slow as its equal takes a tenth of its share");

    let mut world = World::new(Rules::default());
    world.live("gpt", |live| live.health = Health::Ramp(0.2));
    assert_eq!(world.legs(&drawn(&world, 0))[0], "gpt");
    let rest = drawn(&world, u64::MAX);
    assert_eq!(world.legs(&rest)[..2], ["claude", "gpt"]);
    assert!((rest.legs[0].probability - 0.8).abs() < 1e-6 && (rest.legs[1].probability - 0.2).abs() < 1e-6);
}

#[test]
fn whoever_misses_the_objectives_comes_later() {
    let rules: Rules = toml::from_str("slo = { first_token_ms_p95 = 900, error_rate = 0.01 }").unwrap();
    let mut world = World::new(rules);
    world.live("gpt", |live| live.first_token_p95 = Some(Duration::from_millis(901)));
    world.live("claude", |live| live.error_rate = Some(0.02));
    assert_eq!(world.order("auto"), ["mistral", "gpt", "claude", "house!house"]);
}

#[test]
fn alternatives_share_as_little_as_they_can() {
    let cover = Cover { survive: vec!["maker:*".to_owned()], ..Cover::default() };
    let world = World::with(Rules { cover, ..Rules::default() }, |all| all[1].maker = "openai".to_owned());
    assert_eq!(world.order("auto"), ["gpt", "mistral", "claude", "house!house"]);
}

#[test]
fn what_the_budget_does_not_cover_is_refused_or_answered_by_less() {
    let over = |over, left| {
        let mut rules = Rules::default();
        rules.budget.over = over;
        let mut world = World::with(rules, |all| all[2].price = Some(Arc::new(Price::FREE.into())));
        world.view.money.insert(ProductIx(0), left);
        world
    };
    let world = over(Over::Degrade, NanoUsd::ZERO);
    assert_eq!(world.order("auto"), ["mistral!budget", "house!house"]);
    assert_eq!(world.order("claude"), ["mistral!substitute", "house!house"]);
    assert_eq!(over(Over::Alert, NanoUsd::ZERO).order("auto")[0], "gpt");
    let world = over(Over::Refuse, NanoUsd::ZERO);
    assert_eq!(world.order("auto"), ["mistral!budget", "house!house"], "it was asked for and fits");
    assert_eq!(world.refusal("claude").fault.kind, FaultKind::Budget);
    let plan = over(Over::Refuse, NanoUsd::from_dollars(1)).plan("auto");
    assert!(plan.reserve() <= NanoUsd::from_dollars(1) && plan.reserve() >= plan.legs[0].expected);
}

#[test]
fn a_warm_cache_and_kept_state_hold_a_conversation() {
    let mut world = World::with(Rules { prefer: Prefer::COST, ..Rules::default() }, |all| {
        all[0].price = all[1].price.clone();
        all[1].order = 0;
    });
    let at = world.ix("claude");
    world.facets.max_output_tokens = Some(10);
    let warm = PlanInput { warm: Some(Warm { at, tokens: 900 }), chance: 0, ..world.input("auto") };
    assert_eq!(plan(&warm).unwrap().first(), Some(at));
    assert_eq!(plan(&PlanInput { chance: u64::MAX, ..warm }).unwrap().first(), Some(at));
    let bound = plan(&PlanInput { bound: Some(at), ..world.input("auto") }).unwrap();
    assert_eq!(world.legs(&bound), ["claude"]);
    let tried = [at, world.ix("gpt")];
    let rest = plan(&PlanInput { exclude: &tried, ..world.input("auto") }).unwrap();
    assert_eq!(world.legs(&rest), ["mistral", "house!house"]);
}

#[test]
fn bad_rules_are_found_in_one_go() {
    let rules = Rules {
        models: vec!["gtp".to_owned()],
        floor: Some(Floor { margin: 0.1, against: "house".to_owned() }),
        limit: [("openai".to_owned(), 0.5), ("maker:openai".to_owned(), 1.5)].into(),
        pin: vec!["nobody".to_owned()],
        aliases: [("auto".to_owned(), vec!["claud".to_owned()])].into(),
        ..Rules::default()
    };
    let spec = FleetSpec {
        version: 1,
        deployments: vec![deployment("gpt", "openai", 0), deployment("claude", "anthropic", 1), house(), house()],
        products: vec![("copilot".to_owned(), rules)],
        unknown_price: Price::FREE,
    };
    let errors = Fleet::build(spec).unwrap_err();
    let found: Vec<_> = errors.iter().map(|error| (error.path.as_str(), error.hint.as_deref().unwrap())).collect();
    for wanted in [
        ("house", "give it a name of its own"),
        ("models", "did you mean `gpt`?"),
        ("floor.against", "set `quality` of that deployment, or measure against another one"),
        ("limit.maker:openai", "write 0.7 for 70 %; to forbid a party use `needs.makers_forbidden`"),
        ("pin", "declare it under `[deployment.NAME]`"),
        ("aliases.auto", "choose another name"),
        ("aliases.auto", "did you mean `claude`?"),
    ] {
        assert!(found.contains(&wanted), "{wanted:?} is not in {found:?}");
    }
    assert_eq!(found.len(), 8, "{found:?}");
}

#[test]
fn names_are_stable_and_distinct() {
    let causes = [Cause::Hard, Cause::Limit, Cause::Sick, Cause::Correlated].map(DropReason::Down);
    let caps = Cap::ALL.map(DropReason::Lacks);
    let names: std::collections::HashSet<_> = causes.iter().chain(&caps).map(|reason| reason.name()).collect();
    assert_eq!(names.len(), causes.len() + caps.len());
}

#[test]
fn a_proof_goes_before_what_the_catalog_says_of_quality() {
    let floor = Some(Floor { margin: 0.05, against: "gpt".to_owned() });
    let rules = Rules { floor, last_resort: Vec::new(), ..Rules::default() };
    let mut world = World::with(rules, |all| all[2].quality = Some(0.95));
    assert_eq!(world.order("auto"), ["gpt", "mistral"]);
    let proof = |deployment, meets, until| Proof { product: "copilot", against: "gpt", deployment, meets, until };
    let tomorrow = Wall::from_unix(WALL.unix() + 86_400);
    world.fleet.prove([proof("claude", true, tomorrow), proof("mistral", false, tomorrow)]);
    let plan = world.plan("auto");
    assert_eq!(world.legs(&plan), ["gpt", "claude"]);
    assert_eq!(plan.why_dropped(world.ix("mistral")), Some(DropReason::BelowFloor));
    world.fleet.prove([proof("claude", true, WALL), Proof { against: "claude", ..proof("mistral", false, tomorrow) }]);
    assert_eq!(world.order("auto"), ["gpt", "mistral"], "expired, or measured against another one");
}

#[test]
fn a_forbidden_party_has_no_part_whoever_else_has() {
    let forbidden = |party: &str| {
        let parties_forbidden = vec![party.to_owned()];
        World::new(Rules { needs: Needs { parties_forbidden, ..Needs::default() }, ..Rules::default() })
    };
    assert_eq!(forbidden("account:openai-1").order("auto"), ["claude", "mistral", "house!house"]);
    assert_eq!(forbidden("region:eu").order("auto"), ["house!house"]);
    assert_eq!(forbidden("model:smol").order("auto"), ["gpt", "claude", "mistral"], "the house model too");
    let world = forbidden("invoicer:mistral");
    assert_eq!(world.fleet.products()[0].never(world.ix("mistral")), Some(DropReason::Party));
}

#[test]
fn what_is_paid_in_any_case_is_used_first() {
    let mut world = World::with(Rules { prefer: Prefer::COST, ..Rules::default() }, |all| {
        all[2].commitment = Some(Commitment { contract: "mi".into(), month: NanoUsd::from_dollars(100) });
    });
    assert_eq!(world.order("auto")[..3], ["gpt", "claude", "mistral"], "nothing of it is left");
    let at = world.ix("mistral");
    world.view.prepaid.insert(at, NanoUsd::from_dollars(1));
    let plan = world.plan("auto");
    assert_eq!(world.legs(&plan)[..2], ["mistral", "gpt"]);
    assert!(plan.legs[0].expected > plan.legs[1].expected, "its price is what it was");
}

#[test]
fn the_best_alternative_is_kept_warm() {
    let cover = Cover { survive: vec!["maker:*".to_owned()], ..Cover::default() };
    let rules = Rules { standby: 0.1, cover, ..Rules::default() };
    let world = World::with(rules, |all| all[1].maker = "openai".to_owned());
    let drawn = |chance: u64| plan(&PlanInput { chance, ..world.input("auto") }).unwrap();
    let usual = drawn(0);
    assert_eq!(world.legs(&usual), ["gpt", "mistral", "claude", "house!house"]);
    assert!((usual.legs[0].probability - 0.9).abs() < 1e-6 && (usual.legs[1].probability - 0.1).abs() < 1e-6);
    let kept = drawn(u64::MAX);
    assert_eq!(world.legs(&kept)[..2], ["mistral", "gpt"], "the one that shares no maker");
    let warm = Some(Warm { at: world.ix("gpt"), tokens: 500 });
    let stays = plan(&PlanInput { chance: u64::MAX, warm, ..world.input("auto") }).unwrap();
    assert_eq!(stays.first(), Some(world.ix("gpt")));
    assert!((stays.legs[0].probability - 1.0).abs() < 1e-6);
}

#[test]
fn a_plan_explains_itself() {
    let rules =
        Rules { needs: Needs { makers_forbidden: vec!["mistral".to_owned()], ..Needs::default() }, ..Rules::default() };
    let mut world = World::new(rules);
    world.down("gpt", Cause::Sick, 5);
    let text = crate::explain(&world.plan("gpt"), &world.fleet).join("\n");
    assert_eq!(
        text,
        "product `copilot` asked for a model or deployment by name; prefers order; policy 0000000000000007\n\
         1. `claude` (claude-model at anthropic): score 1.000, first with probability 1.00, $0.00712 expected, $0.018 \
         at most, degraded: substitute\n\
         2. `house` (smol): score 0.000, first with probability 0.00, $0.00 expected, $0.00 at most, degraded: \
         house\n\
         dropped, maker (is of a maker that is not allowed): `mistral`\n\
         dropped, down-sick (is failing): `gpt`"
    );
}
