//! `autarky why`: the story of one request, from the ledger: whom the plan looked at and why each was dropped, who was
//! asked, what became of each attempt.

use super::output::{self, Format};
use crate::config::{self, Checked};
use crate::wiring;
use anyhow::bail;
use jiff::Timestamp;
use ledger::{Attempt, Outcome, RequestId, Sqlite, Store};
use std::path::PathBuf;
use std::process::ExitCode;

/// The id is in every answer's header `x-autarky-request-id`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The request's id, `req_…`.
    request: RequestId,
    /// The configuration. Default: ./autarky.toml, else the one in your configuration folder.
    #[arg(long, short, value_name = "FILE")]
    config: Option<PathBuf>,
    /// How to print.
    #[arg(long, value_enum, default_value_t)]
    format: Format,
}

pub(super) fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let path = args.config.clone().unwrap_or_else(config::paths::default_config);
    let checked = config::load(&path)?;
    let store = Sqlite::open_read_only(&wiring::database(&wiring::data_folder(&checked.server)))?;
    let attempts = store.attempts(args.request)?;
    if attempts.is_empty() {
        bail!(
            "the ledger knows no attempt of `{}`: nobody was asked for it, it is younger than a second, or another \
             server answered it",
            args.request
        );
    }
    match args.format {
        Format::Json => output::line(serde_json::to_string_pretty(&attempts)?),
        Format::Text => output::line(story(&attempts, &checked)),
    }
    Ok(ExitCode::SUCCESS)
}

fn story(attempts: &[Attempt], checked: &Checked) -> String {
    let mut lines = Vec::new();
    if let Some(first) = attempts.first() {
        lines.push(format!(
            "request   {} at {}",
            first.request_id,
            Timestamp::from_microsecond(first.started).unwrap_or_default()
        ));
        lines.push(format!(
            "asked     product `{}`, model `{}`, {}{}",
            first.product.as_deref().unwrap_or("?"),
            first.requested_model.as_deref().unwrap_or("auto"),
            first.dialect.as_deref().unwrap_or("?"),
            if first.stream { ", streamed" } else { "" },
        ));
        lines.push(format!("rules     version {}", first.policy_version.as_deref().unwrap_or("?")));
    }
    if let Some(planned) = attempts.iter().find(|attempt| !attempt.candidates.is_empty()) {
        for candidate in &planned.candidates {
            let what = match (&candidate.dropped, candidate.score) {
                (Some(reason), _) => format!("dropped: {reason}"),
                (None, Some(score)) => format!("planned, score {score:.3}"),
                (None, None) => "could answer too".to_owned(),
            };
            lines.push(format!("candidate {:<24} {what}", candidate.deployment));
        }
        lines.extend(passed_over(planned, checked));
    }
    lines.extend(attempts.iter().map(told));
    lines.join("\n")
}

/// The deployments that the plan had no need to look at, and why: what no list of the request named, or what may never
/// answer the product. Known while the rules are still those of then.
fn passed_over(planned: &Attempt, checked: &Checked) -> Vec<String> {
    let fleet = &checked.fleet;
    if planned.policy_version.as_deref() != Some(&checked.version) {
        return vec![format!(
            "          the rules have changed since (version {} now): who was not looked at then is not told",
            checked.version
        )];
    }
    let product = planned.product.as_deref().and_then(|name| fleet.product_named(name)).map(|ix| fleet.product(ix));
    let seen = |name: &str| planned.candidates.iter().any(|candidate| &*candidate.deployment == name);
    let others = fleet.iter().filter(|(_, one)| !seen(&one.name));
    let line = |(ix, one): (policy::DeploymentIx, &policy::Deployment)| {
        let never = product.and_then(|product| product.never(ix));
        let what = never.map_or_else(|| "not asked for".to_owned(), |reason| format!("dropped: {}", reason.name()));
        format!("candidate {:<24} {what}", one.name)
    };
    others.map(line).collect()
}

fn told(attempt: &Attempt) -> String {
    let ms = |micros: Option<u64>| {
        micros.map_or_else(|| "?".to_owned(), |micros| format!("{}.{} ms", micros / 1_000, micros % 1_000 / 100))
    };
    let deployment = attempt.deployment.as_deref().unwrap_or("?");
    let what = match attempt.outcome {
        Outcome::Ok => format!(
            "answered in {}, first token after {}; {} tokens in, {} out{}",
            ms(attempt.last_token_us),
            ms(attempt.first_token_us),
            number(attempt.input_tokens),
            number(attempt.output_tokens),
            if attempt.degraded { "; less than was asked for" } else { "" },
        ),
        Outcome::Failed => format!(
            "failed after {}: {}{}",
            ms(attempt.last_token_us),
            attempt.fault.map_or("unknown", canon::FaultKind::name),
            attempt.status.map(|status| format!(" (status {status})")).unwrap_or_default(),
        ),
        Outcome::Cancelled => format!("given up after {}", ms(attempt.last_token_us)),
        Outcome::Open => "still running".to_owned(),
        Outcome::Unknown => "nobody knows: the process died meanwhile".to_owned(),
    };
    let losses = match attempt.losses.as_slice() {
        [] => String::new(),
        losses => {
            format!("\n            not said: {}", losses.iter().map(ToString::to_string).collect::<Vec<_>>().join(", "))
        }
    };
    format!("attempt {:<2}{deployment:<24} {what}{losses}", attempt.attempt)
}

fn number(count: Option<u64>) -> String {
    count.map_or_else(|| "unknown".to_owned(), |count| count.to_string())
}
