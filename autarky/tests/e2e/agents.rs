//! Coding agents, as people run them: Claude Code on Messages, Codex on Responses. Each is given one task, calls its own
//! shell because the model says so, and tells how it ended, on an upstream of every wire. They are started without a
//! terminal, a home of theirs and an account; the model is scripted, everything else is the agent's own.

use crate::stage::{ANONYMOUS, PATIENCE, Stage};
use serde_json::{Value, json};
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use testkit::process::temp_dir;
use testkit::provider::{Answer, CallSpec, Last, Provider, Rule, Script, WIRES, When};

/// What the model's command leaves behind.
const PROOF: &str = "proof.txt";
/// What the model says at last.
const DONE: &str = "The file is written. nonce-agent";

/// Where an agent lies, or a loud word that it is not there. Continuous integration must have it.
#[expect(clippy::print_stderr, reason = "a test that does not run says so")]
fn agent(name: &str) -> Option<Command> {
    let path = std::env::var_os("AUTARKY_TEST_AGENTS").map(|folder| PathBuf::from(folder).join(name));
    let path = path.filter(|path| path.exists());
    assert!(path.is_some() || std::env::var_os("CI").is_none(), "no {name}: run `scripts/test`");
    if path.is_none() {
        eprintln!("SKIPPED: no {name}; `scripts/test` installs it");
    }
    let mut command = Command::new("node");
    command.arg(path?);
    Some(command)
}

/// A provider of every wire whose model calls `tool` once with `arguments` and then is done.
async fn model(tool: &str, arguments: Value) -> (Provider, Stage) {
    let call = CallSpec { name: tool.to_owned(), arguments, id: None };
    let rules = vec![
        Rule {
            when: When { last: Some(Last::Tool), ..When::default() },
            answer: Some(Answer { text: Some(DONE.to_owned()), ..Answer::default() }),
            ..Rule::default()
        },
        Rule {
            answer: Some(Answer {
                reasoning: Some("A shell will do.".to_owned()),
                preamble: Some("I write it.".to_owned()),
                calls: vec![call],
                ..Answer::default()
            }),
            ..Rule::default()
        },
    ];
    let provider = Provider::start(Script { rules, ..Script::default() }).await.expect("a provider");
    let mut config = ANONYMOUS.to_owned();
    for wire in WIRES {
        let (id, url) = (wire.id(), format!("http://{}{}", provider.addr(), wire.base()));
        write!(
            config,
            "[provider.at-{id}]\nbase_url = \"{url}\"\nauth = \"none\"\nwires = [\"{id}\"]\n\
             [deployment.{id}]\nprovider = \"at-{id}\"\nmodel = \"model-{id}\"\n"
        )
        .expect("a string takes it");
    }
    (provider, Stage::start(&config))
}

/// Runs an agent in a folder of its own, for no longer than patience allows.
async fn run(mut command: Command, home: &Path, variables: &[(&str, &str)]) -> Option<Output> {
    command.current_dir(home).env_clear().stdin(Stdio::null());
    for name in ["PATH", "LANG"] {
        if let Some(value) = std::env::var_os(name) {
            command.env(name, value);
        }
    }
    let mut command = tokio::process::Command::from(command);
    let running = command.env("HOME", home).envs(variables.iter().copied()).kill_on_drop(true).output();
    tokio::time::timeout(PATIENCE, running).await.ok().map(|output| output.expect("the agent runs"))
}

/// What must hold once an agent is done with the model behind `wire`.
fn assert_done(output: Option<&Output>, provider: &Provider, home: &Path, wire: &str) {
    let output =
        output.unwrap_or_else(|| unreachable!("{wire}: the agent does not end after {} calls", provider.log().len()));
    let (said, errors) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    let log = provider.log();
    let refused: Vec<_> = log.iter().filter(|exchange| exchange.arrival.verdict != "ok").collect();
    assert!(refused.is_empty(), "{wire}: the provider refused: {refused:?}");
    assert!(output.status.success(), "{wire}:\n{said}\n{errors}\n{log:?}");
    assert!(said.contains(DONE), "{wire}:\n{said}\n{errors}");
    let proof = std::fs::read_to_string(home.join(PROOF)).unwrap_or_default();
    assert_eq!(proof.trim(), format!("by-{wire}"), "{said}\n{errors}");
    assert!(log.len() >= 2 && log.iter().all(|exchange| exchange.arrival.wire.as_deref() == Some(wire)), "{wire}");
}

fn shell(wire: &str) -> String {
    format!("echo by-{wire} > {PROOF} && cat {PROOF}")
}

#[tokio::test]
async fn claude_code() {
    for wire in WIRES.iter().map(|wire| wire.id()) {
        let arguments = json!({"command": shell(wire), "description": "Write the proof"});
        let (provider, stage) = model("Bash", arguments).await;
        let home = temp_dir().expect("a folder");
        let Some(mut command) = agent("@anthropic-ai/claude-code/cli-wrapper.cjs") else { return };
        command.args(["-p", "Write the proof with your shell.", "--allowedTools", "Bash", "--model", wire]);
        let url = format!("http://{}", stage.addr);
        let variables = [
            ("ANTHROPIC_BASE_URL", url.as_str()),
            ("ANTHROPIC_API_KEY", "unused"),
            ("ANTHROPIC_DEFAULT_HAIKU_MODEL", wire),
            ("CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC", "1"),
            ("DISABLE_AUTOUPDATER", "1"),
        ];
        let output = run(command, home.path(), &variables).await;
        assert_done(output.as_ref(), &provider, home.path(), wire);
    }
}

#[tokio::test]
async fn codex() {
    for wire in WIRES.iter().map(|wire| wire.id()) {
        let (provider, stage) = model("exec_command", json!({"cmd": shell(wire)})).await;
        let home = temp_dir().expect("a folder");
        let config = format!(
            "model = \"{wire}\"\nmodel_provider = \"ours\"\n[model_providers.ours]\nname = \"ours\"\n\
             base_url = \"http://{}/v1\"\nenv_key = \"OUR_KEY\"\nwire_api = \"responses\"\n",
            stage.addr
        );
        std::fs::write(home.path().join("config.toml"), config).expect("written");
        let Some(mut command) = agent("@openai/codex/bin/codex.js") else { return };
        command.args(["exec", "--skip-git-repo-check", "--sandbox", "danger-full-access"]);
        command.arg("Write the proof with your shell.");
        let place = home.path().to_string_lossy().into_owned();
        let output = run(command, home.path(), &[("CODEX_HOME", &place), ("OUR_KEY", "unused")]).await;
        assert_done(output.as_ref(), &provider, home.path(), wire);
    }
}
