//! Results whose call a wire cannot say: without the call they would be refused, so abroad they become words of the user.

use super::writer::Writer;
use crate::request::{Part, Request, Role};
use std::borrow::Cow;
use std::collections::HashSet;

/// What stands before a result without its call.
pub(super) const RESULT: &str = "Result of an earlier tool call:";

/// `request` as the pen's wire can say it: at home as it is, abroad without results of calls that are not there.
pub(super) fn mend<'a>(request: &'a Request, pen: &mut Writer) -> Cow<'a, Request> {
    let parts = request.messages.iter().flat_map(|message| &message.parts);
    let calls: HashSet<&str> = parts
        .clone()
        .filter_map(|part| if let Part::ToolCall { call_id, .. } = part { Some(call_id.as_str()) } else { None })
        .collect();
    let is_orphan = |part: &Part| matches!(part, Part::ToolResult { call_id, .. } if !calls.contains(call_id.as_str()));
    if pen.home || !parts.clone().any(is_orphan) {
        return Cow::Borrowed(request);
    }
    let mut mended = request.clone();
    for (index, message) in mended.messages.iter_mut().enumerate() {
        for (at, part) in message.parts.iter_mut().enumerate().filter(|(_, part)| is_orphan(part)) {
            pen.emulate(format!("messages[{index}].content[{at}]"));
            message.role = Role::User;
            *part = as_words(part);
        }
    }
    Cow::Owned(mended)
}

fn as_words(result: &Part) -> Part {
    let Part::ToolResult { content, .. } = result else { return result.clone() };
    let words: Vec<&str> = content.iter().filter_map(Part::as_text).collect();
    Part::text(format!("{RESULT}\n{}", words.join("\n")))
}
