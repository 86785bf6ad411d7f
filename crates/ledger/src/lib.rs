//! What is remembered: one row per upstream attempt, on disk before the answer's last byte leaves, and the keys that
//! products call with. The hot path appends to the `journal`; a `feeder` carries its lines into a `store`.
//! May touch: files, the clock of its own threads, SQLite. Never here: content of requests or answers, a database
//! call on a request's path, tokio, the decision who is asked (that is `policy`).

pub mod base32;
pub mod cidr;
pub mod feeder;
pub mod flow;
pub mod id;
pub mod journal;
pub mod keys;
pub mod named;
pub mod names;
pub mod record;
pub mod sqlite;
pub mod store;
#[cfg(any(test, feature = "testing"))]
pub mod suite;
pub mod view;

mod cell;
mod packed;

pub use cell::{Cell, Kind, Mismatch};
pub use feeder::{Feeder, FeederError, FeederOptions, FeederStatus};
pub use flow::{Flow, FlowKey};
pub use id::RequestId;
pub use journal::{Journal, JournalError, JournalOptions, JournalStatus, Kept};
pub use keys::{Key, KeyError, KeyKind, KeyRing, Quota};
pub use packed::Entries;
pub use record::{Attempt, Candidate, Mode, Name, Outcome, Portability, UsageSource};
pub use sqlite::Sqlite;
pub use store::{Dimension, Filter, Forgotten, Store, StoreError, Total};
pub use view::RequestRow;
