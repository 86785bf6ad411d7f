//! Recorded outcomes: the same requests answered by several models, each answer judged. One JSON object per line:
//! `{"id", "task" or "class", "q": {model: quality 0..1}, "c": {model: cost}, "t": {model: [tokens in, out]}}`; `c` and
//! `t` may be missing, and whatever else a line says is not looked at. No content is kept.

use ledger::record::Name;
use serde::Deserialize;
use std::collections::{BTreeMap, BTreeSet};

/// One request and what became of it at each model.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct Outcome {
    /// Its kind of task.
    #[serde(default, alias = "task")]
    pub class: Option<Name>,
    /// Quality by model, 0 to 1.
    #[serde(alias = "q")]
    pub quality: BTreeMap<Name, f64>,
    /// Cost by model; one unit for the whole file.
    #[serde(default, alias = "c")]
    pub cost: BTreeMap<Name, f64>,
    /// Tokens of prompt and answer by model.
    #[serde(default, alias = "t")]
    pub tokens: BTreeMap<Name, (f64, f64)>,
}

/// A line that is no outcome.
#[derive(Debug, thiserror::Error)]
pub enum OutcomesError {
    /// It is no JSON of that shape.
    #[error("line {line} is no outcome: {source}; write {{\"id\": …, \"class\": …, \"q\": {{MODEL: 0..1}}}}")]
    Line {
        /// From 1.
        line: usize,
        /// Why.
        source: serde_json::Error,
    },
    /// A quality lies outside 0 to 1.
    #[error("line {line}: the quality {quality} of `{model}` is not between 0 and 1")]
    Quality {
        /// From 1.
        line: usize,
        /// Whose.
        model: Name,
        /// The number.
        quality: f64,
    },
}

/// Reads a whole file.
///
/// # Errors
/// The first line that is no outcome.
pub fn outcomes(text: &str) -> Result<Vec<Outcome>, OutcomesError> {
    let lines = text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty());
    let read = |(at, line): (usize, &str)| {
        let line_number = at + 1;
        let found: Outcome =
            serde_json::from_str(line).map_err(|source| OutcomesError::Line { line: line_number, source })?;
        match found.quality.iter().find(|(_, quality)| !(0.0..=1.0).contains(*quality)) {
            Some((model, quality)) => {
                Err(OutcomesError::Quality { line: line_number, model: model.clone(), quality: *quality })
            }
            None => Ok(found),
        }
    };
    lines.map(read).collect()
}

/// The models that `outcomes` speak of.
#[must_use]
pub fn models(outcomes: &[Outcome]) -> BTreeSet<Name> {
    outcomes.iter().flat_map(|one| one.quality.keys().cloned()).collect()
}

/// `outcomes` with each model replaced by the deployments that `names` gives for it; others are left out.
#[must_use]
pub fn renamed(outcomes: &[Outcome], names: &BTreeMap<Name, Vec<Name>>) -> Vec<Outcome> {
    fn map<T: Copy>(by: &BTreeMap<Name, T>, names: &BTreeMap<Name, Vec<Name>>) -> BTreeMap<Name, T> {
        let all = by.iter().flat_map(|(model, value)| {
            names.get(model).into_iter().flatten().map(move |deployment| (deployment.clone(), *value))
        });
        all.collect()
    }
    let one = |outcome: &Outcome| Outcome {
        class: outcome.class.clone(),
        quality: map(&outcome.quality, names),
        cost: map(&outcome.cost, names),
        tokens: map(&outcome.tokens, names),
    };
    outcomes.iter().map(one).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_read_and_errors_name_theirs() {
        let text = "{\"id\":\"1\",\"task\":\"math\",\"prompt\":\"?\",\"q\":{\"a\":1.0,\"b\":0},\"c\":{\"a\":2}}\n\n{\"q\":{\"a\":0.5}}\n";
        let read = outcomes(text).unwrap();
        assert_eq!(read.len(), 2);
        assert_eq!(read[0].class.as_deref(), Some("math"));
        assert_eq!(models(&read).len(), 2);
        let names = BTreeMap::from([("a".into(), vec!["a-eu".into(), "a-us".into()])]);
        let named = renamed(&read, &names);
        assert_eq!(named[0].quality.keys().map(|name| &**name).collect::<Vec<_>>(), ["a-eu", "a-us"]);
        assert!(outcomes("{\"q\":{\"a\":1.5}}").unwrap_err().to_string().contains("`a`"));
        assert!(outcomes("{}\n").unwrap_err().to_string().starts_with("line 1"));
    }
}
