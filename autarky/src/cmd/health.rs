//! `autarky health`: how much a running server has to do, every breaker of it, why it is open, and until when.

use super::output::{self, Format};
use crate::config::{self, Checked};
use anyhow::Context;
use serde_json::Value;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

/// How long the server may take to answer.
const PATIENCE: Duration = Duration::from_secs(5);

/// Asks the server on this machine (`GET /admin/health`, answered on loopback only). Exit code 0: every breaker is
/// closed; 1: one is not, or nobody answers.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Where the server listens. Default: the configuration's `server.listen`.
    #[arg(long, value_name = "URL")]
    url: Option<String>,
    /// The configuration. Default: ./autarky.toml, else the one in your configuration folder.
    #[arg(long, short, value_name = "FILE")]
    config: Option<PathBuf>,
    /// How to print.
    #[arg(long, value_enum, default_value_t)]
    format: Format,
}

pub(super) fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let base = match &args.url {
        Some(url) => url.trim_end_matches('/').to_owned(),
        None => {
            let path = args.config.clone().unwrap_or_else(config::paths::default_config);
            base(&config::load(&path)?)
        }
    };
    let agent: ureq::Agent = ureq::Agent::config_builder().timeout_global(Some(PATIENCE)).proxy(None).build().into();
    let mut answer = agent
        .get(format!("{base}/admin/health"))
        .call()
        .with_context(|| format!("no answer from {base}: is the server running there? name another with `--url`"))?;
    let health: Value = serde_json::from_str(&answer.body_mut().read_to_string()?)?;
    match args.format {
        Format::Json => output::line(serde_json::to_string_pretty(&health)?),
        Format::Text => {
            output::line(load(&health["load"]));
            for breaker in health["breakers"].as_array().into_iter().flatten() {
                output::line(told(breaker));
            }
        }
    }
    Ok(if health["closed"] == Value::Bool(true) { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// How much is under way, and whose requests are refused for that.
fn load(load: &Value) -> String {
    let number = |key: &str| load[key].as_u64().unwrap_or_default();
    let mut line = format!(
        "{:<11}{:<28}{} of {} requests under way, event loop {} ms late",
        "load",
        "server",
        number("under_way"),
        number("most"),
        number("late_ms")
    );
    for product in load["products"].as_array().into_iter().flatten() {
        let (share, refused) = (product["refused_share"].as_f64().unwrap_or_default(), product["refused"].as_u64());
        if share > 0.0 || refused > Some(0) {
            let text = |key: &str| product[key].as_str().unwrap_or_default();
            line.push_str(&format!(
                "\n{:<11}{:<28}{} ({:.0} % of its requests are refused now, {} so far)",
                "product",
                text("product"),
                text("criticality"),
                share * 100.0,
                refused.unwrap_or_default()
            ));
        }
    }
    line
}

/// Where the server of a configuration is reached from this machine.
pub(super) fn base(checked: &Checked) -> String {
    let mut listen = checked.server.listen;
    if listen.ip().is_unspecified() {
        listen.set_ip(std::net::Ipv4Addr::LOCALHOST.into());
    }
    format!("http://{listen}")
}

fn told(breaker: &Value) -> String {
    let text = |key: &str| breaker[key].as_str().unwrap_or_default();
    let seconds = |value: &Value| value.as_u64().map_or(0, |ms| ms.div_ceil(1_000));
    let mut line = format!("{:<11}{:<28}{}", text("of"), text("name"), text("state"));
    if let Some(cause) = breaker["cause"].as_str() {
        line.push_str(&format!(" ({cause}, for {} s more)", seconds(&breaker["wait_ms"])));
    }
    if let Some(share) = breaker["share"].as_f64() {
        line.push_str(&format!(" (takes {:.0} % of its usual traffic)", share * 100.0));
    }
    if text("state") != "closed" && breaker["last_fault"].is_object() {
        let last = &breaker["last_fault"];
        let (kind, message) = (last["kind"].as_str().unwrap_or_default(), last["message"].as_str().unwrap_or_default());
        line.push_str(&format!("\n           {kind}, {} s ago: {message}", seconds(&last["ago_ms"])));
    }
    line
}
