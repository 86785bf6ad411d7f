//! Drills: what one would do, one run, the one that runs stopped, what each showed. The words and the JSON are those of
//! `autarky drill`; the orders and the reports are the same files.

use super::usage::default_since;
use super::{Admin, Nothing, Operation, Problem};
use crate::cmd::drill::{Scene, window_of};
use crate::cmd::register::Files;
use crate::cmd::window::{self, Since};
use crate::drills::{Asked, Trouble};
use http::{Method, StatusCode};
use insurance::drill::{Abort, KINDS, Level, Record, Refusal};
use ledger::Name;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// The drills there were.
pub(super) struct List;
/// What one would do.
pub(super) struct Plan;
/// One run.
pub(super) struct Run;
/// The one that runs, stopped.
pub(super) struct Stop;
/// One, all of whose requests were sent.
pub(super) struct Done;
/// What one showed.
pub(super) struct Report;
/// What a loss may look like.
pub(super) struct Faults;

/// What is rehearsed.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "DrillOrder")]
#[schemars(extend("examples" = [{"lose": "maker:openai"}, {"lose": "maker:openai", "level": "L2", "share": 0.05, "window": "5m"}]))]
pub(super) struct Order {
    /// What is lost, with all that rests on it: a kind of node, a colon and its name (`maker:openai`, `deployment:gpt`),
    /// or `house`.
    #[schemars(extend("pattern" = r"^(house|(maker|host|invoicer|account|family|region|provider|deployment|party|network|autarky):.+)$"))]
    lose: String,
    /// What that looks like from outside, with its settings: `refused`, `cut:after=40`; `GET /admin/drills/faults` lists
    /// them.
    #[serde(default = "default_fault")]
    fault: String,
    /// How real: L0 (on paper), L1 (a replay: send captured requests with the drill's id in the header
    /// `x-autarky-drill`, then say that it is done), L2 (a part of live traffic), L3 (all of it).
    #[serde(default = "default_level")]
    level: Depth,
    /// The products whose requests are part of it. Empty: all.
    #[serde(default)]
    products: Vec<String>,
    /// The share of their requests that is part of it, above 0 and at most 1.
    #[serde(default = "default_share")]
    #[schemars(extend("exclusiveMinimum" = 0, "maximum" = 1))]
    share: f64,
    /// How long it lasts: seconds, minutes or hours.
    #[serde(default = "default_window")]
    #[schemars(extend("pattern" = r"^[0-9]{1,6}[smh]$"))]
    window: String,
    /// Stop when this share of requests has failed.
    #[serde(default = "default_abort_failed")]
    #[schemars(range(min = 0.0, max = 1.0))]
    abort_failed: f64,
    /// Stop when this share of answers is below the quality floor. Left out: as for failures, where a product has a
    /// floor.
    #[schemars(range(min = 0.0, max = 1.0))]
    abort_below_floor: Option<f64>,
    /// Stop when its calls have cost so much, US dollars. L1 needs it.
    #[schemars(range(min = 0.0))]
    spend: Option<f64>,
    /// How far back recorded traffic is taken from on paper: days, hours, minutes, or everything.
    #[serde(default = "default_since")]
    #[schemars(extend("pattern" = r"^([1-9][0-9]{0,4}[dhm]|all)$"))]
    since: String,
}

/// A level.
#[derive(Debug, Clone, Copy, Deserialize, JsonSchema)]
#[schemars(inline)]
enum Depth {
    L0,
    L1,
    L2,
    L3,
}

impl From<Depth> for Level {
    fn from(depth: Depth) -> Self {
        match depth {
            Depth::L0 => Self::L0,
            Depth::L1 => Self::L1,
            Depth::L2 => Self::L2,
            Depth::L3 => Self::L3,
        }
    }
}

fn default_fault() -> String {
    "refused".to_owned()
}

const fn default_level() -> Depth {
    Depth::L0
}

const fn default_share() -> f64 {
    1.0
}

fn default_window() -> String {
    "60s".to_owned()
}

fn default_abort_failed() -> f64 {
    Abort::default().failed.unwrap_or(1.0)
}

impl Order {
    /// As the commands ask, and how far back.
    fn asked(self) -> Result<(Asked, Since), Problem> {
        let asked = Asked {
            target: self.lose.parse().map_err(Problem::invalid)?,
            fault: self.fault.parse().map_err(Problem::invalid)?,
            level: self.level.into(),
            products: self.products.into_iter().map(Name::from).collect(),
            share: self.share,
            window_s: window_of(&self.window).map_err(Problem::invalid)?.as_secs(),
            abort: Abort {
                failed: Some(self.abort_failed),
                below_floor: self.abort_below_floor,
                usd: self.spend,
                ..Abort::default()
            },
        };
        Ok((asked, window::since(&self.since).map_err(Problem::invalid)?))
    }
}

/// Which drill.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Which {
    /// Its id; `last`: the last one.
    id: String,
}

/// Drills.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "Drills")]
pub(super) struct Told {
    /// The newest first, as `autarky drill list --format json` tells them.
    drills: Vec<Map<String, Value>>,
}

/// What a loss may look like from outside.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "DrillFaults")]
pub(super) struct Catalogue {
    faults: Vec<Fault>,
}

/// One of them.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "DrillFault")]
struct Fault {
    /// Its name.
    name: &'static str,
    /// What it is.
    about: &'static str,
    /// What may be set of it, as in `cut:after=40`.
    settings: &'static [&'static str],
}

/// The scene of the running configuration's file.
pub(super) fn scene(admin: &Admin) -> Result<Scene, Problem> {
    Scene::read(&Files::of(admin.config.clone())).map_err(problem)
}

fn map(value: Value) -> Map<String, Value> {
    match value {
        Value::Object(map) => map,
        _ => Map::new(),
    }
}

fn record(record: &Record) -> Result<Map<String, Value>, Problem> {
    let value = serde_json::to_value(record);
    value.map(map).map_err(|error| Problem::new(StatusCode::INTERNAL_SERVER_ERROR, "internal_error", error))
}

/// Why it was not done, for whoever asked over HTTP.
pub(super) fn problem(error: anyhow::Error) -> Problem {
    let conflict = |code| Problem::new(StatusCode::CONFLICT, code, &error);
    if let Some(refusal) = error.downcast_ref::<Refusal>() {
        return match refusal {
            Refusal::Running(..) => conflict("drill_running"),
            Refusal::Critical { .. } => conflict("drill_not_permitted"),
            _ => Problem::new(StatusCode::UNPROCESSABLE_ENTITY, "no_such_drill_possible", &error),
        };
    }
    match error.downcast_ref::<Trouble>() {
        Some(Trouble::NoSuch(_) | Trouble::NoneYet) => Problem::missing("no_such_drill", &error),
        Some(Trouble::SameMoment) => conflict("drill_running"),
        Some(Trouble::NotOver(..)) => conflict("drill_not_over"),
        Some(Trouble::NotRunning(..)) => conflict("drill_not_running"),
        Some(Trouble::Refused(_)) => conflict("drill_refused"),
        Some(Trouble::Nobody(_)) | None => Problem::unavailable("drill_unavailable", format!("{error:#}")),
    }
}

const AWAY: (StatusCode, &str) = (
    StatusCode::SERVICE_UNAVAILABLE,
    "The configuration's file, the ledger or the folder of drills cannot be used now.",
);
const NO_SUCH: (StatusCode, &str) = (StatusCode::NOT_FOUND, "There is no such drill.");
const CANNOT_BE: (StatusCode, &str) =
    (StatusCode::UNPROCESSABLE_ENTITY, "Such a drill cannot be: nothing rests on what it loses, for one.");

impl Operation for List {
    type Params = Nothing;
    type Body = Nothing;
    type Answer = Told;
    const METHOD: Method = Method::GET;
    const PATH: &'static str = "/admin/drills";
    const NAME: &'static str = "list_drills";
    const SUMMARY: &'static str = "Every drill, the newest first, with where it stands and what its server counted.";
    const REFUSALS: &'static [(StatusCode, &'static str)] = &[AWAY];

    fn run(admin: &Admin, _: Nothing, _: Nothing) -> Result<Told, Problem> {
        let records = scene(admin)?.records().map_err(problem)?;
        Ok(Told { drills: records.iter().map(record).collect::<Result<_, _>>()? })
    }
}

impl Operation for Plan {
    type Params = Nothing;
    type Body = Order;
    type Answer = Map<String, Value>;
    const METHOD: Method = Method::POST;
    const PATH: &'static str = "/admin/drills/plan";
    const NAME: &'static str = "plan_drill";
    const SUMMARY: &'static str = "What a drill would do, and whether it may begin; nothing is played: as `autarky drill plan --format json` tells it.";
    const REFUSALS: &'static [(StatusCode, &'static str)] = &[CANNOT_BE, AWAY];

    fn run(admin: &Admin, _: Nothing, order: Order) -> Result<Map<String, Value>, Problem> {
        let (asked, since) = order.asked()?;
        let planned = scene(admin)?.plan(asked, since).map_err(problem)?;
        match planned.refusal {
            Some(refusal @ (Refusal::Share(_) | Refusal::Stop(..))) => Err(problem(refusal.into())),
            _ => Ok(map(planned.json())),
        }
    }
}

impl Operation for Run {
    type Params = Nothing;
    type Body = Order;
    type Answer = Map<String, Value>;
    const METHOD: Method = Method::POST;
    const PATH: &'static str = "/admin/drills";
    const NAME: &'static str = "run_drill";
    const SUMMARY: &'static str =
        "Begin a drill; it ends by itself. One on paper (L0) is over with the answer. The answer is its record.";
    const STATUS: StatusCode = StatusCode::CREATED;
    const REFUSALS: &'static [(StatusCode, &'static str)] =
        &[(StatusCode::CONFLICT, "Another drill runs, or a critical product lacks the levels below."), CANNOT_BE, AWAY];

    fn run(admin: &Admin, _: Nothing, order: Order) -> Result<Map<String, Value>, Problem> {
        let (asked, since) = order.asked()?;
        let scene = scene(admin)?;
        let drill = scene.order(asked).map_err(problem)?;
        record(&scene.begin(drill, since).map_err(problem)?)
    }
}

impl Operation for Stop {
    type Params = Nothing;
    type Body = Nothing;
    type Answer = Map<String, Value>;
    const METHOD: Method = Method::POST;
    const PATH: &'static str = "/admin/drills/abort";
    const NAME: &'static str = "abort_drill";
    const SUMMARY: &'static str =
        "Stop the drill that runs: everyone is asked as usual again within a second. The answer is its record.";
    const REFUSALS: &'static [(StatusCode, &'static str)] =
        &[(StatusCode::CONFLICT, "No drill is ordered or runs."), AWAY];

    fn run(admin: &Admin, _: Nothing, _: Nothing) -> Result<Map<String, Value>, Problem> {
        match scene(admin)?.abort().map_err(problem)? {
            Some((aborted, _)) => record(&aborted),
            None => {
                let message = "no drill is ordered or runs";
                Err(Problem::new(StatusCode::CONFLICT, "drill_not_running", message)
                    .hint("`GET /admin/drills` tells of those that did"))
            }
        }
    }
}

impl Operation for Done {
    type Params = Which;
    type Body = Nothing;
    type Answer = Map<String, Value>;
    const METHOD: Method = Method::POST;
    const PATH: &'static str = "/admin/drills/{id}/done";
    const NAME: &'static str = "finish_drill";
    const SUMMARY: &'static str =
        "End a drill before its window is over because all that it was to see was sent. The answer is its record.";
    const REFUSALS: &'static [(StatusCode, &'static str)] =
        &[NO_SUCH, (StatusCode::CONFLICT, "It does not run."), AWAY];

    fn run(admin: &Admin, Which { id }: Which, _: Nothing) -> Result<Map<String, Value>, Problem> {
        record(&scene(admin)?.done(&id).map_err(problem)?)
    }
}

impl Operation for Report {
    type Params = Which;
    type Body = Nothing;
    type Answer = Map<String, Value>;
    const METHOD: Method = Method::GET;
    const PATH: &'static str = "/admin/drills/{id}/report";
    const NAME: &'static str = "report_drill";
    const SUMMARY: &'static str = "What a drill showed, and what changed since the last one of the same loss: as `autarky drill report --format json` tells it.";
    const REFUSALS: &'static [(StatusCode, &'static str)] = &[NO_SUCH, (StatusCode::CONFLICT, "It is not over."), AWAY];

    fn run(admin: &Admin, Which { id }: Which, _: Nothing) -> Result<Map<String, Value>, Problem> {
        let id = Some(id.as_str()).filter(|id| *id != "last");
        Ok(map(scene(admin)?.report(id).map_err(problem)?.json()))
    }
}

impl Operation for Faults {
    type Params = Nothing;
    type Body = Nothing;
    type Answer = Catalogue;
    const METHOD: Method = Method::GET;
    const PATH: &'static str = "/admin/drills/faults";
    const NAME: &'static str = "list_drill_faults";
    const SUMMARY: &'static str = "What a loss may look like from outside, and what may be set of each.";

    fn run(_: &Admin, _: Nothing, _: Nothing) -> Result<Catalogue, Problem> {
        let fault =
            |kind: &insurance::drill::FaultKind| Fault { name: kind.name, about: kind.about, settings: kind.settings };
        Ok(Catalogue { faults: KINDS.iter().map(fault).collect() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_order_that_says_only_what_is_lost_is_the_commands() {
        let order: Order = serde_json::from_str(r#"{"lose": "maker:openai"}"#).expect("an order");
        let (asked, since) = order.asked().expect("it can be read");
        assert_eq!((asked, since), crate::cmd::drill::asked(&["--lose", "maker:openai"]));
    }

    #[test]
    fn what_cannot_be_read_is_told() {
        for (order, word) in [
            (r#"{"lose": "maker"}"#, "maker"),
            (r#"{"lose": "maker:m", "fault": "gone"}"#, "known: refused"),
            (r#"{"lose": "maker:m", "window": "9"}"#, "30s"),
            (r#"{"lose": "maker:m", "since": "ever"}"#, "30d"),
        ] {
            let order: Order = serde_json::from_str(order).expect("an order");
            let problem = order.asked().expect_err(word);
            assert!(problem.message.contains(word), "{problem:?}");
        }
    }
}
