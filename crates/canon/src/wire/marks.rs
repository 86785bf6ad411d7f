//! Prompt-cache marks of a request, for wires that take only a few.

use crate::request::{Part, Request, Tool};

/// Most cache marks such wires take.
const MOST: usize = 4;

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

    /// Whether the next mark fits. Of too many the middle ones go: the first two hold what every request shares, the
    /// last two the growing end.
    pub(super) fn fits(&mut self) -> bool {
        let place = self.next;
        self.next += 1;
        place < MOST / 2 || place + MOST / 2 >= self.all
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
