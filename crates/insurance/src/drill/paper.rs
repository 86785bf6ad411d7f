//! Drills that send nothing: on paper, with the plan that live traffic uses, and on recorded outcomes.

use super::{Drill, Finding, Paper, PaperLine, Replayed, Report, Verdict};
use crate::Basis;
use crate::cover::Evidence;
use crate::exposure::Inputs;
use crate::replay::{Mean, Replay};
use crate::whatif::{Line, PriceShift, QualityShift, Scenario, WhatIf, WhatIfError, whatif};
use ledger::flow::Flow;
use policy::Fleet;

/// The loss on paper, over the recorded traffic of the drill's products.
///
/// # Errors
/// The target is not one that a scenario can take away.
pub fn paper(drill: &Drill, inputs: &Inputs<'_>, fleet: &Fleet, evidence: &Evidence) -> Result<Report, WhatIfError> {
    let mine =
        |flow: &&Flow| drill.products.is_empty() || flow.key.product.as_deref().is_some_and(|name| drill.touches(name));
    let flows: Vec<Flow> = inputs.flows.iter().filter(mine).cloned().collect();
    let inputs = Inputs { flows: &flows, ..*inputs };
    let of = drill.target.to_string();
    let mut scenario = Scenario { name: format!("loss of {of}"), ..Scenario::default() };
    match (drill.fault.price(), drill.fault.worse()) {
        (Some(factor), _) => scenario.price.push(PriceShift { of, factor }),
        (_, Some(delta)) => scenario.quality.push(QualityShift { of, class: "*".to_owned(), delta: -delta }),
        // What cannot be asked any more is gone, whatever that looks like; each by its own name, so that whatever rests
        // on the target goes with it.
        _ => scenario.remove = drill.lost.iter().map(|name| format!("deployment:{name}")).collect(),
    }
    Ok(told(drill, &whatif(&inputs, fleet, evidence, &scenario)?))
}

fn told(drill: &Drill, found: &WhatIf) -> Report {
    let lines: Vec<PaperLine> = found.products.iter().map(line).collect();
    let mut findings = Vec::new();
    for hope in &drill.hopes {
        let line = lines.iter().find(|line| line.product.as_ref() == Some(&hope.product));
        let share =
            line.filter(|line| line.requests > 0).map(|line| part(line.requests - line.unanswered, line.requests));
        findings.push(Finding {
            product: Some(hope.product.clone()),
            what: "answered, says the plan".to_owned(),
            expected: format!("≥ {:.2} %", hope.served * 100.0),
            found: share.map_or_else(|| "no recorded request".to_owned(), |share| format!("{:.2} %", share * 100.0)),
            held: share.map(|share| share >= hope.served),
            basis: Basis::Estimate,
        });
        if let Some(line) = line.filter(|_| hope.floor) {
            findings.push(Finding {
                product: Some(hope.product.clone()),
                what: "answers below the quality floor".to_owned(),
                expected: "0".to_owned(),
                found: line.below_floor.to_string(),
                held: Some(line.below_floor == 0),
                basis: Basis::Estimate,
            });
        }
    }
    let mut not_tested = vec![
        "anything live: nothing was sent. How long a switch takes, limits, timeouts, capacity and breakers play no part on paper"
            .to_owned(),
        "what an answer was worth, where no comparison is recorded".to_owned(),
    ];
    if drill.fault.worse().is_some() {
        not_tested.push("whether anybody would notice: nothing here watches the quality of live answers".to_owned());
    }
    let mut notes = found.notes.clone();
    notes.extend(found.unmeasured.iter().map(|(from, to, requests)| {
        format!("tokens of `{to}` per token of `{from}` were never measured; {requests} requests without a cost")
    }));
    Report {
        verdict: Verdict::of(&findings),
        findings,
        live: None,
        paper: Some(Paper { days: found.days, lines }),
        replayed: None,
        not_tested,
        notes,
    }
}

fn line(line: &Line) -> PaperLine {
    PaperLine {
        product: line.product.clone(),
        requests: line.requests,
        moved: line.moved,
        last_resort: line.last_resort,
        below_floor: line.below_floor,
        unanswered: line.unanswered,
        cost_before: line.cost_before.value,
        cost: line.cost.value,
        cost_partial: line.cost.partial(),
        quality_before: line.quality_before.value,
        quality: line.quality.value,
    }
}

/// The loss on recorded outcomes.
#[must_use]
pub fn replayed(drill: &Drill, found: &Replay) -> Report {
    let answered = found.requests - found.unanswered;
    let share = (found.requests > 0).then(|| part(answered, found.requests));
    let mut findings: Vec<Finding> = Vec::new();
    for hope in &drill.hopes {
        findings.push(Finding {
            product: Some(hope.product.clone()),
            what: "answered, says the plan".to_owned(),
            expected: format!("≥ {:.2} %", hope.served * 100.0),
            found: share.map_or_else(|| "no request".to_owned(), |share| format!("{:.2} %", share * 100.0)),
            held: share.map(|share| share >= hope.served),
            basis: Basis::Estimate,
        });
        findings.push(Finding {
            product: Some(hope.product.clone()),
            what: "quality lost, paired, lower end of the 95 % interval".to_owned(),
            expected: format!("≥ {:.3}", -found.margin),
            found: found.difference.map_or_else(|| "never recorded".to_owned(), |mean| format!("{:.3}", mean.low)),
            held: found.difference.map(|mean| mean.low >= -found.margin),
            basis: Basis::Cover,
        });
    }
    let mean = |mean: Option<Mean>| mean.map(|mean| [mean.value, mean.low, mean.high]);
    Report {
        verdict: Verdict::of(&findings),
        findings,
        live: None,
        paper: None,
        replayed: Some(Replayed {
            requests: found.requests,
            untouched: found.untouched,
            replayed: found.replayed,
            unanswered: found.unanswered,
            unrecorded: found.unrecorded,
            before: mean(found.before),
            after: mean(found.after),
            difference: mean(found.difference),
            configured: found.configured,
            covered: found.covered,
            margin: found.margin,
        }),
        not_tested: vec![
            "anything live: nothing was sent; the answers were recorded before, one turn each".to_owned(),
            "later turns, tools and their side effects, latency, limits, capacity, breakers".to_owned(),
        ],
        notes: Vec::new(),
    }
}

#[expect(clippy::cast_precision_loss, reason = "counts of requests stay far below 2^52")]
fn part(some: u64, all: u64) -> f64 {
    some as f64 / all as f64
}
