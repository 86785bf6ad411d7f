//! Log probabilities as Gemini writes them: chosen tokens and candidates in two lists of one length.

use super::names;
use crate::event::{TokenLogprob, TopLogprob};
use crate::fields::{BadField, Fields};
use serde_json::{Value, json};

/// Reads a `logprobsResult` object.
pub(super) fn decode(value: Option<Value>) -> Result<Vec<TokenLogprob>, BadField> {
    let Some(value) = value else { return Ok(Vec::new()) };
    let mut fields = names::read(value, "logprobsResult", &["chosenCandidates", "topCandidates"])?;
    let mut tops = fields.list("topCandidates")?.into_iter();
    let mut tokens = Vec::new();
    for chosen in fields.list("chosenCandidates")? {
        let TopLogprob { token, logprob, bytes } = candidate(chosen)?;
        let top = match tops.next() {
            Some(list) => {
                let list = Fields::of(list, "logprobsResult.topCandidates")?.list("candidates")?;
                list.into_iter().map(candidate).collect::<Result<_, _>>()?
            }
            None => Vec::new(),
        };
        tokens.push(TokenLogprob { token, logprob, bytes, top });
    }
    Ok(tokens)
}

fn candidate(value: Value) -> Result<TopLogprob, BadField> {
    let mut fields = names::read(value, "logprobsResult.candidates", &["logProbability"])?;
    Ok(TopLogprob {
        token: fields.string("token")?.unwrap_or_default(),
        // Left out means 0: a certain token.
        logprob: fields.f64("logProbability")?.unwrap_or(0.0),
        bytes: None,
    })
}

/// Writes a `logprobsResult` object.
pub(super) fn encode(tokens: &[TokenLogprob]) -> Value {
    let chosen: Vec<Value> =
        tokens.iter().map(|token| json!({"token": token.token, "logProbability": token.logprob})).collect();
    let top: Vec<Value> = tokens
        .iter()
        .map(|token| {
            let list: Vec<Value> =
                token.top.iter().map(|top| json!({"token": top.token, "logProbability": top.logprob})).collect();
            json!({"candidates": list})
        })
        .collect();
    json!({"chosenCandidates": chosen, "topCandidates": top})
}
