//! A stream as one JSON list, which is how this wire streams to clients that do not ask for events (`alt=sse`).

use crate::event::Event;
use crate::fault::Fault;
use crate::wire::StreamEncoder;

/// Writes as a list what `inner` writes as events.
pub(in crate::wire::gemini) struct Listed {
    inner: Box<dyn StreamEncoder>,
    begun: bool,
}

impl Listed {
    pub(in crate::wire::gemini) fn new(inner: Box<dyn StreamEncoder>) -> Self {
        Self { inner, begun: false }
    }

    /// Appends each event of `events` as an element.
    fn elements(&mut self, events: &[u8], out: &mut Vec<u8>) {
        for line in events.split(|byte| *byte == b'\n') {
            let Some(element) = line.strip_prefix(b"data: ") else { continue };
            out.extend_from_slice(if std::mem::replace(&mut self.begun, true) { b",\r\n" } else { b"[" });
            out.extend_from_slice(element);
        }
    }

    fn close(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(if self.begun { b"]\r\n" } else { b"[]\r\n" });
    }
}

impl StreamEncoder for Listed {
    fn event(&mut self, event: &Event, out: &mut Vec<u8>) {
        let mut events = Vec::new();
        self.inner.event(event, &mut events);
        self.elements(&events, out);
        if matches!(event, Event::Finish(_)) {
            self.close(out);
        }
    }

    fn fault(&mut self, fault: &Fault, out: &mut Vec<u8>) {
        let mut events = Vec::new();
        self.inner.fault(fault, &mut events);
        self.elements(&events, out);
        self.close(out);
    }
}
