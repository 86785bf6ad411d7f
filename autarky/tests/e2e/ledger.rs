//! The ledger of a running server: what is asked of it, what leaves it, and what it forgets.

use crate::stage::{ANONYMOUS, Stage, leg, until};
use ledger::{Attempt, Filter, Outcome, RequestId, Sqlite, Store};
use testkit::provider::{Provider, Script};

const DAY: i64 = 86_400_000_000;

/// An attempt of a request that came `days` ago.
fn attempt(days: i64) -> Attempt {
    let started = jiff::Timestamp::now().as_microsecond() - days * DAY;
    let millis = u64::try_from(started / 1_000).expect("after 1970");
    Attempt {
        outcome: Outcome::Ok,
        product: Some("office".into()),
        input_tokens: Some(10),
        ..Attempt::new(RequestId::new(millis, 7), 1, started)
    }
}

#[tokio::test]
async fn days_whose_time_is_over_are_forgotten_and_their_sums_stay() {
    let provider = Provider::start(Script::default()).await.expect("a provider");
    let rules = format!("{}{ANONYMOUS}", leg("one", provider.addr(), 0));
    let stage = Stage::start(&rules);
    let path = stage.folder.path().join("data/ledger.db");
    let rows: Vec<Attempt> = [20, 10, 2, 0].map(attempt).to_vec();
    Sqlite::open(&path).expect("it opens").append(&rows).expect("rows are added");
    stage.configure(&format!("[ledger]\nkeep_days = 5\n{rules}"));
    let kept = stage.rows("old days are forgotten", |rows| rows.len() == 2).await;
    assert_eq!(kept, rows[2..]);
    let ledger = stage.ledger();
    let sums = |ledger: &Sqlite| -> u64 {
        ledger.flows(&Filter::default()).expect("sums").iter().map(|flow| flow.answered).sum()
    };
    assert_eq!(sums(&ledger), 4);
    stage.configure(&format!("[ledger]\nkeep_days = 5\nkeep_sums_days = 15\n{rules}"));
    until("older sums are forgotten too", async || (sums(&ledger) == 3).then_some(())).await;
}
