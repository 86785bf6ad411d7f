//! Who carries it: a request's whole way from the client's socket to the provider's and back.
//! `serve` speaks to clients, `run` carries out plans, `upstream` speaks to providers, `tap` watches answers pass.
//! Decisions are made in `policy`, meaning is made in `canon`; here live sockets, clocks and tasks.

pub mod access;
pub mod clock;
pub mod drill;
pub mod load;
pub mod run;
pub mod serve;
pub mod setup;
pub mod tap;
pub mod tasks;
pub mod turns;
pub mod upstream;
pub mod vault;

mod outbox;
mod sigv4;
