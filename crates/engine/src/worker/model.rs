//! The loaded model: weights, vocabulary, template, as the other rooms of the child need them. The only place that
//! touches llama.cpp's model and context types, beside the scheduler's decode calls.

use super::sampler::Rules;
use super::slots::Kv;
use super::template::Template;
use crate::weights;
use crate::{Cache, HouseOptions};
use llama_cpp_2::context::LlamaContext;
use llama_cpp_2::context::params::LlamaContextParams;
use llama_cpp_2::context::session::{LlamaStateSeqFlags, SeqState};
use llama_cpp_2::llama_backend::LlamaBackend;
use llama_cpp_2::model::params::LlamaModelParams;
use llama_cpp_2::model::{LlamaLoraAdapter, LlamaModel};
use llama_cpp_2::sampling::LlamaSampler;
use llama_cpp_2::token::LlamaToken;
use llama_cpp_2::token::data::LlamaTokenData;
use llama_cpp_2::token::data_array::LlamaTokenDataArray;
use llama_cpp_sys_2::{GGML_LOG_LEVEL_ERROR, GGML_LOG_LEVEL_WARN, ggml_log_level, llama_log_set};
use std::ffi::{CStr, c_char, c_void};
use std::io::Write;
use std::num::NonZeroU32;
use std::path::Path;

/// Most tokens of one call of `llama_decode`, and of one pass through the layers.
pub(crate) const BATCH: u32 = 512;

/// Why the weights cannot be loaded; the words reach the operator.
#[derive(Debug, thiserror::Error)]
pub(crate) enum LoadError {
    #[error("the weights `{0}` do not exist; fetch them or correct `gguf`")]
    Missing(String),
    #[error(
        "the weights `{path}` cannot be loaded ({cause}); is it a whole GGUF file of a model that llama.cpp knows?"
    )]
    Weights { path: String, cause: String },
    #[error("the adapter `{path}` cannot be loaded ({cause}); was it trained for these weights?")]
    Adapter { path: String, cause: String },
    #[error("no context of {context} tokens can be made ({cause}); lower `context` or `slots`")]
    Context { context: u32, cause: String },
    #[error("this processor lacks `{0}`, which this build of llama.cpp needs; build from source on this machine")]
    Processor(&'static str),
    #[error("llama.cpp cannot start: {0}")]
    Backend(String),
    #[error(transparent)]
    Template(#[from] super::template::TemplateError),
}

/// The loaded model.
#[derive(Debug)]
pub(crate) struct Model {
    pub(crate) llama: LlamaModel,
    backend: LlamaBackend,
    /// The model's own name.
    pub(crate) name: String,
    /// The chat template of the file.
    pub(crate) template: Template,
    /// The piece of each token, special tokens empty.
    pieces: Vec<Box<[u8]>>,
    begins_with_bos: bool,
    bos: String,
}

impl Model {
    /// Loads what `options` names, the adapter beside it: laying it over a context changes it.
    ///
    /// # Errors
    /// When the file, the adapter, the template or the processor will not do.
    pub(crate) fn load(options: &HouseOptions) -> Result<(Self, Option<LlamaLoraAdapter>), LoadError> {
        processor()?;
        keep_warnings_only();
        if !options.gguf.is_file() {
            return Err(LoadError::Missing(options.gguf.display().to_string()));
        }
        let path = if options.transcode { weights::best(&options.gguf) } else { options.gguf.clone() };
        let backend = LlamaBackend::init().map_err(|error| LoadError::Backend(error.to_string()))?;
        let params = LlamaModelParams::default().with_n_gpu_layers(options.gpu_layers).with_use_mmap(true);
        let mut llama = LlamaModel::load_from_file(&backend, &path, &params)
            .map_err(|error| LoadError::Weights { path: path.display().to_string(), cause: error.to_string() })?;
        let adapter = match &options.adapter {
            Some(adapter) => Some(load_adapter(&mut llama, &adapter.path)?),
            None => None,
        };
        let vocab = llama.vocab();
        let pieces = vocab.tokens().map(|token| vocab.token_to_piece(token, false, None).into_boxed_slice()).collect();
        let special = |token: LlamaToken| {
            let known = (0..vocab.n_tokens()).contains(&token.0);
            String::from_utf8(if known { vocab.token_to_piece(token, true, None) } else { Vec::new() })
                .unwrap_or_default()
        };
        let (bos, eos) = (special(vocab.bos()), special(vocab.eos()));
        let source = llama.chat_template(None).ok().and_then(|template| template.to_string().ok());
        let template = Template::new(source, bos.clone(), eos)?;
        let name = llama.meta_val_str("general.name").ok().filter(|name| !name.is_empty()).unwrap_or_else(|| {
            options.gguf.file_stem().map_or_else(|| "house".to_owned(), |stem| stem.to_string_lossy().into_owned())
        });
        let begins_with_bos = vocab.should_add_bos();
        Ok((Self { llama, backend, name, template, pieces, begins_with_bos, bos }, adapter))
    }

    /// Room for the conversations of `options`.
    ///
    /// # Errors
    /// When memory does not suffice.
    pub(crate) fn context(
        &self,
        options: &HouseOptions,
        adapter: Option<&mut LlamaLoraAdapter>,
    ) -> Result<LlamaContext<'_>, LoadError> {
        let failed = |cause: String| LoadError::Context { context: options.context, cause };
        let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        let batch = if options.threads_batch == 0 { cores } else { options.threads_batch as usize };
        let threads = |count: usize| i32::try_from(count.max(1)).unwrap_or(1);
        // llama.cpp takes `n_threads` for a batch of one token and `n_threads_batch` for all others, which is the
        // switch we want.
        let params = LlamaContextParams::default()
            .with_n_ctx(NonZeroU32::new(options.context))
            .with_n_batch(BATCH)
            .with_n_ubatch(BATCH)
            .with_n_seq_max(options.slots.max(1))
            .with_n_threads(threads(options.threads as usize))
            .with_n_threads_batch(threads(batch))
            .with_kv_unified(options.cache == Cache::Shared)
            .with_no_perf(true);
        let mut context = self.llama.new_context(&self.backend, params).map_err(|error| failed(error.to_string()))?;
        if let (Some(adapter), Some(said)) = (adapter, &options.adapter) {
            context.lora_adapter_set(adapter, said.scale).map_err(|error| failed(error.to_string()))?;
        }
        Ok(context)
    }

    /// The tokens of a rendered prompt. Special tokens in it count as such, as in llama.cpp.
    pub(crate) fn tokens(&self, text: &str) -> Vec<i32> {
        let said = !self.bos.is_empty() && text.starts_with(&self.bos);
        let vocab = self.llama.vocab();
        let begin = self.begins_with_bos && !said;
        vocab.tokenize(text.as_bytes(), begin, true).into_iter().map(|token| token.0).collect()
    }

    /// The bytes that `token` shows.
    pub(crate) fn piece(&self, token: i32) -> &[u8] {
        usize::try_from(token).ok().and_then(|at| self.pieces.get(at)).map_or(&[], |piece| piece)
    }

    /// Whether `token` ends an answer.
    pub(crate) fn ends(&self, token: i32) -> bool {
        self.llama.vocab().is_eog(LlamaToken(token))
    }

    /// Whether a part of a conversation can be forgotten (not so where the state is recurrent).
    pub(crate) fn forgets_parts(&self) -> bool {
        !self.llama.is_recurrent() && !self.llama.is_hybrid()
    }
}

/// llama.cpp tells thousands of lines about a load; only what is wrong goes to standard error, where the parent reads.
fn keep_warnings_only() {
    extern "C" fn keep(level: ggml_log_level, text: *const c_char, _: *mut c_void) {
        if level == GGML_LOG_LEVEL_WARN || level == GGML_LOG_LEVEL_ERROR {
            #[expect(unsafe_code, reason = "llama.cpp hands over C strings")]
            // SAFETY: llama.cpp calls this with a zero-terminated string that lives as long as the call.
            let text = unsafe { CStr::from_ptr(text) };
            // Nobody is left to read it when this fails.
            let _ = std::io::stderr().write_all(text.to_bytes());
        }
    }
    #[expect(unsafe_code, reason = "the binding can only hand the log to a subscriber of its own kind")]
    // SAFETY: the callback is a static function that keeps nothing and never unwinds; it is set before any other thread
    // of this process calls llama.cpp.
    unsafe {
        llama_log_set(Some(keep), std::ptr::null_mut());
    }
}

fn load_adapter(llama: &mut LlamaModel, path: &Path) -> Result<LlamaLoraAdapter, LoadError> {
    let failed = |cause: String| LoadError::Adapter { path: path.display().to_string(), cause };
    if !path.is_file() {
        return Err(failed("no such file".to_owned()));
    }
    llama.lora_adapter_init(path).map_err(|error| failed(error.to_string()))
}

/// The build's instruction set is fixed: say what is missing instead of dying of an illegal instruction.
fn processor() -> Result<(), LoadError> {
    #[cfg(target_arch = "x86_64")]
    {
        let wanted = [
            ("avx", std::arch::is_x86_feature_detected!("avx")),
            ("avx2", std::arch::is_x86_feature_detected!("avx2")),
            ("fma", std::arch::is_x86_feature_detected!("fma")),
            ("f16c", std::arch::is_x86_feature_detected!("f16c")),
            ("bmi2", std::arch::is_x86_feature_detected!("bmi2")),
        ];
        if let Some((name, _)) = wanted.iter().find(|(_, there)| !there) {
            return Err(LoadError::Processor(name));
        }
    }
    Ok(())
}

/// A grammar of llama.cpp as the sampler's rules.
#[derive(Debug)]
pub(crate) struct Grammar(pub(crate) LlamaSampler);

impl Rules for Grammar {
    fn allows(&mut self, token: i32) -> bool {
        let one = LlamaTokenData::new(LlamaToken(token), 0.0, 0.0);
        let mut row = LlamaTokenDataArray::new(vec![one], false);
        row.apply_sampler(&mut self.0);
        row.data.first().is_some_and(|one| one.logit() > f32::NEG_INFINITY)
    }

    fn forbid(&mut self, logits: &mut [f32]) {
        let all = (0_i32..).zip(logits.iter()).map(|(id, logit)| LlamaTokenData::new(LlamaToken(id), *logit, 0.0));
        let mut row = LlamaTokenDataArray::from_iter(all, false);
        row.apply_sampler(&mut self.0);
        for one in &row.data {
            if let Some(logit) = usize::try_from(one.id().0).ok().and_then(|at| logits.get_mut(at)) {
                *logit = one.logit();
            }
        }
    }

    fn accept(&mut self, token: i32) {
        self.0.accept(LlamaToken(token));
    }
}

/// The conversations' keys and values.
#[derive(Debug)]
pub(crate) struct Cells<'a> {
    pub(crate) context: LlamaContext<'a>,
    /// Whether slots may share cells, and not only copy them.
    pool: bool,
}

impl<'a> Cells<'a> {
    pub(crate) fn new(context: LlamaContext<'a>, options: &HouseOptions) -> Self {
        Self { context, pool: options.cache == Cache::Shared }
    }
}

impl Kv for Cells<'_> {
    type State = SeqState;

    fn cut(&mut self, slot: usize, from: usize) -> bool {
        let at = |number: usize| u32::try_from(number).ok();
        self.context.clear_kv_cache_seq(at(slot), at(from), None).unwrap_or(false)
    }

    fn share(&mut self, from: usize, to: usize, length: usize) -> bool {
        if !self.pool {
            let copied = self.save(from).is_some_and(|state| self.restore(&state, to));
            return copied && self.cut(to, length);
        }
        let (Ok(from), Ok(to), Ok(length)) = (i32::try_from(from), i32::try_from(to), u32::try_from(length)) else {
            return false;
        };
        self.context.copy_kv_cache_seq(from, to, Some(0), Some(length)).is_ok()
    }

    fn save(&mut self, slot: usize) -> Option<SeqState> {
        self.context.state_seq_get(i32::try_from(slot).ok()?, LlamaStateSeqFlags::empty()).ok()
    }

    fn restore(&mut self, state: &SeqState, slot: usize) -> bool {
        i32::try_from(slot).is_ok_and(|slot| self.context.state_seq_set(state, slot).is_ok())
    }
}
