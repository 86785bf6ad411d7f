//! From the ledger's rows to what a drill showed. The rows are the only source of the counts; what the server counted
//! beside them is only compared.

use super::story::{Fate, Story, since, stories};
use super::{
    Counts, Drill, Finding, Hope, House, Latency, Level, Live, Locks, Mark, Played, Quality, Report, Slice, State,
    Tally, Verdict,
};
use crate::cover::{Cover, Verdict as Proven, verdict};
use crate::{Basis, Day};
use ledger::record::{Attempt, Name, Outcome};
use policy::Wall;
use std::collections::BTreeMap;

/// Slices of the timeline within the window.
const SLICES: i64 = 60;
/// How long a slice is at least, microseconds.
const SLICE: i64 = 1_000_000;
/// One request in so many may still ask somebody lost when it has settled.
const STILL: u64 = 20;

/// All that a report is made from.
#[derive(Debug, Clone, Copy)]
pub struct Evidence<'a> {
    /// The drill.
    pub drill: &'a Drill,
    /// How it ended.
    pub state: &'a State,
    /// When it began, Unix microseconds.
    pub began: i64,
    /// When it ended.
    pub ended: i64,
    /// What its server counted.
    pub counts: Counts,
    /// Its rows.
    pub rows: &'a [Attempt],
    /// Rows of its products from before, without a drill's flag, of about as long a time.
    pub before: &'a [Attempt],
    /// The same from after it.
    pub after: &'a [Attempt],
    /// What is proven.
    pub covers: &'a [Cover],
    /// Deployments that run on our own machines.
    pub house: &'a [Name],
}

/// What the drill showed.
#[must_use]
pub fn judge(evidence: &Evidence<'_>) -> Report {
    let (told, before, after) = (stories(evidence.rows), stories(evidence.before), stories(evidence.after));
    let live = live(evidence, &told, &before, &after);
    let findings = findings(evidence, &told, &live);
    let mut notes = Vec::new();
    if live.total.unknown > 0 {
        let unknown = live.total.unknown;
        notes.push(format!("{unknown} requests have no end in the ledger: their process died, or they still run"));
    }
    if !live.agrees {
        notes.push(
            "the server's own counts differ from the ledger's: requests were under way when it was asked, or it died"
                .to_owned(),
        );
    }
    if let State::Aborted(why) = evidence.state {
        notes.push(format!("aborted: {why}"));
    }
    Report {
        verdict: Verdict::of(&findings),
        findings,
        not_tested: not_tested(evidence.drill, &live),
        live: Some(live),
        paper: None,
        replayed: None,
        notes,
    }
}

fn live(evidence: &Evidence<'_>, told: &[Story<'_>], before: &[Story<'_>], after: &[Story<'_>]) -> Live {
    let drill = evidence.drill;
    let (mut total, mut products) = (Tally::default(), BTreeMap::<Name, Tally>::new());
    for story in told {
        story.count(&mut total);
        story.count(products.entry(story.product().cloned().unwrap_or_default()).or_default());
    }
    let answered = || told.iter().filter_map(|story| story.answer);
    let by = most(answered().filter_map(|row| row.deployment.clone()));
    let at_home = |name: &&(Name, u64)| evidence.house.contains(&name.0);
    let failed = told.iter().filter(|story| story.fate == Fate::Failed);
    let locked = || answered().filter_map(|row| row.locked_by.clone());
    let (slices, slice_us) = slices(evidence, told, before, after);
    let counted = evidence.counts;
    Live {
        agrees: (counted.offered, counted.served, counted.failed, counted.left)
            == (total.offered, total.served, total.failed, total.left),
        counted,
        total,
        products: products.into_iter().collect(),
        house: House { answered: by.iter().filter(at_home).map(|(_, count)| count).sum() },
        by,
        faults: most(failed.map(|story| story.fault.map_or("unknown", canon::FaultKind::name).into())),
        marks: marks(evidence, told),
        first_token_before: latency(before.iter()),
        first_token: latency(told.iter()),
        first_token_met: latency(told.iter().filter(|story| story.met)),
        tokens: evidence.rows.iter().map(|row| row.input_tokens.unwrap_or(0) + row.output_tokens.unwrap_or(0)).sum(),
        uncounted: answered().filter(|row| row.input_tokens.is_none() || row.output_tokens.is_none()).count() as u64,
        nanodollars: evidence.rows.iter().filter_map(|row| row.cost_nanodollars).sum(),
        unpriced: answered().filter(|row| row.cost_nanodollars.is_none()).count() as u64,
        nanodollars_each_before: each(evidence.before),
        nanodollars_each: each(evidence.rows),
        losses: most(answered().flat_map(|row| &row.losses).map(|loss| loss.to_string().into())),
        locks: Locks { requests: locked().count() as u64, by: most(locked()) },
        quality: quality(evidence, told, drill),
        slices,
        slice_us,
    }
}

/// How often each comes, the most first.
fn most(names: impl Iterator<Item = Name>) -> Vec<(Name, u64)> {
    let mut counts: BTreeMap<Name, u64> = BTreeMap::new();
    names.for_each(|name| *counts.entry(name).or_default() += 1);
    let mut list: Vec<(Name, u64)> = counts.into_iter().collect();
    list.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
    list
}

/// The cost per answered request; `None`: of one of them it is unknown, or there are none.
fn each(rows: &[Attempt]) -> Option<i64> {
    let answered = rows.iter().filter(|row| row.outcome == Outcome::Ok);
    let count = i64::try_from(answered.clone().count()).ok().filter(|count| *count > 0)?;
    let known = answered.map(|row| row.cost_nanodollars).sum::<Option<i64>>()?;
    let failed = rows.iter().filter(|row| row.outcome != Outcome::Ok);
    Some((known + failed.filter_map(|row| row.cost_nanodollars).sum::<i64>()) / count)
}

fn latency<'a, 'b: 'a>(stories: impl Iterator<Item = &'a Story<'b>>) -> Option<Latency> {
    let served = stories.filter(|story| story.fate == Fate::Served);
    let mut times: Vec<u64> = served.filter_map(|story| story.first_token).collect();
    times.sort_unstable();
    // The smallest that at least that share does not exceed.
    let at = |per_cent: usize| times.get((times.len() * per_cent).div_ceil(100).max(1) - 1).copied();
    Some(Latency { n: times.len() as u64, p50_us: at(50)?, p95_us: at(95)? })
}

fn marks(evidence: &Evidence<'_>, told: &[Story<'_>]) -> Mark {
    let began = evidence.began;
    let met = || told.iter().filter(|story| story.met);
    let first_word = |story: &Story<'_>| {
        let first = story.answer?.first_token_us.and(story.first_token)?;
        Some(story.started.saturating_add(i64::try_from(first).ok()?))
    };
    let again = |row: &&Attempt| evidence.drill.loses(row.deployment.as_deref()) && row.first_token_us.is_some();
    Mark {
        detect_us: met().filter_map(Story::failed_at).min().map(|at| since(began, at)),
        switch_us: met().filter(|story| story.switched()).filter_map(first_word).min().map(|at| since(began, at)),
        settle_us: settled(evidence, told),
        back_us: evidence.after.iter().filter(again).map(|row| since(evidence.ended, row.started)).min(),
    }
}

/// When asking somebody lost became rare: the last request that still did in a second in which more than one did, and
/// more than one in twenty. `None`: nobody asked them, or it never became rare.
fn settled(evidence: &Evidence<'_>, told: &[Story<'_>]) -> Option<u64> {
    let second = |story: &Story<'_>| since(evidence.began, story.started) / 1_000_000;
    let mut seconds: BTreeMap<u64, (u64, u64, u64)> = BTreeMap::new();
    for story in told {
        let (all, met, last) = seconds.entry(second(story)).or_default();
        *all += 1;
        if story.met {
            *met += 1;
            *last = since(evidence.began, story.started);
        }
    }
    let final_second = *seconds.keys().next_back()?;
    let mut busy = seconds.iter().filter(|(_, (all, met, _))| *met > 1 && met * STILL > *all);
    let (at, (_, _, last)) = busy.next_back().or_else(|| seconds.iter().find(|(_, (_, met, _))| *met > 0))?;
    (*at < final_second).then_some(*last)
}

/// The timeline: the window, a quarter of it before, a quarter after.
fn slices(evidence: &Evidence<'_>, told: &[Story<'_>], before: &[Story<'_>], after: &[Story<'_>]) -> (Vec<Slice>, i64) {
    let long = evidence.ended.saturating_sub(evidence.began).max(SLICE);
    let width = (long / SLICES).max(SLICE);
    let around = (long / 4 / width).max(1);
    let (first, last) = (-around, (long - 1) / width + around);
    let mut slices: Vec<Slice> = (first..=last).map(|at| Slice { at_us: at * width, ..Slice::default() }).collect();
    for story in told.iter().chain(before).chain(after) {
        let at = story.started.saturating_sub(evidence.began).div_euclid(width) - first;
        if let Some(slice) = usize::try_from(at).ok().and_then(|at| slices.get_mut(at)) {
            story.draw(slice);
        }
    }
    (slices, width)
}

fn quality(evidence: &Evidence<'_>, told: &[Story<'_>], drill: &Drill) -> Quality {
    let day = Day::of(Wall::from_unix(evidence.began.div_euclid(1_000_000)));
    let mut quality = Quality::default();
    for story in told {
        let Some((row, from)) = story.answer.zip(story.would_have(drill)) else { continue };
        let Some((to, product)) = row.deployment.as_ref().zip(row.product.as_ref()) else { continue };
        if drill.loses(Some(to)) {
            continue;
        }
        *match verdict(evidence.covers, product, row.class.as_deref(), from, to, day) {
            Proven::Covered => &mut quality.covered,
            Proven::BelowFloor => &mut quality.below,
            _ => &mut quality.unproven,
        } += 1;
    }
    quality
}

fn findings(evidence: &Evidence<'_>, told: &[Story<'_>], live: &Live) -> Vec<Finding> {
    let mut findings = Vec::new();
    for hope in &evidence.drill.hopes {
        let tally =
            live.products.iter().find(|(name, _)| *name == hope.product).map_or_else(Tally::default, |one| one.1);
        findings.push(served(hope, &tally));
        if let Some(most) = hope.first_token_ms_p95 {
            let mine = told.iter().filter(|story| story.product() == Some(&hope.product));
            findings.push(first_token(hope, most, latency(mine)));
        }
    }
    let floors: Vec<&str> = evidence.drill.hopes.iter().filter(|hope| hope.floor).map(|hope| &*hope.product).collect();
    if !floors.is_empty() {
        findings.push(Finding {
            product: None,
            what: format!("answers below the quality floor of {}", floors.join(", ")),
            expected: "0".to_owned(),
            found: evidence.counts.below_floor.to_string(),
            held: (live.total.offered > 0).then_some(evidence.counts.below_floor == 0),
            basis: Basis::Ledger,
        });
    }
    findings
}

fn served(hope: &Hope, tally: &Tally) -> Finding {
    let share = tally.served_share();
    Finding {
        product: Some(hope.product.clone()),
        what: "answered".to_owned(),
        expected: format!("≥ {:.2} %", hope.served * 100.0),
        found: share.map_or_else(
            || "no request".to_owned(),
            |share| format!("{:.2} % ({} of {})", share * 100.0, tally.served, tally.offered - tally.left),
        ),
        held: share.map(|share| share >= hope.served),
        basis: Basis::Ledger,
    }
}

fn first_token(hope: &Hope, most: u64, found: Option<Latency>) -> Finding {
    Finding {
        product: Some(hope.product.clone()),
        what: "first token, 95th percentile".to_owned(),
        expected: format!("≤ {most} ms"),
        found: found.map_or_else(
            || "no answer".to_owned(),
            |found| format!("{:.1} ms over {} answers", millis(found.p95_us), found.n),
        ),
        held: found.map(|found| found.p95_us <= most.saturating_mul(1_000)),
        basis: Basis::Ledger,
    }
}

#[expect(clippy::cast_precision_loss, reason = "for display")]
fn millis(micros: u64) -> f64 {
    micros as f64 / 1_000.0
}

/// What the drill says nothing about.
fn not_tested(drill: &Drill, live: &Live) -> Vec<String> {
    let mut list = vec![
        "later turns that depend on earlier answers, loops of agents, and what their tools do elsewhere".to_owned(),
    ];
    list.push(match drill.fault.played() {
        Some(Played::Breaks { .. }) => {
            "the network itself: answers of those lost were really asked for, read as events and \
                                        broken inside autarky"
                .to_owned()
        }
        _ => "the network itself: those lost were not called; the fault was played inside autarky".to_owned(),
    });
    if drill.level == Level::L1 {
        list.push(
            "the load of live traffic: captured requests were sent one after another, a few at a time".to_owned(),
        );
    }
    if drill.share < 1.0 {
        list.push(format!(
            "the full load on those who stand in: {:.1} % of requests took part; and share caps beyond that",
            drill.share * 100.0
        ));
    }
    if !drill.products.is_empty() {
        list.push("products beside those named, and the load of all together".to_owned());
    }
    if live.locks.requests == 0 {
        list.push("requests that lean on state kept at a provider: none came".to_owned());
    }
    if live.quality.unproven > 0 {
        list.push(format!(
            "the quality of {} answers of those who stood in: nobody has compared them (`autarky covers prove`)",
            live.quality.unproven
        ));
    }
    if live.total.met == 0 {
        list.push("the switch itself: no request asked anybody who was lost".to_owned());
    }
    list.push("other instances of autarky: a drill is played by the one that serves this data folder".to_owned());
    list
}
