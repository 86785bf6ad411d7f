//! Makes a ledger of plausible rows, through the store's own way in: `ledger-bench DATABASE ROWS [DAYS]`. Twelve products
//! with classes, clients and habits of their own over six deployments; a skewed share of each, failures, hedges,
//! takeovers and shadows among them. The same arguments make the same rows, but for when they end: now.

use ledger::flow::LACKS;
use ledger::{Attempt, Candidate, Mode, Name, Outcome, Portability, RequestId, Sqlite, Store, UsageSource};
use std::path::Path;
use std::sync::mpsc::sync_channel;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

const BATCH: u64 = 10_000;
const PRODUCTS: [&str; 12] =
    ["copilot", "office", "search", "cloud", "mail", "crm", "support", "legal", "games", "ads", "maps", "hr"];
const CLASSES: [&str; 4] = ["chat", "summary", "extraction", "agent"];
const DIALECTS: [&str; 4] = ["openai-chat", "openai-responses", "anthropic-messages", "gemini"];
/// Deployment, model, provider, maker, host, invoicer, family.
const DEPLOYMENTS: [[&str; 7]; 6] = [
    ["gpt", "gpt-5.2", "openai", "openai", "openai", "openai", "gpt"],
    ["gpt-mini", "gpt-5-mini", "openai", "openai", "openai", "openai", "gpt"],
    ["claude", "claude-sonnet-4-5", "anthropic", "anthropic", "anthropic", "anthropic", "claude"],
    ["claude-az", "claude-sonnet-4-5", "azure-foundry", "anthropic", "azure", "microsoft", "claude"],
    ["mistral", "mistral-large-2512", "mistral", "mistral", "mistral", "mistral", "mistral"],
    ["qwen", "qwen3-32b", "vllm", "alibaba", "own", "own", "qwen"],
];

struct Dice(u64);

impl Dice {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn below(&mut self, most: u64) -> u64 {
        self.next() % most
    }

    /// A number below `most`; half of all are below a quarter of it.
    fn skewed(&mut self, most: usize) -> usize {
        let at = (self.next() >> 11) as f64 / (1_u64 << 53) as f64;
        ((at * at) * most as f64) as usize
    }
}

struct Maker {
    dice: Dice,
    names: std::collections::HashMap<String, Name>,
    begin: u64,
    step: u64,
}

impl Maker {
    fn name(&mut self, text: &str) -> Name {
        self.names.entry(text.to_owned()).or_insert_with(|| text.into()).clone()
    }

    fn row(&mut self, number: u64) -> Attempt {
        let millis = self.begin + number * self.step / 1_000;
        let product = self.dice.skewed(PRODUCTS.len());
        let habit = product * 7;
        let deployment = DEPLOYMENTS[(self.dice.skewed(6) + habit) % 6];
        let mut name = |text: &str| Some(self.name(text));
        let mut row = Attempt {
            product: name(PRODUCTS[product]),
            resolved_model: name(deployment[1]),
            deployment: name(deployment[0]),
            provider: name(deployment[2]),
            maker: name(deployment[3]),
            host: name(deployment[4]),
            invoicer: name(deployment[5]),
            family: name(deployment[6]),
            account: name(deployment[2]),
            protocol: name("openai-chat"),
            policy_version: name("0a1b2c3d4e5f"),
            price_version: name("2026-11-23"),
            ..Attempt::default()
        };
        let dice = &mut self.dice;
        let random = (u128::from(dice.next()) << 64) | u128::from(dice.next());
        row.request_id = RequestId::new(millis, random);
        row.attempt = 1;
        row.started = (millis * 1_000 + dice.below(1_000)) as i64;
        let class = CLASSES[(dice.skewed(3) + habit) % CLASSES.len()];
        let dialect = DIALECTS[(dice.skewed(2) + habit) % DIALECTS.len()];
        let asked = if dice.below(3) > 0 { "auto" } else { deployment[1] };
        let team = format!("team-{}", product * 3 + dice.skewed(3));
        let key = format!("key_{:02}{}", product, dice.skewed(20));
        let lack = dice.below(10);
        row.candidates = (0..6)
            .map(|at| Candidate {
                deployment: DEPLOYMENTS[at][0].into(),
                dropped: (lack < 2 && at % 3 == 2).then(|| LACKS[lack as usize].into()),
                score: Some(at as f64 / 7.0),
            })
            .collect();
        row.mode = match dice.below(100) {
            0..96 => Mode::Live,
            96 => Mode::Hedge,
            97 => Mode::Takeover,
            _ => Mode::Shadow,
        };
        row.outcome = match dice.below(100) {
            0..95 => Outcome::Ok,
            95..98 => Outcome::Failed,
            _ => Outcome::Cancelled,
        };
        row.portability = Some(match dice.below(20) {
            0..12 => Portability::Portable,
            12..17 => Portability::Translatable,
            17..19 => Portability::Degraded,
            _ => Portability::Locked,
        });
        let input = 50 + (dice.skewed(300) * dice.skewed(300)) as u64;
        let output = 1 + dice.skewed(2_000) as u64;
        row.input_tokens = Some(input);
        row.cache_read_tokens = (dice.below(3) == 0).then_some(input / 2);
        row.output_tokens = Some(output);
        row.reasoning_tokens = (dice.below(3) == 0).then_some(output / 3);
        row.usage_source = UsageSource::Reported;
        row.cost_nanodollars = Some((input * 1_250 + output * 10_000) as i64);
        row.connect_us = Some(dice.below(30_000));
        row.first_token_us = Some(100_000 + dice.below(900_000));
        row.last_token_us = Some(1_000_000 + dice.below(9_000_000));
        row.stream = dice.below(2) == 0;
        row.bytes_in = Some(input * 4);
        row.bytes_out = Some(output * 5);
        row.status = Some(200);
        row.class = Some(self.name(class));
        row.dialect = Some(self.name(dialect));
        row.requested_model = Some(self.name(asked));
        row.team = Some(self.name(&team));
        row.key = Some(self.name(&key));
        if row.portability == Some(Portability::Locked) {
            row.locked_by = Some(self.name("previous_response_id"));
        }
        row
    }
}

fn main() {
    let mut arguments = std::env::args().skip(1);
    let path = arguments.next().expect("DATABASE");
    let rows: u64 = arguments.next().and_then(|text| text.parse().ok()).expect("ROWS");
    let days: u64 = arguments.next().map_or(30, |text| text.parse().expect("DAYS"));
    let store = Sqlite::open(Path::new(&path)).expect("the database opens");
    let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("a clock after 1970");
    // the last hour is left free, so that a window of so many days holds all rows
    let span = Duration::from_secs(days * 86_400 - 3_600);
    let begin = (now - span).as_millis() as u64;
    let step = span.as_micros() as u64 / rows.max(1);
    let mut maker = Maker { dice: Dice(0x9E37_79B9_7F4A_7C15), names: Default::default(), begin, step };
    let started = Instant::now();
    let (send, receive) = sync_channel(4);
    std::thread::scope(|scope| {
        scope.spawn(move || {
            for from in (0..rows).step_by(BATCH as usize) {
                let batch: Vec<Attempt> = (from..(from + BATCH).min(rows)).map(|number| maker.row(number)).collect();
                if send.send(batch).is_err() {
                    return;
                }
            }
        });
        let mut done = 0;
        for batch in receive {
            done += store.append(&batch).expect("rows are added");
            if done % 1_000_000 < BATCH {
                eprintln!("{done} rows after {:.0} s", started.elapsed().as_secs_f64());
            }
        }
    });
    store.persist().expect("rows are synced");
}
