//! Counters and histograms for dashboards, in Prometheus' text form. Names follow OpenTelemetry's GenAI conventions
//! (`gen_ai.client.operation.duration` becomes `gen_ai_client_operation_duration_seconds`), `autarky_*` for the rest.

use ledger::named::Named;
use ledger::{Attempt, JournalError, JournalStatus, Kept, Outcome, UsageSource};
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::{Metric, Registry};
use std::sync::atomic::AtomicU64;

/// Labels of an attempt.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct AttemptLabels {
    product: String,
    deployment: String,
    outcome: &'static str,
    error_type: &'static str,
}

/// Labels of a duration.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct DeploymentLabel {
    deployment: String,
}

/// Labels of token counts.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct TokenLabels {
    product: String,
    deployment: String,
    gen_ai_token_type: &'static str,
}

/// Labels of an answer to a client.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct AnswerLabels {
    dialect: &'static str,
    status: u16,
}

/// Labels of a request that was refused because there was too much to do.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ShedLabels {
    product: String,
    criticality: &'static str,
}

/// Everything that is counted.
pub struct Metrics {
    registry: Registry,
    answers: Family<AnswerLabels, Counter>,
    attempts: Family<AttemptLabels, Counter>,
    tokens: Family<TokenLabels, Counter>,
    cost: Family<DeploymentLabel, Counter>,
    unpriced: Family<DeploymentLabel, Counter>,
    duration: Family<DeploymentLabel, Histogram>,
    first_token: Family<DeploymentLabel, Histogram>,
    in_flight: Gauge,
    load: Overload,
    books: Books,
}

/// What tells of too much to do.
struct Overload {
    shed: Family<ShedLabels, Counter>,
    pressure: Gauge<f64, AtomicU64>,
    late: Gauge<f64, AtomicU64>,
}

/// How the bookkeeping is.
struct Books {
    journal_failures: Counter,
    journal_held: Gauge,
    journal_lost: Gauge,
    ledger_behind: Gauge,
}

impl std::fmt::Debug for Metrics {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Metrics").finish_non_exhaustive()
    }
}

fn seconds() -> Histogram {
    Histogram::new(exponential_buckets(0.005, 2.0, 16))
}

/// `metric`, which `registry` knows by `name`.
fn listed<M: Metric + Clone>(registry: &mut Registry, name: &str, help: &str, metric: M) -> M {
    registry.register(name, help, metric.clone());
    metric
}

impl Default for Metrics {
    fn default() -> Self {
        let mut registry = Registry::default();
        let answers = listed(
            &mut registry,
            "autarky_answers",
            "Answers to clients by dialect and HTTP status",
            Family::<AnswerLabels, Counter>::default(),
        );
        let attempts = listed(
            &mut registry,
            "autarky_attempts",
            "Upstream attempts by outcome and error.type",
            Family::<AttemptLabels, Counter>::default(),
        );
        let tokens = listed(
            &mut registry,
            "gen_ai_client_token_usage",
            "Tokens as providers reported them",
            Family::<TokenLabels, Counter>::default(),
        );
        let cost = listed(
            &mut registry,
            "autarky_cost_nanodollars",
            "Cost in billionths of a US dollar, of counts where no usage was reported",
            Family::<DeploymentLabel, Counter>::default(),
        );
        let unpriced = listed(
            &mut registry,
            "autarky_unpriced_attempts",
            "Attempts whose tokens are known and whose price is not: the worst case was reserved",
            Family::<DeploymentLabel, Counter>::default(),
        );
        let duration = listed(
            &mut registry,
            "gen_ai_client_operation_duration_seconds",
            "Duration of attempts",
            Family::<DeploymentLabel, Histogram>::new_with_constructor(seconds),
        );
        let first_token = listed(
            &mut registry,
            "gen_ai_client_operation_time_to_first_chunk_seconds",
            "Time to the first token",
            Family::<DeploymentLabel, Histogram>::new_with_constructor(seconds),
        );
        let in_flight = listed(&mut registry, "autarky_requests_in_flight", "Requests under way", Gauge::default());
        let (load, books) = (Overload::new(&mut registry), Books::new(&mut registry));
        Self { registry, answers, attempts, tokens, cost, unpriced, duration, first_token, in_flight, load, books }
    }
}

impl Overload {
    fn new(registry: &mut Registry) -> Self {
        let shed = listed(
            registry,
            "autarky_requests_shed",
            "Requests refused because there was too much to do",
            Family::<ShedLabels, Counter>::default(),
        );
        let pressure = listed(
            registry,
            "autarky_overload_pressure",
            "0: none; below 1: so much of the least critical requests is refused; and so on upwards",
            Gauge::<f64, AtomicU64>::default(),
        );
        let late = listed(
            registry,
            "autarky_event_loop_late_seconds",
            "By how much the event loop was late when last looked at",
            Gauge::<f64, AtomicU64>::default(),
        );
        Self { shed, pressure, late }
    }
}

impl Books {
    fn new(registry: &mut Registry) -> Self {
        let journal_failures = listed(
            registry,
            "autarky_journal_failures",
            "Ledger lines that could not be written when they came",
            Counter::default(),
        );
        let journal_held = listed(
            registry,
            "autarky_journal_held_rows",
            "Rows in memory because the journal's disk takes nothing: gone if the process dies",
            Gauge::default(),
        );
        let journal_lost = listed(
            registry,
            "autarky_journal_lost_rows",
            "Rows that are lost since the process began: neither disk nor memory took them",
            Gauge::default(),
        );
        let ledger_behind = listed(
            registry,
            "autarky_ledger_behind_rows",
            "Ended attempts that are in the journal and not in the ledger's database yet",
            Gauge::default(),
        );
        Self { journal_failures, journal_held, journal_lost, ledger_behind }
    }
}

impl Metrics {
    /// Requests under way.
    #[must_use]
    pub fn in_flight(&self) -> &Gauge {
        &self.in_flight
    }

    /// A request was refused because there was too much to do.
    pub(crate) fn shed(&self, product: &str, criticality: &'static str) {
        self.load.shed.get_or_create(&ShedLabels { product: product.to_owned(), criticality }).inc();
    }

    /// How often that happened so far, by product and criticality.
    pub(crate) fn shed_so_far(&self, product: &str, criticality: &'static str) -> u64 {
        let labels = ShedLabels { product: product.to_owned(), criticality };
        self.load.shed.get(&labels).map_or(0, |count| count.get())
    }

    /// How much pressure there is, and by how much the event loop is late.
    pub(crate) fn pressure(&self, pressure: f64, late: std::time::Duration) {
        self.load.pressure.set(pressure);
        self.load.late.set(late.as_secs_f64());
    }

    /// An answer went to a client.
    pub fn answer(&self, dialect: &'static str, status: u16) {
        self.answers.get_or_create(&AnswerLabels { dialect, status }).inc();
    }

    /// What became of a ledger line. A disk that takes nothing is told by the journal itself, once and not per line.
    pub(crate) fn journalled(&self, kept: Result<Kept, JournalError>) {
        match kept {
            Ok(Kept::OnDisk) => return,
            Ok(Kept::InMemory) | Err(JournalError::Write { .. }) => {}
            Err(error) => tracing::error!(%error, "a ledger line could not be written"),
        }
        self.books.journal_failures.inc();
    }

    /// How the bookkeeping is now.
    pub(crate) fn bookkeeping(&self, journal: &JournalStatus) {
        let number = |count: u64| i64::try_from(count).unwrap_or(i64::MAX);
        self.books.journal_held.set(number(journal.held));
        self.books.journal_lost.set(number(journal.lost));
        self.books.ledger_behind.set(number(journal.behind));
    }

    /// The counters of one product's calls to one deployment, looked up once so that a request takes no lock.
    pub(crate) fn series(&self, product: &str, deployment: &str) -> Series {
        let tokens = |kind| {
            let (product, deployment) = (product.to_owned(), deployment.to_owned());
            self.tokens.get_or_create(&TokenLabels { product, deployment, gen_ai_token_type: kind }).clone()
        };
        let label = DeploymentLabel { deployment: deployment.to_owned() };
        let mut series = Series {
            product: product.to_owned(),
            deployment: deployment.to_owned(),
            attempts: self.attempts.clone(),
            ok: Counter::default(),
            input: tokens("input"),
            output: tokens("output"),
            cost: self.cost.get_or_create(&label).clone(),
            unpriced: self.unpriced.get_or_create(&label).clone(),
            duration: self.duration.get_or_create(&label).clone(),
            first_token: self.first_token.get_or_create(&label).clone(),
        };
        series.ok = series.attempts("ok", "");
        series
    }

    /// Everything as Prometheus' text.
    #[must_use]
    pub fn text(&self) -> String {
        let mut text = String::new();
        if let Err(error) = encode(&mut text, &self.registry) {
            tracing::error!(%error, "metrics could not be written");
        }
        text
    }
}

/// The counters of one product's calls to one deployment.
#[derive(Debug)]
pub(crate) struct Series {
    product: String,
    deployment: String,
    attempts: Family<AttemptLabels, Counter>,
    ok: Counter,
    input: Counter,
    output: Counter,
    cost: Counter,
    unpriced: Counter,
    duration: Histogram,
    first_token: Histogram,
}

impl Series {
    fn attempts(&self, outcome: &'static str, error_type: &'static str) -> Counter {
        let (product, deployment) = (self.product.clone(), self.deployment.clone());
        self.attempts.get_or_create(&AttemptLabels { product, deployment, outcome, error_type }).clone()
    }

    /// An attempt is over.
    pub(crate) fn attempt(&self, row: &Attempt) {
        match row.outcome {
            Outcome::Ok => self.ok.inc(),
            outcome => self.attempts(outcome.name(), row.fault.map_or("", canon::FaultKind::name)).inc(),
        };
        if row.usage_source == UsageSource::Reported {
            self.input.inc_by(row.input_tokens.unwrap_or(0));
            self.output.inc_by(row.output_tokens.unwrap_or(0));
        }
        self.cost.inc_by(row.cost_nanodollars.and_then(|cost| u64::try_from(cost).ok()).unwrap_or(0));
        if row.cost_nanodollars.is_none() && row.input_tokens.is_some() && self.unpriced.inc() == 0 {
            tracing::warn!(
                deployment = self.deployment,
                "nobody knows what this deployment costs: the worst case is reserved; write down its `price`"
            );
        }
        if let Some(last) = row.last_token_us {
            self.duration.observe(secs(last));
        }
        if let Some(first) = row.first_token_us {
            self.first_token.observe(secs(first));
        }
    }
}

#[expect(clippy::cast_precision_loss, reason = "a histogram needs no more than 52 bits of microseconds")]
fn secs(micros: u64) -> f64 {
    micros as f64 / 1e6
}
