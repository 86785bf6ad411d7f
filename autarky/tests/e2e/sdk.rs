//! The official clients against the binary: `tests/sdk` holds what they do, here it is started for them. Each speaks to
//! a provider of every wire, and to the model inside. To add a client: its script there, a line in `scripts/`'s or
//! npm's list, a test here.

#[cfg(feature = "house")]
use crate::stage::house_is_there;
use crate::stage::{ANONYMOUS, Stage};
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use testkit::provider::{Provider, Script, WIRES};

pub(crate) fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/sdk")
}

/// The interpreter for a client, or a loud word that there is none. Continuous integration must have it.
#[expect(clippy::print_stderr, reason = "a test that does not run says so")]
pub(crate) fn interpreter(file: &str) -> Option<String> {
    let python = Path::new(file).extension().is_some_and(|extension| extension == "py");
    let found = if python {
        std::env::var_os("AUTARKY_TEST_PYTHON").map(|path| path.to_string_lossy().into_owned())
    } else {
        folder().join("node_modules/openai").exists().then(|| "node".to_owned())
    };
    let runs =
        |program: &String| Command::new(program).arg("--version").output().is_ok_and(|told| told.status.success());
    let found = found.filter(runs);
    assert!(found.is_some() || std::env::var_os("CI").is_none(), "no client for {file}: run `scripts/test`");
    if found.is_none() {
        eprintln!("SKIPPED: no client for {file}; `scripts/test` installs it");
    }
    found
}

/// Runs the client's script against `stage`; what it told.
#[expect(clippy::print_stdout, reason = "what the client tells belongs to the test's output")]
async fn run(stage: &Stage, file: &str, model: &str, behind: &str) {
    let Some(program) = interpreter(file) else { return };
    let mut command = Command::new(program);
    command.current_dir(folder()).env("PYTHONDONTWRITEBYTECODE", "1");
    command.args([file, &format!("http://{}", stage.addr), model, behind]);
    // The test's own thread serves the scripted provider meanwhile.
    let output = tokio::task::spawn_blocking(move || command.output()).await.expect("not broken").expect("it runs");
    let (said, errors) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{file} against {model}:\n{said}{errors}");
    print!("{said}");
}

/// One provider that speaks every wire, and a deployment for each, named as it.
async fn every_wire() -> (Provider, Stage) {
    let provider = Provider::start(Script::default()).await.expect("a provider");
    let mut rules = ANONYMOUS.to_owned();
    for wire in WIRES {
        let (id, url) = (wire.id(), format!("http://{}{}", provider.addr(), wire.base()));
        let row = format!("[provider.at-{id}]\nbase_url = \"{url}\"\nauth = \"none\"\nwires = [\"{id}\"]\n");
        write!(rules, "{row}[deployment.{id}]\nprovider = \"at-{id}\"\nmodel = \"model-{id}\"\n")
            .expect("a string takes it");
    }
    let url = format!("http://{}/v1", provider.addr());
    write!(rules, "[provider.at-vectors]\nbase_url = \"{url}\"\nauth = \"none\"\n").expect("a string takes it");
    rules += "[deployment.vectors]\nprovider = \"at-vectors\"\nwire = \"openai-embeddings\"\n";
    (provider, Stage::start(&rules))
}

/// `file` against a provider of every wire, then against the model inside.
async fn everywhere(file: &str) {
    let (_provider, stage) = every_wire().await;
    for wire in WIRES {
        run(&stage, file, wire.id(), "scripted").await;
    }
    #[cfg(feature = "house")]
    if house_is_there() {
        let stage = Stage::start(&format!("[deployment.house]\nengine = \"embedded\"\n{ANONYMOUS}"));
        run(&stage, file, "house", "house").await;
    }
}

#[tokio::test]
async fn openai_for_python_chat() {
    everywhere("openai_chat.py").await;
}

#[tokio::test]
async fn openai_for_node_chat() {
    everywhere("openai_chat.mjs").await;
}

#[tokio::test]
async fn openai_for_python_responses() {
    everywhere("openai_responses.py").await;
}

#[tokio::test]
async fn openai_for_python_kept_turns() {
    everywhere("openai_state.py").await;
}

#[tokio::test]
async fn openai_for_node_responses() {
    everywhere("openai_responses.mjs").await;
}

#[tokio::test]
async fn anthropic_for_python() {
    everywhere("anthropic_messages.py").await;
}

#[tokio::test]
async fn anthropic_for_node() {
    everywhere("anthropic_messages.mjs").await;
}

#[tokio::test]
async fn google_genai() {
    everywhere("google_genai.py").await;
}

#[tokio::test]
async fn aws_bedrock() {
    everywhere("bedrock_converse.py").await;
}

#[tokio::test]
async fn cohere() {
    everywhere("cohere_chat.py").await;
}

#[tokio::test]
async fn mistral() {
    everywhere("mistral_chat.py").await;
}

#[tokio::test]
async fn langchain() {
    everywhere("langchain_clients.py").await;
}

#[tokio::test]
async fn vercel_ai() {
    everywhere("vercel_ai.mjs").await;
}
