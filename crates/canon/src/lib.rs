//! What is said: one conversation that every wire is read into and written from.
//! Pure: bytes and values in, values and bytes out. Here live no I/O, no clock, no chance and no tokio,
//! and nothing here knows a provider, an address or a key.

pub mod answer;
pub mod event;
pub mod facets;
pub mod fault;
pub mod fields;
pub mod frame;
pub mod json;
pub mod media;
pub mod request;
pub mod usage;
pub mod wire;

pub use answer::{Choice, Response};
pub use event::{Event, Finish, Head, PartId, PartKind, Stop, StopReason, TokenLogprob, TopLogprob};
pub use facets::{Facets, Peek, Purpose, Recall};
pub use fault::{Fault, FaultKind, Retry, Side};
pub use request::{
    CacheMark, Citation, Effort, Message, OutputFormat, Part, Reasoning, Request, Role, Sampling, Seal, Tool,
    ToolChoice,
};
pub use usage::Usage;
pub use wire::{Loss, WireId};

/// What a wire said and the canon does not model; it belongs to the wire it came from and goes home with it.
pub type Extras = serde_json::Map<String, serde_json::Value>;
