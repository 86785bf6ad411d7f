//! What a request costs by its parts: read, plan, encode, frames, ledger.
//! `cargo bench --manifest-path bench/micro/Cargo.toml [-- NAME]`; `make bench-micro`.

use bytes::Bytes;
use canon::frame::SseReader;
use canon::wire::{Params, StreamTerms, Target, dialect, protocol};
use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use ledger::{Attempt, Feeder, FeederOptions, Journal, JournalOptions, Outcome, Sqlite, Store};
use micro_bench::{chat, chat_chunk, claude, claude_chunk, completion, fleet, row};
use policy::{PlanInput, Snapshot, Tick, Wall};
use std::hint::black_box;
use std::sync::Arc;
use std::time::Duration;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn read(c: &mut Criterion) {
    let wire = dialect("openai-chat").expect("a wire");
    for (name, size) in [("1K", 1_000), ("64K", 64_000)] {
        let body = chat(size);
        c.bench_function(&format!("read/peek {name}"), |b| b.iter(|| wire.peek(&Params::default(), black_box(&body))));
    }
    let body = completion();
    let wire = protocol("openai-chat").expect("a wire");
    c.bench_function("read/answer", |b| b.iter(|| wire.scan_response(black_box(&body))));
}

fn plan(c: &mut Criterion) {
    for count in [1, 10, 1_000] {
        let (fleet, view) = (fleet(count), Snapshot::default());
        let facets = canon::Facets { input_tokens: 300, max_output_tokens: Some(100), choices: 1, ..canon::Facets::default() };
        let input = PlanInput {
            facets: &facets,
            model: "bench",
            product: &fleet.products()[0],
            fleet: &fleet,
            view: &view,
            now: Tick::from_millis(1_000_000),
            wall: Wall::from_date(2026, 11, 25),
            chance: 7,
            dialect: None,
            permit: None,
            exclude: &[],
            warm: None,
            bound: None,
        };
        c.bench_function(&format!("plan/{count} deployments"), |b| b.iter(|| policy::plan(black_box(&input)).is_ok()));
    }
}

fn encode(c: &mut Criterion) {
    let (ours, theirs) = (dialect("openai-chat").expect("a wire"), protocol("anthropic-messages").expect("a wire"));
    let target = Target { model: "bench".to_owned(), ..Target::default() };
    for (name, size) in [("1K", 1_000), ("7K", 7_000), ("64K", 64_000)] {
        let body = chat(size);
        c.bench_function(&format!("encode/tree {name}"), |b| {
            b.iter(|| serde_json::from_slice::<serde_json::Value>(black_box(&body)).is_ok());
        });
        let tree: serde_json::Value = serde_json::from_slice(&body).expect("JSON");
        c.bench_function(&format!("encode/decode {name}"), |b| {
            b.iter_batched(|| tree.clone(), |tree| ours.decode_request(&Params::default(), tree), BatchSize::SmallInput);
        });
        let request = ours.decode_request(&Params::default(), tree).expect("a request");
        c.bench_function(&format!("encode/encode {name}"), |b| b.iter(|| theirs.encode_request(black_box(&request), &target)));
        let encoded = theirs.encode_request(&request, &target).body;
        c.bench_function(&format!("encode/write {name}"), |b| b.iter(|| serde_json::to_vec(black_box(&encoded))));
    }
    let body = claude();
    c.bench_function("encode/answer", |b| {
        b.iter(|| {
            let tree = serde_json::from_slice(black_box(&body)).expect("JSON");
            let answer = theirs.decode_response(tree).expect("an answer");
            ours.encode_response(&answer, &StreamTerms::default()).to_string()
        });
    });
}

fn frames(c: &mut Criterion) {
    let chunk = Bytes::from(chat_chunk());
    let mut group = c.benchmark_group("frames");
    group.throughput(Throughput::Elements(1));
    let (mut reader, mut frames) = (SseReader::default(), Vec::new());
    let mut scan = protocol("openai-chat").expect("a wire").scan();
    group.bench_function("same wire", |b| {
        b.iter(|| {
            frames.clear();
            reader.push(black_box(&chunk).clone(), &mut frames).expect("frames");
            frames.iter().for_each(|frame| drop(black_box(scan.frame(frame))));
        });
    });
    let chunk = Bytes::from(claude_chunk());
    let mut decoder = protocol("anthropic-messages").expect("a wire").stream_decoder();
    let mut encoder = dialect("openai-chat").expect("a wire").stream_encoder(&StreamTerms::default());
    let (mut events, mut out) = (Vec::new(), Vec::new());
    let start = "event: message_start\ndata: {\"type\":\"message_start\",\"message\":{\"id\":\"m\",\"type\":\"message\",\"role\":\"assistant\",\"model\":\"b\",\"content\":[],\"stop_reason\":null,\"stop_sequence\":null,\"usage\":{\"input_tokens\":2,\"output_tokens\":1}}}\n\n\
        event: content_block_start\ndata: {\"type\":\"content_block_start\",\"index\":0,\"content_block\":{\"type\":\"text\",\"text\":\"\"}}\n\n";
    reader.push(Bytes::from(start), &mut frames).expect("frames");
    frames.iter().for_each(|frame| decoder.frame(frame, &mut events).expect("an event"));
    group.bench_function("across wires", |b| {
        b.iter(|| {
            (frames.clear(), events.clear(), out.clear());
            reader.push(black_box(&chunk).clone(), &mut frames).expect("frames");
            frames.iter().for_each(|frame| decoder.frame(frame, &mut events).expect("an event"));
            events.iter().for_each(|event| encoder.event(event, &mut out));
            out.len()
        });
    });
}

fn ledger_rows(c: &mut Criterion) {
    let folder = tempfile::tempdir().expect("a folder");
    let options = JournalOptions { sync_every: Duration::ZERO, ..JournalOptions::default() };
    let journal = Journal::open(&folder.path().join("journal"), options, 1, 1).expect("a journal");
    let ended = row(1);
    let begun = Attempt { outcome: Outcome::Open, candidates: Vec::new(), ..ended.clone() };
    c.bench_function("ledger/two lines", |b| {
        b.iter(|| {
            journal.begin(black_box(&begun)).expect("a line");
            journal.end(black_box(&ended)).expect("a line");
        });
    });
    let store = Sqlite::open(&folder.path().join("ledger.db")).expect("a store");
    let store = Arc::new(store);
    let feeder = Feeder::start(&journal, store.clone(), FeederOptions::default()).expect("a feeder");
    let mut next = 0;
    let mut group = c.benchmark_group("ledger");
    group.throughput(Throughput::Elements(1_000));
    let mut rows = || {
        next += 1_000;
        (next..next + 1_000).map(row).collect::<Vec<_>>()
    };
    group.bench_function("1000 rows into SQLite", |b| {
        b.iter_batched(&mut rows, |rows| store.append(&rows).expect("rows"), BatchSize::PerIteration);
    });
    group.bench_function("1000 lines into SQLite", |b| {
        b.iter_batched(
            || rows().iter().for_each(|row| journal.end(row).expect("a line")),
            |()| feeder.flush(Duration::from_secs(10)).expect("rows"),
            BatchSize::PerIteration,
        );
    });
}

criterion_group! {
    name = parts;
    config = Criterion::default().warm_up_time(Duration::from_millis(500)).measurement_time(Duration::from_secs(2)).sample_size(30).without_plots();
    targets = read, plan, encode, frames, ledger_rows
}
criterion_main!(parts);
