//! What every store must do, as one function that any store is put through. Compiled for tests only (and with the
//! feature `testing` for stores outside this crate). It asserts; a store that refuses shows as the returned error.

use crate::cidr::Cidr;
use crate::flow::Flow;
use crate::id::RequestId;
use crate::keys::{self, KeyError, KeyKind, KeyRing, Quota, Wish};
use crate::named::Named;
use crate::record::{Attempt, Candidate, Mode, Name, Outcome, Portability, UsageSource};
use crate::store::{Dimension, Filter, Forgotten, Store, StoreError, Total};
use canon::{FaultKind, Loss, StopReason};
use std::collections::HashSet;

/// Puts stores made by `fresh`, each empty, through everything.
///
/// # Errors
/// A store refuses what it must do.
pub fn all<S: Store>(mut fresh: impl FnMut() -> S) -> Result<(), StoreError> {
    every_field_comes_back(&fresh())?;
    feeding_twice_is_feeding_once(&fresh())?;
    lists_are_filtered_and_newest_first(&fresh())?;
    totals_add_up(&fresh())?;
    flows_are_the_sums_of_the_rows(&fresh())?;
    sums_stay_right_whatever_happens(&mut fresh)?;
    old_days_are_forgotten(&fresh())?;
    writers_beside_each_other_add_each_row_once(&fresh())?;
    keys_are_kept(&fresh())?;
    keys_of_the_admin_api_open_nothing_else(&fresh())?;
    revocations_stay(&fresh())?;
    a_ring_sees_changes(&fresh())
}

/// A row with every field filled, different for each `number`.
#[must_use]
pub fn sample(number: u64) -> Attempt {
    let name = |what: &str| Some(format!("{what}-{}", number % 3).into());
    Attempt {
        request_id: RequestId::new(1_700_000_000_000 + number, u128::from(number)),
        attempt: 1,
        outcome: Outcome::Ok,
        mode: Mode::Drill,
        drill: name("drill"),
        product: name("product"),
        team: name("team"),
        key: name("key"),
        class: name("class"),
        classifier: name("classifier"),
        dialect: name("dialect"),
        protocol: name("protocol"),
        requested_model: name("requested"),
        resolved_model: name("resolved"),
        deployment: name("deployment"),
        provider: name("provider"),
        maker: name("maker"),
        host: name("host"),
        invoicer: name("invoicer"),
        account: name("account"),
        region: name("region"),
        family: name("family"),
        policy_version: name("policy"),
        candidates: vec![
            Candidate { deployment: "gpt \"quoted\" \u{2603}".into(), dropped: None, score: Some(0.1 + 0.2) },
            Candidate { deployment: "claude".into(), dropped: Some("no tools".into()), score: None },
        ],
        score: Some(0.3),
        probability: Some(1.0),
        input_tokens: Some(number + 1_000),
        cache_read_tokens: Some(number),
        cache_write_tokens: Some(7),
        cache_write_1h_tokens: Some(6),
        output_tokens: Some(20),
        reasoning_tokens: Some(5),
        audio_input_tokens: Some(4),
        image_input_tokens: Some(2),
        audio_output_tokens: Some(3),
        image_output_tokens: Some(1),
        service_tier: Some("flex".into()),
        usage_source: UsageSource::Reported,
        price_version: name("price"),
        cost_nanodollars: Some(123_456),
        started: 1_700_000_000_000_000 + i64::try_from(number).unwrap_or(0) * 1_000,
        connect_us: Some(1),
        first_token_us: Some(2),
        last_token_us: Some(3),
        finish: Some(StopReason::ToolCalls),
        fault: Some(FaultKind::Cut),
        status: Some(529),
        losses: vec![Loss::dropped("~tools[0].strict"), Loss::weakened("=seed"), Loss::emulated("n")],
        portability: Some(Portability::Locked),
        locked_by: name("previous_response_id"),
        degraded: true,
        stream: true,
        bytes_in: Some(100),
        bytes_out: Some(200),
        capture: name("capture"),
        terms: name("terms"),
    }
}

fn every_field_comes_back(store: &impl Store) -> Result<(), StoreError> {
    let full = sample(1);
    let mut empty = Attempt::new(RequestId::new(1, 2), 7, -5);
    empty.outcome = Outcome::Cancelled;
    assert_eq!(store.append(&[full.clone(), empty.clone()])?, 2);
    assert_eq!(store.append(&[])?, 0);
    store.persist()?;
    assert_eq!(store.attempts(full.request_id)?, [full]);
    assert_eq!(store.attempts(empty.request_id)?, [empty]);
    assert_eq!(store.attempts(RequestId::new(9, 9))?, []);
    store.check()
}

fn feeding_twice_is_feeding_once(store: &impl Store) -> Result<(), StoreError> {
    let done = sample(1);
    let unknown = Attempt { outcome: Outcome::Unknown, cost_nanodollars: None, ..done.clone() };
    assert_eq!(store.append(std::slice::from_ref(&unknown))?, 1);
    assert_eq!(store.append(std::slice::from_ref(&unknown))?, 0);
    assert_eq!(store.append(&[done.clone(), done.clone()])?, 1, "an end replaces what was unknown, once");
    assert_eq!(store.append(std::slice::from_ref(&unknown))?, 0, "an end stays");
    let other = Attempt { outcome: Outcome::Failed, ..done.clone() };
    assert_eq!(store.append(&[other])?, 0, "the first end stays");
    assert_eq!(store.attempts(done.request_id)?, [done]);
    Ok(())
}

fn lists_are_filtered_and_newest_first(store: &impl Store) -> Result<(), StoreError> {
    let mut rows: Vec<Attempt> = (0..30).map(sample).collect();
    for (row, outcome) in rows.iter_mut().zip(Outcome::MEMBERS.iter().cycle().skip(1)) {
        row.outcome = *outcome;
    }
    rows[3].mode = Mode::Hedge;
    rows[4].request_id = rows[3].request_id;
    rows[4].attempt = 2;
    rows[5].region = None;
    store.append(&rows)?;
    assert_eq!(store.attempts(rows[3].request_id)?, rows[3..5]);
    rows.reverse();
    assert_eq!(store.list(&Filter::default())?, rows);
    let filters = [
        Filter { from: Some(rows[10].started), ..Filter::default() },
        Filter { until: Some(rows[10].started), ..Filter::default() },
        Filter::default().only(Dimension::Product, "product-1"),
        Filter::default().only(Dimension::Deployment, "deployment-2"),
        Filter::default().only(Dimension::Outcome, "unknown"),
        Filter::default().only(Dimension::Mode, "hedge"),
        Filter::default().only(Dimension::Day, "2023-11-14"),
        Filter::default().only(Dimension::Day, "2023-11-15"),
        Filter { is: vec![(Dimension::Region, None)], ..Filter::default() },
        Filter { limit: Some(4), ..Filter::default() },
        Filter {
            limit: Some(1),
            ..Filter::default().only(Dimension::Product, "product-1").only(Dimension::Outcome, "ok")
        },
        Filter::default().only(Dimension::Product, "' OR 1 --"),
    ];
    for filter in filters {
        let wanted: Vec<Attempt> = rows
            .iter()
            .filter(|row| filter.from.is_none_or(|from| row.started >= from))
            .filter(|row| filter.until.is_none_or(|until| row.started < until))
            .filter(|row| filter.is.iter().all(|(by, wanted)| said(row, *by) == *wanted))
            .take(filter.limit.map_or(usize::MAX, |limit| limit as usize))
            .cloned()
            .collect();
        assert_eq!(store.list(&filter)?, wanted, "{filter:?}");
        if filter.limit.is_none() {
            let mut each = Vec::new();
            store.each(&filter, &mut |row| {
                each.push(row);
                true
            })?;
            each.reverse();
            assert_eq!(each, wanted, "{filter:?}");
        }
    }
    let mut one = 0;
    store.each(&Filter::default(), &mut |_| {
        one += 1;
        false
    })?;
    assert_eq!(one, 1, "who has enough gets no more");
    Ok(())
}

/// What `row`, begun on 2023-11-14, says of `by`.
fn said(row: &Attempt, by: Dimension) -> Option<Name> {
    match by {
        Dimension::Product => row.product.clone(),
        Dimension::Deployment => row.deployment.clone(),
        Dimension::Region => row.region.clone(),
        Dimension::Outcome => Some(row.outcome.name().into()),
        Dimension::Mode => Some(row.mode.name().into()),
        _ => Some("2023-11-14".into()),
    }
}

fn totals_add_up(store: &impl Store) -> Result<(), StoreError> {
    let first = Attempt { outcome: Outcome::Failed, cost_nanodollars: None, maker: Some("a".into()), ..sample(1) };
    let again = Attempt { attempt: 2, maker: Some("b".into()), ..sample(1) };
    let third = Attempt { attempt: 3, input_tokens: None, maker: Some("b".into()), ..sample(1) };
    let silent = Attempt { maker: None, outcome: Outcome::Unknown, ..sample(2) };
    // a day later, and more tokens than anybody counts
    let later = sample(200_000_000);
    let absurd = Attempt { input_tokens: Some(u64::MAX), cost_nanodollars: Some(i64::MAX), ..later.clone() };
    store.append(&[first, again, third, silent])?;
    let b = Total {
        group: vec![Some("b".into())],
        requests: 1,
        attempts: 2,
        ok: 2,
        uncounted: 1,
        input_tokens: 1_001,
        cache_read_tokens: 2,
        cache_write_tokens: 14,
        output_tokens: 40,
        reasoning_tokens: 10,
        cost_nanodollars: 246_912,
        ..Total::default()
    };
    let silent = Total {
        group: vec![None],
        requests: 1,
        attempts: 1,
        unknown: 1,
        input_tokens: 1_002,
        cache_read_tokens: 2,
        cache_write_tokens: 7,
        output_tokens: 20,
        reasoning_tokens: 5,
        cost_nanodollars: 123_456,
        ..Total::default()
    };
    let a = Total {
        group: vec![Some("a".into())],
        failed: 1,
        unknown: 0,
        input_tokens: 1_001,
        cache_read_tokens: 1,
        unpriced: 1,
        cost_nanodollars: 0,
        ..silent.clone()
    };
    assert_eq!(store.totals(&[Dimension::Maker], &Filter::default())?, [b, silent, a.clone()]);
    let failed = Filter::default().only(Dimension::Outcome, "failed");
    assert_eq!(store.totals(&[Dimension::Maker], &failed)?, [a]);
    assert_eq!(store.totals(&[Dimension::Maker], &failed.only(Dimension::Maker, "b"))?, []);
    let all = store.totals(&[], &Filter::default())?;
    assert_eq!((all.len(), all[0].requests, all[0].attempts), (1, 2, 4));
    store.append(&[absurd, Attempt { attempt: 2, outcome: Outcome::Ok, ..later }])?;
    for &dimension in Dimension::MEMBERS {
        let attempts: u64 = store.totals(&[dimension], &Filter::default())?.iter().map(|total| total.attempts).sum();
        assert_eq!(attempts, 6, "{dimension}");
    }
    let days = store.totals(&[Dimension::Day, Dimension::Outcome], &Filter::default())?;
    let days: Vec<(&str, &str, u64)> = days
        .iter()
        .map(|total| {
            let text = |at: usize| total.group[at].as_deref().unwrap_or_default();
            (text(0), text(1), total.attempts)
        })
        .collect();
    let wanted =
        [("2023-11-14", "ok", 2), ("2023-11-17", "ok", 2), ("2023-11-14", "failed", 1), ("2023-11-14", "unknown", 1)];
    assert_eq!(days, wanted);
    Ok(())
}

fn flows_are_the_sums_of_the_rows(store: &impl Store) -> Result<(), StoreError> {
    let rows: Vec<Attempt> = (0..60)
        .map(|number| Attempt {
            mode: Mode::MEMBERS[number as usize % Mode::MEMBERS.len()],
            outcome: Outcome::MEMBERS[number as usize / 3 % Outcome::MEMBERS.len()],
            portability: (number % 2 == 0).then_some(Portability::Degraded),
            input_tokens: (number % 4 > 0).then_some(number * 700),
            cost_nanodollars: (number % 5 > 0).then_some(3),
            first_token_us: (number % 7 > 0).then_some(number * 1_000),
            region: None,
            drill: (number % 7 == 0).then(|| "drill".into()),
            candidates: match number % 3 {
                0 => Vec::new(),
                1 => vec![Candidate { deployment: "a".into(), dropped: Some("lacks-tools".into()), score: None }],
                _ => ["lacks-audio", "lacks-logprobs", "region"]
                    .map(|reason| Candidate { deployment: "b".into(), dropped: Some(reason.into()), score: None })
                    .to_vec(),
            },
            ..sample(number)
        })
        .collect();
    store.append(&rows)?;
    let flows = store.flows(&Filter { limit: Some(1), ..Filter::default() })?;
    assert_eq!(flows, Flow::sum(&rows));
    assert!(flows.len() > 10 && flows.len() < 60, "{}", flows.len());
    let until = Some(rows[30].started);
    assert_eq!(store.flows(&Filter { until, ..Filter::default() })?, Flow::sum(&rows[..30]));
    Ok(())
}

/// Numbers for tests, the same in every run.
struct Dice(u64);

impl Dice {
    /// A number below `most`.
    fn roll(&mut self, most: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % most
    }
}

const HOUR: i64 = 3_600_000_000;

/// Flows are the sums of the rows for any window, in whatever order rows came, were fed again, or got an end.
fn sums_stay_right_whatever_happens<S: Store>(fresh: &mut impl FnMut() -> S) -> Result<(), StoreError> {
    for seed in 0..12 {
        let (store, mut dice) = (fresh(), Dice(seed));
        let mut rows: Vec<Attempt> = (0..150).map(|_| any(&mut dice)).collect();
        let mut seen = HashSet::new();
        rows.retain(|row| seen.insert(row.row_key()));
        for part in rows.chunks(40) {
            store.append(part)?;
        }
        for _ in 0..60 {
            let at = usize::try_from(dice.roll(rows.len() as u64)).unwrap_or(0);
            let end = Attempt {
                request_id: rows[at].request_id,
                attempt: rows[at].attempt,
                started: rows[at].started,
                ..any(&mut dice)
            };
            store.append(std::slice::from_ref(&end))?;
            if !rows[at].outcome.is_final() && end.outcome.is_final() {
                rows[at] = end;
            }
        }
        let first = rows.iter().map(|row| row.started).min().unwrap_or(0);
        for _ in 0..40 {
            let mut moment = || {
                let hours = i64::try_from(dice.roll(60)).unwrap_or(0) * HOUR;
                // whole hours and broken ones
                let rest = i64::try_from(dice.roll(2) * dice.roll(HOUR.unsigned_abs())).unwrap_or(0);
                (dice.roll(4) > 0).then_some((first / HOUR - 2) * HOUR + hours + rest)
            };
            let mut filter = Filter { from: moment(), until: moment(), ..Filter::default() };
            match dice.roll(4) {
                0 => filter = filter.only(Dimension::Product, "product-1"),
                1 => filter = filter.only(Dimension::Outcome, "ok"),
                _ => {}
            }
            let picked = rows.iter().filter(|row| filter.from.is_none_or(|from| row.started >= from));
            let picked = picked.filter(|row| filter.until.is_none_or(|until| row.started < until));
            let picked = picked.filter(|row| filter.is.iter().all(|(by, wanted)| said(row, *by) == *wanted));
            assert_eq!(store.flows(&filter)?, Flow::sum(picked), "seed {seed}, {filter:?}");
        }
    }
    Ok(())
}

/// A row of one of three days, with few different keys, so that flows have several.
fn any(dice: &mut Dice) -> Attempt {
    let number = dice.roll(3);
    let came = 1_699_990_000_000 + dice.roll(48 * 3_600_000);
    Attempt {
        request_id: RequestId::new(came, u128::from(dice.roll(1 << 30))),
        // attempts may begin long after their request came, on the next day too
        started: i64::try_from(came * 1_000 + dice.roll(2) * dice.roll(3_000_000_000)).unwrap_or(0),
        mode: Mode::MEMBERS[usize::try_from(dice.roll(6)).unwrap_or(0)],
        drill: (dice.roll(4) == 0).then(|| "drill".into()),
        outcome: Outcome::MEMBERS[usize::try_from(dice.roll(5)).unwrap_or(0)],
        input_tokens: (dice.roll(5) > 0).then(|| dice.roll(40_000)),
        output_tokens: (dice.roll(5) > 0).then(|| if dice.roll(50) == 0 { u64::MAX } else { dice.roll(900) }),
        cost_nanodollars: (dice.roll(5) > 0).then(|| i64::try_from(dice.roll(1 << 30)).unwrap_or(0)),
        portability: (dice.roll(2) > 0).then_some(Portability::Portable),
        candidates: Vec::new(),
        ..sample(number)
    }
}

fn old_days_are_forgotten(store: &impl Store) -> Result<(), StoreError> {
    const DAY: i64 = 24 * HOUR;
    let mut rows: Vec<Attempt> =
        (0..12).map(|number| Attempt { mode: Mode::Live, drill: None, ..sample(number * 36_000_000) }).collect();
    // sample 0 came at 22:13: from it on, ten hours apart; this one began on the day after
    rows[0].started += 4 * HOUR;
    store.append(&rows)?;
    assert_eq!(store.kept_from()?, None);
    let midnight = rows[1].started / DAY * DAY;
    assert_eq!(store.forget(midnight, midnight)?, Forgotten::default(), "an attempt of that day began later");
    let gone = store.forget(midnight + DAY, midnight - 30 * DAY)?;
    assert_eq!(gone, Forgotten { days: 2, rows: 3 });
    assert_eq!(store.kept_from()?, Some(rows[2].started + 1));
    let mut left = store.list(&Filter::default())?;
    left.reverse();
    assert_eq!(left, rows[3..]);
    assert_eq!(store.attempts(rows[0].request_id)?, []);
    assert_eq!(store.flows(&Filter::default())?, Flow::sum(&rows), "their sums are kept");
    let from = Some(rows[1].started + 5);
    let whole = store.flows(&Filter { from, ..Filter::default() })?;
    assert_eq!(whole, Flow::sum(&rows), "a day whose rows are gone counts whole");
    let until = Some(rows[2].started - 5);
    let whole = store.flows(&Filter { from, until, ..Filter::default() })?;
    assert_eq!(whole, Flow::sum(&rows[..3]), "at its other end too");
    let kept = Filter { from: Some(rows[3].started + 5), ..Filter::default() };
    assert_eq!(store.flows(&kept)?, Flow::sum(&rows[4..]));
    assert_eq!(store.append(&rows)?, 0, "what was forgotten is not added again");
    assert_eq!(store.flows(&Filter::default())?, Flow::sum(&rows));
    assert_eq!(store.forget(midnight + 2 * DAY, midnight + 9 * DAY)?, Forgotten { days: 1, rows: 2 });
    assert_eq!(store.flows(&Filter::default())?, Flow::sum(&rows[3..]), "the last day's sums stay");
    store.check()
}

fn writers_beside_each_other_add_each_row_once(store: &impl Store) -> Result<(), StoreError> {
    let rows: Vec<Attempt> = (0..400).map(sample).collect();
    let added = std::thread::scope(|scope| {
        let add = || rows.chunks(50).map(|part| store.append(part)).sum::<Result<u64, StoreError>>();
        let others = [scope.spawn(add), scope.spawn(add)];
        others.map(|other| other.join().unwrap_or(Ok(0)))
    });
    let [one, two] = added;
    assert_eq!(one? + two?, 400);
    assert_eq!(store.list(&Filter::default())?.len(), 400);
    Ok(())
}

fn wish() -> Wish {
    let network: Result<Cidr, _> = "10.0.0.0/8".parse();
    Wish {
        kind: KeyKind::Product,
        product: "copilot".into(),
        team: Some("search \u{1f50d}".into()),
        name: "laptop".into(),
        expires: Some(1_000),
        models: vec!["gpt-*".into(), "auto".into()],
        networks: network.into_iter().collect(),
        quota: Quota { rpm: Some(9), nano_day: Some(u64::MAX), ..Quota::default() },
    }
}

fn keys_are_kept(store: &impl Store) -> Result<(), StoreError> {
    let (key, secret) = keys::create(store, wish(), &[7; 32], 10)?;
    let (plain, _) = keys::create(store, Wish { expires: None, ..Wish::default() }, &[8; 32], 11)?;
    assert_eq!(store.keys()?, [key.clone(), plain]);
    assert!(secret.reveal().starts_with(&*key.prefix) && secret.reveal().len() > 52);
    assert_eq!(format!("{secret:?}"), "Secret(hidden)");
    let ring = KeyRing::load(store)?;
    assert_eq!(ring.len(), 2);
    assert_eq!(ring.verify(secret.reveal(), 999).ok(), Some(&key));
    assert!(matches!(ring.verify(secret.reveal(), 1_000), Err(KeyError::Expired { .. })));
    assert!(matches!(ring.verify("ak-nobody", 0), Err(KeyError::Unknown)));
    assert!(key.allows_model("gpt-5") && key.allows_model("auto") && !key.allows_model("automatic"));
    assert!(key.allows_address([10, 1, 2, 3].into()) && !key.allows_address([11, 1, 2, 3].into()));
    Ok(())
}

fn keys_of_the_admin_api_open_nothing_else(store: &impl Store) -> Result<(), StoreError> {
    let (product, products) = keys::create(store, wish(), &[7; 32], 10)?;
    assert!(!KeyRing::load(store)?.has_admins());
    for (kind, random) in [(KeyKind::Admin, [8; 32]), (KeyKind::Viewer, [9; 32])] {
        let wish = Wish { kind, name: "root".into(), ..Wish::default() };
        let (key, secret) = keys::create(store, wish, &random, 10)?;
        let ring = KeyRing::load(store)?;
        assert_eq!(ring.verify_admin(secret.reveal(), 11).ok(), Some(&key));
        assert!(secret.reveal().starts_with("ak-admin-") && ring.verify(secret.reveal(), 11).is_err());
        assert!(ring.named(&key.id, 11).is_err() && ring.verify_admin(products.reveal(), 11).is_err());
        assert!(keys::revoke(store, &key.id, 12).is_ok());
        let ring = KeyRing::load(store)?;
        assert!(ring.verify_admin(secret.reveal(), 12).is_err() && ring.has_admins());
        assert_eq!(ring.iter().collect::<Vec<_>>(), [&product]);
    }
    Ok(())
}

fn revocations_stay(store: &impl Store) -> Result<(), StoreError> {
    let (key, secret) = keys::create(store, wish(), &[7; 32], 10)?;
    assert!(keys::revoke(store, &key.id, 50).is_ok());
    store.put_keys(std::slice::from_ref(&key))?;
    assert_eq!(store.keys()?[0].revoked, Some(50), "a write from before a revocation does not undo it");
    assert!(keys::revoke(store, &key.id, 90).is_ok_and(|key| key.revoked == Some(50)));
    let ring = KeyRing::load(store)?;
    assert!(matches!(ring.verify(secret.reveal(), 60), Err(KeyError::Revoked { .. })));
    assert!(matches!(keys::rotate(store, &key.id, &[9; 32], 60, 5), Err(KeyError::Revoked { .. })));
    assert!(matches!(keys::revoke(store, "key_none", 60), Err(KeyError::NoSuchKey(_))));
    Ok(())
}

fn a_ring_sees_changes(store: &impl Store) -> Result<(), StoreError> {
    let (old, old_secret) = keys::create(store, wish(), &[7; 32], 10)?;
    let ring = KeyRing::load(store)?;
    assert!(ring.reload(store)?.is_none());
    let rotated = keys::rotate(store, &old.id, &[9; 32], 100, 50);
    assert!(rotated.is_ok(), "{rotated:?}");
    let ring = ring.reload(store)?.unwrap_or_default();
    assert_eq!(ring.len(), 2);
    assert!(ring.iter().all(|key| key.line == old.line && key.quota == old.quota), "a rotation gives nobody more");
    for (_, secret) in rotated.into_iter().chain([(old, old_secret.clone())]) {
        assert!(ring.verify(secret.reveal(), 149).is_ok());
    }
    assert!(ring.verify(old_secret.reveal(), 150).is_err(), "the old one ends with the overlap");
    Ok(())
}
