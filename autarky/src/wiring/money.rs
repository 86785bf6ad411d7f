//! What was spent before this process began, read from the ledger: a restart gives no budget back.

use gateway::clock;
use gateway::run::live::Who;
use gateway::setup::Setup;
use ledger::{Dimension, Filter, KeyRing, Name, Store, StoreError, Total};
use policy::NanoUsd;
use policy::budget::Period;
use std::collections::HashMap;

/// Tells `setup` what every product, team and key with a budget spent in the minute, day and month of now.
///
/// # Errors
/// The store refuses.
pub(crate) fn restore(setup: &Setup, ring: &KeyRing, store: &dyn Store) -> Result<(), StoreError> {
    let wall = clock::wall();
    for period in Period::ALL {
        let from = Some(period.start(wall).unix().saturating_mul(1_000_000));
        let tell = |who: &Who, spent: NanoUsd| setup.live.restore(who, period, spent, wall);
        let filter = Filter { from, ..Filter::default() };
        for (product, spent) in spent(store.totals(&[Dimension::Product], &filter)?) {
            tell(&Who::product(&product), spent);
        }
        let with_teams = setup.fleet.products().iter().filter(|product| !product.rules().team.is_empty());
        for product in with_teams.map(policy::Product::name) {
            let filter = filter.clone().only(Dimension::Product, product);
            for (team, spent) in spent(store.totals(&[Dimension::Team], &filter)?) {
                tell(&Who::team(product, &team), spent);
            }
        }
        let lines: HashMap<&Name, &Name> =
            ring.iter().filter(|key| !key.quota.is_empty()).map(|key| (&key.id, &key.line)).collect();
        if lines.is_empty() {
            continue;
        }
        let mut by_line: HashMap<&Name, NanoUsd> = HashMap::new();
        for (key, spent) in spent(store.totals(&[Dimension::Key], &filter)?) {
            if let Some(line) = lines.get(&key) {
                let sum = by_line.entry(line).or_default();
                *sum = sum.plus(spent);
            }
        }
        for (line, spent) in by_line {
            tell(&Who::key("", line), spent);
        }
    }
    Ok(())
}

/// What each group spent, as far as it is known.
fn spent(totals: Vec<Total>) -> impl Iterator<Item = (Name, NanoUsd)> {
    let nano = |total: &Total| NanoUsd(u64::try_from(total.cost_nanodollars).unwrap_or(0));
    totals.into_iter().filter_map(move |total| Some((total.group.first().cloned()??, nano(&total))))
}
