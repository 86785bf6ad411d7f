//! How the process is: its load, breakers, and how far its bookkeeping is.

use super::{Admin, Nothing, Operation, Problem};
use gateway::load::LoadReport;
use gateway::run::live::Breakers;
use http::Method;
use schemars::JsonSchema;
use serde::Serialize;

/// How the process is.
pub(super) struct Health;

/// How the process is.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "Health")]
pub(super) struct Told {
    #[serde(flatten)]
    breakers: Breakers,
    /// How much is under way, and whose requests are refused for that.
    load: LoadReport,
    /// What is missing until products can be answered; empty: nothing.
    missing: Vec<String>,
    /// The ledger.
    ledger: Ledger,
}

/// How far the bookkeeping is. Nobody waits for it; what is not in the ledger yet lies in the journal.
#[derive(Debug, Serialize, JsonSchema)]
struct Ledger {
    /// Attempts that have ended and are not in the ledger's database yet.
    behind: u64,
    /// Failures to write there since the last success.
    failures: u32,
    /// The last of these.
    last_error: Option<String>,
    /// Files of the journal.
    journal_files: u64,
    /// Rows in memory because the journal's disk takes nothing: gone if the process dies before it does.
    held_rows: u64,
    /// Rows that are lost since the process began: neither disk nor memory took them.
    lost_rows: u64,
}

impl Operation for Health {
    type Params = Nothing;
    type Body = Nothing;
    type Answer = Told;
    const METHOD: Method = Method::GET;
    const PATH: &'static str = "/admin/health";
    const NAME: &'static str = "health";
    const SUMMARY: &'static str = "Every breaker with its reason, what is missing, and how far the ledger is.";

    fn run(admin: &Admin, _: Nothing, _: Nothing) -> Result<Told, Problem> {
        let setup = admin.gateway.setup();
        let (feeder, journal) = (admin.feeder.status(), admin.gateway.journal.status());
        Ok(Told {
            breakers: setup.live.breakers(&setup.fleet, admin.gateway.clock.tick()),
            load: LoadReport::of(&admin.gateway),
            missing: admin.gateway.missing(),
            ledger: Ledger {
                behind: feeder.lag_rows,
                failures: feeder.failures,
                last_error: feeder.last_error,
                journal_files: journal.segments as u64,
                held_rows: journal.held,
                lost_rows: journal.lost,
            },
        })
    }
}
