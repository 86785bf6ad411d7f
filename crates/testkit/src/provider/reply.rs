//! What the provider says: a `Reply` composed from a request and the script's `Answer`, the same for every wire.
//! Pure. The default answer is a function of the question and its nonce, so that whoever asks can check every word.

use super::ask::{Ask, Choice, Form, Speaker};
use super::instance::instance;
use super::script::{Answer, StopKind};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

/// An answer, ready to be written on a wire.
#[derive(Debug, Clone)]
pub struct Reply {
    /// Number that makes this answer's ids its own.
    pub serial: u64,
    /// One per choice.
    pub choices: Vec<Said>,
    /// Token counts to report.
    pub usage: Counts,
    /// Whether the counts are reported at all.
    pub reports_usage: bool,
    /// Tokens per streamed event, at least 1.
    pub tokens_per_event: usize,
}

/// One choice, in tokens.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Said {
    /// Thinking.
    pub reasoning: Vec<String>,
    /// Words that decline.
    pub refusal: Vec<String>,
    /// Words.
    pub text: Vec<String>,
    /// Calls.
    pub calls: Vec<Call>,
    /// How it ended.
    pub stop: Option<StopKind>,
}

/// One call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Call {
    /// An id given by the script.
    pub id: Option<String>,
    /// The tool.
    pub name: String,
    /// Arguments as JSON text, in tokens.
    pub arguments: Vec<String>,
}

/// Token counts.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Counts {
    /// Prompt, cached tokens included.
    pub input: u64,
    /// Of these, read from a cache.
    pub cached: u64,
    /// Of these, written to a cache.
    pub cache_write: u64,
    /// Answer, thinking included.
    pub output: u64,
    /// Of these, thinking.
    pub reasoning: u64,
}

/// Words that answers are made of.
const LEXICON: [&str; 32] = [
    "amber",
    "birch",
    "cobalt",
    "delta",
    "ember",
    "fjord",
    "garnet",
    "harbor",
    "indigo",
    "juniper",
    "kelp",
    "lantern",
    "meadow",
    "nickel",
    "opal",
    "pepper",
    "quartz",
    "raven",
    "saffron",
    "timber",
    "umber",
    "violet",
    "willow",
    "xenon",
    "yarrow",
    "zephyr",
    "größe",
    "naïve",
    "東京",
    "мир",
    "🙂",
    "\u{2028}line",
];

/// The answer every scripted provider gives to `question` unless its script says otherwise: it names the question's
/// nonce (the last word that starts with `nonce-`, else a hash of the question) and words that follow from it.
#[must_use]
pub fn expected_answer(question: &str) -> String {
    tokens_of(question, None).concat()
}

/// [`expected_answer`], made `tokens` tokens long.
#[must_use]
pub fn expected_long_answer(question: &str, tokens: usize) -> String {
    tokens_of(question, Some(tokens)).concat()
}

/// The nonce of `question`.
#[must_use]
pub fn nonce_of(question: &str) -> String {
    let is_part = |c: char| c.is_alphanumeric() || c == '-' || c == '_';
    question
        .split(|c: char| !is_part(c))
        .rfind(|word| word.len() > "nonce-".len() && word.starts_with("nonce-"))
        .map_or_else(|| hex(&Sha256::digest(question.trim().as_bytes()), 6), str::to_owned)
}

/// The word that proves that `question` was read: it follows from its nonce and cannot be guessed by echoing.
#[must_use]
pub fn proof_of(question: &str) -> String {
    hex(&Sha256::digest(nonce_of(question).as_bytes()), 6)
}

fn tokens_of(question: &str, count: Option<usize>) -> Vec<String> {
    let nonce = nonce_of(question);
    let mut pieces = split_tokens(&format!("The answer to {nonce} is {}:", proof_of(question)));
    let want = count.unwrap_or(pieces.len() + 12);
    let mut block = 0_u64;
    while pieces.len() < want {
        let mut hash = Sha256::new();
        hash.update(nonce.as_bytes());
        hash.update(block.to_le_bytes());
        for byte in hash.finalize() {
            if pieces.len() < want {
                pieces.push(format!(" {}", LEXICON[usize::from(byte) % LEXICON.len()]));
            }
        }
        block += 1;
    }
    pieces.truncate(want);
    pieces
}

/// Splits words from words, each with the blank before it: this provider's tokens.
#[must_use]
pub fn split_tokens(text: &str) -> Vec<String> {
    let mut out: Vec<String> = Vec::new();
    let mut after_word = true;
    for c in text.chars() {
        let blank = c.is_whitespace();
        match out.last_mut() {
            Some(last) if !(blank && after_word) => last.push(c),
            _ => out.push(c.to_string()),
        }
        after_word = !blank;
    }
    out
}

/// Composes the answer to `ask`.
#[must_use]
pub fn compose(ask: &Ask, answer: &Answer, serial: u64) -> Reply {
    let choices: Vec<Said> = (0..ask.n.max(1)).map(|choice| say(ask, answer, choice)).collect();
    let thinking: u64 = choices.iter().map(|said| said.reasoning.len() as u64).sum();
    let spoken: u64 = choices.iter().map(spoken).sum();
    let spec = answer.usage.unwrap_or_default();
    let usage = Counts {
        input: spec.input.unwrap_or_else(|| ask.input_tokens()),
        cached: spec.cached.unwrap_or(0),
        cache_write: spec.cache_write.unwrap_or(0),
        output: spec.output.unwrap_or(thinking + spoken),
        reasoning: spec.reasoning.unwrap_or(thinking),
    };
    Reply { serial, choices, usage, reports_usage: !answer.no_usage, tokens_per_event: answer.tokens_per_event.max(1) }
}

fn spoken(said: &Said) -> u64 {
    let calls: usize = said.calls.iter().map(|call| call.arguments.len() + 1).sum();
    (said.refusal.len() + said.text.len() + calls) as u64
}

fn say(ask: &Ask, answer: &Answer, choice: usize) -> Said {
    let reasoning = answer.reasoning.as_deref().map(split_tokens).unwrap_or_default();
    if let Some(refusal) = &answer.refusal {
        let stop = answer.stop.clone().or(Some(StopKind::End));
        return Said { reasoning, refusal: split_tokens(refusal), stop, ..Said::default() };
    }
    let calls = calls(ask, answer);
    if !calls.is_empty() {
        let text = answer.preamble.as_deref().map(split_tokens).unwrap_or_default();
        let stop = answer.stop.clone().or(Some(StopKind::ToolCalls));
        return Said { reasoning, text, calls, stop, ..Said::default() };
    }
    let (text, stop) = bounded(ask, words(ask, answer, choice));
    Said { reasoning, text, stop: answer.stop.clone().or(Some(stop)), ..Said::default() }
}

fn calls(ask: &Ask, answer: &Answer) -> Vec<Call> {
    if !answer.calls.is_empty() {
        let text = |value: &Value| match value {
            Value::Null => "{}".to_owned(),
            Value::String(text) => text.clone(),
            other => other.to_string(),
        };
        let made = |spec: &super::script::CallSpec| Call {
            id: spec.id.clone(),
            name: spec.name.clone(),
            arguments: pieces(&text(&spec.arguments)),
        };
        return answer.calls.iter().map(made).collect();
    }
    let said_before = ask.turns.last().is_some_and(|turn| turn.speaker == Speaker::Tool);
    let wanted = match (&ask.choice, answer.call_tools) {
        (Choice::None, _) => 0,
        (_, Some(count)) => count,
        (Choice::Required | Choice::Named(_), None) => 1,
        (Choice::Auto, None) => 0,
    };
    if said_before && answer.call_tools.is_none() && ask.choice == Choice::Auto {
        return Vec::new();
    }
    let wanted = if ask.parallel { wanted } else { wanted.min(1) };
    let named = |tool: &&super::ask::Offered| match &ask.choice {
        Choice::Named(name) => &tool.name == name,
        _ => true,
    };
    let proof = proof_of(&question(ask));
    let made = |tool: &super::ask::Offered| Call {
        id: None,
        name: tool.name.clone(),
        arguments: pieces(&instance(&tool.schema, &proof).to_string()),
    };
    ask.tools.iter().filter(named).cycle().take(wanted).map(made).collect()
}

/// The question that the answer is about: the last user message, and the results of tools after it.
#[must_use]
pub(super) fn question(ask: &Ask) -> String {
    let last_user = ask.turns.iter().rposition(|turn| turn.speaker == Speaker::User).unwrap_or(0);
    question_from(&ask.turns, last_user)
}

fn question_from(turns: &[super::ask::Turn], user: usize) -> String {
    let mut text = turns.get(user).map(|turn| turn.text.clone()).unwrap_or_default();
    for turn in turns.iter().skip(user + 1).filter(|turn| turn.speaker == Speaker::Tool) {
        text.push('\n');
        text.push_str(&turn.text);
    }
    text
}

fn words(ask: &Ask, answer: &Answer, choice: usize) -> Vec<String> {
    if !answer.starts_over
        && let Some((half, whole)) = half_said(ask, answer)
    {
        let rest = whole.get(half.len()..).unwrap_or_default();
        let before = split_tokens(&half);
        let repeated = before.len().saturating_sub(answer.overlap);
        let mut text = before.get(repeated..).unwrap_or_default().to_vec();
        text.extend(split_tokens(rest));
        return text;
    }
    let mut text = full_answer(ask, answer, &question(ask));
    if choice > 0 {
        text.extend([" (choice".to_owned(), format!(" {choice})")]);
    }
    text
}

fn full_answer(ask: &Ask, answer: &Answer, question: &str) -> Vec<String> {
    match (&answer.text, &ask.form) {
        (Some(text), _) => split_tokens(text),
        _ if answer.echo => split_tokens(question),
        (None, Form::Schema(schema)) => pieces(&instance(schema, &proof_of(question)).to_string()),
        (None, Form::Json) => pieces(&json!({"answer": proof_of(question)}).to_string()),
        (None, Form::Text) => tokens_of(question, answer.tokens),
    }
}

/// What the client already has of an answer that broke, and the whole of it: the last turn of the model is the
/// beginning of what we would say to the user turn before it, and at most an instruction follows.
fn half_said(ask: &Ask, answer: &Answer) -> Option<(String, String)> {
    let at = ask.turns.iter().rposition(|turn| turn.speaker == Speaker::Assistant)?;
    let after = ask.turns.get(at + 1..)?;
    if after.len() > 1 || after.iter().any(|turn| turn.speaker == Speaker::Tool) {
        return None;
    }
    let half = &ask.turns.get(at)?.text;
    let before = ask.turns.get(..at)?;
    let user = before.iter().rposition(|turn| turn.speaker == Speaker::User)?;
    let whole = full_answer(ask, answer, &question_from(before, user)).concat();
    let trimmed = half.trim_end();
    // All of it said is half of it too, unless another question follows.
    let asks = after.first().is_some_and(|turn| turn.text.contains("nonce-"));
    let is_half = |text: &str| !text.is_empty() && whole.starts_with(text) && (text.len() < whole.len() || !asks);
    [half.as_str(), trimmed].into_iter().find(|text| is_half(text)).map(|text| (text.to_owned(), whole.clone()))
}

/// Applies the request's stop texts and its limit of tokens.
fn bounded(ask: &Ask, mut text: Vec<String>) -> (Vec<String>, StopKind) {
    let mut stop = StopKind::End;
    let whole = text.concat();
    let found = ask.stop.iter().filter_map(|word| whole.find(word.as_str()).map(|at| (at, word))).min();
    if let Some((at, word)) = found {
        text = split_tokens(whole.get(..at).unwrap_or_default());
        stop = StopKind::Sequence(word.clone());
    }
    match ask.max_tokens {
        Some(most) if text.len() > most => {
            text.truncate(most);
            (text, StopKind::Length)
        }
        _ => (text, stop),
    }
}

/// JSON text in small pieces, as models stream it.
fn pieces(text: &str) -> Vec<String> {
    text.chars().collect::<Vec<_>>().chunks(7).map(|piece| piece.iter().collect()).collect()
}

/// The first `count` bytes of `bytes` as hexadecimal digits.
pub(crate) fn hex(bytes: &[u8], count: usize) -> String {
    bytes
        .iter()
        .take(count)
        .flat_map(|byte| [byte >> 4, byte & 15])
        .filter_map(|n| char::from_digit(u32::from(n), 16))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::super::ask::{Offered, Turn};
    use super::*;

    fn ask(turns: &[(Speaker, &str)]) -> Ask {
        let turns = turns.iter().map(|(speaker, text)| Turn { speaker: *speaker, text: (*text).to_owned() }).collect();
        Ask { turns, n: 1, parallel: true, ..Ask::default() }
    }

    fn text(ask: &Ask, answer: &Answer) -> String {
        compose(ask, answer, 0).choices[0].text.concat()
    }

    #[test]
    fn the_answer_follows_from_the_nonce() {
        let question = "Please answer nonce-7f3a, thanks.";
        assert_eq!(nonce_of(question), "nonce-7f3a");
        let said = text(&ask(&[(Speaker::User, question)]), &Answer::default());
        assert_eq!(said, expected_answer(question));
        assert!(said.contains("nonce-7f3a") && said.contains(&proof_of(question)));
        assert_ne!(said, expected_answer("Please answer nonce-7f3b, thanks."));
    }

    #[test]
    fn tokens_add_up() {
        let words = expected_long_answer("q", 400);
        assert_eq!(split_tokens(&words).concat(), words);
        let long = compose(&ask(&[(Speaker::User, "q")]), &Answer { tokens: Some(400), ..Answer::default() }, 0);
        assert_eq!((long.choices[0].text.len(), long.usage.output), (400, 400));
    }

    #[test]
    fn a_half_said_answer_is_continued() {
        let whole = expected_answer("hello nonce-1");
        for cut in 1..whole.len() - 1 {
            let Some(half) = whole.get(..cut) else { continue };
            let prefill = ask(&[(Speaker::User, "hello nonce-1"), (Speaker::Assistant, half)]);
            assert_eq!(format!("{half}{}", text(&prefill, &Answer::default())), whole);
            let told = ask(&[(Speaker::User, "hello nonce-1"), (Speaker::Assistant, half), (Speaker::User, "go on")]);
            assert_eq!(format!("{half}{}", text(&told, &Answer::default())), whole);
            let anew = Answer { starts_over: true, ..Answer::default() };
            assert_ne!(text(&told, &anew), whole.get(cut..).unwrap_or_default());
        }
        let next = ask(&[(Speaker::User, "hello nonce-1"), (Speaker::Assistant, &whole), (Speaker::User, "nonce-2")]);
        assert_eq!(text(&next, &Answer::default()), expected_answer("nonce-2"));
    }

    #[test]
    fn limits_stops_tools_and_forms_are_kept() {
        let mut one = ask(&[(Speaker::User, "q")]);
        one.max_tokens = Some(3);
        let said = compose(&one, &Answer::default(), 0);
        assert_eq!((said.choices[0].text.len(), said.choices[0].stop.clone()), (3, Some(StopKind::Length)));
        one.max_tokens = None;
        one.stop = vec![" is".to_owned()];
        assert!(!text(&one, &Answer::default()).contains(" is"));
        let schema = json!({"type": "object", "required": ["city"], "properties": {"city": {"type": "string"}}});
        one.tools = vec![Offered { name: "weather".into(), schema: schema.clone() }];
        one.choice = Choice::Required;
        let called = compose(&one, &Answer::default(), 0).choices[0].calls.clone();
        assert_eq!(called[0].arguments.concat(), format!("{{\"city\":\"{}\"}}", proof_of("q")));
        one.choice = Choice::None;
        one.stop.clear();
        one.form = Form::Schema(schema);
        assert_eq!(text(&one, &Answer::default()), format!("{{\"city\":\"{}\"}}", proof_of("q")));
    }
}
