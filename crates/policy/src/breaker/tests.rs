//! The breaker by its laws and by hand; time is an argument.

use super::*;
use proptest::prelude::*;

const SICK: Outcome = Outcome::Failure { cause: Cause::Sick, wait: None };
const HALF: u64 = 1 << 63;

fn at(ms: u64) -> Tick {
    Tick::from_millis(ms)
}

fn call(breaker: &mut Breaker, now: Tick, outcome: Outcome) -> bool {
    let ticket = breaker.admit(now);
    if let Some(ticket) = ticket {
        breaker.settle(ticket, outcome, now, HALF);
    }
    ticket.is_some()
}

fn tripped() -> Breaker {
    let mut breaker = Breaker::new(Settings::default());
    (0..3).for_each(|_| assert!(call(&mut breaker, at(0), SICK)));
    breaker
}

#[test]
fn three_in_a_row_open_it_and_a_success_between_does_not() {
    let mut breaker = Breaker::new(Settings::default());
    for _ in 0..4 {
        call(&mut breaker, at(0), SICK);
        call(&mut breaker, at(0), SICK);
        call(&mut breaker, at(0), Outcome::Success);
    }
    assert!(matches!(breaker.health(at(0)), Health::Open { .. }), "two thirds of twelve are more than half");
    let mut breaker = tripped();
    assert_eq!(breaker.health(at(0)), Health::Open { until: at(5_000), cause: Cause::Sick });
    assert!(!call(&mut breaker, at(4_999), Outcome::Success));
}

#[test]
fn a_refusal_opens_at_once_and_a_wait_is_obeyed() {
    let mut breaker = Breaker::new(Settings::default());
    call(&mut breaker, at(0), Outcome::Failure { cause: Cause::Hard, wait: None });
    assert_eq!(breaker.health(at(1)), Health::Open { until: at(300_000), cause: Cause::Hard });
    let mut breaker = Breaker::new(Settings::default());
    let wait = Some(Duration::from_secs(17));
    call(&mut breaker, at(0), Outcome::Failure { cause: Cause::Limit, wait });
    assert_eq!(breaker.health(at(1)), Health::Open { until: at(17_000), cause: Cause::Limit });
}

#[test]
fn one_probe_then_a_slow_start() {
    let mut breaker = tripped();
    assert_eq!(breaker.health(at(5_000)), Health::Probe);
    let probe = breaker.admit(at(5_000)).unwrap();
    assert!(probe.probe());
    assert_eq!(breaker.health(at(5_001)), Health::Probing);
    assert!(breaker.admit(at(5_001)).is_none());
    breaker.settle(probe, Outcome::Success, at(5_100), HALF);
    let mut last = 0.0;
    for _ in 0..10 {
        let Health::Ramp(share) = breaker.health(at(5_100)) else { panic!("{:?}", breaker.health(at(5_100))) };
        assert!(share > last && share < 1.0);
        last = share;
        call(&mut breaker, at(5_100), Outcome::Success);
    }
    assert_eq!(breaker.health(at(5_100)), Health::Closed);
    assert_eq!(breaker.opened(), 0);
}

#[test]
fn a_failed_probe_doubles_the_time_and_a_lost_one_is_replaced() {
    let mut breaker = tripped();
    call(&mut breaker, at(5_000), SICK);
    assert_eq!(breaker.health(at(5_000)), Health::Open { until: at(15_000), cause: Cause::Sick });
    let lost = breaker.admit(at(15_000)).unwrap();
    assert_eq!(breaker.health(at(75_000)), Health::Probe);
    let second = breaker.admit(at(75_000)).unwrap();
    breaker.settle(lost, SICK, at(75_001), HALF);
    assert_eq!(breaker.health(at(75_001)), Health::Probing, "a probe that was given up has no say");
    breaker.settle(second, Outcome::Neutral, at(75_002), HALF);
    assert_eq!(breaker.health(at(75_002)), Health::Probe, "a probe that says nothing makes room for another");
}

#[test]
fn what_began_before_the_failures_does_not_speak_against_them() {
    let mut breaker = Breaker::new(Settings::default());
    let long = breaker.admit(at(0)).unwrap();
    (0..2).for_each(|_| assert!(call(&mut breaker, at(1_000), SICK)));
    breaker.settle(long, Outcome::Success, at(1_001), HALF);
    call(&mut breaker, at(1_002), SICK);
    assert!(matches!(breaker.health(at(1_002)), Health::Open { .. }));
}

#[test]
fn it_is_known_how_bad_it_was_whatever_its_state() {
    let (mut breaker, mut dead) = (tripped(), tripped());
    assert!(breaker.failing() > 0.3);
    for _ in 0..20 {
        let (forced, hopeless) = (breaker.force(at(1)), dead.force(at(1)));
        breaker.settle(forced, Outcome::Success, at(1), HALF);
        dead.settle(hopeless, SICK, at(1), HALF);
    }
    assert!(breaker.failing() < 0.05 && dead.failing() > 0.9);
}

#[test]
fn a_limit_does_not_make_the_next_sickness_longer() {
    let mut breaker = Breaker::new(Settings::default());
    let wait = Some(Duration::from_secs(1));
    call(&mut breaker, at(0), Outcome::Failure { cause: Cause::Limit, wait });
    call(&mut breaker, at(1_000), SICK);
    assert_eq!(breaker.health(at(1_000)), Health::Open { until: at(6_000), cause: Cause::Sick });
}

#[test]
fn calls_from_before_it_opened_have_no_say() {
    let mut breaker = Breaker::new(Settings::default());
    let early = breaker.admit(at(0)).unwrap();
    let also = breaker.admit(at(0)).unwrap();
    (0..3).for_each(|_| assert!(call(&mut breaker, at(1), SICK)));
    let before = breaker.health(at(1));
    breaker.settle(early, SICK, at(2), HALF);
    breaker.settle(also, Outcome::Success, at(2), HALF);
    assert_eq!(breaker.health(at(2)), before);
}

#[test]
fn the_last_resort_can_prove_it_alive_and_does_not_hold_it_down() {
    let mut breaker = tripped();
    let before = breaker.health(at(1));
    let forced = breaker.force(at(1));
    breaker.settle(forced, SICK, at(1), HALF);
    assert_eq!(breaker.health(at(1)), before);
    let forced = breaker.force(at(1));
    breaker.settle(forced, Outcome::Success, at(1), HALF);
    assert!(matches!(breaker.health(at(1)), Health::Ramp(_)));
}

#[test]
fn every_fault_has_a_verdict() {
    let of = |kind, side| verdict(&Fault::new(kind, side, "x"));
    for kind in FaultKind::ALL {
        assert_eq!(of(kind, Side::Client).1, Outcome::Neutral, "{kind:?}");
    }
    let hard = Outcome::Failure { cause: Cause::Hard, wait: None };
    assert_eq!(of(FaultKind::Unauthenticated, Side::Provider), (Level::Account, hard));
    assert_eq!(of(FaultKind::NotFound, Side::Provider), (Level::Deployment, hard));
    assert_eq!(of(FaultKind::Cut, Side::Provider), (Level::Deployment, SICK));
    assert_eq!(of(FaultKind::ContentFilter, Side::Provider).1, Outcome::Neutral);
}

fn outcome() -> impl Strategy<Value = Outcome> {
    prop_oneof![
        3 => Just(Outcome::Success),
        1 => Just(Outcome::Neutral),
        3 => Just(SICK),
        1 => Just(Outcome::Failure { cause: Cause::Limit, wait: None }),
        1 => (0_u64..30).prop_map(|s| Outcome::Failure {
            cause: Cause::Limit,
            wait: Some(Duration::from_secs(s)),
        }),
        1 => Just(Outcome::Failure { cause: Cause::Hard, wait: None }),
    ]
}

proptest! {
    /// Against a plain account of what happened: it opens only for a cause, lets exactly one probe through, and
    /// never stays open for ever.
    #[test]
    fn it_opens_for_a_cause_and_probes_once(
        steps in prop::collection::vec((0_u64..4_000, any::<bool>(), outcome(), any::<u64>()), 1..300),
    ) {
        let settings = Settings::default();
        let mut breaker = Breaker::new(settings);
        let (mut now, mut out) = (0, Vec::new());
        for (wait, begin, outcome, chance) in steps {
            now += wait;
            let tick = at(now);
            let before = breaker.health(tick);
            if begin {
                let ticket = breaker.admit(tick);
                prop_assert_eq!(ticket.is_some(), !matches!(before, Health::Open { .. } | Health::Probing));
                if let Some(ticket) = ticket {
                    prop_assert_eq!(ticket.probe(), before == Health::Probe);
                    if ticket.probe() {
                        prop_assert!(breaker.admit(tick).is_none());
                    }
                    out.push(ticket);
                }
            } else if !out.is_empty() {
                let ticket = out.remove((chance % out.len() as u64) as usize);
                breaker.settle(ticket, outcome, tick, chance);
                let opened = matches!(breaker.health(tick), Health::Open { .. })
                    && !matches!(before, Health::Open { .. });
                let caused = matches!(outcome, Outcome::Failure { .. });
                prop_assert!(!opened || caused);
                if let (true, Health::Open { until, .. }) = (opened, breaker.health(tick)) {
                    prop_assert!(until.since(tick) <= settings.longest.mul_f32(1.5));
                }
            }
        }
    }

    #[test]
    fn no_failure_no_ejection(calls in prop::collection::vec((0_u64..3_000, any::<bool>()), 1..200)) {
        let mut breaker = Breaker::new(Settings::default());
        let mut now = 0;
        for (wait, neutral) in calls {
            now += wait;
            let outcome = if neutral { Outcome::Neutral } else { Outcome::Success };
            prop_assert!(call(&mut breaker, at(now), outcome));
            prop_assert_eq!(breaker.health(at(now)), Health::Closed);
        }
    }
}
