//! What contracts make us pay in any case, and how much of it is used this month. A book keeps it as it keeps budgets; a
//! commitment that is used up bars nothing.

use policy::budget::{Book, Budget, Holder};
use policy::fleet::Commitment;
use policy::rules::BudgetRules;
use policy::{NanoUsd, Wall};
use std::collections::HashMap;
use std::sync::Arc;

/// Every contract's, kept over reloads: what is used stays used.
#[derive(Clone, Default)]
pub(super) struct Commitments(HashMap<Arc<str>, Holder>);

impl Commitments {
    /// Where the use of `commitment` is counted.
    pub(super) fn of(&mut self, commitment: &Commitment, book: &Arc<Book>) -> Committed {
        let rules = BudgetRules { usd_month: Some(commitment.month), ..BudgetRules::default() };
        let open = || book.open(Budget::new(&rules));
        let holder = *self.0.entry(Arc::clone(&commitment.contract)).or_insert_with(open);
        book.with(holder, |budget| budget.relimit(&rules));
        Committed { book: Arc::clone(book), holder }
    }
}

/// Where the use of one is counted.
#[derive(Clone)]
pub(super) struct Committed {
    book: Arc<Book>,
    holder: Holder,
}

impl Committed {
    /// Counts what a call cost.
    pub(super) fn spend(&self, spent: NanoUsd, wall: Wall) {
        self.book.with(self.holder, |budget| budget.settle(NanoUsd::ZERO, spent, wall));
    }

    /// What is not used yet.
    pub(super) fn left(&self, wall: Wall) -> NanoUsd {
        self.book.left(&[self.holder], wall).unwrap_or_default()
    }
}
