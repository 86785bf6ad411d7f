//! The engine with real weights: the worker is a child process, as in the product. Without weights every test says so
//! and passes. One runtime and one house are shared by all tests that neither kill nor fill it.

#![expect(clippy::unwrap_used, clippy::panic, clippy::print_stderr, reason = "a test's helpers fail as its tests do")]

mod adapters;
mod conversations;
mod equality;
mod forms;
mod limits;
mod survival;

use canon::wire::openai_chat::ID;
use canon::{Event, Fault, Message, Request, Response, Role, answer};
use engine::{Answer, House, HouseCommand, HouseOptions};
use std::future::Future;
use std::path::PathBuf;
use std::sync::LazyLock;
use std::time::Duration;
use tokio::runtime::Runtime;
use tokio::time::Instant;

static RUNTIME: LazyLock<Runtime> = LazyLock::new(|| Runtime::new().unwrap());
static SHARED: LazyLock<Option<House>> = LazyLock::new(|| RUNTIME.block_on(async { new_house(|_| {}) }));

/// The weights, or a loud word that there are none.
fn weights() -> Option<PathBuf> {
    let path = std::env::var_os("AUTARKY_TEST_GGUF").map(PathBuf::from).or_else(|| {
        let home = PathBuf::from(std::env::var_os("HOME")?);
        Some(home.join(".cache/autarky/weights/SmolLM2-135M-Instruct.Q4_1.gguf"))
    });
    let found = path.filter(|path| path.is_file());
    if found.is_none() {
        eprintln!("SKIPPED: no weights; fetch them or set AUTARKY_TEST_GGUF to a GGUF file");
    }
    found
}

fn command() -> HouseCommand {
    HouseCommand { program: env!("CARGO_BIN_EXE_house-worker").into(), args: Vec::new() }
}

/// A house of its own.
fn new_house(change: impl FnOnce(&mut HouseOptions)) -> Option<House> {
    let mut options = HouseOptions::new(weights()?);
    change(&mut options);
    Some(House::new(options, command()))
}

/// Runs a test against the shared house.
fn with_house<F: Future<Output = ()>>(test: impl FnOnce(&'static House) -> F) {
    if let Some(house) = SHARED.as_ref() {
        RUNTIME.block_on(test(house));
    }
}

/// Runs a test against a house of its own, and ends that.
fn with_own_house(change: impl FnOnce(&mut HouseOptions), test: impl AsyncFnOnce(&House)) {
    RUNTIME.block_on(async {
        if let Some(house) = new_house(change) {
            test(&house).await;
            house.shutdown().await;
        }
    });
}

/// A greedy request with `messages`.
fn request(messages: &[(Role, &str)]) -> Request {
    let mut request = Request::new(ID, "house");
    request.messages = messages.iter().map(|(role, text)| Message::text(*role, *text)).collect();
    request.sampling.temperature = Some(0.0);
    request.sampling.max_output_tokens = Some(32);
    request
}

fn user(text: &str) -> Request {
    request(&[(Role::User, text)])
}

/// Long enough for a machine that is busy with other tests.
fn soon() -> Instant {
    Instant::now() + Duration::from_secs(900)
}

/// A whole answer, after checking the contract of events.
async fn whole(house: &House, request: &Request) -> Result<(Response, Vec<i32>), Fault> {
    let mut answer = house.generate(request, soon())?;
    let events = collect(&mut answer).await?;
    Ok((answer::fold(&events).unwrap(), answer.tokens(0).to_vec()))
}

async fn collect(answer: &mut Answer) -> Result<Vec<Event>, Fault> {
    let mut events = Vec::new();
    while let Some(event) = answer.next().await {
        events.push(event?);
    }
    check(&events);
    Ok(events)
}

/// One `Start`, first; parts open before they speak and close once; one `Finish`, last.
fn check(events: &[Event]) {
    assert!(matches!(events.first(), Some(Event::Start(_))), "{events:?}");
    assert!(matches!(events.last(), Some(Event::Finish(_))), "{events:?}");
    let mut open = Vec::new();
    let mut next = 0;
    for event in &events[1..events.len() - 1] {
        match event {
            Event::PartStart { at, .. } => {
                assert_eq!(*at, next, "parts are numbered in order");
                next += 1;
                open.push(*at);
            }
            Event::Delta { at, .. } => assert!(open.contains(at), "part {at} speaks while closed"),
            Event::PartEnd { at } => {
                assert!(open.contains(at), "part {at} ends twice");
                open.retain(|part| part != at);
            }
            Event::Usage(_) => {}
            other => panic!("unexpected {other:?}"),
        }
    }
    assert!(open.is_empty(), "parts {open:?} never end");
}

async fn text(house: &House, request: &Request) -> String {
    whole(house, request).await.unwrap().0.text()
}
