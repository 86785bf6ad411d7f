//! Who could answer a kind of request: the plan is asked, then asked again without those it named, until nobody is
//! left. Each deployment stands for itself there, so a loss leaves exactly those of the list that are not lost.

use super::loss::Level;
use canon::{Facets, Purpose};
use ledger::flow::LACKS;
use ledger::record::Name;
use policy::fleet::{Cap, Caps};
use policy::{Degraded, DeploymentIx, Fleet, Leg, Plan, PlanInput, ProductIx, Refusal, Snapshot, Tick, Wall, plan};

/// A kind of request, as far as the choice depends on it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Question {
    pub(crate) product: ProductIx,
    pub(crate) model: Option<Name>,
    pub(crate) lacked: u8,
    pub(crate) purpose: Purpose,
    pub(crate) tokens: u64,
    pub(crate) bound: Option<DeploymentIx>,
}

/// A deployment that could answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Answer {
    pub(super) deployment: DeploymentIx,
    /// `Level::Fine`, or `Level::LastResort` where a rule would bend for it.
    pub(super) level: Level,
}

/// Everyone who could answer `question` at `wall`, the first choice first; `gone` cannot.
pub(super) fn answers(fleet: &Fleet, question: &Question, wall: Wall, gone: &[DeploymentIx]) -> Vec<Answer> {
    let view = Snapshot::default();
    let mut exclude = gone.to_vec();
    let mut found = Vec::new();
    loop {
        let Ok(plan) = ask(fleet, question, &Moment { wall, view: &view, chance: 0 }, &exclude) else { return found };
        for leg in &plan.legs {
            found.push(Answer { deployment: leg.deployment, level: level(leg) });
            exclude.push(leg.deployment);
        }
    }
}

/// When and in which state of affairs the plan is asked.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Moment<'a> {
    pub(crate) wall: Wall,
    pub(crate) view: &'a Snapshot,
    pub(crate) chance: u64,
}

/// The plan for `question`; `gone` cannot answer.
pub(crate) fn ask(
    fleet: &Fleet,
    question: &Question,
    moment: &Moment<'_>,
    gone: &[DeploymentIx],
) -> Result<Plan, Box<Refusal>> {
    plan(&PlanInput {
        facets: &facets(question),
        model: question.model.as_deref().unwrap_or_default(),
        product: fleet.product(question.product),
        fleet,
        view: moment.view,
        now: Tick::ZERO,
        wall: moment.wall,
        chance: moment.chance,
        dialect: None,
        permit: None,
        exclude: gone,
        warm: None,
        bound: question.bound,
    })
}

/// How good an answer of `leg` is.
pub(crate) const fn level(leg: &Leg) -> Level {
    match leg.degraded {
        None | Some(Degraded::Substitute) => Level::Fine,
        Some(_) => Level::LastResort,
    }
}

/// What the request needs, as far as the ledger tells.
fn facets(question: &Question) -> Facets {
    let lacked: Caps = Cap::ALL.into_iter().filter(|cap| needs(question.lacked, *cap)).collect();
    Facets {
        purpose: question.purpose,
        tools: lacked.has(Cap::Tools),
        images: lacked.has(Cap::Images),
        audio: lacked.has(Cap::Audio),
        documents: lacked.has(Cap::Documents),
        structured: lacked.has(Cap::Structured),
        reasoning: lacked.has(Cap::Reasoning),
        logprobs: lacked.has(Cap::Logprobs),
        state: question.bound.is_some(),
        choices: 1,
        input_tokens: question.tokens,
        max_output_tokens: None,
        service_tier: None,
    }
}

/// Whether `lacked`, one bit per entry of `LACKS`, says that `cap` was needed.
fn needs(lacked: u8, cap: Cap) -> bool {
    let place = LACKS.iter().position(|reason| reason.strip_prefix("lacks-") == Some(cap.name()));
    place.is_some_and(|at| lacked >> at & 1 == 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ledgers_words_are_the_plans() {
        for (at, reason) in LACKS.iter().enumerate() {
            let cap = Cap::ALL.into_iter().find(|cap| needs(1 << at, *cap)).unwrap();
            assert_eq!(policy::DropReason::Lacks(cap).name(), *reason);
        }
        assert_eq!(LACKS.len(), Cap::ALL.len());
    }
}
