//! What everything else is tried with: scripted providers, fixtures, stream grammars, the laws of wires, processes.
//! For tests only; the gateway never links it. What is here shares no code with what it tests, but for the canon's
//! types where the laws are about the canon itself.

pub mod fixtures;
pub mod grammar;
pub mod laws;
pub mod process;
pub mod provider;
