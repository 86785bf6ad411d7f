//! The chat template that the weights bring along, run as the Jinja it is. What it says is what happens, its own
//! default system message included. Pure.

use minijinja::value::{Kwargs, Value};
use minijinja::{Environment, Error, ErrorKind};
use serde_json::Value as Json;

/// For weights without a template.
const PLAIN: &str = "{% for message in messages %}{{ message.role }}: {{ message.content }}\n{% endfor %}\
                     {% if add_generation_prompt %}assistant:{% endif %}";

/// A template that is no template.
#[derive(Debug, thiserror::Error)]
#[error("the chat template of the weights is broken: {0}")]
pub(crate) struct TemplateError(String);

/// The template.
#[derive(Debug)]
pub(crate) struct Template {
    jinja: Environment<'static>,
    bos: String,
    eos: String,
    /// Whether it writes tools, and calls in the form of [`super::speech::OPEN`], itself.
    pub(crate) knows_tools: bool,
}

impl Template {
    /// `source`: the weights' template, where they have one.
    ///
    /// # Errors
    /// When it cannot be parsed.
    pub(crate) fn new(source: Option<String>, bos: String, eos: String) -> Result<Self, TemplateError> {
        let source = source.unwrap_or_else(|| PLAIN.to_owned());
        let knows_tools = source.contains("tools") && source.contains(super::speech::OPEN);
        let mut jinja = Environment::new();
        jinja.set_trim_blocks(true);
        jinja.set_lstrip_blocks(true);
        jinja.set_unknown_method_callback(minijinja_contrib::pycompat::unknown_method_callback);
        jinja.add_filter("tojson", to_json);
        jinja.add_function("raise_exception", |words: String| -> Result<Value, Error> {
            Err(Error::new(ErrorKind::InvalidOperation, words))
        });
        jinja.add_template_owned("chat", source).map_err(|error| TemplateError(words(&error)))?;
        Ok(Self { jinja, bos, eos, knows_tools })
    }

    /// The prompt of `messages`, up to where the assistant speaks.
    ///
    /// # Errors
    /// What the template says is wrong with the conversation (e.g. roles that do not alternate).
    pub(crate) fn render(&self, messages: &[Json], tools: Option<&[Json]>) -> Result<String, String> {
        let context = minijinja::context! {
            messages => Value::from_serialize(messages),
            tools => tools.map(Value::from_serialize),
            add_generation_prompt => true,
            bos_token => self.bos,
            eos_token => self.eos,
        };
        let template = self.jinja.get_template("chat").map_err(|error| words(&error))?;
        template.render(context).map_err(|error| words(&error))
    }
}

fn words(error: &Error) -> String {
    error.detail().map_or_else(|| error.to_string(), str::to_owned)
}

/// As the templates' authors know it: plain JSON, nothing escaped for HTML, `indent` by name.
fn to_json(value: &Value, options: Kwargs) -> Result<Value, Error> {
    let indent: Option<usize> = options.get("indent")?;
    // Other options (`ensure_ascii`, `separators`) change nothing that a model would mind.
    let failed = |error: serde_json::Error| Error::new(ErrorKind::BadSerialization, error.to_string());
    let text = match indent {
        None => python_json(&serde_json::to_value(value).map_err(failed)?),
        Some(width) => {
            let pad = " ".repeat(width);
            let form = serde_json::ser::PrettyFormatter::with_indent(pad.as_bytes());
            let mut bytes = Vec::new();
            serde::Serialize::serialize(value, &mut serde_json::Serializer::with_formatter(&mut bytes, form))
                .map_err(failed)?;
            String::from_utf8_lossy(&bytes).into_owned()
        }
    };
    Ok(Value::from_safe_string(text))
}

/// JSON with a space after `:` and `,`, as Python writes it and models were trained on it.
fn python_json(value: &Json) -> String {
    match value {
        Json::Array(items) => format!("[{}]", items.iter().map(python_json).collect::<Vec<_>>().join(", ")),
        Json::Object(fields) => {
            let fields =
                fields.iter().map(|(key, value)| format!("{}: {}", Json::from(key.as_str()), python_json(value)));
            format!("{{{}}}", fields.collect::<Vec<_>>().join(", "))
        }
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn render(source: &str, messages: &[Json], tools: Option<&[Json]>) -> Result<String, String> {
        Template::new(Some(source.to_owned()), "<s>".to_owned(), "</s>".to_owned()).unwrap().render(messages, tools)
    }

    #[test]
    fn blocks_are_trimmed_python_methods_work_and_json_is_plain() {
        let source = "{{ bos_token }}\n{% for m in messages %}\n  {% if m.content.startswith('a') %}\n{{ m['role'].upper() }}={{ m.content.strip() }}\n  {% endif %}\n{% endfor %}\n{{ tools | tojson }}";
        let out = render(source, &[json!({"role": "user", "content": "a <b> "})], Some(&[json!({"x": ["<", 1]})]));
        assert_eq!(out.unwrap(), "<s>\nUSER=a <b>\n[{\"x\": [\"<\", 1]}]");
    }

    #[test]
    fn what_a_template_raises_is_its_own_words() {
        let out = render("{{ raise_exception('roles must alternate') }}", &[], None);
        assert_eq!(out.unwrap_err(), "roles must alternate");
    }
}
