//! What the provider is told to do, as data: rules that pick, per request, an answer, a fault and a pace.
//! Pure, but for the counters of its rules. Nothing here looks at a prompt: a test decides by wire, model, turn,
//! count, share or time, never by magic words.

use super::fault::Fault;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};

/// The provider's orders.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Script {
    /// The key clients must bring; `None`: any or none.
    pub key: Option<String>,
    /// The models served; empty: every name.
    pub models: Vec<String>,
    /// Refuses a conversation that ends with the model's own turn.
    pub refuse_prefill: bool,
    /// Closes a connection, unannounced, after so many answers.
    pub requests_per_connection: Option<u64>,
    /// Seed of `share`.
    pub seed: u64,
    /// Rules; of those that match a request, the first with a fault gives the fault, the first with an answer the
    /// answer, the first with a pace the pace, and all give headers.
    pub rules: Vec<Rule>,
}

/// One rule.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Rule {
    /// Which requests it is for; empty: all.
    pub when: When,
    /// What goes wrong.
    pub fault: Option<Fault>,
    /// What is answered.
    pub answer: Option<Answer>,
    /// How fast.
    pub pace: Option<Pace>,
    /// Response headers beside the wire's own.
    pub headers: BTreeMap<String, String>,
}

/// Which requests a rule is for. Every condition given must hold; `nth`, `from`, `until`, `every` and `share` are
/// about the requests that meet all the other conditions, counted from 0 since the script was set.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct When {
    /// The wire's name.
    pub wire: Option<String>,
    /// The model asked for.
    pub model: Option<String>,
    /// Streamed or not.
    pub stream: Option<bool>,
    /// Who spoke last.
    pub last: Option<Last>,
    /// Milliseconds since the script was set: not before.
    pub from_ms: Option<u64>,
    /// Milliseconds since the script was set: before.
    pub until_ms: Option<u64>,
    /// Every so many milliseconds the clock of `from_ms` and `until_ms` begins anew.
    pub period_ms: Option<u64>,
    /// Just these.
    pub nth: Option<Vec<u64>>,
    /// From this one on.
    pub from: Option<u64>,
    /// Up to, not including, this one.
    pub until: Option<u64>,
    /// Every so many, the first included.
    pub every: Option<u64>,
    /// This share of them, 0 to 1, chosen by seed.
    pub share: Option<f64>,
}

/// Who spoke last.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Last {
    /// The end user.
    User,
    /// The model: the client asks for a continuation.
    Assistant,
    /// A tool.
    Tool,
}

/// What is answered. Everything left out: the deterministic answer to the last user message (see
/// [`super::expected_answer`]), or the call or JSON that the request demands.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Answer {
    /// These words.
    pub text: Option<String>,
    /// The last user message itself.
    pub echo: bool,
    /// The deterministic answer, made this many tokens long.
    pub tokens: Option<usize>,
    /// Thinking shown before the answer.
    pub reasoning: Option<String>,
    /// Declines with these words.
    pub refusal: Option<String>,
    /// Calls these tools.
    pub calls: Vec<CallSpec>,
    /// Calls the first so many of the tools offered, with the smallest arguments their schemas allow.
    pub call_tools: Option<usize>,
    /// Words before calls.
    pub preamble: Option<String>,
    /// Ends for this reason, whatever was said.
    pub stop: Option<StopKind>,
    /// Reports these counts instead of the true ones.
    pub usage: Option<UsageSpec>,
    /// Reports no usage at all.
    pub no_usage: bool,
    /// Does not continue a half-said answer, but begins anew.
    pub starts_over: bool,
    /// Repeats this many tokens before the seam when it continues.
    pub overlap: usize,
    /// Tokens per streamed event; 0 is 1.
    pub tokens_per_event: usize,
    /// Sends these bytes instead of anything composed.
    pub raw: Option<Raw>,
}

/// A call to make.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CallSpec {
    /// The tool.
    pub name: String,
    /// Its arguments: a JSON value, or a string that is sent as it is.
    #[serde(default)]
    pub arguments: Value,
    /// The call's id; left out: made by the wire's own rule.
    #[serde(default)]
    pub id: Option<String>,
}

/// Why an answer ends.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StopKind {
    /// Done.
    End,
    /// The limit of tokens.
    Length,
    /// Waits for tools.
    ToolCalls,
    /// A filter.
    ContentFilter,
    /// A stop text.
    Sequence(String),
}

/// Counts to report; left out: the true ones.
#[derive(Debug, Clone, Copy, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct UsageSpec {
    /// Prompt, cached tokens included.
    pub input: Option<u64>,
    /// Of these, read from a cache.
    pub cached: Option<u64>,
    /// Of these, written to a cache.
    pub cache_write: Option<u64>,
    /// Answer, thinking included.
    pub output: Option<u64>,
    /// Of these, thinking.
    pub reasoning: Option<u64>,
}

/// Bytes to send as they are, e.g. a recorded answer.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Raw {
    /// HTTP status; 0 is 200.
    pub status: u16,
    /// MIME type; left out: the wire's own.
    pub content_type: Option<String>,
    /// The whole body, for unary answers.
    pub body: Option<String>,
    /// The body event by event, framing included, for streams.
    pub events: Vec<String>,
}

/// How fast an answer comes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Pace {
    /// Milliseconds before the first event (streams) or before the headers (unary).
    pub first_ms: u64,
    /// Milliseconds between events.
    pub event_ms: u64,
}

/// What a request looks like to the rules.
#[derive(Debug, Clone, Copy)]
pub(super) struct Facts<'a> {
    /// The wire's name.
    pub(super) wire: &'a str,
    /// The model asked for.
    pub(super) model: &'a str,
    /// Streamed or not.
    pub(super) stream: bool,
    /// Who spoke last.
    pub(super) last: Option<Last>,
    /// Milliseconds since the script was set.
    pub(super) at_ms: u64,
}

/// What the rules decided for one request.
#[derive(Debug, Clone, Default)]
pub(super) struct Orders {
    /// What goes wrong.
    pub(super) fault: Option<Fault>,
    /// What is answered.
    pub(super) answer: Answer,
    /// How fast.
    pub(super) pace: Pace,
    /// Response headers beside the wire's own.
    pub(super) headers: BTreeMap<String, String>,
}

/// A script with the counters of its rules.
#[derive(Debug, Default)]
pub(super) struct Running {
    /// The script.
    pub(super) script: Script,
    counts: Vec<AtomicU64>,
}

impl Running {
    /// Starts `script`: every counter at 0.
    #[must_use]
    pub(super) fn new(script: Script) -> Self {
        let counts = script.rules.iter().map(|_| AtomicU64::new(0)).collect();
        Self { script, counts }
    }

    /// Decides what happens to a request, and counts it.
    pub(super) fn orders(&self, facts: &Facts<'_>) -> Orders {
        let mut orders = Orders::default();
        let (mut answer, mut pace) = (None, None);
        for ((at, rule), count) in (0_u64..).zip(&self.script.rules).zip(&self.counts) {
            if !rule.when.is_for(facts) {
                continue;
            }
            let number = count.fetch_add(1, Ordering::Relaxed);
            if !rule.when.picks(number, mix(self.script.seed, at, number)) {
                continue;
            }
            orders.fault = orders.fault.or_else(|| rule.fault.clone());
            answer = answer.or(rule.answer.as_ref());
            pace = pace.or(rule.pace);
            orders.headers.extend(rule.headers.clone());
        }
        orders.answer = answer.cloned().unwrap_or_default();
        orders.pace = pace.unwrap_or_default();
        orders
    }
}

impl When {
    /// Whether the request itself is one the rule is about.
    fn is_for(&self, facts: &Facts<'_>) -> bool {
        let at_ms = self.period_ms.map_or(facts.at_ms, |period| facts.at_ms % period.max(1));
        self.wire.as_ref().is_none_or(|wire| wire == facts.wire)
            && self.model.as_ref().is_none_or(|model| model == facts.model)
            && self.stream.is_none_or(|stream| stream == facts.stream)
            && self.last.is_none_or(|last| Some(last) == facts.last)
            && self.from_ms.is_none_or(|from| at_ms >= from)
            && self.until_ms.is_none_or(|until| at_ms < until)
    }

    /// Whether the rule picks the `number`th such request; `chance` is 0 to 1.
    fn picks(&self, number: u64, chance: f64) -> bool {
        self.nth.as_ref().is_none_or(|list| list.contains(&number))
            && self.from.is_none_or(|from| number >= from)
            && self.until.is_none_or(|until| number < until)
            && self.every.is_none_or(|every| number.is_multiple_of(every.max(1)))
            && self.share.is_none_or(|share| chance < share)
    }
}

/// A number from 0 to 1 that three others decide (the finishing steps of splitmix64).
fn mix(seed: u64, rule: u64, number: u64) -> f64 {
    let mut x = seed
        .wrapping_add(rule.wrapping_mul(0xD1B5_4A32_D192_ED03))
        .wrapping_add(number.wrapping_mul(0x9E37_79B9_7F4A_7C15));
    x = (x ^ (x >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    x = (x ^ (x >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    x ^= x >> 31;
    #[expect(clippy::cast_precision_loss, reason = "53 bits are kept")]
    let share = (x >> 11) as f64 / (1_u64 << 53) as f64;
    share
}

#[cfg(test)]
mod tests {
    use super::*;

    fn facts() -> Facts<'static> {
        Facts { wire: "w", model: "m", stream: true, last: Some(Last::User), at_ms: 5 }
    }

    fn picked(when: When, seed: u64, count: usize) -> Vec<bool> {
        let rule = Rule { when, pace: Some(Pace { first_ms: 1, event_ms: 0 }), ..Rule::default() };
        let running = Running::new(Script { seed, rules: vec![rule], ..Script::default() });
        (0..count).map(|_| running.orders(&facts()).pace.first_ms == 1).collect()
    }

    #[test]
    fn counts_pick() {
        assert_eq!(picked(When { nth: Some(vec![1]), ..When::default() }, 0, 3), [false, true, false]);
        assert_eq!(picked(When { from: Some(1), until: Some(2), ..When::default() }, 0, 3), [false, true, false]);
        assert_eq!(picked(When { every: Some(2), ..When::default() }, 0, 4), [true, false, true, false]);
        assert_eq!(picked(When { model: Some("x".into()), ..When::default() }, 0, 2), [false, false]);
        assert_eq!(picked(When { until_ms: Some(5), ..When::default() }, 0, 1), [false]);
        assert_eq!(picked(When { until_ms: Some(2), period_ms: Some(4), ..When::default() }, 0, 1), [true]);
    }

    #[test]
    fn shares_hold_and_are_seeded() {
        let when = When { share: Some(0.3), ..When::default() };
        let one = picked(when.clone(), 1, 10_000);
        let hits = one.iter().filter(|hit| **hit).count();
        assert!((2_700..3_300).contains(&hits), "{hits}");
        assert_eq!(one, picked(when.clone(), 1, 10_000));
        assert_ne!(one, picked(when, 2, 10_000));
    }

    #[test]
    fn a_script_with_a_slip_is_refused() {
        assert!(serde_json::from_str::<Script>(r#"{"rules":[{"whn":{}}]}"#).is_err());
        assert!(serde_json::from_str::<Script>(r#"{"rules":[{"fault":{"kind":"rest"}}]}"#).is_err());
    }
}
