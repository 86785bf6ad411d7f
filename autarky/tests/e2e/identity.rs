//! On the same wire nothing is touched: whatever a client writes arrives as it was written, the model's name apart, and
//! whatever the provider writes comes back so, whole and streamed. Bodies are those of the fixtures with fields that
//! nobody knows planted into them, spelled as only JSON's grammar demands: any blanks, any escapes, any numbers.

use crate::mirror::{Mirror, Say};
use crate::stage::{ANONYMOUS, Stage};
use bytes::Bytes;
use canon::wire::{DIALECTS, Dialect, Framing, RouteKind};
use serde_json::{Value, json};
use std::fmt::Write as _;
use testkit::fixtures;

/// Spellings of every fixture.
const ROUNDS: u64 = 12;

/// Numbers that one seed decides (xorshift64*).
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: u64) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_F491_4F6C_DD1D) % sides
    }
}

/// Plants fields that nobody knows into the objects of `value`.
fn plant(value: &mut Value, dice: &mut Dice) {
    match value {
        Value::Object(map) => {
            map.values_mut().for_each(|inner| plant(inner, dice));
            if dice.roll(3) == 0 {
                let odd = [
                    json!(null),
                    json!(1.5),
                    json!({"type": "x", "model": "no"}),
                    json!(["é", [], {}]),
                    json!("\u{0}\"\\/"),
                ];
                let planted = odd[usize::try_from(dice.roll(5)).unwrap_or(0)].clone();
                map.insert(format!("x_{}", dice.roll(1_000)), planted);
            }
        }
        Value::Array(items) => items.iter_mut().for_each(|inner| plant(inner, dice)),
        _ => {}
    }
}

/// Writes `value` in a way of its own.
fn spell(value: &Value, dice: &mut Dice, out: &mut String) {
    let blank = |dice: &mut Dice, out: &mut String| {
        out.push_str(["", "", "", " ", "\t", "  "][usize::try_from(dice.roll(6)).unwrap_or(0)]);
    };
    match value {
        Value::Object(map) => {
            out.push('{');
            for (at, (key, inner)) in map.iter().enumerate() {
                out.push_str(if at > 0 { "," } else { "" });
                blank(dice, out);
                out.push_str(&json!(key).to_string());
                blank(dice, out);
                out.push(':');
                blank(dice, out);
                spell(inner, dice, out);
                blank(dice, out);
            }
            out.push('}');
        }
        Value::Array(items) => {
            out.push('[');
            for (at, inner) in items.iter().enumerate() {
                out.push_str(if at > 0 { "," } else { "" });
                blank(dice, out);
                spell(inner, dice, out);
            }
            out.push(']');
        }
        Value::String(text) => {
            out.push('"');
            for c in text.chars() {
                if text != PLACE && dice.roll(12) == 0 && c.len_utf16() == 1 {
                    write!(out, "\\u{:04x}", u32::from(c)).expect("a string takes it");
                } else {
                    let quoted = json!(c.to_string()).to_string();
                    out.push_str(&quoted[1..quoted.len() - 1]);
                }
            }
            out.push('"');
        }
        other => out.push_str(&other.to_string()),
    }
}

fn spelled(value: &Value, seed: u64) -> String {
    let mut dice = Dice(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1);
    let mut value = value.clone();
    plant(&mut value, &mut dice);
    let mut out = String::new();
    spell(&value, &mut dice, &mut out);
    out
}

/// Stands where the model's name goes; spelled one way, so that it can be exchanged in the text.
const PLACE: &str = "the-place-of-the-model";
/// The model of the deployment, which no client names.
const MODEL: &str = "the-models-own-name";

fn deployment(id: &str, base: &str, mirror: &Mirror) -> String {
    format!(
        "[provider.{id}]\nbase_url = \"http://{}{base}\"\nauth = \"none\"\nwires = [\"{id}\"]\n\
         [deployment.{id}]\nprovider = \"{id}\"\nmodel = \"{MODEL}\"\n",
        mirror.addr
    )
}

/// Where clients ask on `dialect`, for a stream or not.
fn path(dialect: &dyn Dialect, stream: bool) -> String {
    let routes = dialect.routes();
    let kind = if stream { RouteKind::GenerateStream } else { RouteKind::Generate };
    let route = routes.iter().find(|route| route.kind == kind).unwrap_or(&routes[0]);
    // Google's clients ask for events.
    let events = if stream && dialect.id().name() == "gemini" { "?alt=sse" } else { "" };
    route.path.replace("{model}", dialect.id().name()) + events
}

/// A request with our name for the model, if it names one, and the same with the model's own.
fn request(dialect: &dyn Dialect, body: &Value, stream: bool, seed: u64) -> (String, String) {
    let mut body = body.clone();
    let id = dialect.id().name();
    if let Some(fields) = body.as_object_mut() {
        if fields.contains_key("stream") || (stream && fields.contains_key("model")) {
            fields.insert("stream".to_owned(), stream.into());
        }
        if stream && id == "openai-chat" {
            fields.insert("stream_options".to_owned(), json!({"include_usage": true}));
        } else {
            fields.shift_remove("stream_options");
        }
        if fields.contains_key("model") {
            fields.insert("model".to_owned(), PLACE.into());
        }
    }
    let spelled = spelled(&body, seed);
    let naming = |name: &str| spelled.replace(&json!(PLACE).to_string(), &json!(name).to_string());
    (naming(id), naming(MODEL))
}

#[tokio::test]
async fn what_clients_write_arrives_as_it_was_written() {
    let mirror = Mirror::start(Say::default()).await;
    let mut rules = ANONYMOUS.to_owned();
    for dialect in DIALECTS {
        rules += &deployment(dialect.id().name(), "", &mirror);
    }
    let stage = Stage::start(&rules);
    let mut client = stage.client();
    let mut tried = 0_u64;
    for dialect in DIALECTS {
        let id = dialect.id().name();
        let found = fixtures::of(id);
        mirror.say(Say { mime: "application/json", pieces: vec![found.answers[0].body.to_string().into()] });
        // What leans on turns that we keep is written anew, with them.
        let kept = ["previous_response_id", "conversation", "item_reference"];
        let untouched = |body: &Value| !kept.iter().any(|word| body.to_string().contains(&json!(word).to_string()));
        for fixture in found.requests.iter().filter(|fixture| untouched(&fixture.body)) {
            for round in 0..ROUNDS {
                tried += 1;
                let (sent, expected) = request(*dialect, &fixture.body, false, tried);
                let headers = [("content-type", "application/json")];
                let answer = client.send("POST", &path(*dialect, false), &headers, Bytes::from(sent.clone())).await;
                let answer = answer.expect("an answer").whole().await.expect("a whole one");
                let heard = mirror.heard();
                assert_eq!(answer.status, 200, "{id}/{} {round}: {}", fixture.name, answer.json());
                assert_eq!(heard.len(), 1, "{id}/{}", fixture.name);
                assert_eq!(String::from_utf8_lossy(&heard[0]), expected, "{id}/{} from {sent}", fixture.name);
            }
        }
    }
    assert!(tried > 100, "{tried}");
}

#[tokio::test]
async fn what_providers_write_comes_back_as_it_was_written() {
    let mirror = Mirror::start(Say::default()).await;
    let mut rules = ANONYMOUS.to_owned();
    for dialect in DIALECTS {
        rules += &deployment(dialect.id().name(), "", &mirror);
    }
    let stage = Stage::start(&rules);
    let mut client = stage.client();
    let mut tried = 0_u64;
    for dialect in DIALECTS {
        let id = dialect.id().name();
        let found = fixtures::of(id);
        let plain = &found.requests[0].body;
        for fixture in &found.answers {
            for _ in 0..ROUNDS {
                tried += 1;
                let body = spelled(&fixture.body, tried);
                mirror.say(Say { mime: "application/json", pieces: vec![body.clone().into()] });
                let (sent, _) = request(*dialect, plain, false, 1);
                let answer = client
                    .send("POST", &path(*dialect, false), &[("content-type", "application/json")], sent.into())
                    .await;
                let answer = answer.expect("an answer").whole().await.expect("a whole one");
                assert_eq!(
                    (answer.status, String::from_utf8_lossy(&answer.body).as_ref()),
                    (200, body.as_str()),
                    "{id}/{}",
                    fixture.name
                );
            }
        }
        let protocol = canon::wire::protocol(id).expect("both roles");
        for fixture in &found.streams {
            for _ in 0..ROUNDS {
                tried += 1;
                let body = match protocol.framing() {
                    Framing::Sse => respelled(&fixture.body, tried),
                    // Framed in binary: its bytes are spelled one way.
                    Framing::AwsEventStream => fixture.body.clone(),
                };
                mirror.say(Say { mime: dialect.stream_mime(), pieces: pieces(&body, tried) });
                let (sent, _) = request(*dialect, plain, true, 1);
                let answer = client
                    .send("POST", &path(*dialect, true), &[("content-type", "application/json")], sent.into())
                    .await;
                let answer = answer.expect("an answer").whole().await.expect("a whole one");
                assert!(answer.body == body, "{id}/{}: bytes differ", fixture.name);
                assert_eq!(
                    String::from_utf8_lossy(&answer.body),
                    String::from_utf8_lossy(&body),
                    "{id}/{}",
                    fixture.name
                );
            }
        }
    }
    assert!(tried > 100, "{tried}");
}

/// A stream whose JSON is spelled anew, with comments between its events.
fn respelled(stream: &[u8], seed: u64) -> Vec<u8> {
    let mut out = String::new();
    for (at, line) in (0_u64..).zip(String::from_utf8_lossy(stream).split_inclusive('\n')) {
        // Between events, of which the last is the end.
        if (line.starts_with("event:") || (line.starts_with("data:") && out.ends_with("\n\n")))
            && (seed + at).is_multiple_of(7)
        {
            out.push_str(": still here\n\n");
        }
        let data = line.strip_prefix("data: ").and_then(|data| serde_json::from_str::<Value>(data.trim_end()).ok());
        match data {
            Some(value) if value.is_object() => {
                writeln!(out, "data: {}", spelled(&value, seed + at)).expect("a string takes it")
            }
            _ => out.push_str(line),
        }
    }
    out.into_bytes()
}

/// `bytes` in pieces of any length.
fn pieces(bytes: &[u8], seed: u64) -> Vec<Bytes> {
    let (mut dice, mut rest, mut out) = (Dice(seed | 1), bytes, Vec::new());
    while !rest.is_empty() {
        let size = usize::try_from(1 + dice.roll(90)).unwrap_or(1).min(rest.len());
        let (head, tail) = rest.split_at(size);
        out.push(Bytes::copy_from_slice(head));
        rest = tail;
    }
    out
}
