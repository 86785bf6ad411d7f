//! The model inside as a `Backend` without a wire: the gateway's side of `engine::House`. Finds the weights, brings
//! them in the background when they are missing, and says what is missing until it can answer.

use crate::config::file::{CacheFile, HouseFile};
use crate::weights::{self, FetchError, SMOLLM2_135M, Source, Watch};
use anyhow::Context;
use canon::wire::Protocol;
use canon::{Event, Fault, FaultKind, Loss};
use engine::{Adapter, Cache, House, HouseCommand, HouseOptions, HouseState};
use futures_util::{StreamExt, stream};
use gateway::setup::Readiness;
use gateway::tasks::Tasks;
use gateway::upstream::{Ask, Backend, BoxFuture, CallTerms, Items, Reply, ReplyBody, Timing};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

/// The model inside.
pub(crate) struct HouseBackend {
    house: Arc<House>,
    weights: Arc<Fetching>,
    preload: bool,
}

/// The weights on their way.
struct Fetching {
    /// The cache that holds the default model's weights; `None`: the configuration names a file.
    cache: Option<PathBuf>,
    gguf: PathBuf,
    /// Why they could not be brought.
    failed: Mutex<Option<String>>,
}

impl Fetching {
    fn is_there(&self) -> bool {
        match &self.cache {
            Some(cache) => weights::present(&SMOLLM2_135M, cache).is_some(),
            None => self.gguf.exists(),
        }
    }

    fn missing(&self) -> Option<String> {
        if self.is_there() {
            return None;
        }
        let failed = self.failed.lock().unwrap_or_else(PoisonError::into_inner);
        Some(match (&*failed, &self.cache) {
            (Some(reason), _) => format!("the house model's weights: {reason}"),
            (None, Some(_)) => "the house model's weights: on their way".to_owned(),
            (None, None) => format!("the house model's weights: there is no file `{}`", self.gguf.display()),
        })
    }
}

impl HouseBackend {
    /// The model that `file` describes; the default one's weights lie in `cache`.
    ///
    /// # Errors
    /// When this binary cannot find itself, which it starts as the model's own process.
    pub(crate) fn new(file: &HouseFile, cache: &Path) -> anyhow::Result<Self> {
        let (gguf, cache) = match &file.gguf {
            Some(gguf) => (gguf.clone(), None),
            None => (weights::path(&SMOLLM2_135M, cache), Some(cache.to_owned())),
        };
        let command = HouseCommand::this_binary().context("cannot find this binary to start the house model with")?;
        let house = Arc::new(House::new(options(file, gguf.clone()), command));
        let weights = Arc::new(Fetching { cache, gguf, failed: Mutex::new(None) });
        Ok(Self { house, weights, preload: file.preload })
    }

    /// What `/readyz` asks.
    pub(crate) fn readiness(&self, needed: bool) -> HouseReadiness {
        HouseReadiness { house: Arc::clone(&self.house), weights: Arc::clone(&self.weights), needed }
    }

    /// Brings missing weights in the background; the port answers meanwhile.
    pub(crate) fn prepare(&self, tasks: &Tasks) {
        let (weights, house, preload) = (Arc::clone(&self.weights), Arc::clone(&self.house), self.preload);
        let stopping = tasks.clone();
        tasks.spawn(async move {
            if let (Some(cache), false) = (weights.cache.clone(), weights.is_there()) {
                let fetched = tokio::task::spawn_blocking(move || fetch(&cache, stopping)).await;
                let failed = match fetched {
                    Ok(Ok(())) => None,
                    Ok(Err(error)) => Some(error.to_string()),
                    Err(error) => Some(format!("the fetch broke: {error}")),
                };
                if let Some(reason) = &failed {
                    tracing::error!("the house model's weights could not be brought: {reason}");
                }
                *weights.failed.lock().unwrap_or_else(PoisonError::into_inner) = failed;
            }
            if preload && weights.is_there() {
                house.preload();
            }
        });
    }

    /// Ends the model's own process.
    pub(crate) async fn shutdown(&self) {
        self.house.shutdown().await;
    }
}

fn fetch(cache: &Path, tasks: Tasks) -> Result<(), FetchError> {
    let source = Source::Hub(weights::HUB.to_owned());
    weights::fetch(&SMOLLM2_135M, cache, &source, &Background { tasks }).map(|_| ())
}

/// Watches a fetch on behalf of a running server.
struct Background {
    tasks: Tasks,
}

impl Watch for Background {
    fn say(&self, text: &str) {
        tracing::info!("house model's weights: {text}");
    }

    fn bytes(&self, _done: u64, _total: u64) {}

    fn go_on(&self) -> bool {
        !self.tasks.is_stopping()
    }
}

fn options(file: &HouseFile, gguf: PathBuf) -> HouseOptions {
    let defaults = HouseOptions::new(gguf);
    HouseOptions {
        context: file.context.unwrap_or(defaults.context),
        cache: match file.cache {
            None => defaults.cache,
            Some(CacheFile::Shared) => Cache::Shared,
            Some(CacheFile::Split) => Cache::Split,
        },
        slots: file.slots.unwrap_or(defaults.slots),
        threads: file.threads.unwrap_or(defaults.threads),
        threads_batch: file.threads_batch.unwrap_or(defaults.threads_batch),
        queue: file.queue.unwrap_or(defaults.queue),
        max_output_tokens: file.max_output_tokens.unwrap_or(defaults.max_output_tokens),
        adapter: file.adapter.clone().map(|path| Adapter { path, scale: file.adapter_scale.unwrap_or(1.0) }),
        gpu_layers: file.gpu_layers.unwrap_or(defaults.gpu_layers),
        transcode: file.transcode.unwrap_or(defaults.transcode),
        idle_unload: file.idle_unload.or(defaults.idle_unload),
        ..defaults
    }
}

/// The model inside as one deployment of a configuration: with the name that clients see.
pub(crate) struct HouseUnit {
    backend: Arc<HouseBackend>,
    model: String,
}

impl HouseUnit {
    /// `backend` under the name `model`.
    pub(crate) fn new(backend: &Arc<HouseBackend>, model: String) -> Self {
        Self { backend: Arc::clone(backend), model }
    }
}

impl Backend for HouseUnit {
    fn protocol(&self) -> Option<&'static dyn Protocol> {
        None
    }

    fn losses(&self, _ask: &Ask) -> Result<Vec<Loss>, Fault> {
        Ok(Vec::new())
    }

    fn takes_prefill(&self) -> bool {
        true
    }

    fn call<'a>(&'a self, ask: &'a Arc<Ask>, terms: CallTerms) -> BoxFuture<'a, Result<Reply, Fault>> {
        Box::pin(self.backend.answer(&self.model, ask, terms))
    }

    fn count<'a>(&'a self, ask: &'a Arc<Ask>, deadline: Instant) -> BoxFuture<'a, Result<Option<u64>, Fault>> {
        Box::pin(self.backend.count(ask, deadline))
    }
}

impl HouseBackend {
    /// Counts as the model reads; `None`: its weights are not here, or not loaded in time.
    async fn count(&self, ask: &Ask, deadline: Instant) -> Result<Option<u64>, Fault> {
        if self.weights.missing().is_some() {
            return Ok(None);
        }
        let request = ask.request()?;
        let counted = tokio::time::timeout_at(deadline.into(), self.house.count_tokens(&request)).await;
        counted.ok().transpose()
    }

    async fn answer(&self, model: &str, ask: &Ask, terms: CallTerms) -> Result<Reply, Fault> {
        let started = Instant::now();
        if let Some(missing) = self.weights.missing() {
            return Err(Fault::gateway(FaultKind::Overloaded, missing).after(std::time::Duration::from_secs(5)));
        }
        let request = ask.request()?;
        let limit = terms.first_token.min(terms.deadline.saturating_duration_since(started));
        let begun = tokio::time::timeout(limit, async {
            let mut answer = self.house.generate(&request, terms.deadline.into())?;
            terms.trace.leaves(ask.body.len());
            let mut first = Vec::new();
            while let Some(event) = answer.next().await {
                let mut event = event?;
                if let Event::Start(head) = &mut event {
                    model.clone_into(&mut head.model);
                }
                let real = !matches!(event, Event::Start(_) | Event::Usage(_));
                first.push(event);
                if real {
                    break;
                }
            }
            Ok(Items {
                first,
                rest: stream::unfold(answer, |mut answer| async { Some((answer.next().await?, answer)) }).boxed(),
            })
        });
        let items = begun.await.unwrap_or_else(|_| {
            let message = format!("the house model gave no token within {} ms", limit.as_millis());
            Err(Fault::gateway(FaultKind::FirstTokenTimeout, message))
        })?;
        let timing = Timing { head: None, first_token: Some(started.elapsed()) };
        Ok(Reply { body: ReplyBody::Events(Box::new(items)), losses: Vec::new(), timing, quota: None })
    }
}

/// What `/readyz` asks of the model inside.
pub(crate) struct HouseReadiness {
    house: Arc<House>,
    weights: Arc<Fetching>,
    needed: bool,
}

impl Readiness for HouseReadiness {
    fn missing(&self) -> Vec<String> {
        if !self.needed {
            return Vec::new();
        }
        if let Some(missing) = self.weights.missing() {
            return vec![missing];
        }
        match self.house.state() {
            // Cold is ready: the first request loads it.
            HouseState::Cold | HouseState::Ready => Vec::new(),
            HouseState::Loading => vec!["the house model: loading".to_owned()],
            HouseState::Restarting => vec!["the house model: restarting".to_owned()],
            HouseState::Unavailable { reason } => vec![format!("the house model: {reason}")],
        }
    }
}
