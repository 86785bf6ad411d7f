//! Log probabilities as Responses writes them: those of OpenAI Chat, but bytes are left out of deltas and demanded in
//! whole texts. They are the token's own, except where it holds a piece of a character only.

use crate::event::TokenLogprob;
use crate::fields::BadField;
use crate::wire::openai_chat::logprobs;
use serde_json::Value;

/// Reads a list of tokens.
pub(super) fn decode(list: Vec<Value>) -> Result<Vec<TokenLogprob>, BadField> {
    let mut tokens = logprobs::decode_tokens(list)?;
    let whole = |token: &str| !token.contains(char::REPLACEMENT_CHARACTER);
    fill(&mut tokens, whole);
    Ok(tokens)
}

/// Writes a list of tokens.
pub(super) fn encode(tokens: &[TokenLogprob]) -> Vec<Value> {
    let mut tokens = tokens.to_vec();
    fill(&mut tokens, |_| true);
    logprobs::encode_tokens(&tokens)
}

/// Puts a token's own bytes where none are said and `may` allows it.
fn fill(tokens: &mut [TokenLogprob], may: impl Fn(&str) -> bool) {
    let put = |token: &str, bytes: &mut Option<Vec<u8>>| {
        if bytes.is_none() && may(token) {
            *bytes = Some(token.as_bytes().to_vec());
        }
    };
    for token in tokens {
        put(&token.token, &mut token.bytes);
        for top in &mut token.top {
            put(&top.token, &mut top.bytes);
        }
    }
}
