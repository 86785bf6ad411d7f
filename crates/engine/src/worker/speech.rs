//! From tokens to what they show: whole characters only, nothing of a stop text, tool calls taken out of the text.
//! Pure and deterministic: the same tokens show the same pieces in any process.

use super::calls::CallReader;
use crate::protocol::{Likely, Piece};
use std::collections::VecDeque;

/// What opens and closes a tool call in an answer's text.
pub(crate) const OPEN: &str = "<tool_call>";
/// See [`OPEN`].
pub(crate) const CLOSE: &str = "</tool_call>";

/// The voice of one choice.
#[derive(Debug, Default)]
pub(crate) struct Speech {
    stops: Vec<String>,
    /// Whether [`OPEN`] begins a call here.
    listens: bool,
    /// Bytes of a character that is not complete.
    bytes: Vec<u8>,
    /// Text that may be the beginning of a stop text or of a call.
    held: String,
    /// Log probabilities not shown yet, each with the end of its text counted from the answer's first byte.
    likely: VecDeque<(usize, Likely)>,
    heard: usize,
    shown: usize,
    call: Option<CallReader>,
    calls: usize,
}

impl Speech {
    /// `stops`: texts that end the answer; `tools`: whether calls are to be recognised.
    pub(crate) fn new(stops: Vec<String>, tools: bool) -> Self {
        Self { stops: stops.into_iter().filter(|stop| !stop.is_empty()).collect(), listens: tools, ..Self::default() }
    }

    /// Tool calls so far.
    pub(crate) fn calls(&self) -> usize {
        self.calls
    }

    /// Takes a token's bytes, appends what is shown. `Some`: this stop text was met, nothing follows.
    pub(crate) fn hear(&mut self, bytes: &[u8], likely: Option<Likely>, out: &mut Vec<Piece>) -> Option<String> {
        self.bytes.extend_from_slice(bytes);
        self.heard += bytes.len();
        if let Some(likely) = likely {
            self.likely.push_back((self.heard, likely));
        }
        let whole = whole_characters(&self.bytes);
        let text = String::from_utf8_lossy(&self.bytes[..whole]).into_owned();
        self.bytes.drain(..whole);
        self.held.push_str(&text);
        self.speak(out)
    }

    /// The answer ends: shows what was held back, save bytes that never became a character.
    pub(crate) fn end(&mut self, out: &mut Vec<Piece>) {
        if let Some(call) = self.call.take() {
            let (text, counted) = call.broken_off(out);
            self.calls += usize::from(counted);
            self.held.insert_str(0, &text);
        }
        let rest = std::mem::take(&mut self.held);
        self.show(rest, out);
    }

    fn speak(&mut self, out: &mut Vec<Piece>) -> Option<String> {
        loop {
            if let Some(mut call) = self.call.take() {
                let text = std::mem::take(&mut self.held);
                match call.read(&text, out) {
                    None => {
                        self.call = Some(call);
                        return None;
                    }
                    Some((rest, counted)) => {
                        self.calls += usize::from(counted);
                        self.held = rest;
                        self.shown = self.heard - self.bytes.len() - self.held.len();
                        self.likely.retain(|(end, _)| *end > self.shown);
                    }
                }
            }
            if self.calls > 0 {
                // Between calls stands only white space.
                let blank = self.held.len() - self.held.trim_start().len();
                self.held.drain(..blank);
                self.shown += blank;
            }
            let Some((at, pattern)) = self.first_match() else {
                let keep = self.patterns().map(|pattern| overlap(&self.held, pattern)).max().unwrap_or(0);
                let rest = self.held.split_off(self.held.len() - keep);
                let text = std::mem::replace(&mut self.held, rest);
                self.show(text, out);
                return None;
            };
            let rest = self.held.split_off(at);
            let text = std::mem::take(&mut self.held);
            self.show(text, out);
            if let Some(stop) = pattern {
                return Some(stop);
            }
            self.held = rest[OPEN.len()..].to_owned();
            self.call = Some(CallReader::default());
        }
    }

    fn patterns(&self) -> impl Iterator<Item = &str> {
        self.stops.iter().map(String::as_str).chain(self.listens.then_some(OPEN))
    }

    /// Where the first stop text or call begins; `None` inside: it is a call.
    fn first_match(&self) -> Option<(usize, Option<String>)> {
        let stop =
            self.stops.iter().filter_map(|stop| Some((self.held.find(stop.as_str())?, stop))).min_by_key(|(at, _)| *at);
        let call = self.listens.then(|| self.held.find(OPEN)).flatten();
        match (stop, call) {
            (Some((at, _)), Some(call)) if call < at => Some((call, None)),
            (Some((at, stop)), _) => Some((at, Some(stop.clone()))),
            (None, call) => call.map(|at| (at, None)),
        }
    }

    fn show(&mut self, text: String, out: &mut Vec<Piece>) {
        self.shown += text.len();
        let mut logprobs = Vec::new();
        while self.likely.front().is_some_and(|(end, _)| *end <= self.shown) {
            logprobs.extend(self.likely.pop_front().map(|(_, likely)| likely));
        }
        if !text.is_empty() || !logprobs.is_empty() {
            out.push(Piece::Text { text, logprobs });
        }
    }
}

/// Bytes at the front of `bytes` that are whole characters, or wrong in a way that no further byte mends.
fn whole_characters(bytes: &[u8]) -> usize {
    let mut done = 0;
    loop {
        match std::str::from_utf8(&bytes[done..]) {
            Ok(_) => return bytes.len(),
            Err(error) => {
                done += error.valid_up_to();
                match error.error_len() {
                    Some(wrong) => done += wrong,
                    None => return done,
                }
            }
        }
    }
}

/// Length of the longest end of `text` that is a beginning of `pattern`, and not the whole of it.
fn overlap(text: &str, pattern: &str) -> usize {
    let most = text.len().min(pattern.len().saturating_sub(1));
    (1..=most).rev().find(|length| text.as_bytes().ends_with(&pattern.as_bytes()[..*length])).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(stops: &[&str], tools: bool, chunks: &[&[u8]]) -> (Vec<Piece>, Option<String>) {
        let mut speech = Speech::new(stops.iter().map(|stop| (*stop).to_owned()).collect(), tools);
        let mut out = Vec::new();
        for chunk in chunks {
            if let Some(stop) = speech.hear(chunk, None, &mut out) {
                return (out, Some(stop));
            }
        }
        speech.end(&mut out);
        (out, None)
    }

    fn text(pieces: &[Piece]) -> String {
        pieces.iter().map(|piece| if let Piece::Text { text, .. } = piece { text.as_str() } else { "" }).collect()
    }

    /// All pieces with neighbouring ones of a kind joined.
    fn joined(pieces: Vec<Piece>) -> Vec<Piece> {
        let mut out: Vec<Piece> = Vec::new();
        for piece in pieces {
            match (out.last_mut(), piece) {
                (Some(Piece::Text { text, .. }), Piece::Text { text: more, .. }) => text.push_str(&more),
                (Some(Piece::Arguments(text)), Piece::Arguments(more)) => text.push_str(&more),
                (_, piece) => out.push(piece),
            }
        }
        out
    }

    #[test]
    fn characters_are_never_torn() {
        let whole = "a \u{1f600} ß 漢".as_bytes();
        for size in 1..whole.len() {
            let chunks: Vec<&[u8]> = whole.chunks(size).collect();
            let (pieces, _) = run(&[], false, &chunks);
            assert_eq!(text(&pieces).as_bytes(), whole);
            assert!(!text(&pieces).contains('\u{fffd}'));
        }
        assert_eq!(text(&run(&[], false, &[b"ok \xf0\x9f"]).0), "ok ", "a character that never came is not shown");
        assert_eq!(text(&run(&[], false, &[b"a\xffb"]).0), "a\u{fffd}b");
    }

    #[test]
    fn nothing_of_a_stop_text_leaks() {
        let whole = b"one STOX two STOP three";
        for size in 1..whole.len() {
            let chunks: Vec<&[u8]> = whole.chunks(size).collect();
            let (pieces, stop) = run(&["STOP", "never"], false, &chunks);
            assert_eq!((text(&pieces).as_str(), stop.as_deref()), ("one STOX two ", Some("STOP")));
        }
        let (pieces, stop) = run(&["STOP"], false, &[b"at the end STO"]);
        assert_eq!((text(&pieces).as_str(), stop), ("at the end STO", None), "held text is shown at the end");
        assert_eq!(text(&run(&["ab", "b"], false, &[b"xab"]).0), "x", "the first to begin wins");
    }

    #[test]
    fn calls_are_taken_out_of_the_text_wherever_tokens_break() {
        let whole = "Sure.\n<tool_call>\n{\"name\": \"get\", \"arguments\": {\"city\": \"K\u{f6}ln }\"} }\n</tool_call>\n\
                     <tool_call>{\"name\":\"now\",\"arguments\":{}}</tool_call>";
        for size in 1..whole.len() {
            let chunks: Vec<&[u8]> = whole.as_bytes().chunks(size).collect();
            let (pieces, _) = run(&["x{"], true, &chunks);
            assert_eq!(
                joined(pieces),
                [
                    Piece::Text { text: "Sure.\n".to_owned(), logprobs: Vec::new() },
                    Piece::Call { name: "get".to_owned() },
                    Piece::Arguments("{\"city\": \"K\u{f6}ln }\"}".to_owned()),
                    Piece::CallEnd,
                    Piece::Call { name: "now".to_owned() },
                    Piece::Arguments("{}".to_owned()),
                    Piece::CallEnd,
                ],
                "chunks of {size}"
            );
        }
    }

    #[test]
    fn what_is_no_call_stays_text() {
        let (pieces, _) = run(&[], true, &[b"<tool_call> hm </tool_call> so"]);
        assert_eq!(text(&pieces), "<tool_call> hm </tool_call> so");
        let (pieces, _) = run(&[], false, &[b"<tool_call>{}"]);
        assert_eq!(text(&pieces), "<tool_call>{}");
        let (pieces, _) = run(&[], true, &[b"<tool_call>{\"name\":"]);
        assert_eq!(text(&pieces), "<tool_call>{\"name\":");
    }

    #[test]
    fn log_probabilities_come_with_their_words() {
        let mut speech = Speech::new(vec!["bc".to_owned()], false);
        let one = |byte: u8| Some(Likely { bytes: vec![byte], logprob: -1.0, top: Vec::new() });
        let mut out = Vec::new();
        assert_eq!(speech.hear(b"a", one(b'a'), &mut out), None);
        assert_eq!(speech.hear(b"b", one(b'b'), &mut out), None);
        assert_eq!(out.len(), 1, "`b` is held back with its log probability");
        assert_eq!(speech.hear(b"d", one(b'd'), &mut out), None);
        let Piece::Text { text, logprobs } = &out[1] else { panic!("{out:?}") };
        assert_eq!((text.as_str(), logprobs.len()), ("bd", 2));
    }
}
