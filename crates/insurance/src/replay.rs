//! A loss replayed on recorded outcomes: the plan says who answers today and who would without what is lost; the file
//! says what both answers were worth. Single turns only: what a later turn would have been nobody recorded.

use crate::Day;
use crate::cover::{Cover, Proof, Trial, Verdict, compare};
use crate::exposure::answers::{Moment, Question, ask};
use crate::node::Node;
use crate::outcomes::Outcome;
use crate::stats::{Moments, Z95};
use canon::Purpose;
use ledger::record::Name;
use policy::{DeploymentIx, Fleet, ProductIx, Snapshot};
use serde::Serialize;
use std::collections::BTreeMap;

/// A mean with its 95 % interval.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Mean {
    /// The mean.
    pub value: f64,
    /// The lower end.
    pub low: f64,
    /// The upper end.
    pub high: f64,
}

impl Mean {
    fn of(moments: &Moments) -> Option<Self> {
        let half = Z95 * moments.variance_of_mean(1.0).sqrt();
        let value = moments.mean();
        (moments.n() > 0).then_some(Self { value, low: value - half, high: value + half })
    }
}

/// One kind of task whose answers come from elsewhere.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Class {
    /// The kind; `None`: the file does not say.
    pub class: Option<Name>,
    /// Who answers today.
    pub from: Name,
    /// Who answers then.
    pub to: Name,
    /// Mean quality today.
    pub before: f64,
    /// Mean quality then.
    pub after: f64,
    /// What the pairs prove.
    pub verdict: Verdict,
    /// On what.
    pub proof: Proof,
    /// The replacement is so much better that the judging should be looked at.
    pub suspect: bool,
}

/// What a replay found.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Replay {
    /// What was lost.
    pub lost: Vec<Node>,
    /// Requests of the file.
    pub requests: u64,
    /// Of these, whose answer the loss does not touch.
    pub untouched: u64,
    /// Of these, whose answer then and today are both recorded.
    pub replayed: u64,
    /// Of these, for whom the plan finds nobody then (or found nobody today).
    pub unanswered: u64,
    /// Of these, whose answer by one of the two was never recorded.
    pub unrecorded: u64,
    /// Mean quality today, of the replayed.
    pub before: Option<Mean>,
    /// Mean quality then, of the replayed.
    pub after: Option<Mean>,
    /// Mean paired difference.
    pub difference: Option<Mean>,
    /// Mean cost today and then, in the file's unit; `None`: not recorded for all.
    pub cost: Option<(f64, f64)>,
    /// Of the touched, the share for which somebody is configured, 0 to 1.
    pub configured: Option<f64>,
    /// Of the touched, the share whose replacement was shown to be no worse than the margin allows.
    pub covered: Option<f64>,
    /// The margin.
    pub margin: f64,
    /// Kinds of task, the most requests first.
    pub classes: Vec<Class>,
}

/// What a replay is made with.
#[derive(Debug, Clone, Copy)]
pub struct Loss<'a> {
    /// Products and deployments.
    pub fleet: &'a Fleet,
    /// Whose requests these are.
    pub product: ProductIx,
    /// The model that they name; empty: `auto`.
    pub model: &'a str,
    /// What is lost.
    pub nodes: &'a [Node],
    /// The deployments that go with it.
    pub lost: &'a [DeploymentIx],
    /// The day on which it plays.
    pub day: Day,
}

/// Quality gained by a loss beyond which the judging is suspected rather than the models.
const SUSPECT: f64 = 0.1;

#[derive(Default)]
struct Sums {
    before: Moments,
    after: Moments,
    difference: Moments,
    cost: (f64, f64),
    costed: u64,
}

/// Replays `loss` on `outcomes`, which are told by deployment.
#[must_use]
pub fn replay(outcomes: &[Outcome], loss: &Loss<'_>, trial: &Trial) -> Replay {
    let mut groups: BTreeMap<(Option<Name>, Name, Name), Vec<&Outcome>> = BTreeMap::new();
    let mut sums = Sums::default();
    let (mut untouched, mut unanswered, mut unrecorded, mut found) = (0_u64, 0_u64, 0_u64, 0_u64);
    let name = |ix: DeploymentIx| Name::from(loss.fleet.deployment(ix).name.as_str());
    for (at, outcome) in (0_u64..).zip(outcomes) {
        let (today, then) = choices(loss, at);
        if today.is_some_and(|today| !loss.lost.contains(&today)) {
            untouched += 1;
            continue;
        }
        let Some((from, to)) = today.zip(then) else {
            unanswered += 1;
            continue;
        };
        found += 1;
        let (from, to) = (name(from), name(to));
        let Some((before, after)) = outcome.quality.get(&from).zip(outcome.quality.get(&to)) else {
            unrecorded += 1;
            continue;
        };
        sums.before.add(*before);
        sums.after.add(*after);
        sums.difference.add(after - before);
        if let Some((before, after)) = outcome.cost.get(&from).zip(outcome.cost.get(&to)) {
            sums.cost = (sums.cost.0 + before, sums.cost.1 + after);
            sums.costed += 1;
        }
        groups.entry((outcome.class.clone(), from, to)).or_default().push(outcome);
    }
    let touched = found + unanswered;
    let mut classes = Vec::new();
    for ((class, from, to), rows) in groups {
        let Some(cover) = compare(&rows, class.as_ref(), (&from, &to), trial) else { continue };
        classes.extend(judged(&cover, &rows));
    }
    let proven = classes.iter().filter(|class| class.verdict == Verdict::Covered).map(|class| class.proof.pairs).sum();
    classes.sort_by(|a, b| b.proof.pairs.cmp(&a.proof.pairs).then_with(|| a.class.cmp(&b.class)));
    Replay {
        lost: loss.nodes.to_vec(),
        requests: outcomes.len() as u64,
        untouched,
        replayed: sums.before.n(),
        unanswered,
        unrecorded,
        before: Mean::of(&sums.before),
        after: Mean::of(&sums.after),
        difference: Mean::of(&sums.difference),
        cost: mean_cost(&sums),
        configured: share(found, touched),
        covered: share(proven, touched),
        margin: trial.margin,
        classes,
    }
}

/// Who answers request number `at` today, and who without what is lost.
fn choices(loss: &Loss<'_>, at: u64) -> (Option<DeploymentIx>, Option<DeploymentIx>) {
    let question = Question {
        product: loss.product,
        model: (!loss.model.is_empty()).then(|| loss.model.into()),
        lacked: 0,
        purpose: Purpose::Conversation,
        tokens: 0,
        bound: None,
    };
    let view = Snapshot::default();
    let chance = at.wrapping_mul(0x9E37_79B9_7F4A_7C15);
    let moment = Moment { wall: loss.day.wall(), view: &view, chance };
    let first = |gone: &[DeploymentIx]| ask(loss.fleet, &question, &moment, gone).ok().and_then(|plan| plan.first());
    (first(&[]), first(loss.lost))
}

fn judged(cover: &Cover, rows: &[&Outcome]) -> Option<Class> {
    let proof = cover.proof.clone()?;
    let mean = |name: &Name| Moments::of(rows.iter().filter_map(|row| row.quality.get(name).copied())).mean();
    Some(Class {
        class: cover.class.clone(),
        before: mean(&cover.from),
        after: mean(&cover.to),
        from: cover.from.clone(),
        to: cover.to.clone(),
        verdict: cover.verdict,
        suspect: proof.lower > 0.0 && proof.difference > SUSPECT,
        proof,
    })
}

#[expect(clippy::cast_precision_loss, reason = "counts of requests stay far below 2^52")]
fn mean_cost(sums: &Sums) -> Option<(f64, f64)> {
    let all = sums.costed as f64;
    (sums.costed > 0 && sums.costed == sums.before.n()).then(|| (sums.cost.0 / all, sums.cost.1 / all))
}

#[expect(clippy::cast_precision_loss, reason = "counts of requests stay far below 2^52")]
fn share(some: u64, all: u64) -> Option<f64> {
    (all > 0).then(|| some as f64 / all as f64)
}

/// The deployments that rest on any of `nodes`, in the order of the fleet, `None` where a node is not known there.
#[must_use]
pub fn resting_on(fleet: &Fleet, register: &crate::Register, node: &Node) -> Option<Vec<DeploymentIx>> {
    let mut graph = register.graph().clone();
    let nodes = |one: &policy::Deployment| {
        let starts: Vec<Node> = crate::register::facts_of(one).map(|(kind, name)| Node::new(kind, name)).collect();
        starts.into_iter().chain([Node::new(crate::Kind::Deployment, &one.name)]).collect::<Vec<_>>()
    };
    let starts: Vec<(DeploymentIx, Vec<usize>)> =
        fleet.iter().map(|(ix, one)| (ix, nodes(one).into_iter().map(|node| graph.add(node)).collect())).collect();
    let place = graph.place(node)?;
    let lost = starts.into_iter().filter(|(_, starts)| graph.closure(starts.iter().copied()).has(place));
    let lost: Vec<DeploymentIx> = lost.map(|(ix, _)| ix).collect();
    (!lost.is_empty()).then_some(lost)
}
