//! Reading one tool call out of an answer as it is written: `{"name": …, "arguments": …}` up to the closing tag.

use super::speech::{CLOSE, OPEN};
use crate::protocol::Piece;
use serde_json::Value;

/// Where the reader is.
#[derive(Debug, Default, PartialEq)]
enum Stage {
    /// Before the arguments.
    #[default]
    Head,
    /// Inside the arguments.
    Arguments,
    /// After them, before the closing tag.
    Tail,
}

/// Reads one call.
#[derive(Debug, Default)]
pub(crate) struct CallReader {
    stage: Stage,
    /// Everything since the opening tag that is not shown.
    raw: String,
    /// Arguments not shown yet: white space that may be the last.
    blank: String,
    depth: u32,
    in_string: bool,
    escaped: bool,
}

impl CallReader {
    /// Takes `text`. `Some`: the call ended; what follows it, and whether it was a call at all (else its text is shown).
    pub(crate) fn read(&mut self, text: &str, out: &mut Vec<Piece>) -> Option<(String, bool)> {
        let mut shown = String::new();
        let mut ended = None;
        for (at, sign) in text.char_indices() {
            match self.stage {
                Stage::Head => self.head(sign, out),
                Stage::Arguments => self.argument(sign, &mut shown),
                Stage::Tail => self.raw.push(sign),
            }
            if self.stage != Stage::Arguments && self.raw.ends_with(CLOSE) {
                ended = Some(at + sign.len_utf8());
                break;
            }
        }
        if !shown.is_empty() {
            out.push(Piece::Arguments(shown));
        }
        let rest = text[ended?..].to_owned();
        if self.stage == Stage::Tail {
            out.push(Piece::CallEnd);
            return Some((rest, true));
        }
        Some(self.bare(rest, out))
    }

    /// The answer ended inside the call: its text where nothing was shown, and whether it was a call.
    pub(crate) fn broken_off(self, out: &mut Vec<Piece>) -> (String, bool) {
        if self.stage == Stage::Head {
            return (format!("{OPEN}{}", self.raw), false);
        }
        out.push(Piece::CallEnd);
        (String::new(), true)
    }

    fn head(&mut self, sign: char, out: &mut Vec<Piece>) {
        let begins = !sign.is_whitespace() && after_arguments_key(&self.raw);
        if !begins {
            self.raw.push(sign);
            return;
        }
        // The head up to here, completed, is a JSON object with the name in it.
        let name = serde_json::from_str::<Value>(&format!("{}null}}", self.raw)).ok().and_then(|head| name_of(&head));
        let Some(name) = name else {
            self.raw.push(sign);
            return;
        };
        out.push(Piece::Call { name });
        self.stage = Stage::Arguments;
        self.raw.clear();
        let mut first = String::new();
        self.argument(sign, &mut first);
        if !first.is_empty() {
            out.push(Piece::Arguments(first));
        }
    }

    fn argument(&mut self, sign: char, shown: &mut String) {
        if self.in_string {
            self.in_string = self.escaped || sign != '"';
            self.escaped = !self.escaped && sign == '\\';
        } else {
            match sign {
                '"' => self.in_string = true,
                '{' | '[' => self.depth += 1,
                // The brace that closes the call itself.
                '}' | ']' if self.depth == 0 => {
                    self.stage = Stage::Tail;
                    return;
                }
                '}' | ']' => self.depth -= 1,
                blank if blank.is_whitespace() => {
                    self.blank.push(blank);
                    return;
                }
                _ => {}
            }
        }
        shown.push_str(&self.blank);
        self.blank.clear();
        shown.push(sign);
    }

    /// The closing tag came before any arguments: a call without them, or no call.
    fn bare(&self, rest: String, out: &mut Vec<Piece>) -> (String, bool) {
        let body = self.raw.trim_end_matches(CLOSE);
        match serde_json::from_str::<Value>(body).ok().as_ref().and_then(name_of) {
            Some(name) => {
                out.extend([Piece::Call { name }, Piece::Arguments("{}".to_owned()), Piece::CallEnd]);
                (rest, true)
            }
            None => {
                out.push(Piece::Text { text: format!("{OPEN}{}", self.raw), logprobs: Vec::new() });
                (rest, false)
            }
        }
    }
}

fn name_of(call: &Value) -> Option<String> {
    call.get("name")?.as_str().map(str::to_owned)
}

/// Whether `head` ends right after the key of the arguments and its colon.
fn after_arguments_key(head: &str) -> bool {
    head.trim_end()
        .strip_suffix(':')
        .map(str::trim_end)
        .is_some_and(|head| head.ends_with("\"arguments\"") || head.ends_with("\"parameters\""))
}
