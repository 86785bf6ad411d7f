//! What the plan would be for a request that is not made: the same function, the same view of now, no attempt.

use super::{Admin, Nothing, Operation, Problem};
use canon::wire::{self, Params};
use gateway::clock;
use gateway::upstream::Ask;
use http::{HeaderMap, Method, StatusCode};
use policy::{DeploymentIx, Fleet, NanoUsd, Plan, PlanInput, explain};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// A request that is not made.
pub(super) struct DryRun;

/// A request that is not made.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "PlanRequest")]
pub(super) struct Asked {
    /// The product that would ask.
    product: String,
    /// Models and deployments that its key may use (`gpt*` for a beginning). Empty: all of the product's.
    #[serde(default)]
    models: Vec<String>,
    /// The API it would be asked on.
    #[serde(default = "default_dialect")]
    dialect: String,
    /// The model, on APIs that name it in the path.
    model: Option<String>,
    /// The body as a client would send it.
    request: Map<String, Value>,
}

fn default_dialect() -> String {
    "openai-chat".to_owned()
}

/// Whom the plan would ask, and why.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "Plan")]
pub(super) struct Told {
    /// The version of the rules.
    version: String,
    /// What would be answered at once; null: somebody is asked.
    refused: Option<Refused>,
    /// Whom it would ask, in order.
    legs: Vec<Leg>,
    /// Whom it looked at and would not ask.
    dropped: Vec<Dropped>,
    /// The same in words, a line each.
    explanation: Vec<String>,
}

/// What would be answered at once.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "PlanRefused")]
struct Refused {
    /// The kind of fault.
    kind: &'static str,
    /// The HTTP status.
    status: u16,
    /// Words for the client.
    message: String,
}

/// A deployment that would be asked.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "PlanLeg")]
struct Leg {
    deployment: String,
    provider: String,
    model: String,
    maker: String,
    host: String,
    region: Option<String>,
    /// 0 is the best that could be, 1 the worst of those compared; with `prefer = "order"` its place.
    score: f32,
    /// The probability with which it is first.
    probability: f32,
    /// Why its answer is less than what was asked for.
    degraded: Option<&'static str>,
    /// What it probably costs.
    expected_usd: NanoUsd,
    /// What it costs at most; so much is reserved.
    worst_usd: NanoUsd,
}

/// A deployment that would not be asked.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "PlanDropped")]
struct Dropped {
    deployment: String,
    /// A stable word.
    reason: &'static str,
    /// The same for people, to follow the deployment's name.
    text: &'static str,
}

impl Operation for DryRun {
    type Params = Nothing;
    type Body = Asked;
    type Answer = Told;
    const METHOD: Method = Method::POST;
    const PATH: &'static str = "/admin/plan";
    const NAME: &'static str = "plan";
    const SUMMARY: &'static str =
        "Whom a request would be sent to now, and why; nobody is asked and nothing is reserved.";
    const REFUSALS: &'static [(StatusCode, &'static str)] =
        &[(StatusCode::UNPROCESSABLE_ENTITY, "There is no such product or API, or no client could mean this request.")];

    fn run(admin: &Admin, _: Nothing, asked: Asked) -> Result<Told, Problem> {
        let wrong = |code, message: String| Problem::new(StatusCode::UNPROCESSABLE_ENTITY, code, message);
        let setup = admin.gateway.setup();
        let product = setup.fleet.product_named(&asked.product);
        let product = product.ok_or_else(|| {
            let known: Vec<&str> = setup.fleet.products().iter().map(policy::Product::name).collect();
            wrong("no_such_product", format!("there is no product `{}`; known: {}", asked.product, known.join(", ")))
        })?;
        let dialect = wire::dialect(&asked.dialect).ok_or_else(|| {
            let known: Vec<&str> = wire::dialects().map(|dialect| dialect.id().name()).collect();
            wrong("no_such_dialect", format!("there is no dialect `{}`; known: {}", asked.dialect, known.join(", ")))
        })?;
        let body = Value::Object(asked.request).to_string();
        let params = Params { model: asked.model, ..Params::default() };
        let ask = Ask::read(dialect, params, HeaderMap::new(), body.into())
            .map_err(|fault| wrong("no_such_request", fault.message))?;
        let permit = (!asked.models.is_empty()).then(|| setup.fleet.permit(&asked.models));
        let input = PlanInput {
            facets: &ask.peek.facets,
            model: ask.peek.model.as_deref().unwrap_or_default(),
            product: setup.fleet.product(product),
            fleet: &setup.fleet,
            view: &*setup.live,
            now: admin.gateway.clock.tick(),
            wall: clock::wall(),
            chance: 0,
            dialect: Some(dialect.id()),
            permit: permit.as_ref(),
            exclude: &[],
            warm: None,
            bound: None,
        };
        Ok(match policy::plan(&input) {
            Ok(plan) => told(&plan, &setup.fleet, &setup.policy_version, None),
            Err(refusal) => {
                let fault = &refusal.fault;
                let (kind, status, message) = (fault.kind.name(), fault.client_status(), fault.message.clone());
                told(&refusal.plan, &setup.fleet, &setup.policy_version, Some(Refused { kind, status, message }))
            }
        })
    }
}

fn told(plan: &Plan, fleet: &Fleet, version: &str, refused: Option<Refused>) -> Told {
    let name = |ix: DeploymentIx| fleet.deployment(ix).name.clone();
    let leg = |leg: &policy::Leg| {
        let deployment = fleet.deployment(leg.deployment);
        Leg {
            deployment: deployment.name.clone(),
            provider: deployment.provider.clone(),
            model: deployment.model.clone(),
            maker: deployment.maker.clone(),
            host: deployment.host.clone(),
            region: deployment.region.clone(),
            score: leg.score,
            probability: leg.probability,
            degraded: leg.degraded.map(policy::Degraded::name),
            expected_usd: leg.expected,
            worst_usd: leg.worst,
        }
    };
    let dropped = |one: &policy::plan::Dropped| Dropped {
        deployment: name(one.deployment),
        reason: one.reason.name(),
        text: one.reason.text(),
    };
    Told {
        version: version.to_owned(),
        refused,
        legs: plan.legs.iter().map(leg).collect(),
        dropped: plan.dropped.iter().map(dropped).collect(),
        explanation: explain(plan, fleet),
    }
}
