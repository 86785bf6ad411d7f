//! What an operator may set about the house model. Data only; nothing is read or started here.

use serde::{Deserialize, Serialize};
use std::path::PathBuf;

/// How the house model runs.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HouseOptions {
    /// The model's weights: a GGUF file.
    pub gguf: PathBuf,
    /// Tokens of context of all conversations of the moment together.
    #[serde(default = "defaults::context")]
    pub context: u32,
    /// How they share it.
    #[serde(default)]
    pub cache: Cache,
    /// Conversations answered at the same time.
    #[serde(default = "defaults::slots")]
    pub slots: u32,
    /// Threads while a single conversation is being answered. More than one gains little and collapses on a busy machine.
    #[serde(default = "defaults::threads")]
    pub threads: u32,
    /// Threads for prompts and for several conversations at once; 0: one per core.
    #[serde(default)]
    pub threads_batch: u32,
    /// Conversations that may wait for a slot; beyond them requests are refused with a time to wait.
    #[serde(default = "defaults::queue")]
    pub queue: u32,
    /// Most tokens of an answer whose request sets no limit.
    #[serde(default = "defaults::max_output_tokens")]
    pub max_output_tokens: u32,
    /// A LoRA adapter laid over the weights.
    #[serde(default)]
    pub adapter: Option<Adapter>,
    /// Layers computed on the GPU (feature `cuda`); 0: none.
    #[serde(default)]
    pub gpu_layers: u32,
    /// Whether Q4_1 weights are rewritten once as Q8_0 beside the file: twice the prompt speed for half as much disk again.
    #[serde(default = "defaults::yes")]
    pub transcode: bool,
    /// Seconds without a request after which the weights leave memory; `None`: never.
    #[serde(default)]
    pub idle_unload: Option<u64>,
}

/// How conversations share the context.
///
/// llama.cpp's attention looks at every cell of a shared cache for every token, so many short conversations are quicker
/// in parts of their own (its own batched bench at 32 of them: 233 tokens/s split, 160 shared); long ones need the whole.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Cache {
    /// One pool: a conversation may be as long as the context.
    #[default]
    Shared,
    /// Each of the slots has its own equal part, and no conversation can be longer than that.
    Split,
}

/// A LoRA adapter.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Adapter {
    /// The adapter: a GGUF file.
    pub path: PathBuf,
    /// How strongly it counts; 1: as trained.
    #[serde(default = "defaults::scale")]
    pub scale: f32,
}

mod defaults {
    pub(super) const fn context() -> u32 {
        8192
    }
    pub(super) const fn slots() -> u32 {
        32
    }
    pub(super) const fn threads() -> u32 {
        1
    }
    pub(super) const fn queue() -> u32 {
        256
    }
    pub(super) const fn max_output_tokens() -> u32 {
        2048
    }
    pub(super) const fn yes() -> bool {
        true
    }
    pub(super) const fn scale() -> f32 {
        1.0
    }
}

impl HouseOptions {
    /// The defaults, for the weights at `gguf`.
    #[must_use]
    pub fn new(gguf: impl Into<PathBuf>) -> Self {
        Self {
            gguf: gguf.into(),
            context: defaults::context(),
            cache: Cache::default(),
            slots: defaults::slots(),
            threads: defaults::threads(),
            threads_batch: 0,
            queue: defaults::queue(),
            max_output_tokens: defaults::max_output_tokens(),
            adapter: None,
            gpu_layers: 0,
            transcode: true,
            idle_unload: None,
        }
    }

    /// Tokens of the longest conversation, prompt and answer together.
    #[must_use]
    pub fn longest(&self) -> u32 {
        match self.cache {
            Cache::Shared => self.context,
            Cache::Split => self.context / self.slots.max(1),
        }
    }
}

/// How the child process is started: a program that calls `engine::worker::run`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HouseCommand {
    /// The program.
    pub program: PathBuf,
    /// Its arguments.
    pub args: Vec<String>,
}

impl HouseCommand {
    /// This very binary as `house-worker`.
    ///
    /// # Errors
    /// When the system cannot say where this binary lies.
    pub fn this_binary() -> std::io::Result<Self> {
        Ok(Self { program: std::env::current_exe()?, args: vec!["house-worker".to_owned()] })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_enough_and_unknown_words_are_refused() {
        let short: HouseOptions = serde_json::from_str(r#"{"gguf": "m.gguf"}"#).unwrap();
        assert_eq!(short, HouseOptions::new("m.gguf"));
        let wrong = serde_json::from_str::<HouseOptions>(r#"{"gguf": "m.gguf", "thread": 2}"#).unwrap_err();
        assert!(wrong.to_string().contains("unknown field `thread`"), "{wrong}");
    }
}
