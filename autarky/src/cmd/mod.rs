//! The commands, one file each. Here the command line is described, and errors are told the same way everywhere:
//! what went wrong, and what to do. Exit codes: 0 done, 1 it failed or something is wrong, 2 the command line is wrong.

mod catalog;
mod check;
mod completions;
mod covers;
pub(crate) mod drill;
mod exposure;
mod health;
mod house;
mod keys;
mod ledger;
mod output;
mod plan;
mod reference;
pub(crate) mod register;
mod serve;
mod state;
pub(crate) mod whatif;
mod why;
pub(crate) mod window;

use clap::{Parser, Subcommand};
use std::process::ExitCode;

/// One binary between your products and every language model.
///
/// `autarky serve` starts it: any OpenAI client can then be pointed at http://127.0.0.1:8080/v1. Without any
/// configuration the model inside answers, with no key and no network.
#[derive(Debug, Parser)]
#[command(name = "autarky", version, max_term_width = 110)]
pub(crate) struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Serve clients.
    Serve(serve::Args),
    /// Check a configuration: every problem with its line and what to do.
    Check(check::Args),
    /// Tell of every breaker of a running server: which is open, why, and until when.
    Health(health::Args),
    /// What is known of models, their prices and their last days.
    Catalog(catalog::Args),
    /// Whom the policy would ask for a product, and what another configuration would change on recorded traffic.
    Plan(plan::Args),
    /// Tell the story of one request: whom the plan looked at, who was asked, what became of it.
    Why(why::Args),
    /// Who the products depend on, what would be left without each, what ends when.
    Exposure(exposure::Args),
    /// Play a scenario over the recorded traffic: a partner gone, prices doubled, our own models winning.
    Whatif(whatif::Args),
    /// What is proven: which deployment may answer in another's place, from recorded outcomes.
    Covers(covers::Args),
    /// Rehearse a loss: on paper, by a replay, on a part of live traffic, on all of it.
    Drill(drill::Args),
    /// Parties, contracts and dependencies, and what of it is unknown.
    Register(register::Args),
    /// Ask the ledger, take it out, compare it with what providers bill.
    Ledger(ledger::Args),
    /// Create, list, revoke and rotate the keys that products call with.
    Keys(keys::Args),
    /// What is kept of clients' conversations, and its erasure.
    State(state::Args),
    /// The model inside: fetch its weights.
    House(house::Args),
    /// Print completions for a shell.
    Completions(completions::Args),
    /// The model's own process; started by `serve`.
    #[command(hide = true)]
    HouseWorker,
    /// Write the reference: docs/reference of the source.
    #[command(hide = true)]
    Reference(reference::Args),
}

/// Runs a command.
pub(crate) fn run(cli: Cli) -> ExitCode {
    let result = match cli.command {
        Command::Serve(args) => serve::run(args),
        Command::Check(args) => check::run(&args),
        Command::Health(args) => health::run(&args),
        Command::Catalog(args) => catalog::run(&args),
        Command::Plan(args) => plan::run(&args),
        Command::Why(args) => why::run(&args),
        Command::Exposure(args) => exposure::run(&args),
        Command::Whatif(args) => whatif::run(&args),
        Command::Covers(args) => covers::run(&args),
        Command::Drill(args) => drill::run(&args),
        Command::Register(args) => register::run(&args),
        Command::Ledger(args) => ledger::run(&args),
        Command::Keys(args) => keys::run(args),
        Command::State(args) => state::run(args),
        Command::House(args) => house::run(args),
        Command::Completions(args) => completions::run(&args),
        Command::HouseWorker => house::worker(),
        Command::Reference(args) => reference::run(&args),
    };
    match result {
        Ok(code) => code,
        Err(error) => {
            output::error(&error);
            ExitCode::FAILURE
        }
    }
}
