//! The ledger entry of one attempt. It is begun before the upstream is asked and ended before the answer's last byte
//! leaves; an entry that is dropped in between was given up, and says so. So no call can be forgotten.

use crate::clock;
use crate::tap::metrics::{Metrics, Series};
use crate::upstream::Timing;
use canon::wire::Seen;
use canon::{Fault, FaultKind, Loss, Response, Usage};
use ledger::{Attempt, Candidate, Journal, Mode, Name, Outcome, Portability, RequestId, UsageSource};
use policy::{Counts, Deployment, Tariff, Wall};
use std::sync::Arc;
use std::time::Instant;

/// What never changes about a deployment, as the ledger writes it: shared, so that a row copies no text.
#[derive(Debug, Clone)]
pub struct Facts {
    deployment: Name,
    provider: Name,
    model: Name,
    maker: Option<Name>,
    host: Option<Name>,
    invoicer: Option<Name>,
    account: Option<Name>,
    region: Option<Name>,
    family: Option<Name>,
    protocol: Option<Name>,
    tariff: Option<Arc<Tariff>>,
    price_version: Option<Name>,
}

impl Facts {
    /// The facts of `deployment`, which speaks `protocol`.
    #[must_use]
    pub fn of(deployment: &Deployment, protocol: Option<&str>) -> Self {
        let name = |text: &str| (!text.is_empty()).then(|| Name::from(text));
        Self {
            deployment: Name::from(deployment.name.as_str()),
            provider: Name::from(deployment.provider.as_str()),
            model: Name::from(deployment.model.as_str()),
            maker: name(&deployment.maker),
            host: name(&deployment.host),
            invoicer: name(&deployment.invoicer),
            account: name(&deployment.account),
            region: deployment.region.as_deref().and_then(name),
            family: deployment.family.as_deref().and_then(name),
            protocol: protocol.and_then(name),
            tariff: deployment.price.clone(),
            price_version: deployment.price.as_ref().and_then(|tariff| name(tariff.version())),
        }
    }

    /// The deployment's name.
    #[must_use]
    pub fn deployment(&self) -> &Name {
        &self.deployment
    }

    /// What of them holds for everything that is asked of the provider's account: not the deployment, nor its model.
    #[must_use]
    pub fn of_account(&self) -> Self {
        Self {
            deployment: Name::default(),
            model: Name::default(),
            maker: None,
            family: None,
            protocol: None,
            tariff: None,
            price_version: None,
            ..self.clone()
        }
    }

    /// The provider's name.
    #[must_use]
    pub fn provider(&self) -> &Name {
        &self.provider
    }
}

/// What all attempts of one request share.
#[derive(Debug, Clone)]
pub struct Common {
    /// The request.
    pub id: RequestId,
    /// The product.
    pub product: Name,
    /// The team of the key.
    pub team: Option<Name>,
    /// Id of the key.
    pub key: Option<Name>,
    /// The client's wire.
    pub dialect: Name,
    /// The model as the client named it.
    pub model: Option<Name>,
    /// Version of the rules.
    pub policy: Name,
    /// Whom the plan looked at.
    pub candidates: Vec<Candidate>,
    /// Whether the answer is streamed.
    pub stream: bool,
    /// What ties the request to its provider, if anything.
    pub locked_by: Option<Name>,
    /// Bytes of the body.
    pub bytes_in: u64,
}

/// The choice of a leg, as the ledger writes it.
#[derive(Debug, Clone, Copy)]
pub struct Chosen {
    /// Its score.
    pub score: f64,
    /// How likely the choice was.
    pub probability: f64,
    /// Whether the answer is less than was asked for.
    pub degraded: bool,
    /// Why the attempt is made.
    pub mode: Mode,
}

/// The entry of one attempt.
pub struct Entry {
    row: Attempt,
    tariff: Option<Arc<Tariff>>,
    price_version: Option<Name>,
    journal: Arc<Journal>,
    metrics: Arc<Metrics>,
    series: Arc<Series>,
    started: Instant,
    over: bool,
}

impl Entry {
    /// Begins attempt `number` (from 1) of a request.
    #[must_use]
    pub(crate) fn begin(
        (journal, metrics, series): (&Arc<Journal>, &Arc<Metrics>, &Arc<Series>),
        common: &Common,
        facts: &Facts,
        number: u32,
        chosen: Chosen,
    ) -> Self {
        let mut row = Attempt::new(common.id, number, clock::unix_micros());
        row.mode = chosen.mode;
        row.product = Some(common.product.clone());
        row.team.clone_from(&common.team);
        row.key.clone_from(&common.key);
        row.dialect = Some(common.dialect.clone());
        row.protocol.clone_from(&facts.protocol);
        row.requested_model.clone_from(&common.model);
        row.deployment = said(&facts.deployment);
        row.provider = Some(facts.provider.clone());
        row.resolved_model = said(&facts.model);
        row.maker.clone_from(&facts.maker);
        row.host.clone_from(&facts.host);
        row.invoicer.clone_from(&facts.invoicer);
        row.account.clone_from(&facts.account);
        row.region.clone_from(&facts.region);
        row.family.clone_from(&facts.family);
        row.policy_version = Some(common.policy.clone());
        row.score = Some(chosen.score);
        row.probability = Some(chosen.probability);
        row.degraded = chosen.degraded;
        row.stream = common.stream;
        row.bytes_in = Some(common.bytes_in);
        if let Err(error) = journal.begin(&row) {
            metrics.journal_failed(&error);
        }
        row.candidates.clone_from(&common.candidates);
        row.locked_by.clone_from(&common.locked_by);
        Self {
            row,
            tariff: facts.tariff.clone(),
            price_version: facts.price_version.clone(),
            journal: Arc::clone(journal),
            metrics: Arc::clone(metrics),
            series: Arc::clone(series),
            started: clock::now(),
            over: false,
        }
    }

    /// The answer has begun.
    pub fn answered(&mut self, timing: &Timing, losses: &[Loss]) {
        self.row.connect_us = timing.head.map(clock::micros);
        self.row.first_token_us = timing.first_token.map(clock::micros);
        self.row.losses = losses.to_vec();
        self.row.portability = Some(match (&self.row.locked_by, losses.is_empty()) {
            (Some(_), _) => Portability::Locked,
            (None, false) => Portability::Degraded,
            (None, true) if self.row.dialect == self.row.protocol => Portability::Portable,
            (None, true) => Portability::Translatable,
        });
    }

    /// Counts bytes that went to the client.
    pub fn sent(&mut self, bytes: usize) {
        *self.row.bytes_out.get_or_insert(0) += bytes as u64;
    }

    /// The provider's own name for the model that answered.
    pub fn model(&mut self, model: &str) {
        if !model.is_empty() && self.row.resolved_model.as_deref() != Some(model) {
            self.row.resolved_model = Some(Name::from(model));
        }
    }

    /// A complete answer of an endpoint of the provider's own, with its status. Nothing is known of its tokens.
    pub fn passed(mut self, status: u16) {
        self.row.status = Some(status);
        let failed = status >= 400;
        self.row.fault = failed.then(|| Fault::kind_of_status(status));
        self.close(if failed { Outcome::Failed } else { Outcome::Ok });
    }

    /// A complete answer that passed untouched.
    pub fn complete_raw(mut self, seen: &Seen) {
        self.model(seen.model.as_deref().unwrap_or_default());
        self.row.finish = seen.stop;
        self.usage(&seen.usage);
        self.close(Outcome::Ok);
    }

    /// A complete answer in the canon.
    pub fn complete(mut self, answer: &Response) {
        self.model(&answer.head.model);
        self.row.finish = answer.choices.first().map(|choice| choice.stop.reason);
        self.usage(&answer.usage);
        self.close(Outcome::Ok);
    }

    /// A complete stream of events.
    pub fn complete_events(mut self, model: &str, usage: &Usage, stop: Option<canon::StopReason>) {
        self.model(model);
        self.row.finish = stop;
        self.usage(usage);
        self.close(Outcome::Ok);
    }

    /// No complete answer; `usage` is what was reported before the fault.
    pub fn fail(mut self, fault: &Fault, usage: Option<&Usage>) {
        self.row.fault = Some(fault.kind);
        self.row.status = fault.status;
        if let Some(usage) = usage {
            self.usage(usage);
        }
        self.close(if fault.kind == FaultKind::Cancelled { Outcome::Cancelled } else { Outcome::Failed });
    }

    fn usage(&mut self, usage: &Usage) {
        let known = usage.input.is_some() || usage.output.is_some();
        self.row.usage(usage, if known { UsageSource::Reported } else { UsageSource::Unknown });
        let begun = Wall::from_unix(self.row.started.div_euclid(1_000_000));
        let class = usage.service_tier.as_deref();
        let priced = self.tariff.as_ref().zip(Counts::of(usage));
        let cost = priced.map(|(tariff, counts)| tariff.cost(begun, &counts, class));
        self.row.cost_nanodollars = cost.and_then(|cost| i64::try_from(cost.0).ok());
        if cost.is_some() {
            self.row.price_version.clone_from(&self.price_version);
        }
    }

    fn close(&mut self, outcome: Outcome) {
        self.over = true;
        self.row.outcome = outcome;
        self.row.last_token_us = Some(clock::micros(clock::now() - self.started));
        if let Err(error) = self.journal.end(&self.row) {
            self.metrics.journal_failed(&error);
        }
        self.series.attempt(&self.row);
    }
}

/// A name, where there is one.
fn said(name: &Name) -> Option<Name> {
    (!name.is_empty()).then(|| name.clone())
}

impl Drop for Entry {
    fn drop(&mut self) {
        if !self.over {
            self.row.fault = Some(FaultKind::Cancelled);
            self.close(Outcome::Cancelled);
        }
    }
}
