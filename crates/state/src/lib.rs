//! What is kept between turns: answers that a client may go on with, conversations, and who can read which opaque
//! block. This is content: it lies apart from the ledger, belongs to one product, and goes when its time is over or
//! when somebody says so. May touch: its database's files. Never here: what items mean (that is `canon`), the ledger,
//! clocks (time is an argument), tokio.

pub mod sqlite;
pub mod store;
#[cfg(any(test, feature = "testing"))]
pub mod suite;

pub use sqlite::Sqlite;
pub use store::{Answer, Context, Conversation, Digest, Held, StateError, Store};
