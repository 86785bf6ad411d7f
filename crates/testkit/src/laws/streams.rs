//! Streams: one answer with their whole twins, whole wherever bytes break, never complete when cut, and open to be
//! finished by another model.

use super::essence::of_answer;
use super::{Pair, events, frames, pairs, runner, terms, written};
use crate::fixtures::{self, Fixture};
use crate::grammar::{Asked, Ended, grammar};
use canon::event::{Event, PartId, PartKind};
use canon::fault::{Fault, FaultKind};
use canon::wire::{PROTOCOLS, Protocol, decode_all};
use canon::{Response, answer};
use proptest::prelude::*;
use std::collections::BTreeMap;

fn each_stream(law: impl Fn(&'static dyn Protocol, &[u8]) -> Result<(), String>) -> Vec<String> {
    let mut breaches = Vec::new();
    for protocol in PROTOCOLS {
        let wire = protocol.id().name();
        for Fixture { name, body } in fixtures::of(wire).streams {
            if let Err(breach) = law(*protocol, &body) {
                breaches.push(format!("{wire}/stream/{name}: {breach}"));
            }
        }
    }
    breaches
}

pub(super) fn twins() -> Vec<String> {
    let mut breaches = Vec::new();
    for protocol in PROTOCOLS {
        let wire = protocol.id().name();
        let fixtures = fixtures::of(wire);
        for stream in &fixtures.streams {
            let Some(twin) = fixtures.answers.iter().find(|answer| answer.name == stream.name) else { continue };
            let streamed = events(*protocol, &stream.body).map(|events| answer::fold(&events));
            let whole = protocol.decode_response(twin.body.clone()).map_err(|error| error.to_string());
            let told = match (streamed, whole) {
                (Ok(Some(streamed)), Ok(whole)) => apart(&streamed, &whole),
                (Ok(None), _) => Some("the stream has no `Finish`".to_owned()),
                (Err(error), _) | (_, Err(error)) => Some(error),
            };
            breaches.extend(told.map(|told| format!("{wire}/stream/{}: {told}", stream.name)));
        }
    }
    breaches
}

/// Where two answers differ, what only one form can say left out.
fn apart(streamed: &Response, whole: &Response) -> Option<String> {
    let told = |what: &str, one: &dyn std::fmt::Debug, other: &dyn std::fmt::Debug| {
        Some(format!("{what}: streamed {one:?}, whole {other:?}"))
    };
    let head = |answer: &Response| (answer.head.id.clone(), answer.head.model.clone(), answer.head.created);
    if head(streamed) != head(whole) {
        return told("head", &head(streamed), &head(whole));
    }
    if streamed.usage != whole.usage {
        return told("usage", &streamed.usage, &whole.usage);
    }
    if streamed.choices.len() != whole.choices.len() {
        return told("choices", &streamed.choices.len(), &whole.choices.len());
    }
    streamed.choices.iter().zip(&whole.choices).find_map(|(one, other)| {
        if one.parts != other.parts {
            return told("parts", &one.parts, &other.parts);
        }
        if one.stop != other.stop { told("stop", &one.stop, &other.stop) } else { None }
    })
}

pub(super) fn folds() -> Vec<String> {
    let mut breaches = Vec::new();
    for protocol in PROTOCOLS {
        let wire = protocol.id().name();
        for fixture in fixtures::of(wire).answers {
            let Ok(whole) = protocol.decode_response(fixture.body) else { continue };
            let again = answer::fold(&whole.unfold());
            let told = again.map_or(Some("no `Finish`".to_owned()), |again| apart(&again, &whole));
            breaches.extend(told.map(|told| format!("{wire}/answer/{}: {told}", fixture.name)));
        }
    }
    breaches
}

pub(super) fn chunks() -> Vec<String> {
    each_stream(|protocol, bytes| {
        let whole = events(protocol, bytes)?;
        let tried = runner(48).run(&prop::collection::vec(1..40_usize, 1..60), |sizes| {
            let fail = proptest::test_runner::TestCaseError::fail;
            let frames = frames(protocol, bytes, &sizes).map_err(fail)?;
            let again = decode_all(protocol, &frames).map_err(|fault| fail(fault.to_string()))?;
            prop_assert_eq!(&again, &whole);
            Ok(())
        });
        tried.map_err(|error| error.to_string())?;
        let single = frames(protocol, bytes, &[1])?;
        let again = decode_all(protocol, &single).map_err(|fault| fault.to_string())?;
        if again == whole { Ok(()) } else { Err("byte by byte it is another answer".to_owned()) }
    })
}

/// A prefix may be taken for complete only where it already says everything: then only the wire's formal end is gone.
pub(super) fn cuts() -> Vec<String> {
    each_stream(|protocol, bytes| {
        let all = frames(protocol, bytes, &[])?;
        let whole = answer::fold(&events(protocol, bytes)?).ok_or("the stream has no `Finish`")?;
        for cut in 0..all.len() {
            let kept = all.get(..cut).unwrap_or_default();
            let events = decode_all(protocol, kept).map_err(|fault| format!("cut at frame {cut}: {fault}"))?;
            if let Some(early) = answer::fold(&events) {
                let same = early.choices == whole.choices;
                if !same {
                    return Err(format!("cut at frame {cut} of {} it claims to be complete", all.len()));
                }
            }
            let mut scan = protocol.scan();
            for frame in kept {
                scan.frame(frame).map_err(|fault| format!("cut at frame {cut}, watched: {fault}"))?;
            }
            let said_all = answer::fold(&events).is_some();
            if scan.close().is_some() && !said_all {
                return Err(format!("cut at frame {cut} of {}, watching claims that it is complete", all.len()));
            }
            let dialect = canon::wire::dialect(protocol.id().name());
            let (Some(dialect), Some(grammar), false) = (dialect, grammar(protocol.id().name()), said_all) else {
                continue;
            };
            let heard = grammar.stream(&written(dialect, &events), &Asked::default());
            if heard.ended == Ended::Complete {
                return Err(format!("cut at frame {cut}, what is written claims to be complete"));
            }
        }
        Ok(())
    })
}

pub(super) fn faults() -> Vec<String> {
    let mut breaches = Vec::new();
    for (dialect, protocol) in pairs() {
        let (to, from) = (dialect.id().name(), protocol.id().name());
        let Some(grammar) = grammar(to) else { continue };
        for fixture in fixtures::of(from).streams {
            let Ok(all) = events(protocol, &fixture.body) else { continue };
            for cut in 0..all.len() {
                let (mut encoder, mut out) = (dialect.stream_encoder(&terms()), Vec::new());
                all.iter().take(cut).for_each(|event| encoder.event(event, &mut out));
                encoder.fault(&Fault::provider(FaultKind::Cut, "the provider broke off"), &mut out);
                let heard = grammar.stream(&out, &Asked::default());
                if heard.ended != Ended::Error || !heard.violations.is_empty() {
                    let place = format!("{from} → {to}/stream/{}", fixture.name);
                    breaches
                        .push(format!("{place}: a fault after event {cut}: {:?} {:?}", heard.ended, heard.violations));
                    break;
                }
            }
        }
    }
    breaches
}

/// Cut at every event and finished by another answer of every other wire: one well-formed answer.
pub(super) fn takeovers() -> Vec<String> {
    let mut breaches = Vec::new();
    for (dialect, protocol) in pairs() {
        for other in PROTOCOLS {
            let second = fixtures::of(other.id().name()).streams.into_iter().find(|stream| stream.name == "text");
            let Some(second) = second.and_then(|stream| events(*other, &stream.body).ok()) else {
                breaches.push(format!("{}: no stream fixture called `text`", other.id()));
                continue;
            };
            for fixture in fixtures::of(protocol.id().name()).streams {
                if let Err(breach) = takeover((dialect, protocol), &fixture, &second) {
                    let path = format!("{} then {} → {}", protocol.id(), other.id(), dialect.id());
                    breaches.push(format!("{path}/stream/{}: {breach}", fixture.name));
                }
            }
        }
    }
    breaches
}

fn takeover((dialect, protocol): Pair, fixture: &Fixture<Vec<u8>>, second: &[Event]) -> Result<(), String> {
    let first = events(protocol, &fixture.body)?;
    let grammar = grammar(dialect.id().name()).ok_or("no grammar")?;
    if first.iter().any(|event| matches!(event, Event::PartStart { choice, .. } if *choice > 0)) {
        return Ok(()); // With several choices a takeover begins anew.
    }
    for cut in 1..first.len() {
        let Some(joined) = join(first.get(..cut).unwrap_or_default(), second) else { continue };
        let heard = grammar.stream(&written(dialect, &joined), &Asked { usage: Some(true), n: Some(1) });
        if !heard.is_well() {
            return Err(format!("taken over after event {cut}: {:?} {:?}", heard.ended, heard.violations));
        }
        let wanted = answer::fold(&joined).map(|whole| of_answer(&whole)).ok_or("no `Finish`")?;
        let said = heard.choices.get(&0).cloned().unwrap_or_default();
        if !wanted.is_heard(&said.text, &said.refusal, said.calls.len()) {
            return Err(format!("taken over after event {cut}: heard {said:?}, wanted {wanted:?}"));
        }
    }
    Ok(())
}

/// The events of a broken answer and of the one that finishes it, as one answer. `None` where a call is half said:
/// its arguments are whoever takes over's to complete.
fn join(first: &[Event], second: &[Event]) -> Option<Vec<Event>> {
    let mut out: Vec<Event> = Vec::new();
    let mut open: BTreeMap<PartId, PartKind> = BTreeMap::new();
    let mut next: PartId = 0;
    for event in first {
        match event {
            Event::Usage(_) | Event::Finish(_) => continue,
            Event::PartStart { at, kind, .. } => {
                open.insert(*at, kind.clone());
                next = next.max(at + 1);
            }
            Event::PartEnd { at } => {
                open.remove(at);
            }
            _ => {}
        }
        out.push(event.clone());
    }
    if open.values().any(|kind| matches!(kind, PartKind::ToolCall { .. })) {
        return None;
    }
    let words = open.iter().find(|(_, kind)| matches!(kind, PartKind::Text)).map(|(at, _)| *at);
    let others = open.keys().copied().filter(|at| Some(*at) != words);
    out.extend(others.map(|at| Event::PartEnd { at }).collect::<Vec<_>>());
    let mut ids: BTreeMap<PartId, PartId> = BTreeMap::new();
    for event in second {
        match event {
            Event::Start(_) | Event::Native { .. } => {}
            Event::PartStart { at, kind: PartKind::Text, .. } if ids.is_empty() && words.is_some() => {
                ids.insert(*at, words?);
            }
            Event::PartStart { at, kind, choice } => {
                ids.insert(*at, next);
                out.push(Event::PartStart { at: next, choice: *choice, kind: kind.clone() });
                next += 1;
            }
            Event::Delta { at, text, logprobs } => {
                out.push(Event::Delta { at: *ids.get(at)?, text: text.clone(), logprobs: logprobs.clone() });
            }
            Event::PartEnd { at } => out.push(Event::PartEnd { at: *ids.get(at)? }),
            Event::Citation { .. } | Event::Seal { .. } | Event::PartExtras { .. } => {}
            Event::Usage(_) | Event::Finish(_) => out.push(event.clone()),
        }
    }
    // Calls said before the break are calls of the answer; then the reason to stop is theirs.
    if first.iter().any(|event| matches!(event, Event::PartStart { kind: PartKind::ToolCall { .. }, .. }))
        && let Some(Event::Finish(finish)) = out.last_mut()
    {
        finish.stops.iter_mut().for_each(|stop| stop.reason = canon::StopReason::ToolCalls);
    }
    Some(out)
}
