//! Server-sent events as a strict client reads them. Pure.

/// One event.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SseEvent {
    /// The `event:` name; empty when absent.
    pub name: String,
    /// The `data:` lines joined by `\n`; `None`: no data line, a comment.
    pub data: Option<String>,
    /// One past the event's last byte in the stream.
    pub end: usize,
}

/// Splits a stream into its events. What is not server-sent events is named with its place.
#[must_use]
pub fn events(bytes: &[u8]) -> (Vec<SseEvent>, Vec<String>) {
    let (mut events, mut slips) = (Vec::new(), Vec::new());
    let mut now = SseEvent::default();
    let mut filled = false;
    let mut at = 0;
    while at < bytes.len() {
        let rest = bytes.get(at..).unwrap_or_default();
        let length = rest.iter().position(|byte| matches!(byte, b'\n' | b'\r'));
        let (line, next) = match length {
            Some(length) => {
                let two = rest.get(length) == Some(&b'\r') && rest.get(length + 1) == Some(&b'\n');
                (rest.get(..length).unwrap_or_default(), at + length + if two { 2 } else { 1 })
            }
            None => (rest, bytes.len()),
        };
        at = next;
        if line.is_empty() {
            if filled {
                now.end = at;
                events.push(std::mem::take(&mut now));
                filled = false;
            }
            continue;
        }
        filled = true;
        if let Err(slip) = field(&mut now, line) {
            slips.push(format!("byte {at}: {slip}"));
        }
        if length.is_none() {
            slips.push("the last line does not end".to_owned());
        }
    }
    if filled {
        slips.push("the last event is not closed by a blank line".to_owned());
        now.end = bytes.len();
        events.push(now);
    }
    (events, slips)
}

fn field(event: &mut SseEvent, line: &[u8]) -> Result<(), String> {
    let text = std::str::from_utf8(line).map_err(|_| "not UTF-8".to_owned())?;
    let (name, value) = text.split_once(':').unwrap_or((text, ""));
    let value = value.strip_prefix(' ').unwrap_or(value);
    match name {
        "" | "id" | "retry" => {}
        "event" => value.clone_into(&mut event.name),
        "data" => match &mut event.data {
            Some(data) => {
                data.push('\n');
                data.push_str(value);
            }
            None => event.data = Some(value.to_owned()),
        },
        other => return Err(format!("a line with the unknown field `{}`", other.chars().take(40).collect::<String>())),
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_are_split_and_slips_named() {
        let (found, slips) = events("event: a\r\ndata: 1\r\n\r\n: hello\n\ndata: x\u{2028}y\ndata: 2\n\n".as_bytes());
        assert!(slips.is_empty(), "{slips:?}");
        assert_eq!(found.len(), 3);
        assert_eq!((found[0].name.as_str(), found[0].data.as_deref()), ("a", Some("1")));
        assert_eq!((found[1].data.as_deref(), found[2].data.as_deref()), (None, Some("x\u{2028}y\n2")));
        assert_eq!(events(b"data: 1\n").1.len(), 1);
        assert_eq!(events(b"data: 1").1.len(), 2);
        assert_eq!(events(b"datum: 1\n\n").1.len(), 1);
    }
}
