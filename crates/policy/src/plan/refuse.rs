//! Plans that came to nothing: the fault to answer, in words that say what to do, and the plan that explains it.

use super::{Asked, DropReason, Plan, PlanInput};
use canon::{Fault, FaultKind};
use smallvec::SmallVec;
use std::time::Duration;

/// No deployment can answer.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[error("{fault}")]
pub struct Refusal {
    /// What to answer.
    pub fault: Fault,
    /// The plan without legs; its `dropped` tells why.
    pub plan: Plan,
}

pub(super) fn empty<V: ?Sized>(input: &PlanInput<'_, V>, asked: Asked) -> Plan {
    Plan {
        legs: SmallVec::new(),
        dropped: SmallVec::new(),
        spare: SmallVec::new(),
        unseen: 0,
        policy_version: input.fleet.version(),
        objective: input.product.rules().prefer,
        product: input.product.ix(),
        asked,
    }
}

pub(super) fn unknown<V: ?Sized>(input: &PlanInput<'_, V>) -> Box<Refusal> {
    let near = nearest(input.model, input.fleet.names_of(input.product).into_iter());
    let quoted: Vec<String> = near.iter().map(|name| format!("`{name}`")).collect();
    let hint = if quoted.is_empty() {
        "list the known names with `GET /v1/models`, or ask for `auto`".to_owned()
    } else {
        format!("did you mean {}?", quoted.join(" or "))
    };
    let message = format!("unknown model `{}`; {hint}", input.model);
    Box::new(Refusal {
        fault: Fault::client(FaultKind::NotFound, message).at("model"),
        plan: empty(input, Asked::Name),
    })
}

pub(super) fn forbidden<V: ?Sized>(input: &PlanInput<'_, V>, asked: Asked) -> Box<Refusal> {
    let message = format!(
        "product `{}` or this key may not use model `{}`; ask for `auto` or a model that is allowed",
        input.product.name(),
        input.model
    );
    Box::new(Refusal { fault: Fault::client(FaultKind::Forbidden, message).at("model"), plan: empty(input, asked) })
}

/// Nobody is left. The fault follows the most hopeful reason: what passes by itself before what never does.
pub(super) fn nobody<V: ?Sized>(input: &PlanInput<'_, V>, plan: Plan, soonest: Option<Duration>) -> Box<Refusal> {
    let any = |test: fn(DropReason) -> bool| plan.dropped.iter().any(|dropped| test(dropped.reason));
    let product = input.product.name();
    let fault = if any(|r| matches!(r, DropReason::Down(_) | DropReason::Probing)) {
        Fault::gateway(FaultKind::NoRoute, "every deployment that could answer is down; try again later")
    } else if any(|r| r == DropReason::NoHeadroom) {
        Fault::gateway(FaultKind::RateLimited, "every deployment that could answer has reached its limits; slow down")
    } else if any(|r| r == DropReason::Budget) {
        let message = format!("the budget of product `{product}` does not cover this request; raise it or wait");
        Fault::gateway(FaultKind::Budget, message)
    } else if any(|r| r == DropReason::Context) {
        let message = "the prompt fits no context window that product may use; shorten it";
        Fault::client(FaultKind::ContextLength, message)
    } else {
        let message = format!("no deployment may answer this request of product `{product}`{}", summary(&plan));
        Fault::gateway(FaultKind::NoRoute, message)
    };
    let passing = any(|r| matches!(r, DropReason::Down(_) | DropReason::Probing | DropReason::NoHeadroom));
    let fault = if passing { fault.after(soonest.unwrap_or(Duration::from_secs(1))) } else { fault };
    Box::new(Refusal { fault, plan })
}

/// Each reason with how often it was met: `: 2 × below-floor, 1 × region`.
fn summary(plan: &Plan) -> String {
    let mut counts: Vec<(&str, usize)> = Vec::new();
    for dropped in &plan.dropped {
        let name = dropped.reason.name();
        match counts.iter_mut().find(|(known, _)| *known == name) {
            Some((_, count)) => *count += 1,
            None => counts.push((name, 1)),
        }
    }
    if counts.is_empty() {
        return "; it has none, or each was ruled out".to_owned();
    }
    let words: Vec<String> = counts.iter().map(|(name, count)| format!("{count} × {name}")).collect();
    format!(": {}", words.join(", "))
}

/// Up to three of `known` that `name` may have meant, the nearest first.
#[must_use]
pub fn nearest<'a>(name: &str, known: impl Iterator<Item = &'a str>) -> Vec<&'a str> {
    let most = (name.chars().count() / 3).max(1);
    let mut near: Vec<(usize, &str)> = known
        .filter_map(|other| {
            let begins = name.len() >= 3 && other.starts_with(name);
            let distance = if begins { 1 } else { distance(name, other) };
            (distance <= most).then_some((distance, other))
        })
        .collect();
    near.sort_unstable();
    near.dedup();
    near.into_iter().take(3).map(|(_, other)| other).collect()
}

/// How many letters must be changed, added, taken away or swapped with a neighbour to get from one word to the other.
fn distance(a: &str, b: &str) -> usize {
    let (a, b): (Vec<char>, Vec<char>) = (a.chars().collect(), b.chars().collect());
    let mut rows = vec![vec![0; b.len() + 1]; a.len() + 1];
    rows[0] = (0..=b.len()).collect();
    for i in 1..=a.len() {
        rows[i][0] = i;
        for j in 1..=b.len() {
            let changed = rows[i - 1][j - 1] + usize::from(a[i - 1] != b[j - 1]);
            let mut least = changed.min(rows[i - 1][j] + 1).min(rows[i][j - 1] + 1);
            if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                least = least.min(rows[i - 2][j - 2] + 1);
            }
            rows[i][j] = least;
        }
    }
    rows[a.len()][b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn near_names_are_found() {
        let known = ["anthropic", "azure-foundry", "house", "mistral", "openai", "gpt-5.2-mini"];
        assert_eq!(nearest("antropic", known.into_iter()), ["anthropic"]);
        assert_eq!(nearest("gpt-5", known.into_iter()), ["gpt-5.2-mini"]);
        assert!(nearest("xyz", known.into_iter()).is_empty());
        assert_eq!(distance("kitten", "sitting"), 3);
        assert_eq!(distance("gtp", "gpt"), 1);
    }
}
