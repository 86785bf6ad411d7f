//! What an answer cost in tokens. One meaning for every wire: `input` includes cached tokens, `output` includes
//! thinking; the finer counts are shares of these two. `None` is *not said*, never 0.

use crate::Extras;

/// Token counts of one answer.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Usage {
    /// Tokens of the prompt, cached ones included.
    pub input: Option<u64>,
    /// Of these, read from a prompt cache.
    pub cache_read: Option<u64>,
    /// Of these, written to a prompt cache (any lifetime).
    pub cache_write: Option<u64>,
    /// Of `cache_write`, kept for an hour.
    pub cache_write_1h: Option<u64>,
    /// Tokens of the answer, thinking included.
    pub output: Option<u64>,
    /// Of these, thinking.
    pub reasoning: Option<u64>,
    /// Of `input`, audio.
    pub audio_input: Option<u64>,
    /// Of `input`, images.
    pub image_input: Option<u64>,
    /// Of `output`, audio.
    pub audio_output: Option<u64>,
    /// Of `output`, images.
    pub image_output: Option<u64>,
    /// The tier that served the answer.
    pub service_tier: Option<String>,
    /// What the origin wire said beside it.
    pub extras: Extras,
}

impl Usage {
    /// Takes over every field that `later` says: repeated reports merge field by field.
    pub fn merge(&mut self, later: &Self) {
        let fields = [
            (&mut self.input, later.input),
            (&mut self.cache_read, later.cache_read),
            (&mut self.cache_write, later.cache_write),
            (&mut self.cache_write_1h, later.cache_write_1h),
            (&mut self.output, later.output),
            (&mut self.reasoning, later.reasoning),
            (&mut self.audio_input, later.audio_input),
            (&mut self.image_input, later.image_input),
            (&mut self.audio_output, later.audio_output),
            (&mut self.image_output, later.image_output),
        ];
        for (mine, theirs) in fields {
            if theirs.is_some() {
                *mine = theirs;
            }
        }
        if later.service_tier.is_some() {
            self.service_tier.clone_from(&later.service_tier);
        }
        for (key, value) in &later.extras {
            self.extras.insert(key.clone(), value.clone());
        }
    }

    /// `input + output`, where both are said.
    #[must_use]
    pub fn total(&self) -> Option<u64> {
        Some(self.input?.saturating_add(self.output?))
    }
}
