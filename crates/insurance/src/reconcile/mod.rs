//! What a provider says it was used for, beside what the ledger says: what each saw that the other did not, and whether a
//! difference in money is one of counts or of prices. Pure; nothing is rounded away, and what nobody can compare (a day
//! that the statement does not speak of, a count that one side does not say) is left out and said.

mod statement;

pub use statement::{Statement, StatementError};

use crate::Day;
use ledger::record::Name;
use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet};

/// What was used; `None`: not said.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Sums {
    /// Requests; for the ledger: attempts.
    pub requests: Option<u64>,
    /// Tokens of prompts, cached ones included.
    pub input: Option<u64>,
    /// Of these, read from a cache.
    pub cached: Option<u64>,
    /// Tokens of answers, thinking included.
    pub output: Option<u64>,
    /// Billionths of a US dollar.
    pub nanodollars: Option<i64>,
}

impl Sums {
    fn add(&mut self, other: &Self) {
        let pairs = [
            (&mut self.requests, other.requests),
            (&mut self.input, other.input),
            (&mut self.cached, other.cached),
            (&mut self.output, other.output),
        ];
        for (sum, more) in pairs {
            *sum = sum.map_or(more, |sum| Some(sum.saturating_add(more.unwrap_or(0))));
        }
        self.nanodollars =
            self.nanodollars.map_or(other.nanodollars, |sum| Some(sum.saturating_add(other.nanodollars.unwrap_or(0))));
    }
}

/// A line of a statement.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Said {
    /// The day, UTC.
    pub day: Day,
    /// The model.
    pub model: Option<String>,
    /// The key or account it was used with, by the provider's name for it.
    pub key: Option<String>,
    /// What was used.
    pub sums: Sums,
}

/// What the ledger has of one day, model and account.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Booked {
    /// The day, UTC.
    pub day: Day,
    /// The model as the provider named it.
    pub model: Option<Name>,
    /// Our account at the provider.
    pub account: Option<Name>,
    /// Attempts.
    pub attempts: u64,
    /// Of these, without token counts.
    pub uncounted: u64,
    /// Of these, of unknown cost.
    pub unpriced: u64,
    /// Tokens of prompts, cached ones included.
    pub input: u64,
    /// Of these, read from a cache.
    pub cached: u64,
    /// Tokens of answers.
    pub output: u64,
    /// The known costs, billionths of a US dollar.
    pub nanodollars: i64,
}

/// Why two sides differ.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Why {
    /// They do not.
    Agrees,
    /// Only the provider saw it: it did not pass us, or our row is lost.
    OnlyTheirs,
    /// Only we saw it: the provider does not count it, or names it otherwise.
    OnlyOurs,
    /// Other numbers of tokens.
    Counts,
    /// The same tokens at other prices.
    Prices,
}

impl Why {
    /// The stable name.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Agrees => "agrees",
            Self::OnlyTheirs => "only theirs",
            Self::OnlyOurs => "only ours",
            Self::Counts => "counts",
            Self::Prices => "prices",
        }
    }
}

/// Both sides of a day, a model, a key, or a model on a day.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Pair {
    /// The day, where it is of one.
    pub day: Option<Day>,
    /// The model or the key, where it is of one; `None` there: not said.
    pub name: Option<Name>,
    /// What the provider says; `None`: nothing.
    pub theirs: Option<Sums>,
    /// What we have; `None`: nothing.
    pub ours: Option<Sums>,
    /// Of our attempts, those without token counts: clients that left, processes that died.
    pub uncounted: u64,
    /// Of our attempts, those of unknown cost.
    pub unpriced: u64,
    /// Why they differ.
    pub why: Why,
    /// Their cost less ours, billionths of a US dollar; `None`: one side does not say.
    pub difference: Option<i64>,
    /// Of `difference`, what other numbers of tokens explain at our prices; the rest is prices. An estimate: tokens of
    /// prompts and answers are taken to be dearer in the same proportion as ours.
    pub by_counts: Option<i64>,
}

/// The comparison.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Reconciliation {
    /// The first day compared.
    pub from: Option<Day>,
    /// The last day compared.
    pub to: Option<Day>,
    /// Everything.
    pub total: Pair,
    /// Day by day.
    pub days: Vec<Pair>,
    /// Model by model.
    pub models: Vec<Pair>,
    /// Key by key, where the statement says keys.
    pub keys: Vec<Pair>,
    /// Models on days that differ, the most money first.
    pub differences: Vec<Pair>,
    /// What the reader should know.
    pub notes: Vec<String>,
}

impl Reconciliation {
    /// Whether nothing differs.
    #[must_use]
    pub fn agrees(&self) -> bool {
        self.differences.is_empty()
    }
}

/// Both sides of one thing, while they are summed.
#[derive(Debug, Clone, Default)]
struct Sides {
    theirs: Option<Sums>,
    ours: Option<Sums>,
    uncounted: u64,
    unpriced: u64,
}

impl Sides {
    fn say(&mut self, sums: &Sums) {
        self.theirs.get_or_insert_default().add(sums);
    }

    fn book(&mut self, booked: &Booked) {
        self.uncounted += booked.uncounted;
        self.unpriced += booked.unpriced;
        self.ours.get_or_insert_default().add(&Sums {
            requests: Some(booked.attempts),
            input: Some(booked.input),
            cached: Some(booked.cached),
            output: Some(booked.output),
            nanodollars: Some(booked.nanodollars),
        });
    }

    fn pair(self, day: Option<Day>, name: Option<Name>) -> Pair {
        let Self { theirs, ours, uncounted, unpriced } = self;
        let money = theirs.and_then(|theirs| theirs.nanodollars);
        let booked = ours.and_then(|ours| ours.nanodollars);
        let difference = match (theirs, ours) {
            (Some(_), None) => money,
            (None, Some(_)) => booked.map(|booked| -booked),
            _ => money.zip(booked).map(|(theirs, ours)| theirs.saturating_sub(ours)),
        };
        let by_counts = difference.and_then(|difference| match (theirs, ours) {
            (Some(theirs), Some(ours)) => by_counts(&theirs, &ours),
            _ => Some(difference),
        });
        let why = match (theirs, ours) {
            (None, None) => Why::Agrees,
            (Some(_), None) => Why::OnlyTheirs,
            (None, Some(ours)) if ours.input == Some(0) && ours.output == Some(0) && booked == Some(0) => Why::Agrees,
            (None, Some(_)) => Why::OnlyOurs,
            (Some(theirs), Some(ours)) if counts_differ(&theirs, &ours) => Why::Counts,
            (Some(_), Some(ours)) if difference.is_some_and(|left| left.unsigned_abs() > tolerance(&ours, booked)) => {
                Why::Prices
            }
            _ => Why::Agrees,
        };
        Pair { day, name, theirs, ours, uncounted, unpriced, why, difference, by_counts }
    }
}

fn counts_differ(theirs: &Sums, ours: &Sums) -> bool {
    let differ = |a: Option<u64>, b: Option<u64>| a.zip(b).is_some_and(|(a, b)| a != b);
    differ(theirs.input, ours.input) || differ(theirs.output, ours.output) || differ(theirs.cached, ours.cached)
}

/// What rounding may make of equal costs: ours are rounded up to a nano-dollar per attempt, theirs pass through floats.
fn tolerance(ours: &Sums, cost: Option<i64>) -> u64 {
    ours.requests.unwrap_or(0) + 1_000 + cost.unwrap_or(0).unsigned_abs() / 1_000_000_000
}

/// What their tokens would have cost at our prices, less what ours cost.
#[expect(clippy::cast_precision_loss, clippy::cast_possible_truncation, reason = "an estimate needs no more digits")]
fn by_counts(theirs: &Sums, ours: &Sums) -> Option<i64> {
    let tokens = |sums: &Sums| Some(sums.input? as f64 + sums.output? as f64);
    let (theirs, counted, cost) = (tokens(theirs)?, tokens(ours).filter(|count| *count > 0.0)?, ours.nanodollars?);
    Some((cost as f64 * (theirs / counted - 1.0)).round() as i64)
}

/// Compares `statement` with what is booked; `named` says which of our accounts a key of theirs is.
#[must_use]
pub fn reconcile(statement: &Statement, booked: &[Booked], named: &BTreeMap<String, Name>) -> Reconciliation {
    let booked: Vec<&Booked> = booked.iter().filter(|one| statement.days.contains(&one.day)).collect();
    let ours: BTreeSet<&str> = booked.iter().filter_map(|one| one.model.as_deref()).collect();
    let theirs: BTreeSet<&str> = statement.lines.iter().filter_map(|line| line.model.as_deref()).collect();
    let (mut total, mut days, mut models) = (Sides::default(), BTreeMap::new(), BTreeMap::new());
    let (mut keys, mut both): (BTreeMap<Option<Name>, Sides>, BTreeMap<_, Sides>) = Default::default();
    for line in &statement.lines {
        let model = line.model.as_deref().map(|model| Name::from(alike(model, &ours)));
        total.say(&line.sums);
        let sides: &mut Sides = days.entry(line.day).or_default();
        sides.say(&line.sums);
        let sides: &mut Sides = models.entry(model.clone()).or_default();
        sides.say(&line.sums);
        both.entry((line.day, model)).or_default().say(&line.sums);
        if let Some(key) = &line.key {
            let name = named.get(key).cloned().unwrap_or_else(|| key.as_str().into());
            keys.entry(Some(name)).or_default().say(&line.sums);
        }
    }
    let by_key = !keys.is_empty();
    for one in booked {
        let exact = one.model.as_deref().is_some_and(|model| theirs.contains(model));
        let model = one.model.as_deref().map(|model| if exact { model } else { alike(model, &theirs) }).map(Name::from);
        // where both sides know a shorter name of the other, theirs was made ours above
        let model = if models.contains_key(&model) { model } else { one.model.clone() };
        total.book(one);
        days.entry(one.day).or_default().book(one);
        models.entry(model.clone()).or_default().book(one);
        both.entry((one.day, model)).or_default().book(one);
        if by_key {
            keys.entry(one.account.clone()).or_default().book(one);
        }
    }
    let mut differences: Vec<Pair> = both
        .into_iter()
        .map(|((day, model), sides)| sides.pair(Some(day), model))
        .filter(|pair| pair.why != Why::Agrees)
        .collect();
    let size = |pair: &Pair| {
        let tokens = |sums: Option<Sums>| sums.map_or(0, |sums| sums.input.unwrap_or(0) + sums.output.unwrap_or(0));
        (pair.difference.unwrap_or(0).unsigned_abs(), tokens(pair.theirs).abs_diff(tokens(pair.ours)))
    };
    differences.sort_by_key(|pair| std::cmp::Reverse(size(pair)));
    let by_name =
        |map: BTreeMap<Option<Name>, Sides>| map.into_iter().map(|(name, sides)| sides.pair(None, name)).collect();
    Reconciliation {
        from: statement.days.first().copied(),
        to: statement.days.last().copied(),
        notes: notes(statement, by_key, &total),
        total: total.pair(None, None),
        days: days.into_iter().map(|(day, sides)| sides.pair(Some(day), None)).collect(),
        models: by_name(models),
        keys: by_name(keys),
        differences,
    }
}

/// The name among `known` that `model` goes by: itself, or without the date of its snapshot.
fn alike<'a>(model: &'a str, known: &BTreeSet<&str>) -> &'a str {
    let undated = undated(model);
    if !known.contains(model) && known.contains(undated) { undated } else { model }
}

/// `gpt-5.2-2025-12-11` and `claude-sonnet-5-20260801` without their dates.
fn undated(model: &str) -> &str {
    let is_date = |text: &str| {
        let digits = text.chars().filter(char::is_ascii_digit).count();
        digits == 8 && text.starts_with("20") && text.chars().all(|sign| sign.is_ascii_digit() || sign == '-')
    };
    [11, 9]
        .into_iter()
        .filter_map(|end| model.len().checked_sub(end))
        .filter(|at| model.is_char_boundary(*at) && model[*at..].starts_with('-'))
        .find(|at| is_date(&model[at + 1..]))
        .map_or(model, |at| &model[..at])
}

fn notes(statement: &Statement, by_key: bool, total: &Sides) -> Vec<String> {
    let mut notes = statement.notes.clone();
    let theirs = total.theirs.unwrap_or_default();
    if !by_key {
        notes.push(
            "the statement says no keys: nothing is compared by key; fetch it grouped by `api_key_id`".to_owned(),
        );
    }
    if theirs.nanodollars.is_none() {
        notes.push("the statement says no costs: only counts are compared; add the provider's costs".to_owned());
    }
    if theirs.input.is_none() && theirs.output.is_none() {
        notes.push("the statement says no token counts: only money is compared; add the provider's usage".to_owned());
    }
    if total.uncounted > 0 {
        notes.push(format!(
            "{} of our attempts have no token counts (the client left, the process died, or the provider said none): where \
             the provider counts more, these may be it",
            total.uncounted
        ));
    }
    if total.unpriced > 0 {
        notes.push(format!("{} of our attempts have no price: our costs are lower bounds", total.unpriced));
    }
    notes
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn day(number: i64) -> Day {
        Day::of_micros((20_000 + number) * 86_400_000_000)
    }

    fn booked(on: i64, model: &str) -> Booked {
        Booked {
            day: day(on),
            model: Some(model.into()),
            account: Some("main".into()),
            attempts: 10,
            uncounted: 0,
            unpriced: 0,
            input: 1_000,
            cached: 100,
            output: 500,
            nanodollars: 2_000_000,
        }
    }

    fn said(booked: &Booked) -> Said {
        Said {
            day: booked.day,
            model: booked.model.as_deref().map(str::to_owned),
            key: booked.account.as_deref().map(str::to_owned),
            sums: Sums {
                requests: Some(booked.attempts),
                input: Some(booked.input),
                cached: Some(booked.cached),
                output: Some(booked.output),
                nanodollars: Some(booked.nanodollars),
            },
        }
    }

    fn statement(lines: Vec<Said>, days: std::ops::Range<i64>) -> Statement {
        Statement { lines, days: days.map(day).collect(), notes: Vec::new() }
    }

    #[test]
    fn each_kind_of_difference_is_told() {
        let ours: Vec<Booked> = ["same", "counts", "prices", "ours"]
            .iter()
            .map(|model| booked(1, model))
            .chain([booked(9, "late")])
            .collect();
        let mut lines: Vec<Said> = ours[..3].iter().map(said).collect();
        lines[1].sums.input = Some(2_500);
        lines[1].sums.nanodollars = Some(4_000_000);
        lines[2].sums.nanodollars = Some(3_000_000);
        lines.push(Said { model: Some("theirs".to_owned()), ..lines[0].clone() });
        let found = reconcile(&statement(lines, 0..3), &ours, &BTreeMap::new());
        let told: Vec<_> = found
            .differences
            .iter()
            .map(|pair| (pair.name.as_deref().unwrap(), pair.why, pair.difference, pair.by_counts))
            .collect();
        let wanted = [
            ("theirs", Why::OnlyTheirs, Some(2_000_000), Some(2_000_000)),
            ("ours", Why::OnlyOurs, Some(-2_000_000), Some(-2_000_000)),
            ("counts", Why::Counts, Some(2_000_000), Some(2_000_000)),
            ("prices", Why::Prices, Some(1_000_000), Some(0)),
        ];
        for one in wanted {
            assert!(told.contains(&one), "{one:?} in {told:?}");
        }
        assert_eq!(told.len(), wanted.len(), "a day the statement does not speak of is not compared");
        assert_eq!(found.total.difference, Some(3_000_000));
        assert_eq!((found.days.len(), found.models.len(), found.keys.len()), (1, 5, 1));
    }

    #[test]
    fn dated_names_and_keys_meet_ours() {
        let ours = [booked(1, "gpt-5.2"), booked(1, "claude-sonnet-5-20260801")];
        let mut lines: Vec<Said> = ours.iter().map(said).collect();
        lines[0].model = Some("gpt-5.2-2025-12-11".to_owned());
        lines[1].model = Some("claude-sonnet-5".to_owned());
        lines.iter_mut().for_each(|line| line.key = Some("apikey_1".to_owned()));
        let named = BTreeMap::from([("apikey_1".to_owned(), Name::from("main"))]);
        let found = reconcile(&statement(lines, 0..3), &ours, &named);
        assert!(found.agrees(), "{:?}", found.differences);
        assert_eq!(found.keys.len(), 1);
        assert_eq!(undated("o3-20-11"), "o3-20-11");
    }

    proptest! {
        /// A statement that says what is booked agrees, however it is cut; the parts sum to the whole.
        #[test]
        fn the_same_agrees_and_parts_sum(cells in proptest::collection::vec((0_i64..4, 0_usize..3, 0_u64..1 << 40, 0_u64..1 << 40, 0_i64..1 << 50, 0_u64..5), 1..30)) {
            let models = ["a", "b", "c"];
            let ours: Vec<Booked> = cells.iter().map(|(on, model, input, output, cost, _)| Booked {
                input: *input, cached: input / 3, output: *output, nanodollars: *cost, ..booked(*on, models[*model])
            }).collect();
            let lines: Vec<Said> = ours.iter().map(said).collect();
            let found = reconcile(&statement(lines.clone(), 0..4), &ours, &BTreeMap::new());
            prop_assert!(found.agrees());
            // some lines lost on our side: what is missing is exactly the difference
            let kept: Vec<Booked> = ours.iter().zip(&cells).filter(|(_, cell)| cell.5 > 0).map(|(one, _)| one.clone()).collect();
            let found = reconcile(&statement(lines, 0..4), &kept, &BTreeMap::new());
            let lost: i64 = ours.iter().map(|one| one.nanodollars).sum::<i64>() - kept.iter().map(|one| one.nanodollars).sum::<i64>();
            prop_assert_eq!(found.total.difference, Some(lost));
            for part in [&found.days, &found.models, &found.keys] {
                prop_assert_eq!(part.iter().filter_map(|pair| pair.difference).sum::<i64>(), lost);
            }
            prop_assert!(lost <= 1_000_000 || !found.agrees());
        }
    }
}
