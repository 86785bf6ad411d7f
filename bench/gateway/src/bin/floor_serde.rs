//! A proxy that reads everything into a tree and writes it again, as most gateways do: `floor_serde PORT HOST:PORT`.

use gateway_bench::{Body, Upstream, arguments, serve, upstream, whole};
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::body::{Bytes, Frame, Incoming};
use hyper::{Request, Response};
use serde_json::Value;

fn main() {
    let (port, to) = arguments();
    let client: Upstream<Full<Bytes>> = upstream();
    serve(port, move |request| pass(client.clone(), to.clone(), request));
}

fn again(json: &[u8]) -> Option<Vec<u8>> {
    serde_json::to_vec(&serde_json::from_slice::<Value>(json).ok()?).ok()
}

async fn pass(client: Upstream<Full<Bytes>>, to: String, request: Request<Incoming>) -> Response<Body> {
    let bad = || {
        let mut response = Response::new(whole("bad gateway"));
        *response.status_mut() = http::StatusCode::BAD_GATEWAY;
        response
    };
    let (mut head, body) = request.into_parts();
    let Some(body) = body.collect().await.ok().and_then(|body| again(&body.to_bytes())) else { return bad() };
    let path = head.uri.path_and_query().map_or("/", |path| path.as_str());
    let Ok(uri) = format!("http://{to}{path}").parse() else { return bad() };
    head.uri = uri;
    head.headers.remove("host");
    head.headers.remove("content-length");
    let Ok(response) = client.request(Request::from_parts(head, Full::new(body.into()))).await else { return bad() };
    let (mut head, mut body) = response.into_parts();
    head.headers.remove("content-length");
    let streamed = head.headers.get("content-type").is_some_and(|mime| mime.as_bytes().starts_with(b"text/event-stream"));
    if !streamed {
        let Some(body) = body.collect().await.ok().and_then(|body| again(&body.to_bytes())) else { return bad() };
        return Response::from_parts(head, whole(body));
    }
    let (tell, mut told) = tokio::sync::mpsc::channel::<Bytes>(16);
    tokio::spawn(async move {
        while let Some(Ok(frame)) = body.frame().await {
            let Ok(bytes) = frame.into_data() else { continue };
            let mut out = Vec::with_capacity(bytes.len());
            for line in bytes.split_inclusive(|byte| *byte == b'\n') {
                match line.strip_prefix(b"data: ").and_then(again) {
                    Some(json) => out.extend([b"data: ", json.as_slice(), b"\n"].concat()),
                    None => out.extend_from_slice(line),
                }
            }
            if tell.send(out.into()).await.is_err() {
                return;
            }
        }
    });
    let frames = futures_util::stream::poll_fn(move |cx| {
        told.poll_recv(cx).map(|bytes| bytes.map(|bytes| Ok::<_, Box<dyn std::error::Error + Send + Sync>>(Frame::data(bytes))))
    });
    Response::from_parts(head, BodyExt::boxed(StreamBody::new(frames)))
}
