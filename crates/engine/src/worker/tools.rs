//! Tools and fixed forms of answers: what the prompt says about them where the template does not, and the grammar that
//! holds the model to them. Pure up to llama.cpp's own translation of JSON schemas.

use super::speech::{CLOSE, OPEN};
use canon::{OutputFormat, Request, Tool, ToolChoice};
use serde_json::{Map, Value, json};

/// Most calls in one turn.
const MOST_CALLS: u32 = 8;

/// What a request demands about calls.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Calls {
    /// There are no tools, or they must not be called.
    Never,
    /// The model decides.
    May,
    /// The answer is a call.
    Must,
}

/// The functions that may be called in an answer, and whether they must be.
pub(crate) fn callable(request: &Request) -> Result<(Calls, Vec<&Tool>), String> {
    let functions = || request.tools.iter().filter(|tool| matches!(tool, Tool::Function { .. })).collect::<Vec<_>>();
    let all = functions();
    if all.len() < request.tools.len() {
        return Err("the house model runs no tools of its own; only functions can be given to it".to_owned());
    }
    if all.is_empty() {
        return Ok((Calls::Never, all));
    }
    match &request.tool_choice {
        Some(ToolChoice::None) => Ok((Calls::Never, Vec::new())),
        Some(ToolChoice::Required) => Ok((Calls::Must, all)),
        Some(ToolChoice::Function(wanted)) => {
            let one: Vec<&Tool> = all.into_iter().filter(|tool| name_of(tool) == wanted).collect();
            if one.is_empty() {
                return Err(format!("`tool_choice` names `{wanted}`, which is not among the tools"));
            }
            Ok((Calls::Must, one))
        }
        Some(ToolChoice::Native(_)) => Err("this form of `tool_choice` is unknown to the house model".to_owned()),
        Some(ToolChoice::Auto) | None => Ok((Calls::May, all)),
    }
}

fn name_of(tool: &Tool) -> &str {
    if let Tool::Function { name, .. } = tool { name } else { "" }
}

/// The tools in the form that templates know.
pub(crate) fn described(tools: &[&Tool]) -> Vec<Value> {
    let describe = |tool: &&Tool| {
        let Tool::Function { name, description, parameters, .. } = tool else { return Value::Null };
        let mut function = Map::new();
        function.insert("name".to_owned(), name.clone().into());
        function.insert("description".to_owned(), description.clone().unwrap_or_default().into());
        let none = || json!({"type": "object", "properties": {}});
        function.insert("parameters".to_owned(), parameters.clone().unwrap_or_else(none));
        json!({"type": "function", "function": function})
    };
    tools.iter().map(describe).collect()
}

/// What the system message says about `tools` where the template cannot.
pub(crate) fn instructions(tools: &[&Tool], must: bool) -> String {
    let list: Vec<String> = described(tools).iter().map(|tool| tool["function"].to_string()).collect();
    let when = if must { "Answer with a call" } else { "When a function helps, answer with a call" };
    format!(
        "You can call these functions:\n{}\n{when}, in this form and nothing else:\n{OPEN}\n\
         {{\"name\": \"the function's name\", \"arguments\": {{its arguments}}}}\n{CLOSE}",
        list.join("\n")
    )
}

/// A past call as the text that the model would have written.
pub(crate) fn written(name: &str, arguments: &str) -> String {
    let arguments: Value = serde_json::from_str(arguments).unwrap_or_else(|_| arguments.into());
    format!("{OPEN}\n{}\n{CLOSE}", json!({"name": name, "arguments": arguments}))
}

/// What the answer is held to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Form {
    /// Nothing.
    Free,
    /// This grammar, from the first token on.
    Fixed(String),
    /// This grammar, from [`OPEN`] on.
    Calls(String),
}

/// The form of the answer to `request`. The message of an error names the schema at fault.
pub(crate) fn form(request: &Request, calls: Calls, tools: &[&Tool]) -> Result<Form, (String, String)> {
    let answer = match &request.output {
        OutputFormat::Text => None,
        OutputFormat::Json => Some(json!({"type": "object"})),
        OutputFormat::Schema { schema, .. } => Some(schema.clone()),
    };
    if calls == Calls::Never {
        let Some(schema) = answer else { return Ok(Form::Free) };
        return grammar_of(&schema).map(Form::Fixed).map_err(|words| ("response_format".to_owned(), words));
    }
    let call = union(tools.iter().enumerate().map(|(at, tool)| one_call(tool, at)));
    let mut shared = Map::new();
    let mut wanted = vec![hoisted(call, "", &mut shared)];
    if calls == Calls::May
        && let Some(schema) = answer.clone()
    {
        wanted.push(hoisted(schema, "answer_", &mut shared));
    }
    // As references, so that the two alternatives of the root stay apart and can be told by their place.
    let mut names = Vec::new();
    for (name, schema) in ["the_call", "the_answer"].iter().zip(wanted) {
        shared.insert((*name).to_owned(), schema);
        names.push(json!({"$ref": format!("#/$defs/{name}")}));
    }
    let whole = json!({"$defs": shared, "oneOf": names});
    let grammar = grammar_of(&whole).map_err(|words| ("tools".to_owned(), words))?;
    let broken = || ("tools".to_owned(), "a schema has no grammar; simplify it".to_owned());
    let (root, rest): (Vec<&str>, Vec<&str>) = grammar.lines().partition(|line| line.starts_with("root ::="));
    let root = root.first().and_then(|line| line.strip_prefix("root ::=")).ok_or_else(broken)?;
    let mut alternatives = root.split('|').map(str::trim);
    let call = alternatives.next().filter(|name| !name.is_empty()).ok_or_else(broken)?;
    let (open, close) = (format!("{OPEN}\\n"), format!("\\n{CLOSE}"));
    let more = match request.parallel_tool_calls {
        Some(false) => String::new(),
        _ => format!(" (\"\\n{open}\" {call} \"{close}\"){{0,{}}}", MOST_CALLS - 1),
    };
    let calls_rule = format!("\"{open}\" {call} \"{close}\"{more}");
    let rest = rest.join("\n");
    Ok(match (calls, alternatives.next()) {
        (Calls::May, None) => Form::Calls(format!("root ::= {calls_rule}\n{rest}\n")),
        (_, Some(answer)) => Form::Fixed(format!("root ::= {calls_rule} | {answer}\n{rest}\n")),
        (_, None) => Form::Fixed(format!("root ::= {calls_rule}\n{rest}\n")),
    })
}

fn grammar_of(schema: &Value) -> Result<String, String> {
    llama_cpp_2::json_schema_to_grammar(&schema.to_string())
        .map_err(|_| "the JSON schema uses what cannot be held to, or is no schema".to_owned())
}

fn union(schemas: impl Iterator<Item = Value>) -> Value {
    let mut all: Vec<Value> = schemas.collect();
    if all.len() == 1 { all.remove(0) } else { json!({"oneOf": all}) }
}

fn one_call(tool: &Tool, at: usize) -> Value {
    let Tool::Function { name, parameters, .. } = tool else { return Value::Null };
    let none = || json!({"type": "object", "properties": {}, "additionalProperties": false});
    let mut arguments = parameters.clone().filter(|schema| schema.get("type").is_some()).unwrap_or_else(none);
    prefix_refs(&mut arguments, &format!("t{at}_"));
    json!({
        "type": "object",
        "properties": {"name": {"const": name}, "arguments": arguments},
        "required": ["name", "arguments"],
        "additionalProperties": false,
    })
}

/// Moves every `$defs` and `definitions` of `schema` to `shared`, under names with `prefix`, so that references, which
/// count from the document's root, still find them when the schema becomes a part of a larger one.
fn hoisted(mut schema: Value, prefix: &str, shared: &mut Map<String, Value>) -> Value {
    if !prefix.is_empty() {
        prefix_refs(&mut schema, prefix);
    }
    lift(&mut schema, shared);
    schema
}

const HOMES: [&str; 2] = ["$defs", "definitions"];

fn prefix_refs(schema: &mut Value, prefix: &str) {
    match schema {
        Value::Object(fields) => {
            if let Some(Value::String(target)) = fields.get_mut("$ref")
                && let Some(name) = HOMES.iter().find_map(|home| target.strip_prefix(&format!("#/{home}/")))
            {
                *target = format!("#/$defs/{prefix}{name}");
            }
            for home in HOMES {
                if let Some(Value::Object(definitions)) = fields.get_mut(home) {
                    *definitions =
                        std::mem::take(definitions).into_iter().map(|(k, v)| (format!("{prefix}{k}"), v)).collect();
                }
            }
            fields.values_mut().for_each(|value| prefix_refs(value, prefix));
        }
        Value::Array(items) => items.iter_mut().for_each(|item| prefix_refs(item, prefix)),
        _ => {}
    }
}

fn lift(schema: &mut Value, shared: &mut Map<String, Value>) {
    match schema {
        Value::Object(fields) => {
            for home in HOMES {
                if matches!(fields.get(home), Some(Value::Object(_)))
                    && let Some(Value::Object(mut definitions)) = fields.shift_remove(home)
                {
                    definitions.values_mut().for_each(|definition| lift(definition, shared));
                    shared.extend(definitions);
                }
            }
            fields.values_mut().for_each(|value| lift(value, shared));
        }
        Value::Array(items) => items.iter_mut().for_each(|item| lift(item, shared)),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use canon::WireId;

    fn request(choice: Option<ToolChoice>, output: OutputFormat) -> Request {
        let mut request = Request::new(WireId::new("test"), "house");
        let parameters = json!({"type": "object", "properties": {"at": {"$ref": "#/$defs/Place"}}, "required": ["at"],
                                "$defs": {"Place": {"type": "string"}}});
        for (name, parameters) in [("look", Some(parameters.clone())), ("now", None), ("go", Some(parameters))] {
            request.tools.push(Tool::Function {
                name: name.to_owned(),
                description: None,
                parameters,
                strict: None,
                cache: None,
                extras: Map::new(),
            });
        }
        request.tool_choice = choice;
        request.output = output;
        request
    }

    fn form_of(request: &Request) -> Form {
        let (calls, tools) = callable(request).unwrap();
        form(request, calls, &tools).unwrap()
    }

    #[test]
    fn each_choice_has_its_form() {
        let Form::Calls(may) = form_of(&request(None, OutputFormat::Text)) else { panic!() };
        assert!(may.starts_with("root ::= \"<tool_call>\\n\" "), "{may}");
        assert!(may.contains("{0,7}") && may.contains("\\\"look\\\"") && may.contains("\\\"now\\\""), "{may}");
        let Form::Fixed(must) = form_of(&request(Some(ToolChoice::Function("now".to_owned())), OutputFormat::Text))
        else {
            panic!()
        };
        assert!(!must.contains("look"), "{must}");
        let Form::Fixed(either) = form_of(&request(None, OutputFormat::Json)) else { panic!() };
        assert!(either.lines().any(|line| line.starts_with("root ::=") && line.contains(" | ")), "{either}");
        assert_eq!(form_of(&request(Some(ToolChoice::None), OutputFormat::Text)), Form::Free);
        let mut one = request(Some(ToolChoice::Required), OutputFormat::Text);
        one.parallel_tool_calls = Some(false);
        let Form::Fixed(one) = form_of(&one) else { panic!() };
        assert!(!one.contains("{0,7}"), "{one}");
    }

    #[test]
    fn unknown_functions_and_foreign_tools_are_named() {
        let wrong = request(Some(ToolChoice::Function("fly".to_owned())), OutputFormat::Text);
        assert!(callable(&wrong).unwrap_err().contains("`fly`"));
        let mut foreign = request(None, OutputFormat::Text);
        foreign.tools.push(Tool::Native { body: json!({"type": "web_search"}) });
        assert!(callable(&foreign).is_err());
    }

    #[test]
    fn definitions_of_two_tools_do_not_meet() {
        let mut shared = Map::new();
        let request = request(None, OutputFormat::Text);
        let calls = union(request.tools.iter().enumerate().map(|(at, tool)| one_call(tool, at)));
        let whole = hoisted(calls, "", &mut shared);
        assert_eq!(shared.keys().collect::<Vec<_>>(), ["t0_Place", "t2_Place"]);
        assert_eq!(whole["oneOf"][2]["properties"]["arguments"]["properties"]["at"]["$ref"], "#/$defs/t2_Place");
    }
}
