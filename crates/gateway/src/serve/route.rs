//! Where a path leads: made from the dialects' own routes, so that a new wire is routed the moment it is listed.

use super::kept::{self, Door};
use super::models::Shape;
use canon::wire::{self, Dialect, Params, Route, RouteKind};
use http::Method;

/// Where a request leads.
pub(super) enum Place {
    /// An answer on a dialect.
    Answer {
        /// The dialect.
        dialect: &'static dyn Dialect,
        /// What is asked for.
        kind: RouteKind,
        /// What the path said.
        params: Params,
    },
    /// An endpoint of a provider's own.
    Provider {
        /// The provider.
        name: String,
        /// The path below its base URL, with its slash.
        path: String,
    },
    /// Kept turns.
    Kept(Door),
    /// The models there are, or one of them.
    Models(Shape, Option<String>),
    /// Is the process alive?
    Health,
    /// Can it serve?
    Ready,
    /// Counters.
    Metrics,
    /// Every breaker.
    Breakers,
    /// A known path, another method.
    WrongMethod,
    /// No such path.
    Nowhere,
}

/// Finds where `method path?query` leads.
pub(super) fn find(method: &Method, path: &str, query: &str) -> Place {
    let mut known_path = false;
    for dialect in wire::dialects() {
        for route in dialect.routes() {
            let Some(mut params) = fits(route, path) else { continue };
            query.clone_into(&mut params.query);
            known_path = true;
            if route.method == method.as_str() {
                return Place::Answer { dialect, kind: route.kind, params };
            }
        }
    }
    if known_path {
        return Place::WrongMethod;
    }
    if let Some(door) = kept::find(method, path) {
        return door.map_or(Place::WrongMethod, Place::Kept);
    }
    if let Some((name, rest)) = path.strip_prefix("/provider/").and_then(|rest| rest.split_once('/')) {
        return Place::Provider { name: name.to_owned(), path: format!("/{rest}") };
    }
    let place = match path {
        "/v1/models" => Place::Models(Shape::OpenAi, None),
        "/v1beta/models" => Place::Models(Shape::Gemini, None),
        "/healthz" => Place::Health,
        "/readyz" => Place::Ready,
        "/metrics" => Place::Metrics,
        "/admin/health" => Place::Breakers,
        _ => {
            let one = |folder, shape| path.strip_prefix(folder).map(|model: &str| (shape, model));
            match one("/v1/models/", Shape::OpenAi).or_else(|| one("/v1beta/models/", Shape::Gemini)) {
                Some((shape, model)) if !model.is_empty() => Place::Models(shape, Some(model.to_owned())),
                _ => return Place::Nowhere,
            }
        }
    };
    if matches!(*method, Method::GET | Method::HEAD) { place } else { Place::WrongMethod }
}

/// What the path says, if it fits the route.
fn fits(route: &Route, path: &str) -> Option<Params> {
    let stream = route.kind == RouteKind::GenerateStream;
    let Some((head, tail)) = route.path.split_once("{model}") else {
        return (route.path == path).then_some(Params { model: None, stream, ..Params::default() });
    };
    let model = path.strip_prefix(head)?.strip_suffix(tail)?;
    (!model.is_empty()).then(|| Params { model: Some(model.to_owned()), stream, ..Params::default() })
}
