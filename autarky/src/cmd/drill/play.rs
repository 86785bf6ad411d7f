//! Ordering a drill, following it until it is over, stopping it.

use super::{Order, ReportFormat, Scene, keep_paper, replay, told};
use crate::cmd::output;
use crate::cmd::register::Files;
use crate::drills;
use anyhow::bail;
use insurance::drill::{Drill, End, Level, Record, Refusal, State};
use insurance::render;
use std::process::ExitCode;
use std::time::{Duration, Instant};

/// How long a server may take to take an order up, or back.
const SERVER: Duration = Duration::from_secs(3);
/// How often it is looked.
const LOOK: Duration = Duration::from_millis(50);
/// How long requests under way may take to end once the drill is over.
const LAST: Duration = Duration::from_secs(30);
/// How long after the end it is watched whether the lost are asked again.
const AFTER: Duration = Duration::from_secs(2);

pub(super) fn run(order: &Order, source: &replay::Source, format: ReportFormat) -> anyhow::Result<ExitCode> {
    let scene = Scene::read(&order.files)?;
    let drill = drills::order(order.asked(), &scene.checked.fleet, &scene.register)?;
    scene.folder.may_begin(&drill, &scene.checked.fleet)??;
    let record = match drill.level {
        Level::L0 => {
            let report = order.on_paper(&drill)?;
            keep_paper(&scene.folder, drill, report)?
        }
        Level::L1 => match source.outcomes(&scene, &drill)? {
            Some(report) => keep_paper(&scene.folder, drill, report)?,
            None => {
                if drill.abort.usd.is_none() {
                    return Err(Refusal::NoCap.into());
                }
                let captured = source.captured()?;
                let begun = begin(&scene, &drill)?;
                let sent = replay::send(&scene, source, &begun.drill, captured);
                scene.folder.done(&drill.id)?;
                output::note(sent?);
                over(&scene, &drill)?
            }
        },
        Level::L2 | Level::L3 => {
            begin(&scene, &drill)?;
            output::note(format!(
                "drill {} runs for {} s; `autarky drill abort` stops it; it ends by itself, whatever becomes of this command",
                drill.id, drill.window_s
            ));
            over(&scene, &drill)?
        }
    };
    told(&scene, record, format)
}

/// Gives the order and waits until the server has begun.
fn begin(scene: &Scene, drill: &Drill) -> anyhow::Result<Record> {
    scene.folder.give(drill)?;
    let until = Instant::now() + SERVER;
    loop {
        let record = scene.folder.record(&drill.id)?;
        match &record.state {
            State::Ordered if Instant::now() > until => {
                scene.folder.withdraw(&drill.id)?;
                let state = State::Refused("no server took it up".to_owned());
                scene.folder.keep(&Record { state, ..record })?;
                bail!(
                    "no server took the order up within {} s: is `autarky serve` running with the same data folder?",
                    SERVER.as_secs()
                );
            }
            State::Ordered => std::thread::sleep(LOOK),
            State::Refused(why) => bail!("the server refuses the drill: {why}"),
            _ => return Ok(record),
        }
    }
}

/// Waits until the drill is over, and its requests with it.
fn over(scene: &Scene, drill: &Drill) -> anyhow::Result<Record> {
    let most = Duration::from_secs(drill.window_s) + SERVER;
    let (began, mut said) = (Instant::now(), Instant::now());
    let mut record = scene.folder.record(&drill.id)?;
    while !record.state.is_over() {
        if began.elapsed() > most {
            bail!(
                "the server has not ended the drill, so it is gone or stands still; when it is started again it ends it, \
                 and `autarky drill report {}` tells the rest",
                drill.id
            );
        }
        if said.elapsed() >= Duration::from_secs(1) {
            said = Instant::now();
            let counts = record.counts;
            output::note(format!(
                "{:>4} s  {} offered, {} served, {} failed, {} left, {} degraded",
                began.elapsed().as_secs(),
                counts.offered,
                counts.served,
                counts.failed,
                counts.left,
                counts.degraded
            ));
        }
        std::thread::sleep(LOOK);
        record = scene.folder.record(&drill.id)?;
    }
    let ended = Instant::now();
    loop {
        let counts = record.counts;
        let settled = counts.offered == counts.served + counts.failed + counts.left;
        if (settled && ended.elapsed() >= AFTER) || ended.elapsed() >= LAST {
            return Ok(record);
        }
        std::thread::sleep(LOOK);
        record = scene.folder.record(&drill.id)?;
    }
}

pub(super) fn abort(files: &Files) -> anyhow::Result<ExitCode> {
    let scene = Scene::read(files)?;
    let Some(drill) = scene.folder.current()? else {
        bail!("no drill is ordered or runs; `autarky drill list` tells of those that did");
    };
    let began = Instant::now();
    scene.folder.withdraw(&drill.id)?;
    loop {
        let record = scene.folder.record(&drill.id)?;
        if record.state.is_over() {
            output::line(format!(
                "drill {} is over after {} ms: {}; `autarky drill report {}` tells what it showed",
                drill.id,
                began.elapsed().as_millis(),
                render::standing(&record.state),
                drill.id
            ));
            return Ok(ExitCode::SUCCESS);
        }
        if began.elapsed() > SERVER {
            // Nobody plays it: whoever did is gone, and everyone is asked as usual.
            scene.folder.keep(&Record { state: State::Aborted(End::Person.to_string()), ..record })?;
            output::line(format!("drill {} is taken back; no server was playing it", drill.id));
            return Ok(ExitCode::SUCCESS);
        }
        std::thread::sleep(LOOK);
    }
}
