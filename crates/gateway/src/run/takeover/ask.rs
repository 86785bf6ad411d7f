//! What the model that goes on is asked: the same request, and what the client has of its answer already. Pure.

use super::told::{Kind, Telling};
use canon::Request;
use canon::request::{Message, OutputFormat, Part, Role};
use std::fmt::Write as _;

/// How the next model is asked; what a deployment is asked depends on what it takes.
#[derive(Debug, Clone)]
pub(crate) struct Continuation {
    /// With an instruction, or simply again: every deployment takes it.
    pub(crate) told: Request,
    /// With the words so far as the model's own beginning, where that says it better.
    pub(crate) prefill: Option<Request>,
}

/// What asks a model to go on.
const GO_ON: &str = "Your last message was cut off. Go on exactly where it stopped, with the very next characters \
                     (a blank, if a blank comes next). Repeat nothing, explain nothing, add no preamble. If nothing \
                     is missing, reply with <end> alone.";
/// Bytes that make a token, as estimates go.
const BYTES_PER_TOKEN: usize = 4;

/// The request that continues `request` after what was `told`.
pub(super) fn continuation(request: &Request, telling: &Telling) -> Continuation {
    let mut again = request.clone();
    again.stream = true;
    again.stream_usage = true;
    let text = telling.text();
    if telling.has_calls() {
        if let Some(note) = note(telling) {
            let after = again.messages.iter().take_while(|one| matches!(one.role, Role::System | Role::Developer));
            again.messages.insert(after.count(), Message::text(Role::System, note));
        }
        return Continuation { told: again, prefill: None };
    }
    // JSON is held to its form from its first sign on: it is said again whole and compared.
    if text.trim().is_empty() || again.output != OutputFormat::Text {
        return Continuation { told: again, prefill: None };
    }
    // It has thought already.
    again.reasoning = None;
    if let Some(most) = &mut again.sampling.max_output_tokens {
        let said = u64::try_from(text.len() / BYTES_PER_TOKEN).unwrap_or(u64::MAX);
        *most = most.saturating_sub(said).max(1);
    }
    again.messages.push(Message::new(Role::Assistant, vec![Part::text(text.trim_end())]));
    let mut told = again.clone();
    told.messages.push(Message::text(Role::User, GO_ON));
    Continuation { told, prefill: Some(again) }
}

/// What was called already, so that the next model calls the same. Without arguments there is nothing to hold it to.
fn note(telling: &Telling) -> Option<String> {
    let mut note = String::from(
        "An earlier attempt at this answer was cut off while it called tools. Make the same calls again, in the same \
         order and with the same arguments, then whatever further calls are needed; say nothing else.",
    );
    let mut any = false;
    for part in &telling.parts {
        let Kind::Call { name, .. } = &part.kind else { continue };
        if part.words.is_empty() {
            continue;
        }
        any = true;
        let whole = if part.open { "arguments that begin exactly with" } else { "the arguments" };
        // Writing into a String cannot fail.
        let _ = write!(note, "\n- `{name}` with {whole} {}", part.words);
    }
    any.then_some(note)
}
