//! The real binary, from outside: started, asked, put under load, killed. One module per story; `stage` sets them up.
//! Counts are compared with counters that the binary does not own: the scripted provider's log, the load generator's
//! tally. Nothing waits a fixed time: every wait is for something to come true, with a limit.

mod admin;
mod agents;
mod catalog;
mod console;
mod doors;
mod errors;
mod failover;
mod first_answer;
mod footprint;
mod handover;
mod hostile;
#[cfg(feature = "house")]
mod house;
mod identity;
mod keys;
mod ledger;
mod limits;
mod losses;
mod mirror;
mod overload;
mod own_death;
mod passthrough;
mod prices;
mod provider_death;
mod reload;
mod sdk;
mod signed;
mod sixteen;
mod speak;
mod stage;
mod takeover;
mod tool_loop;
mod tree;
mod turns;
