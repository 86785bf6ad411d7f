//! `autarky check`: every problem of a configuration, with its line and what to do.

use super::output;
use crate::config::place::Places;
use crate::config::{self, Checked, Problem, Problems, Severity, survive};
use crate::wiring;
use gateway::clock;
use insurance::Day;
use insurance::cover::{Verdict, verdict};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// Besides the file itself it looks at what is proven: a loss that a product says it survives (`cover.survive`) needs
/// more than somebody who could answer on paper. Exit code 0: usable (there may be warnings); 1: there are errors, or
/// with `--strict` warnings; 2: the command line is wrong.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The configuration. Default: ./autarky.toml, else the one in your configuration folder.
    #[arg(long, short, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Warnings count as errors.
    #[arg(long)]
    strict: bool,
}

pub(super) fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let path = args.config.clone().unwrap_or_else(config::paths::default_config);
    let mut checked = config::load(&path)?;
    let mut list = std::mem::take(&mut checked.warnings);
    list.extend(unproven(&checked, &path)?);
    list.sort_by_key(|problem| problem.at);
    let warned = !list.is_empty();
    if warned {
        output::note(Problems { file: path.display().to_string(), list });
    }
    let (deployments, products) = (checked.fleet.deployments().len(), checked.fleet.products().len());
    output::line(format!("{}: good ({deployments} deployments, {products} products)", path.display()));
    Ok(if warned && args.strict { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

/// The losses that a product survives on paper only.
fn unproven(checked: &Checked, path: &Path) -> anyhow::Result<Vec<Problem>> {
    let evidence = wiring::evidence::read(&wiring::data_folder(&checked.server))?;
    let text = std::fs::read_to_string(path)?;
    let (places, fleet, now) = (Places::of(&text), &checked.fleet, clock::wall());
    let mut found = Vec::new();
    for product in fleet.products() {
        for loss in survive::losses(fleet, product, now) {
            let name = |ix| fleet.deployment(ix).name.as_str();
            let Some(leg) = loss.then.filter(|leg| leg.deployment != loss.today && leg.degraded.is_none()) else {
                continue;
            };
            let (from, to) = (name(loss.today), name(leg.deployment));
            let verdict = verdict(&evidence.covers, product.name(), None, from, to, Day::of(now));
            if verdict == Verdict::Covered {
                continue;
            }
            found.push(Problem {
                severity: Severity::Warning,
                message: format!(
                    "product `{}` survives the loss of `{}` on paper only: `{to}` in the place of `{from}` is not proven ({})",
                    product.name(),
                    loss.party,
                    verdict.name()
                ),
                at: places.find(&["product", product.name(), "cover", "survive"]),
                hint: Some(format!("`autarky covers prove --outcomes FILE --product {}`", product.name())),
            });
        }
    }
    Ok(found)
}
