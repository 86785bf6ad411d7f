//! Streams of Gemini: `Decoder` reads chunks into events, `Encoder` writes events as chunks, `Watch` looks at chunks
//! that pass untouched. No event ends a stream of this wire: it is complete when the bytes end and every candidate
//! has said why it stopped, so `Finish` is held back until then. Counts are repeated, each report whole so far.

mod decode;
mod encode;
mod listed;
mod partial;
mod watch;

pub(super) use decode::Decoder;
pub(super) use encode::Encoder;
pub(super) use listed::Listed;
pub(super) use watch::{Watch, scan};
