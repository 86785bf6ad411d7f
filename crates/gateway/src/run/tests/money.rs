//! Two hundred callers at once against a product's budget for ten calls, of two teams with six calls each and eight keys
//! with four: refused, answered, broken off and left. What providers charge, by counters of their own, never passes a
//! budget, no level of the tree does, and nothing stays reserved. `AUTARKY_BUDGET_RUNS` says how many seeded runs are
//! tried.

use super::*;
use crate::run::live::Rank;
use futures_util::StreamExt;
use ledger::{Key, KeyKind, Quota};
use policy::rules::TeamRules;
use std::sync::atomic::{AtomicU64, Ordering};

/// Runs that every run of the tests tries.
const RUNS: u64 = 60;
const CALLERS: u64 = 200;

/// For how many calls each budget is enough.
const fn calls(rank: Rank) -> u64 {
    match rank {
        Rank::Product => 10,
        Rank::Team => 6,
        Rank::Key => 4,
    }
}

/// Whose budget the caller uses: the key and its team.
fn chain(number: u64) -> (String, &'static str) {
    (format!("key-{}", number % 8), if number % 8 < 4 { "north" } else { "south" })
}

/// What one call is charged by its provider: the prompt once it is looked at, and each token that was sent.
struct Bill {
    tally: Arc<AtomicU64>,
    tokens: u64,
}

impl Drop for Bill {
    fn drop(&mut self) {
        // A nano-dollar a token.
        self.tally.fetch_add(self.tokens, Ordering::Relaxed);
    }
}

/// A scripted backend that keeps books of its own.
struct Charging {
    inner: Scripted,
    tally: Arc<AtomicU64>,
}

/// Tokens of every prompt, and of a whole answer.
const PROMPT: u64 = 10;
const WHOLE: u64 = 30;

impl Charging {
    async fn answer(&self, ask: &Ask, terms: CallTerms) -> Result<Reply, Fault> {
        let mut bill = Bill { tally: Arc::clone(&self.tally), tokens: 0 };
        terms.trace.leaves(ask.body.len());
        let mut reply = self.inner.answer(ask, terms).await.inspect_err(|fault| {
            bill.tokens = if fault.kind == FaultKind::FirstTokenTimeout { PROMPT } else { 0 };
        })?;
        bill.tokens = PROMPT;
        let ReplyBody::Events(items) = reply.body else { return Ok(reply) };
        let Items { first, rest } = *items;
        first.iter().for_each(|event| bill.sent(event));
        let rest = stream::unfold((rest, bill), |(mut rest, mut bill)| async move {
            let next = rest.next().await?;
            if let Ok(event) = &next {
                bill.sent(event);
            }
            Some((next, (rest, bill)))
        });
        reply.body = ReplyBody::Events(Box::new(Items { first, rest: Box::pin(rest) }));
        Ok(reply)
    }
}

impl Bill {
    fn sent(&mut self, event: &Event) {
        match event {
            Event::Delta { .. } => self.tokens += 1,
            Event::Usage(_) => self.tokens = WHOLE,
            _ => {}
        }
    }
}

impl Backend for Charging {
    fn protocol(&self) -> Option<&'static dyn Protocol> {
        None
    }

    fn losses(&self, _ask: &Ask) -> Result<Vec<Loss>, Fault> {
        Ok(Vec::new())
    }

    fn takes_prefill(&self) -> bool {
        self.inner.prefills
    }

    fn call<'a>(&'a self, ask: &'a Arc<Ask>, terms: CallTerms) -> BoxFuture<'a, Result<Reply, Fault>> {
        Box::pin(self.answer(ask, terms))
    }
}

/// A budget of so many calls that cost `call` each; `None`: no budget.
fn budget(rank: Rank, call: Option<NanoUsd>) -> BudgetRules {
    BudgetRules { usd_day: call.map(|call| NanoUsd(call.0 * calls(rank))), ..BudgetRules::default() }
}

/// The usual world with budgets for calls that cost `call` each, and no other limits.
fn world(dice: &Arc<Dice>, tally: &Arc<AtomicU64>, call: Option<NanoUsd>) -> Setup {
    let mut setup = setup(dice);
    let mut spec = setup.fleet.spec();
    spec.deployments.iter_mut().for_each(|one| one.limits = Limits::default());
    let rules = &mut spec.products[0].1;
    rules.limits = Limits::default();
    rules.budget = budget(Rank::Product, call);
    let team = || TeamRules { budget: budget(Rank::Team, call), ..TeamRules::default() };
    rules.team = ["north", "south"].map(|name| (name.to_owned(), team())).into();
    let fleet = Fleet::build(spec).expect("a sound fleet");
    let trouble = 1 + dice.below(8);
    for unit in &mut setup.units {
        let inner = Scripted { dice: Arc::clone(dice), trouble, prefills: dice.one_in(2) };
        unit.backend = Arc::new(Charging { inner, tally: Arc::clone(tally) });
    }
    setup.live = Arc::new(LiveView::new(&fleet, None));
    let nano_day = budget(Rank::Key, call).usd_day.map(|usd| usd.0);
    setup.live.keep_keys(&KeyRing::new((0..8).map(|number| key(number, nano_day)).collect()));
    setup.fleet = Arc::new(fleet);
    setup
}

fn key(number: u64, nano_day: Option<u64>) -> Key {
    let (line, team) = chain(number);
    Key {
        id: Name::from(line.as_str()),
        line: Name::from(line),
        kind: KeyKind::Product,
        product: Name::from("product"),
        team: Some(Name::from(team)),
        name: Name::from(""),
        hash: [u8::try_from(number).expect("small"); 32],
        prefix: Name::from(""),
        created: 0,
        expires: None,
        revoked: None,
        models: Vec::new(),
        networks: Vec::new(),
        quota: Quota { nano_day, ..Quota::default() },
    }
}

fn gateway(setup: Setup, journal: &Arc<Journal>, turns: &Turns) -> Arc<Gateway> {
    let access = Access::new(Arc::new(KeyRing::new(Vec::new())), std::path::PathBuf::new());
    let clock = Clock::default();
    Arc::new(Gateway::new(setup, access, Arc::clone(journal), turns.clone(), clock, Box::new(Always)))
}

/// One caller; `true`: it was answered to the end.
async fn caller(gateway: &Arc<Gateway>, dice: &Dice, number: u64, call: NanoUsd) -> bool {
    tokio::time::sleep(Duration::from_millis(dice.below(if dice.one_in(3) { 4_000 } else { 20 }))).await;
    let setup = gateway.setup();
    let ask = Arc::new(ask(&format!("nonce-{number}"), !dice.one_in(4)));
    let (line, team) = chain(number);
    let levels = setup.live.levels(ProductIx(0), Some(team), Some(&line));
    let Ok(plan) = chosen((gateway, &setup, &levels), &ask, dice.below(u64::MAX)) else { return false };
    let run = Arc::new(run_of((gateway, &setup, &levels), &ask, number));
    let leaves = dice.one_in(5).then(|| Duration::from_millis(dice.below(400)));
    let told = heard(run, &plan, leaves).await;
    for (who, spent, reserved) in setup.live.books(clock::wall()) {
        let most = NanoUsd(call.0 * calls(who.rank));
        assert!(spent.plus(reserved) <= most, "{who}: {spent} spent and {reserved} reserved of {most}");
    }
    told.contains("[DONE]") || told.starts_with("whole ")
}

/// One run; gives how many were answered and what the providers charged.
async fn run(seed: u64, journal: &Arc<Journal>, turns: &Turns) -> (u64, u64) {
    fastrand::seed(seed);
    let dice = Arc::new(Dice(Mutex::new(fastrand::Rng::with_seed(seed))));
    let tally = Arc::new(AtomicU64::new(0));
    let question = ask("nonce-100", true);
    // Twice the same world: what a call can cost is seen in the first one, which has no budget.
    let again = || Arc::new(Dice(Mutex::new(fastrand::Rng::with_seed(seed))));
    let free = gateway(world(&again(), &tally, None), journal, turns);
    let (setup, nobody) = (free.setup(), Levels::default());
    let call = chosen((&free, &setup, &nobody), &question, 0).expect("somebody answers").reserve();
    let gateway = gateway(world(&again(), &tally, Some(call)), journal, turns);
    let callers = (0..CALLERS).map(|number| caller(&gateway, &dice, 100 + number, call));
    let answered = futures_util::future::join_all(callers).await;
    let live = &gateway.setup().live;
    assert_eq!(live.held(), (NanoUsd::ZERO, 0, 0), "seed {seed}: something is held after all requests");
    let books = live.books(clock::wall());
    assert_eq!(books.len(), 11, "a product, two teams, eight keys");
    let of = |rank| {
        let mine = books.iter().filter(|(who, ..)| who.rank == rank);
        mine.map(|(_, spent, _)| *spent).fold(NanoUsd::ZERO, NanoUsd::plus)
    };
    let (spent, charged) = (of(Rank::Product), NanoUsd(tally.load(Ordering::Relaxed)));
    assert_eq!((of(Rank::Team), of(Rank::Key)), (spent, spent), "seed {seed}: every level counts the same calls");
    assert!(charged <= spent, "seed {seed}: {charged} were charged, {spent} are in the books");
    (answered.into_iter().map(u64::from).sum(), charged.0)
}

#[test]
fn two_hundred_callers_never_overspend_a_budget_for_ten() {
    let runs = std::env::var_os("AUTARKY_BUDGET_RUNS").and_then(|text| text.to_str()?.parse().ok()).unwrap_or(RUNS);
    let folder = tempfile::tempdir().expect("a folder");
    let journal = Journal::open(&folder.path().join("journal"), JournalOptions::default(), 1, 2).expect("a journal");
    let journal = Arc::new(journal);
    let turns = Turns::new(Arc::new(state::Sqlite::open(&folder.path().join("state.db")).expect("a store")));
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().expect("a runtime");
    let (mut answered, mut charged) = (0, 0);
    for seed in 0..runs {
        let told = runtime.block_on(run(seed, &journal, &turns));
        (answered, charged) = (answered + told.0, charged + told.1);
    }
    assert!(answered >= runs, "somebody is answered");
    println!("budgets: {runs} runs of {CALLERS} callers, {answered} answered, {charged} nano-dollars charged");
}
