//! Streams of OpenAI Chat: `Decoder` reads chunks into events, `Encoder` writes events as chunks, `Watch` looks at
//! chunks that pass untouched. On this wire usage comes *after* the finish reason, so `Finish` is held back.

mod decode;
mod encode;
mod lanes;
mod watch;

pub(super) use decode::Decoder;
pub(super) use encode::Encoder;
pub(super) use watch::Watch;
