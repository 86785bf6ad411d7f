//! The walk through recorded traffic: portion by portion, each stays, moves, or finds nobody.

use super::cost::{Move, PARTIES, Value, Worth, unchanged};
use super::figure::{Doubt, Sum};
use super::scenario::Scenario;
use super::world::World;
use super::{Line, PartyShift, ShareOf, WhatIf};
use crate::cover::{Evidence, Verdict};
use crate::exposure::answers::{Moment, Question, ask};
use crate::exposure::demand::{facts, purpose};
use crate::exposure::{Inputs, Level, answers::level};
use crate::node::Kind;
use crate::{Basis, Day};
use ledger::flow::{Flow, SIZES};
use ledger::record::{Name, Portability};
use policy::{Degraded, DeploymentIx, Fleet, Leg, ProductIx, Share, SizeBucket, Snapshot};
use std::collections::BTreeMap;
use std::time::Duration;

/// Into how many portions alike requests are cut: share caps and chance may send them to different deployments.
const PORTIONS: u64 = 50;

/// Scores closer than this are the plan's equals.
const EQUAL: f32 = 0.001;

/// What becomes of a portion.
#[derive(Debug, Clone, Copy)]
enum Fate {
    Stays,
    Moves {
        to: DeploymentIx,
        level: Level,
        below: bool,
        supposed: bool,
    },
    Nothing,
    /// No rules are known for it.
    Unknown,
}

#[derive(Debug, Clone, Default)]
struct Tally {
    requests: u64,
    moved: u64,
    last_resort: u64,
    below: u64,
    unanswered: u64,
    answered: Sum,
    cost_before: Sum,
    cost: Sum,
    quality_before: Sum,
    quality: Sum,
    first_token_before: Sum,
    first_token: Sum,
}

pub(super) struct Walk<'a> {
    inputs: &'a Inputs<'a>,
    scenario: &'a Scenario,
    today: &'a World,
    then: &'a World,
    gone_today: Vec<DeploymentIx>,
    gone_then: Vec<DeploymentIx>,
    worth: Worth<'a>,
    views: (Snapshot, Snapshot),
    total: Tally,
    products: BTreeMap<Option<Name>, Tally>,
    parties: BTreeMap<(Kind, Option<Name>), (u64, u64)>,
    shares: BTreeMap<Option<Name>, (u64, u64)>,
    unmeasured: BTreeMap<(Name, Name), u64>,
    refused_at_home: u64,
}

/// A part of a flow.
#[derive(Clone, Copy)]
struct Portion {
    flow: usize,
    requests: u64,
    number: u64,
}

#[expect(clippy::cast_precision_loss, reason = "counts of requests stay far below 2^52")]
impl<'a> Walk<'a> {
    pub(super) fn new(
        inputs: &'a Inputs<'a>,
        evidence: &'a Evidence,
        scenario: &'a Scenario,
        (today, then): (&'a World, &'a World),
    ) -> Self {
        let list = |world: &World| world.gone.iter().map(|(ix, _)| *ix).collect();
        let worth = Worth::new(inputs.flows, evidence, inputs.day);
        Self {
            inputs,
            scenario,
            today,
            then,
            gone_today: list(today),
            gone_then: list(then),
            views: (seen(&worth, today), seen(&worth, then)),
            worth,
            total: Tally::default(),
            products: BTreeMap::new(),
            parties: BTreeMap::new(),
            shares: BTreeMap::new(),
            unmeasured: BTreeMap::new(),
            refused_at_home: 0,
        }
    }

    /// Walks through all traffic. Kinds of requests take turns, so that share caps fill as they would live.
    pub(super) fn all(&mut self) {
        let flows = self.inputs.flows;
        let mut portions = Vec::new();
        for (flow, about) in flows.iter().enumerate().filter(|(_, flow)| flow.answered > 0) {
            let cuts = PORTIONS.min(about.answered);
            let (each, rest) = (about.answered / cuts, about.answered % cuts);
            portions.extend((0..cuts).map(|number| Portion {
                flow,
                requests: each + u64::from(number < rest),
                number,
            }));
        }
        portions.sort_by_key(|portion| portion.number);
        for portion in portions {
            let flow = &flows[portion.flow];
            let from = flow.key.deployment.as_deref().and_then(|name| self.today.fleet(None).deployment_named(name));
            let fate = self.fate(flow, from, portion);
            self.tell(flow, from, portion.requests, fate);
        }
    }

    fn fate(&mut self, flow: &'a Flow, from: Option<DeploymentIx>, portion: Portion) -> Fate {
        let class = flow.key.class.as_deref();
        let (today, then) = (self.today.fleet(class), self.then.fleet(class));
        let Some(product) = flow.key.product.as_deref().and_then(|name| then.product_named(name)) else {
            return Fate::Unknown;
        };
        let locked = flow.key.portability == Some(Portability::Locked);
        let question = Question {
            product,
            model: flow.key.requested_model.clone(),
            lacked: flow.key.lacked,
            purpose: purpose(flow.key.dialect.as_deref()),
            tokens: flow.largest.unwrap_or(0),
            bound: from.filter(|_| locked),
        };
        let chance = portion.number.wrapping_mul(0x9E37_79B9_7F4A_7C15);
        let at = |view, wall| Moment { wall, view, chance };
        if let Some(fate) = self.taken_home(flow, &question, from) {
            return fate;
        }
        let before = ask(today, &question, &at(&self.views.0, self.today.wall), &self.gone_today);
        let before = before.ok().and_then(|plan| plan.first());
        let after = ask(then, &question, &at(&self.views.1, self.then.wall), &self.gone_then);
        let after = after.map(|plan| plan.legs).unwrap_or_default();
        let gone = from.is_some_and(|from| self.gone_then.contains(&from));
        let lost = from.is_none() && locked;
        let first = after.first().copied();
        // a draw among equals is no reason to move
        let equal = |leg: &Leg| {
            first.is_some_and(|first| (leg.score - first.score).abs() < EQUAL && leg.degraded == first.degraded)
        };
        let drawn = then.product(product).rules().weights.is_empty()
            && after.iter().any(|leg| Some(leg.deployment) == from && equal(leg));
        let fate = match first {
            _ if !gone && before == first.map(|leg| leg.deployment) => Fate::Stays,
            Some(leg) if Some(leg.deployment) == from || drawn => Fate::Stays,
            Some(leg) => self.moves(flow, from, leg),
            None if lost && !gone => Fate::Stays,
            None => Fate::Nothing,
        };
        count(today, &mut self.views.0, product, before.or(from), portion.requests);
        let answered_by = match fate {
            Fate::Moves { to, .. } => Some(to),
            Fate::Stays => from,
            Fate::Nothing | Fate::Unknown => None,
        };
        count(then, &mut self.views.1, product, answered_by, portion.requests);
        fate
    }

    /// What our own models take by the scenario, where they can.
    fn taken_home(&mut self, flow: &'a Flow, question: &Question, from: Option<DeploymentIx>) -> Option<Fate> {
        let fits = |of: &Option<Name>, is: &Option<Name>| of.is_none() || of == is;
        let key = &flow.key;
        let taken =
            |one: &&(Option<Name>, Option<Name>, DeploymentIx)| fits(&one.0, &key.product) && fits(&one.1, &key.class);
        let to = self.then.house.iter().find(taken)?.2;
        if question.bound.is_some() || from == Some(to) {
            return None;
        }
        let bound = Question { bound: Some(to), model: None, ..question.clone() };
        let moment = Moment { wall: self.then.wall, view: &self.views.1, chance: 0 };
        let fleet = self.then.fleet(key.class.as_deref());
        if let Ok(plan) = ask(fleet, &bound, &moment, &self.gone_then)
            && plan.first() == Some(to)
        {
            let proven = self.verdict(flow, from, to);
            return Some(Fate::Moves {
                to,
                level: Level::Fine,
                below: proven == Verdict::BelowFloor,
                supposed: proven != Verdict::Covered,
            });
        }
        self.refused_at_home += flow.answered;
        None
    }

    fn verdict(&self, flow: &'a Flow, from: Option<DeploymentIx>, to: DeploymentIx) -> Verdict {
        let Some(from) = from else { return Verdict::None };
        let fleet = self.then.fleet(None);
        let (from, to) = (&fleet.deployment(from).name, &fleet.deployment(to).name);
        self.worth.verdict(flow, from, to, Day::of(self.then.wall))
    }

    fn moves(&self, flow: &'a Flow, from: Option<DeploymentIx>, leg: Leg) -> Fate {
        let proven = self.verdict(flow, from, leg.deployment);
        let below = leg.degraded == Some(Degraded::BelowFloor) || proven == Verdict::BelowFloor;
        let level = if proven == Verdict::Covered { Level::Fine } else { level(&leg) };
        Fate::Moves { to: leg.deployment, level, below, supposed: false }
    }

    fn tell(&mut self, flow: &'a Flow, from: Option<DeploymentIx>, requests: u64, fate: Fate) {
        let change = self.change(flow, from, requests, fate);
        let product = self.products.entry(flow.key.product.clone()).or_default();
        for tally in [&mut self.total, product] {
            tally.requests += requests;
            change.tell(tally, requests);
        }
        if let (Some(to), None, Some(from)) = (change.to, change.cost, from)
            && matches!(fate, Fate::Moves { .. })
        {
            let name = |world: &World, ix| Name::from(world.fleet(None).deployment(ix).name.as_str());
            *self.unmeasured.entry((name(self.today, from), name(self.then, to))).or_default() += requests;
        }
        self.share(flow, requests, fate);
    }

    /// Everything that a portion's fate changes.
    fn change(&self, flow: &'a Flow, from: Option<DeploymentIx>, requests: u64, fate: Fate) -> Change {
        let weight = requests as f64;
        let share = weight / flow.answered as f64;
        let recorded = (flow.unpriced == 0).then_some(flow.cost_nanodollars as f64 * share);
        let before = from.and_then(|ix| self.worth.quality(self.today, flow, ix));
        let ledger = |value| Value { value, basis: Basis::Ledger, doubt: None };
        let took = (flow.timed > 0).then(|| flow.first_token_us as f64 / flow.timed as f64 / 1e6);
        let first_token_before = took.map(ledger);
        let mut change = Change {
            fate,
            basis: None,
            to: None,
            recorded,
            cost: None,
            before,
            quality: None,
            first_token_before,
            first_token: None,
        };
        match fate {
            Fate::Stays if self.then.restated && from.is_some() => {
                let pair = from.map(|ix| (self.today.fleet(None).deployment(ix), self.then.fleet(None).deployment(ix)));
                change.cost = pair.and_then(|pair| self.worth.restated(flow, share, pair));
                change.basis = Some(Basis::Ledger);
                change.quality = from.and_then(|ix| self.worth.quality(self.then, flow, ix));
                change.first_token = first_token_before;
            }
            Fate::Stays => {
                let factor = from.and_then(|ix| self.then.factors.get(ix.index())).copied().unwrap_or(1.0);
                let basis = if unchanged(factor) { Basis::Ledger } else { Basis::Assumed };
                change.cost = recorded.map(|cost| Value { basis, ..ledger(cost * factor) });
                change.basis = Some(Basis::Ledger);
                change.quality = from.and_then(|ix| self.worth.quality(self.then, flow, ix));
                change.first_token = first_token_before;
            }
            Fate::Moves { to, supposed, .. } => {
                let of = from.map(|ix| self.today.fleet(None).deployment(ix));
                change.to = Some(to);
                change.cost = self.worth.moved(self.then, self.scenario, Move { flow, share, from: of, to });
                change.quality = self.worth.quality(self.then, flow, to);
                let usual = self.worth.first_token(&self.then.fleet(None).deployment(to).name, flow.key.size);
                change.first_token = usual.map(|value| Value { value, basis: Basis::Estimate, doubt: None });
                change.basis = Some(match self.verdict(flow, from, to) {
                    Verdict::Covered => Basis::Cover,
                    _ if supposed => Basis::Assumed,
                    _ => Basis::Estimate,
                });
            }
            Fate::Nothing => {
                change.basis = Some(Basis::Estimate);
                change.cost = Some(ledger(0.0));
            }
            Fate::Unknown => {}
        }
        change
    }

    fn share(&mut self, flow: &Flow, requests: u64, fate: Fate) {
        let fleet = self.then.fleet(None);
        let by = match fate {
            Fate::Moves { to, .. } => Some(Name::from(fleet.deployment(to).name.as_str())),
            Fate::Nothing => None,
            Fate::Stays | Fate::Unknown => flow.key.deployment.clone(),
        };
        self.shares.entry(flow.key.deployment.clone()).or_default().0 += requests;
        self.shares.entry(by).or_default().1 += requests;
        let recorded = facts(&flow.key, Some(self.today.fleet(None)));
        for kind in PARTIES {
            let was = recorded.iter().find(|(of, _)| *of == kind).map(|(_, name)| name.clone());
            self.parties.entry((kind, was.clone())).or_default().0 += requests;
            let is = match fate {
                Fate::Moves { to, .. } => kind.of(fleet.deployment(to)).map(Name::from),
                Fate::Nothing => continue,
                Fate::Stays | Fate::Unknown => was,
            };
            self.parties.entry((kind, is)).or_default().1 += requests;
        }
    }

    pub(super) fn result(self) -> WhatIf {
        let fleet = self.then.fleet(None);
        let mut products: Vec<Line> = self.products.iter().map(|(name, tally)| line(name.clone(), tally)).collect();
        products.sort_by(|a, b| b.requests.cmp(&a.requests).then_with(|| a.product.cmp(&b.product)));
        let total = line(None, &self.total);
        let figures = [("answered share", &total.answered), ("cost", &total.cost), ("quality", &total.quality)];
        let most = figures.iter().max_by(|a, b| a.1.rests.assumed.total_cmp(&b.1.rests.assumed));
        let assumed = most.map(|(name, figure)| (*name, figure.rests.assumed)).filter(|(_, share)| *share > 0.0);
        let known = |ix: policy::DeploymentIx| self.today.fleet(None).deployments().get(ix.index());
        let name = |ix: policy::DeploymentIx| known(ix).unwrap_or_else(|| fleet.deployment(ix)).name.as_str();
        let gone = self.then.gone.iter().map(|(ix, why)| (Name::from(name(*ix)), why.clone()));
        let share = |(name, both): (&Option<Name>, &(u64, u64))| ShareOf {
            deployment: name.clone(),
            before: both.0,
            after: both.1,
        };
        let mut shares: Vec<ShareOf> = self.shares.iter().map(share).collect();
        shares.sort_by_key(|one| std::cmp::Reverse(one.before.max(one.after)));
        let first = self.inputs.flows.iter().map(|flow| flow.first).min();
        let last = self.inputs.flows.iter().map(|flow| flow.last).max();
        let span = first.zip(last).map_or(0, |(first, last)| last.saturating_sub(first));
        let mut unmeasured: Vec<(Name, Name, u64)> =
            self.unmeasured.iter().map(|((from, to), requests)| (from.clone(), to.clone(), *requests)).collect();
        unmeasured.sort_by_key(|(_, _, requests)| std::cmp::Reverse(*requests));
        WhatIf {
            name: self.scenario.name.clone(),
            about: self.scenario.about.clone(),
            day: Day::of(self.then.wall),
            days: (span as f64 / 86_400e6).max(1.0),
            assumed,
            gone: gone.collect(),
            shares,
            parties: PARTIES.map(|kind| self.shift(kind)).to_vec(),
            unmeasured,
            notes: self.notes(&total),
            total,
            products,
        }
    }

    fn shift(&self, kind: Kind) -> PartyShift {
        let side = |of: fn(&(u64, u64)) -> u64| {
            let mine =
                || self.parties.iter().filter(|((by, _), _)| *by == kind).map(|((_, name), both)| (name, of(both)));
            let all = mine().map(|(_, count)| count).sum::<u64>().max(1) as f64;
            let known = mine().filter_map(|(name, count)| Some((name.clone()?, count as f64 / all)));
            let largest = known.filter(|(_, share)| *share > 0.0).max_by(|a, b| a.1.total_cmp(&b.1));
            (largest, mine().map(|(_, count)| (count as f64 / all).powi(2) * 10_000.0).sum::<f64>())
        };
        let ((before, hhi_before), (after, hhi_after)) = (side(|both| both.0), side(|both| both.1));
        PartyShift { by: kind, before, after, hhi_before, hhi_after }
    }

    fn notes(&self, total: &Line) -> Vec<String> {
        let mut notes = self.inputs.notes.to_vec();
        let named = self.inputs.flows.iter().filter(|flow| {
            let auto =
                flow.key.requested_model.as_deref().is_none_or(|name| name.is_empty() || name == policy::fleet::AUTO);
            !auto
        });
        let named: u64 = named.map(|flow| flow.answered).sum();
        if named > 0 && total.requests > 0 {
            let share = named as f64 / total.requests as f64 * 100.0;
            notes.push(format!(
                "{share:.0} % of the requests name a model: better or cheaper ones elsewhere draw them only where the product says `substitute = \"free\"`"
            ));
        }
        if !self.unmeasured.is_empty() {
            notes.push(
                "where no ratio of tokens between two models was measured the cost is unknown and left out: recorded tokens \
                 are not repriced, because another model needs other numbers of them"
                    .to_owned(),
            );
        }
        if self.refused_at_home > 0 {
            notes.push(format!("our own models cannot take {} of the requests given to them", self.refused_at_home));
        }
        notes.push(
            "everyone who is not gone is taken to be well, to have room and to be as fast as was recorded; limits, budgets, \
             commitments and the cost of our own machines are not computed"
                .to_owned(),
        );
        notes
    }
}

/// A view in which everyone is well and as fast as was recorded.
fn seen(worth: &Worth<'_>, world: &World) -> Snapshot {
    let sizes = (0_u8..).zip([0].into_iter().chain(SIZES));
    let known = |(ix, one): (DeploymentIx, &policy::Deployment)| {
        let took = |(size, tokens)| {
            let seconds = worth.first_token(&one.name, Some(size))?;
            Some(((ix, SizeBucket::of(tokens)), Duration::from_secs_f64(seconds)))
        };
        sizes.clone().filter_map(took).collect::<Vec<_>>()
    };
    Snapshot { first_tokens: world.fleet(None).iter().flat_map(known).collect(), ..Snapshot::default() }
}

/// Counts answers for the share caps of `product`.
fn count(fleet: &Fleet, view: &mut Snapshot, product: ProductIx, by: Option<DeploymentIx>, requests: u64) {
    let about = fleet.product(product);
    let counted: Vec<usize> = by.map(|ix| about.caps_of(ix).collect()).unwrap_or_default();
    for cap in 0..about.caps().len() {
        let share: &mut Share = view.shares.entry((product, cap)).or_default();
        share.total += requests;
        share.used += if counted.contains(&cap) { requests } else { 0 };
    }
}

/// What a portion's fate changes in the sums.
struct Change {
    fate: Fate,
    basis: Option<Basis>,
    to: Option<DeploymentIx>,
    recorded: Option<f64>,
    cost: Option<Value>,
    before: Option<Value>,
    quality: Option<Value>,
    first_token_before: Option<Value>,
    first_token: Option<Value>,
}

impl Change {
    #[expect(clippy::cast_precision_loss, reason = "counts of requests stay far below 2^52")]
    fn tell(&self, tally: &mut Tally, requests: u64) {
        let weight = requests as f64;
        if let Fate::Moves { level, below, .. } = self.fate {
            tally.moved += requests;
            tally.last_resort += if level == Level::LastResort { requests } else { 0 };
            tally.below += if below { requests } else { 0 };
        }
        let answered = !matches!(self.fate, Fate::Nothing);
        tally.unanswered += if answered { 0 } else { requests };
        match self.basis {
            Some(basis) => tally.answered.add(if answered { weight } else { 0.0 }, weight, basis),
            None => tally.answered.unknown(weight),
        }
        match self.recorded {
            Some(cost) => tally.cost_before.add(cost / 1e9, weight, Basis::Ledger),
            None => tally.cost_before.unknown(weight),
        }
        sum(&mut tally.cost, self.cost, 1e-9, weight);
        sum(&mut tally.quality_before, self.before, weight, weight);
        sum(&mut tally.first_token_before, self.first_token_before, weight, weight);
        if answered {
            sum(&mut tally.quality, self.quality, weight, weight);
            sum(&mut tally.first_token, self.first_token, weight, weight);
        }
    }
}

fn sum(sum: &mut Sum, value: Option<Value>, times: f64, weight: f64) {
    let Some(Value { value, basis, doubt }) = value else { return sum.unknown(weight) };
    sum.add(value * times, weight, basis);
    if let Some(doubt) = doubt {
        sum.doubt(Doubt { multiplies: doubt.multiplies * times, ..doubt }, weight);
    }
}

fn line(product: Option<Name>, tally: &Tally) -> Line {
    Line {
        product,
        requests: tally.requests,
        moved: tally.moved,
        last_resort: tally.last_resort,
        below_floor: tally.below,
        unanswered: tally.unanswered,
        answered: tally.answered.figure(true),
        cost_before: tally.cost_before.figure(false),
        cost: tally.cost.figure(false),
        quality_before: tally.quality_before.figure(true),
        quality: tally.quality.figure(true),
        first_token_before: tally.first_token_before.figure(true),
        first_token: tally.first_token.figure(true),
    }
}
