//! What this wire says of turns that are kept between requests: items as they are kept, a request that goes on with
//! them, and the objects of the doors around them. Pure; where they are kept is the gateway's business. Shapes after
//! the official SDK's types (`openai` 3.57 for Python, `types/responses` and `types/conversations`).

use super::echo::{Echo, State};
use super::request::decode::ENCRYPTED;
use super::{fault, ids, items};
use crate::Extras;
use crate::event::Head;
use crate::facets::Peek;
use crate::fault::Fault;
use crate::fields::{BadField, Fields};
use crate::wire::look;
use crate::wire::{Edit, StreamTerms};
use serde_json::{Value, json};

/// Items on a page where the client does not say.
const PAGE: usize = 20;

/// Most items on a page, and most that may be added to a conversation at once.
const MOST: usize = 100;

/// The items of a request's `input`, as they are kept.
///
/// # Errors
/// When the input is not what the wire allows.
pub fn asked(body: &Value, mark: &str) -> Result<Vec<Value>, BadField> {
    match body.get("input") {
        None | Some(Value::Null) => Ok(Vec::new()),
        Some(Value::String(text)) => named(vec![json!({"role": "user", "content": text})], "input", mark),
        Some(Value::Array(list)) => named(list.clone(), "input", mark),
        Some(_) => Err(BadField::new("input", "must be a string or a list of items")),
    }
}

/// Takes the items of a response object's `output` out of it.
#[must_use]
pub fn answered(response: &mut Value) -> Vec<Value> {
    match response.get_mut("output").map(Value::take) {
        Some(Value::Array(items)) => items,
        _ => Vec::new(),
    }
}

/// The response object with its items put back.
#[must_use]
pub fn response(mut kept: Value, output: Vec<Value>) -> Value {
    if let Some(fields) = kept.as_object_mut() {
        fields.insert("output".to_owned(), Value::Array(output));
    }
    kept
}

/// Checks `items` and gives each what a kept item has: a type, an id (with `mark` in it, where it has none), and for
/// messages a state and a list of parts.
///
/// # Errors
/// When one is not what the wire allows.
pub fn named(items: Vec<Value>, path: &str, mark: &str) -> Result<Vec<Value>, BadField> {
    let mut kept = Vec::with_capacity(items.len());
    for (place, item) in items.into_iter().enumerate() {
        let path = format!("{path}[{place}]");
        items::decode(item.clone(), &path)?;
        let Value::Object(mut fields) = item else { continue };
        if !fields.contains_key("type") {
            fields.shift_insert(0, "type".to_owned(), "message".into());
        }
        let kind = fields.get("type").and_then(Value::as_str).unwrap_or_default().to_owned();
        if !fields.get("id").is_some_and(Value::is_string) {
            fields.insert("id".to_owned(), ids::made(prefix(&kind), mark, place).into());
        }
        if kind == "message" {
            complete(&mut fields);
        }
        kept.push(Value::Object(fields));
    }
    Ok(kept)
}

/// The prefix of an item's id.
fn prefix(kind: &str) -> &str {
    match kind {
        "message" => "msg",
        "reasoning" => "rs",
        "function_call" => "fc",
        "function_call_output" => "fco",
        _ => "item",
    }
}

fn complete(message: &mut Extras) {
    message.entry("status").or_insert_with(|| "completed".into());
    let is_model = message.get("role").and_then(Value::as_str) == Some("assistant");
    if let Some(content) = message.get_mut("content")
        && let Some(text) = content.as_str()
    {
        *content = if is_model {
            json!([{"type": "output_text", "text": text, "annotations": [], "logprobs": []}])
        } else {
            json!([{"type": "input_text", "text": text}])
        };
    }
}

/// The id of an item.
#[must_use]
pub fn id(item: &Value) -> &str {
    item.get("id").and_then(Value::as_str).unwrap_or_default()
}

/// The ids that an input names instead of saying the items, in order.
#[must_use]
pub fn references(body: &Value) -> Vec<String> {
    let items = body.get("input").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    items.iter().filter(|item| is_reference(item)).map(|item| id(item).to_owned()).collect()
}

/// A reference may leave its type out.
fn is_reference(item: &Value) -> bool {
    match item.get("type").and_then(Value::as_str) {
        Some(kind) => kind == "item_reference",
        None => item.get("id").is_some() && item.get("role").is_none(),
    }
}

/// The request `body` as one that needs nothing kept and is answered while its client waits: `earlier` items stand before its own, `find` says those that it
/// only names, and no id of a kept item goes out.
///
/// # Errors
/// When the input is not what the wire allows.
pub fn go_on(body: Value, earlier: Vec<Value>, find: impl Fn(&str) -> Option<Value>) -> Result<Value, BadField> {
    let mut fields = Fields::of(body, "")?.rest();
    for key in ["previous_response_id", "conversation", "background"] {
        fields.shift_remove(key);
    }
    let mut input: Vec<Value> = earlier.into_iter().map(anew).collect();
    match fields.shift_remove("input") {
        None | Some(Value::Null) => {}
        Some(Value::String(text)) => input.push(json!({"type": "message", "role": "user", "content": text})),
        Some(Value::Array(list)) => {
            input.extend(list.into_iter().map(|item| match find(id(&item)).filter(|_| is_reference(&item)) {
                Some(kept) => anew(kept),
                None => item,
            }));
        }
        Some(_) => return Err(BadField::new("input", "must be a string or a list of items")),
    }
    if !input.is_empty() || !fields.contains_key("prompt") {
        fields.insert("input".to_owned(), Value::Array(input));
    }
    Ok(Value::Object(fields))
}

/// Makes a request leave nothing with whoever answers it: nothing is to be kept there, and its thinking comes with its
/// seal, to be said again.
pub fn leave_nothing(body: &mut Value) {
    let Some(fields) = body.as_object_mut() else { return };
    fields.insert("store".to_owned(), false.into());
    if thinks(fields.get("reasoning")) {
        let include = fields.entry("include").or_insert_with(|| json!([]));
        match include.as_array_mut() {
            Some(list) if list.iter().any(|word| word == ENCRYPTED) => {}
            Some(list) => list.push(ENCRYPTED.into()),
            None => *include = json!([ENCRYPTED]),
        }
    }
}

/// A kept item as someone may read it who never saw it. Thinking without its seal is marked as ours: only whoever
/// kept it could know it by its id.
fn anew(mut item: Value) -> Value {
    let Some(fields) = item.as_object_mut() else { return item };
    match fields.get("type").and_then(Value::as_str) {
        Some("message" | "function_call" | "function_call_output") => {
            fields.shift_remove("id");
        }
        Some("reasoning") if !fields.get("encrypted_content").is_some_and(Value::is_string) => {
            fields.insert("id".to_owned(), ids::made("rs", "", 0).into());
        }
        _ => {}
    }
    item
}

/// Whether the request asks for thinking.
fn thinks(reasoning: Option<&Value>) -> bool {
    let asked = reasoning.and_then(Value::as_object).filter(|fields| !fields.is_empty());
    asked.is_some_and(|fields| fields.get("effort").and_then(Value::as_str) != Some("none"))
}

/// The edit that makes a request's thinking come with its seal, without which it could not go on elsewhere or later.
/// `None`: it asks for no thinking, or for the seal already.
#[must_use]
pub fn ask_for_seals(body: &[u8], peek: &Peek) -> Option<Edit> {
    if !peek.facets.reasoning {
        return None;
    }
    let mut include = None;
    look::top_level(body, |key, value| {
        if key == "include" {
            include = Some((value.range(), value.raw().to_owned()));
        }
        Ok(())
    })
    .ok()?;
    let word = format!("\"{ENCRYPTED}\"");
    let Some((at, list)) = include else {
        let first = body.iter().position(|byte| *byte == b'{')? + 1;
        return Some((first..first, format!("\"include\":[{word}],").into_bytes()));
    };
    if list.contains(&word) {
        return None;
    }
    let inner = list.trim().strip_prefix('[').and_then(|list| list.strip_suffix(']')).map(str::trim);
    match inner {
        None | Some("") => Some((at, format!("[{word}]").into_bytes())),
        Some(inner) => Some((at, format!("[{inner},{word}]").into_bytes())),
    }
}

/// The response object of an answer that does not stand complete: `queued`, or `failed` for a reason.
#[must_use]
pub fn standing(terms: &StreamTerms, status: &str, fault: Option<&Fault>) -> Value {
    let error = fault.map(fault::encode_failed);
    Echo::new(&Head::default(), terms).object(State { status, error, ..State::default() })
}

/// How a kept answer stands.
#[must_use]
pub fn status(response: &Value) -> &str {
    response.get("status").and_then(Value::as_str).unwrap_or_default()
}

/// The kept answer in another state.
#[must_use]
pub fn restated(mut response: Value, status: &str, fault: Option<&Fault>) -> Value {
    response["status"] = status.into();
    if let Some(fault) = fault {
        response["error"] = fault::encode_failed(fault);
    }
    response
}

/// Whether an answer was, or is to be, given in the background.
#[must_use]
pub fn is_background(response: &Value) -> bool {
    response.get("background") == Some(&Value::Bool(true))
}

/// The response object that a frame ends a stream with.
#[must_use]
pub fn last_of_stream(data: &[u8]) -> Option<Value> {
    let ends = ["\"response.completed\"", "\"response.incomplete\""];
    if !ends.iter().any(|name| memchr::memmem::find(data, name.as_bytes()).is_some()) {
        return None;
    }
    let mut event: Value = serde_json::from_slice(data).ok()?;
    let name = event.get("type").and_then(Value::as_str)?;
    matches!(name, "response.completed" | "response.incomplete").then(|| event["response"].take())
}

/// Which items of a list a client wants to see.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Page {
    /// Those after this one.
    pub after: Option<String>,
    /// At most so many.
    pub limit: Option<usize>,
    /// Oldest first.
    pub ascending: bool,
}

impl Page {
    /// What the query of an address says.
    ///
    /// # Errors
    /// When a value is not what the wire allows.
    pub fn read<'a>(query: impl Iterator<Item = (&'a str, &'a str)>) -> Result<Self, BadField> {
        let mut page = Self::default();
        for (key, value) in query {
            match (key, value) {
                ("after", _) => page.after = Some(value.to_owned()),
                ("limit", _) => match value.parse() {
                    Ok(limit @ 1..=MOST) => page.limit = Some(limit),
                    _ => return Err(BadField::new("limit", format!("must be a whole number from 1 to {MOST}"))),
                },
                ("order", "asc") => page.ascending = true,
                ("order", "desc") => page.ascending = false,
                ("order", _) => return Err(BadField::new("order", "must be `asc` or `desc`")),
                _ => {}
            }
        }
        Ok(page)
    }

    /// The page of `items`, which stand oldest first.
    ///
    /// # Errors
    /// When the item to begin after is not among them.
    pub fn of(&self, mut items: Vec<Value>) -> Result<Value, BadField> {
        if !self.ascending {
            items.reverse();
        }
        if let Some(after) = &self.after {
            let found = items.iter().position(|item| id(item) == after);
            let at = found.ok_or_else(|| BadField::new("after", format!("names no item of this list: `{after}`")))?;
            items.drain(..=at);
        }
        let limit = self.limit.unwrap_or(PAGE);
        let has_more = items.len() > limit;
        items.truncate(limit);
        let mut list = list(items);
        list["has_more"] = has_more.into();
        Ok(list)
    }
}

/// All of `items` as a list.
#[must_use]
pub fn list(items: Vec<Value>) -> Value {
    let end = |item: Option<&Value>| item.map(id).unwrap_or_default().to_owned();
    let (first, last) = (end(items.first()), end(items.last()));
    json!({"object": "list", "data": items, "first_id": first, "last_id": last, "has_more": false})
}

/// The items that a client adds to a conversation.
///
/// # Errors
/// When they are not what the wire allows.
pub fn added(body: &Value, mark: &str) -> Result<Vec<Value>, BadField> {
    match body.get("items") {
        None | Some(Value::Null) => Ok(Vec::new()),
        Some(Value::Array(items)) if items.len() > MOST => {
            Err(BadField::new("items", format!("holds more than {MOST} items: add them in several calls")))
        }
        Some(Value::Array(items)) => named(items.clone(), "items", mark),
        Some(_) => Err(BadField::new("items", "must be a list of items")),
    }
}

/// The labels that a client gives a conversation.
///
/// # Errors
/// When they are no labels.
pub fn metadata(body: &Value) -> Result<Value, BadField> {
    match body.get("metadata") {
        None | Some(Value::Null) => Ok(json!({})),
        Some(Value::Object(labels)) if labels.len() > 16 => Err(BadField::new("metadata", "holds more than 16 labels")),
        Some(Value::Object(labels)) => match labels.iter().find(|(_, label)| !label.is_string()) {
            Some((key, _)) => Err(BadField::new(format!("metadata.{key}"), "must be a string")),
            None => Ok(Value::Object(labels.clone())),
        },
        Some(_) => Err(BadField::new("metadata", "must be an object")),
    }
}

/// A conversation; `created` in Unix seconds.
#[must_use]
pub fn conversation(id: &str, created: i64, metadata: &Value) -> Value {
    json!({"id": id, "object": "conversation", "created_at": created, "metadata": metadata})
}

/// That something is gone; `object` as the wire calls it.
#[must_use]
pub fn deleted(object: &str, id: &str) -> Value {
    json!({"id": id, "object": object, "deleted": true})
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::openai_responses::request;

    #[test]
    fn a_request_goes_on_without_any_id_of_ours() {
        let earlier = vec![
            json!({"type": "message", "id": "msg_1", "role": "user", "content": [{"type": "input_text", "text": "a"}]}),
            json!({"type": "reasoning", "id": "rs_1", "summary": []}),
            json!({"type": "reasoning", "id": "rs_2", "summary": [], "encrypted_content": "xyz"}),
            json!({"type": "function_call", "id": "fc_1", "call_id": "call_1", "name": "f", "arguments": "{}"}),
        ];
        let body = json!({
            "model": "m", "previous_response_id": "resp_1", "reasoning": {"effort": "low"}, "x": 1,
            "input": [{"type": "function_call_output", "call_id": "call_1", "output": "ok"}, {"type": "item_reference", "id": "msg_9"}],
        });
        assert_eq!(references(&body), ["msg_9"]);
        let found = json!({"type": "message", "id": "msg_9", "role": "user", "content": "found"});
        let mut said = go_on(body, earlier, |id| (id == "msg_9").then(|| found.clone())).unwrap();
        leave_nothing(&mut said);
        assert_eq!(
            said,
            json!({
                "model": "m", "reasoning": {"effort": "low"}, "x": 1,
                "input": [
                    {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "a"}]},
                    {"type": "reasoning", "id": "rs_tr__0", "summary": []},
                    {"type": "reasoning", "id": "rs_2", "summary": [], "encrypted_content": "xyz"},
                    {"type": "function_call", "call_id": "call_1", "name": "f", "arguments": "{}"},
                    {"type": "function_call_output", "call_id": "call_1", "output": "ok"},
                    {"type": "message", "role": "user", "content": "found"},
                ],
                "store": false, "include": ["reasoning.encrypted_content"],
            })
        );
        request::decode(said).unwrap();
    }

    #[test]
    fn seals_are_asked_for_where_there_is_thinking_and_nothing_else_moves() {
        let edited = |body: &str| {
            let peek = request::peek(body.as_bytes()).unwrap();
            let edit = ask_for_seals(body.as_bytes(), &peek)?;
            let bytes = look::splice(body.as_bytes(), vec![edit]);
            Some(String::from_utf8(bytes).unwrap())
        };
        assert_eq!(edited(r#"{"model":"m","input":"x"}"#), None);
        assert_eq!(
            edited(r#" { "model":"m","input":"x","reasoning":{"effort":"low"}, "t":1.0e0}"#).unwrap(),
            r#" {"include":["reasoning.encrypted_content"], "model":"m","input":"x","reasoning":{"effort":"low"}, "t":1.0e0}"#
        );
        let with = |include: &str| {
            edited(&format!(r#"{{"model":"m","input":"x","reasoning":{{"effort":"low"}},"include":{include}}}"#))
        };
        assert!(with(r#"["a"]"#).unwrap().ends_with(r#""include":["a","reasoning.encrypted_content"]}"#));
        assert!(with("[ ]").unwrap().ends_with(r#""include":["reasoning.encrypted_content"]}"#));
        assert!(with("null").unwrap().ends_with(r#""include":["reasoning.encrypted_content"]}"#));
        assert_eq!(with(r#"["reasoning.encrypted_content"]"#), None);
    }

    #[test]
    fn items_are_kept_with_all_that_clients_read() {
        let body = json!({"input": [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}, {"type": "function_call_output", "call_id": "c", "output": "d"}]});
        let kept = asked(&body, "x_0").unwrap();
        assert_eq!(kept[0]["content"], json!([{"type": "input_text", "text": "a"}]));
        assert_eq!((kept[0]["type"].as_str(), kept[0]["status"].as_str()), (Some("message"), Some("completed")));
        assert_eq!(kept[1]["content"][0]["type"], "output_text");
        assert_eq!(kept.iter().map(id).collect::<Vec<_>>(), ["msg_tr_0_0", "msg_tr_0_1", "fco_tr_0_2"]);
        assert_eq!(asked(&json!({"input": "a"}), "x_0").unwrap()[0]["content"], kept[0]["content"]);
        assert!(asked(&json!({"input": [{"role": "king", "content": "a"}]}), "x").is_err());
    }

    #[test]
    fn pages_follow_one_another() {
        let items: Vec<Value> = (0..5).map(|n| json!({"id": format!("i{n}")})).collect();
        let page = |query: &[(&str, &str)]| Page::read(query.iter().copied()).and_then(|page| page.of(items.clone()));
        let first = page(&[("limit", "2"), ("order", "asc")]).unwrap();
        assert_eq!((first["first_id"].as_str(), first["last_id"].as_str()), (Some("i0"), Some("i1")));
        assert_eq!(first["has_more"], true);
        let last = page(&[("after", "i3"), ("order", "asc")]).unwrap();
        assert_eq!((last["data"].as_array().unwrap().len(), last["has_more"].as_bool()), (1, Some(false)));
        assert_eq!(page(&[]).unwrap()["first_id"], "i4");
        for wrong in [("limit", "0"), ("limit", "x"), ("order", "up"), ("after", "none")] {
            assert!(page(&[wrong]).is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn only_an_end_ends_a_stream() {
        assert_eq!(last_of_stream(br#"{"type":"response.output_text.delta","delta":"\"response.completed\""}"#), None);
        let end = br#"{"type":"response.completed","response":{"id":"resp_1"}}"#;
        assert_eq!(last_of_stream(end).unwrap()["id"], "resp_1");
    }
}
