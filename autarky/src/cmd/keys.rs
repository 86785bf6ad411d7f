//! `autarky keys`: the keys that products call with. A secret is shown once, when it is made; only its hash is kept.

use super::output::{self, Format};
use crate::config;
use crate::wiring;
use anyhow::Context;
use gateway::access::{SEED, aws_secret};
use jiff::Timestamp;
use ledger::keys::{self, Wish};
use ledger::named::Named;
use ledger::{Key, KeyKind, Quota, Sqlite, Store};
use policy::NanoUsd;
use serde_json::{Value, json};
use std::fs::OpenOptions;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// A running server takes changes over within a second.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    action: Action,
    /// The configuration. Default: ./autarky.toml, else the one in your configuration folder.
    #[arg(long, short, value_name = "FILE", global = true)]
    config: Option<PathBuf>,
    /// How to print.
    #[arg(long, value_enum, default_value_t, global = true)]
    format: Format,
}

#[derive(Debug, clap::Subcommand)]
enum Action {
    /// Make a key for a product and show its secret, once.
    Create {
        /// The product, as in `[product.NAME]`.
        product: String,
        /// What people call the key.
        #[arg(long, default_value = "default")]
        name: String,
        /// The team that uses it.
        #[arg(long)]
        team: Option<String>,
        /// Days until it expires. Default: never.
        #[arg(long, value_name = "DAYS")]
        expires: Option<u32>,
        /// A model or deployment it may use (`gpt*` for a beginning); repeat for more. Default: all of the product's.
        #[arg(long = "model", value_name = "MODEL")]
        models: Vec<String>,
        /// A network it may be used from, e.g. 10.0.0.0/8; repeat for more. Default: everywhere.
        #[arg(long = "network", value_name = "CIDR")]
        networks: Vec<String>,
        #[command(flatten)]
        limits: Limits,
    },
    /// Make a key of the admin API (`[admin]`) and show its secret, once.
    Admin {
        /// Who holds it.
        name: String,
        /// Whether it may only read.
        #[arg(long)]
        read_only: bool,
        /// Days until it expires. Default: never.
        #[arg(long, value_name = "DAYS")]
        expires: Option<u32>,
        /// A network it may be used from, e.g. 10.0.0.0/8; repeat for more. Default: everywhere.
        #[arg(long = "network", value_name = "CIDR")]
        networks: Vec<String>,
    },
    /// List the keys; secrets are not kept and cannot be shown.
    List,
    /// Refuse a key from now on.
    Revoke {
        /// The key's id, as `list` shows it.
        id: String,
    },
    /// Show the access key with which AWS's clients prove a key: its id and its secret, which can be shown again.
    Aws {
        /// The key's id, as `list` shows it.
        id: String,
    },
    /// Make a successor with the same rights; the old key stays good for a while.
    Rotate {
        /// The key's id, as `list` shows it.
        id: String,
        /// Hours that the old key stays good.
        #[arg(long, default_value_t = 24)]
        overlap: u32,
    },
}

/// How much a key may use, besides what its product and its team may. Default: no limit of its own.
#[derive(Debug, Clone, Copy, clap::Args)]
struct Limits {
    /// Requests in any 60 seconds.
    #[arg(long, value_name = "N")]
    rpm: Option<u32>,
    /// Tokens, in and out, in any 60 seconds.
    #[arg(long, value_name = "N")]
    tpm: Option<u64>,
    /// Requests under way at the same time.
    #[arg(long, value_name = "N")]
    concurrent: Option<u32>,
    /// US dollars per minute of the clock.
    #[arg(long, value_name = "DOLLARS", value_parser = dollars)]
    usd_minute: Option<NanoUsd>,
    /// US dollars per day (UTC).
    #[arg(long, value_name = "DOLLARS", value_parser = dollars)]
    usd_day: Option<NanoUsd>,
    /// US dollars per calendar month (UTC).
    #[arg(long, value_name = "DOLLARS", value_parser = dollars)]
    usd_month: Option<NanoUsd>,
}

impl Limits {
    fn quota(self) -> Quota {
        let nano = |usd: Option<NanoUsd>| usd.map(|usd| usd.0);
        let Self { rpm, tpm, concurrent, usd_minute, usd_day, usd_month } = self;
        let (nano_minute, nano_day, nano_month) = (nano(usd_minute), nano(usd_day), nano(usd_month));
        Quota { rpm, tpm, concurrent, nano_minute, nano_day, nano_month }
    }
}

fn dollars(text: &str) -> Result<NanoUsd, String> {
    serde_json::from_str(text).map_err(|_| "write an amount in US dollars, such as `40` or `0.25`".to_owned())
}

pub(super) fn run(args: Args) -> anyhow::Result<ExitCode> {
    let path = args.config.unwrap_or_else(config::paths::default_config);
    let checked = config::load(&path)?;
    let data = wiring::data_folder(&checked.server);
    std::fs::create_dir_all(&data).with_context(|| format!("cannot make the data folder `{}`", data.display()))?;
    let store = Sqlite::open(&wiring::database(&data))?;
    let now = Timestamp::now().as_microsecond();
    match args.action {
        Action::Create { product, name, team, expires, models, networks, limits } => {
            wiring::keys::belongs(&checked.fleet, &product, team.as_deref()).map_err(anyhow::Error::msg)?;
            let models = models.into_iter().map(Into::into).collect();
            let (networks, expires) = (cidrs(&networks)?, expires.map(|days| later(now, days)));
            let quota = limits.quota();
            let wish = Wish { kind: KeyKind::Product, product, team, name, expires, models, networks, quota };
            let (key, secret) = keys::create(&store, wish, &random()?, now)?;
            show_secret(&key, secret.reveal(), args.format);
        }
        Action::Admin { name, read_only, expires, networks } => {
            let kind = if read_only { KeyKind::Viewer } else { KeyKind::Admin };
            let (networks, expires) = (cidrs(&networks)?, expires.map(|days| later(now, days)));
            let wish = Wish { kind, name, expires, networks, ..Wish::default() };
            let (key, secret) = keys::create(&store, wish, &random()?, now)?;
            show_secret(&key, secret.reveal(), args.format);
        }
        Action::List => list(&store, args.format)?,
        Action::Revoke { id } => {
            let key = keys::revoke(&store, &id, now)?;
            output::line(format!("key `{}` {} is refused from now on", key.id, holder(&key)));
        }
        Action::Aws { id } => {
            if !store.keys()?.iter().any(|key| *key.id == *id) {
                return Err(keys::KeyError::NoSuchKey(id).into());
            }
            let secret = aws_secret(&seed(&wiring::aws_seed(&data))?, &id);
            match args.format {
                Format::Json => output::line(json!({"id": id, "secret": secret})),
                Format::Text => output::line(format!("AWS_ACCESS_KEY_ID={id}\nAWS_SECRET_ACCESS_KEY={secret}")),
            }
        }
        Action::Rotate { id, overlap } => {
            let overlap = i64::from(overlap) * 3_600_000_000;
            let (key, secret) = keys::rotate(&store, &id, &random()?, now, overlap)?;
            show_secret(&key, secret.reveal(), args.format);
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// The seed in `file`, which is made if missing and which nobody else may read.
fn seed(file: &Path) -> anyhow::Result<[u8; SEED]> {
    use std::os::unix::fs::OpenOptionsExt;
    let fresh = OpenOptions::new().write(true).create_new(true).mode(0o600).open(file);
    if let Ok(mut made) = fresh {
        made.write_all(&random()?)?;
    }
    let read = std::fs::read(file).with_context(|| format!("cannot read `{}`", file.display()))?;
    read.try_into()
        .map_err(|_| anyhow::anyhow!("`{}` is damaged: remove it, and tell AWS's clients new secrets", file.display()))
}

fn random() -> anyhow::Result<[u8; 32]> {
    wiring::keys::random().map_err(anyhow::Error::msg)
}

fn cidrs(networks: &[String]) -> anyhow::Result<Vec<ledger::cidr::Cidr>> {
    Ok(networks.iter().map(|text| text.parse()).collect::<Result<_, _>>()?)
}

fn later(now: i64, days: u32) -> i64 {
    now.saturating_add(i64::from(days) * 86_400_000_000)
}

/// Whose key it is, for people.
fn holder(key: &Key) -> String {
    match key.kind {
        KeyKind::Product => format!("of product `{}`", key.product),
        KeyKind::Admin => format!("of the admin API, for `{}`", key.name),
        KeyKind::Viewer => format!("of the admin API, for `{}` to read", key.name),
    }
}

fn show_secret(key: &Key, secret: &str, format: Format) {
    match format {
        Format::Json => {
            output::line(json!({"id": *key.id, "kind": key.kind.name(), "product": product(key), "secret": secret}))
        }
        Format::Text => {
            output::line(secret);
            output::note(format!("key `{}` {}; this is shown once, keep it now", key.id, holder(key)));
        }
    }
}

fn list(store: &dyn Store, format: Format) -> anyhow::Result<()> {
    let keys = store.keys()?;
    if format == Format::Json {
        let keys: Vec<Value> = keys.iter().map(as_json).collect();
        output::line(Value::Array(keys));
        return Ok(());
    }
    if keys.is_empty() {
        output::note("no keys yet: `autarky keys create PRODUCT` makes one");
    }
    for key in keys {
        let team = key.team.as_deref().unwrap_or("-");
        let state = match (key.revoked, key.expires) {
            (Some(at), _) => format!("revoked {}", day(at)),
            (None, Some(at)) => format!("until {}", day(at)),
            (None, None) => "good".to_owned(),
        };
        output::line(format!(
            "{}  {:<16} {:<16} {:<12} {:<16} {state}",
            key.id,
            format!("{}…", key.prefix),
            owner(&key),
            team,
            key.name
        ));
    }
    Ok(())
}

fn as_json(key: &Key) -> Value {
    json!({
        "id": *key.id, "line": *key.line, "kind": key.kind.name(), "prefix": *key.prefix, "product": product(key), "name": *key.name, "team": key.team.as_deref(),
        "created": when(key.created), "expires": key.expires.map(when), "revoked": key.revoked.map(when),
        "models": key.models.iter().map(|model| model.to_string()).collect::<Vec<_>>(),
        "networks": key.networks.iter().map(ToString::to_string).collect::<Vec<_>>(),
        "limits": limits(&key.quota),
    })
}

/// The product of a product's key.
fn product(key: &Key) -> Option<&str> {
    (key.kind == KeyKind::Product).then_some(&*key.product)
}

fn owner(key: &Key) -> &str {
    product(key).unwrap_or_else(|| key.kind.name())
}

fn limits(quota: &Quota) -> Value {
    let usd = |nano: Option<u64>| nano.map(NanoUsd);
    json!({
        "rpm": quota.rpm, "tpm": quota.tpm, "concurrent": quota.concurrent, "usd_minute": usd(quota.nano_minute),
        "usd_day": usd(quota.nano_day), "usd_month": usd(quota.nano_month),
    })
}

fn when(micros: i64) -> String {
    Timestamp::from_microsecond(micros)
        .unwrap_or(Timestamp::UNIX_EPOCH)
        .round(jiff::Unit::Second)
        .unwrap_or_default()
        .to_string()
}

fn day(micros: i64) -> String {
    when(micros).chars().take(10).collect()
}
