//! Many clients of every dialect at once, and the upstream processes they are answered by: what storms, hedging and the
//! books are tried with. Every question carries a nonce of its own, and only its own answer fits it.

use crate::speak::{Wanted, speak};
use crate::stage::{PATIENCE, Stage, question};
use canon::wire::DIALECTS;
use ledger::Attempt;
use serde_json::json;
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use testkit::grammar::{Asked, grammar};
use testkit::process::{Load, ProviderProcess, Shot};
use testkit::provider::{Answer, Record, Rule, Script, WIRES, expected_answer, proof_of, read_log};

/// How many requests a story sends: so many in every run, and as many as `AUTARKY_TEST_LOAD` says in its long form.
pub(crate) fn requests(usual: u64) -> u64 {
    let said = std::env::var_os("AUTARKY_TEST_LOAD").and_then(|text| text.to_str()?.parse().ok());
    said.unwrap_or(usual)
}

/// The dialects that clients converse in.
pub(crate) fn dialects() -> Vec<&'static str> {
    DIALECTS.iter().map(|dialect| dialect.id().name()).filter(|name| grammar(name).is_some()).collect()
}

/// Question number `number` to `model`: the dialects in turn, whole and streamed in turn, every fourth with two calls as
/// its answer.
pub(crate) fn shot(number: u64, model: &str) -> Shot {
    let dialects = dialects();
    let count = dialects.len() as u64;
    let dialect = dialects[usize::try_from(number % count).expect("few")];
    let stream = (number / count).is_multiple_of(2);
    let wanted = if number / count / 2 % 4 == 3 { Wanted::Calls } else { Wanted::Words };
    asked(dialect, model, &question(number), stream, wanted)
}

/// One question, and what must be heard.
pub(crate) fn asked(dialect: &str, model: &str, question: &str, stream: bool, wanted: Wanted) -> Shot {
    let (path, body) = speak(dialect, model, question, stream, wanted);
    let proof = proof_of(question);
    let (expect, calls) = match wanted {
        Wanted::Calls => {
            let calls = [("weather", json!({"city": proof})), ("clock", json!({"zone": proof}))];
            (String::new(), calls.map(|(name, arguments)| (name.to_owned(), arguments)).to_vec())
        }
        _ => (expected_answer(question), Vec::new()),
    };
    Shot {
        path,
        headers: vec![("content-type".to_owned(), "application/json".to_owned())],
        body: body.to_string().into(),
        stream,
        grammar: grammar(dialect).expect("a grammar"),
        expect: Some(expect),
        calls,
        asked: Asked { usage: None, n: Some(1) },
        leave_after: None,
    }
}

/// A load of such questions by so many clients at once.
pub(crate) fn load(
    stage: &Stage,
    requests: u64,
    tasks: usize,
    shot: impl Fn(u64) -> Shot + Send + Sync + 'static,
) -> Load {
    Load { addr: stage.addr, tasks, requests, gap: None, limit: PATIENCE, shot: Arc::new(shot) }
}

/// The answer that every upstream gives: calls where tools are offered, words elsewhere.
pub(crate) fn answers() -> Rule {
    Rule { answer: Some(Answer { call_tools: Some(2), ..Answer::default() }), ..Rule::default() }
}

/// An upstream in a process of its own, which may be killed and started again.
pub(crate) struct Upstream {
    pub(crate) name: String,
    pub(crate) addr: SocketAddr,
    script: Script,
    process: Option<ProviderProcess>,
    logs: Vec<std::path::PathBuf>,
}

impl Upstream {
    pub(crate) fn start(folder: &Path, name: &str, script: Script) -> Self {
        let process = ProviderProcess::start(folder, name, 0, &script).expect("an upstream");
        let (addr, logs) = (process.addr, vec![process.log.clone()]);
        Self { name: name.to_owned(), addr, script, process: Some(process), logs }
    }

    /// kill -9.
    pub(crate) fn kill(&mut self) {
        if let Some(mut process) = self.process.take() {
            process.process.kill().expect("killed");
        }
    }

    /// Starts it again, on its port, with a log of its own.
    pub(crate) fn restart(&mut self, folder: &Path) {
        let name = format!("{}-{}", self.name, self.logs.len());
        let process = ProviderProcess::start(folder, &name, self.addr.port(), &self.script).expect("an upstream");
        self.logs.push(process.log.clone());
        self.process = Some(process);
    }

    /// Closes its port and resets its connections for `length`.
    pub(crate) async fn outage(&self, length: Duration) {
        let path = format!("/__outage?ms={}", length.as_millis());
        let mut client = testkit::process::Client::new(self.addr);
        let told = client.send("PUT", &path, &[], bytes::Bytes::new()).await;
        assert!(told.is_ok_and(|answer| answer.status == 200), "`{}` takes its orders", self.name);
    }

    /// Every request that arrived, over all of its lives.
    pub(crate) fn log(&self) -> Vec<Record> {
        self.logs.iter().flat_map(|log| read_log(log).expect("its log")).collect()
    }

    /// A provider row and a deployment that speak `wire` with it.
    pub(crate) fn leg(&self, wire: &str) -> String {
        let base = WIRES.iter().find(|one| one.id() == wire).expect("a wire").base();
        let (name, addr) = (&self.name, self.addr);
        format!(
            "[provider.{name}]\nbase_url = \"http://{addr}{base}\"\nauth = \"none\"\nwires = [\"{wire}\"]\n\
             [deployment.{name}]\nprovider = \"{name}\"\nmodel = \"model-{name}\"\n\
             price = {{ input = 1, output = 2 }}\n"
        )
    }
}

/// Waits until every exchange that arrived is over in the upstreams' own logs, and gives these.
pub(crate) async fn settled(upstreams: &[Upstream]) -> Vec<Record> {
    let over = |upstream: &Upstream| {
        let living = upstream.logs.last().filter(|_| upstream.process.is_some());
        living.is_none_or(|log| read_log(log).expect("its log").iter().all(|row| row.end.end_us.is_some()))
    };
    crate::stage::until("the upstreams' exchanges are over", async || upstreams.iter().all(over).then_some(())).await;
    upstreams.iter().flat_map(Upstream::log).collect()
}

/// The ledger's rows, once every call of `log` has one and all have their last word.
pub(crate) async fn rows(stage: &Stage, log: impl Iterator<Item = &Record> + Clone) -> Vec<Attempt> {
    let all = |rows: &[Attempt]| {
        let known = by_call(rows);
        rows.iter().all(|row| row.outcome.is_final()) && log.clone().all(|record| known.contains_key(call_id(record)))
    };
    stage.rows("every call is in the ledger", all).await
}

/// The id that a record and a row have in common.
pub(crate) fn call_id(record: &Record) -> &str {
    record.arrival.headers.get("x-client-request-id").map_or("", String::as_str)
}

/// Rows by that id.
pub(crate) fn by_call(rows: &[Attempt]) -> BTreeMap<String, &Attempt> {
    rows.iter().map(|row| (format!("{}-{}", row.request_id, row.attempt), row)).collect()
}
