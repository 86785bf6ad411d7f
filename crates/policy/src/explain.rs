//! A plan in words.
use crate::{Fleet, Plan};
/// A plan in words, one line each.
#[must_use]
pub fn explain(_plan: &Plan, _fleet: &Fleet) -> Vec<String> {
    Vec::new()
}
