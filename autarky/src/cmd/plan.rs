//! `autarky plan`: whom the policy would ask for a product, on paper; or what another configuration would change on the
//! recorded traffic: shares, cost, latency. Decides nothing itself: it asks the plan that live traffic asks.

use super::output::{self, Format};
use super::register::{self, Files};
use super::window::{self, Since, Window};
use crate::config::Checked;
use anyhow::bail;
use canon::Facets;
use gateway::clock;
use insurance::render;
use insurance::whatif::diff;
use policy::{Fate, Fleet, Plan, PlanInput, Product, ProductIx, Snapshot, Tick};
use serde_json::{Value, json};
use std::path::PathBuf;
use std::process::ExitCode;

/// Without `--diff`: the plan for one request on paper, everyone being well and idle: who is asked in which order, and of
/// everyone else the reason why not. With it: what the other configuration would do with the traffic of the ledger; every
/// number says what it rests on. Exit code 0: told; 1: nobody can answer, or a file has errors.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The product. With `--diff` it may be left out: all of them.
    #[arg(long, value_name = "PRODUCT", required_unless_present = "diff")]
    product: Option<String>,
    /// Another configuration, whose rules and deployments are to be compared with today's on recorded traffic.
    #[arg(long, value_name = "FILE")]
    diff: Option<PathBuf>,
    /// How far back traffic is taken from: `30d`, `12h`, `90m`, or `all`.
    #[arg(long, default_value = "1d", value_name = "TIME", value_parser = window::since, requires = "diff")]
    since: Since,
    /// The model that the request names. Default: none, `auto`.
    #[arg(long, default_value = "", conflicts_with = "diff")]
    model: String,
    /// Tokens of its prompt.
    #[arg(long, default_value_t = 1_000, conflicts_with = "diff")]
    tokens: u64,
    /// How to print.
    #[arg(long, value_enum, default_value_t)]
    format: Format,
    #[command(flatten)]
    files: Files,
}

pub(super) fn run(args: &Args) -> anyhow::Result<ExitCode> {
    match &args.diff {
        Some(other) => compare(args, other),
        None => on_paper(args),
    }
}

/// The product called `name`.
fn named<'f>(fleet: &'f Fleet, name: &str) -> anyhow::Result<&'f Product> {
    let Some(ix) = fleet.product_named(name) else {
        let known: Vec<&str> = fleet.products().iter().map(Product::name).collect();
        bail!("there is no product `{name}`; known: {}", known.join(", "));
    };
    Ok(fleet.product(ix))
}

fn on_paper(args: &Args) -> anyhow::Result<ExitCode> {
    let (checked, _) = register::read(&args.files)?;
    let fleet = &checked.fleet;
    let product = named(fleet, args.product.as_deref().unwrap_or_default())?;
    let facets = Facets { input_tokens: args.tokens, choices: 1, ..Facets::default() };
    let (plan, refused) = match paper(&checked, product.ix(), &args.model, &facets) {
        Ok(plan) => (plan, None),
        Err(refusal) => (refusal.plan, Some(refusal.fault)),
    };
    match args.format {
        Format::Text => output::line(policy::explain(&plan, fleet).join("\n")),
        Format::Json => {
            let refused = refused.as_ref().map(ToString::to_string);
            output::line(serde_json::to_string_pretty(&machine(&plan, fleet, refused.as_deref()))?);
        }
    }
    if let Some(fault) = refused {
        output::note(format!("refused: {fault}"));
        return Ok(ExitCode::FAILURE);
    }
    Ok(ExitCode::SUCCESS)
}

/// The plan for a request of `product`, everyone being well and idle.
fn paper(checked: &Checked, product: ProductIx, model: &str, facets: &Facets) -> Result<Plan, Box<policy::Refusal>> {
    policy::plan(&PlanInput {
        facets,
        model,
        product: checked.fleet.product(product),
        fleet: &checked.fleet,
        view: &Snapshot::default(),
        now: Tick::ZERO,
        wall: clock::wall(),
        chance: 0,
        dialect: None,
        permit: None,
        exclude: &[],
        warm: None,
        bound: None,
    })
}

/// The plan for machines: its legs, and the fate of every deployment.
fn machine(plan: &Plan, fleet: &Fleet, refused: Option<&str>) -> Value {
    let name = |ix| fleet.deployment(ix).name.as_str();
    let legs = plan.legs.iter().map(|leg| {
        json!({
            "deployment": name(leg.deployment),
            "score": leg.score,
            "probability": leg.probability,
            "expected_usd": leg.expected.dollars(),
            "worst_usd": leg.worst.dollars(),
            "degraded": leg.degraded.map(policy::Degraded::name),
        })
    });
    let fates = policy::fates(plan, fleet).into_iter().map(|(ix, fate)| {
        let (word, reason) = match fate {
            Fate::Leg(_) => ("asked", None),
            Fate::Spare => ("spare", None),
            Fate::Dropped(reason) => ("dropped", Some(reason.name())),
            Fate::Unasked => ("unasked", None),
        };
        json!({ "deployment": name(ix), "fate": word, "reason": reason })
    });
    json!({
        "product": fleet.product(plan.product).name(),
        "prefers": plan.objective.name(),
        "refused": refused,
        "legs": legs.collect::<Vec<Value>>(),
        "deployments": fates.collect::<Vec<Value>>(),
    })
}

fn compare(args: &Args, other: &std::path::Path) -> anyhow::Result<ExitCode> {
    let mut window = Window::read(&args.files, args.since, register::today())?;
    let (theirs, register) = register::read(&args.files.with(other))?;
    if let Some(product) = &args.product {
        named(&theirs.fleet, product)?;
        named(&window.checked.fleet, product)?;
        window.flows.retain(|flow| flow.key.product.as_deref() == Some(product));
    }
    let name = other.display().to_string();
    let today = &*window.checked.fleet;
    let report = diff(&window.inputs(), today, (&name, &theirs.fleet, &register), &window.evidence)?;
    output::line(match args.format {
        Format::Text => render::diff_text(&report),
        Format::Json => serde_json::to_string_pretty(&report)?,
    });
    Ok(ExitCode::SUCCESS)
}
