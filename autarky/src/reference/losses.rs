//! losses.md: what each protocol cannot say of what each dialect says. Nothing here is told from memory: each thing is
//! written on the dialect's own wire, read as a client's request, and written for every protocol; the losses that
//! come out are the table.

use super::markdown::{Markdown, code};
use canon::media::{Media, MediaKind, Source};
use canon::request::{
    CacheMark, Effort, Message, OutputFormat, Part, Reasoning, Role, Sampling, Seal, Tool, ToolChoice,
};
use canon::wire::{DIALECTS, Dialect, LossKind, PROTOCOLS, Params, Protocol, Target};
use canon::{Extras, Request};
use serde_json::json;

const ABOUT: &str = "\
What a request can say on each dialect, and what becomes of it on each protocol, as `x-autarky-losses` names it. *said*: as it is. *~*: in
a way that means less. *=*: by other means. *lost*: left out. On the same wire the bytes pass untouched, and nothing is lost. A
product may refuse losses or look for who has fewest (`on_loss`, see [configuration](config.md)). Fields that only one wire knows have no
row: they go home on it and are named everywhere else.";

/// One thing that a request can say.
struct Feature {
    name: &'static str,
    say: fn(&mut Request),
}

/// The page.
pub(super) fn page() -> String {
    let mut page = Markdown::new("Losses", ABOUT);
    for dialect in DIALECTS {
        let id = dialect.id();
        page.heading(2, &format!("From {}", code(id.name())));
        let others: Vec<&dyn Protocol> = PROTOCOLS.iter().copied().filter(|protocol| protocol.id() != id).collect();
        let to: Vec<String> = others.iter().map(|protocol| format!("to {}", code(protocol.id().name()))).collect();
        let head: Vec<&str> = std::iter::once("what is said").chain(to.iter().map(String::as_str)).collect();
        let rows: Vec<Vec<String>> = FEATURES.iter().filter_map(|feature| row(*dialect, feature, &others)).collect();
        page.rows(&head, &rows);
    }
    page.finish()
}

/// What becomes of `feature`; `None`: the dialect itself cannot say it.
fn row(dialect: &'static dyn Dialect, feature: &Feature, others: &[&dyn Protocol]) -> Option<Vec<String>> {
    let request = as_said(dialect, feature)?;
    let cells = others.iter().map(|protocol| {
        let lost = protocol.encode_request(&request, &target()).losses;
        let plain = as_said(dialect, &Feature { name: "", say: |_| {} });
        // What is lost without the feature too says nothing about it.
        let always = plain.map(|plain| protocol.encode_request(&plain, &target()).losses).unwrap_or_default();
        let mut told: Vec<String> = lost.iter().filter(|loss| !always.contains(loss)).map(told).collect();
        told.dedup();
        if told.is_empty() { "said".to_owned() } else { told.join(", ") }
    });
    Some(std::iter::once(feature.name.to_owned()).chain(cells).collect())
}

fn told(loss: &canon::Loss) -> String {
    match loss.what {
        LossKind::Dropped => format!("lost: {}", code(&loss.path)),
        LossKind::Weakened => format!("~ {}", code(&loss.path)),
        LossKind::Emulated => format!("= {}", code(&loss.path)),
    }
}

/// A request with `feature` as a client of `dialect` says it.
fn as_said(dialect: &'static dyn Dialect, feature: &Feature) -> Option<Request> {
    let own = PROTOCOLS.iter().find(|protocol| protocol.id() == dialect.id())?;
    let mut request = Request::new(dialect.id(), "m");
    request.messages.push(Message::text(Role::User, "hi"));
    request.sampling.max_output_tokens = Some(100);
    (feature.say)(&mut request);
    let written = own.encode_request(&request, &target());
    if !written.losses.is_empty() {
        return None;
    }
    dialect
        .decode_request(&Params { model: Some("m".to_owned()), stream: false, ..Params::default() }, written.body)
        .ok()
}

fn target() -> Target {
    Target { model: "m".to_owned(), signer: "here".to_owned(), ..Target::default() }
}

const FEATURES: &[Feature] = &[
    Feature { name: "instructions", say: |request| instructions(request, Role::System) },
    Feature { name: "instructions of the developer", say: |request| instructions(request, Role::Developer) },
    Feature {
        name: "an image by address",
        say: |request| media(request, MediaKind::Image, at("https://x.example/a.png")),
    },
    Feature { name: "an image inside", say: |request| media(request, MediaKind::Image, inside("image/png")) },
    Feature {
        name: "a PDF by address",
        say: |request| media(request, MediaKind::Document, at("https://x.example/a.pdf")),
    },
    Feature { name: "a PDF inside", say: |request| media(request, MediaKind::Document, inside("application/pdf")) },
    Feature { name: "a sound", say: |request| media(request, MediaKind::Audio, inside("audio/wav")) },
    Feature { name: "a film", say: |request| media(request, MediaKind::Video, inside("video/mp4")) },
    Feature { name: "a tool", say: |request| tool(request, None) },
    Feature { name: "a tool, strict", say: |request| tool(request, Some(true)) },
    Feature { name: "tools: none may be called", say: |request| choose(request, ToolChoice::None) },
    Feature { name: "tools: one must be called", say: |request| choose(request, ToolChoice::Required) },
    Feature {
        name: "tools: this one must be called",
        say: |request| choose(request, ToolChoice::Function("f".to_owned())),
    },
    Feature {
        name: "tools: one call at a time",
        say: |request| {
            tool(request, None);
            request.parallel_tool_calls = Some(false);
        },
    },
    Feature { name: "a tool's result", say: |request| result(request, vec![Part::text("21")], false) },
    Feature { name: "a tool's failure", say: |request| result(request, vec![Part::text("no")], true) },
    Feature {
        name: "a tool's result with an image",
        say: |request| result(request, vec![Part::Media(medium(MediaKind::Image, inside("image/png")))], false),
    },
    Feature { name: "JSON demanded", say: |request| request.output = OutputFormat::Json },
    Feature { name: "a schema demanded", say: schema },
    Feature {
        name: "thinking by effort",
        say: |request| request.reasoning = Some(Reasoning { effort: Some(Effort::High), ..Reasoning::default() }),
    },
    Feature {
        name: "thinking by budget",
        say: |request| {
            request.sampling.max_output_tokens = Some(8_000);
            request.reasoning = Some(Reasoning { budget_tokens: Some(2_000), ..Reasoning::default() });
        },
    },
    Feature {
        name: "no thinking",
        say: |request| request.reasoning = Some(Reasoning { effort: Some(Effort::None), ..Reasoning::default() }),
    },
    Feature { name: "earlier thinking, sealed elsewhere", say: thought },
    Feature { name: "temperature", say: |request| request.sampling.temperature = Some(0.5) },
    Feature { name: "top p", say: |request| request.sampling.top_p = Some(0.5) },
    Feature { name: "top k", say: |request| request.sampling.top_k = Some(5) },
    Feature { name: "frequency penalty", say: |request| request.sampling.frequency_penalty = Some(0.5) },
    Feature { name: "presence penalty", say: |request| request.sampling.presence_penalty = Some(0.5) },
    Feature { name: "seed", say: |request| request.sampling.seed = Some(7) },
    Feature { name: "stop texts", say: |request| request.sampling.stop = vec!["\n\n".to_owned()] },
    Feature { name: "several answers", say: |request| request.sampling.n = Some(2) },
    Feature {
        name: "log probabilities",
        say: |request| {
            request.sampling = Sampling { logprobs: Some(true), top_logprobs: Some(2), ..request.sampling.clone() }
        },
    },
    Feature { name: "prompt-cache mark", say: mark },
    Feature { name: "service tier", say: |request| request.service_tier = Some("flex".to_owned()) },
    Feature { name: "end user", say: |request| request.user = Some("u-1".to_owned()) },
    Feature {
        name: "metadata",
        say: |request| {
            request.metadata.insert("k".to_owned(), "v".into());
        },
    },
    Feature {
        name: "the beginning of the answer",
        say: |request| request.messages.push(Message::text(Role::Assistant, "So")),
    },
];

fn instructions(request: &mut Request, role: Role) {
    request.messages.insert(0, Message::text(role, "Be brief."));
}

fn at(url: &str) -> Source {
    Source::from_url(url)
}

fn inside(mime: &str) -> Source {
    Source::Base64 { mime: mime.to_owned(), data: "AAAA".to_owned() }
}

fn medium(kind: MediaKind, source: Source) -> Media {
    let name = (kind == MediaKind::Document).then(|| "a.pdf".to_owned());
    Media { kind, source, name, detail: None, cache: None, extras: Extras::new() }
}

fn media(request: &mut Request, kind: MediaKind, source: Source) {
    if let Some(message) = request.messages.last_mut() {
        message.parts.push(Part::Media(medium(kind, source)));
    }
}

fn tool(request: &mut Request, strict: Option<bool>) {
    let parameters = json!({"type": "object", "properties": {"x": {"type": "integer"}}, "required": ["x"], "additionalProperties": false});
    request.tools.push(Tool::Function {
        name: "f".to_owned(),
        description: Some("A function".to_owned()),
        parameters: Some(parameters),
        strict,
        cache: None,
        extras: Extras::new(),
    });
}

fn choose(request: &mut Request, choice: ToolChoice) {
    tool(request, None);
    request.tool_choice = Some(choice);
}

fn result(request: &mut Request, content: Vec<Part>, is_error: bool) {
    tool(request, None);
    let (call_id, cache, extras) = ("call_1".to_owned(), None, Extras::new());
    let call = Part::ToolCall {
        call_id: call_id.clone(),
        name: "f".to_owned(),
        arguments: "{\"x\":1}".to_owned(),
        seal: None,
        cache: None,
        extras: Extras::new(),
    };
    request.messages.push(Message::new(Role::Assistant, vec![call]));
    request
        .messages
        .push(Message::new(Role::Tool, vec![Part::ToolResult { call_id, content, is_error, cache, extras }]));
}

fn schema(request: &mut Request) {
    let schema = json!({"type": "object", "properties": {"x": {"type": "integer"}}, "required": ["x"], "additionalProperties": false});
    request.output = OutputFormat::Schema { name: Some("s".to_owned()), description: None, schema, strict: Some(true) };
}

fn thought(request: &mut Request) {
    let seal = Seal { data: "c2VhbGVk".to_owned(), redacted: false, signer: Some("here".to_owned()) };
    let thinking = Part::Reasoning { text: "Hm.".to_owned(), summary: false, seal: Some(seal), extras: Extras::new() };
    request.messages.push(Message::new(Role::Assistant, vec![thinking, Part::text("Yes.")]));
    request.messages.push(Message::text(Role::User, "And?"));
}

fn mark(request: &mut Request) {
    if let Some(Part::Text { cache, .. }) = request.messages.last_mut().and_then(|message| message.parts.last_mut()) {
        *cache = Some(CacheMark::default());
    }
}
