//! A recorded day: five products whose requests are resampled from public recorded outcomes, each answered by whom the plan
//! puts first. What an answer is worth and costs is recorded, so every choice is judged by what really came of it. Half of
//! the rows are what was known before (quality and price of each deployment), the other half is the day. First-token times
//! are in no table: they are drawn, and the plan sees only those of deployments that it asked. `AUTARKY_DAY` names a folder
//! of whole tables (`bench/routing`), `AUTARKY_DAY_REQUESTS` says how many requests, `AUTARKY_DAY_OUT` where every choice is
//! written for `bench/routing/confirm.py`.

use canon::Facets;
use policy::rules::{Floor, Prefer, Rules};
use policy::{
    Deployment, DeploymentIx, Fleet, FleetSpec, Live, NanoUsd, PlanInput, Price, ProductIx, Share, SizeBucket, Tick,
    View, Wall, plan,
};
use std::fmt::Write;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

/// Requests of the day where nobody says how many.
const REQUESTS: u64 = 10_000;
/// Seconds of it.
const DAY: u64 = 86_400;
const MORNING: Wall = Wall::from_date(2026, 11, 25);

/// The products: name, table, how much less quality than the best is acceptable, weight in the traffic.
const PRODUCTS: [(&str, &str, f64, u64); 5] = [
    ("assistant", "paretobandit3", 0.02, 30),
    ("tutor", "zeroeval19", 0.11, 25),
    ("search", "llmrouter9", 0.15, 20),
    ("exam", "routellm_mmlu", 0.05, 15),
    ("sums", "routellm_gsm8k", 0.30, 10),
];

const POLICIES: [(&str, Prefer); 3] =
    [("cost", Prefer::COST), ("quality", Prefer::QUALITY), ("latency", Prefer::LATENCY)];

/// A recorded request.
struct Row {
    id: String,
    chars: u64,
    /// By model: what the answer was worth, and US dollars.
    quality: Vec<f64>,
    cost: Vec<f64>,
}

struct Table {
    models: Vec<String>,
    /// What was known before the day.
    known: Vec<Row>,
    day: Vec<Row>,
}

impl Table {
    fn read(folder: &Path, name: &str) -> Self {
        let text = std::fs::read_to_string(folder.join(format!("{name}.csv"))).expect("a table");
        let mut lines = text.lines().filter(|line| !line.starts_with('#'));
        let head = lines.next().expect("a head").split(',').skip(2);
        let models: Vec<String> = head.filter_map(|name| Some(name.strip_prefix("q:")?.to_owned())).collect();
        let row = |line: &str| {
            let cells: Vec<&str> = line.split(',').collect();
            let numbers: Vec<f64> = cells[2..].iter().map(|cell| cell.parse().expect("a number")).collect();
            let (quality, cost) = numbers.split_at(models.len());
            Row {
                id: cells[0].to_owned(),
                chars: cells[1].parse().expect("a count"),
                quality: quality.to_vec(),
                cost: cost.to_vec(),
            }
        };
        let (mut known, mut day) = (Vec::new(), Vec::new());
        for (at, row) in lines.map(row).enumerate() {
            if at % 2 == 0 { known.push(row) } else { day.push(row) }
        }
        Self { models, known, day }
    }

    fn known_quality(&self, model: usize) -> f64 {
        self.known.iter().map(|row| row.quality[model]).sum::<f64>() / self.known.len() as f64
    }

    /// The price by which the known calls cost what they cost: so much a call, so much a token of the prompt. Least
    /// squares; neither is negative.
    fn price(&self, model: usize) -> Price {
        let points: Vec<(f64, f64)> = self.known.iter().map(|row| (tokens(row) as f64, row.cost[model])).collect();
        let n = points.len() as f64;
        let mean = points.iter().fold((0.0, 0.0), |sum, (x, y)| (sum.0 + x / n, sum.1 + y / n));
        let spread: f64 = points.iter().map(|(x, _)| (x - mean.0).powi(2)).sum();
        let slope = points.iter().map(|(x, y)| (x - mean.0) * (y - mean.1)).sum::<f64>() / spread.max(1e-9);
        let slope = slope.clamp(0.0, mean.1 / mean.0);
        let nano_per_million = |dollars: f64| NanoUsd((dollars * 1e15).round() as u64);
        Price {
            request: nano_per_million(mean.1 - slope * mean.0),
            ..Price::flat(nano_per_million(slope), NanoUsd::ZERO)
        }
    }
}

/// Tokens of a prompt, as the gateway estimates them.
fn tokens(row: &Row) -> u64 {
    row.chars / 4
}

/// The next number after `state`.
fn next(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9E37_79B9_7F4A_7C15);
    let mut x = *state;
    x = (x ^ (x >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    x = (x ^ (x >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    x ^ (x >> 31)
}

fn unit(state: &mut u64) -> f64 {
    (next(state) >> 11) as f64 / (1_u64 << 53) as f64
}

/// A request of the day.
#[derive(Clone, Copy)]
struct Request {
    millis: u64,
    product: usize,
    row: usize,
    seed: u64,
}

/// The day's requests in their order: twice as many at noon as in the mean, few at night.
fn requests(tables: &[Table], count: u64) -> Vec<Request> {
    let state = &mut 42;
    let weights: u64 = PRODUCTS.iter().map(|(.., weight)| weight).sum();
    let mut list = Vec::new();
    while (list.len() as u64) < count {
        let at = unit(state);
        if unit(state) > 0.5 * (1.0 - (at * std::f64::consts::TAU).cos()) {
            continue;
        }
        let mut drawn = next(state) % weights;
        let product = PRODUCTS.iter().position(|(.., weight)| {
            let mine = drawn < *weight;
            drawn = drawn.saturating_sub(*weight);
            mine
        });
        let product = product.expect("weights cover the draw");
        let row = (next(state) % tables[product].day.len() as u64) as usize;
        list.push(Request { millis: (at * (DAY * 1_000) as f64) as u64, product, row, seed: next(state) });
    }
    list.sort_by_key(|request| request.millis);
    list
}

/// The first-token time that `request` would meet at a model: each has its own pace, and its luck.
fn first_token(request: Request, row: &Row, model: &str) -> Duration {
    let mut state = model.bytes().fold(7_u64, |sum, byte| sum.wrapping_mul(131).wrapping_add(u64::from(byte)));
    let (base, per_token) = (120.0 + unit(&mut state) * 900.0, unit(&mut state) * 0.4);
    let mut luck = request.seed ^ state;
    let normal: f64 = (0..12).map(|_| unit(&mut luck)).sum::<f64>() - 6.0;
    Duration::from_secs_f64((base + per_token * tokens(row) as f64) * (0.3 * normal).exp() / 1e3)
}

/// What was seen so far: the moving average of first tokens, as the gateway keeps it.
struct Seen(Vec<[Option<Duration>; SizeBucket::COUNT]>);

impl View for Seen {
    fn live(&self, at: DeploymentIx, bucket: SizeBucket, _now: Tick) -> Live {
        Live { first_token: self.0[at.index()][bucket.index()], ..Live::FRESH }
    }

    fn share(&self, _: ProductIx, _: usize, _: Tick) -> Share {
        Share::default()
    }

    fn money_left(&self, _: ProductIx, _: Wall) -> Option<NanoUsd> {
        None
    }
}

/// The company: one product per table, and every model of the table as a deployment of its own.
fn fleet(tables: &[Table], prefer: Prefer) -> Fleet {
    let mut deployments = Vec::new();
    let mut products = Vec::new();
    for ((name, _, margin, _), table) in PRODUCTS.iter().zip(tables) {
        for (at, model) in table.models.iter().enumerate() {
            deployments.push(Deployment {
                name: format!("{name}/{model}"),
                model: model.clone(),
                quality: Some(table.known_quality(at)),
                price: Some(Arc::new(table.price(at).into())),
                ..Deployment::default()
            });
        }
        let floor = Some(Floor { margin: *margin, against: format!("{name}/{}", table.models[best(table)]) });
        let models = vec![format!("{name}/*")];
        products
            .push(((*name).to_owned(), Rules { models, floor, prefer, last_resort: Vec::new(), ..Rules::default() }));
    }
    Fleet::build(FleetSpec { version: 1, deployments, products, unknown_price: Price::FREE }).expect("a fleet")
}

/// The best model by what was known.
fn best(table: &Table) -> usize {
    let by = |a: &usize, b: &usize| table.known_quality(*a).total_cmp(&table.known_quality(*b));
    (0..table.models.len()).max_by(by).expect("models")
}

/// Sums over a product's requests.
#[derive(Debug, Clone, Copy, Default)]
struct Sums {
    requests: u64,
    dollars: f64,
    quality: f64,
    seconds: f64,
}

impl Sums {
    fn add(&mut self, row: &Row, model: usize, took: Duration) {
        self.requests += 1;
        self.dollars += row.cost[model];
        self.quality += row.quality[model];
        self.seconds += took.as_secs_f64();
    }

    fn plus(self, other: Self) -> Self {
        Self {
            requests: self.requests + other.requests,
            dollars: self.dollars + other.dollars,
            quality: self.quality + other.quality,
            seconds: self.seconds + other.seconds,
        }
    }

    fn mean_quality(&self) -> f64 {
        self.quality / self.requests as f64
    }
}

/// Plays the day under one preference; every choice is written to `out`.
fn play(tables: &[Table], day: &[Request], (word, prefer): (&str, Prefer), out: &mut String) -> Vec<Sums> {
    let fleet = fleet(tables, prefer);
    let mut seen = Seen(vec![[None; SizeBucket::COUNT]; fleet.deployments().len()]);
    let mut sums = vec![Sums::default(); tables.len()];
    for (number, request) in day.iter().enumerate() {
        let table = &tables[request.product];
        let row = &table.day[request.row];
        let facets = Facets { input_tokens: tokens(row), choices: 1, ..Facets::default() };
        let decided = plan(&PlanInput {
            facets: &facets,
            model: "auto",
            product: fleet.product(fleet.product_named(PRODUCTS[request.product].0).expect("a product")),
            fleet: &fleet,
            view: &seen,
            now: Tick::from_millis(request.millis),
            wall: Wall::from_unix(MORNING.unix() + (request.millis / 1_000) as i64),
            chance: request.seed,
            dialect: None,
            permit: None,
            exclude: &[],
            warm: None,
            bound: None,
        });
        let first = decided.expect("somebody answers").first().expect("a leg");
        let name = &fleet.deployment(first).model;
        let model = table.models.iter().position(|one| one == name).expect("one of the table");
        let took = first_token(*request, row, name);
        let average = &mut seen.0[first.index()][SizeBucket::of(facets.input_tokens).index()];
        *average = Some(average.map_or(took, |old| old - old / 8 + took / 8));
        sums[request.product].add(row, model, took);
        let (product, micros) = (PRODUCTS[request.product].0, took.as_micros());
        let _ = writeln!(out, "{number},{},{product},{},{word},{name},{micros}", request.millis, row.id);
    }
    sums
}

/// The cheapest model that meets the product's floor on the day, asked for everything: what hindsight would fix.
fn best_fixed(tables: &[Table], day: &[Request], product: usize) -> (String, f64) {
    let table = &tables[product];
    let of = |model: usize| {
        let mut sums = Sums::default();
        for request in day.iter().filter(|request| request.product == product) {
            sums.add(&table.day[request.row], model, Duration::ZERO);
        }
        sums
    };
    let floor = of(best(table)).mean_quality() - PRODUCTS[product].2;
    let all = (0..table.models.len()).map(|model| (model, of(model)));
    let meets = all.filter(|(_, sums)| sums.mean_quality() >= floor);
    let cheapest = meets.min_by(|a, b| a.1.dollars.total_cmp(&b.1.dollars)).expect("the measure itself meets it");
    (table.models[cheapest.0].clone(), cheapest.1.dollars)
}

#[test]
fn each_preference_is_best_on_its_own_measure_and_cost_beats_every_fixed_choice() {
    let said = |name: &str| std::env::var_os(name).map(std::path::PathBuf::from);
    let folder = said("AUTARKY_DAY").unwrap_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/day"));
    let count = said("AUTARKY_DAY_REQUESTS").and_then(|text| text.to_str()?.parse().ok()).unwrap_or(REQUESTS);
    let tables: Vec<Table> = PRODUCTS.iter().map(|(_, name, ..)| Table::read(&folder, name)).collect();
    let day = requests(&tables, count);
    let mut out = String::from("number,millis,product,id,prefer,model,first_token_us\n");
    let played: Vec<Vec<Sums>> = POLICIES.iter().map(|policy| play(&tables, &day, *policy, &mut out)).collect();
    if let Some(path) = said("AUTARKY_DAY_OUT") {
        std::fs::write(path, &out).expect("written");
    }
    for (product, (name, _, margin, _)) in PRODUCTS.iter().enumerate() {
        let [cost, quality, latency] = [0, 1, 2].map(|policy| played[policy][product]);
        let (fixed, dollars) = best_fixed(&tables, &day, product);
        println!(
            "{name:<10} {:>6} requests; cost {:.4} ({:.4} fixed at {fixed}), {:.4}, {:.4}; quality {:.4}, {:.4}, {:.4}; \
             first token {:.3} s, {:.3} s, {:.3} s",
            cost.requests,
            cost.dollars,
            dollars,
            quality.dollars,
            latency.dollars,
            cost.mean_quality(),
            quality.mean_quality(),
            latency.mean_quality(),
            cost.seconds / cost.requests as f64,
            quality.seconds / cost.requests as f64,
            latency.seconds / cost.requests as f64,
        );
        assert!(cost.dollars <= dollars * (1.0 + 1e-9), "{name}: {} and {dollars} at {fixed}", cost.dollars);
        assert!(cost.dollars <= quality.dollars.min(latency.dollars) * (1.0 + 1e-9), "{name}: {played:?}");
        assert!(cost.mean_quality() >= quality.mean_quality() - margin, "{name}: below the floor");
        assert!(latency.mean_quality() >= quality.mean_quality() - margin, "{name}: below the floor");
    }
    // Over all products; in one alone two models that were alike before the day may turn out either way.
    let total = |policy: usize| played[policy].iter().copied().reduce(Sums::plus).expect("products");
    let [cost, quality, latency] = [0, 1, 2].map(total);
    assert!(cost.dollars < quality.dollars.min(latency.dollars));
    assert!(quality.quality > cost.quality.max(latency.quality));
    assert!(latency.seconds < cost.seconds.min(quality.seconds));
    println!(
        "all        {:>6} requests; cost {:.3}, {:.3}, {:.3} USD; quality {:.4}, {:.4}, {:.4}; first token {:.3}, {:.3}, {:.3} s",
        cost.requests,
        cost.dollars,
        quality.dollars,
        latency.dollars,
        cost.mean_quality(),
        quality.mean_quality(),
        latency.mean_quality(),
        cost.seconds / cost.requests as f64,
        quality.seconds / cost.requests as f64,
        latency.seconds / cost.requests as f64,
    );
}
