//! The outside world that answers: HTTP providers (`remote`), and whatever else is a [`Backend`] (the house model,
//! handed in by wiring). Addresses, keys and sockets live here and nowhere else.

pub mod ask;
pub mod auth;
pub mod backend;
pub mod provider;
pub mod remote;
pub mod trace;
pub mod transport;

mod frames;
mod pool;
mod quota;
mod seals;

pub use ask::Ask;
pub use backend::{Backend, BoxFuture, CallTerms, EventStream, Items, Piece, RawStream, Reply, ReplyBody, Timing};
pub use provider::ProviderRow;
pub use quota::Quota;
pub use seals::Sealed;
pub use trace::{Outgoing, Trace};
