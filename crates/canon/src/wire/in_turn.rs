//! Parts one after the other, for wires whose streams have one block open at a time: what is said of a part that
//! begins while another is open waits for that one's end. The wires that use it have room for one choice: the first.

use crate::event::{Event, PartId};
use std::collections::VecDeque;

/// Brings the events of one answer in order.
#[derive(Debug, Default)]
pub(super) struct InTurn {
    /// Parts in order of appearance; the first is the one that is open.
    lanes: VecDeque<Lane>,
}

#[derive(Debug)]
struct Lane {
    at: PartId,
    waiting: Vec<Event>,
    ended: bool,
}

impl InTurn {
    /// Takes an event in and says what is now in turn. What goes on with the open part is not copied.
    pub(super) fn take(&mut self, event: &Event, mut say: impl FnMut(&Event)) {
        match event {
            Event::PartStart { at, choice: 0, .. } => {
                let is_open = self.lanes.is_empty();
                let waiting = if is_open { Vec::new() } else { vec![event.clone()] };
                self.lanes.push_back(Lane { at: *at, waiting, ended: false });
                if is_open {
                    say(event);
                }
            }
            Event::PartStart { .. } => {}
            Event::Delta { at, .. }
            | Event::Citation { at, .. }
            | Event::Seal { at, .. }
            | Event::PartExtras { at, .. }
            | Event::PartEnd { at } => self.go_on(*at, event, say),
            Event::Finish(_) => {
                while let Some(lane) = self.lanes.pop_front() {
                    lane.waiting.iter().for_each(&mut say);
                    if !lane.ended {
                        say(&Event::PartEnd { at: lane.at });
                    }
                }
                say(event);
            }
            Event::Start(_) | Event::Usage(_) | Event::Native { .. } => say(event),
        }
    }

    fn go_on(&mut self, at: PartId, event: &Event, mut say: impl FnMut(&Event)) {
        let ends = matches!(event, Event::PartEnd { .. });
        if self.lanes.front().is_none_or(|lane| lane.at != at) {
            if let Some(lane) = self.lanes.iter_mut().find(|lane| lane.at == at) {
                lane.waiting.push(event.clone());
                lane.ended |= ends;
            }
            return;
        }
        say(event);
        if !ends {
            return;
        }
        self.lanes.pop_front();
        while let Some(lane) = self.lanes.front_mut() {
            std::mem::take(&mut lane.waiting).iter().for_each(&mut say);
            if !lane.ended {
                return;
            }
            self.lanes.pop_front();
        }
    }
}
