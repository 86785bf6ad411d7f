//! dialects.md: what clients can speak to us and what we speak to providers, from the lists of wires.

use super::markdown::{Markdown, code, codes};
use canon::wire::{self, Framing, RouteKind, Target};
use canon::{Fault, FaultKind};
use policy::Degraded;

const ABOUT: &str = "\
A *dialect* is an API that clients speak to us, a *protocol* is one that we speak to providers. Every dialect can be
answered through every protocol; on the same one the bytes pass untouched but for the model's name. What a protocol cannot
say of a request is named as a loss: in the answer's header, in the [ledger](ledger.md), and a product can refuse it
(`on_loss`).";

/// Paths that belong to no dialect.
const OTHERS: [(&str, &str); 13] = [
    (
        "GET /v1/models",
        "The models, deployments and aliases that the caller's product may use, as OpenAI's, Anthropic's \
         (`anthropic-version`) or Google's (`x-goog-api-key`) clients read them. Needs what a request needs.",
    ),
    ("GET /v1/models/NAME", "One of them."),
    ("GET /v1beta/models", "The same, as Google's clients read it; `/v1beta/models/NAME` is one of them."),
    (
        "GET /v1/responses/ID",
        "A kept answer of the caller's product; `DELETE` forgets it. What another product keeps is not there.",
    ),
    ("GET /v1/responses/ID/input_items", "What was asked in that turn, page by page (`after`, `limit`, `order`)."),
    ("POST /v1/responses/ID/cancel", "Ends an answer that is given in the background (`background`)."),
    ("POST /v1/conversations", "Makes a conversation (`items`, `metadata`)."),
    ("GET /v1/conversations/ID", "It; `POST` labels it anew, `DELETE` forgets it and its items."),
    (
        "GET /v1/conversations/ID/items",
        "Its items, page by page; `POST` adds some. `/v1/conversations/ID/items/ITEM` is one of them, `DELETE` forgets it.",
    ),
    ("GET /healthz", "200 while the process lives."),
    ("GET /readyz", "200 when everything is there, else 503; the body lists what is missing."),
    ("GET /metrics", "[Metrics](metrics.md)."),
    (
        "GET /admin/health",
        "Every breaker (of deployments, accounts, hosts, makers) with its state and the last fault. Answered on loopback only.",
    ),
];

const KEYS: [(&str, &str); 6] = [
    ("Authorization: AWS4-HMAC-SHA256 Credential=key_…", "as AWS's clients sign with what `autarky keys aws` tells"),
    ("Authorization: Bearer ak-…", "as OpenAI's clients send it"),
    ("x-api-key: ak-…", "as Anthropic's clients send it"),
    ("api-key: ak-…", "as Azure's clients send it"),
    ("x-goog-api-key: ak-…", "as Google's clients send it"),
    ("?key=ak-…", "in the path, as Google's older clients send it"),
];

const HEADERS: [(&str, &str); 6] = [
    ("x-autarky-request-id", "The request's id, for `autarky why`. On errors too."),
    ("x-autarky-attempts", "How many calls upstream it took. On errors too."),
    ("x-autarky-deployment", "Who answered."),
    ("x-autarky-degraded", "Why the answer is less than was asked for; the words are below. Missing: it is not."),
    ("x-autarky-losses", "What could not be said to who answered: left out, or with `~` weakened, with `=` emulated."),
    ("retry-after", "Seconds to wait, on errors where a time is known."),
];

const DEGRADED: [(Degraded, &str); 6] = [
    (Degraded::Substitute, "Another model than the named one answered."),
    (Degraded::Budget, "The budget allowed no better one."),
    (Degraded::OverCap, "A party answered beyond its share cap."),
    (Degraded::BelowFloor, "The quality is below the floor or unknown."),
    (Degraded::Unhealthy, "Everyone was held to be down; the least bad one answered."),
    (Degraded::House, "The house model answered."),
];

/// The page.
pub(super) fn page() -> String {
    let pairs =
        |list: &[(&str, &str)]| list.iter().map(|(name, text)| [code(name), (*text).to_owned()]).collect::<Vec<_>>();
    let mut page = Markdown::new("Dialects and protocols", ABOUT);
    page.heading(2, "Spoken by clients to us");
    page.table(["dialect", "path", "what for", "streams as"], &dialects());
    page.heading(2, "Other paths");
    page.table(["path", "what it answers"], &pairs(&OTHERS));
    page.heading(2, "Keys");
    page.paragraph("A key of ours is taken from the first of these that is there, on every dialect:");
    page.table(["where", "who does so"], &pairs(&KEYS));
    page.paragraph(
        "A key that starts with `ak-` and is not known is refused. Any other text counts as no key where a product is \
         `anonymous`, and is refused where none is. No key of a client is ever sent on.",
    );
    page.heading(2, "Headers of an answer");
    page.table(["header", "meaning"], &pairs(&HEADERS));
    page.table(
        ["`x-autarky-degraded`", "meaning"],
        &DEGRADED.map(|(degraded, text)| [code(degraded.name()), text.to_owned()]),
    );
    page.heading(2, "Errors");
    page.paragraph("Each dialect has its own shape; the code is one of [faults](faults.md).");
    for dialect in wire::dialects() {
        let fault = Fault::gateway(FaultKind::NoRoute, "what went wrong, and what to do");
        let (status, body) = dialect.encode_fault(&fault);
        page.paragraph(&format!("`{}`, status {status}:", dialect.id()));
        page.code("json", &format!("{body:#}"));
    }
    page.heading(2, "Spoken by us to providers");
    page.table(["protocol", "path below `base_url`", "path of a stream", "stream", "headers"], &protocols());
    page.finish()
}

fn dialects() -> Vec<[String; 4]> {
    let rows = wire::dialects().flat_map(|dialect| {
        let by_path = dialect.routes().iter().any(|route| route.kind == RouteKind::GenerateStream);
        dialect.routes().iter().map(move |route| {
            let (what, streams) = match route.kind {
                RouteKind::Generate if by_path => ("a whole answer", ""),
                RouteKind::Generate => ("an answer, streamed if the body says so", dialect.stream_mime()),
                RouteKind::GenerateStream => ("a streamed answer", dialect.stream_mime()),
                RouteKind::CountTokens => {
                    ("the prompt's tokens; `x-autarky-count` says whether they were counted or estimated", "")
                }
            };
            let path = code(&format!("{} {}", route.method, route.path));
            [code(dialect.id().name()), path, what.to_owned(), code(streams)]
        })
    });
    rows.collect()
}

fn protocols() -> Vec<[String; 5]> {
    let target = Target { model: "MODEL".to_owned(), ..Target::default() };
    let row = |protocol: &'static dyn wire::Protocol| {
        let framing = match protocol.framing() {
            Framing::Sse => "server-sent events",
            Framing::AwsEventStream => "AWS event stream",
        };
        let (path, streamed) = (protocol.path(&target, false), protocol.path(&target, true));
        let streamed = if streamed == path { String::new() } else { code(&streamed) };
        let headers: Vec<String> = protocol.headers().iter().map(|(name, value)| format!("{name}: {value}")).collect();
        let headers = codes(headers.iter().map(String::as_str));
        [code(protocol.id().name()), code(&path), streamed, framing.to_owned(), headers]
    };
    wire::protocols().map(row).collect()
}
