//! The ids of calls where a wire allows only some letters, and none twice.

use std::collections::{HashMap, HashSet, VecDeque};

/// The ids of calls as such wires allow them: `[a-zA-Z0-9_-]+`, and no two alike in a conversation, as some engines
/// give them. The same conversation gives the same names on every turn.
#[derive(Debug, Default)]
pub(super) struct CallIds {
    /// Names given so far.
    used: HashSet<String>,
    /// Names of calls that wait for their results, by the id that the conversation has for them.
    waiting: HashMap<String, VecDeque<String>>,
}

impl CallIds {
    /// The name of a call.
    pub(super) fn call(&mut self, id: &str) -> String {
        let first = safe_id(id);
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
        self.waiting.get_mut(id).and_then(VecDeque::pop_front).unwrap_or_else(|| safe_id(id))
    }
}

fn safe_id(id: &str) -> String {
    let allowed = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
    if !id.is_empty() && id.chars().all(allowed) {
        return id.to_owned();
    }
    // FNV-1a keeps apart what the replacement makes equal.
    let hash = id
        .bytes()
        .fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3));
    let name: String = id.chars().map(|c| if allowed(c) { c } else { '_' }).collect();
    format!("{name}_{hash:016x}")
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
