//! The ledger's line: one row per upstream attempt, failed, hedged, shadow and drill ones included. The list of fields
//! below is the only one: the struct, the journal's line, the store's columns and the telemetry names come from it.
//! Pure. Never here: a word of a request or an answer. What nobody filled is null (in the journal: left out), never 0.

use crate::cell::{Cell, Column, Field, Mismatch};
use crate::id::RequestId;
use crate::line::{Cursor, Lined};
use crate::named::named;
use canon::{FaultKind, Loss, StopReason};
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// A name that many rows share: cloning it copies no text.
pub type Name = Arc<str>;

named! {
    /// Why an attempt was made.
    #[derive(Default)]
    pub enum Mode {
        /// For the client, as the plan's leg in turn.
        #[default]
        Live => "live",
        /// For the client, beside a slow one.
        Hedge => "hedge",
        /// For the client, to finish an answer that broke.
        Takeover => "takeover",
        /// A copy of live traffic whose answer nobody sees.
        Shadow => "shadow",
        /// Asked of what a drill takes away; where the drill's fault needs no call, none was made.
        Drill => "drill",
        /// A captured request, run again.
        Replay => "replay",
    }
}

named! {
    /// What became of an attempt.
    #[derive(Default)]
    pub enum Outcome {
        /// Still running.
        #[default]
        Open => "open",
        /// A complete answer.
        Ok => "ok",
        /// No complete answer; `fault` says why.
        Failed => "failed",
        /// Given up by us or by the client.
        Cancelled => "cancelled",
        /// The process died before it could say.
        Unknown => "unknown",
    }
}

impl Outcome {
    /// Whether it is the last word on an attempt: nothing overwrites it.
    #[must_use]
    pub const fn is_final(self) -> bool {
        matches!(self, Self::Ok | Self::Failed | Self::Cancelled)
    }
}

named! {
    /// Where token counts come from.
    #[derive(Default)]
    pub enum UsageSource {
        /// The provider said them.
        Reported => "reported",
        /// We counted what we sent and heard, since the provider did not say, or not to the end.
        Counted => "counted",
        /// Nobody knows.
        #[default]
        Unknown => "unknown",
    }
}

named! {
    /// How freely a request could go to another maker.
    pub enum Portability {
        /// Anyone who speaks the wire can answer it as it is.
        Portable => "portable",
        /// It can be said on another wire without loss.
        Translatable => "translatable",
        /// Elsewhere it means less.
        Degraded => "degraded",
        /// Only this provider can answer; `locked_by` names the feature.
        Locked => "locked",
    }
}

/// A deployment that the plan looked at.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Candidate {
    /// The deployment.
    pub deployment: Name,
    /// Why it was dropped; `None`: it was not.
    pub dropped: Option<Name>,
    /// Its score; `None`: dropped before it was scored.
    pub score: Option<f64>,
}

/// Makes the row from the list of its fields: `name: type = "telemetry name"`, with its meaning before, and
/// `[with "serde module"]` where serde needs one.
macro_rules! attempt {
    ($(#[doc = $doc:literal] $([with $codec:literal])? $field:ident: $type:ty = $otel:literal,)+) => {
        /// One upstream attempt. Times of day are Unix microseconds, spans are microseconds from `started`.
        #[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
        #[serde(default)]
        pub struct Attempt { $(#[doc = $doc] #[serde(skip_serializing_if = "Field::is_null")] $(#[serde(with = $codec)])? pub $field: $type,)+ }

        /// What each field said last, so that names which many lines repeat are kept once.
        #[derive(Debug, Default)]
        pub(crate) struct Lasts { $($field: Option<Name>,)+ }

        /// Every field in the order of the row.
        pub const COLUMNS: &[Column] = &[$(Column {
            name: stringify!($field),
            otel: $otel,
            doc: $doc,
            kind: <$type as Field>::KIND,
            required: <$type as Field>::REQUIRED,
        },)+];

        impl Attempt {
            /// The row's values in the order of `COLUMNS`.
            pub fn cells(&self) -> impl Iterator<Item = Cell<'_>> {
                [$(Field::cell(&self.$field),)+].into_iter()
            }

            /// The row of which `cell` gives the value of each column.
            ///
            /// # Errors
            /// What `cell` returns, or the column whose value does not fit its type.
            pub fn from_cells<'c, E: From<Mismatch>>(
                mut cell: impl FnMut(usize) -> Result<Cell<'c>, E>,
            ) -> Result<Self, E> {
                let mut at = 0;
                let mut next = || { at += 1; cell(at - 1) };
                Ok(Self { $($field: Field::from_cell(next()?).ok_or(Mismatch(stringify!($field)))?,)+ })
            }

            /// Appends the row as a line of the journal has it, without the line's end.
            pub(crate) fn write(&self, out: &mut Vec<u8>) {
                out.push(b'{');
                $(if !Field::is_null(&self.$field) {
                    out.extend_from_slice(concat!("\"", stringify!($field), "\":").as_bytes());
                    Lined::write(&self.$field, out);
                    out.push(b',');
                })+
                // some fields are never null
                out.pop();
                out.push(b'}');
            }

            /// The row in `line` as `write` writes it; `None`: it is spelled in another way.
            pub(crate) fn read_by_hand(line: &[u8], lasts: &mut Lasts) -> Option<Self> {
                let mut line = Cursor::of(line)?;
                let row = Self { $($field: {
                    let key = concat!("\"", stringify!($field), "\":").as_bytes();
                    line.field(key, &mut lasts.$field)?.unwrap_or_default()
                },)+ };
                line.is_at_end().then_some(row)
            }
        }
    };
}

attempt! {
    /// The client's request.
    request_id: RequestId = "autarky.request.id",
    /// Number of the attempt within the request, from 1.
    attempt: u32 = "autarky.attempt",
    /// What became of it.
    outcome: Outcome = "autarky.outcome",
    /// Why it was made.
    mode: Mode = "autarky.mode",
    /// The drill it belongs to.
    drill: Option<Name> = "autarky.drill.id",

    /// The product that asked.
    product: Option<Name> = "autarky.product",
    /// The team whose key it was.
    team: Option<Name> = "autarky.team",
    /// Id of the key, never the key.
    key: Option<Name> = "autarky.key.id",
    /// The kind of task.
    class: Option<Name> = "autarky.class",
    /// Version of the classifier that said so.
    classifier: Option<Name> = "autarky.classifier.version",

    /// The wire the client spoke.
    dialect: Option<Name> = "autarky.dialect",
    /// The wire we spoke.
    protocol: Option<Name> = "autarky.protocol",
    /// The model as the client named it.
    requested_model: Option<Name> = "gen_ai.request.model",
    /// The model as the provider named it.
    resolved_model: Option<Name> = "gen_ai.response.model",
    /// The deployment that was asked.
    deployment: Option<Name> = "autarky.deployment",
    /// The API counterparty.
    provider: Option<Name> = "gen_ai.provider.name",
    /// Who trained the model.
    maker: Option<Name> = "autarky.maker",
    /// Whose machines ran it.
    host: Option<Name> = "autarky.host",
    /// Who bills.
    invoicer: Option<Name> = "autarky.invoicer",
    /// Our account at the provider.
    account: Option<Name> = "autarky.account",
    /// Where it ran.
    region: Option<Name> = "autarky.region",
    /// The model's family.
    family: Option<Name> = "autarky.family",

    /// Version of the rules that chose.
    policy_version: Option<Name> = "autarky.policy.version",
    /// Whom the plan looked at.
    candidates: Vec<Candidate> = "autarky.policy.candidates",
    /// The chosen one's score.
    score: Option<f64> = "autarky.policy.score",
    /// How likely the choice was, 0 to 1.
    probability: Option<f64> = "autarky.policy.probability",

    /// Tokens of the prompt, cached ones included.
    input_tokens: Option<u64> = "gen_ai.usage.input_tokens",
    /// Of these, read from a prompt cache.
    cache_read_tokens: Option<u64> = "gen_ai.usage.cache_read.input_tokens",
    /// Of these, written to a prompt cache.
    cache_write_tokens: Option<u64> = "gen_ai.usage.cache_creation.input_tokens",
    /// Of `cache_write_tokens`, kept for an hour.
    cache_write_1h_tokens: Option<u64> = "autarky.usage.cache_creation_1h.input_tokens",
    /// Tokens of the answer, thinking included.
    output_tokens: Option<u64> = "gen_ai.usage.output_tokens",
    /// Of these, thinking.
    reasoning_tokens: Option<u64> = "autarky.usage.reasoning.output_tokens",
    /// Of `input_tokens`, sound.
    audio_input_tokens: Option<u64> = "autarky.usage.audio.input_tokens",
    /// Of `input_tokens`, images.
    image_input_tokens: Option<u64> = "autarky.usage.image.input_tokens",
    /// Of `output_tokens`, sound.
    audio_output_tokens: Option<u64> = "autarky.usage.audio.output_tokens",
    /// Of `output_tokens`, images.
    image_output_tokens: Option<u64> = "autarky.usage.image.output_tokens",
    /// The class of service that the provider says it was served in.
    service_tier: Option<Name> = "openai.response.service_tier",
    /// Where the counts come from.
    usage_source: UsageSource = "autarky.usage.source",
    /// Version of the price that was used.
    price_version: Option<Name> = "autarky.price.version",
    /// The cost in billionths of a US dollar; of `counted` tokens the least that it was; `None`: unknown, which is not 0.
    cost_nanodollars: Option<i64> = "autarky.cost.nanodollars",

    /// When the attempt began, Unix microseconds.
    started: i64 = "autarky.started",
    /// Until the connection stood, microseconds.
    connect_us: Option<u64> = "autarky.connect.duration",
    /// Until the first token, microseconds.
    first_token_us: Option<u64> = "autarky.first_token.duration",
    /// Until the last token, microseconds.
    last_token_us: Option<u64> = "gen_ai.client.operation.duration",

    /// Why the answer ended.
    [with "crate::named::option"] finish: Option<StopReason> = "gen_ai.response.finish_reasons",
    /// What went wrong.
    [with "crate::named::option"] fault: Option<FaultKind> = "error.type",
    /// The upstream's HTTP status.
    status: Option<u16> = "http.response.status_code",
    /// What the protocol could not say.
    [with "crate::cell::losses"] losses: Vec<Loss> = "autarky.losses",
    /// How freely the request could go elsewhere.
    portability: Option<Portability> = "autarky.portability",
    /// The feature that locks it in.
    locked_by: Option<Name> = "autarky.portability.locked_by",
    /// Whether the answer is less than was asked for.
    degraded: bool = "autarky.degraded",
    /// Whether the answer was streamed.
    stream: bool = "autarky.stream",
    /// Bytes of the body sent upstream; `None`: the call never left.
    bytes_in: Option<u64> = "http.request.body.size",
    /// Bytes of the body that came back.
    bytes_out: Option<u64> = "http.response.body.size",
    /// Where the content is kept, if the product chose so.
    capture: Option<Name> = "autarky.capture",
    /// The class of terms under which the answer may be used.
    terms: Option<Name> = "autarky.terms",
}

/// What identifies a row.
pub type RowKey = (RequestId, u32);

impl Attempt {
    /// Attempt number `attempt` (from 1) of `request_id`, begun at `started` Unix microseconds: open, live, all else null.
    #[must_use]
    pub fn new(request_id: RequestId, attempt: u32, started: i64) -> Self {
        Self { request_id, attempt, started, ..Self::default() }
    }

    /// The row in a line of the journal; `None`: nobody understands it.
    pub(crate) fn read(line: &[u8], lasts: &mut Lasts) -> Option<Self> {
        Self::read_by_hand(line, lasts).or_else(|| sonic_rs::from_slice(line).ok())
    }

    /// What identifies the row.
    #[must_use]
    pub const fn row_key(&self) -> RowKey {
        (self.request_id, self.attempt)
    }

    /// Takes the token counts over that the answer reported.
    pub fn usage(&mut self, usage: &canon::Usage, source: UsageSource) {
        self.input_tokens = usage.input;
        self.cache_read_tokens = usage.cache_read;
        self.cache_write_tokens = usage.cache_write;
        self.cache_write_1h_tokens = usage.cache_write_1h;
        self.output_tokens = usage.output;
        self.reasoning_tokens = usage.reasoning;
        self.audio_input_tokens = usage.audio_input;
        self.image_input_tokens = usage.image_input;
        self.audio_output_tokens = usage.audio_output;
        self.image_output_tokens = usage.image_output;
        self.service_tier = usage.service_tier.as_deref().map(Name::from);
        self.usage_source = source;
    }
}
