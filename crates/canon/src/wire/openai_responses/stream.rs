//! Streams of Responses: `Decoder` reads events of the wire into ours, `Encoder` writes ours as the wire's, `Watch`
//! looks at those that pass untouched. The wire repeats everything at the end of each part, item and answer.

mod decode;
mod encode;
mod line;
mod watch;

pub(super) use decode::Decoder;
pub(super) use encode::Encoder;
pub(super) use watch::Watch;
