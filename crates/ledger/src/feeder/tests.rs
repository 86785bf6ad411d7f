//! The way of a row: journal, feeder, SQLite, with the store in trouble and the files damaged.

use super::*;
use crate::id::RequestId;
use crate::journal::JournalOptions;
use crate::record::{Attempt, Candidate, Mode, Name, Outcome, Portability, UsageSource};
use crate::sqlite::Sqlite;
use crate::store::Filter;
use crate::suite::sample;
use canon::{FaultKind, Loss, StopReason};
use proptest::prelude::*;
use std::path::Path;

const LONG: Duration = Duration::from_secs(60);

struct House {
    feeder: Feeder,
    journal: Journal,
    store: Arc<Sqlite>,
    dir: tempfile::TempDir,
}

fn quick() -> FeederOptions {
    FeederOptions {
        every: Duration::from_millis(2),
        longest_wait: Duration::from_millis(20),
        ..FeederOptions::default()
    }
}

fn journal(dir: &Path, segment_bytes: u64, random: u64) -> Journal {
    let options = JournalOptions { sync_every: Duration::from_millis(1), segment_bytes, ..JournalOptions::default() };
    Journal::open(&dir.join("journal"), options, 1, random).unwrap()
}

fn house(segment_bytes: u64) -> House {
    let dir = tempfile::tempdir().unwrap();
    let journal = journal(dir.path(), segment_bytes, 1);
    let store = Arc::new(Sqlite::open(&dir.path().join("ledger.db")).unwrap());
    let feeder = Feeder::start(&journal, Arc::clone(&store) as Arc<dyn Store>, quick()).unwrap();
    House { feeder, journal, store, dir }
}

impl House {
    fn rows(&self) -> Vec<Attempt> {
        let mut rows = self.store.list(&Filter::default()).unwrap();
        rows.reverse();
        rows
    }

    fn segments(&self) -> Vec<std::path::PathBuf> {
        let files = std::fs::read_dir(self.dir.path().join("journal")).unwrap();
        let mut files: Vec<_> = files.map(|file| file.unwrap().path()).collect();
        files.sort();
        files
    }
}

fn begun(row: &Attempt) -> Attempt {
    Attempt::new(row.request_id, row.attempt, row.started)
}

#[test]
fn what_is_ended_is_in_the_store() {
    let house = house(1 << 20);
    let rows: Vec<Attempt> = (0..100).map(sample).collect();
    for row in &rows {
        house.journal.begin(&begun(row)).unwrap();
        house.journal.end(row).unwrap();
    }
    house.feeder.flush(LONG).unwrap();
    assert_eq!(house.rows(), rows);
    let status = house.feeder.status();
    assert_eq!((status.fed_rows, status.lag_rows, status.open, status.failures), (100, 0, 0, 0));
    let status = house.journal.status();
    assert_eq!((status.begun, status.ended, status.failed), (100, 100, 0));
}

#[test]
fn an_open_attempt_cannot_be_ended_and_a_closed_journal_takes_none() {
    let house = house(1 << 20);
    let open = begun(&sample(1));
    assert!(matches!(house.journal.end(&open), Err(JournalError::StillOpen { .. })));
    house.journal.close();
    assert!(matches!(house.journal.begin(&open), Err(JournalError::Closed)));
}

#[test]
fn segments_go_when_fed_and_running_attempts_are_carried_on() {
    let house = house(20_000);
    let running = sample(0);
    house.journal.begin(&begun(&running)).unwrap();
    let first = house.segments()[0].clone();
    let mut number = 0;
    while first.exists() {
        number += 1;
        house.journal.end(&sample(number)).unwrap();
        house.feeder.flush(LONG).unwrap();
    }
    house.feeder.flush(LONG).unwrap();
    assert_eq!(house.feeder.status().open, 1);
    assert_eq!(house.rows().len() as u64, number);
    house.journal.close();
    house.feeder.flush(LONG).unwrap();
    let left = house.segments();
    let bytes: Vec<u8> = left.iter().flat_map(|path| std::fs::read(path).unwrap()).collect();
    let carried = bytes.windows(16).any(|part| part == running.request_id.bytes());
    assert!(carried, "its entry outlives the segment it was written to");
    let House { feeder, journal: old, store, dir } = house;
    drop((feeder, old));
    let journal = journal(dir.path(), 1 << 20, 2);
    let feeder = Feeder::start(&journal, Arc::clone(&store) as Arc<dyn Store>, quick()).unwrap();
    feeder.flush(LONG).unwrap();
    assert_eq!(store.attempts(running.request_id).unwrap()[0].outcome, Outcome::Unknown);
    assert_eq!(feeder.status().unknown_rows, 1);
}

#[test]
fn a_clean_end_leaves_no_segment() {
    let house = house(20_000);
    for number in 0..500 {
        house.journal.begin(&begun(&sample(number))).unwrap();
        house.journal.end(&sample(number)).unwrap();
    }
    house.journal.close();
    house.feeder.flush(LONG).unwrap();
    assert_eq!(house.segments(), Vec::<std::path::PathBuf>::new());
    assert_eq!(house.rows().len(), 500);
}

#[test]
fn a_locked_store_costs_lag_and_heals() {
    let house = house(1 << 20);
    let other = rusqlite::Connection::open(house.dir.path().join("ledger.db")).unwrap();
    other.execute_batch("BEGIN EXCLUSIVE").unwrap();
    house.store.writer().unwrap().connection.busy_timeout(Duration::from_millis(1)).unwrap();
    trouble(&house, "locked");
    other.execute_batch("ROLLBACK").unwrap();
    healed(&house);
}

#[test]
fn a_read_only_store_costs_lag_and_heals() {
    let house = house(1 << 20);
    house.store.writer().unwrap().connection.execute_batch("PRAGMA query_only = ON").unwrap();
    trouble(&house, "readonly");
    house.store.writer().unwrap().connection.execute_batch("PRAGMA query_only = OFF").unwrap();
    healed(&house);
}

#[test]
fn a_full_store_costs_lag_and_heals() {
    let house = house(1 << 20);
    house.store.writer().unwrap().connection.query_row("PRAGMA max_page_count = 14", [], |_| Ok(())).unwrap();
    trouble(&house, "full");
    house.store.writer().unwrap().connection.query_row("PRAGMA max_page_count = 100000", [], |_| Ok(())).unwrap();
    healed(&house);
}

fn trouble(house: &House, word: &str) {
    for number in 0..300 {
        house.journal.begin(&begun(&sample(number))).unwrap();
        house.journal.end(&sample(number)).unwrap();
    }
    let error = house.feeder.flush(Duration::from_millis(60)).unwrap_err().to_string();
    assert!(error.contains("rows are not yet in the store"), "{error}");
    while house.feeder.status().failures < 2 {
        std::thread::yield_now();
    }
    let status = house.feeder.status();
    // a disk that is nearly full may have taken some
    assert!(status.lag_rows > 0 && status.lag_rows + status.fed_rows == 300, "{status:?}");
    assert!(status.last_error.as_deref().unwrap().contains(word), "{status:?}");
}

fn healed(house: &House) {
    house.feeder.flush(LONG).unwrap();
    assert_eq!(house.rows(), (0..300).map(sample).collect::<Vec<_>>());
    let status = house.feeder.status();
    assert_eq!((status.lag_rows, status.failures, status.last_error), (0, 0, None));
    house.store.check().unwrap();
}

#[test]
fn a_torn_end_is_no_entry_and_a_damaged_one_is_kept_aside() {
    let house = house(1 << 20);
    let folder = house.dir.path().join("journal");
    let entry = |row: &Attempt| {
        let mut bytes = Vec::new();
        crate::packed::write(row, &mut bytes);
        bytes
    };
    let write = |name: &str, parts: &[&[u8]]| {
        // each whole when it is seen: the feeder looks for such files all the time
        std::fs::write(folder.join("new"), parts.concat()).unwrap();
        std::fs::rename(folder.join("new"), folder.join(name)).unwrap();
    };
    let torn = entry(&sample(3));
    let torn = &torn[..torn.len() / 2];
    write("dead.000000.jnl", &[&entry(&sample(1)), torn]);
    write("hurt.000000.jnl", &[&entry(&sample(4)), b"what is this?", &entry(&begun(&sample(5)))]);
    write("hurt.000001.jnl", &[&entry(&sample(6))]);
    write("torn.000000.jnl", &[torn, &entry(&sample(7))]);
    write("line.000000.jnl", &[b"{\"request_id\":\"an older version's\"}\n"]);
    write("not ours.txt", &[b"x"]);
    house.feeder.flush(LONG).unwrap();
    let unknown = Attempt { outcome: Outcome::Unknown, ..begun(&sample(5)) };
    assert_eq!(house.rows(), [sample(1), sample(4), unknown, sample(6), sample(7)]);
    let status = house.feeder.status();
    assert_eq!((status.recovered_rows, status.unknown_rows, status.damaged_entries), (5, 1, 3));
    let names: Vec<_> = house.segments().iter().map(|path| path.file_name().unwrap().to_owned()).collect();
    assert_eq!(names.len(), 5, "{names:?}");
    for name in ["hurt.000000.jnl-damaged", "torn.000000.jnl-damaged", "line.000000.jnl-damaged", "not ours.txt"] {
        assert!(names.contains(&name.into()), "{names:?}");
    }
}

#[test]
fn an_entry_longer_than_a_read_is_one_entry() {
    let house = house(1 << 30);
    let long = Attempt { capture: Some("x".repeat(700_000).into()), ..sample(1) };
    house.journal.end(&long).unwrap();
    house.journal.end(&sample(2)).unwrap();
    house.feeder.flush(LONG).unwrap();
    assert_eq!(house.rows(), [long, sample(2)]);
}

#[test]
fn many_rows_are_fed_quickly() {
    const ROWS: u64 = 100_000;
    let house = house(8 << 20);
    let start = Instant::now();
    std::thread::scope(|scope| {
        for part in 0..4 {
            let journal = &house.journal;
            scope.spawn(move || {
                for number in (part..ROWS).step_by(4) {
                    journal.end(&sample(number)).unwrap();
                }
            });
        }
    });
    let written = start.elapsed();
    house.feeder.flush(LONG * 5).unwrap();
    let fed = start.elapsed();
    let rows: u64 = house.store.totals(&[crate::Dimension::Mode], &Filter::default()).unwrap()[0].attempts;
    assert_eq!(rows, ROWS);
    let bytes = std::fs::metadata(house.dir.path().join("ledger.db")).unwrap().len();
    println!(
        "{ROWS} rows: written in {written:.2?}, in the store after {fed:.2?} ({:.0} rows/s), {} bytes a row",
        ROWS as f64 / fed.as_secs_f64(),
        bytes / ROWS
    );
}

#[test]
#[ignore = "a measurement, of use in an optimised build only"]
fn cost_of_an_entry() {
    const ROWS: u32 = 5_000;
    let house = house(64 << 20);
    let row = sample(1);
    let mut entry = Vec::new();
    let time = |what: &str, run: &mut dyn FnMut()| {
        // the best of many short runs: what it costs where nothing else disturbs
        let best = (0..40).map(|_| {
            let start = Instant::now();
            (0..ROWS).for_each(|_| run());
            start.elapsed()
        });
        println!("{what}: {:.0} ns", best.min().unwrap().as_secs_f64() * 1e9 / f64::from(ROWS));
    };
    time("encode a full row", &mut || {
        entry.clear();
        crate::packed::write(&row, &mut entry);
        std::hint::black_box(&entry);
    });
    println!("{} bytes", entry.len());
    let mut moulds = crate::packed::Moulds::default();
    time("decode a full row", &mut || {
        let crate::packed::First::Whole(found) = crate::packed::first(&entry) else { return };
        std::hint::black_box(moulds.of(&found).and_then(|mould| found.row(&mould)));
    });
    time("clone a full row", &mut || {
        std::hint::black_box(row.clone());
    });
    let open = begun(&row);
    time("begin", &mut || house.journal.begin(&open).unwrap());
    time("end", &mut || assert_eq!(house.journal.end(&row).unwrap(), crate::journal::Kept::OnDisk));
    let keys: Vec<_> = (0..100)
        .map(|n| crate::keys::create(&*house.store, crate::keys::Wish::default(), &[n; 32], 0).unwrap())
        .collect();
    let secret = &keys[50].1;
    let ring = crate::KeyRing::load(&*house.store).unwrap();
    time("verify a key", &mut || {
        std::hint::black_box(ring.verify(secret.reveal(), 0).unwrap());
    });
}

fn word() -> impl Strategy<Value = Name> {
    proptest::string::string_regex("(?s).{0,12}").unwrap().prop_map(Name::from)
}

fn number() -> impl Strategy<Value = f64> {
    use proptest::num::f64::{NEGATIVE, NORMAL, POSITIVE, SUBNORMAL, ZERO};
    NORMAL | SUBNORMAL | ZERO | POSITIVE | NEGATIVE
}

prop_compose! {
    fn candidate()(
        deployment in word(), dropped in proptest::option::of(word()), score in proptest::option::of(number()),
    ) -> Candidate {
        Candidate { deployment, dropped, score }
    }
}

prop_compose! {
    fn loss()(path in word(), kind in 0..3) -> Loss {
        match kind {
            0 => Loss::dropped(&*path),
            1 => Loss::weakened(&*path),
            _ => Loss::emulated(&*path),
        }
    }
}

fn member<T: crate::named::Named + std::fmt::Debug>() -> impl Strategy<Value = T> {
    proptest::sample::select(T::MEMBERS)
}

prop_compose! {
    fn row()(
        names in proptest::collection::vec(proptest::option::of(word()), 24),
        counts in proptest::collection::vec(proptest::option::of(0..=i64::MAX as u64), 15),
        id in any::<(u32, u128)>(),
        attempt in any::<u32>(),
        times in any::<(i64, Option<i64>)>(),
        outcome in member::<Outcome>().prop_filter("an end", |outcome| *outcome != Outcome::Open),
        kinds in (member::<Mode>(), member::<UsageSource>(), proptest::option::of(member::<Portability>())),
        ends in (proptest::option::of(member::<StopReason>()), proptest::option::of(member::<FaultKind>())),
        lists in (proptest::collection::vec(candidate(), 0..4), proptest::collection::vec(loss(), 0..4)),
        chances in (proptest::option::of(number()), proptest::option::of(number())),
        flags in any::<(bool, bool, Option<u16>)>(),
    ) -> Attempt {
        let mut names = names.into_iter();
        let mut name = || names.next().unwrap();
        let mut counts = counts.into_iter();
        let mut count = || counts.next().unwrap();
        Attempt {
            request_id: RequestId::new(u64::from(id.0), id.1), attempt, outcome, mode: kinds.0, drill: name(),
            product: name(), team: name(), key: name(), class: name(), classifier: name(), dialect: name(),
            protocol: name(), requested_model: name(), resolved_model: name(), deployment: name(), provider: name(),
            maker: name(), host: name(), invoicer: name(), account: name(), region: name(), family: name(),
            policy_version: name(), candidates: lists.0, score: chances.0, probability: chances.1,
            input_tokens: count(), cache_read_tokens: count(), cache_write_tokens: count(),
            cache_write_1h_tokens: count(), output_tokens: count(), reasoning_tokens: count(),
            audio_input_tokens: count(), image_input_tokens: count(), audio_output_tokens: count(),
            image_output_tokens: count(), service_tier: name(), usage_source: kinds.1, price_version: name(),
            cost_nanodollars: times.1, started: times.0, connect_us: count(), first_token_us: count(),
            last_token_us: count(), finish: ends.0, fault: ends.1, status: flags.2, losses: lists.1,
            portability: kinds.2, locked_by: name(), degraded: flags.0, stream: flags.1, bytes_in: count(),
            bytes_out: count(), capture: name(), terms: name(),
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]
    #[test]
    fn any_row_comes_back(rows in proptest::collection::vec(row(), 1..40)) {
        let house = house(4_000);
        for row in &rows {
            house.journal.begin(row).unwrap();
            house.journal.end(row).unwrap();
        }
        house.feeder.flush(LONG).unwrap();
        for row in &rows {
            prop_assert_eq!(&house.store.attempts(row.request_id).unwrap(), std::slice::from_ref(row));
        }
        prop_assert_eq!(house.feeder.status().damaged_entries, 0);
    }
}
