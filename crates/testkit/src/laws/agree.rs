//! Different ways to look at one thing agree: a look in place with a full read, watching with decoding, an error in one
//! wire with the same error in another.

use super::{events, frames, pairs, params};
use crate::fixtures;
use crate::grammar::{Ended, grammar};
use crate::provider::Trouble;
use crate::provider::wire::wire;
use canon::answer;
use canon::fault::{FaultKind, Side};
use canon::media::MediaKind;
use canon::request::{OutputFormat, Part, each_seal};
use canon::wire::{DIALECTS, FrameNote, PROTOCOLS, Protocol, splice};

pub(super) fn every_wire_has_fixtures() -> Vec<String> {
    let mut breaches = Vec::new();
    for dialect in DIALECTS {
        if fixtures::of(dialect.id().name()).requests.is_empty() {
            breaches.push(format!("{}: no request fixtures", dialect.id()));
        }
    }
    for protocol in PROTOCOLS {
        let fixtures = fixtures::of(protocol.id().name());
        if fixtures.answers.is_empty() || fixtures.streams.is_empty() {
            breaches.push(format!("{}: no answer or stream fixtures", protocol.id()));
        }
    }
    breaches
}

/// What only its maker can read is found in bytes that pass as a full read finds it, and in the requests that bring it.
pub(super) fn seals() -> Vec<String> {
    let (mut breaches, mut found) = (Vec::new(), 0);
    let of = |parts: &mut [Part]| {
        let mut seals = Vec::new();
        each_seal(parts, &mut |seal| seals.push(seal.data.clone()));
        seals
    };
    for dialect in DIALECTS {
        for fixture in fixtures::of(dialect.id().name()).requests {
            let Ok(mut read) = dialect.decode_request(&params(&fixture.body), fixture.body.clone()) else { continue };
            let mut brings = false;
            read.each_seal(|_| brings = true);
            if brings && !dialect.mentions_seals(fixture.body.to_string().as_bytes()) {
                breaches.push(format!("{}/request/{}: its opaque blocks are overlooked", dialect.id(), fixture.name));
            }
        }
    }
    for protocol in PROTOCOLS {
        let fixtures = fixtures::of(protocol.id().name());
        let mut compare = |name: &str, mut parts: Vec<Part>, seen: Vec<String>| {
            for seal in of(&mut parts) {
                found += 1;
                if !seal.is_empty() && !seen.contains(&seal) {
                    breaches.push(format!("{}/{name}: `{seal}` is overlooked in the bytes", protocol.id()));
                }
            }
        };
        for fixture in fixtures.answers {
            let Ok(read) = protocol.decode_response(fixture.body.clone()) else { continue };
            let parts = read.choices.into_iter().flat_map(|choice| choice.parts).collect();
            compare(&fixture.name, parts, protocol.seals(fixture.body.to_string().as_bytes()));
        }
        for fixture in fixtures.streams {
            let (Ok(frames), Ok(events)) = (frames(*protocol, &fixture.body, &[]), events(*protocol, &fixture.body))
            else {
                continue;
            };
            let Some(read) = answer::fold(&events) else { continue };
            let parts = read.choices.into_iter().flat_map(|choice| choice.parts).collect();
            compare(&fixture.name, parts, frames.iter().flat_map(|frame| protocol.seals(&frame.data)).collect());
        }
    }
    if found == 0 {
        breaches.push("no fixture holds an opaque block".to_owned());
    }
    breaches
}

pub(super) fn peeks() -> Vec<String> {
    let mut breaches = Vec::new();
    for dialect in DIALECTS {
        for fixture in fixtures::of(dialect.id().name()).requests {
            let place = format!("{}/request/{}", dialect.id(), fixture.name);
            let params = params(&fixture.body);
            let text = fixture.body.to_string();
            let look = dialect.peek(&params, text.as_bytes());
            let read = dialect.decode_request(&params, fixture.body.clone());
            let (look, read) = match (look, read) {
                (Ok(look), Ok(read)) => (look, read),
                (look, read) => {
                    breaches.push(format!("{place}: looked {:?}, read {:?}", look.err(), read.err()));
                    continue;
                }
            };
            let has_media = |kind: MediaKind| {
                let is = |part: &Part| matches!(part, Part::Media(media) if media.kind == kind);
                read.messages.iter().flat_map(|message| &message.parts).any(|part| match part {
                    Part::ToolResult { content, .. } => content.iter().any(is),
                    part => is(part),
                })
            };
            let facets = &look.facets;
            let table = [
                ("model", look.model.as_deref() == Some(read.model.as_str())),
                ("stream", look.stream == read.stream),
                ("tools", facets.tools || read.tools.is_empty()),
                ("images", facets.images == has_media(MediaKind::Image)),
                ("audio", facets.audio == has_media(MediaKind::Audio)),
                ("structured", facets.structured != matches!(read.output, OutputFormat::Text)),
                ("choices", facets.choices.max(1) == read.sampling.n.unwrap_or(1)),
                ("limit", facets.max_output_tokens == read.sampling.max_output_tokens),
            ];
            for (what, _) in table.iter().filter(|(_, agrees)| !agrees) {
                breaches.push(format!("{place}: the look finds another `{what}`"));
            }
            if let Some(at) = look.model_at {
                let edited = splice(text.as_bytes(), vec![(at, b"\"another\"".to_vec())]);
                let again = serde_json::from_slice(&edited).map(|body| dialect.decode_request(&params, body));
                let mut wanted = read;
                "another".clone_into(&mut wanted.model);
                if again.ok().and_then(Result::ok).as_ref() != Some(&wanted) {
                    breaches.push(format!("{place}: the model edited in place is not just another model"));
                }
            }
        }
    }
    breaches
}

pub(super) fn scans() -> Vec<String> {
    let mut breaches = Vec::new();
    for protocol in PROTOCOLS {
        let wire = protocol.id().name();
        let fixtures = fixtures::of(wire);
        for fixture in &fixtures.streams {
            if let Err(breach) = scan(*protocol, &fixture.body) {
                breaches.push(format!("{wire}/stream/{}: {breach}", fixture.name));
            }
        }
        for fixture in &fixtures.answers {
            let seen = protocol.scan_response(fixture.body.to_string().as_bytes());
            let read = protocol.decode_response(fixture.body.clone());
            let (Ok(seen), Ok(read)) = (seen, read) else {
                breaches.push(format!("{wire}/answer/{}: not read", fixture.name));
                continue;
            };
            let stop = read.choices.first().map(|choice| choice.stop.reason);
            let same = (seen.usage.input, seen.usage.output, seen.stop) == (read.usage.input, read.usage.output, stop);
            if !same || seen.model.unwrap_or_default() != read.head.model {
                breaches.push(format!("{wire}/answer/{}: watched otherwise than read", fixture.name));
            }
        }
    }
    breaches
}

fn scan(protocol: &dyn Protocol, bytes: &[u8]) -> Result<(), String> {
    let whole = answer::fold(&events(protocol, bytes)?).ok_or("no `Finish`")?;
    let (mut scan, mut notes) = (protocol.scan(), Vec::new());
    for frame in frames(protocol, bytes, &[])? {
        notes.push(scan.frame(&frame).map_err(|fault| fault.to_string())?);
    }
    let speaks = whole.choices.iter().any(|choice| !choice.parts.is_empty());
    if notes.contains(&FrameNote::Content) != speaks || notes.last() != Some(&FrameNote::End) {
        return Err(format!("the frames are noted as {notes:?}"));
    }
    let seen = scan.seen().clone();
    let stop = whole.choices.first().map(|choice| choice.stop.reason);
    // Some wires do not say who answered, or under which id.
    let told = |name: Option<String>| name.filter(|name| !name.is_empty());
    let watched = (told(seen.id), told(seen.model), seen.usage.input, seen.usage.output, seen.stop, seen.ended);
    let (id, model) = (told(Some(whole.head.id)), told(Some(whole.head.model)));
    let read = (id, model, whole.usage.input, whole.usage.output, stop, true);
    if watched != read {
        return Err(format!("watched {watched:?}, read {read:?}"));
    }
    if scan.close() == Some(b"".as_slice()) { Ok(()) } else { Err("not closed".to_owned()) }
}

/// Every error a provider can show, in its own shape: read as its kind, told to clients of every dialect with the right
/// status and no slip, and read again as an error of its kind.
pub(super) fn errors() -> Vec<String> {
    let table = [
        (400, Trouble::Invalid, FaultKind::Invalid),
        (400, Trouble::ContextLength, FaultKind::ContextLength),
        (400, Trouble::ContentFilter, FaultKind::ContentFilter),
        (401, Trouble::Unauthenticated, FaultKind::Unauthenticated),
        (403, Trouble::Forbidden, FaultKind::Forbidden),
        (404, Trouble::NotFound, FaultKind::NotFound),
        (413, Trouble::TooLarge, FaultKind::TooLarge),
        (429, Trouble::RateLimited, FaultKind::RateLimited),
        (429, Trouble::Quota, FaultKind::QuotaExhausted),
        (500, Trouble::Server, FaultKind::Server),
        (502, Trouble::Server, FaultKind::Server),
        (503, Trouble::Overloaded, FaultKind::Overloaded),
        (529, Trouble::Overloaded, FaultKind::Overloaded),
    ];
    let mut breaches = Vec::new();
    for (dialect, protocol) in pairs() {
        let Some(provider) = wire(protocol.id().name()) else { continue };
        for (status, trouble, kind) in table {
            let place = format!("{} → {}/{status} {trouble:?}", protocol.id(), dialect.id());
            let fault = protocol.decode_fault(status, provider.trouble(status, trouble, "m").to_string().as_bytes());
            if fault.kind != kind || fault.status != Some(status) {
                breaches.push(format!("{place}: read as {:?} with status {:?}", fault.kind, fault.status));
            }
            let (told, body) = dialect.encode_fault(&fault);
            // A key that is wrong is the gateway's own: the client's is fine.
            let own = matches!(kind, FaultKind::Unauthenticated | FaultKind::Forbidden);
            let wanted = if own {
                502
            } else if status == 529 {
                529
            } else {
                kind.status()
            };
            if told != wanted {
                breaches.push(format!("{place}: told with status {told}, not {wanted}"));
            }
            let heard = grammar(dialect.id().name()).map(|grammar| grammar.unary(body.to_string().as_bytes()));
            if heard.is_some_and(|heard| heard.ended != Ended::Error || !heard.violations.is_empty()) {
                breaches.push(format!("{place}: told as {body}"));
            }
            let again = canon::wire::protocol(dialect.id().name())
                .map(|protocol| protocol.decode_fault(told, body.to_string().as_bytes()));
            if !own && fault.side == Side::Client && again.is_some_and(|again| again.kind != kind) {
                breaches.push(format!("{place}: what is told reads as another kind"));
            }
        }
    }
    breaches
}
