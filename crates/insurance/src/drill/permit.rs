//! Whether a drill may begin: it must be one that can be, only one runs at a time, and a critical product is touched
//! live only after the levels below have held for the same loss.

use super::{Drill, Level, State};
use ledger::record::Name;
use policy::Fleet;
use policy::rules::Criticality;

/// How long an earlier drill counts as evidence, microseconds.
const FRESH: i64 = 90 * 86_400 * 1_000_000;

/// The longest window of a live drill, seconds.
const LONGEST: u64 = 4 * 3_600;

/// An earlier drill.
#[derive(Debug, Clone, Copy)]
pub struct Past<'a> {
    /// As it was ordered.
    pub drill: &'a Drill,
    /// When it ended, Unix microseconds.
    pub ended: Option<i64>,
    /// Whether everything that was expected held.
    pub held: bool,
}

/// Why a drill may not begin.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum Refusal {
    /// Nothing would be lost.
    #[error("nothing here rests on `{0}`: nobody would notice; `autarky register show` tells what there is")]
    Nothing(String),
    /// Another one is ordered or runs.
    #[error("drill `{0}` is {1}; only one may at a time: wait for its end, or `autarky drill abort`")]
    Running(Name, &'static str),
    /// There is no such product.
    #[error("there is no product `{product}`; known: {}", .known.join(", "))]
    NoProduct {
        /// The name.
        product: String,
        /// Those there are.
        known: Vec<String>,
    },
    /// The fault cannot be played.
    #[error(
        "`{0}` is played on paper only: a price is only a bill, and nobody is given worse answers on purpose; use `--level L0`"
    )]
    OnPaperOnly(&'static str),
    /// A share that cannot be.
    #[error("a share of {0} cannot be; write a number above 0 and at most 1, such as `--share 0.05`")]
    Share(f64),
    /// A part of live traffic is the whole.
    #[error("L2 is a part of live traffic: name a product (`--product`) or a share (`--share 0.05`); all of it is L3")]
    NoPart,
    /// All live traffic is a part.
    #[error("L3 is all live traffic of its products: leave `--share` out, or use L2")]
    NoWhole,
    /// A window that cannot be.
    #[error("a window of {0} s cannot be: a live drill lasts from 1 s to {LONGEST} s, such as `--window 2m`")]
    Window(u64),
    /// A rule to stop that cannot be.
    #[error("`{0} {1}` cannot be: write a {2}")]
    Stop(&'static str, f64, &'static str),
    /// A replay that may cost anything.
    #[error("a replay sends requests that cost money: say how much with `--spend 0.50` (US dollars)")]
    NoCap,
    /// A critical product without evidence.
    #[error(
        "product `{product}` is critical, and {} of `{target}` has not held for it within 90 days: run `autarky drill run \
         --lose {target} --level {}` first, or leave the product out",
        .missing.iter().map(ToString::to_string).collect::<Vec<_>>().join(" and "),
        .missing.first().copied().unwrap_or(Level::L0)
    )]
    Critical {
        /// The product.
        product: String,
        /// What would be lost.
        target: String,
        /// The levels without evidence, the least real first.
        missing: Vec<Level>,
    },
}

/// Whether `drill` may begin at `now`, Unix microseconds. `current`: one that is ordered or runs; `past`: those that are
/// over.
///
/// # Errors
/// Why not, and what to do.
pub fn may_begin(
    drill: &Drill,
    fleet: &Fleet,
    current: Option<(&Name, &State)>,
    past: &[Past<'_>],
    now: i64,
) -> Result<(), Refusal> {
    if !(drill.share > 0.0 && drill.share <= 1.0) {
        return Err(Refusal::Share(drill.share));
    }
    stops(drill)?;
    if drill.lost.is_empty() {
        return Err(Refusal::Nothing(drill.target.to_string()));
    }
    for product in &drill.products {
        if fleet.product_named(product).is_none() {
            let known = fleet.products().iter().map(|product| product.name().to_owned()).collect();
            return Err(Refusal::NoProduct { product: product.to_string(), known });
        }
    }
    if drill.level > Level::L0 && drill.fault.played().is_none() {
        return Err(Refusal::OnPaperOnly(drill.fault.kind.name));
    }
    let whole = drill.share >= 1.0;
    match drill.level {
        Level::L2 if whole && drill.products.is_empty() => return Err(Refusal::NoPart),
        Level::L3 if !whole => return Err(Refusal::NoWhole),
        _ => {}
    }
    if drill.level >= Level::L1 && !(1..=LONGEST).contains(&drill.window_s) {
        return Err(Refusal::Window(drill.window_s));
    }
    if let Some((id, state)) = current.filter(|_| drill.level >= Level::L1) {
        let word = if *state == State::Ordered { "ordered" } else { "running" };
        return Err(Refusal::Running(id.clone(), word));
    }
    if drill.level >= Level::L2 {
        for product in fleet.products().iter().filter(|product| drill.touches(product.name())) {
            if product.rules().criticality == Criticality::Critical {
                evidence(drill, product.name(), past, now)?;
            }
        }
    }
    Ok(())
}

/// Its rules to stop must be such that can be.
fn stops(drill: &Drill) -> Result<(), Refusal> {
    let abort = &drill.abort;
    for (name, share) in [("--abort-failed", abort.failed), ("--abort-below-floor", abort.below_floor)] {
        if let Some(share) = share.filter(|share| !(0.0..=1.0).contains(share)) {
            return Err(Refusal::Stop(name, share, "share from 0 to 1, such as 0.05"));
        }
    }
    match abort.usd.filter(|usd| !(*usd >= 0.0 && usd.is_finite())) {
        Some(usd) => Err(Refusal::Stop("--spend", usd, "sum in US dollars, such as 0.50")),
        None => Ok(()),
    }
}

/// Every level below must have held. On paper and in a replay the fault makes no difference; live it does.
fn evidence(drill: &Drill, product: &str, past: &[Past<'_>], now: i64) -> Result<(), Refusal> {
    let held = |level: Level| {
        past.iter().any(|one| {
            one.held
                && one.drill.level == level
                && one.drill.target == drill.target
                && one.drill.touches(product)
                && one.ended.is_some_and(|ended| now.saturating_sub(ended) <= FRESH)
                && (level < Level::L2 || one.drill.fault.kind == drill.fault.kind)
                && drill.lost.iter().all(|lost| one.drill.lost.contains(lost))
        })
    };
    let missing: Vec<Level> = Level::ALL.into_iter().filter(|level| *level < drill.level && !held(*level)).collect();
    if missing.is_empty() {
        return Ok(());
    }
    Err(Refusal::Critical { product: product.to_owned(), target: drill.target.to_string(), missing })
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::drill::{Abort, Fault};
    use policy::rules::Rules;
    use policy::{Deployment, FleetSpec, Price};

    /// A drill of all live traffic.
    pub(in crate::drill) fn drill() -> Drill {
        Drill {
            id: "d-1".into(),
            target: "maker:m".parse().unwrap(),
            fault: Fault::default(),
            level: Level::L3,
            products: Vec::new(),
            share: 1.0,
            window_s: 60,
            lost: vec!["one".into()],
            hopes: Vec::new(),
            abort: Abort::default(),
            ordered: 0,
        }
    }

    fn fleet(criticality: Criticality) -> Fleet {
        let one = Deployment { name: "one".into(), provider: "p".into(), model: "m".into(), ..Deployment::default() };
        Fleet::build(FleetSpec {
            version: 1,
            deployments: vec![one],
            products: vec![("product".into(), Rules { criticality, ..Rules::default() })],
            unknown_price: Price::FREE,
        })
        .unwrap()
    }

    fn refused(drill: &Drill) -> Option<Refusal> {
        may_begin(drill, &fleet(Criticality::Normal), None, &[], 0).err()
    }

    #[test]
    fn what_cannot_be_is_refused_with_the_way_out() {
        assert_eq!(refused(&drill()), None);
        assert!(matches!(refused(&Drill { lost: Vec::new(), ..drill() }), Some(Refusal::Nothing(_))));
        assert!(matches!(refused(&Drill { products: vec!["x".into()], ..drill() }), Some(Refusal::NoProduct { .. })));
        assert_eq!(refused(&Drill { share: 0.5, ..drill() }), Some(Refusal::NoWhole));
        assert_eq!(refused(&Drill { level: Level::L2, ..drill() }), Some(Refusal::NoPart));
        assert_eq!(refused(&Drill { level: Level::L2, share: 0.1, ..drill() }), None);
        assert_eq!(refused(&Drill { level: Level::L2, products: vec!["product".into()], ..drill() }), None);
        assert_eq!(refused(&Drill { share: 0.0, ..drill() }), Some(Refusal::Share(0.0)));
        assert_eq!(refused(&Drill { window_s: 0, ..drill() }), Some(Refusal::Window(0)));
        let stop = |abort| refused(&Drill { abort, ..drill() }).map(|refusal| refusal.to_string());
        let failed = stop(Abort { failed: Some(5.0), ..Abort::default() }).unwrap();
        assert_eq!(failed, "`--abort-failed 5` cannot be: write a share from 0 to 1, such as 0.05");
        assert!(stop(Abort { usd: Some(-1.0), ..Abort::default() }).unwrap().contains("`--spend -1`"));
        let price = Drill { fault: "price".parse().unwrap(), ..drill() };
        assert!(refused(&price).unwrap().to_string().contains("`--level L0`"));
        assert_eq!(refused(&Drill { level: Level::L0, ..price }), None);
    }

    #[test]
    fn one_at_a_time() {
        let id = Name::from("other");
        let fleet = fleet(Criticality::Normal);
        let begin = |drill: &Drill| may_begin(drill, &fleet, Some((&id, &State::Running)), &[], 0);
        let error = begin(&drill()).unwrap_err().to_string();
        assert!(error.contains("`other` is running") && error.contains("autarky drill abort"), "{error}");
        assert_eq!(begin(&Drill { level: Level::L0, ..drill() }), Ok(()), "paper disturbs nobody");
    }

    #[test]
    fn a_critical_product_climbs_level_by_level() {
        let fleet = fleet(Criticality::Critical);
        let now = FRESH + 10;
        let mut done: Vec<Drill> = Vec::new();
        for level in Level::ALL {
            let part = if level == Level::L2 { 0.1 } else { 1.0 };
            let next = Drill { level, share: part, ..drill() };
            let past: Vec<Past<'_>> = done.iter().map(|drill| Past { drill, ended: Some(now), held: true }).collect();
            assert_eq!(may_begin(&next, &fleet, None, &past, now), Ok(()), "{level}");
            if level >= Level::L2 {
                let broken: Vec<Past<'_>> = past.iter().map(|one| Past { held: false, ..*one }).collect();
                let old: Vec<Past<'_>> = past.iter().map(|one| Past { ended: Some(9), ..*one }).collect();
                for not in [broken, old, past[1..].to_vec()] {
                    let error = may_begin(&next, &fleet, None, &not, now).unwrap_err();
                    assert!(error.to_string().contains("--level L0` first"), "{error}");
                }
                let other = Drill { target: "maker:other".parse().unwrap(), ..next.clone() };
                assert!(may_begin(&other, &fleet, None, &past, now).is_err());
                let more = Drill { lost: vec!["one".into(), "two".into()], ..next.clone() };
                assert!(may_begin(&more, &fleet, None, &past, now).is_err(), "more rests on it now");
            }
            done.push(next);
        }
        let silent = Drill { fault: "silent".parse().unwrap(), ..drill() };
        let past: Vec<Past<'_>> = done.iter().map(|drill| Past { drill, ended: Some(now), held: true }).collect();
        let error = may_begin(&silent, &fleet, None, &past, now).unwrap_err();
        assert!(matches!(error, Refusal::Critical { missing, .. } if missing == [Level::L2]));
    }
}
