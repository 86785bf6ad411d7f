//! The ledger entry of one attempt. It is begun before the upstream is asked and ended before the answer's last byte
//! leaves; an entry that is dropped in between was given up, and says so. So no call can be forgotten.

use crate::clock;
use crate::drill::Part;
use crate::tap::metrics::{Metrics, Series};
use crate::upstream::{Timing, Trace};
use canon::wire::Seen;
use canon::{Fault, FaultKind, Loss, StopReason, Usage};
use ledger::{Attempt, Candidate, Journal, Kept, Mode, Name, Outcome, Portability, RequestId, UsageSource};
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
#[derive(Clone)]
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
    /// Tokens that its prompt is taken to have until somebody says how many they are; `None`: nobody looked.
    pub input_tokens: Option<u64>,
    /// Its part in a drill.
    pub part: Option<Arc<Part>>,
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

/// Bytes that make a token, as estimates go.
const BYTES_PER_TOKEN: u64 = 4;

/// What was heard of an answer until it ended, well or not.
#[derive(Debug, Clone, Default)]
pub struct Heard {
    /// What its provider reported of its tokens till then.
    pub usage: Usage,
    /// Bytes of words, thinking and arguments; `None`: it had not begun.
    pub bytes: Option<u64>,
}

/// The entry of one attempt.
pub struct Entry {
    /// Large, and moved about with everything that holds an entry.
    row: Box<Attempt>,
    /// Tokens of the prompt, as estimated.
    asked: Option<u64>,
    trace: Trace,
    tariff: Option<Arc<Tariff>>,
    price_version: Option<Name>,
    journal: Arc<Journal>,
    metrics: Arc<Metrics>,
    series: Arc<Series>,
    started: Instant,
    part: Option<Arc<Part>>,
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
        let mut row = Box::new(Attempt::new(common.id, number, clock::unix_micros()));
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
        if let Some(part) = &common.part {
            row.drill = Some(part.id().clone());
            row.mode = part.mode(chosen.mode, &facts.deployment);
            part.begun();
        }
        metrics.journalled(journal.begin(&row).map(|()| Kept::OnDisk));
        row.candidates.clone_from(&common.candidates);
        row.locked_by.clone_from(&common.locked_by);
        Self {
            trace: Trace::new(common.id, number),
            asked: common.input_tokens,
            row,
            tariff: facts.tariff.clone(),
            price_version: facts.price_version.clone(),
            journal: Arc::clone(journal),
            metrics: Arc::clone(metrics),
            series: Arc::clone(series),
            started: clock::now(),
            part: common.part.clone(),
            over: false,
        }
    }

    /// What the call is known by, at its provider as well.
    #[must_use]
    pub const fn trace(&self) -> &Trace {
        &self.trace
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

    /// A complete answer of an endpoint of the provider's own, with its status; `seen`: what it used, where that is
    /// known, and of what.
    pub fn passed(mut self, status: u16, seen: Option<(&Seen, &Facts)>) {
        self.row.status = Some(status);
        if let Some((seen, facts)) = seen.filter(|(seen, _)| seen.usage.input.is_some() || seen.usage.output.is_some())
        {
            self.tariff.clone_from(&facts.tariff);
            self.price_version.clone_from(&facts.price_version);
            self.usage(&seen.usage, UsageSource::Reported);
        }
        let failed = status >= 400;
        self.row.fault = failed.then(|| Fault::kind_of_status(status));
        self.close(if failed { Outcome::Failed } else { Outcome::Ok });
    }

    /// A complete answer: what it calls its model, why it ended, what was heard of it. Gives what it is taken to have
    /// used.
    #[must_use]
    pub fn complete(mut self, model: &str, finish: Option<StopReason>, heard: Heard) -> Usage {
        self.model(model);
        self.row.finish = finish;
        let reported = heard.usage.input.is_some() || heard.usage.output.is_some();
        let usage = if reported { heard.usage } else { self.counted(heard) };
        self.usage(&usage, if reported { UsageSource::Reported } else { UsageSource::Counted });
        self.close(Outcome::Ok);
        usage
    }

    /// No complete answer. Gives what it is taken to have used; `None`: nothing that anybody knows of.
    pub fn fail(mut self, fault: &Fault, heard: Heard) -> Option<Usage> {
        self.end(fault.kind, fault.status, heard)
    }

    /// The call was given up by us or by the client. As [`Self::fail`].
    pub fn give_up(mut self, heard: Heard) -> Option<Usage> {
        self.end(FaultKind::Cancelled, None, heard)
    }

    /// Whoever was asked and neither refused nor answered has at least read the prompt.
    fn end(&mut self, kind: FaultKind, status: Option<u16>, heard: Heard) -> Option<Usage> {
        self.row.fault = Some(kind);
        self.row.status = status;
        let late = matches!(kind, FaultKind::FirstTokenTimeout | FaultKind::Deadline | FaultKind::Cancelled);
        let works = heard.bytes.is_some() || (late && self.asked.is_some() && self.trace.sent().is_some());
        let usage = works.then(|| self.counted(heard));
        if let Some(usage) = &usage {
            self.usage(usage, UsageSource::Counted);
        }
        self.close(if kind == FaultKind::Cancelled { Outcome::Cancelled } else { Outcome::Failed });
        usage
    }

    /// What was said, and where nothing was, what we count: the prompt as it was estimated, and what was heard.
    fn counted(&self, heard: Heard) -> Usage {
        let words = heard.bytes.map(|bytes| bytes.div_ceil(BYTES_PER_TOKEN));
        Usage { input: heard.usage.input.or(self.asked), output: heard.usage.output.max(words), ..heard.usage }
    }

    fn usage(&mut self, usage: &Usage, source: UsageSource) {
        self.row.usage(usage, source);
        let begun = Wall::from_unix(self.row.started.div_euclid(1_000_000));
        let counts = if source == UsageSource::Reported { Counts::of(usage) } else { Counts::at_least(usage) };
        let priced = self.tariff.as_ref().zip(counts);
        let cost = priced.map(|(tariff, counts)| tariff.cost(begun, &counts, usage.service_tier.as_deref()));
        self.row.cost_nanodollars = cost.and_then(|cost| i64::try_from(cost.0).ok());
        if cost.is_some() {
            self.row.price_version.clone_from(&self.price_version);
        }
    }

    fn close(&mut self, outcome: Outcome) {
        self.over = true;
        self.row.outcome = outcome;
        self.row.bytes_in = self.trace.sent();
        self.row.last_token_us = Some(clock::micros(clock::now() - self.started));
        self.metrics.journalled(self.journal.end(&self.row));
        self.series.attempt(&self.row);
        if let Some(part) = &self.part {
            part.ended(&self.row);
        }
    }
}

/// A name, where there is one.
fn said(name: &Name) -> Option<Name> {
    (!name.is_empty()).then(|| name.clone())
}

impl Drop for Entry {
    fn drop(&mut self) {
        if !self.over {
            self.end(FaultKind::Cancelled, None, Heard::default());
        }
    }
}
