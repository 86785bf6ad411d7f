//! Plays the order that lies in the data folder: takes it up within a tenth of a second, asks again and again whether
//! it must end, and ends it, whoever ordered it. Everyone is asked as usual again from that moment on. An order that a
//! dead server left behind is not taken up again.

use crate::drills::Folder;
use gateway::clock;
use gateway::drill::{Break, Drill as Playing, Failing, Terms};
use gateway::setup::Gateway;
use insurance::drill::{self, Around, Counts, Drill, End, Level, Played, Record, State, Watch};
use std::fs::File;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::oneshot;

/// How often the order is looked at.
const EVERY: Duration = Duration::from_millis(100);
/// How often the counts are written down while it runs.
const TELL: Duration = Duration::from_secs(1);
/// How long requests under way may take to end after it.
const LAST: Duration = Duration::from_secs(120);

/// Plays orders until the gateway stops; what is given resolves once the last request of the last drill is counted.
pub(crate) fn watch(gateway: &Arc<Gateway>, folder: Folder) -> oneshot::Receiver<()> {
    let watched = Arc::clone(gateway);
    let (ended, end) = oneshot::channel();
    gateway.tasks.spawn(async move {
        play(&watched, folder).await;
        // Nobody waits where the process is about to end anyway.
        let _ = ended.send(());
    });
    end
}

async fn play(watched: &Arc<Gateway>, folder: Folder) {
    let mut stage = Some(Stage { folder, playing: None, ending: Vec::new() });
    let mut stopping = false;
    loop {
        if stopping {
            tokio::time::sleep(EVERY).await;
        } else {
            stopping = tokio::select! {
                () = watched.tasks.stopped() => true,
                () = tokio::time::sleep(EVERY) => false,
            };
        }
        // Files may be slow; the gateway's own threads do not wait for them.
        let (gateway, Some(mut now)) = (Arc::clone(watched), stage.take()) else { return };
        let looked = tokio::task::spawn_blocking(move || {
            if let Err(error) = now.look(&gateway, stopping) {
                tracing::error!("drills: {error:#}");
            }
            now
        });
        match looked.await {
            Ok(next) if stopping && next.playing.is_none() && next.ending.is_empty() => return,
            Ok(next) => stage = Some(next),
            Err(error) => {
                watched.end_drill();
                return tracing::error!(%error, "the player of drills broke");
            }
        }
    }
}

/// A drill that runs here, or whose last requests do.
struct Play {
    record: Record,
    drill: Arc<Playing>,
    began: Instant,
    told: Instant,
}

struct Stage {
    folder: Folder,
    /// The drill that runs here, and the right to play it.
    playing: Option<(Play, File)>,
    ending: Vec<Play>,
}

impl Stage {
    /// One look at the order, the clock and the counts.
    fn look(&mut self, gateway: &Gateway, stopping: bool) -> anyhow::Result<()> {
        self.last_requests()?;
        let order = self.folder.current();
        let Some((mut play, right)) = self.playing.take() else {
            return match order? {
                Some(_) if !stopping => self.take_up(gateway),
                _ => Ok(()),
            };
        };
        let id = play.record.drill.id.clone();
        // An order that cannot be read stands as good as withdrawn.
        let stands = matches!(&order, Ok(Some(order)) if order.id == id);
        let current = gateway.drill().is_some_and(|(drill, current)| current && drill.terms().id == id);
        let around = Around { person: !stands, done: stands && self.folder.is_done(&id), reloaded: !current, stopping };
        let elapsed = i64::try_from(play.began.elapsed().as_micros()).unwrap_or(i64::MAX);
        let counts = counts(&play.drill);
        let watch = Watch { drill: &play.record.drill, began: 0 };
        if let Some(end) = watch.look(elapsed, &counts, around) {
            // First of all.
            gateway.end_drill();
            play.record.ended = Some(clock::unix_micros());
            play.record.counts = counts;
            play.record.state = match &end {
                End::Window | End::Done => State::Ended,
                other => State::Aborted(other.to_string()),
            };
            tracing::info!(drill = %id, served = counts.served, failed = counts.failed, "a drill ended: {end}");
            play.told = Instant::now();
            let kept = self.folder.keep(&play.record);
            self.ending.push(play);
            kept?;
            self.folder.withdraw(&id)?;
            // Not before: whoever has the right next finds no order.
            drop(right);
            return Ok(());
        }
        let mut kept = Ok(());
        if play.told.elapsed() >= TELL {
            play.told = Instant::now();
            play.record.counts = counts;
            kept = self.folder.keep(&play.record);
        }
        self.playing = Some((play, right));
        kept
    }

    /// Takes up the order that stands, unless another server plays it: one that hands over ends it by itself.
    fn take_up(&mut self, gateway: &Gateway) -> anyhow::Result<()> {
        let Some(right) = self.folder.player()? else { return Ok(()) };
        // What was read before may be over by now.
        match self.folder.current()? {
            Some(order) => self.begin(gateway, order, right),
            None => Ok(()),
        }
    }

    fn begin(&mut self, gateway: &Gateway, order: Drill, right: File) -> anyhow::Result<()> {
        let mut record = self.folder.record(&order.id).unwrap_or_else(|_| Record::ordered(order.clone()));
        let refused = if record.state == State::Ordered {
            match terms(&order) {
                Some(terms) => gateway.begin_drill(terms).map_err(|error| State::Refused(error.to_string())),
                None => Err(State::Refused(format!("`{}` is played on paper only", order.fault))),
            }
        } else {
            Err(State::Aborted(End::Stopped.to_string()))
        };
        match refused {
            Ok(drill) => {
                (record.state, record.began) = (State::Running, Some(clock::unix_micros()));
                tracing::warn!(
                    drill = %order.id,
                    target = %order.target,
                    fault = %order.fault,
                    level = %order.level,
                    seconds = order.window_s,
                    "a drill begins: what follows of those lost is played"
                );
                let now = Instant::now();
                let kept = self.folder.keep(&record);
                self.playing = Some((Play { record, drill, began: now, told: now }, right));
                kept
            }
            Err(state) => {
                tracing::warn!(drill = %order.id, "a drill is not played: {}", insurance::render::standing(&state));
                record.ended = record.began.map(|_| clock::unix_micros());
                record.state = state;
                self.folder.keep(&record)?;
                self.folder.withdraw(&order.id).map(drop)
            }
        }
    }

    /// Writes down what the last requests of drills that are over came to.
    fn last_requests(&mut self) -> anyhow::Result<()> {
        let mut still = Vec::new();
        for mut play in std::mem::take(&mut self.ending) {
            let now = counts(&play.drill);
            if now != play.record.counts {
                play.record.counts = now;
                self.folder.keep(&play.record)?;
            }
            if now.offered != now.served + now.failed + now.left && play.told.elapsed() < LAST {
                still.push(play);
            }
        }
        self.ending = still;
        Ok(())
    }
}

fn counts(drill: &Playing) -> Counts {
    let gateway::drill::Counts { offered, served, failed, left, degraded, below_floor, nanodollars, unpriced } =
        drill.counts();
    Counts { offered, served, failed, left, degraded, below_floor, nanodollars, unpriced }
}

/// The order as the gateway plays it; `None`: it plays on paper only.
fn terms(order: &Drill) -> Option<Terms> {
    let failing = match order.fault.played()? {
        Played::Refuses { kind, status, wait } => {
            Failing::Refuses { kind, status, wait: wait.map(Duration::from_secs) }
        }
        Played::Silent => Failing::Silent,
        Played::Late(ms) => Failing::Late(Duration::from_millis(ms)),
        Played::Breaks { after, how } => Failing::Breaks {
            after,
            how: match how {
                drill::Break::Cut => Break::Cut,
                drill::Break::Stall => Break::Stall,
                drill::Break::Malformed => Break::Malformed,
                drill::Break::NoEnd => Break::NoEnd,
                drill::Break::Error => Break::Error,
            },
        },
    };
    Some(Terms {
        id: order.id.clone(),
        lost: order.lost.iter().cloned().collect(),
        products: order.products.iter().cloned().collect(),
        share: order.share,
        marked: order.level == Level::L1,
        failing,
        times: order.fault.times,
    })
}
