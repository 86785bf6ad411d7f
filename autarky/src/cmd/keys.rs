//! `autarky keys`: the keys that products call with. A secret is shown once, when it is made; only its hash is kept.

use super::output::{self, Format};
use crate::config;
use crate::wiring;
use anyhow::{Context, bail};
use gateway::access::{SEED, aws_secret};
use jiff::Timestamp;
use ledger::keys::{self, Wish};
use ledger::{Key, Sqlite, Store};
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

pub(super) fn run(args: Args) -> anyhow::Result<ExitCode> {
    let path = args.config.unwrap_or_else(config::paths::default_config);
    let checked = config::load(&path)?;
    let data = wiring::data_folder(&checked.server);
    std::fs::create_dir_all(&data).with_context(|| format!("cannot make the data folder `{}`", data.display()))?;
    let store = Sqlite::open(&wiring::database(&data))?;
    let now = Timestamp::now().as_microsecond();
    match args.action {
        Action::Create { product, name, team, expires, models, networks } => {
            if checked.fleet.product_named(&product).is_none() {
                let known: Vec<&str> = checked.fleet.products().iter().map(policy::Product::name).collect();
                bail!("there is no product `{product}`; known: {}", known.join(", "));
            }
            let networks = networks.iter().map(|text| text.parse()).collect::<Result<_, _>>()?;
            let models = models.into_iter().map(Into::into).collect();
            let expires = expires.map(|days| now + i64::from(days) * 86_400_000_000);
            let wish = Wish { product, team, name, expires, models, networks };
            let (key, secret) = keys::create(&store, wish, &random()?, now)?;
            show_secret(&key, secret.reveal(), args.format);
        }
        Action::List => list(&store, args.format)?,
        Action::Revoke { id } => {
            let key = keys::revoke(&store, &id, now)?;
            output::line(format!("key `{}` of product `{}` is refused from now on", key.name, key.product));
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
    let mut bytes = [0; 32];
    getrandom::fill(&mut bytes).map_err(|error| anyhow::anyhow!("the system gave no random numbers: {error}"))?;
    Ok(bytes)
}

fn show_secret(key: &Key, secret: &str, format: Format) {
    match format {
        Format::Json => output::line(json!({"id": *key.id, "product": *key.product, "secret": secret})),
        Format::Text => {
            output::line(secret);
            output::note(format!("key `{}` of product `{}`; this is shown once, keep it now", key.id, key.product));
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
        let state = match (key.revoked, key.expires) {
            (Some(at), _) => format!("revoked {}", day(at)),
            (None, Some(at)) => format!("until {}", day(at)),
            (None, None) => "good".to_owned(),
        };
        output::line(format!("{}  {}…  {:<16} {:<16} {state}", key.id, key.prefix, key.product, key.name));
    }
    Ok(())
}

fn as_json(key: &Key) -> Value {
    json!({
        "id": *key.id, "prefix": *key.prefix, "product": *key.product, "name": *key.name, "team": key.team.as_deref(),
        "created": when(key.created), "expires": key.expires.map(when), "revoked": key.revoked.map(when),
        "models": key.models.iter().map(|model| model.to_string()).collect::<Vec<_>>(),
        "networks": key.networks.iter().map(ToString::to_string).collect::<Vec<_>>(),
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
