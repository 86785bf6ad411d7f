//! Who we depend on, and what happens without them: the register of parties, the exposure report, the covers that
//! prove a replacement. Pure functions over ledger records and the policy's fleet; what a loss would do is found by
//! asking `policy::plan` again, as live traffic does. Never here: files, sockets, clocks, chance, and never a figure
//! without its basis. What nobody knows is said to be unknown; it is not 0.

pub mod cover;
pub mod exposure;
pub mod import;
pub mod node;
pub mod outcomes;
pub mod reconcile;
pub mod register;
pub mod render;
pub mod replay;
pub mod whatif;

mod day;
mod stats;

pub use cover::{Cover, Evidence, Verdict};
pub use day::Day;
pub use exposure::{Exposure, Inputs, exposure};
pub use node::{Kind, Node};
pub use register::Register;

/// What a figure rests on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Basis {
    /// Recorded: it happened.
    Ledger,
    /// Proven by paired comparison.
    Cover,
    /// Computed from what is known, with an error nobody measured.
    Estimate,
    /// Somebody wrote it down, or it was taken for granted.
    Assumed,
}

impl Basis {
    /// The stable name.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Ledger => "ledger",
            Self::Cover => "cover",
            Self::Estimate => "estimate",
            Self::Assumed => "assumed",
        }
    }
}
