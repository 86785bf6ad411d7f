//! A loop of tools whose provider changes at every turn, thinking on: each wire, as a client speaks it, over every
//! ordered pair of wires (and of two providers on the same one). The providers refuse what real ones refuse: a foreign
//! signature, a result without its call, a turn that must begin with its thinking and does not.

use crate::stage::{ANONYMOUS, PATIENCE, Stage, settled};
use canon::answer::fold;
use canon::request::{Reasoning, each_seal};
use canon::wire::{DIALECTS, Dialect, Protocol, RouteKind, Target, decode_all, frames_in, protocol};
use canon::{Message, Part, Request, Response, Role, Tool, ToolChoice};
use futures_util::{StreamExt, stream};
use ledger::Outcome;
use serde_json::{Value, json};
use std::collections::HashSet;
use std::fmt::Write as _;
use testkit::grammar::{Asked, grammar};
use testkit::process::Answer;
use testkit::provider::{self, Provider, Rule, Script, WIRES, Wire};

/// Turns of a loop: calls, calls, calls, an answer, and one more question.
const TURNS: usize = 5;

/// A client of one wire that keeps its conversation as an official one would: all that it heard, and sends it again.
struct Talker {
    dialect: &'static dyn Dialect,
    wire: &'static dyn Protocol,
    request: Request,
    /// Opaque blocks heard, and who said them.
    heard: Vec<(String, String)>,
}

impl Talker {
    fn new(dialect: &'static dyn Dialect, question: &str) -> Option<Self> {
        let wire = protocol(dialect.id().name())?;
        let mut request = Request::new(dialect.id(), "");
        request.messages.push(Message::text(Role::User, question));
        request.sampling.max_output_tokens = Some(8_000);
        request.reasoning = Some(Reasoning { budget_tokens: Some(2_048), ..Reasoning::default() });
        request.tools = ["weather", "news"].map(tool).to_vec();
        request.state.store = Some(false);
        if dialect.id().name() == "openai-responses" {
            // As a client asks that keeps its conversation itself.
            request.extras.insert("~home".to_owned(), json!({"include": ["reasoning.encrypted_content"]}));
        }
        Some(Self { dialect, wire, request, heard: Vec::new() })
    }

    /// Asks `model` for the next turn.
    async fn ask(&mut self, stage: &Stage, model: &str, streams: bool) -> (Answer, Response) {
        self.request.stream = streams;
        self.request.stream_usage = streams;
        model.clone_into(&mut self.request.model);
        let target = Target { model: model.to_owned(), ..Target::default() };
        let encoded = self.wire.encode_request(&self.request, &target);
        let wanted = if streams { RouteKind::GenerateStream } else { RouteKind::Generate };
        let routes = self.dialect.routes();
        let route = routes.iter().find(|route| route.kind == wanted).or(routes.first()).expect("a route");
        let events = if streams && self.dialect.id().name() == "gemini" { "?alt=sse" } else { "" };
        let path = route.path.replace("{model}", model) + events;
        let headers = [("content-type", "application/json"), ("anthropic-version", "2023-06-01")];
        let sent = stage.client().send("POST", &path, &headers, encoded.body.to_string().into()).await;
        let answer = sent.expect("headers").whole().await.expect("an answer");
        let told = String::from_utf8_lossy(&answer.body).into_owned();
        assert_eq!(answer.status, 200, "{} to {model}: {told}\n{}", self.dialect.id(), encoded.body);
        let response = self.read(&answer, streams);
        (answer, response)
    }

    fn read(&self, answer: &Answer, streams: bool) -> Response {
        let ear = grammar(self.dialect.id().name()).expect("a grammar");
        if !streams {
            let heard = ear.unary(&answer.body);
            assert!(heard.is_well(), "{}: {:?}", self.dialect.id(), heard.violations);
            return self.wire.decode_response(answer.json()).expect("an answer of the wire");
        }
        let heard = ear.stream(&answer.body, &Asked { usage: Some(true), n: Some(1) });
        assert!(heard.is_well(), "{}: {:?}", self.dialect.id(), heard.violations);
        let events =
            decode_all(self.wire, &frames_in(self.wire.framing(), answer.body.clone())).expect("a stream of the wire");
        fold(&events).expect("a whole answer")
    }

    /// Takes a turn of the model's in, and answers its calls; their ids.
    fn go_on(&mut self, model: &str, mut response: Response, turn: usize) -> Vec<String> {
        let mut parts = std::mem::take(&mut response.choices[0].parts);
        each_seal(&mut parts, &mut |seal| self.heard.push((seal.data.clone(), model.to_owned())));
        let calls: Vec<String> = parts
            .iter()
            .filter_map(|part| if let Part::ToolCall { call_id, .. } = part { Some(call_id.clone()) } else { None })
            .collect();
        self.request.messages.push(Message::new(Role::Assistant, parts));
        let result = |(number, call_id): (usize, &String)| Part::ToolResult {
            call_id: call_id.clone(),
            content: vec![Part::text(format!("Result {turn}.{number}"))],
            is_error: false,
            cache: None,
            extras: serde_json::Map::new(),
        };
        let results: Vec<Part> = calls.iter().enumerate().map(result).collect();
        if !results.is_empty() {
            self.request.messages.push(Message::new(Role::Tool, results));
        }
        calls
    }
}

fn tool(name: &str) -> Tool {
    let parameters = json!({"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]});
    Tool::Function {
        name: name.to_owned(),
        description: Some("What a city brings.".to_owned()),
        parameters: Some(parameters),
        strict: None,
        cache: None,
        extras: serde_json::Map::new(),
    }
}

/// Gemini's newest generation wants a signature with every first call.
fn model_at(side: &str, wire: &dyn Wire) -> String {
    if wire.id() == "gemini" { format!("gemini-3-{side}") } else { format!("model-{side}") }
}

/// A deployment for every wire at each of two providers, which think and call as long as they may.
async fn two_of_each() -> (Provider, Provider, Stage) {
    let thinks = provider::Answer {
        reasoning: Some("Let me think about it.".to_owned()),
        call_tools: Some(2),
        ..provider::Answer::default()
    };
    let script =
        || Script { rules: vec![Rule { answer: Some(thinks.clone()), ..Rule::default() }], ..Script::default() };
    let one = Provider::start(script()).await.expect("a provider");
    let two = Provider::start(script()).await.expect("a provider");
    let mut rules = ANONYMOUS.to_owned();
    for (side, provider) in [("a", &one), ("b", &two)] {
        for wire in WIRES {
            let (name, id) = (format!("{side}-{}", wire.id()), wire.id());
            let url = format!("{}{}", provider.url(), wire.base());
            let row = format!("[provider.{name}]\nbase_url = \"{url}\"\nauth = \"none\"\nwires = [\"{id}\"]\n");
            let model = model_at(side, *wire);
            write!(rules, "{row}[deployment.{name}]\nprovider = \"{name}\"\nmodel = \"{model}\"\n").expect("written");
        }
    }
    let stage = Stage::start(&rules);
    (one, two, stage)
}

/// One loop; what was lost on the way.
async fn turn_by_turn(stage: &Stage, dialect: &'static dyn Dialect, sides: [&str; 2], streams: bool) -> Vec<String> {
    let question = format!("What of nonce-{}-{}-{}-{streams}?", dialect.id(), sides[0], sides[1]);
    let mut talker = Talker::new(dialect, &question).expect("both roles");
    let (mut ids, mut lost) = (HashSet::new(), Vec::new());
    for turn in 0..TURNS {
        let model = sides[turn % 2];
        let last = turn + 2 >= TURNS;
        talker.request.tool_choice = last.then_some(ToolChoice::None);
        let (answer, response) = talker.ask(stage, model, streams).await;
        let at = format!("{} turn {turn} at {model} of {sides:?}", dialect.id());
        assert_eq!((answer.header("x-autarky-deployment"), answer.header("x-autarky-attempts")), (model, "1"), "{at}");
        let losses = answer.header("x-autarky-losses").to_owned();
        let foreign = talker.heard.iter().any(|(_, maker)| maker != model);
        assert!(!foreign || losses.contains("signature"), "{at}: a foreign block was not named: {losses:?}");
        let calls = talker.go_on(model, response, turn);
        // A wire that cannot say that no tool may be called says that it cannot, or is not asked for it at all.
        let may_call = !last || losses.contains("tool_choice") || dialect.id().name() == "bedrock-converse";
        assert!(calls.len() == if may_call { 2 } else { 0 }, "{at}: {calls:?}, lost {losses}");
        assert!(calls.iter().all(|id| ids.insert(id.clone())), "{at}: an id came twice: {calls:?}");
        if last && calls.is_empty() {
            talker.request.messages.push(Message::text(Role::User, "And then? nonce-then"));
        }
        lost.push(losses);
    }
    lost
}

#[tokio::test]
async fn the_provider_may_change_at_every_turn_of_a_tool_loop() {
    let (one, two, stage) = two_of_each().await;
    let mut loops = Vec::new();
    for dialect in DIALECTS {
        for first in WIRES {
            for second in WIRES {
                for streams in [false, true] {
                    loops.push((*dialect, format!("a-{}", first.id()), format!("b-{}", second.id()), streams));
                }
            }
        }
    }
    let count = loops.len();
    let run = loops.into_iter().map(|(dialect, first, second, streams)| {
        let stage = &stage;
        async move { turn_by_turn(stage, dialect, [&first, &second], streams).await.len() }
    });
    let turns: usize = stream::iter(run).buffer_unordered(8).collect::<Vec<_>>().await.into_iter().sum();
    settled(&one).await;
    settled(&two).await;
    let (one, two) = (one.log(), two.log());
    let log: Vec<_> = one.iter().chain(&two).collect();
    let refused: Vec<_> =
        log.iter().filter(|row| row.arrival.verdict != "ok").map(|row| &row.arrival.verdict).collect();
    assert!(refused.is_empty(), "{} refused, e.g. {:?}", refused.len(), refused.first());
    assert_eq!((turns, log.len()), (count * TURNS, count * TURNS), "each turn was one call");
    println!("tool loops: {count} over every pair of wires from every dialect, {turns} turns, none refused");
}

#[tokio::test]
async fn a_block_goes_home_to_its_maker_whatever_came_between() {
    let (one, two, stage) = two_of_each().await;
    let mut tried = 0;
    for dialect in DIALECTS {
        for home in WIRES {
            let (home, other) = (format!("a-{}", home.id()), format!("b-{}", home.id()));
            let mut talker = Talker::new(*dialect, "What of nonce-home?").expect("both roles");
            for (turn, model) in [&home, &other, &home].into_iter().enumerate() {
                for provider in [&one, &two] {
                    provider.clear_log();
                }
                let (_, response) = talker.ask(&stage, model, false).await;
                let log = if turn == 1 { two.log() } else { one.log() };
                let body = log[0].arrival.body.clone().expect("kept");
                for (seal, maker) in &talker.heard {
                    assert_eq!(body.contains(seal.as_str()), maker == model, "{} at {model}: {body}", dialect.id());
                    tried += 1;
                }
                talker.go_on(model, response, turn);
            }
        }
    }
    assert!(tried > 20, "only {tried} opaque blocks travelled");
    println!("opaque blocks: {tried} checked on their way, each went to its maker only");
}

#[tokio::test]
async fn a_block_of_which_nobody_knows_is_tried_once_and_then_left_out() {
    let (one, _two, stage) = two_of_each().await;
    let body = json!({
        "model": "a-anthropic-messages", "max_tokens": 8_000,
        "thinking": {"type": "enabled", "budget_tokens": 2_048},
        "tools": [{"name": "weather", "input_schema": {"type": "object", "properties": {}}}],
        "messages": [
            {"role": "user", "content": "The weather?"},
            {"role": "assistant", "content": [
                {"type": "thinking", "thinking": "Well.", "signature": "EqQBCgIYAhIM1gbcDa9GJwZA2b3h"},
                {"type": "tool_use", "id": "toolu_1", "name": "weather", "input": {}},
            ]},
            {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "toolu_1", "content": "Sunny."}]},
        ],
    });
    let answer = stage.client().post("/v1/messages", "", &body).await.expect("an answer");
    assert_eq!((answer.status, answer.header("x-autarky-attempts")), (200, "2"), "{}", answer.json());
    let losses = answer.header("x-autarky-losses");
    assert!(losses.contains("messages[1].content[0].signature") && losses.contains("thinking"), "{losses}");
    let rows = stage.story(&answer).await;
    let ends: Vec<_> = rows.iter().map(|row| row.outcome).collect();
    assert_eq!(ends, [Outcome::Failed, Outcome::Ok]);
    let log = one.log();
    assert!(log[0].arrival.verdict.contains("Invalid `signature`") && log[1].arrival.verdict == "ok", "{log:?}");
}

#[tokio::test]
async fn who_made_a_block_is_known_after_a_restart_and_to_its_product_only() {
    let (one, two, mut stage) = two_of_each().await;
    let dialect = *DIALECTS.iter().find(|dialect| dialect.id().name() == "anthropic-messages").expect("listed");
    let mut talker = Talker::new(dialect, "What of nonce-restart?").expect("both roles");
    let (first, second) = ("a-anthropic-messages", "b-anthropic-messages");
    let (_, response) = talker.ask(&stage, first, true).await;
    talker.go_on(first, response, 0);
    stage.process.signal("TERM").expect("it is told");
    stage.process.ended(PATIENCE).await.expect("it stops");
    stage.restart();
    let (answer, _) = talker.ask(&stage, second, true).await;
    assert_eq!(answer.header("x-autarky-attempts"), "1", "known to be foreign, without being refused first");
    let (answer, _) = talker.ask(&stage, first, true).await;
    assert_eq!((answer.header("x-autarky-attempts"), answer.header("x-autarky-losses")), ("1", ""));
    assert!([one.log(), two.log()].concat().iter().all(|row| row.arrival.verdict == "ok"));
    let held: Value = serde_json::from_str(&stage.say(&["state", "show", "--format", "json"])).expect("JSON");
    assert_eq!(held, json!([]), "no word of the blocks is kept");
}
