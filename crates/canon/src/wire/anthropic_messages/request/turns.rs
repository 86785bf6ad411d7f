//! The rules between turns: roles alternate, every result answers a call of the turn before, nothing is blank at the
//! end. A client at home keeps its own turns; only what no provider of this wire takes is mended there too.

use super::ink::Ink;
use super::messages::plain_or_list;
use crate::Extras;
use crate::wire::anthropic_messages::block;
use crate::wire::orphans::RESULT;
use serde_json::{Value, json};
use std::collections::BTreeSet;

/// What asks a model without prefill to go on.
const GO_ON: &str = "Go on exactly where your last message ends, without repeating any of it.";
/// What stands before a conversation that the assistant opened.
const OPENING: &str = "(The conversation begins with the assistant.)";
/// What stands for a result that the history has lost.
const NO_RESULT: &str = "The result of this call is not known.";

/// One message, as far as it is written.
pub(super) struct Turn {
    /// `user`, `assistant`, or at home `system`.
    pub(super) role: &'static str,
    /// Its blocks.
    pub(super) blocks: Vec<Value>,
    /// What stands beside them.
    pub(super) extras: Extras,
}

impl Turn {
    fn user(text: &str) -> Self {
        Self { role: "user", blocks: vec![json!({"type": "text", "text": text})], extras: Extras::new() }
    }

    /// The message.
    pub(super) fn into_value(self) -> Value {
        let mut body = Extras::new();
        body.insert("role".to_owned(), self.role.into());
        body.insert("content".to_owned(), plain_or_list(self.blocks));
        body.extend(self.extras);
        Value::Object(body)
    }

    /// Ids of its calls.
    fn calls(&self) -> BTreeSet<String> {
        let blocks = self.blocks.iter().filter(|block| is(block, "tool_use"));
        blocks.filter_map(|block| block.get("id")?.as_str().map(str::to_owned)).collect()
    }
}

/// Whether `block` is of `kind`.
fn is(block: &Value, kind: &str) -> bool {
    block.get("type").and_then(Value::as_str) == Some(kind)
}

/// Names of the tools called in the history, each once.
pub(super) fn called(turns: &[Turn]) -> BTreeSet<&str> {
    let blocks = turns.iter().flat_map(|turn| &turn.blocks).filter(|block| is(block, "tool_use"));
    blocks.filter_map(|block| block.get("name")?.as_str()).collect()
}

/// Whether the model is amid a loop of calls whose assistant turn does not begin with its thinking.
pub(super) fn loop_without_thinking(turns: &[Turn]) -> bool {
    let open = turns.last().is_some_and(|turn| turn.blocks.iter().any(|block| is(block, "tool_result")));
    let last = turns.iter().rev().find(|turn| turn.role == "assistant");
    open && last.is_some_and(|turn| {
        turn.blocks.iter().any(|block| is(block, "tool_use"))
            && !turn.blocks.first().is_some_and(|block| is(block, "thinking") || is(block, "redacted_thinking"))
    })
}

/// Makes the turns what the wire takes.
pub(super) fn mend(turns: &mut Vec<Turn>, system: &mut Vec<Value>, ink: &mut Ink<'_>) {
    if !ink.pen.home {
        merge(turns);
        turns.iter_mut().enumerate().for_each(|(index, turn)| arrange(turn, index, ink));
        turns.retain(|turn| !turn.blocks.is_empty());
        merge(turns);
        pair(turns, ink);
        open(turns, system, ink);
    }
    trim_end(turns, ink);
    if ink.target.quirks.no_prefill && turns.last().is_some_and(|turn| turn.role == "assistant") {
        ink.pen.emulate(format!("messages[{}]", turns.len() - 1));
        turns.push(Turn::user(GO_ON));
    }
}

/// Neighbours of one role become one message.
fn merge(turns: &mut Vec<Turn>) {
    turns.dedup_by(|later, earlier| {
        let same = later.role == earlier.role;
        if same {
            earlier.blocks.append(&mut later.blocks);
        }
        same
    });
}

/// Results stand first, calls last; thinking alone is no message.
fn arrange(turn: &mut Turn, index: usize, ink: &mut Ink<'_>) {
    if turn.role == "user" {
        turn.blocks.sort_by_key(|block| !is(block, "tool_result"));
        return;
    }
    let first_call = turn.blocks.iter().position(|block| is(block, "tool_use"));
    if first_call.is_some_and(|at| turn.blocks.iter().skip(at).any(|block| is(block, "text"))) {
        turn.blocks.sort_by_key(|block| is(block, "tool_use"));
    }
    if turn.blocks.iter().all(|block| is(block, "thinking") || is(block, "redacted_thinking")) {
        ink.pen.drop(format!("messages[{index}]"));
        turn.blocks.clear();
    }
}

/// A call without a result gets one, a result without a call becomes words.
fn pair(turns: &mut [Turn], ink: &mut Ink<'_>) {
    let mut calls = BTreeSet::new();
    let mut index = 0;
    while let Some(turn) = turns.get_mut(index) {
        if turn.role == "assistant" {
            calls = turn.calls();
            if !calls.is_empty() && turns.get(index + 1).is_none() {
                return;
            }
            index += 1;
            continue;
        }
        for block in &mut turn.blocks {
            let answered = block.get("tool_use_id").and_then(Value::as_str);
            if is(block, "tool_result") && !answered.is_some_and(|id| calls.remove(id)) {
                ink.pen.emulate(format!("messages[{index}]"));
                *block = as_words(block);
            }
        }
        turn.blocks.sort_by_key(|block| !is(block, "tool_result"));
        for id in std::mem::take(&mut calls).iter().rev() {
            ink.pen.emulate(format!("messages[{index}]"));
            let mut body = block::typed("tool_result");
            body.insert("tool_use_id".to_owned(), id.as_str().into());
            body.insert("content".to_owned(), NO_RESULT.into());
            body.insert("is_error".to_owned(), true.into());
            turn.blocks.insert(0, Value::Object(body));
        }
        index += 1;
    }
}

fn as_words(result: &Value) -> Value {
    let words = match result.get("content") {
        Some(Value::String(text)) => text.clone(),
        Some(Value::Array(blocks)) => {
            blocks.iter().filter_map(|block| block.get("text")?.as_str()).collect::<Vec<_>>().join("\n")
        }
        _ => String::new(),
    };
    json!({"type": "text", "text": format!("{RESULT}\n{words}")})
}

/// A conversation has at least one message, and the user opens it.
fn open(turns: &mut Vec<Turn>, system: &mut Vec<Value>, ink: &mut Ink<'_>) {
    match turns.first() {
        Some(turn) if turn.role == "user" => {}
        Some(_) => {
            ink.pen.emulate("messages[0]");
            turns.insert(0, Turn::user(OPENING));
        }
        None => {
            if let Some(block) = system.pop() {
                ink.pen.emulate("messages[0]");
                turns.push(Turn { role: "user", blocks: vec![block], extras: Extras::new() });
            }
        }
    }
}

/// The words that the assistant is to go on from may not end in white space.
fn trim_end(turns: &mut [Turn], ink: &mut Ink<'_>) {
    let last = turns.len().saturating_sub(1);
    let Some(turn) = turns.last_mut().filter(|turn| turn.role == "assistant") else { return };
    let Some(Value::String(text)) = turn.blocks.last_mut().and_then(|block| block.get_mut("text")) else { return };
    let kept = text.trim_end().len();
    if kept > 0 && kept < text.len() {
        text.truncate(kept);
        ink.pen.weaken(format!("messages[{last}]"));
    }
}
