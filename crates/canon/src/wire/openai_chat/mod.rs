//! OpenAI Chat Completions, both roles.
/// stub
#[derive(Debug)]
pub struct OpenAiChat;
