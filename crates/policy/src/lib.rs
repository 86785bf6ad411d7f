//! What is decided: which deployments may answer a request, in which order, and what to do when one fails.
//! Pure: time (`Tick`, `Wall`) and chance (`u64`) are arguments. Here live no I/O, no clock, no randomness of our
//! own and no tokio; live traffic, `why`, `plan --diff`, drills and what-ifs all call the same functions.

pub mod breaker;
pub mod budget;
mod chance;
pub mod correlate;
mod explain;
pub mod fleet;
pub mod hedge;
pub mod latency;
pub mod limit;
pub mod money;
pub mod plan;
pub mod price;
pub mod retry;
pub mod rules;
pub mod shed;
pub mod time;
pub mod view;
mod window;

pub use explain::{Fate, explain, fates};
pub use fleet::{BuildError, Caps, Deployment, DeploymentIx, Dim, Fleet, FleetSpec, Permit, Product, ProductIx, Proof};
pub use money::NanoUsd;
pub use plan::{Degraded, DropReason, Dropped, Leg, Plan, PlanInput, Refusal, Warm, plan};
pub use price::{Counts, Price, Tariff};
pub use rules::Rules;
pub use time::{Tick, Wall};
pub use view::{Live, Share, SizeBucket, Snapshot, View};
