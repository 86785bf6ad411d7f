//! The admin API: an address of its own, keys of its own, and a document that is true: schemathesis asks everything that
//! the document allows, and much that it does not.

use crate::stage::{ANONYMOUS, CHAT, Stage, chat, leg, question};
use bytes::Bytes;
use serde_json::{Value, json};
use std::net::SocketAddr;
use std::process::Command;
use testkit::process::{Answer, Client};
use testkit::provider::{Provider, Script};

/// A stage with an admin API; where that listens is told in its log when it is not told elsewhere.
pub(crate) struct Office {
    pub(crate) stage: Stage,
    pub(crate) admin: SocketAddr,
}

impl Office {
    /// Starts the binary with `rules`.
    pub(crate) fn start(rules: &str) -> Self {
        let port = testkit::process::free_port().expect("a port");
        let admin = SocketAddr::from(([127, 0, 0, 1], port));
        Self { stage: Stage::start(&format!("[admin]\nlisten = \"{admin}\"\n{rules}")), admin }
    }

    /// Starts the binary again, in the same folder; both ports may be others.
    pub(crate) fn restart(&mut self) {
        self.stage.process.kill().expect("killed");
        self.stage.restart();
    }

    /// A key of the admin API, in force.
    pub(crate) async fn key(&self, arguments: &[&str]) -> String {
        let made = self.stage.say(&[&["keys", "admin", "tester", "--format", "json"], arguments].concat());
        let made: Value = serde_json::from_str(&made).expect("json");
        let key = made["secret"].as_str().expect("a secret").to_owned();
        crate::stage::until("the admin key is in force", async || {
            (self.ask("GET", "/admin/keys", &key, None).await.status == 200).then_some(())
        })
        .await;
        key
    }

    /// Asks the admin API.
    pub(crate) async fn ask(&self, method: &str, path: &str, key: &str, body: Option<Value>) -> Answer {
        let bearer = format!("Bearer {key}");
        let mut headers = Vec::new();
        if !key.is_empty() {
            headers.push(("authorization", bearer.as_str()));
        }
        if body.is_some() {
            headers.push(("content-type", "application/json"));
        }
        let body = body.map_or_else(Bytes::new, |body| Bytes::from(body.to_string()));
        let answer = Client::new(self.admin).send(method, path, &headers, body).await.expect("headers");
        answer.whole().await.expect("an answer")
    }
}

fn code(answer: &Answer) -> (u16, String) {
    (answer.status, answer.json()["error"]["code"].as_str().unwrap_or_default().to_owned())
}

#[tokio::test]
async fn the_admin_api_has_an_address_and_keys_of_its_own() {
    let provider = Provider::start(Script::default()).await.expect("a provider");
    let office = Office::start(&format!("{}[product.copilot]\n{ANONYMOUS}", leg("one", provider.addr(), 0)));
    let stage = &office.stage;
    for path in ["/admin/keys", "/admin/openapi.json", "/admin/usage"] {
        assert_eq!(stage.client().get(path).await.expect("an answer").status, 404, "{path} on the port for clients");
    }
    // As long as there is no key, this machine reads and nobody writes.
    assert_eq!(office.ask("GET", "/admin/keys", "", None).await.json(), json!({"keys": []}));
    assert_eq!(office.ask("GET", "/admin/health", "", None).await.json()["closed"], true);
    let wish = json!({"product": "copilot", "team": "blue", "models": ["one"], "networks": ["127.0.0.0/8"]});
    assert_eq!(code(&office.ask("POST", "/admin/keys", "", Some(wish.clone())).await), (401, "unauthenticated".into()));
    let key = office.key(&[]).await;
    assert_eq!(office.ask("GET", "/admin/keys", "", None).await.status, 401, "there is a key, so it is asked for");

    // A new key is good when its maker hears of it.
    let made = office.ask("POST", "/admin/keys", &key, Some(wish)).await;
    assert_eq!((made.status, made.header("cache-control")), (201, "no-store"));
    let (made, secret) = (made.json(), made.json()["secret"].as_str().expect("a secret").to_owned());
    let ask = async |secret: &str| {
        stage.client().post(CHAT, secret, &chat("one", &question(1), false)).await.expect("an answer")
    };
    let answer = ask(&secret).await;
    assert_eq!(answer.status, 200);
    let id = made["key"]["id"].as_str().expect("an id");
    let row = &stage.story(&answer).await[0];
    assert_eq!((row.key.as_deref(), row.team.as_deref()), (Some(id), Some("blue")));
    // Neither kind of key opens the other's doors.
    assert_eq!(ask(&key).await.status, 401, "a key of the admin API is no product's");
    assert_eq!(office.ask("GET", "/admin/keys", &secret, None).await.status, 401);

    let request = answer.header("x-autarky-request-id");
    let story = office.ask("GET", &format!("/admin/why/{request}"), &key, None).await.json();
    assert_eq!((&story["attempts"][0]["deployment"], &story["attempts"][0]["key"]), (&json!("one"), &json!(id)));
    let usage = office.ask("GET", "/admin/usage?by=team&product=copilot&since=1h", &key, None).await.json();
    let total = &usage["windows"][0]["totals"][0];
    assert_eq!((&total["group"], &total["ok"]), (&json!("blue"), &json!(1)), "{usage}");
    let plan = json!({"product": "copilot", "request": chat("auto", "hi", false)});
    let plan = office.ask("POST", "/admin/plan", &key, Some(plan)).await.json();
    assert_eq!((&plan["legs"][0]["deployment"], &plan["refused"]), (&json!("one"), &Value::Null), "{plan}");
    assert_eq!(provider.log().len(), 1, "a plan asks nobody");
    assert_eq!(office.ask("GET", "/admin/exposure", &key, None).await.status, 200);

    let rotated =
        office.ask("POST", &format!("/admin/keys/{id}/rotate"), &key, Some(json!({"overlap_hours": 1}))).await;
    let newer = rotated.json()["secret"].as_str().expect("a secret").to_owned();
    assert_eq!((ask(&newer).await.status, ask(&secret).await.status), (200, 200));
    let gone = office.ask("POST", &format!("/admin/keys/{id}/revoke"), &key, None).await;
    assert_eq!((gone.status, &gone.json()["good"]), (200, &json!(false)));
    assert_eq!((ask(&newer).await.status, ask(&secret).await.status), (200, 401));

    // For reading only, and what is told of wrongs.
    let viewer = office.key(&["--read-only"]).await;
    let wish = json!({"product": "copilot"});
    assert_eq!(code(&office.ask("POST", "/admin/keys", &viewer, Some(wish)).await), (403, "forbidden".into()));
    let wrong = office.ask("POST", "/admin/keys", &key, Some(json!({"product": "nobody"}))).await;
    assert!(wrong.json()["error"]["message"].as_str().is_some_and(|text| text.contains("known: copilot")), "{wrong:?}");
    assert_eq!(code(&office.ask("GET", "/admin/keys/key_none", &key, None).await), (404, "no_such_key".into()));
    assert_eq!(code(&office.ask("GET", "/admin/usage?sinc=1d", &key, None).await), (400, "invalid_request".into()));
    let method = office.ask("DELETE", "/admin/keys", &key, None).await;
    assert_eq!((code(&method), method.header("allow")), ((405, "wrong_method".into()), "GET, POST"));
    let errors = stage.process.errors();
    assert!(![key, viewer, secret, newer].iter().any(|secret| errors.contains(secret)), "a key in the log");
}

#[tokio::test]
async fn a_reload_is_checked_and_told() {
    let provider = Provider::start(Script::default()).await.expect("a provider");
    let office = Office::start(&format!("{}{ANONYMOUS}", leg("one", provider.addr(), 0)));
    let key = office.key(&[]).await;
    let before = office.ask("GET", "/admin/config/check", &key, None).await.json();
    assert_eq!((&before["good"], &before["version"]), (&json!(true), &before["running"]));
    office.stage.configure(&format!("{}[product.default]\nanonimous = true\n", leg("two", provider.addr(), 0)));
    let refused = office.ask("POST", "/admin/reload", &key, None).await;
    assert_eq!(code(&refused), (422, "configuration_refused".into()));
    let check = office.ask("GET", "/admin/config/check", &key, None).await.json();
    let problem = &check["problems"][0];
    assert!(check["good"] == false && problem["message"].to_string().contains("anonimous"), "{check}");
    assert!(problem["line"].is_u64() && check["running"] == before["running"], "{check}");
    office.stage.configure(&format!("{}{ANONYMOUS}", leg("two", provider.addr(), 0)));
    let taken = office.ask("POST", "/admin/reload", &key, None).await;
    assert_eq!(taken.status, 200, "{taken:?}");
    let models = office.stage.client().get("/v1/models").await.expect("an answer").json();
    assert!(models.to_string().contains("model-two"), "{models}");
}

#[tokio::test]
async fn drills_are_ordered_stopped_and_reported_with_the_words_of_the_command() {
    let one = Provider::start(Script::default()).await.expect("a provider");
    let two = Provider::start(Script::default()).await.expect("a provider");
    let legs = leg("one", one.addr(), 0) + &leg("two", two.addr(), 1);
    let office = Office::start(&format!("{legs}{ANONYMOUS}"));
    let (key, viewer) = (office.key(&[]).await, office.key(&["--read-only"]).await);
    let post = async |path: &str, body: Option<Value>| office.ask("POST", path, &key, body).await;
    let report = async |id: &str| office.ask("GET", &format!("/admin/drills/{id}/report"), &key, None).await;
    let chat = async |headers: &[(&str, &str)]| {
        let headers = [headers, &[("content-type", "application/json")]].concat();
        let body = Bytes::from(chat("auto", &question(1), false).to_string());
        let answer = office.stage.client().send("POST", CHAT, &headers, body).await.expect("headers");
        let answer = answer.whole().await.expect("an answer");
        assert_eq!(answer.status, 200);
        (answer.header("x-autarky-deployment").to_owned(), answer.header("x-autarky-drill").to_owned())
    };
    let order = json!({"lose": "deployment:one", "level": "L3", "window": "10m", "fault": "revoked"});

    assert_eq!(code(&report("last").await), (404, "no_such_drill".into()));
    assert_eq!(code(&post("/admin/drills/abort", None).await), (409, "drill_not_running".into()));
    let planned = post("/admin/drills/plan", Some(order.clone())).await.json();
    assert_eq!((&planned["may_begin"], &planned["drill"]["lost"]), (&json!(true), &json!(["one"])), "{planned}");
    let nothing = post("/admin/drills/plan", Some(json!({"lose": "maker:nobody"}))).await.json();
    assert!(nothing["why_not"].to_string().contains("nothing here rests on"), "{nothing}");
    let refused = office.ask("POST", "/admin/drills", &viewer, Some(order.clone())).await;
    assert_eq!(code(&refused), (403, "forbidden".into()));

    let begun = post("/admin/drills", Some(order.clone())).await;
    let record = begun.json();
    let id = record["drill"]["id"].as_str().expect("an id").to_owned();
    assert_eq!((begun.status, &record["state"]), (201, &json!("running")), "{record}");
    for _ in 0..3 {
        assert_eq!(chat(&[]).await, ("two".to_owned(), id.clone()));
    }
    assert_eq!(code(&post("/admin/drills", Some(order)).await), (409, "drill_running".into()));
    assert_eq!(code(&report(&id).await), (409, "drill_not_over".into()));
    let aborted = post("/admin/drills/abort", None).await.json();
    assert_eq!((&aborted["state"], &aborted["counts"]["served"]), (&json!("aborted"), &json!(3)), "{aborted}");
    assert_eq!(chat(&[]).await, ("one".to_owned(), String::new()), "at once");
    let told = report("last").await.json();
    let live = &told["record"]["report"]["live"];
    assert_eq!((&live["total"]["served"], &live["agrees"]), (&json!(3), &json!(true)), "{told:#}");

    // A replay: who orders it sends what it is to see.
    let mut order = json!({"lose": "deployment:one", "level": "L1"});
    assert_eq!(code(&post("/admin/drills", Some(order.clone())).await), (422, "no_such_drill_possible".into()));
    order["spend"] = json!(1);
    let begun = post("/admin/drills", Some(order)).await.json();
    let replay = begun["drill"]["id"].as_str().expect("an id").to_owned();
    assert_eq!(chat(&[]).await.0, "one", "nobody else is part of it");
    assert_eq!(chat(&[("x-autarky-drill", &replay)]).await, ("two".to_owned(), replay.clone()));
    let done = post(&format!("/admin/drills/{replay}/done"), None).await.json();
    assert_eq!((&done["state"], &done["counts"]["offered"]), (&json!("ended"), &json!(1)), "{done}");
    assert_eq!(code(&post(&format!("/admin/drills/{replay}/done"), None).await), (409, "drill_not_running".into()));
    assert_eq!(report(&replay).await.json()["record"]["report"]["live"]["total"]["served"], 1);

    let list = office.ask("GET", "/admin/drills", &viewer, None).await.json();
    let said: Value = serde_json::from_str(&office.stage.say(&["drill", "list", "--format", "json"])).expect("json");
    assert_eq!((list["drills"].as_array().map(Vec::len), &list["drills"]), (Some(2), &said));
    let faults = office.ask("GET", "/admin/drills/faults", &viewer, None).await.json();
    assert_eq!(faults["faults"][0]["name"], "refused");
}

/// The operations that may end the key that they are asked with.
const ENDING: [&str; 2] = ["revoke_key", "rotate_key"];

/// Everything that schemathesis looks at but one thing: what is well-formed may still name a product that there is not.
const CHECKS: [&str; 4] = ["--checks", "all", "--exclude-checks", "positive_data_acceptance"];

#[tokio::test]
async fn schemathesis_finds_nothing() {
    let Some(python) = std::env::var_os("AUTARKY_TEST_PYTHON") else {
        assert!(std::env::var_os("CI").is_none(), "no schemathesis: run `scripts/test`");
        eprintln!("SKIPPED: no schemathesis; `scripts/test` installs it");
        return;
    };
    let provider = Provider::start(Script::default()).await.expect("a provider");
    // One of a maker that the document's examples name.
    let legs = leg("one", provider.addr(), 0) + "maker = \"openai\"\n" + &leg("two", provider.addr(), 1);
    let office = Office::start(&format!("{legs}[product.copilot]\n{ANONYMOUS}"));
    let key = office.key(&[]).await;
    let folder = office.stage.folder.path().to_owned();
    let arguments = [
        "-m".to_owned(),
        "schemathesis.cli".to_owned(),
        "run".to_owned(),
        format!("http://{}/admin/openapi.json", office.admin),
        format!("--header=Authorization: Bearer {key}"),
        "--max-examples=30".to_owned(),
        "--seed=1".to_owned(),
        "--no-color".to_owned(),
    ];
    // What ends keys comes last: it ends the one that it asks with.
    for (which, whole) in [("--exclude-operation-id", true), ("--include-operation-id", false)] {
        let mut command = Command::new(&python);
        command.current_dir(&folder).env("PYTHONDONTWRITEBYTECODE", "1").args(&arguments).args(CHECKS);
        command.args(ENDING.iter().flat_map(|name| [which, *name]));
        let output = tokio::task::spawn_blocking(move || command.output()).await.expect("not broken").expect("it runs");
        let (said, errors) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        let log = office.stage.process.errors();
        assert!(output.status.success() && said.contains("generated"), "{said}{errors}");
        assert!(!whole || !said.contains("Authentication failed"), "nobody came in: {said}");
        assert!(!log.contains("panicked") && !log.contains("an operation of the admin API broke"), "{log}");
        println!("{}", said.lines().find(|line| line.contains("generated,")).unwrap_or_default());
    }
}
