//! The rules between turns, for wires with blocks: roles alternate, every result answers a call of the turn before,
//! nothing is blank at the end. A client at home keeps its own turns; only what no provider takes is mended there too.

use super::orphans::RESULT;
use super::writer::Writer;
use crate::Extras;
use serde_json::Value;
use std::collections::BTreeSet;

/// What asks a model without prefill to go on.
const GO_ON: &str = "Go on exactly where your last message ends, without repeating any of it.";
/// What stands before a conversation that the assistant opened.
const OPENING: &str = "(The conversation begins with the assistant.)";
/// What stands for a result that the history has lost.
const NO_RESULT: &str = "The result of this call is not known.";

/// What a block is, as far as the rules go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// Words.
    Text,
    /// Thinking, with its words or without.
    Thinking,
    /// A call.
    Call,
    /// The result of a call.
    Result,
    /// Anything else.
    Other,
}

/// How a wire writes its blocks.
pub(super) trait Blocks {
    /// What `block` is.
    fn kind(block: &Value) -> Kind;
    /// The id of a call, or that of the call which a result answers.
    fn id(block: &Value) -> Option<&str>;
    /// The tool that a call names.
    fn name(block: &Value) -> Option<&str>;
    /// Words.
    fn text(words: &str) -> Value;
    /// The result of the call `id`, which failed with `words`.
    fn failure(id: &str, words: &str) -> Value;
    /// The words of a result.
    fn words(result: &Value) -> String;
}

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
    fn user<B: Blocks>(text: &str) -> Self {
        Self { role: "user", blocks: vec![B::text(text)], extras: Extras::new() }
    }

    /// Ids of its calls.
    fn calls<B: Blocks>(&self) -> BTreeSet<String> {
        let calls = self.blocks.iter().filter(|block| is::<B>(block, Kind::Call));
        calls.filter_map(|block| B::id(block).map(str::to_owned)).collect()
    }
}

fn is<B: Blocks>(block: &Value, kind: Kind) -> bool {
    B::kind(block) == kind
}

/// Names of the tools called in the history, each once.
pub(super) fn called<B: Blocks>(turns: &[Turn]) -> BTreeSet<&str> {
    let blocks = turns.iter().flat_map(|turn| &turn.blocks).filter(|block| is::<B>(block, Kind::Call));
    blocks.filter_map(B::name).collect()
}

/// Whether the model is amid a loop of calls whose assistant turn does not begin with its thinking.
pub(super) fn loop_without_thinking<B: Blocks>(turns: &[Turn]) -> bool {
    let open = turns.last().is_some_and(|turn| turn.blocks.iter().any(|block| is::<B>(block, Kind::Result)));
    let last = turns.iter().rev().find(|turn| turn.role == "assistant");
    open && last.is_some_and(|turn| {
        turn.blocks.iter().any(|block| is::<B>(block, Kind::Call))
            && !turn.blocks.first().is_some_and(|block| is::<B>(block, Kind::Thinking))
    })
}

/// Makes the turns what the wire takes.
pub(super) fn mend<B: Blocks>(turns: &mut Vec<Turn>, system: &mut Vec<Value>, no_prefill: bool, pen: &mut Writer) {
    if !pen.home {
        merge(turns);
        turns.iter_mut().enumerate().for_each(|(index, turn)| arrange::<B>(turn, index, pen));
        turns.retain(|turn| !turn.blocks.is_empty());
        merge(turns);
        pair::<B>(turns, pen);
        open::<B>(turns, system, pen);
    }
    trim_end(turns, pen);
    if no_prefill && turns.last().is_some_and(|turn| turn.role == "assistant") {
        pen.emulate(format!("messages[{}]", turns.len() - 1));
        turns.push(Turn::user::<B>(GO_ON));
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
fn arrange<B: Blocks>(turn: &mut Turn, index: usize, pen: &mut Writer) {
    if turn.role == "user" {
        turn.blocks.sort_by_key(|block| !is::<B>(block, Kind::Result));
        return;
    }
    let first_call = turn.blocks.iter().position(|block| is::<B>(block, Kind::Call));
    if first_call.is_some_and(|at| turn.blocks.iter().skip(at).any(|block| is::<B>(block, Kind::Text))) {
        turn.blocks.sort_by_key(|block| is::<B>(block, Kind::Call));
    }
    if turn.blocks.iter().all(|block| is::<B>(block, Kind::Thinking)) {
        pen.drop(format!("messages[{index}]"));
        turn.blocks.clear();
    }
}

/// A call without a result gets one, a result without a call becomes words.
fn pair<B: Blocks>(turns: &mut [Turn], pen: &mut Writer) {
    let mut calls = BTreeSet::new();
    let mut index = 0;
    while let Some(turn) = turns.get_mut(index) {
        if turn.role == "assistant" {
            calls = turn.calls::<B>();
            if !calls.is_empty() && turns.get(index + 1).is_none() {
                return;
            }
            index += 1;
            continue;
        }
        for block in &mut turn.blocks {
            if is::<B>(block, Kind::Result) && !B::id(block).is_some_and(|id| calls.remove(id)) {
                pen.emulate(format!("messages[{index}]"));
                *block = B::text(&format!("{RESULT}\n{}", B::words(block)));
            }
        }
        turn.blocks.sort_by_key(|block| !is::<B>(block, Kind::Result));
        for id in std::mem::take(&mut calls).iter().rev() {
            pen.emulate(format!("messages[{index}]"));
            turn.blocks.insert(0, B::failure(id, NO_RESULT));
        }
        index += 1;
    }
}

/// A conversation has at least one message, and the user opens it.
fn open<B: Blocks>(turns: &mut Vec<Turn>, system: &mut Vec<Value>, pen: &mut Writer) {
    match turns.first() {
        Some(turn) if turn.role == "user" => {}
        Some(_) => {
            pen.emulate("messages[0]");
            turns.insert(0, Turn::user::<B>(OPENING));
        }
        None => {
            if let Some(at) = system.iter().rposition(|block| is::<B>(block, Kind::Text)) {
                pen.emulate("messages[0]");
                turns.push(Turn { role: "user", blocks: vec![system.remove(at)], extras: Extras::new() });
            }
        }
    }
}

/// The words that the assistant is to go on from may not end in white space.
fn trim_end(turns: &mut [Turn], pen: &mut Writer) {
    let last = turns.len().saturating_sub(1);
    let Some(turn) = turns.last_mut().filter(|turn| turn.role == "assistant") else { return };
    let Some(Value::String(text)) = turn.blocks.last_mut().and_then(|block| block.get_mut("text")) else { return };
    let kept = text.trim_end().len();
    if kept > 0 && kept < text.len() {
        text.truncate(kept);
        pen.weaken(format!("messages[{last}]"));
    }
}
