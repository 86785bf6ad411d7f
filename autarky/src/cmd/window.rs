//! What reports read: a window of the ledger beside a running server, the configuration, the register, and what is
//! proven.

use super::register::{self, Files};
use crate::config::Checked;
use crate::drills::Folder;
use crate::wiring;
use gateway::clock;
use insurance::drill::{Proof, Record};
use insurance::exposure::Inputs;
use insurance::{Day, Evidence, Register};
use ledger::{Filter, Flow, Sqlite, Store};
use std::time::Duration;

/// Microseconds back; `None`: everything.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Since(pub(crate) Option<Duration>);

/// All of it.
pub(crate) struct Window {
    pub(super) checked: Checked,
    pub(super) register: Register,
    pub(super) flows: Vec<Flow>,
    pub(super) evidence: Evidence,
    pub(super) notes: Vec<String>,
    drills: Vec<Proof>,
    day: Day,
}

impl Window {
    /// What `files` and the ledger of the last `since` say, seen from `day`.
    ///
    /// # Errors
    /// A file has errors, or the ledger refuses.
    pub(crate) fn read(files: &Files, since: Since, day: Day) -> anyhow::Result<Self> {
        let (checked, register) = register::read(files)?;
        let data = wiring::data_folder(&checked.server);
        let path = wiring::database(&data);
        let mut notes = Vec::new();
        let micros = |back: Duration| i64::try_from(back.as_micros()).unwrap_or(i64::MAX);
        let from = since.0.map(|back| clock::unix_micros().saturating_sub(micros(back)));
        let flows = if path.exists() {
            Sqlite::open_read_only(&path)?.flows(&Filter { from, ..Filter::default() })?
        } else {
            notes.push(format!("there is no ledger at `{}` yet: only the configuration is judged", path.display()));
            Vec::new()
        };
        let evidence = wiring::evidence::read(&data)?;
        let drills = Folder::new(&data).records()?.iter().filter_map(Record::proof).collect();
        Ok(Self { checked, register, flows, evidence, notes, drills, day })
    }

    /// As a report's inputs.
    pub(crate) fn inputs(&self) -> Inputs<'_> {
        Inputs {
            flows: &self.flows,
            register: &self.register,
            fleet: Some(&self.checked.fleet),
            covers: &self.evidence.covers,
            drills: &self.drills,
            day: self.day,
            instances: Some(1),
            inferred: &[],
            notes: &self.notes,
        }
    }
}

/// Reads a day `2026-11-25`, which means its beginning in UTC, or a moment in RFC 3339; Unix microseconds.
pub(super) fn moment(text: &str) -> Result<i64, String> {
    if let Ok(day) = text.parse::<Day>() {
        return Ok(day.wall().unix().saturating_mul(1_000_000));
    }
    let moment = text.parse::<jiff::Timestamp>();
    moment
        .map(jiff::Timestamp::as_microsecond)
        .map_err(|_| format!("`{text}` is no moment; write a day such as `2026-11-25`, or `2026-11-25T14:00:00Z`"))
}

/// Reads `30d`, `12h`, `90m` or `all`.
pub(crate) fn since(text: &str) -> Result<Since, String> {
    if text == "all" {
        return Ok(Since(None));
    }
    let unit = match text.chars().last() {
        Some('d') => 86_400,
        Some('h') => 3_600,
        Some('m') => 60,
        _ => 0,
    };
    let number = text.get(..text.len().saturating_sub(1)).and_then(|number| number.parse::<u64>().ok());
    match number {
        Some(number) if unit > 0 => Ok(Since(Some(Duration::from_secs(number.saturating_mul(unit))))),
        _ => Err("write a number of days, hours or minutes, such as `30d`, `12h`, `90m`, or `all`".to_owned()),
    }
}
