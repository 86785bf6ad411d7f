//! Ids of this wire: each kind of item has its prefix, and OpenAI refuses an item that comes back with another one.
//! Ids that we make carry a mark, so that a later turn does not send them to a provider that never saw them.

use crate::event::Head;
use crate::wire::StreamTerms;

/// What follows the prefix in an id that we made.
const MADE: &str = "tr_";

/// Most characters of another wire's id that are kept in ours; the wire takes 64 in all.
const MOST_CORE: usize = 40;

/// Most characters of a call id.
const MOST_CALL_ID: usize = 64;

/// The answer's id as this wire spells ids.
pub(super) fn answer_id(head: &Head, terms: &StreamTerms) -> String {
    match (head.id.as_str(), terms.id.as_str()) {
        // The gateway keeps the answer, under an id of its own.
        (_, ours) if is_kept(terms) => ours.to_owned(),
        ("", ours) => format!("resp_{}", core(ours)),
        (theirs, _) if theirs.starts_with("resp_") || head.origin == Some(super::ID) => theirs.to_owned(),
        (theirs, _) => format!("resp_{}", core(theirs)),
    }
}

/// Whether the answer is kept by the gateway, under the id in `terms`.
pub(super) fn is_kept(terms: &StreamTerms) -> bool {
    terms.id.starts_with("resp_")
}

/// An item's id, made from its answer's id and its place.
pub(super) fn made(prefix: &str, answer_id: &str, place: usize) -> String {
    format!("{prefix}_{MADE}{}_{place}", core(answer_id))
}

/// Whether an item's id is one that a provider knows: the right prefix, and not made by us.
pub(super) fn is_theirs(prefix: &str, id: &str) -> bool {
    id.strip_prefix(prefix).and_then(|rest| rest.strip_prefix('_')).is_some_and(|rest| !rest.starts_with(MADE))
}

/// Whether an item's id was made by us.
pub(super) fn is_made(id: &str) -> bool {
    id.split_once('_').is_some_and(|(_, rest)| rest.starts_with(MADE))
}

/// An id without its prefix, in characters that ids may have.
fn core(id: &str) -> String {
    let rest = id.split_once(['_', '-']).map_or(id, |(_, rest)| rest);
    rest.chars().filter(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '-')).take(MOST_CORE).collect()
}

/// A call id short enough for the wire; the same id is always shortened to the same one.
pub(super) fn call_id(id: &str) -> String {
    if id.len() <= MOST_CALL_ID {
        return id.to_owned();
    }
    // FNV-1a: only told apart within one conversation, never used against an adversary.
    let hash = id.bytes().fold(0x6c62_272e_07bb_0142_62b8_2175_6295_c58d_u128, |hash, byte| {
        (hash ^ u128::from(byte)).wrapping_mul(0x0000_0000_0100_0000_0000_0000_0000_013b)
    });
    format!("call_{hash:032x}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_have_the_right_prefix_and_known_makers() {
        let terms = StreamTerms { id: "req_9".to_owned(), ..StreamTerms::default() };
        let head = |id: &str| Head { id: id.to_owned(), ..Head::default() };
        assert_eq!(answer_id(&head(""), &terms), "resp_9");
        assert_eq!(answer_id(&head("chatcmpl-a1"), &terms), "resp_a1");
        assert_eq!(answer_id(&head("resp_x"), &terms), "resp_x");
        let kept = StreamTerms { id: "resp_ours".to_owned(), ..StreamTerms::default() };
        assert_eq!(answer_id(&head("resp_x"), &kept), "resp_ours");
        let made = made("rs", "resp_x", 0);
        assert!(is_made(&made) && !is_theirs("rs", &made));
        assert!(is_theirs("rs", "rs_68af") && !is_theirs("msg", "rs_68af"));
        let long = "x".repeat(200);
        assert_eq!(call_id(&long), call_id(&long));
        assert!(call_id(&long).len() <= MOST_CALL_ID);
        assert_ne!(call_id(&long), call_id(&"x".repeat(201)));
    }
}
