use super::*;
use canon::answer::{Response, fold};
use canon::event::Stop;
use canon::request::{Message, Part, Role};
use canon::wire::openai_chat;
use canon::{Head, StopReason};
use proptest::prelude::*;

fn request() -> Request {
    let mut request = Request::new(openai_chat::ID, "auto");
    request.messages.push(Message::text(Role::User, "hi"));
    request
}

/// An answer of `parts`, word by word.
fn answer(parts: &[Part]) -> Vec<Event> {
    let mut events = vec![Event::Start(Head { origin: Some(openai_chat::ID), ..Head::default() })];
    let mut reason = StopReason::End;
    for (at, part) in (0..).zip(parts) {
        let (kind, text) = match part {
            Part::Reasoning { text, .. } => (PartKind::Reasoning { summary: false }, text),
            Part::ToolCall { call_id, name, arguments, .. } => {
                reason = StopReason::ToolCalls;
                (PartKind::ToolCall { call_id: call_id.clone(), name: name.clone() }, arguments)
            }
            Part::Text { text, .. } => (PartKind::Text, text),
            _ => continue,
        };
        events.push(Event::PartStart { at, choice: 0, kind });
        let chars: Vec<char> = text.chars().collect();
        for piece in chars.chunks(3) {
            events.push(Event::Delta { at, text: piece.iter().collect(), logprobs: Vec::new() });
        }
        events.push(Event::PartEnd { at });
    }
    events.push(Event::Usage(Usage { input: Some(7), output: Some(5), ..Usage::default() }));
    events.push(Event::Finish(Finish { stops: vec![Stop::because(reason)], ..Finish::default() }));
    events
}

fn call(id: &str, name: &str, arguments: &str) -> Part {
    Part::ToolCall {
        call_id: id.to_owned(),
        name: name.to_owned(),
        arguments: arguments.to_owned(),
        seal: None,
        cache: None,
        extras: canon::Extras::new(),
    }
}

fn thinking(text: &str) -> Part {
    Part::Reasoning { text: text.to_owned(), summary: false, seal: None, extras: canon::Extras::new() }
}

/// What the client hears when `first` breaks after `cut` events and `second` goes on; `None`: the second does not fit.
fn taken_over(first: &[Event], cut: usize, second: &[Event], hold_back: bool) -> Option<Vec<Event>> {
    let mut takeover = Takeover::new(hold_back);
    let mut heard = Vec::new();
    for event in &first[..cut] {
        takeover.event(event.clone(), &mut heard).expect("the first leg is never refused");
    }
    takeover.broke(&request(), false).expect("it can be gone on with");
    for event in second {
        takeover.event(event.clone(), &mut heard).ok()?;
    }
    Some(heard)
}

/// Whether `events` are one answer as the contract of events has it.
fn assert_well_formed(events: &[Event]) {
    let starts = events.iter().filter(|event| matches!(event, Event::Start(_))).count();
    let ends = events.iter().filter(|event| matches!(event, Event::Finish(_))).count();
    assert_eq!((starts, ends), (1, 1), "{events:?}");
    assert!(matches!(events.first(), Some(Event::Start(_))) && matches!(events.last(), Some(Event::Finish(_))));
    let (mut open, mut known) = (Vec::new(), Vec::new());
    for event in events {
        match event {
            Event::PartStart { at, .. } => {
                assert!(!known.contains(at), "part {at} begins twice: {events:?}");
                known.push(*at);
                open.push(*at);
            }
            Event::PartEnd { at } => {
                assert!(open.contains(at), "part {at} ends and is not open: {events:?}");
                open.retain(|part| part != at);
            }
            Event::Delta { at, .. } => assert!(open.contains(at), "words of part {at}, which is not open: {events:?}"),
            _ => {}
        }
    }
    assert!(open.is_empty(), "parts {open:?} never end: {events:?}");
}

fn whole(events: &[Event]) -> Response {
    assert_well_formed(events);
    fold(events).expect("it is whole")
}

fn calls(answer: &Response) -> Vec<(String, String)> {
    let parts = answer.choices[0].parts.iter();
    parts
        .filter_map(|part| match part {
            Part::ToolCall { name, arguments, .. } => Some((name.clone(), arguments.clone())),
            _ => None,
        })
        .collect()
}

#[test]
fn text_is_finished_wherever_it_breaks() {
    let text = "It is a big amber stone, and nobody knows whose.";
    let first = answer(&[Part::text(text)]);
    for hold_back in [false, true] {
        for cut in 1..first.len() {
            let told: String = {
                let mut heard = Vec::new();
                let mut takeover = Takeover::new(hold_back);
                first[..cut].iter().for_each(|event| takeover.event(event.clone(), &mut heard).expect("fits"));
                heard
                    .iter()
                    .filter_map(|event| match event {
                        Event::Delta { text, .. } => Some(text.as_str()),
                        _ => None,
                    })
                    .collect()
            };
            let over_again = taken_over(&first, cut, &answer(&[Part::text(text)]), hold_back).expect("it fits");
            assert_eq!(whole(&over_again).text(), text, "starts over after {cut}");
            let goes_on = answer(&[thinking("hm"), Part::text(&text[told.len()..])]);
            let goes_on = taken_over(&first, cut, &goes_on, hold_back).expect("it fits");
            assert_eq!(whole(&goes_on).text(), text, "goes on after {cut}");
            assert_eq!(whole(&goes_on).choices[0].parts.iter().filter(|part| part.as_text().is_some()).count(), 1);
        }
    }
}

#[test]
fn two_calls_are_made_once_each_wherever_it_breaks() {
    let parts = [
        Part::text("Let me look."),
        call("a", "weather", "{\"city\": \"Paris\", \"days\": 3}"),
        call("b", "time", "{\"zone\": \"CET\"}"),
    ];
    let first = answer(&parts);
    // Another model: other ids, another style, more words, another order.
    let second = answer(&[
        Part::text("Let me look."),
        call("x", "time", "{\"zone\":\"CET\"}"),
        call("a", "weather", "{\"days\":3,\"city\":\"Paris\"}"),
    ]);
    for cut in 1..first.len() {
        let heard = taken_over(&first, cut, &second, false).expect("it fits");
        let answer = whole(&heard);
        let mut made = calls(&answer);
        made.sort();
        let value = |text: &str| serde_json::from_str::<serde_json::Value>(text).expect("JSON");
        assert_eq!(made.len(), 2, "after {cut}: {made:?}");
        assert_eq!((made[0].0.as_str(), value(&made[0].1)), ("time", value("{\"zone\":\"CET\"}")));
        assert_eq!((made[1].0.as_str(), value(&made[1].1)), ("weather", value("{\"city\":\"Paris\",\"days\":3}")));
        assert_eq!(answer.text(), "Let me look.", "after {cut}");
        let ids: std::collections::BTreeSet<_> = answer.choices[0]
            .parts
            .iter()
            .filter_map(|part| match part {
                Part::ToolCall { call_id, .. } => Some(call_id.clone()),
                _ => None,
            })
            .collect();
        assert_eq!(ids.len(), 2, "after {cut}");
    }
}

#[test]
fn another_call_than_the_one_begun_is_refused() {
    let first = answer(&[call("a", "weather", "{\"city\":\"Paris\"}")]);
    let second = answer(&[call("b", "weather", "{\"city\":\"London\"}")]);
    let cut = first.len() - 3;
    assert!(taken_over(&first, cut, &second, false).is_none());
    // Held back, nothing of it has reached the client: the other call is made instead.
    assert!(taken_over(&first, cut - 1, &second, true).is_some());
}

#[test]
fn thinking_is_gone_on_with_or_begun_anew() {
    let first = answer(&[thinking("first this, then that"), Part::text("So be it.")]);
    for (other, thoughts) in [("first this, then that", 1), ("quite another thought", 2)] {
        let second = answer(&[thinking(other), Part::text("So be it.")]);
        for cut in 1..first.len() {
            let answer = whole(&taken_over(&first, cut, &second, false).expect("it fits"));
            assert_eq!(answer.text(), "So be it.", "after {cut}");
            let thought = answer.choices[0].parts.iter().filter(|part| matches!(part, Part::Reasoning { .. })).count();
            assert!(thought <= thoughts && thought >= 1, "after {cut}: {answer:?}");
        }
    }
}

#[test]
fn what_cannot_be_honest_is_refused() {
    let mut takeover = Takeover::new(false);
    let mut out = Vec::new();
    for event in [
        Event::Start(Head { origin: Some(canon::wire::anthropic_messages::ID), ..Head::default() }),
        Event::PartStart { at: 0, choice: 0, kind: PartKind::Reasoning { summary: false } },
        Event::Delta { at: 0, text: "hm".to_owned(), logprobs: Vec::new() },
    ] {
        takeover.event(event, &mut out).expect("fits");
    }
    assert!(takeover.broke(&request(), true).is_err(), "signed thinking, half sent");
    assert!(takeover.broke(&request(), false).is_ok(), "on a wire that shows no seal it is only thinking");
    let mut several = request();
    several.sampling.n = Some(2);
    assert!(Takeover::new(false).broke(&several, false).is_err());
    assert!(Takeover::never().broke(&request(), false).is_err());
}

#[test]
fn half_a_thought_is_refused_wherever_its_seal_is_still_to_come() {
    let mut thinks = request();
    thinks.reasoning = Some(canon::request::Reasoning::default());
    let says = |wire: &str, kind: PartKind, sealed: bool| {
        let (mut takeover, mut out) = (Takeover::new(false), Vec::new());
        let origin = canon::wire::protocol(wire).map(canon::wire::Protocol::id);
        let seal = canon::Seal { data: "s".to_owned(), redacted: false, signer: None };
        let mut events = vec![
            Event::Start(Head { origin, ..Head::default() }),
            Event::PartStart { at: 0, choice: 0, kind },
            Event::Delta { at: 0, text: "hm".to_owned(), logprobs: Vec::new() },
        ];
        events.extend(sealed.then_some(Event::Seal { at: 0, seal }));
        events.into_iter().for_each(|event| takeover.event(event, &mut out).expect("fits"));
        takeover
    };
    let thinking = || PartKind::Reasoning { summary: false };
    for (wire, seals) in [
        ("anthropic-messages", true),
        ("bedrock-converse", true),
        ("openai-responses", true),
        ("gemini", false),
        ("openai-chat", false),
        ("cohere-v2", false),
    ] {
        assert_eq!(says(wire, thinking(), false).broke(&thinks, true).is_err(), seals, "{wire}");
        assert!(says(wire, thinking(), true).broke(&thinks, true).is_ok(), "{wire}: with its seal it is whole");
        // Where nobody asked for the ciphertext, nobody waits for it.
        assert_eq!(says(wire, thinking(), false).broke(&request(), true).is_err(), seals && wire != "openai-responses");
    }
    // What is sealed is never added to: the words go on in a part of their own.
    let mut takeover = says("gemini", PartKind::Text, true);
    takeover.broke(&thinks, true).expect("it can be gone on with");
    takeover.prefilled();
    let mut heard = Vec::new();
    for event in answer(&[Part::text(" and so on.")]) {
        takeover.event(event, &mut heard).expect("fits");
    }
    let starts = heard.iter().filter(|event| matches!(event, Event::PartStart { .. })).count();
    let first = heard.iter().position(|event| matches!(event, Event::PartEnd { at: 0 }));
    let words = heard.iter().position(|event| matches!(event, Event::Delta { at: 1, .. }));
    assert!(starts == 1 && first < words && first.is_some(), "{heard:?}");
}

#[test]
fn usage_is_summed_over_the_legs() {
    let first = answer(&[Part::text("one two three four five six seven")]);
    let mut takeover = Takeover::new(false);
    let mut out = Vec::new();
    let mut reported = first[..4].to_vec();
    reported.push(Event::Usage(Usage { input: Some(10), output: Some(2), ..Usage::default() }));
    for leg in [reported, first[..4].to_vec(), first.clone()] {
        for event in leg {
            takeover.event(event, &mut out).expect("fits");
        }
        if !takeover.is_finished() {
            takeover.broke(&request(), false).expect("fits");
        }
    }
    let answer = whole(&out);
    assert_eq!((answer.usage.input, answer.usage.output), (Some(17), Some(7)));
}

proptest! {
    /// Whatever the second leg says, at whatever place, however often it breaks: the client hears an answer that is
    /// well formed so far, and never two ends.
    #[test]
    fn nothing_makes_it_lie(
        texts in proptest::collection::vec("[a-e ]{0,12}", 1..4),
        cuts in proptest::collection::vec(0_usize..40, 1..4),
        tools in any::<bool>(),
        hold_back in any::<bool>(),
    ) {
        let leg = |text: &str| {
            let mut parts = vec![thinking(text), Part::text(text)];
            if tools {
                parts.push(call("id", "tool", &serde_json::json!({ "x": text }).to_string()));
            }
            answer(&parts)
        };
        let mut takeover = Takeover::new(hold_back);
        let mut heard = Vec::new();
        for (at, cut) in cuts.iter().enumerate() {
            let events = leg(&texts[at % texts.len()]);
            for event in events.iter().take(cut % (events.len() + 1)) {
                if takeover.is_finished() || takeover.event(event.clone(), &mut heard).is_err() {
                    break;
                }
            }
            if takeover.is_finished() || takeover.broke(&request(), false).is_err() {
                break;
            }
        }
        if takeover.is_finished() {
            assert_well_formed(&heard);
        } else {
            prop_assert!(!heard.iter().any(|event| matches!(event, Event::Finish(_))));
        }
    }
}
