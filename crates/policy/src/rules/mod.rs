//! The rules of one product, as a company writes them in TOML. Data only: reading files, naming lines and checking
//! names against the fleet happen elsewhere (`fleet::Fleet::build`). Every field's comment is its reference entry.

mod prefer;
mod running;

pub use prefer::{Prefer, Weights};
pub use running::{Hedging, Limits, Retries, Takeovers, Timeouts};

use crate::money::NanoUsd;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// The rules of one product. Every field has a safe default: with two deployments and nothing else configured, a
/// request that one cannot answer goes to the other.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Rules {
    /// How much the company depends on the product: under overload the least critical requests are refused first,
    /// and reports list the critical products on top.
    pub criticality: Criticality,
    /// Whether requests without a key belong to this product. At most one product may say so.
    pub anonymous: bool,
    /// Deployments and models (`gpt*` matches a beginning) that the product may use. Empty: all.
    pub models: Vec<String>,
    /// Names of the product's own: each stands for a list of deployments and models, in order of preference.
    /// A deployment of the embedded house model listed here is chosen like any other, not kept for last.
    pub aliases: BTreeMap<String, Vec<String>>,
    /// When a model other than the one that the client named may answer.
    pub substitute: Substitute,
    /// What every deployment that answers must have. Hard: what misses one need is never asked.
    pub needs: Needs,
    /// What the product expects of a deployment while it runs: whoever misses it is asked after those who meet it.
    pub slo: Slo,
    /// The least quality of an answer, measured against a deployment.
    pub floor: Option<Floor>,
    /// How much money the product may spend.
    pub budget: BudgetRules,
    /// What to prefer among deployments that all rules allow: `"order"` (as written), `"cost"`, `"quality"`,
    /// `"latency"`, or weights such as `{ cost = 0.7, quality = 0.3 }`.
    pub prefer: Prefer,
    /// Share caps: the most of the product's requests that one party may answer, e.g. `"maker:openai" = 0.7`. Keys
    /// are `maker:`, `host:`, `invoicer:`, `account:`, `provider:`, `region:`, `family:`, `model:` or `deployment:`
    /// and a name. A cap yields only as far as `last_resort` says.
    pub limit: BTreeMap<String, f64>,
    /// Which losses the product must survive. Alternatives that share no such party with the first choice come first.
    pub cover: Cover,
    /// The share of requests, 0 to 0.5, that the best alternative answers first, so that it is known to work, and has
    /// room, on the day it is needed. It shares as few parties of `cover.survive` with the first choice as there are;
    /// conversations whose prompt is cached stay where they are. Not with `weights`, which say all shares themselves.
    pub standby: f64,
    /// Deployments to ask first, in this order, whatever `prefer` says. They must still meet every other rule.
    pub pin: Vec<String>,
    /// Shares of traffic by deployment, e.g. `{ gpt = 0.9, claude = 0.1 }`: the first choice is drawn by these
    /// weights instead of `prefer`. Deployments not listed are asked only when the listed ones cannot answer.
    pub weights: BTreeMap<String, f64>,
    /// Which rules may bend when no deployment within all rules is left, in this order. Needs and permissions never
    /// bend. Such answers are marked as degraded. Empty: refuse instead.
    pub last_resort: Vec<LastResort>,
    /// What to do when a request says something that the target's API cannot say.
    pub on_loss: OnLoss,
    /// Requests, tokens and concurrency of the whole product.
    pub limits: Limits,
    /// Teams inside the product, by the name that their keys carry (`autarky keys create PRODUCT --team NAME`): each may
    /// use so much of what the product may. A key of a product with teams is one of theirs or of none.
    pub team: BTreeMap<String, TeamRules>,
    /// How long to wait for what.
    pub timeouts: Timeouts,
    /// How often to try again.
    pub retries: Retries,
    /// Whether a second deployment is asked when the first token is slow to come.
    pub hedge: Hedging,
    /// Whether another deployment finishes an answer that broke in mid-stream.
    pub takeover: Takeovers,
    /// What to do when a provider's filter refuses a request.
    pub on_filter: OnFilter,
}

impl Default for Rules {
    fn default() -> Self {
        Self {
            criticality: Criticality::default(),
            anonymous: false,
            models: Vec::new(),
            aliases: BTreeMap::new(),
            substitute: Substitute::default(),
            needs: Needs::default(),
            slo: Slo::default(),
            floor: None,
            budget: BudgetRules::default(),
            prefer: Prefer::default(),
            limit: BTreeMap::new(),
            cover: Cover::default(),
            standby: 0.0,
            pin: Vec::new(),
            weights: BTreeMap::new(),
            last_resort: LastResort::ALL.to_vec(),
            on_loss: OnLoss::default(),
            limits: Limits::default(),
            team: BTreeMap::new(),
            timeouts: Timeouts::default(),
            retries: Retries::default(),
            hedge: Hedging::default(),
            takeover: Takeovers::default(),
            on_filter: OnFilter::default(),
        }
    }
}

/// How much the company depends on a product.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Criticality {
    /// Shed first: batch work, experiments.
    Low,
    /// The usual.
    #[default]
    Normal,
    /// Missed within the hour.
    Important,
    /// Missed at once; shed last.
    Critical,
}

/// When another model than the named one may answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Substitute {
    /// Never: without the named model there is no answer.
    Never,
    /// When no deployment of the named model can answer.
    #[default]
    OnLoss,
    /// Always: the name is only the reference for quality, any allowed deployment may answer.
    Free,
}

/// What to do with what a target's API cannot say.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum OnLoss {
    /// Send the rest, name the loss in the answer's header and in the ledger.
    #[default]
    Send,
    /// Prefer deployments that speak the client's API; send with losses only when none is left.
    Elsewhere,
    /// Refuse the request where it would lose something.
    Reject,
}

/// What to do when a provider's content filter refuses a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum OnFilter {
    /// Answer with the refusal: a filter is not gone around.
    #[default]
    Refuse,
    /// Ask the next deployment, whose filter may judge otherwise.
    Elsewhere,
}

/// A rule that may bend when nothing else is left.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum LastResort {
    /// A party beyond its share cap may answer.
    OverCap,
    /// A deployment below the quality floor, or of unknown quality, may answer.
    BelowFloor,
    /// The least bad of the deployments that are held to be down is tried once.
    Unhealthy,
    /// The embedded house model may answer.
    House,
}

impl LastResort {
    /// Every one, in the default order.
    pub const ALL: [Self; 4] = [Self::OverCap, Self::BelowFloor, Self::Unhealthy, Self::House];
}

/// What every deployment that answers must have.
#[expect(clippy::struct_excessive_bools, reason = "each is one capability that a model has or has not")]
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Needs {
    /// It can call tools.
    pub tools: bool,
    /// It sees images.
    pub images: bool,
    /// It hears audio.
    pub audio: bool,
    /// It reads documents.
    pub documents: bool,
    /// It can be held to a JSON schema.
    pub structured: bool,
    /// It can think before it answers.
    pub reasoning: bool,
    /// It reports log probabilities.
    pub logprobs: bool,
    /// The least context window, in tokens.
    pub context: Option<u64>,
    /// Regions where it may run. Empty: anywhere. A deployment of unknown region does not count as any of them.
    pub regions: Vec<String>,
    /// Makers whose models may answer. Empty: all.
    pub makers: Vec<String>,
    /// Makers whose models may never answer.
    pub makers_forbidden: Vec<String>,
    /// Hosts whose machines may be used. Empty: all. The embedded house model needs no host.
    pub hosts: Vec<String>,
    /// Hosts whose machines may never be used.
    pub hosts_forbidden: Vec<String>,
    /// Whoever else may have no part in an answer: `"invoicer:microsoft"`, `"family:qwen"`, `"region:us"`, … A party
    /// that nobody knows is not taken for one of them.
    pub parties_forbidden: Vec<String>,
    /// What the contract must promise about data. The embedded house model gives nothing away and meets them all.
    pub data: Vec<DataTerm>,
}

/// What a contract promises about data.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum DataTerm {
    /// Nothing sent is used for training.
    NoTraining,
    /// Nothing sent is kept after the answer.
    ZeroRetention,
    /// No person at the provider reads what was sent.
    NoHumanReview,
    /// Health data may be sent (a business associate agreement exists).
    HealthData,
    /// A data-processing agreement under the GDPR exists.
    Gdpr,
}

/// What the product expects of a deployment while it runs.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Slo {
    /// The 95th percentile of the time to the first token, in milliseconds.
    pub first_token_ms_p95: Option<u64>,
    /// The share of failed calls, 0 to 1.
    pub error_rate: Option<f64>,
}

/// The least quality of an answer.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Floor {
    /// How much less quality (0 to 1) than `against` is acceptable. Where `autarky covers prove` compared a deployment
    /// with `against` on all of the product's tasks, that proof counts until it expires; else its `quality` does.
    pub margin: f64,
    /// The deployment that sets the measure.
    pub against: String,
}

/// How much money the product may spend. The worst case of a request is reserved before it is sent, so that no
/// number of concurrent requests can overspend.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct BudgetRules {
    /// US dollars per minute of the clock.
    pub usd_minute: Option<NanoUsd>,
    /// US dollars per day (UTC).
    pub usd_day: Option<NanoUsd>,
    /// US dollars per calendar month (UTC).
    pub usd_month: Option<NanoUsd>,
    /// What happens to a request that does not fit any more.
    pub over: Over,
}

/// How much one team of a product may use, besides what the product may.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct TeamRules {
    /// Requests, tokens and concurrency of the team.
    pub limits: Limits,
    /// How much money the team may spend.
    pub budget: BudgetRules,
}

/// What happens to a request that the budget does not cover.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Over {
    /// Refuse it with a clear error, unless a deployment that was asked for still fits.
    #[default]
    Refuse,
    /// Answer it with a deployment that still fits: a cheaper one, finally the house model.
    Degrade,
    /// Answer it all the same and raise an alarm.
    Alert,
}

/// Which losses the product must survive.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Cover {
    /// Parties whose loss must not stop the product: `"maker:*"`, `"host:*"`, `"account:*"`, or one by name.
    pub survive: Vec<String>,
    /// The share of the product's traffic, 0 to 1, that must have a proven replacement.
    pub share: f64,
}

impl Default for Cover {
    fn default() -> Self {
        Self { survive: Vec::new(), share: 1.0 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_written_is_the_default() {
        assert_eq!(toml::from_str::<Rules>("").unwrap(), Rules::default());
    }

    #[test]
    fn the_sketch_of_the_design_reads() {
        let rules: Rules = toml::from_str(
            r#"
            criticality = "critical"
            needs  = { tools = true, context = 64000, regions = ["eu", "us"], data = ["no-training"] }
            slo    = { first_token_ms_p95 = 900, error_rate = 0.005 }
            floor  = { margin = 0.05, against = "gpt" }
            budget = { usd_month = 40000, usd_day = 0.25, over = "degrade" }
            prefer = { cost = 0.7, quality = 0.3 }
            limit  = { "maker:openai" = 0.70 }
            cover  = { survive = ["maker:*", "host:*"], share = 0.95 }
            aliases = { smart = ["gpt", "claude-sonnet-5"] }
            substitute = "on-loss"
            last_resort = ["house"]
            on_loss = "elsewhere"
            limits = { rpm = 100, concurrent = 8 }
            timeouts = { deadline_ms = 20000 }
            hedge = { on = true }
            "#,
        )
        .unwrap();
        assert_eq!(rules.budget.usd_month, Some(NanoUsd::from_dollars(40_000)));
        assert_eq!(rules.budget.usd_day, Some(NanoUsd(250_000_000)));
        assert_eq!(rules.prefer.name(), "weights");
        assert_eq!(rules.last_resort, [LastResort::House]);
        assert_eq!(rules.timeouts.connect_ms, Timeouts::default().connect_ms);
        let again: Rules = toml::from_str(&toml::to_string(&rules).unwrap()).unwrap();
        assert_eq!(again, rules);
    }

    #[test]
    fn errors_name_what_was_expected() {
        let error = |text: &str| toml::from_str::<Rules>(text).unwrap_err().message().to_owned();
        assert!(
            error("prefer = 'price'").contains("`order`, `cost`, `quality`, `latency`"),
            "{}",
            error("prefer = 'price'")
        );
        assert!(error("prefer = { cots = 1 }").contains("unknown field `cots`"));
        assert!(error("budget = { usd_day = -1 }").contains("US dollars"));
        assert!(error("needs = { tool = true }").contains("unknown field `tool`"));
        assert!(error("sla = 1").contains("unknown field `sla`"));
    }

    #[test]
    fn the_schema_describes_every_field() {
        let schema = schemars::schema_for!(Rules);
        let schema = schema.as_value();
        let fields = schema["properties"].as_object().unwrap();
        assert_eq!(fields.len(), 24);
        for (name, field) in fields {
            assert!(field["description"].is_string(), "{name} has no description");
        }
    }
}
