//! Why a deployment was dropped and why an answer is degraded: stable names for ledgers and metrics, words for people.

use crate::breaker::Cause;
use crate::fleet::Cap;
use std::fmt;

/// Why a deployment cannot answer a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum DropReason {
    /// It answers another kind of request: words where vectors are wanted, or the reverse.
    Purpose,
    /// Its vectors do not mix with those of the model that is named.
    Vectors,
    /// It cannot do something that is needed.
    Lacks(Cap),
    /// The prompt, or the context that the product needs, does not fit its window (or the window is unknown).
    Context,
    /// It cannot write an answer as long as demanded.
    Output,
    /// It runs in no region that the product allows.
    Region,
    /// Its maker is not allowed.
    Maker,
    /// Its host is not allowed.
    Host,
    /// Somebody has a part in it who may have none.
    Party,
    /// Its contract does not promise what the product needs.
    DataTerms,
    /// The product's `models` do not list it.
    Permission,
    /// The key may not use it.
    Key,
    /// Its contract has ended.
    ContractEnded,
    /// Its model is retired at this host.
    Retired,
    /// The caller ruled it out, e.g. after it failed.
    Excluded,
    /// Another deployment keeps the conversation's state.
    State,
    /// Its breaker is open.
    Down(Cause),
    /// It is on probation and its one probe is under way.
    Probing,
    /// One of its limits is reached.
    NoHeadroom,
    /// Its quality is below the floor.
    BelowFloor,
    /// Its quality is unknown and the product has a floor.
    QualityUnknown,
    /// One of its parties has its share already.
    ShareCap,
    /// What the request can cost here does not fit the budget.
    Budget,
    /// It is the house model and the rules do not let it stand in.
    HouseNotAllowed,
}

impl DropReason {
    /// The stable name.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Purpose => "purpose",
            Self::Vectors => "vectors",
            Self::Lacks(Cap::Tools) => "lacks-tools",
            Self::Lacks(Cap::Images) => "lacks-images",
            Self::Lacks(Cap::Audio) => "lacks-audio",
            Self::Lacks(Cap::Documents) => "lacks-documents",
            Self::Lacks(Cap::Structured) => "lacks-structured",
            Self::Lacks(Cap::Reasoning) => "lacks-reasoning",
            Self::Lacks(Cap::Logprobs) => "lacks-logprobs",
            Self::Context => "context",
            Self::Output => "output",
            Self::Region => "region",
            Self::Maker => "maker",
            Self::Host => "host",
            Self::Party => "party",
            Self::DataTerms => "data-terms",
            Self::Permission => "permission",
            Self::Key => "key",
            Self::ContractEnded => "contract-ended",
            Self::Retired => "retired",
            Self::Excluded => "excluded",
            Self::State => "state-elsewhere",
            Self::Down(Cause::Hard) => "down-hard",
            Self::Down(Cause::Limit) => "down-limit",
            Self::Down(Cause::Sick) => "down-sick",
            Self::Down(Cause::Correlated) => "down-correlated",
            Self::Probing => "probing",
            Self::NoHeadroom => "no-headroom",
            Self::BelowFloor => "below-floor",
            Self::QualityUnknown => "quality-unknown",
            Self::ShareCap => "share-cap",
            Self::Budget => "budget",
            Self::HouseNotAllowed => "house-not-allowed",
        }
    }

    /// Words for a person, to follow the deployment's name.
    #[must_use]
    pub const fn text(self) -> &'static str {
        match self {
            Self::Purpose => "answers another kind of request",
            Self::Vectors => "makes vectors that do not mix with the named model's",
            Self::Lacks(Cap::Tools) => "cannot call tools",
            Self::Lacks(Cap::Images) => "cannot see images",
            Self::Lacks(Cap::Audio) => "cannot hear audio",
            Self::Lacks(Cap::Documents) => "cannot read documents",
            Self::Lacks(Cap::Structured) => "cannot keep to a schema",
            Self::Lacks(Cap::Reasoning) => "cannot think before it answers",
            Self::Lacks(Cap::Logprobs) => "reports no log probabilities",
            Self::Context => "has too small a context window",
            Self::Output => "cannot write so long an answer",
            Self::Region => "runs in no allowed region",
            Self::Maker => "is of a maker that is not allowed",
            Self::Host => "runs at a host that is not allowed",
            Self::Party => "has a party that is forbidden",
            Self::DataTerms => "has a contract without the needed data terms",
            Self::Permission => "is not among the product's models",
            Self::Key => "is not among the key's models",
            Self::ContractEnded => "has a contract that ended",
            Self::Retired => "has been retired",
            Self::Excluded => "was ruled out by the caller",
            Self::State => "does not keep this conversation's state",
            Self::Down(Cause::Hard) => "refuses us (key, account or model)",
            Self::Down(Cause::Limit) => "has asked us to wait",
            Self::Down(Cause::Sick) => "is failing",
            Self::Down(Cause::Correlated) => "shares a party with deployments that are failing",
            Self::Probing => "is on probation and its probe is under way",
            Self::NoHeadroom => "has reached a limit",
            Self::BelowFloor => "is below the quality floor",
            Self::QualityUnknown => "is of unknown quality and there is a floor",
            Self::ShareCap => "belongs to a party that has its share already",
            Self::Budget => "could cost more than the budget has left",
            Self::HouseNotAllowed => "is the house model, which may not stand in here",
        }
    }

    /// Whether the deployment could answer later without a change of rules or request.
    #[must_use]
    pub const fn passes(self) -> bool {
        matches!(self, Self::Down(_) | Self::Probing | Self::NoHeadroom | Self::ShareCap | Self::Budget)
    }
}

impl fmt::Display for DropReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.text())
    }
}

/// Why an answer is less than what was asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Degraded {
    /// Another model than the named one answers.
    Substitute,
    /// The budget allows no better one.
    Budget,
    /// A party answers beyond its share cap.
    OverCap,
    /// The quality is below the floor or unknown.
    BelowFloor,
    /// Everyone is held to be down; this is the least bad. Draw on the retry budget before trying it.
    Unhealthy,
    /// The embedded house model answers.
    House,
}

impl Degraded {
    /// The stable name, as in the header `x-autarky-degraded`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Substitute => "substitute",
            Self::Budget => "budget",
            Self::OverCap => "over-cap",
            Self::BelowFloor => "below-floor",
            Self::Unhealthy => "unhealthy",
            Self::House => "house",
        }
    }
}

impl fmt::Display for Degraded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
