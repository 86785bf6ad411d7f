//! A scripted provider as a process of its own, so that it can be killed: prints its address, then serves.
//! `scripted-provider [--listen ADDR] [--script FILE] [--log FILE] [--key KEY] [--bodies]`

use std::io::Write as _;
use std::process::ExitCode;
use testkit::provider::{Options, Provider};

const USAGE: &str = "usage: scripted-provider [--listen ADDR] [--script FILE] [--log FILE] [--key KEY] [--bodies]";

#[tokio::main]
async fn main() -> ExitCode {
    match run(std::env::args().skip(1)).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            let _ = writeln!(std::io::stderr(), "error: {message}");
            ExitCode::FAILURE
        }
    }
}

async fn run(arguments: impl Iterator<Item = String>) -> Result<(), String> {
    let options = options(arguments)?;
    let provider = Provider::start_with(options).await.map_err(|error| format!("cannot start: {error}"))?;
    let mut out = std::io::stdout();
    writeln!(out, "{}", provider.addr()).and_then(|()| out.flush()).map_err(|error| error.to_string())?;
    provider.run().await;
    Err("the port could not be taken back".to_owned())
}

fn options(mut arguments: impl Iterator<Item = String>) -> Result<Options, String> {
    let mut options = Options { keep_bodies: false, ..Options::default() };
    let mut key = None;
    while let Some(name) = arguments.next() {
        if name == "--bodies" {
            options.keep_bodies = true;
            continue;
        }
        let value = arguments.next().ok_or(USAGE)?;
        match name.as_str() {
            "--listen" => options.listen = value.parse().map_err(|_| format!("`{value}` is no address; {USAGE}"))?,
            "--log" => options.log = Some(value.into()),
            "--key" => key = Some(value),
            "--script" => {
                let text = std::fs::read(&value).map_err(|error| format!("cannot read `{value}`: {error}"))?;
                options.script = serde_json::from_slice(&text).map_err(|error| format!("`{value}`: {error}"))?;
            }
            _ => return Err(format!("unknown option `{name}`; {USAGE}")),
        }
    }
    options.script.key = key.or(options.script.key);
    Ok(options)
}
