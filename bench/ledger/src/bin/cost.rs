//! What the ledger costs per attempt: CPU of each thread, with journal, feeder and SQLite at work as in the gateway.
//! `cost FOLDER [ATTEMPTS] [PER SECOND] [PRODUCTS]`: as many as go where the rate is 0. `PRODUCTS` varies the kinds of
//! rows. What making rows costs is measured before, without a ledger, and taken off.

use ledger::{
    Attempt, Candidate, Feeder, FeederOptions, Journal, JournalOptions, Mode, Name, Outcome, Portability, RequestId,
    Sqlite, Store, UsageSource,
};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

fn name(text: &str) -> Option<Name> {
    Some(text.into())
}

/// What the gateway knows of an attempt when it begins.
fn begun(product: usize) -> Attempt {
    Attempt {
        product: name(&format!("product-{product}")),
        team: name("search"),
        key: name("key_01hzy3v5q8"),
        dialect: name("openai-chat"),
        protocol: name("openai-chat"),
        requested_model: name("auto"),
        resolved_model: name("gpt-5.2"),
        deployment: name("gpt"),
        provider: name("openai"),
        maker: name("openai"),
        host: name("openai"),
        invoicer: name("openai"),
        account: name("openai"),
        family: name("gpt"),
        policy_version: name("0a1b2c3d4e5f"),
        score: Some(0.25),
        probability: Some(1.0),
        ..Attempt::default()
    }
}

fn ended(row: &mut Attempt, number: u64, candidates: &[Candidate], price: &Option<Name>) {
    row.outcome = Outcome::Ok;
    row.candidates = candidates.to_vec();
    row.portability = Some(Portability::Portable);
    row.finish = Some(canon::StopReason::End);
    row.input_tokens = Some(300 + number % 977);
    row.cache_read_tokens = Some(number % 300);
    row.output_tokens = Some(20 + number % 211);
    row.usage_source = UsageSource::Reported;
    row.price_version.clone_from(price);
    row.cost_nanodollars = Some(1_250 * (number % 1_000) as i64);
    row.connect_us = Some(300 + number % 97);
    row.first_token_us = Some(1_200 + number % 1_013);
    row.last_token_us = Some(2_200 + number % 1_013);
    row.bytes_in = Some(1_100 + number % 200);
    row.bytes_out = Some(700 + number % 100);
}

/// CPU used so far by each thread of this process, nanoseconds, the first one's first.
fn used() -> Vec<(String, u64)> {
    let tasks = std::fs::read_dir("/proc/self/task").expect("threads");
    let read = |path: &Path, name: &str| std::fs::read_to_string(path.join(name)).unwrap_or_default();
    let of = |path: &Path| {
        let used = read(path, "schedstat").split(' ').next().and_then(|text| text.parse().ok()).unwrap_or(0);
        (read(path, "comm").trim().to_owned(), used)
    };
    let mut tasks: Vec<_> = tasks.map(|task| task.expect("a thread").path()).collect();
    tasks.sort();
    tasks.iter().map(|task| of(task)).collect()
}

/// Makes attempts, `rate` per second where that is not 0, and hands each to `take` twice: begun and ended.
fn play(attempts: u64, rate: u64, products: u64, take: &mut dyn FnMut(&Attempt, bool)) {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("a clock after 1970");
    let moulds: Vec<Attempt> = (0..products).map(|product| begun(product as usize)).collect();
    let candidate = |name: &str, score| Candidate { deployment: name.into(), dropped: None, score };
    let candidates = [candidate("gpt", Some(0.25)), candidate("claude", Some(0.5)), candidate("house", None)];
    let price = name("2026-11-23");
    let start = Instant::now();
    let mut random = 0x9E37_79B9_7F4A_7C15_u64 ^ now.as_nanos() as u64;
    for number in 0..attempts {
        if rate > 0 {
            let due = Duration::from_secs_f64(number as f64 / rate as f64);
            let early = due.saturating_sub(start.elapsed());
            if early > Duration::from_millis(1) {
                std::thread::sleep(early);
            }
        }
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        let micros = (now + start.elapsed()).as_micros() as u64;
        let mut row = moulds[(random % products) as usize].clone();
        row.request_id = RequestId::new(micros / 1_000, u128::from(random) << 8 | u128::from(number));
        row.attempt = 1;
        row.started = micros as i64;
        row.mode = Mode::Live;
        take(&row, false);
        ended(&mut row, number, &candidates, &price);
        take(&row, true);
    }
}

fn main() {
    let mut arguments = std::env::args().skip(1);
    let folder = arguments.next().expect("FOLDER");
    let mut number = |default: u64| arguments.next().map_or(default, |text| text.parse().expect("a number"));
    let (attempts, rate, products) = (number(200_000), number(0), number(1));
    let folder = Path::new(&folder);
    let idle = used();
    play(attempts, rate, products, &mut |row, _| _ = std::hint::black_box(row));
    let without = used()[0].1 - idle[0].1;
    let store: Arc<dyn Store> = Arc::new(Sqlite::open(&folder.join("ledger.db")).expect("a store"));
    let millis = SystemTime::now().duration_since(UNIX_EPOCH).expect("a clock after 1970").as_millis() as u64;
    let journal = Journal::open(&folder.join("journal"), JournalOptions::default(), millis, 1).expect("a journal");
    let feeder = Feeder::start(&journal, store, FeederOptions::default()).expect("a feeder");
    let (before, start) = (used(), Instant::now());
    play(attempts, rate, products, &mut |row, over| match over {
        false => journal.begin(row).expect("begun"),
        true => _ = journal.end(row).expect("ended"),
    });
    let (written, took) = (used(), start.elapsed());
    feeder.flush(Duration::from_secs(600)).expect("fed");
    let fed = used();
    let each = |nanos: u64| nanos as f64 / attempts as f64;
    let mut all = (written[0].1 - before[0].1).saturating_sub(without);
    println!("{:16} {:8.0} ns per attempt", "writing", each(all));
    for (name, end) in fed.iter().filter(|(name, _)| name.starts_with("ledger-")) {
        let nanos = end - before.iter().find(|(one, _)| one == name).map_or(0, |(_, used)| *used);
        all += nanos;
        println!("{name:16} {:8.0} ns per attempt", each(nanos));
    }
    let size = |name| std::fs::metadata(folder.join(name)).map_or(0, |file| file.len());
    println!(
        "{:16} {:8.0} ns per attempt, {:.0} attempts/s, {} bytes of database per attempt",
        "all",
        each(all),
        attempts as f64 / took.as_secs_f64(),
        size("ledger.db") / attempts
    );
}
