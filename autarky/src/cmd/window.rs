//! What reports read: a window of the ledger beside a running server, the configuration, the register, and what is
//! proven.

use super::register::{self, Files};
use crate::config::Checked;
use crate::wiring;
use anyhow::Context;
use gateway::clock;
use insurance::exposure::Inputs;
use insurance::{Day, Evidence, Register};
use ledger::{Filter, Flow, Sqlite, Store};
use std::path::{Path, PathBuf};
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
        let evidence = evidence(&data)?;
        Ok(Self { checked, register, flows, evidence, notes, day })
    }

    /// As a report's inputs.
    pub(crate) fn inputs(&self) -> Inputs<'_> {
        Inputs {
            flows: &self.flows,
            register: &self.register,
            fleet: Some(&self.checked.fleet),
            covers: &self.evidence.covers,
            day: self.day,
            instances: Some(1),
            inferred: &[],
            notes: &self.notes,
        }
    }
}

fn evidence_file(data: &Path) -> PathBuf {
    data.join("covers.json")
}

/// What is proven, as `autarky covers prove` left it.
///
/// # Errors
/// The file cannot be read.
pub(super) fn evidence(data: &Path) -> anyhow::Result<Evidence> {
    let path = evidence_file(data);
    if !path.exists() {
        return Ok(Evidence::default());
    }
    let text = std::fs::read_to_string(&path).with_context(|| format!("cannot read `{}`", path.display()))?;
    serde_json::from_str(&text).with_context(|| format!("`{}` holds no covers; prove them again", path.display()))
}

/// Keeps `evidence`; a reader sees the old file or the new one, never a part.
///
/// # Errors
/// The folder cannot be written.
pub(super) fn keep(data: &Path, evidence: &Evidence) -> anyhow::Result<PathBuf> {
    let path = evidence_file(data);
    let beside = path.with_extension("json.new");
    std::fs::create_dir_all(data).with_context(|| format!("cannot make `{}`", data.display()))?;
    std::fs::write(&beside, serde_json::to_vec(evidence)?)
        .and_then(|()| std::fs::rename(&beside, &path))
        .with_context(|| format!("cannot write `{}`", path.display()))?;
    Ok(path)
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
