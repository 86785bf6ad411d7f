//! `autarky covers`: what is proven, from recorded outcomes: the same requests answered by several models and judged.

use super::output::{self, Format, ReportFormat};
use super::register::{self, Files};
use crate::config::Checked;
use crate::wiring;
use anyhow::{Context, bail};
use flate2::read::GzDecoder;
use insurance::cover::{Trial, Verdict, prove};
use insurance::outcomes::{Outcome, models, outcomes, renamed};
use insurance::replay::{Loss, replay, resting_on};
use insurance::{Cover, Day, Node, render};
use ledger::Name;
use policy::ProductIx;
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// A configured fallback is not a cover: here a replacement is compared, request by request, with what it would replace.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, clap::Subcommand)]
enum What {
    /// Compare every pair of models in a file of outcomes and keep what that proves.
    Prove {
        #[command(flatten)]
        source: Source,
        #[command(flatten)]
        files: Files,
        /// How to print.
        #[arg(long, value_enum, default_value_t)]
        format: Format,
    },
    /// Replay a loss on a file of outcomes: who would answer, and what those answers were worth. Nothing is sent.
    Replay {
        #[command(flatten)]
        source: Source,
        /// What is lost: `maker:openai`, `host:azure`, `deployment:gpt`, `house`.
        #[arg(long, value_name = "KIND:NAME")]
        lose: Node,
        /// The model that the requests name. Default: none, `auto`.
        #[arg(long, default_value = "")]
        model: String,
        #[command(flatten)]
        files: Files,
        /// How to print.
        #[arg(long, value_enum, default_value_t)]
        format: ReportFormat,
    },
    /// List what is proven.
    List {
        #[command(flatten)]
        files: Files,
        /// How to print.
        #[arg(long, value_enum, default_value_t)]
        format: Format,
    },
}

/// Recorded outcomes, and how they are judged.
#[derive(Debug, Clone, clap::Args)]
pub(super) struct Source {
    /// One JSON object per line, or that gzipped: `{"id", "class", "q": {MODEL: quality 0..1}, "c": {MODEL: cost}, "t":
    /// {MODEL: [tokens in, out]}}`; models by deployment or by their own name.
    #[arg(long, value_name = "FILE")]
    outcomes: PathBuf,
    /// The product that the requests are of.
    #[arg(long, value_name = "PRODUCT")]
    product: String,
    /// How much less quality is accepted. Default: the product's `floor.margin`, else 0.05.
    #[arg(long)]
    margin: Option<f64>,
    /// How often a bound may be wrong.
    #[arg(long, default_value_t = 0.05)]
    alpha: f64,
    /// Days until the evidence is stale.
    #[arg(long, default_value_t = 90, value_name = "DAYS")]
    days: u32,
    /// Who judged the answers.
    #[arg(long, default_value = "unnamed")]
    evaluator: String,
}

/// Outcomes by deployment, and how to judge them.
pub(super) struct Judged {
    pub(super) rows: Vec<Outcome>,
    pub(super) trial: Trial,
    pub(super) product: ProductIx,
    /// Models of the file that no deployment answers for.
    pub(super) nobody: Vec<Name>,
}

impl Source {
    /// The outcomes of a product in `file`, judged as the product's rules say.
    pub(super) fn of(file: PathBuf, product: &str) -> Self {
        Self {
            outcomes: file,
            product: product.to_owned(),
            margin: None,
            alpha: 0.05,
            days: 90,
            evaluator: "unnamed".to_owned(),
        }
    }

    /// Reads the file.
    ///
    /// # Errors
    /// It cannot be read, no deployment answers for any of its models, or there is no such product.
    pub(super) fn read(&self, checked: &Checked, day: Day) -> anyhow::Result<Judged> {
        let fleet = &checked.fleet;
        let Some(product) = fleet.product_named(&self.product) else {
            let known: Vec<&str> = fleet.products().iter().map(policy::Product::name).collect();
            bail!("there is no product `{}`; known: {}", self.product, known.join(", "));
        };
        if !(self.alpha > 0.0 && self.alpha < 0.5) {
            bail!(
                "`--alpha {}` is no probability of error; write a number between 0 and 0.5, such as 0.05",
                self.alpha
            );
        }
        let (text, hash) = text(&self.outcomes)?;
        let rows = outcomes(&text).with_context(|| format!("cannot use `{}`", self.outcomes.display()))?;
        let mut names: BTreeMap<Name, Vec<Name>> = BTreeMap::new();
        let mut nobody = Vec::new();
        for model in models(&rows) {
            let fits = |one: &&policy::Deployment| *one.name == *model || *one.model == *model;
            let found: Vec<Name> =
                fleet.deployments().iter().filter(fits).map(|one| one.name.as_str().into()).collect();
            if found.is_empty() {
                nobody.push(model);
            } else {
                names.insert(model, found);
            }
        }
        if names.is_empty() {
            bail!(
                "no deployment answers for any model of `{}`: {}; name one in `[deployment.NAME]`",
                self.outcomes.display(),
                nobody.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
            );
        }
        let floor = fleet.product(product).rules().floor.as_ref().map(|floor| floor.margin);
        let trial = Trial {
            product: self.product.as_str().into(),
            margin: self.margin.or(floor).unwrap_or(0.05),
            alpha: self.alpha,
            expires: day.before(-i64::from(self.days)),
            evaluator: self.evaluator.as_str().into(),
            evidence: hash.into(),
        };
        Ok(Judged { rows: renamed(&rows, &names), trial, product, nobody })
    }
}

/// A file's text, gunzipped where it is gzipped, and the hash of its bytes.
fn text(path: &Path) -> anyhow::Result<(String, String)> {
    let bytes = std::fs::read(path).with_context(|| format!("cannot read `{}`", path.display()))?;
    let hash = Sha256::digest(&bytes).iter().take(16).map(|byte| format!("{byte:02x}")).collect();
    let mut text = String::new();
    if bytes.starts_with(&[0x1f, 0x8b]) {
        GzDecoder::new(&*bytes)
            .read_to_string(&mut text)
            .with_context(|| format!("cannot unpack `{}`", path.display()))?;
    } else {
        text = String::from_utf8(bytes).with_context(|| format!("`{}` is no text", path.display()))?;
    }
    Ok((text, hash))
}

pub(super) fn run(args: &Args) -> anyhow::Result<ExitCode> {
    match &args.what {
        What::Prove { source, files, format } => {
            let (checked, _) = register::read(files)?;
            let Judged { rows, trial, nobody, .. } = source.read(&checked, register::today())?;
            let proven = prove(&rows, &trial);
            unanswered(&nobody);
            print(&proven.covers, *format)?;
            let data = wiring::data_folder(&checked.server);
            let mut all = wiring::evidence::read(&data)?;
            all.merge(proven);
            let path = wiring::evidence::keep(&data, &all)?;
            output::note(format!("kept in `{}`; reports use it from now on", path.display()));
        }
        What::Replay { source, lose, model, files, format } => {
            let (checked, register) = register::read(files)?;
            let (fleet, day) = (&checked.fleet, register::today());
            let Judged { rows, trial, product, nobody } = source.read(&checked, day)?;
            unanswered(&nobody);
            let Some(lost) = resting_on(fleet, &register, lose) else {
                bail!("nothing here rests on `{lose}`; `autarky register show` tells what there is");
            };
            let nodes = std::slice::from_ref(lose);
            let found = replay(&rows, &Loss { fleet, product, model, nodes, lost: &lost, day }, &trial);
            output::line(match format {
                ReportFormat::Text => render::replay_text(&found),
                ReportFormat::Json => serde_json::to_string_pretty(&found)?,
                ReportFormat::Html => render::replay_html(&found),
            });
        }
        What::List { files, format } => {
            let (checked, _) = register::read(files)?;
            let covers = wiring::evidence::read(&wiring::data_folder(&checked.server))?.covers;
            if covers.is_empty() && *format == Format::Text {
                output::note("nothing is proven yet: `autarky covers prove --outcomes FILE --product PRODUCT`");
            }
            print(&covers, *format)?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// Says whose outcomes are left out.
pub(super) fn unanswered(models: &[Name]) {
    for model in models {
        output::note(format!("no deployment answers for `{model}`: its outcomes are left out"));
    }
}

fn print(covers: &[Cover], format: Format) -> anyhow::Result<()> {
    if format == Format::Json {
        output::line(serde_json::to_string_pretty(covers)?);
        return Ok(());
    }
    let today = register::today();
    for cover in covers {
        let verdict = if today > cover.expires { Verdict::Stale } else { cover.verdict };
        let proof = cover.proof.as_ref().map_or_else(
            || "somebody's word".to_owned(),
            |proof| {
                format!(
                    "{} pairs, difference {:+.3}, at least {:+.3} (margin {:.3})",
                    proof.pairs, proof.difference, proof.lower, proof.margin
                )
            },
        );
        output::line(format!(
            "{:<14} {:<24} {:<20} {} → {}: {proof}, until {}",
            verdict.name(),
            cover.product,
            cover.class.as_deref().unwrap_or("all"),
            cover.from,
            cover.to,
            cover.expires
        ));
    }
    Ok(())
}
