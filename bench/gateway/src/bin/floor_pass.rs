//! The floor: a reverse proxy that only passes bytes, `floor_pass PORT HOST:PORT`.

use gateway_bench::{Body, Upstream, arguments, serve, upstream, whole};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use hyper::{Request, Response};

fn main() {
    let (port, to) = arguments();
    let to: http::uri::Authority = to.parse().expect("HOST:PORT");
    let client: Upstream<Incoming> = upstream();
    serve(port, move |request| pass(client.clone(), to.clone(), request));
}

async fn pass(client: Upstream<Incoming>, to: http::uri::Authority, request: Request<Incoming>) -> Response<Body> {
    let (mut head, body) = request.into_parts();
    let mut uri = std::mem::take(&mut head.uri).into_parts();
    uri.scheme = Some(http::uri::Scheme::HTTP);
    uri.authority = Some(to);
    head.uri = http::Uri::from_parts(uri).unwrap_or_default();
    head.headers.remove("host");
    match client.request(Request::from_parts(head, body)).await {
        Ok(response) => response.map(|body| body.map_err(Into::into).boxed()),
        Err(_) => {
            let mut response = Response::new(whole("bad gateway"));
            *response.status_mut() = http::StatusCode::BAD_GATEWAY;
            response
        }
    }
}
