//! A call whose arguments come in pieces (`streamFunctionCallArguments`): each piece names a place in the arguments
//! by a JSON path. The call is whole when a chunk no longer says that it goes on.

use crate::fields::{BadField, Fields};
use crate::request::{Part, Seal};
use crate::wire::gemini::{names, part};
use serde_json::{Value, json};

/// Most steps of a path: deeper JSON is refused everywhere else, too.
const MOST_STEPS: usize = 128;

/// A call so far.
#[derive(Debug)]
pub(super) struct Partial {
    call_id: String,
    name: String,
    args: Value,
    seal: Option<Seal>,
}

/// Whether the call in `fields` is or continues one that comes in pieces.
pub(super) fn is_piece(fields: &Fields, open: Option<&Partial>) -> bool {
    fields.peek("functionCall").and_then(Value::as_object).is_some_and(|call| {
        let pieces = ["partialArgs", "partial_args", "willContinue", "will_continue"];
        pieces.iter().any(|key| call.contains_key(*key)) || (open.is_some() && !call.contains_key("name"))
    })
}

/// Takes a piece in; gives the call when it is whole.
pub(super) fn take(
    fields: &mut Fields,
    open: &mut Option<Partial>,
    id_for: impl FnOnce(&str) -> String,
) -> Result<Option<Part>, BadField> {
    let Some(mut call) = names::object(fields, "functionCall", &["partialArgs", "willContinue"])? else {
        return Ok(None);
    };
    let (id, name) = (call.string("id")?, call.string("name")?);
    let mut partial = match (open.take(), name) {
        (Some(partial), _) => partial,
        (None, Some(name)) => {
            Partial { call_id: id.unwrap_or_else(|| id_for(&name)), name, args: json!({}), seal: None }
        }
        (None, None) => return Err(call.missing("name")),
    };
    if let (Some(Value::Object(more)), Value::Object(args)) = (call.take("args"), &mut partial.args) {
        args.extend(more);
    }
    let path = call.path_of("partialArgs");
    for piece in call.list("partialArgs")? {
        apply(&mut partial.args, names::read(piece, &path, &KNOWN)?)?;
    }
    if let Some(seal) = part::take_seal(fields)? {
        partial.seal = Some(seal);
    }
    if call.bool("willContinue")? == Some(true) {
        *open = Some(partial);
        return Ok(None);
    }
    Ok(Some(partial.into_part()))
}

impl Partial {
    /// The call as it is.
    pub(super) fn into_part(self) -> Part {
        Part::ToolCall {
            call_id: self.call_id,
            name: self.name,
            arguments: self.args.to_string(),
            seal: self.seal,
            cache: None,
            extras: crate::Extras::new(),
        }
    }
}

const KNOWN: [&str; 5] = ["jsonPath", "stringValue", "numberValue", "boolValue", "nullValue"];

fn apply(args: &mut Value, mut piece: Fields) -> Result<(), BadField> {
    let path = piece.need_string("jsonPath")?;
    let bad = || BadField::new(piece.path_of("jsonPath"), format!("names no place: `{path}`"));
    let place = steps(&path)
        .ok_or_else(bad)?
        .into_iter()
        .try_fold(args, |place, step| match step {
            Step::Key(key) => {
                if place.is_null() {
                    *place = json!({});
                }
                Some(place.as_object_mut()?.entry(key).or_insert(Value::Null))
            }
            Step::Index(index) => {
                if place.is_null() {
                    *place = json!([]);
                }
                let list = place.as_array_mut()?;
                // Pieces come in order, so a list only ever grows at its end.
                if index == list.len() {
                    list.push(Value::Null);
                }
                list.get_mut(index)
            }
        })
        .ok_or_else(bad)?;
    match (piece.string("stringValue")?, place) {
        (Some(more), Value::String(text)) => text.push_str(&more),
        (Some(text), place) => *place = text.into(),
        (None, place) => *place = piece.take("numberValue").or(piece.take("boolValue")).unwrap_or_default(),
    }
    Ok(())
}

enum Step {
    Key(String),
    Index(usize),
}

/// `$.a.b[0]['c d']` in steps.
fn steps(path: &str) -> Option<Vec<Step>> {
    let mut rest = path.strip_prefix('$').unwrap_or(path);
    let mut steps = Vec::new();
    while !rest.is_empty() {
        if let Some(inner) = rest.strip_prefix('[') {
            let (step, after) = match inner.chars().next()? {
                quote @ ('\'' | '"') => {
                    let (key, after) = inner.get(1..)?.split_once(quote)?;
                    (Step::Key(key.to_owned()), after.strip_prefix(']')?)
                }
                _ => {
                    let (index, after) = inner.split_once(']')?;
                    (Step::Index(index.parse().ok()?), after)
                }
            };
            steps.push(step);
            rest = after;
        } else {
            let name = rest.strip_prefix('.').unwrap_or(rest);
            let end = name.find(['.', '[']).unwrap_or(name.len());
            let (key, after) = name.split_at(end);
            steps.push(Step::Key((!key.is_empty()).then(|| key.to_owned())?));
            rest = after;
        }
    }
    (steps.len() <= MOST_STEPS).then_some(steps)
}
