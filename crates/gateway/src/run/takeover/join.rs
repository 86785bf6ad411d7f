//! Joining words to words: a second model's beginning to what the client already has of the first one's. Pure.
//!
//! The seam rule. A model that *starts over* repeats what was said from its first word; all of that is dropped. A model
//! that goes on may repeat the last words; a repetition is dropped when it is one beyond doubt: several words of
//! letters, or one last word that would otherwise be glued to itself. Anything else is taken as what comes next.

/// From here on an agreement with the beginning is no accident.
const SAME: usize = 24;
/// How far back a repetition may begin, in bytes.
const WINDOW: usize = 600;

/// What a model says that was told to go on and has nothing to add.
const END: &str = "<end>";

/// How the second model was asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Way {
    /// It has the words as its own beginning: it repeats nothing, or says it all again.
    Prefill,
    /// It was told to go on.
    Instruct,
    /// It was asked the same question again: it says it all again, or nothing fits.
    Anew,
}

/// What the join came to.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Joined {
    /// Not known yet.
    Wait,
    /// From here on words pass: these first.
    Go(String),
    /// It began like what was said, and then said something else.
    Parts,
}

/// One seam.
#[derive(Debug)]
pub(super) struct Joiner {
    /// What the client has, all of it.
    sent: String,
    /// What the second model has said and is not passed on yet.
    held: String,
    way: Way,
}

impl Joiner {
    pub(super) fn new(sent: String, way: Way) -> Self {
        Self { sent, held: String::new(), way }
    }

    /// The second model says `more`.
    pub(super) fn more(&mut self, more: &str) -> Joined {
        self.held.push_str(more);
        self.judge(false)
    }

    /// It says no more.
    pub(super) fn end(&mut self) -> Joined {
        self.judge(true)
    }

    /// Everything it has said so far.
    pub(super) fn into_held(self) -> String {
        self.held
    }

    fn judge(&mut self, over: bool) -> Joined {
        if self.sent.is_empty() {
            return Joined::Go(std::mem::take(&mut self.held));
        }
        if self.way == Way::Instruct && END.starts_with(self.held.trim()) {
            match (over, self.held.trim()) {
                (false, _) => return Joined::Wait,
                (true, END) => return Joined::Go(String::new()),
                (true, _) => {}
            }
        }
        let same = agreement(&self.sent, &self.held);
        if same == self.sent.len() && self.is_beginning() {
            return Joined::Go(self.held.split_off(same));
        }
        if same == self.held.len() && same < self.sent.len() && !over {
            return Joined::Wait;
        }
        if self.way == Way::Anew {
            // It ended, or said something else, before it came to where the first one was.
            return Joined::Parts;
        }
        if same >= SAME {
            return Joined::Parts;
        }
        match self.overlap(over) {
            None => Joined::Wait,
            Some(0) => Joined::Go(self.spaced()),
            Some(length) => Joined::Go(self.held.split_off(length)),
        }
    }

    /// Whether saying all of `sent` again is starting over, and no accident.
    fn is_beginning(&self) -> bool {
        match self.way {
            Way::Prefill => self.sent.len() >= SAME,
            Way::Instruct => self.sent.chars().filter(|c| c.is_alphabetic()).count() >= 2,
            Way::Anew => true,
        }
    }

    /// How much of the beginning of `held` repeats the end of `sent`; `None`: it may become more.
    fn overlap(&self, over: bool) -> Option<usize> {
        let tail = tail(&self.sent);
        for (at, _) in tail.char_indices() {
            let repeated = &tail[at..];
            if repeated.len() > self.held.len() {
                let grows = !over && repeated.starts_with(&self.held) && self.counts(at, repeated);
                if grows {
                    return None;
                }
            } else if self.held.starts_with(repeated) && self.counts(at, repeated) {
                return Some(repeated.len());
            }
        }
        Some(0)
    }

    /// Whether repeating the tail from `at` on, `repeated`, is no accident.
    fn counts(&self, at: usize, repeated: &str) -> bool {
        let before = tail(&self.sent)[..at].chars().next_back();
        let first = repeated.chars().next();
        let at_word = before.is_none_or(|c| !c.is_alphanumeric()) || first.is_some_and(|c| !c.is_alphanumeric());
        if !at_word {
            return false;
        }
        let letters = repeated.chars().filter(|c| c.is_alphabetic()).count();
        let words = repeated.split_whitespace().count();
        match self.way {
            Way::Prefill => words >= 4 && letters >= SAME,
            Way::Instruct | Way::Anew => {
                let several = (words >= 2 && letters >= 4) || letters >= 12;
                let glued = letters >= 2 && repeated.chars().all(char::is_alphabetic);
                several || glued
            }
        }
    }

    /// What goes on, without the blanks that the client has already: it was asked to go on from the last word.
    fn spaced(&mut self) -> String {
        let words = self.sent.trim_end();
        let mut blanks = self.sent[words.len()..].chars();
        let held = std::mem::take(&mut self.held);
        let rest = held.trim_start_matches(|c: char| c.is_whitespace() && blanks.next() == Some(c));
        rest.to_owned()
    }
}

/// How many bytes two texts have in common at their beginning.
fn agreement(a: &str, b: &str) -> usize {
    let pairs = a.char_indices().zip(b.chars());
    pairs.take_while(|((_, a), b)| a == b).last().map_or(0, |((at, c), _)| at + c.len_utf8())
}

/// The last [`WINDOW`] bytes, from a character on.
fn tail(text: &str) -> &str {
    let mut from = text.len().saturating_sub(WINDOW);
    while !text.is_char_boundary(from) {
        from += 1;
    }
    &text[from..]
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Feeds `said` in pieces of `size` characters; `None`: the two part.
    fn join(sent: &str, said: &str, way: Way, size: usize) -> Option<String> {
        let mut joiner = Some(Joiner::new(sent.to_owned(), way));
        let mut out = String::new();
        let chars: Vec<char> = said.chars().collect();
        for piece in chars.chunks(size.max(1)) {
            let piece: String = piece.iter().collect();
            match &mut joiner {
                None => out.push_str(&piece),
                Some(open) => match open.more(&piece) {
                    Joined::Wait => {}
                    Joined::Go(words) => {
                        out.push_str(&words);
                        joiner = None;
                    }
                    Joined::Parts => return None,
                },
            }
        }
        match joiner.map(|mut open| open.end()) {
            None => {}
            Some(Joined::Go(words)) => out.push_str(&words),
            Some(Joined::Wait | Joined::Parts) => return None,
        }
        Some(format!("{sent}{out}"))
    }

    #[test]
    fn what_goes_on_goes_on() {
        let sent = "It is a big amber";
        for size in 1..12 {
            let is = |said: &str, whole: &str| {
                assert_eq!(join(sent, said, Way::Instruct, size).as_deref(), Some(whole), "{said:?} by {size}");
            };
            is(" stone.", "It is a big amber stone.");
            is(sent, sent);
            is("It is a big amber stone.", "It is a big amber stone.");
            is("a big amber stone.", "It is a big amber stone.");
            is(" big amber stone.", "It is a big amber stone.");
            is("amber stone.", "It is a big amber stone.");
            is("ish.", "It is a big amberish.");
            is("<end>", sent);
            is("<b>", "It is a big amber<b>");
            // Twice the same word is what the model says.
            is(" amber.", "It is a big amber amber.");
        }
    }

    #[test]
    fn numbers_are_never_taken_for_a_repetition() {
        assert_eq!(join("[0, 0, 0,", " 0, 0]", Way::Instruct, 3).as_deref(), Some("[0, 0, 0, 0, 0]"));
        assert_eq!(join("x = 1", "1.5", Way::Instruct, 1).as_deref(), Some("x = 11.5"));
    }

    #[test]
    fn blanks_at_the_seam_are_not_doubled() {
        assert_eq!(join("one two ", " three", Way::Prefill, 2).as_deref(), Some("one two three"));
        assert_eq!(join("one\n", "\n\ntwo", Way::Instruct, 2).as_deref(), Some("one\n\ntwo"));
        assert_eq!(join("one\n", "two", Way::Instruct, 2).as_deref(), Some("one\ntwo"));
    }

    #[test]
    fn who_begins_alike_and_then_says_something_else_is_not_joined() {
        let sent = "The capital of France is Paris, which lies";
        assert_eq!(join(sent, "The capital of France is Rome.", Way::Instruct, 4), None);
        assert_eq!(join(sent, "Something else entirely.", Way::Anew, 4), None);
    }

    proptest! {
        /// Wherever it breaks, in whatever pieces: who goes on, or starts over, ends with the whole.
        #[test]
        fn the_whole_is_whole(words in proptest::collection::vec("[a-zéß東]{1,7}", 3..30), cut in 1_usize..400, size in 1_usize..9) {
            // No word twice: what repeats itself cannot be told from a repetition.
            let mut words = words;
            words.sort();
            words.dedup();
            let whole = words.join(" ");
            let mut cut = cut % whole.len();
            while !whole.is_char_boundary(cut) {
                cut -= 1;
            }
            let (sent, rest) = whole.split_at(cut);
            for way in [Way::Prefill, Way::Instruct, Way::Anew] {
                if !Joiner::new(sent.to_owned(), way).is_beginning() && !sent.is_empty() {
                    continue;
                }
                prop_assert_eq!(join(sent, &whole, way, size), Some(whole.clone()), "starts over, {:?}", way);
            }
            prop_assert_eq!(join(sent, rest, Way::Prefill, size), Some(whole.clone()), "goes on");
        }

        /// No text makes it panic, and what it passes on is always the end of what was said.
        #[test]
        fn anything_is_taken(sent in ".{0,40}", said in ".{0,80}", size in 1_usize..9) {
            for way in [Way::Prefill, Way::Instruct, Way::Anew] {
                if let Some(whole) = join(&sent, &said, way, size) {
                    prop_assert!(whole.starts_with(&sent) && said.ends_with(&whole[sent.len()..]));
                }
            }
        }
    }
}
