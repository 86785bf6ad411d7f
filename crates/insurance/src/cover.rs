//! What is proven: that one deployment may answer in another's place for one kind of task of one product. A configured
//! fallback is not a cover, and the absence of a cover is `none`. Proof is a paired comparison on recorded outcomes
//! whose bound stays true however often one looks.

use crate::Day;
use crate::outcomes::Outcome;
use crate::stats::{Moments, lower_bound};
use ledger::record::Name;
use policy::Fleet;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet, HashMap};

/// What the evidence says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Verdict {
    /// Shown to be no worse than the margin allows.
    Covered,
    /// Shown to be worse.
    BelowFloor,
    /// Too few pairs to say.
    Insufficient,
    /// Something it depends on has changed since.
    Stale,
    /// Not allowed: a contract, a need or a right stands against it.
    Blocked,
    /// Never looked at.
    None,
}

impl Verdict {
    /// The stable name.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Covered => "covered",
            Self::BelowFloor => "below-floor",
            Self::Insufficient => "insufficient",
            Self::Stale => "stale",
            Self::Blocked => "blocked",
            Self::None => "none",
        }
    }
}

/// One row of evidence.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Cover {
    /// The product.
    pub product: Name,
    /// The kind of task; `None`: all of the product's.
    pub class: Option<Name>,
    /// The deployment that is lost.
    pub from: Name,
    /// The deployment that answers instead.
    pub to: Name,
    /// What the evidence says.
    pub verdict: Verdict,
    /// The last day on which it counts.
    pub expires: Day,
    /// What it rests on; `None`: somebody's word.
    pub proof: Option<Proof>,
}

/// A paired comparison.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Proof {
    /// Requests that both answered.
    pub pairs: u64,
    /// Mean quality of `to` less that of `from`.
    pub difference: f64,
    /// Lower bound of the difference, true at every moment with probability `1 - alpha`.
    pub lower: f64,
    /// Upper bound of the difference, likewise.
    pub upper: f64,
    /// Of each bound.
    pub alpha: f64,
    /// How much less quality is accepted.
    pub margin: f64,
    /// Cost of `to` per cost of `from`; `None`: not recorded.
    pub cost: Option<Ratio>,
    /// Tokens of prompts and of answers of `to` per token of `from`; `None`: not recorded.
    pub tokens: Option<(f64, f64)>,
    /// Who judged the answers.
    pub evaluator: Name,
    /// A hash of the outcomes.
    pub evidence: Name,
}

/// A measured ratio of two sums.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Ratio {
    /// The ratio.
    pub value: f64,
    /// Its variance.
    pub variance: f64,
}

/// What a deployment's answers were worth.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Score {
    /// The product.
    pub product: Name,
    /// The kind of task; `None`: all of the product's.
    pub class: Option<Name>,
    /// The deployment.
    pub deployment: Name,
    /// Answers judged.
    pub n: u64,
    /// Their mean quality, 0 to 1.
    pub mean: f64,
    /// The variance of that mean.
    pub variance: f64,
}

/// All that is proven.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Evidence {
    /// Replacements.
    pub covers: Vec<Cover>,
    /// Qualities.
    pub scores: Vec<Score>,
}

impl Evidence {
    /// Takes `newer` over: what it says anew replaces what was said.
    pub fn merge(&mut self, newer: Self) {
        let known: BTreeSet<_> = newer.covers.iter().map(cover_key).collect();
        self.covers.retain(|one| !known.contains(&cover_key(one)));
        let known: BTreeSet<_> = newer.scores.iter().map(score_key).collect();
        self.scores.retain(|one| !known.contains(&score_key(one)));
        self.covers.extend(newer.covers);
        self.scores.extend(newer.scores);
    }
}

type CoverKey = (Name, Option<Name>, Name, Name);

fn cover_key(one: &Cover) -> CoverKey {
    (one.product.clone(), one.class.clone(), one.from.clone(), one.to.clone())
}

fn score_key(one: &Score) -> (Name, Option<Name>, Name) {
    (one.product.clone(), one.class.clone(), one.deployment.clone())
}

/// What `covers` say of `to` in the place of `from` on `day`; a cover of the class goes before one of all classes.
#[must_use]
pub fn verdict(covers: &[Cover], product: &str, class: Option<&str>, from: &str, to: &str, day: Day) -> Verdict {
    let found = find(covers, product, class, from, to);
    found.map_or(Verdict::None, |cover| if day > cover.expires { Verdict::Stale } else { cover.verdict })
}

/// The cover that counts for `class`.
fn find<'a>(covers: &'a [Cover], product: &str, class: Option<&str>, from: &str, to: &str) -> Option<&'a Cover> {
    let fits = |cover: &&Cover| &*cover.product == product && &*cover.from == from && &*cover.to == to;
    let all = covers.iter().filter(fits);
    let exact = all.clone().find(|cover| cover.class.is_some() && cover.class.as_deref() == class);
    exact.or_else(|| all.clone().find(|cover| cover.class.is_none()))
}

/// What `covers` show of deployments in the place of each product's `floor.against`, on all of its tasks, by the margin
/// that its floor allows now. What shows neither is left out.
#[must_use]
pub fn proofs<'a>(covers: &'a [Cover], fleet: &Fleet) -> Vec<policy::Proof<'a>> {
    let shown = |cover: &'a Cover| {
        let product = fleet.product(fleet.product_named(&cover.product)?);
        let floor = product.rules().floor.as_ref().filter(|floor| *floor.against == *cover.from)?;
        let proof = cover.proof.as_ref().filter(|_| cover.class.is_none())?;
        let meets = proof.lower >= -floor.margin;
        // The last day itself still counts.
        let until = cover.expires.before(-1).wall();
        let found =
            policy::Proof { product: &cover.product, against: &cover.from, deployment: &cover.to, meets, until };
        (meets || proof.upper < -floor.margin).then_some(found)
    };
    covers.iter().filter_map(shown).collect()
}

/// Evidence in an order in which much of it is looked up.
#[derive(Debug)]
pub(crate) struct Index<'a> {
    evidence: &'a Evidence,
    covers: HashMap<(&'a str, Option<&'a str>, &'a str, &'a str), usize>,
    scores: HashMap<(&'a str, Option<&'a str>, &'a str), usize>,
}

impl<'a> Index<'a> {
    pub(crate) fn of(evidence: &'a Evidence) -> Self {
        let covers = evidence.covers.iter().enumerate();
        let covers = covers.map(|(at, one)| ((&*one.product, one.class.as_deref(), &*one.from, &*one.to), at));
        let scores = evidence.scores.iter().enumerate();
        let scores = scores.map(|(at, one)| ((&*one.product, one.class.as_deref(), &*one.deployment), at));
        Self { evidence, covers: covers.collect(), scores: scores.collect() }
    }

    /// The cover that counts, with its place.
    pub(crate) fn cover(
        &self,
        product: &'a str,
        class: Option<&'a str>,
        from: &'a str,
        to: &'a str,
    ) -> Option<(usize, &'a Cover)> {
        let at = |class| self.covers.get(&(product, class, from, to)).copied();
        let at = at(class).or_else(|| at(None))?;
        Some((at, self.evidence.covers.get(at)?))
    }

    /// The quality that counts, with the place of the first that was measured on the same requests.
    pub(crate) fn score(
        &self,
        product: &'a str,
        class: Option<&'a str>,
        deployment: &'a str,
    ) -> Option<(usize, &'a Score)> {
        let at = |class| self.scores.get(&(product, class, deployment)).copied();
        let found = self.evidence.scores.get(at(class).or_else(|| at(None))?)?;
        let alike = |one: &Score| one.product == found.product && one.class == found.class;
        Some((self.evidence.scores.iter().position(alike)?, found))
    }
}

/// How a proof is made.
#[derive(Debug, Clone)]
pub struct Trial {
    /// The product that the outcomes are of.
    pub product: Name,
    /// How much less quality is accepted.
    pub margin: f64,
    /// The probability with which each bound may be wrong.
    pub alpha: f64,
    /// The last day on which the evidence counts.
    pub expires: Day,
    /// Who judged the answers.
    pub evaluator: Name,
    /// A hash of the outcomes.
    pub evidence: Name,
}

/// What `outcomes`, by deployment, prove: every ordered pair, class by class and over all.
#[must_use]
pub fn prove(outcomes: &[Outcome], trial: &Trial) -> Evidence {
    let names: BTreeSet<&Name> = outcomes.iter().flat_map(|one| one.quality.keys()).collect();
    let mut by_class: BTreeMap<Option<&Name>, Vec<&Outcome>> = BTreeMap::new();
    for outcome in outcomes {
        by_class.entry(None).or_default().push(outcome);
        if outcome.class.is_some() {
            by_class.entry(outcome.class.as_ref()).or_default().push(outcome);
        }
    }
    let mut evidence = Evidence::default();
    for (class, rows) in by_class {
        for from in &names {
            let qualities = Moments::of(rows.iter().filter_map(|row| row.quality.get(*from).copied()));
            if qualities.n() == 0 {
                continue;
            }
            evidence.scores.push(Score {
                product: trial.product.clone(),
                class: class.cloned(),
                deployment: (*from).clone(),
                n: qualities.n(),
                mean: qualities.mean(),
                variance: qualities.variance_of_mean(1.0),
            });
            for to in names.iter().filter(|to| *to != from) {
                evidence.covers.extend(compare(&rows, class, (from, to), trial));
            }
        }
    }
    evidence
}

pub(crate) fn compare(
    rows: &[&Outcome],
    class: Option<&Name>,
    (from, to): (&Name, &Name),
    trial: &Trial,
) -> Option<Cover> {
    let both = rows.iter().filter_map(|row| Some(row.quality.get(to)? - row.quality.get(from)?));
    let differences: Vec<f64> = both.collect();
    if differences.is_empty() {
        return None;
    }
    let lower = lower_bound(&differences, trial.alpha);
    let upper = -lower_bound(&differences.iter().map(|x| -x).collect::<Vec<_>>(), trial.alpha);
    let costs: Vec<(f64, f64)> =
        rows.iter().filter_map(|row| Some((*row.cost.get(from)?, *row.cost.get(to)?))).collect();
    let tokens: Vec<_> = rows.iter().filter_map(|row| Some((*row.tokens.get(from)?, *row.tokens.get(to)?))).collect();
    let side = |of: fn(&(f64, f64)) -> f64| {
        let pairs: Vec<(f64, f64)> = tokens.iter().map(|(from, to)| (of(from), of(to))).collect();
        ratio(&pairs).map(|ratio| ratio.value)
    };
    Some(Cover {
        product: trial.product.clone(),
        class: class.cloned(),
        from: from.clone(),
        to: to.clone(),
        verdict: if lower >= -trial.margin {
            Verdict::Covered
        } else if upper < -trial.margin {
            Verdict::BelowFloor
        } else {
            Verdict::Insufficient
        },
        expires: trial.expires,
        proof: Some(Proof {
            pairs: differences.len() as u64,
            difference: Moments::of(differences.iter().copied()).mean(),
            lower,
            upper,
            alpha: trial.alpha,
            margin: trial.margin,
            cost: ratio(&costs),
            tokens: side(|pair| pair.0).zip(side(|pair| pair.1)),
            evaluator: trial.evaluator.clone(),
            evidence: trial.evidence.clone(),
        }),
    })
}

/// The ratio of the second sum to the first, with its variance by linearisation.
fn ratio(pairs: &[(f64, f64)]) -> Option<Ratio> {
    let (from, to) = pairs.iter().fold((0.0, 0.0), |sum, pair| (sum.0 + pair.0, sum.1 + pair.1));
    if from <= 0.0 {
        return None;
    }
    let value = to / from;
    let residuals = Moments::of(pairs.iter().map(|(from, to)| to - value * from));
    let mean = from / residuals.count();
    // residuals of an exact ratio are 0, and then it is exact: flat prices
    Some(Ratio { value, variance: residuals.variance_of_mean(0.0) / (mean * mean) })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn day(text: &str) -> Day {
        text.parse().unwrap()
    }

    #[test]
    fn absence_is_none_and_age_is_stale() {
        let cover = |class: Option<&str>, verdict| Cover {
            product: "office".into(),
            class: class.map(Into::into),
            from: "gpt".into(),
            to: "claude".into(),
            verdict,
            expires: day("2026-12-31"),
            proof: None,
        };
        let covers = [cover(None, Verdict::Covered), cover(Some("draft"), Verdict::BelowFloor)];
        let ask = |class, to, on| verdict(&covers, "office", class, "gpt", to, day(on));
        assert_eq!(ask(None, "claude", "2026-12-31"), Verdict::Covered);
        assert_eq!(ask(Some("mail"), "claude", "2026-12-31"), Verdict::Covered);
        assert_eq!(ask(Some("draft"), "claude", "2026-12-31"), Verdict::BelowFloor);
        assert_eq!(ask(None, "claude", "2027-01-01"), Verdict::Stale);
        assert_eq!(ask(None, "mistral", "2026-12-31"), Verdict::None);
    }

    #[test]
    fn evidence_is_proven_pair_by_pair_and_newer_evidence_replaces_it() {
        let row = |class: &str, a: f64, b: f64| Outcome {
            class: Some(class.into()),
            quality: BTreeMap::from([("a".into(), a), ("b".into(), b)]),
            cost: BTreeMap::from([("a".into(), 4.0), ("b".into(), 1.0)]),
            tokens: BTreeMap::from([("a".into(), (100.0, 50.0)), ("b".into(), (120.0, 25.0))]),
        };
        let mut rows: Vec<Outcome> = (0..600).map(|_| row("same", 1.0, 1.0)).collect();
        rows.extend((0..600).map(|_| row("worse", 1.0, 0.0)));
        rows.extend((0..10).map(|_| row("few", 1.0, 1.0)));
        let trial = Trial {
            product: "p".into(),
            margin: 0.05,
            alpha: 0.05,
            expires: day("2027-01-01"),
            evaluator: "exact".into(),
            evidence: "x".into(),
        };
        let mut evidence = prove(&rows, &trial);
        let ask = |class| verdict(&evidence.covers, "p", Some(class), "a", "b", day("2026-12-01"));
        assert_eq!(ask("same"), Verdict::Covered);
        assert_eq!(ask("worse"), Verdict::BelowFloor);
        assert_eq!(ask("few"), Verdict::Insufficient);
        let proof = find(&evidence.covers, "p", Some("same"), "a", "b").unwrap().proof.clone().unwrap();
        assert_eq!((proof.cost.unwrap().value, proof.tokens.unwrap()), (0.25, (1.2, 0.5)));
        let (covers, scores) = (evidence.covers.len(), evidence.scores.len());
        evidence.merge(prove(&rows, &trial));
        assert_eq!((evidence.covers.len(), evidence.scores.len()), (covers, scores));
    }
}
