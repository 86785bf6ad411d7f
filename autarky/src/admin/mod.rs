//! The admin API: keys, usage, budgets, plans and reloads over HTTP, on an address of its own, for people and machines
//! that hold a key of its own kind. One file per resource, each with its operations; `OPERATIONS` lists them, and the
//! OpenAPI document is written from that list. May read the ledger and wait for it: no client's request comes by here.

mod access;
mod budgets;
mod config;
mod console;
mod drills;
mod health;
mod http;
mod keys;
mod openapi;
mod operation;
mod params;
mod plan;
mod reports;
mod requests;
mod usage;

pub(crate) use http::serve;
pub(crate) use openapi::document;
pub(crate) use operation::{Nothing, Operation, Problem};

use crate::wiring::reload::Reloader;
use gateway::setup::Gateway;
use ledger::{Feeder, Store};
use operation::Route;
use std::path::PathBuf;
use std::sync::Arc;

/// Every operation there is. A new resource is a file beside this one and a line here per operation.
const OPERATIONS: &[Route] = &[
    Route::of::<health::Health>(),
    Route::of::<keys::List>(),
    Route::of::<keys::Create>(),
    Route::of::<keys::Show>(),
    Route::of::<keys::Revoke>(),
    Route::of::<keys::Rotate>(),
    Route::of::<usage::Usage>(),
    Route::of::<requests::Requests>(),
    Route::of::<budgets::Budgets>(),
    Route::of::<plan::DryRun>(),
    Route::of::<reports::Why>(),
    Route::of::<reports::Exposure>(),
    Route::of::<drills::List>(),
    Route::of::<drills::Run>(),
    Route::of::<drills::Plan>(),
    Route::of::<drills::Stop>(),
    Route::of::<drills::Done>(),
    Route::of::<drills::Report>(),
    Route::of::<drills::Faults>(),
    Route::of::<config::Check>(),
    Route::of::<config::Reload>(),
];

/// What the operations work with.
pub(crate) struct Admin {
    /// The running gateway.
    pub(crate) gateway: Arc<Gateway>,
    /// The ledger, which may be away.
    pub(crate) store: Arc<dyn Store>,
    /// What carries rows into it.
    pub(crate) feeder: Arc<Feeder>,
    /// What takes a new configuration over.
    pub(crate) reloader: Arc<Reloader>,
    /// The configuration's file.
    pub(crate) config: PathBuf,
}
