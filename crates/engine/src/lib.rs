//! Who thinks at home: a GGUF model in a supervised child process, for whoever needs an answer without a provider.
//!
//! Two sides share this crate. The **parent** ([`House`]) lives in the gateway's process, holds no weights, starts the
//! child, survives its death and turns its frames into the canon's events. The **child** (`worker`, feature `llama`)
//! holds llama.cpp and a scheduler that batches many conversations. Between them lies one Unix socket
//! ([`protocol`]). This is the only room with C++ below it and the only one where `unsafe` may stand.
//! Never here: HTTP, policy, the ledger, configuration files, the network.

mod house;
mod options;
pub mod protocol;
#[cfg(feature = "llama")]
pub mod weights;
#[cfg(feature = "llama")]
pub mod worker;

pub use house::{Answer, House, HouseState};
pub use options::{Adapter, Cache, HouseCommand, HouseOptions};
pub use protocol::Gauge;
