//! Drills as they lie in the data folder: the one order that a running server plays, and the record and report of each.
//! Commands and the admin API give and take back orders through these functions, the server watches the same files; so
//! a drill needs no network, and ends by itself when whoever ordered it is gone. Nothing here decides or plays.

use crate::config::Checked;
use crate::wiring;
use anyhow::{Context, bail};
use gateway::clock;
use insurance::drill::{self, Abort, Drill, Evidence, Fault, Hope, Level, Record, Refusal, Report, State};
use insurance::register::is_house;
use insurance::replay::resting_on;
use insurance::{Cover, Node, Register};
use ledger::flow::CLIENT_MODES;
use ledger::{Attempt, Filter, Name, Outcome, Sqlite, Store};
use policy::Fleet;
use std::collections::HashSet;
use std::fs::{File, TryLockError};
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// How long after the end of a drill its requests may still come to theirs, for the reader of the ledger.
const TAIL: i64 = 600 * 1_000_000;
/// How long rows may take into the ledger.
const FED: Duration = Duration::from_secs(10);
/// How much of the time around a drill is looked at, at least and at most, microseconds.
const AROUND: (i64, i64) = (5_000_000, 600_000_000);

/// Why something of a drill cannot be done, beside what [`Refusal`] says.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Trouble {
    /// There is no such drill.
    #[error("there is no drill `{0}`; `autarky drill list` tells those there are")]
    NoSuch(String),
    /// There was none at all.
    #[error("there was no drill yet; `autarky drill plan --lose maker:NAME` is a beginning")]
    NoneYet,
    /// It is not over.
    #[error("drill `{0}` is {1}; it is reported when it is over")]
    NotOver(Name, String),
    /// It does not run.
    #[error("drill `{0}` does not run: {1}")]
    NotRunning(Name, String),
    /// Two orders at once.
    #[error("another drill was ordered at the same moment; only one may run: `autarky drill report` tells which")]
    SameMoment,
    /// Nobody plays it.
    #[error("no server took the order up within {0} s: is `autarky serve` running with the same data folder?")]
    Nobody(u64),
    /// The server cannot play it.
    #[error("the server refuses the drill: {0}")]
    Refused(String),
}

/// What somebody wants to rehearse.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Asked {
    pub(crate) target: Node,
    pub(crate) fault: Fault,
    pub(crate) level: Level,
    pub(crate) products: Vec<Name>,
    pub(crate) share: f64,
    pub(crate) window_s: u64,
    pub(crate) abort: Abort,
}

/// The order for what was asked, with the deployments that rest on it and what its products promise.
///
/// # Errors
/// The system gives no random numbers.
pub(crate) fn order(asked: Asked, fleet: &Fleet, register: &Register) -> anyhow::Result<Drill> {
    let now = clock::unix_micros();
    let mut random = [0; 8];
    getrandom::fill(&mut random).map_err(|error| anyhow::anyhow!("the system gave no random numbers: {error}"))?;
    let at = jiff::Timestamp::from_microsecond(now)?.strftime("%Y%m%d-%H%M%S").to_string();
    let Asked { target, fault, level, products, share, window_s, mut abort } = asked;
    let lost = resting_on(fleet, register, &target).unwrap_or_default();
    let touched = |name: &str| products.is_empty() || products.iter().any(|product| &**product == name);
    let hopes = fleet.products().iter().filter(|product| touched(product.name()));
    let hopes: Vec<Hope> = hopes.map(|product| Hope::of(product.name(), product.rules())).collect();
    if abort.below_floor.is_none() && hopes.iter().any(|hope| hope.floor) {
        abort.below_floor = abort.failed;
    }
    Ok(Drill {
        id: format!("d-{at}-{:016x}", u64::from_le_bytes(random)).into(),
        lost: lost.iter().map(|ix| fleet.deployment(*ix).name.as_str().into()).collect(),
        target,
        fault,
        level,
        products,
        share,
        window_s,
        hopes,
        abort,
        ordered: now,
    })
}

/// The folder of drills.
#[derive(Debug, Clone)]
pub(crate) struct Folder(PathBuf);

impl Folder {
    /// The one within the data folder.
    pub(crate) fn new(data: &Path) -> Self {
        Self(data.join("drills"))
    }

    fn order_file(&self) -> PathBuf {
        self.0.join("order.json")
    }

    fn record_file(&self, id: &str) -> PathBuf {
        self.0.join(format!("{id}.json"))
    }

    fn report_file(&self, id: &str) -> PathBuf {
        self.0.join(format!("{id}.report.json"))
    }

    fn done_file(&self, id: &str) -> PathBuf {
        self.0.join(format!("{id}.done"))
    }

    /// Whether `drill` may begin now.
    ///
    /// # Errors
    /// The folder cannot be read.
    pub(crate) fn may_begin(&self, drill: &Drill, fleet: &Fleet) -> anyhow::Result<Result<(), Refusal>> {
        let records = self.records()?;
        let current = self.current()?;
        let state =
            |id: &Name| records.iter().find(|one| one.drill.id == *id).map_or(&State::Ordered, |one| &one.state);
        let current = current.as_ref().map(|drill| (&drill.id, state(&drill.id)));
        let past: Vec<_> = records.iter().map(Record::past).collect();
        Ok(drill::may_begin(drill, fleet, current, &past, clock::unix_micros()))
    }

    /// Gives an order; a running server takes it up at once.
    ///
    /// # Errors
    /// Another order is there, or the folder cannot be written.
    pub(crate) fn give(&self, drill: &Drill) -> anyhow::Result<()> {
        self.keep(&Record::ordered(drill.clone()))?;
        let (path, beside) = (self.order_file(), self.0.join(format!("{}.order", drill.id)));
        write(&beside, &serde_json::to_vec(drill)?)?;
        // A second name for the same file: it fails where one is there, so that two orders never meet.
        let given = std::fs::hard_link(&beside, &path);
        let _ = std::fs::remove_file(&beside);
        match given {
            Err(error) if error.kind() == ErrorKind::AlreadyExists => {
                let _ = std::fs::remove_file(self.record_file(&drill.id));
                Err(Trouble::SameMoment.into())
            }
            given => given.with_context(|| format!("cannot write `{}`", path.display())),
        }
    }

    /// The right to play the order that stands, which one process has at a time and the system takes back when that dies.
    /// `None`: another one plays.
    ///
    /// # Errors
    /// The folder cannot be written.
    pub(crate) fn player(&self) -> anyhow::Result<Option<File>> {
        let path = self.0.join("player.lock");
        let cannot = || format!("cannot lock `{}`", path.display());
        let file = File::create(&path).with_context(cannot)?;
        match file.try_lock() {
            Ok(()) => Ok(Some(file)),
            Err(TryLockError::WouldBlock) => Ok(None),
            Err(TryLockError::Error(error)) => Err(error).with_context(cannot),
        }
    }

    /// The order that stands, if one does.
    ///
    /// # Errors
    /// It cannot be read.
    pub(crate) fn current(&self) -> anyhow::Result<Option<Drill>> {
        read(&self.order_file())
    }

    /// Takes the order of `id` back: the server ends the drill at once. `false`: it does not stand.
    ///
    /// # Errors
    /// It cannot be removed.
    pub(crate) fn withdraw(&self, id: &str) -> anyhow::Result<bool> {
        if self.current()?.is_none_or(|drill| &*drill.id != id) {
            return Ok(false);
        }
        let path = self.order_file();
        std::fs::remove_file(&path).with_context(|| format!("cannot remove `{}`", path.display()))?;
        Ok(true)
    }

    /// Ends the drill of `id`, all of whose requests were sent.
    ///
    /// # Errors
    /// The folder cannot be written.
    pub(crate) fn done(&self, id: &str) -> anyhow::Result<()> {
        write(&self.done_file(id), b"")
    }

    /// Whether all requests of `id` were sent.
    pub(crate) fn is_done(&self, id: &str) -> bool {
        self.done_file(id).exists()
    }

    /// Keeps where a drill stands; its report is kept apart.
    ///
    /// # Errors
    /// The folder cannot be written.
    pub(crate) fn keep(&self, record: &Record) -> anyhow::Result<()> {
        let bare = Record { report: None, ..record.clone() };
        write(&self.record_file(&record.drill.id), &serde_json::to_vec_pretty(&bare)?)
    }

    /// Keeps what a drill showed.
    ///
    /// # Errors
    /// The folder cannot be written.
    pub(crate) fn keep_report(&self, id: &str, report: &Report) -> anyhow::Result<()> {
        write(&self.report_file(id), &serde_json::to_vec_pretty(report)?)
    }

    /// The drill of `id`.
    ///
    /// # Errors
    /// There is none, or it cannot be read.
    pub(crate) fn record(&self, id: &str) -> anyhow::Result<Record> {
        let plain = !id.is_empty() && id.bytes().all(|sign| sign.is_ascii_alphanumeric() || sign == b'-');
        let record: Option<Record> = if plain { read(&self.record_file(id))? } else { None };
        let Some(mut record) = record else {
            return Err(Trouble::NoSuch(id.to_owned()).into());
        };
        record.report = read(&self.report_file(id))?;
        Ok(record)
    }

    /// Every drill, the newest first.
    ///
    /// # Errors
    /// The folder cannot be read.
    pub(crate) fn records(&self) -> anyhow::Result<Vec<Record>> {
        let entries = match std::fs::read_dir(&self.0) {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
            entries => entries.with_context(|| format!("cannot read `{}`", self.0.display()))?,
        };
        let mut records = Vec::new();
        for entry in entries {
            let name = entry?.file_name();
            let id = name.to_str().and_then(|name| name.strip_suffix(".json"));
            if let Some(id) = id.filter(|id| id.starts_with("d-") && !id.contains('.')) {
                records.push(self.record(id)?);
            }
        }
        records.sort_by(|a: &Record, b: &Record| (b.drill.ordered, &b.drill.id).cmp(&(a.drill.ordered, &a.drill.id)));
        Ok(records)
    }
}

/// Writes a file aside and moves it: a reader sees the old one or the new one, never a part.
fn write(path: &Path, bytes: &[u8]) -> anyhow::Result<()> {
    let cannot = || format!("cannot write `{}`", path.display());
    let beside = path.with_extension("new");
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder).with_context(cannot)?;
    }
    std::fs::write(&beside, bytes).and_then(|()| std::fs::rename(&beside, path)).with_context(cannot)
}

fn read<T: serde::de::DeserializeOwned>(path: &Path) -> anyhow::Result<Option<T>> {
    let text = match std::fs::read_to_string(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        text => text.with_context(|| format!("cannot read `{}`", path.display()))?,
    };
    let told = || format!("`{}` is not what autarky writes there; move it away", path.display());
    serde_json::from_str(&text).map(Some).with_context(told)
}

/// Makes the report of a live drill that is over, from the ledger, and keeps it.
///
/// # Errors
/// It never ran, or the ledger refuses.
pub(crate) fn report(folder: &Folder, record: &Record, checked: &Checked, covers: &[Cover]) -> anyhow::Result<Report> {
    let (Some(began), Some(ended)) = (record.began, record.ended) else {
        bail!("drill `{}` has not run: {}", record.drill.id, insurance::render::standing(&record.state));
    };
    let database = wiring::database(&wiring::data_folder(&checked.server));
    let store = Sqlite::open_read_only(&database)?;
    let rows = fed(&store, record, (began, ended))?;
    let around = (ended - began).clamp(AROUND.0, AROUND.1);
    let plain = |from, until| -> anyhow::Result<Vec<Attempt>> {
        let mut rows = store.list(&Filter { from: Some(from), until: Some(until), ..Filter::default() })?;
        rows.retain(|row| {
            let mine = row.product.as_deref().is_some_and(|name| record.drill.touches(name));
            mine && row.drill.is_none() && CLIENT_MODES.contains(&row.mode)
        });
        Ok(rows)
    };
    let house: Vec<Name> =
        checked.fleet.deployments().iter().filter(|one| is_house(one)).map(|one| one.name.as_str().into()).collect();
    let report = drill::judge(&Evidence {
        drill: &record.drill,
        state: &record.state,
        began,
        ended,
        counts: record.counts,
        rows: &rows,
        before: &plain(began - around, began)?,
        after: &plain(ended, ended + around)?,
        covers,
        house: &house,
    });
    folder.keep_report(&record.drill.id, &report)?;
    Ok(report)
}

/// The drill's rows, once the ledger holds all that the server counted; or those there are after a while.
fn fed(store: &Sqlite, record: &Record, (began, ended): (i64, i64)) -> anyhow::Result<Vec<Attempt>> {
    let until = Instant::now() + FED;
    loop {
        let filter = Filter { from: Some(began), until: Some(ended.saturating_add(TAIL)), ..Filter::default() };
        let mut rows = store.list(&filter)?;
        rows.retain(|row| row.drill.as_ref() == Some(&record.drill.id));
        let requests: HashSet<_> = rows.iter().map(|row| row.request_id).collect();
        let whole =
            requests.len() as u64 >= record.counts.offered && rows.iter().all(|row| row.outcome != Outcome::Open);
        if whole || Instant::now() > until {
            return Ok(rows);
        }
        std::thread::sleep(Duration::from_millis(100));
    }
}
