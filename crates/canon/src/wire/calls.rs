//! Calls on wires that allow only some letters in an id, none twice, and demand an object as arguments.

use crate::Extras;
use serde_json::{Value, json};
use std::collections::{HashMap, HashSet, VecDeque};

/// Arguments as an object; `Err`: they are none, and stand inside one, whole.
pub(super) fn input(arguments: &str) -> Result<Value, Value> {
    if arguments.trim().is_empty() {
        return Ok(Value::Object(Extras::new()));
    }
    match serde_json::from_str(arguments) {
        Ok(input @ Value::Object(_)) => Ok(input),
        Ok(_) | Err(_) => Err(json!({"arguments": arguments})),
    }
}

/// The ids of calls as such wires allow them: `[a-zA-Z0-9_-]+`, and no two alike in a conversation, as some engines
/// give them. The same conversation gives the same names on every turn.
#[derive(Debug, Default)]
pub(super) struct CallIds {
    /// Most letters of a name.
    most: Option<usize>,
    /// Names given so far.
    used: HashSet<String>,
    /// Names of calls that wait for their results, by the id that the conversation has for them.
    waiting: HashMap<String, VecDeque<String>>,
}

impl CallIds {
    /// Names of at most `most` letters, 64 or more.
    pub(super) fn at_most(most: usize) -> Self {
        Self { most: Some(most), ..Self::default() }
    }

    /// The name of a call.
    pub(super) fn call(&mut self, id: &str) -> String {
        let first = self.safe(id);
        let mut name = first.clone();
        let mut count = 1;
        while self.used.contains(&name) {
            count += 1;
            name = format!("{first}-{count}");
        }
        self.used.insert(name.clone());
        self.waiting.entry(id.to_owned()).or_default().push_back(name.clone());
        name
    }

    /// The name of the call that a result answers.
    pub(super) fn result(&mut self, id: &str) -> String {
        self.waiting.get_mut(id).and_then(VecDeque::pop_front).unwrap_or_else(|| self.safe(id))
    }

    fn safe(&self, id: &str) -> String {
        let allowed = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
        let fits = self.most.is_none_or(|most| id.len() <= most);
        if !id.is_empty() && fits && id.chars().all(allowed) {
            return id.to_owned();
        }
        // FNV-1a keeps apart what the replacement makes equal.
        let hash = id
            .bytes()
            .fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3));
        // Room for the hash, and for a number where the name comes again.
        let room = self.most.map_or(usize::MAX, |most| most.saturating_sub(24));
        let name: String = id.chars().take(room).map(|c| if allowed(c) { c } else { '_' }).collect();
        format!("{name}_{hash:016x}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_fit_the_wire_and_stay_apart() {
        let ids = ["toolu_01-A", "call:1.2", "call.1:2", "", "ä", "a b"];
        let mut names = CallIds::default();
        let calls: Vec<String> = ids.iter().map(|id| names.call(id)).collect();
        assert_eq!(calls[0], "toolu_01-A");
        assert!(calls.iter().flat_map(|name| name.chars()).all(|c| c.is_ascii_alphanumeric() || c == '_' || c == '-'));
        assert_eq!(calls.iter().collect::<HashSet<_>>().len(), ids.len());
        assert_eq!(ids.iter().map(|id| names.result(id)).collect::<Vec<_>>(), calls);
    }

    #[test]
    fn a_long_id_is_cut_and_stays_itself() {
        let mut names = CallIds::at_most(64);
        let (one, other) = (names.call(&"a".repeat(70)), names.call(&format!("{}b", "a".repeat(69))));
        assert!(one.len() <= 64 && one != other);
        assert_eq!((names.call(&"c".repeat(64)), names.result(&"a".repeat(70))), ("c".repeat(64), one));
    }

    #[test]
    fn an_id_that_comes_again_is_another_call() {
        let mut names = CallIds::default();
        assert_eq!([names.call("c"), names.call("c"), names.call("c-2")], ["c", "c-2", "c-2-2"]);
        assert_eq!([names.result("c"), names.result("c"), names.result("c-2")], ["c", "c-2", "c-2-2"]);
        assert_eq!(
            (names.call("c"), names.result("c"), names.result("gone")),
            ("c-3".into(), "c-3".into(), "gone".into())
        );
    }
}
