//! Every wire by itself, beside the laws that `testkit` runs over all of them: what each says in its own words.

mod common;

mod anthropic_messages;
mod bedrock_converse;
mod cohere_v2;
mod gemini;
mod openai_chat;
mod openai_responses;
