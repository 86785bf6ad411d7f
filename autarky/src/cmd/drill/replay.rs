//! L1: captured requests sent again through the running server, which plays the loss for these alone; or recorded
//! outcomes, for which nothing is sent.

use super::{Scene, shown};
use crate::cmd::{covers, register};
use anyhow::{Context, bail};
use insurance::drill::{Drill, Report, replayed};
use insurance::replay::{Loss, replay};
use serde_json::Value;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

/// Requests under way at once.
const AT_ONCE: usize = 4;
/// How long one may take.
const PATIENCE: Duration = Duration::from_secs(300);

/// What a replay replays.
#[derive(Debug, Clone, clap::Args)]
pub(super) struct Source {
    /// L1: captured requests to send again, one JSON object per line: a request's body, or `{"path": "/v1/messages",
    /// "body": {…}}`. They cost money: `--spend` is the cap. The server plays the loss for these requests only.
    #[arg(long, value_name = "FILE", conflicts_with = "outcomes")]
    requests: Option<PathBuf>,
    /// L1: the key they are sent with, as the name of an environment variable that holds it.
    #[arg(long, value_name = "VARIABLE", requires = "requests")]
    key: Option<String>,
    /// L1: where the server listens. Default: the configuration's `server.listen`.
    #[arg(long, value_name = "URL", requires = "requests")]
    url: Option<String>,
    /// L1: recorded outcomes instead, as for `autarky covers replay`; nothing is sent. Needs one `--product`.
    #[arg(long, value_name = "FILE")]
    outcomes: Option<PathBuf>,
}

/// A request to send again.
pub(super) struct Captured {
    path: String,
    body: Value,
}

impl Source {
    /// What recorded outcomes say, where they were given.
    ///
    /// # Errors
    /// They cannot be read, or are of no product of the drill.
    pub(super) fn outcomes(&self, scene: &Scene, drill: &Drill) -> anyhow::Result<Option<Report>> {
        let Some(outcomes) = &self.outcomes else { return Ok(None) };
        let [product] = drill.products.as_slice() else {
            bail!("recorded outcomes are of one product: name it with `--product`");
        };
        let fleet = &scene.checked.fleet;
        let source = covers::Source::of(outcomes.clone(), product);
        let judged = source.read(&scene.checked, register::today())?;
        covers::unanswered(&judged.nobody);
        let lost: Vec<_> = drill.lost.iter().filter_map(|name| fleet.deployment_named(name)).collect();
        let loss = Loss {
            fleet,
            product: judged.product,
            model: "",
            nodes: std::slice::from_ref(&drill.target),
            lost: &lost,
            day: register::today(),
        };
        Ok(Some(replayed(drill, &replay(&judged.rows, &loss, &judged.trial))))
    }

    /// The requests to send again.
    ///
    /// # Errors
    /// None were given, or the file cannot be read.
    pub(super) fn captured(&self) -> anyhow::Result<Vec<Captured>> {
        let Some(path) = &self.requests else {
            bail!(
                "a replay needs something to replay: `--requests FILE` (captured requests, really sent) or `--outcomes \
                 FILE` (recorded outcomes, nothing is sent)"
            );
        };
        let text = std::fs::read_to_string(path).with_context(|| format!("cannot read `{}`", shown(path)))?;
        let lines = text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty());
        let captured: Vec<Captured> = lines
            .map(|(at, line)| {
                let told = || format!("line {} of `{}` is no JSON", at + 1, shown(path));
                let mut value: Value = serde_json::from_str(line).with_context(told)?;
                let path = value.get("path").and_then(Value::as_str).map(str::to_owned);
                let body = value.get_mut("body").map(Value::take);
                Ok(match (path, body) {
                    (Some(path), Some(body)) => Captured { path, body },
                    _ => Captured { path: "/v1/chat/completions".to_owned(), body: value },
                })
            })
            .collect::<anyhow::Result<_>>()?;
        if captured.is_empty() {
            bail!("`{}` holds no requests", shown(path));
        }
        Ok(captured)
    }
}

/// Sends the requests to the running server as part of the drill, until the drill is over; tells what came of it.
///
/// # Errors
/// The key is not there.
pub(super) fn send(scene: &Scene, source: &Source, drill: &Drill, captured: Vec<Captured>) -> anyhow::Result<String> {
    let key = source.key.as_ref().map(|name| {
        crate::config::paths::variable(name).with_context(|| format!("the variable `{name}` with the key is not set"))
    });
    let key = key.transpose()?;
    let base = source.url.clone().unwrap_or_else(|| crate::cmd::health::base(&scene.checked));
    let base = base.trim_end_matches('/');
    let agent: ureq::Agent = ureq::Agent::config_builder()
        .timeout_global(Some(PATIENCE))
        .http_status_as_error(false)
        .proxy(None)
        .build()
        .into();
    let (next, good, bad) = (AtomicUsize::new(0), AtomicU64::new(0), AtomicU64::new(0));
    let one = |captured: &Captured| -> Result<(), ureq::Error> {
        let mut request = agent
            .post(format!("{base}{}", captured.path))
            .header("content-type", "application/json")
            .header(gateway::drill::HEADER, &*drill.id);
        if let Some(key) = &key {
            request = request.header("authorization", format!("Bearer {key}"));
        }
        let mut answer = request.send(captured.body.to_string())?;
        // Read to its end: whoever leaves before gives the request up.
        answer.body_mut().read_to_vec()?;
        let count = if answer.status().is_success() { &good } else { &bad };
        count.fetch_add(1, Ordering::Relaxed);
        Ok(())
    };
    std::thread::scope(|scope| {
        for _ in 0..AT_ONCE {
            scope.spawn(|| {
                loop {
                    let over = scene.folder.record(&drill.id).is_ok_and(|record| record.state.is_over());
                    let Some(captured) = captured.get(next.fetch_add(1, Ordering::Relaxed)).filter(|_| !over) else {
                        return;
                    };
                    if one(captured).is_err() {
                        bad.fetch_add(1, Ordering::Relaxed);
                    }
                }
            });
        }
    });
    let (good, bad) = (good.into_inner(), bad.into_inner());
    let unsent = (captured.len() as u64).saturating_sub(good + bad);
    Ok(format!("{} captured requests: {good} answered, {bad} not, {unsent} not sent", captured.len()))
}
