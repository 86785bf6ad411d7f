//! What the commands, the admin API and the console do alike with drills: plan one, begin it, end it, report it. Gives and
//! takes values; prints nothing.

use crate::cmd::register::{self, Files};
use crate::cmd::window::{Since, Window};
use crate::config::Checked;
use crate::drills::{self, Asked, Folder, Trouble};
use crate::wiring;
use gateway::clock;
use insurance::Register;
use insurance::drill::{Change, Drill, End, Level, Record, Refusal, Report, State, compare, paper};
use insurance::render;
use serde_json::{Value, json};
use std::time::{Duration, Instant};

/// How long a server may take to take an order up, or back.
pub(super) const SERVER: Duration = Duration::from_secs(3);
/// How often it is looked.
pub(super) const LOOK: Duration = Duration::from_millis(50);

/// The configuration, the register made from it, and the folder of drills.
pub(crate) struct Scene {
    files: Files,
    pub(super) checked: Checked,
    pub(super) folder: Folder,
    register: Register,
}

/// A drill that was not begun: what it would do, and whether it may.
pub(crate) struct Planned {
    pub(crate) drill: Drill,
    pub(crate) refusal: Option<Refusal>,
    /// `None`: nothing would be lost.
    pub(crate) on_paper: Option<Report>,
}

impl Planned {
    /// For machines.
    pub(crate) fn json(&self) -> Value {
        json!({
            "drill": self.drill,
            "may_begin": self.refusal.is_none(),
            "why_not": self.refusal.as_ref().map(ToString::to_string),
            "on_paper": self.on_paper,
        })
    }
}

/// A drill that is over, and the last one of the same loss with what changed since.
pub(crate) struct Reported {
    pub(crate) record: Record,
    last: Option<(Record, Vec<Change>)>,
}

impl Reported {
    /// The last drill of the same loss, and what changed since.
    pub(crate) fn last(&self) -> Option<(&Record, &[Change])> {
        self.last.as_ref().map(|(last, changes)| (last, changes.as_slice()))
    }

    /// For machines.
    pub(crate) fn json(&self) -> Value {
        json!({
            "record": self.record,
            "compared_with": self.last.as_ref().map(|(last, _)| &last.drill.id),
            "changes": self.last.as_ref().map(|(_, changes)| changes),
        })
    }
}

impl Scene {
    /// What `files` say.
    ///
    /// # Errors
    /// A file cannot be read or has errors.
    pub(crate) fn read(files: &Files) -> anyhow::Result<Self> {
        let (checked, register) = register::read(files)?;
        let folder = Folder::new(&wiring::data_folder(&checked.server));
        Ok(Self { files: files.clone(), checked, register, folder })
    }

    /// The order for what was asked.
    ///
    /// # Errors
    /// The system gives no random numbers.
    pub(crate) fn order(&self, asked: Asked) -> anyhow::Result<Drill> {
        drills::order(asked, &self.checked.fleet, &self.register)
    }

    /// Whether `drill` may begin now.
    ///
    /// # Errors
    /// It may not (a [`Refusal`]), or the folder cannot be read.
    pub(crate) fn permit(&self, drill: &Drill) -> anyhow::Result<()> {
        Ok(self.folder.may_begin(drill, &self.checked.fleet)??)
    }

    /// What the drill would do, with the traffic of the last `since`. Nothing is played.
    ///
    /// # Errors
    /// The ledger or the folder cannot be read.
    pub(crate) fn plan(&self, asked: Asked, since: Since) -> anyhow::Result<Planned> {
        let drill = self.order(asked)?;
        let refusal = self.folder.may_begin(&drill, &self.checked.fleet)?.err();
        let on_paper = if drill.lost.is_empty() { None } else { Some(self.paper(&drill, since)?) };
        Ok(Planned { drill, refusal, on_paper })
    }

    fn paper(&self, drill: &Drill, since: Since) -> anyhow::Result<Report> {
        let window = Window::read(&self.files, since, register::today())?;
        let mut report = paper(drill, &window.inputs(), &window.checked.fleet, &window.evidence)?;
        report.notes.extend(window.notes.iter().cloned());
        Ok(report)
    }

    /// Runs an L0 drill, or begins one that a server plays; its record as it stands then.
    ///
    /// # Errors
    /// It may not begin, nobody takes it up, or something cannot be read or written.
    pub(crate) fn begin(&self, drill: Drill, since: Since) -> anyhow::Result<Record> {
        self.permit(&drill)?;
        match drill.level {
            Level::L0 => {
                let report = self.paper(&drill, since)?;
                self.keep_paper(drill, report)
            }
            Level::L1 if drill.abort.usd.is_none() => Err(Refusal::NoCap.into()),
            Level::L1 | Level::L2 | Level::L3 => self.give(&drill),
        }
    }

    /// Keeps a drill that sent nothing.
    ///
    /// # Errors
    /// The folder cannot be written.
    pub(super) fn keep_paper(&self, drill: Drill, report: Report) -> anyhow::Result<Record> {
        let (began, ended) = (Some(drill.ordered), Some(clock::unix_micros()));
        self.folder.keep_report(&drill.id, &report)?;
        let record = Record { state: State::Ended, began, ended, report: Some(report), ..Record::ordered(drill) };
        self.folder.keep(&record)?;
        Ok(record)
    }

    /// The record of `id` once it `stands` so, or as it is when that takes longer than a server may.
    fn once(&self, id: &str, stands: impl Fn(&State) -> bool) -> anyhow::Result<Record> {
        let until = Instant::now() + SERVER;
        loop {
            let record = self.folder.record(id)?;
            if stands(&record.state) || Instant::now() > until {
                return Ok(record);
            }
            std::thread::sleep(LOOK);
        }
    }

    /// Gives the order and waits until the server has begun.
    fn give(&self, drill: &Drill) -> anyhow::Result<Record> {
        self.folder.give(drill)?;
        let record = self.once(&drill.id, |state| *state != State::Ordered)?;
        match &record.state {
            State::Ordered => {
                self.folder.withdraw(&drill.id)?;
                let state = State::Refused("no server took it up".to_owned());
                self.folder.keep(&Record { state, ..record })?;
                Err(Trouble::Nobody(SERVER.as_secs()).into())
            }
            State::Refused(why) => Err(Trouble::Refused(why.clone()).into()),
            _ => Ok(record),
        }
    }

    /// Takes back the order that stands; its record then, and how long that took. `None`: none stands.
    ///
    /// # Errors
    /// The folder cannot be read or written.
    pub(crate) fn abort(&self) -> anyhow::Result<Option<(Record, Duration)>> {
        let Some(drill) = self.folder.current()? else { return Ok(None) };
        let began = Instant::now();
        self.folder.withdraw(&drill.id)?;
        let mut record = self.once(&drill.id, State::is_over)?;
        if !record.state.is_over() {
            // Nobody plays it: whoever did is gone, and everyone is asked as usual.
            record.state = State::Aborted(End::Person.to_string());
            self.folder.keep(&record)?;
        }
        Ok(Some((record, began.elapsed())))
    }

    /// Ends the drill of `id`, all of whose requests were sent; its record as it stands then.
    ///
    /// # Errors
    /// It does not run, or the folder cannot be written.
    pub(crate) fn done(&self, id: &str) -> anyhow::Result<Record> {
        let record = self.folder.record(id)?;
        if record.state != State::Running {
            return Err(Trouble::NotRunning(record.drill.id, render::standing(&record.state)).into());
        }
        self.folder.done(id)?;
        self.once(id, State::is_over)
    }

    /// Every drill, the newest first.
    ///
    /// # Errors
    /// The folder cannot be read.
    pub(crate) fn records(&self) -> anyhow::Result<Vec<Record>> {
        self.folder.records()
    }

    /// The drill of `id`, or the last one; its report is made now if it is over and nobody has made it.
    ///
    /// # Errors
    /// There is none, it is not over, or the ledger cannot be read.
    pub(crate) fn report(&self, id: Option<&str>) -> anyhow::Result<Reported> {
        let record = match id {
            Some(id) => self.folder.record(id)?,
            None => self.records()?.into_iter().next().ok_or(Trouble::NoneYet)?,
        };
        if !record.state.is_over() {
            return Err(Trouble::NotOver(record.drill.id, render::standing(&record.state)).into());
        }
        self.reported(record)
    }

    /// With its report and the last drill of the same loss.
    pub(super) fn reported(&self, mut record: Record) -> anyhow::Result<Reported> {
        if record.report.is_none() && record.began.is_some() {
            let covers = wiring::evidence::read(&wiring::data_folder(&self.checked.server))?.covers;
            record.report = Some(drills::report(&self.folder, &record, &self.checked, &covers)?);
        }
        let others = self.records()?;
        let last = compare(&record, &others).map(|(last, changes)| (last.clone(), changes));
        Ok(Reported { record, last })
    }
}
