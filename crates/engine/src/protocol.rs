//! What parent and child say to each other: frames of JSON, each after its length (four bytes, little endian).
//! Data and its coding only; who reads and writes the socket lives elsewhere.

use crate::HouseOptions;
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use serde_json::Value;

/// Longest frame that is read; longer ones mean a broken peer.
pub const MAX_FRAME: usize = 64 << 20;

/// From the parent to the child.
#[derive(Debug, Serialize, Deserialize)]
pub enum ToWorker {
    /// The first frame: load this.
    Load(HouseOptions),
    /// Answer this.
    Submit(Submit),
    /// The reader of this answer went away.
    Cancel {
        /// The request.
        id: u64,
    },
    /// Count the tokens of this prompt.
    Count {
        /// The question's number.
        id: u64,
        /// A request on the `openai-chat` wire.
        body: Value,
    },
    /// Say how busy you are.
    Gauge {
        /// The question's number.
        id: u64,
    },
}

/// One request.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Submit {
    /// Its number.
    pub id: u64,
    /// Seed of the random numbers, the client's or one drawn by the parent, so that a second child draws the same.
    pub seed: u64,
    /// The request on the `openai-chat` wire, with `top_k`, `min_p` and all stop texts.
    pub body: Value,
    /// What an earlier child already said, one per choice.
    pub voices: Vec<Resume>,
}

/// What an earlier child already said of one choice.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Resume {
    /// Its tokens.
    pub tokens: Vec<i32>,
    /// Whether the choice is complete.
    pub done: bool,
}

/// From the child to the parent.
#[derive(Debug, Serialize, Deserialize)]
pub enum FromWorker {
    /// The weights are loaded.
    Ready {
        /// The model's own name.
        model: String,
        /// Tokens of context.
        context: u32,
    },
    /// The weights cannot be loaded.
    Unfit {
        /// Why, and what to do.
        reason: String,
    },
    /// The prompt is read.
    Began {
        /// The request.
        id: u64,
        /// Tokens of the prompt.
        input: u64,
        /// Of these, already in memory.
        cached: u64,
    },
    /// More of one choice.
    Said {
        /// The request.
        id: u64,
        /// The choice.
        choice: u32,
        /// Its tokens since the last frame. What they show may come later (held back) but never earlier.
        tokens: Vec<i32>,
        /// What they show.
        pieces: Vec<Piece>,
        /// Why the choice is complete, when it is. In the same frame as its last words, so that no death of the child
        /// can come between the two.
        end: Option<End>,
    },
    /// The request cannot be answered.
    Refused {
        /// The request, or the question's number.
        id: u64,
        /// Why.
        refusal: Refusal,
    },
    /// Answer to `Count`.
    Counted {
        /// The question's number.
        id: u64,
        /// Tokens of the prompt.
        tokens: u64,
    },
    /// Answer to `Gauge`.
    Gauged {
        /// The question's number.
        id: u64,
        /// How busy.
        gauge: Gauge,
    },
}

/// A piece of an answer.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum Piece {
    /// Words.
    Text {
        /// The words.
        text: String,
        /// Their log probabilities, where asked for.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        logprobs: Vec<Likely>,
    },
    /// A tool call begins.
    Call {
        /// The tool.
        name: String,
    },
    /// More of the call's arguments.
    Arguments(String),
    /// The call is complete.
    CallEnd,
}

/// One token with its log probability and, in the outer list, the likeliest candidates at its place.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Likely {
    /// The token's bytes.
    pub bytes: Vec<u8>,
    /// Natural logarithm of its probability.
    pub logprob: f64,
    /// The likeliest candidates at its place.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub top: Vec<Likely>,
}

/// Why a choice ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum End {
    /// The model was done.
    Done,
    /// This stop text was met.
    Stop(String),
    /// The limit of output tokens was met.
    Length,
    /// The context window was full.
    Context,
    /// The model called tools and waits.
    Calls,
}

/// Why a request cannot be answered.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Refusal {
    /// The request asks for what cannot be.
    Invalid {
        /// The field at fault.
        param: String,
        /// Words for a person.
        message: String,
    },
    /// The request asks for what this model cannot do and another may.
    Unable {
        /// The field at fault.
        param: String,
        /// Words for a person.
        message: String,
    },
    /// The prompt does not fit.
    TooLong {
        /// Tokens of the prompt.
        tokens: u64,
        /// Tokens of the context window.
        context: u64,
    },
}

/// How busy the child is.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Gauge {
    /// Choices being answered.
    pub busy: u32,
    /// Choices waiting for a slot.
    pub waiting: u32,
    /// Tokens kept in memory by idle slots, for prompts that begin alike.
    pub kept: u32,
}

/// A frame that is no frame.
#[derive(Debug, thiserror::Error)]
pub enum FrameError {
    /// The length is beyond [`MAX_FRAME`].
    #[error("a frame of {0} bytes is longer than allowed")]
    TooLong(usize),
    /// The JSON is not a frame's.
    #[error("a frame cannot be read: {0}")]
    Json(#[from] serde_json::Error),
}

/// Appends `frame` to `out`.
///
/// # Errors
/// When the frame is too long.
pub fn write(frame: &impl Serialize, out: &mut Vec<u8>) -> Result<(), FrameError> {
    let at = out.len();
    out.extend_from_slice(&[0; 4]);
    serde_json::to_writer(&mut *out, frame)?;
    let length = out.len() - at - 4;
    match u32::try_from(length) {
        Ok(prefix) if length <= MAX_FRAME => {
            out[at..at + 4].copy_from_slice(&prefix.to_le_bytes());
            Ok(())
        }
        _ => {
            out.truncate(at);
            Err(FrameError::TooLong(length))
        }
    }
}

/// Bytes from the socket, cut into frames.
#[derive(Debug, Default)]
pub struct Inbox {
    bytes: Vec<u8>,
    read: usize,
}

impl Inbox {
    /// Where the socket's bytes go.
    pub fn space(&mut self) -> &mut Vec<u8> {
        if self.read > 0 {
            self.bytes.drain(..self.read);
            self.read = 0;
        }
        &mut self.bytes
    }

    /// The next whole frame.
    ///
    /// # Errors
    /// When the bytes are no frame.
    pub fn frame<T: DeserializeOwned>(&mut self) -> Result<Option<T>, FrameError> {
        let rest = &self.bytes[self.read..];
        let Some((prefix, rest)) = rest.split_first_chunk::<4>() else { return Ok(None) };
        let length = usize::try_from(u32::from_le_bytes(*prefix)).unwrap_or(usize::MAX);
        if length > MAX_FRAME {
            return Err(FrameError::TooLong(length));
        }
        let Some(body) = rest.get(..length) else { return Ok(None) };
        let frame = serde_json::from_slice(body)?;
        self.read += 4 + length;
        Ok(Some(frame))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_come_out_whole_wherever_bytes_break() {
        let mut bytes = Vec::new();
        write(&ToWorker::Cancel { id: 7 }, &mut bytes).unwrap();
        write(&ToWorker::Gauge { id: 8 }, &mut bytes).unwrap();
        for size in 1..bytes.len() {
            let mut inbox = Inbox::default();
            let mut ids = Vec::new();
            for chunk in bytes.chunks(size) {
                inbox.space().extend_from_slice(chunk);
                while let Some(frame) = inbox.frame::<ToWorker>().unwrap() {
                    match frame {
                        ToWorker::Cancel { id } | ToWorker::Gauge { id } => ids.push(id),
                        other => panic!("{other:?}"),
                    }
                }
            }
            assert_eq!(ids, [7, 8], "chunks of {size}");
        }
    }

    #[test]
    fn a_monstrous_length_is_an_error_not_an_allocation() {
        let mut inbox = Inbox::default();
        inbox.space().extend_from_slice(&u32::MAX.to_le_bytes());
        assert!(inbox.frame::<ToWorker>().is_err());
    }
}
