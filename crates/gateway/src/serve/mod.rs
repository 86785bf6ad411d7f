//! What clients see of us: sockets in, answers out. `exchange` names the phases of a request in order, each in a file
//! of its own; `system` answers health, metrics and model lists, `health` tells of breakers, `count` counts prompts,
//! `background` answers while nobody waits, `drilled` says which drill an answer was of, `kept` opens the doors to kept turns, `pass` hands on what no dialect
//! covers. Nothing here knows a provider.

mod admit;
mod aws;
mod background;
mod count;
mod drilled;
mod exchange;
mod health;
mod kept;
mod listen;
mod models;
mod pass;
mod patient;
mod read;
mod reply;
mod route;
mod system;
#[cfg(test)]
mod tests;

pub use listen::{Door, Drain, Listener};
