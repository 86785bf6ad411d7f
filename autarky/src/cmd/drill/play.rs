//! Ordering a drill, following it until it is over, stopping it.

use super::scene::{LOOK, SERVER, Scene};
use super::{Order, ReportFormat, replay, told};
use crate::cmd::output;
use crate::cmd::register::Files;
use anyhow::bail;
use insurance::drill::{Drill, Level, Record};
use insurance::render;
use std::process::ExitCode;
use std::time::{Duration, Instant};

/// How long requests under way may take to end once the drill is over.
const LAST: Duration = Duration::from_secs(30);
/// How long after the end it is watched whether the lost are asked again.
const AFTER: Duration = Duration::from_secs(2);

pub(super) fn run(order: &Order, source: &replay::Source, format: ReportFormat) -> anyhow::Result<ExitCode> {
    let scene = Scene::read(&order.files)?;
    let drill = scene.order(order.asked())?;
    scene.permit(&drill)?;
    let record = match drill.level {
        Level::L0 => scene.begin(drill, order.since)?,
        Level::L1 => match source.outcomes(&scene, &drill)? {
            Some(report) => scene.keep_paper(drill, report)?,
            None => {
                let captured = source.captured()?;
                let begun = scene.begin(drill, order.since)?.drill;
                let sent = replay::send(&scene, source, &begun, captured);
                scene.folder.done(&begun.id)?;
                output::note(sent?);
                over(&scene, &begun)?
            }
        },
        Level::L2 | Level::L3 => {
            let begun = scene.begin(drill, order.since)?.drill;
            output::note(format!(
                "drill {} runs for {} s; `autarky drill abort` stops it; it ends by itself, whatever becomes of this command",
                begun.id, begun.window_s
            ));
            over(&scene, &begun)?
        }
    };
    told(&scene.reported(record)?, format)
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
    let Some((record, took)) = Scene::read(files)?.abort()? else {
        bail!("no drill is ordered or runs; `autarky drill list` tells of those that did");
    };
    let id = &record.drill.id;
    output::line(format!(
        "drill {id} is over after {} ms: {}; `autarky drill report {id}` tells what it showed",
        took.as_millis(),
        render::standing(&record.state),
    ));
    Ok(ExitCode::SUCCESS)
}
