//! A deterministic simulation of everything between a plan and the client's last byte: the real run, takeovers, breakers,
//! limits and budgets, on virtual time, against backends whose delays and faults a seed decides. A seed that fails
//! fails again. `AUTARKY_SCHEDULES` says how many schedules are tried.

mod money;

use super::live::{Levels, LiveView};
use super::{Carry, Run};
use crate::access::Access;
use crate::clock::{self, Clock};
use crate::outbox::AnswerBody;
use crate::setup::{Gateway, Readiness, SeriesTable, ServeLimits, Setup, Unit};
use crate::tap::Facts;
use crate::tap::entry::Common;
use crate::turns::Turns;
use crate::upstream::{Ask, Backend, BoxFuture, CallTerms, Items, Reply, ReplyBody, Timing};
use canon::event::{Finish, PartKind, Stop};
use canon::request::Role;
use canon::wire::{Params, Protocol, StreamTerms, openai_chat};
use canon::{Event, Fault, FaultKind, Head, Loss, Part, StopReason, Usage};
use futures_util::stream;
use http_body_util::BodyExt as _;
use ledger::{Journal, JournalOptions, KeyRing, Name, RequestId};
use policy::plan::Refusal;
use policy::rules::{BudgetRules, Hedging, Limits, Retries, Rules, Takeovers, Timeouts};
use policy::{Deployment, Fleet, FleetSpec, NanoUsd, Plan, PlanInput, Price, ProductIx, View, Wall};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// Schedules that every run of the tests tries.
const SCHEDULES: u64 = 1_000;
/// The deadline of every request, and what may be added to it by the last wait.
const DEADLINE: Duration = Duration::from_secs(20);
const SLACK: Duration = Duration::from_secs(1);

/// A source of numbers that a seed decides.
struct Dice(Mutex<fastrand::Rng>);

impl Dice {
    fn below(&self, most: u64) -> u64 {
        self.0.lock().expect("never poisoned").u64(..most.max(1))
    }

    fn one_in(&self, most: u64) -> bool {
        self.below(most) == 0
    }
}

/// What a backend does with one call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Does {
    Answers,
    Refuses(FaultKind),
    IsSilent,
    /// Breaks after so many events, in one of some ways.
    Breaks(usize, u64),
}

struct Scripted {
    dice: Arc<Dice>,
    /// One in so many calls goes wrong.
    trouble: u64,
    prefills: bool,
}

const FAULTS: [FaultKind; 8] = [
    FaultKind::RateLimited,
    FaultKind::Overloaded,
    FaultKind::Server,
    FaultKind::Connect,
    FaultKind::Unauthenticated,
    FaultKind::ContextLength,
    FaultKind::Malformed,
    FaultKind::QuotaExhausted,
];

impl Scripted {
    fn decide(&self) -> Does {
        if !self.dice.one_in(self.trouble) {
            return Does::Answers;
        }
        match self.dice.below(4) {
            0 => Does::IsSilent,
            1 => Does::Refuses(FAULTS[usize::try_from(self.dice.below(8)).expect("small")]),
            _ => Does::Breaks(usize::try_from(1 + self.dice.below(14)).expect("small"), self.dice.below(4)),
        }
    }

    fn millis(&self, most: u64) -> Duration {
        Duration::from_millis(self.dice.below(most))
    }

    async fn answer(&self, ask: &Ask, terms: CallTerms) -> Result<Reply, Fault> {
        let does = self.decide();
        let first = self.millis(if self.dice.one_in(10) { 4_000 } else { 60 });
        let left = terms.deadline.saturating_duration_since(clock::now());
        let limit = terms.first_token.min(left);
        let begun = tokio::time::timeout(limit, async {
            tokio::time::sleep(first).await;
            match does {
                Does::IsSilent => std::future::pending().await,
                Does::Refuses(kind) => {
                    let fault = Fault::provider(kind, "scripted");
                    Err(if self.dice.one_in(3) { fault.after(self.millis(3_000)) } else { fault })
                }
                Does::Answers | Does::Breaks(..) => Ok(()),
            }
        });
        let late = || Fault::provider(FaultKind::FirstTokenTimeout, "too late");
        begun.await.unwrap_or_else(|_| Err(late()))?;
        let timing = Timing { head: Some(first), first_token: Some(first) };
        let items = self.items(ask, does);
        Ok(Reply { body: ReplyBody::Events(Box::new(items)), losses: Vec::new(), timing, quota: None })
    }

    /// The events of the answer, from where the conversation leaves off.
    fn items(&self, ask: &Ask, does: Does) -> Items {
        let request = ask.request().expect("it was read before");
        let asked = request.messages.iter().rfind(|message| message.role == Role::User && !is_instruction(message));
        let whole = expected(&words_of(asked.expect("a question")));
        let said = request.messages.iter().rfind(|message| message.role == Role::Assistant).map(words_of);
        let rest = said.and_then(|said| whole.strip_prefix(&said).map(str::to_owned)).unwrap_or(whole);
        let mut events = vec![
            Event::Start(Head { origin: Some(openai_chat::ID), ..Head::default() }),
            Event::PartStart { at: 0, choice: 0, kind: PartKind::Text },
        ];
        let chars: Vec<char> = rest.chars().collect();
        for piece in chars.chunks(6) {
            events.push(Event::Delta { at: 0, text: piece.iter().collect(), logprobs: Vec::new() });
        }
        events.push(Event::PartEnd { at: 0 });
        events.push(Event::Usage(Usage { input: Some(10), output: Some(20), ..Usage::default() }));
        events.push(Event::Finish(Finish { stops: vec![Stop::because(StopReason::End)], ..Finish::default() }));
        let mut end = None;
        let mut stalls = false;
        if let Does::Breaks(after, way) = does {
            events.truncate(after.min(events.len() - 1).max(3));
            match way {
                0 => end = Some(Err(Fault::provider(FaultKind::Cut, "cut"))),
                1 => end = Some(Err(Fault::provider(FaultKind::Overloaded, "an error event"))),
                2 => stalls = true,
                // It ends as if it were whole.
                _ => {}
            }
        }
        let first: Vec<Event> = events.drain(..3.min(events.len())).collect();
        let dice = Arc::clone(&self.dice);
        let rest = events.into_iter().map(Ok).chain(end);
        let rest = stream::unfold((rest, dice, stalls), |(mut rest, dice, stalls)| async move {
            let pause = Duration::from_millis(if dice.one_in(40) { 900 } else { dice.below(20) });
            tokio::time::sleep(pause).await;
            match rest.next() {
                Some(next) => Some((next, (rest, dice, stalls))),
                None if stalls => std::future::pending().await,
                None => None,
            }
        });
        Items { first, rest: Box::pin(rest) }
    }
}

fn is_instruction(message: &canon::request::Message) -> bool {
    words_of(message).contains("cut off")
}

fn words_of(message: &canon::request::Message) -> String {
    message.parts.iter().filter_map(Part::as_text).collect()
}

/// The answer to a question: no word twice.
fn expected(question: &str) -> String {
    format!("Of {question} we know one, two, three, four, five, six, seven and eight things, no more.")
}

impl Backend for Scripted {
    fn protocol(&self) -> Option<&'static dyn Protocol> {
        None
    }

    fn losses(&self, _ask: &Ask) -> Result<Vec<Loss>, Fault> {
        Ok(Vec::new())
    }

    fn takes_prefill(&self) -> bool {
        self.prefills
    }

    fn call<'a>(&'a self, ask: &'a Arc<Ask>, terms: CallTerms) -> BoxFuture<'a, Result<Reply, Fault>> {
        Box::pin(self.answer(ask, terms))
    }
}

struct Always;

impl Readiness for Always {
    fn missing(&self) -> Vec<String> {
        Vec::new()
    }
}

/// One world: some deployments on two hosts, one product.
fn setup(dice: &Arc<Dice>) -> Setup {
    let count = 1 + dice.below(4);
    let trouble = 1 + dice.below(6);
    let deployments: Vec<Deployment> = (0..count)
        .map(|at| Deployment {
            name: format!("d{at}"),
            provider: format!("p{}", at % 3),
            model: format!("m{at}"),
            host: format!("h{}", at % 2),
            account: "a".to_owned(),
            price: Some(Arc::new(
                Price { cache_read: NanoUsd(0), ..Price::flat(NanoUsd(1_000_000), NanoUsd(1_000_000)) }.into(),
            )),
            context: Some(10_000 + at),
            limits: Limits { concurrent: dice.one_in(4).then_some(2), ..Limits::default() },
            order: u32::try_from(at).expect("small"),
            ..Deployment::default()
        })
        .collect();
    let rules = Rules {
        budget: BudgetRules {
            usd_day: Some(NanoUsd(if dice.one_in(4) { 200 } else { 1_000_000 })),
            ..BudgetRules::default()
        },
        limits: Limits { rpm: dice.one_in(5).then_some(3), ..Limits::default() },
        hedge: Hedging { on: dice.one_in(2), share: 0.5 },
        takeover: Takeovers { on: !dice.one_in(5), hold_back: dice.one_in(3) },
        retries: Retries { floor_per_second: u32::try_from(dice.below(4)).expect("small"), ..Retries::default() },
        timeouts: Timeouts {
            deadline_ms: u64::try_from(DEADLINE.as_millis()).expect("small"),
            first_token_ms: 1_500,
            whole_ms: 3_000,
            silence_ms: 800,
            ..Timeouts::default()
        },
        ..Rules::default()
    };
    let spec = FleetSpec {
        version: 1,
        deployments,
        products: vec![("product".to_owned(), rules)],
        unknown_price: Price::FREE,
    };
    let fleet = Fleet::build(spec).expect("a sound fleet");
    let units = fleet
        .deployments()
        .iter()
        .map(|deployment| Unit {
            backend: Arc::new(Scripted { dice: Arc::clone(dice), trouble, prefills: dice.one_in(2) }),
            facts: Facts::of(deployment, None),
        })
        .collect();
    Setup {
        units,
        products: vec![Name::from("product")],
        series: SeriesTable::new(1, fleet.deployments().len()),
        policy_version: Name::from("v"),
        live: Arc::new(LiveView::new(&fleet, None)),
        limits: ServeLimits::default(),
        turns_days: 0,
        permits: crate::setup::Permits::default(),
        fleet: Arc::new(fleet),
    }
}

fn ask(question: &str, stream: bool) -> Ask {
    let body = serde_json::json!({
        "model": "auto", "stream": stream, "max_tokens": 100, "messages": [{"role": "user", "content": question}]
    });
    Ask::read(&openai_chat::OpenAiChat, Params::default(), http::HeaderMap::new(), body.to_string().into())
        .expect("good")
}

/// What became of one request, in words that a second run must repeat.
async fn request(gateway: &Arc<Gateway>, setup: &Arc<Setup>, dice: &Arc<Dice>, number: u64) -> String {
    tokio::time::sleep(Duration::from_millis(dice.below(3_000))).await;
    let question = format!("nonce-{number}");
    let mut ask = ask(&question, !dice.one_in(4));
    let rules = setup.fleet.product(ProductIx(0)).rules();
    ask.in_events = rules.takeover.on && rules.takeover.hold_back;
    let ask = Arc::new(ask);
    let levels = setup.live.levels(ProductIx(0), None, None);
    let plan = match chosen((gateway, setup, &levels), &ask, dice.below(u64::MAX)) {
        Ok(plan) => plan,
        Err(refusal) => return format!("{number}: refused, {}", refusal.fault.kind.name()),
    };
    let run = Arc::new(run_of((gateway, setup, &levels), &ask, number));
    let leaves = dice.one_in(6).then(|| Duration::from_millis(dice.below(4_000)));
    let answered = tokio::time::timeout(DEADLINE + SLACK, heard(run, &plan, leaves));
    let heard = answered.await.unwrap_or_else(|_| panic!("request {number} is stuck"));
    judge(&heard, &expected(&question), &ask);
    format!("{number}: {heard}")
}

/// Whom the plan asks, as things are now.
fn chosen((gateway, setup, levels): (&Gateway, &Setup, &Levels), ask: &Ask, chance: u64) -> Result<Plan, Box<Refusal>> {
    policy::plan(&PlanInput {
        facets: &ask.peek.facets,
        model: "auto",
        product: setup.fleet.product(ProductIx(0)),
        fleet: &setup.fleet,
        view: &setup.live.seen_by(levels),
        now: gateway.clock.tick(),
        wall: clock::wall(),
        chance,
        dialect: None,
        permit: None,
        exclude: &[],
        warm: None,
        bound: None,
    })
}

fn run_of((gateway, setup, levels): (&Arc<Gateway>, &Arc<Setup>, &Levels), ask: &Arc<Ask>, number: u64) -> Run {
    let common = Common {
        id: RequestId::new(number, u128::from(number)),
        product: Name::from("product"),
        team: None,
        key: None,
        dialect: Name::from("openai-chat"),
        model: None,
        policy: Name::from("v"),
        candidates: Vec::new(),
        stream: ask.peek.stream,
        locked_by: None,
        input_tokens: Some(ask.peek.facets.input_tokens),
        part: None,
    };
    let (gateway, setup) = (Arc::clone(gateway), Arc::clone(setup));
    let levels = levels.clone();
    let (ask, deadline) = (Arc::clone(ask), clock::now() + DEADLINE);
    Run { gateway, levels, setup, product: ProductIx(0), permit: None, ask, common, deadline }
}

/// What the client hears, as text; it may leave before the end.
async fn heard(run: Arc<Run>, plan: &policy::Plan, leaves: Option<Duration>) -> String {
    let listens = async {
        let underway = match run.carry_out(plan).await {
            Ok(underway) => underway,
            Err(unanswered) => return format!("error {}", unanswered.fault.kind.name()),
        };
        if let ReplyBody::Whole(answer) = &underway.begun.body
            && !underway.run.ask.peek.stream
        {
            let text = answer.text();
            let answer = answer.clone();
            underway.begun.watched.complete(&answer);
            return format!("whole {text}");
        }
        let mut body = AnswerBody::stream(move |outbox| {
            let (carry, body) = Carry::new(underway, StreamTerms::default(), outbox);
            Box::pin(carry.carry(body))
        });
        let mut out = String::from("stream ");
        while let Some(frame) = body.frame().await {
            let bytes = frame.expect("it is never broken off").into_data().expect("data");
            out.push_str(std::str::from_utf8(&bytes).expect("UTF-8"));
        }
        out
    };
    match leaves {
        None => listens.await,
        Some(leaves) => tokio::time::timeout(leaves, listens).await.unwrap_or_else(|_| "left".to_owned()),
    }
}

/// One end, and only one; what is complete is the whole answer.
fn judge(heard: &str, expected: &str, ask: &Ask) {
    let ends = heard.matches("data: [DONE]").count() + heard.matches("\"error\":{").count();
    if let Some(stream) = heard.strip_prefix("stream ") {
        assert_eq!(ends, 1, "one end, clean or not: {heard}");
        assert!(heard.matches("\"finish_reason\":\"stop\"").count() <= 1, "two finishes: {heard}");
        let words: String = stream
            .lines()
            .filter_map(|line| serde_json::from_str::<serde_json::Value>(line.strip_prefix("data: ")?).ok())
            .filter_map(|chunk| chunk["choices"][0]["delta"]["content"].as_str().map(str::to_owned))
            .collect();
        if heard.contains("[DONE]") {
            assert_eq!(words, expected, "{heard}");
        } else {
            assert!(expected.starts_with(&words), "{heard}");
        }
    } else if let Some(whole) = heard.strip_prefix("whole ") {
        assert!(!ask.peek.stream && whole == expected, "{heard}");
    }
}

/// One schedule: some requests at the same time. Gives what each heard.
async fn schedule(seed: u64, journal: &Arc<Journal>, turns: &Turns) -> Vec<String> {
    fastrand::seed(seed);
    let dice = Arc::new(Dice(Mutex::new(fastrand::Rng::with_seed(seed))));
    let setup = setup(&dice);
    let access = Access::new(Arc::new(KeyRing::new(Vec::new())), std::path::PathBuf::new());
    let gateway = Gateway::new(setup, access, Arc::clone(journal), turns.clone(), Clock::default(), Box::new(Always));
    let gateway = Arc::new(gateway);
    let setup = gateway.setup();
    let count = 1 + dice.below(6);
    let told = (0..count).map(|number| request(&gateway, &setup, &dice, number));
    let told = futures_util::future::join_all(told).await;
    let (reserved, under_way, placed) = setup.live.held();
    assert_eq!((reserved, under_way, placed), (NanoUsd::ZERO, 0, 0), "something is held after all requests: {told:?}");
    let status = journal.status();
    assert_eq!(status.begun, status.ended, "an attempt has no end: {told:?}");
    let later = gateway.clock.tick();
    for breaker in setup.live.breakers(&setup.fleet, later).breakers {
        assert_ne!(breaker.state, super::live::State::Probing, "a probe was never given back: {breaker:?}");
    }
    let left = setup.live.money_left(ProductIx(0), Wall::from_unix(clock::wall().unix()));
    assert!(left.is_some(), "the product has a budget");
    told
}

#[test]
fn no_schedule_is_stuck_ends_twice_or_leaks() {
    let schedules = std::env::var_os("AUTARKY_SCHEDULES").and_then(|text| text.to_str()?.parse().ok());
    let schedules: u64 = schedules.unwrap_or(SCHEDULES);
    let folder = tempfile::tempdir().expect("a folder");
    let journal = Journal::open(&folder.path().join("journal"), JournalOptions::default(), 1, 2).expect("a journal");
    let journal = Arc::new(journal);
    let store = state::Sqlite::open(&folder.path().join("state.db")).expect("a store");
    let turns = Turns::new(Arc::new(store));
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().expect("a runtime");
    let (mut whole, mut errors, mut taken) = (0_u64, 0_u64, 0_u64);
    for seed in 0..schedules {
        let told = runtime.block_on(schedule(seed, &journal, &turns));
        for heard in &told {
            whole += u64::from(heard.contains("[DONE]") || heard.contains(": whole "));
            errors += u64::from(heard.contains("error"));
            taken += u64::from(heard.contains("refused") || heard.contains("left"));
        }
        if seed % 500 == 0 {
            let again = runtime.block_on(schedule(seed, &journal, &turns));
            assert_eq!(told, again, "the same seed tells the same story");
        }
    }
    println!("simulation: {schedules} schedules, {whole} complete, {errors} errors, {taken} refused or left");
}
