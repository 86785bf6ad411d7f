//! What products spent before this process began, read from the ledger: a restart gives no budget back.

use gateway::clock;
use gateway::setup::Setup;
use ledger::{Dimension, Filter, Store, StoreError};
use policy::NanoUsd;
use policy::budget::Period;

/// Tells `setup` what every product with a budget spent in the minute, day and month of now.
///
/// # Errors
/// The store refuses.
pub(crate) fn restore(setup: &Setup, store: &dyn Store) -> Result<(), StoreError> {
    let wall = clock::wall();
    for period in Period::ALL {
        let filter = Filter { from: Some(period.start(wall).unix().saturating_mul(1_000_000)), ..Filter::default() };
        for total in store.totals(Dimension::Product, &filter)? {
            let product = total.group.as_deref().and_then(|name| setup.fleet.product_named(name));
            if let Some(product) = product {
                let spent = NanoUsd(u64::try_from(total.cost_nanodollars).unwrap_or(0));
                setup.live.restore(product, period, spent, wall);
            }
        }
    }
    Ok(())
}
