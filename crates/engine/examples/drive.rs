//! The house model on standard input and output, for `bench/engine`: a line of JSON in is a request of the
//! `openai-chat` wire with an `id`, lines of JSON out are its steps (`{"id", "text"}`) and its end (`{"id", "usage"}`).
//!
//!     drive WORKER WEIGHTS

use canon::wire::{Dialect, Params, openai_chat::OpenAiChat};
use canon::{Event, Usage};
use engine::{House, HouseCommand, HouseOptions};
use serde_json::{Value, json};
use std::io::Write;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::time::Instant;
use tokio_util::task::TaskTracker;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut args = std::env::args().skip(1);
    let (Some(worker), Some(weights)) = (args.next(), args.next()) else {
        return Err("usage: drive WORKER WEIGHTS".into());
    };
    let command = HouseCommand { program: worker.into(), args: Vec::new() };
    let house = Arc::new(House::new(HouseOptions::new(weights), command));
    let tasks = TaskTracker::new();
    let (tell, mut lines) = mpsc::unbounded_channel();
    std::thread::spawn(move || std::io::stdin().lines().try_for_each(|line| tell.send(line)));
    while let Some(line) = lines.recv().await {
        let mut body: Value = serde_json::from_str(&line?)?;
        let id = body.as_object_mut().and_then(|fields| fields.shift_remove("id")).unwrap_or_default();
        let house = Arc::clone(&house);
        tasks.spawn(async move {
            if let Err(error) = answer(&house, &id, body).await {
                say(&json!({"id": id, "error": error}));
            }
        });
    }
    tasks.close();
    tasks.wait().await;
    house.shutdown().await;
    Ok(())
}

async fn answer(house: &House, id: &Value, body: Value) -> Result<(), String> {
    let request = OpenAiChat.decode_request(&Params::default(), body).map_err(|error| error.to_string())?;
    let deadline = Instant::now() + Duration::from_secs(600);
    let mut answer = house.generate(&request, deadline).map_err(|fault| fault.to_string())?;
    let mut usage = Usage::default();
    while let Some(event) = answer.next().await {
        match event.map_err(|fault| fault.to_string())? {
            Event::Delta { text, .. } => say(&json!({"id": id, "text": text})),
            Event::Usage(more) => usage.merge(&more),
            _ => {}
        }
    }
    let usage =
        json!({"prompt_tokens": usage.input, "cached_tokens": usage.cache_read, "completion_tokens": usage.output});
    say(&json!({"id": id, "usage": usage}));
    Ok(())
}

fn say(line: &Value) {
    let mut out = std::io::stdout().lock();
    // Whoever started this reads to the end; a closed pipe shows as an end without a usage line.
    let _ = writeln!(out, "{line}").and_then(|()| out.flush());
}
