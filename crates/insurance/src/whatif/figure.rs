//! A predicted number with what it rests on.

use crate::Basis;
use crate::stats::Z95;
use serde::Serialize;
use std::collections::BTreeMap;

/// How much of a number rests on what, in shares of the requests behind it, 0 to 1; their sum is 1.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize)]
pub struct Rests {
    /// Recorded.
    pub ledger: f64,
    /// Measured in pairs.
    pub cover: f64,
    /// Computed, with an error nobody measured.
    pub estimate: f64,
    /// Supposed by the scenario.
    pub assumed: f64,
    /// Not known, and not in the number.
    pub unknown: f64,
}

/// A predicted number.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize)]
pub struct Figure {
    /// The number; `None`: nothing of it is known.
    pub value: Option<f64>,
    /// The lower end of its 95 % interval; `None`: an error of it was never measured.
    pub low: Option<f64>,
    /// The upper end.
    pub high: Option<f64>,
    /// What it rests on.
    pub rests: Rests,
}

impl Figure {
    /// Whether something of it is not known.
    #[must_use]
    pub fn partial(&self) -> bool {
        self.rests.unknown > 0.0
    }
}

/// What many requests' factors were measured on, so that its error does not average out over them.
pub(super) type Source = (usize, usize);

/// A sum of parts with what each rests on.
#[derive(Debug, Clone, Default)]
pub(super) struct Sum {
    total: f64,
    known: f64,
    rests: Rests,
    /// How far each measured factor may put the total off. Those measured on the same requests are taken to err
    /// together: what is easy for one model is easy for the next.
    errors: BTreeMap<Source, f64>,
    /// The variance of what these very requests will show around their means.
    noise: f64,
}

/// How wrong a measured factor may be.
#[derive(Debug, Clone, Copy)]
pub(super) struct Doubt {
    /// Which factor.
    pub(super) source: Source,
    /// The variance of its mean.
    pub(super) mean: f64,
    /// The variance of one request around it.
    pub(super) one: f64,
    /// How much it multiplies.
    pub(super) multiplies: f64,
}

impl Sum {
    /// Adds `value` on behalf of `requests`.
    pub(super) fn add(&mut self, value: f64, requests: f64, basis: Basis) {
        self.total += value;
        self.known += requests;
        *match basis {
            Basis::Ledger => &mut self.rests.ledger,
            Basis::Cover => &mut self.rests.cover,
            Basis::Estimate => &mut self.rests.estimate,
            Basis::Assumed => &mut self.rests.assumed,
        } += requests;
    }

    /// Notes how wrong a part may be that stands for `requests`.
    pub(super) fn doubt(&mut self, doubt: Doubt, requests: f64) {
        *self.errors.entry(doubt.source).or_default() += doubt.mean.sqrt() * doubt.multiplies;
        self.noise += doubt.one * doubt.multiplies * doubt.multiplies / requests;
    }

    /// Notes that nobody knows the value for `requests`.
    pub(super) fn unknown(&mut self, requests: f64) {
        self.rests.unknown += requests;
    }

    /// The total; where `mean`, per request that it is known of.
    pub(super) fn figure(&self, mean: bool) -> Figure {
        let all = self.known + self.rests.unknown;
        let part = |requests: f64| if all > 0.0 { requests / all } else { 0.0 };
        let rests = Rests {
            ledger: part(self.rests.ledger),
            cover: part(self.rests.cover),
            estimate: part(self.rests.estimate),
            assumed: part(self.rests.assumed),
            unknown: part(self.rests.unknown),
        };
        let divisor = if mean { self.known } else { 1.0 };
        let value = (self.known > 0.0).then(|| self.total / divisor);
        let variance: f64 = self.errors.values().map(|off| off * off).sum();
        let half = Z95 * (variance + self.noise).sqrt() / divisor;
        let measured = self.rests.estimate + self.rests.assumed + self.rests.unknown == 0.0;
        let end = |sign: f64| value.filter(|_| measured).map(|value| sign.mul_add(half, value));
        Figure { value, low: end(-1.0), high: end(1.0), rests }
    }
}
