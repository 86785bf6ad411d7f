//! What every story starts with: a folder of its own, a configuration, the running binary, its ledger, its clients.

use bytes::Bytes;
use ledger::{Attempt, Outcome, Sqlite, Store};
use serde_json::{Value, json};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tempfile::TempDir;
use testkit::grammar::{Asked, Grammar, grammar};
use testkit::process::{Answer, Client, Load, Process, Shot, Told, temp_dir};
use testkit::provider::{Provider, expected_answer};

/// The longest that anything may take to come true, on a busy machine too.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// Where chat completions are answered.
pub(crate) const CHAT: &str = "/v1/chat/completions";

/// Waits until `look` finds something.
pub(crate) async fn until<T>(what: &str, mut look: impl AsyncFnMut() -> Option<T>) -> T {
    let end = Instant::now() + PATIENCE;
    loop {
        if let Some(found) = look().await {
            return found;
        }
        assert!(Instant::now() < end, "did not come true within {PATIENCE:?}: {what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// The binary as a command that sees nothing of this machine but `folder` and the cache of weights.
pub(crate) fn autarky(folder: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_autarky"));
    command.current_dir(folder).env("HOME", folder).env("AUTARKY_CACHE", cache());
    for name in ["XDG_CONFIG_HOME", "XDG_DATA_HOME", "XDG_CACHE_HOME", "AUTARKY_LOG"] {
        command.env_remove(name);
    }
    command
}

/// The cache folder where the weights lie.
pub(crate) fn cache() -> PathBuf {
    let folder = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    folder("AUTARKY_CACHE")
        .or_else(|| folder("XDG_CACHE_HOME").map(|cache| cache.join("autarky")))
        .or_else(|| folder("HOME").map(|home| home.join(".cache/autarky")))
        .unwrap_or_default()
}

/// A running binary.
pub(crate) struct Stage {
    pub(crate) folder: TempDir,
    pub(crate) addr: SocketAddr,
    pub(crate) process: Process,
}

impl Stage {
    /// Starts the binary with `rules` as its configuration, behind a `[server]` of the stage's own.
    pub(crate) fn start(rules: &str) -> Self {
        let folder = temp_dir().expect("a folder");
        configure(folder.path(), rules);
        let (process, addr) = serve(folder.path(), &[]);
        Self { folder, addr, process }
    }

    /// Writes another configuration.
    pub(crate) fn configure(&self, rules: &str) {
        configure(self.folder.path(), rules);
    }

    /// Starts the binary again, in the same folder, on another port.
    pub(crate) fn restart(&mut self) {
        (self.process, self.addr) = serve(self.folder.path(), &[]);
    }

    /// Starts the binary again beside the running one, which it takes the place of; gives that one.
    pub(crate) fn succeed(&mut self) -> Process {
        let (process, addr) = serve(self.folder.path(), &["--take-over"]);
        assert_eq!(addr, self.addr, "it has the very same socket");
        std::mem::replace(&mut self.process, process)
    }

    /// A client of the binary.
    pub(crate) fn client(&self) -> Client {
        Client::new(self.addr)
    }

    /// Runs another command of the binary on the same configuration.
    pub(crate) fn command(&self, arguments: &[&str]) -> Output {
        autarky(self.folder.path()).args(arguments).output().expect("the binary runs")
    }

    /// The standard output of a command, whatever it says of itself at its end.
    pub(crate) fn say_whatever(&self, arguments: &[&str]) -> String {
        String::from_utf8_lossy(&self.command(arguments).stdout).into_owned()
    }

    /// The standard output of a command that must succeed.
    pub(crate) fn say(&self, arguments: &[&str]) -> String {
        let output = self.command(arguments);
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "`{}` failed: {errors}", arguments.join(" "));
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    /// The ledger, as anyone else may read it.
    pub(crate) fn ledger(&self) -> Sqlite {
        Sqlite::open_read_only(&self.folder.path().join("data/ledger.db")).expect("the ledger opens")
    }

    /// Every row, once `enough` says that they are all there; oldest first.
    pub(crate) async fn rows(&self, what: &str, enough: impl Fn(&[Attempt]) -> bool) -> Vec<Attempt> {
        let ledger = self.ledger();
        until(what, async || {
            let mut rows = ledger.list(&ledger::Filter::default()).ok()?;
            rows.reverse();
            enough(&rows).then_some(rows)
        })
        .await
    }

    /// The rows of an answer, once all of its attempts are over.
    pub(crate) async fn story(&self, answer: &Answer) -> Vec<Attempt> {
        let attempts: usize = answer.header("x-autarky-attempts").parse().expect("a number");
        self.story_of(answer, attempts).await
    }

    /// The rows of an answer that took at least so many attempts, the takeovers after its headers included.
    pub(crate) async fn story_of(&self, answer: &Answer, attempts: usize) -> Vec<Attempt> {
        let id = answer.header("x-autarky-request-id").parse().expect("a request id");
        let ledger = self.ledger();
        until("the request's rows are in the ledger", async || {
            let rows = ledger.attempts(id).ok()?;
            (rows.len() >= attempts && rows.iter().all(|row| row.outcome != Outcome::Open)).then_some(rows)
        })
        .await
    }

    /// The sum of a metric's lines that hold every one of `labels`.
    pub(crate) async fn metric(&self, name: &str, labels: &[&str]) -> f64 {
        let text = self.client().get("/metrics").await.expect("metrics").body;
        let text = String::from_utf8_lossy(&text).into_owned();
        let value = |line: &str| line.rsplit(' ').next().and_then(|number| number.parse::<f64>().ok());
        text.lines()
            .filter(|line| line.strip_prefix(name).is_some_and(|rest| rest.starts_with(['{', ' '])))
            .filter(|line| labels.iter().all(|label| line.contains(label)))
            .filter_map(value)
            .sum()
    }
}

pub(crate) fn configure(folder: &Path, rules: &str) {
    let data = folder.join("data");
    // Other tests and a debug build keep the machine so busy that it would really be overloaded.
    let text = format!("[server]\nlisten = \"127.0.0.1:0\"\ndata = {data:?}\ndrain_s = 20\nlate_ms = 0\n{rules}");
    // Written aside and moved, as editors do: nobody reads half a file.
    let aside = folder.join("autarky.toml.new");
    std::fs::write(&aside, text).and_then(|()| std::fs::rename(&aside, folder.join("autarky.toml"))).expect("written");
}

/// Starts `serve` in `folder`; its log is `folder/autarky.err`.
fn serve(folder: &Path, arguments: &[&str]) -> (Process, SocketAddr) {
    let mut command = autarky(folder);
    command.arg("serve").args(arguments);
    listening(command, folder)
}

/// Starts `command`, which tells its address first.
pub(crate) fn listening(command: Command, folder: &Path) -> (Process, SocketAddr) {
    let started = Process::start_and_listen(command, Some(&folder.join("autarky.err")));
    let (process, said) = started.expect("the binary listens");
    let addr = said.rsplit("http://").next().and_then(|addr| addr.trim().parse().ok());
    (process, addr.expect("its first line ends with its address"))
}

/// A provider row and a deployment, both called `name`, that lead to `addr`.
pub(crate) fn leg(name: &str, addr: SocketAddr, order: u32) -> String {
    format!(
        "[provider.{name}]\nbase_url = \"http://{addr}/v1\"\nauth = \"none\"\n\
         [deployment.{name}]\nprovider = \"{name}\"\nmodel = \"model-{name}\"\norder = {order}\n"
    )
}

/// A product whose clients need no key.
pub(crate) const ANONYMOUS: &str = "[product.default]\nanonymous = true\n";

/// A question that only its own answer fits.
pub(crate) fn question(number: u64) -> String {
    format!("What of nonce-{number}?")
}

/// A request with one question.
pub(crate) fn chat(model: &str, question: &str, stream: bool) -> Value {
    json!({"model": model, "stream": stream, "messages": [{"role": "user", "content": question}]})
}

/// What reads OpenAI Chat Completions.
pub(crate) fn ear() -> &'static dyn Grammar {
    grammar("openai-chat").expect("the grammar of openai-chat")
}

/// Request number `number` of a load whose answers come from scripted providers.
pub(crate) fn shot(number: u64, stream: bool) -> Shot {
    let question = question(number);
    Shot {
        path: CHAT.to_owned(),
        headers: vec![("content-type".to_owned(), "application/json".to_owned())],
        body: Bytes::from(chat("auto", &question, stream).to_string()),
        stream,
        grammar: ear(),
        expect: Some(expected_answer(&question)),
        calls: Vec::new(),
        asked: Asked { usage: Some(false), n: Some(1) },
        leave_after: None,
    }
}

/// A load of `requests` by 16 at once.
pub(crate) fn load(addr: SocketAddr, requests: u64, shot: impl Fn(u64) -> Shot + Send + Sync + 'static) -> Load {
    Load { addr, tasks: 16, requests, gap: None, limit: PATIENCE, shot: Arc::new(shot) }
}

/// The request's id, as its client was told.
pub(crate) fn id_of(told: &Told) -> Option<&str> {
    header(told, "x-autarky-request-id")
}

/// A header of an answer.
pub(crate) fn header<'a>(told: &'a Told, name: &str) -> Option<&'a str> {
    told.headers.get(name).map(String::as_str)
}

/// Waits until a scripted provider has no exchange left open.
pub(crate) async fn settled(provider: &Provider) {
    until("the provider's exchanges are over", async || (provider.open() == 0).then_some(())).await;
}

/// Whether the model inside can be tried, or a loud word that its weights are missing. Continuous integration must
/// have them.
#[cfg(feature = "house")]
#[expect(clippy::print_stderr, reason = "a test that does not run says so")]
pub(crate) fn house_is_there() -> bool {
    let weights = cache().join("weights/SmolLM2-135M-Instruct.Q4_1.gguf");
    assert!(weights.is_file() || std::env::var_os("CI").is_none(), "no weights: run `autarky house fetch`");
    if !weights.is_file() {
        eprintln!("SKIPPED: no weights; `autarky house fetch` brings them");
    }
    weights.is_file()
}
