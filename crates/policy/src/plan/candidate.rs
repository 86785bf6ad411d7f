//! The search: every deployment of a list is tried against the rules, cheapest test first, and either becomes a
//! candidate or is dropped with its reason.

use super::resolve::Target;
use super::{Degraded, DropReason, Dropped, Leg, MAX_COMPARED, MAX_LEGS, Plan, PlanInput, order, refuse};
use crate::breaker::{Cause, Health};
use crate::fleet::{Cap, Caps, DeploymentIx, Fleet, Lean, Ranked, Standing};
use crate::money::NanoUsd;
use crate::price::Counts;
use crate::rules::{LastResort, OnLoss, Over, Prefer};
use crate::time::Wall;
use crate::view::{Live, SizeBucket, View};
use canon::Purpose;
use smallvec::SmallVec;
use std::time::Duration;

/// The facets estimate a token per four bytes; no tokenizer makes more than one of each byte.
const WORST_TOKENS_PER_ESTIMATED: u64 = 4;
/// The longest answer where neither request nor catalog say one.
const UNKNOWN_OUTPUT: u64 = 32_768;
/// The usual length of an answer where the request demands no shorter one.
const USUAL_OUTPUT: u64 = 512;

/// A deployment that can answer.
#[derive(Debug, Clone, Copy)]
pub(super) struct Candidate {
    pub(super) ix: DeploymentIx,
    pub(super) misses_slo: bool,
    /// Its place among the pinned, or whether it is weighed at all.
    pub(super) group: u16,
    /// It does not speak the client's API.
    pub(super) foreign: bool,
    /// That, where the rules want losses avoided before anything else.
    pub(super) lossy: bool,
    /// It cannot do what the request asks for but does not need.
    pub(super) softly_lacks: bool,
    pub(super) cold: bool,
    pub(super) rank: u32,
    pub(super) weight: f32,
    pub(super) ramp: f32,
    pub(super) headroom: f32,
    pub(super) latency: Option<Duration>,
    pub(super) quality: Option<f64>,
    /// Whether it was shown to meet the floor.
    pub(super) proven: Option<bool>,
    pub(super) expected: NanoUsd,
    /// What of it is not paid in any case.
    pub(super) more: NanoUsd,
    pub(super) worst: NanoUsd,
    pub(super) degraded: Option<Degraded>,
    pub(super) probe: bool,
    pub(super) score: f32,
    pub(super) probability: f32,
}

impl Candidate {
    pub(super) fn leg(&self) -> Leg {
        Leg {
            deployment: self.ix,
            score: self.score,
            probability: self.probability,
            degraded: self.degraded,
            probe: self.probe,
            expected: self.expected,
            worst: self.worst,
        }
    }
}

pub(super) type Candidates = SmallVec<[Candidate; 12]>;

/// What a test of one deployment came to.
enum Verdict {
    Usable,
    /// A rule that may bend stands against it.
    Bends(LastResort),
    Drop(DropReason),
}

/// One search.
pub(super) struct Scan<'a, V: ?Sized> {
    input: &'a PlanInput<'a, V>,
    target: &'a Target<'a>,
    needed: Caps,
    floor: Option<f64>,
    /// Whether the floor is the one that proofs were made against.
    proofs: bool,
    money: Option<NanoUsd>,
    wire: u32,
    /// The space that vectors are wanted in; 0: words are wanted.
    space: u32,
    bucket: SizeBucket,
    /// Full share caps of the product, one bit each.
    full: u32,
    /// One bit per deployment that was looked at.
    seen: SmallVec<[u64; 16]>,
    over_cap: Candidates,
    below_floor: Candidates,
    /// The least bad of those that are down, and how bad it is.
    unhealthy: Option<(Candidate, (bool, u32, Duration))>,
    over_budget: bool,
    pub(super) candidates: Candidates,
    /// When the first of those that are down may be asked again.
    pub(super) soonest: Option<Duration>,
    pub(super) plan: Plan,
}

impl<'a, V: View + ?Sized> Scan<'a, V> {
    pub(super) fn new(input: &'a PlanInput<'a, V>, target: &'a Target<'a>) -> Self {
        let product = input.product;
        let caps = product.caps().iter().enumerate();
        let full = caps.filter(|(at, cap)| input.view.share(product.ix(), *at, input.now).full(cap.share));
        let named = named_quality(input, target);
        let counts_money = product.rules().budget.over != Over::Alert;
        Self {
            input,
            target,
            needed: Caps::of_request(input.facets),
            floor: floor(input, named),
            proofs: named.is_none(),
            money: if counts_money { input.view.money_left(product.ix(), input.wall) } else { None },
            wire: input.dialect.map_or(0, |wire| input.fleet.wire_bit(wire)),
            space: space(input, target),
            bucket: SizeBucket::of(input.facets.input_tokens),
            full: full.fold(0, |mask, (at, _)| mask | 1 << at),
            seen: SmallVec::from_elem(0, input.fleet.deployments().len().div_ceil(64)),
            over_cap: SmallVec::new(),
            below_floor: SmallVec::new(),
            unhealthy: None,
            over_budget: false,
            candidates: SmallVec::new(),
            soonest: None,
            plan: refuse::empty(input, target.asked),
        }
    }

    /// Those asked for, in order.
    pub(super) fn primary(&mut self) {
        let target = self.target;
        let mut found = self.search(target.primary, None);
        if !target.reference.is_empty() {
            // The named ones take part even where `auto` leaves them out, as it does the house model.
            found.extend(self.search(target.reference, None));
        }
        self.add(found);
    }

    /// Those that may stand in because the named ones cannot answer, or may fail.
    pub(super) fn substitutes(&mut self) {
        if self.target.substitutes.is_empty() || self.candidates.len() >= MAX_LEGS || self.refuses() {
            return;
        }
        let found = self.search(self.target.substitutes, Some(Degraded::Substitute));
        self.add(found);
    }

    /// What may bend, in the order of the rules, behind everything within them.
    pub(super) fn last_resort(&mut self) {
        for rule in &self.input.product.rules().last_resort {
            if self.refuses() {
                break;
            }
            match rule {
                LastResort::OverCap => {
                    let bent = std::mem::take(&mut self.over_cap);
                    self.add(bent);
                }
                LastResort::BelowFloor => {
                    let bent = std::mem::take(&mut self.below_floor);
                    self.add(bent);
                }
                LastResort::Unhealthy => self.least_bad(),
                LastResort::House => self.house(),
            }
        }
        // Those whom the budget kept from standing in.
        for candidate in self.over_cap.drain(..) {
            self.plan.dropped.push(Dropped { deployment: candidate.ix, reason: DropReason::ShareCap });
        }
        for candidate in self.below_floor.drain(..) {
            // Without any quality nothing can be below the floor, but for what a proof says.
            let unknown = candidate.quality.is_none() && candidate.proven.is_none();
            let reason = if unknown { DropReason::QualityUnknown } else { DropReason::BelowFloor };
            self.plan.dropped.push(Dropped { deployment: candidate.ix, reason });
        }
    }

    /// Whether the budget refuses the request: what was asked for does not fit, and nothing dearer or worse may
    /// take its place.
    fn refuses(&self) -> bool {
        self.over_budget && self.candidates.is_empty() && self.input.product.rules().budget.over == Over::Refuse
    }

    /// Orders `more` and appends it; only those at the head of all have a probability.
    fn add(&mut self, mut more: Candidates) {
        order::sort(&mut more, self.input);
        self.drop_unaffordable(&mut more);
        let head = self.candidates.is_empty();
        order::settle(&mut more, self.input, head);
        if !head {
            more.iter_mut().for_each(|candidate| candidate.probability = 0.0);
        }
        self.candidates.append(&mut more);
    }

    /// Drops what the budget does not cover; what stood behind it is what the budget allows instead.
    fn drop_unaffordable(&mut self, sorted: &mut Candidates) {
        let Some(first) = sorted.iter().position(|candidate| self.unaffordable(candidate)) else { return };
        for candidate in &sorted[first..] {
            if self.unaffordable(candidate) {
                self.plan.dropped.push(Dropped { deployment: candidate.ix, reason: DropReason::Budget });
            }
        }
        self.over_budget = true;
        let money = self.money;
        let mut at = 0;
        sorted.retain(|candidate| {
            at += 1;
            if at > first + 1 {
                candidate.degraded = candidate.degraded.or(Some(Degraded::Budget));
            }
            money.is_none_or(|left| candidate.worst <= left)
        });
    }

    fn unaffordable(&self, candidate: &Candidate) -> bool {
        self.money.is_some_and(|left| candidate.worst > left)
    }

    /// Nobody is healthy: one try at the least bad one.
    fn least_bad(&mut self) {
        if self.candidates.is_empty()
            && let Some((mut candidate, _)) = self.unhealthy.take()
        {
            candidate.degraded = Some(Degraded::Unhealthy);
            self.plan.dropped.retain(|dropped| dropped.deployment != candidate.ix);
            self.add(SmallVec::from_elem(candidate, 1));
        }
    }

    /// The house model, if it was not considered under its own name. Floor and share caps measure parties; it stands
    /// in because none of them is left.
    fn house(&mut self) {
        self.floor = None;
        self.full = 0;
        let found = self.search(self.input.fleet.houses(), Some(Degraded::House));
        let before = self.candidates.len();
        self.add(found);
        // It keeps the last leg, however many stand before it.
        if self.candidates.len() > before && before >= MAX_LEGS {
            let beyond = self.candidates.drain(MAX_LEGS - 1..before);
            self.plan.spare.extend(beyond.map(|candidate| candidate.ix));
        }
    }

    fn search(&mut self, list: &[Ranked], degraded: Option<Degraded>) -> Candidates {
        let mut found = Candidates::new();
        let mut affordable = 0;
        let start = self.start(list.len());
        for (at, ranked) in list[start..].iter().chain(&list[..start]).enumerate() {
            if affordable >= MAX_COMPARED {
                self.plan.unseen += u32::try_from(list.len() - at).unwrap_or(u32::MAX);
                break;
            }
            let (word, bit) = (ranked.ix.index() / 64, 1_u64 << (ranked.ix.index() % 64));
            if self.seen[word] & bit != 0 {
                continue;
            }
            self.seen[word] |= bit;
            if let Some(candidate) = self.consider(*ranked, degraded) {
                affordable += usize::from(!self.unaffordable(&candidate));
                found.push(candidate);
            }
        }
        found
    }

    /// Where to begin: lists stand in the order of what never changes, which says nothing about latency.
    #[expect(clippy::cast_possible_truncation, reason = "any start does")]
    fn start(&self, len: usize) -> usize {
        match self.input.product.rules().prefer {
            Prefer::Weighted(weights) if weights.latency > 0.0 && len > MAX_COMPARED => {
                self.input.chance as usize % len
            }
            _ => 0,
        }
    }

    /// Tries one deployment; a candidate where it can answer within the rules.
    fn consider(&mut self, ranked: Ranked, degraded: Option<Degraded>) -> Option<Candidate> {
        let ix = ranked.ix;
        let input = self.input;
        let lean = input.fleet.lean(ix);
        let standing = input.product.standing(ix);
        if let Some(reason) = self.unfit(ix, lean, standing, degraded == Some(Degraded::House)) {
            return self.drop(ix, reason);
        }
        let live = input.view.live(ix, self.bucket, input.now);
        let mut candidate = self.candidate(ranked, lean, standing, &live, degraded);
        let verdict = self.rules(&candidate, standing);
        match live.health {
            Health::Open { .. } | Health::Probing => return self.down(candidate, &live, &verdict),
            Health::Closed | Health::Ramp(_) | Health::Probe => {}
        }
        if live.headroom <= 0.0 {
            return self.drop(ix, DropReason::NoHeadroom);
        }
        match verdict {
            Verdict::Usable => return Some(candidate),
            Verdict::Drop(reason) => return self.drop(ix, reason),
            Verdict::Bends(LastResort::OverCap) => {
                candidate.degraded = Some(Degraded::OverCap);
                self.over_cap.push(candidate);
            }
            Verdict::Bends(_) => {
                candidate.degraded = Some(Degraded::BelowFloor);
                self.below_floor.push(candidate);
            }
        }
        None
    }

    fn drop(&mut self, deployment: DeploymentIx, reason: DropReason) -> Option<Candidate> {
        self.plan.dropped.push(Dropped { deployment, reason });
        None
    }

    /// Needs and permissions: what no last resort bends.
    fn unfit(&self, ix: DeploymentIx, lean: &Lean, standing: Standing, last_resort: bool) -> Option<DropReason> {
        let (input, facets) = (self.input, self.input.facets);
        // Whoever stands in as the last resort was not asked for, so that no list of models need name it.
        if !standing.listed && !last_resort {
            return Some(DropReason::Permission);
        }
        let embeds = facets.purpose == Purpose::Embedding;
        if embeds != (lean.space != 0) {
            return Some(DropReason::Purpose);
        }
        if lean.space != self.space {
            return Some(DropReason::Vectors);
        }
        if standing.unmet.is_some() {
            return standing.unmet;
        }
        if input.permit.is_some_and(|permit| !permit.allows(ix)) && !last_resort {
            return Some(DropReason::Key);
        }
        if input.exclude.contains(&ix) {
            return Some(DropReason::Excluded);
        }
        if input.bound.is_some_and(|bound| bound != ix) {
            return Some(DropReason::State);
        }
        if let Some(cap) = self.needed.both(lean.lacks).first() {
            return Some(DropReason::Lacks(cap));
        }
        // The house model shortens its answer to what fits; a provider would refuse the whole request.
        let output = if lean.house { 0 } else { facets.max_output_tokens.unwrap_or(0) };
        if facets.input_tokens.saturating_add(output) > lean.context {
            return Some(DropReason::Context);
        }
        if lean.max_output.is_some_and(|most| output > most) {
            return Some(DropReason::Output);
        }
        if input.wall >= lean.retires {
            return Some(DropReason::Retired);
        }
        (input.wall >= lean.contract_ends).then_some(DropReason::ContractEnded)
    }

    /// Floor and share cap.
    fn rules(&self, candidate: &Candidate, standing: Standing) -> Verdict {
        let product = self.input.product;
        let below = self.floor.and_then(|floor| match (candidate.proven, candidate.quality) {
            (Some(true), _) => None,
            (Some(false), _) => Some(DropReason::BelowFloor),
            (None, None) => Some(DropReason::QualityUnknown),
            (None, Some(quality)) => (quality < floor).then_some(DropReason::BelowFloor),
        });
        let full = standing.caps & self.full != 0;
        match below {
            Some(reason) if !product.bends(LastResort::BelowFloor) => Verdict::Drop(reason),
            _ if full && !product.bends(LastResort::OverCap) => Verdict::Drop(DropReason::ShareCap),
            Some(_) => Verdict::Bends(LastResort::BelowFloor),
            None if full => Verdict::Bends(LastResort::OverCap),
            None => Verdict::Usable,
        }
    }

    /// Drops one that is down, but keeps the least bad of them in mind. Whoever refuses us or asked us to wait is
    /// taken at its word.
    fn down(&mut self, candidate: Candidate, live: &Live, verdict: &Verdict) -> Option<Candidate> {
        let (reason, wait, may_try) = match live.health {
            Health::Open { until, cause } => {
                let may_try = matches!(cause, Cause::Sick | Cause::Correlated);
                (DropReason::Down(cause), Some(until.since(self.input.now)), may_try)
            }
            _ => (DropReason::Probing, None, true),
        };
        if let Some(wait) = wait {
            self.soonest = Some(self.soonest.map_or(wait, |soonest| soonest.min(wait)));
        }
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "it is between 0 and 1")]
        let failing = (live.failing * 1_000.0) as u32;
        let badness = (candidate.degraded.is_some(), failing, wait.unwrap_or_default());
        let bends = self.input.product.bends(LastResort::Unhealthy);
        if may_try
            && bends
            && candidate.degraded != Some(Degraded::House)
            && matches!(verdict, Verdict::Usable)
            && !self.unaffordable(&candidate)
            && self.unhealthy.as_ref().is_none_or(|(_, least)| badness < *least)
        {
            self.unhealthy = Some((candidate, badness));
        }
        self.drop(candidate.ix, reason)
    }

    fn candidate(
        &self,
        ranked: Ranked,
        lean: &Lean,
        standing: Standing,
        live: &Live,
        degraded: Option<Degraded>,
    ) -> Candidate {
        let (input, facets) = (self.input, self.input.facets);
        let rules = input.product.rules();
        let slow = rules.slo.first_token_ms_p95.zip(live.first_token_p95);
        let failing = rules.slo.error_rate.zip(live.error_rate);
        let foreign = self.wire != 0 && lean.wires & self.wire == 0;
        let cached = input.warm.filter(|warm| warm.at == ranked.ix).map(|warm| warm.tokens);
        let answers = u64::from(facets.choices.max(1));
        let most = facets.max_output_tokens.or(lean.max_output).unwrap_or(UNKNOWN_OUTPUT);
        let usual = most.min(USUAL_OUTPUT);
        let input_tokens = facets.input_tokens;
        let (tariff, class) = (input.fleet.tariff(ranked.ix), facets.service_tier.as_deref());
        let expected = Counts {
            input: input_tokens,
            cache_read: cached.unwrap_or(0),
            output: usual.saturating_mul(answers),
            ..Counts::default()
        };
        let expected = tariff.cost(input.wall, &expected, class);
        let prepaid = if lean.committed { input.view.prepaid(ranked.ix, input.wall) } else { NanoUsd::ZERO };
        Candidate {
            ix: ranked.ix,
            misses_slo: slow.is_some_and(|(most, is)| is > Duration::from_millis(most))
                || failing.is_some_and(|(most, is)| f64::from(is) > most),
            group: if input.product.weighted() { u16::from(standing.weight <= 0.0) } else { standing.pin },
            foreign,
            lossy: foreign && rules.on_loss != OnLoss::Send,
            softly_lacks: facets.reasoning && lean.lacks.has(Cap::Reasoning),
            cold: input.warm.is_some() && cached.is_none(),
            rank: ranked.rank,
            weight: standing.weight,
            ramp: if let Health::Ramp(share) = live.health { share } else { 1.0 },
            headroom: live.headroom,
            latency: live.first_token,
            quality: lean.quality,
            proven: standing.proven.filter(|proof| self.proofs && input.wall < proof.until).map(|proof| proof.meets),
            expected,
            more: expected.minus(prepaid),
            worst: tariff.worst(
                input.wall,
                input_tokens.saturating_mul(WORST_TOKENS_PER_ESTIMATED).min(lean.context),
                most.saturating_mul(answers),
                class,
            ),
            degraded,
            probe: live.health == Health::Probe,
            score: 0.0,
            probability: 0.0,
        }
    }
}

/// What a request to `deployment` can cost at most of which nothing is known but its bytes and, perhaps, the longest
/// answer that it allows.
#[must_use]
pub fn worst_unread(
    fleet: &Fleet,
    deployment: DeploymentIx,
    (bytes, most_output): (u64, Option<u64>),
    wall: Wall,
) -> NanoUsd {
    let lean = fleet.lean(deployment);
    let output = most_output.or(lean.max_output).unwrap_or(UNKNOWN_OUTPUT);
    fleet.tariff(deployment).worst(wall, bytes.min(lean.context), output, None)
}

/// The space that vectors are wanted in: of all that the name stands for, the first one's, whoever is up. So one name
/// always means one space.
fn space<V: ?Sized>(input: &PlanInput<'_, V>, target: &Target<'_>) -> u32 {
    if input.facets.purpose == Purpose::Conversation {
        return 0;
    }
    let named = target.reference.iter().chain(target.primary);
    named.map(|ranked| input.fleet.lean(ranked.ix).space).find(|space| *space != 0).unwrap_or(0)
}

/// The best quality of the named models, where the name is only a reference.
fn named_quality<V: ?Sized>(input: &PlanInput<'_, V>, target: &Target<'_>) -> Option<f64> {
    let named = target.reference.iter().filter_map(|ranked| input.fleet.lean(ranked.ix).quality);
    named.reduce(f64::max)
}

/// The least quality: against `named`, else as the rules say.
fn floor<V: ?Sized>(input: &PlanInput<'_, V>, named: Option<f64>) -> Option<f64> {
    let margin = input.product.rules().floor.as_ref()?.margin;
    named.map(|quality| quality - margin).or(input.product.floor())
}
