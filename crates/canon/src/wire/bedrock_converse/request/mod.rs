//! Requests of Converse: a look in place (`peek`), a full read (`decode`), and writing (`encode`).

mod decode;
mod encode;
mod ink;
mod messages;
mod settings;

pub(super) use decode::decode;
pub(super) use encode::encode;

use super::model;
use crate::facets::{Facets, Peek};
use crate::fields::BadField;
use crate::wire::Params;
use crate::wire::look::{self, Look};

/// Looks into a body in place.
pub(super) fn peek(params: &Params, body: &[u8]) -> Result<Peek, BadField> {
    // This wire reports usage in every stream, unasked.
    let mut peek = Peek { stream: params.stream, stream_usage: true, ..Peek::default() };
    peek.model = Some(path_model(params)?);
    peek.facets.choices = 1;
    peek.facets.input_tokens = look::estimate_tokens(body.len());
    look::top_level(body, |key, value| setting(key, &value, &mut peek.facets))?;
    Ok(peek)
}

/// The model that the path names.
fn path_model(params: &Params) -> Result<String, BadField> {
    let named = params.model.as_deref().map(model::from_path).filter(|model| !model.is_empty());
    named.ok_or_else(|| BadField::new("modelId", "is missing: name a model in the path"))
}

fn setting(key: &str, value: &Look<'_>, facets: &mut Facets) -> Result<(), BadField> {
    match key {
        "messages" => {
            if !value.raw().starts_with('[') && !value.is_null() {
                return Err(BadField::new(key, "must be a list"));
            }
            facets.images = value.mentions("\"image\"");
            facets.documents = value.mentions("\"document\"");
            facets.audio = value.mentions("\"audio\"");
            facets.state |= value.mentions("\"s3Location\"");
        }
        "toolConfig" => facets.tools = value.mentions("\"toolSpec\"") || value.mentions("\"systemTool\""),
        "outputConfig" => {
            facets.structured = value.mentions("\"json_schema\"");
            facets.reasoning |= value.mentions("\"effort\"");
        }
        "additionalModelRequestFields" => {
            let asks = ["\"thinking\"", "\"reasoning_effort\"", "\"reasoningConfig\"", "\"reasoning_config\""];
            let asked = asks.iter().any(|asked| value.mentions(asked));
            facets.reasoning |= asked && !value.mentions("\"disabled\"");
        }
        "inferenceConfig" if !value.is_null() => {
            value.fields(|key, value| {
                if key == "maxTokens" {
                    facets.max_output_tokens = value.whole("inferenceConfig.maxTokens")?;
                }
                Ok(())
            })?;
        }
        // A prompt kept by the service.
        "promptVariables" => facets.state |= value.is_filled(),
        _ => {}
    }
    Ok(())
}
