//! What a drill's report says, from rows written by hand: every count, every moment, and what it is compared with.

use insurance::drill::{
    Abort, Counts, Drill, Evidence, Fault, Hope, Level, Past, Record, Report, State, Verdict, compare, judge,
};
use insurance::{Kind, Node, render};
use ledger::{Attempt, Candidate, Mode, Name, Outcome, RequestId};

const SECOND: i64 = 1_000_000;
/// When the drill begins.
const BEGAN: i64 = 1_000 * SECOND;

fn drill(id: &str) -> Drill {
    Drill {
        id: id.into(),
        target: Node::new(Kind::Maker, "m"),
        fault: Fault::default(),
        level: Level::L3,
        products: Vec::new(),
        share: 1.0,
        window_s: 60,
        lost: vec!["one".into()],
        hopes: vec![Hope { product: "p".into(), served: 0.99, first_token_ms_p95: Some(50), floor: true }],
        abort: Abort::default(),
        ordered: BEGAN,
    }
}

/// An attempt of request `number`, begun so many microseconds after the drill.
fn attempt(number: u128, of: u32, at: i64, deployment: &str, outcome: Outcome) -> Attempt {
    Attempt {
        outcome,
        product: Some("p".into()),
        deployment: (!deployment.is_empty()).then(|| deployment.into()),
        mode: if deployment == "one" || deployment.is_empty() { Mode::Drill } else { Mode::Live },
        drill: Some("d".into()),
        candidates: ["one", "two"]
            .map(|name| Candidate { deployment: name.into(), dropped: None, score: None })
            .to_vec(),
        first_token_us: (outcome == Outcome::Ok).then_some(10_000),
        last_token_us: Some(20_000),
        ..Attempt::new(RequestId::new(1, number), of, BEGAN + at)
    }
}

/// 100 requests a second apart in tens: the first four ask the lost, one is served by a stream that breaks and is taken
/// over, one is refused without an attempt, one client leaves.
fn rows() -> Vec<Attempt> {
    let mut rows = Vec::new();
    for number in 0..100_u128 {
        let at = 100_000 * i64::from(u8::try_from(number).unwrap_or(u8::MAX));
        match number {
            0..4 => {
                let failed = Attempt { last_token_us: Some(1_000), ..attempt(number, 1, at, "one", Outcome::Failed) };
                rows.extend([failed, attempt(number, 2, at + 2_000, "two", Outcome::Ok)]);
            }
            7 => rows.push(Attempt {
                fault: Some(canon::FaultKind::NoRoute),
                last_token_us: None,
                ..attempt(number, 1, at, "", Outcome::Failed)
            }),
            8 => rows.push(Attempt {
                fault: Some(canon::FaultKind::Cancelled),
                ..attempt(number, 1, at, "two", Outcome::Cancelled)
            }),
            9 => rows.push(Attempt {
                degraded: true,
                deployment: Some("house".into()),
                ..attempt(number, 1, at, "two", Outcome::Ok)
            }),
            // A lone probe.
            50 => rows.extend([
                attempt(number, 1, at, "one", Outcome::Failed),
                attempt(number, 2, at + 20_000, "two", Outcome::Ok),
            ]),
            _ => rows.push(attempt(number, 1, at, "two", Outcome::Ok)),
        }
    }
    rows
}

fn judged(rows: &[Attempt], counts: Counts) -> Report {
    let plain = |mut row: Attempt, at| {
        (row.drill, row.started) = (None, at);
        row
    };
    let before: Vec<Attempt> =
        (0..10).map(|n| plain(attempt(200 + n, 1, 0, "two", Outcome::Ok), BEGAN - SECOND)).collect();
    let ended = BEGAN + 10 * SECOND;
    let back = Attempt { mode: Mode::Live, ..plain(attempt(300, 1, 0, "one", Outcome::Ok), ended + 40_000) };
    judge(&Evidence {
        drill: &drill("d"),
        state: &State::Ended,
        began: BEGAN,
        ended,
        counts,
        rows,
        before: &before,
        after: &[back],
        covers: &[],
        house: &["house".into()],
    })
}

fn counts() -> Counts {
    Counts { offered: 100, served: 98, failed: 1, left: 1, degraded: 1, ..Counts::default() }
}

#[test]
fn every_request_is_counted_once() {
    let report = judged(&rows(), counts());
    let live = report.live.as_ref().unwrap();
    let total = live.total;
    assert_eq!((total.offered, total.served, total.failed, total.left, total.unknown), (100, 98, 1, 1, 0));
    assert_eq!((total.degraded, total.met, total.switched), (1, 5, 5));
    assert!(live.agrees);
    assert_eq!(live.by, [("two".into(), 97), ("house".into(), 1)]);
    assert_eq!(live.faults, [("no_route".into(), 1)]);
    assert_eq!(live.house.answered, 1);
    assert_eq!(live.quality.unproven, 98);
    let drawn: u64 = live
        .slices
        .iter()
        .filter(|slice| (0..10 * SECOND).contains(&slice.at_us))
        .map(|slice| slice.plain + slice.switched + slice.degraded + slice.failed + slice.other)
        .sum();
    assert_eq!(drawn, 100, "the picture shows every request");
    assert!(!judged(&rows(), Counts { served: 97, ..counts() }).live.unwrap().agrees);
}

#[test]
fn moments_are_those_of_the_rows() {
    let marks = judged(&rows(), counts()).live.unwrap().marks;
    assert_eq!(marks.detect_us, Some(1_000));
    assert_eq!(marks.switch_us, Some(12_000));
    assert_eq!(marks.settle_us, Some(300_000), "the last of a second in which several asked; a lone probe is none");
    assert_eq!(marks.back_us, Some(40_000));
    let all: Vec<Attempt> = (0..100)
        .map(|number: u128| attempt(number, 1, i64::try_from(number).unwrap() * 100_000, "one", Outcome::Failed))
        .collect();
    let marks = judged(&all, Counts::default()).live.unwrap().marks;
    assert_eq!((marks.switch_us, marks.settle_us), (None, None), "nobody else answered, and asking never ceased");
}

#[test]
fn what_was_expected_is_judged_one_by_one() {
    let report = judged(&rows(), counts());
    let held: Vec<Option<bool>> = report.findings.iter().map(|finding| finding.held).collect();
    // 98 of 99 are 98.99 %: not quite what was expected.
    assert_eq!(held, [Some(false), Some(true), Some(true)], "{:#?}", report.findings);
    assert_eq!(report.verdict, Verdict::Broken);
    assert!(report.findings[0].found.contains("98.99 % (98 of 99)"));
    let without: Vec<Attempt> = rows().into_iter().filter(|row| row.request_id != RequestId::new(1, 7)).collect();
    assert_eq!(judged(&without, Counts { offered: 99, failed: 0, ..counts() }).verdict, Verdict::Held);
    assert_eq!(judged(&[], Counts::default()).verdict, Verdict::Unknown, "no request, no verdict");
    let below = judged(&without, Counts { below_floor: 1, ..counts() });
    assert_eq!(below.verdict, Verdict::Broken, "an answer below the floor");
}

#[test]
fn what_was_not_tested_is_said() {
    let report = judged(&rows(), counts());
    let said = report.not_tested.join("\n");
    for part in ["later turns", "the network itself", "none came", "nobody has compared", "other instances"] {
        assert!(said.contains(part), "{part}: {said}");
    }
}

fn record(id: &str, began: i64, report: Report) -> Record {
    Record {
        state: State::Ended,
        began: Some(began),
        ended: Some(began + 10 * SECOND),
        counts: counts(),
        report: Some(report),
        ..Record::ordered(drill(id))
    }
}

#[test]
fn a_drill_is_compared_with_the_last_of_the_same_loss() {
    let report = judged(&rows(), counts());
    let now = record("d", BEGAN, report.clone());
    let mut better = report.clone();
    better.live.as_mut().unwrap().total.failed = 0;
    let (old, older) = (record("old", BEGAN - SECOND, better), record("older", BEGAN - 2 * SECOND, report.clone()));
    let mut other = record("other", BEGAN - 1, report);
    other.drill.target = "maker:other".parse().unwrap();
    let list = [older, old, other, now.clone()];
    let (last, changes) = compare(&now, &list).unwrap();
    assert_eq!(&*last.drill.id, "old");
    let failed = changes.iter().find(|change| change.what == "failed").unwrap();
    assert_eq!((failed.before.as_str(), failed.now.as_str()), ("0", "1"));
    assert!(changes.iter().any(|change| change.what == "switched" && change.now == "12 ms"));
    assert!(compare(&list[0], &list).is_none());
    let text = render::drill_text(&now, Some((last, &changes)));
    for part in ["verdict: what was expected did not hold", "98.99 %", "AGAINST THE LAST DRILL", "NOT TESTED", "40 ms"]
    {
        assert!(text.contains(part), "{part}\n{text}");
    }
    let page = render::drill_html(&now, Some((last, &changes)));
    assert!(page.contains("<svg class=\"timeline\"") && page.contains("settled 300 ms"), "{page}");
}

#[test]
fn a_record_reads_as_it_was_written_and_is_evidence_only_if_it_held() {
    let broken = record("d", BEGAN, judged(&rows(), counts()));
    let again: Record = serde_json::from_str(&serde_json::to_string(&broken).unwrap()).unwrap();
    assert_eq!(again, broken);
    assert!(!broken.past().held);
    let mut held = broken.clone();
    held.report.as_mut().unwrap().verdict = Verdict::Held;
    assert!(held.past().held);
    let aborted = Record { state: State::Aborted("a person stopped it".into()), ..held.clone() };
    assert!(!aborted.past().held);
    let again: Record = serde_json::from_str(&serde_json::to_string(&aborted).unwrap()).unwrap();
    assert_eq!(again.state, aborted.state);
    let Past { ended, .. } = held.past();
    assert_eq!(ended, held.ended);
    let proof = held.proof().unwrap();
    assert_eq!((proof.served, proof.at_home, proof.settled_us), (98, 1, Some(300_000)));
    let names: Vec<Name> = held.drill.lost;
    assert_eq!(names, ["one".into()]);
}
