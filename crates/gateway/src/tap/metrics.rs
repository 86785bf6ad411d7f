//! Counters and histograms for dashboards, in Prometheus' text form. Names follow OpenTelemetry's GenAI conventions
//! (`gen_ai.client.operation.duration` becomes `gen_ai_client_operation_duration_seconds`), `autarky_*` for the rest.

use ledger::{Attempt, JournalError, Name, Outcome};
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::Registry;

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

/// Everything that is counted.
pub struct Metrics {
    registry: Registry,
    answers: Family<AnswerLabels, Counter>,
    attempts: Family<AttemptLabels, Counter>,
    tokens: Family<TokenLabels, Counter>,
    cost: Family<DeploymentLabel, Counter>,
    duration: Family<DeploymentLabel, Histogram>,
    first_token: Family<DeploymentLabel, Histogram>,
    in_flight: Gauge,
    journal_failures: Counter,
}

impl std::fmt::Debug for Metrics {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Metrics").finish_non_exhaustive()
    }
}

fn seconds() -> Histogram {
    Histogram::new(exponential_buckets(0.005, 2.0, 16))
}

impl Default for Metrics {
    fn default() -> Self {
        let mut registry = Registry::default();
        let answers = Family::<AnswerLabels, Counter>::default();
        registry.register("autarky_answers", "Answers to clients by dialect and HTTP status", answers.clone());
        let attempts = Family::<AttemptLabels, Counter>::default();
        registry.register("autarky_attempts", "Upstream attempts by outcome and error.type", attempts.clone());
        let tokens = Family::<TokenLabels, Counter>::default();
        registry.register("gen_ai_client_token_usage", "Tokens as providers reported them", tokens.clone());
        let cost = Family::<DeploymentLabel, Counter>::default();
        registry.register("autarky_cost_nanodollars", "Known cost in billionths of a US dollar", cost.clone());
        let duration = Family::<DeploymentLabel, Histogram>::new_with_constructor(seconds);
        registry.register("gen_ai_client_operation_duration_seconds", "Duration of attempts", duration.clone());
        let first_token = Family::<DeploymentLabel, Histogram>::new_with_constructor(seconds);
        registry.register("gen_ai_client_time_to_first_chunk_seconds", "Time to the first token", first_token.clone());
        let in_flight = Gauge::default();
        registry.register("autarky_requests_in_flight", "Requests under way", in_flight.clone());
        let journal_failures = Counter::default();
        registry.register(
            "autarky_journal_failures",
            "Ledger lines that could not be written",
            journal_failures.clone(),
        );
        Self { registry, answers, attempts, tokens, cost, duration, first_token, in_flight, journal_failures }
    }
}

impl Metrics {
    /// Requests under way.
    #[must_use]
    pub fn in_flight(&self) -> &Gauge {
        &self.in_flight
    }

    /// An answer went to a client.
    pub fn answer(&self, dialect: &'static str, status: u16) {
        self.answers.get_or_create(&AnswerLabels { dialect, status }).inc();
    }

    /// A ledger line could not be written.
    pub(crate) fn journal_failed(&self, error: &JournalError) {
        self.journal_failures.inc();
        tracing::error!(%error, "a ledger line could not be written");
    }

    /// An attempt is over.
    pub(crate) fn attempt(&self, row: &Attempt) {
        let text = |name: &Option<Name>| name.as_deref().unwrap_or_default().to_owned();
        let (product, deployment) = (text(&row.product), text(&row.deployment));
        let outcome = match row.outcome {
            Outcome::Open | Outcome::Unknown => "unknown",
            Outcome::Ok => "ok",
            Outcome::Failed => "failed",
            Outcome::Cancelled => "cancelled",
        };
        let error_type = row.fault.map_or("", canon::FaultKind::name);
        for (kind, count) in [("input", row.input_tokens), ("output", row.output_tokens)] {
            if let Some(count) = count {
                let labels =
                    TokenLabels { product: product.clone(), deployment: deployment.clone(), gen_ai_token_type: kind };
                self.tokens.get_or_create(&labels).inc_by(count);
            }
        }
        let label = DeploymentLabel { deployment: deployment.clone() };
        if let Some(cost) = row.cost_nanodollars.and_then(|cost| u64::try_from(cost).ok()) {
            self.cost.get_or_create(&label).inc_by(cost);
        }
        if let Some(last) = row.last_token_us {
            self.duration.get_or_create(&label).observe(secs(last));
        }
        if let Some(first) = row.first_token_us {
            self.first_token.get_or_create(&label).observe(secs(first));
        }
        self.attempts.get_or_create(&AttemptLabels { product, deployment, outcome, error_type }).inc();
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

#[expect(clippy::cast_precision_loss, reason = "a histogram needs no more than 52 bits of microseconds")]
fn secs(micros: u64) -> f64 {
    micros as f64 / 1e6
}
