//! The official clients against the binary: `tests/sdk` holds what they do, here it is started for them.

#[cfg(feature = "house")]
use crate::stage::house_is_there;
use crate::stage::{ANONYMOUS, Stage, leg};
use std::path::Path;
use std::process::Command;
use testkit::provider::{Provider, Script};

/// The interpreter for a client, or a loud word that there is none. Continuous integration must have it.
#[expect(clippy::print_stderr, reason = "a test that does not run says so")]
fn interpreter(language: &str) -> Option<String> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/sdk");
    let found = match language {
        "python" => std::env::var_os("AUTARKY_TEST_PYTHON").map(|path| path.to_string_lossy().into_owned()),
        _ => folder.join("node_modules/openai").exists().then(|| "node".to_owned()),
    };
    let runs =
        |program: &String| Command::new(program).arg("--version").output().is_ok_and(|told| told.status.success());
    let found = found.filter(runs);
    assert!(found.is_some() || std::env::var_os("CI").is_none(), "no {language} client: run `scripts/test`");
    if found.is_none() {
        eprintln!("SKIPPED: no {language} client; `scripts/test` installs it");
    }
    found
}

/// Runs the client's script against `stage`; what it told.
#[expect(clippy::print_stdout, reason = "what the client tells belongs to the test's output")]
async fn run(stage: &Stage, language: &str, model: &str, behind: &str) {
    let Some(program) = interpreter(language) else { return };
    let file = if language == "python" { "openai_chat.py" } else { "openai_chat.mjs" };
    let mut command = Command::new(program);
    command.current_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/sdk"));
    command.args([file, &format!("http://{}/v1", stage.addr), model, behind]);
    // The test's own thread serves the scripted provider meanwhile.
    let output = tokio::task::spawn_blocking(move || command.output()).await.expect("not broken").expect("it runs");
    let (said, errors) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{language} against {behind}:\n{said}{errors}");
    print!("{said}");
}

async fn scripted() -> (Provider, Stage) {
    let provider = Provider::start(Script::default()).await.expect("a provider");
    let stage = Stage::start(&format!("{}{ANONYMOUS}", leg("one", provider.addr(), 0)));
    (provider, stage)
}

#[tokio::test]
async fn the_python_client_against_a_provider() {
    let (_provider, stage) = scripted().await;
    run(&stage, "python", "one", "scripted").await;
}

#[tokio::test]
async fn the_node_client_against_a_provider() {
    let (_provider, stage) = scripted().await;
    run(&stage, "node", "one", "scripted").await;
}

#[cfg(feature = "house")]
#[tokio::test]
async fn both_clients_against_the_model_inside() {
    if !house_is_there() {
        return;
    }
    let stage = Stage::start(&format!("[deployment.house]\nengine = \"embedded\"\n{ANONYMOUS}"));
    run(&stage, "python", "house", "house").await;
    run(&stage, "node", "house", "house").await;
}
