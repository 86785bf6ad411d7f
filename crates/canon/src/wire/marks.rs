//! Prompt-cache marks of a request, for wires that take only a few.

use super::writer::Writer;
use crate::request::{CacheMark, Part, Request, Tool};

/// Most cache marks such wires take.
const MOST: usize = 4;

/// Lifetimes of a cache entry that such wires know.
const LIFETIMES: [&str; 2] = ["5m", "1h"];

/// Counts the marks of one request as they are written.
#[derive(Debug)]
pub(super) struct Marks {
    all: usize,
    next: usize,
}

impl Marks {
    /// The marks of `request`.
    pub(super) fn of(request: &Request) -> Self {
        Self { all: count(request), next: 0 }
    }

    /// The next mark as it is written, or the loss of it. Of too many the middle ones go: the first two hold what every
    /// request shares, the last two the growing end. At home all stand as they are.
    pub(super) fn next(&mut self, mark: &CacheMark, path: &str, pen: &mut Writer) -> Option<CacheMark> {
        let place = self.next;
        self.next += 1;
        if pen.home {
            return Some(mark.clone());
        }
        if place >= MOST / 2 && place + MOST / 2 < self.all {
            pen.drop(format!("{path}.cache_control"));
            return None;
        }
        let ttl = mark.ttl.clone().filter(|ttl| LIFETIMES.contains(&ttl.as_str()));
        if ttl.is_none() && mark.ttl.is_some() {
            pen.weaken(format!("{path}.cache_control.ttl"));
        }
        Some(CacheMark { ttl })
    }
}

fn count(request: &Request) -> usize {
    let tools = request.tools.iter().filter(|tool| matches!(tool, Tool::Function { cache: Some(_), .. })).count();
    let parts = request.messages.iter().flat_map(|message| &message.parts);
    tools + parts.map(count_in_part).sum::<usize>()
}

fn count_in_part(part: &Part) -> usize {
    match part {
        Part::Text { cache, .. } | Part::ToolCall { cache, .. } => usize::from(cache.is_some()),
        Part::Media(media) => usize::from(media.cache.is_some()),
        Part::ToolResult { cache, content, .. } => {
            usize::from(cache.is_some()) + content.iter().map(count_in_part).sum::<usize>()
        }
        Part::Refusal { .. } | Part::Reasoning { .. } | Part::Native { .. } => 0,
    }
}
