//! The configuration as written: one TOML file. Every field's doc comment is its reference. Nothing is looked up and
//! nothing is decided here; unknown fields are refused.

use crate::catalog::row::RateRow;
use gateway::upstream::ProviderRow;
use policy::rules::{DataTerm, Limits};
use policy::{NanoUsd, Rules};
use schemars::JsonSchema;
use serde::de::value::MapAccessDeserializer;
use serde::{Deserialize, Deserializer, de};
use std::collections::BTreeMap;
use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;

/// The whole file.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct ConfigFile {
    /// The process itself.
    pub(crate) server: ServerFile,
    /// The admin API.
    pub(crate) admin: AdminFile,
    /// How long the ledger remembers.
    pub(crate) ledger: LedgerFile,
    /// What is kept of conversations for clients that expect it.
    pub(crate) state: StateFile,
    /// The model inside.
    pub(crate) house: HouseFile,
    /// The catalog of models: what is known of them, their prices and their last days.
    pub(crate) catalog: CatalogSection,
    /// Providers: each adds to a row of the catalog or makes a new one.
    pub(crate) provider: BTreeMap<String, ProviderRow>,
    /// Contracts.
    pub(crate) contract: BTreeMap<String, ContractFile>,
    /// What requests can be sent to.
    pub(crate) deployment: BTreeMap<String, DeploymentFile>,
    /// Who calls.
    pub(crate) product: BTreeMap<String, Rules>,
}

/// The process itself.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct ServerFile {
    /// Address and port for clients.
    pub(crate) listen: SocketAddr,
    /// Folder of the ledger and the keys. Empty: `autarky` in the user's data folder.
    pub(crate) data: Option<PathBuf>,
    /// Largest request body, in MiB.
    pub(crate) body_mib: usize,
    /// Most requests under way at the same time; more are refused at once with 503 and a time to wait. Each criticality
    /// of the products may use 15 % less of it than the next higher one, so that there is room left for the critical.
    /// Default: what memory and file handles of the machine allow, at most 10000.
    pub(crate) in_flight: Option<usize>,
    /// From how many milliseconds on the event loop counts as late. While it is late for seconds without a break, ever
    /// more requests are refused with 503, those of the least critical products first. 0: none are.
    pub(crate) late_ms: u64,
    /// Seconds that connections are still accepted after the process was told to stop, while `/readyz` says no: for load
    /// balancers that take their time to notice.
    pub(crate) notice_s: u64,
    /// Seconds that open requests have to end after the process was told to stop, or has handed over to another one;
    /// then they are cut.
    pub(crate) drain_s: u64,
    /// What a deployment without a known price is taken to cost at most, in US dollars per million tokens.
    pub(crate) unknown_usd_per_million: f64,
}

impl Default for ServerFile {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from(([127, 0, 0, 1], 8080)),
            data: None,
            body_mib: 32,
            in_flight: None,
            late_ms: 250,
            notice_s: 0,
            drain_s: 30,
            unknown_usd_per_million: 100.0,
        }
    }
}

/// The admin API: keys, usage, budgets, plans and reloads over HTTP, never on the address for clients. Read at start.
#[derive(Debug, Clone, Copy, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct AdminFile {
    /// Address and port. Empty: there is none. Its answers are not encrypted: on another address than loopback put
    /// something that is in front of it. Whoever asks needs a key made by `autarky keys admin`; as long as none was ever
    /// made, this machine itself may read.
    pub(crate) listen: Option<SocketAddr>,
}

/// How long the ledger remembers. Whole days (UTC) are forgotten, looked for at the start and every hour.
#[derive(Debug, Clone, Copy, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct LedgerFile {
    /// Days that rows, one per attempt, are kept. 0: for good.
    pub(crate) keep_days: u32,
    /// Days that sums of them are kept, from which reports on shares and scenarios are made: never fewer than the rows.
    /// 0: for good.
    pub(crate) keep_sums_days: u32,
}

impl Default for LedgerFile {
    fn default() -> Self {
        Self { keep_days: 400, keep_sums_days: 1_100 }
    }
}

/// What is kept of conversations for clients that expect it: the answers, inputs and conversations of OpenAI Responses.
#[derive(Debug, Clone, Copy, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct StateFile {
    /// Days that a conversation is kept after it was last used. 0: nothing is kept, whatever clients ask.
    pub(crate) retention_days: u32,
}

impl Default for StateFile {
    fn default() -> Self {
        Self { retention_days: 30 }
    }
}

/// How conversations of the house model share its context.
#[derive(Debug, Clone, Copy, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum CacheFile {
    /// One pool.
    Shared,
    /// Equal parts.
    Split,
}

/// The model inside: a GGUF file that runs in a child process of this binary.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct HouseFile {
    /// The weights: a GGUF file. Empty: the default model, which `autarky house fetch` brings.
    pub(crate) gguf: Option<PathBuf>,
    /// Tokens of context of all conversations of the moment together. Default 8192.
    pub(crate) context: Option<u32>,
    /// How they share it. Default `shared`: one pool, a conversation may be as long as the whole. `split`: each slot has
    /// its own equal part, which is quicker for many short conversations.
    pub(crate) cache: Option<CacheFile>,
    /// Conversations answered at the same time. Default 32.
    pub(crate) slots: Option<u32>,
    /// Threads while a single conversation is answered. Default 1: more collapse on a busy machine.
    pub(crate) threads: Option<u32>,
    /// Threads for prompts and several conversations at once. Default: one per core.
    pub(crate) threads_batch: Option<u32>,
    /// Conversations that may wait for a slot. Default 256.
    pub(crate) queue: Option<u32>,
    /// Most tokens of an answer whose request sets no limit. Default 2048.
    pub(crate) max_output_tokens: Option<u32>,
    /// A LoRA adapter: a GGUF file laid over the weights.
    pub(crate) adapter: Option<PathBuf>,
    /// How strongly the adapter counts. Default 1.
    pub(crate) adapter_scale: Option<f32>,
    /// Layers computed on the GPU (builds with the feature `cuda`). Default 0.
    pub(crate) gpu_layers: Option<u32>,
    /// Whether Q4_1 weights are rewritten once as Q8_0, which doubles prompt speed. Default true.
    pub(crate) transcode: Option<bool>,
    /// Seconds without a request after which the weights leave memory. Default: never.
    pub(crate) idle_unload: Option<u64>,
    /// Whether the weights are loaded at start instead of at the first request.
    pub(crate) preload: bool,
}

/// The catalog of models: what is known of them, their prices and their last days.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct CatalogSection {
    /// Files of your own that go over the catalog in the binary, the later over the earlier; relative to this file.
    pub(crate) files: Vec<PathBuf>,
}

/// A contract.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct ContractFile {
    /// The other party.
    pub(crate) with: String,
    /// Its last day, `YYYY-MM-DD`.
    #[serde(deserialize_with = "day")]
    pub(crate) ends: Option<String>,
    /// Days of notice.
    pub(crate) notice_days: Option<u32>,
    /// What answers may be used for: `eval`, `task-model`, `general-model`.
    pub(crate) outputs_for: Vec<String>,
    /// What it promises about data.
    pub(crate) data: Vec<DataTerm>,
    /// US dollars per calendar month (UTC) that are paid in any case: while some of it is left, `prefer = "cost"` takes
    /// its deployments to cost nothing more, so that it is used first.
    pub(crate) commit_usd_month: Option<NanoUsd>,
}

/// What a request can be sent to: a model at a provider, or the model inside.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct DeploymentFile {
    /// The provider: a row of the catalog or of this file. Not beside `engine`.
    pub(crate) provider: Option<String>,
    /// `embedded`: the model inside. Not beside `provider`.
    pub(crate) engine: Option<String>,
    /// The model as the provider calls it. Default: the deployment's name.
    pub(crate) model: Option<String>,
    /// The model as the catalog lists it at its host, where the provider lets you name it yourself. Default: `model`.
    pub(crate) listed_as: Option<String>,
    /// The wire to speak. Default: the provider's first.
    pub(crate) wire: Option<String>,
    /// Who trained the model. Default: as the catalog says, else the provider's maker.
    pub(crate) maker: Option<String>,
    /// Whose machines run it. Default: the provider's host.
    pub(crate) host: Option<String>,
    /// Who bills. Default: the provider's invoicer.
    pub(crate) invoicer: Option<String>,
    /// The account at the provider. Default: the provider's.
    pub(crate) account: Option<String>,
    /// Where it runs.
    pub(crate) region: Option<String>,
    /// The model's family. Default: as the catalog says.
    pub(crate) family: Option<String>,
    /// The contract it is used under.
    pub(crate) contract: Option<String>,
    /// Context window in tokens. Default: as the catalog says.
    pub(crate) context: Option<u64>,
    /// Most tokens of one answer. Default: as the catalog says.
    pub(crate) max_output: Option<u64>,
    /// What it can do: `tools`, `images`, `audio`, `documents`, `structured`, `reasoning`, `logprobs`.
    pub(crate) has: Vec<String>,
    /// What it cannot do, same words. What is in neither list is as the catalog says, else unknown.
    pub(crate) lacks: Vec<String>,
    /// Quality, 0 to 1, by the company's own evaluation.
    pub(crate) quality: Option<f64>,
    /// Price in US dollars per million tokens. Default: as the catalog says.
    pub(crate) price: Option<RateRow>,
    /// The day from which the provider does not offer it any more, `YYYY-MM-DD`: from then on nobody asks it. The
    /// catalog's own dates only warn.
    #[serde(deserialize_with = "day")]
    pub(crate) retires: Option<String>,
    /// How much of it may be used, whoever asks. What the provider itself says is left counts besides.
    pub(crate) limits: Limits,
    /// Its place in the preferred order, the lowest first; equal numbers share the load. Default: as written below
    /// each product's `models`, else 0.
    pub(crate) order: u32,
}

/// A day as text, or as TOML writes one without quotes.
fn day<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<String>, D::Error> {
    struct Read;
    impl<'de> de::Visitor<'de> for Read {
        type Value = String;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("a day like 2032-12-31")
        }

        fn visit_str<E: de::Error>(self, text: &str) -> Result<String, E> {
            Ok(text.to_owned())
        }

        fn visit_map<A: de::MapAccess<'de>>(self, map: A) -> Result<String, A::Error> {
            toml::value::Datetime::deserialize(MapAccessDeserializer::new(map)).map(|day| day.to_string())
        }
    }
    deserializer.deserialize_any(Read).map(Some)
}
