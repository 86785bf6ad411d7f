//! The ledger's row: one row per upstream attempt, failed, hedged, shadow and drill ones included. The list of fields
//! below is the only one: the struct, the journal's entry, the store's columns and the telemetry names come from it.
//! Pure. Never here: a word of a request or an answer. What nobody filled is null (in the journal: left out), never 0.

use crate::cell::{Cell, Column, Field, Mismatch};
use crate::id::RequestId;
use crate::named::named;
use crate::packed::{Packed, Value, Values, pack_scores, unpack_scores};
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

/// Makes the row from the list of its fields: `number part name: type = "telemetry name"`, with its meaning before, and
/// `[with "serde module"]` where serde needs one. The number is the field's in the journal: once released it never
/// changes and is given to no other. The part is `own`, or `kind` for what most rows share with many others: stores and
/// the journal's readers know the same kind again and look at it once.
macro_rules! attempt {
    ($(#[doc = $doc:literal] $([with $codec:literal])? $number:literal $part:ident $field:ident: $type:ty = $otel:literal,)+) => {
        /// One upstream attempt. Times of day are Unix microseconds, spans are microseconds from `started`.
        #[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
        #[serde(default)]
        pub struct Attempt { $(#[doc = $doc] #[serde(skip_serializing_if = "Field::is_null")] $(#[serde(with = $codec)])? pub $field: $type,)+ }

        /// Every field in the order of the row.
        pub const COLUMNS: &[Column] = &[$(Column {
            name: stringify!($field),
            otel: $otel,
            doc: $doc,
            number: $number,
            own: is_own!($part),
            kind: <$type as Field>::KIND,
            required: <$type as Field>::REQUIRED,
        },)+];

        impl Attempt {
            /// The row's values in the order of `COLUMNS`.
            pub fn cells(&self) -> impl Iterator<Item = Cell<'_>> {
                [$(Field::cell(&self.$field),)+].into_iter()
            }

            /// Hands out the values that are its kind's, in the order of `COLUMNS`.
            pub(crate) fn kind_cells<'a>(&'a self, mut take: impl FnMut(Cell<'a>)) {
                $(of_kind!($part, take(Field::cell(&self.$field)));)+
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

            /// Appends what its kind says: equal for rows of one kind, different for others.
            pub(crate) fn pack_kind(&self, out: &mut Vec<u8>) {
                $(of_kind!($part, self.$field.pack($number, out));)+
            }

            /// Appends what it says itself.
            pub(crate) fn pack_own(&self, out: &mut Vec<u8>) {
                $(of_own!($part, self.$field.pack($number, out));)+
                pack_scores(&self.candidates, SCORES, out);
            }

            /// The cell of the own field `number`, from its packed value; `Null` for others. `None`: nobody understands it.
            pub(crate) fn own_cell(number: u8, value: Value<'_>) -> Option<Cell<'_>> {
                match number {
                    $($number => of_own!($part, return <$type as Packed>::cell(value)),)+
                    _ => {}
                }
                Some(Cell::Null)
            }

            /// Takes over what `packed` says, of either part. `None`: nobody understands it.
            pub(crate) fn unpack(&mut self, packed: &[u8]) -> Option<()> {
                let mut values = Values::of(packed);
                while let Some((number, value)) = values.next() {
                    match number {
                        $($number => self.$field = Packed::unpack(value)?,)+
                        SCORES => unpack_scores(&mut self.candidates, value)?,
                        // a newer version's
                        _ => {}
                    }
                }
                values.is_at_end().then_some(())
            }
        }
    };
}

macro_rules! is_own {
    (own) => {
        true
    };
    (kind) => {
        false
    };
}

macro_rules! of_own {
    (own, $do:expr) => {
        $do
    };
    (kind, $do:expr) => {{}};
}

macro_rules! of_kind {
    (own, $do:expr) => {};
    (kind, $do:expr) => {
        $do
    };
}

/// The number of the candidates' scores: candidates are of the kind, how they were scored is a row's own.
pub(crate) const SCORES: u8 = 60;

attempt! {
    /// The client's request.
    1 own request_id: RequestId = "autarky.request.id",
    /// Number of the attempt within the request, from 1.
    2 own attempt: u32 = "autarky.attempt",
    /// What became of it.
    3 kind outcome: Outcome = "autarky.outcome",
    /// Why it was made.
    4 kind mode: Mode = "autarky.mode",
    /// The drill it belongs to.
    5 kind drill: Option<Name> = "autarky.drill.id",

    /// The product that asked.
    6 kind product: Option<Name> = "autarky.product",
    /// The team whose key it was.
    7 kind team: Option<Name> = "autarky.team",
    /// Id of the key, never the key.
    8 own key: Option<Name> = "autarky.key.id",
    /// The kind of task.
    9 kind class: Option<Name> = "autarky.class",
    /// Version of the classifier that said so.
    10 kind classifier: Option<Name> = "autarky.classifier.version",

    /// The wire the client spoke.
    11 kind dialect: Option<Name> = "autarky.dialect",
    /// The wire we spoke.
    12 kind protocol: Option<Name> = "autarky.protocol",
    /// The model as the client named it.
    13 kind requested_model: Option<Name> = "gen_ai.request.model",
    /// The model as the provider named it.
    14 kind resolved_model: Option<Name> = "gen_ai.response.model",
    /// The deployment that was asked.
    15 kind deployment: Option<Name> = "autarky.deployment",
    /// The API counterparty.
    16 kind provider: Option<Name> = "gen_ai.provider.name",
    /// Who trained the model.
    17 kind maker: Option<Name> = "autarky.maker",
    /// Whose machines ran it.
    18 kind host: Option<Name> = "autarky.host",
    /// Who bills.
    19 kind invoicer: Option<Name> = "autarky.invoicer",
    /// Our account at the provider.
    20 kind account: Option<Name> = "autarky.account",
    /// Where it ran.
    21 kind region: Option<Name> = "autarky.region",
    /// The model's family.
    22 kind family: Option<Name> = "autarky.family",

    /// Version of the rules that chose.
    23 kind policy_version: Option<Name> = "autarky.policy.version",
    /// Whom the plan looked at.
    24 kind candidates: Vec<Candidate> = "autarky.policy.candidates",
    /// The chosen one's score.
    25 own score: Option<f64> = "autarky.policy.score",
    /// How likely the choice was, 0 to 1.
    26 own probability: Option<f64> = "autarky.policy.probability",

    /// Tokens of the prompt, cached ones included.
    27 own input_tokens: Option<u64> = "gen_ai.usage.input_tokens",
    /// Of these, read from a prompt cache.
    28 own cache_read_tokens: Option<u64> = "gen_ai.usage.cache_read.input_tokens",
    /// Of these, written to a prompt cache.
    29 own cache_write_tokens: Option<u64> = "gen_ai.usage.cache_creation.input_tokens",
    /// Of `cache_write_tokens`, kept for an hour.
    30 own cache_write_1h_tokens: Option<u64> = "autarky.usage.cache_creation_1h.input_tokens",
    /// Tokens of the answer, thinking included.
    31 own output_tokens: Option<u64> = "gen_ai.usage.output_tokens",
    /// Of these, thinking.
    32 own reasoning_tokens: Option<u64> = "autarky.usage.reasoning.output_tokens",
    /// Of `input_tokens`, sound.
    33 own audio_input_tokens: Option<u64> = "autarky.usage.audio.input_tokens",
    /// Of `input_tokens`, images.
    34 own image_input_tokens: Option<u64> = "autarky.usage.image.input_tokens",
    /// Of `output_tokens`, sound.
    35 own audio_output_tokens: Option<u64> = "autarky.usage.audio.output_tokens",
    /// Of `output_tokens`, images.
    36 own image_output_tokens: Option<u64> = "autarky.usage.image.output_tokens",
    /// The class of service that the provider says it was served in.
    37 kind service_tier: Option<Name> = "openai.response.service_tier",
    /// Where the counts come from.
    38 kind usage_source: UsageSource = "autarky.usage.source",
    /// Version of the price that was used.
    39 kind price_version: Option<Name> = "autarky.price.version",
    /// The cost in billionths of a US dollar; of `counted` tokens the least that it was; `None`: unknown, which is not 0.
    40 own cost_nanodollars: Option<i64> = "autarky.cost.nanodollars",

    /// When the attempt began, Unix microseconds.
    41 own started: i64 = "autarky.started",
    /// Until the connection stood, microseconds.
    42 own connect_us: Option<u64> = "autarky.connect.duration",
    /// Until the first token, microseconds.
    43 own first_token_us: Option<u64> = "autarky.first_token.duration",
    /// Until the last token, microseconds.
    44 own last_token_us: Option<u64> = "gen_ai.client.operation.duration",

    /// Why the answer ended.
    [with "crate::named::option"] 45 kind finish: Option<StopReason> = "gen_ai.response.finish_reasons",
    /// What went wrong.
    [with "crate::named::option"] 46 kind fault: Option<FaultKind> = "error.type",
    /// The upstream's HTTP status.
    47 kind status: Option<u16> = "http.response.status_code",
    /// What the protocol could not say.
    [with "crate::cell::losses"] 48 own losses: Vec<Loss> = "autarky.losses",
    /// How freely the request could go elsewhere.
    49 kind portability: Option<Portability> = "autarky.portability",
    /// The feature that locks it in.
    50 kind locked_by: Option<Name> = "autarky.portability.locked_by",
    /// Whether the answer is less than was asked for.
    51 kind degraded: bool = "autarky.degraded",
    /// Whether the answer was streamed.
    52 kind stream: bool = "autarky.stream",
    /// Bytes of the body sent upstream; `None`: the call never left.
    53 own bytes_in: Option<u64> = "http.request.body.size",
    /// Bytes of the body that came back.
    54 own bytes_out: Option<u64> = "http.response.body.size",
    /// Where the content is kept, if the product chose so.
    55 own capture: Option<Name> = "autarky.capture",
    /// The class of terms under which the answer may be used.
    56 kind terms: Option<Name> = "autarky.terms",
}

/// What identifies a row.
pub type RowKey = (RequestId, u32);

impl Attempt {
    /// Attempt number `attempt` (from 1) of `request_id`, begun at `started` Unix microseconds: open, live, all else null.
    #[must_use]
    pub fn new(request_id: RequestId, attempt: u32, started: i64) -> Self {
        Self { request_id, attempt, started, ..Self::default() }
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
